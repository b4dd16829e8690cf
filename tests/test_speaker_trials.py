"""Calibration of scores, lists of trials, and the pictures."""

import math

import numpy as np
import pytest

import speechkit as sk
from speechkit import InputError, SpeechkitError
from speechkit.metrics import det_curve
from speechkit.speaker import SpeakerEncoder
from speechkit.speaker.calibration import log_ratio, probability
from speechkit.speaker.plots import draw_det, draw_map
from speechkit.speaker.quality import Quality
from speechkit.speaker.trials import read_trials, score_trials

LONG = Quality(speech_s=8, level_db=-20, snr_db=30, clipped=0)
SHORT_NOISY = Quality(speech_s=1, level_db=-20, snr_db=5, clipped=0)
RATE = 16_000


def test_the_ratio_rises_with_the_score_and_does_not_care_which_side_is_which():
    scores = np.linspace(-1, 1, 21)
    ratios = [log_ratio(score, LONG, SHORT_NOISY) for score in scores]
    assert all(np.diff(ratios) > 0)
    assert ratios == [log_ratio(score, SHORT_NOISY, LONG) for score in scores]


def test_a_middling_score_says_more_of_short_noisy_recordings():
    assert log_ratio(0.35, SHORT_NOISY, LONG) > log_ratio(0.35, LONG, LONG)


def test_beyond_what_was_fitted_the_ratio_stays():
    longer, silent = Quality(900, -20, 60, 0), Quality(0, -100, 0, 0)
    assert log_ratio(0.3, LONG, LONG) != log_ratio(0.3, LONG, SHORT_NOISY)
    assert log_ratio(0.3, longer, longer) == log_ratio(0.3, longer, Quality(10, -20, 30, 0))
    assert log_ratio(0.9, silent, LONG) == log_ratio(0.9, LONG, silent) == 0
    assert log_ratio(0.3, LONG, Quality(8, -20, -10, 0)) == log_ratio(
        0.3, LONG, Quality(8, -20, 0, 0)
    )


def test_probability_follows_bayes():
    assert probability(0.0) == 0.5
    assert probability(math.log(9)) == pytest.approx(0.9)
    assert probability(math.log(9), prior=0.01) == pytest.approx(0.09 / (0.09 + 0.99))
    assert [probability(-1e4), probability(1e4)] == [0, 1]
    with pytest.raises(InputError, match="prior"):
        probability(0.0, prior=1.0)


class Rhythm:
    """Embeds how much each band of the filter bank comes and goes."""

    def embed(self, fbanks):
        moves = [f.std(0).numpy() for f in fbanks]
        return np.stack([np.pad(m - m.mean(), (0, 112)) for m in moves])


@pytest.fixture
def trials(tmp_path):
    """A list of two "voices", noises that pulse: of one the low half, of the other the high half."""
    rng = np.random.default_rng(0)
    pulse = 0.55 + 0.45 * np.sign(np.sin(2 * np.pi * 4 * np.arange(RATE) / RATE))
    for voice, of_low, of_high in (("a", pulse, 1.0), ("b", 1.0, pulse)):
        for i in range(2):
            low = np.convolve(rng.standard_normal(RATE), [1.0, 0.9], "same")
            high = np.convolve(rng.standard_normal(RATE), [1.0, -0.9], "same")
            samples = 0.05 * (low * of_low + high * of_high)
            sk.Audio(samples.astype("f4"), RATE).save(tmp_path / f"{voice}{i}.wav")
    lines = ["1 a0.wav a1.wav", "", "0 a0.wav b0.wav", "1 b0.wav b1.wav", "0 b1.wav a1.wav"]
    path = tmp_path / "trials.txt"
    path.write_text("\n".join(lines))
    return path


def test_trials_are_scored_in_order_and_each_recording_once(trials):
    encoder, steps = SpeakerEncoder(Rhythm(), "rhythm"), []
    found = score_trials(trials, encoder, progress=lambda *step: steps.append(step))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found.same.tolist() == [True, False, True, False]
    expected = [encoder.verify(*paths).score for _, *paths in read_trials(trials)]
    assert found.scores == pytest.approx(expected)
    assert found.det.eer == 0
    assert found.log_ratios[1] == encoder.verify(*read_trials(trials)[1][1:]).log_ratio


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1 a.wav b.wav\n2 a.wav c.wav", "line 2"),
        ("1 a.wav\n", "line 1"),
        ("1 a.wav b.wav\n", "both kinds"),
        ("", "both kinds"),
    ],
)
def test_lists_that_are_none_are_refused(tmp_path, text, fault):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        read_trials(path)
    with pytest.raises(InputError, match="can't be read"):
        read_trials(tmp_path / "none.txt")


def test_a_map_has_a_point_for_each_recording(tmp_path):
    rng = np.random.default_rng(0)
    voices = {f"Voice {i}": list(rng.standard_normal((3, 192)).astype("f4")) for i in range(12)}
    path = draw_map(voices, tmp_path / "map.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="at least 4"):
        draw_map({"Joe": voices["Voice 0"]}, tmp_path / "few.png")
    with pytest.raises(InputError, match="map\\.xyz"):
        draw_map(voices, tmp_path / "map.xyz")
    with pytest.raises(InputError, match="no format of pictures"):
        draw_map(voices, tmp_path / "map")
    with pytest.raises(SpeechkitError, match="can't be written"):
        draw_map(voices, tmp_path / "no folder" / "map.png")
    odd = {"_Jo $x^$": voices["Voice 0"], "$5": voices["Voice 1"]}
    text = draw_map(odd, tmp_path / "odd.svg").read_text()
    assert "_Jo $x^$" in text


def test_a_det_plot_takes_curves_without_errors_too(tmp_path):
    rng = np.random.default_rng(0)
    same = np.arange(200) < 100
    curves = {
        "good": det_curve(same + rng.standard_normal(200) * 0.3, same),
        "perfect": det_curve(same.astype(float), same),
    }
    assert draw_det(curves, tmp_path / "det.svg").read_text().startswith("<?xml")


@pytest.mark.real
def test_log_ratios_of_real_trials_cost_little(encoder, eval_dir, tmp_path):
    """Every twentieth pair; a ratio that says nothing costs 1 bit."""
    lines = (eval_dir / "sv" / "trials.txt").read_text().splitlines()[::20]
    path = tmp_path / "some.txt"
    rows = (line.split() for line in lines)
    path.write_text(
        "\n".join(f"{label} {eval_dir / 'sv' / a} {eval_dir / 'sv' / b}" for label, a, b in rows)
    )
    found = score_trials(path, encoder)
    print(f"Cllr {found.cllr:.3f}, EER {found.det.eer:.2%}")
    assert found.cllr < 0.35
