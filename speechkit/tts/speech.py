"""What synthesis returns: audio that knows when each sentence, word and phoneme is spoken."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from speechkit.asr.transcript import Segment, Transcript, Word
from speechkit.audio import Audio
from speechkit.tts.engine import Samples
from speechkit.tts.front_end import Sentence


@dataclass(frozen=True)
class Phoneme:
    """One spoken symbol: an IPA character, a stress mark or a punctuation mark.

    Attributes:
        symbol: the character.
        start, end: seconds from the start of the speech.
    """

    symbol: str
    start: float
    end: float


@dataclass(frozen=True, eq=False, repr=False)
class Speech(Audio):
    """Synthesised audio that knows when what is spoken, from the model's own durations.

    Attributes:
        phonemes: in order; the gaps are silence and transitions that belong to no symbol.
        sentences: as they were written, with their words as they are spoken.
        language: espeak's name of it, such as "en-us".
    """

    phonemes: tuple[Phoneme, ...] = ()
    sentences: tuple[Segment, ...] = ()
    language: str = ""

    @property
    def words(self) -> tuple[Word, ...]:
        """Each word as it is spoken ("42" is two), with its times."""
        return tuple(word for sentence in self.sentences for word in sentence.words)

    @property
    def transcript(self) -> Transcript:
        """What is spoken, for subtitles: `speech.transcript.save("hello.srt")`."""
        text = " ".join(sentence.text for sentence in self.sentences)
        return Transcript(text, self.language, self.duration, self.sentences)


class Times:
    """When each part of a planned sentence is spoken."""

    def __init__(
        self,
        sentence: Sentence,
        owners: list[int],
        durations: list[int],
        frame_s: float,
        language: str,
    ) -> None:
        self._frame_s, self._language = frame_s, language
        ends = np.cumsum(durations)
        starts = ends - np.array(durations)
        spans: dict[int, tuple[int, int]] = {}
        for owner, start, end in zip(owners, starts.tolist(), ends.tolist(), strict=True):
            if owner >= 0:
                spans[owner] = (spans.get(owner, (start, end))[0], end)
        self._phonemes = [(sentence.phonemes[i], *spans[i]) for i in sorted(spans)]
        self._words = []
        for word in sentence.words:  # the pause of a mark behind it is not the word's
            sounds = [i for i in range(word.start, word.stop) if sentence.phonemes[i].isalpha()]
            if sounds:
                self._words.append((word.text, spans[sounds[0]][0], spans[sounds[-1]][1]))
        self._text, self._frames = sentence.text, int(ends[-1])

    def chunk(self, samples: Samples, rate: int, start: int, stop: int) -> Speech:
        """Frames `start` to `stop`, with what begins in them; with the sentence, if it ends there."""

        def time(frame: int) -> float:
            return (frame - start) * self._frame_s

        phonemes = tuple(
            Phoneme(symbol, time(a), time(b))
            for symbol, a, b in self._phonemes
            if start <= a < stop
        )
        sentences: tuple[Segment, ...] = ()
        if stop >= self._frames:
            words = tuple(Word(text, time(a), time(b), 1.0) for text, a, b in self._words)
            first, last = self._phonemes[0][1], self._phonemes[-1][2]
            sentences = (Segment(time(first), time(last), self._text, 1.0, words),)
        return Speech(samples, rate, phonemes, sentences, self._language)


def join(chunks: list[Speech]) -> Speech:
    """The chunks in a row, as one."""
    phonemes: list[Phoneme] = []
    sentences: list[Segment] = []
    start = 0.0
    for chunk in chunks:
        phonemes += [replace(p, start=p.start + start, end=p.end + start) for p in chunk.phonemes]
        sentences += [sentence.later(start) for sentence in chunk.sentences]
        start += chunk.duration
    samples = np.concatenate([chunk.samples for chunk in chunks])
    one = chunks[0]
    return Speech(samples, one.sample_rate, tuple(phonemes), tuple(sentences), one.language)
