"""What it costs in words, and saves in time, to encode less than Whisper's 30 s.

    python benchmarks/margin.py [FOLDER] [--every N]     # default: $SPEECHKIT_EVAL

The utterances of FOLDER/asr_en, each alone, while the encoder sees at least so many seconds.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import asr as bench

import speechkit as sk
from speechkit.asr import reader

SHORTEST_S = (3.0, 5.0, 8.0, 30.0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    parser.add_argument("--every", type=int, default=1, help="take each Nth recording only")
    args = parser.parse_args()
    folder = Path(args.folder) / "asr_en"
    if not args.folder or not (folder / "manifest.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    rows = bench.read(folder, args.every)
    rows = [row for row in rows if row["dataset"] not in ("long", "an4")]
    recogniser = sk.load_asr("base")
    recogniser.warm_up()
    texts: dict[float, list[str]] = {shortest: [] for shortest in SHORTEST_S}
    seconds = dict.fromkeys(SHORTEST_S, 0.0)
    for row in rows:
        for shortest in SHORTEST_S:
            reader.SHORTEST_S = shortest
            start = time.perf_counter()
            transcript = recogniser.transcribe((bench.RATE, row["samples"]), language="en")
            seconds[shortest] += time.perf_counter() - start
            texts[shortest].append(transcript.text)
    print(f"{len(rows)} utterances\nencoded at least   WER, %   time beside 30 s")
    for shortest in SHORTEST_S:
        error = bench.error_rate([{**row, "lang": "en"} for row in rows], texts[shortest], False)
        print(f"{shortest:14.0f} s {error:8.2f} {seconds[shortest] / seconds[30.0]:14.2f}")


if __name__ == "__main__":
    main()
