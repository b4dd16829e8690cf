"""What a voice loop tells: one frozen class for each kind of event."""

from __future__ import annotations

from dataclasses import dataclass, field

from speechkit.audio import Audio


@dataclass(frozen=True)
class Event:
    """What all events have.

    Attributes:
        at: seconds of audio that the loop had heard.
        turn: number of the turn, from 1 on.
    """

    at: float
    turn: int


@dataclass(frozen=True)
class SpeechStarted(Event):
    """Somebody began to speak: a turn begins."""


@dataclass(frozen=True)
class PartialText(Event):
    """What is understood so far: `text` only grows, `pending` may change.

    At pauses more than 10 s apart the words are read anew, and `text` may change.
    """

    text: str
    pending: str


@dataclass(frozen=True)
class FinalText(Event):
    """The turn has ended: all its words. Given again for the same turn if the speaker went on."""

    text: str


@dataclass(frozen=True)
class SpeakerHeard(Event):
    """Who spoke: `name`, or None for a voice that isn't known."""

    name: str | None


@dataclass(frozen=True)
class ReplyText(Event):
    """The next sentence of the reply, before its audio. Given anew if the speaker went on."""

    text: str


@dataclass(frozen=True)
class ReplyAudio(Event):
    """The next piece of the reply, to be played at once behind the one before it."""

    audio: Audio = field(repr=False)


@dataclass(frozen=True)
class Ducked(Event):
    """Somebody seems to speak during the reply; `Resumed` or `Interrupted` follows, but for a fault.

    What is handed out from now on is softer. A player makes softer what it has not played yet.
    """


@dataclass(frozen=True)
class Resumed(Event):
    """It was nothing, or the reply's own echo: the reply goes on as loud as before."""


@dataclass(frozen=True)
class Interrupted(Event):
    """Somebody speaks: the reply stops, and what was handed out and not played is void.

    A new turn begins with the words that interrupted.
    """


@dataclass(frozen=True)
class TurnDone(Event):
    """The reply has been heard, or was interrupted, or there were no words.

    Attributes:
        timings: seconds. `silence`: from the end of speech to the decision that the turn has ended;
            `wait`: from there to the first sample of the reply; and of work, much of it done before
            the decision: `hear` (words), `recognise` (voice), `answer`, `speak` (the first piece).
        interrupted: whether somebody spoke during the reply.
    """

    timings: dict[str, float]
    interrupted: bool = False
