"""Puts what a recipe makes on its page: after each block, the pictures and sounds that it wrote.

Recipes write into one folder (`common.keep_picture`, `common.keep_sound`). Whatever is new there, or
newer than before, belongs to the block that has just run.
"""

import html
import os
import re
import shutil
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

OUT = "SPEECHKIT_RECIPES_OUT"  # names the folder
SOUNDS = Path("recipes", "sounds")  # below the sources; copied into _static
PLAYER = """
.. raw:: html

    <figure class="sound"><figcaption>{caption}</figcaption>
    <audio controls preload="metadata" src="../_static/{file}"></audio></figure>

"""
EMPTY = re.compile(
    r"^\.\. rst-class:: sphx-glr-script-out\n\s+\.\. code-block:: none\n\s*\n(?=\S)", re.M
)

_seen: dict[Path, int] = {}  # files in the folder, and when they were written


def scrape(block, block_vars, gallery_conf) -> str:
    """reStructuredText of the pictures and players of one block."""
    text = ""
    _, _, line = block
    for path in _written():
        caption = path.stem.lstrip("0123456789_").replace("_", " ")
        if path.suffix == ".png":
            picture = next(block_vars["image_path_iterator"])
            shutil.copy(path, picture)
            text += figure_rst([picture], gallery_conf["src_dir"], caption)
        else:
            name = f"{Path(block_vars['src_file']).stem}-{line}-{path.name}"
            shutil.copy(path, Path(gallery_conf["src_dir"], SOUNDS, name))
            text += PLAYER.format(caption=html.escape(caption), file=name)
    return text


def begin(gallery_conf, fname) -> None:
    """Before a recipe: what lies in the folder by now is not its work, and its old sounds go."""
    _written()
    for old in Path(gallery_conf["src_dir"], SOUNDS).glob(f"{Path(fname or '?').stem}-*"):
        old.unlink()


def _written() -> list[Path]:
    """The pictures and sounds written since the last call, oldest first."""
    new = []
    for path in Path(os.environ[OUT]).glob("*.*"):
        written = path.stat().st_mtime_ns
        if path.suffix in (".png", ".wav") and _seen.get(path) != written:
            _seen[path] = written
            new.append(path)
    return sorted(new, key=lambda path: (_seen[path], path.name))


def _leave_out_paths(app, docname, source) -> None:
    """A page shows the pictures and sounds themselves, so the lines that say where they lie go."""
    if docname.startswith("recipes/"):
        text = re.sub(r"^    (picture|sound): .*\n", "", source[0], flags=re.M)
        source[0] = EMPTY.sub("", text)


def _prepare(app) -> None:
    """The folders, without pages of recipes that are gone; from quick to full all run again."""
    made = Path(app.srcdir, "recipes")
    mode = "quick" if os.environ.get("QUICK") else "full"
    if made.is_dir() and not (made / mode).is_file():
        shutil.rmtree(made)
    (made / "sounds").mkdir(parents=True, exist_ok=True)
    (made / mode).touch()
    recipes = Path(app.srcdir, app.config.sphinx_gallery_conf["examples_dirs"])
    for page in made.glob("*.rst"):
        if not (recipes / page.with_suffix(".py").name).is_file():
            page.unlink()
    Path(os.environ[OUT]).mkdir(parents=True, exist_ok=True)
    app.config.html_static_path.append(str(Path(app.srcdir, SOUNDS)))


def setup(app) -> dict[str, bool]:
    os.environ.setdefault(OUT, str(Path(app.outdir).parent / "recipes"))
    os.environ |= {"MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}  # no windows, no progress bars
    app.connect("builder-inited", _prepare, priority=1)  # before Sphinx-Gallery runs recipes
    app.connect("source-read", _leave_out_paths)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
