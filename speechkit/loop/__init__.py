"""The voice loop: live audio in, events of a spoken conversation out."""

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
from speechkit.loop.turn_taking import TurnTaking
from speechkit.loop.voice_loop import VoiceLoop

__all__ = [
    "Ducked",
    "Event",
    "FinalText",
    "Interrupted",
    "PartialText",
    "ReplyAudio",
    "ReplyText",
    "Resumed",
    "SpeakerHeard",
    "SpeechStarted",
    "TurnDone",
    "TurnTaking",
    "VoiceLoop",
]
