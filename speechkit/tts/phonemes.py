"""Text → phonemes with espeak-ng, which comes as a library in a wheel: no program is called.

The voices were trained on espeak's phonemes (IPA, with stress marks), written out clause by clause with
the punctuation that ends each clause, as Piper writes them.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import shutil
import tempfile
import threading
import unicodedata
from functools import lru_cache
from pathlib import Path

from speechkit.errors import InputError

_AUDIO_OUTPUT_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: no sound device is opened
_INITIALIZE_DONT_EXIT = 0x8000  # report missing data instead of ending the process
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02

_MAX_DATA_PATH = 150  # bytes: espeak cuts its paths off near 160

_MARKS = frozenset(".!?,;:…—–。！？、，；：")
# Read backwards: espeak reads up to a word's first letter past the mark that ends a clause.
_CLAUSE_END = re.compile(r"\w?(\W*)")
_SPOKEN_MARK = str.maketrans("…—–。！？、，；：", ".,,.!?,,;:")
_LANGUAGE_FLAG = re.compile(r"\([a-z-]+\)")  # espeak writes "(fr)" where it changes language


class Espeak:
    """The espeak-ng library. It keeps one voice for the whole process, so calls take turns.

    Raises:
        InputError: espeak's data can't be loaded, or lies under a path too long for espeak.
    """

    def __init__(self) -> None:
        import espeakng_loader

        self._lock = threading.Lock()
        self._voice: str | None = None
        lib = ctypes.CDLL(espeakng_loader.get_library_path())
        lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        lib.espeak_TextToPhonemes.argtypes = [
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.c_int,
            ctypes.c_int,
        ]
        lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
        lib.espeak_Info.restype = ctypes.c_char_p
        data = _data_path(espeakng_loader.get_data_path())
        if lib.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, _INITIALIZE_DONT_EXIT) < 0:
            raise InputError(
                "espeak-ng can't load its data; reinstall it: "
                "pip install --force-reinstall espeakng-loader"
            )
        self._lib = lib

    @property
    def version(self) -> str:
        """The library's version, for example "1.52.0"."""
        version: bytes = self._lib.espeak_Info(None)
        return version.decode()

    def clauses(self, text: str, voice: str) -> list[tuple[str, str]]:
        """The clauses of `text`: (IPA phonemes, words separated by spaces; closing mark or "").

        Args:
            text: any text; espeak reads numbers and common abbreviations by itself.
            voice: espeak's name of the language, for example "en-us", "de", "fr".

        Raises:
            InputError: espeak knows no such voice.
        """
        data = text.replace("\0", " ").encode(errors="ignore")  # lone surrogates say nothing
        buffer = ctypes.create_string_buffer(data)
        base = ctypes.addressof(buffer)
        at = ctypes.c_void_p(base)
        found = []
        with self._lock:
            self._choose(voice)
            while at.value:
                start = at.value - base
                ipa = self._lib.espeak_TextToPhonemes(ctypes.byref(at), _CHARS_UTF8, _PHONEMES_IPA)
                end = at.value - base if at.value else len(data)
                clause = data[start:end].decode(errors="ignore")
                found.append((_tidy(ipa.decode()), _clause_mark(clause)))
        return found

    def _choose(self, voice: str) -> None:
        if voice == self._voice:
            return
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            self._voice = None
            raise InputError(
                f"espeak has no voice {voice!r}; give a language it knows, such as en-us, de, fr"
            )
        self._voice = voice


def _data_path(path: str) -> bytes:
    """`path` in bytes; where espeak would cut it off, a short link to it, removed at exit."""
    data = os.fsencode(path)
    if len(data) <= _MAX_DATA_PATH:
        return data
    advice = (
        f"espeak-ng's data lies under a path too long for it: {path}; install under a shorter path"
    )
    try:
        folder = tempfile.mkdtemp(prefix="espeak-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        link = Path(folder, "data")
        link.symlink_to(path, target_is_directory=True)
    except OSError as e:
        raise InputError(f"{advice} (no short link can be made: {e.strerror})") from e
    if len(os.fsencode(link)) > _MAX_DATA_PATH:
        raise InputError(f"{advice}, or set TMPDIR to a shorter path")
    return os.fsencode(link)


def _clause_mark(clause: str) -> str:
    """The first mark after the clause's last word, or ""."""
    tail = _CLAUSE_END.match(clause[::-1])
    return next((c for c in reversed(tail[1]) if c in _MARKS), "") if tail else ""


def closing_mark(text: str) -> str:
    """The mark that `text` begins with, as it is spoken; "" for other text."""
    first = text.lstrip()[:1]
    return first.translate(_SPOKEN_MARK) if first in _MARKS else ""


def _tidy(ipa: str) -> str:
    return " ".join(_LANGUAGE_FLAG.sub("", ipa).split())


def espeak() -> Espeak:
    """The one espeak-ng library of this process."""
    with _making:  # two of them would change each other's language
        return _espeak()


_making = threading.Lock()
_espeak = lru_cache(maxsize=1)(Espeak)


def phonemize(text: str, voice: str) -> list[str]:
    """The phonemes of `text` as single characters (Unicode NFD), with spaces and closing marks.

    Example: "Hi, Bo." → h a ɪ , space b ˈ o ʊ .

    Raises:
        InputError: espeak knows no such voice.
    """
    pieces = []
    for ipa, mark in espeak().clauses(text, voice):
        if ipa:
            pieces.append(ipa + mark.translate(_SPOKEN_MARK))
    return list(unicodedata.normalize("NFD", " ".join(pieces)))
