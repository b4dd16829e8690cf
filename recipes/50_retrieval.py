r"""
Answering with retrieval
========================

:Answers: question 24 (language models, why they hallucinate, retrieval and what it is for)
:Needs: the weights of ``all-MiniLM-L6-v2``; for one section also ``gemma-3-270m`` and the package
    ``xllamacpp``, without which that section is left out
:Takes: 110 s (25 s with ``--quick``) on two cores, weights fetched before

Retrieval-augmented generation answers a question out of documents: it looks up the passages that
fit the question, and the answer is written from them or is one of them. A language model alone
answers from what its weights have kept, which is blurred, out of date, and silent about what was
never public. Retrieval gives it the text, and gives the reader a source.

Here a sentence encoder is written out on real weights, the documents of speechkit are searched with
it, and each step is measured: what chunks cost, what plain word counts reach, when to say "I don't
know", and what a language model does with and without the text.
"""

import json
import math
import re
import urllib.request
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from common import HERE, QUICK, import_recipe, keep_picture
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from speechkit import hub
from speechkit.tutor import THRESHOLD, UNKNOWN, Passage, TextEncoder, Tutor, read_document

Array = NDArray[np.float32]
attention = import_recipe("transformer").attention

# %%
# Language models predict the next token
# --------------------------------------
#
# A large language model is a Transformer decoder that gives a probability to every token that could
# come next. It is trained on one thing: to make the tokens of its texts probable. Nothing in that
# loss asks whether a sentence is true, only whether it is a likely way to go on.
#
# .. math::
#
#    L = -\frac1N \sum_t \log q(x_t \mid x_{<t}), \qquad
#    \min_q L \text{ at } q(\cdot \mid x_{<t}) = p(\cdot \mid x_{<t}).
#
# The best that a model can do is to repeat the frequencies of its texts. Below a model of people
# and their towns: one line of logits for each person, and one that all people share, as a network
# shares most of what it has learned. Its texts are lines such as "Ada lives in Rome". Half of the
# people are never mentioned.

PEOPLE, TOWNS = 400, 20
DONT_KNOW = TOWNS  # one answer more: "I don't know"


class Gossip(nn.Module):
    """Where does a person live? People [n] -> logits over the towns and "I don't know"."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Embedding(PEOPLE, TOWNS + 1)
        self.shared = nn.Parameter(torch.zeros(TOWNS + 1))
        nn.init.zeros_(self.own.weight)

    def forward(self, person: Tensor) -> Tensor:
        return self.own(person) + self.shared


def learn(person: Tensor, answer: Tensor, steps: int = 300) -> Gossip:
    """Cross-entropy of the next token, over all lines at once."""
    model = Gossip()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(steps):
        loss = F.cross_entropy(model(person), answer) + 1e-5 * model.own.weight.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


# %%
# Why language models hallucinate
# -------------------------------
#
# A language model hallucinates because it was trained to go on in a likely way, and an invented
# answer is more likely than silence. Asked about something it has never read, it gives the answer
# that such questions usually have. Its texts seldom say "I don't know", so it does not say it
# either.
#
# The towns are not equally large, and so the model has a favourite. It answers for a person it has
# never heard of as it answers for the average one: in the right form, and mostly wrong. The second
# model has read the same lines, and for a hundred unheard-of people "I don't know". It says so of
# others too: what a model says where it knows nothing is a matter of its texts.

if __name__ == "__main__":
    generator = torch.Generator().manual_seed(0)
    sizes = 1 / torch.arange(1, TOWNS + 1)  # the second town is half as large, and so on
    home = torch.multinomial(sizes, PEOPLE, replacement=True, generator=generator)
    heard, unheard = torch.arange(PEOPLE // 2), torch.arange(PEOPLE // 2 + 100, PEOPLE)
    refused = torch.arange(PEOPLE // 2, PEOPLE // 2 + 100)  # for the second model only
    silence = torch.full_like(refused, DONT_KNOW)
    gossip = {
        "towns only": learn(heard, home[heard]),
        "with refusals": learn(torch.cat([heard, refused]), torch.cat([home[heard], silence])),
    }
    invented = {}
    for name, model in gossip.items():
        with torch.no_grad():
            known, unknown = model(heard).softmax(1), model(unheard).softmax(1)
        invented[name] = {
            "right of heard": float((known.argmax(1) == home[heard]).float().mean()),
            "right of unheard": float((unknown.argmax(1) == home[unheard]).float().mean()),
            "sure": float(unknown[:, :TOWNS].amax(1).mean()),
            "a town": float(unknown[:, :TOWNS].sum(1).mean()),
            "don't know": float(unknown[:, DONT_KNOW].mean()),
        }
        print(f"{name}: ", ", ".join(f"{k} {v:.1%}" for k, v in invented[name].items()))
    most_frequent = float(home[heard].bincount().max() / len(heard))
    print(f"share of the most frequent town among the lines: {most_frequent:.1%}")
    plain, careful = invented["towns only"], invented["with refusals"]
    assert plain["right of heard"] > 0.98, "what was read is known"
    assert plain["right of unheard"] < 0.5, "what was not read can't be known"
    assert plain["a town"] > 0.99, "and yet a town is named"
    assert plain["sure"] > plain["right of unheard"] + 0.1, "it is surer than it is right"
    assert careful["don't know"] > 0.4 > 50 * plain["don't know"], "refusing can be learned"
    assert careful["right of heard"] > 0.98, "without forgetting"

# %%
# Sentence embeddings: one vector for a text
# ------------------------------------------
#
# A sentence embedding is a vector that says what a text is about, so that texts of like meaning
# point the same way whatever their words. A Transformer encoder gives a state for each token that
# knows its context, and the mean over the tokens is the vector. It is scaled to length 1, and the
# cosine of two is their likeness.
#
# .. math::
#
#    e = \frac{\bar h}{\lVert \bar h \rVert}, \qquad
#    \bar h = \frac{\sum_t m_t h_t}{\sum_t m_t}, \qquad
#    h \leftarrow \mathrm{LN}(h + \mathrm{Attention}(h)), \quad
#    h \leftarrow \mathrm{LN}(h + W_2\, \mathrm{GELU}(W_1 h)).
#
# :math:`m_t` is 1 for a token and 0 for filling. all-MiniLM-L6-v2 has 6 blocks of the encoder of
# ``10_transformer.py``, 384 numbers wide, 12 heads, with the norm after each part as in 2017. It
# was trained on a billion pairs, such as question and answer, to find the partner in the batch.

LAYERS, HEADS, WIDTH, LONGEST = 6, 12, 384, 256


class SentenceEncoder:
    """all-MiniLM-L6-v2, from its file of tensors."""

    def __init__(self, folder: Path) -> None:
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding()
        self.known: dict[str, Array] = {}  # no text is encoded twice

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, (WIDTH,), weight, bias, eps=1e-12)

    def block(self, i: int, x: Tensor, real: Tensor) -> Tensor:
        """States [n, tokens, 384] -> the same, each having read the others."""
        at = f"encoder.layer.{i}"
        q, k, v = (
            self.linear(f"{at}.attention.self.{part}", x).unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )  # [n, heads, tokens, 32]
        mixed = attention(q, k, v, real[:, None, None])[0].transpose(1, 2).flatten(2)
        x = x + self.linear(f"{at}.attention.output.dense", mixed)
        x = self.norm(f"{at}.attention.output.LayerNorm", x)
        hidden = F.gelu(self.linear(f"{at}.intermediate.dense", x))  # [n, tokens, 1536]
        return self.norm(f"{at}.output.LayerNorm", x + self.linear(f"{at}.output.dense", hidden))

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """[n, tokens, 384], and which tokens are real: [n, tokens]."""
        rows = self.tokenizer.encode_batch(list(texts))
        token = torch.tensor([row.ids for row in rows])
        real = torch.tensor([row.attention_mask for row in rows]).bool()
        table = {
            key: self.weights[f"embeddings.{key}_embeddings.weight"]
            for key in ("word", "position", "token_type")
        }
        x = table["word"][token] + table["position"][: token.shape[1]] + table["token_type"][0]
        x = self.norm("embeddings.LayerNorm", x)
        for i in range(LAYERS):
            x = self.block(i, x, real)
        return x, real

    def encode(self, texts: Sequence[str]) -> Array:
        """Texts -> [n, 384], of length 1."""
        new = sorted(set(texts) - set(self.known), key=len)  # of like length side by side
        for start in range(0, len(new), 32):
            some = new[start : start + 32]
            vectors = pool(*self.states(some)).numpy()
            self.known.update(zip(some, vectors, strict=True))
        return np.stack([self.known[text] for text in texts])


def pool(states: Tensor, real: Tensor) -> Tensor:
    """The mean over the real tokens, scaled to length 1: [n, tokens, 384] -> [n, 384]."""
    mean = (states * real[..., None]).sum(1) / real.sum(1, keepdim=True)
    return F.normalize(mean, dim=-1)


# %%
# The same vectors as speechkit's encoder, which runs the package transformers on the same weights.
# Three sentences show what the vectors are for: two mean the same with hardly a word in common. And
# without the mask, filling is averaged in: a short text's vector then depends on its neighbours in
# the batch.

if __name__ == "__main__":
    encoder = SentenceEncoder(hub.fetch("all-MiniLM-L6-v2"))
    three = [
        "How large may a file be?",
        "What is the maximum size of an upload?",
        "How large may a family be?",
    ]
    long = "A long neighbour fills the batch up, and the short ones get filling. " * 6
    ours, theirs = encoder.encode([*three, long]), TextEncoder().encode([*three, long])
    encoder_difference = float(np.abs(ours - theirs).max())
    print(f"all-MiniLM-L6-v2 from scratch, largest difference: {encoder_difference:.1e}")
    assert encoder_difference < 1e-5, "the vectors are not the package's"
    like_meaning, like_words = float(ours[0] @ ours[1]), float(ours[0] @ ours[2])
    print(f"cosine of like meaning {like_meaning:.2f}, of like words {like_words:.2f}")
    assert like_meaning > like_words + 0.1, "meaning should count more than words"

    alone, (states, real) = ours[0], encoder.states([three[0], long])
    with_mask, without_mask = (
        float(pool(states, mask)[0] @ torch.tensor(alone)) for mask in (real, torch.ones_like(real))
    )
    print(f"in a padded batch: cosine {with_mask:.4f} to itself alone; ", end="")
    print(f"filling averaged in {without_mask:.4f}")
    assert with_mask > 0.9999 > 0.99 > without_mask, "the mask keeps neighbours out"

# %%
# Documents and questions with known answers
# ------------------------------------------
#
# Retrieval is measured with questions whose right place is known. The hit rate at k is the share of
# questions with a right passage among the first k. Without such a list every change of chunk,
# model or threshold is a matter of taste.
#
# The documents are those recipes and pages of speechkit that the questions are about. Each question
# comes with the name of the file that has the answer, and with some words that stand in the answer.
# The first eight use the documents' own words, the second eight avoid them.

QUESTIONS = [
    ("Why are the scores divided by the root of d_k?", "11_attention.py", "keeps the variance"),
    ("What does the causal mask hide?", "10_transformer.py", "causal mask hides the future"),
    ("How does beam search work?", "21_whisper_search.py", "keeps several beginnings at once"),
    ("What is the equal error rate?", "43_speaker_verification.py", "where both are the same"),
    ("What is feature matching?", "32_vits_objective.py", "inner layers of the critics"),
    ("What does squeeze and excitation do?", "40_ecapa_tdnn.py", "know of the whole recording"),
    ("Can batch norm be folded away?", "41_ecapa_inside.py", "one multiplication and one addition"),
    ("Which format does the output have?", "command-line.md", "wav, flac, ogg, opus or mp3"),
    ("How does it know when something was pronounced, if nobody marked the timing?",
     "21_whisper_search.py", "look at the place that is being written down"),
    ("How is a single narrator turned into a crowd?", "44_speaker_training.py",
     "becomes many by moving its pitch"),
    ("What can go wrong when deciding whether two clips come from the same person?",
     "43_speaker_verification.py", "accept a stranger"),
    ("How big can the files be that I send to the web page?", "demo.md", "uploads of 25 MB"),
    ("Why not measure the gap between two waveforms point by point?", "32_vits_objective.py",
     "may differ in phase"),
    ("Would a model notice if somebody jumbled up a sentence?", "11_attention.py",
     "Dog bites man"),
    ("How can work that has been done already be saved from being repeated?", "20_whisper.py",
     "Keeping those of the sound saves most of the work"),
    ("How does the assistant decide that I have finished talking?", "python.md",
     "ends after 0.5 s of silence"),
]  # fmt: skip
FEW = ["10_transformer.py", "32_vits_objective.py", "41_ecapa_inside.py", "demo.md"]
FILES = FEW if QUICK else sorted({file for _, file, _ in QUESTIONS})


def passages_of(files: Sequence[str]) -> list[Passage]:
    """The paragraphs of recipes and pages."""
    folders = [HERE, HERE.parent / "docs"]
    paths = [next(f / name for f in folders if (f / name).is_file()) for name in files]
    return [passage for path in paths for passage in read_document(path)]


def hits(ranked: Sequence[Sequence[Any]], right: Sequence[Any], count: int) -> float:
    """Share of the questions with the right one among their first `count`."""
    return sum(r in row[:count] for row, r in zip(ranked, right, strict=True)) / len(right)


if __name__ == "__main__":
    asked = [row for row in QUESTIONS if row[1] in FILES]
    questions, right_files, answers = (list(column) for column in zip(*asked, strict=True))
    passages = passages_of(FILES)
    length = sum(len(p.text.split()) for p in passages)
    print(f"{len(questions)} questions; {len(passages)} paragraphs, {length:,} words")
    for _, file, answer in asked:
        assert any(p.file == file and answer in p.text for p in passages), f"{answer} is nowhere"

# %%
# Retrieval by cosine, beside word overlap
# ----------------------------------------
#
# Retrieval by embeddings ranks passages by the cosine between their vectors and the question's. The
# passages' vectors are made once, so a question costs one encoding and one product of a matrix with
# a vector. It finds a passage that says the same in other words, which word counts can't.
#
# The old way counts words, and is the baseline to beat. BM25 adds up the words that question and
# passage share; a rare word counts more, a repeated one less and less, and a long passage must do
# more for it.
#
# .. math::
#
#    s(q, p) = \sum_{w \in q} \log\!\Bigl(1 + \frac{N - n_w + \frac12}{n_w + \frac12}\Bigr)
#    \frac{f_{w,p}\,(k + 1)}{f_{w,p} + k\,(1 - b + b\,\ell_p / \bar\ell)}, \qquad k = 1.2,\; b = 0.75.
#
# :math:`n_w` of :math:`N` passages have the word, :math:`f` counts it in the passage, and
# :math:`\ell` is the length in words.


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def bm25(question: str, texts: Sequence[str], k: float = 1.2, b: float = 0.75) -> Array:
    """How well each text fits the question: [texts]."""
    counts = [Counter(words_of(text)) for text in texts]
    lengths = np.array([count.total() for count in counts])
    score = np.zeros(len(texts), np.float32)
    for word in words_of(question):
        f = np.array([count[word] for count in counts])
        having = int((f > 0).sum())
        rarity = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        score += rarity * f * (k + 1) / (f + k * (1 - b + b * lengths / lengths.mean()))
    return score


def best(scores: Array) -> list[int]:
    """The places of the passages, best first."""
    return [int(i) for i in np.argsort(-scores, kind="stable")]


# %%
# Both on the same questions. The two halves tell why: where the question has the document's words,
# counting them is hard to beat; where it has others, meaning is all that is left. Both rankings can
# be added up, each rank as 1 / (60 + rank), which needs no common scale. With so few questions one
# of them is 6 points: a small difference is chance.

if __name__ == "__main__":
    texts = [f"{p.section}. {p.text}" for p in passages]
    vectors, asked_vectors = encoder.encode(texts), encoder.encode(questions)
    cosines = asked_vectors @ vectors.T  # [questions, passages]
    by_words = np.stack([bm25(question, texts) for question in questions])
    places = [np.argsort([best(row) for row in s], axis=1) for s in (cosines, by_words)]
    fused = sum(1 / (61 + place) for place in places)
    ranked = {
        name: [[passages[i].file for i in best(row)] for row in scores]
        for name, scores in (("cosine", cosines), ("BM25", by_words), ("both", fused))
    }
    rng = np.random.default_rng(0)
    by_chance = [[passages[i].file for i in rng.permutation(len(passages))] for _ in range(2000)]
    chance = np.mean([hits([row] * len(questions), right_files, 1) for row in by_chance])
    print(f"right file by chance {chance:.0%}")
    half = sum(row in QUESTIONS[:8] for row in asked)  # in the documents' words
    hit_rates = {}
    for name, rows in ranked.items():
        hit_rates[name] = {
            "top 1": hits(rows, right_files, 1),
            "top 3": hits(rows, right_files, 3),
            "top 1, own words": hits(rows[:half], right_files[:half], 1),
            "top 1, other words": hits(rows[half:], right_files[half:], 1),
        }
        print(f"{name}: ", ", ".join(f"{k} {v:.0%}" for k, v in hit_rates[name].items()))
    cosine, plain_words = hit_rates["cosine"], hit_rates["BM25"]
    assert min(cosine["top 1"], plain_words["top 1"]) > 2 * chance, "both should find something"
    assert cosine["top 3"] > plain_words["top 3"], "meaning should find more than words do"
    assert cosine["top 1, other words"] > plain_words["top 1, other words"], (
        "in other words above all"
    )
    assert plain_words["top 1, own words"] >= cosine["top 1, own words"], (
        "counting is no bad baseline"
    )

# %%
# Chunks: how much text one vector stands for
# -------------------------------------------
#
# A chunk is the piece of text that gets one vector and is found as a whole. Too small, it has lost
# what it is about: a sentence that begins with "it" fits no question. Too large, its vector is the
# mean of many subjects, what the encoder cuts off is never found, and whoever reads it reads mostly
# other things.
#
# To measure it with more questions, the headings of the documents are asked, without being in the
# chunks. Each time 160 words are handed over: one chunk of 160 words, or sixteen of 10. Counted is
# which share of them stands under that heading (precision), and which share of what stands there
# is among them (recall). A chunk of more than 160 words is handed over whole. Paragraphs, cut where
# the writer changed the subject, are taken until there are 160 words.

BUDGET = 160  # words that are handed over
SIZES = (10, 640) if QUICK else (10, 160, 640)  # words per chunk


def cut(document: range, size: int) -> list[range]:
    """The places of the words of each chunk of a document, the last one shorter."""
    return [document[start : start + size] for start in range(0, len(document), size)]


def handed_over(order: Sequence[int], chunks: Sequence[range]) -> set[int]:
    """The places of the words of the first chunks, while they fit; of one at least."""
    taken: set[int] = set()
    for i in order:
        if taken and len(taken) + len(chunks[i]) > BUDGET:
            break
        taken |= set(chunks[i])
    return taken


if __name__ == "__main__":
    words, under, paragraphs = [], [], []  # of all documents in a row
    for p in passages:
        start = len(words)
        words += p.text.split()
        under += [(p.file, p.section)] * (len(words) - start)
        paragraphs.append(range(start, len(words)))
    of_file = np.array([FILES.index(file) for file, _ in under])
    ends = [0, *(np.flatnonzero(np.diff(of_file)) + 1), len(words)]
    documents = [range(*pair) for pair in pairwise(ends)]
    headings = [place for place in dict.fromkeys(under) if len(place[1].split()) > 1]
    wanted = [{i for i, place in enumerate(under) if place == heading} for heading in headings]
    asked_headings = encoder.encode([heading for _, heading in headings])
    cuts = {f"{size} words": [c for d in documents for c in cut(d, size)] for size in SIZES}
    chunked = {}
    for name, chunks in {**cuts, "paragraphs": paragraphs}.items():
        chunk_vectors = encoder.encode([" ".join(words[i] for i in part) for part in chunks])
        rows = [best(row) for row in asked_headings @ chunk_vectors.T]
        first = [under[chunks[row[0]][0]][0] for row in rows]
        right_file = np.mean([f == heading[0] for f, heading in zip(first, headings, strict=True)])
        given = [handed_over(row, chunks) for row in rows]
        shared = [len(g & w) for g, w in zip(given, wanted, strict=True)]
        precision = np.mean([n / len(g) for n, g in zip(shared, given, strict=True)])
        recall = np.mean([n / len(w) for n, w in zip(shared, wanted, strict=True)])
        chunked[name] = (right_file, precision, recall, np.mean([len(g) for g in given]))
        print(f"{name:10s} {len(chunks):4d} chunks: right file {right_file:.0%}, ", end="")
        print(f"precision {precision:.0%}, recall {recall:.0%}, {chunked[name][3]:.0f} words read")
    print(f"{len(headings)} headings were asked")
    small, whole, large = (chunked[k] for k in ("10 words", "paragraphs", "640 words"))
    assert whole[2] > small[2] + 0.05, "scraps should lose what they are about"
    assert whole[1] > large[1] + 0.05, "large pieces should bring other things"
    assert large[3] > 2 * whole[3], "and be long to read"

    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    by_file = np.stack(
        [cosines[:, [p.file == file for p in passages]].max(axis=1) for file in FILES], axis=1
    )
    image = left.imshow(by_file, aspect="auto", cmap="viridis")
    for row, file in enumerate(right_files):
        left.plot(FILES.index(file), row, "o", color="white", markerfacecolor="none")
    names = [Path(file).stem.lstrip("0123456789_") for file in FILES]
    left.set_xticks(range(len(FILES)), names, rotation=40, ha="right")
    left.set_yticks(range(len(questions)), [shorten(q, 46, placeholder=" …") for q in questions])
    left.set(xlabel="document", title="Best paragraph of each document; circle: the right one")
    figure.colorbar(image, ax=left, label="cosine (1)")
    place = np.arange(len(chunked))
    for move, (label, column) in enumerate({"precision": 1, "recall": 2}.items()):
        height = [100 * value[column] for value in chunked.values()]
        right.bar(place + 0.38 * move - 0.19, height, width=0.36, label=label)
    right.set_xticks(place, [name.replace(" ", "\n") for name in chunked])
    right.set(xlabel="what one vector stands for", ylabel="of the words (%)")
    right.set_title(f"What is handed over in {BUDGET} words")
    right.legend()
    keep_picture(figure, "retrieval_hits")

# %%
# When to say "I don't know"
# --------------------------
#
# There is always a nearest passage, also to a question about eggs. So the best cosine must reach a
# threshold, or the answer is "I don't know". A threshold tells subjects apart: it refuses what the
# documents are not about. It does not tell whether the answer stands there, so a question from the
# same field that the documents leave open often passes.
#
# Three kinds of questions: with an answer, from elsewhere, and from the same field without an
# answer. The order of two scores says how well a threshold could do: the share of pairs in which
# the question with an answer scores higher.

ELSEWHERE = [
    "How long must an egg boil?",
    "Who wrote Hamlet?",
    "What is the capital of Peru?",
    "How do I get red wine out of a carpet?",
    "When does the next train leave for Leeds?",
    "Which vaccine does a puppy need?",
    "How is steel made?",
    "Who won the football match last night?",
    "Why is the sky blue?",
    "How do I prune a rose?",
    "What is the boiling point of ethanol?",
    "Can I park here on a Sunday?",
]
SAME_FIELD = [
    "How does a diffusion model draw an image?",
    "What is the BLEU score of a translation?",
    "How does a decision tree split?",
    "What is a support vector machine?",
    "Which graphics card is best for training?",
    "How does AlphaGo search for a move?",
    "How does text-to-image work?",
    "How is a tokenizer trained?",
]

if __name__ == "__main__":
    fit = {
        kind: (encoder.encode(kind_questions) @ vectors.T).max(axis=1)
        for kind, kind_questions in (
            ("with an answer", questions),
            ("from elsewhere", ELSEWHERE),
            ("same field, no answer", SAME_FIELD),
        )
    }
    for threshold in (0.2, 0.28, THRESHOLD, 0.5):
        answered = {kind: float(np.mean(scores >= threshold)) for kind, scores in fit.items()}
        print(f"threshold {threshold:.2f}, answered: ", end="")
        print(", ".join(f"{kind} {share:.0%}" for kind, share in answered.items()))
    in_order = {
        kind: float(np.mean(fit["with an answer"][:, None] > fit[kind]))
        for kind in ("from elsewhere", "same field, no answer")
    }
    print("pairs in the right order: ", {kind: f"{share:.0%}" for kind, share in in_order.items()})
    refused_elsewhere = float(np.mean(fit["from elsewhere"] < THRESHOLD))
    assert refused_elsewhere == 1, "questions from elsewhere should be refused"
    assert np.mean(fit["with an answer"] >= THRESHOLD) > 0.7, "and most others answered"
    assert in_order["from elsewhere"] > 0.95 > in_order["same field, no answer"], (
        "subject, not answer"
    )

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for row, scores in enumerate(fit.values()):
        jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(scores))
        axes.scatter(scores, row + jitter, s=28, alpha=0.8)
    axes.axvline(THRESHOLD, color="0.3", linestyle="--", label=f"the Tutor's, {THRESHOLD}")
    axes.set_yticks(range(len(fit)), list(fit))
    axes.set(xlabel="cosine of the best passage (1)", title="A threshold tells subjects apart")
    axes.legend()
    keep_picture(figure, "retrieval_threshold")

# %%
# Grounding: an answer that can be checked
# ----------------------------------------
#
# An answer is grounded when everything that it says stands in a passage that is named with it. The
# strictest way is to read the passage out. Where a language model writes the answer, it is told to
# use the passage only, and what it writes is checked: a number or a name that the passage does not
# have is a warning.


def ungrounded(answer: str, passage: str) -> list[str]:
    """Numbers and names of an answer (not the first word) that the passage does not have."""
    there = set(words_of(passage))
    said = re.findall(r"[A-Za-z]+|[0-9][0-9.,]*[0-9]|[0-9]", answer)
    telling = [w for i, w in enumerate(said) if w[0].isdigit() or (i and w[0].isupper())]
    return [w for w in telling if not set(words_of(w)) <= there]


if __name__ == "__main__":
    example = ungrounded("Uploads may have 25 MB, or 30 for Ada.", "Limits: uploads of 25 MB.")
    print(f"not in the passage: {example}")
    assert example == ["30", "Ada"], "25 and MB stand there, 30 and Ada do not"

# %%
# A language model without and with the text
# ------------------------------------------
#
# A small real language model shows both sides. Asked about documents that it never read, it names a
# number all the same, and is more than half as sure of it as of what it knows. With the passage in
# front of the question the right words become more than a hundred times as probable. Where there is
# no answer anywhere, it invents one, with the passage as without.
#
# gemma-3-270m only continues texts, so the question is put as one, with the beginning of the
# answer. How sure it is, is the geometric mean of the probabilities of the tokens that it writes.

FACTS = [
    ("How large may uploads to the demo be?", "Uploads may be up to", " 25 MB"),
    ("After how much silence does a turn end?", "A turn ends after", " 0.5 s"),
    (
        "How many frames does a frame before the pooling of ECAPA-TDNN see?",
        "It sees",
        " 131 frames",
    ),
    ("How many bands of frequency does Whisper see?", "It sees", " 80 bands"),
]
KNOWN = [
    ("What is the capital of France?", "The capital of France is the city of"),
    ("Who wrote Hamlet?", "Hamlet was written by"),
]
INVENTED = [  # there is no such comet, no such opera, no such engine
    ("Who discovered the comet Vellamo-Harrow?", "The comet Vellamo-Harrow was discovered by"),
    ("When was the opera The Glass Lighthouse of Orrin first performed?",
     "The opera The Glass Lighthouse of Orrin was first performed in the year"),
    ("Who invented the harmonic sieve engine?", "The harmonic sieve engine was invented by"),
]  # fmt: skip
Distribution = list[tuple[str, float]]  # tokens and their probabilities, likeliest first


def start_server() -> Any:
    """gemma-3-270m behind a local address; nothing where it or its package is missing."""
    try:
        import xllamacpp
    except ImportError:
        return None
    files = list(hub.path("gemma-3-270m").glob("*.gguf"))
    if not files:
        return None
    how = xllamacpp.CommonParams()
    how.model.path, how.port, how.n_ctx, how.n_parallel = str(files[0]), 0, 2048, 1
    how.cpuparams.n_threads, how.verbosity = 1, -1
    return xllamacpp.Server(how)


def next_tokens(server: Any, text: str, count: int = 1) -> list[Distribution]:
    """What could come next, for each of `count` tokens; the likeliest is taken each time."""
    body = {"prompt": text, "n_predict": count, "n_probs": 1000, "temperature": 0}
    kind = {"Content-Type": "application/json"}
    address = f"{server.listening_address}/completion"
    request = urllib.request.Request(address, json.dumps(body).encode(), kind)
    with urllib.request.urlopen(request, timeout=60) as answer:
        steps = json.load(answer)["completion_probabilities"]
    return [[(t["token"], math.exp(t["logprob"])) for t in s["top_logprobs"]] for s in steps]


def written(server: Any, text: str) -> tuple[str, float]:
    """How it goes on, up to the end of the line, and how sure it is."""
    likeliest = [step[0] for step in next_tokens(server, text, 12)]
    end = next((i for i, (token, _) in enumerate(likeliest) if "\n" in token), len(likeliest))
    sure = np.exp(np.mean([math.log(p) for _, p in likeliest[: end or 1]]))
    return "".join(token for token, _ in likeliest[:end]), float(sure)


def probability(server: Any, text: str, wanted: str) -> float:
    """Of going on with exactly these words; 0 if a token is not among the thousand likeliest."""
    product = 1.0
    while wanted:
        fits = [
            pair for pair in next_tokens(server, text)[0] if pair[0] and wanted.startswith(pair[0])
        ]
        token, p = max(fits, key=lambda pair: len(pair[0]), default=(wanted, 0.0))
        text, wanted, product = text + token, wanted[len(token) :], product * p
    return product


def prompt(question: str, beginning: str, passage: str = "") -> str:
    return f"{passage}\n\nQuestion: {question}\nAnswer: {beginning}".strip()


def nearest(question: str) -> str:
    """The text of the passage that fits a question best."""
    return passages[best(encoder.encode([question])[0] @ vectors.T)[0]].text


if __name__ == "__main__":
    server = start_server()
    facts, invented_ones = FACTS[: 1 if QUICK else None], INVENTED[: 1 if QUICK else None]
    without, with_text, sure_of, warned = [], [], {"known": [], "alone": [], "invented": []}, []
    if server is None:
        print(
            "left out: it needs `pip install xllamacpp` and `speechkit models fetch gemma-3-270m`"
        )
    else:
        for question, beginning in KNOWN:
            said, sure = written(server, prompt(question, beginning))
            sure_of["known"].append(sure)
            print(f"known: {beginning}{said} (sure {sure:.0%})")
        for question, beginning, right in facts:
            passage, bare = nearest(question), prompt(question, beginning)
            grounded = prompt(question, beginning, passage)
            without.append(probability(server, bare, right))
            with_text.append(probability(server, grounded, right))
            (alone, sure), (said, _) = written(server, bare), written(server, grounded)
            sure_of["alone"].append(sure)
            print(f"{beginning}: alone{alone} (sure {sure:.0%}); with the text{said}; ", end="")
            print(f"probability of{right}: {without[-1]:.5f}, with the text {with_text[-1]:.3f}")
            assert right in said, "with the text it says what stands there"
            assert ungrounded(alone, passage), "what it says alone stands nowhere"
        for question, beginning in invented_ones:
            passage = nearest(question)
            for text in ("", passage):
                said, sure = written(server, prompt(question, beginning, text))
                sure_of["invented"].append(sure)
                warned.append(ungrounded(said, passage))
                print(f"{beginning}{said} (sure {sure:.0%}); not in the passage: {warned[-1]}")
            silent = probability(server, prompt(question, ""), " I don't know")
            print(f"   probability of I don't know: {silent:.5f}")
            assert silent < 0.01, "it does not admit it"
        gain = float(np.exp(np.mean(np.log(np.array(with_text) / np.array(without)))))
        print("how sure on average: ", {k: f"{np.mean(v):.0%}" for k, v in sure_of.items()})
        print(f"with the text the right words are {gain:.0f} times as probable")
        assert gain > 100, "the text is what makes the answer right"
        assert np.mean(sure_of["alone"]) > 0.5 * np.mean(sure_of["known"]), "sureness does not tell"
        assert all(warned), "the check finds every invention here"
        del server  # it ends when nobody holds it

# %%
# How the voice loop uses this: the Tutor
# ---------------------------------------
#
# speechkit's Tutor is retrieval that reads out. It cuts documents into paragraphs under their
# headings, encodes each with its heading, and takes the paragraph with the highest cosine. If that
# section's first paragraph is among the twelve best, it reads that instead, since explanations
# begin at the beginning. At most three sentences are said, and then the file and the section. Below
# a cosine of 0.36 it says that it does not know. No language model writes, so nothing is invented:
# it can be wrong only in what it finds.
#
# Below it answers with the encoder of this recipe.

if __name__ == "__main__":
    tutor = Tutor(HERE.parent / "docs", encoder=encoder)
    tutor.passages = passages  # those of above
    replies = [tutor(question, None) for question in questions]
    for question in (questions[0], ELSEWHERE[0]):
        print(f"{question}\n   {tutor(question, 'Ada')}")
    same_passage = all(
        found.passage is passages[best(row)[0]]
        for found, row in zip((tutor.search(q)[0] for q in questions), cosines, strict=True)
    )
    assert same_passage, "the Tutor finds what stands above"
    assert all(tutor(question, None) == UNKNOWN for question in ELSEWHERE), "it refuses"
    everything = " ".join(p.text for p in passages)
    spoken = [reply.split(" That is from")[0] for reply in replies if reply != UNKNOWN]
    read_out = [answer.rstrip(".") in everything for answer in spoken]
    print(f"{len(spoken)} of {len(questions)} answered; read out word for word: {sum(read_out)}")
    assert all(read_out), "every answer stands in the documents"

# %%
# What this recipe does not do
# ----------------------------
#
# Sixteen questions rank methods roughly and no more. There are only some two hundred passages, so
# every one is compared; millions need an index that looks at few of them. Nothing re-ranks the
# passages with a model that reads question and passage together, and no encoder is trained. The
# language model is a small one that only continues texts; larger, instructed ones refuse more
# often, which is not measured here.
#
# Exercises
# ---------
#
# 1. Write ten questions of your own with their files. Which way do the hit rates move, and by how
#    much could that be chance?
# 2. Let chunks overlap by half. What does it gain, and what does it cost?
# 3. Leave the heading out of the encoded text. How many questions lose their file?
# 4. Put three passages in front of the question. Does the right answer become more probable?
# 5. Let the towns be equally large. How sure is the first model of people it never heard of?
#
# Papers
# ------
#
# * Robertson, Zaragoza, 2009: The Probabilistic Relevance Framework: BM25 and Beyond.
# * Cormack, Clarke, Büttcher, 2009: Reciprocal Rank Fusion Outperforms Condorcet and Individual
#   Rank Learning Methods.
# * Devlin, Chang, Lee, Toutanova, 2019: BERT: Pre-training of Deep Bidirectional Transformers for
#   Language Understanding.
# * Reimers, Gurevych, 2019: Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks.
# * Wang et al., 2020: MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of
#   Pre-Trained Transformers.
# * Lewis et al., 2020: Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks.
# * Kalai, Vempala, 2024: Calibrated Language Models Must Hallucinate.
