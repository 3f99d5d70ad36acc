from __future__ import annotations

import threading
from pathlib import Path

import pytest

from epistem.app.settings import make_settings
from epistem.app.store import FileRecord
from epistem.app.watch import watch
from epistem.core import SettingsError
from epistem.imaging import read


def test_an_image_that_arrives_is_analysed_once_it_is_whole(folder: Path, tmp_path: Path) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "out"
    inbox.mkdir()
    whole = (folder / "im0.tif").read_bytes()
    told: list[object] = []
    enough = threading.Event()
    looks = 0

    def stop() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            (inbox / "new.tif").write_bytes(whole[:5000])
        elif looks == 3:  # still being written: it was seen once, and has grown since
            (inbox / "new.tif").write_bytes(whole)
        return enough.is_set() or looks > 50

    def tell(done: int, total: int, outcome: object) -> None:
        told.append(outcome)
        enough.set()

    last = watch(inbox, make_settings(), out, every_s=0.05, progress=tell, stop=stop)
    assert last is not None
    assert len(told) == 1
    assert isinstance(told[0], FileRecord)
    assert told[0].images[0].n_objects == 9
    assert (out / "report.html").is_file()


def test_a_zarr_that_is_still_being_filled_is_waited_for(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    inbox, looks, told = tmp_path / "inbox", iter(range(12)), []
    inbox.mkdir()
    array = zarr.create_array(str(inbox / "a.zarr"), shape=(8, 40, 50), chunks=(1, 40, 50), dtype="uint8")

    def stop() -> bool:
        look = next(looks)
        if look < 8:
            array[look] = 100 + look
        return look == 11

    last = watch(
        inbox, make_settings(), tmp_path / "out", every_s=0.01, progress=lambda *a: told.append(a), stop=stop
    )
    assert last is not None
    assert len(told) == 1
    assert [image.id for image in last.records[0].images] == [image.id for image in read(inbox / "a.zarr")]


def test_a_broken_arrival_is_told_once(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "broken.tif").write_text("no picture", "utf-8")
    told: list[object] = []
    looks = iter(range(8))
    last = watch(
        inbox,
        make_settings(),
        tmp_path / "out",
        every_s=0.01,
        progress=lambda *what: told.append(what),
        stop=lambda: next(looks) == 7,
    )
    assert last is not None
    assert [error.file for error in last.errors] == ["broken.tif"]
    assert len(told) == 1


def test_a_failure_is_not_tried_again_when_something_else_arrives(folder: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "broken.tif").write_text("no picture", "utf-8")
    told: list[str] = []
    looks = iter(range(12))

    def stop() -> bool:
        look = next(looks)
        if look == 4:
            (inbox / "new.tif").write_bytes((folder / "im0.tif").read_bytes())
        return look == 11

    last = watch(
        inbox,
        make_settings(),
        tmp_path / "out",
        every_s=0.01,
        progress=lambda _done, _total, outcome: told.append(outcome.file),
        stop=stop,
    )
    assert told == ["broken.tif", "new.tif"]
    assert last is not None
    assert [error.file for error in last.errors] == ["broken.tif"]


def test_a_folder_inside_that_of_the_results_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="choose an --out of its own"):
        watch(folder, make_settings(detector="log"), folder, stop=lambda: True)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none of that name"):
        watch(tmp_path / "nowhere", make_settings(), tmp_path / "out")
