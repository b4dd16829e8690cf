"""Transcripts as files, read back by other packages: what was said, when, and in how long lines."""

import csv
import html
import io
import itertools
import json
import random
from pathlib import Path

import pytest
import srt
import webvtt

from speechkit.asr import FORMATS, Dropped, Segment, Transcript, Word
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
    language_probability=0.75,
)
EMPTY = Transcript("", "en", 1.0)


def timed(text, start=0.0, step=0.5, spaced=True):
    """A segment with timed words: `step` seconds each, one after the other."""
    parts = text.split() if spaced else list(text)
    words = tuple(
        Word(part, start + i * step, start + (i + 1) * step, 0.5) for i, part in enumerate(parts)
    )
    return Segment(start, words[-1].end, text, 0.5, words)


def transcript(*segments):
    return Transcript(" ".join(s.text for s in segments), "en", segments[-1].end, segments)


def cues(text, format):
    """(start, end, lines) of each subtitle, as another package reads them."""
    if format == "srt":
        return [
            (s.start.total_seconds(), s.end.total_seconds(), s.content.split("\n"))
            for s in srt.parse(text)
        ]
    read = webvtt.from_buffer(io.StringIO(text))
    return [(seconds(c.start), seconds(c.end), html.unescape(c.text).split("\n")) for c in read]


def seconds(stamp):
    hours, minutes, rest = stamp.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


# --- the formats


def test_txt_has_a_line_per_segment():
    assert LONG.to("txt") == ("Hello & <b>you</b> --> there.\nAt length ---> done.\nÇa va — 你好\n")


def test_srt():
    assert LONG.to("srt") == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello & <b>you</b> -> there.\n\n"
        "2\n00:01:00,000 --> 01:01:01,040\nAt length -> done.\n\n"
        "3\n99:59:59,999 --> 100:00:00,000\nÇa va — 你好\n\n"
    )


def test_vtt():
    assert LONG.to("vtt") == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:02.500\nHello &amp; &lt;b&gt;you&lt;/b&gt; --&gt; there.\n\n"
        "00:01:00.000 --> 01:01:01.040\nAt length ---&gt; done.\n\n"
        "99:59:59.999 --> 100:00:00.000\nÇa va — 你好\n\n"
    )


def test_tsv_counts_milliseconds_and_keeps_the_text():
    rows = list(csv.reader(io.StringIO(LONG.to("tsv")), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows == [
        ["start", "end", "text"],
        ["0", "2500", "Hello & <b>you</b> --> there."],
        ["60000", "3661040", "At length ---> done."],
        ["359999999", "360000000", "Ça va — 你好"],
    ]


def test_json_holds_everything():
    data = json.loads(LONG.to("json"))
    assert "你好" in LONG.to("json")
    segments = tuple(
        Segment(**{**s, "words": tuple(Word(**w) for w in s["words"])})
        for s in data.pop("segments")
    )
    dropped = tuple(Dropped(**d) for d in data.pop("dropped"))
    assert Transcript(segments=segments, dropped=dropped, **data) == LONG


def test_an_empty_transcript_in_every_format():
    written = {name: EMPTY.to(name, line_length=20) for name in FORMATS}
    assert written.pop("txt") == ""
    assert written.pop("srt") == ""
    assert written.pop("vtt") == "WEBVTT\n\n"
    assert written.pop("tsv") == "start\tend\ttext\n"
    assert json.loads(written.pop("json"))["segments"] == []
    assert not written


# --- subtitles, read back

ODD = (
    "a --> b",
    "-->",
    "1",
    "00:00:01,000 --> 00:00:02,000",
    "x < y & y > z &amp; &lt;",
    "<i>not slanted</i> {\\an8}",
    "He said: \"Well, 'no'.\"",
    "one\n\ntwo\r\nthree\x0b four\u2028five\x85six",
    "WEBVTT\nNOTE this\nSTYLE",
    "مرحبا بكم في البرنامج",
    "שלום לכולם, מה שלומכם?",
    "今日はいい天気ですね。",
    "👩‍👩‍👧‍👦 said 👍🏽 and 🇫🇷",
    "naïve — “quoted” … ﬁn\u00a0dash",
)


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_odd_text_comes_back_from_other_readers(format):
    segments = [Segment(2.0 * i, 2.0 * i + 1.25, text, 0.5) for i, text in enumerate(ODD)]
    found = cues(transcript(*segments).to(format), format)
    assert [(start, end) for start, end, _ in found] == [(s.start, s.end) for s in segments]
    for (_, _, lines), text in zip(found, ODD, strict=True):
        whole = " ".join(text.split())
        assert lines == [whole.replace("-->", "->") if format == "srt" else whole]


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_odd_text_comes_back_from_narrow_subtitles(format):
    for text in ODD:
        written = transcript(timed(text)).to(format, line_length=12, lines=1)
        read = "".join(line for _, _, lines in cues(written, format) for line in lines)
        expected = text.replace("-->", "->") if format == "srt" else text
        assert "".join(read.split()) == "".join(expected.split())


def test_srt_is_numbered_from_one():
    written = transcript(timed("one two three four five six")).to("srt", line_length=5, lines=1)
    assert [s.index for s in srt.parse(written)] == list(range(1, 7))


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_every_subtitle_is_shown_for_some_time(format):
    words = (Word("One", 1.0, 1.0, 0.5), Word("two", 1.0, 1.0, 0.5), Word("three", 1.0, 1.2, 0.5))
    pressed = Segment(1.0, 1.2, "One two three", 0.5, words)
    alone = Segment(1.2, 1.2, "Four", 0.5, (Word("Four", 1.2, 1.2, 0.5),))
    found = cues(transcript(pressed, alone).to(format, line_length=5, lines=1), format)
    assert [lines for _, _, lines in found] == [["One"], ["two"], ["three"], ["Four"]]
    assert all(start < end for start, end, _ in found)


# --- line length


def test_without_a_line_length_a_segment_is_one_subtitle():
    found = cues(transcript(timed("word " * 50)).to("srt"), "srt")
    assert len(found) == 1
    assert len(found[0][2]) == 1


def test_lines_are_filled_and_words_end_their_subtitles():
    segment = timed("The quick brown fox jumps over the lazy dog", start=10.0)
    found = cues(transcript(segment).to("srt", line_length=10), "srt")
    assert found == [
        (10.0, 12.0, ["The quick", "brown fox"]),
        (12.0, 14.0, ["jumps over", "the lazy"]),
        (14.0, 14.5, ["dog"]),
    ]


def test_a_pause_between_words_is_a_pause_between_subtitles():
    words = (Word("Wait", 0.0, 0.5, 0.5), Word("here.", 4.0, 4.5, 0.5))
    segment = Segment(0.0, 4.5, "Wait here.", 0.5, words)
    found = cues(transcript(segment).to("vtt", line_length=6, lines=1), "vtt")
    assert [(start, end) for start, end, _ in found] == [(0.0, 0.5), (4.0, 4.5)]


def test_without_timed_words_the_time_is_shared_out_by_letters():
    segment = Segment(10.0, 20.0, "abcd efghi", 0.5)
    found = cues(transcript(segment).to("srt", line_length=5, lines=1), "srt")
    assert found == [(10.0, 14.0, ["abcd"]), (14.0, 20.0, ["efghi"])]


def test_text_between_and_behind_the_words_is_shown():
    words = (Word("One", 0.0, 1.0, 0.5), Word("three", 2.0, 3.0, 0.5), Word("x", 3.0, 3.0, 0.5))
    segment = Segment(0.0, 3.0, "One two three (four)", 0.5, words)
    found = cues(transcript(segment).to("srt", line_length=20), "srt")
    assert found == [(0.0, 3.0, ["One two three (four)"])]


def test_a_word_that_is_longer_than_a_line_is_cut():
    segment = timed("Die Donaudampfschifffahrt ist da", step=1.0)
    found = cues(transcript(segment).to("srt", line_length=10, lines=2), "srt")
    assert [lines for _, _, lines in found] == [["Die", "Donaudamp"], ["fschifffah", "rt ist da"]]
    assert found[0][1] == pytest.approx(1 + 1 / 3, abs=2e-3)
    assert found[1][1] == 4.0


def test_words_of_a_script_without_spaces_fill_the_lines():
    segment = timed("今日はいい天気ですね。", spaced=False)
    found = cues(transcript(segment).to("vtt", line_length=4, lines=2), "vtt")
    assert [lines for _, _, lines in found] == [["今日はい", "い天気で"], ["すね。"]]
    assert [(start, end) for start, end, _ in found] == [(0.0, 4.0), (4.0, 5.5)]
    untimed = Segment(0.0, 5.5, "今日はいい天気ですね。", 0.5)
    found = cues(transcript(untimed).to("vtt", line_length=4, lines=2), "vtt")
    assert [lines for _, _, lines in found] == [["今日はい", "い天気で"], ["すね。"]]


def test_right_to_left_text_keeps_its_order():
    for text in ("مرحبا بكم في البرنامج الجديد", "שלום לכולם, מה שלומכם היום?"):
        found = cues(transcript(timed(text)).to("srt", line_length=12, lines=1), "srt")
        assert len(found) > 1
        assert " ".join(line for _, _, lines in found for line in lines) == text


ALPHABETS = ("abcdefg", "אבגדה", "ابتثج", "日本語文字", "👍🎉👩", "é̈ñ")


def random_segments(rng):
    """Segments in order, of words of all lengths and scripts; some of the words have times."""
    at = rng.randrange(10_000) / 1000
    for _ in range(rng.randrange(1, 6)):
        alphabet, words = rng.choice(ALPHABETS), []
        start = at
        for _ in range(rng.randrange(1, 20)):
            letters = rng.choices(alphabet, k=rng.choice([1, 3, 5, 8, 30]))
            length = rng.choice([0, 0.1, 0.4, 1.0])
            words.append(Word("".join(letters), at, at + length, 0.5))
            at = round(at + length + rng.choice([0, 0, 0.3]), 3)
        yield Segment(
            start,
            words[-1].end,
            " ".join(w.text for w in words),
            0.5,
            tuple(words) if rng.random() < 0.7 else (),
        )


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_any_subtitles_keep_their_size_their_words_and_their_order(format):
    rng = random.Random(0)
    for _ in range(200):
        given = transcript(*random_segments(rng))
        length, lines = rng.randrange(1, 45), rng.randrange(1, 4)
        found = cues(given.to(format, line_length=length, lines=lines), format)
        shown = [line for _, _, own in found for line in own]
        assert all(1 <= len(own) <= lines for _, _, own in found)
        assert all(1 <= len(line) <= length for line in shown)
        assert "".join("".join(shown).split()) == "".join(given.text.split())
        starts = [start for start, _, _ in found]
        assert starts == sorted(starts)
        for (_, end, _), (start, _, _) in itertools.pairwise(found):
            assert end <= start + 0.00101
        assert found[-1][1] == pytest.approx(given.segments[-1].end, abs=0.00101)


def test_words_that_fit_are_kept_whole():
    rng = random.Random(1)
    for _ in range(100):
        words = ["x" * rng.randrange(1, 9) + str(i) for i in range(40)]
        written = transcript(timed(" ".join(words))).to("srt", line_length=11, lines=2)
        shown = [line.split() for _, _, own in cues(written, "srt") for line in own]
        assert [word for line in shown for word in line] == words
        for line, after in itertools.pairwise(shown):
            assert len(" ".join([*line, after[0]])) > 11, "there was room for another word"


# --- errors and saving


@pytest.mark.parametrize("options", [{"line_length": 0}, {"line_length": -3}, {"lines": 0}])
def test_lines_of_no_size_are_refused(options):
    for format in FORMATS:
        with pytest.raises(InputError, match="give 1 or more of each"):
            LONG.to(format, **options)


@pytest.mark.parametrize("name", FORMATS)
def test_save_goes_by_the_ending(tmp_path: Path, name):
    path = tmp_path / f"talk.{name.upper()}"
    assert LONG.save(str(path), line_length=8, lines=1) == path
    assert path.read_text(encoding="utf-8") == LONG.to(name, line_length=8, lines=1)
    assert LONG.save(path).read_text(encoding="utf-8") == LONG.to(name)


def test_save_says_what_is_wrong(tmp_path: Path):
    for name in ("talk.doc", "talk"):
        with pytest.raises(InputError, match="choose one of txt, srt, vtt, tsv, json"):
            LONG.save(tmp_path / name)
    (tmp_path / "folder.txt").mkdir()
    for place in (tmp_path / "missing" / "talk.txt", tmp_path / "folder.txt"):
        with pytest.raises(InputError, match=r"can't be written: .*choose another place"):
            LONG.save(place)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.txt"]
