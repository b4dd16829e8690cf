"""`Voice`: text in, speech out, above any VITS engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechkit import hub
from speechkit.audio import Audio
from speechkit.errors import InputError
from speechkit.runtime import check_seed
from speechkit.tts.engine import Controls, TtsEngine
from speechkit.tts.english import write_out
from speechkit.tts.phonemes import phonemize
from speechkit.tts.text import sentences

log = logging.getLogger("speechkit")

DEFAULT_VOICE = "en_US-joe-medium"
SPEEDS = (0.25, 4.0)
MAX_PAUSE_S = 60.0
MAX_NOISE = 2.0  # beyond, durations run away: the voices say e to the power of what is drawn


@dataclass(frozen=True)
class Phoneme:
    """One spoken symbol: an IPA character, a stress mark or a punctuation mark.

    Attributes:
        symbol: the character.
        start, end: seconds from the start of the speech.
    """

    symbol: str
    start: float
    end: float


@dataclass(frozen=True, eq=False, repr=False)
class Speech(Audio):
    """Synthesised audio that knows when each phoneme is spoken.

    Attributes:
        phonemes: in order; the gaps are silence and transitions that belong to no symbol.
    """

    phonemes: tuple[Phoneme, ...] = ()


class Voice:
    """A voice that speaks text.

    Attributes:
        name: the voice's name.
        sample_rate: Hz of its speech.
        language: espeak's name of its language.
    """

    def __init__(self, engine: TtsEngine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.sample_rate = engine.config.sample_rate
        self.language = engine.config.language

    def synthesize(
        self,
        text: str,
        *,
        speed: float = 1.0,
        seed: int = 0,
        noise_scale: float | None = None,
        noise_w: float | None = None,
        pause_s: float = 0.25,
        progress: Callable[[float, float], object] | None = None,
    ) -> Speech:
        """Speak `text`.

        Args:
            text: any text. What the voice can't say (unknown symbols) is left out.
            speed: 1 is the voice's own pace, 2 twice as fast; 0.25 to 4.
            seed: of the voice's random variation, from 0; the same seed gives the same samples.
            noise_scale: spread of the sound, 0 to 2; the voice's own by default.
            noise_w: spread of the durations, 0 to 2; the voice's own by default.
            pause_s: silence between sentences, 0 to 60 seconds.
            progress: called with the sentences done and the sentences in all.

        Returns:
            The speech at `sample_rate`, with the times of its phonemes.

        Raises:
            InputError: nothing to speak in `text`, or an argument out of range.
        """
        chunks = list(
            self.stream(
                text,
                speed=speed,
                seed=seed,
                noise_scale=noise_scale,
                noise_w=noise_w,
                pause_s=pause_s,
                progress=progress,
            )
        )
        samples = np.concatenate([chunk.samples for chunk in chunks])
        phonemes, start = [], 0.0
        for chunk in chunks:
            phonemes += [Phoneme(p.symbol, p.start + start, p.end + start) for p in chunk.phonemes]
            start += chunk.duration
        return Speech(samples, self.sample_rate, tuple(phonemes))

    def stream(
        self,
        text: str,
        *,
        speed: float = 1.0,
        seed: int = 0,
        noise_scale: float | None = None,
        noise_w: float | None = None,
        pause_s: float = 0.25,
        progress: Callable[[float, float], object] | None = None,
    ) -> Iterator[Speech]:
        """Speak `text` sentence by sentence; the chunks in a row are `synthesize`'s samples.

        Arguments and errors are those of `synthesize`; the errors come at once, not with the first
        chunk. Times of phonemes count from the chunk's start.
        """
        for name, value, low, high in (
            ("speed", speed, *SPEEDS),
            ("pause_s", pause_s, 0.0, MAX_PAUSE_S),
            ("noise_scale", noise_scale, 0.0, MAX_NOISE),
            ("noise_w", noise_w, 0.0, MAX_NOISE),
        ):
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value}; give {low:g} to {high:g}")
        check_seed(seed)
        spoken = self._spoken(text)
        if not spoken:
            raise InputError(
                f"nothing to speak in {_excerpt(text)}; give a text with letters or digits"
            )
        own = self.engine.config
        controls = Controls(
            length_scale=own.length_scale / speed,
            noise_scale=own.noise_scale if noise_scale is None else noise_scale,
            noise_w=own.noise_w if noise_w is None else noise_w,
            seed=seed,
        )
        return self._chunks(spoken, controls, pause_s, progress)

    def _chunks(
        self,
        spoken: list[list[str]],
        controls: Controls,
        pause_s: float,
        progress: Callable[[float, float], object] | None,
    ) -> Iterator[Speech]:
        """The speech of each sentence, with the pause that follows it."""
        for i, phonemes in enumerate(spoken):
            pause = pause_s if i + 1 < len(spoken) else 0.0
            yield self._sentence(phonemes, replace(controls, seed=controls.seed + i), pause)
            if progress:
                progress(i + 1, len(spoken))

    def warm_up(self) -> None:
        """Speak a word into nothing, so that the first real call is as quick as the next."""
        self.synthesize("Ready.")

    def _spoken(self, text: str) -> list[list[str]]:
        """Phonemes of each sentence that has any the voice knows."""
        if self.language.startswith("en"):
            text = write_out(text)
        spoken = []
        for sentence in sentences(text):
            phonemes = phonemize(sentence, self.language)
            unknown = {p for p in phonemes if p not in self.engine.config.symbols}
            if unknown:
                log.warning("voice %s can't say %s", self.name, " ".join(sorted(unknown)))
            if any(p.isalpha() and p not in unknown for p in phonemes):
                spoken.append(phonemes)
        return spoken

    def _sentence(self, phonemes: list[str], controls: Controls, pause_s: float) -> Speech:
        ids, symbols = self.engine.config.ids(phonemes)
        latent = self.engine.plan(ids, controls)
        samples = self.engine.render(latent, 0, latent.frames)
        ends = np.cumsum(latent.durations) * self.engine.hop_length / self.sample_rate
        starts = np.concatenate([[0.0], ends[:-1]])
        timed = tuple(
            Phoneme(symbol, float(start), float(end))
            for symbol, start, end in zip(symbols, starts, ends, strict=True)
            if symbol not in "_^$"
        )
        pause = np.zeros(round(pause_s * self.sample_rate), np.float32)
        samples = np.clip(np.concatenate([samples, pause]), -1.0, 1.0)
        return Speech(samples, self.sample_rate, timed)


def load_tts(
    voice: str | Path = DEFAULT_VOICE, *, engine: str = "reference", device: str = "auto"
) -> Voice:
    """Load a voice, fetching its weights first where they are missing.

    Args:
        voice: a name from `speechkit models list`, or the path of a Piper `.onnx` file that has its
            `.onnx.json` beside it.
        engine: "reference" (Coqui's `Vits`).
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: unknown voice or engine.
        WeightsError: the weights can't be had or are damaged.
    """
    from speechkit.tts.coqui import load_engine

    if engine != "reference":
        raise InputError(f"engine {engine!r} is unknown; choose reference")
    voice = str(voice)
    if voice.endswith(".onnx"):
        path = Path(voice)
        return Voice(load_engine(path.parent, path.stem, device), path.stem)
    if voice not in hub.names("tts"):
        raise InputError(
            f"voice {voice!r} is unknown; choose {' or '.join(hub.names('tts'))}, "
            "or give the path of a Piper .onnx file"
        )
    return Voice(load_engine(hub.fetch(voice), voice, device), voice)


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
