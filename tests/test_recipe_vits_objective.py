"""The recipe on VITS's objective: the reference's losses, its alignments, and its bounds."""

import pytest
import torch
from common import import_recipe

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def page(recipe):
    return recipe("vits_objective")


def test_all_losses_equal_coquis(page):
    differences = page["loss_differences"]
    assert set(differences) == {"mel", "kl", "duration", "adversarial", "features", "critics"}
    assert max(differences.values()) < 1e-4


def test_the_search_equals_trying_all_and_the_package(page):
    assert page["search_shortfall"] < 1e-5
    assert page["search_mismatches"] == 0


def test_the_bound_lies_below(page):
    for exact, bound in zip(page["duration_exact"], page["duration_bound"], strict=True):
        assert bound < exact < 0


def test_the_kl_term_is_the_divergence(page):
    assert page["kl_estimated"] == pytest.approx(page["kl_exact"], abs=2e-3)


def test_a_path_worked_by_hand(page):
    score = torch.tensor([[[5.0, 4.0, 0.0, 0.0], [0.0, 0.0, 3.0, 9.0]]])
    path = page["alignment_search"](score, torch.tensor([2]), torch.tensor([4]))
    assert path[0].tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]


def test_a_path_as_long_as_its_text_is_the_diagonal(page):
    path = page["alignment_search"](-torch.eye(5)[None], torch.tensor([5]), torch.tensor([5]))
    assert torch.equal(path[0], torch.eye(5))


def test_padding_does_not_change_a_path(page):
    torch.manual_seed(0)
    score = torch.randn(1, 6, 20)
    alone = page["alignment_search"](score[:, :4, :13], torch.tensor([4]), torch.tensor([13]))
    padded = page["alignment_search"](score, torch.tensor([4]), torch.tensor([13]))
    assert torch.equal(padded[:, :4, :13], alone)
    assert padded.sum() == alone.sum() == 13


def test_every_path_is_monotone_and_skips_nothing(page):
    torch.manual_seed(1)
    path = page["alignment_search"](
        torch.randn(3, 7, 30), torch.tensor([7, 5, 1]), torch.tensor([30, 21, 9])
    )
    for item, symbols, frames in zip(path, (7, 5, 1), (30, 21, 9), strict=True):
        owners = item[:, :frames].argmax(0)
        steps = owners.diff().tolist()
        assert set(steps) <= {0, 1}
        assert (owners[0], owners[-1]) == (0, symbols - 1)


def test_the_density_is_torchs(page):
    torch.manual_seed(0)
    z, mean, log_scale = torch.randn(2, 3, 5), torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    normal = torch.distributions.Normal(mean[..., None], log_scale.exp()[..., None])
    expected = normal.log_prob(z[:, :, None]).sum(1)
    torch.testing.assert_close(page["log_density"](z, mean, log_scale), expected)


def test_losses_worked_by_hand(page):
    real, fake = [torch.tensor([1.0, 0.0])], [torch.tensor([0.5, 0.5])]
    assert page["critic_loss"](real, fake).item() == pytest.approx(0.5 + 0.25)
    assert page["adversarial_loss"](fake).item() == pytest.approx(0.25)
    assert page["feature_loss"](real, fake).item() == pytest.approx(2 * 0.5)
    assert page["critic_loss"]([torch.ones(3)], [torch.zeros(3)]).item() == 0


def test_the_kl_term_by_hand(page):
    zeros, ones = torch.zeros(1, 2, 3), torch.ones(1, 1, 3)
    # z on the mean, all scales 1: log 1 - log 1 - 1/2 per channel
    assert page["kl_term"](zeros, zeros, zeros, zeros, ones).item() == pytest.approx(-1.0)
    padded = torch.tensor([[[1.0, 0.0, 0.0]]])
    z = torch.tensor([[[0.0, 100.0, 100.0]] * 2])
    assert page["kl_term"](z, zeros, zeros, zeros, padded).item() == pytest.approx(-1.0)


def test_features_give_the_real_wave_no_gradient(page):
    real, fake = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    page["feature_loss"]([real], [fake]).backward()
    assert real.grad is None
    assert fake.grad is not None


def test_critics_take_any_length(page):
    critics = page["Critics"](
        [
            page["ScaleCritic"](1, (4, 8, 8)),
            page["ScaleCritic"](2, (4, 8, 8)),
            page["PeriodCritic"](5, (4, 8)),
        ]
    )
    for samples in (256, 257, 263):
        scores, found = critics(torch.randn(2, 1, samples))
        assert len(scores) == 3
        assert len(found) == 5 + 5 + 3  # what each layer found, and the score


def test_a_period_critic_compares_samples_a_period_apart(page):
    """Its first layer sees a column: one sample of each period."""
    critic = page["PeriodCritic"](3, (1,))
    critic.convs[0].weight.data = torch.tensor([0.0, 0, 1, 0, 0]).reshape(1, 1, 5, 1)
    critic.convs[0].bias.data.zero_()
    _, found = critic(torch.arange(9.0).reshape(1, 1, 9))
    assert found[0].reshape(3, 3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_the_spectrogram_is_speechkits(page):
    from speechkit.features import vits_linear, vits_mel

    torch.manual_seed(0)
    wave, sound = 0.1 * torch.randn(2, 4096), page["Sound"]()
    linear = page["linear_spectrogram"](wave, sound)
    torch.testing.assert_close(linear, vits_linear(wave), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(page["log_mel"](linear, sound), vits_mel(wave), atol=1e-3, rtol=0)


def test_the_duration_gradient_stops_at_the_text(page):
    vits = import_recipe("vits")
    torch.manual_seed(0)
    sizes = vits.Sizes(symbols=9, channels=8, wide=8, layers=1, duration_channels=8)
    model = page["VitsTrainer"](sizes, page["Sound"](), posterior_layers=1, segment=4)
    batch = page["Batch"](
        torch.tensor([[1, 2, 3]]), torch.tensor([3]), 0.1 * torch.randn(1, 2560), torch.tensor([10])
    )
    losses, real, fake = model(batch)
    assert real.shape == fake.shape == (1, 1, 4 * 256)
    losses["duration"].backward()
    assert all(p.grad is None for p in model.text.parameters())
    assert any(p.grad is not None for p in model.durations.parameters())
    model(batch)[0]["kl"].backward()
    assert all(p.grad is not None for p in model.text.parameters())


def test_the_duration_loss_is_smaller_for_durations_it_was_fitted_to(page):
    """Gradient descent on the bound alone makes the seen duration likelier than another."""
    torch.manual_seed(0)
    trainer = page["DurationTrainer"](4, 8, 2)
    text, mask = torch.randn(1, 4, 6).expand(16, -1, -1), torch.ones(16, 1, 6)
    seen = torch.tensor([[1.0, 4, 2, 8, 3, 5]]).expand(16, -1)
    steps = torch.optim.Adam(trainer.parameters(), 1e-2)
    first = trainer.loss(seen, text, mask).mean().item()
    for _ in range(60):
        steps.zero_grad()
        loss = trainer.loss(seen, text, mask).mean()
        loss.backward()
        steps.step()
    assert loss.item() < first - 2
    assert trainer.loss(seen.flip(1), text, mask).mean() > loss + 2


def test_trying_all_paths_by_hand(page):
    assert page["try_all"](torch.tensor([[1.0, 9, 0], [0, 0, 5]])) == 15
    assert page["try_all"](torch.tensor([[1.0, -9], [-9, 2]])) == 3
