"""Counts, densities, sizes and swelling of one image."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from epistem.core import Calibration, Context, Instances, Micrograph, Quantity, SettingsError
from epistem.detect.measure import measure
from epistem.detect.population import summarize

SHAPE = (100, 200)
HALF_NM = Calibration(0.5, 0.5, "user")


def image(calibration: Calibration | None = HALF_NM, valid: np.ndarray | None = None, **context: float) -> Micrograph:
    return Micrograph(np.ones(SHAPE), calibration, Context(**context), valid)  # type: ignore[arg-type]


def squares(*corners: tuple[int, int], side: int = 10) -> Instances:
    labels = np.zeros(SHAPE, int)
    for i, (row, col) in enumerate(corners, start=1):
        labels[row : row + side, col : col + side] = i
    return Instances.from_labels(labels)


INSIDE = squares((20, 20), (20, 60), (60, 20), (60, 60))


def summary(
    found: Instances = INSIDE, micrograph: Micrograph | None = None, **settings: float
) -> dict[str, Quantity]:
    return summarize(found, micrograph or image(), **settings)  # type: ignore[arg-type]


def test_four_whole_squares_have_the_numbers_worked_out_by_hand() -> None:
    result = summary(thickness_nm=100.0)
    area_nm2, diameter = 100 * 200 / 4, 2 * np.sqrt(25 / np.pi)
    volumes = 4 * np.pi / 6 * diameter**3
    expected = {
        "count": 4,
        "density_per_1e6_px": 200,
        "density_per_um2": 4 / (area_nm2 / 1e6),
        "paper_density_per_1e4_nm2": 8,
        "density_per_m3": 4 / (area_nm2 * 100 * 1e-27),
        "area_fraction_percent": 2,
        "mean_diameter_nm": diameter,
        "median_diameter_nm": diameter,
        "sd_diameter_nm": 0,
        "mean_diameter_px": 2 * diameter,
        "swelling_percent": 100 * volumes / (area_nm2 * 100 - volumes),
    }
    assert {name: result[name].value for name in expected} == pytest.approx(expected)


def test_published_swelling_uses_the_published_diameter() -> None:
    volumes = 4 * np.pi / 6 * (9 * 2**0.5 / 2) ** 3
    room = 100 * 200 / 4 * 100
    assert summary(thickness_nm=100.0)["paper_swelling_percent"].value == pytest.approx(
        100 * volumes / (room - volumes)
    )


def test_the_same_names_come_back_whatever_is_known() -> None:
    full = summary(thickness_nm=50.0)
    for found in (INSIDE, Instances.empty(SHAPE), Instances.from_boxes(SHAPE, INSIDE.boxes)):
        for micrograph in (image(), image(None), image(Calibration(1.0, 2.0, "user"))):
            assert list(summary(found, micrograph)) == list(full)


def test_what_is_not_known_says_what_is_missing() -> None:
    for result in (summary(), summary(micrograph=image(None)), summary(Instances.empty(SHAPE))):
        for quantity in result.values():
            assert (quantity.value is None) <= bool(quantity.note), quantity.name
    assert "thickness" in summary()["swelling_percent"].note
    assert "pixel size" in summary(micrograph=image(None), thickness_nm=9.0)["swelling_percent"].note
    assert "masks" in summary(Instances.from_boxes(SHAPE, INSIDE.boxes))["mean_diameter_nm"].note


def test_without_pixel_size_sizes_in_pixels_remain() -> None:
    result = summary(micrograph=image(None))
    assert result["mean_diameter_nm"].value is None
    assert result["mean_diameter_px"].value == pytest.approx(2 * np.sqrt(100 / np.pi))


def test_nothing_found_has_count_zero_with_its_upper_limit() -> None:
    result = summary(Instances.empty(SHAPE), coverage=0.9)
    assert (result["count"].value, result["count"].low) == (0, 0)
    assert result["count"].high == pytest.approx(-np.log(0.05))
    assert result["density_per_um2"].high == pytest.approx(-np.log(0.05) / (100 * 200 / 4 / 1e6))
    assert result["mean_diameter_nm"].value is None
    assert result["mean_diameter_nm"].note == "nothing was found"


def test_one_object_has_a_size_without_interval_and_no_spread() -> None:
    result = summary(squares((20, 20)))
    assert (result["mean_diameter_px"].value, result["mean_diameter_px"].low) == (
        pytest.approx(11.28, abs=0.01),
        None,
    )
    assert result["sd_diameter_px"].value is None


def test_cut_objects_give_no_size_and_the_note_counts_them() -> None:
    result = summary(squares((20, 20), (20, 60), (0, 100), (95, 100)))
    assert result["sd_diameter_px"].value == 0
    assert "2 of 4 objects cut" in result["mean_diameter_px"].note


def test_only_cut_objects_leave_no_size() -> None:
    assert summary(squares((0, 20)))["mean_diameter_px"].note == "all 1 objects are cut by the border or a mask"


@pytest.mark.parametrize(("corner", "counts"), [((0, 50), 1), ((40, 0), 1), ((90, 50), 0), ((40, 190), 0)])
def test_density_counts_what_is_cut_above_or_left_but_not_below_or_right(
    corner: tuple[int, int], counts: int
) -> None:
    result = summary(squares((20, 20), corner))
    assert result["count"].value == 2
    assert result["density_per_1e6_px"].value == pytest.approx((1 + counts) / 0.02)
    assert f"{1 - counts} of 2 cut" in result["density_per_1e6_px"].note


def test_density_over_a_tiled_field_counts_each_object_once() -> None:
    # A wide field cut into 4 × 4 images: the whole number must come back, though many objects lie in two or four.
    rng = np.random.default_rng(0)
    cells = np.zeros((400, 800), int)
    for i, (row, col) in enumerate(rng.integers(0, (26, 52), (400, 2)) * 15, start=1):
        cells[row + 2 : row + 2 + 9 + i % 4, col + 2 : col + 11] = i
    objects = len(Instances.from_labels(cells))
    counted = sum(
        summary(Instances.from_labels(cells[r : r + 100, c : c + 200]))["density_per_1e6_px"].value * 0.02  # type: ignore[operator]
        for r in range(0, 400, 100)
        for c in range(0, 800, 200)
    )
    assert counted == pytest.approx(objects)


def test_a_data_strip_is_a_border_and_no_area() -> None:
    valid = np.ones(SHAPE, bool)
    valid[80:] = False
    found = squares((20, 20), (75, 60))
    result = summary(found, image(valid=valid))
    assert result["density_per_1e6_px"].value == pytest.approx(1 / 0.016)
    assert result["area_fraction_percent"].value == pytest.approx(100 * 150 / 16000)
    assert "1 of 2 objects cut" in result["mean_diameter_px"].note


def test_an_image_without_a_valid_pixel_has_no_density() -> None:
    result = summary(Instances.empty(SHAPE), image(valid=np.zeros(SHAPE, bool)), thickness_nm=9.0)
    for name in ("density_per_um2", "density_per_m3", "area_fraction_percent", "swelling_percent"):
        assert (result[name].value, result[name].note) == (None, "the image has no valid pixel")


def test_no_interval_of_an_area_fraction_passes_the_whole_area() -> None:
    fraction = summary(squares((0, 0), (0, 100), side=95))["area_fraction_percent"]

    assert fraction.high == 100


def test_overlapping_objects_cover_their_common_pixels_once() -> None:
    ring = np.ones((10, 10))
    ring[2:8, 2:8] = 0
    found = Instances.from_boxes(SHAPE, [[10, 10, 20, 20]] * 2, crops=(np.ones((10, 10)), ring))
    assert summary(found)["area_fraction_percent"].value == pytest.approx(100 * 100 / 20000)


def test_thickness_comes_from_the_context_unless_told() -> None:
    known = image(thickness_nm=100.0, thickness_error_nm=7.0)
    assert "100 ± 7 nm" in summary(micrograph=known)["swelling_percent"].note
    told = summary(micrograph=known, thickness_nm=50.0)["swelling_percent"]
    assert "foil 50 nm, its error unknown" in told.note


def test_twice_the_thickness_halves_the_density_in_the_foil() -> None:
    thin, thick = summary(thickness_nm=50.0), summary(thickness_nm=100.0)
    assert thin["density_per_m3"].value == pytest.approx(2 * thick["density_per_m3"].value)  # type: ignore[operator]


def test_a_less_certain_thickness_widens_the_swelling_interval() -> None:
    many = squares(*[(row, col) for row in range(5, 85, 20) for col in range(5, 185, 20)])
    widths = []
    for error in (0.0, 10.0, 30.0):
        swelling = summary(many, thickness_nm=100.0, thickness_error_nm=error)["swelling_percent"]
        assert swelling.low < swelling.value < swelling.high  # type: ignore[operator]
        widths.append(swelling.high - swelling.low)  # type: ignore[operator]
    assert widths == sorted(set(widths))


def test_a_foil_that_may_be_full_has_swelling_without_interval() -> None:
    swelling = summary(thickness_nm=100.0, thickness_error_nm=90.0)["swelling_percent"]
    assert swelling.value is not None
    assert swelling.low is None
    assert "may be full" in swelling.note


def test_objects_larger_than_the_foil_have_no_swelling() -> None:
    swelling = summary(squares((5, 5), (5, 105), side=90), thickness_nm=1.0)["swelling_percent"]
    assert swelling.value is None
    assert "check thickness and pixel size" in swelling.note


@pytest.mark.parametrize("wrong", [{"thickness_nm": 0.0}, {"thickness_nm": 9.0, "thickness_error_nm": -1.0}])
def test_an_impossible_thickness_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="foil thickness is positive"):
        summary(**wrong)


def test_measured_objects_give_the_same_summary_as_unmeasured_ones() -> None:
    assert summary(measure(INSIDE, image()), thickness_nm=9.0) == summary(thickness_nm=9.0)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    mixed = Instances.from_labels(
        np.pad(np.kron(np.tri(4, dtype=int) * np.arange(1, 5), np.ones((5, 5), int)), ((9, 71), (9, 171)))
    )
    first, again, other = (summary(mixed, thickness_nm=9.0, seed=seed)["swelling_percent"] for seed in (0, 0, 1))
    assert first == again
    assert first.high != other.high


def test_few_objects_get_students_interval_for_the_mean_and_none_for_the_rest() -> None:
    labels = np.zeros((40, 60), np.uint8)
    for i, size in enumerate((4, 6, 8)):
        labels[5 : 5 + size, 5 + 15 * i : 5 + 15 * i + size] = i + 1
    micrograph = Micrograph(np.zeros((40, 60)))
    told = summarize(measure(Instances.from_labels(labels), micrograph), micrograph)
    d = 2 / np.sqrt(np.pi) * np.array([4, 6, 8])
    reach = scipy.stats.t.ppf(0.95, 2) * d.std(ddof=1) / np.sqrt(3)
    mean = told["mean_diameter_px"]
    assert (mean.low, mean.high) == (pytest.approx(d.mean() - reach), pytest.approx(d.mean() + reach))
    assert told["median_diameter_px"].low is None
    two = summarize(measure(Instances.from_labels(labels * (labels != 2)), micrograph), micrograph)
    assert two["mean_diameter_px"].low == 0  # by Student's t alone it would be below
    assert "too few for an interval" in told["sd_diameter_px"].note
