"""Fit the calibration of speaker scores: prints the numbers of `speechkit/speaker/calibration.py`.

    python benchmarks/calibrate.py [FOLDER]     # default: $SPEECHKIT_EVAL

Data: the recordings of FOLDER/asr_en and FOLDER/asr_multi whose speakers are in no trial of FOLDER/sv.
Played faster or slower (0.85, 1, 1.15) a speaker counts as another one, so there are hard pairs from one
microphone. The test side is whole, 3 s or 1 s long, clean or with noise at 20 to 0 dB: white, pink,
brown, or three other voices at once. Logistic regression, both kinds of pairs weighing the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

import speechkit as sk
from speechkit.augment import add_noise, change_speed
from speechkit.metrics import cllr, det_curve, min_cllr
from speechkit.speaker.calibration import features
from speechkit.speaker.quality import measure_quality

RATE = 16_000
SPEEDS = (0.85, 1.0, 1.15)
LENGTHS = (None, 3.0, 1.0)  # seconds of the test side
RATIOS = (None, 20.0, 10.0, 5.0, 0.0)  # dB
MOST = 8  # recordings of a speaker


Pair = tuple[str, int, str, int, bool]


def read(folder: Path) -> dict[str, list[np.ndarray]]:
    """Speaker → recordings, of those who are in no trial."""
    rows = (folder / "sv" / "trials_meta.jsonl").read_text().splitlines()
    trials = [json.loads(row) for row in rows]
    known = {trial[side] for trial in trials for side in ("enrol_spk", "test_spk")}
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for part in ("asr_en", "asr_multi"):
        for line in (folder / part / "manifest.jsonl").read_text().splitlines():
            row = json.loads(line)
            if row["dataset"] == "long" or row["speaker"] in known or "speakers" in row["speaker"]:
                continue
            name = re.sub(r"^asterisk-\w+ ", "", row["speaker"])  # one person in two languages
            if row["duration"] >= 1.2 and len(found[name]) < MOST:
                found[name].append(sk.load_audio(folder / part / row["audio"], RATE).samples)
    return {name: many for name, many in found.items() if many}


def noise_of(kind: str, others: list[np.ndarray], draw: random.Random) -> sk.Audio:
    """20 s of noise."""
    length = 20 * RATE
    if kind == "voices":
        sums = [np.resize(draw.choice(others), length) for _ in range(3)]
        return sk.Audio((np.sum(sums, axis=0) / 3).astype(np.float32), RATE)
    spectrum = np.fft.rfft(np.random.default_rng(draw.randrange(10**6)).standard_normal(length))
    tilt = {"white": 0.0, "pink": 0.5, "brown": 1.0}[kind]
    frequency = np.maximum(np.arange(len(spectrum)), 50.0)
    wave = np.fft.irfft(spectrum / frequency**tilt, length)
    return sk.Audio((0.5 * wave / np.abs(wave).max()).astype(np.float32), RATE)


def pairs_of(
    people: dict[str, list[np.ndarray]], draw: random.Random
) -> list[tuple[str, int, str, int, bool]]:
    """(speaker, recording) on both sides, and whether they are one."""
    names = sorted(people)
    pairs = []
    for name in names:
        count = len(people[name])
        both = [(i, j) for i in range(count) for j in range(count) if i != j]
        pairs += [(name, i, name, j, True) for i, j in draw.sample(both, min(12, len(both)))]
        others = [other for other in names if other != name]
        close = [other for other in others if other.split("*")[0] == name.split("*")[0]]
        for other in draw.choices(close, k=6) + draw.choices(others, k=4):
            j = draw.randrange(len(people[other]))
            pairs.append((name, draw.randrange(count), other, j, False))
    return pairs


def main() -> None:
    """Make the pairs, measure them, fit, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "sv" / "trials_meta.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    draw, encoder = random.Random(0), sk.load_speaker_encoder()
    people = {
        f"{name}*{speed}": [change_speed((RATE, x), speed).samples for x in many]
        for name, many in read(folder).items()
        for speed in SPEEDS
    }
    voices = [x for many in people.values() for x in many]
    pairs = pairs_of(people, draw)
    rows, same = [], []
    enrolled: dict[tuple[str, int], tuple[np.ndarray, object]] = {}
    for name, i, other, j, label in tqdm(pairs, unit=" pairs"):
        if (name, i) not in enrolled:
            audio = sk.Audio(people[name][i], RATE)
            enrolled[name, i] = encoder.embed(audio), measure_quality(audio)
        test = people[other][j]
        length, ratio = draw.choice(LENGTHS), draw.choice(RATIOS)
        if length and len(test) > length * RATE:
            start = draw.randrange(len(test) - round(length * RATE))
            test = test[start : start + round(length * RATE)]
        audio = sk.Audio(test, RATE)
        if ratio is not None and np.ptp(test) > 0.01:
            noise = noise_of(draw.choice(("white", "pink", "brown", "voices")), voices, draw)
            audio = add_noise(audio, noise, ratio, seed=draw.randrange(10**6))
        left, quality = enrolled[name, i]
        score = float(left @ encoder.embed(audio))
        rows.append(features(score, quality, measure_quality(audio)))
        same.append(label)
    x, y = np.array(rows), np.array(same)
    fitted = LogisticRegression(C=100.0, class_weight="balanced", max_iter=1000).fit(x, y)
    ratios = fitted.decision_function(x)
    curve = det_curve(x[:, 0], y)
    print(f"{len(people)} voices, {y.sum()} pairs of one and {(~y).sum()} of two")
    print(f"cosine: EER {curve.eer:.2%}, minCllr {min_cllr(x[:, 0], y):.3f}")
    print(f"log-likelihood ratio: EER {det_curve(ratios, y).eer:.2%}, Cllr {cllr(ratios, y):.3f}")
    for rate in (0.05, 0.02, 0.01, 0.005):
        at = curve.threshold_at(rate)
        print(
            f"cosine {at:.3f}: {rate:.1%} of strangers accepted, {(x[y, 0] < at).mean():.1%} rejected"
        )
    print("WEIGHTS =", tuple(round(float(w), 4) for w in fitted.coef_[0]))
    print("OFFSET =", round(float(fitted.intercept_[0]), 4))


if __name__ == "__main__":
    main()
