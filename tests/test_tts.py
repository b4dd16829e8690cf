"""Speech synthesis: Piper's files, the voice on a tiny model and on the real one."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import jiwer
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny_models import SYMBOLS, tiny_voice

import speechkit as sk
import speechkit.hub
from speechkit import InputError, WeightsError
from speechkit.tts.coqui import save_coqui_checkpoint
from speechkit.tts.engine import Controls
from speechkit.tts.english import write_out
from speechkit.tts.phonemes import phonemize
from speechkit.tts.piper import VoiceConfig, read_weights
from speechkit.tts.text import sentences

TWO = "The quick brown fox jumps over the lazy dog. And so do we."

# --- Piper's files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(scope="module")
def coqui(folder):
    """The Coqui model that the tiny voice's files were written from."""
    return tiny_voice(folder)


@pytest.fixture(scope="module")
def tiny(folder, coqui):
    return sk.load_tts(folder / "tiny.onnx", device="cpu")


def test_a_voice_file_is_read_as_it_was_written(folder, coqui, tiny):
    phonemes = phonemize("Hello, world. Is it you?", "en-us")
    piper_ids, _ = VoiceConfig.read(folder / "tiny.onnx.json").ids(phonemes)
    coqui.inference_noise_scale, coqui.inference_noise_scale_dp = 0.6, 0.7
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = coqui.inference(torch.tensor([piper_ids]))
    latent = tiny.engine.plan(tiny.engine.config.ids(phonemes)[0], Controls(1.0, 0.6, 0.7, 5))
    assert latent.durations == expected["durations"][0, 0].tolist()
    torch.testing.assert_close(latent.z, expected["z"][0], atol=1e-4, rtol=1e-4)
    samples = tiny.engine.render(latent, 0, latent.frames)
    np.testing.assert_allclose(samples, expected["model_outputs"][0, 0], atol=1e-5)


def test_ids_stand_between_pads(folder, coqui):
    config = VoiceConfig.read(folder / "tiny.onnx.json")
    ids, symbols = config.ids(["h", "☃", "i"])
    assert symbols == ["^", "_", "h", "_", "i", "_", "$"]
    assert ids == [SYMBOLS.index(symbol) for symbol in symbols]
    assert config.ids([])[1] == ["^", "_", "$"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "fetch the voice again"),
        (b"\xff\xfe{", "fetch the voice again"),
        (b"[1, 2]", "fetch the voice again"),
        (b'{"model_type": "bert"}', "fetch the voice again"),
        ({"num_speakers": 4}, "voice of 4 speakers.* choose a voice of one speaker"),
        ({"phoneme_type": "text"}, "reads text symbols; choose"),
        ({"phoneme_id_map": {"a": [3]}}, "fetch the voice again"),
        ({"audio": {"sample_rate": 0}}, "no sample rate"),
    ],
)
def test_a_configuration_of_another_kind_is_refused(tmp_path, folder, coqui, data, message):
    path = tmp_path / "x.onnx.json"
    if isinstance(data, dict):
        path.write_text(json.dumps(json.loads((folder / "tiny.onnx.json").read_text()) | data))
    elif data:
        path.write_bytes(data)
    with pytest.raises(WeightsError, match=message) as caught:
        sk.load_tts(tmp_path / "x.onnx")
    assert str(path) in str(caught.value)


def _broken(kind, data):
    """The bytes of a model file that is broken in one way, made of the bytes of a good one."""
    if kind == "truncated":
        return data[: len(data) // 2]
    if kind in ("empty", "text"):
        return {"empty": b"", "text": b"<html>Not found</html>"}[kind]
    model = onnx.load_from_string(data)
    if kind == "another network":
        del model.graph.initializer[:], model.graph.node[1:]
    if kind == "weight missing":
        weights = model.graph.initializer
        weights.remove(next(w for w in weights if w.name == "enc_p.proj.bias"))
    if kind == "weights elsewhere":
        model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        model.graph.initializer[0].external_data.add(key="location", value="../elsewhere.bin")
    if kind == "another shape":
        weight = next(w for w in model.graph.initializer if w.name == "dp.proj.bias")
        weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros(7, np.float32), weight.name))
    return model.SerializeToString()


@pytest.mark.parametrize(
    "kind",
    [
        "truncated",
        "empty",
        "text",
        "another network",
        "weight missing",
        "weights elsewhere",
        "another shape",
    ],
)
def test_a_damaged_model_file_says_what_to_do(tmp_path, folder, coqui, kind):
    data = (folder / "tiny.onnx").read_bytes()
    (tmp_path / "x.onnx.json").write_bytes((folder / "tiny.onnx.json").read_bytes())
    (tmp_path / "x.onnx").write_bytes(_broken(kind, data))
    with pytest.raises(WeightsError, match=r"fetch the voice again|use another voice"):
        sk.load_tts(tmp_path / "x.onnx", device="cpu")


def test_an_id_beyond_the_table_is_refused(tmp_path, folder, coqui):
    config = json.loads((folder / "tiny.onnx.json").read_text())
    config["phoneme_id_map"]["☃"] = [len(SYMBOLS)]
    (tmp_path / "x.onnx.json").write_text(json.dumps(config))
    (tmp_path / "x.onnx").write_bytes((folder / "tiny.onnx").read_bytes())
    with pytest.raises(WeightsError, match="use another voice"):
        sk.load_tts(tmp_path / "x.onnx", device="cpu")
    with pytest.raises(WeightsError, match=r"y\.onnx"):
        read_weights(tmp_path / "y.onnx")


@pytest.mark.parametrize("taken", ["out", "out/model.pth/x", "out/config.json/x"])
def test_a_folder_that_a_checkpoint_cant_go_to(tmp_path, folder, coqui, taken):
    taken = tmp_path / taken
    taken.parent.mkdir(parents=True, exist_ok=True)
    taken.touch()
    with pytest.raises(InputError, match=r"^.*out: can't be written: .*; choose a folder[^\n]*$"):
        save_coqui_checkpoint(folder, "tiny", tmp_path / "out")


# --- the voice


def test_the_same_seed_gives_the_same_bytes_in_any_thread(tiny):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    once = [tiny.synthesize(TWO, seed=seed).samples.tobytes() for seed in (0, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(set(once)) == 3
    with ThreadPoolExecutor(3) as pool:
        again = pool.map(lambda s: tiny.synthesize(TWO, seed=s).samples.tobytes(), (0, 1, 2) * 2)
        assert list(again) == once * 2


def test_a_sentence_said_twice_sounds_different(tiny):
    first, second = tiny.stream("Yes. Yes.", pause_s=0)
    assert not np.array_equal(first.samples, second.samples)


def test_no_noise_takes_the_seed_out(tiny):
    quiet = [tiny.synthesize("Hi.", seed=s, noise_scale=0, noise_w=0).samples for s in (0, 9)]
    assert np.array_equal(*quiet)


def test_speed(tiny):
    fast, normal, slow = (tiny.synthesize(TWO, speed=x, pause_s=0).duration for x in (2, 1, 0.5))
    assert normal / fast == pytest.approx(2, rel=0.15)
    assert slow / normal == pytest.approx(2, rel=0.15)


def test_the_stream_in_a_row_is_the_whole(tiny, monkeypatch):
    plans, plan = [], tiny.engine.plan
    monkeypatch.setattr(tiny.engine, "plan", lambda *a: plans.append(a) or plan(*a))
    done = []
    stream = tiny.stream(TWO + " Yes.", seed=7, progress=lambda *x: done.append(x))
    assert not plans
    first = next(stream)
    assert len(plans) == 1
    assert not done
    chunks = [first, *stream]
    assert done == [(1, 3), (2, 3), (3, 3)]
    whole = tiny.synthesize(TWO + " Yes.", seed=7)
    assert np.concatenate([c.samples for c in chunks]).tobytes() == whole.samples.tobytes()
    assert {c.sample_rate for c in chunks} == {16_000}
    symbols = [p.symbol for c in chunks for p in c.phonemes]
    assert symbols == [p.symbol for p in whole.phonemes]


def test_the_pause_stands_between_sentences_only(tiny):
    none, some = (tiny.synthesize(TWO, pause_s=p) for p in (0.0, 0.5))
    assert len(some.samples) - len(none.samples) == 8000
    assert len(tiny.synthesize("Hi.", pause_s=9).samples) == len(tiny.synthesize("Hi.").samples)


def test_times_of_phonemes(tiny):
    speech = tiny.synthesize(TWO, pause_s=0.5)
    times = [t for p in speech.phonemes for t in (p.start, p.end)]
    assert times[0] > 0
    assert times == sorted(times)
    assert times[-1] < speech.duration
    said = "".join(p.symbol for p in speech.phonemes)
    assert said == "".join("".join(phonemize(s, "en-us")) for s in sentences(TWO))
    gap = next(i for i, p in enumerate(speech.phonemes) if p.symbol == ".")
    assert speech.phonemes[gap + 1].start - speech.phonemes[gap].end > 0.5
    # Symbols, pads and marks together fill the sentence, and every frame is a hop of samples.
    latent = tiny.engine.plan(tiny.engine.config.ids(list("həlˈoʊ"))[0], Controls(1, 0.6, 0.8, 1))
    assert sum(latent.durations) == latent.frames == latent.z.shape[1]
    assert len(tiny.engine.render(latent, 0, latent.frames)) == latent.frames * 256


@pytest.mark.parametrize(
    "bad",
    [
        {"speed": 0},
        {"speed": -1},
        {"speed": 5},
        {"speed": float("nan")},
        {"speed": float("inf")},
        {"noise_scale": -0.1},
        {"noise_scale": float("nan")},
        {"noise_w": -0.1},
        {"noise_w": 1e9},
        {"pause_s": -0.1},
        {"pause_s": float("nan")},
        {"pause_s": 1e9},
        {"seed": -1},
        {"seed": 1 << 80},
    ],
)
def test_arguments_out_of_range(tiny, bad):
    with pytest.raises(InputError, match=rf"^{next(iter(bad))} is .*; give "):
        tiny.synthesize("Hi.", **bad)
    with pytest.raises(InputError):  # at once, not with the first chunk
        tiny.stream("Hi.", **bad)


@pytest.mark.parametrize("text", ["", " ", "\n\n", "...", "?!", "\0", "«»", "\ud800", "----"])
def test_nothing_to_speak(tiny, text):
    with pytest.raises(InputError, match=r"nothing to speak in .*; give a text"):
        tiny.synthesize(text)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "I",
        "7",
        "😀",
        "1234567890",
        "3.14159 - 2,000",
        "Привет, мир! 你好。 Hello. مرحبا",
        "a\0b\x07c\ud800",
        "<b>&amp;</b> [[x]] {y} \\n",
        pytest.param("ough" * 1250, id="5000 letters"),
        pytest.param("9" * 100, id="100 digits"),
    ],
)
def test_whatever_has_letters_or_digits_is_spoken(tiny, text):
    speech = tiny.synthesize(text, speed=4)
    assert speech.phonemes
    assert np.ptp(speech.samples) > 0.001
    assert np.isfinite(speech.samples).all()


def test_a_voice_of_another_language_keeps_its_own_words(folder, coqui):
    tiny_voice(folder, "de", espeak={"voice": "de"})
    german = sk.load_tts(str(folder / "de.onnx"), device="cpu")
    said = {p.symbol for p in german.synthesize("$5", speed=4).phonemes}
    assert said == set(phonemize("$5", "de")) & set(SYMBOLS)
    assert (german.name, german.language) == ("de", "de")


def test_speech_is_an_audio(tiny, tmp_path):
    speech = tiny.synthesize("Hi.")
    assert len(repr(speech)) < 60
    assert speech != tiny.synthesize("Hi.")
    assert len({speech, speech}) == 1
    assert sk.load_audio(speech.save(tmp_path / "a.wav")).duration == speech.duration


def test_unknown_names_list_the_choices(folder):
    with pytest.raises(InputError, match=r"en_US-joe-medium.*\.onnx"):
        sk.load_tts("nobody")
    with pytest.raises(InputError, match="choose reference"):
        sk.load_tts(engine="steam")
    with pytest.raises(InputError, match="auto, cpu or cuda"):
        sk.load_tts(folder / "tiny.onnx", device="abacus")


# --- the real voice

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


@pytest.mark.real
def test_the_voice_equals_coqui_bit_for_bit(voice):
    text = "The birch canoe slid on the smooth planks."
    ids, _ = voice.engine.config.ids(phonemize(text, voice.language))
    expected, durations = _coqui_inference(voice.engine, ids, seed=3)
    own = voice.engine.config
    controls = Controls(own.length_scale, own.noise_scale, own.noise_w, 3)
    assert voice.engine.plan(ids, controls).durations == durations
    assert voice.synthesize(text, seed=3).samples.tobytes() == expected.tobytes()


@pytest.mark.real
def test_the_voice_equals_onnx_runtime(voice):
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
    np.testing.assert_allclose(ours.samples, expected, atol=5e-4)


@pytest.mark.real
def test_windows_with_eleven_frames_of_context_equal_the_whole(voice):
    ids, _ = voice.engine.config.ids(phonemize("Four hours of steady work faced us.", "en-us"))
    latent = voice.engine.plan(ids, Controls(1.0, 0.667, 0.8, 0))
    whole = voice.engine.render(latent, 0, latent.frames)
    pieces = []
    for start in range(0, latent.frames, 30):
        stop = min(start + 30, latent.frames)
        low, high = max(0, start - 11), min(stop + 11, latent.frames)
        window = voice.engine.render(latent, low, high)
        pieces.append(window[(start - low) * 256 : (stop - low) * 256])
    assert len(pieces) > 3
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5)


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
        (normal(write_out(text)), normal(text_heard))
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
