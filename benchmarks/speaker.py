"""Speaker embeddings beside speechbrain: throughput, verification in good and bad conditions, strangers.

    python benchmarks/speaker.py [FOLDER] [--json OUT.json]     # default: $SPEECHKIT_EVAL

FOLDER/sv/trials.txt has a line "label enrol test" per trial (1: one person), paths relative to sv/;
FOLDER/noise/manifest.jsonl names recordings of noise and of rooms; FOLDER/diar is for `diarize.py`. The
peer is speechbrain's own
`EncoderClassifier.encode_batch` with the same weights and number of threads; its throughput is that of
the quicker of two ways, one recording after another and padded batches of 8.

Conditions change the test side of each trial: cut to its loudest second, with noise, or in a room.
Scores are cosines; "ratios" are what `verify` makes of ours, knowing how long and how noisy both sides
are.
"Open set" enrols half of the speakers with up to three recordings each in a `SpeakerBook`, and asks it
about the others' recordings and the rest of theirs, of 3 s and more, in ten draws.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diarize import measure_diarization
from diarize import show as show_diarization
from remembering import Remembering
from side_by_side import Worker, processor
from tqdm import tqdm

import speechkit as sk
from speechkit.augment import add_noise, add_reverb
from speechkit.metrics import cllr, det_curve
from speechkit.runtime import set_up_torch, threads
from speechkit.speaker.calibration import log_ratio
from speechkit.speaker.quality import measure_quality

RATE = 16_000
SYSTEMS = ("speechkit", "speechbrain")
Condition = tuple[bool, float | None, bool]
CONDITIONS: dict[str, Condition] = {  # the test side: its loudest second, dB over noise, in a room
    "clean": (False, None, False),
    "1 s": (True, None, False),
    "5 dB": (False, 5.0, False),
    "0 dB": (False, 0.0, False),
    "1 s, 5 dB": (True, 5.0, False),
    "20 dB": (False, 20.0, False),
    "10 dB": (False, 10.0, False),
    "room": (False, None, True),
}
BESIDE = tuple(CONDITIONS)[:5]  # where the peer is measured too
ROUNDS = 3
DRAWS, ENROLLED, LONG_S = 10, 3, 3.0  # of the open set
THRESHOLDS = (0.25, 0.36, 0.42)
Samples = np.ndarray


def load(system: str) -> Any:
    """A function (list of samples, batch) → embeddings (n, 192); batch 0 is the system's own way."""
    if system == "speechkit":
        encoder = sk.load_speaker_encoder()
        encoder.warm_up()
        return lambda many, batch: encoder.embed_many([(RATE, samples) for samples in many])
    classifier = _encoder_classifier()

    def embed(many: list[Samples], batch: int) -> np.ndarray:
        found = []
        for start in range(0, len(many), batch):
            part = [torch.tensor(samples) for samples in many[start : start + batch]]
            lengths = torch.tensor([len(samples) for samples in part], dtype=torch.float32)
            padded = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
            embeddings = classifier.encode_batch(padded, lengths / lengths.max())[:, 0]
            found.append(torch.nn.functional.normalize(embeddings).numpy())
        return np.concatenate(found)

    return embed


def _encoder_classifier() -> Any:
    """speechbrain's interface, put together from code: its hyperparameter file would be executed."""
    from speechbrain.inference.classifiers import EncoderClassifier
    from speechbrain.lobes.features import Fbank
    from speechbrain.processing.features import InputNormalization

    set_up_torch()
    model = sk.load_speaker_encoder(engine="reference", device="cpu").engine.model
    modules = {
        "compute_features": Fbank(n_mels=80),
        "mean_var_norm": InputNormalization(norm_type="sentence", std_norm=False),
        "embedding_model": model,
        "classifier": torch.nn.Identity(),
    }
    return EncoderClassifier(
        modules=modules, hparams={"label_encoder": None}, run_opts={"device": "cpu"}
    )


def run(embed: Any, task: tuple[list[Samples], int]) -> tuple[np.ndarray, float]:
    """Embeddings and seconds."""
    start = time.perf_counter()
    with torch.inference_mode():
        embeddings = embed(*task)
    return embeddings, time.perf_counter() - start


def measure_throughput(workers: dict[str, Worker], recordings: list[Samples]) -> dict[str, float]:
    """Seconds for all recordings, least of some rounds, by system and way."""
    ways = {"speechkit": ("speechkit", 0), "speechbrain, one by one": ("speechbrain", 1)}
    ways["speechbrain, batches of 8"] = ("speechbrain", 8)
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for way, (system, batch) in ways.items():
            least[way] = min(least[way], workers[system].run((recordings, batch))[1])
    return least


def loudest_second(samples: Samples) -> Samples:
    """The second with the most power; all of a shorter recording."""
    power = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    if len(samples) <= RATE:
        return samples
    start = int(np.argmax(power[RATE:] - power[:-RATE]))
    return samples[start : start + RATE]


@dataclass(frozen=True)
class Surroundings:
    """What disturbs: recordings of noise, and rooms' impulse responses."""

    noises: list[sk.Audio]
    rooms: list[sk.Audio]


def degrade(name: str, samples: Samples, condition: str, around: Surroundings) -> Samples:
    """The test side in a condition; noise, its place and the room follow from the recording's name."""
    short, snr, room = CONDITIONS[condition]
    draw = zlib.crc32(name.encode())
    if room:
        samples = add_reverb((RATE, samples), around.rooms[draw % len(around.rooms)]).samples
    if short:
        samples = loudest_second(samples)
    if snr is None:
        return samples
    return add_noise(
        (RATE, samples), around.noises[draw % len(around.noises)], snr, seed=draw
    ).samples


def read_trials(folder: Path) -> tuple[list[tuple[bool, str, str]], dict[str, Samples]]:
    """(one person?, enrol, test) of each trial, and the recordings by name."""
    lines = (folder / "sv" / "trials.txt").read_text().splitlines()
    trials = [(label == "1", a, b) for label, a, b in (line.split() for line in lines if line)]
    names = sorted({name for _, *pair in trials for name in pair})
    return trials, {name: sk.load_audio(folder / "sv" / name, RATE).samples for name in names}


def read_surroundings(folder: Path) -> Surroundings:
    """The recordings of noise and of rooms."""
    rows = [json.loads(x) for x in (folder / "noise" / "manifest.jsonl").read_text().splitlines()]

    def kind(name: str) -> list[sk.Audio]:
        files = [row["audio"] for row in rows if row["kind"] == name]
        return [sk.load_audio(folder / "noise" / file, RATE) for file in files]

    return Surroundings(kind("noise"), kind("rir"))


def measure_verification(
    workers: dict[str, Worker],
    trials: list[tuple[bool, str, str]],
    recordings: dict[str, Samples],
    around: Surroundings,
) -> dict[str, Any]:
    """How well the trials are told apart in each condition, by both systems and by our ratios."""
    same = np.array([label for label, _, _ in trials])
    enrolled = sorted({a for _, a, _ in trials})
    tests = sorted({b for _, _, b in trials})
    left = {
        system: dict(
            zip(enrolled, worker.run(([recordings[n] for n in enrolled], 1))[0], strict=True)
        )
        for system, worker in workers.items()
    }
    of_left = {name: measure_quality((RATE, recordings[name])) for name in enrolled}
    table: dict[str, Any] = {}
    for condition in tqdm(CONDITIONS, unit=" condition"):
        changed = [degrade(name, recordings[name], condition, around) for name in tests]
        table[condition] = {}
        for system in SYSTEMS if condition in BESIDE else SYSTEMS[:1]:
            right = dict(zip(tests, workers[system].run((changed, 1))[0], strict=True))
            scores = np.array([float(left[system][a] @ right[b]) for _, a, b in trials])
            table[condition][system] = judge(scores, same)
            if system == SYSTEMS[0]:
                of_right = {
                    n: measure_quality((RATE, x)) for n, x in zip(tests, changed, strict=True)
                }
                ratios = [
                    log_ratio(score, of_left[a], of_right[b])
                    for score, (_, a, b) in zip(scores, trials, strict=True)
                ]
                table[condition]["ratios"] = judge(np.array(ratios), same)
    return table


def judge(scores: np.ndarray, same: np.ndarray) -> dict[str, Any]:
    """EER in percent, minDCF at two priors, Cllr, percent of errors at thresholds of the cosine."""
    curve = det_curve(scores, same)
    return {
        "errors_at": {
            str(threshold): (
                100 * float((scores[~same] >= threshold).mean()),
                100 * float((scores[same] < threshold).mean()),
            )
            for threshold in THRESHOLDS
        },
        "eer": 100 * curve.eer,
        "min_dcf_01": curve.min_dcf(0.01),
        "min_dcf_05": curve.min_dcf(0.05),
        "cllr": cllr(scores, same),
    }


def measure_open_set(folder: Path, recordings: dict[str, Samples]) -> dict[str, float]:
    """Percent of strangers who are given a name, and of known speakers who are named rightly."""
    speakers: dict[str, set[str]] = defaultdict(set)
    for line in (folder / "sv" / "trials_meta.jsonl").read_text().splitlines():
        trial = json.loads(line)
        for side in ("enrol", "test"):
            if len(recordings[trial[side]]) >= LONG_S * RATE:
                speakers[trial[f"{side}_spk"]].add(trial[side])
    encoder, draw = Remembering(), random.Random(0)
    counts = dict.fromkeys(("strangers", "named strangers", "known", "named rightly"), 0)
    for _ in range(DRAWS):
        several = [name for name, files in sorted(speakers.items()) if len(files) > 1]
        enrolled = draw.sample(several, min(len(speakers) // 2, len(several)))
        with tempfile.TemporaryDirectory() as scratch:
            book = sk.SpeakerBook(Path(scratch) / "voices.db", encoder=encoder)
            used: set[str] = set()
            for name in enrolled:
                files = draw.sample(sorted(speakers[name]), min(ENROLLED, len(speakers[name]) - 1))
                used |= set(files)
                book.enroll(name, [(RATE, recordings[file]) for file in files], check=False)
            for name, files in speakers.items():
                known = "known" if name in enrolled else "strangers"
                for file in sorted(files - used):
                    found = book.identify((RATE, recordings[file]))
                    counts[known] += 1
                    counts["named rightly"] += found == name and known == "known"
                    counts["named strangers"] += found is not None and known == "strangers"
    return {
        "threshold": encoder.threshold,
        "speakers": len(speakers),
        "known": counts["known"],
        "strangers": counts["strangers"],
        "named_rightly": 100 * counts["named rightly"] / counts["known"],
        "strangers_named": 100 * counts["named strangers"] / counts["strangers"],
    }


def show(result: dict[str, Any]) -> None:
    """Shares of time, errors in percent."""
    print(f"{result['machine']}, {result['threads']} threads, {result['date']}")
    times = result["throughput"]
    for way, seconds in times.items():
        print(f"{way:26} {result['recordings'] / seconds:6.2f} recordings per second")
    peer = min(seconds for way, seconds in times.items() if way != "speechkit")
    print(f"speechkit: {peer / times['speechkit']:.2f} times the quicker way of speechbrain")
    names = ("EER, %", "minDCF 0.01", "minDCF 0.05", "Cllr")
    print(f"{'':12} " + " ".join(f"{name:>23}" for name in names) + "   (ours, ratios, theirs)")
    for condition, systems in result["verification"].items():
        cells = [
            f"{systems[system][key]:7.3f}" if system in systems else f"{'–':>7}"
            for key in ("eer", "min_dcf_01", "min_dcf_05", "cllr")
            for system in ("speechkit", "ratios", "speechbrain")
        ]
        print(f"{condition:12} " + " ".join(cells))
    for threshold, (accepts, rejects) in result["verification"]["clean"]["speechkit"][
        "errors_at"
    ].items():
        print(f"clean, at {threshold}: {accepts:.1f} % of strangers pass, {rejects:.1f} % rejected")
    found = result["open_set"]
    print(
        f"open set of {found['speakers']} speakers at {found['threshold']}: "
        f"{found['strangers_named']:.1f} % of {found['strangers']} strangers named, "
        f"{found['named_rightly']:.1f} % of {found['known']} known ones named rightly"
    )
    show_diarization(result["diarization"])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=os.environ.get("SPEECHKIT_EVAL", ""))
    parser.add_argument("--json", type=Path, default=Path("out/speaker.json"))
    args = parser.parse_args()
    folder = Path(args.folder)
    if not args.folder or not (folder / "sv" / "trials.txt").is_file():
        print("skipped: no evaluation speech; give its folder or set SPEECHKIT_EVAL")
        return
    trials, recordings = read_trials(folder)
    workers = {system: Worker(load, run, system) for system in SYSTEMS}
    some = list(recordings.values())[::3]
    result = {
        "date": date.today().isoformat(),
        "machine": processor(),
        "threads": threads(),
        "recordings": len(some),
        "throughput": measure_throughput(workers, some),
        "verification": measure_verification(
            workers, trials, recordings, read_surroundings(folder)
        ),
        "open_set": measure_open_set(folder, recordings),
        "diarization": measure_diarization(folder),
    }
    result["memory_mib"] = {system: worker.close() for system, worker in workers.items()}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
