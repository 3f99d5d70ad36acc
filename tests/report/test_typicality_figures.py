from __future__ import annotations

import numpy as np
import pytest

from epistem.core import ShapeError
from epistem.report.typicality_figures import failure_gallery, pair_table


def masks() -> dict[str, np.ndarray]:
    true = np.zeros((20, 30), bool)
    true[5:10, 5:20] = True
    return {"as it is": true, "dropped": np.zeros_like(true), "all": np.ones_like(true)}


def test_a_gallery_has_one_panel_a_mask_with_its_share() -> None:
    shares = {"as it is": 0.42, "dropped": 0.001, "all": None}
    figure = failure_gallery([("particles", np.random.default_rng(0).random((20, 30)), masks(), shares)] * 2)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["as it is\n42 % less typical", "dropped\nunder 1 % less typical", "all\nunscored"]
    assert len(titles) == 6


def test_a_constant_image_is_drawn() -> None:
    failure_gallery([("flat", np.zeros((20, 30)), masks(), {})]).canvas.draw()


def test_rows_must_show_the_same_masks() -> None:
    other = {"as it is": masks()["as it is"]}
    with pytest.raises(ShapeError, match="same masks"):
        failure_gallery([("a", np.zeros((20, 30)), masks(), {}), ("b", np.zeros((20, 30)), other, {})])
    with pytest.raises(ShapeError, match="one image or more"):
        failure_gallery([])


def test_a_pair_that_does_not_count_is_in_brackets_and_an_unscored_one_is_blank() -> None:
    table = np.array([[np.nan, 0.91, 0.7], [0.99, np.nan, np.nan], [1.0, 0.5, np.nan]])
    near = np.zeros((3, 3), bool)
    near[0, 2] = True
    figure = pair_table(["a", "b", "c"], table, near)
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["(0.70)", "0.50", "0.91", "0.99", "1.00"]
    with pytest.raises(ShapeError, match=r"\(2, 2\)"):
        pair_table(["a", "b"], table, near)
