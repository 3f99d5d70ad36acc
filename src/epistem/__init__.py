"""Find and measure what is in a micrograph, and say how far each result can be trusted."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Else onnxruntime keeps a journal of its use in the home folder and sends it to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# name → module; imported on first use, so that `import epistem` stays fast.
_EXPORTS = {
    "Calibration": "epistem.core",
    "Context": "epistem.core",
    "Instances": "epistem.core",
    "Micrograph": "epistem.core",
    "MicrographSeries": "epistem.core",
    "Provenance": "epistem.core",
    "EpistemError": "epistem.core",
    "analyze": "epistem.app.analyze",
    "from_hyperspy": "epistem.imaging.hyperspy_signals",
    "match": "epistem.detect.match",
    "measure": "epistem.detect.measure",
    "read": "epistem.imaging",
    "to_hyperspy": "epistem.imaging.hyperspy_signals",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'epistem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
