"""Both engines on a tiny Whisper of random weights: they agree, and nothing makes them stumble."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from audio_samples import RATE
from tiny_models import LONGEST, ctranslate2_file, tiny_whisper

from speechkit.asr import Transcriber
from speechkit.asr.bfloat16 import Bfloat16Encoder, quicker_encoder
from speechkit.asr.ctranslate import CTranslate2Engine, load_engine
from speechkit.asr.engine import DecodeOptions
from speechkit.asr.openai import OpenAiEngine, build
from speechkit.asr.reader import WindowReader
from speechkit.asr.windows import Window
from speechkit.audio import Audio, Limits
from speechkit.errors import AudioError, InputError, WeightsError
from speechkit.features import whisper_log_mel

KINDS = ("noise", "tone", "clicks")
ENGINES = ("fast", "reference")
GREEDY, BEAM = DecodeOptions("en"), DecodeOptions("en", beam_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_whisper(folder)
    return folder


@pytest.fixture(scope="module")
def engines(folder):
    """Both on one thread, for so small a model is slower on more; the fast one in float32."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechkit.asr.ctranslate.quicker_encoder", lambda *_: None)
        fast = CTranslate2Engine(folder, "tiny-test", "cpu", "float32")
    yield {"fast": fast, "reference": OpenAiEngine(build(folder, "tiny-test", "cpu"))}
    torch.set_num_threads(before)


@pytest.fixture(params=ENGINES)
def engine(request, engines):
    return engines[request.param]


@pytest.fixture
def asr(engine, amplitude_detector):
    return Transcriber(engine, "tiny")


def sound(kind, seconds=6.0):
    n, rng = np.arange(round(seconds * RATE)), np.random.default_rng(len(kind))
    samples = {
        "noise": np.clip(0.3 * rng.standard_normal(len(n)), -0.99, 0.99),
        "tone": 0.99 * np.sin(n / 20),
        "clicks": 0.99 * (n % 500 < 20),
    }[kind]
    return Audio(samples.astype(np.float32), RATE)


@pytest.fixture(scope="module")
def mel():
    """Log-mel of three sounds, filled up to 30 s: (3, 80, 3000)."""
    samples = np.stack([np.pad(sound(kind).samples, (0, 24 * RATE)) for kind in KINDS])
    return whisper_log_mel(torch.from_numpy(samples))


def plain(encoded):
    """The encoder's states as (batch, positions, width)."""
    return encoded.numpy() if isinstance(encoded, torch.Tensor) else encoded.window


# --- the engines agree


def test_both_engines_know_the_same_model(engines):
    fast, reference = engines["fast"], engines["reference"]
    assert (fast.n_mels, fast.multilingual) == (reference.n_mels, reference.multilingual)
    assert (fast.n_mels, fast.multilingual) == (80, True)
    assert fast.languages == reference.languages
    assert len(fast.languages) == 99
    sequences = [e.tokenizer("de", "translate").sot_sequence for e in engines.values()]
    assert sequences[0] == sequences[1]


def test_encoded_windows_agree(engines, mel):
    fast, reference = (plain(engines[name].encode(mel)) for name in ENGINES)
    assert fast.shape == (3, 1500, 64)
    np.testing.assert_allclose(fast, reference, atol=2e-5)


@pytest.mark.parametrize(
    "options",
    [
        GREEDY,
        BEAM,
        replace(BEAM, language="de", prompt=(5, 77)),
        replace(GREEDY, task="translate", prefix=(1000, 2000, 3000)),
        replace(GREEDY, prefix=(1000, 2000, 3000), max_tokens=222),
    ],
)
def test_texts_and_their_probabilities_agree(engines, mel, options):
    fast, reference = (engines[name].decode(engines[name].encode(mel), options) for name in ENGINES)
    assert [h.tokens for h in fast] == [h.tokens for h in reference]
    assert len({h.tokens for h in fast}) == 3, "the tiny model must hear a difference"
    for ours, theirs in zip(fast, reference, strict=True):
        assert ours.mean_log_probability == pytest.approx(theirs.mean_log_probability, abs=1e-4)
        assert ours.no_speech_probability == pytest.approx(theirs.no_speech_probability, abs=1e-6)


def test_languages_agree(engines, mel):
    fast, reference = (engines[name].detect_language(engines[name].encode(mel)) for name in ENGINES)
    for ours, theirs in zip(fast, reference, strict=True):
        assert ours.keys() == theirs.keys() == set(engines["fast"].languages)
        assert ours == pytest.approx(theirs, abs=1e-4)
        assert sum(ours.values()) == pytest.approx(1, abs=1e-3)


def test_times_of_words_agree(engines, mel):
    tokens = [h.tokens for h in engines["reference"].decode(engines["reference"].encode(mel), BEAM)]
    tokens[1] = tokens[1][:3]
    frames = [3000, 600, 601]
    fast, reference = (
        engines[name].align(engines[name].encode(mel), tokens, frames, BEAM) for name in ENGINES
    )
    assert [len(words) > 1 for words in fast] == [True] * 3
    for ours, theirs, length in zip(fast, reference, frames, strict=True):
        assert [(w.text, w.tokens) for w in ours] == [(w.text, w.tokens) for w in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=0.021)
            assert one.probability == pytest.approx(other.probability, abs=1e-3)
            assert 0 <= one.start <= one.end <= length / 100


# --- short windows


def test_what_the_encoder_leaves_out_is_filled_with_silence(engines, mel):
    fast = engines["fast"]
    silence = fast.encode(whisper_log_mel(torch.zeros(1, 30 * RATE))).window
    alone = [fast.encode(mel[i : i + 1, :, :n]).speech for i, n in enumerate((400, 800, 200))]
    states = fast.encode(mel[:, :, :800], [400, 800, 200])
    assert states.speech.shape == (3, 400, 64)
    np.testing.assert_array_equal(states.window[:, :400], states.speech)
    for window, speech in zip(states.window, alone, strict=True):
        seen = speech.shape[1]
        np.testing.assert_allclose(window[:seen], speech[0], atol=2e-5)
        after, end = window[seen:500], window[500:]
        np.testing.assert_allclose(after, silence[0, seen:500], atol=2e-5)
        np.testing.assert_allclose(end, silence[0, 1000:], atol=2e-5)
    mixed = fast.encode(mel[:, :, :1000], [1000, 802, 200]).window  # the shortest is a short one
    assert mixed.shape == (3, 1100, 64)
    np.testing.assert_allclose(mixed[2, 100:600], silence[0, 100:600], atol=2e-5)
    np.testing.assert_allclose(mixed[:, 600:], silence[[0] * 3, 1000:], atol=2e-5)
    long = fast.encode(mel[:, :, :1000], [1000, 802, 900]).window
    assert long.shape == (3, 750, 64)
    np.testing.assert_allclose(long[1, 401:], silence[0, 401:750], atol=2e-5)


def test_the_encoder_in_bfloat16_is_near_the_one_in_float32(engines, folder, mel):
    half = Bfloat16Encoder(build(folder, "tiny-test", "cpu").encoder)
    for frames in (800, 3000):
        exact = engines["fast"].encode(mel[:1, :, :frames]).speech
        rough = half(mel[:1, :, :frames], wide=False)
        assert rough.shape == exact.shape
        assert rough.dtype == np.float32
        assert np.abs(rough - exact).mean() < 0.02 * np.abs(exact).mean()


# --- batches, prompts, draws


@pytest.mark.parametrize("options", [GREEDY, BEAM, replace(GREEDY, temperature=0.8, seed=5)])
def test_a_window_says_the_same_alone_and_among_others(engine, mel, options):
    together = engine.decode(engine.encode(mel), options)
    alone = [engine.decode(engine.encode(mel[i : i + 1]), options)[0] for i in range(3)]
    assert [h.tokens for h in together] == [h.tokens for h in alone]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.mean_log_probability == pytest.approx(theirs.mean_log_probability, abs=1e-4)


def test_the_text_goes_on_behind_its_prefix(engine, mel):
    encoded = engine.encode(mel[:1])
    (free,) = engine.decode(encoded, GREEDY)
    (led,) = engine.decode(encoded, replace(GREEDY, prefix=free.tokens[:4]))
    assert led.tokens == free.tokens
    (other,) = engine.decode(encoded, replace(GREEDY, prefix=(1000, 2000)))
    assert other.tokens[:2] == (1000, 2000)
    assert other.tokens != free.tokens


def test_no_more_tokens_than_allowed_are_written(engine, mel):
    encoded = engine.encode(mel)
    for most in (1, 5):
        for options in (GREEDY, BEAM):
            found = engine.decode(encoded, replace(options, max_tokens=most))
            assert {len(h.tokens) for h in found} == {most}
    assert max(len(h.tokens) for h in engine.decode(encoded, GREEDY)) < LONGEST


def test_times_and_other_marks_are_no_text(engine):
    for kind, seconds in (("clicks", 12.5), ("tone", 12.5), ("noise", 20)):
        samples = np.pad(sound(kind, seconds).samples, (0, round((30 - seconds) * RATE)))
        encoded = engine.encode(whisper_log_mel(torch.from_numpy(samples[None])))
        (found,) = engine.decode(encoded, GREEDY)
        assert found.tokens
        assert max(found.tokens) < engine.tokenizer("en", "transcribe").eot


def test_draws_follow_the_seed_and_leave_torch_alone(engine, mel):
    encoded = engine.encode(mel[:1])
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    drawn = [
        engine.decode(encoded, DecodeOptions("en", temperature=1.0, seed=seed))[0].tokens
        for seed in (1, 2, 1)
    ]
    assert drawn[0] == drawn[2] != drawn[1]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_text_has_no_words(engine, mel):
    encoded = engine.encode(mel[:2])
    (empty, one) = engine.align(encoded, [(), (400,)], [600, 600], GREEDY)
    assert empty == []
    assert len(one) == 1


# --- the transcriber above them


def test_the_same_sound_gives_the_same_bytes_in_any_order_and_thread(asr):
    def transcribe(kind):
        return asr.transcribe(sound(kind), words=True).to("json")

    alone = {kind: transcribe(kind) for kind in KINDS}
    assert len(set(alone.values())) == len(KINDS)
    for kind in reversed(KINDS):
        assert transcribe(kind) == alone[kind]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(transcribe, KINDS)) == [alone[kind] for kind in KINDS]


def test_several_windows_are_read_with_the_default_beam(asr):
    pause = np.zeros(3 * RATE, np.float32)
    parts = [part for kind in KINDS for part in (sound(kind).samples, pause)]
    transcript = asr.transcribe((RATE, np.concatenate(parts)), language="en", words=True)
    starts = {int(word.start // 9) for s in transcript.segments for word in s.words}
    assert starts == {0, 1, 2}


def test_words_are_orderly_and_make_up_the_text(asr):
    for kind, seconds in (("noise", 6.0), ("tone", 35.0), ("clicks", 12.5)):
        transcript = asr.transcribe(sound(kind, seconds), language="en", words=True)
        assert transcript.duration == seconds
        assert transcript.segments
        words = [w for s in transcript.segments for w in s.words]
        assert " ".join(w.text for w in words) == transcript.text
        assert all(a.end <= b.start for a, b in pairwise(words))
        bounds = [0, *(t for s in transcript.segments for t in (s.start, s.end)), seconds]
        assert bounds == sorted(bounds)
        assert all(0 < s.confidence <= 1 for s in transcript.segments)


@pytest.mark.parametrize("size", [1, 160, 319, 320, 512, 5000, 480_000])
def test_no_window_is_too_short_or_too_long(engine, size):
    window = Window(
        1600, sound("noise", 30).samples[:size].copy(), np.ones(-(-size // 512), np.float32)
    )
    reader = WindowReader(engine)
    encoded = reader.encode([window])
    (words,) = reader.place(encoded, engine.decode(encoded.states, GREEDY), GREEDY)
    assert words
    for word in words:
        assert window.start_s - 1e-3 <= word.start <= word.end <= window.end_s + 1e-3


def test_the_tiny_model_keeps_to_the_limits(asr, tmp_path):
    path = sound("tone", 4.0).save(tmp_path / "tone.wav")
    with pytest.raises(AudioError, match="limit of 3 seconds"):
        asr.transcribe(path, limits=Limits(seconds=3))
    assert asr.transcribe(path, limits=Limits(seconds=4.5)).duration == 4.0


def test_detection_gives_a_probability_to_each_language(asr):
    probabilities = asr.detect_language(sound("noise"))
    assert set(probabilities) == set(asr.engine.languages)
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    transcript = asr.transcribe(sound("noise"))
    assert transcript.language == next(iter(probabilities))
    assert transcript.language_probability == pytest.approx(probabilities[transcript.language])


def test_warming_up_changes_nothing(asr):
    before = asr.transcribe(sound("tone"), language="en")
    asr.warm_up()
    assert asr.transcribe(sound("tone"), language="en") == before


# --- loading a folder


def test_a_given_precision_is_the_encoder_s_too(folder, monkeypatch):
    quicker = Bfloat16Encoder(build(folder, "tiny-test", "cpu").encoder)
    monkeypatch.setattr("speechkit.asr.ctranslate.quicker_encoder", lambda *_: quicker)
    assert CTranslate2Engine(folder, "tiny-test", "cpu")._bfloat16 is quicker
    assert CTranslate2Engine(folder, "tiny-test", "cpu", "float32")._bfloat16 is None


def test_weights_that_only_ctranslate2_reads_neither_speed_up_nor_draw(
    engines, mel, folder, tmp_path, monkeypatch
):
    (tmp_path / "model.bin").write_bytes(ctranslate2_file({"a": np.zeros(3, np.int8)}))
    times = iter([1.0, 10.0])  # of a matrix product, in bfloat16 and float32
    monkeypatch.setattr("speechkit.asr.bfloat16._seconds", lambda *_: next(times))
    assert quicker_encoder(lambda *_: None, tmp_path, "tiny-test") is None
    monkeypatch.setattr("speechkit.asr.ctranslate.quicker_encoder", lambda *_: None)
    fast = CTranslate2Engine(folder, "tiny-test", "cpu", "float32")
    fast.folder = tmp_path
    encoded = fast.encode(mel[:1])
    assert fast.decode(encoded, GREEDY)[0].tokens
    for _ in range(2):
        with pytest.raises(WeightsError, match="do not fit openai-whisper"):
            fast.decode(encoded, replace(GREEDY, temperature=0.2))


def test_a_folder_in_ctranslate2_s_format_is_a_model(folder, amplitude_detector):
    engine = load_engine(folder, "cpu")
    assert engine.precision == "int8"
    assert load_engine(str(folder), "cpu", "float32").precision == "float32"
    assert Transcriber(engine, "tiny").transcribe(sound("noise")).duration == 6.0


def test_a_folder_may_bear_the_name_of_another_model(folder, tmp_path):
    (tmp_path / "small").symlink_to(folder)
    assert OpenAiEngine(build(tmp_path / "small", "small", "cpu")).n_mels == 80


def test_folders_and_precisions_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(InputError, match=r"choose one of base, .*or use engine='reference'"):
        load_engine(tmp_path)
    with pytest.raises(InputError, match="precision 'int3' can't be used on cpu"):
        load_engine(folder, "cpu", "int3")
    data = (folder / "model.bin").read_bytes()
    (tmp_path / "model.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="delete the folder and fetch it again"):
        load_engine(tmp_path, "cpu")
