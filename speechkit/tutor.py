"""`Tutor`: answers questions out of a folder of documents, and says where it found the answer.

Documents are cut into sections by their headings, sections into paragraphs. A paragraph and a question
become vectors (all-MiniLM-L6-v2: 384 numbers, the mean over the tokens of a small Transformer; Reimers
and Gurevych 2019, "Sentence-BERT"), and the paragraph whose vector lies nearest to the question's is
read out. Nothing is made up: what is not in the documents gets "I don't know".
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechkit import hub
from speechkit.errors import InputError
from speechkit.respond import NO_WORDS
from speechkit.runtime import set_up_torch
from speechkit.tts.text import split

log = logging.getLogger("speechkit")

MODEL, SIZE = "all-MiniLM-L6-v2", 384
BATCH = 32  # texts that are encoded at once
THRESHOLD = 0.36  # cosine from which on a paragraph answers a question
SENTENCES, CHARACTERS = 3, 360  # of an answer at most
NEAR = 12  # passages: a section's beginning among them fits too
LEAST = 40  # characters of a paragraph that says anything
SUFFIXES = (".md", ".py", ".rst", ".txt")
UNKNOWN = "I don't know. My documents say nothing about that."

_BLOCK = re.compile(r"^# %%.*\n((?:^#.*\n?)*)", re.MULTILINE)  # prose of a recipe: after "# %%"
_DOCSTRING = re.compile(r'\A(?:#.*\n)*r?"""(.*?)"""', re.DOTALL)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^\.\. .*\n(?:(?:[ \t]+.*)?\n)*", re.MULTILINE)
_UNDERLINED = re.compile(r"^(\S.*)\n([=\-~^\"#*+])\2{2,}[ \t]*$", re.MULTILINE)
_UNSAID = re.compile(r"papers|references|exercises|what (it|this recipe) does not", re.IGNORECASE)
_LIST_OR_TABLE = re.compile(r"^\s*(?:[-*+|]|\d+\.|=+\s|:\w+: )")


@dataclass(frozen=True)
class Passage:
    """A paragraph of a document.

    Attributes:
        file: the document's name.
        section: the heading it stands under.
        text: the paragraph, without markup.
    """

    file: str
    section: str
    text: str


@dataclass(frozen=True)
class Found:
    """A passage and how well it fits a question: the cosine of the angle, -1 to 1."""

    passage: Passage
    score: float


class Tutor:
    """Answers from documents.

    Attributes:
        passages: all that it can say.
        threshold: a worse fit than this is no answer.
    """

    speculative = True

    def __init__(
        self, *folders: str | Path, threshold: float = THRESHOLD, encoder: Any = None
    ) -> None:
        """Read the documents; their vectors are made at the first question or by `warm_up`.

        Args:
            folders: of .md, .rst, .txt documents and recipes (.py); by default speechkit's own.
            threshold: cosine from which on a passage answers a question.
            encoder: with `encode(list of str) -> (n, d)` unit vectors; by default all-MiniLM-L6-v2.

        Raises:
            InputError: a folder that does not exist, or no documents.
        """
        self.threshold = threshold
        self.passages = [p for folder in folders or own_documents() for p in read_folder(folder)]
        if not self.passages:
            searched = ", ".join(map(str, folders or own_documents()))
            raise InputError(f"no documents in {searched or 'speechkit'}; give a folder of them")
        self._encoder, self._own_encoder = encoder, encoder is None
        self._vectors: NDArray[np.float32] | None = None
        self._loading = threading.Lock()

    def warm_up(self) -> None:
        """Load the encoder and make the vectors of all passages."""
        with self._loading:
            if self._vectors is None:
                self._encoder = self._encoder or TextEncoder()
                self._encoder.encode(["A first question is as quick as the next."])
                self._vectors = self._encode_all([f"{p.section}. {p.text}" for p in self.passages])

    def _encode_all(self, texts: list[str]) -> NDArray[np.float32]:
        """The vectors of texts, kept in a file for the next time."""
        key = hashlib.sha256("\0".join([MODEL, *texts]).encode()).hexdigest()[:16]
        kept = hub.home() / "passages" / f"{key}.npy"
        if self._own_encoder and kept.is_file():
            with contextlib.suppress(ValueError, OSError, EOFError):  # damaged: they are made anew
                known: NDArray[np.float32] = np.load(kept, allow_pickle=False)
                if known.shape == (len(texts), SIZE):
                    return known
        vectors = np.asarray(self._encoder.encode(texts), np.float32)
        if self._own_encoder:
            try:
                _keep(kept, vectors)
            except OSError as e:
                log.warning("the vectors of the documents are not kept: %s", e)
        return vectors

    def search(self, question: str, count: int = 3) -> list[Found]:
        """The passages that fit a question best, best first."""
        self.warm_up()
        assert self._vectors is not None
        scores = self._vectors @ np.asarray(self._encoder.encode([question]), np.float32)[0]
        best = np.argsort(-scores, kind="stable")[:count]
        return [Found(self.passages[i], float(scores[i])) for i in best]

    def __call__(self, text: str, speaker: str | None) -> str:
        """The first sentences of the best section, and where they stand."""
        if not text.strip():
            return NO_WORDS
        found = self.search(text, NEAR)
        if found[0].score < self.threshold:
            return UNKNOWN
        passage = self._lead(found)
        address = f"{speaker}: " if speaker else ""
        said, file = _beginning(passage.text), _spoken_name(passage.file)
        return f"{address}{said} That is from {file}, section {passage.section}."

    def _lead(self, found: list[Found]) -> Passage:
        """The beginning of the best passage's section, if that fits too; else the passage itself."""
        best = found[0].passage
        place = best.file, best.section
        lead = next(p for p in self.passages if (p.file, p.section) == place)
        return lead if any(f.passage is lead for f in found) else best


class TextEncoder:
    """all-MiniLM-L6-v2: a text as a vector of length 1, the mean over its tokens' states."""

    def __init__(self) -> None:
        """Raises WeightsError when the weights can't be had."""
        from transformers import AutoModel, AutoTokenizer

        set_up_torch()
        folder = str(hub.fetch(MODEL))
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with _no_progress_bar():
            self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts → (n, 384); what lies behind 256 tokens is not seen."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.zeros((len(texts), SIZE), np.float32)
        for start in range(0, len(order), BATCH):  # of about one length, so that little is padded
            some = order[start : start + BATCH]
            vectors[some] = self._encode([texts[i] for i in some])
        return vectors

    @torch.inference_mode()
    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        states = self._model(**tokens).last_hidden_state  # (n, tokens, 384)
        real = tokens["attention_mask"][..., None].float()
        mean = (states * real).sum(dim=1) / real.sum(dim=1)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(mean).numpy()
        return vectors


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers shows one for a fraction of a second."""
    from transformers.utils import logging as of_transformers

    shown = of_transformers.is_progress_bar_enabled()
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            of_transformers.enable_progress_bar()  # type: ignore[no-untyped-call]


def _keep(path: Path, vectors: NDArray[np.float32]) -> None:
    """Write a file that is whole as soon as it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        try:
            np.save(file, vectors)
            os.replace(file.name, path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def own_documents() -> list[Path]:
    """The folders of speechkit's recipes and docs, of a checkout or of the installed package."""
    package = Path(__file__).parent
    places = [package.parent, package]
    return next(
        ([place / "recipes", place / "docs"] for place in places if (place / "recipes").is_dir()),
        [],
    )


def read_folder(folder: str | Path) -> list[Passage]:
    """The passages of all documents in a folder, by file.

    Raises:
        InputError: the folder does not exist, or a document can't be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one of .md, .rst, .txt files or recipes")
    files = [
        path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES and path.is_file()
    ]
    return [passage for path in files for passage in read_document(path)]


def read_document(path: Path) -> list[Passage]:
    """The passages of a document.

    Raises:
        InputError: it can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        raise InputError(f"{path} can't be read: {e.strerror}; move it away or allow it") from e
    if path.suffix == ".py":
        text = _prose_of_recipe(text)
    sections = _markdown(text) if path.suffix == ".md" else _restructured(text)
    return [
        Passage(path.name, title, plain)
        for title, body in sections
        if not _UNSAID.match(title)
        for plain in _paragraphs(body)
    ]


def _prose_of_recipe(code: str) -> str:
    """The docstring and the comments behind `# %%`; of code without such, nothing."""
    blocks = [re.sub(r"^# ?", "", block, flags=re.M) for block in _BLOCK.findall(code)]
    if blocks and (docstring := _DOCSTRING.match(code)):
        blocks.insert(0, docstring[1])
    return "\n\n".join(blocks)


def _markdown(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text) of each section."""
    parts = re.split(r"^#{1,6} +(.+)$", _FENCE.sub("", text), flags=re.M)
    yield from zip(["", *parts[1::2]], parts[::2], strict=True)


def _restructured(text: str) -> Iterator[tuple[str, str]]:
    """(heading, text) of each section; a plain text has one without a heading."""
    parts = _UNDERLINED.split(text)
    yield "", parts[0]
    for title, body in zip(parts[1::3], parts[3::3], strict=True):
        yield title.strip(), _DIRECTIVE.sub("", body)


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of sentences, without markup; lists, tables, fields and scraps are left out."""
    for paragraph in re.split(r"\n\s*\n", text):
        if _LIST_OR_TABLE.match(paragraph):
            continue
        plain = re.sub(r":math:`([^`]*)`", lambda m: _spoken_formula(m[1]), paragraph)
        plain = re.sub(r":[a-z]+:`([^`]*)`", r"\1", plain)
        plain = re.sub(r"\b\d\d_\w+\.py", lambda m: _spoken_name(m[0]), plain)
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)|`{1,2}([^`]*)`{1,2}_*", r"\1\2", plain)
        plain = " ".join(re.sub(r"[*]{1,2}([^*]+)[*]{1,2}", r"\1", plain).split()).rstrip(":")
        if len(plain) >= LEAST:
            yield plain


def _spoken_formula(formula: str) -> str:
    """A short one, without TeX."""
    said = re.sub(r"\\sqrt\{?(\w+)\}?", r"the root of \1", formula)
    said = re.sub(r"\\(times|cdot)\b", " times ", said)
    return " ".join(re.sub(r"[{}$]|\\[,;:! ]", " ", said).replace("\\", "").split())


def _beginning(text: str) -> str:
    """Its first sentences, as many as can be listened to."""
    said = ""
    for sentence in split(text)[:SENTENCES]:
        if said and len(said) + len(sentence) > CHARACTERS:
            break
        said = f"{said} {sentence}".strip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


def _spoken_name(file: str) -> str:
    """ "20_whisper.py" as "the recipe whisper"."""
    stem = re.sub(r"^\d+_", "", Path(file).stem).replace("_", " ").replace("-", " ")
    return f"the recipe {stem}" if file.endswith(".py") else f"the page {stem}"
