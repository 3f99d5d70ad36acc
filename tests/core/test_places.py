"""Where epistem keeps what it can make or fetch again."""

from __future__ import annotations

from pathlib import Path

import pytest

from epistem.core.places import cache_folder


def test_the_cache_lies_where_the_user_wants_it_else_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "epistem"
    # An empty variable is none, as the specification has it.
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder() == tmp_path / "home" / ".cache" / "epistem"
