from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epistem.core import Axis, Calibration, Micrograph, MicrographSeries, Slice
from epistem.imaging import read
from epistem.report.label_stack import label_stack

zarr = pytest.importorskip("zarr")
LABELS = np.zeros((3, 600, 1100), np.int32)
LABELS[0, 10:20, 10:20] = 1
LABELS[1, 300:340, 900:950] = 1
LABELS[1, 30:34, 90:95] = 2


def write(
    path: Path,
    labels: np.ndarray = LABELS,
    axis: Axis = "z",
    scales: tuple[Calibration | None, ...] = (Calibration(0.5, 0.4, "user"),) * 3,
) -> None:
    with label_stack(path, len(labels)) as add:
        for i, plane in enumerate(labels):
            pixels = np.zeros(plane.shape, np.uint8)
            add(plane, Micrograph(pixels, calibration=scales[i], slice=Slice(axis, i, str(i))))


def test_labels_of_a_stack_come_back_through_our_own_reader(tmp_path: Path) -> None:
    path = tmp_path / "labels.ome.zarr"
    write(path)
    series = read(path)
    assert isinstance(series, MicrographSeries)
    assert series.axis == "z"
    for image, plane in zip(series, LABELS, strict=True):
        np.testing.assert_array_equal(image.pixels, plane)
        assert image.calibration is not None
        assert (image.calibration.row_nm, image.calibration.col_nm) == (0.5, 0.4)
    assert [one.name for one in tmp_path.iterdir()] == ["labels.ome.zarr"]


def test_levels_halve_and_their_scales_double(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr")
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    about = root.attrs["ome"]["multiscales"][0]
    assert [root[one["path"]].shape for one in about["datasets"]] == [(3, 600, 1100), (3, 300, 550), (3, 150, 275)]
    scales = [one["coordinateTransformations"][0]["scale"] for one in about["datasets"]]
    assert scales == [[1, 0.5, 0.4], [1, 1.0, 0.8], [1, 2.0, 1.6]]
    np.testing.assert_array_equal(root["1"][1], LABELS[1, ::2, ::2])
    assert [axis.get("unit") for axis in about["axes"]] == [None, "nanometer", "nanometer"]
    assert root["0"].chunks == (1, 600, 1100)


@pytest.mark.parametrize(
    ("axis", "letter", "kind"), [("z", "z", "space"), ("t", "t", "time"), ("channel", "c", "channel")]
)
def test_the_axis_of_the_series_is_named_as_ngff_names_it(tmp_path: Path, axis: Axis, letter: str, kind: str) -> None:
    write(tmp_path / "a.zarr", axis=axis, scales=(None,) * 3)
    about = zarr.open_group(str(tmp_path / "a.zarr"), mode="r").attrs["ome"]["multiscales"][0]
    assert about["axes"] == [
        {"name": letter, "type": kind}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}
    ]  # fmt: skip


@pytest.mark.parametrize("which", ["shape", "pixel size", "one image", "stopped"])
def test_planes_that_do_not_go_together_leave_nothing_not_even_what_was_there(tmp_path: Path, which: str) -> None:
    path = tmp_path / "a.zarr"
    write(path)
    if which == "pixel size":
        write(path, scales=(Calibration(1, 1, "user"), Calibration(2, 2, "user"), None))
    if which == "one image":
        write(path, LABELS[:1])
    if which == "shape":
        with label_stack(path, 2) as add:
            for i, side in enumerate((40, 50)):
                plane = Micrograph(np.zeros((side, side)), slice=Slice("z", i, str(i)))
                add(np.ones((side, side), int), plane)
    if which == "stopped":
        with pytest.raises(IndexError):
            write(path, scales=(None,))
        assert [one.name for one in tmp_path.iterdir()] == ["a.zarr"]  # the one before, whole
        return
    assert not list(tmp_path.iterdir())


def test_ome_zarr_opens_it_as_labels(tmp_path: Path) -> None:
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    write(tmp_path / "labels.ome.zarr")
    (node,) = list(reader.Reader(parse_url(tmp_path / "labels.ome.zarr"))())
    assert {type(spec).__name__ for spec in node.specs} == {"Label", "Multiscales"}
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
    np.testing.assert_array_equal(node.data[0].compute(), LABELS)


def test_the_models_of_ome_zarr_accept_it(tmp_path: Path) -> None:
    v05 = pytest.importorskip("ome_zarr_models.v05")
    write(tmp_path / "labels.ome.zarr")
    found = v05.ImageLabel.from_zarr(zarr.open_group(str(tmp_path / "labels.ome.zarr"), mode="r"))
    assert found.ome_attributes.multiscales[0].datasets[0].path == "0"
