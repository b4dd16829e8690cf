"""The commands about speakers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speechkit.command import Output, limits_of, progress_bar
from speechkit.errors import AudioError, SpeechkitError


def verify(args: argparse.Namespace) -> Output:
    """Are two recordings of one speaker?"""
    from speechkit.audio import load_audio
    from speechkit.speaker import load_speaker_encoder

    limits = limits_of(args.max_seconds)
    a, b = load_audio(args.a, limits=limits), load_audio(args.b, limits=limits)
    encoder = load_speaker_encoder(engine=args.engine, device=args.device)
    result = encoder.verify(a, b, threshold=args.threshold)
    verdict = "the same speaker" if result.same else "different speakers"
    text = (
        f"{verdict} (score {result.score:.3f}, threshold {result.threshold:.3f}; "
        f"probability of one speaker {result.probability:.1%})"
    )
    return Output(asdict(result), text)


def trials(args: argparse.Namespace) -> Output:
    """How well are the pairs of a list told apart?"""
    from speechkit.speaker import load_speaker_encoder
    from speechkit.speaker.plots import check_picture, draw_det
    from speechkit.speaker.trials import read_trials, score_trials

    read_trials(args.file)  # what is wrong with it or with the picture is said before the work
    if args.det:
        check_picture(args.det)
    encoder = load_speaker_encoder(engine=args.engine, device=args.device)
    with progress_bar("voices", "recording") as progress:
        limits = limits_of(args.max_seconds)
        found = score_trials(args.file, encoder, limits=limits, progress=progress)
    curve, same = found.det, found.same
    accepts = float((found.scores[~same] >= encoder.threshold).mean())
    rejects = float((found.scores[same] < encoder.threshold).mean())
    data: dict[str, Any] = {
        "trials": len(same),
        "eer": curve.eer,
        "min_dcf_01": curve.min_dcf(0.01),
        "min_dcf_05": curve.min_dcf(0.05),
        "cllr": found.cllr,
        "threshold": encoder.threshold,
        "false_accepts": accepts,
        "false_rejects": rejects,
    }
    if args.det:
        data["det"] = str(draw_det({encoder.name: curve}, args.det).resolve())
    text = (
        f"{len(same)} pairs: EER {curve.eer:.2%}, minDCF {data['min_dcf_01']:.3f} (0.01) "
        f"{data['min_dcf_05']:.3f} (0.05), Cllr {found.cllr:.3f}\n"
        f"at {encoder.threshold:.2f}: {accepts:.2%} of strangers accepted, {rejects:.2%} of true "
        "speakers rejected"
    )
    return Output(data, text)


def enroll(args: argparse.Namespace) -> Output:
    """Remember a voice."""
    from speechkit.audio import load_audio

    book, limits = _book(args), limits_of(args.max_seconds)
    book.enroll(args.name, [load_audio(file, limits=limits) for file in args.files])
    count = book.speakers()[args.name.strip()]
    text = f"{args.name.strip()} is enrolled with {count} recording{'s' * (count > 1)}"
    return Output({"speaker": args.name.strip(), "recordings": count, "book": str(book.path)}, text)


def identify(args: argparse.Namespace) -> Output:
    """Who of the known speakers is it?"""
    from speechkit.audio import load_audio

    book = _book(args)
    audio = load_audio(args.file, limits=limits_of(args.max_seconds))
    embedding = book.encoder.embed(audio)
    match = book.match_embedding(embedding)
    data = {**asdict(match), "speaker": match.name, "scores": dict(book.rank(embedding))}
    return Output(data, match.name or "unknown")


def speakers(args: argparse.Namespace) -> Output:
    """List the known speakers."""
    book = _book(args)
    known = book.speakers()
    lines = [f"{name}\t{count}" for name, count in known.items()]
    text = "\n".join(lines) or "nobody is enrolled; run: speechkit enroll NAME FILE"
    data: dict[str, Any] = {"speakers": known, "book": str(book.path)}
    if args.map:
        from speechkit.speaker.plots import draw_map

        data["map"] = str(draw_map(book.embeddings(), args.map).resolve())
    return Output(data, text)


def rename(args: argparse.Namespace) -> Output:
    """Give a known voice another name."""
    _book(args).rename(args.name, args.new_name)
    data = {"renamed": args.name, "speaker": args.new_name.strip()}
    return Output(data, f"{args.name} is now {args.new_name.strip()}")


def forget(args: argparse.Namespace) -> Output:
    """Forget a voice."""
    _book(args).forget(args.name)
    return Output({"forgotten": args.name}, f"{args.name} is forgotten")


def diarize(args: argparse.Namespace) -> Output:
    """Who spoke when in a recording?"""
    from speechkit.speaker import load_speaker_encoder, write_rttm

    encoder = load_speaker_encoder(engine=args.engine, device=args.device)
    turns = _turns(args, args.file, encoder)
    data: dict[str, Any] = {
        "turns": [asdict(turn) for turn in turns],
        "speakers": len({turn.speaker for turn in turns}),
    }
    if args.rttm:
        data["rttm"] = str(write_rttm(turns, args.rttm, Path(args.file).stem).resolve())
    lines = [f"{turn.start:9.2f} {turn.end:9.2f}  {turn.speaker}" for turn in turns]
    return Output(data, "\n".join(lines) or "nobody speaks")


def with_speakers(args: argparse.Namespace, transcripts: Iterator[Any]) -> Iterator[Any]:
    """The transcripts of the files, each word with its speaker; an error for one that has none."""
    from speechkit.speaker import assign_speakers, load_speaker_encoder

    device = args.device if args.engine == "reference" else "cpu"  # the fast engine's only one
    encoder = load_speaker_encoder(engine=args.engine, device=device)
    for file, transcript in zip(args.files, transcripts, strict=True):
        if isinstance(transcript, SpeechkitError):
            yield transcript
            continue
        try:
            yield assign_speakers(transcript, _turns(args, file, encoder))
        except AudioError as e:
            yield e


def _turns(args: argparse.Namespace, file: str, encoder: Any) -> Any:
    """The turns in a file, with a progress bar."""
    from speechkit.speaker import diarize

    with progress_bar(f"voices of {Path(file).name}", "s") as progress:
        return diarize(
            file,
            speakers=args.speakers,
            encoder=encoder,
            limits=limits_of(args.max_seconds),
            progress=progress,
        )


def _book(args: argparse.Namespace) -> Any:
    from speechkit.speaker import SpeakerBook

    return SpeakerBook(args.book)
