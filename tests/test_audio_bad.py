"""Loading what is damaged, forged, endless or not audio at all, and the limits."""

import io
import json
import os
import re
import time
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
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

from speechkit.audio import Audio, Limits, load_audio
from speechkit.errors import AudioError

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
