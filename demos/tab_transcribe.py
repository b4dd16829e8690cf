"""Transcribe: a recording's words, marked as they are heard, with speakers and subtitles."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import gradio as gr
from speechkit.demos.shared import Desk, asset, block, hint, kindly, microphone

import speechkit as sk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechkit.asr import Segment, Transcript

LONGEST = sk.Limits(seconds=600.0)
FORMATS = {"srt": "SubRip", "vtt": "WebVTT", "txt": "text", "json": "JSON"}
LINE_LENGTH = 42  # of subtitles, in characters
COLOURS = 6  # of speakers; then they come again
ANY = "detect it"
EMPTY = "Here the words appear. Play the recording: they are marked as you hear them."


def languages(kit: sk.Pipeline) -> list[tuple[str, str]]:
    """Names and codes of the languages that the model knows, by name."""
    from whisper.tokenizer import LANGUAGES

    known = kit.asr.engine.languages
    return sorted((LANGUAGES.get(code, code).title(), code) for code in known)


def build_transcribe(desk: Desk) -> gr.Dropdown:
    """The tab's content; returns the choice of languages, to be filled when the models are there."""

    def transcribe(
        request: gr.Request,
        path: str | None,
        language: str,
        translate: bool,
        speakers: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  that is how Gradio passes it
    ) -> str:
        with desk.kit(request, path) as kit:
            transcript = kit.asr.transcribe(
                str(path),
                language=None if language == ANY else language,
                task="translate" if translate else "transcribe",
                words=True,
                limits=LONGEST,
                progress=lambda done, total: progress(done / total, "writing down the words"),
            )
            if speakers and transcript.segments:
                from speechkit.speaker import assign_speakers

                turns = sk.diarize(
                    str(path),
                    encoder=kit.encoder,
                    limits=LONGEST,
                    progress=lambda done, total: progress(done / total, "telling voices apart"),
                )
                transcript = assign_speakers(transcript, turns)
            return shown_transcript(transcript, dict(map(reversed, languages(kit))))

    with gr.Row():
        with gr.Column(scale=2):
            recording = microphone("Recording, up to 10 minutes", "recording")
            language = gr.Dropdown([(ANY, ANY)], value=ANY, label="Language", elem_id="language")
            translate = gr.Checkbox(label="Translate into English", elem_id="translate")
            speakers = gr.Checkbox(label="Tell the speakers apart", elem_id="speakers")
            start = gr.Button("Transcribe", variant="primary", elem_id="transcribe")
        with gr.Column(scale=3):
            shown = block(hint(EMPTY), elem_id="transcript", js_on_load=asset("words.js"))
    gr.on(
        [recording.stop_recording, recording.upload, start.click],
        kindly(transcribe, gr.skip()),
        [recording, language, translate, speakers],
        shown,
        trigger_mode="once",
        api_visibility="private",
        show_progress_on=shown,
    )
    return language


def shown_transcript(transcript: Transcript, names: dict[str, str]) -> str:
    """The transcript as HTML: what words.js marks, and the files to save."""
    if not transcript.segments:
        said = "I heard no words in it."
        if transcript.dropped:
            said += " What sounded like words was noise, as far as I can tell."
        return hint(said)
    order = list(dict.fromkeys(segment.speaker for segment in transcript.segments))
    rows = "".join(_segment(segment, order) for segment in transcript.segments)
    sure = f", {transcript.language_probability:.0%} sure"
    language = names.get(transcript.language, transcript.language)
    about = f"{language}{sure if transcript.language_probability < 1 else ''}. "
    files = " ".join(_file(transcript, ending, name) for ending, name in FORMATS.items())
    return (
        f'<p class="hint">{html.escape(about)} A press on a word plays it.</p>'
        f'<div class="words">{rows}</div><p class="files">Save as {files}</p>'
    )


def _segment(segment: Segment, order: Sequence[str]) -> str:
    """A sentence: its time, its speaker if known, its words."""
    joint = " " if " " in segment.text else ""
    words = joint.join(
        f'<span data-start="{word.start:.2f}" data-end="{word.end:.2f}">{html.escape(word.text)}</span>'
        for word in segment.words
    )
    who = ""
    if segment.speaker:
        who = f'<span class="who">{html.escape(segment.speaker)}</span> '
    minutes, seconds = divmod(int(segment.start), 60)
    return (
        f'<p class="voice{order.index(segment.speaker) % COLOURS}">'
        f'<button type="button" class="at" data-start="{segment.start:.2f}" '
        f'aria-label="Play from {minutes}:{seconds:02}">{minutes}:{seconds:02}</button> {who}{words}</p>'
    )


def _file(transcript: Transcript, ending: str, name: str) -> str:
    """A link that saves the transcript; the file is in the link."""
    layout = {"line_length": LINE_LENGTH} if ending in ("srt", "vtt") else {}
    data = base64.b64encode(transcript.to(ending, **layout).encode()).decode()
    return (
        f'<a class="plain" download="transcript.{ending}" '
        f'href="data:application/octet-stream;base64,{data}">{name}</a>'
    )
