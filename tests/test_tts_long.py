"""Long texts: sentences side by side, flat memory, and joins that nobody hears."""

import threading
import time
import tracemalloc
from itertools import islice

import numpy as np
import pytest
from tiny_voice import tiny_voice

import speechkit as sk
from speechkit.runtime import map_ahead
from speechkit.tts.loudness import measure_loudness

SENTENCES = [
    "The train to Boston leaves at ten.",
    "It was late, and the rain fell on the roof; nobody spoke.",
    "Yes!",
    "Where did you put the keys?",
    "Four hours of steady work faced us.",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    tiny_voice(folder)
    return sk.load_tts(folder / "tiny.onnx", device="cpu")


def _joined(speeches):
    return np.concatenate([speech.samples for speech in speeches])


# --- working ahead


def test_results_come_in_order_a_few_ahead_of_the_reader():
    begun = []

    def slow_if_even(n):
        begun.append(n)
        time.sleep(0.02 if n % 2 == 0 else 0)
        return n

    results = map_ahead(slow_if_even, iter(range(100)), workers=3)
    assert list(islice(results, 5)) == [0, 1, 2, 3, 4]
    assert len(begun) <= 5 + 3
    results.close()
    count = len(begun)
    time.sleep(0.05)
    assert len(begun) == count
    assert not [t for t in threading.enumerate() if t.name.startswith("speechkit_")]


def test_an_error_in_a_thread_reaches_the_reader():
    with pytest.raises(ZeroDivisionError):
        list(map_ahead(lambda n: 1 // n, [1, 0, 1], workers=2))


# --- sentences


def test_sentences_in_a_row_are_the_whole(tiny):
    text = " ".join(SENTENCES * 3)
    done = []
    parts = list(tiny.sentences(text, seed=3, progress=lambda *x: done.append(x)))
    assert len(parts) == 15
    assert done == [(n, 15) for n in range(1, 16)]
    assert [len(part.sentences) for part in parts] == [1] * 15
    whole = tiny.synthesize(text, seed=3)
    assert _joined(parts).tobytes() == whole.samples.tobytes()
    assert [s.text for s in whole.sentences] == SENTENCES * 3
    np.testing.assert_allclose(_joined(tiny.stream(text, seed=3)), whole.samples, atol=1e-5)


def test_a_long_text_takes_no_more_memory_than_a_short_one(tiny):
    def peak(words):
        sentence = "nine short words are spoken here and then again. "
        made, samples = 0, 0
        tracemalloc.start()
        for speech in tiny.sentences(sentence * (words // 9), pause_s=0.1):
            samples += len(speech.samples)
            made += len(speech.words)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert made == words // 9 * 9
        return most, samples * 4

    small, _ = peak(99)
    large, audio = peak(2997)
    assert audio > 15e6
    assert large < small + 5e6  # the cut text itself grows, the audio is not kept


def test_loudness_of_a_long_text(tiny):
    speech = tiny.synthesize(" ".join(SENTENCES * 10), loudness=-23)
    assert measure_loudness(speech.samples, speech.sample_rate) == pytest.approx(-23, abs=2)


# --- joins


@pytest.mark.real
def test_nothing_is_lost_repeated_or_clicks_at_the_joins(voice):
    """Sample by sample: a sentence said alone is found in the text, then its pause, then the next."""
    pause_s = 0.2
    text = " ".join(SENTENCES)
    whole = voice.synthesize(text, pause_s=pause_s).samples
    chunks = list(voice.stream(text, pause_s=pause_s))
    assert len(chunks) > len(SENTENCES) + 2
    np.testing.assert_allclose(_joined(chunks), whole, atol=1e-5)
    pause, at = round(pause_s * voice.sample_rate), 0
    for i, sentence in enumerate(SENTENCES):
        alone = voice.synthesize(sentence, seed=i).samples
        np.testing.assert_allclose(whole[at : at + len(alone)], alone, atol=1e-5)
        assert np.abs(alone[[0, -1]]).max() < 0.003  # -50 dB: into silence without a step
        at += len(alone)
        if sentence != SENTENCES[-1]:
            assert not whole[at : at + pause].any()
            at += pause
    assert at == len(whole)
    ends = np.cumsum([len(chunk.samples) for chunk in chunks])[:-1]
    bend = np.abs(np.diff(whole, n=2))
    for end in ends:  # no kink that its neighbourhood does not have
        near = bend[max(0, end - 500) : end + 500]
        assert bend[end - 2 : end + 1].max() <= max(np.quantile(near, 0.999), 0.003)


@pytest.mark.real
@pytest.mark.parametrize("target", [-30.0, -16.0])
def test_loudness_of_the_real_voice(voice, target):
    speech = voice.synthesize(" ".join(SENTENCES * 2), loudness=target)
    measured = measure_loudness(speech.samples, speech.sample_rate)
    print(f"asked {target}, measured {measured:.2f} LUFS")
    assert measured == pytest.approx(target, abs=1)
    assert np.abs(speech.samples).max() < 1
