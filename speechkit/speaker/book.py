"""`SpeakerBook`: the voices that are known, kept in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from speechkit import hub
from speechkit.audio import AudioSource, load_audio
from speechkit.errors import InputError, SpeechkitError
from speechkit.speaker.encoder import (
    Embedding,
    SpeakerEncoder,
    checked_list,
    load_speaker_encoder,
    similarity,
)

_VERSION = 1
_SCHEMA = """
CREATE TABLE recordings (
    speaker TEXT NOT NULL,
    model TEXT NOT NULL,
    embedding BLOB NOT NULL  -- float32, little-endian, of length 1
);
CREATE INDEX by_speaker ON recordings (speaker);
"""


class SpeakerBook:
    """Known speakers, and who of them speaks in a recording.

    The file is made at the first enrolment. Several processes may use it at once.

    Attributes:
        path: of the file.
    """

    def __init__(
        self, path: str | Path | None = None, *, encoder: SpeakerEncoder | None = None
    ) -> None:
        """Open a book.

        Args:
            path: the file; by default `voices.db` in speechkit's folder.
            encoder: what embeds the recordings; loaded at the first use by default.
        """
        self.path = Path(path) if path is not None else hub.home() / "voices.db"
        self._encoder = encoder

    @property
    def encoder(self) -> SpeakerEncoder:
        """What embeds the recordings."""
        if self._encoder is None:
            self._encoder = load_speaker_encoder()
        return self._encoder

    def enroll(self, name: str, recordings: Sequence[AudioSource]) -> None:
        """Remember a voice, or add recordings to one that is known.

        Raises:
            InputError: no name or one that can't be printed, or no recordings.
            AudioError: a recording that can't be read; nothing is stored then.
        """
        name = _checked_name(name)
        # What can't be read fails before the model is loaded.
        loaded = [load_audio(recording) for recording in checked_list(recordings)]
        embeddings = self.encoder.embed_many(loaded)
        with self._open() as db:
            db.executemany(
                "INSERT INTO recordings VALUES (?, ?, ?)",
                [(name, self.encoder.name, e.astype("<f4").tobytes()) for e in embeddings],
            )

    def forget(self, name: str) -> None:
        """Remove a speaker and all that is stored of the voice.

        Raises:
            InputError: nobody of that name is known.
        """
        name, removed = name.strip(), 0
        if self.path.exists():
            with self._open() as db:
                db.execute("PRAGMA secure_delete = ON")  # zeros where the voice was
                removed = db.execute("DELETE FROM recordings WHERE speaker = ?", (name,)).rowcount
        if not removed:
            raise InputError(f"nobody named {name!r} is enrolled; {self._who()}")

    def speakers(self) -> dict[str, int]:
        """Name → number of recordings, by name."""
        if not self.path.exists():
            return {}
        with self._open() as db:
            rows = db.execute("SELECT speaker, count(*) FROM recordings GROUP BY 1 ORDER BY 1")
            return {str(name): int(count) for name, count in rows}

    def identify(self, source: AudioSource) -> str | None:
        """The name of the speaker, or None for a voice that isn't known.

        Raises:
            AudioError: audio that can't be read, is silent, or is shorter than 0.3 s.
        """
        return self.identify_embedding(self.encoder.embed(source))

    def identify_embedding(self, embedding: Embedding) -> str | None:
        """As `identify`, for an embedding made by this book's encoder."""
        ranked = self.rank(embedding)
        return ranked[0][0] if ranked and ranked[0][1] >= self.encoder.threshold else None

    def rank(self, embedding: Embedding) -> list[tuple[str, float]]:
        """Every known speaker and the score of `embedding` against the mean voice; best first."""
        if not self.path.exists():
            return []
        voices: dict[str, list[Embedding]] = {}
        with self._open() as db:
            query = "SELECT speaker, embedding FROM recordings WHERE model = ?"
            for name, data in db.execute(query, (self.encoder.name,)):
                voices.setdefault(str(name), []).append(np.frombuffer(data, "<f4"))
        scores = [(name, similarity(_mean(many), embedding)) for name, many in voices.items()]
        return sorted(scores, key=lambda item: -item[1])

    def _who(self) -> str:
        known = list(self.speakers())
        return "known are " + ", ".join(known) if known else "nobody is enrolled yet"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction on the file, which is made when it isn't there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)  # voices are nobody else's business
            with closing(sqlite3.connect(self.path, timeout=10)) as db, db:
                db.execute("BEGIN IMMEDIATE")
                version = db.execute("PRAGMA user_version").fetchone()[0]
                tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if version == 0 and not tables:
                    for statement in _SCHEMA.strip().rstrip(";").split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {_VERSION}")
                elif version != _VERSION:
                    raise SpeechkitError(
                        f"{self.path}: not a speaker book, or one of version {version}, where this "
                        f"speechkit reads version {_VERSION}; use the speechkit that wrote it, or "
                        "another file"
                    )
                yield db
        except (sqlite3.Error, OSError) as e:
            raise SpeechkitError(
                f"{self.path}: can't be used as a speaker book: {e}; choose another file"
            ) from e


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable():
        raise InputError(f"the speaker's name is {name!r}; give one that can be printed on a line")
    return name


def _mean(embeddings: list[Embedding]) -> Embedding:
    mean = np.mean(embeddings, axis=0)
    unit: Embedding = mean / np.linalg.norm(mean)
    return unit
