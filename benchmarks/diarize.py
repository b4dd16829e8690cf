"""Who spoke when: `diarize` beside a plain baseline, on FOLDER/diar.

    python benchmarks/diarize.py [FOLDER]     # default: $SPEECHKIT_EVAL

The baseline has the same detector, network and clustering library: speech as the detector gives it, cut
into pieces of 1.5 s, average-linkage clusters at speechbrain's threshold.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from der import PARTS, DiarizationScore
from sklearn.cluster import AgglomerativeClustering

import speechkit as sk
from speechkit.speaker import read_rttm

RATE = 16_000
PIECE_S, LEAST_S, THRESHOLD = 1.5, 0.3, 0.25


def baseline(audio: sk.Audio, encoder: sk.SpeakerEncoder, speakers: int | None) -> list[sk.Turn]:
    """Fixed pieces and clusters."""
    pieces: list[tuple[float, float]] = []
    for stretch in sk.detect_speech(audio):
        count = max(1, round((stretch.end - stretch.start) / PIECE_S))
        edges = np.linspace(stretch.start, stretch.end, count + 1)
        pieces += pairwise(edges.tolist())
    pieces = [(a, b) for a, b in pieces if b - a >= LEAST_S]
    if len(pieces) < 2:
        return [sk.Turn(a, b, "0") for a, b in pieces]
    samples = [audio.samples[round(a * RATE) : round(b * RATE)] for a, b in pieces]
    embeddings = encoder.embed_many([(RATE, part) for part in samples])
    labels = AgglomerativeClustering(
        n_clusters=min(speakers, len(pieces)) if speakers else None,
        distance_threshold=None if speakers else 1 - THRESHOLD,
        metric="cosine",
        linkage="average",
    ).fit_predict(embeddings)
    return [sk.Turn(a, b, str(label)) for (a, b), label in zip(pieces, labels, strict=True)]


def ours(audio: sk.Audio, encoder: sk.SpeakerEncoder, speakers: int | None) -> list[sk.Turn]:
    """`sk.diarize`."""
    return sk.diarize(audio, speakers=speakers, encoder=encoder)


def overlap(turns: list[sk.Turn], seconds: float) -> np.ndarray:
    """Whether two voices speak, for each 10 ms."""
    grid = np.arange(0, seconds, 0.01)
    speaking = [(turn.start <= grid) & (grid < turn.end) for turn in turns]
    return np.sum([np.zeros(len(grid)), *speaking], axis=0) > 1


def measure_diarization(folder: Path) -> dict[str, Any]:
    """Errors in percent by system, by set and in all; seconds of work by seconds of audio."""
    lines = (folder / "diar" / "manifest.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    encoder, table = sk.load_speaker_encoder(), {}
    encoder.warm_up()
    for name, system in (("speechkit", ours), ("baseline", baseline)):
        for given in (False, True):
            scores: dict[str, DiarizationScore] = {}
            both = np.zeros(3)  # hundredths of a second: true, found, rightly found
            start = time.perf_counter()
            for row in rows:
                audio = sk.load_audio(folder / "diar" / row["audio"], RATE)
                turns = system(audio, encoder, row["n_speakers"] if given else None)
                truth = read_rttm(folder / "diar" / row["rttm"])
                for group in ("all", row["dataset"]):
                    score = scores.setdefault(group, DiarizationScore())
                    score.add(truth, turns, audio.duration)
                real, found = overlap(truth, audio.duration), overlap(turns, audio.duration)
                both += real.sum(), found.sum(), (real & found).sum()
            seconds = time.perf_counter() - start
            entry: dict[str, Any] = {
                group: {"der": score.rate()} | {part: score.rate(part) for part in PARTS}
                for group, score in scores.items()
            }
            entry["overlap"] = {
                "seconds": both[0] / 100,
                "recall": 100 * both[2] / both[0],
                "precision": 100 * both[2] / both[1] if both[1] else None,
            }
            entry["time"] = seconds / sum(row["duration"] for row in rows)
            table[name + (", number given" if given else "")] = entry
    return table


def show(table: dict[str, Any]) -> None:
    """One line for each system and set."""
    for name, entry in table.items():
        print(f"{name}: {entry['time']:.3f} of the recordings' time")
        for group, errors in entry.items():
            if group == "overlap":
                print(
                    f"  {errors['seconds']:.1f} s of two voices: {errors['recall']:.0f} % found",
                    end="",
                )
                rightly = errors["precision"]
                print("" if rightly is None else f", {rightly:.0f} % of what was found is right")
            elif group != "time":
                parts = ", ".join(f"{part} {errors[part]:.1f}" for part in PARTS)
                print(f"  {group:16} DER {errors['der']:5.1f} % ({parts})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "diar" / "manifest.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    show(measure_diarization(folder))


if __name__ == "__main__":
    main()
