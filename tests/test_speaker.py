"""The speaker encoder: on a scripted engine, and both engines on the real weights."""

import json

import numpy as np
import pytest
import torch

import speechkit as sk
import speechkit.hub
from speechkit import AudioError, InputError, WeightsError
from speechkit.features import ecapa_fbank
from speechkit.speaker import SpeakerEncoder, similarity
from speechkit.speaker.ecapa import SpeechbrainEngine
from speechkit.speaker.ort import OnnxEngine

RATE = 16_000


class ScriptedEngine:
    """The mean of the filter bank's slopes, and what it was asked."""

    def __init__(self):
        self.shapes = []

    def embed(self, fbanks):
        found = []
        for fbank in fbanks:
            self.shapes.append(tuple(fbank.shape))
            found.append(np.pad(fbank.diff(dim=-1).abs().mean(0).numpy(), (0, 192 - 79)))
        return np.stack(found)


@pytest.fixture
def scripted():
    return SpeakerEncoder(ScriptedEngine(), "scripted", threshold=0.7)


def noise(seconds, seed=0, level=0.1):
    draws = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return sk.Audio((level * draws).astype("f4"), RATE)


def test_an_embedding_has_length_one_whatever_the_source(scripted, tmp_path):
    audio = noise(1)
    e = scripted.embed(audio)
    assert (e.shape, e.dtype) == ((192,), np.float32)
    assert np.linalg.norm(e) == pytest.approx(1, abs=1e-6)
    assert scripted.engine.shapes == [(101, 80)]
    path = audio.save(tmp_path / "a.wav")
    for source in (path, str(path), path.read_bytes(), (RATE, np.array(audio.samples))):
        assert similarity(scripted.embed(source), e) > 0.9999
    both = scripted.embed_many([audio, noise(2, 1)])
    assert np.array_equal(both, [e, scripted.embed(noise(2, 1))])


def test_what_holds_no_voice_is_refused(scripted):
    def sound(samples):
        return sk.Audio(np.asarray(samples, np.float32), RATE)

    cases = [
        (noise(0.1), r"0\.10 s long; give at least 0\.3 s"),
        (noise(0.29), r"give at least 0\.3 s"),
        (sound(np.zeros(RATE)), "silent; record again"),
        (sound(np.full(RATE, 0.5)), "silent; record again"),
        (noise(1, level=1e-6), "silent; record again"),
        (sound([]), "no samples"),
    ]
    for audio, message in cases:
        with pytest.raises(AudioError, match=message):
            scripted.embed(audio)
        with pytest.raises(AudioError, match=message):
            scripted.verify(noise(1), audio)
    assert scripted.embed(noise(0.31)).shape == (192,)


def test_hours_are_embedded_in_parts(scripted):
    long = noise(150)
    e = scripted.embed(long)
    assert [shape[0] for shape in scripted.engine.shapes] == [5001] * 3
    assert np.linalg.norm(e) == pytest.approx(1, abs=1e-6)
    assert similarity(e, scripted.embed(noise(20))) > 0.99
    scripted.engine.shapes.clear()
    pause = sk.Audio(np.concatenate([np.zeros(100 * RATE, "f4"), noise(50).samples]), RATE)
    scripted.embed(pause)
    assert len(scripted.engine.shapes) == 1  # silent parts say nothing
    scripted.embed(noise(60))
    assert scripted.engine.shapes[-1][0] == 6001  # a minute is one part


def test_verify_compares_with_the_threshold(scripted):
    a, b = noise(1, 1), noise(1, 2)
    score = similarity(scripted.embed(a), scripted.embed(b))
    found = scripted.verify(a, b)
    assert (found.score, found.threshold, found.same) == (score, 0.7, score >= 0.7)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-found.log_ratio)))
    assert scripted.verify(a, b, threshold=score).same
    assert not scripted.verify(a, b, threshold=float(np.nextafter(score, 2))).same
    assert scripted.verify(a, a).score == pytest.approx(1)


def test_lists_are_lists(scripted):
    for sources in ([], (), "a.wav", b"RIFF", noise(1)):
        with pytest.raises(InputError, match="give a list"):
            scripted.embed_many(sources)


def test_unknown_names_and_damaged_weights(tmp_path):
    with pytest.raises(InputError, match="spkrec-ecapa-voxceleb"):
        sk.load_speaker_encoder("nobody")
    with pytest.raises(InputError, match="choose fast or reference"):
        sk.load_speaker_encoder(engine="steam")
    damaged = tmp_path / "embedding_model.ckpt"
    for data in (b"", b"<html>", b"PK\x03\x04" + bytes(100)):
        damaged.write_bytes(data)
        for engine in (SpeechbrainEngine, OnnxEngine):
            with pytest.raises(WeightsError, match="fetch the model again"):
                engine(damaged)
    torch.save({"blocks.0.weight": torch.zeros(3)}, damaged)
    for engine in (SpeechbrainEngine, OnnxEngine):
        with pytest.raises(WeightsError, match="fetch the model again"):
            engine(damaged)


# --- the real weights


@pytest.fixture(scope="module")
def trials(eval_dir):
    """All trials: (same speaker?, path, path)."""
    lines = (eval_dir / "sv" / "trials.txt").read_text().split("\n")
    rows = [line.split() for line in lines if line.strip()]
    return [(label == "1", eval_dir / "sv" / a, eval_dir / "sv" / b) for label, a, b in rows]


@pytest.fixture(scope="module")
def reference():
    return sk.load_speaker_encoder(engine="reference", device="cpu")


def _speechbrains_own(checkpoint):
    """Its features, normalisation and network: samples (n,) → (192,)."""
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    fbank = Fbank(n_mels=80)
    normalise = InputNormalization(norm_type="sentence", std_norm=False)
    model = ECAPA_TDNN(80, lin_neurons=192, channels=[1024] * 4 + [3072]).eval()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))

    @torch.inference_mode()
    def embed(samples):
        whole = torch.ones(1)
        return model(normalise(fbank(torch.tensor(samples)[None]), whole), whole)[0, 0].numpy()

    return embed


@pytest.mark.real
def test_both_engines_equal_speechbrains_own_pipeline(encoder, reference, trials):
    checkpoint = speechkit.hub.fetch("spkrec-ecapa-voxceleb") / "embedding_model.ckpt"
    theirs_of = _speechbrains_own(checkpoint)
    exact = OnnxEngine(checkpoint, int8=False)
    for i in (0, 40, 300):
        audio = sk.load_audio(trials[i][1], RATE)
        theirs, fbank = theirs_of(audio.samples), ecapa_fbank(torch.tensor(audio.samples))
        tolerance = 1e-4 * np.abs(theirs).max()
        for engine in (reference.engine, exact):
            np.testing.assert_allclose(engine.embed([fbank])[0], theirs, atol=tolerance)
        unit = theirs / np.linalg.norm(theirs)
        np.testing.assert_allclose(reference.embed(audio), unit, atol=1e-4)
        cosine = similarity(encoder.embed(audio), unit)
        print(f"cosine of the fast engine and speechbrain: {cosine:.5f}")
        assert cosine > 0.999  # of its 8-bit layer


@pytest.mark.real
def test_an_embedding_does_not_depend_on_the_batch(encoder, trials):
    whole = np.concatenate([sk.load_audio(path, RATE).samples for _, _, path in trials[:12]])
    lengths = (0.3, 0.5, 1, 2, 3.3, 8, 15, 30)
    many = [sk.Audio(whole[: round(seconds * RATE)], RATE) for seconds in lengths]
    together = encoder.embed_many(many)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    cosines = [similarity(encoder.embed(one), e) for one, e in zip(many, together, strict=True)]
    print("cosine of one by one and together:", np.round(cosines, 6))
    assert min(cosines) >= 0.9999


@pytest.mark.real
def test_error_rates_on_forty_trials(encoder, trials):
    """Of the short recordings, which are the hard ones: 20 trials of each kind, as they lie."""
    short = [t for t in trials if all(path.stat().st_size < 130_000 for path in t[1:])]
    chosen = []
    for kind in (True, False):
        one_kind = [t for t in short if t[0] == kind]
        chosen += one_kind[:: len(one_kind) // 20][:20]
    assert len(chosen) == 40
    files = sorted({path for _, *paths in chosen for path in paths})
    embeddings = dict(zip(files, encoder.embed_many(files), strict=True))
    scores = np.array([similarity(embeddings[a], embeddings[b]) for _, a, b in chosen])
    same = np.array([label for label, _, _ in chosen])
    threshold = encoder.threshold
    accepts, rejects = (scores[~same] >= threshold).mean(), (scores[same] < threshold).mean()
    rates = [((scores[~same] >= t).mean(), (scores[same] < t).mean()) for t in sorted(scores)]
    eer = min(max(rate) for rate in rates)
    print(f"false accepts {accepts:.3f}, false rejects {rejects:.3f}, equal error rate {eer:.3f}")
    assert eer <= 0.06
    assert accepts <= 0.2
    assert rejects <= 0.06


@pytest.mark.real
def test_clear_cases(encoder, eval_dir):
    sets = [json.loads(line) for line in (eval_dir / "sv" / "trials_meta.jsonl").open()]
    for group, same in (("librispeech-test-other", True), ("vctk", True), ("vctk", False)):
        row = next(r for r in sets if r["group"] == group and r["label"] == same)
        result = encoder.verify(eval_dir / "sv" / row["enrol"], eval_dir / "sv" / row["test"])
        assert result.threshold == 0.42
        assert result.same == same, (row, result)


@pytest.mark.real
def test_the_voice_is_itself_and_not_a_smaller_person(voice, encoder, tmp_path):
    first = voice.synthesize("The birch canoe slid on the smooth planks.")
    second = voice.synthesize("Four hours of steady work faced us yesterday.", seed=2)
    shrunk = sk.Audio(second.resample(round(second.sample_rate / 1.35)).samples, second.sample_rate)
    assert encoder.verify(first, second).score > 0.5
    assert not encoder.verify(first, shrunk).same
    book = sk.SpeakerBook(tmp_path / "voices.db", encoder=encoder)
    book.enroll("Joe", [first])
    assert book.identify(second) == "Joe"
    assert book.identify(shrunk) is None
