"""One spoken turn, on scripted parts: what is passed on, what a turn survives."""

import threading

import numpy as np
import pytest

from speechkit import Audio, InputError, Pipeline, SpeakerBook
from speechkit.asr import Transcript
from speechkit.errors import AudioError
from speechkit.respond import Echo
from speechkit.tts import Speech

ADA = Audio(np.sin(np.arange(16_000) / 10).astype(np.float32) / 2, 16_000)
SILENCE = Audio(np.full(16_000, 0.25, np.float32), 16_000)


class Encoder:
    """Everybody who isn't silent has the voice of one person."""

    name, weights, threshold = "scripted", "0" * 64, 0.5

    def __init__(self):
        self.heard = 0

    def embed(self, audio):
        self.heard += 1
        if float(np.ptp(audio.samples)) == 0.0:
            raise AudioError("the audio is silent")
        return np.eye(1, 192, dtype=np.float32)[0]

    def embed_many(self, sources):
        return np.stack([self.embed(source) for source in sources])


class Recogniser:
    def transcribe(self, audio, language=None):
        text = "" if float(np.ptp(audio.samples)) == 0.0 else "what time is it"
        return Transcript(text, language or "en", audio.duration)


class Speaker:
    def synthesize(self, text, seed=0):
        return Speech(np.full(len(text), seed / 10, np.float32), 22_050)


@pytest.fixture
def loaded_parts(monkeypatch):
    """The loaders give scripted parts and count how often they are called."""
    calls = []
    made = {"asr": Recogniser, "tts": Speaker, "speaker_encoder": Encoder}
    for name, kind in made.items():

        def load(*_, name=name, kind=kind, **__):
            calls.append(name)
            return kind()

        monkeypatch.setattr(f"speechkit.pipeline.load_{name}", load)
    return calls


def test_a_turn_embeds_the_voice_even_when_nobody_is_known(loaded_parts, tmp_path):
    kit = Pipeline(book=tmp_path / "voices.db")
    turn = kit.talk(ADA, seed=3)
    assert (turn.text, turn.speaker, turn.reply) == (
        "what time is it",
        None,
        "You said: what time is it",
    )
    assert turn.embedding.shape == (192,)
    assert turn.audio.samples[0] == pytest.approx(0.3)
    assert list(turn.timings) == ["load", "hear", "recognise", "answer", "speak"]
    kit.talk(ADA)
    assert sorted(loaded_parts) == ["asr", "speaker_encoder", "tts"]


def test_a_known_voice_is_addressed_and_silence_is_survived(loaded_parts, tmp_path):
    kit = Pipeline(book=tmp_path / "voices.db")
    kit.book.enroll("Ada", [ADA], check=False)
    assert kit.talk(ADA).reply == "Ada, you said: what time is it"
    quiet = kit.talk(SILENCE)
    assert (quiet.speaker, quiet.embedding) == (None, None)
    assert quiet.reply == "I heard no words. Please say it again."


def test_a_book_brings_its_own_encoder(loaded_parts, tmp_path):
    encoder = Encoder()
    kit = Pipeline(book=SpeakerBook(tmp_path / "voices.db", encoder=encoder))
    kit.talk(ADA)
    assert encoder.heard == 1
    assert kit.encoder is encoder
    assert "speaker_encoder" not in loaded_parts


def test_two_first_turns_at_once_load_each_model_once(loaded_parts, tmp_path):
    kit = Pipeline(book=tmp_path / "voices.db")
    turns = [threading.Thread(target=kit.talk, args=(ADA,)) for _ in range(8)]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join()
    assert sorted(loaded_parts) == ["asr", "speaker_encoder", "tts"]


def test_bad_arguments_are_refused_before_anything_is_loaded(loaded_parts, tmp_path):
    kit = Pipeline(book=tmp_path / "voices.db")
    with pytest.raises(InputError, match="seed"):
        kit.talk(ADA, seed=-1)
    with pytest.raises(AudioError, match=r"none\.wav"):
        kit.talk(tmp_path / "none.wav")
    assert loaded_parts == []


@pytest.mark.parametrize(
    "options", [{}, {"engine": "reference", "device": "cpu", "model": "tiny.en"}]
)
def test_engine_and_device_go_to_the_parts(options, monkeypatch, tmp_path):
    asked = {}
    for name in ("asr", "tts", "speaker_encoder"):

        def load(*args, name=name, **given):
            asked[name] = (args, given)
            return Encoder()

        monkeypatch.setattr(f"speechkit.pipeline.load_{name}", load)
    Pipeline(book=tmp_path / "voices.db", voice="my-voice", **options).load()
    device = options.get("device", "auto")
    engine, model = options.get("engine", "fast"), options.get("model", "base")
    assert asked == {
        "asr": ((model,), {"engine": engine, "device": device}),
        "tts": (("my-voice",), {"engine": engine, "device": device} if options else {}),
        "speaker_encoder": ((), {"engine": engine, "device": device}),
    }


def test_any_responder_will_do(loaded_parts, tmp_path):
    kit = Pipeline(
        book=tmp_path / "v.db", respond=lambda text, speaker: f"{speaker}: {text.upper()}"
    )
    assert kit.talk(ADA).reply == "None: WHAT TIME IS IT"


@pytest.mark.parametrize(
    ("text", "speaker", "reply"),
    [
        ("hello", None, "You said: hello"),
        (" hello ", "Ada", "Ada, you said: hello"),
        ("", None, "I heard no words. Please say it again."),
        (" ", "ada", "Ada, I heard no words. Please say it again."),
    ],
)
def test_echo(text, speaker, reply):
    assert Echo()(text, speaker) == reply
