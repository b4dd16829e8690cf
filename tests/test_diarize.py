"""Who spoke when: turns and files, the path through the voices, and conversations of real recordings."""

import itertools
import json

import numpy as np
import pytest

import speechkit as sk
from speechkit import InputError, SpeechkitError, Turn
from speechkit.asr.transcript import Segment, Transcript, Word
from speechkit.speaker import assign_speakers, read_rttm, write_rttm
from speechkit.speaker.diarization import Tuning, _best_path, _centroids, _is_heard, _resemblance

RATE = 16_000
TURNS = [Turn(0.0, 2.0, "speaker 1"), Turn(1.5, 3.25, "speaker 2"), Turn(5.0, 6.0, "speaker 1")]

# --- RTTM


def test_rttm_there_and_back(tmp_path):
    path = write_rttm(TURNS, tmp_path / "a meeting.rttm")
    lines = path.read_text().splitlines()
    assert lines[1] == "SPEAKER a_meeting 1 1.500 1.750 <NA> <NA> speaker_2 <NA> <NA>"
    back = read_rttm(path)
    assert [(t.start, t.end) for t in back] == [(t.start, t.end) for t in TURNS]
    assert [t.speaker for t in back] == ["speaker_1", "speaker_2", "speaker_1"]
    assert read_rttm(write_rttm([], tmp_path / "empty.rttm")) == []


def test_rttm_of_others(tmp_path, eval_dir):
    path = eval_dir / "diar" / "rttm" / "dev00.rttm"
    turns = read_rttm(path)
    assert len({t.speaker for t in turns}) == 2
    assert all(0 <= t.start < t.end <= 31 for t in turns)
    other = tmp_path / "other.rttm"
    other.write_text(
        "SPKR-INFO x 1 <NA> <NA> <NA> unknown A <NA>\n\nSPEAKER x 1 0.5 1 <NA> <NA> A\n"
    )
    assert read_rttm(other) == [Turn(0.5, 1.5, "A")]


@pytest.mark.parametrize("line", ["SPEAKER x 1 a b <NA> <NA> A", "SPEAKER x 1"])
def test_lines_that_are_no_rttm(tmp_path, line):
    path = tmp_path / "bad.rttm"
    path.write_text(f"SPEAKER x 1 0 1 <NA> <NA> A\n{line}\n")
    with pytest.raises(InputError, match="line 2 is not RTTM"):
        read_rttm(path)
    with pytest.raises(InputError, match="can't be read"):
        read_rttm(tmp_path)
    with pytest.raises(SpeechkitError, match="can't be written"):
        write_rttm(TURNS, tmp_path)


# --- words


def _transcript():
    words = tuple(
        Word(text, start, start + 0.4, 0.9)
        for text, start in (
            ("Hi", 0.2),
            ("there.", 0.7),
            ("Hello,", 2.2),
            ("Ada!", 2.7),
            ("Yes.", 4.6),
        )
    )
    segment = Segment(0.2, 5.0, "Hi there. Hello,  Ada! Yes.", 0.9, words)
    return Transcript(segment.text, "en", 6.0, (segment, Segment(5.1, 5.9, "So.", 0.8)))


def test_each_word_has_the_speaker_who_says_most_of_it():
    out = assign_speakers(_transcript(), TURNS)
    assert [(s.speaker, s.text) for s in out.segments] == [
        ("speaker 1", "Hi there."),
        ("speaker 2", "Hello,  Ada!"),
        ("speaker 1", "Yes."),  # between two turns: the nearer one
        ("speaker 1", "So."),
    ]
    assert [s.start for s in out.segments] == pytest.approx([0.2, 2.2, 4.6, 5.1])
    assert [s.end for s in out.segments] == pytest.approx([1.1, 3.1, 5.0, 5.9])
    words = [word for segment in out.segments for word in segment.words]
    assert [(w.text, w.speaker[-1]) for w in words] == [
        ("Hi", "1"),
        ("there.", "1"),
        ("Hello,", "2"),
        ("Ada!", "2"),
        ("Yes.", "1"),
    ]
    assert out.text == _transcript().text
    assert assign_speakers(_transcript(), []) == _transcript()


def test_speakers_stand_in_every_format():
    out = assign_speakers(_transcript(), TURNS)
    assert out.to("txt").splitlines()[1] == "speaker 2: Hello, Ada!"
    assert "\nspeaker 2:\nHello, Ada!\n" in out.to("srt")
    assert "\n<v speaker 2>Hello, Ada!\n" in out.to("vtt")
    assert "\tspeaker 2: Hello, Ada!\n" in out.to("tsv")
    assert json.loads(out.to("json"))["segments"][1]["words"][0]["speaker"] == "speaker 2"
    webvtt = pytest.importorskip("webvtt")
    captions = webvtt.from_string(out.to("vtt")).captions
    assert [c.voice for c in captions] == ["speaker 1", "speaker 2", "speaker 1", "speaker 1"]
    assert captions[1].text == "Hello, Ada!"


# --- the path through the voices


def test_a_change_has_to_pay():
    scores = np.zeros((10, 2))
    scores[:, 0] = 0.5
    scores[4:6] = 0.4, 0.9  # 2 * 0.5 for going over and back
    assert _best_path(scores, 0.6).tolist() == [0] * 10
    assert _best_path(scores, 0.4).tolist() == [0] * 4 + [1] * 2 + [0] * 4


@pytest.mark.parametrize("seed", range(20))
def test_the_path_is_the_best_of_all(seed):
    from itertools import product

    scores = np.random.default_rng(seed).random((6, 3))
    change = 0.3

    def worth(path):
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return sum(scores[t, k] for t, k in enumerate(path)) - change * changes

    best = max(product(range(3), repeat=6), key=worth)
    assert worth(_best_path(scores, change).tolist()) == pytest.approx(worth(best))


# --- recordings


@pytest.mark.real
def test_silence_has_no_turns(encoder):
    assert sk.diarize((RATE, np.zeros(5 * RATE, np.float32)), encoder=encoder) == []
    with pytest.raises(InputError, match="give 1 or more"):
        sk.diarize((RATE, np.zeros(RATE, np.float32)), speakers=0, encoder=encoder)


@pytest.fixture(scope="module")
def conversation(eval_dir):
    """Two people take turns, with pauses of 0.4 s: (audio, [(start, end, who)])."""
    rows = [
        json.loads(x) for x in (eval_dir / "asr_en" / "manifest.jsonl").read_text().splitlines()
    ]
    people = {}
    for row in rows:
        if row["dataset"] == "librispeech-test-other" and 4 < row["duration"] < 12:
            people.setdefault(row["speaker"], []).append(row["audio"])
    first, second = sorted(people)[:2]
    parts, truth, at = [], [], 0.0
    for i in range(6):
        who = (first, second)[i % 2]
        samples = sk.load_audio(eval_dir / "asr_en" / people[who][i // 2], RATE).samples
        parts += [samples, np.zeros(round(0.4 * RATE), np.float32)]
        truth.append((at, at + len(samples) / RATE, who))
        at += len(samples) / RATE + 0.4
    return sk.Audio(np.concatenate(parts), RATE), truth


@pytest.mark.real
def test_two_people_who_take_turns(conversation, encoder):
    audio, truth = conversation
    done = []
    turns = sk.diarize(audio, encoder=encoder, progress=lambda *x: done.append(x))
    assert done[-1][0] == done[-1][1]
    assert {t.speaker for t in turns} == {"speaker 1", "speaker 2"}
    assert turns[0].speaker == "speaker 1"
    wrong = total = 0.0
    for turn in turns:
        for start, end, who in truth:
            common = max(0.0, min(turn.end, end) - max(turn.start, start))
            total += common
            wrong += common * ((turn.speaker == "speaker 1") != (who == truth[0][2]))
    print(f"{wrong:.2f} s of {total:.1f} s are given to the wrong person")
    assert wrong < 0.05 * total
    spoken = sum(stretch.end - stretch.start for stretch in sk.detect_speech(audio))
    assert total > 0.9 * spoken
    assert len({t.speaker for t in sk.diarize(audio, speakers=1, encoder=encoder)}) == 1
    assert 2 <= len({t.speaker for t in sk.diarize(audio, speakers=3, encoder=encoder)}) <= 3


@pytest.mark.real
def test_a_recording_from_afar_has_the_same_speech(conversation, encoder):
    audio, _ = conversation
    faint = sk.Audio(audio.samples * 0.003, RATE)  # 50 dB softer, as over a table
    near, far = (
        sum(t.end - t.start for t in sk.diarize(a, encoder=encoder)) for a in (audio, faint)
    )
    assert far == pytest.approx(near, rel=0.05)


@pytest.mark.real
def test_two_people_at_once(eval_dir, encoder):
    """Two voices over each other most of the time."""
    both = np.zeros(3)  # seconds: true, found, found and true
    for n in (2, 8, 9):
        name = f"train-clean-2mix-{n:04}"
        audio = sk.load_audio(eval_dir / "diar" / "audio" / f"{name}.flac", RATE)
        truth = read_rttm(eval_dir / "diar" / "rttm" / f"{name}.rttm")
        found = sk.diarize(audio, encoder=encoder)
        assert len({t.speaker for t in found}) == 2
        grid = np.arange(0, audio.duration, 0.01)
        a, b = (
            np.sum([(t.start <= grid) & (grid < t.end) for t in turns], axis=0) > 1
            for turns in (truth, found)
        )
        both += np.array([a.sum(), b.sum(), (a & b).sum()]) / 100
    print("two voices at once: {:.1f} s, found {:.1f} s, of which {:.1f} s rightly".format(*both))
    assert both[2] > 0.5 * both[0]
    assert both[2] > 0.9 * both[1]


@pytest.mark.real
@pytest.mark.parametrize("seconds", [0.3, 0.9, 3.0, 10.0, 10.5, 25.0])
def test_any_length(conversation, encoder, seconds):
    audio, _ = conversation
    part = sk.Audio(audio.samples[: round(seconds * RATE)], RATE)
    turns = sk.diarize(part, encoder=encoder)
    assert all(0 <= t.start < t.end <= part.duration for t in turns)
    assert turns or seconds < 1
    assert sk.diarize(sk.Audio(part.samples[: RATE // 5], RATE), encoder=encoder) == []


def test_speech_whose_windows_are_silent_has_the_voice_of_the_nearest():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]], "f4")
    found = _resemblance([(0.0, 1.5), (8.0, 9.5)], scores, [(0, 60), (300, 330)], 600, Tuning())
    assert np.isnan(found[60:300]).all()
    assert found[:60].argmax(axis=1).max() == 0
    assert found[300:330].argmax(axis=1).min() == 1


def _windows_of(*directions):
    """Embeddings around some directions, each so many times."""
    rng = np.random.default_rng(0)
    windows = np.concatenate([np.tile(one, (count, 1)) for one, count in directions])
    windows = windows + 0.01 * rng.standard_normal(windows.shape)
    return (windows / np.linalg.norm(windows, axis=1, keepdims=True)).astype("f4")


A, B, ODD = np.eye(192)[0], np.r_[0.5, np.sqrt(0.75), np.zeros(190)], np.eye(192)[5]


def test_a_given_number_of_voices_is_not_spent_on_an_outlier():
    windows = _windows_of((A, 20), (B, 20), (ODD, 1))
    centroids = _centroids(windows, 2, Tuning())
    assert (centroids @ np.stack([A, B]).T).max(axis=0) == pytest.approx([1, 1], abs=0.02)


def test_a_voice_that_is_heard_shortly_is_not_lost_to_halves_of_the_other():
    windows = _windows_of((A, 100), (B, 3))
    centroids = _centroids(windows, 2, Tuning())
    assert (centroids @ np.stack([A, B]).T).max(axis=0) == pytest.approx([1, 1], abs=0.02)


@pytest.mark.parametrize("speakers", [None, 2])
def test_an_outlier_in_a_long_recording_is_no_voice(speakers):
    windows = _windows_of((ODD, 1), (A, 1502), (np.eye(192)[1], 1501))
    centroids = _centroids(windows, speakers, Tuning())
    assert len(centroids) == 2
    assert (centroids @ np.eye(192)[:2].T).max(axis=0) == pytest.approx([1, 1], abs=0.02)


def test_no_more_voices_than_windows():
    windows = _windows_of((A, 20), (B, 20), (ODD, 1))
    assert len(_centroids(windows, 30, Tuning())) == 30
    assert len(_centroids(windows[:3], 5, Tuning())) == 3


@pytest.mark.real
def test_what_is_all_but_silent_has_no_turns(encoder):
    hiss = 1e-5 * np.random.default_rng(0).standard_normal(10 * RATE)
    assert sk.diarize((RATE, hiss.astype("f4")), encoder=encoder) == []


def test_windows_of_silence_are_not_embedded():
    samples = np.zeros(4 * RATE, np.float32)
    samples[2 * RATE :] = 0.1 * np.sin(np.arange(2 * RATE))
    assert not _is_heard(samples, (0.0, 1.5))
    assert _is_heard(samples, (1.0, 2.5))
