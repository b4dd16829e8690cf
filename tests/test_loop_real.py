"""The voice loop on the real models: a question, its own echo, somebody who interrupts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import speechkit as sk
from speechkit.augment import change_speed
from speechkit.loop import Event, FinalText, Interrupted, ReplyAudio, TurnDone, VoiceLoop

pytestmark = pytest.mark.real

RATE = 16_000
QUESTION = "What is the answer to my question?"
REPLY = (
    "The answer is not a short one. First there was a river, and the river had a bridge. "
    "Then somebody built a house beside the bridge, and the house became a town."
)
OTHER = 1.35  # speed that makes another voice of the voice


@pytest.fixture
def kit(loaded, voice, tmp_path) -> sk.Pipeline:  # type: ignore[no-untyped-def]
    return sk.Pipeline(book=tmp_path / "voices.db", respond=lambda *_: REPLY)


@pytest.fixture(scope="module")
def somebody(voice) -> Callable[[str], np.ndarray]:  # type: ignore[no-untyped-def]
    """A text in another voice than the loop's."""
    return lambda text: change_speed(voice.synthesize(text), OTHER).resample(RATE).samples


class Room:
    """A loop whose reply comes back to its microphone, 10 dB softer and 0.2 s late."""

    def __init__(self, loop: VoiceLoop) -> None:
        self.loop = loop
        self.events: list[Event] = []
        self._echo = np.zeros(0, np.float32)
        self._noise = np.random.default_rng(0)

    def hear(self, samples: np.ndarray) -> list[Event]:
        events: list[Event] = []
        for start in range(0, len(samples), RATE // 10):
            piece = samples[start : start + RATE // 10]
            own, self._echo = self._echo[: len(piece)], self._echo[len(piece) :]
            own = np.pad(own, (0, len(piece) - len(own)))
            hiss = 1e-3 * self._noise.standard_normal(len(piece)).astype(np.float32)
            fed = piece + 10 ** (-10 / 20) * own + hiss
            for event in [*self.loop.feed((RATE, fed)), *self.loop.settle()]:
                events.append(event)
                if isinstance(event, ReplyAudio):
                    fresh = event.audio.resample(RATE).samples
                    late = self._echo if len(self._echo) else np.zeros(RATE // 5, np.float32)
                    self._echo = np.concatenate([late, fresh])
        self.events += events
        return events

    def wait(self, state: str) -> None:
        for _ in range(300):
            if self.loop.state == state:
                return
            self.hear(np.zeros(RATE // 10, np.float32))
        raise AssertionError(f"it is {self.loop.state}, not {state}")


def of(kind: type, events: list[Event]) -> list:  # type: ignore[type-arg]
    return [event for event in events if isinstance(event, kind)]


def test_its_own_voice_does_not_interrupt_it(kit, somebody) -> None:  # type: ignore[no-untyped-def]
    with VoiceLoop(kit) as loop:
        room = Room(loop)
        room.hear(somebody(QUESTION))
        room.wait("replying")
        room.wait("idle")
        assert not of(Interrupted, room.events)
        assert "answer to my question" in of(FinalText, room.events)[0].text
        played = sum(len(e.audio.samples) for e in of(ReplyAudio, room.events))
        assert played > 0.9 * len(kit.voice.synthesize(REPLY, seed=0).samples)
        assert len(of(TurnDone, room.events)) == 1


@pytest.mark.parametrize("gain", [1.0, 0.6])  # 10 and 6 dB above the echo, about
def test_somebody_interrupts_it(kit, somebody, gain: float) -> None:  # type: ignore[no-untyped-def]
    with VoiceLoop(kit) as loop:
        room = Room(loop)
        room.hear(somebody(QUESTION))
        room.wait("replying")
        room.hear(np.zeros(RATE, np.float32))
        began = loop._now
        speech = gain * somebody("Please stop, I would like to ask something else.")
        events = room.hear(speech)
        stopped = of(Interrupted, events)
        assert stopped, "it went on"
        assert stopped[0].at - began < 1.5
        room.wait("idle")
        last = of(FinalText, room.events)[-1]
        assert last.turn == 2
        assert "something else" in last.text
