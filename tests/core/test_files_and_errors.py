"""Whole files, and errors in a line."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from epistem.core import RecordError, SettingsError, TrainingError
from epistem.core.errors import in_a_line
from epistem.core.files import sweep, write_text, written_whole


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def interrupted() -> None:
        with written_whole(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_writer_left_goes_when_it_is_old_by_the_clock_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, days in (("old", 2), ("new", 0)):
        (tmp_path / f".{name}.png.1-2.part").write_text("half")
        (tmp_path / f".{name}.zarr.1-2.part").mkdir()
        for left in tmp_path.glob(f".{name}.*"):
            os.utime(left, (time.time() - days * 86_400,) * 2)
    (tmp_path / "a.part").write_text("mine")
    ahead = time.time() + 5 * 86_400
    monkeypatch.setattr(time, "time", lambda: ahead)
    sweep(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".new.png.1-2.part", ".new.zarr.1-2.part", "a.part"]


def test_what_the_system_refuses_is_raised_as_asked_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="No space left on device; make room on the disk"):  # noqa: SIM117
        with written_whole(tmp_path / "a", TrainingError):
            raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(RecordError, match="create the folder first"), written_whole(tmp_path / "no" / "a") as part:
        part.write_text("x")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (SettingsError("wanted a\n  number"), "wanted a number"),
        (MemoryError(), "needs more memory than there is; take fewer --workers"),
        (OSError(errno.EIO, "Input/output error"), "the system refused it: Input/output error; make room or choose"),
        (ValueError("bad"), "ValueError: bad; a fault of epistem, please report it"),
    ],
)
def test_each_kind_of_error_is_a_line_of_its_own(error: Exception, line: str) -> None:
    assert in_a_line(error).startswith(line)
