"""How often the speaker threshold errs, on the trials of an evaluation folder.

    python benchmarks/speakers.py [FOLDER]     # default: $SPEECHKIT_EVAL

FOLDER/sv/trials.txt has a line "label enrol test" per trial (1: one person), paths relative to sv/.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

import speechkit as sk
from speechkit.speaker import similarity

THRESHOLDS = (0.25, 0.30, 0.36, 0.40)


def main() -> None:
    """Embed every recording once, score every trial, print the errors."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SPEECHKIT_EVAL", "")
    trials_file = Path(folder) / "sv" / "trials.txt"
    if not folder or not trials_file.is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    trials = [line.split() for line in trials_file.read_text().splitlines() if line]
    encoder = sk.load_speaker_encoder()
    names = sorted({name for _, *pair in trials for name in pair})
    voices = {name: encoder.embed(trials_file.parent / name) for name in names}
    same = np.array([label == "1" for label, *_ in trials])
    scores = np.array([similarity(voices[a], voices[b]) for _, a, b in trials])

    def errors(threshold: float) -> tuple[float, float]:
        """Shares of strangers accepted and of true speakers rejected."""
        accepted = scores >= threshold
        return float(accepted[~same].mean()), float((~accepted)[same].mean())

    print(f"{len(trials)} trials, {same.sum()} of one person; {len(names)} recordings")
    print("threshold  strangers accepted  speakers rejected")
    for threshold in THRESHOLDS:
        accepted, rejected = errors(threshold)
        print(f"{threshold:9.2f} {accepted:19.1%} {rejected:18.1%}")
    equal = min(scores, key=lambda score: abs(np.subtract(*errors(score))))
    print(f"equal error rate {np.mean(errors(equal)):.1%}, at {equal:.3f}")


if __name__ == "__main__":
    main()
