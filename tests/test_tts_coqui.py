"""Coqui's checkpoints: what is read of them, what is refused."""

import json
import pickle

import numpy as np
import pytest
import torch
from tiny_voice import SYMBOLS, tiny_voice

import speechkit as sk
from speechkit import InputError, WeightsError
from speechkit.tts.coqui import save_coqui_checkpoint

TEXT = "Hello there, my friend. How are you?"


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    tiny_voice(folder)
    return folder


@pytest.fixture
def checkpoint(voices, tmp_path):
    save_coqui_checkpoint(voices, "tiny", tmp_path / "joe")
    return tmp_path / "joe"


def change(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_saved_voice_says_the_same(voices, checkpoint):
    piper = sk.load_tts(voices / "tiny.onnx", engine="reference", device="cpu")
    for engine in ("fast", "reference"):  # Coqui's checkpoints have the reference engine only
        coqui = sk.load_tts(checkpoint, engine=engine, device="cpu")
        assert (coqui.name, coqui.language, coqui.sample_rate) == ("joe", "en-us", 16_000)
        # Coqui puts a blank before the first symbol and behind the last one too.
        a, b = (v.front_end.sentences(v.front_end.pieces(TEXT, _pauses())) for v in (piper, coqui))
        for (_, left), (_, right) in zip(a, b, strict=True):
            assert left.phonemes == right.phonemes
            ids, _ = coqui.engine.config.ids(right.phonemes)
            own, _ = piper.engine.config.ids(left.phonemes)
            blank = piper.engine.config.symbols["_"]
            assert ids == [*blank, *own, *blank]
        speech = coqui.synthesize(TEXT, seed=3)
        assert np.ptp(speech.samples) > 0.001
        assert [p.symbol for p in speech.phonemes] == [
            p.symbol for p in piper.synthesize(TEXT, seed=3).phonemes
        ]


def _pauses():
    from speechkit.tts.front_end import Pauses

    return Pauses()


def test_a_voice_of_letters(checkpoint):
    change(checkpoint, use_phonemes=False)
    voice = sk.load_tts(checkpoint, device="cpu")
    said = "".join(p.symbol for p in voice.synthesize("The 5 Cats").phonemes)
    assert said == "the five cats"


def test_several_speakers(voices, checkpoint, tmp_path):
    config = json.loads((checkpoint / "config.json").read_text())
    args = config["model_args"] | {"use_speaker_embedding": True, "speaker_embedding_channels": 24}
    change(checkpoint, model_args=args)
    with pytest.raises(WeightsError, match=r"speakers\.json"):
        sk.load_tts(checkpoint, device="cpu")
    (checkpoint / "speakers.json").write_text('{"Bo": 1, "Ada": 0}')
    with pytest.raises(WeightsError, match=r"emb_g\.weight are missing"):
        sk.load_tts(checkpoint, device="cpu")


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_checkpoint_is_run(checkpoint, tmp_path):
    hit = tmp_path / "hit"
    torch.save({"model": Attack(hit)}, checkpoint / "model.pth")
    with pytest.raises(WeightsError, match="can't be read"):
        sk.load_tts(checkpoint, device="cpu")
    (checkpoint / "model.pth").write_bytes(pickle.dumps({"model": Attack(hit)}))
    with pytest.raises(WeightsError, match="can't be read"):
        sk.load_tts(checkpoint, device="cpu")
    assert not hit.exists()
    characters = json.loads((checkpoint / "config.json").read_text())["characters"]
    change(checkpoint, characters=characters | {"characters_class": "os.system"})
    with pytest.raises(WeightsError, match="symbols of the class system"):
        sk.load_tts(checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model": "tacotron2"}, "a tacotron2 model"),
        ({"audio": None}, "not a Coqui VITS checkpoint"),
        ({"model_args": {"use_d_vector_file": True}}, "speaker vectors"),
        ({"model_args": {"use_language_embedding": True}}, "several languages"),
        ({"characters": {"characters": 5}}, "not a Coqui VITS checkpoint"),
    ],
)
def test_another_kind_of_model_is_refused(checkpoint, entries, message):
    change(checkpoint, **entries)
    with pytest.raises(WeightsError, match=message):
        sk.load_tts(checkpoint, device="cpu")


def test_weights_that_are_not_there(checkpoint):
    (checkpoint / "model.pth").rename(checkpoint / "best_model.pth")
    assert sk.load_tts(checkpoint, device="cpu").engine.config.symbols[SYMBOLS[20]]
    (checkpoint / "best_model.pth").unlink()
    with pytest.raises(WeightsError, match="no weights; put"):
        sk.load_tts(checkpoint, device="cpu")


def test_coquis_zoo_needs_a_network(monkeypatch):
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    with pytest.raises(WeightsError, match="SPEECHKIT_OFFLINE"):
        sk.load_tts("coqui:tts_models/en/ljspeech/vits")
    monkeypatch.delenv("SPEECHKIT_OFFLINE")
    with pytest.raises(InputError, match="Coqui's zoo has no 'nobody'"):
        sk.load_tts("coqui:nobody")
