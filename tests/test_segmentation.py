"""The segmentation network: its filters, its frames, and what it hears."""

import numpy as np
import pytest
import torch

import speechkit as sk
from speechkit.errors import WeightsError
from speechkit.speaker import segmentation
from speechkit.speaker.segmentation import (
    CHUNK,
    FRAMES,
    HOP,
    SPEAKS,
    Activity,
    Segmenter,
    band_pass,
    load_segmenter,
)

RATE = 16_000


@pytest.mark.parametrize(("low", "width"), [(50.0, 100.0), (950.0, 450.0), (3000.0, 900.0)])
def test_a_filter_lets_its_band_through(low, width):
    even, odd = band_pass(torch.tensor([[low]]), torch.tensor([[width]]))[:, 0].double().numpy()
    assert np.allclose(even, even[::-1])
    assert np.allclose(odd, -odd[::-1])
    lower, upper = low + 50, low + 50 + width + 50
    hertz = np.fft.rfftfreq(8192, 1 / RATE)
    for taps in (even, odd):
        power = np.abs(np.fft.rfft(taps, 8192))
        inside = power[(hertz > lower) & (hertz < upper)]
        outside = power[(hertz < lower - 120) | (hertz > upper + 120)]
        assert outside.max() < 0.02 * inside.max()


def test_frames_of_a_chunk():
    model = Segmenter().eval()
    with torch.inference_mode():
        assert model(torch.randn(2, CHUNK)).shape == (2, FRAMES, len(SPEAKS))


@pytest.mark.parametrize("seconds", [0.5, 10.0, 10.1, 23.7])
def test_every_sample_is_heard(seconds):
    activity = Segmenter().eval().hear(np.zeros(round(seconds * RATE), np.float32))
    last = (activity.starts[-1] + FRAMES) * segmentation.FRAME + segmentation.FIRST
    assert activity.starts == [i * HOP for i in range(len(activity.starts))]
    assert last > seconds * RATE - 1000
    assert len(activity.count()) == activity.starts[-1] + FRAMES


def test_a_frame_has_the_mean_of_its_chunks():
    active = np.zeros((3, FRAMES, 3), bool)
    active[0, :, 0] = active[1:, :, :2] = True  # one voice, then twice two
    activity = Activity([0, HOP, 2 * HOP], active)
    assert (
        activity.heard().tolist()
        == [1] * HOP + [2] * HOP + [3] * (FRAMES - 2 * HOP) + [2] * HOP + [1] * HOP
    )
    count = activity.count()
    assert count[:HOP].tolist() == [1] * HOP
    assert set(count[2 * HOP : FRAMES]) == {2}  # of 5 / 3
    assert set(count[FRAMES:]) == {2}


@pytest.mark.real
def test_it_hears_the_voice_and_not_the_pauses(voice):
    speech = voice.synthesize("This sentence is spoken by one voice alone, without a break.")
    samples = sk.load_audio(speech, RATE).samples
    silence = np.zeros(2 * RATE, np.float32)
    whole = np.concatenate([silence, samples, silence])
    count = load_segmenter().hear(whole).count()
    starts = (segmentation.FIRST + np.arange(len(count)) * segmentation.FRAME) / RATE
    end = 2 + len(samples) / RATE
    assert count[(starts > 2.3) & (starts < end - 0.5)].mean() == pytest.approx(1, abs=0.1)
    assert count[(starts < 1.8) | (starts > end + 0.3)].max() == 0


def test_other_weights_are_refused(tmp_path):
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="not pyannote's segmentation weights"):
        segmentation._load(tmp_path / "pytorch_model.bin")
