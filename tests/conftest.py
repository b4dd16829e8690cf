"""Fixtures that several test modules share."""

import os
import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

os.environ["QUICK"] = "1"  # before a recipe is imported
import common


@pytest.fixture(scope="session")
def eval_dir() -> Path:
    """The folder of evaluation speech: SPEECHKIT_EVAL, else ../shared/speech; skips without it."""
    if not (common.EVAL / "asr_en" / "manifest.jsonl").is_file():
        pytest.skip(f"no evaluation speech in {common.EVAL}; set SPEECHKIT_EVAL")
    return common.EVAL


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Callable[[str], dict[str, Any]]:
    """Runs a recipe's quick mode, once, by its name without number; gives its global variables."""
    common.OUT = tmp_path_factory.mktemp("recipes")

    @cache
    def run(name: str) -> dict[str, Any]:
        [path] = common.HERE.glob(f"[0-9][0-9]_{name}.py")
        return runpy.run_path(str(path), run_name="__main__")

    return run


@pytest.fixture(scope="session")
def asr():
    """Whisper base on the real weights, loaded once."""
    from speechkit import load_asr

    return load_asr("base")


@pytest.fixture(scope="session")
def voice():
    """The VITS voice on the real weights, loaded once."""
    from speechkit import load_tts

    return load_tts()


@pytest.fixture(scope="session")
def encoder():
    """ECAPA-TDNN on the real weights, loaded once."""
    from speechkit import load_speaker_encoder

    return load_speaker_encoder()


@pytest.fixture
def loaded(asr, voice, encoder, monkeypatch):
    """What loads a model by itself gets the one of this session, whatever it asks for."""
    for module in ("asr", "pipeline"):
        monkeypatch.setattr(f"speechkit.{module}.load_asr", lambda *_, **__: asr)
    for module in ("tts", "pipeline"):
        monkeypatch.setattr(f"speechkit.{module}.load_tts", lambda *_, **__: voice)
    for module in ("speaker", "speaker.book", "pipeline"):
        monkeypatch.setattr(f"speechkit.{module}.load_speaker_encoder", lambda *_, **__: encoder)


@pytest.fixture
def amplitude_detector(monkeypatch):
    """Recognition takes the largest sample of a frame for the probability of speech."""
    from scripted_asr import AmplitudeDetector

    monkeypatch.setattr("speechkit.asr.windows.SpeechDetector", AmplitudeDetector)
