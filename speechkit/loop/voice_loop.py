"""`VoiceLoop`: a spoken conversation over live audio.

The clock of the loop is the audio that it has heard: frames go in, and events come out, among them
the pieces of the reply that are due. Two threads work beside it: one hears (words), one answers
(voice, reply, speech). All that they make carries a generation number; what was begun before the
speaker went on, or interrupted, has an old number and is thrown away.

    idle ─speech─► listening ─silence─► waiting ─first piece─► replying ─all heard─► idle
                       ▲   ◄─speech goes on─┘                      │
                       └────────────── speech, confirmed ──────────┘

Work on the reply begins at the first short silence, on the guess that the turn has ended.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np

from speechkit.asr.live import Frames
from speechkit.asr.transcript import Transcript
from speechkit.audio import Audio, Resampler, as_audio
from speechkit.decode import Samples
from speechkit.errors import AudioError, SpeechkitError
from speechkit.loop.echo import ECHO, EchoGuard
from speechkit.loop.events import (
    Ducked,
    Event,
    FinalText,
    Interrupted,
    PartialText,
    ReplyAudio,
    ReplyText,
    Resumed,
    SpeakerHeard,
    SpeechStarted,
    TurnDone,
)
from speechkit.loop.heard import Heard
from speechkit.loop.interruption import Interruption
from speechkit.loop.player import Player
from speechkit.loop.turn_taking import TurnTaking
from speechkit.loop.work import Answer, Worker
from speechkit.pipeline import Pipeline
from speechkit.respond import Responder
from speechkit.runtime import check_seed
from speechkit.vad import FRAME, FRAME_S, QUIET, SAMPLE_RATE, SPEECH, SpeechDetector

log = logging.getLogger("speechkit")

BEFORE_S = 0.5  # of audio that is kept before speech is noticed
KEPT_S = 10.0  # of audio that is kept: what interrupts a reply is heard from its beginning
SLICE = 3  # frames that are worked on before the threads' work is looked at
SETTLE_S = 10.0  # a pause in a turn longer than this settles the words before it
IDLE, LISTENING, WAITING, REPLYING = "idle", "listening", "waiting", "replying"


class VoiceLoop:
    """A conversation: give it the microphone's audio, play what it answers.

        with sk.VoiceLoop() as loop:
            for event in loop.run(frames):
                ...

    Attributes:
        state: "idle", "listening", "waiting" or "replying".
        turn: number of the last turn.
    """

    def __init__(
        self,
        kit: Pipeline | None = None,
        *,
        respond: Responder | None = None,
        language: str | None = "en",
        only_enrolled: bool = False,
        turn_taking: TurnTaking | None = None,
        seed: int = 0,
    ) -> None:
        """Models are loaded when they are first used, or by `warm_up`.

        Args:
            kit: the models; loops may share one.
            respond: what chooses the reply, for this conversation only; the kit's by default.
            language: of the speaker; None detects it in each turn.
            only_enrolled: strangers are heard and politely refused.
            turn_taking: how long to wait.
            seed: of the voice's variation.

        Raises:
            InputError: a seed out of range.
        """
        check_seed(seed)
        self.kit = kit or Pipeline()
        self.state, self.turn = IDLE, 0
        self._taking = turn_taking or TurnTaking()
        self._how = (respond or self.kit.respond, language, only_enrolled, seed)
        self._worker_: Worker | None = None
        self._player = Player(self._taking.lead)
        self._closed = False
        self._detector = SpeechDetector()
        self._resampler: Resampler | None = None
        self._rate = 0  # Hz of the frames
        self._rest: Samples = np.zeros(0, np.float32)  # not yet a frame
        self._clock = 0  # frames heard
        self._recent: deque[Samples] = deque(maxlen=round(KEPT_S / FRAME_S))
        self._speaking = 0  # frames of speech in a row
        self._turn = Heard([])
        self._answer: Answer | None = None
        self._guess: Future[Transcript] | None = None
        self._work: list[Future[Any]] = []
        self._said_final = self._said_speaker = False
        self._timings: dict[str, float] = {}
        self._decided_at = 0.0  # perf_counter
        self._ended = 0  # frame at which the last turn was decided to have ended
        self._echo = EchoGuard()
        self._burst = Interruption(self._taking)

    def warm_up(self) -> None:
        """Load and use all models once, so that the first turn is as quick as the next."""
        self._worker.warm_up()

    def __enter__(self) -> VoiceLoop:
        """The loop itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Stop; no thread is left. What is worked on right now is finished first."""
        self._closed = True
        if self._worker_:
            self._abandon(self._given())
            self._worker_.close()

    def run(self, frames: Frames, *, wait: bool = False) -> Iterator[Event]:
        """The events of a whole conversation.

        When the frames end, silence follows until the last reply has been given.

        Args:
            frames: pieces of audio of any length, as `Audio` or (rate, array), all of one rate.
            wait: for recordings: do not go on while work is under way, so that events come at the same
                places every time, however slow the machine is.

        Raises:
            AudioError: a piece that isn't audio, or another rate than that of the first.
            SpeechkitError: as `feed`; to go on after an error, call `feed` in its place.
        """
        for frame in frames:
            for piece in self._slices(frame) if wait else [frame]:
                yield from self.feed(piece)
                if wait:
                    yield from self.settle()
        rate = self._rate or SAMPLE_RATE
        while self.state != IDLE:
            started = time.perf_counter()
            yield from self.feed((rate, np.zeros(rate // 10, np.float32)))
            if wait:
                yield from self.settle()
            else:
                time.sleep(max(0.0, 0.1 - (time.perf_counter() - started)))

    def feed(self, frame: Any) -> list[Event]:
        """The next piece of audio, as `Audio` or (rate, array); the events up to its end.

        Raises:
            AudioError: a piece that isn't audio, or another rate than that of the first.
            SpeechkitError: the loop is closed, or what a model raised: the turn is over then, and what
                this piece of audio had brought is lost. The next one may follow.
        """
        if self._closed:
            raise SpeechkitError("this voice loop is closed; make a new one")
        samples = np.concatenate([self._rest, self._at_16_khz(frame)])
        whole = len(samples) // FRAME * FRAME
        self._rest = samples[whole:]
        events: list[Event] = []
        pieces = samples[:whole].reshape(-1, FRAME)
        speech = self._detector.feed(samples[:whole]).tolist()
        fault: Exception | None = None
        for start in range(0, max(len(pieces), 1), SLICE):
            some = slice(start, start + SLICE)
            for piece, probability in zip(pieces[some], speech[some], strict=True):
                events += self._step(piece, probability)
            try:
                events += self._collect()
            except Exception as e:
                fault = e
        if fault:
            raise fault
        return events

    def _slices(self, frame: Any) -> Iterator[Audio]:
        """A piece of audio in short ones."""
        audio = as_audio(frame)
        size = max(round(SLICE * FRAME_S * audio.sample_rate), 1)
        for start in range(0, len(audio.samples), size):
            yield Audio(audio.samples[start : start + size], audio.sample_rate)

    def settle(self) -> list[Event]:
        """Wait until all work is done that can be done now; the events it brings."""
        while self._busy():
            time.sleep(0.001)
        return self._collect()

    def _busy(self) -> bool:
        answer = self._answer
        waits = self._player.full or (answer and answer.held and not answer.decided.is_set())
        futures = [self._guess, self._burst.asking, *([] if waits else self._work)]
        return any(future and not future.done() for future in futures)

    @property
    def underruns(self) -> int:
        """How often a piece of a reply was due and not made yet: a gap within speech."""
        return self._player.underruns

    @property
    def timings(self) -> dict[str, float]:
        """Of the turn under way, as `TurnDone` has them; those that are known."""
        work = self._answer.timings if self._answer else {}
        return {name: round(s, 3) for name, s in {**self._timings, **work}.items()}

    @property
    def _worker(self) -> Worker:
        if self._worker_ is None:
            self._worker_ = Worker(self.kit, self._player, *self._how)
        return self._worker_

    @property
    def _now(self) -> float:
        return self._clock * FRAME_S

    def _at_16_khz(self, frame: Any) -> Samples:
        audio = as_audio(frame)
        if self._resampler is None:
            self._rate = audio.sample_rate
            self._resampler = Resampler(self._rate, SAMPLE_RATE)
        if audio.sample_rate != self._rate:
            raise AudioError(
                f"the stream changes from {self._rate} to {audio.sample_rate} Hz; begin a new loop"
            )
        return self._resampler.feed(audio.samples)

    # Hearing ----------------------------------------------------------------------------------------

    def _step(self, frame: Samples, probability: float) -> Iterator[Event]:
        """One frame of 32 ms."""
        self._clock += 1
        self._recent.append(frame)
        if probability >= QUIET and self._is_echo():
            probability = 0.0
        self._speaking = self._speaking + 1 if probability >= SPEECH else 0
        if self.state == IDLE:
            self._hear_burst(probability)
            if self._speaking * FRAME_S >= self._taking.onset:  # it may have begun during a reply
                yield self._begin()
        elif self.state == REPLYING:
            yield from self._listen_for_interruption(probability)
        else:
            if self.state == WAITING:
                self._hear_burst(probability)
            self._listen(frame, probability)
        yield from self._play()

    def _hear_burst(self, probability: float) -> None:
        """A frame of what may become a turn."""
        self._burst.hear(probability >= SPEECH, self._clock - 1)
        if self._burst.is_over:
            self._burst.forget()

    def _begin(self) -> Event:
        """A turn begins, with the speech that has been heard."""
        self.turn += 1
        self.state = LISTENING
        self._turn = Heard(self._burst_frames())
        self._said_final = self._said_speaker = False
        self._timings = {}
        return SpeechStarted(self._now, self.turn)

    def _listen(self, frame: Samples, probability: float) -> None:
        """A frame of a turn, or of the silence after it."""
        turn, taking, listening = self._turn, self._taking, self.state == LISTENING
        too_long = (len(turn.frames) + 1) * FRAME_S >= taking.longest
        if too_long and not listening:  # what else is said is for the next turn
            return
        turn.frames.append(frame)
        goes_on = probability >= QUIET and turn.quiet == 0
        again = self._speaking >= 2 if listening else self._speaking * FRAME_S >= taking.onset
        if goes_on or again:
            if self._answer and not too_long:
                self._go_on()
            turn.quiet = 0
            since = (len(turn.frames) - turn.guessed) * FRAME_S
            if since >= taking.step and self._guess is None:
                turn.guessed = len(turn.frames)
                self._guess = self._worker.guess(turn.samples)
        else:
            turn.quiet += 1
            if turn.quiet * FRAME_S > taking.trailing:  # a reply lets wait: the turn gets no longer
                del turn.frames[-min(round(BEFORE_S / FRAME_S), turn.quiet)]
        silence = turn.quiet * FRAME_S
        if self._answer is None and (silence >= taking.guess or too_long):
            self._answer = Answer(self._worker.generation, mark=turn.mark)
            voice = np.concatenate(turn.frames)
            self._work = [*self._worker.answer(self._answer, turn.settled, turn.samples, voice)]
        if self.state == LISTENING and self._answer and (too_long or self._is_over(silence)):
            self._decide(silence)

    def _is_over(self, silence: float) -> bool:
        """Whether so much silence ends the turn."""
        answer = self._answer
        if answer is None or answer.text is None:
            return silence >= self._taking.trailing
        return silence >= self._taking.patience(answer.text, answer.language, answer.mark)

    def _decide(self, silence: float) -> None:
        self.state = WAITING
        self._burst.forget()
        self._ended = self._clock
        self._timings["silence"] = silence
        self._decided_at = time.perf_counter()
        self._player.release()
        if self._answer:
            self._answer.decided.set()

    def _go_on(self) -> None:
        """The speaker goes on: what was begun is void, and the words before a long pause are settled."""
        turn, answer = self._turn, self._answer
        if answer and answer.text and (len(turn.frames) - turn.part) * FRAME_S > SETTLE_S:
            part = len(turn.frames) - self._speaking - min(turn.quiet // 2, 8)
            turn.settle(answer.text, answer.mark, part)
            self._guess = None  # of what is settled now
        self._abandon(heard="")
        self.state = LISTENING
        self._said_final = self._said_speaker = False

    def _given(self) -> str:
        """The sentences of the reply that have been handed out, if only in part."""
        return self._answer.up_to(self._player.given) if self._answer else ""

    def _abandon(self, heard: str | None = None) -> None:
        """Nobody wants what is being worked on; of its reply `heard` was heard, None for all."""
        self._worker.abandon(self._answer, heard)
        self._player.begin(self._worker.generation)
        self._answer = None

    # Answering --------------------------------------------------------------------------------------

    def _collect(self) -> list[Event]:
        """What the threads have made known."""
        events: list[Event] = []
        answer = self._answer
        guess = self._guess if self._guess and self._guess.done() else None  # once: it may end now
        somebody = self._burst.asking if self._burst.is_answered else None
        faults = (future.exception() for future in (guess, somebody) if future)
        if fault := (answer and answer.fault) or next(filter(None, faults), None):
            self._abandon(self._given())
            self.state, self._guess = IDLE, None
            self._burst.forget()
            raise fault
        if guess:
            self._guess = None
        if guess and self.state == LISTENING:
            events.append(PartialText(self._now, self.turn, *self._turn.agree(guess.result().text)))
        if answer and self.state in (WAITING, REPLYING):
            events += self._known(answer)
        if somebody:
            events += self._confirmed()
        return events + list(self._play())

    def _known(self, answer: Answer) -> Iterator[Event]:
        """Words, speaker and reply of a turn that has ended, each once."""
        if answer.text is not None and not self._said_final:
            if not answer.text:  # nobody said anything
                self._abandon()
                self.state = IDLE
                yield TurnDone(self._now, self.turn, self.timings)
                return
            self._said_final = True
            yield FinalText(self._now, self.turn, answer.text)
        if answer.knows_speaker and self._said_final and not self._said_speaker:
            self._said_speaker = True
            yield SpeakerHeard(self._now, self.turn, answer.speaker)
        while answer.sentences and self._said_speaker:
            yield ReplyText(self._now, self.turn, answer.sentences.popleft())

    def _play(self) -> Iterator[Event]:
        """The piece of the reply that is due."""
        if self.state not in (WAITING, REPLYING) or not self._said_speaker:
            return
        over, piece = self._player.is_over(self._now), self._player.take(self._now)
        if self._answer:
            yield from self._known(self._answer)
        if piece:
            start, audio = piece
            if self.state == WAITING:
                self.state = REPLYING
                self._timings["wait"] = time.perf_counter() - self._decided_at
            self._echo.play(round(start * SAMPLE_RATE), audio.resample(SAMPLE_RATE).samples)
            yield ReplyAudio(self._now, self.turn, audio)
        elif over and not self._burst.is_pending:
            yield from self._be_loud()
            yield TurnDone(self._now, self.turn, self.timings)
            self._abandon()
            self.state = IDLE

    # Interruption -----------------------------------------------------------------------------------

    def _listen_for_interruption(self, probability: float) -> Iterator[Event]:
        """A frame during the reply: its echo, a cough, or somebody who wants to speak."""
        burst, speech = self._burst, probability >= SPEECH
        burst.hear(speech, self._clock - 1)
        if speech and burst.seconds >= self._taking.duck and not self._player.ducked:
            self._player.duck(self._taking.softer)
            yield Ducked(self._now, self.turn)
        if burst.is_to_be_asked:
            burst.ask(self._worker.is_somebody(np.concatenate(self._burst_frames())))
        if burst.is_over:
            yield from self._resume()

    def _is_echo(self) -> bool:
        """Whether what was heard last is the reply itself."""
        heard = np.concatenate(list(self._recent)[-8:])
        return self._echo.explained(self._clock * FRAME, heard) >= ECHO

    def _burst_frames(self) -> list[Samples]:
        """From a little before the first frame of speech that is no echo; nothing of the last turn."""
        count = self._clock - self._burst.start + round(BEFORE_S / FRAME_S)
        return list(self._recent)[-min(count, self._clock - self._ended) :]

    def _confirmed(self) -> Iterator[Event]:
        """The answer whether somebody speaks."""
        somebody = self._burst.answer()
        if self.state != REPLYING or somebody is None:
            return
        if not somebody:
            yield from self._resume()
            return
        yield Interrupted(self._now, self.turn)
        yield TurnDone(self._now, self.turn, self.timings, interrupted=True)
        self._abandon(self._given())
        yield self._begin()

    def _resume(self) -> Iterator[Event]:
        """It was nothing."""
        self._burst.forget()
        yield from self._be_loud()

    def _be_loud(self) -> Iterator[Event]:
        """The reply is as loud as it was."""
        if self._player.ducked:
            self._player.resume()
            yield Resumed(self._now, self.turn)
