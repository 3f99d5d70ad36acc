"""The files that `epistem papers` and `epistem ask` pass on in a folder; one that is missing is a wrong command."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from epistem.ask.records import read_records
from epistem.core import SettingsError

FIGURES, LEFT, PAIRS = "figures.jsonl", "left.jsonl", "pairs.jsonl"
ANSWERED, GRADES = "answered.jsonl", "grades.jsonl"
_MAKERS = {
    FIGURES: "epistem papers ingest", PAIRS: "epistem papers questions", ANSWERED: "epistem ask evaluate",
    GRADES: "epistem ask evaluate",
}  # fmt: skip

R = TypeVar("R", bound=BaseModel)


def records_of(folder: Path, name: str, kind: type[R]) -> list[R]:
    """The records of a file that another command wrote.

    Raises:
        SettingsError: it is not there.
        RecordError: it holds something else.
    """
    path = there(folder / name, f"what `{_MAKERS[name]}` writes")
    return read_records(path, kind)


def there(path: Path, wanted: str) -> Path:
    """The path of a file.

    Raises:
        SettingsError: there is none.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: wanted {wanted}; there is no such file")
    return path
