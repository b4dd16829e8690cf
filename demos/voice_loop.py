"""The voice loop as a web page: record or upload a question, hear the answer.

    speechkit demo            # or: python demos/voice_loop.py

Everything runs on this machine; the page asks no other host for anything. Recordings and replies
lie in a folder of their own, which is removed when the page is closed.
"""

from __future__ import annotations

import contextlib
import html
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Gradio reads these when it is imported. Its own cache is one folder that all users share.
CACHE = tempfile.TemporaryDirectory(prefix="speechkit-demo-")
os.environ.setdefault("GRADIO_TEMP_DIR", CACHE.name)
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr  # noqa: E402
import numpy as np  # noqa: E402

import speechkit as sk  # noqa: E402

log = logging.getLogger("speechkit")

MAX_UPLOAD = "25mb"
LIMITS = sk.Limits(seconds=60.0)
KEEP_S = 3600  # seconds that recordings and replies are kept at most while the page is open
STRANGER = "someone I don't know yet"
INTRODUCTION = """# speechkit
Press **Record**, ask something, press **Stop**: a voice answers. All of it runs on this machine;
nothing you say leaves it."""
TO_BE_KNOWN = """Record or upload something first, then write your name here. From then on I'll know
your voice. To be forgotten, run `speechkit forget NAME` in a terminal."""

Answer = tuple[str, str, str, tuple[int, np.ndarray], str]


def build(kit: sk.Pipeline) -> gr.Blocks:
    """The page on top of `kit`."""

    def answer(path: str | None) -> Answer:
        """What was heard, who spoke, the answer, the answer as audio, and the seconds it took."""
        with _told(path):
            turn = kit.talk(str(path), limits=LIMITS)
        # As 16 bits it is kept as it is; floats would be scaled up to full volume.
        speech = np.rint(turn.audio.samples * 32767).astype(np.int16)
        stages = ", ".join(f"{name} {s:.2f}" for name, s in turn.timings.items() if s >= 0.005)
        times = f"This took {sum(turn.timings.values()):.1f} seconds: {stages}."
        heard = turn.text or "(no words)"
        return heard, turn.speaker or STRANGER, turn.reply, (turn.audio.sample_rate, speech), times

    def remember(path: str | None, name: str) -> str:
        with _told(path):
            kit.book.enroll(name, [sk.load_audio(str(path), limits=LIMITS)])
        return known()

    def known() -> str:
        return ", ".join(kit.book.speakers()) or "nobody yet"

    with gr.Blocks(title="speechkit", analytics_enabled=False, delete_cache=(600, KEEP_S)) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column():
                question = gr.Audio(
                    sources=["microphone", "upload"],
                    type="filepath",
                    label="Your question",
                    editable=False,
                    buttons=[],  # by default one of them shares the recording on the web
                    elem_id="question",
                )
                ask = gr.Button("Ask again", variant="primary", elem_id="ask")
                with gr.Accordion("Let me know your voice", open=False, elem_id="known"):
                    gr.Markdown(TO_BE_KNOWN)
                    name = gr.Textbox(label="Your name", max_length=80, elem_id="name")
                    enroll = gr.Button("This is my voice", elem_id="enroll")
                    who = gr.Textbox(known, label="Voices I know", interactive=False, elem_id="who")
            with gr.Column():
                heard = gr.Textbox(label="What I heard", interactive=False, elem_id="heard")
                speaker = gr.Textbox(label="Who spoke", interactive=False, elem_id="speaker")
                reply = gr.Textbox(label="My answer", interactive=False, elem_id="reply")
                speech = gr.Audio(
                    label="My answer, spoken",
                    autoplay=True,
                    interactive=False,
                    format="wav",
                    buttons=["download"],
                    waveform_options=gr.WaveformOptions(show_recording_waveform=False),
                    elem_id="speech",
                )
                times = gr.Markdown(elem_id="times")
        gr.on(  # one event with three triggers: a second one while it runs does nothing
            [question.stop_recording, question.upload, ask.click],
            answer,
            question,
            [heard, speaker, reply, speech, times],
            api_name="answer",
            trigger_mode="once",
            show_progress_on=heard,
            concurrency_id="models",
        )
        gr.on(
            [enroll.click, name.submit],
            remember,
            [question, name],
            who,
            api_visibility="private",
            trigger_mode="once",
            concurrency_id="models",
        )
    page.queue(max_size=16, default_concurrency_limit=1)
    return page


@contextlib.contextmanager
def _told(path: str | None) -> Iterator[None]:
    """Say on the page what is wrong with the recording at `path`, without a traceback."""
    if not path:
        raise _Note("There is no recording yet: press Record, speak, then press Stop.")
    try:
        yield
    except sk.SpeechkitError as e:
        # The folder is of no interest to the reader, nor is what a programmer could change.
        text = str(e).replace(str(path), Path(path).name).replace(" or raise Limits.seconds", "")
        raise _Note(text) from e


class _Note(gr.Error):
    def __init__(self, text: str) -> None:
        title = "That didn't work"
        super().__init__(html.escape(text, quote=False), title=title, print_exception=False)


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    engine: str = "reference",
    device: str = "auto",
    book: str | None = None,
    block: bool = True,
) -> str:
    """Load the models and open the page; returns its address once it is closed, or at once.

    Args:
        host: address to listen on; only "127.0.0.1" keeps the page to this machine.
        port: 0 takes a free one.
        engine, device, book: as `Pipeline` takes them.
        block: wait until Ctrl-C or SIGTERM closes the page (in the main thread only).

    Raises:
        InputError: the address or the port can't be used.
        WeightsError: weights that can't be had.
    """
    port = _free_port(host, port)  # before the models load, which takes a while
    log.info("loading the models ...")
    kit = sk.Pipeline(engine=engine, device=device, book=book)
    kit.load()
    page = build(kit)
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            max_file_size=MAX_UPLOAD,
            share=False,
            ssr_mode=False,
            quiet=True,
            footer_links=[],
            theme=gr.themes.Default(
                primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"]
            ),
            prevent_thread_lock=True,
        )
    except OSError as e:
        raise sk.InputError(f"{host}:{port} can't be used: {e}; give another --port") from e
    log.info("open %s in a browser; Ctrl-C ends it", url)
    if block:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            while page.is_running:
                time.sleep(0.2)
        page.close(verbose=False)
    return str(url)


def _free_port(host: str, port: int) -> int:
    """`port` if it can be listened on, or any such port for 0; InputError otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as server:
            return int(server.getsockname()[1])
    except (OSError, OverflowError) as e:
        fault = getattr(e, "strerror", None) or e
        raise sk.InputError(f"{host}:{port} can't be used: {fault}; give another --port") from e


if __name__ == "__main__":
    from speechkit.cli import main

    sys.exit(main(["demo", *sys.argv[1:]]))
