"""Speech recognition: `load_asr` gives a `Transcriber`."""

from collections.abc import Callable

from speechkit.asr.engine import AsrEngine
from speechkit.asr.formats import FORMATS
from speechkit.asr.transcriber import Transcriber
from speechkit.asr.transcript import Dropped, Segment, Transcript, Word
from speechkit.errors import InputError

__all__ = ["FORMATS", "Dropped", "Segment", "Transcriber", "Transcript", "Word", "load_asr"]

DEFAULT_MODEL = "base"


def load_asr(
    model: str = DEFAULT_MODEL, *, engine: str = "fast", device: str = "auto"
) -> Transcriber:
    """Load a Whisper model, fetching its weights first where they are missing.

    Args:
        model: "base" (many languages) or "tiny.en", whose weights are pinned. For the fast engine also
            the folder of a Whisper model in CTranslate2's format; for the reference engine any
            official name of openai-whisper ("small", "large-v3", ...), which its own host serves, or
            a `.pt` file.
        engine: "fast" (CTranslate2) or "reference" (openai-whisper).
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: unknown model or engine.
        WeightsError: the weights can't be had or are damaged.
        ProcessorError: the device can't be used.
    """
    from speechkit.asr import ctranslate, openai

    loaders: dict[str, Callable[[str, str], AsrEngine]] = {
        "fast": ctranslate.load_engine,
        "reference": openai.load_engine,
    }
    if engine not in loaders:
        raise InputError(f"engine {engine!r} is unknown; choose {' or '.join(loaders)}")
    return Transcriber(loaders[engine](model, device), model)
