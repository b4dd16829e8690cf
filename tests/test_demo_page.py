"""The demo's page in a real browser: on a phone, in the dark, by keyboard, and where things go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_demo_tabs import upload

import speechkit as sk

pytestmark = pytest.mark.real
pytest_plugins = ["demo_browser"]

TABS = "Talk", "Transcribe", "Speak", "Voices", "Look inside"
# Texts that are hard to read: each with its contrast to what lies behind it, painted layer by layer.
HARD_TO_READ = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); };
  const light = () => {
    const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    const text = [...one.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
    if (!text || !one.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    if (one.closest(":disabled, script, style, svg, option") || one.clientWidth === 1) continue;
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
    paint("white");
    layers.forEach(paint);
    const behind = light();
    paint(getComputedStyle(one).color);
    const [low, high] = [behind, light()].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`);
  }
  return found;
}"""


def go_to(page: Any, tab: str) -> None:
    """Press a tab; where there is no room for it, it is in a menu."""
    button = page.get_by_role("tab", name=tab, exact=True)
    if not button.is_visible():
        page.locator(".overflow-menu > button").click()
        button = page.locator(".overflow-dropdown button", has_text=tab)
    button.click()


def fill(page: Any, recording: Path) -> None:
    """Let the tabs have something to show."""
    go_to(page, "Transcribe")
    upload(page, "#recording", recording)
    page.locator("#transcript .words").wait_for()
    go_to(page, "Speak")
    page.click("#speak")
    page.locator("#reading .spoken").first.wait_for()
    page.locator("#spoken .save").wait_for()


@pytest.fixture
def recording(question: sk.Audio, tmp_path: Path) -> Path:
    return question.save(tmp_path / "question.wav")


def test_a_phone_need_not_scroll_sideways(
    open_page: Callable[..., Any], browser: Any, recording: Path
) -> None:
    page = open_page(browser, viewport={"width": 380, "height": 800}, has_touch=True)
    fill(page, recording)
    for tab in TABS:
        go_to(page, tab)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(
    open_page: Callable[..., Any], browser: Any, recording: Path, scheme: str
) -> None:
    page = open_page(browser, color_scheme=scheme)
    fill(page, recording)
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    for tab in TABS:
        go_to(page, tab)
        page.wait_for_timeout(500)  # colours change slowly
        assert page.evaluate(HARD_TO_READ) == [], tab


def test_talk_by_keyboard(open_page: Callable[..., Any], browser: Any) -> None:
    page = open_page(browser)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#talk .round')"):
            break
    assert page.locator("#talk .round:focus").evaluate("e => getComputedStyle(e).outlineStyle") != (
        "none"
    )
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Talk", exact=True).wait_for()


def calls(name: str) -> Callable[[Any], bool]:
    """Whether a request is this call of the page."""
    return lambda request: f'"fn_name":"{name}"' in (request.post_data or "")


def test_stop_while_speech_gets_ready(open_page: Callable[..., Any], browser: Any) -> None:
    page = open_page(browser)
    go_to(page, "Speak")
    begun: list[Any] = []

    def hold(route: Any) -> None:
        if calls("begin")(route.request) and not begun:
            begun.append(route)
        else:
            route.continue_()

    page.route("**/component_server/", hold)
    with page.expect_request(calls("begin")):
        page.click("#speak")
    page.locator("#spoken .stop").click()
    with page.expect_request(calls("end")):  # the text that came too late
        begun[0].continue_()
    assert page.evaluate("window.played") == []
    page.click("#speak")
    page.locator("#spoken .status", has_text="Speaking").wait_for()


def test_a_lost_microphone_is_told(open_page: Callable[..., Any], browser: Any) -> None:
    page = open_page(browser)
    page.evaluate(
        """() => {
          const devices = navigator.mediaDevices, get = devices.getUserMedia.bind(devices);
          devices.getUserMedia = async (how) => (window.stream = await get(how));
        }"""
    )
    page.get_by_role("button", name="Talk", exact=True).click()
    page.locator("#talk .status", has_text="Listening").wait_for()
    with page.expect_request(calls("end")):
        page.evaluate("window.stream.getTracks()[0].dispatchEvent(new Event('ended'))")
    page.get_by_text("The microphone is gone").first.wait_for()
    page.get_by_role("button", name="Talk", exact=True).wait_for()


def test_the_reply_is_loud_again(open_page: Callable[..., Any], browser: Any) -> None:
    page = open_page(browser)
    page.evaluate(
        """() => {
          window.gains = [];
          const set = AudioParam.prototype.setTargetAtTime;
          AudioParam.prototype.setTargetAtTime = function (gain, ...more) {
            window.gains.push(gain);
            set.call(this, gain, ...more);
          };
        }"""
    )
    told = [{"kind": "Ducked", "turn": 1}, {"kind": "TurnDone", "turn": 1, "timings": {}}]

    def script(route: Any) -> None:
        if calls("hear")(route.request):
            events = [told.pop(0)] if told else []
            route.fulfill(json={"events": events})
        else:
            route.continue_()

    page.route("**/component_server/", script)
    page.get_by_role("button", name="Talk", exact=True).click()
    page.wait_for_function("window.gains.length === 3")
    assert json.loads(page.evaluate("JSON.stringify(window.gains)")) == [1, 0.2, 1]
