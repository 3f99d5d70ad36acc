"""What precision, recall and pixel size do to density, diameter and swelling."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.special import expit, logit

from epistem.core import Calibration, Instances, Interval, Micrograph, Quantity, SettingsError, ShapeError
from epistem.detect.population import summarize
from epistem.trust.carry import DENSITIES, DIAMETERS, SWELLING, Assumed, carry, draw_share
from epistem.trust.result import Forecast

SHAPE = (100, 200)
THICK_NM = 100.0


def image(relative_error: float | None = None) -> Micrograph:
    return Micrograph(np.ones(SHAPE), Calibration(0.5, 0.5, "user", relative_error))


def squares(*sides_px: int) -> Instances:
    """Full squares in rows of ten, 20 px apart."""
    boxes = [[2 + 20 * (i // 9), 2 + 20 * (i % 9), 0, 0] for i in range(len(sides_px))]
    boxes = [[row, col, row + side, col + side] for (row, col, *_), side in zip(boxes, sides_px, strict=True)]
    return Instances.from_boxes(SHAPE, boxes, crops=tuple(np.ones((side, side), bool) for side in sides_px))


def forecast(n: int, precision: Interval | None, recall: Interval | None) -> Forecast:
    return Forecast(0.5, 0.5, Interval(0.5, 0.7, 0.9, 0.9), precision, recall, typicality=0.5, n_kept=n)


def sure(share: float) -> Interval:
    return Interval(share, share, share, 0.9)


def carried(
    found: Instances, precision: float | Interval = 0.9, recall: float | Interval = 0.6, *,
    micrograph: Micrograph | None = None, thickness_error_nm: float | None = None, **more: float | Assumed,
) -> tuple[dict[str, Quantity], dict[str, Quantity]]:  # fmt: skip
    """Uncorrected and corrected."""
    micrograph = micrograph or image()
    plain = summarize(found, micrograph, thickness_nm=THICK_NM, thickness_error_nm=thickness_error_nm)
    p, r = (sure(one) if isinstance(one, float) else one for one in (precision, recall))
    return plain, carry(
        plain, found, micrograph, forecast(len(found), p, r), thickness_nm=THICK_NM,
        thickness_error_nm=thickness_error_nm, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def width(row: Quantity) -> float:
    assert row.low is not None
    assert row.high is not None
    return row.high / row.low


MANY = squares(*[4, 5, 6, 7, 8, 9] * 6)


def test_half_of_the_objects_missed_doubles_the_density_and_leaves_the_diameter() -> None:
    plain, corrected = carried(MANY, 1.0, 0.5)
    for name in DENSITIES:
        assert corrected[f"corrected_{name}"].value == pytest.approx(2 * (plain[name].value or 0))
    for name in DIAMETERS:
        assert corrected[f"corrected_{name}"].value == pytest.approx(plain[name].value)


def test_swelling_counts_the_missed_volume_against_what_is_left_of_the_foil() -> None:
    plain, corrected = carried(MANY, 0.9, 0.6)
    swelling = plain[SWELLING].value or 0
    filled = 1.5 * swelling / (100 + swelling)
    assert corrected["corrected_swelling_percent"].value == pytest.approx(100 * filled / (1 - filled))


def test_the_uncorrected_value_is_not_replaced_and_stands_in_the_note() -> None:
    plain, corrected = carried(MANY)
    assert not set(plain) & set(corrected)
    for name, row in corrected.items():
        assert f"uncorrected {plain[name.removeprefix('corrected_')].value:.4g}" in row.note


def test_less_sure_precision_and_recall_widen_the_density() -> None:
    _, sharp = carried(MANY)
    _, vague = carried(MANY, Interval(0.7, 0.9, 0.97, 0.9), Interval(0.4, 0.6, 0.8, 0.9))
    assert width(vague["corrected_density_per_um2"]) > 1.2 * width(sharp["corrected_density_per_um2"])


def test_errors_of_opposite_sign_are_the_worst_case() -> None:
    shares = Interval(0.7, 0.9, 0.97, 0.9), Interval(0.4, 0.6, 0.8, 0.9)
    widths = [
        width(carried(MANY, *shares, assumed=Assumed(correlation=c))[1]["corrected_density_per_um2"])
        for c in (-1.0, 0.0, 1.0)
    ]
    assert widths[0] > widths[1] > widths[2]


def test_a_wrong_pixel_size_widens_nm_and_not_px() -> None:
    exact = Assumed(0.0, 0.0)
    _, sharp = carried(MANY, assumed=exact)
    _, vague = carried(MANY, micrograph=image(0.1), assumed=exact)
    for name in ("density_per_um2", "mean_diameter_nm", "swelling_percent"):
        assert width(vague[f"corrected_{name}"]) > 1.05 * width(sharp[f"corrected_{name}"]), name
    for name in ("density_per_1e6_px", "mean_diameter_px"):
        assert width(vague[f"corrected_{name}"]) == width(sharp[f"corrected_{name}"]), name
    assert "pixel size ± 10 %" in vague["corrected_mean_diameter_nm"].note
    assert "error of the pixel size unknown" in sharp["corrected_mean_diameter_nm"].note


def test_what_masks_measure_wrongly_widens_sizes_and_not_numbers() -> None:
    exact, wrong = (carried(MANY, assumed=Assumed(sizing_error=one))[1] for one in (0.0, 0.3))
    for name in ("mean_diameter_nm", "mean_diameter_px", "swelling_percent"):
        assert width(wrong[f"corrected_{name}"]) > 1.5 * width(exact[f"corrected_{name}"]), name
    assert width(wrong["corrected_density_per_um2"]) == width(exact["corrected_density_per_um2"])
    assert "measured diameters ± 30 %" in wrong["corrected_mean_diameter_px"].note


def test_each_note_names_what_is_assumed_of_that_number_alone() -> None:
    _, corrected = carried(MANY, thickness_error_nm=20.0)
    told = {name: row.note for name, row in corrected.items()}
    assert "missed and false objects" in told["corrected_mean_diameter_px"]
    assert "missed and false objects" not in told["corrected_density_per_um2"]
    assert "pixel size" not in told["corrected_mean_diameter_px"]
    assert [name for name, note in told.items() if "foil thickness ± 20 %" in note] == [
        "corrected_density_per_m3", "corrected_swelling_percent",
    ]  # fmt: skip


def test_a_wrong_thickness_widens_what_is_of_the_foil_alone() -> None:
    _, sharp = carried(MANY)
    _, vague = carried(MANY, thickness_error_nm=20.0)
    for name in ("density_per_m3", "swelling_percent"):
        assert width(vague[f"corrected_{name}"]) > 1.1 * width(sharp[f"corrected_{name}"]), name
    assert width(vague["corrected_density_per_um2"]) == width(sharp["corrected_density_per_um2"])


def test_unknown_sizes_of_missed_objects_widen_the_diameter_the_more_are_missed() -> None:
    def of(recall: float, size_factor: float) -> float:
        return width(carried(MANY, 1.0, recall, assumed=Assumed(size_factor))[1]["corrected_mean_diameter_nm"])

    assert of(0.4, 0.3) > of(0.8, 0.3) > of(0.8, 0.0)
    assert of(0.4, 0.0) == of(0.8, 0.0)


def test_each_found_object_stands_for_one_over_the_share_found_of_its_size() -> None:
    def half_of_the_small(diameter_px: np.ndarray) -> np.ndarray:
        return np.where(diameter_px < 6, 0.5, 1.0)

    found = squares(*[4] * 10, *[8] * 10)
    plain, corrected = carried(found, 1.0, 2 / 3, assumed=Assumed(share_found=half_of_the_small))
    unit = 2 / np.sqrt(np.pi)
    assert plain["mean_diameter_px"].value == pytest.approx(6 * unit)
    assert corrected["corrected_mean_diameter_px"].value == pytest.approx((20 * 4 + 10 * 8) / 30 * unit)
    swelling = plain[SWELLING].value or 0
    filled = 1.5 * swelling / (100 + swelling) * ((20 * 64 + 10 * 512) / 30) / ((64 + 512) / 2)
    assert corrected["corrected_swelling_percent"].value == pytest.approx(100 * filled / (1 - filled))


@pytest.mark.parametrize("share", [lambda d: 0 * d, lambda d: 0 * d + 1.5, lambda d: 0.5])
def test_a_size_that_is_never_found_cannot_be_made_up_for(share: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(SettingsError, match="share_found"):
        carried(MANY, assumed=Assumed(share_found=share))


def test_without_expected_recall_or_with_none_at_all_nothing_is_corrected() -> None:
    plain = summarize(MANY, image(), thickness_nm=THICK_NM)
    silent = carry(plain, MANY, image(), forecast(len(MANY), sure(0.9), None))
    assert {row.value for row in silent.values()} == {None}
    assert all("no expected precision" in row.note for row in silent.values())
    endless = carry(plain, MANY, image(), forecast(len(MANY), sure(0.9), Interval(0.0, 0.3, 0.6, 0.9)))
    assert all(row.value is None and "no bound" in row.note for row in endless.values())


def test_nothing_found_stays_unscored() -> None:
    none = Instances.empty(SHAPE)
    unscored = Forecast(0.5, 0.5, unscored="nothing was found")
    rows = carry(summarize(none, image()), none, image(), unscored)
    assert all(row.value is None for row in rows.values())
    assert rows["corrected_density_per_um2"].note == "unscored: nothing was found"
    assert "thickness" in rows["corrected_swelling_percent"].note


def test_one_object_has_a_corrected_size_without_interval() -> None:
    plain, corrected = carried(squares(6))
    row = corrected["corrected_mean_diameter_nm"]
    assert (row.value, row.low) == (plain["mean_diameter_nm"].value, None)
    assert "too few" in row.note


def test_two_objects_give_a_wider_diameter_than_twenty() -> None:
    few, many = (carried(squares(*[6, 8] * n), 1.0, 1.0)[1]["corrected_mean_diameter_px"] for n in (1, 10))
    assert width(few) > 3 * width(many)


def test_a_forecast_of_other_objects_is_refused() -> None:
    with pytest.raises(ShapeError, match="35 objects"):
        carry(summarize(MANY, image()), MANY, image(), forecast(35, sure(0.9), sure(0.6)))


def test_a_foil_that_would_be_full_has_no_corrected_swelling() -> None:
    plain = summarize(MANY, image(), thickness_nm=3.0)
    assert plain[SWELLING].value is not None
    rows = carry(plain, MANY, image(), forecast(len(MANY), sure(1.0), sure(0.05)), thickness_nm=3.0)
    assert rows["corrected_swelling_percent"].value is None
    assert "full" in rows["corrected_swelling_percent"].note


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    shares = Interval(0.7, 0.9, 0.97, 0.9), Interval(0.4, 0.6, 0.8, 0.9)
    first, again, other = (carried(MANY, *shares, seed=seed)[1] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_drawn_share_has_the_intervals_ends_and_its_value_as_quantiles() -> None:
    span = Interval(0.55, 0.9, 0.95, 0.8)
    drawn = draw_share(span, np.random.default_rng(0).standard_normal(200_000))
    assert np.quantile(drawn, [0.1, 0.5, 0.9]) == pytest.approx([0.55, 0.9, 0.95], abs=2e-3)
    assert ((drawn > 0) & (drawn < 1)).all()


def test_a_negative_factor_or_an_impossible_correlation_is_refused() -> None:
    for settings in ({"size_factor": -0.1}, {"sizing_error": -0.1}, {"correlation": 1.5}):
        with pytest.raises(SettingsError, match="correlation lies"):
            Assumed(**settings)


# ---------------------------------------------------------------- coverage on a toy truth

TRIALS = 300
WIDE = (1000, 1000)
PIXEL_ERROR, FOIL_ERROR, SIZE_FACTOR = 0.02, 0.05, 0.2


def guessed(share: float, rng: np.random.Generator) -> Interval:
    """An honest 90 % interval of a share: the truth is as far off as the interval says."""
    spread = 0.35
    middle = logit(np.clip(share, 0.02, 0.98)) + spread * rng.standard_normal()
    return Interval(*(float(expit(middle + k * spread)) for k in (-1.645, 0, 1.645)), 0.9)


def trial(seed: int) -> dict[str, bool]:
    """Whether each interval holds the truth of the specimen that one image was drawn from."""
    rng = np.random.default_rng(seed)
    expected, d_px, cv, recall = rng.uniform(30, 200), 20.0, 0.35, rng.uniform(0.4, 0.9)
    there = rng.poisson(expected)
    right = max(2, rng.binomial(there, recall))
    false = rng.poisson(right * rng.uniform(0.05, 0.5))
    m, f = np.exp(SIZE_FACTOR * rng.standard_normal(2))
    sigma = np.sqrt(np.log(1 + cv**2))
    diameter_px = d_px * np.exp(sigma * rng.standard_normal(right + false) - sigma**2 / 2)
    diameter_px[right:] *= f
    diameter_px *= np.exp(Assumed().sizing_error * rng.standard_normal())
    n, pixel = right + false, np.exp(PIXEL_ERROR * rng.standard_normal())
    stated_nm, room = THICK_NM * (1 + FOIL_ERROR * rng.standard_normal()), WIDE[0] * WIDE[1] * THICK_NM
    # The pixel is stated as 1 nm and is `pixel` nm.
    filled = np.pi / 6 * (diameter_px**3).sum() / (room * stated_nm / THICK_NM)
    plain = {
        "density_per_1e6_px": n, "density_per_um2": n, "density_per_m3": None,
        "mean_diameter_nm": diameter_px.mean(), "mean_diameter_px": diameter_px.mean(),
        "swelling_percent": 100 * filled / (1 - filled),
    }  # fmt: skip
    rows = carry(
        {name: Quantity(name, name, value) for name, value in plain.items()},
        Instances.from_boxes(WIDE, np.tile([5, 5, 9, 9], (n, 1))).with_columns(
            area_px=np.pi / 4 * diameter_px**2, touches_edge=np.zeros(n, bool), touches_invalid=np.zeros(n, bool)
        ),
        blank(), forecast(n, guessed(right / n, rng), guessed(right / max(there, right), rng)),
        thickness_nm=stated_nm, thickness_error_nm=FOIL_ERROR * THICK_NM, assumed=Assumed(SIZE_FACTOR), seed=seed,
    )  # fmt: skip
    volume = np.pi / 6 * d_px**3 * (1 + cv**2) ** 3 * (recall + (1 - recall) * m**3)
    phi = expected * volume * pixel / room
    truth = {
        "density_per_1e6_px": expected, "density_per_um2": expected / pixel**2,
        "mean_diameter_nm": d_px * pixel * (recall + (1 - recall) * m), "swelling_percent": 100 * phi / (1 - phi),
    }  # fmt: skip
    inside = {}
    for name, value in truth.items():
        row = rows[f"corrected_{name}"]
        assert row.low is not None
        assert row.high is not None
        inside[name] = bool(row.low <= value <= row.high)
    return inside


@cache
def blank() -> Micrograph:
    return Micrograph(np.zeros(WIDE, np.uint8), Calibration(1.0, 1.0, "simulation", PIXEL_ERROR))


def test_ninety_percent_intervals_hold_the_truth_nine_times_in_ten() -> None:
    trials = [trial(seed) for seed in range(TRIALS)]
    for name in trials[0]:
        assert 0.85 <= np.mean([one[name] for one in trials]) <= 0.97, name
