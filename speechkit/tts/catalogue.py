"""The voices that Piper's maker publishes, by the list in their repository on the hub.

    for entry in list_voices("de"):
        print(entry.name, entry.quality)
    folder = fetch_voice("de_DE-thorsten-medium")

The list says a size and an MD5 for each file. They find files that were damaged on the way or on
disk; they don't stop malice, since who can change a voice there can change the list. The pinned
voices of `speechkit.catalog` are fetched by their SHA-256 instead. The list is kept in
``hub.home()/voices.json`` for a day; a voice that is complete on disk needs no network.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from speechkit import catalog, hub, sources
from speechkit.catalog import Entry, File
from speechkit.errors import InputError, WeightsError

log = logging.getLogger("speechkit")

REPO, REVISION = "rhasspy/piper-voices", "main"
MAX_AGE_S = 24 * 3600.0

_LIST = Entry(
    name="voices.json",
    kind="tts",
    about="Piper's list of voices",
    licence="MIT",
    files=(File("voices.json", 0, "", "voices.json", ()),),
    repo=REPO,
    revision=REVISION,
)
# "en_US-lessac-medium": nothing that a path could be made of, and like no other model's name.
_KEY = re.compile(r"[a-z]{2,3}_[A-Za-z0-9]{2,4}-\w[\w.+-]{0,80}")
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, order=True)
class VoiceEntry:
    """One voice of the list.

    Attributes:
        name: what `fetch_voice` takes.
        language: code of language and country, for example "en_GB".
        language_name: the language in English.
        quality: x_low, low, medium or high.
        speakers: how many voices are in it.
        size: bytes of the files that are fetched.
    """

    name: str
    language: str
    language_name: str
    quality: str
    speakers: int
    size: int


@dataclass(frozen=True)
class _Voice:
    about: VoiceEntry
    pinned: Entry


@dataclass(frozen=True)
class _Catalogue:
    """The list: voices by name, names by alias, and why other voices were left out."""

    voices: dict[str, _Voice]
    aliases: dict[str, str]
    refused: dict[str, str]

    def find(self, name: str) -> _Voice | None:
        return self.voices.get(self.aliases.get(name, name))


def list_voices(language: str | None = None) -> list[VoiceEntry]:
    """The voices that can be fetched, sorted by name.

    Args:
        language: only these: "en", "en_GB" or "English"; None: all.

    Raises:
        InputError: no voice speaks that language.
        WeightsError: the list isn't on disk and can't be fetched.
    """
    entries = sorted(voice.about for voice in _newest().voices.values())
    if language is None:
        return entries
    wanted = language.strip().casefold().replace("-", "_")
    chosen = [
        entry
        for entry in entries
        if wanted
        in (
            entry.language.casefold(),
            entry.language.partition("_")[0].casefold(),
            entry.language_name.casefold(),
        )
    ]
    if not chosen:
        codes = ", ".join(sorted({entry.language for entry in entries}))
        raise InputError(f"no voice speaks {language[:40]!r}; choose {codes}")
    return chosen


def fetch_voice(name: str, progress: bool | None = None) -> Path:
    """The folder ``hub.home()/models/NAME`` with NAME.onnx and NAME.onnx.json, both checked.

    Args:
        name: a name from `list_voices`, or one of the voice's older names; the folder and the files
            are called by the newest.
        progress: a bar on standard error; None: only when that is a terminal.

    Raises:
        InputError: no such voice; names the nearest.
        WeightsError: the list or the voice isn't on disk and can't be fetched, or is damaged.
    """
    name = unicodedata.normalize("NFC", name)
    if name in hub.names("tts"):
        return hub.fetch(name, progress)
    kept = _kept()
    found = kept.find(name) if kept else None
    if found is None or hub.missing_files(found.pinned, _folder(found.pinned)):
        known = _newest()
        found = known.find(name)
        if found is None:
            raise _unknown(name, known)
    if found.about.name in hub.names("tts"):  # by an older name
        return hub.fetch(found.about.name, progress)
    return hub.fetch_entry(found.pinned, progress)


def _folder(entry: Entry) -> Path:
    return hub.home() / "models" / entry.name


def _unknown(name: str, known: _Catalogue) -> InputError | WeightsError:
    if name in known.refused:
        return WeightsError(
            f"voice {name!r} is not fetched: its entry in {REPO}'s voices.json is not usable "
            f"({known.refused[name]}); choose another voice"
        )
    names = [*known.voices, *known.aliases]
    near = difflib.get_close_matches(name[:100], names, n=3, cutoff=0.5)
    do = f"did you mean {' or '.join(near)}?" if near else "choose one of list_voices()"
    return InputError(f"voice {name[:100]!r} is unknown; {do}")


def _newest() -> _Catalogue:
    """The list, at most a day old where the network allows.

    Raises:
        WeightsError: it isn't on disk and can't be fetched.
    """
    kept = _kept()
    if kept and _is_fresh():
        return kept
    if hub.offline():
        problem = "SPEECHKIT_OFFLINE forbids the network"
    else:
        try:
            return _download()
        except (sources.Refused, _Damaged) as e:
            problem = str(e)
        except OSError as e:
            problem = f"it cannot be stored in {hub.home()} ({e.strerror or e})"
        if kept:
            log.warning("the list of voices is not the newest: %s", problem)
    if kept:
        return kept
    raise WeightsError(
        f"the list of voices is not in {_path()} and cannot be fetched: {problem}; "
        "try again with a network and without SPEECHKIT_OFFLINE, or give a Piper .onnx file"
    )


def _path() -> Path:
    return hub.home() / _LIST.name


def _is_fresh() -> bool:
    try:
        return 0 <= time.time() - _path().stat().st_mtime < MAX_AGE_S
    except OSError:
        return False


def _kept() -> _Catalogue | None:
    """The list on disk, of any age; None where there is none, or a damaged one."""
    try:
        return _parse(_path().read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, _Damaged) as e:
        log.warning("%s is not used: %s", _path(), e)
        return None


def _download() -> _Catalogue:
    """Fetch the list, and keep it when it can be read.

    Raises:
        sources.Refused, _Damaged, OSError: it can't be had, read or kept.
    """
    home = hub.home()
    with (
        hub.locked(_LIST, home),
        TemporaryDirectory(
            prefix=hub.staging_prefix(_LIST), dir=home, ignore_cleanup_errors=True
        ) as staging,
    ):
        if _is_fresh() and (kept := _kept()):  # another process fetched it meanwhile
            return kept
        job = sources.Job(_LIST, Path(staging), lambda count: None)
        sources.from_hub(job, _LIST.files)
        new = job.ready / _LIST.name
        found = _parse(new.read_bytes())
        os.utime(new)
        os.replace(new, _path())
        return found


class _Damaged(Exception):
    """Something that is not Piper's list of voices; the message says why, on one line."""


def _parse(data: bytes) -> _Catalogue:
    """Read the list. Voices with an entry that can't be trusted or understood are left out.

    Raises:
        _Damaged: it is no such list at all.
    """
    try:
        listed = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise _Damaged(f"voices.json is damaged: {' '.join(str(e).split())[:200]}") from e
    if not isinstance(listed, dict):
        raise _Damaged("voices.json is damaged: no JSON object")
    voices: dict[str, _Voice] = {}
    aliases: dict[str, str] = {}
    refused: dict[str, str] = {}
    for key, fields in listed.items():
        name = unicodedata.normalize("NFC", key)
        try:
            voice = _voice(name, fields)
            older = [unicodedata.normalize("NFC", alias) for alias in fields.get("aliases", ())]
        except (KeyError, TypeError, AttributeError, ValueError) as e:
            reason = f"no {e}" if isinstance(e, KeyError) else str(e)
            refused[name] = " ".join(reason.split())[:200]
            continue
        voices[name] = voice
        aliases |= dict.fromkeys(older, name)
    if not voices:
        raise _Damaged("voices.json is damaged: no voice in it can be used")
    if refused:
        log.info("voices left out: %s", ", ".join(map(repr, list(refused)[:10])))
    return _Catalogue(voices, {a: n for a, n in aliases.items() if a not in voices}, refused)


def _voice(name: str, fields: Mapping[str, Any]) -> _Voice:
    """One entry of the list.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it is not as expected.
    """
    other_kind = name in catalog.ENTRIES and catalog.ENTRIES[name].kind != "tts"
    if not _KEY.fullmatch(name) or ".." in name or other_kind:
        raise ValueError(f"{name[:60]!r} is no name of a voice")
    files = _files(name, fields["files"])
    speakers = fields["num_speakers"]
    if type(speakers) is not int or speakers < 1:
        raise ValueError(f"{speakers!r} speakers")
    language = fields["language"]
    about = VoiceEntry(
        name=name,
        language=_text(language["code"]),
        language_name=_text(language["name_english"]),
        quality=_text(fields["quality"]),
        speakers=speakers,
        size=sum(file.size for file in files),
    )
    pinned = Entry(
        name=name,
        kind="tts",
        about=f"Piper voice, {about.language_name}, {about.quality}",
        licence="see the voice's MODEL_CARD",
        files=files,
        repo=REPO,
        revision=REVISION,
    )
    return _Voice(about, pinned)


def _files(name: str, listed: Mapping[str, Any]) -> tuple[File, ...]:
    """The two files of a voice, from all that the list has for it."""
    found: dict[str, File] = {}
    for path, fields in listed.items():
        steps = path.split("/")
        if "\\" in path or ":" in path or any(step in ("", ".", "..") for step in steps):
            raise ValueError(f"{path[:100]!r} is no path in a repository")
        last = unicodedata.normalize("NFC", steps[-1])
        if last not in (f"{name}.onnx", f"{name}.onnx.json"):
            continue  # model cards and samples
        size, md5 = fields["size_bytes"], fields["md5_digest"]
        if type(size) is not int or size < 1 or not _MD5.fullmatch(md5):
            raise ValueError(f"{last}: size {size!r}, MD5 {md5!r:.50}")
        found[last] = hub.Md5File(name=last, size=size, source=path, parts=(), md5=md5)
    if len(found) != 2:
        raise ValueError(f"{name}.onnx and {name}.onnx.json are not both among its files")
    return tuple(found[key] for key in sorted(found))


def _text(value: object) -> str:
    """A string that can be shown on one line."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"{value!r:.50} instead of a text")
    return value
