"""What is not believed: loops, doubt, and words where nobody speaks.

Text that zlib packs too well repeats itself, and a low mean log-probability is doubt: measures and
bounds of openai-whisper (Radford et al. 2022, §4.5). More letters than the detected speech has time
for were not said.
"""

from __future__ import annotations

import zlib

from speechkit.asr.engine import Hypothesis

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # the last five draw
MAX_COMPRESSION_RATIO = 2.4
MIN_LOG_PROBABILITY = -1.0
MAX_NO_SPEECH = 0.6
CLEAR_SPEECH = 0.95  # the detector's peak in a window; in recorded utterances it is above 0.99
MIN_LOG_PROBABILITY_IF_UNCLEAR = -0.5
MAX_LETTERS_PER_S = 25.0  # nobody speaks faster; read speech in six languages stays below 18

SILENCE, REPETITION = "no speech", "repetition"
TOO_MUCH, DOUBT = "more than can be said in the time", "low confidence"


def compression_ratio(text: str) -> float:
    """How many times smaller zlib makes the text; 0 for none."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def is_silence(hypothesis: Hypothesis, peak: float) -> bool:
    """Whether nobody speaks: the model doubts the speech and its words, or the detector and its words.

    `peak` is the window's highest probability of speech.
    """
    doubted = hypothesis.no_speech_probability > MAX_NO_SPEECH
    return (doubted and hypothesis.mean_log_probability < MIN_LOG_PROBABILITY) or (
        peak < CLEAR_SPEECH and hypothesis.mean_log_probability < MIN_LOG_PROBABILITY_IF_UNCLEAR
    )


def fault(hypothesis: Hypothesis, text: str, speech_s: float) -> str | None:
    """Why the text is not believed, for `speech_s` seconds of detected speech; None when it is."""
    if compression_ratio(text) > MAX_COMPRESSION_RATIO:
        return REPETITION
    if sum(map(str.isalnum, text)) > MAX_LETTERS_PER_S * (speech_s + 0.3):
        return TOO_MUCH
    if hypothesis.mean_log_probability < MIN_LOG_PROBABILITY:
        return DOUBT
    return None
