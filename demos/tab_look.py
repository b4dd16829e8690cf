"""Look inside: what the models make of a recording, in pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from speechkit.demos.shared import Desk, block, hint, microphone, noted, picture

import speechkit as sk

LONGEST_S = 30.0  # Whisper's window
MOST_SAID = 80  # characters that the voice says in its turn
DEFAULT_SENTENCE = "The quick brown fox jumps over the lazy dog."
EMPTY = "Record a sentence. Then you see what the models see in it, from the waveform upwards."


class _Look:
    """The pictures of one recording; each method makes one, from `wave` to `speaker`."""

    def __init__(self, path: str) -> None:
        self.audio = sk.load_audio(path, 16_000, limits=sk.Limits(seconds=LONGEST_S))
        self.text, self.language = "", "en"

    def wave(self, kit: sk.Pipeline) -> str:
        from speechkit.demos import pictures

        return picture(
            pictures.wave(self.audio, sk.detect_speech(self.audio)),
            "The waveform",
            "Air pressure over time. Shaded is what the speech detector takes for speech.",
        )

    def spectrogram(self, kit: sk.Pipeline) -> str:
        from speechkit.demos import pictures

        return picture(
            pictures.spectrogram(self.audio),
            "The spectrogram",
            "How strong each frequency is at each moment, down to 80 dB below the strongest. "
            "Stripes are the harmonics of a voice; clouds above 4 kHz are hisses such as s.",
        )

    def log_mel(self, kit: sk.Pipeline) -> str:
        import torch
        from speechkit.demos import pictures

        from speechkit.features import whisper_log_mel

        mel = whisper_log_mel(torch.tensor(self.audio.samples)).numpy()
        return picture(
            pictures.log_mel(mel, self.audio.duration),
            "The log-mel, which is all that Whisper hears",
            "The same in 80 bands that grow wider upwards, as they do in the ear; 100 columns a "
            "second.",
        )

    def words(self, kit: sk.Pipeline) -> str:
        from speechkit.demos import inside, pictures

        transcript = kit.asr.transcribe(self.audio)
        self.text, self.language = transcript.text, transcript.language
        if not self.text:
            return hint("I heard no words in it, so there is nothing to attend to.")
        labels, weights = inside.cross_attention(self.audio, self.language)
        if not labels:
            return hint("The reference engine heard no words in it.")
        return picture(
            pictures.attention(labels, weights, inside.MOMENT_S),
            "Where Whisper looks while it writes each token",
            "Cross-attention of openai-whisper's decoder, the mean of the heads that follow the "
            "speech. The bright path from top left to bottom right is where the word times come "
            "from.",
        )

    def voice(self, kit: sk.Pipeline) -> str:
        from speechkit.demos import pictures

        said = self.text if self.language == "en" else ""
        said = said[:MOST_SAID].rsplit(" ", 1)[0] if len(said) > MOST_SAID else said
        said = said if any(map(str.isalpha, said)) else DEFAULT_SENTENCE
        speech = kit.voice.synthesize(said)
        return picture(
            pictures.durations(speech),
            "How the voice would say it",
            f"“{said}”, spoken by VITS: the time that its duration predictor gives "
            "to each phoneme, over the spectrogram of what it then says.",
        )

    def speaker(self, kit: sk.Pipeline) -> str:
        from speechkit.demos import inside, pictures

        return picture(
            pictures.pooling(self.audio, inside.pooling_attention(self.audio), inside.FRAME_S),
            "Which moments tell whose voice it is",
            "ECAPA-TDNN's attention over time in speechbrain, the mean of 3072 channels. Where it "
            "is above 1, a moment counts for more than an equal share.",
        )


def build_look(desk: Desk) -> None:
    """The tab's content."""

    def look(request: gr.Request, path: str | None) -> Iterator[Any]:
        shown = ""
        with noted():
            with desk.kit(request, path):
                found = _Look(str(path))
            steps: list[Callable[[sk.Pipeline], str]] = [
                found.wave,
                found.spectrogram,
                found.log_mel,
                found.words,
                found.voice,
                found.speaker,
            ]
            for step in steps:
                # A page that is closed in between must not keep the models.
                with desk.kit(request, path) as kit:
                    shown += step(kit)
                yield shown

    recording = microphone("Recording, up to 30 seconds", "looked-at")
    start = gr.Button("Look inside", variant="primary", elem_id="look")
    shown = block(hint(EMPTY), elem_id="pictures")
    gr.on(
        [recording.stop_recording, recording.upload, start.click],
        look,
        recording,
        shown,
        trigger_mode="once",
        api_visibility="private",
        show_progress_on=shown,
    )
