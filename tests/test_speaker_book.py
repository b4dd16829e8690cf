"""The book of known voices, with a scripted encoder."""

import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import speechkit as sk
from speechkit import AudioError, InputError, SpeechkitError
from speechkit.speaker.encoder import DEFAULT_MODEL, weights_hash

RATE = 16_000
RNG = np.random.default_rng(5)
VOICES = {name: RNG.standard_normal(192).astype("f4") for name in ("ada", "bob", "cleo")}


@pytest.fixture(autouse=True)
def any_sound_will_do(monkeypatch):
    """The scripted recordings hold no speech."""
    monkeypatch.setattr("speechkit.speaker.book.check_enrolment", lambda *_: None)


def recording(who: str, take: int = 0) -> sk.Audio:
    """A second of sound that the scripted encoder takes for a recording of `who`."""
    level = 0.1 + 0.2 * list(VOICES).index(who) + 0.02 * take
    samples = np.full(RATE, level, np.float32)
    samples[::2] *= -1
    return sk.Audio(samples, RATE)


class ScriptedEncoder:
    """Knows the voices by their level; each take differs a little."""

    name, weights, threshold = "scripted", "0" * 64, 0.6

    def embed(self, source):
        level = float(np.abs(sk.load_audio(source, RATE).samples).max()) - 0.1
        who = list(VOICES)[int((level + 0.01) / 0.2)]
        take = round((level % 0.2) / 0.02)
        noise = np.random.default_rng(take).standard_normal(192)
        mixed = VOICES[who] + 0.3 * noise
        return (mixed / np.linalg.norm(mixed)).astype("f4")

    def embed_many(self, sources):
        return np.stack([self.embed(source) for source in sources])


@pytest.fixture
def book(tmp_path):
    return sk.SpeakerBook(tmp_path / "deep" / "voices.db", encoder=ScriptedEncoder())


# --- the book


def test_who_is_enrolled_is_known_and_nobody_else(book):
    assert book.speakers() == {}
    assert book.identify(recording("ada")) is None
    assert not book.path.exists()  # asking makes no file
    book.enroll("Ada", [recording("ada", 1), recording("ada", 2)])
    book.enroll(" Bob ", [recording("bob", 1)])
    assert book.speakers() == {"Ada": 2, "Bob": 1}
    assert book.identify(recording("ada", 3)) == "Ada"
    assert book.identify(recording("bob", 3)) == "Bob"
    assert book.identify(recording("cleo", 3)) is None
    book.enroll("Ada", [recording("ada", 4)])
    assert book.speakers()["Ada"] == 3
    again = sk.SpeakerBook(str(book.path), encoder=ScriptedEncoder())
    assert again.identify(recording("ada", 5)) == "Ada"


def test_rank_is_best_first_against_the_mean_voice(book):
    for who in VOICES:
        book.enroll(who, [recording(who, 1), recording(who, 2)])
    asked = book.encoder.embed(recording("bob", 3))
    ranked = book.rank(asked)
    assert ranked[0][0] == "bob"
    scores = [score for _, score in ranked]
    assert scores == sorted(scores, reverse=True)
    mean = book.encoder.embed_many([recording("bob", 1), recording("bob", 2)]).mean(0)
    assert scores[0] == pytest.approx(float(mean @ asked / np.linalg.norm(mean)), abs=1e-5)


def test_the_threshold_decides(book):
    book.enroll("Ada", [recording("ada", 1)])
    asked = book.encoder.embed(recording("ada", 2))
    score = book.rank(asked)[0][1]
    book.encoder.threshold = score
    assert book.identify_embedding(asked) == "Ada"
    book.encoder.threshold = np.nextafter(score, 1)
    assert book.identify_embedding(asked) is None


def test_who_is_forgotten_leaves_no_byte(book):
    book.enroll("Ada Lovelace", [recording("ada", take) for take in range(5)])
    book.enroll("Bob", [recording("bob")])
    secrets = [book.encoder.embed(recording("ada", take)).tobytes()[:64] for take in range(5)]
    data = book.path.read_bytes()
    assert all(secret in data for secret in [*secrets, b"Ada Lovelace"])
    book.forget("Ada Lovelace")
    assert book.speakers() == {"Bob": 1}
    assert book.identify(recording("ada")) is None
    files = [path.read_bytes() for path in book.path.parent.iterdir()]
    assert not any(secret in data for secret in [*secrets, b"Ada Lovelace"] for data in files)
    with pytest.raises(InputError, match=r"nobody named 'Ada Lovelace'.*known are Bob"):
        book.forget("Ada Lovelace")
    book.forget("Bob")
    with pytest.raises(InputError, match="nobody is enrolled yet"):
        book.forget("Bob")


def test_forgetting_in_an_empty_place_makes_no_file(book):
    with pytest.raises(InputError, match="nobody is enrolled yet"):
        book.forget("Ada")
    assert not book.path.exists()


def test_threads_enrol_at_once(tmp_path):
    start = threading.Barrier(6)

    def enrol(path, name):
        other = sk.SpeakerBook(path, encoder=ScriptedEncoder())
        start.wait()
        other.enroll(name, [recording("ada", 1), recording("ada", 2)])

    names = [f"speaker {i}" for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for i in range(15):  # each time all of them would make the file
            list(pool.map(enrol, [tmp_path / f"{i}.db"] * 6, names))
            assert sk.SpeakerBook(tmp_path / f"{i}.db").speakers() == dict.fromkeys(names, 2)


ENROL = """
import sys
import numpy as np
import speechkit as sk
class Encoder:
    name, weights, threshold = "scripted", "0" * 64, 0.5
    def embed_many(self, sources):
        return np.eye(192, dtype="f4")[:len(sources)]
audio = sk.Audio(np.ones(16000, "f4") / 2, 16000)
sys.stdin.readline()
for i in range(20):
    sk.SpeakerBook(sys.argv[1], encoder=Encoder()).enroll(f"{sys.argv[2]}{i}", [audio], check=False)
"""


def test_processes_enrol_at_once(book):
    command = [sys.executable, "-c", ENROL, str(book.path)]
    both = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert len(book.speakers()) == 40


def test_files_that_are_no_book(tmp_path):
    def attempt(path):
        book = sk.SpeakerBook(path, encoder=ScriptedEncoder())
        book.enroll("Ada", [recording("ada")])

    text = tmp_path / "letter.txt"
    text.write_text("Dear Ada, " * 200)
    with pytest.raises(SpeechkitError, match=r"letter\.txt: can't be used.*choose another file"):
        attempt(text)
    assert text.read_text() == "Dear Ada, " * 200
    foreign = tmp_path / "mail.db"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE mail (body TEXT)")
    with pytest.raises(SpeechkitError, match=r"mail\.db: not a speaker book.*another file"):
        attempt(foreign)
    with sqlite3.connect(foreign) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("mail",)]
    for place in (tmp_path, text / "voices.db"):  # a folder; a file where a folder must be
        with pytest.raises(SpeechkitError, match=r"can't be used.*choose another file"):
            attempt(place)


def test_a_book_of_a_newer_version_is_left_alone(book):
    book.enroll("Ada", [recording("ada")])
    with sqlite3.connect(book.path) as db:
        db.execute("PRAGMA user_version = 9")
    before = book.path.read_bytes()
    for use in (
        book.speakers,
        lambda: book.enroll("Bob", [recording("bob")]),
        lambda: book.identify(recording("ada")),
        lambda: book.forget("Ada"),
    ):
        with pytest.raises(SpeechkitError, match=r"version 9.*use the speechkit that wrote it"):
            use()
    assert book.path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0b", "\ud800"])
def test_names_that_cannot_be_printed(book, name):
    with pytest.raises(InputError, match=r"the speaker's name is .*; give one"):
        book.enroll(name, [recording("ada")])
    assert not book.path.exists()


def test_all_recordings_are_read_before_one_is_stored(book, tmp_path):
    for recordings in ([], "voice.wav", b"RIFF", tmp_path, recording("ada")):
        with pytest.raises(InputError, match="give a list of at least one"):
            book.enroll("Ada", recordings)
    with pytest.raises(AudioError, match="no such file"):
        book.enroll("Ada", [recording("ada"), tmp_path / "lost.wav"])
    assert book.speakers() == {}


def test_odd_names_are_names(book):
    for name in ("Zoë 王", "Robert'); DROP TABLE recordings;--"):
        book.enroll(name, [recording("ada")])
        assert book.identify(recording("ada", 1)) == name
        book.forget(name)
    assert book.speakers() == {}


def test_the_default_path_is_in_speechkits_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path))
    book = sk.SpeakerBook(encoder=ScriptedEncoder())
    assert book.path == tmp_path / "voices.db"
    book.enroll("Ada", [recording("ada")])
    assert book.path.is_file()


def test_embeddings_of_another_model_are_refused(book, tmp_path):
    book.enroll("Ada", [recording("ada")])
    exported = book.export(tmp_path / "out.json")
    for attribute, other in (("name", "another"), ("weights", "1" * 64)):
        encoder = ScriptedEncoder()
        setattr(encoder, attribute, other)
        foreign = sk.SpeakerBook(book.path, encoder=encoder)
        for use in (
            lambda book=foreign: book.identify(recording("ada")),
            lambda book=foreign: book.enroll("Cleo", [recording("cleo")]),
            lambda book=foreign: book.export(tmp_path / "no.json"),
        ):
            with pytest.raises(
                SpeechkitError, match=r"embedded by scripted .*enrol in another file"
            ):
                use()
        assert foreign.speakers() == {"Ada": 1}  # what needs no comparing goes on
        with pytest.raises(InputError, match="export it with the same model"):
            sk.SpeakerBook(tmp_path / f"{attribute}.db", encoder=encoder).merge(exported)
    assert not (tmp_path / "no.json").exists()
    assert book.identify(recording("ada", 1)) == "Ada"


def test_a_match_says_how_sure_it_is(book):
    asked = recording("ada", 3)
    nobody = book.match(asked)
    assert (nobody.name, nobody.nearest, nobody.runner_up) == (None, None, None)
    book.enroll("Ada", [recording("ada", 1)])
    alone = book.match(asked)
    assert (alone.name, alone.runner_up) == ("Ada", None)
    assert alone.margin == pytest.approx(alone.score + 1)
    book.enroll("Bob", [recording("bob", 1)])
    match = book.match(asked)
    ranked = book.rank(book.encoder.embed(asked))
    assert (match.name, match.nearest, match.runner_up) == ("Ada", "Ada", "Bob")
    assert (match.score, match.margin) == pytest.approx((ranked[0][1], ranked[0][1] - ranked[1][1]))
    stranger = book.match(recording("cleo", 1))
    assert stranger.name is None
    assert stranger.nearest in ("Ada", "Bob")
    assert stranger.score < stranger.threshold == 0.6


def test_a_new_name(book):
    book.enroll("Ada", [recording("ada", 1)])
    book.enroll("Bob", [recording("bob", 1)])
    book.rename("Ada", "Ada Lovelace")
    assert book.speakers() == {"Ada Lovelace": 1, "Bob": 1}
    assert book.identify(recording("ada")) == "Ada Lovelace"
    book.enroll("ada", [recording("ada", 2)])
    book.rename("ada", "Ada Lovelace")  # both are one person
    assert book.speakers() == {"Ada Lovelace": 2, "Bob": 1}
    with pytest.raises(InputError, match="nobody named 'Eve'"):
        book.rename("Eve", "Adam")
    with pytest.raises(InputError, match="can be printed"):
        book.rename("Bob", " ")


def test_export_and_merge(book, tmp_path):
    book.enroll("Zoë 王", [recording("ada", 1), recording("ada", 2)])
    book.enroll("Bob", [recording("bob", 1)])
    path = book.export(tmp_path / "voices.json")
    assert path.stat().st_mode & 0o077 == 0
    other = sk.SpeakerBook(tmp_path / "other.db", encoder=ScriptedEncoder())
    other.enroll("Bob", [recording("bob", 2)])
    for _ in range(2):  # a second time changes nothing
        other.merge(path)
        assert other.speakers() == {"Bob": 2, "Zoë 王": 2}
    asked = book.encoder.embed(recording("ada", 3))
    assert dict(other.rank(asked))["Zoë 王"] == dict(book.rank(asked))["Zoë 王"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: "{", "not an exported speaker book"),
        (lambda d: "[]", "not an exported speaker book"),
        (lambda d: json.dumps({**d, "version": 3}), "same model and speechkit"),
        (lambda d: json.dumps({**d, "speakers": {"": []}}), "can be printed"),
        (lambda d: json.dumps({**d, "speakers": {"A": [[1.0, float("nan")]]}}), "damaged"),
        (lambda d: json.dumps({**d, "speakers": {"A": [[3.0] * 192]}}), "damaged"),
        (lambda d: json.dumps({**d, "speakers": {"A": [[1.0]]}}), "damaged"),
        (lambda d: json.dumps({**d, "speakers": {"A": ["x"]}}), "not an exported speaker book"),
        (lambda d: json.dumps({**d, "speakers": {"A": 3}}), "not an exported speaker book"),
    ],
)
def test_files_that_are_no_export(book, tmp_path, change, message):
    book.enroll("Ada", [recording("ada")])
    path = book.export(tmp_path / "out.json")
    path.write_text(change(json.loads(path.read_text())))
    other = sk.SpeakerBook(tmp_path / "other.db", encoder=ScriptedEncoder())
    with pytest.raises(InputError, match=message):
        other.merge(path)
    assert other.speakers() == {}
    with pytest.raises(InputError, match="not an exported speaker book"):
        other.merge(tmp_path / "lost.json")


def test_a_book_of_version_1_is_brought_up(tmp_path):
    path = tmp_path / "old.db"
    voice = ScriptedEncoder().embed(recording("ada", 1))
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recordings (speaker TEXT, model TEXT, embedding BLOB)")
        db.execute("CREATE INDEX by_speaker ON recordings (speaker)")
        row = ("Ada", DEFAULT_MODEL, voice.astype("<f4").tobytes())
        db.executemany("INSERT INTO recordings VALUES (?, ?, ?)", [row, ("Eve", "other", row[2])])
        db.execute("PRAGMA user_version = 1")
    encoder = ScriptedEncoder()
    encoder.name, encoder.weights = DEFAULT_MODEL, weights_hash(DEFAULT_MODEL)
    for _ in range(2):
        book = sk.SpeakerBook(path, encoder=encoder)
        assert book.speakers() == {"Ada": 1}  # what another model made could not be compared
        assert book.identify(recording("ada", 2)) == "Ada"
