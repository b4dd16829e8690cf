"""The voice loop as a web page: talk to it, and see what the models make of your recordings.

    speechkit demo            # or: python demos/voice_loop.py

It all runs on this machine. Recordings are deleted when their page is closed, and when the program ends.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import html
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from speechkit.demos import shared  # isort: skip  sets what Gradio reads when it is imported

import gradio as gr
from speechkit.demos.body_limit import BodyLimit
from speechkit.demos.shared import BUSY, LIMITS, MAX_UPLOAD, STRANGER, Desk, Models, whole
from speechkit.demos.tab_look import build_look
from speechkit.demos.tab_speak import build_speak, voices_here
from speechkit.demos.tab_talk import build_talk
from speechkit.demos.tab_transcribe import ANY, build_transcribe, languages
from speechkit.demos.tab_voices import build_voices
from starlette.middleware import Middleware

import speechkit as sk

log = logging.getLogger("speechkit")

PATIENCE_S = 20  # for work that is under way at the end
LOOPBACK = "127.0.0.1,localhost,::1"
KEEP_S = 3600  # seconds that recordings are kept at most while their page is open
TITLE = """<header class="title"><h1>speechkit</h1>
<p>Hear, speak, know voices: all on this machine. Nothing you say leaves it.</p></header>"""


def build(models: Models) -> tuple[gr.Blocks, Callable[[], None]]:
    """The page on top of `models`, with the endpoint /answer for programs; and what closes it."""
    desk = Desk(models)

    def answer(request: gr.Request, path: str | None) -> tuple[str, str, str, tuple[int, Any], str]:
        """What was heard, who spoke, the answer, the answer as audio, and the seconds it took."""
        with desk.kit(request, path) as kit:
            turn = kit.talk(str(path), limits=LIMITS)
        # As 16 bits it is kept as it is; floats would be scaled up to full volume.
        speech = turn.audio.sample_rate, whole(turn.audio.samples)
        stages = ", ".join(f"{name} {s:.2f}" for name, s in turn.timings.items() if s >= 0.005)
        times = f"This took {sum(turn.timings.values()):.1f} seconds: {stages}."
        return turn.text or "(no words)", turn.speaker or STRANGER, turn.reply, speech, times

    with gr.Blocks(title="speechkit", analytics_enabled=False, delete_cache=(600, KEEP_S)) as page:
        shared.block(TITLE)
        notice = shared.block(_notice(models), elem_id="notice")
        with gr.Tabs():
            with gr.Tab("Talk"):
                conversations = build_talk(models)
            with gr.Tab("Transcribe"):
                language = build_transcribe(desk)
            with gr.Tab("Speak"):
                voice, speaking = build_speak(desk)
            with gr.Tab("Voices"):
                lists, known = build_voices(desk)
            with gr.Tab("Look inside"):
                build_look(desk)

        async def tell() -> AsyncIterator[str]:
            """The notice, until there is nothing to say."""
            while (text := _notice(models)) and not models.fault:
                yield text
                await asyncio.sleep(0.3)
            yield text

        def fill() -> tuple[Any, ...]:
            """The choices, once the models are there; without them the notice says why."""
            try:
                kit = models.kit
            except sk.SpeechkitError:
                return (gr.skip(),) * (2 + len(lists))
            names = voices_here(kit)
            return (
                gr.Dropdown(choices=[(ANY, ANY), *languages(kit)], value=ANY),
                gr.Dropdown(choices=names, value=names[0]),
                *known(kit),
            )

        unlimited: Any = {"concurrency_limit": None, "api_visibility": "private"}
        page.load(tell, None, notice, show_progress="hidden", **unlimited)
        page.load(fill, None, [language, voice, *lists], show_progress="hidden", **unlimited)
        page.unload(desk.forget)
        # For programs, which get errors where readers get notes.
        question = gr.Audio(type="filepath", visible=False)
        told = [gr.Textbox(visible=False) for _ in range(3)]
        said, times = gr.Audio(format="wav", visible=False), gr.Textbox(visible=False)
        program = gr.Button(visible=False)
        program.click(answer, question, [*told, said, times], api_name="answer")

    def close() -> None:
        conversations.close()
        speaking.close()

    return page.queue(max_size=16), close


def _notice(models: Models) -> str:
    text = html.escape(models.notice, quote=False)
    kind = "fault" if models.fault else "wait"
    return f'<p class="notice {kind}" role="status">{text}</p>' if text else ""


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    engine: str = "fast",
    device: str = "auto",
    book: str | None = None,
    block: bool = True,
) -> str:
    """Open the page, and load the models behind it; returns its address once it is closed, or at once.

    Args:
        host, port: to listen on; only "127.0.0.1" keeps to this machine, port 0 takes a free one.
        engine, device, book: as `Pipeline` takes them.
        block: wait until Ctrl-C or SIGTERM closes the page (in the main thread only).

    Raises:
        InputError: the address can't be used.
        WeightsError: weights can't be had; with `block` only, the page says it otherwise.
    """
    if block:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    port = _free_port(host, port)
    models = Models(lambda: sk.Pipeline(engine=engine, device=device, book=book))
    page, close = build(models)
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks its own address whether it is up
        os.environ[name] = ",".join([*filter(None, [os.environ.get(name)]), LOOPBACK])
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        max_file_size=MAX_UPLOAD,
        share=False,
        quiet=True,
        footer_links=[],
        theme=_theme(),
        css=shared.asset("style.css"),
        app_kwargs={"middleware": [Middleware(BodyLimit)]},
        prevent_thread_lock=True,
    )
    log.info("open %s in a browser; Ctrl-C ends it", url)
    models.start()
    if not block:
        atexit.register(close)
        return str(url)
    with contextlib.suppress(KeyboardInterrupt):
        while page.is_running and not models.fault:
            time.sleep(0.2)
    log.info("ending ...")
    fault = models.fault
    models.give_up()
    page.close(verbose=False)
    close()
    # Work that is under way ends first: models can't be torn down in its midst.
    if BUSY.acquire(timeout=PATIENCE_S):
        BUSY.release()
        models.join(PATIENCE_S)
    if fault:
        raise fault
    return str(url)


def _theme() -> gr.themes.Base:
    fonts = ("system-ui", "sans-serif")
    theme = gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=fonts,
        font_mono=("ui-monospace", "monospace"),
    )
    # A little darker than by default, so that they can be read.
    return theme.set(
        body_text_color_subdued="*neutral_500",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )


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
