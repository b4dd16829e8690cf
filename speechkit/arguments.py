"""What the `speechkit` command understands: its commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from speechkit import __version__

FORMATS = ("txt", "srt", "vtt", "tsv", "json")  # of transcripts; importing them costs a second
Command = Callable[..., argparse.ArgumentParser]


def build_parser(runs: Iterable[Callable[[argparse.Namespace], Any]]) -> argparse.ArgumentParser:
    """The parser of all commands; `runs` are the functions that do them, named as they are.

    The summary of a command is its function's docstring.
    """
    known = {run.__name__: run for run in runs}
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("--debug", action="store_true", help="show what happens, and tracebacks")

    def engines(*names: str) -> argparse.ArgumentParser:
        parent = argparse.ArgumentParser(add_help=False)
        choices = f"{' or '.join(names)} (default: %(default)s)"
        parent.add_argument("--engine", default=names[0], help=choices)
        parent.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
        return parent

    of_both = engines("fast", "reference")

    book = argparse.ArgumentParser(add_help=False)
    book.add_argument("--book", metavar="FILE", help="file of known voices (default: your own)")

    parser = argparse.ArgumentParser(
        prog="speechkit",
        description="Speech recognition, synthesis and speakers on this machine.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=18),
    )
    parser.add_argument("--version", action="version", version=f"speechkit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        summary = known[name].__doc__
        added = commands.add_parser(
            name, help=summary, description=summary, parents=[common, *parents]
        )
        added.set_defaults(run=known[name])
        return added

    _add_recognition(command, of_both, book)
    _add_synthesis(command, of_both)
    _add_speakers(command, of_both, book)
    p = command("models")
    p.add_argument("action", choices=("list", "fetch", "path"), nargs="?", default="list")
    p.add_argument("name", metavar="NAME", nargs="?")
    p.set_defaults(wrong=p.error)
    command("doctor")
    p = command("demo", of_both)
    p.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    p.add_argument("--port", type=int, default=7860)
    return parser


def _add_recognition(
    command: Command, engines: argparse.ArgumentParser, book: argparse.ArgumentParser
) -> None:
    p = command("talk", engines, book)
    p.add_argument("question", metavar="QUESTION", help="recording of the question")
    p.add_argument("-o", "--output", metavar="FILE", default="reply.wav", help="the spoken reply")
    _add_asr_options(p, max_seconds=600)
    _add_voice(p)

    p = command("transcribe", engines)
    p.add_argument("files", metavar="FILE", nargs="+")
    p.add_argument("-f", "--format", choices=FORMATS, default="txt")
    p.add_argument("-o", "--output", metavar="DIR", help="write files there (default: print)")
    p.add_argument("--words", action="store_true", help="time each word (see -f json)")
    p.add_argument("--diarize", action="store_true", help="say who speaks")
    p.add_argument("--speakers", metavar="N", type=_count, help="how many (default: found)")
    p.add_argument("--task", choices=("transcribe", "translate"), default="transcribe")
    p.add_argument("--prompt", default="", help="text that sets style and spelling")
    p.add_argument(
        "--hot-words",
        metavar="W",
        action="append",
        default=[],
        help="a name to expect; may be given again",
    )
    clip_help = "read only these seconds; may be given again"
    p.add_argument(
        "--clip", metavar="START-END", type=_clip, action="append", default=[], help=clip_help
    )
    p.add_argument("--beam-size", type=int, default=3, help="default: 3; 1 is greedy, quicker")
    p.add_argument("--line-length", metavar="N", type=_count, help="of subtitles, in characters")
    p.add_argument(
        "--lines", metavar="N", type=_count, default=2, help="of a subtitle (default: 2)"
    )
    _add_asr_options(p, max_seconds=6 * 3600)


def _add_synthesis(command: Command, engines: argparse.ArgumentParser) -> None:
    p = command("speak", engines)
    p.add_argument("text", metavar="TEXT", help='text or SSML; "-" reads standard input')
    p.add_argument("-o", "--output", metavar="FILE", required=True, help="wav, flac, ogg, ...")
    p.add_argument("--speed", type=float, help="0.25 to 4, 1 is normal")
    p.add_argument("--speaker", metavar="NAME", help="for a voice that has several")
    p.add_argument("--loudness", metavar="LUFS", type=float, help="such as -16")
    for name, where in (
        ("comma", "at commas, at least"),
        ("", "between sentences"),
        ("paragraph", "between paragraphs"),
    ):
        option = f"--{name}-pause" if name else "--pause"
        dest = f"{name}_pause_s" if name else "pause_s"
        p.add_argument(option, metavar="S", type=float, dest=dest, help=f"seconds {where}")
    p.add_argument("--noise-scale", type=float, help="spread of the sound, 0 to 2")
    p.add_argument("--noise-w", type=float, help="spread of the durations, 0 to 2")
    p.add_argument(
        "--lexicon", metavar="FILE", help="lines of a word, a tab and its spelling or [[IPA]]"
    )
    p.add_argument(
        "--subtitles", metavar="FILE", help="write what is spoken as srt, vtt, tsv, txt or json"
    )
    _add_voice(p)
    p = command("voices")
    p.add_argument(
        "language", metavar="XX", nargs="?", help="only of this language, such as de or de_DE"
    )


def _add_speakers(
    command: Command, engines: argparse.ArgumentParser, book: argparse.ArgumentParser
) -> None:
    p = command("verify", engines)
    p.add_argument("a", metavar="A")
    p.add_argument("b", metavar="B")
    _add_limit(p, 3600)
    p.add_argument("--threshold", type=float, help="least score that counts as the same")
    p = command("trials", engines)
    p.add_argument(
        "file", metavar="LIST", help="lines of 1 or 0 (one speaker or two) and two files"
    )
    p.add_argument("--det", metavar="PICTURE", help="draw misses against false accepts")
    _add_limit(p, 3600)

    p = command("enroll", book)
    p.add_argument("name", metavar="NAME")
    p.add_argument("files", metavar="FILE", nargs="+")
    _add_limit(p, 3600)
    p = command("identify", book)
    p.add_argument("file", metavar="FILE")
    _add_limit(p, 3600)
    p = command("speakers", book)
    p.add_argument(
        "--map", metavar="PICTURE", help="draw the recordings, alike ones near each other"
    )
    p = command("rename", book)
    p.add_argument("name", metavar="NAME")
    p.add_argument("new_name", metavar="NEW")
    p = command("forget", book)
    p.add_argument("name", metavar="NAME")

    p = command("diarize", engines)
    p.add_argument("file", metavar="FILE")
    p.add_argument("--speakers", metavar="N", type=_count, help="how many (default: found)")
    p.add_argument("--rttm", metavar="OUT", help="write the turns there too")
    _add_limit(p, 6 * 3600)


def _clip(text: str) -> tuple[float, float | None]:
    """START-END in seconds; END may be left out."""
    start, _, end = text.partition("-")
    try:
        return float(start), float(end) if end else None
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{text!r}; give seconds, such as 2.5-10") from e


def _count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; give a whole number, 1 or more")
    return int(text)


def _add_asr_options(p: argparse.ArgumentParser, max_seconds: float) -> None:
    p.add_argument("--model", default="base", help="Whisper model (default: base)")
    p.add_argument("--language", metavar="XX", help="code such as en (default: detected)")
    _add_limit(p, max_seconds)


def _add_limit(p: argparse.ArgumentParser, max_seconds: float) -> None:
    p.add_argument(
        "--max-seconds",
        metavar="S",
        type=float,
        default=max_seconds,
        help="refuse longer recordings (default: %(default)s)",
    )


def _add_voice(p: argparse.ArgumentParser) -> None:
    p.add_argument("--voice", default="en_US-joe-medium", help="default: en_US-joe-medium")
    p.add_argument("--seed", type=int, default=0, help="of the voice's random variation")
