"""Docstrings that are no reStructuredText are made so."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("mean |Z - Z'| in the region", "mean ∣Z - Z'∣ in the region"),
        ("What begins with a_ tells", r"What begins with a\_ tells"),
        ("precision_… and f1_…, 0 to 1", r"precision\_… and f1\_…, 0 to 1"),
        ("s_contrast, row_px", "s_contrast, row_px"),
        (">>> f(a | b)", ">>> f(a | b)"),
        ("``a | b``", "``a | b``"),
    ],
)
def test_bars_and_prefixes_are_what_they_look_like(extension: Load, written: str, shown: str) -> None:
    assert extension("docstrings").plain(written) == shown
