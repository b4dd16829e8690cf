"""From a score to a log-likelihood ratio that knows how long and how noisy both recordings are.

A cosine of 0.4 says much between two short or noisy recordings, and little between two long clean ones.
The ratio is linear in the score and in what the two recordings say about themselves (quality measures;
Mandasari et al. 2013), fitted by logistic regression: `benchmarks/calibrate.py` names the data.
"""

from __future__ import annotations

import math

from speechkit.errors import InputError
from speechkit.speaker.quality import Quality

WEIGHTS = (17.61, -0.06, -0.12, -0.97)
OFFSET = -3.16
LONG_S = 10.0  # more speech than this changes nothing
CLEAN_DB = 30.0  # nor does less noise


def log_ratio(score: float, a: Quality, b: Quality) -> float:
    """Natural logarithm of P(score | one speaker) / P(score | two), for a cosine of two recordings.

    0, which says nothing, when nobody speaks in one of them.
    """
    if not min(a.speech_s, b.speech_s):
        return 0.0
    return OFFSET + sum(w * x for w, x in zip(WEIGHTS, features(score, a, b), strict=True))


def features(score: float, a: Quality, b: Quality) -> tuple[float, ...]:
    """What the ratio is linear in: the score, both sides' speech, the worse side's noise."""
    seconds = sorted(math.log(min(max(q.speech_s, 0.3), LONG_S)) for q in (a, b))
    noise = min(max(min(q.snr_db, CLEAN_DB), 0.0) for q in (a, b)) / 10
    return (score, seconds[0], seconds[1], noise)


def probability(ratio: float, prior: float = 0.5) -> float:
    """Of one speaker, given how likely that was before (`prior`, 0 to 1 exclusive; else InputError)."""
    if not 0 < prior < 1:
        raise InputError(f"prior is {prior}; give a probability between 0 and 1")
    logit = ratio + math.log(prior / (1 - prior))
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
