"""Resampling and saving."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from audio_samples import RATE, db, strength, tone

from speechkit.audio import Audio, load_audio
from speechkit.encode import AudioWriter, save_audio
from speechkit.errors import AudioError

# --- resampling

RATES = [(48_000, 16_000), (44_100, 16_000), (22_050, 16_000), (16_000, 48_000), (8000, 22_050)]


@pytest.mark.parametrize(
    ("old", "new"), [*RATES, (16_000, 44_100), (1234, 16_000), (16_001, 16_000)]
)
def test_resampled_length(old, new):
    for n in (1, 2, 3, 7, 100, 999, 16_000, 44_101):
        audio = Audio(np.zeros(n, np.float32), old).resample(new)
        assert audio.sample_rate == new
        assert len(audio.samples) == max(1, int(n * new / old + 0.5))


def test_extreme_ratios():
    assert len(Audio(tone(), 10_000).resample(1).samples) == 2
    assert len(Audio(tone()[:2], 1).resample(10_000).samples) == 20_000
    for old, new in ((1, 10_001), (1_000_000, 1), (1, 1_000_000)):
        with pytest.raises(AudioError, match="too far"):
            Audio(tone()[:10], old).resample(new)
    with pytest.raises(AudioError, match="cut the audio"):
        Audio(np.zeros(300_000, np.float32), 1).resample(10_000)


def test_the_same_rate_changes_nothing():
    audio = Audio(tone(), RATE)
    assert audio.resample(RATE) is audio
    assert Audio(np.zeros(0), RATE).resample(8000).sample_rate == 8000


@pytest.mark.parametrize("rate", [0, -16_000, 1_000_001, 16_000.0, None])
def test_resample_refuses(rate):
    with pytest.raises(AudioError, match="rate"):
        Audio(tone(), RATE).resample(rate)


@pytest.mark.parametrize(("old", "new"), RATES)
def test_passband_is_flat(old, new):
    for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9):
        hz = share * min(old, new) / 2
        out = Audio(tone(hz, rate=old), old).resample(new)
        assert abs(db(strength(out.samples, hz, new) / 0.5)) < 0.1


@pytest.mark.parametrize(("old", "new"), [pair for pair in RATES if pair[1] < pair[0]])
def test_tones_above_the_new_nyquist_vanish(old, new):
    for share in (1.02, 1.1, 1.3):
        hz = share * new / 2
        if hz < 0.98 * old / 2:
            out = Audio(tone(hz, rate=old), old).resample(new).samples
            middle = out[len(out) // 10 : -len(out) // 10]
            assert db(np.abs(middle).max() / 0.5) < -100


@pytest.mark.parametrize(("old", "new"), [pair for pair in RATES if pair[1] > pair[0]])
def test_no_images_when_the_rate_rises(old, new):
    hz = 0.4 * old
    out = Audio(tone(hz, rate=old), old).resample(new).samples
    assert db(strength(out, old - hz, new) / 0.5) < -100


def test_resampling_does_not_shift():
    low = tone(200, rate=48_000)
    out = Audio(low, 48_000).resample(16_000).samples
    np.testing.assert_allclose(out[500:-500], low[::3][500:-500], atol=1e-4)


# --- saving


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "opus", "mp3"])
def test_round_trip(ending, rate, tmp_path):
    wave = tone(300, rate=rate)
    path = tmp_path / f"tone.{ending}"
    assert Audio(wave, rate).save(path) == path
    back = load_audio(path)
    assert back.duration == pytest.approx(1.0, abs=0.001)
    assert strength(back.samples, 300, back.sample_rate) == pytest.approx(0.5, rel=0.05)
    if ending in ("wav", "flac"):
        assert back.sample_rate == rate
        assert np.abs(back.samples - wave).max() <= 0.5 / 32768 + 1e-7
    if ending == "opus":
        assert back.sample_rate in (8000, 12_000, 16_000, 24_000, 48_000)
        assert back.sample_rate >= min(rate, 48_000)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_integers_survive_exactly(ending, tmp_path):
    values = np.arange(-32768, 32768, dtype=np.int16)
    save_audio(load_audio((RATE, values)), tmp_path / f"all.{ending}")
    back, _ = soundfile.read(tmp_path / f"all.{ending}", dtype="int16")
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("rate", [1, 1234, 7999, 999_999])
@pytest.mark.parametrize("ending", ["WAV", "flac", "ogg", "opus", "mp3"])
def test_odd_rates_and_one_sample_can_be_saved(ending, rate, tmp_path):
    for n in (1, 3):
        path = tmp_path / f"odd{n}.{ending}"
        Audio(np.full(n, 0.1), rate).save(path)
        assert load_audio(path).duration > 0


@pytest.mark.parametrize("ending", ["ogg", "opus", "mp3", "flac"])
def test_long_audio_can_be_saved(ending, tmp_path):
    """One large write overflows the stack in some releases of libsndfile; blocks do not."""
    audio = Audio(np.tile(tone(rate=8000), 40), 8000)
    audio.save(tmp_path / f"long.{ending}")
    assert load_audio(tmp_path / f"long.{ending}").duration == pytest.approx(40, abs=0.01)


def test_saving_replaces_at_once_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"the old file")
    with monkeypatch.context() as patch:
        patch.setattr(
            soundfile.SoundFile, "write", lambda *_: (_ for _ in ()).throw(OSError("full"))
        )
        with pytest.raises(AudioError, match=r"a\.wav: cannot be written \(full\)"):
            Audio(tone(), RATE).save(path)
    assert path.read_bytes() == b"the old file"
    assert os.listdir(tmp_path) == ["a.wav"]
    Audio(tone(), RATE).save(path)
    assert load_audio(path).duration == 1.0
    assert os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_a_saved_file_has_the_usual_permissions(tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    Audio(tone(), RATE).save(tmp_path / "a.wav")
    assert (tmp_path / "a.wav").stat().st_mode == usual.stat().st_mode


@pytest.mark.parametrize("name", ["a", "a.txt", "a.m4a", "a.wav.part", ".wav"])
def test_unknown_endings_are_refused_with_the_known(name, tmp_path):
    with pytest.raises(AudioError, match=r"\.wav, \.flac, \.ogg, \.opus, \.mp3"):
        Audio(tone(), RATE).save(tmp_path / name)
    assert not os.listdir(tmp_path)


def test_saving_where_nothing_can_be_written(tmp_path):
    audio = Audio(tone(), RATE)
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    for path in ("missing/a.wav", "folder.wav", "file/a.wav", "a\0b.wav", "x" * 300 + ".wav"):
        with pytest.raises(AudioError, match="cannot be written") as caught:
            audio.save(tmp_path / path)
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.wav"]
    with pytest.raises(AudioError, match="no samples"):
        Audio(np.zeros(0), RATE).save(tmp_path / "a.wav")


def test_importing_is_light():
    code = (
        "import sys, speechkit.audio; print({'soundfile', 'av', 'soxr', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- piece by piece


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "opus", "mp3"])
def test_pieces_in_a_row_are_the_whole(tmp_path, ending):
    rng = np.random.default_rng(2)
    noise = (0.1 * rng.standard_normal(50_000)).astype(np.float32)
    whole = save_audio(Audio(noise, 22_050), tmp_path / f"whole.{ending}")
    with AudioWriter(tmp_path / f"pieces.{ending}", 22_050) as out:
        for start in range(0, len(noise), 7_001):
            out.write(noise[start : start + 7_001])
            assert not out.path.exists()
    a, b = (load_audio(path).samples for path in (whole, out.path))
    np.testing.assert_allclose(a, b, atol=1e-4 if ending in ("wav", "flac") else 0.02)


def test_a_file_that_is_not_completed_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with pytest.raises(AudioError), AudioWriter(path, 16_000) as out:
        out.write(load_audio(tmp_path / "missing.wav").samples)
    assert path.read_bytes() == b"old"
    with pytest.raises(AudioError, match="no samples"), AudioWriter(path, 16_000):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_is_closed(tmp_path):
    with AudioWriter(tmp_path / "a.mp3", 22_050) as out:
        out.write(np.zeros(3000, np.float32))
        assert out.close() == tmp_path / "a.mp3"
    assert load_audio(out.path).sample_rate == 22_050
    with pytest.raises(AudioError, match="is closed"):
        out.write(np.zeros(10, np.float32))


@pytest.mark.parametrize("bad", [np.zeros(10, np.int16), np.full(10, np.nan, np.float32)])
def test_a_writer_takes_audio_only(tmp_path, bad):
    with pytest.raises(AudioError, match="samples"), AudioWriter(tmp_path / "a.wav", 16_000) as out:
        out.write(bad)
    with pytest.raises(AudioError):
        AudioWriter(tmp_path / "a.wav", 16_000.5)
    assert not list(tmp_path.iterdir())


def test_no_room_for_the_last_samples(tmp_path, monkeypatch):
    out = AudioWriter(tmp_path / "a.mp3", 22_049)
    out.write(np.zeros(3000, np.float32))
    monkeypatch.setattr(out._file, "write", refuse)
    with pytest.raises(AudioError, match="cannot be written"):
        out.close()
    assert not list(tmp_path.iterdir())


def refuse(*_):
    raise OSError(28, "No space left on device")
