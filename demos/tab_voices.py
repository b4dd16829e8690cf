"""Voices: remember a voice, ask who speaks, compare two recordings, forget, a map of all."""

from __future__ import annotations

import base64
import html
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
from speechkit.demos.shared import LIMITS, Desk, block, hint, kindly, microphone

import speechkit as sk

NOBODY = "Nobody is known yet. Record a few sentences, write a name, and press Remember."
NO_RESULT = "Here you will see whose voice it is, and how sure that is."
NO_MAP = "A map needs at least 4 remembered recordings."


def build_voices(desk: Desk) -> tuple[list[Any], Any]:
    """The tab's content; returns outputs, and what fills them when the models are there."""

    def known(kit: sk.Pipeline) -> tuple[Any, str]:
        """The choice of whom to forget, and the list of all."""
        speakers = kit.book.speakers()
        return gr.Dropdown(choices=list(speakers), value=None), _list(speakers)

    def remember(request: gr.Request, path: str | None, name: str) -> tuple[Any, str, str]:
        with desk.kit(request, path) as kit:
            kit.book.enroll(name[:80], [sk.load_audio(str(path), limits=LIMITS)])
            said = f"I remember this recording as {name.strip()[:80]}'s voice."
            return *known(kit), hint(said)

    def note(request: gr.Request, path: str | None) -> None:
        desk.note(request, path)

    def identify(request: gr.Request, path: str | None) -> str:
        with desk.kit(request, path) as kit:
            match = kit.book.match(sk.load_audio(str(path), limits=LIMITS))
            if match.nearest is None:
                return hint(NOBODY)
            who = match.name or "Somebody I don't know"
            about = f"Nearest is {match.nearest}"
            if match.runner_up is not None:
                about += f", then {match.runner_up}, {match.margin:.2f} behind"
            return _score(f"{who}.", match.score, match.threshold, f"{about}.")

    def compare(request: gr.Request, a: str | None, b: str | None) -> str:
        with desk.kit(request, a, b) as kit:
            found = kit.encoder.verify(
                sk.load_audio(str(a), limits=LIMITS), sk.load_audio(str(b), limits=LIMITS)
            )
            said = "One and the same voice." if found.same else "Two different voices."
            about = (
                f"Probability of one speaker: {found.probability:.1%}, where both were as likely "
                "before. The threshold is strict: one pair of strangers in a hundred reaches it."
            )
            return _score(said, found.score, found.threshold, about)

    def forget(name: str | None) -> tuple[Any, str, str]:
        with desk.kit(None) as kit:
            if not name:
                raise sk.InputError("nobody is chosen: choose whom to forget first")
            kit.book.forget(name)
            return *known(kit), hint(f"{name} is forgotten.")

    def draw() -> str:
        with desk.kit(None) as kit:
            return _map(kit)

    with gr.Row():
        with gr.Column():
            first = microphone("A recording", "first")
            with gr.Row():
                who = gr.Button("Who is it?", variant="primary", elem_id="identify")
            name = gr.Textbox(label="Whose voice is it?", max_length=80, elem_id="name")
            add = gr.Button("Remember", elem_id="enroll")
        with gr.Column():
            second = microphone("Another recording, to compare", "second")
            same = gr.Button("The same voice?", variant="primary", elem_id="verify")
            result = block(hint(NO_RESULT), elem_id="result")
    with gr.Row():
        with gr.Column():
            gr.Markdown("### Voices I know")
            people = block(hint(NOBODY), elem_id="known")
            gone = gr.Dropdown([], label="Forget a voice", elem_id="gone")
            remove = gr.Button("Forget", elem_id="forget")
        with gr.Column():
            gr.Markdown("### Map of voices")
            plot = block(hint(NO_MAP), elem_id="map")
            show = gr.Button("Draw the map", elem_id="draw")

    quiet: Any = {"trigger_mode": "once", "api_visibility": "private"}
    lists = [gone, people]
    on_result: Any = {**quiet, "show_progress_on": result}
    blank = (gr.skip(), gr.skip(), gr.skip())
    gr.on(
        [add.click, name.submit],
        kindly(remember, blank),
        [first, name],
        [*lists, result],
        **on_result,
    )
    for recording in (first, second):
        gr.on([recording.stop_recording, recording.upload], note, recording, None, **quiet)
    who.click(kindly(identify, gr.skip()), first, result, **on_result)
    same.click(kindly(compare, gr.skip()), [first, second], result, **on_result)
    remove.click(kindly(forget, blank), gone, [*lists, result], **on_result)
    show.click(kindly(draw, gr.skip()), None, plot, **quiet, show_progress_on=plot)
    return lists, known


def _list(speakers: dict[str, int]) -> str:
    if not speakers:
        return hint(NOBODY)
    rows = "".join(
        f"<li><span>{html.escape(name)}</span> <small>{count} "
        f"recording{'s' if count > 1 else ''}</small></li>"
        for name, count in speakers.items()
    )
    return f'<ul class="people">{rows}</ul>'


def _score(said: str, score: float, threshold: float, about: str) -> str:
    """A verdict, and a scale from -1 to 1 with the score and the threshold."""
    at, limit = (50 * (1 + value) for value in (score, threshold))
    side = "above" if score >= threshold else "below"
    return (
        f'<div class="verdict {side}"><p class="said">{html.escape(said)}</p>'
        f'<div class="scale" role="img" aria-label="score {score:.2f}, threshold {threshold:.2f}">'
        f'<span class="mark" style="left:{at:.1f}%"></span>'
        f'<span class="limit" style="left:{limit:.1f}%"></span></div>'
        f"<p>Score {score:.2f}, {side} the threshold of {threshold:.2f}.</p>"
        f'<p class="hint">{html.escape(about)}</p></div>'
    )


def _map(kit: sk.Pipeline) -> str:
    from speechkit.speaker.plots import draw_map

    with tempfile.TemporaryDirectory() as folder:
        path = draw_map(kit.book.embeddings(), Path(folder) / "map.png")
        data = base64.b64encode(path.read_bytes()).decode()
    about = "One point for each recording. Points near each other sound alike; far ones say little."
    return (
        f'<figure class="picture paper"><img src="data:image/png;base64,{data}" '
        f'alt="Map of voices. {about}"><figcaption>{about}</figcaption></figure>'
    )
