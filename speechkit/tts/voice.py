"""`Voice`: text in, speech out, above any VITS engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from typing_extensions import TypedDict, Unpack

from speechkit import hub
from speechkit.errors import InputError, ProcessorError, WeightsError
from speechkit.runtime import check_seed, map_ahead, threads
from speechkit.tts.engine import Controls, Samples, TtsEngine
from speechkit.tts.front_end import FrontEnd, Pauses, Sentence
from speechkit.tts.lexicon import Lexicon
from speechkit.tts.loudness import limit, measure_loudness
from speechkit.tts.speech import Speech, Times, join

DEFAULT_VOICE = "en_US-joe-medium"
SPEEDS = (0.25, 4.0)
MAX_PAUSE_S = 60.0
MAX_NOISE = 2.0  # beyond, durations run away: the voices say e to the power of what is drawn
LOUDNESSES = (-50.0, -8.0)  # LUFS
FIRST_FRAMES = 22  # of a streamed sentence; each chunk is GROWTH times the last one
GROWTH = 2
MOST_FRAMES = 512
COMMAS = ",;:"
NUMBERS = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
_WHOLE = 2**30  # frames: no sentence is as long

Progress = Callable[[float, float], object]


class How(TypedDict, total=False):
    """How a text is spoken: the keywords of `Voice.synthesize` and `Voice.stream`.

    Attributes:
        speed: 1 is the voice's own pace, 2 twice as fast; 0.25 to 4.
        seed: of the voice's random variation, from 0; the same seed gives the same samples.
        speaker: name or number, for a voice that has several.
        noise_scale: spread of the sound, 0 to 2; the voice's own by default.
        noise_w: spread of the durations, 0 to 2; the voice's own by default.
        comma_pause_s: silence at a comma, semicolon or colon is at least this long, 0 to 60 seconds.
        pause_s: silence between sentences, 0 to 60 seconds; 0.25 by default.
        paragraph_pause_s: silence between paragraphs; 0.6 by default.
        loudness: of the voice, in LUFS (ITU-R BS.1770), -50 to -8; its own by default. One gain for the
            whole text, found on some words of its own; peaks are rounded off.
    """

    speed: float
    seed: int
    speaker: str | int | None
    noise_scale: float | None
    noise_w: float | None
    comma_pause_s: float | None
    pause_s: float
    paragraph_pause_s: float
    loudness: float | None


@dataclass(frozen=True)
class _Manner:
    """How a text is spoken, checked and in the engine's terms."""

    controls: Controls
    pauses: Pauses
    gain: float


class Voice:
    """A voice that speaks text.

    Attributes:
        name: the voice's name.
        sample_rate: Hz of its speech.
        language: espeak's name of its language.
        speakers: names of its speakers; most voices have one.
        front_end: what reads text for it.
    """

    def __init__(self, engine: TtsEngine, name: str, lexicon: Lexicon | None = None) -> None:
        self.engine = engine
        self.name = name
        self.sample_rate = engine.config.sample_rate
        self.language = engine.config.language
        self.speakers = tuple(engine.config.speakers)
        self.front_end = FrontEnd(engine.config, lexicon)
        self._loudness: dict[int, float] = {}

    def synthesize(
        self, text: str, *, progress: Progress | None = None, **how: Unpack[How]
    ) -> Speech:
        """Speak `text`.

        Args:
            text: any text, or an SSML document (`<speak>...</speak>`). Phonemes stand in it as
                [[həlˈoʊ]]. Words in a script that is not the language's are transliterated; a
                sound that the voice does not have is reported in the log.
            progress: called with the sentences done and the sentences in all.
            how: speed, seed, pauses and so on; see `How`.

        Returns:
            The speech at `sample_rate`, with the times of its sentences, words and phonemes.

        Raises:
            InputError: nothing to speak in `text`, SSML that can't be parsed, or an argument out of
                range.
        """
        return join(list(self.sentences(text, progress=progress, **how)))

    def sentences(
        self, text: str, *, progress: Progress | None = None, **how: Unpack[How]
    ) -> Iterator[Speech]:
        """Speak `text` sentence by sentence, as many at once as there are threads.

        For a long text, which it needs no more memory for than for a short one. The sentences in a
        row are what `synthesize` returns. Arguments and errors are its own; the errors come at once.
        """
        manner = self._manner(**how)
        return self._side_by_side(*self._begin(text, manner), manner, progress)

    def stream(
        self, text: str, *, progress: Progress | None = None, **how: Unpack[How]
    ) -> Iterator[Speech]:
        """Speak `text` in chunks: the first lasts a quarter of a second, the next ones ever longer.

        The chunks in a row are `synthesize`'s samples (to 1e-5). Arguments and errors are its own; the
        errors come at once, not with the first chunk. Times count from the chunk's start; a phoneme
        stands in the chunk in which it begins, a sentence and its words in the one in which it ends.
        """
        manner = self._manner(**how)
        return self._chunks(*self._begin(text, manner), manner, progress)

    def warm_up(self) -> None:
        """Speak into nothing, so that the first real call is as quick as the next."""
        words = self._own_words()
        for _ in self.stream(words):
            pass
        self.synthesize(f"{words}\n\n{words}")

    def _manner(
        self,
        *,
        speed: float = 1.0,
        seed: int = 0,
        speaker: str | int | None = None,
        noise_scale: float | None = None,
        noise_w: float | None = None,
        comma_pause_s: float | None = None,
        pause_s: float = Pauses.sentence,
        paragraph_pause_s: float = Pauses.paragraph,
        loudness: float | None = None,
    ) -> _Manner:
        for name, value, low, high in (
            ("speed", speed, *SPEEDS),
            ("comma_pause_s", comma_pause_s, 0.0, MAX_PAUSE_S),
            ("pause_s", pause_s, 0.0, MAX_PAUSE_S),
            ("paragraph_pause_s", paragraph_pause_s, 0.0, MAX_PAUSE_S),
            ("noise_scale", noise_scale, 0.0, MAX_NOISE),
            ("noise_w", noise_w, 0.0, MAX_NOISE),
            ("loudness", loudness, *LOUDNESSES),
        ):
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value}; give {low:g} to {high:g}")
        check_seed(seed)
        own = self.engine.config
        controls = Controls(
            length_scale=own.length_scale / speed,
            noise_scale=own.noise_scale if noise_scale is None else noise_scale,
            noise_w=own.noise_w if noise_w is None else noise_w,
            seed=seed,
            speaker=self._speaker(speaker),
        )
        gain = 1.0
        if loudness is not None:
            gain = 10 ** ((loudness - self._own_loudness(controls.speaker)) / 20)
        return _Manner(controls, Pauses(comma_pause_s, pause_s, paragraph_pause_s), gain)

    def _speaker(self, speaker: str | int | None) -> int:
        if speaker is None:
            return 0
        known = self.engine.config.speakers
        if isinstance(speaker, str) and speaker in known:
            return known[speaker]
        if str(speaker).isdecimal() and int(speaker) in known.values():
            return int(speaker)
        names = ", ".join(list(known)[:20]) + (", ..." if len(known) > 20 else "")
        raise InputError(f"voice {self.name} has no speaker {speaker!r}; choose one of {names}")

    def _own_loudness(self, speaker: int) -> float:
        """LUFS of the voice as it is."""
        if speaker not in self._loudness:
            said = self.synthesize(self._own_words(), speaker=speaker)
            self._loudness[speaker] = measure_loudness(said.samples, said.sample_rate)
        return self._loudness[speaker]

    def _own_words(self) -> str:
        """Something that the voice can say: numbers, else the symbols that it knows."""
        if next(self.front_end.sentences(self.front_end.pieces(NUMBERS, Pauses())), None):
            return NUMBERS
        letters = [s for s in self.engine.config.symbols if len(s) == 1 and s.isalpha()]
        return f"[[{' '.join(letters[:30])}]]"

    def _begin(self, text: str, manner: _Manner) -> tuple[Iterator[tuple[int, Sentence]], int]:
        """What the text has to say, after a look whether there is anything, and how many pieces."""
        pieces = self.front_end.pieces(text, manner.pauses)
        sentences = self.front_end.sentences(pieces)
        head = next(sentences, None)
        if head is None:
            raise InputError(
                f"nothing to speak in {_excerpt(text)}; give a text with letters or digits"
            )
        return chain([head], sentences), len(pieces)

    def _chunks(
        self,
        sentences: Iterator[tuple[int, Sentence]],
        total: int,
        manner: _Manner,
        progress: Progress | None,
    ) -> Iterator[Speech]:
        """One sentence after the other, in chunks that grow on from sentence to sentence."""
        frames = FIRST_FRAMES
        for i, (done, sentence) in enumerate(sentences):
            for chunk in self._sentence(self.engine, sentence, i, manner, frames):
                yield chunk
                length = len(chunk.samples) // self.engine.hop_length
                frames = max(FIRST_FRAMES, min(GROWTH * length, MOST_FRAMES))
            if progress:
                progress(done, total)

    def _side_by_side(
        self,
        sentences: Iterator[tuple[int, Sentence]],
        total: int,
        manner: _Manner,
        progress: Progress | None,
    ) -> Iterator[Speech]:
        """Whole sentences: one with all threads, several with one thread each."""
        first = list(islice(sentences, 2))
        alone = self.engine.alone if len(first) == 2 else None
        engine = alone or self.engine

        def speak(numbered: tuple[int, tuple[int, Sentence]]) -> tuple[int, Speech]:
            i, (done, sentence) = numbered
            return done, next(self._sentence(engine, sentence, i, manner, _WHOLE))

        work = enumerate(chain(first, sentences))
        for done, speech in map_ahead(speak, work, threads()) if alone else map(speak, work):
            yield speech
            if progress:
                progress(done, total)

    def _sentence(
        self, engine: TtsEngine, sentence: Sentence, i: int, manner: _Manner, frames: int
    ) -> Iterator[Speech]:
        """The `i`-th sentence and the pause behind it, the first chunk `frames` long."""
        pause = np.zeros(round(sentence.pause_s * self.sample_rate), np.float32)
        if not sentence.phonemes:
            yield Speech(pause, self.sample_rate, language=self.language)
            return
        controls = replace(
            manner.controls,
            seed=manner.controls.seed + i,
            length_scale=manner.controls.length_scale / sentence.rate,
        )
        ids, owners = engine.config.ids(sentence.phonemes)
        least = _least_frames(sentence, owners, manner.pauses.comma, self._frames)
        latent = engine.plan(ids, controls, least)
        hop = engine.hop_length
        times = Times(sentence, owners, latent.durations, hop / self.sample_rate, self.language)
        start = 0
        while start < latent.frames:
            stop = min(start + frames, latent.frames)
            if latent.frames - stop < FIRST_FRAMES:  # no crumb is left for a chunk of its own
                stop = latent.frames
            samples = self._level(engine.render(latent, start, stop), sentence, manner)
            if stop == latent.frames:
                samples = np.concatenate([samples, pause])
            yield times.chunk(samples, self.sample_rate, start, stop)
            start, frames = stop, min(GROWTH * (stop - start), max(frames, MOST_FRAMES))

    def _frames(self, seconds: float) -> int:
        return math.ceil(seconds * self.sample_rate / self.engine.hop_length)

    def _level(self, samples: Samples, sentence: Sentence, manner: _Manner) -> Samples:
        gain = manner.gain * sentence.gain
        return np.clip(samples, -1.0, 1.0) if gain == 1.0 else limit(np.float32(gain) * samples)


def _least_frames(
    sentence: Sentence, owners: list[int], comma_s: float | None, frames: Callable[[float], int]
) -> dict[int, int]:
    """Position of an id → frames that it must have: those of commas that are to be long."""
    if comma_s is None:
        return {}
    marks = {i for i, phoneme in enumerate(sentence.phonemes) if phoneme in COMMAS}
    return {at: frames(comma_s) for at, owner in enumerate(owners) if owner in marks}


def load_tts(
    voice: str | Path = DEFAULT_VOICE,
    *,
    engine: str = "fast",
    device: str = "auto",
    lexicon: Lexicon | Mapping[str, str] | str | Path | None = None,
) -> Voice:
    """Load a voice, fetching its weights first where they are missing.

    Args:
        voice: a name from `speechkit models list`, a name of Piper's catalogue (`speechkit voices`), the
            path of a Piper `.onnx` file that has its `.onnx.json` beside it, the folder of a Coqui
            VITS checkpoint, or one of Coqui's zoo, such as "coqui:tts_models/en/ljspeech/vits".
        engine: "fast" (ONNX Runtime, on the CPU) or "reference" (Coqui's `Vits`), which alone runs
            Coqui's checkpoints.
        device: "auto", "cpu" or "cuda", the last for the reference engine.
        lexicon: how words are said: word → spelling or [[IPA]], or the path of a file of them.

    Raises:
        InputError: unknown voice or engine, or a lexicon that can't be read.
        WeightsError: the weights can't be had or are damaged.
        ProcessorError: the device can't be used.
    """
    if engine not in ("fast", "reference"):
        raise InputError(f"engine {engine!r} is unknown; choose fast or reference")
    if isinstance(lexicon, str | Path):
        lexicon = Lexicon.read(lexicon)
    elif lexicon is not None and not isinstance(lexicon, Lexicon):
        lexicon = Lexicon(lexicon)
    folder, name = _find(str(voice))
    return Voice(_load_engine(folder, name, engine, device), name, lexicon)


def _load_engine(folder: Path, name: str, engine: str, device: str) -> TtsEngine:
    from speechkit.tts import coqui, coqui_checkpoint, ort

    if (folder / "config.json").is_file() and not (folder / f"{name}.onnx").is_file():
        return coqui_checkpoint.load_checkpoint(folder, device)
    if engine == "reference":
        return coqui.load_engine(folder, name, device)
    if device not in ("auto", "cpu"):
        raise ProcessorError(
            f"the fast engine of synthesis does not run on {device}; "
            "use device='cpu', or engine='reference'"
        )
    return ort.load_engine(folder, name)


def _find(voice: str) -> tuple[Path, str]:
    """The folder of a voice's files, and its name."""
    from speechkit.tts.catalogue import fetch_voice
    from speechkit.tts.coqui_checkpoint import ZOO, fetch_from_zoo

    path = Path(voice)
    if voice.endswith(".onnx"):
        return path.parent, path.stem
    if voice in hub.names("tts"):
        return hub.fetch(voice), voice
    if voice.startswith(ZOO):
        name = voice.removeprefix(ZOO)
        return fetch_from_zoo(name), name
    if path.is_dir():
        return path, path.name
    try:
        return fetch_voice(voice), voice
    except (InputError, WeightsError) as e:
        raise type(e)(
            f"{e}; or give {' or '.join(hub.names('tts'))}, the path of a Piper .onnx file, the folder "
            "of a Coqui checkpoint, or coqui:NAME"
        ) from e


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
