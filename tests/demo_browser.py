"""Fixtures of the demo's tests: a real browser, and the real page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scripted_demo import StubTutor, close, in_a_row
from speechkit.demos import voice_loop

import speechkit as sk

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
# Keeps what the page plays: samples, when they begin on the sound's clock, and when they were stopped.
RECORDER = """
window.played = [];
const play = AudioBufferSourceNode.prototype.start, stop = AudioBufferSourceNode.prototype.stop;
AudioBufferSourceNode.prototype.start = function (when) {
  this.entry = { when, rate: this.buffer.sampleRate, seconds: this.buffer.duration, stopped: null,
                 samples: Array.from(this.buffer.getChannelData(0), (v) => Math.round(v * 32767)) };
  window.played.push(this.entry);
  play.call(this, when);
};
AudioBufferSourceNode.prototype.stop = function () {
  this.entry.stopped = this.context.currentTime;
  stop.call(this);
};
"""


@pytest.fixture(scope="session")
def question(voice: sk.Voice) -> sk.Audio:
    """A question, spoken slowly by the default voice, with silence around it."""
    return in_a_row(0.5, voice.synthesize("What is the capital of France?", speed=0.7), 2.0)


@pytest.fixture(scope="module")
def playwright() -> Any:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; install one to run the browser tests")
    return pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")


@pytest.fixture(scope="module")
def launch(
    playwright: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[sk.Audio], Any]]:
    """Starts a headless Chromium whose microphone hears the given sound once, then silence."""
    with playwright.sync_playwright() as p:
        browsers = []

        def one(heard: sk.Audio) -> Any:
            path = in_a_row(heard, 60.0).save(tmp_path_factory.mktemp("microphone") / "a.wav")
            args = [*CHROMIUM_ARGS, f"--use-file-for-fake-audio-capture={path}"]
            browsers.append(p.chromium.launch(executable_path=CHROMIUM, args=args))
            return browsers[-1]

        yield one
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="module")
def browser(launch: Callable[[sk.Audio], Any], question: sk.Audio) -> Any:
    """A browser that hears the question."""
    return launch(question)


@pytest.fixture(scope="session")
def book(encoder: Any, tmp_path_factory: pytest.TempPathFactory) -> sk.SpeakerBook:
    """The voices that the demo knows."""
    return sk.SpeakerBook(tmp_path_factory.mktemp("book") / "voices.db", encoder=encoder)


@pytest.fixture(scope="session")
def real_url(asr: Any, voice: Any, encoder: Any, book: sk.SpeakerBook) -> Iterator[str]:
    """The demo on the session's models, with a tutor of few words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechkit.pipeline.load_asr", lambda *_, **__: asr)
        patch.setattr("speechkit.pipeline.load_tts", lambda *_, **__: voice)
        patch.setattr("speechkit.pipeline.load_speaker_encoder", lambda *_, **__: encoder)
        patch.setattr("speechkit.demos.shared.load_tutor", StubTutor)
        url = voice_loop.serve(port=0, book=str(book.path), block=False)
        yield url
    close(url)


@pytest.fixture
def open_page(real_url: str) -> Iterator[Callable[..., Any]]:
    """Opens the demo in a browser. At the end it must have asked nobody else, without a fault."""
    contexts, pages = [], []

    def one(browser: Any, **how: Any) -> Any:
        context = browser.new_context(permissions=["microphone"], **how)
        contexts.append(context)
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(30_000)
        page.add_init_script(RECORDER)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(real_url)
        page.get_by_role("tab", name="Talk").wait_for()
        return page

    yield one
    for context in contexts:
        context.close()
    for page in pages:
        own = (real_url, "blob:", "data:")
        assert not [url for url in page.requests if not url.startswith(own)]
        assert not page.errors
