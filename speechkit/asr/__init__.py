"""Speech recognition: `load_asr` gives a `Transcriber`."""

from speechkit.asr.transcriber import Transcriber
from speechkit.asr.transcript import FORMATS, Dropped, Segment, Transcript, Word
from speechkit.errors import InputError

__all__ = ["FORMATS", "Dropped", "Segment", "Transcriber", "Transcript", "Word", "load_asr"]

DEFAULT_MODEL = "base"


def load_asr(
    model: str = DEFAULT_MODEL, *, engine: str = "reference", device: str = "auto"
) -> Transcriber:
    """Load a Whisper model, fetching its weights first where they are missing.

    Args:
        model: "base" (many languages) or "tiny.en", whose weights are pinned; any official name of
            openai-whisper ("small", "large-v3", ...), which its own host serves; or a `.pt` file.
        engine: "reference" (openai-whisper).
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: unknown model or engine.
        WeightsError: the weights can't be had or are damaged.
    """
    from speechkit.asr.openai import load_engine

    if engine != "reference":
        raise InputError(f"engine {engine!r} is unknown; choose reference")
    return Transcriber(load_engine(model, device), model)
