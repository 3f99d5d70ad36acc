"""Stacks larger than memory: planes are read when they are asked for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from epistem.core import MicrographSeries, ReadError
from epistem.core.micrograph import Unread
from epistem.imaging import read

STACK = np.random.default_rng(0).integers(0, 4000, (12, 60, 80), np.uint16)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large is 1,000 bytes."""
    for module in ("zarr_files", "tiff_planes"):
        monkeypatch.setattr(f"epistem.imaging.{module}.AT_ONCE", 1000)


def as_zarr(path: Path, stack: np.ndarray, chunks: tuple[int, ...]) -> Path:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    group.create_array("0", data=stack, chunks=chunks)
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "tzyx"[-stack.ndim :]]
    scale = [{"type": "scale", "scale": [1.0] * (stack.ndim - 2) + [0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def written(path: Path, kind: str) -> Path:
    if kind.startswith("zarr"):
        return as_zarr(path / "a.zarr", STACK, (5, 32, 32) if kind == "zarr of slabs" else (1, 60, 80))
    options = {"imagej": True, "metadata": {"axes": "ZYX", "unit": "nm"}, "resolution": (2, 2)}
    if kind == "packed tiff":
        options |= {"compression": "zlib"}
    if kind == "big-endian tiff":
        options = {"byteorder": ">", "photometric": "minisblack"}
    tifffile.imwrite(path / "a.tif", STACK, **options)  # type: ignore[arg-type]
    return path / "a.tif"


KINDS = ("zarr", "zarr of slabs", "tiff", "packed tiff", "big-endian tiff")


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_stack_is_the_same_read_plane_by_plane(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    path = written(tmp_path, kind)
    whole = read(path)
    request.getfixturevalue("small")
    later = read(path)
    assert isinstance(whole, MicrographSeries)
    assert isinstance(later, MicrographSeries)
    assert not isinstance(whole.slices, Unread)
    assert isinstance(later.slices, Unread)
    assert later.id == whole.id
    for one, other in zip(later, whole, strict=True):
        assert (one.name, one.slice, one.id, one.warnings) == (other.name, other.slice, other.id, other.warnings)
        assert (one.calibration, one.metadata) == (other.calibration, other.metadata)
    assert (later.axis, later.name, later.warnings) == (whole.axis, whole.name, whole.warnings)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", KINDS)
def test_only_a_few_planes_of_a_large_stack_are_in_memory(tmp_path: Path, kind: str) -> None:
    side = 512
    stack = np.zeros((40, side, side), np.uint16)
    stack[:, ::7] = 1000
    if kind.startswith("zarr"):
        path = as_zarr(tmp_path / "a.zarr", stack, (4, 256, 256) if kind == "zarr of slabs" else (1, side, side))
    else:
        path = tmp_path / "a.tif"
        packed = {"compression": "zlib"} if kind == "packed tiff" else {}
        tifffile.imwrite(path, stack, photometric="minisblack", byteorder=">" if "big" in kind else "<", **packed)
    plane = stack[0].nbytes
    del stack
    read(path)  # what is imported and cached
    tracemalloc.start()
    try:
        total = sum(int(image.pixels.sum(dtype=np.int64)) for image in read(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 40 * 1000 * 74 * side
    assert peak < 20 * plane  # all of them are 40; the search for a scale bar takes several


@pytest.mark.usefixtures("small")
def test_a_part_of_a_large_series_is_read_later_too(tmp_path: Path) -> None:
    series = read(written(tmp_path, "tiff"))
    assert isinstance(series, MicrographSeries)
    part = series[3:7:2]
    assert [image.slice.position for image in part if image.slice] == [3, 5]
    np.testing.assert_array_equal(series[-1].pixels, STACK[-1])


def test_leading_axes_of_a_large_zarr_keep_their_labels(tmp_path: Path, small: None) -> None:
    series = read(as_zarr(tmp_path / "a.zarr", STACK.reshape(3, 4, 60, 80), (1, 3, 60, 80)))
    assert isinstance(series, MicrographSeries)
    assert [image.slice.label for image in series if image.slice][:5] == [
        "t0, z0",
        "t0, z1",
        "t0, z2",
        "t0, z3",
        "t1, z0",
    ]
    np.testing.assert_array_equal(series[7].pixels, STACK[7])


@pytest.mark.usefixtures("small")
def test_a_damaged_plane_is_one_line_that_names_the_file_and_spares_the_others(tmp_path: Path) -> None:
    path = written(tmp_path, "zarr")
    (path / "0" / "c" / "5" / "0" / "0").write_bytes(b"no chunk")
    series = read(path)
    np.testing.assert_array_equal(series[4].pixels, STACK[4])  # type: ignore[index]
    with pytest.raises(ReadError, match=r"a\.zarr: plane 5, counted from 0, of 12 cannot be unpacked"):
        series[5]  # type: ignore[index]


def test_of_a_small_stack_the_damaged_plane_is_named_too(tmp_path: Path) -> None:
    path = written(tmp_path, "zarr")
    (path / "0" / "c" / "5" / "0" / "0").write_bytes(b"no chunk")
    with pytest.raises(ReadError, match=r"a\.zarr: plane 5, counted from 0, of 12 cannot be unpacked"):
        read(path)


def test_a_stack_of_more_than_four_gigabytes_is_opened_and_one_of_terabytes_is_not(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    for n, name in ((2000, "large.zarr"), (2_000_000, "bomb.zarr")):
        zarr.create_array(str(tmp_path / name), shape=(n, 2048, 2048), chunks=(1, 2048, 2048), dtype=np.uint16)
    large = read(tmp_path / "large.zarr")
    assert isinstance(large, MicrographSeries)
    assert len(large) == 2000
    assert not large[1999].pixels.any()
    with pytest.raises(ReadError, match="the limit is 256 GiB"):
        read(tmp_path / "bomb.zarr")
