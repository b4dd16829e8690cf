"""What a recording says about itself: how much speech, how loud, over what noise, clipped or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speechkit.audio import AudioSource, load_audio
from speechkit.errors import AudioError
from speechkit.vad import (
    FRAME,
    FRAME_S,
    SAMPLE_RATE,
    SPEECH,
    Probabilities,
    SpeechDetector,
    speech_frames,
)

FLOOR = 1e-10  # power (-100 dB) below which a frame counts as silence
CLIPPED = 0.99  # of full scale: a sample that the recorder could not hold
MIN_ENROL_S = 1.0  # of speech, for a recording that is to be remembered
MIN_LEVEL_DB = -60.0
MAX_CLIPPED = 0.01
MIN_PAUSE = 3  # frames, about 0.1 s


@dataclass(frozen=True)
class Quality:
    """How good a recording is.

    Attributes:
        speech_s: seconds of detected speech.
        level_db: of the speech, below full scale; -100 without any.
        snr_db: of the speech over the rest, -10 to 60; 60 where the quietest tenth
            is silent, 0 without speech.
        clipped: share of the samples in speech that are cut off at full scale, 0 to 1.
    """

    speech_s: float
    level_db: float
    snr_db: float
    clipped: float


def measure_quality(source: AudioSource) -> Quality:
    """Measure a recording, as `load_audio` takes it.

    The signal-to-noise ratio compares the mean power of speech frames, less the noise's, with the
    quietest tenth of all frames: it needs no pause, and is an estimate.

    Raises:
        AudioError: audio that can't be read.
    """
    audio = load_audio(source, SAMPLE_RATE)
    detector = SpeechDetector()
    probabilities = np.concatenate([detector.feed(audio.samples), detector.finish()])
    return _quality(audio.samples, probabilities)


def _quality(samples: np.ndarray, probabilities: Probabilities) -> Quality:
    speech = np.zeros(len(probabilities), bool)
    for start, end in speech_frames(probabilities, SPEECH, MIN_PAUSE):
        speech[start:end] = True
    padded = np.pad(samples, (0, len(speech) * FRAME - len(samples))).reshape(-1, FRAME)
    power = np.square(padded, dtype=np.float64).mean(axis=1)
    if not speech.any():
        return Quality(0.0, 10 * np.log10(FLOOR), 0.0, 0.0)
    loud = power[speech].mean()
    noise = max(float(np.quantile(power, 0.1)), FLOOR)
    snr = 10 * np.log10(max(loud - noise, FLOOR) / noise)
    return Quality(
        speech_s=float(speech.sum()) * FRAME_S,
        level_db=float(10 * np.log10(max(loud, FLOOR))),
        snr_db=float(np.clip(snr, -10.0, 60.0)),
        clipped=float((np.abs(padded[speech]) >= CLIPPED).mean()),
    )


def check_enrolment(source: AudioSource, name: str) -> Quality:
    """The quality of a recording that a voice is to be remembered by; `name` is for the error.

    Raises:
        AudioError: audio that can't be read, with less than 1 s of speech, too soft, or clipped.
    """
    quality = measure_quality(source)
    if quality.speech_s < MIN_ENROL_S:
        raise AudioError(
            f"{name}: {quality.speech_s:.2f} s of speech in it; record at least {MIN_ENROL_S:g} s, "
            "better 5 s, of one voice"
        )
    if quality.level_db < MIN_LEVEL_DB:
        raise AudioError(
            f"{name}: the speech is at {quality.level_db:.0f} dB; record again closer to the microphone"
        )
    if quality.clipped > MAX_CLIPPED:
        raise AudioError(
            f"{name}: {quality.clipped:.0%} of the samples are clipped; record again, further away"
        )
    return quality
