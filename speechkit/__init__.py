"""speechkit: speech recognition, synthesis and speaker recognition on your own machine.

    import speechkit as sk
    print(sk.load_asr("base").transcribe("talk.m4a").text)
    sk.load_tts("en_US-joe-medium").synthesize("Hello.").save("hello.wav")
    print(sk.load_speaker_encoder().verify("a.wav", "b.wav").same)

Names are loaded when they are first used, so importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechkit.asr import Transcriber, Transcript, load_asr
    from speechkit.audio import Audio, Limits, load_audio, stream_audio
    from speechkit.encode import AudioWriter, save_audio
    from speechkit.errors import (
        AudioError,
        InputError,
        ProcessorError,
        SpeechkitError,
        WeightsError,
    )
    from speechkit.loop import VoiceLoop
    from speechkit.pipeline import Pipeline, Reply
    from speechkit.respond import Chat, Echo
    from speechkit.speaker import SpeakerBook, SpeakerEncoder, Turn, diarize, load_speaker_encoder
    from speechkit.tts import Speech, Voice, load_tts
    from speechkit.tutor import Tutor
    from speechkit.vad import SpeechDetector, Stretch, detect_speech

__version__ = "0.1.0"

_HOME = {
    "speechkit.asr": ("Transcriber", "Transcript", "load_asr"),
    "speechkit.audio": ("Audio", "Limits", "load_audio", "stream_audio"),
    "speechkit.encode": ("AudioWriter", "save_audio"),
    "speechkit.errors": (
        "AudioError",
        "InputError",
        "ProcessorError",
        "SpeechkitError",
        "WeightsError",
    ),
    "speechkit.loop": ("VoiceLoop",),
    "speechkit.pipeline": ("Pipeline", "Reply"),
    "speechkit.respond": ("Chat", "Echo"),
    "speechkit.speaker": (
        "SpeakerBook",
        "SpeakerEncoder",
        "Turn",
        "diarize",
        "load_speaker_encoder",
    ),
    "speechkit.tts": ("Speech", "Voice", "load_tts"),
    "speechkit.tutor": ("Tutor",),
    "speechkit.vad": ("SpeechDetector", "Stretch", "detect_speech"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Audio",
    "AudioError",
    "AudioWriter",
    "Chat",
    "Echo",
    "InputError",
    "Limits",
    "Pipeline",
    "ProcessorError",
    "Reply",
    "SpeakerBook",
    "SpeakerEncoder",
    "Speech",
    "SpeechDetector",
    "SpeechkitError",
    "Stretch",
    "Transcriber",
    "Transcript",
    "Turn",
    "Tutor",
    "Voice",
    "VoiceLoop",
    "WeightsError",
    "detect_speech",
    "diarize",
    "load_asr",
    "load_audio",
    "load_speaker_encoder",
    "load_tts",
    "save_audio",
    "stream_audio",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'speechkit' has no attribute {name!r}")
    return getattr(import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
