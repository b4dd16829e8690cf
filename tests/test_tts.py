"""Speech synthesis: Piper's files, the voice on a tiny model and on the real one."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from tiny_voice import SYMBOLS, tiny_voice

import speechkit as sk
from speechkit import InputError, ProcessorError, SpeechkitError, WeightsError
from speechkit.tts.coqui import save_coqui_checkpoint
from speechkit.tts.engine import Controls
from speechkit.tts.loudness import measure_loudness
from speechkit.tts.normalize import normalize
from speechkit.tts.phonemes import phonemize
from speechkit.tts.piper import VoiceConfig, read_weights
from speechkit.tts.voice import FIRST_FRAMES, GROWTH

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


@pytest.fixture(scope="module")
def reference(folder, coqui):
    return sk.load_tts(folder / "tiny.onnx", engine="reference", device="cpu")


def test_a_voice_file_is_read_as_it_was_written(folder, coqui, reference):
    phonemes = phonemize("Hello, world. Is it you?", "en-us")
    piper_ids, _ = VoiceConfig.read(folder / "tiny.onnx.json").ids(phonemes)
    coqui.inference_noise_scale, coqui.inference_noise_scale_dp = 0.6, 0.7
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = coqui.inference(torch.tensor([piper_ids]))
    engine = reference.engine
    latent = engine.plan(engine.config.ids(phonemes)[0], Controls(1.0, 0.6, 0.7, 5))
    assert latent.durations == expected["durations"][0, 0].tolist()
    np.testing.assert_allclose(latent.z, expected["z"][0], atol=1e-4, rtol=1e-4)
    samples = engine.render(latent, 0, latent.frames)
    np.testing.assert_allclose(samples, expected["model_outputs"][0, 0], atol=1e-5)


@pytest.mark.parametrize(("kind", "speakers"), [("medium", 1), ("high", 1), ("medium", 3)])
def test_both_engines_say_the_same(tmp_path, kind, speakers):
    tiny_voice(tmp_path, kind=kind, speakers=speakers)
    voices = [
        sk.load_tts(tmp_path / "tiny.onnx", engine=engine, device="cpu")
        for engine in ("fast", "reference")
    ]
    said = []
    for number in range(speakers):
        speaker = f"p{number}" if speakers > 1 else number
        a, b = (v.synthesize(TWO, seed=5, speaker=speaker) for v in voices)
        np.testing.assert_allclose(a.samples, b.samples, atol=1e-5)
        chunks = [c.samples for c in voices[0].stream(TWO, seed=5, speaker=speaker)]
        np.testing.assert_allclose(np.concatenate(chunks), a.samples, atol=1e-5)
        said.append(a.samples.tobytes())
    assert len(set(said)) == speakers
    with pytest.raises(InputError, match=r"no speaker 'Eve'; choose one of (p0, p1, p2|0)$"):
        voices[0].synthesize(TWO, speaker="Eve")


def test_ids_stand_between_pads(folder, coqui):
    config = VoiceConfig.read(folder / "tiny.onnx.json")
    ids, owners = config.ids(["h", "☃", "i"])
    assert ids == [SYMBOLS.index(symbol) for symbol in "^_h_i_$"]
    assert owners == [-1, -1, 0, -1, 2, -1, -1]
    assert config.ids([])[0] == [SYMBOLS.index(symbol) for symbol in "^_$"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "fetch the voice again"),
        (b"\xff\xfe{", "fetch the voice again"),
        (b"[1, 2]", "fetch the voice again"),
        (b'{"model_type": "bert"}', "fetch the voice again"),
        ({"num_speakers": 2, "speaker_id_map": {"Eve": 2}}, "a speaker beyond the 2"),
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
    for engine in ("fast", "reference"):
        if (engine, kind) == ("fast", "another shape"):
            continue  # of a bias: it runs into it when it speaks
        with pytest.raises(WeightsError, match=r"fetch the voice again|use another voice"):
            sk.load_tts(tmp_path / "x.onnx", engine=engine, device="cpu")


def test_a_graph_and_a_configuration_that_disagree(tmp_path, folder, coqui):
    config = json.loads((folder / "tiny.onnx.json").read_text()) | {"num_speakers": 4}
    (tmp_path / "x.onnx.json").write_text(json.dumps(config))
    (tmp_path / "x.onnx").write_bytes((folder / "tiny.onnx").read_bytes())
    with pytest.raises(WeightsError, match=r"disagree about its speakers; fetch"):
        sk.load_tts(tmp_path / "x.onnx")


def test_an_id_beyond_the_table_is_refused(tmp_path, folder, coqui):
    config = json.loads((folder / "tiny.onnx.json").read_text())
    config["phoneme_id_map"]["☃"] = [len(SYMBOLS)]
    (tmp_path / "x.onnx.json").write_text(json.dumps(config))
    (tmp_path / "x.onnx").write_bytes((folder / "tiny.onnx").read_bytes())
    with pytest.raises(WeightsError, match="use another voice"):
        sk.load_tts(tmp_path / "x.onnx", engine="reference", device="cpu")
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
    both = tiny.synthesize("Yes. Yes.", pause_s=0)
    middle = round(both.sentences[1].start * both.sample_rate)
    assert not np.array_equal(both.samples[:1000], both.samples[middle : middle + 1000])


def test_no_noise_takes_the_seed_out(tiny):
    quiet = [tiny.synthesize("Hi.", seed=s, noise_scale=0, noise_w=0).samples for s in (0, 9)]
    assert np.array_equal(*quiet)


def test_speed(tiny):
    fast, normal, slow = (tiny.synthesize(TWO, speed=x, pause_s=0).duration for x in (2, 1, 0.5))
    assert normal / fast == pytest.approx(2, rel=0.15)
    assert slow / normal == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("engine", ["tiny", "reference"])
def test_the_stream_in_a_row_is_the_whole(request, engine, monkeypatch):
    voice = request.getfixturevalue(engine)
    plans, plan = [], voice.engine.plan
    monkeypatch.setattr(voice.engine, "plan", lambda *a: plans.append(a) or plan(*a))
    done = []
    stream = voice.stream(TWO + " Yes.", seed=7, progress=lambda *x: done.append(x))
    assert not plans
    first = next(stream)
    assert len(plans) == 1
    assert not done
    chunks = [first, *stream]
    assert done == [(1, 3), (2, 3), (3, 3)]
    whole = voice.synthesize(TWO + " Yes.", seed=7)
    joined = np.concatenate([c.samples for c in chunks])
    np.testing.assert_allclose(joined, whole.samples, atol=1e-5)
    assert {c.sample_rate for c in chunks} == {16_000}
    symbols = [p.symbol for c in chunks for p in c.phonemes]
    assert symbols == [p.symbol for p in whole.phonemes]
    passed = np.cumsum([0, *(c.duration for c in chunks)])
    starts = [p.start + at for c, at in zip(chunks, passed, strict=False) for p in c.phonemes]
    np.testing.assert_allclose(starts, [p.start for p in whole.phonemes])
    said = [s.later(at) for c, at in zip(chunks, passed, strict=False) for s in c.sentences]
    assert [s.text for s in said] == [s.text for s in whole.sentences]
    np.testing.assert_allclose([s.start for s in said], [s.start for s in whole.sentences])


def test_chunks_grow_from_a_quarter_of_a_second(tiny):
    text = "The quick brown fox jumps over the lazy dog, " * 6
    frames = [len(c.samples) // 256 for c in tiny.stream(text, speed=0.5)]
    assert frames[0] == FIRST_FRAMES
    for before, after in pairwise(frames[:-1]):
        assert before < after <= GROWTH * before or before == after


def test_the_pause_stands_between_sentences_only(tiny):
    none, some = (tiny.synthesize(TWO, pause_s=p) for p in (0.0, 0.5))
    assert len(some.samples) - len(none.samples) == 8000
    text = TWO.replace(". ", ".\n\n")
    apart = tiny.synthesize(text, pause_s=0.5, paragraph_pause_s=1.5)
    assert len(apart.samples) - len(some.samples) == 16_000
    assert len(tiny.synthesize("Hi.", pause_s=9).samples) == len(tiny.synthesize("Hi.").samples)


def test_times_of_phonemes(tiny):
    speech = tiny.synthesize(TWO, pause_s=0.5)
    times = [t for p in speech.phonemes for t in (p.start, p.end)]
    assert times[0] > 0
    assert times == sorted(times)
    assert times[-1] < speech.duration
    said = "".join(p.symbol for p in speech.phonemes)
    assert said == "".join("".join(phonemize(s.text, "en-us")) for s in speech.sentences)
    gap = next(i for i, p in enumerate(speech.phonemes) if p.symbol == ".")
    assert speech.phonemes[gap + 1].start - speech.phonemes[gap].end > 0.5
    # Symbols, pads and marks together fill the sentence, and every frame is a hop of samples.
    latent = tiny.engine.plan(tiny.engine.config.ids(list("həlˈoʊ"))[0], Controls(1, 0.6, 0.8, 1))
    assert sum(latent.durations) == latent.frames == latent.z.shape[1]
    assert len(tiny.engine.render(latent, 0, latent.frames)) == latent.frames * 256


def test_times_of_words(tiny):
    text = "It costs $45 in the U.S.; of the FBI's, I said."
    (sentence,) = (speech := tiny.synthesize(text)).sentences
    assert sentence.text == text
    words = speech.words
    assert [w.text for w in words] == normalize(text, "en-us").split()
    flat = [t for w in words for t in (w.start, w.end)]
    assert flat == sorted(flat)
    assert 0 <= flat[0] < flat[-1] <= sentence.end <= speech.duration
    assert all(w.end > w.start for w in words)
    assert speech.transcript.to("srt").splitlines()[2] == text


def test_a_comma_can_be_made_longer(tiny, reference):
    text = "One, two; three."
    plain = tiny.synthesize(text)
    for voice in (tiny, reference):
        long = voice.synthesize(text, comma_pause_s=0.8)
        marks = [p.end - p.start for p in long.phonemes if p.symbol in ",;"]
        assert marks == pytest.approx([0.8, 0.8])
        assert [w.end - w.start for w in long.words] == pytest.approx(
            [w.end - w.start for w in plain.words]
        )


@pytest.mark.parametrize("target", [-30.0, -20.0])
def test_loudness(tiny, target):
    speech = tiny.synthesize(TWO, loudness=target)
    assert measure_loudness(speech.samples, 16_000) == pytest.approx(target, abs=2)
    assert np.abs(speech.samples).max() < 1
    streamed = [c.samples for c in tiny.stream(TWO, loudness=target)]
    np.testing.assert_allclose(np.concatenate(streamed), speech.samples, atol=1e-5)


def test_ssml_slows_pauses_and_turns_down(tiny):
    plain = tiny.synthesize("One two three.")
    slow = tiny.synthesize('<speak><prosody rate="50%">One two three.</prosody></speak>')
    assert slow.duration / plain.duration == pytest.approx(2, rel=0.2)
    later = tiny.synthesize('<speak><break time="2s"/>One two three.<break time="1s"/></speak>')
    assert later.duration == pytest.approx(plain.duration + 3, rel=0.2)
    assert not later.samples[: 2 * 16_000].any()
    assert not later.samples[-16_000:].any()
    quiet = tiny.synthesize('<speak><prosody volume="-20dB">One two three.</prosody></speak>')
    np.testing.assert_allclose(quiet.samples, 0.1 * plain.samples, atol=1e-6)
    with pytest.raises(InputError, match="line 1"):
        tiny.synthesize("<speak>One <b></speak>")


def test_a_lexicon_and_inline_phonemes(folder, coqui, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("GIF\tjif\nNguyen\t[[wˈɪn]]\n", encoding="utf-8")
    for lexicon in (path, {"GIF": "jif", "Nguyen": "/wˈɪn/"}):
        voice = sk.load_tts(folder / "tiny.onnx", lexicon=lexicon)
        said = "".join(p.symbol for p in voice.synthesize("A GIF of Nguyen.").phonemes)
        assert "wˈɪn" in said
        assert "dʒˈɪf" in said
    said = [p.symbol for p in voice.synthesize("Say [[həlˈoʊ]] to me").phonemes]
    assert "həlˈoʊ" in "".join(said)


def test_a_word_in_another_script_is_transliterated_and_sounds_unknown_are_reported(tiny, caplog):
    words = [w.text for w in tiny.synthesize("Say привет to me.").words]
    assert words == ["Say", "privet", "to", "me."]
    caplog.clear()
    tiny.synthesize("Say [[ǁaː]] now.")
    assert "no sound for ǁ" in caplog.text


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
        {"comma_pause_s": -1},
        {"paragraph_pause_s": 61},
        {"loudness": 0},
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
    said = {p.symbol for p in german.synthesize("25", speed=4).phonemes}
    assert said == set(phonemize("fünfundzwanzig", "de")) & set(SYMBOLS)
    assert (german.name, german.language) == ("de", "de")


def test_speech_is_an_audio(tiny, tmp_path):
    speech = tiny.synthesize("Hi.")
    assert len(repr(speech)) < 60
    assert speech != tiny.synthesize("Hi.")
    assert len({speech, speech}) == 1
    assert sk.load_audio(speech.save(tmp_path / "a.wav")).duration == speech.duration


def test_unknown_names_list_the_choices(folder, coqui, monkeypatch):
    monkeypatch.setenv("SPEECHKIT_OFFLINE", "1")
    with pytest.raises(SpeechkitError, match=r"en_US-joe-medium.*\.onnx"):
        sk.load_tts("nobody")
    with pytest.raises(InputError, match="choose fast or reference"):
        sk.load_tts(engine="steam")
    with pytest.raises(InputError, match="auto, cpu or cuda"):
        sk.load_tts(folder / "tiny.onnx", engine="reference", device="abacus")
    with pytest.raises(ProcessorError, match="use device='cpu', or engine='reference'"):
        sk.load_tts(folder / "tiny.onnx", device="cuda")
