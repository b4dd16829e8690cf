"""The web demo: its start, its end, its limits and errors, on a scripted pipeline."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from scripted_demo import ScriptedPipeline, StubTutor, close, sound_file
from speechkit.demos import CACHE, body_limit, shared, voice_loop

import speechkit as sk
from speechkit import hub
from speechkit.cli import main


@pytest.fixture(autouse=True, scope="module")
def scripted() -> Iterator[None]:
    """No real model is loaded here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sk, "Pipeline", ScriptedPipeline, raising=False)
        patch.setattr("speechkit.demos.shared.load_tutor", StubTutor)
        yield


@pytest.fixture(scope="module")
def scripted_url() -> Iterator[str]:
    url = voice_loop.serve(port=0, block=False)
    yield url
    close(url)


@pytest.fixture(scope="module")
def client(scripted_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("downloads")
    client = Client(scripted_url, verbose=False, analytics_enabled=False, download_files=folder)
    yield client
    client.close()


def test_endpoint_gives_the_turn(client: Client, tmp_path: Path) -> None:
    recording = sound_file(tmp_path / "a.wav", 1)
    heard, speaker, reply, audio, times = client.predict(
        handle_file(str(recording)), api_name="/answer"
    )
    assert (heard, speaker, reply) == ("(no words)", shared.STRANGER, "Yes.")
    assert times == "This took 0.8 seconds: hear 0.25, speak 0.50."
    samples, rate = soundfile.read(audio, dtype="float32")
    assert rate == 22050
    np.testing.assert_allclose(samples, ScriptedPipeline.SAYS.samples, atol=5e-5)


def test_only_the_turn_is_public(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(named) == ["/answer"]


def test_limits_reach_the_pipeline() -> None:
    kit = ScriptedPipeline()
    page, _ = voice_loop.build(shared.Models(lambda: kit).start())
    answer = next(f.fn for f in page.fns.values() if f.api_name == "answer")
    with pytest.raises(gr.Error, match=r"^'nowhere\.wav: no such file"):
        answer(None, "/else/nowhere.wav")
    assert kit.limits == [sk.Limits(seconds=60.0)]


def test_errors_are_one_sentence(client: Client, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is no sound")
    said = {
        None: "there is no recording yet: press Record, speak, then press Stop",
        sound_file(tmp_path / "long.wav", 61): "long.wav: over the limit of 60 seconds; cut it",
        sound_file(tmp_path / "empty.wav", 0): "empty.wav: an empty recording, with no samples; "
        "record it again",
        text: "text.wav: not audio in a known format (Format not recognised); convert it to WAV "
        "or FLAC",
    }
    for recording, message in said.items():
        with pytest.raises(AppError) as e:
            client.predict(recording and handle_file(str(recording)), api_name="/answer")
        assert str(e.value) == message


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("/tmp/a b/c.wav: empty, 0 bytes", "c.wav: empty, 0 bytes"),
        ("'/home/me/.cache/voices.db': can't be used", "'voices.db': can't be used"),
        (r"C:\Users\me\c.wav: empty", "c.wav: empty"),
        ("give wav or flac/ogg; see http://127.0.0.1:8080/v1", None),
        ("over the limit; cut it or raise Limits(seconds)", "over the limit; cut it"),
    ],
)
def test_errors_show_no_folders(said: str, plain: str | None) -> None:
    assert shared.plain(sk.InputError(said)) == (plain or said)


def test_a_fault_is_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(gr.Error) as e, shared.one_sentence():
        raise OSError("/etc/secret")
    assert e.value.message == shared.FAULT
    assert "/etc/secret" in caplog.text


def test_only_uploaded_files_are_read(scripted_url: str) -> None:
    secret = {"path": str(Path(__file__).resolve()), "meta": {"_type": "gradio.FileData"}}
    request = urllib.request.Request(
        f"{scripted_url}gradio_api/call/answer",
        json.dumps({"data": [secret]}).encode(),
        {"content-type": "application/json"},
    )
    event = json.load(urllib.request.urlopen(request))["event_id"]
    said = urllib.request.urlopen(f"{scripted_url}gradio_api/call/answer/{event}").read()
    assert said.startswith(b"event: error")


def test_large_upload_is_refused(scripted_url: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
    request = urllib.request.Request(
        f"{scripted_url}gradio_api/upload",
        head + bytes(26 << 20) + b"\r\n--x--\r\n",
        {"content-type": "multipart/form-data; boundary=x"},
    )
    with pytest.raises(urllib.error.HTTPError) as e:
        urllib.request.urlopen(request)
    assert e.value.code == 413


def status(request: urllib.request.Request | str) -> int:
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as e:
        return int(e.code)


@pytest.mark.parametrize("where", ["component_server/", "queue/join", "call/answer"])
@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ({"content-length": str(body_limit.MAX_BODY + 1)}, 413),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
def test_large_body_is_refused_unread(
    scripted_url: str, where: str, head: dict[str, str], expected: int
) -> None:
    with contextlib.closing(
        HTTPConnection(urlsplit(scripted_url).netloc, timeout=20)
    ) as connection:
        connection.putrequest("POST", f"/gradio_api/{where}")
        for name, value in head.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == expected


def test_nothing_outside_the_cache_is_served(scripted_url: str, tmp_path: Path) -> None:
    (book := tmp_path / "voices.db").write_bytes(b"secret")
    (inside := Path(CACHE.name) / "a.wav").write_bytes(b"sound")
    base = f"{scripted_url}gradio_api/file="
    assert status(f"{base}{inside}") == 200
    inside.unlink()
    climbing = f"{CACHE.name}/../{tmp_path.relative_to(Path(CACHE.name).parent)}/voices.db"
    here = Path(voice_loop.__file__)
    for path in ("/etc/passwd", book, hub.home() / "voices.db", here, climbing, "pyproject.toml"):
        assert status(f"{base}{path}") in (403, 404), path


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"])  # the second belongs to nobody
def test_address_that_cannot_be_used(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = len(ScriptedPipeline.made)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["demo", "--host", host, "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        rf"error: {host}:{port} can't be used: [A-Z][\w' ]+; give another --port\n", error
    )
    assert len(ScriptedPipeline.made) == made  # said before the models are loaded


def test_arguments_reach_the_pipeline() -> None:
    for given, expected in (
        ({}, {"engine": "fast", "device": "auto", "book": None}),
        ({"engine": "reference", "device": "cpu", "book": "my.db"},) * 2,
    ):
        made = len(ScriptedPipeline.made)
        url = voice_loop.serve(port=0, block=False, **given)
        wait_for(lambda made=made: len(ScriptedPipeline.made) > made)
        close(url)
        assert ScriptedPipeline.made[-1] == expected


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_page_is_there_before_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    may_load = threading.Event()
    monkeypatch.setattr(sk, "Pipeline", lambda **_: may_load.wait() and ScriptedPipeline())
    url = voice_loop.serve(port=0, block=False)
    try:
        config = urllib.request.urlopen(f"{url}config").read().decode()
        assert shared.LOADING in config  # readers are told
    finally:
        may_load.set()
        close(url)


def test_models_are_waited_for() -> None:
    may_load = threading.Event()
    models = shared.Models(lambda: may_load.wait() and ScriptedPipeline()).start()
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(models.tutor))
    waiting.start()
    assert models.notice == shared.LOADING
    assert not found
    may_load.set()
    waiting.join(20)
    assert isinstance(found[0], StubTutor)
    assert isinstance(models.kit, ScriptedPipeline)
    assert models.notice == ""


def test_models_that_cannot_be_had_end_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise sk.WeightsError("/some/where/base: the weights are missing; fetch them")

    monkeypatch.setattr(sk, "Pipeline", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest's own handler stays
    assert main(["demo", "--port", "0"]) == 1
    assert "error: /some/where/base: the weights are missing" in capsys.readouterr().err
    models = shared.Models(fail).start()
    with pytest.raises(sk.WeightsError):
        _ = models.kit
    assert models.notice == "base: the weights are missing; fetch them"


def test_notice_is_shown_as_it_is() -> None:
    models = SimpleNamespace(notice="'a<b>' & c", fault=None)
    assert "'a&lt;b&gt;' &amp; c" in voice_loop._notice(models)  # type: ignore[arg-type]


def test_closing_leaves_nothing_behind() -> None:
    before = own_threads()
    url = voice_loop.serve(port=0, block=False)
    assert urllib.request.urlopen(url).status == 200
    close(url)
    wait_for(lambda: not own_threads() - before)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)


def own_threads() -> set[threading.Thread]:
    """All but those that belong to a model."""
    return {t for t in threading.enumerate() if not t.name.startswith("speechkit-asr")}


PROGRAM = """
import sys, threading
import speechkit as sk
import speechkit.tutor
from speechkit.demos import voice_loop

class Anything:
    def __init__(self, **arguments): pass
    def __getattr__(self, name): return Anything() if name in KIT else lambda *_, **__: None
    def __call__(self, *arguments): return ""

KIT = "asr", "voice", "encoder"
sk.Pipeline = speechkit.tutor.Tutor = Anything
if "blocked" in sys.argv:
    voice_loop.PATIENCE_S = 1
    sk.Pipeline = lambda **_: threading.Event().wait()
from speechkit.cli import main
sys.exit(main(["demo", "--port", "0"]))
"""


@contextlib.contextmanager
def demo_of_its_own(temp: Path, *how: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a program, on stand-ins."""
    env = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    (here := temp.with_name("here")).mkdir()
    temp.mkdir()
    demo = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *how],
        cwd=here,
        env={**env, "TMPDIR": str(temp)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts pytest in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield demo
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.communicate()
    assert not list(here.iterdir())


def lines_until(demo: subprocess.Popen[str], start: str) -> list[str]:
    """What it says, up to a line that starts so."""
    assert demo.stderr is not None
    lines = []
    while line := demo.stderr.readline():
        lines.append(line)
        if line.startswith(start):
            break
    return lines


def address(line: str) -> str:
    found = re.match(r"open (http://127\.0\.0\.1:\d+/) in a browser", line)
    assert found, line
    return found[1]


def ends_quietly(demo: subprocess.Popen[str], number: signal.Signals, temp: Path) -> None:
    assert list(temp.glob("speechkit-demo-*"))
    demo.send_signal(number)
    _, rest = demo.communicate(timeout=60)
    assert demo.returncode in (0, 130), rest
    assert "Traceback" not in rest
    assert not list(temp.glob("speechkit-demo-*"))  # recordings are gone


by_signal = pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")


@by_signal
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_quietly(number: signal.Signals, tmp_path: Path) -> None:
    with demo_of_its_own(temp := tmp_path / "temp") as demo:
        lines = lines_until(demo, "the models are ready")
        address(lines[0])
        assert "Traceback" not in "".join(lines)
        ends_quietly(demo, number, temp)


@by_signal
def test_signal_ends_it_while_models_load(tmp_path: Path) -> None:
    """They may be on their way through the net; and an open page waits for them."""
    with demo_of_its_own(temp := tmp_path / "temp", "blocked") as demo:
        url = address(lines_until(demo, "loading the models")[0])
        page = json.load(urllib.request.urlopen(f"{url}config"))
        loads = [f["id"] for f in page["dependencies"] if f["targets"][0][1] == "load"]
        for event in loads:
            join(url, event)
        started = time.monotonic()
        ends_quietly(demo, signal.SIGINT, temp)
        assert time.monotonic() - started < 20


def join(url: str, event: int) -> None:
    """Ask for an event of the page, as a browser does."""
    wish: dict[str, Any] = {"data": [], "fn_index": event, "session_hash": "page"}
    body = json.dumps(wish).encode()
    request = urllib.request.Request(
        f"{url}gradio_api/queue/join", body, {"content-type": "application/json"}
    )
    assert status(request) == 200


def test_first_page_comes_soon(tmp_path: Path) -> None:
    """Three seconds on a machine that does nothing else; here is room for one that does."""
    started = time.monotonic()
    with demo_of_its_own(tmp_path / "temp", "blocked") as demo:
        assert status(address(lines_until(demo, "open ")[-1])) == 200
        seconds = time.monotonic() - started
        print(f"the first page came {seconds:.1f} s after the start")
    assert seconds < 20
