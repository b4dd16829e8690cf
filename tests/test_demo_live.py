"""The demo's Talk in a real browser: a recording is its microphone, and what it plays is heard again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_demo import another_voice, in_a_row
from speechkit.demos import CACHE, shared

import speechkit as sk
from speechkit.loop.work import REFUSAL

pytestmark = pytest.mark.real
pytest_plugins = ["demo_browser"]


def press_talk(page: Any, respond: str = "echo", only_enrolled: bool = False) -> None:
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Who answers").select_option(respond)
    if only_enrolled:
        page.get_by_label("Talk only with voices I know").check()
    page.get_by_role("button", name="Talk", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).wait_for()


def shown(page: Any, name: str, index: int = 0) -> str:
    """The text of a part of a turn, once it is there."""
    part = page.locator(f"#talk .{name}:not(:empty)").nth(index)
    part.wait_for()
    return str(part.inner_text())


def wait_for_end_of_turn(page: Any) -> None:
    page.locator("#talk .times .bar").first.wait_for()


def played(page: Any) -> sk.Audio:
    """What the page played."""
    pieces = page.evaluate("window.played")
    samples = np.concatenate([piece["samples"] for piece in pieces]) / 32767
    return sk.Audio(samples.astype(np.float32), pieces[0]["rate"])


def words(text: str) -> list[str]:
    return ["".join(filter(str.isalnum, word)) for word in text.lower().split()]


def test_a_spoken_question_is_answered(
    open_page: Callable[..., Any], browser: Any, asr: Any
) -> None:
    page = open_page(browser)
    press_talk(page)
    page.locator("#talk .words", has_text="What is the").wait_for()
    assert page.locator("#talk .reply").inner_text() == ""  # the words come while they are spoken
    wait_for_end_of_turn(page)
    assert "capital of France" in shown(page, "said")
    assert shown(page, "who") == shared.STRANGER
    reply = shown(page, "reply")
    assert reply.startswith("You said: What is the capital of France")
    heard = asr.transcribe(played(page), language="en").text
    assert words(heard) == words(reply)
    pieces = page.evaluate("window.played.map(({ when, seconds }) => [when, seconds])")
    ends = [when + seconds for when, seconds in pieces]
    gaps = [when - end for (when, _), end in zip(pieces[1:], ends, strict=False)]
    assert all(gap == pytest.approx(0, abs=1e-6) for gap in gaps)  # nothing between two pieces
    assert "from your last word to my first" in page.locator("#talk .times h3").inner_text()
    assert page.locator("#talk .times .bar").count() >= 5
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Talk", exact=True).wait_for()


def test_pages_that_talk_at_once_do_not_meet(
    open_page: Callable[..., Any], browser: Any, launch: Callable[..., Any], voice: sk.Voice
) -> None:
    weather = voice.synthesize("I like the weather in the mountains.")
    pages = open_page(browser), open_page(launch(in_a_row(0.5, weather, 2.0)))
    for page in pages:
        press_talk(page)
    for page in pages:
        wait_for_end_of_turn(page)
    for page, own, foreign in zip(
        pages, ("France", "mountains"), ("mountains", "France"), strict=True
    ):
        said = page.locator("#talk .turns").inner_text()
        assert own in said
        assert foreign not in said


def test_only_known_voices_are_answered(
    open_page: Callable[..., Any], browser: Any, book: sk.SpeakerBook, question: sk.Audio
) -> None:
    page = open_page(browser)
    press_talk(page, "tutor", only_enrolled=True)
    wait_for_end_of_turn(page)
    assert shown(page, "reply") == REFUSAL
    page.get_by_role("button", name="Stop", exact=True).click()
    book.enroll("Ada", [question])
    try:
        page.get_by_role("button", name="Talk", exact=True).click()
        page.locator("#talk .reply", has_text="picture of sound").wait_for()
        assert shown(page, "who") == "Ada"
    finally:
        book.forget("Ada")


@pytest.fixture
def interrupting(launch: Callable[[sk.Audio], Any], voice: sk.Voice) -> Any:
    """A browser that hears a long question, and somebody else in the midst of the answer."""
    long = (
        "I would like to know what you think about the weather in the mountains at the end of "
        "October, when the days are short and the nights are cold."
    )
    stop = another_voice(voice.synthesize("Stop it please, I have another question for you."))
    return launch(in_a_row(0.5, voice.synthesize(long), 4.5, stop))


def test_speech_stops_the_reply(open_page: Callable[..., Any], interrupting: Any) -> None:
    page = open_page(interrupting)
    press_talk(page)
    page.locator("#talk .reply.cut").wait_for()
    pieces = page.evaluate(
        "window.played.map(({ when, seconds, stopped }) => [when, seconds, stopped])"
    )
    silent_at = min(stopped for _, _, stopped in pieces if stopped is not None)
    went_on = [p for p in pieces if p[2] is None and p[0] < silent_at + 0.1 < p[0] + p[1]]
    assert not went_on  # no piece sounds any more
    assert [p for p in pieces if p[2] is not None and p[0] > silent_at]  # nor will one that waited
    page.locator(
        "#talk .said", has_text="another question"
    ).wait_for()  # heard from its beginning on
    page.locator("#talk .said", has_text="Stop it").wait_for()


def test_no_recording_is_left(open_page: Callable[..., Any], browser: Any) -> None:
    """A conversation is in no file; a recording goes when its page does."""
    page = open_page(browser)
    before = files()
    press_talk(page)
    shown(page, "said")
    assert files() == before
    page.get_by_role("tab", name="Look inside").click()
    recorder = page.locator("#looked-at")
    recorder.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1_500)
    recorder.get_by_role("button", name="Stop", exact=True).click()
    page.locator("#pictures figure").first.wait_for()
    assert files() != before
    looked_at = files()
    page.get_by_role("tab", name="Voices").click()
    recorder = page.locator("#first")
    recorder.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1_500)
    recorder.get_by_role("button", name="Stop", exact=True).click()
    wait_until(lambda: files() != looked_at)
    page.wait_for_timeout(1_000)  # nothing is asked about it
    page.close()
    wait_until(lambda: files() == before)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert true()


def files() -> set[Path]:
    return {path for path in Path(CACHE.name).rglob("*") if path.is_file()}
