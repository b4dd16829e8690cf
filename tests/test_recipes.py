"""The form of the recipes, and their index: what has to hold for every one without running it."""

import ast
import importlib.util
import re
import sys
import time
from pathlib import Path

import common
import pytest

from speechkit import hub

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("[0-9][0-9]_*.py"))
README = (ROOT / "recipes" / "README.md").read_text()
LINKS = re.findall(r"\]\((\d\d_\w+\.py)(?:#([^)]*))?\)", README)
UNDERLINED = re.compile(r"^(\S.*)\n([=~^\"'-])\2{2,}$", re.M)  # a heading in reStructuredText
ENDS_WITH = ("not do", "exercises", "papers")
MOST_S = 1.0  # that the definitions of a recipe take

every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def prose(recipe: Path) -> str:
    """The text of a recipe's page: its docstring, and its comments at the margin without the #."""
    source = recipe.read_text()
    comments = re.findall(r"^#(?: (.*)|)$", source, re.M)
    return "\n".join([ast.get_docstring(ast.parse(source)) or "", "", *comments])


def headings(recipe: Path) -> list[str]:
    return [text.strip() for text, _ in UNDERLINED.findall(prose(recipe))]


def anchor(heading: str) -> str:
    """The name that a section has on its page: docutils' rule, for letters of any language."""
    plain = re.sub(r":\w+:`([^`]*)`", r"\1", heading).replace("`", "").lower()
    return re.sub(r"^[-\d]+|-+$", "", re.sub(r"[^a-z0-9]+", "-", plain))


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Why divide by the root of d?", "why-divide-by-the-root-of-d"),
        ("2. ``torch`` and :math:`x`", "torch-and-x"),
    ],
)
def test_anchors(heading, expected):
    assert anchor(heading) == expected


def test_every_recipe_is_in_the_index():
    assert {name for name, _ in LINKS} == {recipe.name for recipe in RECIPES}


@pytest.mark.parametrize(("name", "section"), [link for link in LINKS if link[1]])
def test_links_lead_to_sections(name, section):
    found = [anchor(heading) for heading in headings(ROOT / "recipes" / name)]
    assert found.count(section) == 1, found


@every_recipe
def test_form(recipe):
    docstring = ast.get_docstring(ast.parse(recipe.read_text()))
    title, underline, blank, *_ = docstring.splitlines()
    assert underline == "=" * len(title)
    assert blank == ""
    sections = [heading.lower() for heading in headings(recipe)]
    assert len(sections) == len(set(sections)), "two sections of one name have one anchor"
    for wanted, section in zip(ENDS_WITH, sections[-3:], strict=True):
        assert wanted in section
    assert recipe.read_text().count("\n# %%\n") >= 5


@every_recipe
def test_importing_runs_nothing(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(common, "OUT", tmp_path)
    monkeypatch.setattr(hub, "fetch", lambda name, *_: pytest.fail(f"fetches {name}"))
    spec = importlib.util.spec_from_file_location("recipe", recipe)
    for _ in range(2):  # the first time packages are loaded
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "recipe", module)  # dataclasses ask for it
        capsys.readouterr()
        start = time.perf_counter()
        spec.loader.exec_module(module)
        seconds = time.perf_counter() - start
        said = capsys.readouterr().out
    assert said == ""
    assert list(tmp_path.iterdir()) == []
    assert seconds < MOST_S
