"""docs/architecture.md names files and names that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "epistem"
LAYERS = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
FIRST_COLUMN = 36
"""So many signs of a row of the picture are names of layers."""


def words(text: str) -> list[str]:
    """What stands between single backticks, without the picture."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def is_there(dotted: str) -> bool:
    """Whether layer.module or layer.module.name leads to a file, and to a name in it."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        path = PACKAGE.joinpath(*parts[:n])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.is_file():
            return all(re.search(rf"\b{part}\b", file.read_text("utf-8")) for part in parts[n:])
    return False


def test_every_module_and_file_it_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    dotted = [word for word in words(text) if re.fullmatch(r"[a-z_]+(\.[A-Za-z_]+)+", word)]
    dotted = [word for word in dotted if word.partition(".")[0] in LAYERS]
    assert len(dotted) > 30
    assert [word for word in dotted if not is_there(word)] == []
    files = [word for word in words(text) if re.fullmatch(r"[\w/]+/[\w*]+\.py", word)]
    assert len(files) >= 4
    assert [word for word in files if not list(PACKAGE.glob(word))] == []


def test_the_picture_has_every_layer_and_no_other() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("```")[1]
    rows = [line for line in picture.splitlines() if line]
    assert {line[FIRST_COLUMN - 1] for line in rows} == {" "}
    assert {word for line in rows for word in line[:FIRST_COLUMN].split()} == LAYERS
    assert not is_there("core.nothing_of_that_name")
    assert not is_there("core.instances.NothingOfThatName")
