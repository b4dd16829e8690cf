"""`SpeakerBook`: the voices that are known, kept in one SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from speechkit import hub
from speechkit.audio import AudioSource, load_audio
from speechkit.errors import InputError, SpeechkitError
from speechkit.speaker.encoder import (
    DEFAULT_MODEL,
    EMBEDDING_SIZE,
    Embedding,
    SpeakerEncoder,
    checked_list,
    load_speaker_encoder,
    similarity,
    weights_hash,
)
from speechkit.speaker.quality import check_enrolment

_VERSION = 2
_SCHEMA = (
    # One row: what embedded the recordings, and the SHA-256 of its weights.
    "CREATE TABLE model (name TEXT NOT NULL, weights TEXT NOT NULL)",
    # float32, little-endian, of length 1; ISO 8601 in UTC.
    "CREATE TABLE recordings (speaker TEXT NOT NULL, embedding BLOB NOT NULL, added TEXT NOT NULL)",
    "CREATE INDEX by_speaker ON recordings (speaker)",
    f"PRAGMA user_version = {_VERSION}",
)
_FORMAT = "speechkit speaker book"  # of an exported file


@dataclass(frozen=True)
class Match:
    """Who it is, among those who are known.

    Attributes:
        name: the speaker, or None for a voice that isn't known.
        score: cosine against the likeliest speaker's mean voice, -1 to 1; -1 if nobody is known.
        threshold: the score from which on it is that speaker.
        nearest: the likeliest speaker, accepted or not; None if nobody is known.
        runner_up: the next likeliest; None if fewer than two are known.
        margin: the score less the runner-up's; with nobody to compare to, the score plus 1.
    """

    name: str | None
    score: float
    threshold: float
    nearest: str | None
    runner_up: str | None
    margin: float


class SpeakerBook:
    """Known speakers, and who of them speaks in a recording.

    The file is made at the first enrolment. Several processes may use it at once. It belongs to one
    model: embeddings of another are refused.

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

    def enroll(self, name: str, recordings: Sequence[AudioSource], *, check: bool = True) -> None:
        """Remember a voice, or add recordings to one that is known.

        Args:
            name: of the speaker.
            recordings: of the one voice; several, from several days, are better than a long one.
            check: refuse recordings with less than 1 s of speech, too soft, or clipped.

        Raises:
            InputError: no name or one that can't be printed, or no recordings.
            AudioError: a recording that can't be read, or is not good enough; nothing is stored then.
        """
        name = _checked_name(name)
        # What can't be used fails before the model is loaded.
        loaded = [load_audio(recording) for recording in checked_list(recordings)]
        if check:
            for number, audio in enumerate(loaded, 1):
                check_enrolment(audio, f"recording {number}")
        embeddings = self.encoder.embed_many(loaded)
        with self._open() as db:
            self._check_model(db)
            _insert(db, [(name, embedding) for embedding in embeddings])

    def rename(self, name: str, new_name: str) -> None:
        """Give a speaker another name; under one that is known already the recordings come together.

        Raises:
            InputError: nobody of that name is known, or a new name that can't be printed.
        """
        new_name = _checked_name(new_name)
        self._change(name, "UPDATE recordings SET speaker = ?2 WHERE speaker = ?1", new_name)

    def forget(self, name: str) -> None:
        """Remove a speaker and all that is stored of the voice.

        Raises:
            InputError: nobody of that name is known.
        """
        self._change(name, "DELETE FROM recordings WHERE speaker = ?1")

    def _change(self, name: str, statement: str, *arguments: str) -> None:
        name, changed = name.strip(), 0
        if self.path.exists():
            with self._open() as db:
                changed = db.execute(statement, (name, *arguments)).rowcount
        if not changed:
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
            SpeechkitError: the book was made with another model.
        """
        return self.match(source).name

    def identify_embedding(self, embedding: Embedding) -> str | None:
        """As `identify`, for an embedding made by this book's encoder."""
        return self.match_embedding(embedding).name

    def match(self, source: AudioSource) -> Match:
        """Who it is, how sure that is, and who comes next. Errors as `identify`."""
        return self.match_embedding(self.encoder.embed(source))

    def match_embedding(self, embedding: Embedding) -> Match:
        """As `match`, for an embedding made by this book's encoder."""
        ranked, threshold = self.rank(embedding), self.encoder.threshold
        if not ranked:
            return Match(None, -1.0, threshold, None, None, 0.0)
        nearest, score = ranked[0]
        runner_up, next_score = ranked[1] if len(ranked) > 1 else (None, -1.0)
        name = nearest if score >= threshold else None
        return Match(name, score, threshold, nearest, runner_up, score - next_score)

    def rank(self, embedding: Embedding) -> list[tuple[str, float]]:
        """Every known speaker and the score of `embedding` against the mean voice; best first."""
        voices = self.embeddings()
        scores = [(name, similarity(_mean(many), embedding)) for name, many in voices.items()]
        return sorted(scores, key=lambda item: -item[1])

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write all that is known to a JSON file, which `merge` reads.

        Raises:
            SpeechkitError: the file can't be written, or the book was made with another model.
        """
        voices = self.embeddings()
        data = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": self.encoder.name,
            "weights": self.encoder.weights,
            "speakers": {name: [e.tolist() for e in many] for name, many in voices.items()},
        }
        target = Path(path)
        try:
            target.touch(mode=0o600)
            target.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        except OSError as e:
            raise SpeechkitError(f"{target}: can't be written: {e}; choose another file") from e
        return target

    def merge(self, path: str | os.PathLike[str]) -> None:
        """Add the speakers of an exported file; a recording that is known already is not doubled.

        Raises:
            InputError: not such a file, or one of another model.
        """
        speakers = _read_export(Path(path), self.encoder)
        with self._open() as db:
            self._check_model(db)
            known = set(db.execute("SELECT speaker, embedding FROM recordings"))
            rows = [(name, e) for name, many in speakers.items() for e in many]
            _insert(db, [(n, e) for n, e in rows if (n, _bytes(e)) not in known])

    def embeddings(self) -> dict[str, list[Embedding]]:
        """Name → the embeddings of the recordings, (192,) each.

        Raises:
            SpeechkitError: the book was made with another model.
        """
        voices: dict[str, list[Embedding]] = {}
        if self.path.exists():
            _ = self.encoder  # loaded before the file is locked
            with self._open() as db:
                self._check_model(db)
                for name, data in db.execute("SELECT speaker, embedding FROM recordings"):
                    voices.setdefault(str(name), []).append(np.frombuffer(data, "<f4"))
        return voices

    def _who(self) -> str:
        known = list(self.speakers())
        return "known are " + ", ".join(known) if known else "nobody is enrolled yet"

    def _check_model(self, db: sqlite3.Connection) -> None:
        """The book's model is the encoder's; a book without any becomes the encoder's."""
        own = (self.encoder.name, self.encoder.weights)
        found = db.execute("SELECT name, weights FROM model").fetchone()
        if found is None:
            db.execute("INSERT INTO model VALUES (?, ?)", own)
        elif tuple(found) != own:
            raise SpeechkitError(
                f"{self.path}: its voices were embedded by {found[0]} ({found[1][:12]}), which "
                f"{own[0]} ({own[1][:12]}) can't be compared with; use that model, or enrol in "
                "another file"
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction on the file, which is made when it isn't there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch(mode=0o600)  # voices are nobody else's business
            with closing(sqlite3.connect(self.path, timeout=10)) as db, db:
                db.execute("PRAGMA secure_delete = ON")  # zeros where a voice and a name were
                db.execute("BEGIN IMMEDIATE")
                version = db.execute("PRAGMA user_version").fetchone()[0]
                tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if version == 0 and not tables:
                    _create(db)
                elif version == 1:
                    _migrate_from_1(db)
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


def _create(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        db.execute(statement)


def _migrate_from_1(db: sqlite3.Connection) -> None:
    """Version 1 had the model's name beside each recording, and knew one model only."""
    rows = db.execute("SELECT speaker, embedding FROM recordings WHERE model = ?", (DEFAULT_MODEL,))
    kept = [(str(name), np.frombuffer(data, "<f4")) for name, data in rows]
    db.execute("DROP TABLE recordings")
    _create(db)
    if kept:
        db.execute("INSERT INTO model VALUES (?, ?)", (DEFAULT_MODEL, weights_hash(DEFAULT_MODEL)))
    _insert(db, kept)


def _insert(db: sqlite3.Connection, rows: list[tuple[str, Embedding]]) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    db.executemany(
        "INSERT INTO recordings VALUES (?, ?, ?)", [(name, _bytes(e), now) for name, e in rows]
    )


def _read_export(path: Path, encoder: SpeakerEncoder) -> dict[str, list[Embedding]]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        given = data["format"], data["version"], data["model"], data["weights"]
        speakers = {
            _checked_name(name): [np.array(e, np.float32) for e in many]
            for name, many in data["speakers"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise InputError(f"{path}: not an exported speaker book: {e}; export one again") from e
    if given != (_FORMAT, _VERSION, encoder.name, encoder.weights):
        raise InputError(
            f"{path}: holds voices of {given[2]} in {given[0]} {given[1]}; here {encoder.name} in "
            f"{_FORMAT} {_VERSION} is read; export it with the same model and speechkit"
        )
    for name, many in speakers.items():
        for one in many:
            whole = one.shape == (EMBEDDING_SIZE,) and bool(np.isfinite(one).all())
            if not whole or abs(np.linalg.norm(one) - 1) > 1e-3:
                raise InputError(
                    f"{path}: an embedding of {name} is damaged; export the book again"
                )
    return speakers


def _bytes(embedding: Embedding) -> bytes:
    return embedding.astype("<f4").tobytes()


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable():
        raise InputError(f"the speaker's name is {name!r}; give one that can be printed on a line")
    return name


def _mean(embeddings: list[Embedding]) -> Embedding:
    mean = np.mean(embeddings, axis=0)
    unit: Embedding = mean / np.linalg.norm(mean)
    return unit
