"""The text front end of speech synthesis: sentences, English short forms, phonemes."""

import os
import random
import subprocess
import sys
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import espeakng_loader
import pytest

from speechkit import InputError
from speechkit.tts.front_end import FrontEnd, Pauses
from speechkit.tts.phonemes import espeak, phonemize
from speechkit.tts.piper import VoiceConfig
from speechkit.tts.text import MAX_SENTENCE, MAX_WORD, split, tidy

# --- text


def sentences(text):
    return [part for sentence in split(text) for part in tidy(sentence)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("Hello. World!", ["Hello.", "World!"]),
        ("Dr. Smith met Mrs. Jones. They talked.", ["Dr Smith met Mrs Jones.", "They talked."]),
        ("J. R. R. Tolkien wrote it. Really?", ["J R R Tolkien wrote it.", "Really?"]),
        ("George W. Bush won. Plan B. It works.", ["George W Bush won.", "Plan B.", "It works."]),
        ("It is I. Then go.", ["It is I.", "Then go."]),
        ("The U.S. army. In the U.S. She left.", ["The U.S army.", "In the U.S.", "She left."]),
        ("At 10 a.m. on Monday, i.e. today.", ["At 10 a.m. on Monday, i.e. today."]),
        ("I said no. Then No. 5 left.", ["I said no.", "Then No. 5 left."]),
        ('He said "Stop!" (Not now.) Go.', ["He said Stop!", "Not now.", "Go."]),
        ("“Yes.” ‘No.’ Well.", ["Yes.", "‘No.’", "Well."]),
        ("Apples (red, ripe) cost 3.50 today.", ["Apples, red, ripe, cost 3.50 today."]),
        ("A title\n\nThe text\ngoes on", ["A title", "The text goes on"]),
        (
            "नमस्ते। आप कैसे हैं? نعم۔ هل؟ はい｡ええ",
            ["नमस्ते।", "आप कैसे हैं?", "نعم۔", "هل؟", "はい｡", "ええ"],
        ),
        ("你好。再见！好吗？是", ["你好。", "再见！", "好吗？", "是"]),
        ("milk - eggs -- bread, 5 - 3", ["milk, eggs, bread, 5 - 3"]),
        ("Wait... what?! Yes", ["Wait...", "what?!", "Yes"]),
        ("１２ and ٣٤", ["12 and 34"]),
        ("cafe\u0301", ["caf\u00e9"]),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


def test_a_long_sentence_is_cut_at_clauses_then_words_then_anywhere():
    clauses = sentences("one two three four five, " * 40)
    assert len(clauses) > 1
    assert all(part.endswith("five,") for part in clauses[:-1])
    words = sentences("seven " * 200)
    assert len(words) > 1
    assert {word for part in words for word in part.split()} == {"seven"}
    letters = sentences("x" * 5000)
    assert max(len(word) for part in letters for word in part.split()) == MAX_WORD
    assert max(map(len, [*clauses, *words, *letters])) <= MAX_SENTENCE


def test_no_letter_or_digit_is_lost():
    def spoken(text):
        return [c for c in text if c.isalnum()]

    rng = random.Random(3)
    pieces = [
        *"abcXYZIé12789äßЖщ你好か。！ .,;:!?…—-'\"()[]«»\n",
        "Dr. ",
        "No. ",
        "U.S. ",
        "e.g. ",
        "...",
        "\n\n",
    ]
    for _ in range(400):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 900)))
        parts = sentences(text)
        assert spoken("".join(parts)) == spoken(text)
        assert all(0 < len(part) <= MAX_SENTENCE for part in parts)


@pytest.mark.parametrize(
    "text",
    [
        "." * 100_000 + "a",
        ".”" * 50_000 + "a",
        "a" + " " * 100_000 + "x",
        "\n" + " " * 100_000 + "x",
        "B." + " " * 100_000 + "!",
        "a -" + " " * 100_000 + "5",
        "Dr. " * 25_000,
        "," * 100_000 + "a",
        "x" * 100_000,
        "$" + "1" * 100_000 + ".2.3",
        "$1" + ",111" * 25_000 + ",1",
        "$1" + "," * 100_000 + "x",
        "$1" * 50_000,
    ],
    ids=lambda text: repr(text[:4] + ".." + text[-4:]),
)
def test_time_grows_no_faster_than_the_text(text):
    start = time.process_time()
    sentences(text)
    assert time.process_time() - start < 1


# --- phonemes


def test_clauses_and_their_marks():
    text = "Hi, Bo; yes: no! Why? So… it – is — over. End"
    clauses = espeak().clauses(text, "en-us")
    assert "".join(mark for _, mark in clauses) == ",;:!?…–—."
    assert clauses[0] == ("hˈaɪ", ",")
    spoken = "".join(phonemize(text, "en-us"))
    assert spoken.startswith("hˈaɪ, bˈoʊ; jˈɛs: nˈoʊ! wˈaɪ? ")
    assert not set("…–—") & set(spoken)
    assert [p for p in phonemize("好。好！好、好", "cmn") if not p.isalnum()].count(" ") == 3
    assert "." in phonemize("好。", "cmn")


def test_every_language_has_its_own_sounds():
    assert "".join(phonemize("Wie geht es?", "de")) == "viː ɡˈeːt ɛs?"
    assert "".join(phonemize("Bonjour", "fr")) == unicodedata.normalize("NFD", "bɔ̃ʒˈuʁ")
    flagged = "".join(phonemize("Das ist ein Computer, my friend.", "de"))
    assert "(" not in flagged


def test_an_unknown_language_is_refused_and_harms_nothing():
    before = phonemize("water", "en-us")
    with pytest.raises(InputError, match="en-us, de, fr"):
        phonemize("water", "klingon-xx")
    assert phonemize("water", "en-us") == before


def test_odd_characters():
    assert phonemize("", "en-us") == phonemize(" ", "en-us") == phonemize("\0", "en-us") == []
    assert phonemize("one\0two", "en-us") == phonemize("one two", "en-us")
    assert phonemize("one\ud800 two", "en-us") == phonemize("one two", "en-us")
    assert phonemize("😀", "en-us") == phonemize("grinning face", "en-us")


def test_threads_take_turns_with_the_language():
    text = "The river, the mountain and the sea. Is it so? " * 20
    alone = {voice: phonemize(text, voice) for voice in ("en-us", "de", "fr")}
    assert len({tuple(phonemes) for phonemes in alone.values()}) == 3
    jobs = ["en-us", "de", "fr"] * 6
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda v: phonemize(text, v), jobs)) == [alone[v] for v in jobs]


def test_ten_thousand_words_are_all_spoken():
    word = "".join(phonemize("word", "en-us"))
    assert "".join(phonemize("word " * 10_000, "en-us")).count(word) == 10_000


def test_a_clause_of_a_thousand_marks_is_quick():
    start = time.process_time()
    assert "".join(phonemize("Well" + "!." * 50_000 + "ab", "en-us")).startswith("wˈɛl")
    assert time.process_time() - start < 5


SAY = """
import sys, espeakng_loader
espeakng_loader.get_data_path = lambda: sys.argv[1]
from speechkit.tts.phonemes import phonemize
print("".join(phonemize("water", "de")))
"""


def _say_with_data_at(path, tmpdir):
    """A process whose espeak has its data at `path`, a link to it, and its temporary folders."""
    path.parent.mkdir(parents=True)
    path.symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    return subprocess.run(
        [sys.executable, "-c", SAY, str(path)],
        env=os.environ | {"TMPDIR": str(tmpdir), "PYTHONIOENCODING": "utf-8"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("name", ["long", "lång"])
def test_espeaks_data_under_a_long_path(tmp_path, name):
    (tmp_path / "t").mkdir()
    done = _say_with_data_at(tmp_path.joinpath(*[name * 10] * 10, "espeak-ng-data"), tmp_path / "t")
    assert done.stdout.strip() == "".join(phonemize("water", "de"))
    assert done.stderr == ""
    assert list((tmp_path / "t").iterdir()) == []


def test_espeaks_data_under_a_long_path_that_no_short_link_leads_to(tmp_path):
    far = tmp_path.joinpath(*["temporary" * 5] * 4)
    far.mkdir(parents=True)
    done = _say_with_data_at(tmp_path.joinpath(*["long" * 10] * 10, "data"), far)
    last = done.stderr.strip().splitlines()[-1]
    assert "InputError: espeak-ng's data lies under a path too long" in last
    assert last.endswith("install under a shorter path, or set TMPDIR to a shorter path")


# --- sentences in phonemes


def spoken(text, voice="en-us"):
    symbols = {c: [i] for i, c in enumerate("_^$ .,!?;:ˈˌː" + "".join(map(chr, range(97, 800))))}
    front = FrontEnd(VoiceConfig(16_000, voice, symbols, 0.6, 0.8, 1.0))
    return [s for _, s in front.sentences(front.pieces(text, Pauses(None, 0.25, 0.6)))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5 μm, 10 kΩ", "five micrometers, ten kiloohms"),
        ("Say привет now", "Say privet now"),
        ("नमस्ते x\u030c", "nmst x"),
        ("你好。", "NiHao."),
        ("[[a]] and [[b]]", "a and b"),
        ("é über ça", "é über ça"),
    ],
)
def test_words_in_other_scripts(text, words):
    assert " ".join(w.text for s in spoken(text) for w in s.words) == words


def test_a_mark_behind_inline_phonemes_is_kept():
    first, second = spoken("Is it [[wˈɪn]]? Say [[həlˈoʊ]], now.")
    assert "".join(first.phonemes).endswith("wˈɪn?")
    assert "həlˈoʊ, n" in "".join(second.phonemes)
    with pytest.raises(InputError, match="give at most 200 in each"):
        spoken(f"Hi [[{'a' * 50_000}]]")


@pytest.mark.parametrize(
    ("text", "pauses"),
    [
        ("One. Two.", [0.25, 0]),
        ("One.\n\nTwo. ... Three", [0.6, 0.25, 0]),
        (
            "<speak><p>A b</p><p><prosody rate='slow'>C d.</prosody> E f.</p></speak>",
            [0.6, 0.25, 0],
        ),
        ("<speak>One <prosody volume='loud'>two</prosody> three.</speak>", [0, 0, 0]),
        ("<speak><p>One.</p><break time='1s'/><p>Two.</p><break time='2s'/></speak>", [1.6, 2]),
        ("<speak><break time='1s'/>One.</speak>", [1, 0]),
    ],
)
def test_pauses(text, pauses):
    assert [s.pause_s for s in spoken(text)] == pytest.approx(pauses)


def test_words_that_espeak_joins_keep_their_own_phonemes():
    (sentence,) = spoken("It was the end of the day, and I am in the U.S.A. with the FBI.")
    assert len(sentence.words) == 16
    bounds = [edge for w in sentence.words for edge in (w.start, w.stop)]
    assert bounds == sorted(bounds)
    day = next(w for w in sentence.words if w.text == "day,")
    assert "".join(sentence.phonemes[day.start : day.stop]).startswith("dˈeɪ")
    start = time.process_time()
    spoken("the of in on at to by for with from a an is it if as or and but so " * 5)
    assert time.process_time() - start < 0.2
