"""The recipe of end-to-end recognition: CTC by hand and beside torch, its search, its recogniser."""

import math

import jiwer
import pytest
import torch
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("end_to_end_asr")


@pytest.fixture
def found(recipe):
    return recipe("end_to_end_asr")


def log_rows(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def test_collapse(lesson):
    assert lesson.collapse([0, 1, 1, 0, 1, 2, 2, 0]) == (1, 1, 2)
    assert lesson.collapse([0, 0]) == ()
    assert lesson.decode(lesson.collapse(lesson.encode("--h-iii--").tolist())) == "hi"


def test_ctc_by_hand(lesson):
    rows = log_rows([0.6, 0.4], [0.6, 0.4])
    # "1" is written by 01, 10 and 11; nothing by 00
    assert lesson.ctc_loss(rows, torch.tensor([1])).exp() == pytest.approx(1 / 0.64)
    nothing = torch.tensor([], dtype=torch.long)
    assert lesson.ctc_loss(rows, nothing).exp() == pytest.approx(1 / 0.36)
    # 11 needs a blank between its labels
    three = log_rows([0.5, 0.5], [0.25, 0.75], [0.8, 0.2])
    twice = lesson.ctc_loss(three, torch.tensor([1, 1]))
    assert twice.exp() == pytest.approx(1 / (0.5 * 0.25 * 0.2))


@pytest.mark.parametrize("labels", [[3], [1, 1], [2, 2, 1, 4, 4, 4]])
def test_ctc_and_its_gradient_are_torchs(lesson, labels):
    logits = torch.randn(20, 5, dtype=torch.float64, requires_grad=True)
    ours = lesson.ctc_loss(logits.log_softmax(1), torch.tensor(labels))
    theirs = torch.nn.functional.ctc_loss(
        logits.log_softmax(1), torch.tensor(labels), (20,), (len(labels),), reduction="sum"
    )
    assert ours.item() == pytest.approx(theirs.item())
    slopes = [torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)]
    assert torch.allclose(*slopes, atol=1e-9)


def test_shares_by_hand(lesson):
    share = lesson.occupancy(log_rows([0.6, 0.4], [0.6, 0.4]), torch.tensor([1]))
    # the paths 1-, 11 and -1 with 0.24, 0.16 and 0.24 of 0.64
    expected = torch.tensor([[0.375, 0.625, 0.0], [0.0, 0.625, 0.375]], dtype=torch.float64)
    assert torch.allclose(share, expected)


def test_transducer_by_hand(lesson):
    rows = log_rows([0.7, 0.3], [0.9, 0.1], [0.6, 0.4], [0.8, 0.2]).reshape(2, 2, 2)
    # label in the first frame, blank, blank; or blank, label, blank
    total = 0.3 * 0.9 * 0.8 + 0.7 * 0.4 * 0.8
    loss = lesson.transducer_loss(rows, torch.tensor([1]))
    assert float(loss) == pytest.approx(-math.log(total))


def test_beam_search_adds_up_paths(lesson):
    rows = torch.randn(6, 3, dtype=torch.float64).log_softmax(1)
    found = {text: score for text, score in lesson.beam_search(rows, 1000) if score > -math.inf}
    assert len(found) == 41  # of up to six frames, with a blank in each double letter
    for text, score in found.items():
        assert score == pytest.approx(-float(lesson.ctc_loss(rows, lesson.encode(text))))


def test_bigram_by_hand(lesson):
    bigram = lesson.Bigram(["ab cd", "ab ab"], k=0.5)  # words: . ab cd
    assert bigram.p("ab", "cd") == pytest.approx(1.5 / (3 + 1.5))
    assert bigram.p_begun(".", "a") == pytest.approx(2.5 / (2 + 1.5))
    score = bigram.scorer(weight=2.0, bonus=1.0)
    assert score("ab c", False) == pytest.approx(2 * math.log(2.5 / 3.5 * 1.5 / 4.5) + 1)
    assert score("ac", False) == score("ac d", False) == score("a", True) == -math.inf


def test_error_rates_are_jiwers(lesson):
    wanted, got = ["tom ate two plums", "we saw"], ["tom eat plums", "we saw saw it"]
    rates = lesson.error_rates(wanted, got)
    assert rates == pytest.approx((100 * jiwer.cer(wanted, got), 100 * jiwer.wer(wanted, got)))


@pytest.mark.real
def test_recipe_learns_and_the_language_model_helps(found):
    assert found["ctc_difference"] < 1e-9
    assert found["gradient_difference"] < 1e-9
    assert found["fits"]["transducer"] < 0.8 < 1.3 < found["fits"]["ctc"]
    for losses in found["curves"].values():
        assert losses[-1] < losses[0] / 3
    mean, deaf = found["mean"], found["rates"]["deaf", "constant"]
    assert mean["beam, bigram"][0] < deaf[0] / 2
    assert mean["beam, bigram"][1] < mean["greedy"][1] < deaf[1]
    assert found["blank_wins"][32] > 0.6 > found["blank_share"]
