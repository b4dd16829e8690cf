"""The recipe that trains a small VITS: its data, its losses, its alignment."""

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def run(recipe):
    return recipe("vits_training")


def test_every_frame_of_the_recordings_has_a_symbol(run):
    hop = run["SOUND"].hop
    for recording in run["recordings"]:
        assert len(recording.symbols) == len(recording.durations)
        assert int(recording.durations.sum()) * hop == len(recording.wave)
        assert recording.symbols[0] == "^"
        assert not set(recording.symbols) & set(run["LEFT_OUT"])


def test_what_is_checked_on_was_not_trained_on(run):
    heard = {recording.text for recording in run["heard"]}
    assert not heard & {recording.text for recording in run["unheard"]}


def test_losses_fall(run):
    for name in ("mel", "kl"):
        assert run["ended"][name] < run["started"][name] / 1.3
    assert all(np.isfinite(values).all() for values in run["losses"].values())


def test_the_alignment_becomes_better(run):
    # That it becomes better than equal steps, the full mode shows.
    assert run["after"].right > 1.2 * run["before"].right
    assert run["borders_after"] < 0.85 * run["borders_before"]


def test_borders_by_hand(run):
    one = run["Recording"]("", ["a", "b", "c"], torch.tensor([3, 1, 2]), torch.zeros(6))
    assert run["border_distance"]([one], [torch.tensor([1.0, 1.0, 4.0])]) == 2.0


def test_paths_are_whole_and_monotonic(run):
    aligned = run["after"].aligned
    frames = aligned.mask[:, 0].bool()
    assert torch.equal(aligned.path.sum(1)[frames], torch.ones(int(frames.sum())))
    symbols = aligned.path.argmax(1)
    steps = symbols[:, 1:] - symbols[:, :-1]
    assert set(steps[frames[:, 1:]].unique().tolist()) == {0, 1}


def test_equal_steps_by_hand(run):
    one = run["Recording"]("", ["a", "b"], torch.tensor([3, 1]), torch.zeros(4))
    assert run["even_path_right"]([one]) == 0.75


def test_it_speaks(run):
    assert run["spoken_s"] > 0.3
    assert np.isfinite(run["spoken"]).all()
    assert float(np.std(run["spoken"])) > 0.01
