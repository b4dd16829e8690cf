"""The recipes on Whisper: their numbers on the real weights, and their parts on small examples."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image

pytestmark = pytest.mark.real


def lines_of(recipe, names):
    """The lines that these classes and functions take in the recipe's file."""
    tree = ast.parse(Path(recipe["__file__"]).read_text())
    spans = {node.name: node.end_lineno - node.lineno + 1 for node in tree.body
             if isinstance(node, ast.ClassDef | ast.FunctionDef)}  # fmt: skip
    return sum(spans[name] for name in names)


def lines_of_modules(*modules):
    return sum(len(Path(module.__file__).read_text().splitlines()) for module in modules)


@pytest.fixture(scope="module")
def net(recipe):
    return recipe("whisper")


@pytest.fixture(scope="module")
def search(recipe):
    return recipe("whisper_search")


@pytest.fixture(scope="module")
def tokens_of(search):
    """The times in seconds (floats) and words (strings) of a text as tokens."""
    tokenizer = search["tokenizer"]

    def encode(*parts):
        ids = []
        for part in parts:
            is_time = isinstance(part, float)
            time = tokenizer.timestamp_begin + round(part / 0.02) if is_time else None
            ids += [time] if is_time else tokenizer.encode(part)
        return ids

    return encode


class TestNetwork:
    def test_features_are_whispers(self, net):
        assert net["mel_difference"] < 1e-5
        assert net["mels"][0].shape == (80, 3000)

    def test_features_of_another_number_of_bands(self, net):
        import whisper

        samples = net["speech"][0]
        theirs = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), n_mels=128)
        assert (net["log_mel"](samples, 128) - theirs).abs().max() < 1e-5

    def test_features_of_long_sound_are_its_first_30_seconds(self, net):
        noise = torch.randn(31 * 16_000, generator=torch.Generator().manual_seed(0))
        assert torch.equal(net["log_mel"](noise), net["log_mel"](noise[: 30 * 16_000]))

    def test_silence_has_features(self, net):
        assert torch.allclose(net["log_mel"](torch.zeros(0)), torch.tensor(-1.5))

    def test_scale_of_pitch(self, net):
        hz = net["mel_to_hz"](torch.tensor([0.0, 3.0, 15.0, 42.0]))
        assert hz.tolist() == pytest.approx([0, 200, 1000, 6400])

    def test_attention_by_hand(self, net):
        """One head, identities for projections: queries and keys at scores of 0 and log 3."""
        attention = net["Attention"](1, 1).requires_grad_(False)
        for part in (attention.query, attention.key, attention.value, attention.out):
            part.weight.fill_(1.0)
        for part in (attention.query, attention.value, attention.out):
            part.bias.fill_(0.0)
        source = torch.tensor([[[0.0], [math.log(3.0)]]])
        out, weights = attention(torch.ones(1, 1, 1), *attention.keys_values(source))
        assert weights.flatten().tolist() == pytest.approx([0.25, 0.75])
        assert out.item() == pytest.approx(0.75 * math.log(3.0))

    def test_structure(self, net):
        assert net["unmoved"] == 0
        assert net["looked_around"] > 1e-3
        assert net["cached"] < 1e-5
        assert net["bias_effect"] < 1e-5

    def test_cache_takes_several_tokens_at_once(self, net):
        tiny, tokens = net["tiny"], torch.tensor([[3, 1, 4, 1, 5, 9]])
        states = tiny.encoder(torch.ones(1, 8, 20))
        whole = tiny.decoder(tokens, states)[0]
        cache = tiny.decoder.new_cache()
        pieces = [tiny.decoder(tokens[:, part], states, cache)[0] for part in
                  (slice(0, 2), slice(2, 5), slice(5, 6))]  # fmt: skip
        assert torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-5)

    def test_parameters(self, net):
        assert net["parameters_by_hand"] == net["parameters_in_file"]
        model = net["model"]
        assert sum(net["parameters_by_hand"].values()) == sum(p.numel() for p in model.parameters())

    def test_parameters_of_another_size(self, net):
        sizes, weights = net["official"]("tiny.en")
        assert net["count_by_hand"](sizes) == net["count_in_file"](weights)

    def test_sinusoids(self, net):
        assert net["positions_difference"] < 2**-11
        first, second = net["sinusoids"](2, 4)
        assert first.tolist() == [0, 0, 1, 1]
        assert second.tolist() == pytest.approx([math.sin(1), 1e-4, math.cos(1), 1], rel=1e-5)

    def test_logits_are_openai_whispers(self, net):
        assert net["exact_difference"] < 1e-5
        assert net["logits_difference"] < 3e-4
        assert net["largest_logit"] > 10  # the tolerance means something

    def test_cache(self, net):
        assert net["cache_difference"] < 1e-9
        assert net["cache_saves_work"] > 0.7 * net["some"].shape[1]  # near one for each token
        work = net["work"]
        assert work["self", "cross"] < work["cross",] < work[()]

    def test_blocks_are_the_standard_transformers(self, net):
        assert net["standard_difference"] < 1e-9
        assert net["extra_parameters"] == 18 * 512

    def test_standard_transformer_needs_the_norm_first(self, net):
        """The equality can fail: with the norm after each part the logits are others."""
        body = net["standard_transformer"](net["exact"], net["sizes"])
        for layer in [*body.encoder.layers, *body.decoder.layers]:
            layer.norm_first = False
        embedding, place = net["embedding"], net["place"]
        text = embedding(net["tokens"]) + place[: net["length"]]
        hidden = body(net["exact"].encoder.stem(net["mels"][0][None].double()), text)
        assert (hidden @ embedding.weight.T - net["exact_logits"]).abs().max() > 1

    def test_chosen_heads_follow_the_speech(self, net):
        """Over the text, the place they look at moves from the beginning to the end."""
        follows, rests = net["panels"].values()
        order = torch.arange(len(follows), dtype=torch.float32)

        def order_of_places(weights):
            place = weights.argmax(-1).float()
            return torch.corrcoef(torch.stack([place, order]))[0, 1].nan_to_num()

        assert order_of_places(follows) > 0.95
        assert order_of_places(rests) < 0.8
        assert net["following_share"] > 2 * net["resting_share"]

    def test_shorter_than_the_original(self, net):
        import whisper.audio
        import whisper.model

        parts = ("mel_to_hz", "mel_filters", "log_mel", "Sizes", "sinusoids", "Attention",
                 "EncoderBlock", "Encoder", "DecoderBlock", "Decoder", "Whisper")  # fmt: skip
        assert lines_of(net, parts) < lines_of_modules(whisper.audio, whisper.model) / 2


class TestTasks:
    def test_prompt(self, search):
        tokenizer, prompt = search["tokenizer"], search["task_prompt"]
        assert tuple(prompt(tokenizer, "en", "transcribe", True)) == tokenizer.sot_sequence
        with_mark = tokenizer.sot_sequence_including_notimestamps
        assert tuple(prompt(tokenizer, "en", "transcribe", False)) == with_mark

    def test_languages(self, search):
        assert search["language_difference"] < 1e-4
        assert search["languages_right"]

    def test_no_speech_is_openai_whispers(self, search):
        model, tokenizer = search["model"], search["tokenizer"]
        mel = search["log_mel"](torch.zeros(16_000))
        ours = search["first_look"](model, model.encoder(mel[None]), tokenizer)[1]
        theirs = search["reference_text"](search["reference"], mel, language="en", sample_len=1)
        assert ours == pytest.approx(theirs.no_speech_prob, abs=1e-4)


class TestRules:
    """Which tokens may follow, from logits that would all allow everything."""

    @pytest.fixture
    def allowed(self, search):
        tokenizer = search["tokenizer"]

        def after(said, timestamps=True, best_word=0.0):
            prompt = search["task_prompt"](tokenizer, "en", "transcribe", timestamps)
            logits = torch.zeros(search["sizes"].vocabulary)
            logits[tokenizer.encode(" word")] = best_word
            scores = search["next_scores"](logits, said, tokenizer, prompt)
            return {int(token) for token in (scores > -math.inf).nonzero()}

        return after

    @pytest.fixture
    def times(self, search):
        first = search["tokenizer"].timestamp_begin

        def span(start, end):  # s
            return set(range(first + round(start / 0.02), first + round(end / 0.02) + 1))

        return span

    def test_begins_with_a_time_within_a_second(self, allowed, times):
        assert allowed([], best_word=99.0) == times(0, 1)

    def test_words_follow_the_first_time(self, allowed, tokens_of, times):
        follow = allowed(tokens_of(0.0), best_word=99.0)
        assert follow
        assert not follow & times(0, 30)

    def test_a_segment_has_a_length(self, allowed, tokens_of, times):
        follow = allowed(tokens_of(0.5, " word"), best_word=99.0) & times(0, 30)
        assert follow == times(0.52, 30)

    def test_after_the_end_of_a_segment(self, search, allowed, tokens_of, times):
        follow = allowed(tokens_of(0.0, " word", 1.0), best_word=99.0)
        assert follow == times(1.0, 30)  # the sum of 1451 times at logit 0 beats the end at 0
        assert search["tokenizer"].eot not in follow

    def test_words_follow_the_start_of_a_segment(self, allowed, tokens_of, times):
        follow = allowed(tokens_of(0.0, " word", 1.0, 1.2), best_word=99.0)
        assert follow
        assert not follow & times(0, 30)

    def test_many_times_outweigh_a_word(self, allowed, tokens_of, times):
        """1450 times of logit 0 weigh as much as one word of logit log 1450 = 7.28."""
        assert allowed(tokens_of(1.0, " word"), best_word=7.2) == times(1.02, 30)
        assert not allowed(tokens_of(1.0, " word"), best_word=7.3) <= times(1.02, 30)

    def test_without_times(self, search, allowed, tokens_of):
        tokenizer = search["tokenizer"]
        assert tokenizer.eot not in allowed([], timestamps=False)
        assert tokenizer.eot in allowed(tokens_of(" word"), timestamps=False)
        assert not allowed([], timestamps=False) & set(tokenizer.non_speech_tokens)
        assert tokenizer.translate not in allowed([], timestamps=False)

    def test_as_openai_whisper_on_random_texts(self, search, tokens_of):
        from whisper.decoding import ApplyTimestampRules

        tokenizer, random = search["tokenizer"], np.random.default_rng(0)
        theirs = ApplyTimestampRules(tokenizer, 0, 50)
        word = tokens_of(" word")
        for _ in range(50):
            said = []
            for time in np.sort(random.integers(0, 1500, random.integers(0, 5))):
                said += [tokenizer.timestamp_begin + int(time), *word * random.integers(0, 2)]
            logits = torch.from_numpy(random.normal(0, 4, search["sizes"].vocabulary)).float()
            expected, result = logits[None].clone(), logits.clone()
            theirs.apply(expected, torch.tensor([said], dtype=torch.long))
            search["keep_time"](result, said, tokenizer)
            assert torch.equal(result, expected[0])


class TestSearch:
    def test_greedy(self, search):
        assert search["transcript"] == search["reference_transcript"]
        assert search["score_difference"] < 1e-4
        assert all(len(text) > 5 for text in search["transcript"].values())

    def test_text(self, search):
        text = search["tokenizer"].decode(search["transcript"][0, False]).lower()
        assert "sea was calm this morning" in text

    def test_several_segments(self, search):
        """The last recording has times inside, so all rules were at work."""
        first, last = search["tokenizer"].timestamp_begin, len(search["speech"]) - 1
        assert sum(token >= first for token in search["transcript"][last, True]) >= 4

    def test_translation(self, search):
        if not search["abroad"]:
            pytest.skip("no recordings in other languages; see SPEECHKIT_EVAL")
        assert search["translation"] == search["reference_translation"]

    def test_beam(self, search):
        assert search["beam_transcript"] == search["reference_beam_transcript"]
        assert all(len(text) > 5 for text in search["beam_transcript"].values())

    @pytest.mark.parametrize("width", [1, 2])
    def test_beam_of_other_widths(self, search, width):
        prompt = search["task_prompt"](search["tokenizer"], "en", "transcribe", True)
        ours, _ = search["beam_search"](
            search["model"], search["states"][0], search["tokenizer"], prompt, width
        )
        theirs = search["reference_text"](
            search["reference"], search["mels"][0], language="en", beam_size=width
        )
        assert ours == theirs.tokens

    def test_limit_of_length(self, search, monkeypatch):
        """Cut short, both searches give what openai-whisper gives."""
        prompt = search["task_prompt"](search["tokenizer"], "en", "transcribe", False)
        given = (search["model"], search["states"][0], search["tokenizer"], prompt)
        monkeypatch.setitem(search["greedy"].__globals__, "LONGEST", 6)
        for find, beam_size in ((search["greedy"], None), (search["beam_search"], 5)):
            theirs = search["reference_text"](
                search["reference"], search["mels"][0], language="en", without_timestamps=True,
                sample_len=6, beam_size=beam_size,
            )  # fmt: skip
            assert find(*given)[0] == theirs.tokens
            assert len(theirs.tokens) == 6

    def test_shorter_than_the_original(self, search):
        import whisper.decoding
        import whisper.timing

        parts = ("task_prompt", "first_look", "keep_time", "next_scores", "greedy", "beam_search",
                 "WordTime", "warp", "alignment", "word_times")  # fmt: skip
        assert lines_of(search, parts) < lines_of_modules(whisper.decoding, whisper.timing) / 4


class TestWordTimes:
    def test_are_openai_whispers(self, search):
        assert search["words_compared"] > 12  # the quick mode's
        assert search["word_time_difference"] < 0.02 + 1e-6
        assert search["word_chance_difference"] < 1e-4

    def test_are_in_order_and_in_the_recording(self, search):
        times = search["times"]
        bounds = [bound for word in times for bound in (word.start, word.end)]
        assert bounds == sorted(bounds)
        assert bounds[0] >= 0
        assert bounds[-1] <= len(search["speech"][search["shown"]]) / 16_000

    def test_warp_by_hand(self, search):
        """Along 1, 1, 1 and then the last row's 1; the direct way over the 9 costs more."""
        cost = np.array([[1.0, 1.0, 1.0, 5.0], [5.0, 9.0, 9.0, 1.0]])
        assert search["warp"](cost) == [(0, 0), (0, 1), (0, 2), (1, 3)]

    def test_warp_of_one_row_and_of_one_column(self, search):
        assert search["warp"](np.zeros((1, 3))) == [(0, 0), (0, 1), (0, 2)]
        assert search["warp"](np.zeros((3, 1))) == [(0, 0), (1, 0), (2, 0)]

    def test_warp_is_openai_whispers(self, search):
        from whisper.timing import dtw

        cost = np.random.default_rng(0).normal(size=(20, 60))
        theirs = dtw(torch.from_numpy(cost))
        assert search["warp"](cost) == list(zip(*theirs.tolist(), strict=True))

    def test_pictures(self, net, search):
        folder = Path(net["keep_picture"].__globals__["OUT"])
        for name in ("whisper_attention", "whisper_path"):
            picture = image.imread(folder / f"{name}.png")
            assert min(picture.shape[:2]) > 500
            assert picture[..., :3].std() > 0.05
