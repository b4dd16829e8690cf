"""Speaker embeddings beside speechbrain: throughput, verification in good and bad conditions, strangers.

    python benchmarks/speaker.py [FOLDER] [--json OUT.json]     # default: $SPEECHKIT_EVAL

FOLDER/sv/trials.txt has a line "label enrol test" per trial (1: one person), paths relative to sv/;
FOLDER/noise/manifest.jsonl names recordings of noise. The peer is speechbrain's own
`EncoderClassifier.encode_batch` with the same weights and number of threads; its throughput is that of
the quicker of two ways, one recording after another and padded batches of 8.

Conditions change the test side of each trial: cut to its loudest second, with noise at 5 or 0 dB, or
both. Scores are cosines.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import zlib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from side_by_side import Worker, processor

import speechkit as sk
from speechkit.augment import add_noise
from speechkit.metrics import cllr, det_curve
from speechkit.runtime import set_up_torch, threads

RATE = 16_000
SYSTEMS = ("speechkit", "speechbrain")
CONDITIONS = {  # name → (the test side's loudest second only, signal-to-noise ratio)
    "clean": (False, None),
    "1 s": (True, None),
    "5 dB": (False, 5.0),
    "0 dB": (False, 0.0),
    "1 s, 5 dB": (True, 5.0),
}
ROUNDS = 3
THRESHOLDS = (0.25, 0.30, 0.36, 0.40)
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


def degrade(name: str, samples: Samples, condition: str, noises: list[sk.Audio]) -> Samples:
    """The test side in a condition; noise and its place follow from the recording's name."""
    short, snr = CONDITIONS[condition]
    if short:
        samples = loudest_second(samples)
    if snr is None:
        return samples
    draw = zlib.crc32(name.encode())
    noise = noises[draw % len(noises)]
    return add_noise((RATE, samples), noise, snr, seed=draw).samples


def read_trials(folder: Path) -> tuple[list[tuple[bool, str, str]], dict[str, Samples]]:
    """(one person?, enrol, test) of each trial, and the recordings by name."""
    lines = (folder / "sv" / "trials.txt").read_text().splitlines()
    trials = [(label == "1", a, b) for label, a, b in (line.split() for line in lines if line)]
    names = sorted({name for _, *pair in trials for name in pair})
    return trials, {name: sk.load_audio(folder / "sv" / name, RATE).samples for name in names}


def read_noises(folder: Path) -> list[sk.Audio]:
    """The recordings of noise."""
    rows = [json.loads(x) for x in (folder / "noise" / "manifest.jsonl").read_text().splitlines()]
    names = [row["audio"] for row in rows if row["kind"] == "noise"]
    return [sk.load_audio(folder / "noise" / name, RATE) for name in names]


def measure_verification(
    workers: dict[str, Worker],
    trials: list[tuple[bool, str, str]],
    recordings: dict[str, Samples],
    noises: list[sk.Audio],
) -> dict[str, Any]:
    """EER and minDCF of both systems in each condition."""
    same = np.array([label for label, _, _ in trials])
    enrolled = sorted({a for _, a, _ in trials})
    tests = sorted({b for _, _, b in trials})
    table: dict[str, Any] = {}
    for condition in CONDITIONS:
        changed = [degrade(name, recordings[name], condition, noises) for name in tests]
        table[condition] = {}
        for system, worker in workers.items():
            left = dict(
                zip(enrolled, worker.run(([recordings[n] for n in enrolled], 1))[0], strict=True)
            )
            right = dict(zip(tests, worker.run((changed, 1))[0], strict=True))
            scores = np.array([float(left[a] @ right[b]) for _, a, b in trials])
            table[condition][system] = judge(scores, same)
    return table


def judge(scores: np.ndarray, same: np.ndarray) -> dict[str, Any]:
    """EER in percent, minDCF at two priors, Cllr of the scores as they are, errors at thresholds."""
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


def show(result: dict[str, Any]) -> None:
    """Shares of time, errors in percent."""
    print(f"{result['machine']}, {result['threads']} threads, {result['date']}")
    times = result["throughput"]
    for way, seconds in times.items():
        print(f"{way:26} {result['recordings'] / seconds:6.2f} recordings per second")
    peer = min(seconds for way, seconds in times.items() if way != "speechkit")
    print(f"speechkit: {peer / times['speechkit']:.2f} times the quicker way of speechbrain")
    print(f"{'':12} {'EER, %':>15} {'minDCF 0.01':>15} {'minDCF 0.05':>15}   (ours, theirs)")
    for condition, systems in result["verification"].items():
        cells = [
            f"{systems['speechkit'][key]:7.3f} {systems['speechbrain'][key]:7.3f}"
            for key in ("eer", "min_dcf_01", "min_dcf_05")
        ]
        print(f"{condition:12} " + " ".join(cells))
    for threshold, (accepts, rejects) in result["verification"]["clean"]["speechkit"][
        "errors_at"
    ].items():
        print(f"clean, at {threshold}: {accepts:.1f} % of strangers pass, {rejects:.1f} % rejected")


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
        "verification": measure_verification(workers, trials, recordings, read_noises(folder)),
    }
    result["memory_mib"] = {system: worker.close() for system, worker in workers.items()}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
