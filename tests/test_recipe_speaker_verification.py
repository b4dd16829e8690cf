"""The recipe of speaker verification: losses and errors by hand, and its numbers on real weights."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPES))
        yield importlib.import_module("06_speaker_verification")


@pytest.fixture
def found(recipe):
    return recipe("speaker_verification")


def test_softmax_loss_is_torchs(lesson):
    logits, labels = torch.randn(7, 5), torch.randint(5, (7,))
    expected = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.allclose(lesson.softmax_loss(logits, labels), expected)


def test_aam_by_hand(lesson):
    loss = lesson.aam_loss(torch.tensor([[0.5, 0.0]]), torch.tensor([0]), math.pi / 6, 2.0)
    # 60 degrees and 30 make 90: both logits are 0
    assert float(loss) == pytest.approx(math.log(2), abs=1e-6)


def test_without_a_margin_aam_is_a_scaled_softmax(lesson):
    cosine, labels = torch.rand(6, 4) * 1.9 - 0.95, torch.randint(4, (6,))
    plain = lesson.softmax_loss(30 * cosine, labels)
    assert torch.allclose(lesson.aam_loss(cosine, labels, 0.0, 30.0), plain, rtol=1e-5)


@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_the_right_logit_falls_with_the_angle_everywhere(lesson, margin):
    angle = torch.linspace(0.01, math.pi - 0.01, 300)
    logits = lesson.aam_logits(angle.cos()[:, None], torch.zeros(300, dtype=int), margin, 1.0)
    assert (logits[:, 0].diff() < 0).all()
    wrong = lesson.aam_logits(torch.tensor([[0.1, 0.7]]), torch.tensor([0]), margin, 1.0)[0, 1]
    assert float(wrong) == pytest.approx(0.7)


@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_aam_has_a_slope_at_the_ends(lesson, cosine):
    x = torch.tensor([[cosine, 0.0]], requires_grad=True)
    lesson.aam_loss(x, torch.tensor([0])).backward()
    assert torch.isfinite(x.grad).all()


def test_triplets_by_hand(lesson):
    vectors, labels = torch.eye(2).repeat_interleave(2, 0), torch.tensor([0, 0, 1, 1])
    assert float(lesson.triplet_loss(vectors, labels, 0.3)) == 0  # siblings at 0, strangers at 1
    assert float(lesson.triplet_loss(vectors, labels, 1.5)) == pytest.approx(0.5)
    mixed = lesson.triplet_loss(vectors, torch.tensor([0, 1, 0, 1]), 0.3)  # the other way round
    assert float(mixed) == pytest.approx(1.3)


def test_ge2e_by_hand(lesson):
    batch = torch.eye(2)[:, None].expand(2, 3, 2)  # own mean at cosine 1, the other at 0
    loss = lesson.ge2e_loss(batch, scale=2.0)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)


def test_ge2e_leaves_a_recording_out_of_its_own_mean(lesson):
    batch = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    # first: own mean without itself is (0, 1), cosine 0, the other's cosine 1; second: 1 to 0 less
    first = math.log(1 + math.exp(10))
    second = math.log(1 + math.exp(0.0))
    third = math.log(1 + math.exp(10 * (math.sqrt(0.5) - 1)))
    expected = (first + second + 2 * third) / 4
    assert float(lesson.ge2e_loss(batch)) == pytest.approx(expected, rel=1e-4)


TRUTH = np.array([True, True, False, False])


@pytest.mark.parametrize(
    ("scores", "rate"),
    [([4, 3, 2, 1], 0.0), ([1, 2, 3, 4], 1.0), ([1, 1, 1, 1], 0.5), ([4, 2, 3, 1], 0.5)],
)
def test_equal_error_rate_by_hand(lesson, scores, rate):
    from speechkit.metrics import det_curve

    found = lesson.equal_error_rate(np.array(scores, float), TRUTH)[0]
    assert found == pytest.approx(rate)
    assert found == pytest.approx(det_curve(scores, TRUTH).eer)


def test_detection_cost(lesson):
    assert lesson.min_dcf(np.array([4.0, 3, 2, 1]), TRUTH, 0.01) == 0
    assert lesson.min_dcf(np.ones(4), TRUTH, 0.01) == 1  # as bad as not listening
    # accept the first only: half of the true speakers are missed, no stranger enters
    assert lesson.min_dcf(np.array([4.0, 1, 3, 2]), TRUTH, 0.01) == pytest.approx(0.5)


def test_precision_recall_f1(lesson):
    accepted = np.array([True, False, True, False])
    assert lesson.precision_recall_f1(accepted, TRUTH) == (0.5, 0.5, 0.5)
    assert lesson.precision_recall_f1(np.zeros(4, bool), TRUTH) == (1.0, 0.0, 0.0)
    assert lesson.precision_at(0.5, 0.9, 0.1) == pytest.approx(0.9)
    assert lesson.precision_at(0.1, 0.9, 0.1) == pytest.approx(0.5)


def test_a_rare_true_speaker_asks_for_a_higher_threshold(lesson):
    rng = np.random.default_rng(0)
    same = rng.random(4000) < 0.5
    scores = rng.normal(same * 2.0, 1.0)
    low, high = (lesson.cheapest_threshold(scores, same, prior) for prior in (0.5, 0.01))
    assert low == pytest.approx(1.0, abs=0.4)  # normal scores at 0 and 2: half way
    assert high > low + 1


def test_normalisation_takes_off_what_everybody_scores(lesson):
    rng = np.random.default_rng(0)
    cohort, first, second = (rng.normal(size=(n, 8)) for n in (400, 5, 5))
    scores = (first * second).sum(1)
    normed = lesson.s_norm(scores, first, second, cohort)
    near = [np.sort(cohort @ side[0])[-300:] for side in (first, second)]
    by_hand = np.mean([(scores[0] - n.mean()) / n.std() for n in near])
    assert normed[0] == pytest.approx(by_hand)
    assert np.allclose(normed, lesson.s_norm(scores, second, first, cohort))  # symmetric


@pytest.mark.real
def test_losses_are_the_references(found):
    assert abs(found["aam_by_hand"] - found["aam_of_code"]) < 1e-6
    assert found["aam_of_code"] > found["plain"]
    assert found["aam_difference"] < 1e-5
    assert found["aam_slope_difference"] < 1e-5
    assert abs(found["triplet_of_code"] - found["triplet_of_torch"]) < 1e-6
    assert found["triplet_of_code"] > 0
    assert abs(found["ge2e_of_code"] - found["ge2e_of_coqui"]) < 1e-5


@pytest.mark.real
def test_the_margin_draws_classes_together(found):
    assert found["spreads"]["AAM"] < found["spreads"]["Softmax"]


@pytest.mark.real
def test_metrics_are_speechkits(found):
    assert found["metric_difference"] < 1e-12
    assert found["eer_difference"] < 1e-12


@pytest.mark.real
def test_verification_of_the_trials(found):
    assert len(found["scores"]) == len(found["trials"]) >= 50
    assert found["trial_eer"] < 0.2
    assert found["scores"][found["same"]].mean() > found["scores"][~found["same"]].mean() + 0.3
    assert found["gain_low"] <= found["snorm_gain"] <= found["gain_high"]
    assert found["cohort"].shape == (7205, 192)
    assert found["cost_calibrated"] < found["cost_raw"]
