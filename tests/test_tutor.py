"""Answers from documents: how they are cut, what is found, what is said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import speechkit as sk
from speechkit.respond import NO_WORDS
from speechkit.tutor import UNKNOWN, Passage, Tutor, own_documents, read_document, read_folder

RECIPE = '''r"""Waves of sound
==================

:Answers: question 1 (what a wave is), at some length and with care
:Needs: nothing

A recording is a row of numbers, one for each moment, and this is the first paragraph of all.
"""

import numpy as np

# %%
# The sine
# --------
# A sine is the simplest tone of all: one frequency :math:`f` and nothing else in the world.
#
# .. math::
#
#    x = \\\\sin(2 \\\\pi f t)
#
# Its *second* paragraph tells that ``numpy`` knows the sine as well as anybody else does.


def sine(f):  # a comment that is code
    return np.sin(f)


# %%
# Papers
# ------
# Nobody, 1900, a paper that is of no interest to anybody who only wants an answer.
'''
PAGE = """# Bread

Bread is made of flour, water and salt; see [the mill](mill.md) for more about flour.

```python
not_prose = "this is code and must not be read to anybody"
```

## Crust

- a list of things that nobody wants to listen to for long

The crust of bread is brown because sugar and protein react in the heat of the oven. It is
crisp. It smells good. A fourth sentence is too much for a listener and is left out of the answer.
"""


class Words:
    """Stands in for a sentence encoder: counts words."""

    def encode(self, texts: list[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), 512), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"[a-z]{3,}", text.lower()):
                row[sum(map(ord, word)) * len(word) % 512] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "01_waves.py").write_text(RECIPE)
    (tmp_path / "bread.md").write_text(PAGE)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_a_recipe_is_read_by_its_prose(folder: Path) -> None:
    first, sine, numpy = read_document(folder / "01_waves.py")
    assert first.section == "Waves of sound"
    assert first.text.startswith("A recording is a row of numbers")
    assert sine == Passage(
        "01_waves.py",
        "The sine",
        "A sine is the simplest tone of all: one frequency f and nothing else in the world.",
    )
    assert numpy.text.startswith("Its second paragraph tells that numpy knows")


def test_other_code_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        f'"""{"A module that computes something for others. " * 3}"""'
    )
    assert read_document(tmp_path / "code.py") == []


def test_a_page_is_read_without_code_lists_and_links(folder: Path) -> None:
    bread, crust = read_document(folder / "bread.md")
    assert bread.text.endswith("see the mill for more about flour.")
    assert crust.section == "Crust"
    assert crust.text.startswith("The crust of bread is brown")


def test_the_answer_says_where_it_stands(folder: Path) -> None:
    tutor = Tutor(folder, encoder=Words(), threshold=0.2)
    answer = tutor("Why is the crust of bread brown?", "Ada")
    assert answer.startswith("Ada: The crust of bread is brown because")
    assert "fourth" not in answer
    assert answer.endswith("That is from the page bread, section Crust.")
    assert "the recipe waves, section The sine" in tutor("What is a sine, the simplest tone?", None)


def test_what_is_not_in_the_documents_is_not_known(folder: Path) -> None:
    tutor = Tutor(folder, encoder=Words(), threshold=0.2)
    assert tutor("Quantum chromodynamics?", None) == UNKNOWN
    assert tutor("  ", None) == NO_WORDS


def test_search_gives_the_best_first(folder: Path) -> None:
    found = Tutor(folder, encoder=Words()).search("crust of bread in the oven", 3)
    assert found[0].passage.section == "Crust"
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)


def test_a_folder_with_the_name_of_a_document_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "notes.md").mkdir()
    (tmp_path / "notes.md" / "bread.md").write_text(
        "# Bread\n\n" + "It is baked in a hot oven. " * 5
    )
    [passage] = read_folder(tmp_path)
    assert passage.section == "Bread"


def test_a_document_that_cannot_be_read_is_named(folder: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def closed(path: Path, **_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(sk.InputError, match="can't be read: Permission denied"):
        read_folder(folder)


def test_folders_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sk.InputError, match="is no folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(sk.InputError, match="no documents"):
        Tutor(tmp_path, encoder=Words())


@pytest.fixture(scope="module")
def tutor() -> Tutor:
    """With the real encoder and speechkit's own recipes and docs."""
    return Tutor()


def test_speechkit_brings_its_own_documents() -> None:
    folders = own_documents()
    assert [path.name for path in folders] == ["recipes", "docs"]
    assert sum(len(read_folder(path)) for path in folders) > 100


@pytest.mark.real
@pytest.mark.parametrize(
    ("question", "file"),
    [
        ("What is a log-mel spectrogram?", "whisper|front_end"),
        ("Why do we divide by the square root of d k?", "attention|transformer"),
        ("How does Whisper find the times of words?", "whisper"),
        ("What is an equal error rate?", "speaker|error_analysis"),
        ("What is monotonic alignment search?", "vits"),
        ("What is attentive statistics pooling?", "ecapa"),
        ("Why are positions added to the embeddings?", "attention|transformer"),
    ],
)
def test_questions_find_their_recipe(tutor: Tutor, question: str, file: str) -> None:
    [best] = tutor.search(question, 1)
    assert best.score >= tutor.threshold
    assert re.search(file, best.passage.file)
    assert best.passage.section in tutor(question, None)


@pytest.mark.real
@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Who won the football game yesterday?",
        "What will the weather be like tomorrow?",
        "Tell me a joke.",
        "How old is the president?",
        "What should I cook for dinner?",
    ],
)
def test_questions_about_the_world_are_not_answered(tutor: Tutor, question: str) -> None:
    assert tutor(question, None) == UNKNOWN


@pytest.mark.real
def test_vectors_are_kept_for_the_next_time(tutor: Tutor, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    tutor.warm_up()
    monkeypatch.setattr("speechkit.hub.home", lambda: tmp_path)
    first = Tutor(encoder=None)
    first._encoder = tutor._encoder
    first.warm_up()
    [kept] = (tmp_path / "passages").iterdir()
    again = Tutor()
    again._encoder = Words()  # not used: the vectors are read
    again.warm_up()
    np.testing.assert_array_equal(first._vectors, again._vectors)
    kept.write_bytes(kept.read_bytes()[:100])
    damaged = Tutor()
    damaged._encoder = tutor._encoder
    damaged.warm_up()
    np.testing.assert_allclose(damaged._vectors, first._vectors, atol=1e-6)
