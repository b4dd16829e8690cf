"""The recipes on the Transformer: what they prove, and their functions at the edges."""

import math

import pytest
import torch
from torch import nn

KINDS = ("none", "sinusoidal", "learned", "relative")


@pytest.fixture(scope="module")
def attention_recipe(recipe):
    return recipe("attention")


@pytest.fixture(scope="module")
def parameters_recipe(recipe):
    return recipe("parameters")


@pytest.fixture(scope="module")
def parts(parameters_recipe):
    """The classes and functions of the Transformer's recipe, imported without running it."""
    return parameters_recipe["transformer"]


@pytest.mark.real
def test_its_blocks_are_those_of_whisper(recipe):
    ran = recipe("transformer")
    assert ran["whisper_difference"] < 2e-3
    assert ran["expected"].abs().max() > 10  # logits worth comparing


@pytest.mark.real
def test_it_learns_to_turn_strings_around_and_looks_backwards(recipe):
    ran = recipe("transformer")
    assert ran["match_before"] < 0.01
    assert ran["match_after"] > 0.99
    assert ran["mirror_share"] > 0.8
    assert ran["near_share"] > 0.95
    weight = ran["model"].decoder[-1].attention.weight
    assert weight.triu(1).abs().max() == 0


@pytest.mark.real
def test_one_mask_makes_a_decoder_of_an_encoder(recipe):
    influence = recipe("transformer")["influence"]
    assert influence["decoder"] < 1e-6 < 0.1 < influence["encoder"]


def test_attention_finds_by_content(attention_recipe):
    assert attention_recipe["by_content_difference"] < 1e-5


def test_attention_and_the_whole_model_equal_torch(parameters_recipe):
    assert len(parameters_recipe["attention_difference"]) == 4
    assert max(parameters_recipe["attention_difference"].values()) < 1e-5
    assert set(parameters_recipe["torch_difference"]) == {"pre", "post"}
    assert max(max(pair) for pair in parameters_recipe["torch_difference"].values()) < 1e-5


def test_the_root_keeps_the_weights_soft(attention_recipe):
    assert all(abs(v / d - 1) < 0.1 for d, v in attention_recipe["score_variance"].items())
    scaled, unscaled = attention_recipe["scaled"], attention_recipe["unscaled"]
    assert all(2.0 < bits < 5.0 and slope > 0.05 for bits, slope in scaled)
    assert unscaled[-1][0] < 0.5
    assert unscaled[-1][1] < 0.01 * scaled[-1][1]


def test_one_head_loses_half_and_two_lose_nothing(attention_recipe):
    assert all(abs(e - 0.5) < 0.02 for e in attention_recipe["unexplained"].values())
    errors = attention_recipe["head_errors"]
    assert errors[1][1] == errors[2][1]
    assert errors[2][0] < 0.05 < 0.3 < errors[1][0]


def test_each_mask_stops_its_leak(attention_recipe):
    leaks = attention_recipe["leaks"]
    needed = {("causal", "future"), ("encoder", "source filling"), ("cross", "source filling")}
    assert {case for case, change in leaks.items() if change > 1e-2} == needed
    assert all(change < 1e-5 for case, change in leaks.items() if case not in needed)


def test_without_the_causal_mask_the_loss_lies(attention_recipe):
    steps, right = attention_recipe["steps_to_low"], attention_recipe["written_right"]
    assert steps["without"] < steps["with"]
    assert right["without"] < 0.2 < 0.9 < right["with"]


def test_the_decoder_asks_and_the_encoder_learns_through_the_answer(attention_recipe):
    assert attention_recipe["weight_shape"] == (1, 4, 3, 7)
    assert attention_recipe["cross_shape"] == (1, 3, 64)
    assert attention_recipe["swapped_shape"] == (1, 7, 64)
    assert attention_recipe["gradient_cut"] == 0.0 < attention_recipe["gradient_open"]


def test_order_is_seen_only_with_positions(attention_recipe):
    seen = attention_recipe["order_seen"]
    assert set(seen) == set(KINDS)
    assert seen["none"] < 1e-5 < 0.1 < min(seen[kind] for kind in KINDS[1:])
    assert attention_recipe["moved"]["relative"] < 1e-5 < 0.1 < attention_recipe["moved"]["learned"]
    assert attention_recipe["match_by_kind"]["none"] < 0.5
    assert attention_recipe["match_by_kind"]["sinusoidal"] > 0.9


def test_adding_positions_is_concatenating_them_later(attention_recipe):
    assert attention_recipe["split_difference"] < 1e-10
    assert attention_recipe["added_difference"] < 1e-6
    assert attention_recipe["three_matrices_rest"] > 0.1  # it fits one matrix, not three
    assert min(attention_recipe["found_again"].values()) > 0.99
    assert 0.1 < attention_recipe["concatenation_cost"] < 0.2


def test_the_count_by_hand_is_the_count(parameters_recipe):
    by_hand = parameters_recipe["parameters_by_hand"]
    assert by_hand == parameters_recipe["parameters_counted"]
    assert by_hand["as trained here"] - by_hand["tied"] == 13 * 64


@pytest.mark.parametrize("positions", KINDS)
@pytest.mark.parametrize("tied", [False, True])
def test_the_formula_holds_for_odd_sizes(parameters_recipe, parts, positions, tied):
    size = parts.Size(24, 3, 50, 1, vocabulary=7, longest=9, positions=positions, tied=tied)
    counted = sum(p.numel() for p in parts.Transformer(size).parameters())
    assert parameters_recipe["count_by_hand"](size) == counted


def test_a_step_moves_what_got_a_gradient(parameters_recipe):
    rows = parameters_recipe["rows_moved"]
    assert rows["SGD"] == rows["AdamW without decay"] == "<134"
    assert len(rows["SGD, tied head"]) == len(rows["AdamW, decay 0.01"]) == 13
    assert {name.split(".")[0] for name in parameters_recipe["still"]} == {"spare", "encoder"}
    assert parameters_recipe["key_bias_gradient"] < 1e-4 * parameters_recipe["query_bias_gradient"]


def test_residuals_carry_the_gradient_and_the_differences(parameters_recipe):
    left, distinct = parameters_recipe["gradient_left"], parameters_recipe["distinct"]
    assert left["bare"][-1] < 1e-20
    assert distinct["norm"][-1] < 1e-6
    assert all(0.1 < share < 10 for wiring in ("pre", "post") for share in left[wiring])
    assert all(share > 0.01 for wiring in ("pre", "post") for share in distinct[wiring])


def test_attention_by_hand(parts):
    query = torch.tensor([[math.log(3) * math.sqrt(2), 0.0]])
    answer, weight = parts.attention(query, torch.eye(2), torch.tensor([[10.0], [20.0]]))
    torch.testing.assert_close(weight, torch.tensor([[0.75, 0.25]]))
    torch.testing.assert_close(answer, torch.tensor([[12.5]]))


def test_a_mask_takes_all_weight_and_a_bias_shifts_it(parts):
    query, key, value = torch.zeros(1, 4), torch.zeros(3, 4), torch.eye(3)
    _, weight = parts.attention(query, key, value, allowed=torch.tensor([[True, False, True]]))
    torch.testing.assert_close(weight, torch.tensor([[0.5, 0.0, 0.5]]))
    _, weight = parts.attention(query, key, value, bias=torch.tensor([[math.log(2), 0.0, 0.0]]))
    torch.testing.assert_close(weight, torch.tensor([[0.5, 0.25, 0.25]]))


def test_masks(parts):
    assert parts.causal(3).tolist() == [[True, False, False], [True, True, False], [True] * 3]
    tokens = torch.tensor([[5, parts.PAD], [5, 6]])
    assert parts.real(tokens).shape == (2, 1, 1, 2)
    assert parts.real(tokens)[:, 0, 0].tolist() == [[True, False], [True, True]]


def test_the_task(parts):
    source, target = parts.reversal(count=200, longest=5, seed=3)
    assert source.shape == (200, 5)
    assert target.shape == (200, 7)
    for given, wanted in zip(source, target, strict=True):
        digits = parts.spell(given).rstrip("·")
        assert 1 <= len(digits) <= 5
        assert parts.spell(wanted).rstrip("·") == f"<{digits[::-1]}>"
    again, _ = parts.reversal(count=200, longest=5, seed=3)
    assert torch.equal(source, again)
    assert not torch.equal(source, parts.reversal(count=200, longest=5, seed=4)[0])


def test_the_norm_is_that_of_torch(parts):
    torch.manual_seed(0)
    x = 3 + 2 * torch.randn(4, 7, 16)
    torch.testing.assert_close(parts.LayerNorm(16)(x), nn.functional.layer_norm(x, (16,)))


def test_sines_by_hand(parts):
    table = parts.sinusoids(length=3, width=4)
    frequencies = (1.0, 0.01)  # radians per place: 10000 to the power of 0 and of -1/2
    expected = [[f(t * w) for w in frequencies for f in (math.sin, math.cos)] for t in range(3)]
    torch.testing.assert_close(table, torch.tensor(expected))


def test_relative_numbers_depend_on_the_distance_and_end_at_the_reach(parts):
    places = parts.Positions("relative", longest=40, width=8, heads=2)
    nn.init.normal_(places.by_distance)
    bias = places.bias(30)
    assert bias.shape == (2, 30, 30)
    assert torch.equal(bias[:, :-1, :-1], bias[:, 1:, 1:])
    assert torch.equal(bias[:, 0, parts.REACH], bias[:, 0, 29])
    assert not torch.equal(bias[:, 0, 1], bias[:, 1, 0])


def test_unknown_positions_are_refused(parts):
    with pytest.raises(ValueError, match="choose sinusoidal, learned, relative or none"):
        parts.Positions("rotary", longest=4, width=8, heads=2)


def test_greedy_stops_counting_at_the_end(parts):
    model = parts.new_model(parts.Size())
    model.head = nn.Linear(64, parts.VOCABULARY)
    nn.init.zeros_(model.head.weight)
    with torch.no_grad():  # END is the likeliest everywhere
        model.head.bias.copy_(nn.functional.one_hot(torch.tensor(parts.END), parts.VOCABULARY))
    written = parts.greedy(model, torch.tensor([[5, 6, 7]]))
    assert written.tolist() == [[parts.START, parts.END, parts.PAD, parts.PAD, parts.PAD]]
