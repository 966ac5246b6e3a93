"""Formulas as MathML, made when the book is built: readers need neither a network nor scripts."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def mathml(node: nodes.Node, display: str) -> str:
    """The formula of a node; what cannot be converted stops the strict build."""
    formula = node.astext().replace("{aligned}", "{split}")
    # otherwise an exponent is taken for that of the right bar alone, which it makes small
    formula = re.sub(r"(?<!\\left)\\lVert", r"\\left\\lVert", formula)
    formula = re.sub(r"(?<!\\right)\\rVert", r"\\right\\rVert", formula)
    try:
        made = convert(formula, display=display)
    except Exception as error:  # the converter has no common base of its errors
        logger.warning("formula %r: %s", formula, type(error).__name__, location=node)
        return f"<code>{formula}</code>"
    if "\\" in made:
        logger.warning("formula %r holds an unknown command", formula, location=node)
    return made


def inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def block(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append(mathml(node, "block") + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
