"""How Sphinx builds the site: `make docs`, from a copy of these pages in out/source."""

import re
import sys
from pathlib import Path

from docutils import nodes

DOCS = Path(__file__).parent
ROOT = DOCS.parent
READMES = {
    "index": ROOT / "README.md",
    "recipes": ROOT / "recipes" / "README.md",
}  # page → its text
sys.path[:0] = [str(DOCS), str(ROOT)]  # our extensions; the package

from speechkit import __version__  # noqa: E402

project = "speechkit"
author = "the speechkit authors"
version = release = __version__
html_title = project

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "command_help",
    "mathml",
    "scraper",
]
# Sphinx-Gallery writes a page of its own from recipes/README.md; ours is recipes.md.
exclude_patterns = ["recipes/index.rst"]

# Pages
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = html_show_sphinx = html_copy_source = False
html_math_renderer = "mathml"
default_role = "code"  # single backticks, as in Markdown
myst_heading_anchors = 3

# The API
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True  # 16_000 stays 16_000
python_maximum_signature_line_length = 95
add_module_names = False
napoleon_use_ivar = True  # attributes as a list, not as entries of their own
napoleon_use_rtype = False

# The recipes
sphinx_gallery_conf = {
    "examples_dirs": "../../recipes",
    "gallery_dirs": "recipes",
    "backreferences_dir": "recipes/uses",
    "filename_pattern": r"/\d\d_\w+\.py$",
    "ignore_pattern": r"^(?!\d\d_)",  # common.py
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("scraper.scrape",),
    "reset_modules": ("matplotlib", "scraper.begin"),
    "capture_repr": (),  # only what is printed
    "thumbnail_size": (480, 320),
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
}


LINKS = (  # in Markdown, and what they are on the site
    (r"\]\((\.\./)?docs/", "]("),
    (r"\]\((\.\./)?(recipes/)?(\d\d_\w+)\.py", r"](recipes/\3.rst"),
    (r"\]\((\.\./)?recipes/README\.md", "](recipes.md"),
    (r"\]\(\.\./README\.md", "](index.md"),
)


def link_pages(text: str) -> str:
    """Links between files of the repository, made links between pages."""
    for file, page in LINKS:
        text = re.sub(file, page, text)
    return text


def read_page(app, docname, source) -> None:
    """Two pages begin with a README; all link to pages."""
    if path := READMES.get(docname):
        app.env.note_dependency(path)
        source[0] = f"{path.read_text('utf-8')}\n{source[0]}"
    if "/" not in docname:
        source[0] = link_pages(source[0])


def note_sections(app, doctree) -> None:
    """Markdown may link to a section of a recipe, and is warned of one that is not there."""
    slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
    for section in doctree.findall(nodes.section):
        for name in section["ids"]:
            slugs.setdefault(name, (section.line, name, section[0].astext()))


def link_names(app, doctree, docname) -> None:
    """Where a text names the file of a recipe, it leads to its page."""
    for name in list(doctree.findall(nodes.literal)):
        page = f"recipes/{name.astext().removesuffix('.py')}"
        if name.astext().endswith(".py") and page in app.env.all_docs:
            target = app.builder.get_relative_uri(docname, page)
            link = nodes.reference("", "", refuri=target, internal=True)
            name.replace_self(link)
            link += name


def setup(app) -> None:
    app.connect("source-read", read_page)
    app.connect("doctree-resolved", link_names)
    app.connect("doctree-read", note_sections)
