"""Coqui's checkpoints: what is read of them, what is refused."""

import json
import pickle

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
        ours, theirs = (v.synthesize(TEXT, seed=3) for v in (piper, coqui))
        assert ours.samples.tobytes() == theirs.samples.tobytes()
        assert ours.phonemes == theirs.phonemes


def test_symbols_of_composed_letters(checkpoint):
    """The voices know "ç" as one symbol, as Coqui's own do."""
    voice = sk.load_tts(checkpoint, device="cpu")
    assert [p.symbol for p in voice.synthesize("[[aç]]").phonemes] == ["a", "ç"]
    change(checkpoint, use_phonemes=False)
    voice = sk.load_tts(checkpoint, device="cpu")
    assert [p.symbol for p in voice.synthesize("ac\u0327a").phonemes] == ["a", "ç", "a"]


def test_the_weights_of_the_latest_step(checkpoint):
    whole = (checkpoint / "model.pth").read_bytes()
    (checkpoint / "model.pth").unlink()
    (checkpoint / "checkpoint_5000.pth").write_bytes(b"old")
    (checkpoint / "checkpoint_10000.pth").write_bytes(whole)
    assert sk.load_tts(checkpoint, device="cpu").synthesize("Hi.").duration


def test_a_voice_of_letters(checkpoint):
    change(checkpoint, use_phonemes=False)
    voice = sk.load_tts(checkpoint, device="cpu")
    said = "".join(p.symbol for p in voice.synthesize("The 5 Cats").phonemes)
    assert said == "the five cats"


def test_several_speakers(voices, checkpoint, tmp_path):
    config = json.loads((checkpoint / "config.json").read_text())
    args = config["model_args"] | {"use_speaker_embedding": True, "speaker_embedding_channels": 24}
    change(checkpoint, model_args=args)
    with pytest.raises(WeightsError, match=r"speaker_ids\.json"):
        sk.load_tts(checkpoint, device="cpu")
    (checkpoint / "speaker_ids.json").write_text('{"Bo": 1, "Ada": 0}')
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
