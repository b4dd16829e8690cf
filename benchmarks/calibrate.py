"""Fit the calibration of speaker scores: prints the numbers of `speechkit/speaker/calibration.py`.

    python benchmarks/calibrate.py [FOLDER]     # default: $SPEECHKIT_EVAL

Pairs of recordings of the voices of `voices.py`, none of whom is in a trial of FOLDER/sv. One side is
whole and as it is; the other whole, 3 s or 1 s long, as it is or with noise at 20 to 0 dB. Logistic
regression, both kinds of pairs weighing the same. The threshold comes from all pairs of different
speakers' whole recordings with at least 2 s of speech.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm
from voices import NOISES, RATE, Voices, make_noise, read_voices, speaker_of

import speechkit as sk
from speechkit.augment import add_noise
from speechkit.metrics import cllr, det_curve, min_cllr
from speechkit.speaker.calibration import features
from speechkit.speaker.quality import Quality, measure_quality

LENGTHS = (None, 3.0, 1.0)  # seconds of the second side
LONG_S = 2.0  # of speech
RATIOS = (None, 20.0, 10.0, 5.0, 0.0)  # dB

Side = tuple[str, int]
Sided = tuple[np.ndarray, Quality]


def pairs_of(voices: Voices, draw: random.Random) -> list[tuple[Side, Side, bool]]:
    """Two recordings, and whether they are of one voice."""
    names, pairs = sorted(voices), []
    for name in names:
        count = len(voices[name])
        both = [(i, j) for i in range(count) for j in range(count) if i != j]
        pairs += [((name, i), (name, j), True) for i, j in draw.sample(both, min(12, len(both)))]
        for other in draw.choices([n for n in names if speaker_of(n) != speaker_of(name)], k=5):
            sides = (name, draw.randrange(count)), (other, draw.randrange(len(voices[other])))
            pairs.append((*sides, False))
    return pairs


def degrade(samples: np.ndarray, voices: Voices, draw: random.Random) -> sk.Audio:
    """A stretch of the recording, with noise."""
    length, ratio = draw.choice(LENGTHS), draw.choice(RATIOS)
    if length and len(samples) > length * RATE:
        start = draw.randrange(len(samples) - round(length * RATE))
        samples = samples[start : start + round(length * RATE)]
    audio = sk.Audio(samples, RATE)
    if ratio is None or not np.any(samples):
        return audio
    noise = make_noise(draw.choice(NOISES), voices, draw)
    return add_noise(audio, noise, ratio, seed=draw.randrange(10**6))


def measure(
    voices: Voices, known: dict[Side, Sided], encoder: sk.SpeakerEncoder, draw: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 4) and truths (n,) of the pairs in which somebody speaks on both sides."""
    rows, same = [], []
    for side, (other, j), label in tqdm(pairs_of(voices, draw), unit=" pairs"):
        embedding, quality = known[side]
        audio = degrade(voices[other][j], voices, draw)
        second = measure_quality(audio)
        if min(quality.speech_s, second.speech_s) > 0:
            rows.append(features(float(embedding @ encoder.embed(audio)), quality, second))
            same.append(label)
    return np.array(rows), np.array(same)


def strangers(known: dict[Side, Sided]) -> np.ndarray:
    """Cosines of all pairs of different speakers, whole recordings."""
    sides = [side for side, (_, quality) in known.items() if quality.speech_s >= LONG_S]
    embeddings = np.stack([known[side][0] for side in sides])
    people = np.array([speaker_of(name) for name, _ in sides])
    return (embeddings @ embeddings.T)[np.triu(people[:, None] != people[None])]


def main() -> None:
    """Make the pairs, measure them, fit, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "sv" / "trials_meta.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    voices, draw, encoder = read_voices(folder), random.Random(0), sk.load_speaker_encoder()
    known = {
        (name, i): (encoder.embed((RATE, samples)), measure_quality((RATE, samples)))
        for name, many in tqdm(voices.items(), unit=" voices")
        for i, samples in enumerate(many)
    }
    x, same = measure(voices, known, encoder, draw)
    fitted = LogisticRegression(C=100.0, class_weight="balanced", max_iter=1000).fit(x, same)
    ratios, scores = fitted.decision_function(x), x[:, 0]
    print(f"{len(voices)} voices, {same.sum()} pairs of one and {(~same).sum()} of two")
    for name, values in (("cosine", scores), ("log-likelihood ratio", ratios)):
        eer, best = det_curve(values, same).eer, min_cllr(values, same)
        print(f"{name}: EER {eer:.2%}, Cllr {cllr(values, same):.3f}, at best {best:.3f}")
    clean = strangers(known)
    for rate in (0.05, 0.02, 0.01, 0.005):
        print(f"{rate:.1%} of {len(clean)} pairs of strangers: {np.quantile(clean, 1 - rate):.3f}")
    print("WEIGHTS =", tuple(round(float(w), 2) for w in fitted.coef_[0]))
    print("OFFSET =", round(float(fitted.intercept_[0]), 2))


if __name__ == "__main__":
    main()
