"""The demo's conversations, on stand-ins: what a page sends, what it is told, and how they end."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scripted_asr import RATE, signal, text
from scripted_demo import StubTutor
from scripted_kit import ScriptedKit
from speechkit.demos import held, shared, tab_talk

import speechkit as sk


@pytest.fixture
def conversations(
    monkeypatch: pytest.MonkeyPatch, amplitude_detector: None
) -> Iterator[tab_talk.Conversations]:
    from scripted_asr import AmplitudeDetector

    monkeypatch.setattr("speechkit.loop.voice_loop.SpeechDetector", AmplitudeDetector)
    models = SimpleNamespace(kit=ScriptedKit(), tutor=StubTutor())
    conversations = tab_talk.Conversations(models)  # type: ignore[arg-type]
    yield conversations
    conversations.close()


def begin(conversations: tab_talk.Conversations, **wish: Any) -> str:
    return str(conversations.begin({"respond": "echo", **wish})["key"])


def piece(key: str, samples: np.ndarray, rate: int = RATE) -> dict[str, Any]:
    pcm = (samples * 32767).astype("<i2").tobytes()
    return {"key": key, "rate": rate, "pcm": base64.b64encode(pcm).decode()}


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def talk(conversations: tab_talk.Conversations, key: str, *parts: Any) -> list[dict[str, Any]]:
    """The events of what is said."""
    samples, events = signal(*parts), []
    for frame in np.array_split(samples, max(1, len(samples) // 1600)):
        events += conversations.hear(piece(key, frame))["events"]
        time.sleep(0.01)
    return events


def a_turn(conversations: tab_talk.Conversations, key: str, *parts: Any) -> list[dict[str, Any]]:
    """The same, and those of the silence behind it, until the turn is done."""
    events = talk(conversations, key, *parts)

    def done() -> bool:
        events.extend(talk(conversations, key, 0.1))
        return events[-1:] != [] and events[-1]["kind"] == "TurnDone"

    wait_for(done)
    return events


def test_a_turn_is_told(conversations: tab_talk.Conversations) -> None:
    key = begin(conversations)
    events = a_turn(conversations, key, 0.5, [1, 2])
    kinds = [e["kind"] for e in events if e["kind"] not in ("PartialText", "ReplyAudio")]
    assert kinds == ["SpeechStarted", "FinalText", "SpeakerHeard", "ReplyText", "TurnDone"]
    said = {e["kind"]: e for e in events}
    assert said["FinalText"]["text"] == text(1, 2)
    assert said["SpeakerHeard"]["name"] is None
    reply = said["ReplyText"]["text"]
    assert reply == f"You said: {text(1, 2)}"
    spoken = [e for e in events if e["kind"] == "ReplyAudio"]
    pcm = b"".join(base64.b64decode(e["pcm"]) for e in spoken)
    expected = ScriptedKit().voice.synthesize(reply)
    heard = np.frombuffer(pcm, "<i2") / 32767
    np.testing.assert_allclose(heard, expected.samples, atol=2e-5)
    assert {e["rate"] for e in spoken} == {expected.sample_rate}
    assert {"silence", "wait"} < set(said["TurnDone"]["timings"])


def test_conversations_do_not_meet(conversations: tab_talk.Conversations) -> None:
    one, other = begin(conversations), begin(conversations)
    assert one != other
    assert a_turn(conversations, one, 0.5, [1, 2])
    assert talk(conversations, other, 1.0) == []
    with pytest.raises(sk.InputError, match="has ended"):
        conversations.hear(piece("guessed", np.zeros(1600)))


def test_the_wish_chooses_who_answers(conversations: tab_talk.Conversations) -> None:
    events = a_turn(conversations, begin(conversations, respond="tutor"), 0.5, [1, 2])
    assert StubTutor()("", None) in [e.get("text") for e in events]
    begin(conversations, respond="chat", url="http://localhost:1234/v1", model="m")
    long = {"url": "http://localhost/" + 200 * "v"}, {"url": "http://localhost", "model": 201 * "m"}
    for wish in long:
        with pytest.raises(sk.InputError, match="at most 200 characters"):
            begin(conversations, respond="chat", **wish)
    for url in ("http://example.org/v1", "http://127.0.0.1.example.org", "http://[::1", ""):
        with pytest.raises(sk.InputError, match="on this machine only"):
            begin(conversations, respond="chat", url=url)


def test_strangers_are_refused_where_that_is_wished(
    conversations: tab_talk.Conversations,
) -> None:
    from speechkit.loop.work import REFUSAL

    key = begin(conversations, only_enrolled=True)
    events = a_turn(conversations, key, 0.5, [1, 2])
    assert [e["text"] for e in events if e["kind"] == "ReplyText"] == [REFUSAL]


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0},
        {"rate": "48000"},
        {"rate": 10**9},
        {"pcm": "no base64!"},
        {"pcm": "YQ=="},
        {"pcm": None},
        {"pcm": ["AAAA"]},
        {"pcm": base64.b64encode(bytes(2 * 11 * RATE)).decode()},
        {"pcm": "!" * (30 * RATE)},  # too long to look at
    ],
)
def test_what_is_no_sound_is_refused(
    conversations: tab_talk.Conversations, wrong: dict[str, Any]
) -> None:
    key = begin(conversations)
    good = piece(key, np.zeros(1600))
    with pytest.raises(sk.InputError):
        conversations.hear({**good, **wrong})
    assert conversations.hear(good) == {"events": []}  # the conversation goes on


def test_conversations_end(conversations: tab_talk.Conversations) -> None:
    before = set(threading.enumerate())
    keys = [begin(conversations) for _ in range(tab_talk.MOST)]
    with pytest.raises(sk.InputError, match="too many"):
        begin(conversations)
    for key in keys:
        talk(conversations, key, 0.5, [1, 2], 1.0)
    conversations.end(keys[0])
    conversations.end(keys[0])
    with pytest.raises(sk.InputError, match="has ended"):
        conversations.hear(piece(keys[0], np.zeros(1600)))
    conversations._open.idle_s = 0.0  # the other pages are gone
    wait_for(lambda: not set(threading.enumerate()) - before)


def test_calls_of_the_page_never_raise() -> None:
    def fault(_: Any) -> dict[str, Any]:
        raise sk.AudioError("/tmp/x/a.wav: empty")

    assert shared.safely(fault, None) == {"error": "a.wav: empty"}
    assert shared.safely(lambda _: {}["gone"], None) == {"error": shared.FAULT}


def watchers() -> int:
    return sum(thread.name == "speechkit-held" for thread in threading.enumerate())


def test_one_watcher_is_enough() -> None:
    before = watchers()
    things: held.Held[str] = held.Held(9, 60.0, "full")
    for _ in range(5):  # Talk and Stop, quickly
        things.end(things.add("a"))
    assert watchers() == before + 1
    wait_for(lambda: watchers() == before)
    things.add("b")
    assert watchers() == before + 1  # it comes again
    things.close()


def test_only_what_is_idle_ends() -> None:
    ended: list[str] = []
    things = held.Held(2, 0.0, "full", ended.append)
    idle, used = things.add("idle"), things.add("used")
    with pytest.raises(sk.InputError, match="full"):
        things.add("more")
    with things.use(used) as thing:
        assert thing == "used"
        wait_for(lambda: ended == ["idle"])
        time.sleep(1.5)  # a look of the watcher later
        assert ended == ["idle"]
    wait_for(lambda: ended == ["idle", "used"])
    with things.use(idle) as gone:
        assert gone is None
