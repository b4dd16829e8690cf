"""The work of a voice loop, in two threads: hear (words), and answer (voice, reply, speech)."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from weakref import WeakKeyDictionary

import numpy as np

from speechkit.asr.transcript import Transcript
from speechkit.audio import Audio
from speechkit.decode import Samples
from speechkit.errors import AudioError, InputError
from speechkit.loop.player import Player
from speechkit.marks import ENDS, WIDE_ENDS
from speechkit.pipeline import Pipeline
from speechkit.respond import Responder, pieces
from speechkit.speaker.encoder import Embedding, similarity
from speechkit.tts.text import split
from speechkit.vad import SAMPLE_RATE

log = logging.getLogger("speechkit")

REFUSAL = "I only talk with people I know, and I don't know your voice."
APOLOGY = "Sorry, something went wrong while I was looking for an answer."
SAMPLE_OF_OWN_VOICE = "This is my own voice, and I should know it when I hear it again."
OWN = 0.4  # cosine to the loop's own voice from which on it is its echo
VOICE_S = 10.0  # seconds of a turn that its speaker is known by, the last ones
PAUSE_S = 0.2  # between two sentences of a reply
MAY_END = frozenset(ENDS + WIDE_ENDS + "\n")  # without one of these no sentence ends
_INITIAL = re.compile(r"\b[^\W\d_]\.$")
_own_voices: WeakKeyDictionary[Pipeline, Embedding] = WeakKeyDictionary()  # loops may share a kit


@dataclass
class Answer:
    """What is known of a turn: its words, its speaker, the reply. Filled in by the threads.

    Attributes:
        generation: when the loop's is another one, nobody wants this answer any more.
        mark: probability of the punctuation behind the last word.
        language: of the words.
        decided: set when the turn has really ended, or is not wanted any more.
        held: whether the reply waits for `decided`.
        reply: the responder's.
        ends: sentences that are being spoken, and the samples at which they end.
    """

    generation: int
    text: str | None = None
    mark: float = 1.0
    language: str | None = None
    speaker: str | None = None
    knows_speaker: bool = False
    sentences: deque[str] = field(default_factory=deque)
    timings: dict[str, float] = field(default_factory=dict)
    decided: threading.Event = field(default_factory=threading.Event)
    held: bool = False
    reply: str | Iterable[str] = ""
    ends: list[tuple[str, int]] = field(default_factory=list)
    fault: BaseException | None = None

    def up_to(self, samples: int) -> str:
        """The sentences that have begun within so many samples of the spoken reply."""
        starts = [0, *(end for _, end in self.ends)]
        return " ".join(
            s for (s, _), start in zip(self.ends, starts, strict=False) if start < samples
        )


class Worker:
    """Two threads that use the models for one loop.

    Attributes:
        generation: of the answer that is wanted.
    """

    def __init__(
        self,
        kit: Pipeline,
        player: Player,
        respond: Responder,
        language: str | None,
        only_enrolled: bool,
        seed: int,
    ) -> None:
        self.kit, self.player, self.respond = kit, player, respond
        self.language, self.only_enrolled, self.seed = language, only_enrolled, seed
        self.generation = 0
        self._speculative = bool(getattr(respond, "speculative", False))
        self._hearing = ThreadPoolExecutor(1, "speechkit-hear")
        self._answering = ThreadPoolExecutor(1, "speechkit-answer")

    def warm_up(self) -> None:
        """Load and use all models once."""
        self.kit.load()
        self.kit.asr.warm_up()
        self.kit.voice.warm_up()
        self._own_voice()
        if hasattr(self.respond, "warm_up"):
            self.respond.warm_up()

    def guess(self, samples: Samples) -> Future[Transcript]:
        """The words so far."""
        return self._hearing.submit(self._words, samples)

    def is_somebody(self, samples: Samples) -> Future[bool | None]:
        """Whether somebody else than the loop itself says something; None without a word so far."""
        return self._hearing.submit(self._is_somebody, samples)

    def answer(
        self, answer: Answer, before: str, samples: Samples, voice: Samples
    ) -> list[Future[None]]:
        """Fill in an answer.

        Args:
            answer: to be filled in.
            before: words of the turn that are settled.
            samples: with the rest of its words, 16 kHz.
            voice: all of the turn, to know the speaker by.
        """
        known = self._answering.submit(self._run, self._recognise, answer, voice)
        heard = self._hearing.submit(self._run, self._hear, answer, before, samples)
        return [known, heard, self._answering.submit(self._run, self._reply, answer, heard)]

    def abandon(self, answer: Answer | None, heard: str | None) -> None:
        """Nobody wants the answer any more; of its reply `heard` was heard, None for all of it."""
        self.generation += 1
        if answer:
            answer.decided.set()
            if heard is not None:
                _stop(answer, heard)

    def close(self) -> None:
        """End both threads; what they do now is finished first."""
        self.generation = -1
        self._hearing.shutdown(wait=True, cancel_futures=True)
        self._answering.shutdown(wait=True, cancel_futures=True)

    def _run(self, stage: object, answer: Answer, *arguments: object) -> None:
        """A stage, unless nobody wants the answer; its fault is the answer's."""
        if answer.generation != self.generation:
            return
        try:
            stage(answer, *arguments)  # type: ignore[operator]
        except Exception as e:
            answer.fault = e

    def _words(self, samples: Samples, beam_size: int = 3) -> Transcript:
        return self.kit.asr.transcribe(
            (SAMPLE_RATE, samples),
            language=self.language,
            beam_size=beam_size,
            retry=False,
            words=True,
        )

    def _is_somebody(self, samples: Samples) -> bool | None:
        try:
            own = similarity(self._own_voice(), self.kit.encoder.embed((SAMPLE_RATE, samples)))
        except AudioError as e:  # too short or too soft to have a voice
            log.debug("speech during the reply without a voice: %s", e)
            return None
        log.debug("somebody speaks during the reply; cosine to its own voice %.2f", own)
        if own >= OWN:
            return False
        return any(map(str.isalnum, self._words(samples, beam_size=1).text)) or None

    def _own_voice(self) -> Embedding:
        """Of the kit's voice, made once."""
        if self.kit not in _own_voices:
            spoken = self.kit.voice.synthesize(SAMPLE_OF_OWN_VOICE)
            _own_voices[self.kit] = self.kit.encoder.embed(spoken)
        return _own_voices[self.kit]

    def _hear(self, answer: Answer, before: str, samples: Samples) -> None:
        start = time.perf_counter()
        heard = self._words(samples)
        answer.timings["hear"] = time.perf_counter() - start
        answer.language = heard.language
        if heard.segments:
            answer.mark = heard.segments[-1].words[-1].mark_probability
        answer.text = f"{before} {heard.text}".strip()

    def _recognise(self, answer: Answer, voice: Samples) -> None:
        start = time.perf_counter()
        try:
            last = voice[-int(VOICE_S * SAMPLE_RATE) :]
            answer.speaker = self.kit.book.identify((SAMPLE_RATE, last))
        except AudioError as e:  # too short or too soft to have a voice
            log.debug("no voice to recognise: %s", e)
        answer.timings["recognise"] = time.perf_counter() - start
        answer.knows_speaker = True

    def _reply(self, answer: Answer, heard: Future[None]) -> None:
        heard.result()
        if answer.text is None or not answer.text:  # there was a fault, or nothing was said
            self.player.complete(answer.generation)
            return
        if not self._speculative:
            answer.held = True
            answer.decided.wait()
            answer.held = False
            if answer.generation != self.generation:
                return
        start = time.perf_counter()
        first = True
        for sentence in self._sentences(answer):
            if answer.generation != self.generation:
                return
            answer.ends.append((sentence, answer.ends[-1][1] if answer.ends else 0))
            answer.timings.setdefault("answer", time.perf_counter() - start)
            answer.sentences.append(sentence)
            if not self._speak(answer, sentence, first):
                return
            first = False
        self.player.complete(answer.generation)

    def _sentences(self, answer: Answer) -> Iterator[str]:
        """The sentences of the reply as they come."""
        if self.only_enrolled and answer.speaker is None:
            yield REFUSAL
            return
        try:
            answer.reply = self.respond(answer.text or "", answer.speaker)
            if answer.generation != self.generation:
                _stop(answer, "")
                return
            wanted = takewhile(lambda _: answer.generation == self.generation, pieces(answer.reply))
            yield from sentences_of(wanted)
        except Exception:
            log.exception("the responder failed")
            yield APOLOGY

    def _speak(self, answer: Answer, sentence: str, first: bool) -> bool:
        """False when nobody wants to hear it any more."""
        start = time.perf_counter()
        try:
            for chunk in self.kit.voice.stream(sentence, seed=self.seed):
                answer.timings.setdefault("speak", time.perf_counter() - start)
                pause = 0 if first else round(PAUSE_S * chunk.sample_rate)
                first = True
                piece = Audio(np.pad(chunk.samples, (pause, 0)), chunk.sample_rate)
                answer.ends[-1] = (sentence, answer.ends[-1][1] + len(piece.samples))
                if not self.player.put(answer.generation, piece):
                    return False
        except InputError as e:  # nothing in it can be spoken
            log.debug("not spoken: %s", e)
        return True


def _stop(answer: Answer, heard: str) -> None:
    """A reply that can be stopped is."""
    if stop := getattr(answer.reply, "stop", None):
        stop(heard)


def sentences_of(parts: Iterable[str]) -> Iterator[str]:
    """A text that comes in pieces, sentence by sentence, each as soon as it is known to have ended."""
    text, may_end = "", False
    for part in parts:
        text += part
        may_end = may_end or not MAY_END.isdisjoint(part)
        if may_end and len(known := split(text)) > 1:
            rest = known[-1] + text[len(text.rstrip()) :]
            begun = len(rest.split(maxsplit=1)) == 1 and not rest[-1].isspace()
            if begun and _INITIAL.search(known[-2]):  # "J. He" may become "J. Hendrix"
                continue
            yield from known[:-1]
            text, may_end = rest, not MAY_END.isdisjoint(rest)
    yield from split(text)
