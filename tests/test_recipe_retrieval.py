"""The recipe of retrieval: the encoder, the ranking, the threshold, by hand and on real weights."""

import math

import numpy as np
import pytest
import torch
from common import import_recipe

from speechkit import hub


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("retrieval")


@pytest.fixture
def found(recipe):
    return recipe("retrieval")


def test_pooling_leaves_filling_out(lesson):
    states = torch.tensor([[[3.0, 0.0], [3.0, 8.0], [9.0, 9.0]]])
    vector = lesson.pool(states, torch.tensor([[True, True, False]]))
    assert vector[0].tolist() == pytest.approx([0.6, 0.8])  # (3, 4), of length 5


def test_bm25_by_hand(lesson):
    scores = lesson.bm25("red", ["red red", "blue sky"])
    rarity = math.log(1 + 1.5 / 1.5)  # one of two has it
    assert scores.tolist() == pytest.approx([rarity * 2 * 2.2 / (2 + 1.2), 0.0])


def test_a_long_text_must_do_more_for_a_word(lesson):
    short, long, without = lesson.bm25("red", ["red sky", "red sky and much more", "blue"])
    assert short > long > without == 0


def test_hits_count_the_first_few(lesson):
    ranked = [["a", "b", "c"], ["c", "a", "b"]]
    assert lesson.hits(ranked, ["a", "b"], 1) == 0.5
    assert lesson.hits(ranked, ["a", "b"], 3) == 1.0


def test_a_document_is_cut_from_end_to_end(lesson):
    chunks = lesson.cut(range(5, 12), 3)
    assert [list(c) for c in chunks] == [[5, 6, 7], [8, 9, 10], [11]]


def test_no_more_is_handed_over_than_fits(lesson):
    chunks = [range(0, 100), range(100, 150), range(150, 300)]
    assert lesson.handed_over([1, 0, 2], chunks) == set(range(0, 150))
    assert lesson.handed_over([0, 2, 1], chunks) == set(range(0, 100))  # the next does not fit
    assert len(lesson.handed_over([0], [range(500)])) == 500  # one at least


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("It has 7,205 speakers.", []), ("It has 7,206.", ["7,206"]), ("It was Carl.", ["Carl"])],
)
def test_what_the_passage_does_not_have_is_found(lesson, answer, expected):
    assert lesson.ungrounded(answer, "There are 7,205 speakers.") == expected


@pytest.mark.real
def test_a_text_has_one_vector_in_every_company(lesson):
    encoder = lesson.SentenceEncoder(hub.fetch("all-MiniLM-L6-v2"))
    [alone] = encoder.encode(["A river runs to the sea."])
    encoder.known.clear()
    together = encoder.encode(["A river runs to the sea.", "A longer text. " * 30])
    assert np.abs(together[0] - alone).max() < 1e-5
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.real
def test_what_it_shows(found):
    assert found["encoder_difference"] < 1e-5
    assert found["like_meaning"] > found["like_words"]
    assert found["plain"]["a town"] > 0.99
    assert found["hit_rates"]["cosine"]["top 3"] >= 0.9
    assert found["chunked"]["paragraphs"][2] > found["chunked"]["10 words"][2]
    assert found["refused_elsewhere"] == 1
    assert all(found["read_out"])
    assert len(found["read_out"]) >= 3


@pytest.mark.real
def test_the_language_model_is_right_with_the_text(found):
    if not found["with_text"]:
        pytest.skip("the language model is fetched only when asked for")
    assert found["gain"] > 100
