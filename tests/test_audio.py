"""Audio: what can be loaded, what is refused and how, limits, resampling, saving."""

import io
import json
import os
import re
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from speechkit.audio import Audio, Limits, load_audio, save_audio
from speechkit.errors import AudioError

RATE = 16_000


def tone(hz=440.0, seconds=1.0, rate=RATE, level=0.5):
    """A sine wave, float32, shape (n,)."""
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def sf_bytes(samples, rate=RATE, format="WAV", subtype=None):
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=format, subtype=subtype)
    return out.getvalue()


def av_bytes(samples, container, codec, rate=48_000, layout="mono", bits=None):
    """Encode samples, shape (channels, n), at `rate` with FFmpeg."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        if bits:
            stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout, rate)
        fifo = av.AudioFifo()
        for piece in resampler.resample(frame) + resampler.resample(None):
            fifo.write(piece)
        size = stream.codec_context.frame_size or 1024
        while (piece := fifo.read(size, partial=True)) is not None:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


def strength(samples, hz, rate):
    """Amplitude of the component at `hz`, from the middle of the signal through a Hann window."""
    middle = np.asarray(samples[len(samples) // 10 : -len(samples) // 10], np.float64)
    window = np.hanning(len(middle))
    wave = np.exp(-2j * np.pi * hz * np.arange(len(middle)) / rate)
    return 2 * abs((middle * window * wave).sum()) / window.sum()


def db(x):
    return 20 * np.log10(max(x, 1e-12))


def fails(source, *says, **options):
    """Assert that loading raises one AudioError of one line that says all of `says`."""
    with pytest.raises(AudioError) as caught:
        load_audio(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for text in says:
        assert str(text) in message
    return message


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

SOUNDFILE_KINDS = {
    "wav-8": ("WAV", "PCM_U8", 8e-3),
    "wav-16": ("WAV", "PCM_16", 5e-5),
    "wav-24": ("WAV", "PCM_24", 2e-7),
    "wav-32": ("WAV", "PCM_32", 1e-7),
    "wav-float": ("WAV", "FLOAT", 0),
    "wav-double": ("WAV", "DOUBLE", 0),
    "wav-ulaw": ("WAV", "ULAW", 2e-2),
    "wav-alaw": ("WAV", "ALAW", 2e-2),
    "wav-ima": ("WAV", "IMA_ADPCM", 5e-2),
    "wav-ms": ("WAV", "MS_ADPCM", 5e-2),
    "wav-gsm": ("WAV", "GSM610", 5e-1),
    "rf64": ("RF64", "PCM_16", 5e-5),
    "aiff": ("AIFF", "PCM_16", 5e-5),
    "flac": ("FLAC", "PCM_16", 5e-5),
    "ogg": ("OGG", "VORBIS", 5e-2),
    "opus": ("OGG", "OPUS", 5e-2),
    "mp3": ("MP3", "MPEG_LAYER_III", 5e-2),
}


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


FFMPEG_KINDS = {
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "aac": ("adts", "aac"),
    "webm": ("webm", "libopus"),
    "mka-pcm": ("matroska", "pcm_s16le"),
    "mkv-flac": ("matroska", "flac"),
    "mov-pcm": ("mov", "pcm_s24le"),
    "mpegts": ("mpegts", "aac"),
}


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


# --- loading: bad input


def test_missing_file_and_folder(tmp_path):
    missing = tmp_path / "nothing.wav"
    fails(missing, missing, "no such file")
    fails(tmp_path, tmp_path, "folder")
    fails("", "no such file")
    fails("http://127.0.0.1:9/a.wav", "no such file")
    fails("a\0b.wav", "null")
    fails("line\nbreak.wav", "no such file")
    fails("x" * 5000, "too long")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_and_a_device_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    fails(tmp_path / "pipe.wav", "not a regular file")
    fails("/dev/zero", "not a regular file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_unreadable_file(tmp_path):
    path = tmp_path / "secret.wav"
    path.write_bytes(sf_bytes(tone()))
    path.chmod(0)
    fails(path, path, "permission")


def test_a_file_that_the_system_refuses(tmp_path, monkeypatch):
    path = tmp_path / "secret.wav"
    path.write_bytes(sf_bytes(tone()))

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("speechkit.audio.open", refuse, raising=False)
    fails(path, path, "Permission denied")


@pytest.mark.parametrize("ending", ["wav", "mp3", "m4a", "raw", "ogg"])
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (b"This is a text, not a recording.\n" * 100, "not audio"),
        (b"<!doctype html><html><body>404</body></html>", "not audio"),
        (bytes(5000), "not audio"),
        (b"RIFF", ""),
        (b"ID3", "not audio"),
        (b"fLaC" + bytes(100), ""),
        (b"OggS" + bytes(100), ""),
        (b"\x1aE\xdf\xa3" + bytes(100), "not audio"),
        (b"\0\0\0\x20ftypM4A " + bytes(100), "not audio"),
        (sf_bytes(np.zeros(0)), "empty recording"),
        (sf_bytes(np.zeros(0), format="FLAC"), ""),
    ],
)
def test_what_is_not_audio(data, says, ending, tmp_path):
    path = tmp_path / f"bad.{ending}"
    path.write_bytes(data)
    fails(path, path, says)
    fails(data, "bytes", says)


def test_random_bytes_are_not_audio():
    random = np.random.default_rng(0)
    for size in (1, 10, 1000, 50_000):
        for _ in range(10):
            fails(random.bytes(size), "not audio")


@pytest.mark.parametrize("start", [b"#EXTM3U\n#EXTINF:1,\n", b"ffconcat version 1.0\nfile "])
def test_a_playlist_cannot_name_other_files(start, tmp_path):
    (tmp_path / "other.ogg").write_bytes(sf_bytes(tone(), format="OGG", subtype="VORBIS"))
    name = str(tmp_path / "other.ogg").encode()
    for ending in ("m3u8", "mp3"):
        path = tmp_path / f"list.{ending}"
        path.write_bytes(start + name + b"\n#EXT-X-ENDLIST\n")
        fails(path, "not audio")


def test_video_without_sound():
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        picture = file.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 64
        image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        file.mux(picture.encode(image))
        file.mux(picture.encode(None))
    fails(out.getvalue(), "no sound track")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(value, tmp_path):
    wave = tone()
    wave[100] = value
    path = tmp_path / "bad.wav"
    path.write_bytes(sf_bytes(wave, subtype="FLOAT"))
    fails(path, path, "NaN or infinite")


def test_float_files_beyond_full_scale():
    wave = tone(level=1.5)
    np.testing.assert_array_equal(
        load_audio(sf_bytes(wave, subtype="FLOAT")).samples, np.clip(wave, -1, 1)
    )
    fails(sf_bytes(tone(level=20_000), subtype="FLOAT"), "divide")


def damaged(kind, how):
    """Four seconds of a noisy tone, encoded, and then cut or overwritten in the middle."""
    wave = tone(seconds=4, rate=48_000)
    wave += np.random.default_rng(1).normal(0, 0.02, len(wave)).astype(np.float32)
    if kind in SOUNDFILE_KINDS:
        data = bytearray(sf_bytes(wave, 48_000, *SOUNDFILE_KINDS[kind][:2]))
    else:
        data = bytearray(av_bytes(wave, *FFMPEG_KINDS[kind]))
    half = len(data) // 2
    if how == "cut":
        del data[half:]
    elif how == "noise":
        data[half : half + 500] = np.random.default_rng(2).bytes(500)
    else:
        data[half:] = bytes(len(data) - half)
    return bytes(data)


@pytest.mark.parametrize("how", ["cut", "noise", "zeros"])
@pytest.mark.parametrize("kind", ["wav-16", "flac", "ogg", "opus", "mp3", "m4a", "aac", "webm"])
def test_damaged_files_give_what_is_there_or_are_refused(kind, how):
    data = damaged(kind, how)
    if kind == "m4a" and how != "noise":  # the table of contents comes last
        fails(data, "not audio")
        return
    audio = load_audio(data)
    assert 0.9 < audio.duration < 4.1
    assert strength(audio.samples[:40_000], 440, 48_000) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("wav-16", "cut"),
        ("mp3", "cut"),
        ("flac", "cut"),
        ("flac", "noise"),
        ("flac", "zeros"),
        ("webm", "cut"),
        ("aac", "noise"),
        ("m4a", "noise"),
    ],
)
def test_a_partial_result_is_logged(kind, how, caplog):
    load_audio(damaged(kind, how))
    assert re.search("bytes: (damaged|cut short)", caplog.text)
    assert {record.name for record in caplog.records} == {"speechkit"}


@pytest.mark.filterwarnings("error")  # an exception in a decoder's callback is only a warning
@pytest.mark.parametrize("kind", [*SOUNDFILE_KINDS, *FFMPEG_KINDS])
def test_mutated_files_raise_nothing_but_audio_errors(kind):
    """Bytes changed, removed and added near the start, where the headers are, and anywhere."""
    if kind in SOUNDFILE_KINDS:
        whole = sf_bytes(tone(seconds=0.2), RATE, *SOUNDFILE_KINDS[kind][:2])
    else:
        whole = av_bytes(tone(seconds=0.2, rate=48_000), *FFMPEG_KINDS[kind])
    random = np.random.default_rng(len(kind))
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(int(random.integers(1, 6))):
            at = int(random.integers(min(200, len(data)) if random.random() < 0.6 else len(data)))
            data[at : at + 1] = random.bytes(int(random.integers(4)))
        try:
            audio = load_audio(bytes(data), limits=Limits(seconds=60))
        except AudioError:
            fails(bytes(data), "bytes", limits=Limits(seconds=60))
        else:
            assert 0 < audio.duration <= 60


def test_whole_files_log_nothing(caplog):
    for format, subtype, _ in SOUNDFILE_KINDS.values():
        load_audio(sf_bytes(tone(), RATE, format, subtype))
    assert not caplog.records


@pytest.mark.parametrize("claim", [0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFDB, 0x40000000])
def test_a_wav_header_that_claims_too_much(claim, caplog):
    data = bytearray(sf_bytes(tone()))
    data[40:44] = claim.to_bytes(4, "little")
    tracemalloc.start()
    audio = load_audio(bytes(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(audio.samples) == RATE
    assert peak < 50e6
    assert bool(caplog.records) == (
        claim == 0x40000000
    )  # the others are what streaming recorders write


def test_a_flac_header_of_open_or_huge_length(caplog):
    data = bytearray(sf_bytes(tone(), format="FLAC"))
    assert data[21] & 0x0F == 0
    data[22:26] = (0).to_bytes(4, "big")  # 36 bits of total samples, 0 = unknown
    assert len(load_audio(bytes(data)).samples) == RATE
    assert not caplog.records
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    assert len(load_audio(bytes(data)).samples) == RATE


@pytest.mark.parametrize("rate", [0, 1, 1234, 4_000_000_000])
def test_a_forged_rate(rate):
    data = bytearray(sf_bytes(tone()))
    data[24:28] = rate.to_bytes(4, "little")
    if rate == 1234:
        assert load_audio(bytes(data)).sample_rate == 1234
    elif rate == 1:
        assert load_audio(bytes(data)).duration == RATE
        fails(bytes(data), "samples", sample_rate=10**6)
    else:
        fails(bytes(data))


# --- limits

LIMITED = {
    "wav": lambda: sf_bytes(np.stack([tone(), tone()], axis=1)),
    "flac": lambda: sf_bytes(np.stack([tone(), tone()], axis=1), format="FLAC"),
    "m4a": lambda: av_bytes(
        np.stack([tone(rate=48_000), tone(rate=48_000)]), "ipod", "aac", layout="stereo"
    ),
    "array": lambda: (RATE, np.stack([tone(), tone()], axis=1)),
    "audio": lambda: Audio(np.concatenate([tone(), tone()]), RATE),
}


@pytest.mark.parametrize("kind", LIMITED)
def test_limits_hold_on_every_path(kind):
    source = LIMITED[kind]()
    assert load_audio(source).duration > 0.9
    fails(source, "0.5 seconds", "Limits.seconds", limits=Limits(seconds=0.5))
    fails(source, "20000 samples", "Limits.samples", limits=Limits(samples=20_000))
    fails(source, "1000 bytes", "Limits.bytes", limits=Limits(bytes=1000))


def test_the_limits_themselves_are_allowed(tmp_path):
    data = sf_bytes(tone())
    just = Limits(bytes=len(data), seconds=1.0, samples=RATE)
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    for source in (path, data, io.BytesIO(data)):
        assert load_audio(source, limits=just).duration == 1.0
        fails(source, "bytes", limits=Limits(bytes=len(data) - 1))
    fails(data, "samples", sample_rate=48_000, limits=just)
    assert load_audio(data, 8000, limits=just).duration == 1.0


def test_defaults_let_four_hours_through():
    limits = Limits()
    for channels in (1, 2):
        frames = 4 * 3600 * 48_000
        taken = {"samples": frames * channels, "bytes": frames * channels * 2}
        limits.check("x", seconds=4 * 3600.0, **taken)


def test_an_endless_stream_stops_at_the_limit():
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return bytes(size)

    fails(Endless(), "5000000 bytes", limits=Limits(bytes=5_000_000))


@pytest.fixture(scope="module")
def silence():
    """Small files of long silence at 8 kHz: an hour of FLAC, 5 minutes of Vorbis, 10 of Matroska."""
    files = {}
    for name, format, subtype, minutes in (
        ("flac", "FLAC", "PCM_16", 60),
        ("ogg", "OGG", "VORBIS", 5),
    ):
        out = io.BytesIO()
        with soundfile.SoundFile(out, "w", 8000, 1, subtype, format=format) as file:
            for _ in range(minutes):
                file.write(np.zeros(8000 * 60, np.int16))
        files[name] = out.getvalue()
    files["mka"] = av_bytes(np.zeros((1, 8000 * 600), np.float32), "matroska", "flac", rate=8000)
    return files


@pytest.mark.parametrize("kind", ["flac", "ogg", "mka"])
def test_a_small_file_that_grows_stops_early(kind, silence):
    data = silence[kind]
    assert len(data) < 400_000
    tracemalloc.start()
    start = time.perf_counter()
    fails(data, "60 seconds", limits=Limits(seconds=60))
    fails(data, "300000 samples", limits=Limits(samples=300_000))
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 2
    assert peak < 8e6  # all of it would be 10 to 115 MB


def test_memory_of_a_long_load_is_about_the_result(silence):
    tracemalloc.start()
    audio = load_audio(silence["flac"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio.duration == 3600
    assert peak < 1.5 * audio.samples.nbytes


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


# --- the collection of bad files


@pytest.fixture(scope="session")
def bad_files(eval_dir):
    folder = eval_dir / "bad"
    if not (folder / "manifest.jsonl").is_file():
        pytest.skip(f"no bad/ in {eval_dir}")
    lines = (folder / "manifest.jsonl").read_text("utf-8").splitlines()
    return [(folder / row["audio"], row) for row in map(json.loads, lines)]


def test_bad_files_do_as_expected(bad_files):
    wrong = []
    for path, row in bad_files:
        try:
            happened = "accept" if len(load_audio(path, 16_000).samples) else "nothing"
        except AudioError:
            happened = "reject"
            fails(path, f"{path}: ")
        if happened != row["expect"] and (row["expect"] != "either" or happened == "nothing"):
            wrong.append((path.name, happened))
    assert not wrong


def ffmpeg_decode(path: Path):
    """Decode everything with FFmpeg, whatever the format; averaged, shape (n,), and the rate."""
    pieces, rate = [], 0
    with av.open(path) as container:
        resampler = av.AudioResampler("fltp")
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            pieces += [f.to_ndarray().mean(axis=0) for f in resampler.resample(frame)]
    return np.concatenate(pieces), rate


def test_well_formed_files_agree_with_an_independent_decoder(bad_files):
    """What libsndfile decoded is compared with FFmpeg; what FFmpeg decoded, with ffprobe's length."""
    compared = 0
    for path, row in bad_files:
        if row["expect"] != "accept":
            continue
        audio = load_audio(path)
        expected, rate = ffmpeg_decode(path)
        assert (audio.sample_rate, len(audio.samples)) == (rate, len(expected)), path.name
        tolerance = 0.01 if path.suffix in (".ogg", ".opus") else 2e-4
        difference = np.abs(audio.samples - np.clip(expected, -1, 1)).max()
        assert difference < tolerance, (path.name, difference)
        noted = re.search(r"samples16k=(\d+)", row["ffmpeg"])
        if noted and int(noted[1]):
            assert abs(audio.duration * 16_000 - int(noted[1])) < 32, path.name
        compared += 1
    assert compared


def test_the_centre_channel_survives_the_downmix(bad_files):
    path = next((p for p, _ in bad_files if "six_channel_center" in p.name), None)
    if path is None:
        pytest.skip("gen__six_channel_center_only.wav is not in this collection")
    channels, _ = soundfile.read(path, dtype="float32")
    centre = int(np.abs(channels).max(axis=0).argmax())
    mixed = load_audio(path).samples
    np.testing.assert_allclose(mixed, channels[:, centre] / 6, atol=1e-5)
    np.testing.assert_array_equal(load_audio(path, channel=centre).samples, channels[:, centre])
