"""The recipe that looks into the trained ECAPA-TDNN."""

import pytest
import torch
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("ecapa_inside")


@pytest.fixture
def found(recipe):
    return recipe("ecapa_inside")


def test_a_folded_norm_by_hand(lesson):
    norm, linear = torch.nn.BatchNorm1d(1, eps=0.0).eval(), torch.nn.Linear(1, 1)
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    linear.weight.data.fill_(3.0)
    linear.bias.data.fill_(1.0)
    folded = lesson.fold(norm, linear)
    # 3 (x - 2) / 2 + 1 = 1.5 x - 2
    assert (folded.weight.item(), folded.bias.item()) == (1.5, -2.0)


@pytest.mark.parametrize(("blocks", "frames"), [(0, 5), (1, 33), (2, 75), (3, 131)])
def test_context_by_hand(lesson, blocks, frames):
    assert lesson.field_by_hand(blocks) == frames


@pytest.mark.real
def test_measured_context(found):
    assert found["field_frames"] == [5, 33, 75, 131]
    assert found["gated_field"] == found["FIELD_FRAMES"]
    assert found["seconds_seen"] == pytest.approx(1.325)


@pytest.mark.real
def test_attention(found):
    assert torch.allclose(found["attention"].sum(-1), torch.ones(3072), atol=1e-4)
    assert 0.5 < found["share_of_loud_half"] < 1
    assert 1 < found["frames_that_count"] < found["attention"].shape[-1]


@pytest.mark.real
def test_folding_and_voices(found):
    assert found["fold_difference"] < 1e-5
    assert found["same_voice"] > found["other_voice"]
