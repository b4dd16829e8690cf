"""Audio, and loading what is sound: every format, source and channel."""

import io

import av
import numpy as np
import pytest
from audio_samples import (
    FFMPEG_KINDS,
    RATE,
    SOUNDFILE_KINDS,
    av_bytes,
    fails,
    sf_bytes,
    strength,
    tone,
)

from speechkit.audio import Audio, load_audio
from speechkit.errors import AudioError

# --- Audio


def test_audio_holds_its_samples():
    audio = Audio(np.array([0.0, 0.5, -0.5]), RATE)
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (3,)
    assert audio.duration == 3 / RATE
    assert repr(audio) == "Audio(0.000 s, 16000 Hz)"
    assert type(Audio(tone(), np.int64(8000)).sample_rate) is int
    with pytest.raises(ValueError, match="read-only"):
        audio.samples[0] = 1
    with pytest.raises(AttributeError):
        audio.sample_rate = 1


def test_audio_leaves_the_callers_array_writable_and_does_not_copy_it():
    array = tone()
    audio = Audio(array, RATE)
    assert np.shares_memory(audio.samples, array)
    assert array.flags.writeable


def test_audio_clips_what_is_a_little_too_loud():
    array = np.array([1.2, -3.9, 0.25], np.float32)
    assert Audio(array, RATE).samples.tolist() == [1.0, -1.0, 0.25]
    assert array[0] == np.float32(1.2)


@pytest.mark.parametrize(
    ("samples", "rate", "says"),
    [
        (np.zeros((2, 2), np.float32), RATE, "shape"),
        (np.float32(0), RATE, "shape"),
        ([0.0, 0.1], RATE, "numpy"),
        (np.zeros(3, np.int16), RATE, "floats"),
        (np.array([0, np.nan]), RATE, "NaN"),
        (np.array([np.inf, 0]), RATE, "infinite"),
        (np.array([-np.inf, 0]), RATE, "infinite"),
        (np.array([1e300, 0]), RATE, "infinite"),
        (np.array([-20_000.0, 0]), RATE, "20000"),
        (np.zeros(3), 0, "rate 0"),
        (np.zeros(3), -8000, "rate -8000"),
        (np.zeros(3), 2_000_000, "1000000"),
        (np.zeros(3), 16000.0, "16000.0"),
        (np.zeros(3), True, "True"),
        (np.zeros(3), None, "None"),
    ],
)
def test_audio_refuses(samples, rate, says):
    with pytest.raises(AudioError, match=says):
        Audio(samples, rate)


# --- loading: formats


@pytest.mark.parametrize("kind", SOUNDFILE_KINDS)
def test_loads_what_libsndfile_writes(kind, tmp_path):
    format, subtype, tolerance = SOUNDFILE_KINDS[kind]
    wave = tone()
    path = tmp_path / "no-ending"
    path.write_bytes(sf_bytes(wave, RATE, format, subtype))
    audio = load_audio(path)
    assert audio.sample_rate == RATE
    assert (
        len(wave) <= len(audio.samples) <= len(wave) + 1100
    )  # ADPCM and GSM fill their last block
    steady = slice(2000, 14_000)  # past the codec's start
    assert np.abs(audio.samples[: len(wave)][steady] - wave[steady]).max() <= tolerance


@pytest.mark.parametrize("kind", FFMPEG_KINDS)
def test_loads_what_ffmpeg_writes(kind, tmp_path, caplog):
    container, codec = FFMPEG_KINDS[kind]
    try:
        data = av_bytes(tone(rate=48_000), container, codec)
    except (av.FFmpegError, ValueError) as e:
        pytest.skip(f"this FFmpeg cannot write {codec} into {container}: {e}")
    path = tmp_path / f"tone.{kind}"
    path.write_bytes(data)
    for source in (path, data, io.BytesIO(data)):
        audio = load_audio(source)
        assert audio.sample_rate == 48_000
        assert audio.duration == pytest.approx(1.0, abs=0.06)
        assert strength(audio.samples, 440, 48_000) == pytest.approx(0.5, rel=0.03)
    assert not caplog.records


def test_loads_the_sound_track_of_a_video(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(path, "w") as file:
        picture = file.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 64
        sound = file.add_stream("aac", rate=RATE, layout="mono")
        for _ in range(10):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            file.mux(picture.encode(image))
        for start in range(0, RATE, 1024):
            piece = np.ascontiguousarray(tone()[None, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            file.mux(sound.encode(frame))
        file.mux(picture.encode(None))
        file.mux(sound.encode(None))
    assert strength(load_audio(path).samples, 440, RATE) == pytest.approx(0.5, rel=0.03)


def test_stereo_m4a_is_averaged_and_a_channel_can_be_chosen():
    both = np.stack([tone(440, rate=48_000), tone(1000, rate=48_000)])
    data = av_bytes(both, "ipod", "aac", layout="stereo", bits=128_000)
    mixed = load_audio(data).samples
    assert strength(mixed, 440, 48_000) == pytest.approx(0.25, rel=0.05)
    assert strength(mixed, 1000, 48_000) == pytest.approx(0.25, rel=0.05)
    right = load_audio(data, channel=1).samples
    assert strength(right, 1000, 48_000) == pytest.approx(0.5, rel=0.05)
    assert strength(right, 440, 48_000) < 0.01


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_of_a_wav(channels):
    data = np.stack([tone(300 * (c + 1), 0.2) for c in range(channels)], axis=1)
    source = sf_bytes(data, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(source).samples, data.mean(axis=1), atol=1e-7)
    for c in range(channels):
        np.testing.assert_array_equal(load_audio(source, channel=c).samples, data[:, c])
    for c in (-1, channels, "left"):
        fails(source, f"no channel {c}", f"0 to {channels - 1}", channel=c)


def test_long_files_are_joined_without_seams():
    wave = (np.random.default_rng(0).uniform(-0.5, 0.5, (700_001, 2)) * 32768).astype(np.int16)
    expected = wave.astype(np.float32).mean(axis=1) / 32768
    for format in ("WAV", "FLAC"):
        audio = load_audio(sf_bytes(wave, format=format))
        np.testing.assert_allclose(audio.samples, expected, atol=1e-7)


# --- loading: sources


def test_sources_agree(tmp_path, monkeypatch):
    data = sf_bytes(tone())
    path = tmp_path / "tone with spaces ünd.wav"
    path.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    expected = load_audio(path).samples
    with path.open("rb") as file:
        after_junk = io.BytesIO(b"junk" + data)
        after_junk.seek(4)
        for source in (
            str(path),
            path.name,
            data,
            bytearray(data),
            io.BytesIO(data),
            after_junk,
            file,
        ):
            np.testing.assert_array_equal(load_audio(source).samples, expected)
        assert not file.closed


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives at most 1000 bytes at a time."""

    def __init__(self, data):
        self.inner = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self.inner.read(min(len(buffer), 1000))
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_stream_that_cannot_seek():
    data = sf_bytes(tone())
    np.testing.assert_array_equal(load_audio(Pipe(data)).samples, load_audio(data).samples)


@pytest.mark.parametrize(
    ("dtype", "scale", "middle"),
    [
        (np.int8, 128, 0),
        (np.int16, 32768, 0),
        (np.int32, 2**31, 0),
        (np.uint8, 128, 128),
        (np.float16, 1, 0),
        (np.float32, 1, 0),
        (np.float64, 1, 0),
    ],
)
def test_arrays_as_gradio_hands_them(dtype, scale, middle):
    wave = np.stack([tone(level=0.9), tone(1000, level=0.9)], axis=1)
    array = (wave * scale + middle).astype(dtype)
    tolerance = 2e-3 if dtype == np.float16 else max(1.1 / scale, 1e-7) if scale > 1 else 1e-7
    audio = load_audio((RATE, array))
    assert audio.sample_rate == RATE
    np.testing.assert_allclose(audio.samples, wave.mean(axis=1), atol=tolerance)
    np.testing.assert_allclose(
        load_audio((RATE, array), channel=1).samples, wave[:, 1], atol=tolerance
    )
    np.testing.assert_allclose(load_audio((RATE, array[:, 0])).samples, wave[:, 0], atol=tolerance)


def test_integers_fill_the_scale():
    extremes = np.array([-32768, 32767, 0], np.int16)
    assert load_audio((RATE, extremes)).samples.tolist() == [-1, 32767 / 32768, 0]
    assert load_audio((RATE, np.array([0, 128, 255], np.uint8))).samples[0] == -1


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ((RATE, np.zeros(5, np.int64)), "int64"),
        ((RATE, np.zeros(5, np.uint16)), "uint16"),
        ((RATE, np.zeros(5, bool)), "bool"),
        ((RATE, np.zeros(5, complex)), "complex"),
        ((RATE, np.array(["a"])), "type"),
        ((RATE, np.array([None])), "object"),
        ((RATE, [[0.0], [0.0, 1.0]]), "array"),
        ((RATE, None), "shape ()"),
        ((RATE, np.zeros((2, 3, 4))), "shape (2, 3, 4)"),
        ((RATE, np.zeros((2, 48_000))), "transpose"),
        ((RATE, np.zeros((5, 0))), "shape (5, 0)"),
        ((RATE, np.zeros(0)), "empty recording"),
        ((RATE, np.zeros((0, 2), np.int16)), "empty recording"),
        ((RATE, np.array([0, np.nan])), "NaN"),
        ((RATE, np.full(5, 3000.0)), "3000"),
        ((0, np.zeros(5)), "rate 0"),
        ((16000.5, np.zeros(5)), "rate 16000.5"),
        ((np.zeros(5), RATE), "array"),
        ((1, 2, 3), "array"),
        (None, "NoneType"),
        (42, "int"),
        (np.zeros(5), "ndarray"),
        (io.StringIO("text"), "binary"),
    ],
)
def test_arrays_and_objects_refused(pair, says):
    fails(pair, says)


def test_a_closed_file_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(sf_bytes(tone()))
    with path.open("rb") as file:
        pass
    fails(file, path, "closed")


def test_audio_is_a_source_too():
    audio = Audio(tone(), RATE)
    np.testing.assert_array_equal(load_audio(audio).samples, audio.samples)
    assert load_audio(audio, 8000).sample_rate == 8000
    fails(audio, "no channel 1", channel=1)
    fails(Audio(np.zeros(0), RATE), "empty recording")


def test_sample_rate_on_loading():
    data = sf_bytes(tone(rate=44_100), 44_100)
    audio = load_audio(data, 16_000)
    assert (audio.sample_rate, len(audio.samples)) == (16_000, 16_000)
    assert strength(audio.samples, 440, 16_000) == pytest.approx(0.5, rel=1e-3)
    for rate in (0, -1, 1.5, "16000", 10**7):
        fails(data, f"{rate!r}", sample_rate=rate)
