"""CTranslate2's weight file: every tensor arrives under its name, and damage is noticed."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import ctranslate2_file, tiny_whisper

from speechkit.asr.ct2_weights import dimensions, openai_state_dict, read_variables
from speechkit.asr.openai import OpenAiEngine, build, load_engine
from speechkit.errors import InputError, WeightsError

BLOCK = {  # CTranslate2's name → openai-whisper's names, in the order they are stacked
    "self_attention/layer_norm": ["attn_ln"],
    "self_attention/linear_0": ["attn.query", "attn.key", "attn.value"],
    "self_attention/linear_1": ["attn.out"],
    "attention/layer_norm": ["cross_attn_ln"],
    "attention/linear_0": ["cross_attn.query"],
    "attention/linear_1": ["cross_attn.key", "cross_attn.value"],
    "attention/linear_2": ["cross_attn.out"],
    "ffn/layer_norm": ["mlp_ln"],
    "ffn/linear_0": ["mlp.0"],
    "ffn/linear_1": ["mlp.2"],
}
WHOLE = {
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
}
KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def targets(name: str) -> list[str]:
    """Where openai-whisper keeps the parts of a CTranslate2 variable."""
    if name in WHOLE:
        return [WHOLE[name]]
    side, layer, rest = name.split("/", 2)
    module, kind = rest.rsplit("/", 1)
    block = f"{side}.blocks.{layer.removeprefix('layer_')}"
    return [f"{block}.{part}.{KINDS[kind]}" for part in BLOCK[module]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_whisper(folder)
    return folder


@pytest.mark.parametrize("dtype", ["<f2", "<f4"])
def test_every_tensor_survives_the_round_trip(tmp_path: Path, dtype: str) -> None:
    written = tiny_whisper(tmp_path, dtype)
    model = build(tmp_path, "tiny-test", "cpu")
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, array in written.items():
        parts = [
            state.pop(target) if not target.endswith("key.bias") else np.zeros(64, np.float32)
            for target in targets(name)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), array.astype(np.float32), name)
    assert state == {}, "openai-whisper has weights that the file does not set"


def test_dimensions_are_read_off_the_shapes(folder: Path) -> None:
    assert dimensions(read_variables(folder / "model.bin")) == {
        "n_mels": 80,
        "n_audio_ctx": 1500,
        "n_audio_state": 64,
        "n_audio_head": 1,
        "n_audio_layer": 2,
        "n_vocab": 51865,
        "n_text_ctx": 448,
        "n_text_state": 64,
        "n_text_head": 1,
        "n_text_layer": 2,
    }


def test_a_file_cut_short_anywhere_is_refused(folder: Path, tmp_path: Path) -> None:
    data = (folder / "model.bin").read_bytes()
    cut = tmp_path / "model.bin"
    rng = random.Random(0)
    for size in [0, 1, 3, 4, 17, len(data) - 1, *(rng.randrange(len(data)) for _ in range(20))]:
        cut.write_bytes(data[:size])
        with pytest.raises(WeightsError, match="fetch the model again"):
            read_variables(cut)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    weight = {"a": np.zeros((2, 3), np.float32)}
    good = ctranslate2_file(weight)
    path.write_bytes(good)
    assert list(read_variables(path)) == ["a"]
    wrong = {
        "format version 5": ctranslate2_file(weight, version=5),
        "TransformerSpec": good.replace(b"\x0c\0WhisperSpec\0", b"\x10\0TransformerSpec\0"),
        "1 bytes follow": good + b"!",
        "cannot reshape": good.replace(b"\2\0\0\0\3\0\0\0", b"\2\0\0\0\4\0\0\0"),
    }
    for message, data in wrong.items():
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=message):
            read_variables(path)
    path.write_bytes(good.replace(b"\2\0\0\0\3\0\0\0\0", b"\2\0\0\0\3\0\0\0\5"))  # bfloat16
    with pytest.raises(WeightsError, match="only CTranslate2 reads; convert the model to float16"):
        read_variables(path)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    good = ctranslate2_file({f"v{i}": np.zeros((2, 3), np.float32) for i in range(4)})
    rng = random.Random(1)
    for _ in range(200):
        path.write_bytes(rng.randbytes(rng.randrange(200)))
        with pytest.raises(WeightsError):
            read_variables(path)
    for _ in range(
        500
    ):  # one byte of the frame around the numbers changed: an error of ours or none
        data = bytearray(good)
        data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            read_variables(path)
        except WeightsError:
            continue


def test_missing_and_quantised_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    variables = read_variables(folder / "model.bin")
    name = "decoder/layer_1/attention/linear_1/weight"
    for gone in (name, "encoder/num_heads"):
        rest = {k: v for k, v in variables.items() if k != gone}
        (tmp_path / "model.bin").write_bytes(ctranslate2_file(rest))
        with pytest.raises(WeightsError, match=gone):
            build(tmp_path, "tiny-test", "cpu")
    with pytest.raises(ValueError, match="quantised to int8"):
        openai_state_dict({**variables, name: np.zeros((128, 64), np.int8)})
    wide = {**variables, name: np.zeros((128, 65), np.float16)}
    (tmp_path / "model.bin").write_bytes(ctranslate2_file(wide))
    with pytest.raises(WeightsError, match=r"cross_attn\.key\.weight"):
        build(tmp_path, "tiny-test", "cpu")


def test_unknown_models_and_bad_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    with pytest.raises(
        InputError, match=r"model 'huge' is unknown; choose one of base, .*tiny\.en"
    ):
        load_engine("huge")
    with pytest.raises(InputError, match=r"gone\.pt: no such checkpoint"):
        load_engine(str(tmp_path / "gone.pt"))
    with pytest.raises(WeightsError, match="SPEECHKIT_OFFLINE is set"):
        load_engine("small")
    text, other = tmp_path / "text.pt", tmp_path / "other.pt"
    text.write_text("not a checkpoint at all")
    torch.save({"weights": torch.zeros(3)}, other)
    for path in (text, other):
        with pytest.raises(WeightsError, match="not a Whisper checkpoint"):
            load_engine(str(path), "cpu")


def test_an_official_checkpoint_file_gives_the_same_model(folder: Path, tmp_path: Path) -> None:
    state = openai_state_dict(read_variables(folder / "model.bin"))
    path = tmp_path / "tiny.pt"
    dims = dimensions(read_variables(folder / "model.bin"))
    torch.save({"dims": dims, "model_state_dict": state}, path)
    ours, theirs = OpenAiEngine(build(folder, "tiny-test", "cpu")), load_engine(str(path), "cpu")
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.encode(mel), theirs.encode(mel))
    assert ours.model.state_dict().keys() == theirs.model.state_dict().keys()
