"""A long conversation with the voice loop: whether memory, threads and files stay as they are.

    python benchmarks/session.py [FOLDER] [--hours 2] [--speed N] [--json OUT.json]
                                                                        # default: $SPEECHKIT_EVAL

The utterances of FOLDER/asr_en are asked one after the other, each followed by silence until the
`Tutor`'s reply has been heard. Audio is fed as fast as the models keep up, with partial texts every
5 s only, so that two hours take some minutes. With --speed it is fed at so many times its own speed,
whether the models keep up or not; that shows gaps within a reply.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import processor
from tqdm import tqdm

import speechkit as sk
from speechkit.loop import TurnDone, TurnTaking, VoiceLoop

RATE, PIECE = 16_000, 1600  # Hz; samples that are fed at once
EVERY_S = 600.0  # of the conversation, between two looks


def look() -> dict[str, int]:
    """MiB in memory, threads and open files of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory_mib": pages * os.sysconf("SC_PAGE_SIZE") >> 20,
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def converse(folder: Path, hours: float, speed: float | None) -> dict[str, Any]:
    """The conversation, and what was seen every ten minutes of it."""
    rows = map(json.loads, (folder / "asr_en" / "manifest.jsonl").read_text().splitlines())
    files = [folder / "asr_en" / row["audio"] for row in rows if row["dataset"] != "long"]
    before, seen, turns, began = look(), [], 0, time.perf_counter()
    silence = np.zeros(PIECE, np.float32)
    heard_s, bar = 0.0, tqdm(total=round(hours * 3600), unit=" s", mininterval=5)
    taking = TurnTaking() if speed else TurnTaking(step=5.0)
    with VoiceLoop(sk.Pipeline(respond=sk.Tutor()), turn_taking=taking) as loop:
        loop.warm_up()
        start = time.perf_counter()
        for file in cycle(files):
            if heard_s >= hours * 3600:
                break
            samples = np.append(sk.load_audio(file, RATE).samples, np.zeros(RATE, np.float32))
            at = 0
            while at < len(samples) or loop.state != "idle":
                piece = samples[at : at + PIECE] if at < len(samples) else silence
                at += PIECE
                events = loop.feed((RATE, piece))
                if speed:
                    due = start + heard_s / speed
                    time.sleep(max(0.0, due - time.perf_counter()))
                else:
                    events += loop.settle()
                turns += sum(isinstance(event, TurnDone) for event in events)
                heard_s += PIECE / RATE
                bar.update(round(heard_s) - bar.n)
                if heard_s >= EVERY_S * (len(seen) + 1):
                    seen.append(look())
        underruns = loop.underruns
    bar.close()
    after = look()
    took_s = time.perf_counter() - began
    return {"turns": turns, "heard_s": heard_s, "took_s": took_s, "underruns": underruns,
            "before": before, "seen": seen, "after": after}  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--speed", type=float)
    parser.add_argument("--json", type=Path, default=Path("out/session.json"))
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "asr_en" / "manifest.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    result = converse(folder, args.hours, args.speed)
    result |= {"date": date.today().isoformat(), "machine": processor()}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['machine']}, {result['date']}: {result['turns']} turns, ", end="")
    print(f"{result['heard_s'] / 3600:.2f} h of conversation in {result['took_s']:.0f} s, ", end="")
    print(f"gaps within replies: {result['underruns']}")
    for name, found in [("before", result["before"]), *enumerate(result["seen"], 1),
                        ("closed", result["after"])]:  # fmt: skip
        at = f"{name * EVERY_S / 60:.0f} min" if isinstance(name, int) else name
        print(f"{at:>8}: " + ", ".join(f"{key} {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
