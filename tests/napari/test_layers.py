from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from epistem.core import Calibration, Micrograph, NotAnImage, SettingsError, ShapeError
from epistem.imaging.read import SUFFIXES
from epistem.napari.layers import KEY, get_reader, micrograph_of, placed, read_layers

PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 40, 60)).astype(np.uint16)
MANIFEST = Path(__file__).resolve().parents[2] / "src" / "epistem" / "napari" / "napari.yaml"


def file(path: Path, pixels: Any = PIXELS[0], unit: str | None = "nm") -> str:
    """A TIFF as ImageJ writes it, rows 0.5 and columns 0.4 apart."""
    axes = "YX" if pixels.ndim == 2 else "ZYX"
    scale = {} if unit is None else {"resolution": (1 / 0.4, 1 / 0.5)}
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes, **({"unit": unit} if unit else {})}, **scale)
    return str(path)


def layer(layers: list[Any], **change: Any) -> Any:
    """The one layer as napari would hold it."""
    (data, about, kind) = layers[0]
    assert kind == "image"
    ndim = data.ndim
    known = {"data": data, "ndim": ndim, "rgb": False, "scale": (1.0,) * ndim, "units": ("pixel",) * ndim}
    return SimpleNamespace(**{**known, "metadata": {}, **about, **change})


def test_the_manifest_is_one_that_napari_takes_and_its_code_is_there() -> None:
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "epistem"
    (reader,) = manifest.contributions.readers
    assert {one.removeprefix("*") for one in reader.filename_patterns} == set(SUFFIXES)
    assert [one.display_name for one in manifest.contributions.widgets] == ["Run epistem"]


def test_the_entry_point_leads_to_the_manifest() -> None:
    import tomllib

    project = tomllib.loads((MANIFEST.parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["napari.manifest"]["epistem"].partition(":")
    assert (MANIFEST.parents[2] / module.replace(".", "/") / name) == MANIFEST


def test_files_of_ours_get_a_reader_and_others_none(tmp_path: Path) -> None:
    assert get_reader("a.dm4") is read_layers
    assert get_reader("a.TIF") is read_layers
    assert get_reader("a.docx") is None
    assert get_reader(["a.tif", "b.tif"]) is None
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "a.zarr").mkdir()
    assert get_reader(str(tmp_path / "a.zarr")) is read_layers


def test_an_image_lies_in_nm_rows_before_columns(tmp_path: Path) -> None:
    ((data, about, kind),) = read_layers(file(tmp_path / "a.tif"))
    np.testing.assert_array_equal(data, PIXELS[0])
    assert about["scale"] == pytest.approx((0.5, 0.4))
    assert (about["units"], about["name"], kind) == (("nm", "nm"), "a.tif", "image")


def test_without_a_pixel_size_a_layer_has_no_scale(tmp_path: Path) -> None:
    ((_, about, _),) = read_layers(file(tmp_path / "a.tif", unit=None))
    assert "scale" not in about
    assert "units" not in about
    assert placed(Micrograph(PIXELS[0])) == {}


def test_a_series_is_one_layer_with_a_slider(tmp_path: Path) -> None:
    one = layer(read_layers(file(tmp_path / "a.tif", PIXELS)))
    assert one.data.shape == (3, 40, 60)
    assert one.scale == pytest.approx((1.0, 0.5, 0.4))
    assert one.units == ("pixel", "nm", "nm")
    shown = micrograph_of(one, (2, 7, 9))
    np.testing.assert_array_equal(shown.pixels, PIXELS[2])
    assert shown.name == "a.tif [2]"


def test_images_of_several_sizes_are_several_layers(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PIXELS[0])
        writer.write(PIXELS[0, :20, :20])
    assert [data.shape for data, _, _ in read_layers(str(tmp_path / "a.tif"))] == [(40, 60), (20, 20)]


def test_what_is_no_image_is_refused_as_everywhere(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS[0].astype(complex))
    with pytest.raises(NotAnImage):
        read_layers(str(tmp_path / "a.tif"))


def test_a_layer_of_our_reader_is_the_image_of_the_file(tmp_path: Path) -> None:
    one = layer(read_layers(file(tmp_path / "a.tif")))
    shown = micrograph_of(one)
    assert shown is one.metadata[KEY][0]
    typed = micrograph_of(one, typed="2 nm")
    assert (typed.calibration.row_nm, typed.calibration.source) == (2.0, "user")


@pytest.mark.parametrize(
    ("units", "nm"),
    [(("micrometer", "nanometer"), (500.0, 0.4)), (("pixel", "pixel"), None), (("Å", "Å"), (0.05, 0.04))],
)
def test_a_layer_of_another_reader_has_its_scale_only_where_that_is_a_length(units: Any, nm: Any) -> None:
    one = layer([(PIXELS[0], {"name": "b"}, "image")], scale=(0.5, 0.4), units=units)
    size = micrograph_of(one).calibration
    assert (None if size is None else (size.row_nm, size.col_nm)) == (nm if nm is None else pytest.approx(nm))


def test_a_stack_of_another_reader_gives_the_slice_that_is_shown() -> None:
    one = layer([(np.stack([PIXELS, PIXELS + 1]), {"name": "b"}, "image")])
    shown = micrograph_of(one, (1, 2, 0, 0))
    np.testing.assert_array_equal(shown.pixels, PIXELS[2] + 1)
    assert shown.name == "b [1, 2]"


def test_a_viewer_with_more_sliders_than_the_layer_shows_its_last_ones() -> None:
    one = layer([(PIXELS, {"name": "b"}, "image")])
    np.testing.assert_array_equal(micrograph_of(one, (5, 1, 0, 0)).pixels, PIXELS[1])


def test_colours_and_wrong_pixel_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="in colour"):
        micrograph_of(layer([(np.zeros((4, 5, 3)), {"name": "b"}, "image")], rgb=True))
    with pytest.raises(SettingsError, match="3 kg"):
        micrograph_of(layer([(PIXELS[0], {"name": "b"}, "image")]), typed="3 kg")
    assert placed(Micrograph(PIXELS[0], Calibration(2, 3, "user"))) == {"scale": (2, 3), "units": ("nm", "nm")}
