"""`Transcriber`'s arguments on a scripted engine: options, prompt, clips, and what is refused."""

import random

import numpy as np
import pytest
from scripted_asr import (
    RATE,
    ScriptedEngine,
    places,
    read,
    signal,
    spread,
    tokenizer,
    words_in,
)

from speechkit.asr import Transcriber, load_asr
from speechkit.audio import Audio, Limits
from speechkit.errors import AudioError, InputError

pytestmark = pytest.mark.usefixtures("amplitude_detector")


# --- options


def test_options_reach_the_engine():
    engine = ScriptedEngine()
    read(engine, *spread(1, 2), language="de", task="translate", beam_size=3, seed=11)
    for _, options in engine.calls:
        assert (options.language, options.task, options.beam_size, options.seed) == (
            "de",
            "translate",
            3,
            11,
        )
        assert (options.temperature, options.prompt, options.prefix) == (0.0, (), ())
    engine = ScriptedEngine()
    read(engine, 1)
    assert (engine.calls[0][1].beam_size, engine.calls[0][1].seed) == (3, 0)


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        ({"prompt": "  Zaphod, <|endoftext|> "}, " Zaphod, <|endoftext|>"),
        ({"hot_words": ["Zaphod", " Ford Prefect "]}, " Zaphod, Ford Prefect"),
        ({"hot_words": "Zaphod"}, " Zaphod"),
        ({"hot_words": ["Zaphod"], "prompt": "A talk."}, " Zaphod A talk."),
        ({"hot_words": [], "prompt": "  "}, ""),
    ],
)
def test_prompt_and_hot_words_go_to_every_window(options, prompt):
    engine, plain = ScriptedEngine(), tokenizer("en", "transcribe")
    read(engine, *spread(*range(20)), **options)
    assert len(engine.calls) == 20
    for _, given in engine.calls:
        assert plain.decode(list(given.prompt)) == prompt
        assert max(given.prompt, default=0) < plain.eot, "a marker in the prompt must stay text"


def test_a_prompt_may_have_as_many_tokens_as_the_decoder_has_room_for():
    engine = ScriptedEngine()
    read(engine, 1, prompt="no " * 200, hot_words=["no " * 23])
    assert len(engine.calls[0][1].prompt) == 223
    with pytest.raises(InputError, match="make 224 tokens; shorten them to 223"):
        read(engine, 1, prompt="no " * 200, hot_words=["no " * 24])


def test_clips_are_read_and_nothing_else():
    parts = [*range(50)]
    engine = ScriptedEngine()
    clips = [(0.38, 1.18), (4.0, 4.0 + 0.4 * 3), (12.0, 16.0), (18.0, None)]
    transcript = read(engine, *parts, clips=clips, words=True)
    expected = [1, 2, 10, 11, 12, *range(30, 40), *range(45, 50)]
    assert words_in(transcript.text) == expected
    assert transcript.duration == pytest.approx(20.0)
    where = {word: (start, end) for word, start, end in places(*parts)}
    for word in (word for segment in transcript.segments for word in segment.words):
        assert (word.start, word.end) == pytest.approx(where[int(word.text[1:])], abs=0.03)


def test_clips_do_not_depend_on_the_pieces_that_audio_comes_in(tmp_path):
    """A file of 22 kHz comes in pieces of some seconds; the clips begin and end everywhere."""
    rng = random.Random(4)
    words = rng.sample(range(512), 400)
    path = Audio(signal(words), RATE).resample(22_050).save(tmp_path / "talk.wav")
    for _ in range(5):
        marks = sorted(rng.sample(range(1, 400), 8))
        spans = list(zip(marks[::2], marks[1::2], strict=True))
        clips = [(0.4 * first - 0.05, 0.4 * after - 0.05) for first, after in spans]
        transcript = Transcriber(ScriptedEngine(), "s").transcribe(path, clips=clips)
        assert words_in(transcript.text) == [
            n for first, after in spans for n in words[first:after]
        ]


def test_a_clip_behind_the_end_is_empty():
    assert read(ScriptedEngine(), 1, 2, clips=[(100.0, 200.0)]).text == ""
    assert read(ScriptedEngine(), 1, 2, clips=[(0.0, 200.0)]).text == "w1 w2"


@pytest.mark.parametrize(
    "clips",
    [
        [(-1.0, 2.0)],
        [(2.0, 1.0)],
        [(1.0, 1.0)],
        [(0.0, 2.0), (1.0, 3.0)],
        [(3.0, 4.0), (0.0, 1.0)],
        [(0.0, None), (5.0, 6.0)],
        [(float("nan"), 2.0)],
        [(0.0, float("nan"))],
        [(0.0, float("inf"))],
        [(float("inf"), None)],
    ],
)
def test_clips_out_of_order_are_refused(clips):
    engine = ScriptedEngine()
    with pytest.raises(InputError, match=r"clips are .*; give \(start, end\) in order and apart"):
        read(engine, 1, 2, clips=clips)


# --- errors


def test_errors_name_the_choices_before_the_work_starts():
    engine = ScriptedEngine()
    for options, message in (
        ({"language": "xx"}, "no language 'xx'; it has en, de, ja"),
        ({"language": ""}, "it has en, de, ja"),
        ({"task": "sing"}, "task 'sing' is unknown; choose transcribe or translate"),
        ({"beam_size": 0}, "beam_size is 0; give 1 or more"),
        ({"seed": -1}, "seed is -1"),
    ):
        with pytest.raises(InputError, match=message):
            read(engine, 1, **options)
    english = ScriptedEngine(multilingual=False)
    with pytest.raises(InputError, match="knows English only"):
        read(english, 1, task="translate")
    with pytest.raises(InputError, match="no language 'de'; it has en"):
        read(english, 1, language="de")
    assert engine.calls == english.calls == []


def test_audio_that_is_too_short_or_too_long_or_not_there():
    asr = Transcriber(ScriptedEngine(), "scripted")
    loud = np.full(RATE, 0.9, np.float32)
    with pytest.raises(AudioError, match=r"0\.099 s long; give at least 0\.1 s"):
        asr.transcribe((RATE, loud[:1584]))
    assert asr.transcribe((RATE, loud[:1600])).duration == 0.1
    with pytest.raises(AudioError, match=r"Limits\.seconds"):
        asr.transcribe((RATE, loud), limits=Limits(seconds=0.9))
    with pytest.raises(AudioError, match="no such file"):
        asr.transcribe("gone.wav")
    with pytest.raises(AudioError, match="empty recording"):
        asr.transcribe((RATE, loud[:0]))


def test_models_and_engines_that_are_unknown():
    with pytest.raises(InputError, match="engine 'warp' is unknown; choose fast or reference"):
        load_asr("base", engine="warp")
    for engine in ("fast", "reference"):
        with pytest.raises(InputError, match=r"model 'huge' is unknown.* choose one of base, "):
            load_asr("huge", engine=engine)
