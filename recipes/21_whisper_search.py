r"""
Whisper's search for the text, and the times of its words
=========================================================

:Answers: questions 26 (how Whisper is told what to do, and how text and times come out), 7
    (cross-attention tells when each word was said), 16 (tokens for text, languages, tasks and
    times)
:Needs: the weights of Whisper ``base``; openai-whisper to be compared with; the network of
    ``20_whisper.py``
:Takes: 50 s (20 s with ``--quick``) on two cores, weights fetched before

The network gives a probability to every token that could come next. A text has to be chosen from
that, one token after the other. Which language is spoken, whether to transcribe or to translate,
and when each segment begins are tokens too, so rules say which may follow which. The times of
single words are not written down anywhere; they are read off the cross-attention.

Each part is held against OpenAI's own package: the same tokens, and the same times to within one
step of 0.02 s.
"""

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
import whisper
from common import QUICK, RATE, import_recipe, keep_picture, listed
from torch import Tensor, nn
from torch.nn import functional as F
from whisper.decoding import DecodingOptions
from whisper.timing import find_alignment
from whisper.tokenizer import Tokenizer, get_tokenizer

from speechkit.asr.openai import load_engine

network = import_recipe("whisper")
Whisper, log_mel, HOP = network.Whisper, network.log_mel, network.HOP

# %%
# One sequence for many tasks
# ---------------------------
#
# Whisper is told what to do by tokens in front of the text: start, language, transcribe or
# translate, and whether times are wanted. It learned them like words, so they can also be asked
# for. Given the start token alone, the next token it expects is the language. The same step tells
# how probable it finds that nobody speaks.


def task_prompt(tokenizer: Tokenizer, language: str, task: str, timestamps: bool) -> list[int]:
    """The tokens that say what to do."""
    names = ["startoftranscript", language, task, *([] if timestamps else ["notimestamps"])]
    return [tokenizer.special_tokens[f"<|{name}|>"] for name in names]


def first_look(model: Whisper, states: Tensor, tokenizer: Tokenizer) -> tuple[Tensor, float]:
    """Probabilities of the languages, [99], and the probability that there is no speech."""
    logits = model.decoder(torch.tensor([[tokenizer.sot]]), states)[0][0, -1]
    languages = logits[list(tokenizer.all_language_tokens)].softmax(0)
    return languages, float(logits.softmax(0)[tokenizer.no_speech])


def foreign(count: int) -> list[tuple[str, Tensor]]:
    """Recordings in other languages and their codes; none where the evaluation speech is not."""
    found = listed("asr_multi", "picovoice", count)
    return [(row["lang"], torch.tensor(audio.samples)) for audio, row in found]


def joined(parts: list[Tensor]) -> Tensor:
    """Recordings one after the other, half a second of silence between, cut at 30 s."""
    pause = torch.zeros(RATE // 2)
    return torch.cat([piece for part in parts for piece in (part, pause)])[: network.SECONDS * RATE]


if __name__ == "__main__":
    sizes, weights = network.official("base")
    model = network.filled(sizes, weights)
    reference = load_engine("base", device="cpu").model.requires_grad_(False)
    tokenizer = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
    first_time, languages = tokenizer.timestamp_begin, tokenizer.all_language_tokens
    counts = {
        "pieces of text": tokenizer.eot,
        "languages": len(languages),
        "times": sizes.vocabulary - first_time,
        "other marks": first_time - tokenizer.eot - len(languages),
    }
    print(f"{sizes.vocabulary} tokens:", counts)
    for prompt in (("fr", "translate", False), ("en", "transcribe", True)):
        print(tokenizer.decode_with_timestamps(task_prompt(tokenizer, *prompt)))
    assert counts["times"] == network.SECONDS * 50 + 1, "one per 0.02 s, both ends included"

# %%
# The detected languages, and the probability of no speech, which openai-whisper gives as well. Real
# recordings in other languages are there only with the evaluation speech.

if __name__ == "__main__":
    spoken, *recordings = network.some_speech(0 if QUICK else 3)
    spoken = spoken[: round(3.8 * RATE)] if QUICK else spoken
    abroad = foreign(1 if QUICK else 2)
    language_difference, detected, encoded = 0.0, {}, {}
    for name, samples in [("en", spoken), *abroad, ("silence", torch.zeros(RATE))]:
        encoded[name] = heard = model.encoder(log_mel(samples)[None])
        chances, no_speech = first_look(model, heard, tokenizer)
        detected[name] = tokenizer.all_language_codes[int(chances.argmax())]
        theirs = whisper.detect_language(reference, heard, tokenizer)[1][0]
        theirs = torch.tensor([theirs[code] for code in tokenizer.all_language_codes])
        language_difference = max(language_difference, float((chances - theirs).abs().max()))
        print(f"{name:>7}: heard as {detected[name]} ({float(chances.max()):.2f}),", end=" ")
        print(f"no speech {no_speech:.2f}")
    print(f"probabilities of languages: {language_difference:.1e} from openai-whisper's")
    assert language_difference < 1e-4, "more than the rounding of float32"
    languages_right = all(name in ("silence", found) for name, found in detected.items())
    assert languages_right, "a language was mistaken"

# %%
# Which token may come next
# -------------------------
#
# The network gives a probability to every token; the search forbids what makes no sense. Marks
# such as brackets and notes of music, which stand for no spoken word, are never allowed, and the
# text must not begin with a space or with its end. With times wanted, the times obey four rules:
#
# 1. The text begins with a time, of at most one second.
# 2. Times come in pairs, the end of one segment and the start of the next; the first and the last stand
#    alone.
# 3. Time does not run backwards, and a segment has a length.
# 4. If all times together are more probable than the best word, a time comes next. The probability
#    is spread over neighbouring times, so no single one would win against a word.

FIRST_TIME = 50  # steps of 0.02 s: the first segment begins within a second
LONGEST = 224  # tokens: half of the decoder's context


def keep_time(logits: Tensor, said: list[int], tokenizer: Tokenizer) -> None:
    """Rules of the times, as -inf in the logits [vocabulary]."""
    first = tokenizer.timestamp_begin
    at_time = bool(said) and said[-1] >= first
    ends_segment = at_time and len(said) > 1 and said[-2] < first  # a word, then a time
    logits[tokenizer.no_timestamps] = -math.inf
    if not said:  # rule 1
        logits[:first] = -math.inf
        logits[first + FIRST_TIME + 1 :] = -math.inf
    elif ends_segment:  # rule 2: a start, or the end of all
        logits[: tokenizer.eot] = -math.inf
    elif at_time:  # rule 2: both times are there, now words
        logits[first:] = -math.inf
    times = [token for token in said if token >= first]
    if times:  # rule 3: a next segment may begin where the last one ended, not end where it began
        logits[first : times[-1] + (0 if ends_segment else 1)] = -math.inf
    if logits[first:].logsumexp(0) > logits[:first].max():  # rule 4
        logits[:first] = -math.inf


def next_scores(logits: Tensor, said: list[int], tokenizer: Tokenizer, prompt: list[int]) -> Tensor:
    """Log-probabilities of the next token, [vocabulary], once the rules are applied."""
    logits = logits.clone()
    marks = ("startoftranscript", "transcribe", "translate", "startoflm", "startofprev", "nospeech")
    logits[[tokenizer.special_tokens[f"<|{mark}|>"] for mark in marks]] = -math.inf
    logits[list(tokenizer.non_speech_tokens)] = -math.inf
    if not said:
        logits[[*tokenizer.encode(" "), tokenizer.eot]] = -math.inf
    if tokenizer.no_timestamps not in prompt:
        keep_time(logits, said, tokenizer)
    return logits.log_softmax(0)


# %%
# Greedy search
# -------------
#
# Greedy search takes the most probable token at each step, until the end token is the most
# probable. It is quick, and for clear speech it is mostly right. What it can't do is take back a
# token that turns out badly later.


def greedy(model: Whisper, states: Tensor, tokenizer: Tokenizer, prompt: list[int]):
    """The tokens, and the mean of their log-probabilities."""
    said, total = [], 0.0
    feed, cache = prompt, model.decoder.new_cache()
    while len(said) < LONGEST:
        logits = model.decoder(torch.tensor([feed]), states, cache)[0]
        scores = next_scores(logits[0, -1], said, tokenizer, prompt)
        token = int(scores.argmax())
        total += float(scores[token])
        if token == tokenizer.eot:
            break
        said.append(token)
        feed = [token]  # the cache knows the rest
    return said, total / (len(said) + 1)


def reference_text(reference: nn.Module, mel: Tensor, **options):
    """openai-whisper's result for a log-mel or for its own states of one, in float32."""
    return reference.decode(mel, DecodingOptions(fp16=False, **options))


if __name__ == "__main__":
    speech = [spoken, *recordings[2:]]
    if not QUICK:  # a window of several voices
        speech.append(joined([*recordings[:2], spoken]))
    mels = [log_mel(samples) for samples in speech]
    states = [encoded["en"], *(model.encoder(mel[None]) for mel in mels[1:])]
    reference_states = [reference.encoder(mel[None])[0] for mel in mels]
    cases = [(k, timestamps) for k in range(len(speech)) for timestamps in (False, True)]
    transcript, reference_transcript, score_difference, sums = {}, {}, 0.0, {}
    for k, timestamps in cases:
        prompt = task_prompt(tokenizer, "en", "transcribe", timestamps)
        transcript[k, timestamps], score = greedy(model, states[k], tokenizer, prompt)
        sums[k, timestamps] = score * (len(transcript[k, timestamps]) + 1)
        options = {"language": "en", "without_timestamps": not timestamps}
        theirs = reference_text(reference, reference_states[k], **options)
        reference_transcript[k, timestamps] = theirs.tokens
        score_difference = max(score_difference, abs(score - theirs.avg_logprob))
    for case in dict.fromkeys((*cases[:2], cases[-1])):
        print(tokenizer.decode_with_timestamps(transcript[case]))
    tokens = sum(map(len, transcript.values()))
    print(f"{len(cases)} transcripts, {tokens} tokens,", end=" ")
    print(f"all as openai-whisper's: {transcript == reference_transcript}")
    assert transcript == reference_transcript, "another token than openai-whisper's greedy search"
    assert score_difference < 1e-4, "more than the rounding of float32"

# %%
# The same sound with another task token gives another text: ``translate`` writes English. Without
# recordings in other languages this is not shown.

if __name__ == "__main__":
    translation, reference_translation = [], []
    for language, samples in abroad[:2]:
        mel, heard = log_mel(samples), encoded[language]
        for task in ("translate",) if QUICK else ("transcribe", "translate"):
            prompt = task_prompt(tokenizer, language, task, timestamps=False)
            translation.append(greedy(model, heard, tokenizer, prompt)[0])
            options = {"language": language, "task": task, "without_timestamps": True}
            theirs = reference_text(reference, mel, **options)
            reference_translation.append(theirs.tokens)
            print(f"{language}, {task}: {tokenizer.decode(translation[-1]).strip()}")
    if not abroad:
        print("no recordings in other languages here: not shown")
    assert translation == reference_translation, "another token than openai-whisper's"
    if not QUICK:
        both = zip(translation[::2], translation[1::2], strict=True)
        assert all(transcribed != english for transcribed, english in both), "the task did nothing"

# %%
# Beam search
# -----------
#
# Beam search keeps several beginnings at once. At each step every one of them is continued in
# every likely way, and the best five are kept. A text that ends is put aside; when five are put
# aside, the one with the best sum divided by its number of tokens wins; openai-whisper does not count
# the end. It is divided because a sum of logarithms would favour short texts.
#
# .. math::
#
#    \hat y = \arg\max_y \frac{1}{|y|} \Bigl( \sum_{i} \log p(y_i \mid y_{<i}, \text{sound})
#    + \log p(\text{end} \mid y, \text{sound}) \Bigr)


def beam_search(model: Whisper, states: Tensor, tokenizer: Tokenizer, prompt: list[int], width=5):
    """The tokens of the best of `width` texts, and the sum of their log-probabilities."""
    beams, ended = [(0.0, [])], []  # sums of log-probabilities, and tokens
    feed, cache = [prompt], model.decoder.new_cache()
    while len(ended) < width and len(beams[0][1]) < LONGEST:
        logits = model.decoder(torch.tensor(feed), states, cache)[0]
        candidates = []
        for row, (total, said) in enumerate(beams):
            best = next_scores(logits[row, -1], said, tokenizer, prompt).topk(width + 1)
            for score, token in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                candidates.append((total + score, [*said, token], row))
        beams, rows = [], []
        for total, said, row in sorted(candidates, key=lambda candidate: -candidate[0]):
            if said[-1] == tokenizer.eot:
                ended.append((total, said[:-1]))
            else:
                beams.append((total, said))
                rows.append(row)
            if len(beams) == width:
                break
        for kept in cache:  # each beam takes the memory of the one it continues
            kept["self"] = tuple(part[rows] for part in kept["self"])
        feed = [[said[-1]] for _, said in beams]
    total, said = max((ended + beams)[:width], key=lambda text: text[0] / len(text[1]))
    return said, total


if __name__ == "__main__":
    beam_transcript, reference_beam_transcript = {}, {}
    for k, timestamps in cases[:1] if QUICK else cases[1:2]:
        prompt = task_prompt(tokenizer, "en", "transcribe", timestamps)
        said, total = beam_search(model, states[k], tokenizer, prompt)
        beam_transcript[k, timestamps] = said
        by_greedy = sums[k, timestamps] / len(transcript[k, timestamps])
        by_beam = total / len(said)
        print(f"log-probability per token: greedy {by_greedy:.4f}, beam {by_beam:.4f}")
        assert by_beam > by_greedy - 1e-4, "the beam found a text that is worth less"
        options = {"language": "en", "without_timestamps": not timestamps, "beam_size": 5}
        theirs = reference_text(reference, reference_states[k], **options)
        reference_beam_transcript[k, timestamps] = theirs.tokens
    unlike_greedy = sum(said != transcript[case] for case, said in beam_transcript.items())
    print(f"{unlike_greedy} of {len(beam_transcript)} texts differ from the greedy ones;", end=" ")
    print(f"all as openai-whisper's: {beam_transcript == reference_beam_transcript}")
    assert beam_transcript == reference_beam_transcript, "not openai-whisper's beam search"

# %%
# When was each word said
# -----------------------
#
# Nobody told Whisper when a word is said, but some of its cross-attention heads look at the place
# that is being written down. Their weights form a matrix, tokens by moments. The best path
# through it that never goes back, in text or in time, gives every token its place: dynamic time
# warping.
#
# The matrix comes from one pass over the known text. The weights of the heads known to align are
# standardised over the tokens at each moment (a moment that all tokens look at says nothing),
# smoothed by a median over 7 moments, and averaged. The cost is the negative of that. The best path
# to a cell comes from one of three neighbours:
#
# .. math::
#
#    D_{ij} = C_{ij} + \min(D_{i-1,j-1},\ D_{i-1,j},\ D_{i,j-1})
#
# A word begins at the first moment that the path gives to its first token, and ends where the next
# word begins.

MOMENT = 2 * HOP / RATE  # s per vector of the encoder: 0.02
MEDIAN = 7  # moments that the smoothing spans


@dataclass(frozen=True)
class WordTime:
    """A word, when it was said, and the mean probability of its tokens."""

    word: str
    start: float  # s
    end: float  # s
    probability: float


def warp(cost: np.ndarray) -> list[tuple[int, int]]:
    """The cheapest way from corner to corner of a matrix, as cells (row, column)."""
    total = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)  # a border of infinite cost
    total[0, 0] = 0.0
    for i, j in np.ndindex(*cost.shape):
        total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    i, j = cost.shape[0] - 1, cost.shape[1] - 1
    path = [(i, j)]
    while (i, j) != (0, 0):  # back along the cheapest neighbours
        neighbours = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min(neighbours, key=lambda cell: total[cell[0] + 1, cell[1] + 1])
        path.append((i, j))
    return path[::-1]


def alignment(model: Whisper, states: Tensor, tokenizer: Tokenizer, text: list[int], moments: int):
    """Tokens and end by moments, large where each is heard; the probabilities of the tokens."""
    prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    tokens = torch.tensor([[*prompt, *text, tokenizer.eot]])
    logits, attention = model.decoder(tokens, states)
    rows = slice(len(prompt) - 1, -1)  # where each token, and then the end, is about to be written
    heads = network.aligning_heads("base")
    weights = torch.stack([attention[layer, 0, head] for layer, head in heads])[..., :moments]
    weights = weights / weights.sum(-1, keepdim=True)  # the silence at the end is left out
    std, mean = torch.std_mean(weights, dim=1, keepdim=True, correction=0)
    padded = F.pad((weights - mean) / std, (MEDIAN // 2, MEDIAN // 2), mode="reflect")
    smooth = padded.unfold(-1, MEDIAN, 1).median(-1).values
    words_only = logits[0, rows, : tokenizer.eot].softmax(-1)
    return smooth.mean(0)[rows], words_only[range(len(text)), text]


def word_times(matrix: Tensor, chances: Tensor, tokenizer: Tokenizer, text: list[int]):
    """The words of a text with their times, and the path."""
    path = warp(-matrix.numpy())
    onset = {}
    for token, moment in path:
        onset.setdefault(token, moment)  # the first moment of each token
    words, pieces = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    bounds = np.cumsum([0, *map(len, pieces[:-1])])  # the first token of each word, and of the end
    times = [
        WordTime(word, MOMENT * onset[a], MOMENT * onset[b], float(chances[a:b].mean()))
        for word, a, b in zip(words[:-1], bounds[:-1], bounds[1:], strict=True)
    ]
    return times, path


# %%
# A toy first: four tokens, each heard for a while. The path finds the steps.

if __name__ == "__main__":
    heard_at = [0, 0, 1, 1, 1, 2, 3, 3]  # which token sounds at each moment
    toy_path = warp(-np.eye(4)[:, heard_at])
    print("warped:", [token for token, _ in toy_path])
    assert [token for token, _ in toy_path] == heard_at, "the path misses the steps"

# %%
# On speech, the times of all words against those of openai-whisper. They are multiples of 0.02 s,
# and no word may be off by more than one such step.

if __name__ == "__main__":
    word_time_difference, word_chance_difference, words_compared = 0.0, 0.0, 0
    for k, samples in enumerate(speech):
        said, frames = transcript[k, False], len(samples) // HOP
        matrix, chances = alignment(model, states[k], tokenizer, said, frames // 2)
        ours, _ = word_times(matrix, chances, tokenizer, said)
        theirs = find_alignment(reference, tokenizer, said, mels[k], frames)
        for a, b in zip(ours, theirs, strict=True):
            assert a.word == b.word, f"{a.word} is not {b.word}"
            off = max(abs(a.start - b.start), abs(a.end - b.end))
            word_time_difference = max(word_time_difference, float(off))
            off = abs(a.probability - b.probability)
            word_chance_difference = max(word_chance_difference, float(off))
        words_compared += len(ours)
    print(f"{words_compared} words: times differ by {word_time_difference:.3f} s at most,", end=" ")
    print(f"probabilities by {word_chance_difference:.1e}")
    assert word_time_difference < MOMENT + 1e-6, "a word is off by more than one step"

# %%
# The picture: the standardised matrix, the path through it, and each word at the row of its first
# token and at the moment where the path puts it.


def draw_path(matrix: Tensor, path: list[tuple[int, int]], times: list[WordTime], rows: list[int]):
    """The matrix that is warped, the path, and the words along it."""
    figure, axes = plt.subplots(figsize=(9, 7), layout="constrained")
    extent = (0, matrix.shape[1] * MOMENT, len(matrix) - 0.5, -0.5)
    image = axes.imshow(matrix.numpy(), aspect="auto", extent=extent, cmap="Blues")
    tokens, moments = zip(*path, strict=True)
    axes.plot((np.array(moments) + 0.5) * MOMENT, tokens, color="crimson", label="warping path")
    axes.vlines([word.start for word in times], -0.5, rows, color="gray", linewidth=0.5)
    axes.set_yticks([*rows, len(matrix) - 1], [*(word.word.strip() for word in times), "(end)"])
    axes.set(xlabel="time, s (gray: a word begins)", ylabel="word about to be written")
    axes.set_title("Cross-attention, standardised: the path gives each word its time")
    axes.legend(loc="lower left")
    figure.colorbar(image, label="attention, standard deviations above the mean over the tokens")
    return figure


if __name__ == "__main__":
    shown = max(0, len(speech) - 2)  # the last single recording
    said, moments = transcript[shown, False], len(speech[shown]) // HOP // 2
    matrix, chances = alignment(model, states[shown], tokenizer, said, moments)
    times, path = word_times(matrix, chances, tokenizer, said)
    for word in times[:5]:
        print(f"{word.start:5.2f} to {word.end:5.2f} s, {word.probability:.2f}:{word.word}")
    pieces = tokenizer.split_to_word_tokens(said)[1]
    rows = [0, *np.cumsum([len(piece) for piece in pieces])[:-1].tolist()]
    figure = draw_path(matrix, path, times, rows)
    keep_picture(figure, "whisper_path")
    plt.close(figure)

# %%
# What this does not do
# ---------------------
#
# It reads one window of 30 seconds; openai-whisper's ``transcribe`` moves a window along, guided by
# the times, and tries again at a higher temperature where the text looks wrong. Here is no sampling
# and no prompt with the text before. The words keep the times that the path gives; openai-whisper
# then joins punctuation to its words and shortens words that span a pause. The text of silence or
# noise is not to be trusted: that is what the probability of no speech is for.
#
# Exercises
# ---------
#
# 1. Leave out rule 4 of the times and compare the segments of the last recording.
# 2. Align with the mean of all heads instead of the chosen ones. How far do the times move?
# 3. Leave out the division by the length in the beam search. Which texts become shorter?
# 4. Give the network the wrong language token. What does it write?
# 5. Draw the next token from its probabilities instead of taking the best. What is lost?
#
# Papers
# ------
#
# * A. Radford, J. W. Kim, T. Xu, G. Brockman, C. McLeavey, I. Sutskever. 2022. Robust Speech
#   Recognition via Large-Scale Weak Supervision.
# * I. Sutskever, O. Vinyals, Q. V. Le. 2014. Sequence to Sequence Learning with Neural Networks.
# * H. Sakoe, S. Chiba. 1978. Dynamic Programming Algorithm Optimization for Spoken Word
#   Recognition.
# * T. Giorgino. 2009. Computing and Visualizing Dynamic Time Warping Alignments in R: The dtw
#   Package.
