"""Audio in pieces: joined they are what `load_audio` gives, in little memory, with the same errors."""

import io
import random
import tracemalloc

import numpy as np
import pytest
import soundfile
from audio_samples import (
    FFMPEG_KINDS,
    RATE,
    SOUNDFILE_KINDS,
    av_bytes,
    cut,
    sf_bytes,
    strength,
    tone,
)

from speechkit.audio import Audio, Limits, Resampler, as_audio, load_audio, stream_audio
from speechkit.errors import AudioError

KINDS = ("wav-16", "wav-float", "flac", "ogg", "opus", "mp3", "m4a", "webm", "mkv-flac")


def noisy(seconds, rate):
    """Noise that fills the scale, so that resampling overshoots it."""
    rng = np.random.default_rng(rate)
    return np.sign(rng.standard_normal(round(seconds * rate))).astype(np.float32)


def encoded(kind, samples, rate):
    if kind in SOUNDFILE_KINDS:
        return sf_bytes(samples, rate, *SOUNDFILE_KINDS[kind][:2])
    return av_bytes(samples, *FFMPEG_KINDS[kind], rate=rate)


def joined(source, rate, **options):
    return np.concatenate(list(stream_audio(source, rate, **options)))


def assert_same(source, rate, **options):
    expected = load_audio(source, rate, **options).samples
    found = joined(source, rate, **options)
    assert found.dtype == np.float32
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, atol=1e-6)


# --- the samples


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_pieces_of_any_format_are_the_loaded_samples(kind, rate):
    assert_same(encoded(kind, 0.5 * noisy(7.3, 48_000), 48_000), rate)


@pytest.mark.parametrize("kind", ["wav-16", "flac", "m4a"])
def test_at_its_own_rate_nothing_is_changed(kind):
    data = encoded(kind, noisy(8, 48_000), 48_000)
    np.testing.assert_array_equal(joined(data, 48_000), load_audio(data).samples)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_sound_at_full_scale_from_any_rate(rate):
    samples = noisy(20, rate)
    for source in ((rate, samples), Audio(samples, rate)):
        assert_same(source, RATE)
    assert np.abs(joined((rate, samples), RATE)).max() == 1


@pytest.mark.parametrize("rate", [1_000, 8_000, 22_050, 44_100, 48_000, 192_000])
def test_sound_of_a_few_samples(rate):
    rng = np.random.default_rng(0)
    for size in (*range(1, 40), 99, 511, 1000):
        assert_same((rate, rng.uniform(-1, 1, size)), RATE)


def test_sources_of_every_kind(tmp_path):
    data = sf_bytes(tone(seconds=20, rate=22_050), 22_050)
    path = tmp_path / "tone.wav"
    path.write_bytes(data)
    for source in (path, str(path), data, bytearray(data)):
        assert_same(source, RATE)
    for make in (lambda: io.BytesIO(data), lambda: path.open("rb")):
        with make() as one, make() as other:
            np.testing.assert_array_equal(joined(one, RATE), load_audio(other, RATE).samples)
            assert not one.closed


def test_channels_are_averaged_or_chosen():
    both = np.stack([tone(440, 20, 48_000), tone(1000, 20, 48_000)], axis=1)
    for source in ((48_000, both), sf_bytes(both, 48_000)):
        for channel in (None, 0, 1):
            assert_same(source, RATE, channel=channel)
        assert strength(joined(source, RATE, channel=1), 1000, RATE) == pytest.approx(0.5, rel=1e-3)


def test_pieces_can_be_kept_and_are_not_written_to_later():
    source = (48_000, noisy(30, 48_000))
    pieces = list(stream_audio(source, RATE))
    copies = [piece.copy() for piece in stream_audio(source, RATE)]
    assert len(pieces) > 3
    for piece, copy in zip(pieces, copies, strict=True):
        np.testing.assert_array_equal(piece, copy)


# --- the promise


@pytest.mark.parametrize("kind", ["wav-16", "flac", "mp3", "m4a", "mka-pcm"])
def test_the_length_is_promised_before_the_first_piece(kind):
    data = encoded(kind, tone(seconds=12, rate=48_000), 48_000)
    promised = []
    pieces = stream_audio(data, RATE, on_promise=promised.append)
    assert promised == []
    next(pieces)
    assert promised == [pytest.approx(12, abs=0.1)]
    list(pieces)
    assert len(promised) == 1


def test_what_says_no_length_promises_none():
    data = bytearray(sf_bytes(tone(), format="FLAC"))
    data[22:26] = bytes(4)  # the number of samples: unknown
    promised = []
    assert len(joined(bytes(data), RATE, on_promise=promised.append)) == RATE
    assert promised == [0]
    for source in ((RATE, tone(seconds=40)), Audio(tone(seconds=40), RATE)):
        promised.clear()
        joined(source, 8000, on_promise=promised.append)
        assert promised == [40.0]


def test_what_cannot_be_read_promises_nothing():
    promised = []
    with pytest.raises(AudioError):
        joined(b"no audio", RATE, on_promise=promised.append)
    assert promised == []


# --- memory


def test_an_hour_takes_little_memory(tmp_path):
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 48_000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros(48_000 * 60, np.int16))
    next(stream_audio(path, RATE))  # what is loaded on first use does not count
    tracemalloc.start()
    total, longest = 0, 0
    for piece in stream_audio(path, RATE):
        total, longest = total + len(piece), max(longest, len(piece))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 3600 * RATE
    assert longest < 30 * RATE
    assert peak < 20e6  # all of it would be 230 MB at 16 kHz


@pytest.mark.parametrize("kind", ["m4a", "webm"])
def test_the_frames_of_ffmpeg_are_joined_to_pieces_of_some_seconds(kind):
    data = encoded(kind, tone(seconds=30, rate=48_000), 48_000)
    sizes = [len(piece) / RATE for piece in stream_audio(data, RATE)]
    assert max(sizes) < 10
    assert len(sizes) <= 32


def test_pieces_come_before_the_rest_is_decoded(tmp_path):
    path = tmp_path / "tone.wav"
    path.write_bytes(sf_bytes(tone(seconds=60)))
    pieces = stream_audio(path, RATE)
    assert len(next(pieces)) < 30 * RATE
    pieces.close()
    with pytest.raises(StopIteration):
        next(pieces)


# --- limits and errors

BAD = {
    "missing": "gone.wav",
    "text": b"This is no audio. " * 50,
    "nothing": b"",
    "no samples": sf_bytes(np.zeros(0)),
    "no array": (RATE, None),
    "empty array": (RATE, np.zeros(0)),
    "empty Audio": Audio(np.zeros(0, np.float32), RATE),
    "NaN": sf_bytes(np.full(9, np.nan, np.float32), subtype="FLOAT"),
    "NaN in the array": (RATE, np.array([0.0, np.nan])),
    "too loud": sf_bytes(tone(level=5000), subtype="FLOAT"),
    "rates too far apart": (1, np.zeros(5)),
    "nothing at all": None,
}


@pytest.mark.parametrize("kind", BAD)
def test_errors_are_those_of_loading(kind):
    with pytest.raises(AudioError) as loading:
        load_audio(BAD[kind], RATE)
    with pytest.raises(AudioError) as streaming:
        joined(BAD[kind], RATE)
    assert str(streaming.value) == str(loading.value)


@pytest.mark.parametrize("rate", [0, -1, 1.5, "16000", None, 10**7])
def test_rates_that_do_not_exist(rate):
    with pytest.raises(AudioError, match="sample rate"):
        joined((RATE, tone()), rate)


@pytest.mark.parametrize(
    "limits", [Limits(seconds=19.9), Limits(samples=300_000), Limits(bytes=100_000)]
)
@pytest.mark.parametrize("kind", ["wav-16", "m4a", "array"])
def test_limits_end_the_stream(kind, limits):
    samples = noisy(20, 16_000)
    source = (16_000, samples) if kind == "array" else encoded(kind, samples, 16_000)
    with pytest.raises(AudioError) as loading:
        load_audio(source, RATE, limits=limits)
    with pytest.raises(AudioError) as streaming:
        joined(source, RATE, limits=limits)
    assert str(streaming.value) == str(loading.value)


def test_resampling_must_not_exceed_the_limits():
    source = (8_000, noisy(20, 8_000))
    assert_same(source, RATE, limits=Limits(samples=320_000))
    with pytest.raises(AudioError, match=r"319999 samples; cut it or raise Limits\.samples"):
        joined(source, RATE, limits=Limits(samples=319_999))


def test_pieces_come_before_an_error_that_lies_behind_them(tmp_path):
    samples = tone(seconds=60)
    samples[50 * RATE] = np.nan
    path = tmp_path / "late.wav"
    path.write_bytes(sf_bytes(samples, subtype="FLOAT"))
    pieces = stream_audio(path, RATE)
    assert len(next(pieces)) > 0
    with pytest.raises(AudioError, match=r"late\.wav: NaN"):
        list(pieces)


def test_a_damaged_file_gives_what_is_there_and_says_so(caplog):
    data = sf_bytes(tone(seconds=40), format="FLAC")
    half = data[: len(data) // 2]
    assert_same(half, RATE)
    assert 10 < len(joined(half, RATE)) / RATE < 30
    assert "bytes: " in caplog.text


# --- the parts


@pytest.mark.parametrize(("old", "new"), [(44_100, 16_000), (8_000, 16_000), (16_000, 16_000)])
def test_a_resampler_does_what_audio_does_however_it_is_fed(old, new):
    rng = random.Random(old)
    audio = Audio(noisy(5, old), old)
    for longest in (2, 1000, 100_000):
        resampler = Resampler(old, new)
        samples = audio.samples[: 300 if longest == 2 else None]
        pieces = [resampler.feed(piece) for piece in cut(samples, rng, longest)]
        whole = np.concatenate([*pieces, resampler.finish()])
        np.testing.assert_allclose(whole, Audio(samples, old).resample(new).samples, atol=1e-6)
        assert resampler.taken == len(samples)


def test_a_piece_of_a_stream_as_audio():
    audio = Audio(tone(), RATE)
    assert as_audio(audio) is audio
    stereo = np.stack([np.full(9, 16384, np.int16), np.zeros(9, np.int16)], axis=1)
    piece = as_audio((8000, stereo))
    assert (piece.sample_rate, piece.samples.tolist()) == (8000, [0.25] * 9)
    assert len(as_audio((8000, np.zeros(0))).samples) == 0
    for wrong in (tone(), "a.wav", (RATE,), None):
        with pytest.raises(AudioError, match=r"give \(sample_rate, array\) or Audio"):
            as_audio(wrong)
