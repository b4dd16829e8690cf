"""Text → phonemes with espeak-ng, which comes as a library in a wheel: no program is called.

The voices were trained on espeak's phonemes (IPA, with stress marks), written out clause by clause with
the punctuation that ends each clause, as Piper writes them.
"""

from __future__ import annotations

import ctypes
import re
import threading
import unicodedata
from functools import lru_cache

from speechkit.errors import InputError

_AUDIO_OUTPUT_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: no sound device is opened
_INITIALIZE_DONT_EXIT = 0x8000  # report missing data instead of ending the process
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02

# espeak reads up to a word's first letter past the mark that ends a clause.
_CLAUSE_END = re.compile(r"([.!?,;:…—–。！？、，；：])[^\w]*\w?$")
_SPOKEN_MARK = str.maketrans("…—–。！？、，；：", ".,,.!?,,;:")
_LANGUAGE_FLAG = re.compile(r"\([a-z-]+\)")  # espeak writes "(fr)" where it changes language


class Espeak:
    """The espeak-ng library. It keeps one voice for the whole process, so calls take turns."""

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
        data = espeakng_loader.get_data_path().encode()
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
                mark = _CLAUSE_END.search(data[start:end].decode(errors="ignore"))
                found.append((_tidy(ipa.decode()), mark.group(1) if mark else ""))
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


def _tidy(ipa: str) -> str:
    return " ".join(_LANGUAGE_FLAG.sub("", ipa).split())


@lru_cache(maxsize=1)
def espeak() -> Espeak:
    """The one espeak-ng library of this process."""
    return Espeak()


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
