"""What the commands share: their result, limits, folders, a progress bar."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechkit.errors import InputError


@dataclass(frozen=True)
class Output:
    """What a command has to say: for programs, for people, and how it ends."""

    data: dict[str, Any]
    text: str
    status: int = 0


def limits_of(max_seconds: float) -> Any:
    """The limits on a recording that `--max-seconds` asks for."""
    from speechkit.audio import Limits

    return Limits(seconds=max_seconds)


def folder_for(name: str | None) -> Path | None:
    """The folder to write to, made when it isn't there."""
    if name is None:
        return None
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InputError(f"{folder}: can't be made: {e.strerror}; choose another folder") from e
    return folder


@contextlib.contextmanager
def progress_bar(label: str, unit: str) -> Iterator[Callable[[float, float], None]]:
    """A bar on standard error when that is a terminal; the yielded call takes (done, total)."""
    from tqdm import tqdm

    with tqdm(desc=label, unit=f" {unit}", disable=not sys.stderr.isatty(), leave=False) as bar:

        def show(done: float, total: float) -> None:
            bar.total = round(total)
            bar.update(round(done) - bar.n)

        yield show


def one_line(e: BaseException) -> str:
    """An error's message without line breaks."""
    return " ".join(str(e).split())
