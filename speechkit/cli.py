"""The `speechkit` command: reads arguments, calls the library, prints the result.

Results go to standard output, messages and progress to standard error. It ends with 0, with 1 and one
line `error: …`, or with 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speechkit.arguments import build_parser
from speechkit.cli_speakers import (
    diarize,
    enroll,
    forget,
    identify,
    rename,
    speakers,
    trials,
    verify,
    with_speakers,
)
from speechkit.command import Output, folder_for, limits_of, one_line, progress_bar
from speechkit.errors import InputError, SpeechkitError

_VOICE = re.compile(r"[a-z]{2,3}_\w+-.+-.+")  # a name of Piper's catalogue
LINE_LENGTH = 42  # of subtitles, in characters


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    args = build_parser(COMMANDS).parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no result is lost to an old terminal
    args.show = functools.partial(print, file=sys.stdout, flush=True)
    logging.basicConfig(format="%(message)s", level=logging.ERROR)
    logging.getLogger("speechkit").setLevel(logging.DEBUG if args.debug else logging.INFO)
    if not args.debug:
        warnings.simplefilter("ignore")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # whatever a package prints is no result
            output: Output = args.run(args)
        if args.json:
            print(json.dumps(output.data, ensure_ascii=False), flush=True)
        elif output.text:
            print(output.text, flush=True)
        return output.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    except SpeechkitError as e:
        if args.debug:
            raise
        print(f"error: {one_line(e)}", file=sys.stderr)
    except Exception as e:
        if args.debug:
            raise
        print(
            f"error: {type(e).__name__}: {one_line(e)}; run again with --debug to see where",
            file=sys.stderr,
        )
    return 1


# Commands


def talk(args: argparse.Namespace) -> Output:
    """One whole turn: hear, recognise, know the voice, answer, speak."""
    from speechkit.encode import check_savable
    from speechkit.pipeline import Pipeline

    check_savable(args.output)
    kit = Pipeline(
        model=args.model,
        voice=args.voice,
        engine=args.engine,
        device=args.device,
        book=args.book,
    )
    turn = kit.talk(
        args.question, language=args.language, seed=args.seed, limits=limits_of(args.max_seconds)
    )
    audio = str(turn.audio.save(args.output).resolve())
    data = {
        "text": turn.text,
        "language": turn.transcript.language,
        "speaker": turn.speaker,
        "reply": turn.reply,
        "audio": audio,
        "timings": turn.timings,
    }
    stages = "  ".join(f"{stage} {seconds:.2f} s" for stage, seconds in turn.timings.items())
    text = (
        f"heard:   {turn.text}\nspeaker: {turn.speaker or 'unknown'}\nreply:   {turn.reply}\n"
        f"times:   {stages}\naudio:   {audio}"
    )
    return Output(data, text)


def transcribe(args: argparse.Namespace) -> Output:
    """Write down what is said in recordings."""
    folder = folder_for(args.output)
    if len(args.files) > 1 and args.format != "txt" and not folder and not args.json:
        raise InputError(
            f"several {args.format} transcripts can't be printed in a row; write them with -o DIR"
        )
    names = [f"{Path(file).stem}.{args.format}" for file in args.files]
    if folder and (twice := {name for name in names if names.count(name) > 1}):
        raise InputError(
            f"several of the files would be written to {', '.join(sorted(twice))}; "
            "transcribe them into different folders"
        )
    layout = {"line_length": args.line_length, "lines": args.lines}
    results: list[dict[str, Any]] = []
    named = with_speakers(args, _transcripts(args)) if args.diarize else _transcripts(args)
    for file, name, transcript in zip(args.files, names, named, strict=True):
        if isinstance(transcript, SpeechkitError):
            print(f"error: {one_line(transcript)}", file=sys.stderr)
            results.append({"file": file, "error": one_line(transcript)})
            continue
        result = {"file": file, **asdict(transcript)}
        if folder:
            result["saved"] = str(transcript.save(folder / name, **layout).resolve())
        if not args.json:
            args.show(result.get("saved") or transcript.to(args.format, **layout).rstrip("\n"))
        results.append(result)
    data = results[0] if len(results) == 1 else {"transcripts": results}
    return Output(data, "", status=int(any("error" in r for r in results)))


def _transcripts(args: argparse.Namespace) -> Iterator[Any]:
    """A transcript for each file, in order; of several files also an error for one that is bad."""
    from speechkit.asr import load_asr
    from speechkit.audio import stream_audio

    options = {
        "language": args.language,
        "task": args.task,
        "words": args.words or args.line_length is not None or args.diarize,
        "prompt": args.prompt,
        "hot_words": args.hot_words,
        "clips": args.clip,
        "beam_size": args.beam_size,
        "limits": limits_of(args.max_seconds),
    }
    if len(args.files) == 1:  # a bad one is known before the model is loaded
        next(stream_audio(args.files[0], 16_000, limits=options["limits"]), None)
    asr = load_asr(args.model, engine=args.engine, device=args.device)
    if len(args.files) == 1:
        with progress_bar(Path(args.files[0]).name, "s of audio") as progress:
            transcript = asr.transcribe(args.files[0], progress=progress, **options)
        yield transcript
    else:
        with progress_bar("transcribing", "file") as progress:
            yield from asr.transcribe_many(args.files, progress=progress, **options)


def speak(args: argparse.Namespace) -> Output:
    """Speak a text into an audio file."""
    from speechkit.asr import Transcript
    from speechkit.encode import AudioWriter, check_savable
    from speechkit.tts import How, load_tts

    check_savable(args.output)
    if args.subtitles:
        Transcript("", "", 0.0).save(args.subtitles)  # it can be written: known before long work
    text = sys.stdin.read() if args.text == "-" else args.text
    voice = load_tts(args.voice, engine=args.engine, device=args.device, lexicon=args.lexicon)
    given = {name: getattr(args, name) for name in How.__annotations__}
    how: Any = {name: value for name, value in given.items() if value is not None}
    sentences: list[Any] = []
    seconds = 0.0
    with (
        progress_bar("speaking", "sentence") as progress,
        AudioWriter(args.output, voice.sample_rate) as out,
    ):
        for speech in voice.sentences(text, progress=progress, **how):
            out.write(speech.samples)
            sentences += [sentence.later(seconds) for sentence in speech.sentences]
            seconds += speech.duration
    saved = str(out.path.resolve())
    data = {
        "audio": saved,
        "duration": seconds,
        "sample_rate": voice.sample_rate,
        "voice": voice.name,
    }
    if args.subtitles:
        spoken = " ".join(sentence.text for sentence in sentences)
        transcript = Transcript(spoken, voice.language, seconds, tuple(sentences))
        subtitles = transcript.save(args.subtitles, line_length=LINE_LENGTH)
        data["subtitles"] = str(subtitles.resolve())
    return Output(data, saved)


def models(args: argparse.Namespace) -> Output:
    """List the models, fetch one, or say where it lies."""
    from speechkit import hub

    if (args.action == "list") == bool(args.name):
        args.wrong("give list alone, or fetch or path with a name")
    if args.action == "list":
        rows = hub.status()
        lines = [
            f"{row.name:24} {row.kind:12} {row.size / 1e6:6.0f} MB  {row.state:9} {row.licence}"
            for row in rows
        ]
        data = [{**asdict(row), "folder": str(row.folder)} for row in rows]
        return Output({"models": data, "home": str(hub.home())}, "\n".join(lines))
    if args.action == "path":
        folder = str(hub.path(args.name))
    elif _VOICE.fullmatch(args.name) and args.name not in hub.names("tts"):
        from speechkit.tts.catalogue import fetch_voice

        folder = str(fetch_voice(args.name))
    else:
        folder = str(hub.fetch(args.name))
    return Output({"name": args.name, "path": folder}, folder)


def voices(args: argparse.Namespace) -> Output:
    """List the voices of Piper's catalogue, which `speak --voice NAME` fetches."""
    from speechkit.tts.catalogue import list_voices

    found = list_voices(args.language)
    rows = [
        f"{v.name:32} {v.language:24} {v.speakers:4} speakers {v.size / 2**20:6.0f} MiB"
        for v in found
    ]
    return Output({"voices": [asdict(v) for v in found]}, "\n".join(rows))


def doctor(args: argparse.Namespace) -> Output:
    """Examine this installation; each fault comes with the line that mends it."""
    from speechkit.doctor import examine

    findings = examine()
    lines = []
    for finding in findings:
        lines.append(f"{'ok ' if finding.ok else 'BAD'} {finding.name:12} {finding.detail}")
        if finding.mend:
            lines.append(f"    {'':12} to mend it: {finding.mend}")
    healthy = all(finding.ok for finding in findings)
    data = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
    return Output(data, "\n".join(lines), status=0 if healthy else 1)


def demo(args: argparse.Namespace) -> Output:
    """Open the voice loop as a web page on this machine."""
    gc.disable()  # of the many objects that Gradio makes when it is imported, few are garbage
    from speechkit.demos.voice_loop import serve

    gc.enable()
    url = serve(host=args.host, port=args.port, engine=args.engine, device=args.device)
    return Output({"url": url}, "stopped")


# Arguments


COMMANDS = (
    talk,
    transcribe,
    speak,
    verify,
    trials,
    enroll,
    identify,
    speakers,
    rename,
    forget,
    diarize,
    models,
    voices,
    doctor,
    demo,
)


if __name__ == "__main__":
    sys.exit(main())
