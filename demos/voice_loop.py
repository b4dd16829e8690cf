"""The voice loop as a web page: record or upload a question, hear the answer.

    speechkit demo            # or: python demos/voice_loop.py

Everything runs on this machine; the page itself asks no other host for anything.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio as gr
import numpy as np

import speechkit as sk

MAX_UPLOAD = "25mb"
LIMITS = sk.Limits(seconds=60.0)
KEEP_S = 3600  # seconds that recordings and replies stay in the page's cache
EMPTY_TIMES = [["-", "-"]]


def build(kit: sk.Pipeline) -> gr.Blocks:
    """The page on top of `kit`."""

    def answer(path: str | None) -> tuple[object, ...]:
        if not path:
            raise gr.Error("There is no recording yet: press the microphone, speak, press stop.")
        try:
            turn = kit.talk(path, limits=LIMITS)
        except sk.SpeechkitError as e:
            raise gr.Error(str(e)) from e
        times = [[stage, f"{seconds:.2f}"] for stage, seconds in turn.timings.items()]
        speech = (turn.audio.samples * 32767).astype(np.int16)
        heard = turn.text or "(no words)"
        return heard, turn.speaker or "unknown", turn.reply, (turn.audio.sample_rate, speech), times

    def remember(path: str | None, name: str) -> str:
        if not path:
            raise gr.Error("There is no recording to remember a voice from: record one first.")
        try:
            kit.book.enroll(name, [sk.load_audio(path, limits=LIMITS)])
        except sk.SpeechkitError as e:
            raise gr.Error(str(e)) from e
        return f"I know {', '.join(kit.book.speakers())}."

    def known() -> str:
        names = ", ".join(kit.book.speakers())
        return f"I know {names}." if names else "I know nobody yet."

    with gr.Blocks(
        title="speechkit", analytics_enabled=False, delete_cache=(KEEP_S, KEEP_S)
    ) as page:
        gr.Markdown(
            "# speechkit\nSpeak, and a voice answers. It all runs on this machine, without a cloud."
        )
        with gr.Row():
            with gr.Column():
                question = gr.Audio(
                    sources=["microphone", "upload"], type="filepath", label="Your question"
                )
                ask = gr.Button("Ask", variant="primary", elem_id="ask")
                with gr.Accordion("Make yourself known", open=False):
                    who = gr.Markdown(known)
                    name = gr.Textbox(label="Name", elem_id="name")
                    enroll = gr.Button("This is my voice", elem_id="enroll")
            with gr.Column():
                heard = gr.Textbox(label="What I heard", elem_id="heard")
                speaker = gr.Textbox(label="Who spoke", elem_id="speaker")
                reply = gr.Textbox(label="My answer", elem_id="reply")
                speech = gr.Audio(
                    label="My answer, spoken",
                    autoplay=True,
                    interactive=False,
                    format="wav",
                    elem_id="speech",
                )
                times = gr.Dataframe(
                    EMPTY_TIMES,
                    headers=["stage", "seconds"],
                    label="Where the time went",
                    interactive=False,
                    elem_id="times",
                )
        outputs = [heard, speaker, reply, speech, times]
        ask.click(answer, question, outputs, api_name="answer")
        question.stop_recording(answer, question, outputs, api_name=False)
        enroll.click(remember, [question, name], who, api_name=False)
    page.queue(max_size=16, default_concurrency_limit=1)
    return page


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    engine: str = "reference",
    device: str = "auto",
    book: str | None = None,
    block: bool = True,
) -> str:
    """Load the models and open the page; returns its address once it is closed, or at once.

    Raises:
        InputError: the port is taken.
    """
    kit = sk.Pipeline(engine=engine, device=device, book=book)
    kit.load()
    system_fonts = ["system-ui", "sans-serif"]
    page = build(kit)
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            max_file_size=MAX_UPLOAD,
            share=False,
            footer_links=[],
            theme=gr.themes.Soft(font=system_fonts, font_mono=["monospace"]),
            prevent_thread_lock=not block,
        )
    except OSError as e:
        raise sk.InputError(f"{host}:{port} can't be used: {e}; give another --port") from e
    return str(url)


if __name__ == "__main__":
    serve()
