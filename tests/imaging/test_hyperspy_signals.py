from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import epistem
from epistem.core import (
    Calibration,
    Context,
    DependencyMissing,
    Instances,
    Micrograph,
    MicrographSeries,
    NotAnImage,
    Provenance,
    ShapeError,
)
from epistem.imaging.hyperspy_signals import from_hyperspy, to_hyperspy

hs = pytest.importorskip("hyperspy.api")

PIXELS = np.random.default_rng(0).integers(0, 60_000, (3, 20, 30)).astype(np.uint16)


def signal(data: Any = PIXELS[0], *, rows: Any = (0.5, "nm"), cols: Any = (0.4, "nm"), **metadata: Any) -> Any:
    """A Signal2D with (scale, unit[, offset]) on its two last axes."""
    made = hs.signals.Signal2D(data)
    for axis, (scale, unit, *offset) in zip(made.axes_manager.signal_axes[::-1], (rows, cols), strict=True):
        axis.scale, axis.offset = scale, (offset or [0.0])[0]
        if unit is not None:  # HyperSpy begins so, and does not take it back
            axis.units = unit
    for place, value in {"General.title": "foil", **metadata}.items():
        made.metadata.set_item(place, value)
    return made


def axes_of(one: Any) -> list[tuple[Any, ...]]:
    return [(a.name, a.size, a.scale, a.offset, a.units, a.navigate) for a in one.axes_manager._axes]


@pytest.mark.parametrize(
    ("rows", "cols", "nm"),
    [
        ((0.5, "nm"), (0.4, "nm"), (0.5, 0.4)),
        ((0.05, "µm"), (0.04, "um"), (50, 40)),
        ((2.5, "Å"), (2.0, "A"), (0.25, 0.2)),
        ((0.5, "nm"), (4.0, "Å"), (0.5, 0.4)),
    ],
)
def test_scale_and_units_become_the_pixel_size(rows: Any, cols: Any, nm: Any) -> None:
    size = from_hyperspy(signal(rows=rows, cols=cols)).calibration
    assert size is not None
    assert (size.row_nm, size.col_nm) == pytest.approx(nm, rel=1e-12)
    assert size.source == "metadata"


@pytest.mark.parametrize("unit", [None, "", "px", "<undefined>"])
def test_missing_units_are_no_calibration_and_stay_missing(unit: Any) -> None:
    made = signal(rows=(0.5, unit), cols=(0.4, unit))
    image = from_hyperspy(made)
    assert (image.calibration, image.warnings) == (None, ())
    assert axes_of(to_hyperspy(image)) == axes_of(made)


@pytest.mark.parametrize("unit", ["1/nm", "nm^-1", "mrad", "1 / Å"])
def test_a_diffraction_pattern_is_refused_in_words(unit: str) -> None:
    with pytest.raises(NotAnImage, match=r"foil is a diffraction pattern \(pixels in .*no meaning"):
        from_hyperspy(signal(rows=(0.1, unit), cols=(0.1, unit)))


def test_what_is_no_image_is_refused_in_words() -> None:
    for wrong, says in [
        (hs.signals.Signal1D(np.ones((4, 5))), "spectrum"),
        (hs.signals.ComplexSignal2D(np.ones((4, 5), complex)), "complex"),
        (hs.signals.Signal2D(np.ones((3, 4, 8, 9))), "4D-STEM"),
        (np.ones((4, 5)), "wanted a HyperSpy signal, not ndarray"),
    ]:
        with pytest.raises(NotAnImage, match=says):
            from_hyperspy(wrong)


def test_an_axis_that_is_not_uniform_is_refused() -> None:
    made = signal()
    made.axes_manager[0].convert_to_non_uniform_axis()
    with pytest.raises(NotAnImage, match="not uniform"):
        from_hyperspy(made)


def test_there_and_back_is_the_same_signal() -> None:
    made = signal(
        rows=(0.05, "µm", -3.0), cols=(0.04, "µm", 1.5),
        **{"Acquisition_instrument.TEM.beam_energy": 200.0, "Sample.description": "316L"},
    )  # fmt: skip
    made.axes_manager.signal_axes[0].name = "across"
    made.original_metadata.set_item("Gain.mode", 3)
    back = to_hyperspy(from_hyperspy(made))
    np.testing.assert_array_equal(back.data, made.data)
    assert back.data.dtype == made.data.dtype
    assert axes_of(back) == axes_of(made)
    assert back.metadata.as_dictionary() == made.metadata.as_dictionary()
    assert back.original_metadata.as_dictionary() == made.original_metadata.as_dictionary()


def test_a_signal_without_a_title_gets_none_from_us() -> None:
    back = to_hyperspy(from_hyperspy(signal(**{"General.title": ""})))
    assert back.metadata.General.title == ""


def test_there_and_back_is_the_same_micrograph() -> None:
    image = Micrograph(
        PIXELS[1], Calibration(0.31, 0.29, "scale bar"), Context(modality="STEM", beam_keV=80.0, instrument="X"),
        name="a.dm4",
    )  # fmt: skip
    back = from_hyperspy(to_hyperspy(image))
    assert (back.id, back.name) == (image.id, image.name)
    assert (back.calibration.row_nm, back.calibration.col_nm) == (0.31, 0.29)
    assert (back.context.beam_keV, back.context.instrument, back.context.modality) == (80.0, "X", "STEM")


def test_a_pixel_size_that_was_set_by_hand_replaces_the_signals_own() -> None:
    image = replace(from_hyperspy(signal(rows=(0.5, "µm", 7.0))), calibration=Calibration(2.0, 2.0, "user"))
    assert [one[2:5] for one in axes_of(to_hyperspy(image))] == [(2.0, 0.0, "nm")] * 2


def test_a_navigation_axis_becomes_a_series_and_comes_back() -> None:
    made = signal(PIXELS)
    axis = made.axes_manager[0]
    axis.name, axis.scale, axis.units, axis.offset = "depth", 5.0, "nm", -5.0
    series = from_hyperspy(made)
    assert isinstance(series, MicrographSeries)
    assert (series.axis, [one.slice.label for one in series]) == ("z", ["-5 nm", "0 nm", "5 nm"])
    back = to_hyperspy(series)
    np.testing.assert_array_equal(back.data, PIXELS)
    assert axes_of(back) == axes_of(made)
    assert axes_of(to_hyperspy(series[1:]))[0][1] == 2


def test_a_time_axis_is_one_of_time() -> None:
    made = signal(PIXELS)
    made.axes_manager[0].units = "s"
    assert from_hyperspy(made).axis == "t"


def test_images_of_several_sizes_are_no_signal() -> None:
    small = Micrograph(PIXELS[0, :5, :5])
    with pytest.raises(ShapeError, match="equal ones"):
        to_hyperspy(MicrographSeries((Micrograph(PIXELS[0]), small), "channel"))
    scaled = Micrograph(PIXELS[0], Calibration(1, 1, "user"))
    with pytest.raises(ShapeError, match="pixel size"):
        to_hyperspy(MicrographSeries((Micrograph(PIXELS[0]), scaled), "channel"))


def test_a_lazy_signal_is_the_same_image() -> None:
    assert from_hyperspy(signal().as_lazy()).id == from_hyperspy(signal()).id


def test_what_hyperspy_changes_later_does_not_reach_the_micrograph() -> None:
    made = signal(PIXELS[0].copy())
    image = from_hyperspy(made)
    made.data[:] = 0
    np.testing.assert_array_equal(image.pixels, PIXELS[0])


def test_a_saved_signal_is_the_same_image_to_both(tmp_path: Path) -> None:
    made = signal(rows=(0.5, "nm", 1.0))
    made.save(tmp_path / "a.hspy")
    ours, theirs = epistem.read(tmp_path / "a.hspy"), from_hyperspy(hs.load(tmp_path / "a.hspy"))
    assert ours.id == theirs.id
    assert ours.calibration == theirs.calibration


def test_found_objects_are_markers_on_their_pixels_and_are_saved(tmp_path: Path) -> None:
    labels = np.zeros((20, 30), int)
    labels[2:5, 10:14] = 1
    labels[8:12, 3:9], labels[9:11, 5:7] = 2, 0
    found = Instances.from_labels(labels, provenance=Provenance("hand", "1"))
    image = from_hyperspy(signal(rows=(0.5, "nm", 1.0), cols=(0.4, "nm", -2.0)))
    made = epistem.to_hyperspy(SimpleNamespace(micrograph=image, found=found))
    made.save(tmp_path / "a.hspy")
    marked = hs.load(tmp_path / "a.hspy")
    corners = np.asarray(marked.metadata.Markers.Polygons.kwargs["verts"])
    # Pixel 10 has its middle at -2 + 10·0.4 and begins half a pixel before.
    assert corners[0].min(0) == pytest.approx([-2 + 9.5 * 0.4, 1 + 1.5 * 0.5])
    assert corners[0].max(0) == pytest.approx([-2 + 13.5 * 0.4, 1 + 4.5 * 0.5])
    assert marked.metadata.epistem.found.maker == "hand"
    assert "length: 2" in str(marked.metadata)


def test_nothing_found_is_no_marker() -> None:
    made = to_hyperspy(SimpleNamespace(micrograph=Micrograph(PIXELS[0]), found=Instances.empty((20, 30))))
    assert not made.metadata.has_item("Markers")


def test_without_hyperspy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperspy.api", None)
    with pytest.raises(DependencyMissing, match=r"epistem\[hyperspy\]"):
        to_hyperspy(Micrograph(PIXELS[0]))
