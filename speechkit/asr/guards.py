"""What is not believed: loops, doubt, and words where nobody speaks.

The measures and their bounds are openai-whisper's (Radford et al. 2022, §4.5): text that zlib packs
too well repeats itself, and a low mean log-probability is doubt.
"""

from __future__ import annotations

import zlib

from speechkit.asr.engine import Hypothesis

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # the last five draw
MAX_COMPRESSION_RATIO = 2.4
MIN_LOG_PROBABILITY = -1.0
MAX_NO_SPEECH = 0.6


def compression_ratio(text: str) -> float:
    """How many times smaller zlib makes the text; 0 for none."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def is_silence(hypothesis: Hypothesis) -> bool:
    """Whether the model itself doubts that there is speech, and its words."""
    return (
        hypothesis.no_speech_probability > MAX_NO_SPEECH
        and hypothesis.mean_log_probability < MIN_LOG_PROBABILITY
    )


def fault(hypothesis: Hypothesis, text: str) -> str | None:
    """Why the text is not believed: "repetition", "low confidence"; None when it is."""
    if compression_ratio(text) > MAX_COMPRESSION_RATIO:
        return "repetition"
    if hypothesis.mean_log_probability < MIN_LOG_PROBABILITY:
        return "low confidence"
    return None
