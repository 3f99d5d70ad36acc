"""Which of RosettaSciIO's signals are images, which are series, and which are refused."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from epistem.core import Micrograph, MicrographSeries, NotAnImage, ReadError
from epistem.imaging import border, rosetta
from epistem.imaging.rosetta import read_digitalmicrograph, read_emd, read_hspy, read_mrc, read_tia, read_zspy

Axes = list[tuple[str, str | None, float, bool]]
Y: Axes = [("y", "nm", 2.0, False)]
X: Axes = [("x", "nm", 3.0, False)]


def signal(data: np.ndarray, axes: Axes, title: str = "one", **original: Any) -> dict[str, Any]:
    return {
        "data": data,
        "axes": [
            {"name": name, "units": unit, "scale": scale, "offset": 0.0, "size": size, "navigate": navigate}
            for (name, unit, scale, navigate), size in zip(axes, data.shape, strict=True)
        ],
        "metadata": {"General": {"title": title}, "Signal": {}},
        "original_metadata": original,
    }


def images(*signals: dict[str, Any]) -> Micrograph | MicrographSeries:
    return rosetta._images(Path("file.x"), signals, "z", "tag")


def test_two_axes_of_length_are_an_image_with_rows_before_columns() -> None:
    found = images(signal(np.zeros((4, 5)), Y + X))
    assert isinstance(found, Micrograph)
    assert found.calibration is not None
    assert (found.calibration.row_nm, found.calibration.col_nm) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("axis", "kind"), [(("z", "nm", 1.0, True), "z"), (("Time", "s", 0.5, True), "t"), (("", None, 1.0, True), "z")]
)
def test_a_stack_is_a_series_over_its_first_axis(axis: tuple[str, str | None, float, bool], kind: str) -> None:
    found = images(signal(np.arange(60).reshape(3, 4, 5), [axis, *Y, *X]))
    assert isinstance(found, MicrographSeries)
    assert (found.axis, len(found)) == (kind, 3)
    np.testing.assert_array_equal(found[1].pixels, np.arange(20, 40).reshape(4, 5))


def test_positions_with_a_unit_are_the_labels() -> None:
    found = images(signal(np.zeros((2, 4, 5)), [("Time", "s", 0.5, True), *Y, *X]))
    assert isinstance(found, MicrographSeries)
    assert [image.slice.label for image in found if image.slice] == ["0 s", "0.5 s"]


def test_a_stack_of_one_is_an_image() -> None:
    assert isinstance(images(signal(np.zeros((1, 4, 5)), [("z", None, 1.0, True), *Y, *X])), Micrograph)


SPECTRUM: Axes = [("Energy", "eV", 0.1, False)]


@pytest.mark.parametrize(
    "one",
    [
        signal(np.zeros(9), SPECTRUM),
        signal(np.zeros(9), [("x", None, 1.0, False)]),
        signal(np.zeros((4, 9)), [("x", "nm", 1.0, True), *SPECTRUM]),
        signal(np.zeros((9, 4, 5)), [("Energy loss", "eV", 1.0, True), *Y, *X]),
        signal(np.zeros((9, 4, 5)), [("Wavelength", "nm", 1.0, True), *Y, *X]),
        signal(
            np.zeros((9, 4, 5)),
            [("z", None, 1.0, True), *Y, *X],
            ImageList={"TagGroup0": {"ImageTags": {"Meta Data": {"Format": "Spectrum image"}}}},
        ),
    ],
    ids=["spectrum", "profile", "line scan", "energy cube", "wavelength cube", "DM spectrum image"],
)
def test_spectra_are_refused_in_words(one: dict[str, Any]) -> None:
    with pytest.raises(NotAnImage, match="spectrum"):
        images(one)


@pytest.mark.parametrize(
    "axes",
    [
        [("y", "nm", 1.0, True), ("x", "nm", 1.0, True), ("ky", "1/nm", 1.0, False), ("kx", "1/nm", 1.0, False)],
        [("y", "nm", 1.0, True), ("x", "nm", 1.0, True), ("", None, 1.0, False), ("", None, 1.0, False)],
        [("", None, 1.0, False)] * 4,
    ],
    ids=["diffraction", "scan", "no units"],
)
def test_4d_stem_is_refused_in_words(axes: Axes) -> None:
    with pytest.raises(NotAnImage, match="4D-STEM"):
        images(signal(np.zeros((2, 3, 4, 5)), axes))


def test_images_over_depth_and_angle_are_one_series_over_channels() -> None:
    axes: Axes = [("depth", "Å", 2.0, True), ("angle", "mrad", 1.0, True), *Y, *X]
    found = images(signal(np.zeros((2, 3, 4, 5)), axes))
    assert isinstance(found, MicrographSeries)
    assert (found.axis, len(found)) == ("channel", 6)


def test_complex_values_and_text_are_refused_in_words() -> None:
    with pytest.raises(NotAnImage, match="complex"):
        images(signal(np.zeros((4, 5), complex), Y + X))
    with pytest.raises(NotAnImage, match="text or objects"):
        images(signal(np.full((4, 5), "a", dtype=object), Y + X))


def test_a_diffraction_pattern_is_read_without_nm_and_said_so() -> None:
    found = images(signal(np.zeros((4, 5)), [("y", "1/nm", 0.1, False), ("x", "1/nm", 0.1, False)]))
    assert isinstance(found, Micrograph)
    assert found.calibration is None
    assert "reciprocal space" in found.warnings[0]


def test_beside_an_image_the_spectrum_and_the_diffraction_pattern_are_left_out_and_told() -> None:
    found = images(
        signal(np.ones((4, 5)), Y + X, "HAADF"),
        signal(np.zeros(9), SPECTRUM, "EDS"),
        signal(np.zeros((4, 5)), [("y", "1/nm", 0.1, False), ("x", "1/nm", 0.1, False)], "FFT"),
    )
    assert isinstance(found, Micrograph)
    assert found.pixels.all()
    assert "'EDS'" in found.warnings[0]
    assert "'FFT'" in found.warnings[0]


def test_two_detectors_are_a_series_over_channels_with_their_names() -> None:
    found = images(signal(np.zeros((4, 5)), Y + X, "HAADF"), signal(np.ones((4, 5)), Y + X, "BF"))
    assert isinstance(found, MicrographSeries)
    assert found.axis == "channel"
    assert [image.slice.label for image in found if image.slice] == ["HAADF", "BF"]


def test_a_warning_of_one_detector_is_not_told_of_all() -> None:
    odd: Axes = [("y", "ps", 1.0, False), ("x", "nm", 3.0, False)]
    found = images(signal(np.zeros((4, 5)), odd, "streak"), signal(np.ones((4, 5)), Y + X, "BF"))
    assert isinstance(found, MicrographSeries)
    assert found[0].warnings != ()
    assert found[1].warnings == found.warnings == ()


def test_a_conversion_that_fails_leaves_its_field_unknown() -> None:
    one = signal(np.zeros((4, 5)), Y + X, HV="high", Mag=[], Mode="STEM")
    beam = "Acquisition_instrument.TEM."
    one["mapping"] = {"HV": (beam + "beam_energy", float), "Mode": (beam + "acquisition_mode", None)}
    found = images(one)
    assert isinstance(found, Micrograph)
    assert (found.context.beam_keV, found.context.modality) == (None, "STEM")


def mrc(path: Path, shape: tuple[int, int, int], *, order: str = "<", mode: int = 2, cell_A: float = 10.0) -> Path:
    sections, rows, cols = shape
    header = np.zeros(256, order + "u4")
    header[[0, 1, 2, 3, 7, 8, 9]] = cols, rows, sections, mode, cols, rows, sections
    header.view(order + "f4")[10:13] = cols * cell_A, rows * cell_A * 2, 1
    header.view("S4")[52] = b"MAP "
    values = np.arange(np.prod(shape)).astype(order + "f4")
    path.write_bytes(header.tobytes() + values.tobytes())
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_mrc_of_either_byte_order_is_a_series_over_z(order: str, tmp_path: Path) -> None:
    found = read_mrc(mrc(tmp_path / "a.mrc", (3, 4, 5), order=order))
    assert isinstance(found, MicrographSeries)
    assert (found.axis, len(found)) == ("z", 3)
    np.testing.assert_array_equal(found[2].pixels, np.arange(40, 60).reshape(4, 5))
    assert found[0].calibration is not None
    assert (found[0].calibration.row_nm, found[0].calibration.col_nm) == pytest.approx((2.0, 1.0))


@pytest.mark.parametrize("cell", [0.0, -10.0])
def test_an_mrc_without_a_cell_has_no_pixel_size(cell: float, tmp_path: Path) -> None:
    found = read_mrc(mrc(tmp_path / "a.mrc", (1, 4, 5), cell_A=cell))
    assert isinstance(found, Micrograph)
    assert found.calibration is None


def test_an_mrc_cut_short_says_how_much_is_missing(tmp_path: Path) -> None:
    path = mrc(tmp_path / "a.mrc", (3, 4, 5))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReadError, match="declares 1264 bytes, the file has 1263"):
        read_mrc(path)


def test_an_emi_without_its_ser_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "scan.emi"
    path.write_bytes(b"JK\x00\x02" + bytes(50))
    with pytest.raises(NotAnImage, match=r"scan_1\.ser"):
        read_tia(path)


def test_a_velox_file_with_spectra_only_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "eds.emd"
    with h5py.File(path, "w") as file:
        file["Version"] = [b'{"format": "Velox", "version": "10"}']
        file.create_group("Data/Spectrum")
    with pytest.raises(NotAnImage, match="spectra only"):
        read_emd(path)


def test_a_data_set_larger_than_the_limit_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.emd"
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/bomb")
        group.attrs["emd_group_type"] = 1
        group.create_dataset("data", shape=(2**20, 2**20), dtype="f8", chunks=(64, 64))
    assert path.stat().st_size < 10_000
    with pytest.raises(ReadError, match="the limit is 4 GiB"):
        read_emd(path)


def test_a_crash_of_the_hdf5_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from epistem.imaging import stores

    path = tmp_path / "a.hspy"
    with h5py.File(path, "w"):
        pass
    monkeypatch.setattr(stores, "_GO_FIRST", "import os; os.abort()")
    with pytest.raises(ReadError, match="library crashes"):
        read_hspy(path)


def zspy_with(path: Path, array: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(".zgroup", '{"zarr_format": 2}')
        archive.writestr("Experiments/.zgroup", '{"zarr_format": 2}')
        archive.writestr("Experiments/a/.zgroup", '{"zarr_format": 2}')
        archive.writestr(
            "Experiments/a/data/.zarray", json.dumps({"zarr_format": 2, "order": "C", "fill_value": 0} | array)
        )
    return path


def test_a_zarr_that_would_unpickle_is_not_opened(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    one = {"shape": [4], "chunks": [4], "dtype": "|O", "filters": [{"id": "pickle"}], "compressor": None}
    with pytest.raises(ReadError, match="runs code from the file"):
        read_zspy(zspy_with(tmp_path / "evil.zspy", one))


def test_a_zarr_that_declares_terabytes_is_not_loaded(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    one = {"shape": [2**20, 2**20], "chunks": [64, 64], "dtype": "<f8", "filters": None, "compressor": None}
    with pytest.raises(ReadError, match="the limit is 4 GiB"):
        read_zspy(zspy_with(tmp_path / "bomb.zspy", one))


def test_a_dm_tag_that_reaches_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dm3"
    tag = struct.pack(">BH", 21, 1) + b"a%%%%" + struct.pack(">4I", 3, 20, 4, 10**9)
    path.write_bytes(struct.pack(">III", 3, 99, 1) + struct.pack(">BBI", 1, 0, 1) + tag)
    with pytest.raises(ReadError, match="bytes beyond the end"):
        read_digitalmicrograph(path)


def test_a_dm_structure_without_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dm3"
    info = struct.pack(">6I", 5, 20, 15, 0, 0, 2**31 - 1)
    tag = struct.pack(">BH", 21, 1) + b"a%%%%" + info
    path.write_bytes(struct.pack(">III", 3, 99, 1) + struct.pack(">BBI", 1, 0, 1) + tag)
    with pytest.raises(ReadError, match="without fields"):
        read_digitalmicrograph(path)


@pytest.mark.study
def test_every_real_file_of_dm_is_walked_to_its_end() -> None:
    from epistem.imaging.dm_tags import check_dm

    folder = os.environ.get("EPISTEM_STUDY_DATA")
    if not folder:
        pytest.skip("EPISTEM_STUDY_DATA is not set")
    files = sorted(Path(folder, "formats", "digitalmicrograph").glob("*.dm?"))
    assert len(files) > 50
    for path in files:
        check_dm(path)


def test_the_limit_is_four_gibibytes() -> None:
    assert border.MAX_BYTES == 4 * 2**30
