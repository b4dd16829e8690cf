"""Examine the installation: each part works, or the line that mends it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from speechkit import __version__, hub, runtime
from speechkit.errors import SpeechkitError

_PACKAGES = (
    "numpy",
    "torch",
    "torchaudio",
    "torchcodec",
    "openai-whisper",
    "coqui-tts",
    "speechbrain",
    "soundfile",
    "av",
    "soxr",
    "onnx",
    "espeakng-loader",
    "huggingface_hub",
    "filelock",
    "tqdm",
    "gradio",
)
_PIP = f"{sys.executable} -m pip install --upgrade --force-reinstall"
_TORCH = f"{_PIP} 'torch>=2.6,<2.15' torchaudio torchcodec"
_NEEDED = ("base", "en_US-joe-medium", "spkrec-ecapa-voxceleb")  # what one spoken turn uses


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        ok: whether it works.
        detail: what was found.
        mend: the command that mends it, or "".
    """

    name: str
    ok: bool
    detail: str
    mend: str = ""


def examine() -> list[Finding]:
    """Look at everything that one spoken turn needs; takes some seconds."""
    findings = [
        Finding("speechkit", True, f"{__version__} on Python {platform.python_version()}"),
        *(_package(name) for name in _PACKAGES),
        _try("torch pair", _torch_pair, _TORCH),
        _try("whisper", _whisper, f"{_PIP} openai-whisper"),
        _try("vits", _vits, f"{_PIP} coqui-tts six torchcodec"),
        _try("ecapa", _ecapa, f"{_PIP} speechbrain"),
        _try("device", _device, _TORCH),
        _try("threads", _threads, "unset SPEECHKIT_THREADS"),
        _try("decoders", _decoders, f"{_PIP} soundfile av"),
        _try("phonemes", _phonemes, f"{_PIP} espeakng-loader"),
        _try("folder", _folder, "export SPEECHKIT_HOME=/a/folder/you/can/write/to"),
    ]
    return findings + [_weights(row) for row in hub.status()]


def _try(name: str, check: Callable[[], str], mend: str) -> Finding:
    try:
        return Finding(name, True, check())
    except Exception as e:  # a broken package raises anything, and the doctor must go on
        return Finding(name, False, " ".join(f"{type(e).__name__}: {e}".split()), mend)


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", f"{sys.executable} -m pip install {name}")


def _torch_pair() -> str:
    import torch
    import torchaudio  # fails here when it was built for another CUDA than torch

    return f"torch {torch.__version__} and torchaudio {torchaudio.__version__} work together"


def _whisper() -> str:
    from whisper.model import Whisper

    return f"{Whisper.__name__} can be imported"


def _vits() -> str:
    from TTS.tts.models.vits import Vits

    return f"{Vits.__name__} can be imported"


def _ecapa() -> str:
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    return f"{ECAPA_TDNN.__name__} can be imported"


def _device() -> str:
    import torch

    fault = runtime.cuda_fault()
    return f"cpu ({fault})" if fault else f"cuda ({torch.cuda.get_device_name()})"


def _threads() -> str:
    return str(runtime.threads())


def _decoders() -> str:
    import av
    import soundfile

    missing = [codec for codec in ("aac", "opus", "vorbis") if codec not in av.codecs_available]
    if missing:
        raise SpeechkitError(f"PyAV's libraries lack {', '.join(missing)}")
    return f"libsndfile {soundfile.__libsndfile_version__}, PyAV {av.__version__}"


def _phonemes() -> str:
    from speechkit.tts.phonemes import espeak, phonemize

    if not phonemize("yes", "en-us"):
        raise SpeechkitError("espeak-ng finds no phonemes in 'yes'")
    return f"espeak-ng {espeak().version}"


def _folder() -> str:
    folder = hub.home()
    probe: Path = folder / ".doctor"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError:
        if any(hub.verify(name) for name in _NEEDED):
            raise
        return f"{folder} is read-only: what is there works, but no voice can be enrolled"
    return str(folder)


def _weights(row: hub.Status) -> Finding:
    ok = row.state == "verified" or (row.state == "absent" and row.name not in _NEEDED)
    mend = "" if ok else f"speechkit models fetch {row.name}"
    return Finding(row.name, ok, f"{row.state}, {row.size / 1e6:.0f} MB", mend)
