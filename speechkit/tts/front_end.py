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
from speechkit.tts.normalize import normalize, say_as
from speechkit.tts.phonemes import closing_mark, phonemize
from speechkit.tts.piper import VoiceConfig
from speechkit.tts.scripts import own_script
from speechkit.tts.ssml import Passage, is_ssml, parse_ssml
from speechkit.tts.text import split, tidy
from speechkit.tts.word_times import Span, place_words

log = logging.getLogger("speechkit")

_PARAGRAPH = re.compile(r"\n\s*\n")
_INLINE = re.compile("([\ue000-\uf8ff])")
_ENDED = re.compile(r"[.!?…。！？:;,][\"'”’)\]]*\s*$")


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
        source: as it was written, with the lexicon's spellings.
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
        text: as it was written, with the lexicon's spellings; a part of a very long sentence, as it
            is spoken.
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
        self._reads_letters, self._unicode_form = config.reads_letters, config.unicode_form

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
        parts = tidy(normalize(own_script(piece.text, self.language), self.language))
        found = [self._sentence(part, piece) for part in parts]
        spoken = [sentence for sentence in found if sentence is not None]
        return [replace(spoken[0], text=piece.source)] if len(spoken) == 1 else spoken

    def _form(self, phonemes: str) -> str:
        """In the Unicode form in which the voice names its symbols."""
        return unicodedata.normalize(self._unicode_form, phonemes)

    def _sentence(self, text: str, piece: Piece) -> Sentence | None:
        tokens: list[str] = []
        groups: list[str] = []
        for part in _INLINE.split(text):
            ipa = piece.inline.get(part)
            if ipa is not None:
                tokens.append(ipa)
                groups += self._form(ipa).split()
                continue
            tokens += part.split()
            mark = closing_mark(part) if groups else ""  # of a clause that phonemes end
            if mark:
                groups[-1] += mark
                part = part.lstrip()[1:]
            groups += "".join(self._sounds(part)).split()
        phonemes = list(" ".join(groups))
        unknown = sorted(set(phonemes) - self._symbols)
        if unknown:
            log.warning("the voice has no sound for %s in %r", " ".join(unknown), text[:60])
            phonemes = [p for p in phonemes if p in self._symbols]
        if not any(p.isalpha() for p in phonemes):
            return None
        spelled = set(piece.inline.values())
        words = place_words(
            tokens, phonemes, lambda word: list(word) if word in spelled else self._sounds(word)
        )
        return Sentence(text, tuple(phonemes), tuple(words), 0.0, piece.rate, piece.gain)

    def _sounds(self, text: str) -> list[str]:
        """The phonemes of a text, or its letters, for a voice that was trained on letters."""
        if self._reads_letters:
            return list(self._form(" ".join(text.lower().split())))
        return list(self._form("".join(phonemize(text, self.language))))


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
        if last and not passage.ends_paragraph:
            pause = 0.0 if open_end else pauses.sentence
        source = " ".join(_INLINE.sub(lambda mark: inline.get(mark[0], ""), sentence).split())
        break_s = passage.pause_s if last else 0.0
        yield Piece(sentence, source, inline, pause, break_s, passage.rate, gain)
    if not found and passage.pause_s:
        yield Piece("", "", {}, 0.0, passage.pause_s, passage.rate, gain)


def _later(sentence: Sentence, seconds: float) -> Sentence:
    return replace(sentence, pause_s=sentence.pause_s + seconds)
