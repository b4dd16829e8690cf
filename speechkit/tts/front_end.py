"""Text → sentences in phonemes: what a voice has to say, and how long it pauses.

    text ──► passages (SSML) ──► paragraphs ──► sentences ──► words written out ──► phonemes

Each step has a module of its own; here they come together, sentence by sentence, so a voice starts
to speak before the end of a long text is read.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from speechkit.tts.inline import extract_phonemes
from speechkit.tts.lexicon import Lexicon
from speechkit.tts.normalize import normalize, say_as, transliterate
from speechkit.tts.phonemes import phonemize
from speechkit.tts.piper import VoiceConfig
from speechkit.tts.ssml import Passage, is_ssml, parse_ssml
from speechkit.tts.text import split, tidy
from speechkit.tts.word_times import Span, place_words

log = logging.getLogger("speechkit")

_PARAGRAPH = re.compile(r"\n\s*\n")
_INLINE = re.compile("([\ue000-\uf8ff])")
_WORD = re.compile(r"\w+")
_ENDED = re.compile(r"[.!?…。！？:;,][\"'”’)\]]*\s*$")
# First letters of a script's Unicode names; languages that are not here are written in Latin letters.
_SCRIPTS = {
    "CYRILLIC": "ru uk be bg mk sr kk ky tt ba cv",
    "GREEK": "el grc",
    "ARABIC": "ar fa ur ug sd",
    "HEBREW": "he",
    "DEVANAGARI": "hi mr ne kok",
    "BENGALI": "bn as bpy",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy hyw",
    "CJK HIRAGANA KATAKANA BOPOMOFO": "cmn yue hak zh ja",
    "HANGUL": "ko",
    "THAI": "th",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "SINHALA": "si",
    "ETHIOPIC": "am",
    "MYANMAR": "my shn",
    "ORIYA": "or",
}


@dataclass(frozen=True)
class Pauses:
    """Seconds of silence.

    Attributes:
        comma: at least so long at a comma, a semicolon, a colon or a dash; None: as the voice has it.
        sentence: between sentences.
        paragraph: between paragraphs.
    """

    comma: float | None = None
    sentence: float = 0.25
    paragraph: float = 0.6


@dataclass(frozen=True)
class Piece:
    """A sentence that is not yet read.

    Attributes:
        text: with a private-use character for each of the inline phonemes.
        source: as it was written.
        inline: private-use character → IPA.
        pause_s: silence between it and a next sentence.
        break_s: silence that was asked for, which stays at the end too.
        rate, gain: as in `Sentence`.
    """

    text: str
    source: str
    inline: dict[str, str]
    pause_s: float
    break_s: float
    rate: float
    gain: float


@dataclass(frozen=True)
class Sentence:
    """What is said in one breath.

    Attributes:
        text: as it was written; a part of a very long sentence, as it is spoken.
        phonemes: IPA characters, spaces and marks that the voice knows.
        words: each word as it is spoken, with the phonemes that are its own.
        pause_s: silence after it.
        rate: factor of the speed.
        gain: factor of the samples.
    """

    text: str
    phonemes: tuple[str, ...]
    words: tuple[Span, ...]
    pause_s: float
    rate: float = 1.0
    gain: float = 1.0


class FrontEnd:
    """Reads text for a voice of one language.

    Attributes:
        language: espeak's name of it.
        lexicon: how words are said that it would read wrongly.
    """

    def __init__(self, config: VoiceConfig, lexicon: Lexicon | None = None) -> None:
        """`config` says the language of a voice, and the phonemes or letters that it knows."""
        self.language, self.lexicon = config.language, lexicon
        self._symbols = frozenset(config.symbols)
        self._reads_letters = config.reads_letters
        base = config.language.split("-")[0]
        own = [script for script, codes in _SCRIPTS.items() if base in codes.split()]
        self._scripts = tuple(own[0].split()) if own else ("LATIN",)

    def passages(self, text: str) -> list[Passage]:
        """The text, or the passages of an SSML document.

        Raises:
            InputError: SSML that can't be parsed.
        """
        if is_ssml(text):
            passages = parse_ssml(
                text, lambda what, kind, detail: say_as(what, kind, detail, self.language)
            )
        else:
            passages = [Passage(text)]
        if self.lexicon is None:
            return passages
        return [replace(p, text=self.lexicon.apply(p.text)) for p in passages]

    def pieces(self, text: str, pauses: Pauses) -> list[Piece]:
        """The text cut into sentences, not yet read: quick, however long it is.

        Raises:
            InputError: SSML that can't be parsed, or too many inline phonemes.
        """
        return [piece for passage in self.passages(text) for piece in _cut(passage, pauses)]

    def sentences(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, Sentence]]:
        """What the pieces have to say, with their pauses; lazily.

        Each sentence comes with the number of pieces read so far.

        Raises:
            InputError: a language that espeak does not know.
        """
        pending: Sentence | None = None
        natural = 0.0  # the pause between it and a next one
        for count, piece in enumerate(pieces):
            for sentence in self._read(piece):
                if pending is not None:
                    yield count, _later(pending, natural)
                pending, natural = sentence, 0.0
            if pending is not None:
                pending = _later(pending, piece.break_s)
                natural = max(natural, piece.pause_s)
            elif piece.break_s:
                pending = Sentence("", (), (), piece.break_s)
        if pending is not None:
            yield len(pieces), pending

    def _read(self, piece: Piece) -> list[Sentence]:
        """A piece in phonemes; what has no sound that the voice knows is left out."""
        parts = tidy(normalize(self._readable(piece.text), self.language))
        found = [self._sentence(part, piece) for part in parts]
        spoken = [sentence for sentence in found if sentence is not None]
        return [replace(spoken[0], text=piece.source)] if len(spoken) == 1 else spoken

    def _sentence(self, text: str, piece: Piece) -> Sentence | None:
        tokens: list[str] = []
        groups: list[str] = []
        for part in _INLINE.split(text):
            ipa = piece.inline.get(part)
            tokens += part.split() if ipa is None else [ipa]
            sounds = self._sounds(part) if ipa is None else [*_decomposed(ipa)]
            groups += "".join(sounds).split(" ")
        phonemes = list(" ".join(group for group in groups if group))
        unknown = sorted(set(phonemes) - self._symbols)
        if unknown:
            log.warning("the voice has no sound for %s in %r", " ".join(unknown), text[:60])
            phonemes = [p for p in phonemes if p in self._symbols]
        if not any(p.isalpha() for p in phonemes):
            return None
        words = place_words(tokens, phonemes, self._sounds)
        return Sentence(text, tuple(phonemes), tuple(words), 0.0, piece.rate, piece.gain)

    def _sounds(self, text: str) -> list[str]:
        """The phonemes of a text, or its letters, for a voice that was trained on letters."""
        if self._reads_letters:
            return [*_decomposed(" ".join(text.lower().split()))]
        return phonemize(text, self.language)

    def _readable(self, text: str) -> str:
        """Words in a script that the language is not written in, in Latin letters."""
        return _WORD.sub(
            lambda word: word[0] if self._knows(word[0]) else f"{transliterate(word[0])} ", text
        )

    def _knows(self, word: str) -> bool:
        if word.isascii():
            return True
        letters = [unicodedata.name(c, "") for c in word if c.isalpha()]
        return all(name.startswith(("LATIN", *self._scripts)) for name in letters)


def _cut(passage: Passage, pauses: Pauses) -> Iterator[Piece]:
    text, ipa = extract_phonemes(passage.text)
    inline = {chr(0xE000 + i): symbols for i, symbols in enumerate(ipa)}
    gain = 10 ** (passage.volume_db / 20)
    paragraphs = [split(paragraph) for paragraph in _PARAGRAPH.split(text)]
    found = [
        (sentence, i + 1 == len(paragraph))
        for paragraph in paragraphs
        for i, sentence in enumerate(paragraph)
    ]
    open_end = bool(found) and not _ENDED.search(text)
    for i, (sentence, ends) in enumerate(found):
        last = i + 1 == len(found)
        pause = pauses.paragraph if ends else pauses.sentence
        if last and not text.endswith("\n\n"):
            pause = 0.0 if open_end else pauses.sentence
        source = _INLINE.sub(lambda mark: inline.get(mark[0], ""), sentence)
        break_s = passage.pause_s if last else 0.0
        yield Piece(sentence, source, inline, pause, break_s, passage.rate, gain)
    if not found and passage.pause_s:
        yield Piece("", "", {}, 0.0, passage.pause_s, passage.rate, gain)


def _decomposed(ipa: str) -> str:
    return unicodedata.normalize("NFD", ipa)


def _later(sentence: Sentence, seconds: float) -> Sentence:
    return replace(sentence, pause_s=sentence.pause_s + seconds)
