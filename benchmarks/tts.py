"""Time, intelligibility and sound of synthesis beside the peers: one table, one run, the same voice.

    pip install piper-tts speechmos
    python benchmarks/tts.py [FOLDER] [--json OUT.json]     # default: $SPEECHKIT_EVAL

The peers speak the same weights (en_US-joe-medium): piper-tts as it comes, with as many threads as there
are processors, and coqui-tts with the checkpoint that speechkit saves for it. Each system runs in a
process of its own; they take turns, and of several rounds the least time counts. No pauses are put
between sentences, for the peers put none. The first audio is what a program can play first: a chunk of
ours, a sentence of piper-tts, the whole text of coqui-tts.

What is said is written down by Whisper base (speechkit's fast engine, the same for all) and held
against what should be said: 50 references of FOLDER/asr_en, left out without it, and 50 real-world
texts of the front end's tests. DNSMOS (P.835 overall) judges the sound of the former.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from side_by_side import Worker, processor
from whisper.normalizers import EnglishTextNormalizer

import speechkit as sk
from speechkit import hub
from speechkit.runtime import threads

VOICE = "en_US-joe-medium"
SYSTEMS = ("speechkit", "piper-tts", "coqui-tts")
SENTENCE = "The birch canoe slid on the smooth planks, and the sun was setting over the quiet lake."
PARAGRAPH = (
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish, and rice is often "
    "served in round bowls. The juice of lemons makes fine punch. The box was thrown beside the "
    "parked truck, where the hogs were fed chopped corn and garbage. Four hours of steady work faced "
    "us, and a large size in stockings is hard to sell. The boy was there when the sun rose, and a "
    "rod is used to catch pink salmon in the wide river. "
)
TEXTS = {
    "short": ("Yes, of course.", 7),
    "6 s": (SENTENCE, 7),
    "30 s": (PARAGRAPH, 3),
    "a page": (PARAGRAPH * 6, 2),
}  # text, rounds
Speak = Callable[[str, bool], Iterator[tuple[int, np.ndarray]]]


def load(system: str) -> Speak:
    """A function (text, whether only the whole counts) → pieces (rate, samples)."""
    folder = hub.fetch(VOICE)
    if system == "speechkit":
        voice = sk.load_tts(VOICE)
        voice.warm_up()
        return lambda text, whole: (
            (c.sample_rate, c.samples)
            for c in (
                [voice.synthesize(text, pause_s=0)] if whole else voice.stream(text, pause_s=0)
            )
        )
    if system == "piper-tts":
        from piper import PiperVoice

        piper = PiperVoice.load(folder / f"{VOICE}.onnx")
        return lambda text, whole: (
            (chunk.sample_rate, chunk.audio_float_array) for chunk in piper.synthesize(text)
        )
    import torch
    from TTS.api import TTS

    from speechkit.tts.coqui import save_coqui_checkpoint

    torch.set_num_threads(threads())
    with tempfile.TemporaryDirectory() as out:
        model, config = save_coqui_checkpoint(folder, VOICE, out)
        api = TTS(model_path=str(model), config_path=str(config), progress_bar=False)
    rate = api.synthesizer.output_sample_rate
    return lambda text, whole: iter([(rate, np.array(api.tts(text), np.float32))])


def run(speak: Speak, text: str) -> dict[str, Any]:
    """Seconds to the first audio, seconds of a call for the whole, and the audio."""
    start = time.perf_counter()
    next(speak(text, False))
    first = time.perf_counter() - start
    start = time.perf_counter()
    pieces = list(speak(text, True))
    whole = time.perf_counter() - start
    samples = np.concatenate([samples for _, samples in pieces])
    return {"first": first, "whole": whole, "rate": pieces[0][0], "samples": samples}


def measure_times(workers: dict[str, Worker]) -> dict[str, Any]:
    """The least time of several rounds, for each text and system; our first call after `warm_up`."""
    steady = {}
    cold = workers["speechkit"].run(SENTENCE)["whole"]
    for name, (text, rounds) in TEXTS.items():
        runs: dict[str, list[dict[str, Any]]] = {system: [] for system in workers}
        for k in range(rounds + 1):
            for system, worker in workers.items():
                result = worker.run(text)
                if k:  # the first is a warm-up, for all
                    runs[system].append(result)
        steady[name] = {
            system: {
                "first": min(r["first"] for r in found),
                "whole": min(r["whole"] for r in found),
                "seconds": float(np.median([len(r["samples"]) / r["rate"] for r in found])),
            }
            for system, found in runs.items()
        }
    return {"texts": steady, "first call / steady": cold / steady["6 s"]["speechkit"]["whole"]}


def gather(folder: Path | None, count: int) -> dict[str, list[tuple[str, str]]]:
    """(text, what should be said) of both kinds."""
    tests = Path(__file__).parents[1] / "tests"
    sys.path.insert(0, str(tests))
    from test_tts_normalize import ENGLISH

    draw = random.Random(0)
    cases = [(text, spoken) for text, spoken in ENGLISH if len(spoken.split()) > 3]
    found = {"front end": draw.sample(cases, count)}
    if folder is not None:
        rows = (folder / "asr_en" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        texts = [json.loads(row) for row in rows]
        plain = [r["text"] for r in texts if r["dataset"] not in ("an4", "long")]
        plain = [text for text in plain if 5 <= len(text.split()) <= 40]
        found["references"] = [(text, text) for text in draw.sample(plain, count)]
    return found


def judge(workers: dict[str, Worker], texts: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """Word error rate of what Whisper hears, in percent, and the mean of DNSMOS."""
    from speechmos import dnsmos
    from tqdm import tqdm

    normal = EnglishTextNormalizer()
    asr = sk.load_asr("base")
    result: dict[str, Any] = {}
    for kind, pairs in texts.items():
        result[kind] = {}
        for system, worker in workers.items():
            wanted, heard, scores = [], [], []
            for text, spoken in tqdm(pairs, desc=f"{kind}, {system}", leave=False):
                said = worker.run(text)
                audio = sk.Audio(np.clip(said["samples"], -1, 1), said["rate"])
                wanted.append(normal(spoken))
                heard.append(normal(asr.transcribe(audio, language="en").text))
                scores.append(dnsmos.run(audio.resample(16_000).samples, 16_000)["ovrl_mos"])
            result[kind][system] = {
                "wer": 100 * float(jiwer.wer(wanted, heard)),
                "dnsmos": float(np.mean(scores)),
                "heard": heard,
            }
    return result


def show(result: dict[str, Any]) -> None:
    """Seconds of ours, and our share of the peers' time."""
    print(f"{result['machine']}, {result['threads']} threads, {result['date']}")
    print(f"{'':10} {'ours, s':>24}   {'ours / piper-tts':>18}   {'ours / coqui-tts':>18}")
    heads = f"{'first':>8} {'whole':>7} {'audio':>7}   " + f"{'first':>9} {'rtf':>8}   " * 2
    print(f"{'':10} {heads}")
    for name, systems in result["times"]["texts"].items():
        ours = systems["speechkit"]
        line = f"{name:10} {ours['first']:8.3f} {ours['whole']:7.3f} {ours['seconds']:7.1f}   "
        for peer in SYSTEMS[1:]:
            theirs = systems[peer]
            rtf = (ours["whole"] / ours["seconds"]) / (theirs["whole"] / theirs["seconds"])
            line += f"{ours['first'] / theirs['first']:9.2f} {rtf:8.2f}   "
        print(line)
    print(f"first call after warm_up, by the least: {result['times']['first call / steady']:.2f}")
    for kind, systems in result["judged"].items():
        for system, entry in systems.items():
            print(f"{kind:12} {system:12} WER {entry['wer']:6.2f} %   DNSMOS {entry['dnsmos']:.2f}")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    parser.add_argument("--json", type=Path, default=Path("out/tts.json"))
    parser.add_argument("--sentences", type=int, default=50, help="of each kind that are judged")
    parser.add_argument("--quick", action="store_true", help="times of shorter texts, no judge")
    args = parser.parse_args()
    if args.quick:
        TEXTS.pop("a page")
    try:
        import piper  # noqa: F401
        import speechmos  # noqa: F401
    except ImportError as e:
        print(f"skipped: {e.name} is missing; pip install piper-tts speechmos")
        return
    folder = Path(args.folder)
    known = bool(args.folder) and (folder / "asr_en" / "manifest.jsonl").is_file()
    workers = {system: Worker(load, run, system) for system in SYSTEMS}
    times = measure_times(workers)
    texts = {} if args.quick else gather(folder if known else None, args.sentences)
    judged = judge(workers, texts)
    memory = {system: worker.close() for system, worker in workers.items()}
    result = {
        "date": date.today().isoformat(),
        "machine": processor(),
        "threads": threads(),
        "times": times,
        "judged": judged,
        "memory_mib": memory,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
