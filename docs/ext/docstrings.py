"""Docstrings are written to be read in the file; here they become what Sphinx understands."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_BARE_UNDERSCORE = re.compile(r"(?<=\w)_(?=[\s.,;:)…]|$)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Look at docstrings before napoleon does, and leave out what nobody wrote."""
    app.connect("autodoc-process-docstring", _plain, priority=100)
    app.connect("autodoc-skip-member", _skip)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def plain(line: str) -> str:
    """A line in which |x| is an absolute value and a_ a prefix, not reStructuredText; code stays as it is.

    The bar becomes U+2223, which is as wide: the columns of tables stay where they are.
    """
    if line.lstrip().startswith((">>>", "...")) or "``" in line:
        return line
    return _BARE_UNDERSCORE.sub(r"\\_", line.replace("|", "∣"))


def _plain(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = map(plain, lines)


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    # "Alias for field number 0": the class's own docstring says what a field is.
    return True if type(obj).__name__ == "_tuplegetter" else None
