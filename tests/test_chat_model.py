"""`Chat` against a real server with a real language model, on this machine.

It needs `pip install '.[bench]'` and `speechkit models fetch gemma-3-270m`. The model only continues
texts, so what it says is not judged.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest

import speechkit as sk
from speechkit import hub
from speechkit.augment import change_speed
from speechkit.loop import Interrupted, ReplyAudio, ReplyText, TurnDone, VoiceLoop
from speechkit.runtime import threads

xllamacpp = pytest.importorskip("xllamacpp", reason="the bench extra is not installed")
pytestmark = pytest.mark.real

MODEL = "gemma-3-270m"
RATE = 16_000
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "assistant: Well, here is a long story about it."
)


def start_server():  # type: ignore[no-untyped-def]
    [model] = hub.path(MODEL).glob("*.gguf")
    how = xllamacpp.CommonParams()
    how.model.path, how.chat_template = str(model), TEMPLATE
    how.port, how.n_ctx, how.n_parallel = 0, 2048, 1
    how.cpuparams.n_threads, how.verbosity = threads(), -1
    return xllamacpp.Server(how)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    if not list(hub.path(MODEL).glob("*.gguf")):
        pytest.skip(f"{MODEL} is fetched only when asked for: speechkit models fetch {MODEL}")
    server = start_server()
    yield f"{server.listening_address}/v1"
    del server  # it ends when nobody holds it


def test_it_answers_in_pieces(url: str) -> None:
    chat = sk.Chat(url, MODEL, max_tokens=30, timeout_s=60)
    answer = list(chat("What is a river?", "Ada"))
    assert len(answer) > 10
    assert any(map(str.isalpha, "".join(answer)))
    assert chat.history[0]["content"] == "Ada says: What is a river?"
    assert chat.history[1]["content"] == "".join(answer)


def test_a_server_that_ends_is_apologised_for(url: str) -> None:
    server = start_server()
    chat = sk.Chat(f"{server.listening_address}/v1", MODEL, max_tokens=5, timeout_s=60)
    assert sk.Chat.GONE not in list(chat("Hello?", None))
    del server
    gc.collect()
    assert list(chat("Are you still there?", None)) == [sk.Chat.GONE]


def test_it_is_spoken_as_it_comes_and_can_be_interrupted(  # type: ignore[no-untyped-def]
    url: str, loaded, voice, tmp_path
) -> None:
    chat = sk.Chat(url, MODEL, max_tokens=200, timeout_s=60)
    kit = sk.Pipeline(book=tmp_path / "voices.db", respond=chat)

    def said(text: str) -> np.ndarray:
        return change_speed(voice.synthesize(text), 1.35).resample(RATE).samples

    events = []
    with VoiceLoop(kit) as loop:

        def hear(samples: np.ndarray) -> None:
            for start in range(0, len(samples), RATE // 10):
                events.extend(loop.feed((RATE, samples[start : start + RATE // 10])))
                events.extend(loop.settle())

        hear(said("Tell me about the river."))
        for _ in range(100):
            if loop.state == "replying":
                break
            hear(np.zeros(RATE // 10, np.float32))
        hear(np.zeros(RATE // 2, np.float32))
        hear(said("Stop, please. That is quite enough for me."))
    assert any(isinstance(e, ReplyAudio) for e in events)
    assert any(isinstance(e, Interrupted) for e in events)
    assert next(e.interrupted for e in events if isinstance(e, TurnDone))
    sentences = [e.text for e in events if isinstance(e, ReplyText) and e.turn == 1]
    heard = next(m["content"] for m in chat.history if m["role"] == "assistant")
    assert " ".join(sentences).startswith(heard)
