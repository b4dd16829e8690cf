"""Speaker recognition: the book with a scripted encoder, the encoder on the real weights."""

import json
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import speechkit as sk
import speechkit.hub
from speechkit import AudioError, InputError, SpeechkitError, WeightsError
from speechkit.features import ecapa_fbank
from speechkit.speaker import SpeakerEncoder, similarity
from speechkit.speaker.ecapa import SpeechbrainEngine

RATE = 16_000
RNG = np.random.default_rng(5)
VOICES = {name: RNG.standard_normal(192).astype("f4") for name in ("ada", "bob", "cleo")}


def recording(who: str, take: int = 0) -> sk.Audio:
    """A second of sound that the scripted encoder takes for a recording of `who`."""
    level = 0.1 + 0.2 * list(VOICES).index(who) + 0.02 * take
    samples = np.full(RATE, level, np.float32)
    samples[::2] *= -1
    return sk.Audio(samples, RATE)


class ScriptedEncoder:
    """Knows the voices by their level; each take differs a little."""

    name, threshold = "scripted", 0.6

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
    name, threshold = "scripted", 0.5
    def embed_many(self, sources):
        return np.eye(192, dtype="f4")[:len(sources)]
audio = sk.Audio(np.ones(16000, "f4") / 2, 16000)
sys.stdin.readline()
for i in range(20):
    sk.SpeakerBook(sys.argv[1], encoder=Encoder()).enroll(f"{sys.argv[2]}{i}", [audio])
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


def test_embeddings_of_another_model_are_not_compared(book):
    book.enroll("Ada", [recording("ada")])
    book.encoder.name = "another"
    assert book.identify(recording("ada")) is None
    book.enroll("Cleo", [recording("cleo")])
    assert [name for name, _ in book.rank(book.encoder.embed(recording("ada")))] == ["Cleo"]
    assert book.speakers() == {"Ada": 1, "Cleo": 1}


# --- the encoder, on a scripted engine


class ScriptedEngine:
    """The mean of the filter bank's slopes, and what it was asked."""

    def __init__(self):
        self.shapes = []

    def embed(self, fbank, lengths):
        assert lengths.tolist() == [1.0] * len(fbank)
        self.shapes.append(tuple(fbank.shape))
        first = fbank.diff(dim=-1).abs().mean(1)
        return torch.nn.functional.pad(first, (0, 192 - 79))


@pytest.fixture
def scripted():
    return SpeakerEncoder(ScriptedEngine(), "scripted", threshold=0.7)


def noise(seconds, seed=0, level=0.1):
    draws = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return sk.Audio((level * draws).astype("f4"), RATE)


def test_an_embedding_has_length_one_whatever_the_source(scripted, tmp_path):
    audio = noise(1)
    e = scripted.embed(audio)
    assert (e.shape, e.dtype) == ((192,), np.float32)
    assert np.linalg.norm(e) == pytest.approx(1, abs=1e-6)
    assert scripted.engine.shapes == [(1, 101, 80)]
    path = audio.save(tmp_path / "a.wav")
    for source in (path, str(path), path.read_bytes(), (RATE, np.array(audio.samples))):
        assert similarity(scripted.embed(source), e) > 0.9999
    both = scripted.embed_many([audio, noise(2, 1)])
    assert np.array_equal(both, [e, scripted.embed(noise(2, 1))])


def test_what_holds_no_voice_is_refused(scripted):
    def sound(samples):
        return sk.Audio(np.asarray(samples, np.float32), RATE)

    cases = [
        (noise(0.1), r"0\.10 s long; give at least 0\.3 s"),
        (noise(0.29), r"give at least 0\.3 s"),
        (sound(np.zeros(RATE)), "silent; record again"),
        (sound(np.full(RATE, 0.5)), "silent; record again"),
        (noise(1, level=1e-6), "silent; record again"),
        (sound([]), "no samples"),
    ]
    for audio, message in cases:
        with pytest.raises(AudioError, match=message):
            scripted.embed(audio)
        with pytest.raises(AudioError, match=message):
            scripted.verify(noise(1), audio)
    assert scripted.embed(noise(0.31)).shape == (192,)


def test_hours_are_embedded_in_parts(scripted):
    long = noise(150)
    e = scripted.embed(long)
    assert [shape[1] for shape in scripted.engine.shapes] == [5001] * 3
    assert np.linalg.norm(e) == pytest.approx(1, abs=1e-6)
    assert similarity(e, scripted.embed(noise(20))) > 0.99
    scripted.engine.shapes.clear()
    pause = sk.Audio(np.concatenate([np.zeros(100 * RATE, "f4"), noise(50).samples]), RATE)
    scripted.embed(pause)
    assert len(scripted.engine.shapes) == 1  # silent parts say nothing
    scripted.embed(noise(60))
    assert scripted.engine.shapes[-1][1] == 6001  # a minute is one part


def test_verify_compares_with_the_threshold(scripted):
    a, b = noise(1, 1), noise(1, 2)
    score = similarity(scripted.embed(a), scripted.embed(b))
    assert scripted.verify(a, b) == sk.speaker.Verification(score, 0.7, score >= 0.7)
    assert scripted.verify(a, b, threshold=score).same
    assert not scripted.verify(a, b, threshold=float(np.nextafter(score, 2))).same
    assert scripted.verify(a, a).score == pytest.approx(1)


def test_lists_are_lists(scripted):
    for sources in ([], (), "a.wav", b"RIFF", noise(1)):
        with pytest.raises(InputError, match="give a list"):
            scripted.embed_many(sources)


def test_unknown_names_and_damaged_weights(tmp_path):
    with pytest.raises(InputError, match="spkrec-ecapa-voxceleb"):
        sk.load_speaker_encoder("nobody")
    with pytest.raises(InputError, match="choose reference"):
        sk.load_speaker_encoder(engine="steam")
    damaged = tmp_path / "embedding_model.ckpt"
    for data in (b"", b"<html>", b"PK\x03\x04" + bytes(100)):
        damaged.write_bytes(data)
        with pytest.raises(WeightsError, match="fetch the model again"):
            SpeechbrainEngine(damaged, "cpu")
    torch.save({"blocks.0.weight": torch.zeros(3)}, damaged)
    with pytest.raises(WeightsError, match="fetch the model again"):
        SpeechbrainEngine(damaged, "cpu")


# --- the real weights


@pytest.fixture(scope="module")
def trials(eval_dir):
    """All trials: (same speaker?, path, path)."""
    lines = (eval_dir / "sv" / "trials.txt").read_text().split("\n")
    rows = [line.split() for line in lines if line.strip()]
    return [(label == "1", eval_dir / "sv" / a, eval_dir / "sv" / b) for label, a, b in rows]


@pytest.mark.real
def test_embeddings_equal_speechbrains_own_pipeline(encoder, trials):
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    fbank = Fbank(n_mels=80)
    normalise = InputNormalization(norm_type="sentence", std_norm=False)
    model = ECAPA_TDNN(80, lin_neurons=192, channels=[1024] * 4 + [3072]).eval()
    checkpoint = speechkit.hub.fetch("spkrec-ecapa-voxceleb") / "embedding_model.ckpt"
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    paths = [trials[i][1] for i in (0, 40, 300)]
    for path in paths:
        audio = sk.load_audio(path, RATE)
        samples, whole = torch.tensor(audio.samples)[None], torch.ones(1)
        with torch.inference_mode():
            theirs = model(normalise(fbank(samples), whole), whole)[0, 0].numpy()
        ours = encoder.engine.embed(ecapa_fbank(samples), whole)[0].numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
        unit = theirs / np.linalg.norm(theirs)
        np.testing.assert_allclose(encoder.embed(audio), unit, atol=1e-4)
    many = encoder.embed_many(paths)
    np.testing.assert_allclose(np.linalg.norm(many, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(many, [encoder.embed(path) for path in paths], atol=1e-6)


@pytest.mark.real
def test_error_rates_on_forty_trials(encoder, trials):
    """Of the short recordings, which are the hard ones: 20 trials of each kind, as they lie."""
    short = [t for t in trials if all(path.stat().st_size < 130_000 for path in t[1:])]
    chosen = []
    for kind in (True, False):
        one_kind = [t for t in short if t[0] == kind]
        chosen += one_kind[:: len(one_kind) // 20][:20]
    assert len(chosen) == 40
    files = sorted({path for _, *paths in chosen for path in paths})
    embeddings = dict(zip(files, encoder.embed_many(files), strict=True))
    scores = np.array([similarity(embeddings[a], embeddings[b]) for _, a, b in chosen])
    same = np.array([label for label, _, _ in chosen])
    accepts, rejects = (scores[~same] >= 0.25).mean(), (scores[same] < 0.25).mean()
    rates = [((scores[~same] >= t).mean(), (scores[same] < t).mean()) for t in sorted(scores)]
    eer = min(max(rate) for rate in rates)
    print(f"false accepts {accepts:.3f}, false rejects {rejects:.3f}, equal error rate {eer:.3f}")
    assert eer <= 0.06
    assert accepts <= 0.2
    assert rejects <= 0.06


@pytest.mark.real
def test_clear_cases(encoder, eval_dir):
    sets = [json.loads(line) for line in (eval_dir / "sv" / "trials_meta.jsonl").open()]
    for group, same in (("librispeech-test-other", True), ("vctk", True), ("vctk", False)):
        row = next(r for r in sets if r["group"] == group and r["label"] == same)
        result = encoder.verify(eval_dir / "sv" / row["enrol"], eval_dir / "sv" / row["test"])
        assert result.threshold == 0.25
        assert result.same == same, (row, result)


@pytest.mark.real
def test_the_voice_is_itself_and_not_a_smaller_person(voice, encoder, tmp_path):
    first = voice.synthesize("The birch canoe slid on the smooth planks.")
    second = voice.synthesize("Four hours of steady work faced us yesterday.", seed=2)
    shrunk = sk.Audio(second.resample(round(second.sample_rate / 1.35)).samples, second.sample_rate)
    assert encoder.verify(first, second).score > 0.5
    assert not encoder.verify(first, shrunk).same
    book = sk.SpeakerBook(tmp_path / "voices.db", encoder=encoder)
    book.enroll("Joe", [first])
    assert book.identify(second) == "Joe"
    assert book.identify(shrunk) is None
