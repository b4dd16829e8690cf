"""The voice loop as a web page: record or upload a question, hear the answer.

    speechkit demo            # or: python demos/voice_loop.py

It all runs on this machine, and recordings and replies are deleted when the program ends.
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
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Gradio reads these when it is imported. Its own cache is one folder that all users share.
CACHE = tempfile.TemporaryDirectory(prefix="speechkit-demo-")
os.environ["GRADIO_TEMP_DIR"] = CACHE.name
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr  # noqa: E402
import numpy as np  # noqa: E402

import speechkit as sk  # noqa: E402

log = logging.getLogger("speechkit")
BUSY = threading.Lock()

LOOPBACK = "127.0.0.1,localhost,::1"
MAX_UPLOAD, LIMITS = "25mb", sk.Limits(seconds=60.0)
KEEP_S = 3600  # seconds that recordings and replies are kept at most while the page is open
NO_ANSWER = ("", "", "", None, "")
STRANGER = "someone I don't know yet"
INTRODUCTION = """# speechkit
Press **Record**, ask something, press **Stop**: a voice answers. All of it runs on this machine;
nothing you say leaves it."""
TO_BE_KNOWN = """Record or upload something first, then write your name here. From then on I'll know
your voice. To be forgotten, run `speechkit forget NAME` in a terminal."""


def build(kit: sk.Pipeline) -> gr.Blocks:
    """The page on top of `kit`, and the endpoint /answer for programs."""

    def answer(path: str | None) -> tuple[str, str, str, tuple[int, np.ndarray], str]:
        """What was heard, who spoke, the answer, the answer as audio, and the seconds it took."""
        with _models_for(path):
            turn = kit.talk(str(path), limits=LIMITS)
        # As 16 bits it is kept as it is; floats would be scaled up to full volume.
        speech = turn.audio.sample_rate, np.rint(turn.audio.samples * 32767).astype(np.int16)
        stages = ", ".join(f"{name} {s:.2f}" for name, s in turn.timings.items() if s >= 0.005)
        times = f"This took {sum(turn.timings.values()):.1f} seconds: {stages}."
        return turn.text or "(no words)", turn.speaker or STRANGER, turn.reply, speech, times

    def remember(path: str | None, name: str) -> str:
        with _models_for(path):
            kit.book.enroll(name[:80], [sk.load_audio(str(path), limits=LIMITS)])
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
                ask = gr.Button("Ask again", elem_id="ask")
                with gr.Accordion("Tell me who you are", open=False, elem_id="known"):
                    gr.Markdown(TO_BE_KNOWN)
                    name = gr.Textbox(label="Your name", max_length=80, elem_id="name")
                    add = gr.Button("This is my voice", elem_id="enroll")
                    who = gr.Textbox(label="Voices I know", interactive=False, elem_id="who")
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
                times = gr.Markdown(label="Times", elem_id="times")
        shown = [heard, speaker, reply, speech, times]
        page.load(known, None, who, api_visibility="private")
        # Each is one event with several triggers, of which one while it runs does nothing.
        once: Any = {"trigger_mode": "once", "api_visibility": "private"}
        asked = [question.stop_recording, question.upload, ask.click]
        gr.on(asked, _kindly(answer, NO_ANSWER), question, shown, show_progress_on=heard, **once)
        gr.on([add.click, name.submit], _kindly(remember, gr.skip()), [question, name], who, **once)
        program = gr.Button(visible=False)  # programs get errors where readers get notes
        program.click(answer, question, shown, api_name="answer")
    return page.queue(max_size=16)


@contextlib.contextmanager
def _models_for(path: str | None) -> Iterator[None]:
    """Use the models alone; make a gr.Error of one plain sentence of what is wrong with `path`."""
    try:
        if not path:
            raise sk.InputError("there is no recording yet: press Record, speak, then press Stop")
        with BUSY:
            yield
    except sk.SpeechkitError as e:
        # The folder is of no interest to the reader, nor is what a programmer could change.
        text = str(e).replace(str(path), Path(str(path)).name).split(" or raise Limits")[0]
        raise gr.Error(text, print_exception=False) from e


def _kindly(event: Callable[..., Any], blank: Any) -> Callable[..., Any]:
    """`event` for the page: instead of a gr.Error, a note to the reader and `blank` outputs."""

    def kindly(*args: Any) -> Any:
        try:
            return event(*args)
        except gr.Error as e:
            gr.Warning(html.escape(e.message, quote=False))
            return blank

    return kindly


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    engine: str = "fast",
    device: str = "auto",
    book: str | None = None,
    block: bool = True,
) -> str:
    """Load the models and open the page; returns its address once it is closed, or at once.

    Args:
        host, port: to listen on; only "127.0.0.1" keeps to this machine, port 0 takes a free one.
        engine, device, book: as `Pipeline` takes them.
        block: wait until Ctrl-C or SIGTERM closes the page (in the main thread only).

    Raises:
        InputError, WeightsError: the address can't be used, or weights can't be had.
    """
    if block:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    port = _free_port(host, port)  # before the models load, which takes a while
    log.info("loading the models ...")
    kit = sk.Pipeline(engine=engine, device=device, book=book)
    kit.load()
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks its own address whether it is up
        os.environ[name] = ",".join([*filter(None, [os.environ.get(name)]), LOOPBACK])
    page, fonts = build(kit), ("system-ui", "sans-serif")
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        max_file_size=MAX_UPLOAD,
        share=False,
        quiet=True,
        footer_links=[],
        theme=gr.themes.Default(primary_hue="indigo", neutral_hue="slate", font=fonts),
        prevent_thread_lock=True,
    )
    log.info("open %s in a browser; Ctrl-C ends it", url)
    if block:
        with contextlib.suppress(KeyboardInterrupt):
            while page.is_running:
                time.sleep(0.2)
        page.close(verbose=False)
        with BUSY:  # a turn that is under way ends first: models can't be torn down in its midst
            pass
    return str(url)


def _free_port(host: str, port: int) -> int:
    """`port` if it can be listened on, or any such port for 0; InputError otherwise."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as server:
            return int(server.getsockname()[1])
    except (OSError, OverflowError) as e:
        fault = str(getattr(e, "strerror", None) or e).split(" (")[0].rstrip(".")
        raise sk.InputError(f"{host}:{port} can't be used: {fault}; give another --port") from e


if __name__ == "__main__":
    from speechkit.cli import main

    sys.exit(main(["demo", *sys.argv[1:]]))
