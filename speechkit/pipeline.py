"""`Pipeline`: the parts together, each loaded when it is first used."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from speechkit.asr import DEFAULT_MODEL, Transcriber, Transcript, load_asr
from speechkit.audio import Audio, AudioSource, Limits, load_audio
from speechkit.errors import AudioError
from speechkit.respond import Echo, Responder, pieces
from speechkit.runtime import check_seed
from speechkit.speaker import SpeakerBook, SpeakerEncoder, load_speaker_encoder
from speechkit.speaker.encoder import Embedding
from speechkit.tts import Speech, Voice, load_tts
from speechkit.tts.voice import DEFAULT_VOICE

log = logging.getLogger("speechkit")


@dataclass(frozen=True)
class Reply:
    """One spoken turn.

    Attributes:
        transcript: what was heard.
        speaker: who said it, or None for a voice that isn't known.
        reply: the answer's text.
        audio: the answer, spoken.
        embedding: of the voice that asked, (192,); None where there was no voice.
        timings: seconds of each stage: load, hear, recognise, answer, speak.
    """

    transcript: Transcript
    speaker: str | None
    reply: str
    audio: Speech
    embedding: Embedding | None = field(repr=False)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What was heard."""
        return self.transcript.text


class Pipeline:
    """Hear, recognise, know the voice, answer, speak.

    Attributes:
        book: the speakers that are known.
        respond: what chooses the reply.
    """

    def __init__(
        self,
        *,
        model: str = DEFAULT_MODEL,
        voice: str = DEFAULT_VOICE,
        engine: str = "fast",
        device: str = "auto",
        book: SpeakerBook | str | Path | None = None,
        respond: Responder | None = None,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            model: the Whisper model, as `load_asr` takes it.
            voice: the voice, as `load_tts` takes it.
            engine: "fast" or "reference".
            device: for all models.
            book: known speakers: a `SpeakerBook` or the path of one; by default the user's own.
            respond: chooses the reply; `Echo` by default.
        """
        self._model, self._voice, self._engine, self._device = model, voice, engine, device
        self._book = book
        self._loading = threading.Lock()
        self.respond: Responder = respond or Echo()

    @cached_property
    def asr(self) -> Transcriber:
        """Speech recognition."""
        return load_asr(self._model, engine=self._engine, device=self._device)

    @cached_property
    def voice(self) -> Voice:
        """Speech synthesis."""
        if self._engine == "fast":  # on the CPU a voice speaks many times faster than one listens
            return load_tts(self._voice)
        return load_tts(self._voice, engine=self._engine, device=self._device)

    @cached_property
    def book(self) -> SpeakerBook:
        """The speakers that are known."""
        if isinstance(self._book, SpeakerBook):
            return self._book
        encoder = load_speaker_encoder(engine=self._engine, device=self._device)
        return SpeakerBook(self._book, encoder=encoder)

    @property
    def encoder(self) -> SpeakerEncoder:
        """Speaker embeddings: the book's own encoder."""
        return self.book.encoder

    def load(self) -> None:
        """Load all models now, fetching weights that are missing."""
        with self._loading:
            _ = self.asr, self.voice, self.encoder

    def talk(
        self,
        source: AudioSource,
        *,
        language: str | None = None,
        seed: int = 0,
        limits: Limits | None = None,
    ) -> Reply:
        """One whole turn.

        Args:
            source: the question, as `load_audio` takes it.
            language: of the question; detected when None.
            seed: of the voice's variation.
            limits: on the size of the question.

        Raises:
            AudioError: a question that can't be read or is shorter than 0.1 s.
            InputError: an unknown language, a seed out of range, or a reply with nothing to speak.
            WeightsError: weights that can't be had.
        """
        check_seed(seed)
        timings: dict[str, float] = {}
        audio = load_audio(source, limits=limits or Limits())
        with _timed(timings, "load"):
            self.load()
        with _timed(timings, "hear"):
            transcript = self.asr.transcribe(audio, language=language)
        with _timed(timings, "recognise"):
            embedding = self._embed(audio)
            speaker = None if embedding is None else self.book.identify_embedding(embedding)
        with _timed(timings, "answer"):
            reply = "".join(pieces(self.respond(transcript.text, speaker)))
        with _timed(timings, "speak"):
            speech = self.voice.synthesize(reply, seed=seed)
        return Reply(transcript, speaker, reply, speech, embedding, timings)

    def _embed(self, audio: Audio) -> Embedding | None:
        """The voice's embedding; None for a question that is silent or too short to have one."""
        try:
            return self.encoder.embed(audio)
        except AudioError as e:
            log.debug("no voice to recognise: %s", e)
            return None


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = round(time.perf_counter() - start, 3)
