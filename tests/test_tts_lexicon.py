"""The pronunciation lexicon, and phonemes written inside a text."""

import json
import random
import re
import time
from pathlib import Path

import pytest

from speechkit.errors import InputError
from speechkit.tts.inline import FIRST_STAND_IN, MAX_INLINE, extract_phonemes
from speechkit.tts.lexicon import Lexicon

ENTRIES = {
    "Nguyen": "/wɪn/",
    "NASA": "[[nˈæsə]]",
    "read": "red",
    "red": "never",
    "New York": "the city",
    "new": "old",
    "C++": "see plus plus",
    ".NET": "dot net",
    "&": "and",
    "don": "DON",
    "café": "coffee house",
    "a b": "two",
    "a b c": "three",
    "中": "zhong",
    "हिन्दी": "hindi",
    "Straße": "road",
    "read me": "notes",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nguyen, nguyen NGUYEN's", "[[wɪn]], [[wɪn]] [[wɪn]]'s"),
        ("NASA Nasa nasa", "[[nˈæsə]] Nasa nasa"),
        ("Read READ reader unread read_ read2", "red red reader unread read_ read2"),
        ("New York, New\n York new york", "the city, the city old york"),
        ("C++ C++x .NET ASP.NET", "see plus plus C++x dot net ASP.NET"),
        ("R & D, R&D", "R and D, R&D"),
        ("don don't don’t Don's", "DON don't don’t DON's"),
        ("café cafe\u0301 cafe", "coffee house coffee house cafe"),
        ("a b c a b d a  B", "three two d two"),
        ("中国", "zhong国"),
        ("हिन्दी हिन्दीX", "hindi हिन्दीX"),
        ("STRASSE", "road"),
        ("read me, read him", "notes, red him"),
        ("[[read]] read [[read", "[[read]] red [[red"),
        ("", ""),
        ("nothing here", "nothing here"),
    ],
)
def test_apply(text: str, expected: str) -> None:
    assert Lexicon(ENTRIES).apply(text) == expected


def test_exact_case_goes_before_any_case() -> None:
    lexicon = Lexicon({"us": "all of us", "US": "the states"})
    assert lexicon.apply("us Us US") == "all of us all of us the states"
    assert len(lexicon) == 2
    assert len(Lexicon({"Read": "a", "read": "b"})) == 1


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"": "x"}, "without a word"),
        ({" ": "x"}, "without a word"),
        ({"x": ""}, "'x' has no spelling; give other letters, or phonemes"),
        ({"x": 5}, "'x' has no spelling"),
        ({"x": "[[a"}, r"write them as \[\[IPA\]\]"),
        ({"x": "/a[b/"}, None),
        ({"x": "/[[b]]/"}, r"write them as \[\[IPA\]\]"),
        ({"[[x]]": "y"}, "they belong to the spelling"),
        ({"x" * 101: "y"}, "100 are the most"),
    ],
)
def test_entries_that_say_nothing(entries: dict[str, str], message: str | None) -> None:
    with pytest.raises(InputError, match=message):
        Lexicon(entries)


def test_read_lines(tmp_path: Path) -> None:
    file = tmp_path / "words.tsv"
    file.write_bytes("\ufeff# names\r\nNguyen\t/wɪn/\r\n\r\n C#\t\tsee sharp \n".encode())
    lexicon = Lexicon.read(file)
    assert len(lexicon) == 2
    assert lexicon.apply("Nguyen's C#") == "[[wɪn]]'s see sharp"


@pytest.mark.parametrize("name", ["words.json", "words.txt"])
def test_read_json(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(json.dumps({"SQL": "sequel"}), "utf-8")
    assert Lexicon.read(str(file)).apply("SQL") == "sequel"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tsv", b"one\tx\ntwo\n", r"a\.tsv, line 2: 1 fields; write a word, a tab"),
        ("a.tsv", b"one\tx\ty\n", r"a\.tsv, line 1: 3 fields"),
        ("a.tsv", b"one\t[[x\n", r"a\.tsv, line 1: 'one'"),
        ("a.tsv", b"one\tx\n\xff\ty\n", r"a\.tsv, line 2: not UTF-8"),
        ("a.json", b'{"a": "b",\n oops}', r"a\.json, line 2: not JSON"),
        ("a.json", b"[1]", r"a\.json, line 1: no JSON object"),
        ("a.json", b'{"a": {}}', r"a\.json: 'a' has no spelling"),
        ("a.json", b"", r"a\.json, line 1: not JSON"),
        ("a.json", b'{"a":' * 100_000, r"a\.json: nested too deep"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        Lexicon.read(tmp_path / name)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            Lexicon.read(path)


def test_large_lexicon_on_a_long_text_is_quick() -> None:
    draw = random.Random(1)
    words = [f"w{i}" for i in range(10_000)]
    start = time.monotonic()
    lexicon = Lexicon({word: f"<{word}>" for word in words})
    text = " ".join(draw.choices(words, k=20_000))
    assert lexicon.apply(text) == re.sub(r"(w\d+)", r"<\1>", text)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("text", ["a " * 50_000, "[[" * 50_000, "[[a" * 33_000, "ab'" * 33_000])
def test_no_text_is_slow(text: str) -> None:
    lexicon = Lexicon({"a " * i + "b": "x" for i in range(49)})
    start = time.monotonic()
    assert lexicon.apply(text) == text
    assert extract_phonemes(text) == (text, [])
    assert time.monotonic() - start < 10


def test_random_texts_agree_with_a_plain_search() -> None:
    entries = {"a": "1", "ab": "2", "b a": "3", "b a b": "4", "ab ab": "5"}
    longest_first = sorted(entries, key=len, reverse=True)
    plain = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)|\[\[[^][\n]+\]\]")
    lexicon = Lexicon(entries)
    draw = random.Random(2)
    for _ in range(3000):
        text = "".join(
            draw.choices(["a", "b", " ", "ab", ",", "[[", "]]"], [4, 4, 5, 3, 1, 1, 1], k=15)
        )
        text = " ".join(text.split(" "))
        text = re.sub(" +", " ", text)
        assert lexicon.apply(text) == plain.sub(lambda m: entries.get(m[0], m[0]), text)


@pytest.mark.parametrize(
    ("text", "expected", "phonemes"),
    [
        ("no phonemes", "no phonemes", []),
        ("Say [[həlˈoʊ]]!", "Say  \ue000 !", ["həlˈoʊ"]),
        ("a[[ x y ]]b[[z]]", "a \ue000 b \ue001 ", ["x y", "z"]),
        ("[[[q]]]", "[ \ue000 ]", ["q"]),
        ("a [[]] [[ ]]", "a [[]]  ", []),
        ("open [[ here\nand ]] there", "open [[ here\nand ]] there", []),
        ("[[ [[x]]", "[[  \ue000 ", ["x"]),
        ("\ue000[[x\uf8ff]]\U0010abcd", " \ue000 ", ["x"]),
    ],
)
def test_extract(text: str, expected: str, phonemes: list[str]) -> None:
    assert extract_phonemes(text) == (expected, phonemes)


def test_extract_has_a_limit() -> None:
    text, phonemes = extract_phonemes("[[a]]" * MAX_INLINE)
    assert len(phonemes) == MAX_INLINE
    assert text[-2] == chr(FIRST_STAND_IN + MAX_INLINE - 1) == "\uf8ff"
    with pytest.raises(InputError, match="more than 6400"):
        extract_phonemes("[[a]]" * (MAX_INLINE + 1))


def test_every_phoneme_comes_back_in_its_place() -> None:
    draw = random.Random(5)
    for _ in range(500):
        pieces = [
            draw.choice(["word", " ", "[[ɐ]]", "[[b c]]", ".", "[[", "\ue005"]) for _ in range(9)
        ]
        given = "".join(pieces)
        text, phonemes = extract_phonemes(given)
        stand_ins = [ord(c) - FIRST_STAND_IN for c in text if 0xE000 <= ord(c) <= 0xF8FF]
        assert stand_ins == list(range(len(phonemes)))
        for i, ipa in enumerate(phonemes):
            text = text.replace(f" {chr(FIRST_STAND_IN + i)} ", f"[[{ipa}]]")
        assert text == given.replace("\ue005", "")
