"""Speech synthesis: `load_tts` gives a `Voice`."""

from speechkit.tts.lexicon import Lexicon
from speechkit.tts.speech import Phoneme, Speech
from speechkit.tts.voice import How, Voice, load_tts

__all__ = ["How", "Lexicon", "Phoneme", "Speech", "Voice", "load_tts"]
