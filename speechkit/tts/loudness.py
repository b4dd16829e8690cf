"""Loudness as ITU-R BS.1770 measures it, and peaks that stay below full scale."""

from __future__ import annotations

import numpy as np

from speechkit.tts.engine import Samples

KNEE = 0.8  # amplitude from which peaks are rounded off
BLOCK_S = 0.4  # the standard's blocks; shorter sounds are filled up


def measure_loudness(samples: Samples, sample_rate: int) -> float:
    """Integrated loudness in LUFS (-inf for silence)."""
    import pyloudnorm

    short = round(BLOCK_S * sample_rate) + 1 - len(samples)
    if short > 0:
        samples = np.pad(samples, (0, short))
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(samples.astype(np.float64)))


def limit(samples: Samples) -> Samples:
    """Amplitudes above `KNEE` bent below 1, each sample by itself, so chunks can be joined."""
    over = (np.abs(samples) - KNEE) / (1 - KNEE)
    bent = np.sign(samples) * (KNEE + (1 - KNEE) * np.tanh(np.maximum(over, 0)))
    return np.where(over > 0, bent, samples).astype(np.float32)
