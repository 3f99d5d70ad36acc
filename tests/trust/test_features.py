from __future__ import annotations

import numpy as np
import pytest

from epistem.core import Instances, SettingsError
from epistem.trust.features import PUBLISHED_8, PUBLISHED_18, published_features

SHAPE = (100, 200)


def boxes(*sides_px: int, scores: list[float]) -> Instances:
    """Full squares, one after the other along a row."""
    starts = np.cumsum([0, *sides_px[:-1]]) + np.arange(len(sides_px))
    rows = [[0, c, side, c + side] for c, side in zip(starts.tolist(), sides_px, strict=True)]
    crops = tuple(np.ones((side, side), bool) for side in sides_px)
    return Instances.from_boxes(SHAPE, rows, score=scores, crops=crops)


def test_two_squares_have_the_features_that_pen_and_paper_give() -> None:
    found = published_features(boxes(10, 20, scores=[0.95, 0.55]))
    assert found is not None
    assert list(found) == list(PUBLISHED_18)
    assert (found["frac_0.9"], found["frac_0.5"], found["frac_0.1"]) == (0.5, 0.5, 0.0)
    assert found["area_ratio"] == pytest.approx(500 / 20_000)
    assert found["mean_conf"] == pytest.approx(0.75)
    assert found["std_conf"] == pytest.approx(0.2)
    assert found["mean_size"] == pytest.approx(250 / 20_000)
    assert found["std_size"] == pytest.approx(150 / 20_000)
    assert found["count"] == 2
    assert found["image_conf"] == pytest.approx((100 * 0.95 + 400 * 0.55) / 500)
    # A square's perimeter over that of the disc of its area is 2/√π, whatever its size.
    assert found["mean_heywood"] == pytest.approx(2 / np.sqrt(np.pi))
    assert found["std_heywood"] == pytest.approx(0, abs=1e-12)


def test_every_score_from_a_tenth_up_lies_in_one_share_and_one_lies_in_the_last() -> None:
    found = published_features(boxes(*[5] * 10, scores=[0.1, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.0]))
    assert found is not None
    shares = [found[f"frac_0.{k}"] for k in range(1, 10)]
    assert sum(shares) == pytest.approx(1)
    assert found["frac_0.9"] == pytest.approx(0.2)


def test_the_published_bounds_are_those_of_arange() -> None:
    found = published_features(boxes(5, scores=[0.3]))
    assert found is not None
    assert (found["frac_0.2"], found["frac_0.3"]) == (1.0, 0.0)


def test_what_lies_below_the_least_score_changes_nothing() -> None:
    assert published_features(boxes(10, 20, scores=[0.9, 0.05])) == published_features(boxes(10, scores=[0.9]))


def test_nothing_found_has_no_features() -> None:
    assert published_features(boxes(scores=[])) is None
    assert published_features(boxes(10, scores=[0.05])) is None


def test_a_mask_of_one_pixel_has_no_heywood_factor_and_the_others_keep_theirs() -> None:
    both, one = published_features(boxes(1, 10, scores=[0.9, 0.9])), published_features(boxes(1, scores=[0.9]))
    assert both is not None
    assert one is not None
    assert both["mean_heywood"] == pytest.approx(2 / np.sqrt(np.pi))
    assert (one["mean_heywood"], one["std_heywood"]) == (0.0, 0.0)


def test_a_measured_column_gives_the_same_factors() -> None:
    plain = boxes(10, 20, scores=[0.9, 0.8])
    measured = plain.with_columns(paper_heywood=np.full(2, 2 / np.sqrt(np.pi)))
    assert published_features(measured) == pytest.approx(published_features(plain))


def test_the_final_eight_are_of_the_eighteen() -> None:
    assert set(PUBLISHED_8) < set(PUBLISHED_18)


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.5])
def test_scores_that_are_no_probabilities_are_refused(score: float) -> None:
    with pytest.raises(SettingsError, match="scores from 0 to 1"):
        published_features(boxes(10, scores=[score]))


def test_boxes_without_masks_are_refused() -> None:
    with pytest.raises(SettingsError, match="need masks"):
        published_features(Instances.from_boxes(SHAPE, [[0, 0, 5, 5]], score=[0.9]))
