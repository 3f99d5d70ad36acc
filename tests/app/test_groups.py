from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from epistem.app.groups import AnalysedImage, compare_groups, summarize_groups
from epistem.core import SettingsError


def image(
    name: str, specimen: str | None, mean_nm: float, *, density: float | None = 100.0, series: str | None = None
) -> AnalysedImage:
    diameters = np.array([mean_nm - 1, mean_nm, mean_nm + 1])
    return AnalysedImage(name, specimen, diameters, density, None, series)


def three(specimen: str, *means_nm: float) -> list[AnalysedImage]:
    return [image(f"{specimen}{i}", specimen, mean) for i, mean in enumerate(means_nm)]


def test_the_interval_is_student_s_on_image_means() -> None:
    (group,) = summarize_groups(three("A", 5.0, 6.0, 8.5), coverage=0.9)
    mean = group.quantities["mean_diameter_nm"]
    want = stats.ttest_1samp([5.0, 6.0, 8.5], 0).confidence_interval(0.9)
    assert mean.value == pytest.approx(6.5)
    assert (mean.low, mean.high) == pytest.approx((want.low, want.high))
    assert (group.n_images, group.n_objects, len(group.values)) == (3, 9, 3)


def test_one_image_has_a_mean_but_no_interval_and_says_why() -> None:
    (group,) = summarize_groups(three("A", 5.0))
    mean = group.quantities["mean_diameter_nm"]
    assert (mean.value, mean.low, mean.coverage) == (5.0, None, None)
    assert "one image" in mean.note


def test_what_is_known_of_no_image_is_none_with_the_reason() -> None:
    (group,) = summarize_groups(three("A", 5.0, 6.0))
    assert group.quantities["swelling_percent"].value is None
    assert "thickness" in group.quantities["swelling_percent"].note


def test_an_interval_does_not_reach_below_0() -> None:
    (group,) = summarize_groups([image("a", "A", 5, density=1.0), image("b", "A", 5, density=90.0)])
    assert group.quantities["density_per_um2"].low == 0.0


def test_images_of_one_series_count_as_one() -> None:
    slices = [image(f"z{i}", "A", 5.0, series="stack.tif") for i in range(20)]
    (alone,) = summarize_groups(slices)
    assert alone.quantities["mean_diameter_nm"].low is None
    (both,) = summarize_groups([*slices, image("b", "A", 9.0)])
    assert both.quantities["mean_diameter_nm"].value == pytest.approx(7.0)
    assert both.n_images == 2


def test_an_image_without_objects_counts_for_density_but_has_no_mean_size() -> None:
    empty = AnalysedImage("e", "A", np.empty(0), 0.0)
    (group,) = summarize_groups([empty, image("a", "A", 5.0, density=100.0)])
    assert group.quantities["density_per_um2"].value == 50.0
    assert group.quantities["mean_diameter_nm"].value == 5.0
    (nothing,) = summarize_groups([empty])
    assert nothing.quantities["mean_diameter_nm"].value is None
    assert nothing.quantities["median_diameter_nm"].value is None


def test_unknown_sizes_are_counted_as_objects_and_left_out_of_sizes() -> None:
    (group,) = summarize_groups([AnalysedImage("a", "A", np.array([4.0, np.nan, 6.0]))])
    assert group.n_objects == 3
    assert group.quantities["mean_diameter_nm"].value == 5.0


def test_objects_that_are_cut_or_have_no_size_are_counted_all_the_same() -> None:
    (group,) = summarize_groups(
        [AnalysedImage("a", "A", np.empty(0), n_found=7), AnalysedImage("b", "A", np.ones(2))]
    )
    assert group.n_objects == 9


def test_groups_can_be_any_column_and_a_wrong_one_is_refused() -> None:
    images = [AnalysedImage("a", "A", np.array([4.0]), extra={"dose_dpa": 5.0})]
    assert [g.name for g in summarize_groups(images, by="Dose (dpa)")] == ["5"]
    with pytest.raises(SettingsError, match=r"no image has a 'temperature'.*dose_dpa, specimen"):
        summarize_groups(images, by="temperature")


def at(temperature_C: float | str, mean_nm: float, **extra: str | float) -> AnalysedImage:
    return AnalysedImage("a", "A", np.array([mean_nm]), extra={"temperature_C": temperature_C, **extra})


def test_groups_of_numbers_stand_in_their_order_and_compare_upwards() -> None:
    images = [at(450.0, 8), at(20.5, 1), at(450.0, 9), at(300.0, 5)]
    groups = summarize_groups(images, by="temperature_C")
    assert [(g.name, g.at, g.n_images) for g in groups] == [
        ("20.5 °C", 20.5, 1),
        ("300 °C", 300.0, 1),
        ("450 °C", 450.0, 2),
    ]
    assert [(c.a, c.b) for c in compare_groups(images, by="temperature_C")[:2]] == [
        ("20.5 °C", "300 °C"),
        ("20.5 °C", "450 °C"),
    ]


def test_groups_of_words_keep_the_order_in_which_they_come() -> None:
    groups = summarize_groups([at("hot", 8), at("cold", 1)], by="temperature_C")
    assert [(g.name, g.at) for g in groups] == [("hot", None), ("cold", None)]


def test_a_group_tells_what_all_its_images_share_and_nothing_else() -> None:
    images = [at(300.0, 5, dose_dpa=5.0, grid="x"), at(300.0, 6, dose_dpa=5.0, grid="y"), at(450.0, 6, dose_dpa=5.0)]
    first, second = summarize_groups(images, by="temperature_C")
    assert first.shared == {"specimen": "A", "dose_dpa": 5.0}
    assert second.shared == {"specimen": "A", "dose_dpa": 5.0}
    assert summarize_groups(images)[0].shared == {"dose_dpa": 5.0}


def test_a_test_that_could_not_be_made_is_not_counted_in_the_correction() -> None:
    pairs = compare_groups([*three("A", 1, 2), *three("B", 5, 6), *three("C", 9)])
    tested = next(c for c in pairs if (c.a, c.b) == ("A", "B"))
    assert tested.p_value == pytest.approx(1 / 3)
    assert "Holm" not in tested.note


def test_images_without_a_specimen_are_left_out_and_no_images_are_no_groups() -> None:
    assert [g.name for g in summarize_groups([*three("A", 5.0), image("x", None, 9.0)])] == ["A"]
    assert summarize_groups([]) == []
    assert compare_groups([]) == []


def test_a_difference_has_welch_s_interval_and_a_permutation_p() -> None:
    a, b = [5.0, 5.5, 6.5, 5.2], [8.0, 9.5, 8.2, 11.0]
    sizes = compare_groups([*three("A", *a), *three("B", *b)], coverage=0.95)[0]
    want = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert sizes.difference.value == pytest.approx(np.mean(b) - np.mean(a))
    assert (sizes.difference.low, sizes.difference.high) == pytest.approx((want.low, want.high))
    assert sizes.p_value == pytest.approx(2 / 70)
    assert "p cannot be below 0.029" in sizes.note


def test_with_one_image_there_is_no_test_and_a_reason() -> None:
    sizes = compare_groups([*three("A", 5.0), *three("B", 8.0, 9.0)])[0]
    assert sizes.p_value is None
    assert "two or more" in sizes.note
    assert sizes.difference.value == 3.5
    assert sizes.difference.low is None


def test_three_groups_are_corrected_after_holm() -> None:
    far = [*three("A", 1, 1.1, 1.2, 1.3), *three("B", 5, 5.1, 5.2, 5.3), *three("C", 5.05, 5.15, 5.25, 5.26)]
    pairs = {(c.a, c.b): c for c in compare_groups(far) if c.quantity == "Mean diameter"}
    alone = [c for c in compare_groups(far[4:]) if c.quantity == "Mean diameter"]
    assert pairs["A", "B"].p_value == pytest.approx(3 * 2 / 70)
    assert pairs["A", "C"].p_value == pytest.approx(3 * 2 / 70)
    assert pairs["B", "C"].p_value == alone[0].p_value
    assert "Holm for 3 pairs" in pairs["A", "B"].note


def test_the_distance_of_distributions_is_scipy_s_and_has_no_p() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(5, 1, 70), rng.normal(5.6, 1.3, 41)
    found = compare_groups([AnalysedImage("a", "A", a), AnalysedImage("b", "B", b)])[-1]
    assert found.quantity == "Size distribution"
    assert found.difference.value == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert found.p_value is None
    assert "descriptive" in found.note


def _specimen(rng: np.random.Generator, sd_between_nm: float) -> list[NDArray[np.float64]]:
    means = 8 + sd_between_nm * rng.standard_normal(3)
    return [mean * rng.lognormal(-0.045, 0.3, rng.integers(10, 80)) for mean in means]


@pytest.mark.parametrize("sd_between_nm", [0.0, 0.5, 2.0])
def test_the_interval_of_three_images_holds_the_truth_as_often_as_it_says(sd_between_nm: float) -> None:
    rng = np.random.default_rng(7)
    trials, held = 1200, 0
    for _ in range(trials):
        images = [AnalysedImage(str(i), "A", d) for i, d in enumerate(_specimen(rng, sd_between_nm))]
        mean = summarize_groups(images, coverage=0.9)[0].quantities["mean_diameter_nm"]
        assert mean.low is not None
        assert mean.high is not None
        held += mean.low <= 8 <= mean.high
    # Three standard errors of 1200 trials.
    assert held / trials == pytest.approx(0.9, abs=0.026)
