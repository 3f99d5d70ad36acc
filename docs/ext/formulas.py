"""Formulas as MathML, made while building: browsers draw it themselves, so the pages carry no script for it."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Register as `html_math_renderer = "mathml"`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def mathml(latex: str, *, block: bool) -> str:
    """One formula as a <math> element.

    Raises:
        ValueError: a command that is not known and would stand on the page as it was typed.
    """
    made = convert(latex, display="block" if block else "inline")
    if "\\" in made:
        raise ValueError(f"no MathML for {made[made.index(chr(92)) :][:30]!r} in {latex!r}; write it otherwise")
    return made


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math") + mathml(node.astext(), block=True) + "</div>\n")
    raise nodes.SkipNode
