from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from epistem.core import RecordError, SettingsError, ShapeError
from epistem.trust.cases import Cases
from epistem.trust.profiles import CONTRAST
from epistem.trust.signals import SIGNALS, Kept, baseline_predictions, signal_table

SHAPE = (100, 200)


def cases_of(*scores: list[float], right: list[list[bool]] | None = None, **columns: list[float]) -> Cases:
    """One case for each list of scores: squares of 10 px along a row, alike unless columns say otherwise."""
    count = [len(one) for one in scores]
    start = np.concatenate([np.arange(n) * 12.0 + 20 for n in count])
    objects = pd.DataFrame({
        "case": np.repeat(np.arange(len(scores)), count), "score": np.concatenate([*scores]).astype(np.float32),
        "row0": 20.0, "col0": start, "row1": 30.0, "col1": start + 10, "diameter_px": 10.0,
        "c_core": 2.0, "c_rim": -1.0, "c_fringe": 0.25, "c_spread": 0.5, "c_round": 0.7, "c_ragged": 1.0,
        "c_lean": 0.2, "c_long": 0.1, "right": True, "neither": False,
    })  # fmt: skip
    if right is not None:
        objects["right"] = np.concatenate([*right]).astype(bool)
    groups = dict.fromkeys(("image", "source", "split", "detector"), "")
    asked = objects.groupby("case")["right"].sum().reindex(range(len(scores)), fill_value=0).to_numpy()
    size = {"rows": SHAPE[0], "cols": SHAPE[1]}
    images = pd.DataFrame({"case": np.arange(len(scores)), **groups, **size, "asked": asked})
    return Cases(images, objects.assign(**columns))


def signal(cases: Cases, name: str, min_score: float = 0.1) -> list[float]:
    return signal_table(cases, min_score)[name].tolist()


def test_two_objects_have_the_signals_that_pen_and_paper_give() -> None:
    found = signal_table(cases_of([0.75, 0.25, 0.05]), 0.1).iloc[0]
    assert found["s_confidence"] == pytest.approx(0.5)
    assert found["s_entropy"] == pytest.approx(-0.25 * np.log2(0.25) - 0.75 * np.log2(0.75))
    assert found["s_cot"] == pytest.approx(0.25)
    assert found["s_nearly"] == pytest.approx(0.5)
    assert found["s_contrast"] == pytest.approx(4)
    assert found["s_per_Mpx"] == pytest.approx(100)
    assert (found["s_fringe"], found["s_overlap"], found["s_border"], found["s_contrast_spread"]) == (1, 0, 0, 0)


def test_the_nuclear_norm_is_that_of_the_matrix() -> None:
    scores = [[0.9, 0.3, 0.6, 0.99], [0.4]]
    expected = []
    for p in scores:
        matrix = np.stack([p, 1 - np.array(p)], axis=1)
        expected.append(np.linalg.norm(matrix, "nuc") / np.sqrt(len(p) * min(len(p), 2)))
    assert signal(cases_of(*scores), "s_nuclear") == pytest.approx(expected, rel=1e-6)


def test_the_transport_is_the_distance_to_zeros_and_ones_with_their_sum() -> None:
    scores = [[0.9, 0.3, 0.6, 0.99, 0.3], [0.4], [1.0, 1.0]]
    expected = [wasserstein_distance(p, [0, 1], None, [1 - np.mean(p), np.mean(p)]) for p in scores[:2]]
    assert signal(cases_of(*scores), "s_cot") == pytest.approx([*expected, 0.0], abs=1e-6)


def test_confidence_falls_and_entropy_grows_as_scores_are_degraded() -> None:
    table = signal_table(cases_of([0.98, 0.9], [0.9, 0.8], [0.8, 0.6]), 0.1)
    assert (np.diff(table["s_confidence"]) < 0).all()
    assert (np.diff(table["s_entropy"]) > 0).all()


def test_a_calibrated_probability_takes_the_place_of_the_score_but_not_at_the_threshold() -> None:
    cases = cases_of([0.9, 0.05], [0.5])
    table = signal_table(cases, 0.1, probability=[0.6, 0.99, 0.02])
    assert table["s_confidence"].tolist() == pytest.approx([0.6, 0.02])
    assert table["s_nearly"].tolist() == [1, 0]


def test_boxes_overlap_those_of_their_own_image_only() -> None:
    same_place = cases_of([0.9, 0.8], [0.9], row0=[20, 20, 20], col0=[0, 5, 0], row1=[30, 30, 30], col1=[10, 15, 10])
    assert signal(same_place, "s_overlap") == pytest.approx([1 / 3, 0])


def test_a_duplicate_below_the_threshold_is_no_overlap() -> None:
    assert signal(cases_of([0.9, 0.05], col0=[0, 0], col1=[10, 10]), "s_overlap") == [0]


def test_fringes_of_both_signs_cancel() -> None:
    assert signal(cases_of([0.9] * 4, [0.9], c_rim=[1, 1, 1, -1, -2]), "s_fringe") == [0.5, 1]


def test_sizes_are_those_of_the_kept() -> None:
    table = signal_table(cases_of([0.9] * 11 + [0.05], diameter_px=[*range(11, 0, -1), 99]), 0.1)
    assert (table["s_diameter_px"][0], table["s_diameter_p10_px"][0]) == (6, 2)
    assert table["s_diameter_spread"][0] == pytest.approx(np.std(np.log(range(1, 12))))


def test_an_empty_mask_has_no_size_to_spread() -> None:
    assert signal(cases_of([0.9] * 3, diameter_px=[0, 1, np.e]), "s_diameter_spread") == pytest.approx([0.5])


@pytest.mark.parametrize(("row0", "row1", "share"), [(0.9, 11, 0.5), (1, 99, 0), (90, 99.1, 0.5)])
def test_the_outermost_pixels_are_the_border(row0: float, row1: float, share: float) -> None:
    assert signal(cases_of([0.9, 0.9], row0=[row0, 40], row1=[row1, 50]), "s_border") == [share]


def test_what_needs_the_image_is_not_known_without_one_and_the_rest_is() -> None:
    nothing = [np.nan, np.nan]
    found = signal_table(cases_of([0.9, 0.8], **dict.fromkeys(CONTRAST, nothing)), 0.1).iloc[0]
    appearance = {name for name in SIGNALS if name.startswith("a_")}
    assert set(found.index[found.isna()]) == {"s_contrast", "s_contrast_spread", "s_fringe", *appearance}


def test_appearance_is_the_median_and_the_strongest_fifth_over_the_noise() -> None:
    cases = cases_of([0.9] * 6, [0.9], c_fringe=[0, -0.5, 1, 1.5, -2, 2.5, 3], c_lean=[1, 2, 3, 4, 5, 6, 9])
    assert signal(cases, "a_fringe") == pytest.approx([2.5, 6])
    assert signal(cases, "a_fringe_top") == pytest.approx([4, 6])
    assert signal(cases, "a_lean_top") == pytest.approx([5, 9])


def test_objects_of_both_signs_are_no_one_kind_and_uneven() -> None:
    cases = cases_of([0.9] * 4, [0.9] * 4, c_core=[1, 1, 1, -1, 1, 1, 1, 1])
    assert signal(cases, "a_sign") == [0.5, 1]
    assert signal(cases, "a_uneven") == pytest.approx([np.sqrt(3) / 2.1, 0])


def test_quantiles_are_those_of_numpy_and_skip_what_is_unknown() -> None:
    rng = np.random.default_rng(0)
    values, at = rng.normal(size=40), np.sort(rng.integers(0, 5, 40))
    values[::7] = np.nan
    values[at == 3] = np.nan
    images = pd.DataFrame(index=range(5))
    kept = Kept(images, pd.DataFrame(index=range(40)), at, np.ones(40), np.zeros(5))
    for q in (0.1, 0.5, 0.8):
        expected = [np.nanquantile(values[at == k], q) if k != 3 else np.nan for k in range(5)]
        np.testing.assert_allclose(kept.quantile(values, q), expected)


def test_flat_surroundings_have_no_noise_to_compare_with() -> None:
    assert signal(cases_of([0.9, 0.8], c_spread=[0, 1]), "s_contrast") == [2]


def test_rows_keep_the_index_of_the_images() -> None:
    cases = cases_of([0.9], [0.8])
    moved = Cases(cases.images.set_index(pd.Index(["a", "b"])), cases.objects)
    assert signal_table(moved, 0.1).index.tolist() == ["a", "b"]
    assert baseline_predictions(moved, moved, 0.1).index.tolist() == ["a", "b"]


def test_what_cannot_be_read_is_refused() -> None:
    cases = cases_of([0.9])
    with pytest.raises(SettingsError, match=r"0\.02 to 1"):
        signal_table(cases, 0.0)
    with pytest.raises(ShapeError, match="each of 1 objects"):
        signal_table(cases, 0.1, probability=[0.1, 0.2])
    with pytest.raises(SettingsError, match="0 to 1"):
        signal_table(cases, 0.1, probability=[np.nan])
    with pytest.raises(RecordError, match="lacks c_rim"):
        signal_table(Cases(cases.images, cases.objects.drop(columns="c_rim")), 0.1)


class TestBaselines:
    reference = cases_of(
        [0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.95, 0.05], right=[[True, True, False, True], [False, False, True, True]]
    )

    def test_the_threshold_leaves_as_many_above_as_are_right(self) -> None:
        # 4 of 7 kept are right: 0.9, 0.8, 0.95 and 0.7 are the highest four.
        said = baseline_predictions(self.reference, self.reference, 0.1)
        assert said["precision_atc"].tolist() == pytest.approx([3 / 4, 1 / 3])

    def test_the_difference_of_confidences_is_right_on_average_on_the_reference(self) -> None:
        said, truth = baseline_predictions(self.reference, self.reference, 0.1), self.reference.truth(0.1)
        assert said["precision_doc"].mean() == pytest.approx(truth["precision"].mean())
        assert said["f1_doc"].mean() == pytest.approx(truth["f1"].mean())
        confidence = signal_table(self.reference, 0.1)["s_confidence"]
        assert np.ptp(said["precision_doc"] - confidence) == pytest.approx(0, abs=1e-9)

    def test_precision_is_the_mean_score_and_one_less_transport(self) -> None:
        said = baseline_predictions(self.reference, cases_of([0.9, 0.5]), 0.1)
        assert said["precision_ac"].tolist() == pytest.approx([0.7])
        distance = wasserstein_distance([0.9, 0.5], [0, 1], None, [3 / 7, 4 / 7])
        assert said["precision_cot"].tolist() == pytest.approx([1 - distance])

    def test_two_reference_cases_lie_on_the_line(self) -> None:
        said, truth = baseline_predictions(self.reference, self.reference, 0.1), self.reference.truth(0.1)
        for name in ("f1_ac", "f1_atc", "f1_cot", "f1_nuclear"):
            assert said[name].tolist() == pytest.approx(truth["f1"].tolist()), name
        assert said["precision_nuclear"].tolist() == pytest.approx(truth["precision"].tolist())

    def test_the_truth_of_the_other_cases_is_not_read(self) -> None:
        others = [
            cases_of([0.9, 0.5], [0.7], right=right) for right in ([[True] * 2, [True]], [[False] * 2, [False]])
        ]
        first, second = (baseline_predictions(self.reference, one, 0.1) for one in others)
        pd.testing.assert_frame_equal(first, second)

    def test_objects_that_count_neither_way_teach_nothing(self) -> None:
        ignored = cases_of(
            [0.9, 0.8, 0.7, 0.6, 0.99],
            [0.5, 0.4, 0.95],
            right=[[True, True, False, True, False], [False, False, True]],
        )
        ignored.objects.loc[4, "neither"] = True
        new = cases_of([0.95, 0.75, 0.65, 0.2])
        said = baseline_predictions(ignored, new, 0.1)
        known = baseline_predictions(self.reference, new, 0.1)
        for name in ("precision_atc", "precision_cot"):
            assert said[name].tolist() == known[name].tolist()

    def test_an_image_in_which_nothing_is_kept_has_no_prediction(self) -> None:
        said = baseline_predictions(self.reference, cases_of([0.05], [0.9]), 0.1)
        assert said.iloc[0].isna().all()
        assert said.iloc[1].notna().all()

    @pytest.mark.parametrize("scores", [[[0.05], [0.03]], [[0.9, 0.8], []]])
    def test_a_reference_with_fewer_than_two_images_is_refused(self, scores: list[list[float]]) -> None:
        with pytest.raises(SettingsError, match="a reference needs"):
            baseline_predictions(cases_of(*scores), cases_of([0.9]), 0.1)
