"""A series of images in one file: what a run that was killed, or another run, leaves of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from epistem.app import store, worker
from epistem.app.batch import BatchResult, list_files, make_jobs, run_batch
from epistem.app.settings import Settings, make_settings
from epistem.core import Instances, Micrograph

SETTINGS = make_settings()


def run(images: Path, out: Path, settings: Settings = SETTINGS) -> BatchResult:
    return run_batch(make_jobs(list_files([images], out), settings), settings, out, workers=1)


@pytest.fixture
def images(tmp_path: Path, discs: Callable[..., None]) -> Path:
    """A folder with one stack of three planes."""
    folder = tmp_path / "images"
    folder.mkdir()
    discs(folder / "one.tif", n=5)
    page = tifffile.imread(folder / "one.tif")
    (folder / "one.tif").unlink()
    tifffile.imwrite(folder / "stack.tif", np.stack([page, page[::-1], page[:, ::-1]]), imagej=True)
    return folder


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Places of the planes that are analysed from here on."""
    places: list[int] = []
    before(monkeypatch, lambda micrograph: places.append(micrograph.slice.position))
    return places


def before(monkeypatch: pytest.MonkeyPatch, each: Callable[[Any], object]) -> None:
    """From here on, call this before each plane is analysed."""
    true = worker.analyze_image

    def analyze(micrograph: Any, *rest: Any) -> Any:
        each(micrograph)
        return true(micrograph, *rest)

    monkeypatch.setattr(worker, "analyze_image", analyze)


def killed_before(place: int, images: Path, out: Path) -> None:
    def stop(micrograph: Micrograph) -> None:
        if micrograph.slice is not None and micrograph.slice.position == place:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        before(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            run(images, out)


def assert_same(one: Path, two: Path) -> None:
    """But for run.json, which holds the names of the folders."""
    files = {path.relative_to(one) for path in one.rglob("*") if path.is_file() and path.name != "run.json"}
    assert files == {path.relative_to(two) for path in two.rglob("*") if path.is_file() and path.name != "run.json"}
    assert [file for file in files if (one / file).read_bytes() != (two / file).read_bytes()] == []


def test_a_run_goes_on_after_the_slices_that_a_killed_one_has_done(
    images: Path, tmp_path: Path, looked: list[int]
) -> None:
    run(images, tmp_path / "whole")
    killed_before(2, images, tmp_path / "out")
    looked.clear()
    run(images, tmp_path / "out")
    assert looked == [2]
    assert_same(tmp_path / "whole", tmp_path / "out")


@pytest.mark.parametrize("file", ["labels.tif", "objects.parquet", "slice.json"])
def test_a_damaged_slice_is_done_again(images: Path, tmp_path: Path, looked: list[int], file: str) -> None:
    out = tmp_path / "out"
    killed_before(2, images, out)
    damaged = out / "images" / "stack.tif" / "0001" / file
    damaged.write_bytes(damaged.read_bytes()[:-1])
    looked.clear()
    run(images, out)
    assert looked == [1, 2]


def test_slices_of_other_settings_are_not_kept(images: Path, tmp_path: Path, looked: list[int]) -> None:
    killed_before(2, images, tmp_path / "out")
    looked.clear()
    run(images, tmp_path / "out", make_settings(seed=3))
    assert looked == [0, 1, 2]


def test_slices_of_other_pixels_are_not_kept(images: Path, tmp_path: Path, looked: list[int]) -> None:
    path, out = images / "stack.tif", tmp_path / "out"
    good, true = path.read_bytes(), worker.images_of
    with pytest.MonkeyPatch.context() as patch:  # the file changes after it is listed, and is put back

        def other(*what: Any) -> Any:
            tifffile.imwrite(path, np.full((3, 40, 50), 7, np.uint8), imagej=True)
            return true(*what)

        patch.setattr(worker, "images_of", other)
        killed_before(2, images, out)
    path.write_bytes(good)
    looked.clear()
    run(images, out)
    assert looked == [0, 1, 2]


def test_slices_are_all_looked_at_where_somebody_wants_to_see_each(images: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "out", []
    (job,) = make_jobs(list_files([images], out), SETTINGS)
    killed_before(2, images, out)
    worker.run_job(job, SETTINGS, out, each=lambda analysis: seen.append(analysis.micrograph.slice.position))
    assert seen == [0, 1, 2]

    (out / "images" / "stack.tif" / "result.json").unlink()
    record = worker.run_job(job, SETTINGS, out, find=lambda image: Instances.empty(image.shape))
    assert [image.n_objects for image in record.images] == [0, 0, 0]


def test_what_a_run_with_other_settings_has_put_in_its_place_is_told_and_made_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "out", make_settings(seed=3)
    run(images, tmp_path / "whole")

    def come_between(micrograph: Micrograph) -> None:
        if micrograph.slice is not None and micrograph.slice.position == 1:
            monkeypatch.undo()
            run(images, out, other)

    before(monkeypatch, come_between)
    mixed = run(images, out)
    assert [error.why for error in mixed.errors] == [store.REPLACED]
    assert len(mixed.records) == 0
    assert run(images, out).reused == 0
    assert_same(tmp_path / "whole", out)


def test_a_zarr_that_changed_is_analysed_again_and_what_a_file_manager_leaves_is_no_change(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    images, out, elsewhere = tmp_path / "images", tmp_path / "out", tmp_path / "c"
    images.mkdir()
    path = images / "a.zarr"
    array = zarr.create_array(str(path), shape=(40, 50), chunks=(40, 50), dtype="uint8")
    keys = []
    for value in (7, 7, 9):
        array[:] = value
        keys.append(run(images, out).records[0].key)
        (path / ".DS_Store").write_text(str(value))
    assert keys[0] == keys[1] != keys[2]

    (path / "c").rename(elsewhere)
    (path / "c").symlink_to(elsewhere)
    assert run(images, out).reused == 1
    array[:] = 8
    assert run(images, out).reused == 0
