"""The web demo: its errors and limits on a scripted pipeline, and whole turns in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import av
import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from speechkit.demos import voice_loop

import speechkit as sk
from speechkit.cli import main

NO_WORDS = np.sin(np.linspace(0, 3000, 22050, dtype=np.float32)) * np.float32(0.1)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# Nothing is asked for but what the page asks for; the microphone is a file.
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


class ScriptedPipeline:
    """Stands in for `Pipeline`: reads the recording as it would, and answers the same to all."""

    made = 0
    arguments: ClassVar[dict[str, Any]] = {}

    def __init__(self, **arguments: Any) -> None:
        type(self).made += 1
        type(self).arguments = arguments
        self.limits: list[sk.Limits | None] = []
        self.book = SimpleNamespace(speakers=lambda: {"Ada": 1})

    def load(self) -> None:
        pass

    def talk(self, source: str, *, limits: sk.Limits | None = None) -> SimpleNamespace:
        self.limits.append(limits)
        sk.load_audio(source, limits=limits or sk.Limits())
        audio, timings = sk.Audio(NO_WORDS, 22050), {"load": 0.0, "hear": 0.25, "speak": 0.5}
        return SimpleNamespace(
            text="", speaker=None, reply="Yes.", audio=audio, timings=timings, transcript=None
        )


def close(url: str) -> None:
    for page in gr.Blocks.get_instances():
        if page.is_running and page.local_url == url:
            page.close(verbose=False)


def sound_file(path: Path, seconds: float, rate: int = 16000) -> Path:
    soundfile.write(path, np.zeros(round(seconds * rate), np.float32), rate)
    return path


def m4a_file(path: Path, audio: sk.Audio) -> Path:
    samples = (audio.samples * 32767).astype(np.int16)[None]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=audio.sample_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = audio.sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# Without models ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scripted_url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sk, "Pipeline", ScriptedPipeline, raising=False)
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
    assert (heard, speaker, reply) == ("(no words)", voice_loop.STRANGER, "Yes.")
    assert times == "This took 0.8 seconds: hear 0.25, speak 0.50."
    samples, rate = soundfile.read(audio, dtype="float32")
    assert rate == 22050
    np.testing.assert_allclose(samples, NO_WORDS, atol=5e-5)  # not scaled to full volume


def test_only_the_turn_is_public(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(named) == ["/answer"]


def test_limits_reach_the_pipeline() -> None:
    kit = ScriptedPipeline()
    page = voice_loop.build(kit)  # type: ignore[arg-type]
    answer = next(f.fn for f in page.fns.values() if f.api_name == "answer")
    with pytest.raises(gr.Error, match="no such file"):
        answer("nowhere.wav")
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


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"])  # the second belongs to nobody
def test_address_that_cannot_be_used(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sk, "Pipeline", ScriptedPipeline, raising=False)
    made = ScriptedPipeline.made
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["demo", "--host", host, "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        rf"error: {host}:{port} can't be used: [A-Z][\w' ]+; give another --port\n", error
    )
    assert ScriptedPipeline.made == made  # said before the models are loaded


def test_arguments_reach_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sk, "Pipeline", ScriptedPipeline, raising=False)
    for given, expected in (
        ({}, {"engine": "fast", "device": "auto", "book": None}),
        ({"engine": "reference", "device": "cpu", "book": "my.db"},) * 2,
    ):
        close(voice_loop.serve(port=0, block=False, **given))
        assert ScriptedPipeline.arguments == expected


def test_closing_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sk, "Pipeline", ScriptedPipeline, raising=False)
    before = set(threading.enumerate())
    url = voice_loop.serve(port=0, block=False)
    assert urllib.request.urlopen(url).status == 200
    close(url)
    deadline = time.monotonic() + 10
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)


PROGRAM = """
import sys
import speechkit as sk

class Pipeline:
    def __init__(self, **arguments): self.book = None
    def load(self): pass

sk.Pipeline = Pipeline
from speechkit.cli import main
sys.exit(main(["demo", "--port", "0"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_quietly(number: signal.Signals, tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    (temp := tmp_path / "temp").mkdir()
    (here := tmp_path / "here").mkdir()
    demo = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=here,
        env={**env, "TMPDIR": str(temp)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts pytest in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert demo.stderr is not None
        lines = []
        while line := demo.stderr.readline():
            lines.append(line)
            if line.startswith("open http://127.0.0.1:"):
                break
        assert list(temp.glob("speechkit-demo-*"))
        demo.send_signal(number)
        _, rest = demo.communicate(timeout=60)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.communicate()
    assert demo.returncode in (0, 130), "".join(lines) + rest
    assert "Traceback" not in "".join(lines) + rest
    assert not list(temp.glob("speechkit-demo-*"))  # recordings are gone
    assert not list(here.iterdir())


# In a browser, on the real models --------------------------------------------------------------------


@pytest.fixture(scope="module")
def question(voice: sk.Voice) -> sk.Audio:
    """A question, spoken slowly by the default voice, with silence around it; 5 s at 48 kHz."""
    spoken = voice.synthesize("What is the capital of France?", speed=0.7).resample(48000)
    silence = np.zeros(48000, np.float32)
    return sk.Audio(np.concatenate([silence[:24000], spoken.samples, silence, silence]), 48000)


@pytest.fixture(scope="module")
def playwright() -> Any:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install one to run the browser tests")
    return pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")


@pytest.fixture(scope="module")
def browser(
    playwright: Any, question: sk.Audio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Headless Chromium with the question as its microphone."""
    microphone = question.save(tmp_path_factory.mktemp("microphone") / "question.wav")
    args = [*CHROMIUM_ARGS, f"--use-file-for-fake-audio-capture={microphone}"]
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=args)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def real_url(
    asr: Any, voice: Any, encoder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    book = tmp_path_factory.mktemp("book") / "voices.db"
    with pytest.MonkeyPatch.context() as patch:  # the session's models, loaded once for all tests
        patch.setattr("speechkit.pipeline.load_asr", lambda *_, **__: asr)
        patch.setattr("speechkit.pipeline.load_tts", lambda *_, **__: voice)
        patch.setattr("speechkit.pipeline.load_speaker_encoder", lambda *_, **__: encoder)
        url = voice_loop.serve(port=0, book=str(book), block=False)
    yield url
    close(url)


@pytest.fixture
def page(browser: Any, real_url: str) -> Iterator[Any]:
    """The demo, just opened. `page.requests` holds the address of every request it made."""
    context = browser.new_context(permissions=["microphone"])
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    with page.expect_request("**/queue/join*"):  # who is known: the page asks at once
        page.goto(real_url)
    yield page
    context.close()
    elsewhere = [u for u in page.requests if not u.startswith((real_url, "blob:", "data:"))]
    assert not elsewhere
    assert not page.errors


def turns(page: Any) -> int:
    """How many events the page has sent, beyond the one that fills it at first."""
    return sum("queue/join" in url for url in page.requests) - 1


def upload(page: Any, path: Path) -> None:
    page.get_by_role("button", name="Upload file").click()
    page.set_input_files("#question input[type=file]", path)


def answered(page: Any) -> tuple[str, str, str]:
    """Wait for the times, which come last; what was heard, who spoke, the answer."""
    page.get_by_text(re.compile(r"This took [\d.]+ seconds: ")).wait_for()
    return tuple(page.input_value(f"#{name} textarea") for name in ("heard", "speaker", "reply"))


@pytest.mark.real
def test_spoken_question_is_answered(page: Any) -> None:
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    page.wait_for_timeout(4_000)
    page.get_by_role("button", name="Stop", exact=True).click()
    heard, speaker, reply = answered(page)
    assert "capital of France" in heard
    assert speaker == voice_loop.STRANGER
    assert reply
    audio = page.wait_for_selector("#speech audio")
    page.wait_for_function("audio => audio.readyState >= 2", arg=audio)
    assert audio.evaluate("audio => audio.duration") > 0.5
    assert audio.evaluate("audio => audio.error") is None
    assert turns(page) == 1  # the end of a recording asks once


@pytest.mark.real
def test_voice_is_known_once_enrolled(page: Any, question: sk.Audio, tmp_path: Path) -> None:
    upload(page, m4a_file(tmp_path / "question.m4a", question))
    heard, speaker, _ = answered(page)
    assert "capital of France" in heard
    assert speaker == voice_loop.STRANGER
    page.get_by_text("Tell me who you are").click()
    page.fill("#name textarea, #name input", "Ada")
    page.click("#enroll")
    page.wait_for_function("document.querySelector('#who textarea').value == 'Ada'")
    assert turns(page) == 2
    page.click("#ask")
    page.click("#ask")
    page.wait_for_function("document.querySelector('#speaker textarea').value == 'Ada'")
    assert turns(page) == 3  # a second click while it thinks does nothing


@pytest.mark.real
def test_page_says_what_is_wrong(page: Any, tmp_path: Path) -> None:
    (large := tmp_path / "large.wav").write_bytes(bytes(26 << 20))
    (text := tmp_path / "text.wav").write_text("this is no sound")
    (nothing := tmp_path / "nothing.wav").touch()
    expected: list[tuple[Callable[[], None], str]] = [
        (lambda: page.click("#ask"), "there is no recording yet"),
        (lambda: upload(page, large), "exceed the maximum allowed size of 25"),
        (lambda: upload(page, text), "text.wav: not audio in a known format"),
        (lambda: upload(page, nothing), "nothing.wav: empty, 0 bytes"),
        (lambda: upload(page, sound_file(tmp_path / "none.wav", 0)), "none.wav: an empty record"),
        (lambda: upload(page, sound_file(tmp_path / "blip.wav", 0.02)), "at least 0.1 s"),
        (lambda: upload(page, sound_file(tmp_path / "long.wav", 61)), "over the limit of 60 sec"),
    ]
    for act, message in expected:
        act()
        page.locator(".toast-body", has_text=message).wait_for()
        page.reload()
