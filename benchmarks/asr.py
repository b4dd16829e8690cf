"""Word error rate and time of recognition beside the peers: one table, one run, the same weights.

    python benchmarks/asr.py [FOLDER] [--json OUT.json] [--every N]   # default: $SPEECHKIT_EVAL

FOLDER holds asr_en/ and asr_multi/, each with a manifest.jsonl. Each system runs in a process of its own
and gets samples already decoded, with the language; the systems take turns file by file, so that
what disturbs the machine disturbs all. A time is the sum over files of single calls after a warm-up.

The peers have the same weights and number of threads: openai-whisper's `transcribe` (float32, greedy
with fallback, its default from Python), faster-whisper and its batched pipeline (beam 5, as they
come, with int8 weights, which is quicker than their own default on a CPU).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from side_by_side import Worker, processor
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

import speechkit as sk
from speechkit import hub
from speechkit.runtime import threads

RATE = 16_000
SYSTEMS = ("speechkit", "faster-whisper", "faster-whisper batched", "openai-whisper")
LONG_S = 20 * 60
PEERS_OF = {"long": (SYSTEMS[0], SYSTEMS[2]), "multi": (SYSTEMS[0], SYSTEMS[3])}  # elsewhere all
UNSPACED = ("zh", "ja", "he")  # scored by characters
Row = dict[str, Any]


def load(system: str) -> Any:
    """A function (samples, language) → text."""
    if system == "speechkit":
        asr = sk.load_asr("base")
        return lambda samples, language: asr.transcribe((RATE, samples), language=language).text
    if system == "openai-whisper":
        import whisper

        model = sk.load_asr("base", engine="reference").engine.model
        return lambda samples, language: whisper.transcribe(
            model, samples, language=language, fp16=False
        )["text"]
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(
        str(hub.fetch("base")), device="cpu", compute_type="int8", cpu_threads=threads()
    )
    peer = BatchedInferencePipeline(model) if system.endswith("batched") else model
    return lambda samples, language: "".join(
        segment.text for segment in peer.transcribe(samples, language=language)[0]
    )


def load_warm(system: str) -> Any:
    """The same after a first call."""
    run = load(system)
    run(np.zeros(RATE, np.float32), "en")
    return run


def run_timed(run: Any, task: tuple[np.ndarray, str]) -> tuple[str, float]:
    """Text and seconds."""
    start = time.perf_counter()
    return run(*task), time.perf_counter() - start


def read(folder: Path, every: int) -> list[Row]:
    """The manifest's rows with their samples."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    for row in (rows := rows[::every]):
        row["samples"] = sk.load_audio(folder / row["audio"], RATE).samples
    return rows


def long_recording(rows: list[Row], pauses: np.ndarray, seconds: float) -> Row:
    """Utterances in random order with pauses of 0.3 to 1.5 s, which are cut from a real recording."""
    draw = random.Random(0)
    order = draw.sample(rows, len(rows))
    parts, texts, total = [], [], 0
    for row in order:
        length = round(draw.uniform(0.3, 1.5) * RATE)
        start = draw.randrange(len(pauses) - length)
        parts += [row["samples"], pauses[start : start + length]]
        total += len(row["samples"]) + length
        texts.append(row["text"])
        if total >= seconds * RATE:
            break
    samples = np.concatenate(parts)
    systems = PEERS_OF["long"]
    text = " ".join(texts)
    return {"samples": samples, "text": text, "lang": "en", "group": "long", "systems": systems}


def quiet_parts(rows: list[Row]) -> np.ndarray:
    """What lies more than 0.3 s from speech in the recordings named long."""
    parts = []
    for row in rows:
        last = 0.0
        for stretch in sk.detect_speech((RATE, row["samples"])):
            if stretch.start - last > 0.8:
                parts.append(
                    row["samples"][int((last + 0.3) * RATE) : int((stretch.start - 0.3) * RATE)]
                )
            last = stretch.end
    return np.concatenate(parts)


_english, _basic = EnglishTextNormalizer(), BasicTextNormalizer()


def normal(text: str, language: str) -> str:
    """Whisper's normaliser would delete what stands in brackets, so they go first."""
    text = re.sub(r"[\[\](){}<>]", " ", text)
    if language == "en":
        return str(_english(text))
    plain = str(_basic(text))
    return plain.replace(" ", "") if language in UNSPACED else plain


def error_rate(rows: list[Row], texts: list[str], characters: bool) -> float:
    """Word or character errors, in percent of the references."""
    pairs = [
        (normal(row["text"], row["lang"]), normal(text, row["lang"]))
        for row, text in zip(rows, texts, strict=True)
    ]
    if characters:
        pairs = [(a.replace(" ", ""), b.replace(" ", "")) for a, b in pairs]
    spoken = [(a, b) for a, b in pairs if a]
    measure = jiwer.cer if characters else jiwer.wer
    return 100 * float(measure([a for a, _ in spoken], [b for _, b in spoken]))


def groups_of(rows: list[Row]) -> dict[str, list[int]]:
    """Group → indices of its rows; a row may be in several."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        name = row["group"]
        if name == "en":
            short = len(row["samples"]) < 5 * RATE
            for key in ("all utterances", "under 5 s" if short else "5 s and more", row["dataset"]):
                groups[key].append(i)
        else:
            groups[name].append(i)
    return dict(groups)


def gather(folder: Path, every: int) -> list[Row]:
    """All recordings, each with its group."""
    english = read(folder / "asr_en", every)
    long = [row for row in read(folder / "asr_en", 1) if row["dataset"] == "long"]
    utterances = [row for row in english if row["dataset"] != "long"]
    for row in utterances:
        row["group"] = "an4 (characters)" if row["dataset"] == "an4" else "en"
    spoken = [row for row in utterances if row["group"] == "en"]
    rows = [*utterances, long_recording(spoken, quiet_parts(long), LONG_S)]
    for row in read(folder / "asr_multi", every):
        row["group"] = f"{row['lang']} (characters)" if row["lang"] in UNSPACED else row["lang"]
        row["systems"] = PEERS_OF["multi"]
        rows.append(row)
    return rows


def measure(rows: list[Row]) -> dict[str, Any]:
    """Run all systems over all rows, in turns."""
    from tqdm import tqdm

    workers = {system: Worker(load_warm, run_timed, system) for system in SYSTEMS}
    texts: dict[str, dict[int, str]] = {system: {} for system in SYSTEMS}
    times: dict[str, dict[int, float]] = {system: {} for system in SYSTEMS}
    for i, row in enumerate(tqdm(rows, unit=" recording")):
        for k in range(len(SYSTEMS)):
            system = SYSTEMS[(i + k) % len(SYSTEMS)]
            if system in row.get("systems", SYSTEMS):
                run = workers[system].run((row["samples"], row["lang"]))
                texts[system][i], times[system][i] = run
    memory = {s: {"loaded": w.loaded_mib, "peak": w.close()} for s, w in workers.items()}
    table = {}
    for group, indices in groups_of(rows).items():
        some = [rows[i] for i in indices]
        table[group] = {
            "recordings": len(some),
            "seconds": sum(len(row["samples"]) for row in some) / RATE,
            "systems": {
                system: {
                    "error": error_rate(
                        some, [texts[system][i] for i in indices], "characters" in group
                    ),
                    "time": sum(times[system][i] for i in indices),
                }
                for system in some[0].get("systems", SYSTEMS)
            },
        }
    return {"groups": table, "memory_mib": memory, "texts": texts}


def show(result: dict[str, Any]) -> None:
    """Error rates in percent; times as speechkit's share of the peer's."""
    print(f"{result['machine']}, {result['threads']} threads, {result['date']}")
    print(f"{'':24} {'files':>5} {'min':>6}  error rate, %                       our time / theirs")
    names = ("ours", "fw", "fw batch", "openai", "fw", "fw batch", "openai")
    print(f"{'':24} {'':>5} {'':>6} " + " ".join(f"{name:>8}" for name in names))
    for group, entry in result["groups"].items():
        systems = entry["systems"]
        ours = systems["speechkit"]["time"]
        cells = [_cell(systems[s]["error"] if s in systems else None) for s in SYSTEMS]
        cells += [_cell(ours / systems[s]["time"] if s in systems else None) for s in SYSTEMS[1:]]
        minutes = entry["seconds"] / 60
        print(f"{group:24} {entry['recordings']:5} {minutes:6.1f} " + " ".join(cells))
    for system, memory in result["memory_mib"].items():
        print(
            f"memory of {system}: {memory['loaded']:.0f} MiB loaded, {memory['peak']:.0f} at most"
        )


def _cell(value: float | None) -> str:
    return f"{'–':>8}" if value is None else f"{value:8.2f}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    parser.add_argument("--json", type=Path, default=Path("out/asr.json"))
    parser.add_argument("--every", type=int, default=1, help="take each Nth recording only")
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "asr_en" / "manifest.jsonl").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    result = measure(gather(folder, args.every))
    result |= {
        "date": date.today().isoformat(),
        "machine": processor(),
        "threads": threads(),
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
