"""Speech synthesis: `load_tts` gives a `Voice`."""

from speechkit.tts.voice import Phoneme, Speech, Voice, load_tts

__all__ = ["Phoneme", "Speech", "Voice", "load_tts"]
