"""What the tabs of the demo share: the models, one sentence for each error, the files of a page."""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import io
import logging
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

import speechkit as sk

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from speechkit.respond import Responder

log = logging.getLogger("speechkit")
BUSY = threading.Lock()  # held while the models work on a recording, or load

MAX_UPLOAD, LIMITS = "25mb", sk.Limits(seconds=60.0)
STRANGER = "someone I don't know yet"
NOTHING_YET = "there is no recording yet: press Record, speak, then press Stop"
ENDING = "the program is ending"
FAULT = "something went wrong here; the terminal says what"
LOADING = "The models are loading. The first time they are fetched, which takes some minutes."
READING = "The tutor is reading its documents. All else is ready."
_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[/\\](?:[^/\\:;,'\"\n]+[/\\])+")


class Models:
    """The models behind the page. They load in a thread; who needs them waits.

    Attributes:
        fault: why they can't be had.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        """`make` gives the `Pipeline`; it is called in the thread, so the page is there at once."""
        self.fault: sk.SpeechkitError | None = None
        self._make, self._kit, self._tutor = make, None, None
        self._tutor_fault: sk.SpeechkitError | None = None
        self._have_kit, self._have_all = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._load, name="speechkit-models", daemon=True)

    def start(self) -> Models:
        """Begin to load."""
        self._thread.start()
        return self

    def give_up(self) -> None:
        """Nobody gets the models any more; who waits for them need not."""
        self.fault = self.fault or sk.SpeechkitError(ENDING)
        self._have_kit.set()
        self._have_all.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread: a process can't end well while it loads a model."""
        self._thread.join(seconds)

    @property
    def notice(self) -> str:
        """What readers should know, or nothing."""
        if self.fault:
            return plain(self.fault)
        if not self._have_kit.is_set():
            return LOADING
        return "" if self._have_all.is_set() else READING

    @property
    def kit(self) -> sk.Pipeline:
        """The models, once they are loaded; raises `fault`."""
        self._have_kit.wait()
        if self.fault:
            raise self.fault
        return self._kit

    @property
    def tutor(self) -> Responder:
        """The one tutor of all pages: it remembers nothing."""
        self._have_all.wait()
        if fault := self.fault or self._tutor_fault:
            raise fault
        return self._tutor

    def _load(self) -> None:
        try:
            with BUSY:
                for _ in self._steps():
                    if self.fault:  # it was given up meanwhile
                        break
        except Exception as e:
            self.fault = _as_speechkit_error(e)
        self._have_kit.set()
        try:
            if not self.fault:
                self._tutor = load_tutor()
                log.info("the models are ready")
        except Exception as e:
            self._tutor_fault = _as_speechkit_error(e)
            log.warning("the tutor can't answer: %s", self._tutor_fault)
        self._have_all.set()

    def _steps(self) -> Iterator[None]:
        """Load and use all models once, for turns and for single recordings."""
        yield
        log.info("loading the models ...")
        kit = self._kit = self._make()
        for model in ("asr", "voice", "encoder"):
            yield
            getattr(kit, model)
        yield
        from speechkit.loop import VoiceLoop

        with VoiceLoop(kit) as loop:
            loop.warm_up()
        yield
        kit.encoder.warm_up()


def load_tutor() -> Responder:
    """A tutor that has read speechkit's own documents."""
    from speechkit.tutor import Tutor

    tutor = Tutor()
    tutor.warm_up()
    return tutor


def _as_speechkit_error(e: Exception) -> sk.SpeechkitError:
    if isinstance(e, sk.SpeechkitError):
        return e
    log.error("the models can't be loaded", exc_info=e)
    return sk.SpeechkitError(f"the models can't be loaded: {type(e).__name__}: {e}")


class Desk:
    """What a tab needs: the models for itself, and a place to note which files a page has sent."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        self._noting = threading.Lock()

    @contextlib.contextmanager
    def kit(self, request: gr.Request | None, *recordings: str | None) -> Iterator[sk.Pipeline]:
        """The models alone; what goes wrong becomes a gr.Error of one plain sentence."""
        with one_sentence():
            self.note(request, *recordings)
            if not all(recordings):
                raise sk.InputError(NOTHING_YET)
            kit = self.models.kit
            with BUSY:
                yield kit

    def note(self, request: gr.Request | None, *recordings: str | None) -> None:
        """The page has sent these files."""
        page = getattr(request, "session_hash", None)
        if page:
            with self._noting:
                self._files[page].update(filter(None, recordings))

    def forget(self, request: gr.Request) -> None:
        """The page is closed: its recordings go, but for those that another page has sent too."""
        with self._noting:
            own = self._files.pop(str(request.session_hash), set())
            for path in own.difference(*self._files.values()):
                Path(path).unlink(missing_ok=True)


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Whatever goes wrong inside becomes a gr.Error that says so in one sentence."""
    try:
        yield
    except gr.Error:
        raise
    except sk.SpeechkitError as e:
        raise gr.Error(plain(e), print_exception=False) from e
    except Exception as e:
        log.error("a fault in the demo", exc_info=e)
        raise gr.Error(FAULT, print_exception=False) from e


def plain(error: Exception) -> str:
    """An error's text without folders, and without what only a programmer could change."""
    return _FOLDERS.sub("", str(error).split(" or raise Limits")[0])


@contextlib.contextmanager
def noted() -> Iterator[None]:
    """A gr.Error inside ends it, and becomes a note to the reader."""
    try:
        yield
    except gr.Error as e:
        gr.Warning(html.escape(e.message, quote=False))


def kindly(event: Callable[..., Any], blank: Any) -> Callable[..., Any]:
    """`event` for the page: instead of a gr.Error, a note to the reader and `blank` outputs."""

    @functools.wraps(event)
    def kindly(*args: Any) -> Any:
        with noted():
            return event(*args)
        return blank

    return kindly


def safely(call: Callable[..., dict[str, Any]], given: Any) -> dict[str, Any]:
    """A call of the page: its answer, or {"error": one sentence}."""
    try:
        with one_sentence():
            return call(given)
    except gr.Error as e:
        return {"error": e.message}


def whole(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples as 16-bit integers, little-endian."""
    return np.rint(samples * 32767).astype("<i2")


def in_base64(samples: NDArray[np.float32]) -> str:
    """The same as the page takes them."""
    return base64.b64encode(whole(samples).tobytes()).decode()


def asset(name: str) -> str:
    """The text of a file of the page."""
    return Path(__file__).with_name("page").joinpath(name).read_text(encoding="utf-8")


def microphone(label: str, elem_id: str, **more: Any) -> gr.Audio:
    """A recording that can be made or uploaded, with a plain player that the keyboard can use."""
    return gr.Audio(
        sources=["microphone", "upload"],
        type="filepath",
        label=label,
        elem_id=elem_id,
        editable=False,
        buttons=[],  # by default one of them shares the recording on the web
        waveform_options=gr.WaveformOptions(show_recording_waveform=False),
        **more,
    )


def block(content: str = "", elem_id: str | None = None, **more: Any) -> gr.HTML:
    """HTML of our own, without Gradio's styles for running text."""
    more = {"js_on_load": None, "apply_default_css": False, **more}
    return gr.HTML(content, elem_id=elem_id, elem_classes=["own"], **more)


def hint(text: str) -> str:
    """What stands where there is nothing yet."""
    return f'<p class="hint">{html.escape(text, quote=False)}</p>'


def picture(figure: Figure, title: str, about: str) -> str:
    """A figure inside the page itself, so that no file of it is left."""
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=150, transparent=True)
        data = base64.b64encode(file.getvalue()).decode()
    title, about = html.escape(title), html.escape(about)
    return (
        f'<figure class="picture"><h3>{title}</h3><img src="data:image/png;base64,{data}" '
        f'alt="{title}. {about}"><figcaption>{about}</figcaption></figure>'
    )
