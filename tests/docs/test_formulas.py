"""Formulas become MathML while the pages are built."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]
THEORY = Path(__file__).resolve().parents[2] / "docs" / "theory"
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)


def test_a_formula_becomes_mathml(extension: Load) -> None:
    made = extension("formulas").mathml(r"d = 2\sqrt{A/\pi}", block=True)
    assert made.startswith("<math ")
    assert 'display="block"' in made
    assert "<msqrt>" in made


def test_an_unknown_command_is_refused_and_named(extension: Load) -> None:
    with pytest.raises(ValueError, match=r"no MathML for .*frobnicate"):
        extension("formulas").mathml(r"\frobnicate{x}", block=False)


@pytest.mark.parametrize("page", sorted(THEORY.glob("*.md")), ids=lambda page: page.stem)
def test_every_formula_of_the_theory_can_be_drawn(extension: Load, page: Path) -> None:
    mathml = extension("formulas").mathml
    for block, inline in FORMULA.findall(page.read_text("utf-8")):
        assert "</math>" in mathml(block or inline, block=bool(block))
