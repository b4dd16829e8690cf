"""The site: what its own extensions do, and a page built of a small recipe."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import speechkit as sk

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "recipes" / "README.md", *sorted(DOCS.glob("*.md"))]
RECIPE = '''"""
A small recipe
==============

It answers nothing.
"""

from common import QUICK, keep_picture, keep_sound
from matplotlib import pyplot as plt

import numpy as np
import speechkit as sk

# %%
# A section
# ---------
#
# .. math:: a = \\frac{b}{c}


def half(x: float) -> float:
    return x / 2


if __name__ == "__main__":
    print("half of seven:", half(7), QUICK)
    figure, axes = plt.subplots()
    keep_picture(figure, "a_picture")
    keep_sound(sk.Audio(np.zeros(1600, "float32"), 16_000), "a_sound")
'''
START = "Start\n=====\n\n.. toctree::\n   :glob:\n\n   recipes/[0-9]*\n"


def test_every_public_name_is_on_the_page_of_names():
    shown = re.findall(r"^\.\. auto\w+:: (\w+)$", (DOCS / "api.rst").read_text(), re.M)
    assert set(sk.__all__) <= set(shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_pages(extension, page):
    """What is no page of the site would be a warning of its build."""
    text = extension("conf").link_pages(page.read_text())
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        file = ROOT / target.replace(".rst", ".py") if "/" in target else DOCS / target
        assert file.is_file(), target


@pytest.fixture
def extension(monkeypatch):
    """Imports one of the site's own extensions."""
    pytest.importorskip("sphinx_gallery", reason="the docs extra is not installed")
    monkeypatch.syspath_prepend(str(DOCS))

    def load(name):
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    return load


@pytest.fixture
def scraper(extension, tmp_path, monkeypatch):
    """The scraper, over an empty folder `made` and sources in `src`."""
    monkeypatch.setenv("SPEECHKIT_RECIPES_OUT", str(tmp_path / "made"))
    (tmp_path / "made").mkdir()
    (tmp_path / "src" / "recipes" / "sounds").mkdir(parents=True)
    return extension("scraper")


def scrape(scraper, tmp_path, line=1):
    pictures = iter(tmp_path / "src" / f"picture{n}.png" for n in range(9))
    block_vars = {"image_path_iterator": pictures, "src_file": "/recipes/07_x.py"}
    return scraper.scrape(("code", "", line), block_vars, {"src_dir": str(tmp_path / "src")})


def test_a_block_gets_what_is_new(scraper, tmp_path):
    made = tmp_path / "made"
    (made / "old.png").write_bytes(b"old")
    scraper.begin({"src_dir": str(tmp_path / "src")}, "07_x.py")
    assert scrape(scraper, tmp_path) == ""
    (made / "a_map.png").write_bytes(b"a map")
    os.utime(made / "a_map.png", (1, 1))  # earlier than the sound
    (made / "loud_&_clear.wav").write_bytes(b"RIFF")
    (made / "notes.txt").write_text("no picture")
    text = scrape(scraper, tmp_path, 30)
    assert (tmp_path / "src" / "picture0.png").read_bytes() == b"a map"
    assert ":alt: a map" in text
    assert text.index("picture0.png") < text.index("<audio")
    assert 'src="../_static/07_x-30-loud_&_clear.wav"' in text
    assert "loud &amp; clear" in text
    sounds = tmp_path / "src" / "recipes" / "sounds"
    assert [path.name for path in sounds.iterdir()] == ["07_x-30-loud_&_clear.wav"]
    assert scrape(scraper, tmp_path) == ""
    os.utime(made / "a_map.png", (2, 2))  # written again, by a later block
    assert "picture0.png" in scrape(scraper, tmp_path)


def test_old_sounds_of_a_recipe_go(scraper, tmp_path):
    sounds = tmp_path / "src" / "recipes" / "sounds"
    for name in ("07_x-1-a.wav", "08_y-1-a.wav"):
        (sounds / name).touch()
    scraper.begin({"src_dir": str(tmp_path / "src")}, "07_x.py")
    assert [path.name for path in sounds.iterdir()] == ["08_y-1-a.wav"]


def test_a_page_says_no_paths(scraper):
    out = ".. rst-class:: sphx-glr-script-out\n\n .. code-block:: none\n\n"
    source = [
        f"{out}    picture: a.png\n    sound: b.wav\n\n\nText.\n\n{out}    x: 1\n    sound: c\n"
    ]
    scraper._leave_out_paths(None, "recipes/07_x", source)
    assert source == [f"Text.\n\n{out}    x: 1\n"]


def test_formulas_are_mathml(extension):
    mathml = extension("mathml")
    assert mathml.FONT.is_file()
    fraction = mathml.to_mathml("\\frac{a}\n{b}", block=False)
    assert fraction == "<math><mfrac><mi>a</mi><mi>b</mi></mfrac></math>"
    assert mathml.to_mathml(r"a &= 1 \\ b &= 2", block=True).count("<mtr>") == 2


@pytest.mark.parametrize("formula", [r"\nosuch < x", r"\frac{a}", "x}"])
def test_a_formula_that_cannot_be_shown_warns(extension, monkeypatch, formula):
    mathml, warned = extension("mathml"), []
    monkeypatch.setattr(mathml.logger, "warning", lambda *said, location: warned.append(said))
    assert mathml.to_mathml(formula, block=False) == f"<code>{html.escape(formula)}</code>"
    assert warned[0][1] == formula


def test_a_site_of_a_small_recipe(extension, tmp_path):
    """The real configuration, over other sources: no warning, and nothing from elsewhere."""
    extension("scraper")
    source, recipes = tmp_path / "out" / "source", tmp_path / "recipes"
    source.mkdir(parents=True)
    recipes.mkdir()
    (source / "start.rst").write_text(START)
    (recipes / "01_small.py").write_text(RECIPE)
    (recipes / "README.md").write_text("# Recipes\n")
    (recipes / "common.py").write_text((ROOT / "recipes" / "common.py").read_text())
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(DOCS)]
    build += ["-D", "root_doc=start", str(source), str(tmp_path / "out" / "docs")]
    environment = {k: v for k, v in os.environ.items() if k != "SPEECHKIT_RECIPES_OUT"}
    picture = tmp_path / "out" / "recipes" / "a_picture.png"
    written = set()
    for _ in range(2):  # the second time it does not run again
        (source / "recipes").mkdir(exist_ok=True)
        (source / "recipes" / "99_gone.rst").touch()
        done = subprocess.run(
            build, capture_output=True, text=True, env=environment | {"QUICK": "1"}
        )
        assert done.returncode == 0, done.stderr
        written.add(picture.stat().st_mtime_ns)
    assert len(written) == 1
    site = tmp_path / "out" / "docs"
    page = (site / "recipes" / "01_small.html").read_text()
    assert "half of seven: 3.5 True" in page
    assert "<mfrac>" in page
    assert "picture:" not in page
    assert '<audio controls preload="metadata" src="../_static/01_small-' in page
    for file in re.findall(r'<(?:img|audio|script|link)\b[^>]* (?:src|href)="([^"#?]+)', page):
        assert (site / "recipes" / file).exists(), file
    for gone in ("common", "99_gone"):
        assert not (site / "recipes" / f"{gone}.html").exists()
    assert (source / "recipes" / "images" / "sphx_glr_01_small_001.png").is_file()
