"""The recipe of ECAPA-TDNN: its parts by hand, and its numbers on the real weights."""

import inspect
import math

import pytest
import torch
from common import import_recipe


@pytest.fixture(scope="module")
def lesson():
    """The recipe's definitions, without running it."""
    return import_recipe("ecapa_tdnn")


@pytest.fixture
def found(recipe):
    return recipe("ecapa_tdnn")


def as_identity(layer):
    """Batch norm that changes nothing, as in evaluation before any training."""
    layer.norm.eps = 0.0
    return layer.eval()


def test_triangles_meet_at_half_height_and_peak_at_one(lesson):
    triangles = lesson.mel_triangles()
    assert triangles.shape == (80, 201)
    assert triangles.max() <= 1
    assert (triangles >= 0).all()
    peaks = triangles.argmax(dim=1)
    assert (peaks.diff() >= 0).all()


@pytest.mark.parametrize(("samples", "frames"), [(160, 2), (16_000, 101), (16_159, 101)])
def test_filter_bank_has_a_frame_per_hop_and_mean_zero(lesson, samples, frames):
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(0)) / 10
    bank = lesson.filter_bank(wave)
    assert bank.shape == (frames, 80)
    assert bank.mean(dim=0).abs().max() < 1e-4


def test_filter_bank_is_speechkits(lesson):
    from speechkit.features import ecapa_fbank

    wave = torch.randn(8000, generator=torch.Generator().manual_seed(0)) / 10
    assert torch.allclose(lesson.filter_bank(wave), ecapa_fbank(wave), atol=1e-3)


def test_silence_has_no_infinite_decibels(lesson):
    assert torch.equal(lesson.decibels(torch.zeros(800)), torch.full((6, 80), -100.0))


def test_a_layer_mirrors_the_edges_by_hand(lesson):
    layer = as_identity(lesson.Tdnn(1, 1, taps=3))
    layer.conv.weight.data.fill_(1.0)
    layer.conv.bias.data.zero_()
    x = torch.tensor([[[1.0, 2.0, 3.0]]])  # mirrored: 2 1 2 3 2
    assert layer(x).tolist() == [[[5.0, 6.0, 7.0]]]
    assert layer(-x).tolist() == [[[0.0, 0.0, 0.0]]]


@pytest.mark.parametrize(
    ("taps", "dilation", "frames"), [(1, 4, 0), (3, 1, 1), (3, 4, 4), (5, 1, 2)]
)
def test_reach(lesson, taps, dilation, frames):
    assert lesson.reach(taps, dilation) == frames


def test_groups_pass_on_and_the_first_is_left_alone(lesson):
    torch.manual_seed(0)
    block = lesson.Res2(16, dilation=1).eval()
    x = torch.randn(2, 16, 12)
    y = block(x)
    assert torch.equal(y[:, :2], x[:, :2])
    by_hand = block.steps[1](x[:, 4:6] + block.steps[0](x[:, 2:4]))
    assert torch.allclose(y[:, 4:6], by_hand)


def test_gates_without_weights_halve(lesson):
    gate = lesson.SqueezeExcite(4, 2)
    for parameter in gate.parameters():
        parameter.data.zero_()
    x = torch.randn(1, 4, 5)
    assert torch.equal(gate(x, torch.ones(1, 1, 5)), x / 2)


def test_gates_do_not_hear_the_padding(lesson):
    torch.manual_seed(0)
    gate = lesson.SqueezeExcite(4, 2)
    x = torch.randn(1, 4, 5)
    longer = torch.cat([x, torch.full((1, 4, 3), 9.0)], dim=-1)
    mask = torch.tensor([[[1.0] * 5 + [0.0] * 3]])
    assert torch.allclose(gate(longer, mask)[..., :5], gate(x, torch.ones(1, 1, 5)))


def test_equal_weights_give_mean_and_deviation(lesson):
    x = torch.tensor([[[1.0, 3.0, 5.0, 7.0]]])
    mean, deviation = lesson.statistics(x, torch.full((1, 1, 4), 0.25))
    assert mean.item() == 4.0
    assert deviation.item() == pytest.approx(math.sqrt(5))


def test_a_constant_channel_has_a_slope(lesson):
    x = torch.ones(1, 1, 4, requires_grad=True)
    _, deviation = lesson.statistics(x, torch.full((1, 1, 4), 0.25))
    deviation.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_attention_sums_to_one_and_leaves_the_padding_out(lesson):
    torch.manual_seed(0)
    pool = lesson.AttentivePooling(6, 3).eval()
    x = torch.randn(1, 6, 5)
    longer = torch.cat([x, torch.full((1, 6, 3), 9.0)], dim=-1)
    mask = torch.tensor([[[1.0] * 5 + [0.0] * 3]])
    weights = pool.attention(longer, mask)
    assert torch.allclose(weights.sum(-1), torch.ones(1, 6))
    assert (weights[..., 5:] == 0).all()
    assert torch.allclose(pool(longer, mask), pool(x, torch.ones(1, 1, 5)), atol=1e-6)


def test_the_network_takes_any_length_and_a_batch(lesson):
    torch.manual_seed(0)
    network = lesson.EcapaTdnn(16, 24, 4).eval()
    short, long = torch.randn(1, 9, 80), torch.randn(1, 31, 80)
    assert network(short).shape == network(long).shape == (1, 192)
    both = network(torch.cat([long, long.flip(1)]), torch.tensor([31, 31]))
    assert torch.allclose(both[:1], network(long), atol=1e-5)


@pytest.mark.parametrize("sizes", [(16, 24, 4), (64, 192, 32)])
def test_parameters_by_hand_for_other_sizes(lesson, sizes):
    network = lesson.EcapaTdnn(*sizes)
    by_hand = sum(lesson.count_by_hand(*sizes).values())
    assert by_hand == sum(p.numel() for p in network.parameters())


def test_the_model_is_shorter_than_the_original(lesson):
    from speechbrain.lobes.models import ECAPA_TDNN

    parts = ("Tdnn", "reach", "Res2", "SqueezeExcite", "Block", "statistics", "AttentivePooling")
    ours = [inspect.getsource(getattr(lesson, name)) for name in (*parts, "EcapaTdnn")]
    lines = sum(source.count("\n") for source in ours)
    assert lines < inspect.getsource(ECAPA_TDNN).count("\n") / 3


@pytest.mark.real
def test_features_and_embeddings_are_speechbrains(found):
    assert found["feature_difference"] < 1e-3
    assert found["embedding_difference"] < 1e-5
    assert found["batch_difference"] < 1e-5
    assert found["padded_cosine"] < 1 - 1e-6  # what the text says of padding
    assert found["embeddings"].shape == (len(found["waves"]), 192)


@pytest.mark.real
def test_the_network_tells_speakers_as_the_fast_engine(found, encoder):
    fast = torch.from_numpy(encoder.embed(found["sentence"]))
    ours = torch.nn.functional.normalize(found["embeddings"][0], dim=0)
    assert float(fast @ ours) > 0.99


@pytest.mark.real
def test_parameters_of_the_checkpoint(found):
    assert found["parameters"] == found["parameters_by_hand"] == found["reference_parameters"]
    assert found["parameters"] == 20_767_552


@pytest.mark.real
def test_context(found):
    assert found["x_vector_context"] == 15
    assert found["widths"] == [1, 5, 9, 13, 17, 21, 25, 29]


@pytest.mark.real
def test_attention_helps(found):
    assert found["accuracy_of_attention"] > found["accuracy_of_average"] + 0.1
