"""`Transcriber`: recordings of any length in, their words out, above any Whisper engine.

A recording is loaded in pieces, cut into windows where somebody speaks (`windows`), and the windows
are read in batches, guarded (`reader`, `guards`). Memory does not grow with the length. Previous text
is not fed to the next window, so no fault spreads.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch

from speechkit.asr.engine import WINDOW_S, AsrEngine, DecodeOptions
from speechkit.asr.live import Frames, LiveReader, LiveSegment, at_16_khz
from speechkit.asr.reader import Encoded, Reading, WindowReader, is_spaced
from speechkit.asr.transcript import Dropped, Segment, Transcript
from speechkit.asr.windows import Cutting, Window, Windower
from speechkit.asr.words import segment_of, sentences
from speechkit.audio import AudioSource, Limits, name_of, stream_audio
from speechkit.errors import AudioError, InputError, SpeechkitError
from speechkit.runtime import check_seed, return_memory, threads
from speechkit.vad import SAMPLE_RATE

MIN_S = 0.1  # shorter recordings hold no word
MAX_PROMPT = 223  # tokens: half of the decoder's context, less the one that opens it
POOL = 32  # windows that are gathered and sorted by length before they are read
BATCH = 4  # windows that are read at once: more are no quicker, and take more memory
TASKS = ("transcribe", "translate")
WINDOW_SAMPLES = int(WINDOW_S * SAMPLE_RATE)
CUTTING = Cutting()

Clip: TypeAlias = tuple[float, float | None]
Progress: TypeAlias = Callable[[float, float], object]


@dataclass(frozen=True)
class _Request:
    """What one call asks for, checked; the language may still be unknown."""

    options: DecodeOptions
    language: str | None
    words: bool
    clips: tuple[Clip, ...]
    limits: Limits


@dataclass
class _Recording:
    """A recording under work."""

    source: AudioSource
    language: str | None
    probability: float = 1.0  # of the language
    seconds: float = 0.0  # loaded so far
    promised: float = 0.0  # by its header
    items: list[Segment | Dropped] = field(default_factory=list)
    error: SpeechkitError | None = None


_Entry: TypeAlias = tuple[_Recording, Window | None]  # None: the recording ends
_Submitted: TypeAlias = tuple[list[_Entry], list[tuple[tuple[int, ...], "Future[list[Reading]]"]]]


class Transcriber:
    """Speech recognition with Whisper.

    Attributes:
        name: the model's name.
        engine: what runs it.
    """

    def __init__(self, engine: AsrEngine, name: str) -> None:
        self.engine = engine
        self.name = name
        self._reader = WindowReader(engine)
        self._workers = _start_workers()

    def transcribe(
        self,
        source: AudioSource,
        *,
        language: str | None = None,
        task: str = "transcribe",
        words: bool = False,
        prompt: str = "",
        hot_words: Sequence[str] = (),
        clips: Sequence[Clip] = (),
        beam_size: int = 3,
        seed: int = 0,
        retry: bool = True,
        limits: Limits | None = None,
        progress: Progress | None = None,
    ) -> Transcript:
        """Recognise the words of a recording.

        Args:
            source: whatever `load_audio` takes: a path, bytes, a file, (rate, array), an `Audio`.
            language: code such as "en"; when None, detected in the first 30 s of speech.
            task: "transcribe", or "translate" into English.
            words: also give each word with its times.
            prompt: text that sets style and spelling, given to each window as what came before it.
            hot_words: names and terms to expect; they go before the prompt.
            clips: stretches to read, (start, end) in seconds, end None for the rest; in order and
                apart. All is read without any.
            beam_size: hypotheses kept while decoding; 1 is greedy: quicker, and worse.
            seed: of the draws that a window needs when the first attempts fail.
            retry: read doubtful windows again, which can take seconds; False where the words must
                come at once.
            limits: on the size of the recording.
            progress: called with the seconds done and the seconds in all.

        Raises:
            AudioError: audio that can't be read, or shorter than 0.1 s.
            InputError: an unknown language or task, a beam size below 1, a seed out of range, a prompt
                longer than 223 tokens, or clips out of order.
        """
        request = self._request(
            language=language,
            task=task,
            words=words,
            prompt=prompt,
            hot_words=hot_words,
            clips=clips,
            beam_size=beam_size,
            seed=seed,
            retry=retry,
            limits=limits,
        )
        recording = _Recording(source, request.language)
        with closing(self._read([recording], request)) as steps:
            for _, end in steps:
                if progress and (total := max(recording.promised, recording.seconds)):
                    progress(total if end is None else min(end, total), total)
        if recording.error:
            raise recording.error
        return self._transcript(recording, request)

    def segments(self, source: AudioSource, **options: Any) -> Iterator[Segment]:
        """The segments of a recording as they are recognised.

        The arguments are those of `transcribe` but for `progress`. Of its errors those about arguments
        come at once, those about the audio where they are met. What the guards removed is not among
        the segments.
        """
        request = self._request(**options)
        return self._segments(_Recording(source, request.language), request)

    def _segments(self, recording: _Recording, request: _Request) -> Iterator[Segment]:
        with closing(self._read([recording], request)) as steps:
            for _ in steps:
                yield from (item for item in recording.items if isinstance(item, Segment))
                recording.items.clear()
        if recording.error:
            raise recording.error

    def transcribe_many(
        self, sources: Iterable[AudioSource], *, progress: Progress | None = None, **options: Any
    ) -> Iterator[Transcript | SpeechkitError]:
        """Recognise several recordings, their windows read together; yields results in order.

        Short recordings take less time so than one by one. A recording that can't be read gives its
        error in place of a transcript, and the others go on. Arguments are those of `transcribe`;
        `progress` is called with the recordings done and, if `sources` has a length, their number.

        Raises:
            InputError: as `transcribe`, or `sources` is one recording.
        """
        if isinstance(sources, str | bytes | bytearray | os.PathLike):
            raise InputError(f"{name_of(sources)} is one recording; give a list of recordings")
        return self._transcripts(sources, progress, self._request(**options))

    def _transcripts(
        self, sources: Iterable[AudioSource], progress: Progress | None, request: _Request
    ) -> Iterator[Transcript | SpeechkitError]:
        recordings = (_Recording(source, request.language) for source in sources)
        total = len(sources) if isinstance(sources, Sequence) else 0
        done = 0
        with closing(self._read(recordings, request)) as steps:
            for recording, end in steps:
                if end is None:
                    done += 1
                    if progress:
                        progress(done, total)
                    yield recording.error or self._transcript(recording, request)

    def stream(
        self,
        frames: Frames,
        *,
        language: str | None = None,
        task: str = "transcribe",
        prompt: str = "",
        hot_words: Sequence[str] = (),
        beam_size: int = 3,
        seed: int = 0,
    ) -> Iterator[LiveSegment]:
        """Recognise live audio: words as they become certain, and each utterance as it ends.

        Args:
            frames: pieces of audio of any length, as `Audio` or (rate, array), all of one rate. The
                results of a piece are given before the next one is asked for.
            language: when None, detected in the first utterance that has words, and kept.
            task, prompt, hot_words, beam_size, seed: as in `transcribe`.

        Within an utterance the `text` of the results only grows; a result that is `final` ends it.

        Raises:
            AudioError: a piece that isn't audio, or another rate than that of the first.
            InputError: as `transcribe`, at once.
        """
        request = self._request(
            language=language,
            task=task,
            prompt=prompt,
            hot_words=hot_words,
            beam_size=beam_size,
            seed=seed,
        )
        return self._live(frames, request)

    def _live(self, frames: Frames, request: _Request) -> Iterator[LiveSegment]:
        live = LiveReader(self._reader, request.options, request.language)
        for samples in at_16_khz(frames):
            yield from live.feed(samples)
        yield from live.finish()

    def detect_language(
        self, source: AudioSource, *, limits: Limits | None = None
    ) -> dict[str, float]:
        """Language code → probability, from the first 30 s of speech; likeliest first.

        A recording without speech is judged by its first 30 s.

        Raises:
            AudioError: audio that can't be read.
        """
        samples = np.zeros(0, np.float32)
        windows: list[Window] = []
        windower = Windower(CUTTING)
        for piece in stream_audio(source, SAMPLE_RATE, limits=limits or Limits()):
            if len(samples) < WINDOW_SAMPLES:
                samples = np.concatenate([samples, piece])[:WINDOW_SAMPLES]
            windows += windower.feed(piece)
            if sum(window.duration for window in windows) >= WINDOW_S:
                break
        windows += windower.finish()
        heard = windows or [Window(0, samples, np.ones(1, np.float32))]
        probabilities, _ = self._probabilities(heard)
        return dict(sorted(probabilities.items(), key=lambda item: -item[1]))

    def warm_up(self) -> None:
        """Recognise a window of nothing, so that the first real call is as quick as the next."""
        window = Window(0, np.zeros(SAMPLE_RATE, np.float32), np.zeros(31, np.float32))
        self._probabilities([window])
        self._reader.read([window], DecodeOptions("en"))

    def _request(
        self,
        language: str | None = None,
        task: str = "transcribe",
        words: bool = False,
        prompt: str = "",
        hot_words: Sequence[str] = (),
        clips: Sequence[Clip] = (),
        beam_size: int = 3,
        seed: int = 0,
        retry: bool = True,
        limits: Limits | None = None,
    ) -> _Request:
        if task not in TASKS:
            raise InputError(f"task {task!r} is unknown; choose {' or '.join(TASKS)}")
        check_seed(seed)
        if beam_size < 1:
            raise InputError(f"beam_size is {beam_size}; give 1 or more")
        if not self.engine.multilingual and task == "translate":
            raise InputError(f"model {self.name} knows English only; use base to translate")
        language = self._checked_language(language)
        tokens = self._prompt_tokens(prompt, hot_words)
        options = DecodeOptions(
            language or "en", task, tokens, beam_size=beam_size, seed=seed, retry=retry
        )
        return _Request(options, language, words, _checked_clips(clips), limits or Limits())

    def _checked_language(self, language: str | None) -> str | None:
        if language is None:
            return None if self.engine.multilingual else "en"
        language = language.lower()
        if language not in self.engine.languages:
            known = ", ".join(self.engine.languages)
            raise InputError(f"model {self.name} has no language {language!r}; it has {known}")
        return language

    def _prompt_tokens(self, prompt: str, hot_words: Sequence[str]) -> tuple[int, ...]:
        given = (hot_words,) if isinstance(hot_words, str) else hot_words
        text = " ".join(" ".join([", ".join(w.strip() for w in given), prompt]).split())
        if not text:
            return ()
        # A marker such as <|endoftext|> is text here: it must not steer the decoder.
        tokenizer = self.engine.tokenizer("en", "transcribe")
        tokens = tuple(tokenizer.encode(" " + text, disallowed_special=()))
        if len(tokens) > MAX_PROMPT:
            raise InputError(
                f"prompt and hot words make {len(tokens)} tokens; shorten them to {MAX_PROMPT}"
            )
        return tokens

    def _transcript(self, recording: _Recording, request: _Request) -> Transcript:
        segments = tuple(item for item in recording.items if isinstance(item, Segment))
        dropped = tuple(item for item in recording.items if isinstance(item, Dropped))
        language = recording.language or "en"
        joint = " " if is_spaced(replace(request.options, language=language)) else ""
        text = joint.join(segment.text for segment in segments)
        probability = recording.probability if recording.language else 0.0
        return Transcript(text, language, recording.seconds, segments, dropped, probability)

    def _read(
        self, recordings: Iterable[_Recording], request: _Request
    ) -> Generator[tuple[_Recording, float | None], None, None]:
        """Put results into the recordings, in order; yields the recording and the second reached.

        None in place of the second says that the recording is done, or has an error. What is not read
        yet when the generator ends is not read any more.
        """
        pool: list[_Entry] = []
        before: _Submitted = [], []  # the workers read it while the next pool is gathered
        submitted = before
        size = BATCH  # the first results come early
        try:
            for recording in recordings:
                heard = 0.0  # seconds of speech; the first 30 say the language
                for entry in self._entries(recording, request):
                    pool.append(entry)
                    heard += entry[1].duration if entry[1] else WINDOW_S
                    if len(pool) >= size and (recording.language or heard >= WINDOW_S):
                        submitted = self._submit(pool, request)
                        yield from self._collect(before, request)
                        pool, before, size = [], submitted, POOL
            submitted = self._submit(pool, request)
            yield from self._collect(before, request)
            yield from self._collect(submitted, request)
        finally:
            for _, future in (*before[1], *submitted[1]):
                future.cancel()

    def _entries(self, recording: _Recording, request: _Request) -> Iterator[_Entry]:
        """The recording's windows, then its end."""
        try:
            for window in _windows(recording, request):
                yield recording, window
        except SpeechkitError as e:
            recording.error = e
        yield recording, None

    def _submit(self, pool: list[_Entry], request: _Request) -> _Submitted:
        """Have the windows of a pool read in batches of about one length."""
        windows = [(i, r, window) for i, (r, window) in enumerate(pool) if window]
        encoded = None
        for recording in {id(r): r for _, r, _ in windows if r.language is None}.values():
            own = [window for _, r, window in windows if r is recording]
            probabilities, encoded = self._probabilities(own)
            recording.language = max(probabilities, key=lambda code: probabilities[code])
            recording.probability = probabilities[recording.language]
        by_language: dict[str, list[tuple[int, Window]]] = {}
        for i, recording, window in windows:
            by_language.setdefault(recording.language or "en", []).append((i, window))
        reuse = encoded if len(windows) == 1 else None
        batches = []
        for language, entries in by_language.items():
            options = replace(request.options, language=language)
            entries.sort(key=lambda entry: -len(entry[1].samples))  # the longest first
            size = min(BATCH, -(-len(entries) // threads()))
            for start in range(0, len(entries), size):
                indices, batch = zip(*entries[start : start + size], strict=True)
                future = self._workers.submit(self._reader.read, batch, options, reuse)
                batches.append((indices, future))
        return pool, batches

    def _collect(
        self, submitted: _Submitted, request: _Request
    ) -> Iterator[tuple[_Recording, float | None]]:
        """Wait for a pool's results and go through it in order."""
        pool, batches = submitted
        results: dict[int, Reading] = {}
        for indices, future in batches:
            results.update(zip(indices, future.result(), strict=True))
        if len(batches) > 1:  # of a long recording, whose windows all have lengths of their own
            return_memory()
        for i, (recording, entry) in enumerate(pool):
            if entry:
                recording.items += _items(results[i], request.words)
            yield recording, entry.end_s if entry else None

    def _probabilities(self, windows: Sequence[Window]) -> tuple[dict[str, float], Encoded]:
        """Language code → probability for the first 30 s of some windows, and these encoded."""
        if len(windows) > 1:
            samples = np.concatenate([window.samples for window in windows])[:WINDOW_SAMPLES]
            windows = [replace(windows[0], samples=samples)]
        encoded = self._reader.encode(windows)
        return self.engine.detect_language(encoded.states)[0], encoded


def _windows(recording: _Recording, request: _Request) -> Iterator[Window]:
    """The windows of a recording's clips; counts the seconds that were loaded."""

    def promise(seconds: float) -> None:
        recording.promised = seconds
        request.limits.check(name_of(recording.source), seconds=seconds)

    clips = list(request.clips) or [(0.0, None)]
    pieces = stream_audio(recording.source, SAMPLE_RATE, limits=request.limits, on_promise=promise)
    windower, loaded = None, 0
    for piece in pieces:
        begin, loaded = loaded, loaded + len(piece)
        recording.seconds = loaded / SAMPLE_RATE
        while clips:
            start, end = (_sample(second, loaded) for second in clips[0])
            if start >= loaded:
                break
            windower = windower or Windower(CUTTING, start)
            yield from windower.feed(piece[max(start - begin, 0) : end - begin])
            if end >= loaded:
                break
            yield from windower.finish()
            windower = None
            clips.pop(0)
    if windower:
        yield from windower.finish()
    if recording.seconds < MIN_S:
        raise AudioError(
            f"the audio is {recording.seconds:.3f} s long; give at least {MIN_S} s of speech"
        )


def _start_workers() -> ThreadPoolExecutor:
    """As many Python threads as there are processors, in each of which torch has one thread."""
    count = threads()
    ready = threading.Barrier(count)
    workers = ThreadPoolExecutor(count, "speechkit-asr", lambda: torch.set_num_threads(1))
    list(workers.map(lambda _: ready.wait(), range(count)))
    torch.set_num_threads(count)  # Python threads to come take the number that was set last
    return workers


def _items(reading: Reading, words: bool) -> list[Segment | Dropped]:
    """The segments of a window, or what was taken out of it."""
    if reading.dropped:
        return [reading.dropped]
    return [segment_of(group, reading.confidence, words) for group in sentences(reading.words)]


def _sample(second: float | None, otherwise: int) -> int:
    return otherwise if second is None else round(second * SAMPLE_RATE)


def _checked_clips(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    at = 0.0
    for start, end in clips:
        if not at <= start < math.inf or (end is not None and not start < end < math.inf):
            raise InputError(f"clips are {list(clips)}; give (start, end) in order and apart")
        at = math.inf if end is None else end
    return tuple(clips)
