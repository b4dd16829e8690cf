"""What recognition returns: file formats, saving, and word times made orderly."""

import json
import random
from pathlib import Path

import pytest

from speechkit.asr import FORMATS, Dropped, Segment, Transcript, Word
from speechkit.asr.transcript import settle_words
from speechkit.errors import InputError

HOUR = 3600.0
LONG = Transcript(
    text="Hello & <b>you</b> --> there. At length ---> done.",
    language="en",
    duration=100 * HOUR + 2,
    segments=(
        Segment(0.0, 2.5, "Hello & <b>you</b> --> there.", 0.9, (Word("Hello", 0.0, 0.5, 0.8),)),
        Segment(59.9996, HOUR + 61.0404, "At\n length\t---> done.", 0.5),
        Segment(99 * HOUR + 3599.999, 100 * HOUR, "Ça va — 你好", 0.5),
    ),
    dropped=(Dropped(3.0, 4.0, "you", "no speech"),),
)
EMPTY = Transcript("", "en", 1.0)


def test_txt_has_a_line_per_segment() -> None:
    assert LONG.to("txt").startswith("Hello & <b>you</b> --> there.\n")
    assert LONG.to("txt").endswith("Ça va — 你好\n")


def test_srt() -> None:
    assert LONG.to("srt") == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello & <b>you</b> -> there.\n\n"
        "2\n00:01:00,000 --> 01:01:01,040\nAt length -> done.\n\n"
        "3\n99:59:59,999 --> 100:00:00,000\nÇa va — 你好\n\n"
    )


def test_vtt() -> None:
    assert LONG.to("vtt") == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:02.500\nHello &amp; &lt;b&gt;you&lt;/b&gt; --&gt; there.\n\n"
        "00:01:00.000 --> 01:01:01.040\nAt length ---&gt; done.\n\n"
        "99:59:59.999 --> 100:00:00.000\nÇa va — 你好\n\n"
    )


def test_tsv_counts_milliseconds_and_keeps_the_text() -> None:
    assert LONG.to("tsv") == (
        "start\tend\ttext\n"
        "0\t2500\tHello & <b>you</b> --> there.\n"
        "60000\t3661040\tAt length ---> done.\n"
        "359999999\t360000000\tÇa va — 你好\n"
    )


def test_json_holds_everything() -> None:
    data = json.loads(LONG.to("json"))
    assert "你好" in LONG.to("json")
    rebuilt = Transcript(
        data["text"],
        data["language"],
        data["duration"],
        tuple(
            Segment(**{**s, "words": tuple(Word(**w) for w in s["words"])})
            for s in data["segments"]
        ),
        tuple(Dropped(**d) for d in data["dropped"]),
    )
    assert rebuilt == LONG


def test_an_empty_transcript_in_every_format() -> None:
    written = {name: EMPTY.to(name) for name in FORMATS}
    assert written.pop("txt") == ""
    assert written.pop("srt") == ""
    assert written.pop("vtt") == "WEBVTT\n\n"
    assert written.pop("tsv") == "start\tend\ttext\n"
    assert json.loads(written.pop("json"))["segments"] == []
    assert not written


@pytest.mark.parametrize("name", FORMATS)
def test_save_goes_by_the_ending(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"talk.{name.upper()}"
    assert LONG.save(str(path)) == path
    assert path.read_text(encoding="utf-8") == LONG.to(name)


def test_save_says_what_is_wrong(tmp_path: Path) -> None:
    for name in ("talk.doc", "talk"):
        with pytest.raises(InputError, match="choose one of txt, srt, vtt, tsv, json"):
            LONG.save(tmp_path / name)
    (tmp_path / "folder.txt").mkdir()
    for place in (tmp_path / "missing" / "talk.txt", tmp_path / "folder.txt"):
        with pytest.raises(InputError, match=r"can't be written: .*choose another place"):
            LONG.save(place)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.txt"]


def test_settled_words_are_orderly_whatever_comes_in() -> None:
    rng = random.Random(0)
    for _ in range(500):
        start = rng.uniform(0, 50)
        end = start + rng.choice([0.0, rng.uniform(0, 10)])
        given = [
            Word(f"w{i}", rng.uniform(start - 3, end + 3), rng.uniform(start - 3, end + 3), 0.5)
            for i in range(rng.randrange(12))
        ]
        settled = settle_words(given, start, end)
        assert [w.text for w in settled] == [w.text for w in given]
        times = [start, *(t for w in settled for t in (w.start, w.end)), end]
        assert times == sorted(times)
        for old, new in zip(given, settled, strict=True):
            moved = max(abs(old.start - new.start), abs(old.end - new.end))
            assert (new.source == "interpolated") == (moved > 0.1 or new.start == new.end)


def test_orderly_words_stay_as_they_are() -> None:
    rng = random.Random(1)
    for _ in range(100):
        times = sorted({round(rng.uniform(1, 9), 2) for _ in range(20)})
        words = [Word("w", a, b, 0.5) for a, b in zip(times[::2], times[1::2], strict=False)]
        assert settle_words(words, 1.0, 9.0) == tuple(words)
