"""Folders of the user's own machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept: epistem's part of the user's cache, made by who needs it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epistem"
