"""The real voice: both engines against each other, Coqui and Piper's graph; what Whisper hears."""

import socket
import subprocess
import sys
import time
from itertools import pairwise

import jiwer
import numpy as np
import onnxruntime
import pytest
import torch

import speechkit as sk
import speechkit.hub
from speechkit.tts.coqui import save_coqui_checkpoint
from speechkit.tts.engine import Controls
from speechkit.tts.normalize import normalize
from speechkit.tts.phonemes import phonemize
from speechkit.tts.piper import VoiceConfig

SPOKEN = [
    "Hello, my name is Ada Lovelace.",
    "The train to Boston leaves at 10:30 in the morning.",
    "Where did you put the keys?",
    "It costs $45.50, which is too much.",
    "Dr. Smith and Mrs. Jones live on Baker Street.",
    "There were 1,250 people at the concert on Saturday.",
    "Stop!",
    "Yes, of course.",
    "How many planets are there in the solar system?",
    "In 1969, Neil Armstrong walked on the moon.",
    "The quick brown fox jumps over the lazy dog, while the cat sleeps by the fire, the rain falls "
    "on the roof, and the children read their books in the quiet old house at the end of the road.",
    "Bring apples, pears, bananas, etc. to the picnic.",
    'She said, "I will be there at five o\'clock."',
    "The temperature fell to -5 degrees last night.",
    "Professor Green teaches mathematics, and physics, at Oxford.",
    "No. 7 Downing Street is approx. 300 years old",
    "Good morning",
    "I can't believe it's already Friday!",
    "Please turn left at the second traffic light; then go straight ahead.",
    "J. K. Rowling wrote seven books about a young wizard.",
]


@pytest.fixture(scope="module")
def said(voice):
    """What the real voice makes of each sentence."""
    return [voice.synthesize(sentence) for sentence in SPOKEN]


def _coqui_inference(engine, ids, seed):
    """Coqui's own `Vits.inference` on the engine's module: samples and durations."""
    model, own = engine.model, engine.config
    model.inference_noise_scale, model.inference_noise_scale_dp = own.noise_scale, own.noise_w
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        out = model.inference(torch.tensor([ids], device=engine.device))
    return out["model_outputs"][0, 0].cpu().numpy(), out["durations"][0, 0].cpu().tolist()


@pytest.fixture(scope="module")
def trusted():
    return sk.load_tts("en_US-joe-medium", engine="reference", device="cpu")


@pytest.mark.real
def test_the_reference_equals_coqui_bit_for_bit(trusted):
    text = "The birch canoe slid on the smooth planks."
    ids, _ = trusted.engine.config.ids(phonemize(text, trusted.language))
    expected, durations = _coqui_inference(trusted.engine, ids, seed=3)
    own = trusted.engine.config
    controls = Controls(own.length_scale, own.noise_scale, own.noise_w, 3)
    assert trusted.engine.plan(ids, controls).durations == durations
    assert trusted.synthesize(text, seed=3).samples.tobytes() == expected.tobytes()


@pytest.mark.real
def test_both_engines_say_the_same_with_the_same_seed(voice, trusted):
    for seed, text in enumerate(SPOKEN[:8]):
        fast, slow = (v.synthesize(text, seed=seed) for v in (voice, trusted))
        assert fast.phonemes == slow.phonemes
        np.testing.assert_allclose(fast.samples, slow.samples, atol=1e-3)


@pytest.mark.real
def test_the_voice_equals_pipers_own_graph(voice):
    folder = sk.hub.fetch("en_US-joe-medium")
    session = onnxruntime.InferenceSession(folder / "en_US-joe-medium.onnx")
    phonemes = phonemize("Glue the sheet to the dark blue background.", "en-us")
    ids, _ = VoiceConfig.read(folder / "en_US-joe-medium.onnx.json").ids(phonemes)
    feed = {
        "input": np.array([ids]),
        "input_lengths": np.array([len(ids)]),
        "scales": np.array([0, 1, 0], np.float32),  # no noise: nothing is drawn
    }
    expected = session.run(None, feed)[0].ravel()
    ours = voice.synthesize("Glue the sheet to the dark blue background.", noise_scale=0, noise_w=0)
    np.testing.assert_allclose(ours.samples, expected, atol=1e-5)


@pytest.mark.real
@pytest.mark.parametrize("name", ["voice", "trusted"])
def test_any_chunking_equals_the_whole(request, name):
    engine = request.getfixturevalue(name).engine
    ids, _ = engine.config.ids(phonemize("Four hours of steady work faced us.", "en-us"))
    latent = engine.plan(ids, Controls(1.0, 0.667, 0.8, 0))
    whole = engine.render(latent, 0, latent.frames)
    assert len(whole) == latent.frames * engine.hop_length
    rng = np.random.default_rng(1)
    for _ in range(4):
        cuts = np.sort(rng.choice(latent.frames, size=rng.integers(1, 12), replace=False))
        bounds = [0, *(int(cut) for cut in cuts if cut), latent.frames]
        pieces = [engine.render(latent, *pair) for pair in pairwise(bounds)]
        np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)


@pytest.mark.real
def test_playback_never_waits_for_the_next_chunk(voice):
    """Three texts, while another process keeps a core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as load:
        try:
            _assert_no_underrun(voice)
        finally:
            load.kill()


BUFFER_S = 0.1  # of sound that players keep ahead


def _assert_no_underrun(voice):
    voice.warm_up()
    for text in (" ".join(SPOKEN), SPOKEN[10], "Yes. No. Yes. " + SPOKEN[10]):
        start, played = None, 0.0
        for chunk in voice.stream(text):
            now = time.perf_counter()
            start = now if start is None else start
            assert now - start <= played + BUFFER_S, text
            played += chunk.duration


@pytest.mark.real
def test_the_saved_checkpoint_speaks_through_coquis_own_interface(asr, tmp_path, monkeypatch):
    folder = sk.hub.fetch("en_US-joe-medium")
    model, config = save_coqui_checkpoint(folder, "en_US-joe-medium", tmp_path)

    def refuse(*_):
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    from TTS.api import TTS

    api = TTS(model_path=str(model), config_path=str(config), progress_bar=False)
    samples = np.array(api.tts("The boy was there when the sun rose."), np.float32)
    rate = api.synthesizer.output_sample_rate
    assert rate == 22_050
    assert 1.5 < len(samples) / rate < 5
    heard = asr.transcribe(sk.Audio(samples, rate)).text
    assert {"boy", "there", "sun"} <= set(heard.lower().strip(".").split())


@pytest.mark.real
def test_whisper_hears_what_the_voice_says(asr, said):
    from whisper.normalizers import EnglishTextNormalizer

    normal = EnglishTextNormalizer()
    heard = [asr.transcribe(speech, language="en").text for speech in said]
    pairs = [
        (normal(normalize(text, "en-us")), normal(text_heard))
        for text, text_heard in zip(SPOKEN, heard, strict=True)
    ]
    for wanted, got in pairs:
        print(f"{jiwer.wer(wanted, got):.2f} | {wanted} | {got}")
    total = jiwer.wer(*map(list, zip(*pairs, strict=True)))
    print(f"word error rate {total:.3f}")
    assert total < 0.1


@pytest.mark.real
def test_level_and_silence_at_the_ends(said):
    for text, speech in zip(SPOKEN, said, strict=True):
        loud = np.abs(speech.samples)
        assert 0.2 < loud.max() < 1.0, text
        voiced = np.flatnonzero(loud > 0.01) / speech.sample_rate
        assert voiced[0] < 0.2, text
        assert speech.duration - voiced[-1] < 0.5, text
        assert abs(speech.samples.mean()) < 0.01, text
