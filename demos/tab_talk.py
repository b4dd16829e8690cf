"""Talk: a live conversation. The page sends what its microphone hears and gets what became known.

The page has a microphone and a player of its own (page/sound.js) and calls `begin`, `hear` and `end`
itself: one call at a time, in order, and nothing that is heard is lost or kept in a file.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
from speechkit.demos.shared import Models, asset, block, one_sentence

import speechkit as sk

if TYPE_CHECKING:
    from speechkit.loop import Event, VoiceLoop
    from speechkit.respond import Responder

MOST = 4  # conversations at once
IDLE_S = 10.0  # a page that sends nothing for so long is gone
MAX_PIECE_S, RATES = 10.0, range(8_000, 192_001)  # of one call; Hz
LEAD_S = 0.4  # how far ahead of the ear the page gets the reply: the network may stall so long
HERE = ("127.0.0.1", "localhost", "::1")  # where a language model may be asked
TOO_MANY = "too many conversations at once; try again when somebody has finished"
GONE = "the conversation has ended, because nothing was heard from your page; press Talk again"
BAD_PIECE = "the page sent something that is no sound; reload it"


@dataclass
class _Conversation:
    loop: VoiceLoop
    lock: threading.Lock = field(default_factory=threading.Lock)
    heard_at: float = field(default_factory=time.monotonic)
    pieces: int = 0  # of the reply, handed out so far


class Conversations:
    """The voice loops of all open pages, each under a key that only its page knows."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._open: dict[str, _Conversation] = {}
        self._changing = threading.Lock()

    def begin(self, wish: dict[str, Any]) -> dict[str, Any]:
        """A new conversation.

        Args:
            wish: `respond` ("tutor", "echo" or "chat", this one with `url` and `model`) and
                `only_enrolled`.

        Returns:
            Its key, and the rate of its voice in Hz.
        """
        from speechkit.loop import TurnTaking, VoiceLoop

        kit = self._models.kit
        # The page itself makes the reply softer: it has received some of it already.
        taking = TurnTaking(lead=LEAD_S, softer=1.0)
        loop = VoiceLoop(
            kit,
            respond=self._responder(wish),
            only_enrolled=bool(wish.get("only_enrolled")),
            turn_taking=taking,
        )
        key = secrets.token_urlsafe()
        with self._changing:
            if len(self._open) >= MOST:
                raise sk.InputError(TOO_MANY)
            self._open[key] = _Conversation(loop)
            if len(self._open) == 1:
                threading.Thread(target=self._watch, name="speechkit-talk", daemon=True).start()
        return {"key": key, "rate": kit.voice.sample_rate}

    def hear(self, piece: dict[str, Any]) -> dict[str, Any]:
        """The next piece of what the microphone hears: `key`, `rate` in Hz, and `pcm`.

        `pcm` is 16-bit integers, little-endian, in base64. Returns what became known.
        """
        conversation = self._open.get(str(piece.get("key")))
        if conversation is None:
            raise sk.InputError(GONE)
        frame = _frame(piece)
        with conversation.lock:
            conversation.heard_at = time.monotonic()
            events = conversation.loop.feed(frame)
            return {"events": [_told(event, conversation) for event in events]}

    def end(self, key: str) -> dict[str, Any]:
        """Close a conversation; it may be closed already."""
        with self._changing:
            conversation = self._open.pop(key, None)
        if conversation:
            with conversation.lock:
                conversation.loop.close()
        return {}

    def close(self) -> None:
        """End all."""
        for key in list(self._open):
            self.end(key)

    def _watch(self) -> None:
        """End the conversations of pages that are gone, until there is none."""
        while True:
            time.sleep(1.0)
            late = time.monotonic() - IDLE_S
            for key in [key for key, one in list(self._open.items()) if one.heard_at < late]:
                self.end(key)
            with self._changing:
                if not self._open:
                    return

    def _responder(self, wish: dict[str, Any]) -> Responder:
        from speechkit.respond import Chat, Echo

        name = wish.get("respond")
        if name == "echo":
            return Echo()
        if name == "chat":
            url = str(wish.get("url", "")).strip()
            if not _is_here(url):
                raise sk.InputError(
                    "a language model is asked on this machine only; "
                    "give an address such as http://127.0.0.1:8080/v1"
                )
            return Chat(url, str(wish.get("model") or "default"))
        return self._models.tutor


def _is_here(url: str) -> bool:
    try:
        return urlsplit(url).hostname in HERE
    except ValueError:  # no address at all
        return False


def _frame(piece: dict[str, Any]) -> tuple[int, np.ndarray]:
    """What the page sent as (rate in Hz, samples)."""
    rate, pcm = piece.get("rate"), piece.get("pcm")
    try:
        if rate not in RATES:
            raise ValueError
        samples = np.frombuffer(base64.b64decode(str(pcm), validate=True), "<i2")
    except (TypeError, ValueError, binascii.Error) as e:
        raise sk.InputError(BAD_PIECE) from e
    if len(samples) > MAX_PIECE_S * rate:
        raise sk.InputError("the page can't keep up with its microphone; press Talk again")
    return rate, samples


def _told(event: Event, conversation: _Conversation) -> dict[str, Any]:
    """An event for the page: its kind and its fields, audio as 16-bit integers in base64."""
    told = {f.name: getattr(event, f.name) for f in fields(event) if f.name != "audio"}
    told["kind"] = type(event).__name__
    audio = getattr(event, "audio", None)
    if audio is not None:
        pcm = np.rint(audio.samples * 32767).astype("<i2").tobytes()
        told |= {"rate": audio.sample_rate, "pcm": base64.b64encode(pcm).decode()}
        told["number"] = conversation.pieces
        conversation.pieces += 1
    return told


def safely(call: Callable[..., dict[str, Any]], given: Any) -> dict[str, Any]:
    """A call of the page: its answer, or {"error": one sentence}."""
    try:
        with one_sentence():
            return call(given)
    except gr.Error as e:
        return {"error": e.message}


def build_talk(models: Models) -> Conversations:
    """The tab's content."""
    conversations = Conversations(models)

    # Gradio lets the page call plain functions only.
    def begin(wish: Any) -> dict[str, Any]:
        return safely(conversations.begin, wish if isinstance(wish, dict) else {})

    def hear(piece: Any) -> dict[str, Any]:
        return safely(conversations.hear, piece if isinstance(piece, dict) else {})

    def end(key: Any) -> dict[str, Any]:
        return safely(conversations.end, str(key))

    block(
        asset("talk.html"),
        elem_id="talk",
        js_on_load=asset("sound.js") + asset("talk.js"),
        server_functions=[begin, hear, end],
    )
    return conversations
