"""Talk: a live conversation. The page sends what its microphone hears and gets what became known.

The page has a microphone and a player of its own (page/sound.js) and calls `begin`, `hear` and `end`
itself: one call at a time, in order, and nothing that is heard is lost or kept in a file.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from speechkit.demos.held import Held
from speechkit.demos.shared import Models, asset, block, in_base64, safely

import speechkit as sk

if TYPE_CHECKING:
    from speechkit.loop import Event, VoiceLoop
    from speechkit.respond import Responder

MOST = 4  # conversations at once
IDLE_S = 10.0  # a page that sends nothing for so long is gone
MAX_PIECE_S, RATES = 10.0, range(8_000, 192_001)  # of one call; Hz
LEAD_S = 0.4  # how far ahead of the ear the page gets the reply: the network may stall so long
MAX_WISH = 200  # characters of what stands in Settings
HERE = ("127.0.0.1", "localhost", "::1")  # where a language model may be asked
TOO_MANY = "too many conversations at once; try again when somebody has finished"
GONE = "the conversation has ended, because nothing was heard from your page; press Talk again"
LATE = "the page can't keep up with its microphone; press Talk again"
BAD_PIECE = "the page sent something that is no sound; reload it"


class Conversations:
    """The voice loops of all open pages."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._open: Held[VoiceLoop] = Held(MOST, IDLE_S, TOO_MANY, lambda loop: loop.close())

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
        return {"key": self._open.add(loop), "rate": kit.voice.sample_rate}

    def hear(self, piece: dict[str, Any]) -> dict[str, Any]:
        """The next piece of what the microphone hears: `key`, `rate` in Hz, and `pcm`.

        `pcm` is 16-bit integers, little-endian, in base64. Returns what became known.
        """
        with self._open.use(str(piece.get("key"))) as loop:
            if loop is None:
                raise sk.InputError(GONE)
            return {"events": [_told(event) for event in loop.feed(_frame(piece))]}

    def end(self, key: str) -> dict[str, Any]:
        """Close a conversation; it may be closed already."""
        self._open.end(key)
        return {}

    def close(self) -> None:
        """End all."""
        self._open.close()

    def _responder(self, wish: dict[str, Any]) -> Responder:
        from speechkit.respond import Chat, Echo

        name = wish.get("respond")
        if name == "echo":
            return Echo()
        if name == "chat":
            url, model = (_short(str(wish.get(name) or "").strip()) for name in ("url", "model"))
            if not _is_here(url):
                raise sk.InputError(
                    "a language model is asked on this machine only; "
                    "give an address such as http://127.0.0.1:8080/v1"
                )
            return Chat(url, model or "default")
        return self._models.tutor


def _short(text: str) -> str:
    if len(text) > MAX_WISH:
        raise sk.InputError(f"an address or a name has at most {MAX_WISH} characters; shorten it")
    return text


def _is_here(url: str) -> bool:
    try:
        return urlsplit(url).hostname in HERE
    except ValueError:  # no address at all
        return False


def _frame(piece: dict[str, Any]) -> tuple[int, np.ndarray]:
    """What the page sent as (rate in Hz, samples)."""
    rate, pcm = piece.get("rate"), piece.get("pcm")
    if not isinstance(rate, int) or rate not in RATES or not isinstance(pcm, str):
        raise sk.InputError(BAD_PIECE)
    if len(pcm) > 4 * math.ceil(2 * MAX_PIECE_S * rate / 3):  # 4 characters for 3 bytes
        raise sk.InputError(LATE)
    try:
        return rate, np.frombuffer(base64.b64decode(pcm, validate=True), "<i2")
    except (ValueError, binascii.Error) as e:
        raise sk.InputError(BAD_PIECE) from e


def _told(event: Event) -> dict[str, Any]:
    """An event for the page: its kind and its fields, audio as 16-bit integers in base64."""
    told = {f.name: getattr(event, f.name) for f in fields(event) if f.name != "audio"}
    told["kind"] = type(event).__name__
    audio = getattr(event, "audio", None)
    if audio is not None:
        told |= {"rate": audio.sample_rate, "pcm": in_base64(audio.samples)}
    return told


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
