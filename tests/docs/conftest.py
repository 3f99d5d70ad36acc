from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

EXTENSIONS = Path(__file__).resolve().parents[2] / "docs" / "ext"


@pytest.fixture(scope="session")
def extension() -> Callable[[str], ModuleType]:
    """One of docs/ext, by name; skips where Sphinx, the extra `docs`, is not installed."""

    def load(name: str) -> ModuleType:
        pytest.importorskip("sphinx")
        spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
