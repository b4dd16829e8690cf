"""The recipes on flows and VITS: the same speech as coqui-tts, and what their pages claim."""

import pytest
import torch
from common import import_recipe

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def flows_page(recipe):
    return recipe("flows")


@pytest.fixture(scope="module")
def page(recipe):
    return recipe("vits")


@pytest.fixture(scope="module")
def flows(page):
    return import_recipe("flows")


def test_the_curve_equals_coquis(flows_page):
    assert flows_page["spline_difference"] < 1e-9
    assert flows_page["spline_inverse"] < 1e-9
    assert flows_page["spline_slope"] < 1e-9
    assert flows_page["density_area"] == pytest.approx(1, abs=1e-3)


def test_flows_keep_their_promises(flows_page):
    for kind in ("spline_flow", "mean_flow", "real"):
        assert flows_page[f"{kind}_inverse"] < 1e-6, kind
        assert flows_page[f"{kind}_log_det"] < 1e-6, kind


def test_the_promises_can_be_broken(flows):
    """The check notices a wrong determinant and a wrong inverse."""

    class Wrong(torch.nn.Module):
        def forward(self, x):
            return 2 * x, torch.zeros(1)

        def inverse(self, y):
            return y / 2 + 0.1

    inverse, log_det = flows.flow_errors(Wrong(), torch.ones(1, 1, 3).double())
    assert inverse == pytest.approx(0.1)
    assert log_det == pytest.approx(3 * 0.6931, abs=1e-3)


def test_the_draws_of_the_real_voice(flows_page):
    assert flows_page["length_spread_still"] == 0
    assert 1 < flows_page["length_mean"] < 4
    assert 0.02 < flows_page["length_spread"] < 0.5
    assert abs(flows_page["correlation_before"]) < 0.05
    assert flows_page["correlation_behind"] > 0.1


def test_the_speech_equals_coquis(page):
    assert len(page["sample_differences"]) == len(page["SENTENCES"]) >= 3
    assert max(page["duration_differences"]) == 0
    assert max(page["sample_differences"]) < 1e-3
    assert page["loudest"] > 0.1


def test_samples_frames_and_durations_fit(page):
    first = page["first"]
    assert len(first.samples) == 256 * first.z.shape[1] == 256 * first.durations.sum()
    assert len(first.durations) == len(page["ids"])


def test_only_the_text_encoder_has_attention(page):
    assert page["attentions"] == {"text": 6, "durations": 0, "flow": 0, "decoder": 0}


def test_only_the_tables_see_order(page):
    assert page["order_lost"] < 1e-5 < 0.01 < page["order_seen"]


def test_pieces_are_exact_with_enough_context(page):
    assert page["reached"] == (11, 11)
    assert -11 <= page["touched_from"] <= -10
    assert 10 <= page["touched_to"] <= 11
    errors = page["piece_errors"]
    assert errors[11] < 1e-5
    assert errors[12] < 1e-5
    assert errors[0] > errors[4] > errors[8] > 1e-5


@pytest.mark.parametrize(
    ("durations", "owners"),
    [([2, 0, 3], [0, 0, 2, 2, 2]), ([1], [0]), ([0, 1], [1])],
)
def test_the_path_of_durations(page, durations, owners):
    path = page["path_matrix"](torch.tensor([durations]))[0]
    assert path.argmax(1).tolist() == owners
    assert path.sum(1).tolist() == [1] * len(owners)


def test_the_path_of_a_shorter_item_ends_early(page):
    path = page["path_matrix"](torch.tensor([[1, 2], [1, 0]]))
    assert path[1].tolist() == [[1, 0], [0, 0], [0, 0]]


def test_vectors_by_distance_end_at_the_window(page):
    table = torch.tensor([[1.0], [2.0], [3.0]])  # of the distances -1, 0, 1
    near = page["by_distance"](table, 4)[..., 0]
    assert near.tolist() == [[2, 3, 0, 0], [1, 2, 3, 0], [0, 1, 2, 3], [0, 0, 1, 2]]
    assert page["by_distance"](table, 1)[..., 0].tolist() == [[2]]


def test_attention_worked_by_hand(page):
    """One head of size 1 whose queries are 0: all symbols weigh the same."""
    layer = page["RelativeAttention"](1, 1, 1)
    for conv, weight in ((layer.query, 0), (layer.key, 1), (layer.value, 1), (layer.out, 1)):
        conv.weight.data.fill_(weight)
        conv.bias.data.zero_()
    layer.near_values.data = torch.tensor([[10.0], [0.0], [100.0]])
    heard = layer(torch.tensor([[[3.0, 6.0, 9.0]]]), torch.ones(1, 1, 3))[0, 0]
    assert heard.tolist() == pytest.approx([6 + 100 / 3, 6 + 110 / 3, 6 + 10 / 3])


def test_padding_changes_nothing(page, flows):
    torch.manual_seed(0)
    sizes = page["Sizes"](symbols=9, channels=8, wide=8, layers=2, duration_channels=8)
    model = flows.stirred(page["Vits"](sizes), seed=1).float()
    ids = torch.tensor([[1, 2, 3, 0, 0]])
    mask = torch.tensor([[[1.0, 1, 1, 0, 0]]])
    noise = torch.randn(1, 2, 5)
    alone = model.text(ids[:, :3], mask[..., :3])
    padded = model.text(ids, mask)
    for short, long in zip(alone, padded, strict=True):
        torch.testing.assert_close(long[..., :3], short)
    short = model.durations.log_durations(noise[..., :3], alone[0], mask[..., :3])
    long = model.durations.log_durations(noise, padded[0], mask)
    torch.testing.assert_close(long[:, :3], short)
    latents = torch.randn(1, 8, 5) * mask
    short, long = model.flow(latents[..., :3], mask[..., :3])[0], model.flow(latents, mask)[0]
    torch.testing.assert_close(long[..., :3], short)


def test_the_curve_beyond_its_bound_is_the_identity(flows):
    x = torch.tensor([-7.0, -5.0, 5.0, 9.0])
    raw = torch.randn(4, 29, generator=torch.Generator().manual_seed(0))
    y, log_slope = flows.spline(x, raw)
    assert y.tolist() == pytest.approx(x.tolist(), abs=1e-5)
    assert log_slope[[0, 3]].tolist() == [0, 0]


def test_a_curve_of_equal_numbers_is_nearly_straight(flows):
    """Pieces of equal width and height whose inner slopes are 1."""
    raw = torch.zeros(3, 29)
    raw[:, 20:] = torch.tensor(1.0 - 1e-3).expm1().log()
    x = torch.tensor([-3.3, 0.0, 4.2])
    y, log_slope = flows.spline(x, raw)
    assert y.tolist() == pytest.approx(x.tolist(), abs=1e-5)
    assert log_slope.tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_length_times_a_direction_is_one_kernel(page):
    state = {
        "waveform_decoder.ups.0.parametrizations.weight.original0": torch.tensor([[[10.0]]]),
        "waveform_decoder.ups.0.parametrizations.weight.original1": torch.tensor([[[3.0, 4.0]]]),
        "text_encoder.encoder.attn_layers.2.emb_rel_k": torch.ones(1, 9, 4),
    }
    ours = page["renamed"](state)
    assert ours["decoder.ups.0.weight"].tolist() == [[[6.0, 8.0]]]
    assert ours["text.layers.2.attention.near_keys"].shape == (9, 4)
    assert len(ours) == 2
