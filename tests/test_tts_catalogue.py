"""Piper's catalogue of voices, served by the tests themselves in the maker's place."""

import hashlib
import http.server
import json
import logging
import os
import random
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from test_hub import Handler, World

from speechkit import hub, sources
from speechkit.errors import InputError, WeightsError
from speechkit.tts.catalogue import VoiceEntry, fetch_voice, list_voices

RESOLVE = "/rhasspy/piper-voices/resolve/main/"
MODEL = random.Random(8).randbytes(100_000)
CONFIG = b'{"audio": {}}'


def listed(key: str, english: str = "English", **changes: Any) -> dict[str, Any]:
    """One voice as voices.json has it."""
    code, name, quality = key.split("-")
    folder = f"{code[:2]}/{code}/{name}/{quality}"
    files = {
        f"{folder}/{key}.onnx": {"size_bytes": len(MODEL), "md5_digest": md5(MODEL)},
        f"{folder}/{key}.onnx.json": {"size_bytes": len(CONFIG), "md5_digest": md5(CONFIG)},
        f"{folder}/MODEL_CARD": {"size_bytes": 9, "md5_digest": md5(b"x")},
    }
    entry = {
        "key": key,
        "name": name,
        "language": {"code": code, "family": code[:2], "name_english": english},
        "quality": quality,
        "num_speakers": 1,
        "speaker_id_map": {},
        "files": files,
        "aliases": [],
    }
    return entry | changes


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


LISTED = {
    "en_US-lessac-medium": listed("en_US-lessac-medium", aliases=["en-us-lessac-medium"]),
    "de_DE-thorsten-low": listed("de_DE-thorsten-low", "German"),
    "en_GB-vctk-medium": listed("en_GB-vctk-medium", num_speakers=109),
    "pt_PT-tugão-medium": listed("pt_PT-tugão-medium", "Portuguese"),
    "en_US-joe-medium": listed("en_US-joe-medium", aliases=["en-us-joe-medium"]),
}


class Maker(Handler):
    def do_GET(self) -> None:
        self.world.requests.append(f"{self.command} {self.path}")
        if self.path.startswith(RESOLVE):
            self.hub_file(self.path.removeprefix(RESOLVE))
        else:
            self.send_error(404)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The maker's repository with `LISTED` and one voice's files, and an empty home."""
    world = World(tmp_path)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Bound", (Maker,), {"world": world})
    )
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    for name in list(os.environ):
        if name.startswith(("HF_", "SPEECHKIT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sources, "_down", {})
    world.hub["voices.json"] = json.dumps(LISTED).encode()
    folder = "en/en_US/lessac/medium/en_US-lessac-medium"
    world.hub |= {f"{folder}.onnx": MODEL, f"{folder}.onnx.json": CONFIG}
    yield world
    world.closing.set()
    server.shutdown()
    server.server_close()


def keep(voices: object = LISTED, age_s: float = 0.0) -> Path:
    """Put a list on disk, as if fetched `age_s` ago."""
    path = hub.home() / "voices.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(voices if isinstance(voices, bytes) else json.dumps(voices).encode())
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def forbid_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(subprocess, "Popen", forbidden)


def test_the_list_is_fetched_once_a_day(world: World) -> None:
    names = [entry.name for entry in list_voices()]
    assert names == sorted(LISTED)
    assert world.asked(f"GET {RESOLVE}voices.json")
    size = len(MODEL) + len(CONFIG)
    vctk = VoiceEntry("en_GB-vctk-medium", "en_GB", "English", "medium", 109, size)
    assert vctk in list_voices()
    assert sorted(p.name for p in hub.home().iterdir()) == [".voices.json.lock", "voices.json"]
    before = len(world.requests)
    list_voices()
    assert len(world.requests) == before
    keep({"en_US-old-low": listed("en_US-old-low")}, age_s=25 * 3600)
    assert [entry.name for entry in list_voices()] == names
    assert len(world.requests) > before


@pytest.mark.parametrize(
    ("language", "count"),
    [(None, 5), ("en", 3), ("en_US", 2), ("EN-gb", 1), ("english", 3), ("German", 1)],
)
def test_languages(
    world: World, monkeypatch: pytest.MonkeyPatch, language: str | None, count: int
) -> None:
    keep()
    forbid_network(monkeypatch)
    assert len(list_voices(language)) == count


def test_unknown_language_lists_the_languages(world: World) -> None:
    keep()
    with pytest.raises(InputError, match="'klingon'; choose de_DE, en_GB, en_US, pt_PT"):
        list_voices("klingon")


@pytest.mark.parametrize("fault", ["down", "gone", "damaged", "not a list"])
def test_the_kept_list_serves_when_the_network_fails(
    world: World, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    keep(age_s=1e6)
    if fault == "down":
        world.hub_fault = "down"
    elif fault == "gone":
        del world.hub["voices.json"]
    else:
        world.hub["voices.json"] = b'{"en_US' if fault == "damaged" else b"[]"
    assert len(list_voices()) == 5
    assert "the list of voices is not the newest" in caplog.text


def test_no_list_and_no_network(world: World) -> None:
    world.hub_fault = "down"
    with pytest.raises(WeightsError, match=r"list of voices is not in .*503.*try again"):
        list_voices()


@pytest.mark.parametrize("kept", [True, False, "damaged"])
def test_offline(world: World, monkeypatch: pytest.MonkeyPatch, kept: bool | str) -> None:
    forbid_network(monkeypatch)
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    if kept is True:
        keep(age_s=1e6)
        assert len(list_voices()) == 5
        with pytest.raises(WeightsError, match="SPEECHKIT_OFFLINE forbids the network"):
            fetch_voice("en_US-lessac-medium")
        return
    if kept:
        keep(b'{"half')
    for call in (list_voices, lambda: fetch_voice("en_US-lessac-medium")):
        with pytest.raises(WeightsError, match=r"SPEECHKIT_OFFLINE forbids.*try again"):
            call()


@pytest.mark.parametrize("name", ["en_US-lessac-medium", "en-us-lessac-medium"])
def test_a_voice_is_fetched_and_then_needs_no_network(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = fetch_voice(name)
    assert folder == hub.home() / "models" / "en_US-lessac-medium"
    assert (folder / "en_US-lessac-medium.onnx").read_bytes() == MODEL
    assert (folder / "en_US-lessac-medium.onnx.json").read_bytes() == CONFIG
    assert len(list(folder.iterdir())) == 2
    forbid_network(monkeypatch)
    keep(age_s=1e6)
    assert fetch_voice(name) == folder
    (folder / "en_US-lessac-medium.onnx").write_bytes(MODEL[:-1] + b"?")
    with pytest.raises(AssertionError, match="the network was used"):
        fetch_voice(name)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (MODEL[:5000], r"refused: 5,000 bytes instead of 100,000"),
        (MODEL[:-1] + b"?", rf"refused: MD5 is [0-9a-f]{{32}} instead of {md5(MODEL)}"),
        (None, "404"),
    ],
)
def test_a_voice_that_is_not_as_listed(world: World, sent: bytes | None, message: str) -> None:
    keep()
    path = next(path for path in world.hub if path.endswith(".onnx"))
    if sent is None:
        del world.hub[path]
    else:
        world.hub[path] = sent
    with pytest.raises(WeightsError, match=message) as caught:
        fetch_voice("en_US-lessac-medium")
    assert "\n" not in str(caught.value)
    assert not (hub.home() / "models" / "en_US-lessac-medium").exists()


@pytest.mark.parametrize("name", ["en_US-joe-medium", "en-us-joe-medium"])
def test_the_pinned_voice_goes_by_its_sha256(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    keep()
    asked = []
    monkeypatch.setattr(hub, "fetch", lambda name, progress: asked.append(name))
    monkeypatch.setattr(sources, "from_hub", None)
    monkeypatch.setattr(hub, "missing_files", lambda *_: [])
    fetch_voice(name)
    assert asked == ["en_US-joe-medium"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("en_US-lesac-medium", "did you mean en_US-lessac-medium or"),
        ("thorsten-low", r"did you mean de_DE-thorsten-low"),
        ("base", r"choose one of list_voices\(\)"),
        ("../../etc", r"choose one of list_voices\(\)"),
        ("", r"choose one of list_voices\(\)"),
    ],
)
def test_unknown_voices(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    keep()
    forbid_network(monkeypatch)
    with pytest.raises(InputError, match=f"unknown; {message}"):
        fetch_voice(name)


def with_file(path: str, **changes: object) -> dict[str, Any]:
    """A voice whose model has another path, or another size or hash."""
    entry = listed("en_US-bad-low")
    fields = entry["files"].pop("en/en_US/bad/low/en_US-bad-low.onnx")
    entry["files"][path] = fields | changes
    return entry


RIGHT_PATH = "en/en_US/bad/low/en_US-bad-low.onnx"


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("../en_US-bad-low", listed("en_US-bad-low")),
        ("en_US-bad/../../x", listed("en_US-bad-low")),
        ("en_US-..-low", listed("en_US-bad-low")),
        ("/etc/passwd", listed("en_US-bad-low")),
        ("base", listed("en_US-bad-low")),
        ("en_US-other-low", listed("en_US-bad-low")),
        ("en_US-bad-low", with_file("../../en_US-bad-low.onnx")),
        ("en_US-bad-low", with_file("/abs/en_US-bad-low.onnx")),
        ("en_US-bad-low", with_file("C:\\en_US-bad-low.onnx")),
        ("en_US-bad-low", with_file("en/en_US-bad-low.exe")),
        ("en_US-bad-low", with_file(RIGHT_PATH, size_bytes=-1)),
        ("en_US-bad-low", with_file(RIGHT_PATH, size_bytes="9")),
        ("en_US-bad-low", with_file(RIGHT_PATH, md5_digest="z" * 32)),
        ("en_US-bad-low", with_file(RIGHT_PATH, md5_digest=None)),
        ("en_US-bad-low", listed("en_US-bad-low", files=[])),
        ("en_US-bad-low", listed("en_US-bad-low", files={})),
        ("en_US-bad-low", listed("en_US-bad-low", num_speakers=0)),
        ("en_US-bad-low", listed("en_US-bad-low", language={"code": "en\n"})),
        ("en_US-bad-low", listed("en_US-bad-low", aliases=[5])),
        ("en_US-bad-low", "text"),
        ("en_US-bad-low", None),
    ],
)
def test_an_entry_that_cannot_be_trusted_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch, key: str, entry: object
) -> None:
    keep(LISTED | {key: entry})
    forbid_network(monkeypatch)
    assert [voice.name for voice in list_voices()] == sorted(LISTED)
    with pytest.raises(WeightsError, match="is not usable") as caught:
        fetch_voice(key)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 200_000, b"{}", b"<html>", b"[1]", b"null"])
def test_a_damaged_list_is_fetched_again(
    world: World, caplog: pytest.LogCaptureFixture, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(data)
    asked = []

    def bring(job: sources.Job, files: object) -> None:
        asked.append(1)
        (job.ready / "voices.json").write_bytes(world.hub["voices.json"])

    monkeypatch.setattr(sources, "from_hub", bring)
    with caplog.at_level(logging.WARNING):
        assert len(list_voices()) == 5
    assert "voices.json is damaged" in caplog.text
    assert asked == [1]


def test_a_home_that_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SPEECHKIT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(WeightsError, match="cannot be stored in"):
        list_voices()
