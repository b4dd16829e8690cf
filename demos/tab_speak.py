"""Speak: a text, spoken as it is made, and how the front end reads it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import gradio as gr
from speechkit.demos.held import Held
from speechkit.demos.shared import (
    Desk,
    asset,
    block,
    hint,
    in_base64,
    kindly,
    one_sentence,
    safely,
)

import speechkit as sk

if TYPE_CHECKING:
    from speechkit.tts.front_end import Sentence

MAX_CHARACTERS = 3000
MOST, IDLE_S = 8, 60.0  # texts that are spoken at once; seconds after which a page is gone
TOO_MANY = "too many texts are spoken at once; try again in a minute"
EXAMPLE = (
    "On 3 May 2024 at 5:30 pm, Dr. Smith read 1,024 pages & paid $12.50. "
    "That's ½ of what the 2nd edition costs!"
)
EMPTY = "Here you will see how the text is read: written out, and in phonemes."


class Speaking:
    """Texts on their way to the pages, each under a key that only its page knows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open: Held[Iterator[sk.Speech]] = Held(MOST, IDLE_S, TOO_MANY)

    def begin(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Start to speak `text` at `speed` with `voice`: its key and rate in Hz."""
        text = _checked(wish.get("text"))
        voice = voice_named(self._desk.models.kit, str(wish.get("voice")))
        key = self._open.add(voice.stream(text, speed=float(wish.get("speed") or 1.0)))
        return {"key": key, "rate": voice.sample_rate}

    def more(self, key: str) -> dict[str, Any]:
        """The next piece, 16-bit integers in base64; nothing when all is spoken."""
        with self._open.use(key) as chunks:
            chunk = next(chunks, None) if chunks else None
        return {"pcm": in_base64(chunk.samples)} if chunk is not None else self.end(key)

    def end(self, key: str) -> dict[str, Any]:
        """Stop; it may be over already."""
        self._open.end(key)
        return {}

    def close(self) -> None:
        """End all, once the pieces that are made right now are done."""
        self._open.close()


def _checked(text: Any) -> str:
    text = str(text or "")
    if not text.strip():
        raise sk.InputError("there is no text yet: write something that can be spoken")
    if len(text) > MAX_CHARACTERS:
        raise sk.InputError(f"the text has {len(text)} characters; shorten it to {MAX_CHARACTERS}")
    return text


def voices_here(kit: sk.Pipeline) -> list[str]:
    """The voices whose weights lie on this machine, the kit's own first."""
    from speechkit import hub

    found = sorted(path.stem for path in (hub.home() / "models").glob("*/*.onnx"))
    return [kit.voice.name, *(name for name in found if name != kit.voice.name)]


def voice_named(kit: sk.Pipeline, name: str) -> sk.Voice:
    """One of `voices_here`; the kit's own for any other name."""
    if name == kit.voice.name or name not in voices_here(kit):
        return kit.voice
    return _load(name)


@lru_cache(maxsize=2)
def _load(name: str) -> sk.Voice:
    return sk.load_tts(name)


def reading(voice: sk.Voice, text: str) -> str:
    """How the front end reads a text: for each sentence what is said, and the sounds of each word."""
    from speechkit.tts.front_end import Pauses

    pieces = voice.front_end.pieces(text, Pauses())
    rows = [_row(sentence) for _, sentence in voice.front_end.sentences(pieces)]
    return f'<ol class="reading">{"".join(rows)}</ol>' if any(rows) else hint(EMPTY)


def _row(sentence: Sentence) -> str:
    words = "".join(
        f"<ruby>{html.escape(word.text)}"
        f"<rt>{html.escape(''.join(sentence.phonemes[word.start : word.stop]).strip())}</rt></ruby> "
        for word in sentence.words
    )
    written = html.escape(sentence.text)
    return f'<li><p class="written">{written}</p><p class="spoken">{words}</p></li>'


def build_speak(desk: Desk) -> tuple[gr.Dropdown, Speaking]:
    """The tab's content; returns the choice of voices, to be filled when the models are there."""
    speaking = Speaking(desk)

    def begin(wish: Any) -> dict[str, Any]:
        return safely(speaking.begin, wish if isinstance(wish, dict) else {})

    def more(key: Any) -> dict[str, Any]:
        return safely(speaking.more, str(key))

    def end(key: Any) -> dict[str, Any]:
        return safely(speaking.end, str(key))

    def read(text: str, voice: str) -> str:
        with one_sentence():
            return reading(voice_named(desk.models.kit, voice), _checked(text))

    with gr.Row():
        with gr.Column():
            text = gr.Textbox(
                EXAMPLE, label="Text", lines=5, max_length=MAX_CHARACTERS, elem_id="text"
            )
            with gr.Row():
                voice = gr.Dropdown(
                    [("default", "")], label="Voice", elem_id="voice", min_width=220
                )
                speed = gr.Slider(
                    0.5, 2.0, 1.0, step=0.05, label="Speed", elem_id="speed", min_width=220
                )
            speak = gr.Button("Speak", variant="primary", elem_id="speak")
            block(
                asset("speak.html"),
                elem_id="spoken",
                js_on_load=asset("sound.js") + asset("speak.js"),
                server_functions=[begin, more, end],
            )
        with gr.Column():
            gr.Markdown("### How it is read")
            shown = block(hint(EMPTY), elem_id="reading")
    speak.click(
        None,
        [text, voice, speed],
        js="""(text, voice, speed) => { document.querySelector("#spoken").dispatchEvent(
            new CustomEvent("speak", { detail: { text, voice, speed } })) }""",
    )
    speak.click(kindly(read, gr.skip()), [text, voice], shown, api_visibility="private")
    return voice, speaking
