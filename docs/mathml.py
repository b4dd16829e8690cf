"""Formulas as MathML, which browsers show by themselves: no script, no network.

math-core turns TeX into MathML. The letters are STIX Two Math's, copied from the package ziamath. A
formula that can't be read is a warning, so none is shown half done.
"""

import html
import re
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

FONT = Path(find_spec("ziamath").origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"
converter = LatexToMathML(fancy_error=False)
logger = logging.getLogger(__name__)


def to_mathml(formula: str, block: bool, place: nodes.Node | None = None) -> str:
    """One formula, on lines of its own if it is a block."""
    formula = " ".join(formula.split())
    if r"\\" in formula and r"\begin" not in formula:
        formula = rf"\begin{{aligned}}{formula}\end{{aligned}}"
    try:
        return converter.convert_with_local_state(formula, displaystyle=block)
    except LatexError as e:
        logger.warning("formula %r: %s", formula, e, location=place)
        return f"<code>{html.escape(formula)}</code>"


def visit_inline(translator, node: nodes.math) -> None:
    translator.body.append(to_mathml(node.astext(), False, node))
    raise nodes.SkipNode


def visit_block(translator, node: nodes.math_block) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})</span>')
    for part in re.split(r"\n\s*\n", node.astext().strip()):
        translator.body.append(to_mathml(part, True, node))
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("config-inited", lambda _, config: config.html_static_path.append(str(FONT)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
