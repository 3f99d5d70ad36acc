"""Folders of the user's own machine."""

from __future__ import annotations

import os
from pathlib import Path

from epistem.core.errors import SettingsError


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept: epistem's part of the user's cache, made by who needs it.

    Raises:
        SettingsError: this user has no home folder.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epistem"
    except RuntimeError as error:
        raise SettingsError(
            "there is no home folder to keep files in; set XDG_CACHE_HOME to a folder that can be written to"
        ) from error
