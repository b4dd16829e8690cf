"""How recognition holds up in noise and in rooms; `speaker.py` says it of verification.

    python benchmarks/robustness.py [FOLDER] [--every N]     # default: $SPEECHKIT_EVAL

The utterances of FOLDER/asr_en, with the noises and rooms of FOLDER/noise as `speaker.py` draws them.
Word error rate of the default engine, beam and model.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import asr as bench
from speaker import degrade, read_surroundings

import speechkit as sk

NAMES = ("clean", "20 dB", "10 dB", "5 dB", "0 dB", "room")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    parser.add_argument("--every", type=int, default=4, help="take each Nth recording only")
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "asr_en" / "manifest.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    rows = bench.read(folder / "asr_en", args.every)
    rows = [row for row in rows if row["dataset"] not in ("long", "an4")]
    around, recogniser = read_surroundings(folder), sk.load_asr("base")
    print(f"{len(rows)} utterances\ncondition   WER, %")
    for name in NAMES:
        heard = [degrade(row["audio"], row["samples"], name, around) for row in rows]
        found = recogniser.transcribe_many([(bench.RATE, x) for x in heard], language="en")
        texts = [transcript.text for transcript in found]
        print(f"{name:8} {bench.error_rate(rows, texts, False):9.1f}", flush=True)


if __name__ == "__main__":
    main()
