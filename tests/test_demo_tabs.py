"""The demo's tabs: pages on stand-ins, then each tab in a real browser."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import gradio as gr
import numpy as np
import pytest
from scripted_demo import in_a_row, sound_file
from scripted_kit import ScriptedKit
from speechkit.demos import shared, tab_speak
from speechkit.demos.tab_transcribe import shown_transcript

import speechkit as sk
from speechkit.asr import Dropped, Segment, Transcript, Word

pytest_plugins = ["demo_browser"]


# Pages, on stand-ins ---------------------------------------------------------------------------------


def heard(*words: str, speakers: tuple[str, ...] = ("",)) -> Transcript:
    segments = tuple(
        Segment(
            2.0 * i,
            2.0 * i + 1,
            " ".join(words),
            0.9,
            tuple(
                Word(w, 2.0 * i + n / 10, 2.0 * i + n / 10 + 0.1, 0.9) for n, w in enumerate(words)
            ),
            speaker,
        )
        for i, speaker in enumerate(speakers)
    )
    return Transcript("", "en", 9.0, segments, language_probability=0.5)


def test_transcript_is_shown_as_it_is() -> None:
    shown = shown_transcript(heard("a", "<b>", "&c"), {"en": "English"})
    assert "English, 50% sure" in shown
    assert '<span data-start="0.10" data-end="0.20">&lt;b&gt;</span>' in shown
    assert "<b>" not in shown
    files = dict(re.findall(r'download="transcript\.(\w+)" href="data:[^,]*,([^"]*)"', shown))
    assert list(files) == ["srt", "vtt", "txt", "json"]
    assert base64.b64decode(files["txt"]).decode() == "a <b> &c\n"
    assert base64.b64decode(files["srt"]).startswith(b"1\n00:00:00,000 --> ")


def test_each_speaker_has_a_colour_and_a_name() -> None:
    shown = shown_transcript(heard("a", speakers=("speaker 1", "speaker 2", "speaker 1")), {})
    assert re.findall(r'<p class="(voice\d)">', shown) == ["voice0", "voice1", "voice0"]
    assert shown.count('<span class="who">speaker 1</span>') == 2


def test_nothing_heard_is_said() -> None:
    assert "no words" in shown_transcript(Transcript("", "en", 1.0), {})
    noise = Transcript("", "en", 1.0, dropped=(Dropped(0, 1, "x", "silence"),))
    assert "noise" in shown_transcript(noise, {})


def test_files_go_with_the_last_page_that_sent_them(tmp_path: Path) -> None:
    desk = shared.Desk(SimpleNamespace(kit=None))  # type: ignore[arg-type]
    pages = [SimpleNamespace(session_hash=name) for name in ("one", "other")]
    own, common = sound_file(tmp_path / "own.wav", 1), sound_file(tmp_path / "common.wav", 1)
    for page, files in ((pages[0], [own, common]), (pages[1], [common])):
        for file in files:
            with desk.kit(page, str(file)):  # type: ignore[arg-type]
                pass
    desk.forget(pages[0])  # type: ignore[arg-type]
    assert not own.exists()
    assert common.exists()
    desk.forget(pages[1])  # type: ignore[arg-type]
    assert not common.exists()


def test_speech_comes_in_pieces() -> None:
    kit = ScriptedKit()
    kit.voice.name = "scripted"  # type: ignore[attr-defined]
    speaking = tab_speak.Speaking(shared.Desk(SimpleNamespace(kit=kit)))  # type: ignore[arg-type]
    begun = speaking.begin({"text": "Hello there.", "speed": 1})
    pcm = b""
    while more := speaking.more(begun["key"]):
        pcm += base64.b64decode(more["pcm"])
    spoken = kit.voice.synthesize("Hello there.")
    np.testing.assert_allclose(np.frombuffer(pcm, "<i2") / 32767, spoken.samples, atol=2e-5)
    assert begun["rate"] == spoken.sample_rate
    assert speaking.more(begun["key"]) == {}
    left = speaking.begin({"text": "Nobody asks for it."})["key"]
    speaking._open.idle_s = 0.0
    deadline = time.monotonic() + 30
    while len(speaking._open) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert speaking.more(left) == {}
    for wrong, why in ((" ", "no text"), ("a" * 3001, "3001 characters")):
        with pytest.raises(sk.InputError, match=why):
            speaking.begin({"text": wrong})


def test_errors_leave_the_page_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    monkeypatch.setattr(gr, "Warning", noted.append)

    def fail(_: str) -> str:
        raise gr.Error("<b> is no name")

    assert shared.kindly(fail, "as before")("x") == "as before"
    assert noted == ["&lt;b&gt; is no name"]


# In a browser, on the real models --------------------------------------------------------------------


def m4a_file(path: Path, audio: sk.Audio) -> Path:
    samples = (audio.samples * 32767).astype(np.int16)[None]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=audio.sample_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = audio.sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def upload(page: Any, where: str, path: Path) -> None:
    """Put a file into the recording with this id, whatever is in it."""
    if page.locator(f"{where} audio").count():
        page.locator(where).get_by_role("button", name="Clear").click()
    page.locator(where).get_by_role("button", name="Upload file").click()
    page.set_input_files(f"{where} input[type=file]", path)


def toast(page: Any, message: str) -> None:
    page.locator(".toast-body", has_text=message).first.wait_for()


@pytest.fixture
def page(open_page: Callable[..., Any], browser: Any) -> Any:
    return open_page(browser)


@pytest.mark.real
def test_transcribe_in_the_browser(page: Any, question: sk.Audio, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Transcribe").click()
    (large := tmp_path / "large.wav").write_bytes(bytes(26 << 20))
    (no_sound := tmp_path / "text.wav").write_text("this is no sound")
    page.click("#transcribe")
    toast(page, "there is no recording yet")
    upload(page, "#recording", no_sound)
    toast(page, "text.wav: not audio in a known format")
    upload(page, "#recording", sound_file(tmp_path / "long.wav", 601, 8000))
    toast(page, "long.wav: over the limit of 600 seconds")
    page.reload()
    page.get_by_role("tab", name="Transcribe").click()
    page.locator("#recording").get_by_role("button", name="Upload file").click()
    page.set_input_files("#recording input[type=file]", large)
    toast(page, "exceed the maximum allowed size of 25")
    page.reload()  # and the page lives on
    page.get_by_role("tab", name="Transcribe").click()
    page.get_by_label("Tell the speakers apart").check()
    upload(page, "#recording", m4a_file(tmp_path / "question.m4a", question))
    words = page.locator("#transcript span[data-start]")
    words.first.wait_for()
    assert "capital of France" in page.locator("#transcript .words").inner_text()
    assert page.locator("#transcript .who").first.inner_text() == "speaker 1"
    words.nth(3).click()  # plays from there, and marks what is heard
    page.wait_for_function("document.querySelector('#recording audio').currentTime > 0.5")
    page.locator("#transcript span.now").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("link", name="SubRip").click()
    assert "capital of France" in Path(saved.value.path()).read_text()


@pytest.mark.real
def test_speak_in_the_browser(page: Any, asr: Any) -> None:
    page.get_by_role("tab", name="Speak").click()
    page.fill("#text textarea", "It costs $12.50. That is a fair price for a good book.")
    page.click("#speak")
    page.locator("#spoken .save").wait_for()
    spoken = page.locator("#reading .spoken")
    assert "twelve" in spoken.first.inner_text()
    assert "ˈ" in spoken.first.locator("rt").all_inner_texts()[-1] + spoken.first.inner_text()
    played = page.evaluate("window.played")
    samples = np.concatenate([p["samples"] for p in played]) / 32767
    heard = asr.transcribe((played[0]["rate"], samples.astype(np.float32)), language="en").text
    assert "fair price for a good book" in heard
    page.fill("#text textarea", "")
    page.click("#speak")
    page.locator(".status", has_text="There is no text yet").wait_for()
    toast(page, "there is no text yet")


@pytest.mark.real
def test_voices_in_the_browser(
    page: Any, question: sk.Audio, voice: sk.Voice, book: sk.SpeakerBook, tmp_path: Path
) -> None:
    page.get_by_role("tab", name="Voices").click()
    other = in_a_row(0.2, voice.synthesize("I have come to talk about something else.", seed=3))
    upload(page, "#first", question.save(tmp_path / "question.wav"))
    page.click("#enroll")
    toast(page, "name is ''")
    page.fill("#name input, #name textarea", "Ada")
    page.click("#enroll")
    page.locator("#known li", has_text="Ada").wait_for()
    upload(page, "#second", other.save(tmp_path / "other.wav"))
    page.click("#verify")
    page.locator("#result .said", has_text="One and the same voice").wait_for()
    page.click("#identify")
    page.locator("#result .said", has_text="Ada.").wait_for()
    page.click("#draw")
    toast(page, "a map needs at least 4")
    for seed in range(3):
        book.enroll("Bo", [voice.synthesize("One more recording of this voice.", seed=seed)])
    page.click("#draw")
    page.locator("#map img").wait_for()
    page.click("#forget")
    toast(page, "nobody is chosen")
    page.locator("#gone input").click()
    page.get_by_role("option", name="Ada").click()
    page.click("#forget")
    page.locator("#result", has_text="Ada is forgotten").wait_for()
    assert book.speakers() == {"Bo": 3}
    book.forget("Bo")


@pytest.mark.real
def test_look_in_the_browser(page: Any) -> None:
    page.get_by_role("tab", name="Look inside").click()
    recorder = page.locator("#looked-at")
    recorder.get_by_role("button", name="Record", exact=True).click()
    recorder.get_by_role("button", name="Stop", exact=True).wait_for()
    page.wait_for_timeout(4_000)
    recorder.get_by_role("button", name="Stop", exact=True).click()
    page.locator("#pictures figure").nth(5).wait_for(timeout=120_000)
    titles = page.locator("#pictures h3").all_inner_texts()
    assert [title.split()[-1] for title in titles] == [
        "waveform",
        "spectrogram",
        "hears",
        "token",
        "it",
        "is",
    ]
    widths = page.locator("#pictures img").evaluate_all("all => all.map(i => i.naturalWidth)")
    assert min(widths) > 600
