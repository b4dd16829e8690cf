"""The values of SSML's attributes: lengths of breaks, rates and volumes of prosody."""

from __future__ import annotations

import math
import re

from speechkit.errors import InputError

MAX_BREAK_S = 60.0  # of one pause
RATES = (0.25, 4.0)  # what nested changes of rate are limited to
MAX_VOLUME_DB = 20.0

_BREAKS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.8, "x-strong": 1.2}
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "fast": 1.5, "x-fast": 2.0, "default": 1.0}
_VOLUMES = {
    "silent": -math.inf,
    "x-soft": -12.0,
    "soft": -6.0,
    "medium": 0.0,
    "loud": 3.0,
    "x-loud": 6.0,
    "default": 0.0,
}
_NUMBER = r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})"
_TIME = re.compile(rf"\+?{_NUMBER}(ms|s)")
_CHANGE = re.compile(rf"([+-]?){_NUMBER}(%?)")
_DECIBELS = re.compile(rf"([+-]?){_NUMBER}dB", re.IGNORECASE)


def break_seconds(given: dict[str, str]) -> float:
    """How long the break with these attributes is; the time goes before the strength.

    Raises:
        InputError: neither is as SSML has it.
    """
    if "time" in given:
        found = _TIME.fullmatch(given["time"])
        if not found:
            raise InputError(f"break time={given['time'][:40]!r}; write it as 500ms or 1.5s")
        seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    else:
        seconds = _choice("break strength", given.get("strength", "medium"), _BREAKS)
    return min(seconds, MAX_BREAK_S)


def _choice(what: str, value: str, known: dict[str, float]) -> float:
    if value not in known:
        raise InputError(f"{what}={value[:40]!r}; choose {', '.join(known)}")
    return known[value]


def rate_factor(value: str) -> float:
    """The factor of the speed that `value` asks for: a word, 80%, +20% or 0.8.

    Raises:
        InputError: it is none of these, or not above 0.
    """
    if value in _RATES:
        return _RATES[value]
    found = _CHANGE.fullmatch(value)
    factor = _factor(found, 100.0 if found[3] else 1.0) if found else 0.0
    if factor <= 0:
        raise InputError(
            f"prosody rate={value[:40]!r}; choose {', '.join(_RATES)}, "
            "or write it as 80%, +20% or 0.8, above 0"
        )
    return factor


def decibels(value: str) -> float:
    """The decibels that `value` asks for: a word, +6dB, or a part of the full volume of 100.

    Raises:
        InputError: it is none of these.
    """
    if value in _VOLUMES:
        return _VOLUMES[value]
    if found := _DECIBELS.fullmatch(value):
        return float(found[1] + found[2])
    if not (found := _CHANGE.fullmatch(value)):
        raise InputError(
            f"prosody volume={value[:40]!r}; choose {', '.join(_VOLUMES)}, "
            "or write it as +6dB, -3dB or 50%"
        )
    factor = _factor(found, 100.0)
    return 20 * math.log10(factor) if factor > 0 else -math.inf


def _factor(change: re.Match[str], whole: float) -> float:
    """The factor that a number stands for: alone it is a part of `whole`, with a sign a change."""
    number = float(change[1] + change[2]) / whole
    return 1 + number if change[1] else number
