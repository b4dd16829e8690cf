"""How long a speaker waits for the reply: the voice loop beside a plain one, on real recordings.

    python benchmarks/loop.py [FOLDER] [--every N] [--json OUT.json]     # default: $SPEECHKIT_EVAL

The utterances of FOLDER/asr_en are fed at their own speed, each followed by silence until the reply
begins. Speech ends where the detector finds it in the whole recording. A turn that is decided to have
ended before that is cut off: inside a sentence, unless Whisper, given the whole recording, ends a
sentence at the same word. Both loops answer by the `Tutor`.

The plain loop ends a turn at the first silence of the length that ends our turns when the words sound
finished, whatever was said; then faster-whisper recognises (int8, beam 5, as it comes), and piper-tts
speaks with the same voice. Its work begins when the turn has ended, so it is timed by itself, right
after the other's turn.

At last somebody speaks during the reply: the time to the softer and to the stopped reply, the latter
also from confirmed speech on, which is when the detector has heard `TurnTaking.confirm` seconds of it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import processor
from tqdm import tqdm

import speechkit as sk
from speechkit import hub
from speechkit.loop import Ducked, FinalText, Interrupted, ReplyAudio, TurnTaking, VoiceLoop
from speechkit.loop.interruption import Interruption
from speechkit.runtime import threads
from speechkit.vad import FRAME_S, SPEECH, SpeechDetector

RATE = 16_000
PIECE_S, MOST_S = 0.1, 15.0  # of a piece; of silence until the reply is given up
LEFT_OUT = ("an4", "long")
Row = dict[str, Any]


def read(folder: Path, every: int) -> list[Row]:
    """The utterances, with their samples and the second at which speech ends."""
    rows = [json.loads(x) for x in (folder / "asr_en" / "manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["dataset"] not in LEFT_OUT][::every]
    for row in rows:
        row["samples"] = sk.load_audio(folder / "asr_en" / row["audio"], RATE).samples
        speech = sk.detect_speech((RATE, row["samples"]), min_pause=0.1)
        row["end"] = speech[-1].end if speech else 0.0
        row["longest_pause"] = max((b.start - a.end for a, b in pairwise(speech)), default=0.0)
    return [row for row in rows if row["end"]]


def at_own_speed(samples: np.ndarray, start: float) -> Iterator[tuple[int, np.ndarray]]:
    """Pieces, each when it would have been recorded."""
    step = int(PIECE_S * RATE)
    for i in range(0, len(samples), step):
        time.sleep(max(0.0, start + (i + step) / RATE - time.perf_counter()))
        yield RATE, samples[i : i + step]


def run_turn(loop: VoiceLoop, row: Row) -> Row:
    """One utterance at its own speed: what happened when, in seconds of the recording."""
    silence = np.zeros(int(MOST_S * RATE), np.float32)
    start = time.perf_counter()
    decided, text, heard, withdrawn = None, "", 0, 0
    for frame in at_own_speed(np.concatenate([row["samples"], silence]), start):
        heard += len(frame[1])
        events = loop.feed(frame)
        now = time.perf_counter() - start
        if decided is None and loop.state in ("waiting", "replying"):
            decided = heard / RATE
        if loop.state == "idle":  # there were no words
            decided = None
        if decided is not None and loop.state == "listening":  # the speaker went on in time
            decided, withdrawn = None, withdrawn + 1
        text = next((e.text for e in events if isinstance(e, FinalText)), text)
        if any(isinstance(e, ReplyAudio) for e in events):
            return {
                "heard": True,
                "text": text,
                "cut_off": decided < row["end"],
                "withdrawn": withdrawn,
                "from_end": now - row["end"],
                "timings": loop.timings,
            }
    return {
        "heard": False,
        "cut_off": False,
        "withdrawn": withdrawn,
        "from_end": MOST_S,
        "timings": {"wait": MOST_S},
    }


def inside_sentence(heard: str, whole: str) -> bool:
    """Whether `whole` goes on after the last word of `heard` without the end of a sentence."""
    said, words = heard.split(), whole.split()
    last = _bare(said[-1]) if said else ""
    near = range(max(0, len(said) - 3), min(len(words), len(said) + 2))  # they may differ in a word
    same = [i for i in near if _bare(words[i]) == last]
    return not any(words[i].endswith((".", "?", "!")) for i in same)


def _bare(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum())


def confirmed_at(samples: np.ndarray, taking: TurnTaking) -> float:
    """The second at which there has been enough speech to ask whether somebody speaks."""
    burst = Interruption(taking)
    for i, probability in enumerate(SpeechDetector().feed(samples)):
        burst.hear(probability >= SPEECH, i)
        if burst.is_over:
            burst.forget()
        if burst.is_enough:
            return (i + 1) * FRAME_S
    return len(samples) / RATE


def interrupt(loop: VoiceLoop, row: Row) -> Row:
    """Somebody speaks during the reply that has begun: seconds to softer and to silent."""
    start = sk.detect_speech((RATE, row["samples"]))[0].start
    confirmed = confirmed_at(row["samples"], TurnTaking())
    found: dict[str, float] = {}
    began = time.perf_counter()
    for frame in at_own_speed(row["samples"], began):
        for event in loop.feed(frame):
            if isinstance(event, Ducked | Interrupted):
                kind = type(event).__name__.lower()
                now = time.perf_counter() - began
                found.setdefault(kind, now - start)
                if kind == "interrupted":
                    found["from_confirmed"] = now - confirmed
        if "interrupted" in found or loop.state != "replying":
            break
    return found


class PlainLoop:
    """faster-whisper, the same Tutor, piper-tts: one after the other, when the turn has ended."""

    def __init__(self, tutor: sk.Tutor) -> None:
        from faster_whisper import WhisperModel
        from piper import PiperVoice

        self.tutor = tutor
        self.model = WhisperModel(
            str(hub.fetch("base")), device="cpu", compute_type="int8", cpu_threads=threads()
        )
        voice = hub.fetch("en_US-joe-medium")
        self.voice = PiperVoice.load(next(voice.glob("*.onnx")))

    def answer(self, samples: np.ndarray) -> float:
        """Seconds to the first sample of the reply."""
        start = time.perf_counter()
        text = "".join(s.text for s in self.model.transcribe(samples, language="en")[0])
        next(iter(self.voice.synthesize(self.tutor(text, None))))
        return time.perf_counter() - start


def measure(rows: list[Row]) -> dict[str, Any]:
    """Both loops on all utterances, in turns."""
    tutor = sk.Tutor()
    kit = sk.Pipeline(respond=tutor)
    plain = PlainLoop(tutor)
    taking = TurnTaking()
    turns = []
    for i, row in enumerate(tqdm(rows, unit=" turn")):
        with VoiceLoop(kit, respond=tutor, turn_taking=taking) as loop:
            if not i:
                loop.warm_up()
                plain.answer(row["samples"])
            turn = run_turn(loop, row)
            if loop.state == "replying":
                turn["interruption"] = interrupt(loop, rows[i - 1])
        if turn["cut_off"]:
            whole = kit.asr.transcribe((RATE, row["samples"]), language="en").text
            turn["inside_sentence"] = inside_sentence(turn["text"], whole)
        turn["plain_wait"] = plain.answer(row["samples"])
        turn["plain_cut_off"] = row["longest_pause"] >= taking.finished
        turns.append(turn)
    return {"turns": turns, "silence": taking.finished}


def show(result: dict[str, Any]) -> None:
    """Medians and 95th percentiles."""
    turns = result["turns"]
    whole = [turn for turn in turns if not turn["cut_off"]]
    print(f"{result['machine']}, {result['threads']} threads, {result['date']}")
    print(
        f"{len(turns)} utterances, {sum(turn['heard'] for turn in turns)} answered; cut off before "
        f"their end: {len(turns) - len(whole)}, inside a sentence: "
        f"{sum(turn.get('inside_sentence', False) for turn in turns)}; cut off by the plain loop: "
        f"{sum(turn['plain_cut_off'] for turn in turns)}; decided too early, and taken back before "
        f"the reply began: {sum(turn['withdrawn'] for turn in turns)}"
    )
    rows = {
        "from the decision to the first sample": [turn["timings"]["wait"] for turn in whole],
        "  of the plain loop": [turn["plain_wait"] for turn in whole],
        "from the end of speech to the first sample": [turn["from_end"] for turn in whole],
        "  of the plain loop, from there": [
            turn["plain_wait"] + result["silence"] for turn in whole
        ],
    }
    for stage in ("silence", "hear", "recognise", "answer", "speak"):
        rows[f"stage: {stage}"] = [turn["timings"].get(stage, 0.0) for turn in whole]
    stops = [turn.get("interruption", {}) for turn in turns]
    for kind, name in {
        "ducked": "from speech during the reply: ducked",
        "interrupted": "from speech during the reply: interrupted",
        "from_confirmed": "from confirmed speech: silent",
    }.items():
        rows[name] = [stop[kind] for stop in stops if kind in stop] or [float("nan")]
    for name, values in rows.items():
        print(
            f"{name:44} 50 % {np.median(values):6.3f} s   95 % {np.percentile(values, 95):6.3f} s"
        )
    ours = np.median([turn["timings"]["wait"] for turn in whole])
    theirs = np.median([turn["plain_wait"] for turn in whole])
    print(f"median wait after the decision: {ours / theirs:.2f} of the plain loop's")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    parser.add_argument("--json", type=Path, default=Path("out/loop.json"))
    parser.add_argument("--every", type=int, default=1, help="take each Nth recording only")
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "asr_en" / "manifest.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    result = measure(read(folder, args.every))
    result |= {"date": date.today().isoformat(), "machine": processor(), "threads": threads()}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
