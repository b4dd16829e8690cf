"""How long a spoken turn takes, stage by stage, and how long the package takes to start.

    python benchmarks/turn.py [QUESTION]

Each figure is the minimum and the median of several runs: the machine's other work only ever adds
time, so the minimum is what the code costs. The question is a recording, or one the voice speaks.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import speechkit as sk

RUNS = 5


def seconds(command: list[str]) -> list[float]:
    """Wall-clock seconds of each of several runs of a command."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times


def show(name: str, times: list[float]) -> None:
    """One line of the table."""
    print(f"{name:28} {min(times):8.3f} {statistics.median(times):8.3f}")


def main() -> None:
    """Measure and print the table."""
    print(f"{'seconds, of ' + str(RUNS) + ' runs':28} {'minimum':>8} {'median':>8}")
    show("import speechkit", seconds([sys.executable, "-c", "import speechkit"]))
    show("python alone", seconds([sys.executable, "-c", ""]))
    show("speechkit --help", seconds([sys.executable, "-m", "speechkit.cli", "--help"]))

    kit = sk.Pipeline()
    if len(sys.argv) > 1:
        question: sk.Audio = sk.load_audio(sys.argv[1])
    else:
        question = kit.voice.synthesize("Hello! Can you hear what I say?")
    first = kit.talk(question)
    turns = [kit.talk(question) for _ in range(RUNS)]
    print(f"question {question.duration:.1f} s, reply {first.audio.duration:.1f} s")
    for stage in first.timings:
        show(stage, [turn.timings[stage] for turn in turns])
    print(
        f"{'first turn, without loading':28} {sum(first.timings.values()) - first.timings['load']:8.3f}"
    )


if __name__ == "__main__":
    main()
