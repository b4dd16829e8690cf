"""How far the starts of words are off, on speech whose phoneme times are exact: our own VITS voice's.

    python benchmarks/words.py

Both engines and faster-whisper with the same weights; words are matched to the text in order, and
those that were misheard are left out.
"""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

import speechkit as sk
from speechkit import hub

TEXT = (
    "The rainbow is a division of white light into many beautiful colors.",
    "People look for a pot of gold, but nobody ever finds it.",
    "When the sun strikes the drops of rain, they act as a prism.",
    "My sister walked to the market and bought apples, bread and honey.",
    "We waited at the station until the last train had left.",
    "He opened the window, looked at the garden, and smiled.",
    "The captain told the crew to lower the boats before midnight.",
    "Some friends of mine live near the river in a small wooden house.",
)
Words = list[tuple[str, float]]  # and the second at which each starts


def spoken(voice: sk.Voice) -> tuple[sk.Audio, Words]:
    """The sentences with pauses of half a second, and their words."""
    parts, words, at = [], [], 0.0
    pause = np.zeros(voice.sample_rate // 2, np.float32)
    for seed, sentence in enumerate(TEXT):
        speech = voice.synthesize(sentence, seed=seed, pause_s=0.0)
        starts, begins = [], True
        for phoneme in speech.phonemes:
            if phoneme.symbol == " ":
                begins = True
            elif begins and phoneme.symbol.isalpha():
                starts.append(at + phoneme.start)
                begins = False
        texts = [word.strip(".,").lower() for word in sentence.split()]
        if len(starts) == len(texts):
            words += list(zip(texts, starts, strict=True))
        parts += [speech.samples, pause]
        at += (len(speech.samples) + len(pause)) / voice.sample_rate
    return sk.Audio(np.concatenate(parts), voice.sample_rate), words


def errors(heard: Words, said: Words) -> np.ndarray:
    """Heard minus said, in seconds, of the words that were heard right."""
    a, b = [word for word, _ in said], [word for word, _ in heard]
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return np.array([heard[m.b + i][1] - said[m.a + i][1] for m in blocks for i in range(m.size)])


def main() -> None:
    """Measure and print."""
    from faster_whisper import WhisperModel

    audio, said = spoken(sk.load_tts())
    peer = WhisperModel(str(hub.fetch("base")), device="cpu", compute_type="int8")

    def faster_whisper() -> list[Any]:
        samples = audio.resample(16_000).samples
        segments, _ = peer.transcribe(samples, language="en", word_timestamps=True)
        return [(word.word, word.start) for segment in segments for word in segment.words or ()]

    def ours(engine: str) -> list[Any]:
        t = sk.load_asr("base", engine=engine).transcribe(audio, language="en", words=True)
        return [(word.text, word.start) for segment in t.segments for word in segment.words]

    systems = {
        "speechkit fast": lambda: ours("fast"),
        "speechkit reference": lambda: ours("reference"),
        "faster-whisper": faster_whisper,
    }
    print(f"{len(said)} words in {audio.duration:.1f} s; error of their starts, seconds")
    print(f"{'':20} matched   median  95th percentile")
    for name, run in systems.items():
        heard = [(text.strip(" .,!?").lower(), start) for text, start in run()]
        off = np.abs(errors(heard, said))
        print(f"{name:20} {len(off):7} {np.median(off):8.3f} {np.percentile(off, 95):10.3f}")


if __name__ == "__main__":
    main()
