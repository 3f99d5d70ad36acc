"""Figures of a comparison: what they draw, and that they draw whatever there is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from epistem.core import ShapeError
from epistem.report.bench_figures import (
    CLASS_COLOURS,
    CONFUSED,
    FALSE,
    MISSED,
    RIGHT,
    Bar,
    Point,
    Ranked,
    critical_difference,
    difference,
    mask_strip,
    pareto_plot,
    score_bars,
)


def test_a_diagram_names_every_model_with_its_rank_and_the_critical_difference() -> None:
    models = [Ranked("a", 1.25), Ranked("b", 2.0), Ranked("c", 2.75)]
    svg = critical_difference(models, 1.1, [["a", "b"], ["b", "c"]]).decode()
    for text in ("a  1.25", "b  2.00", "c  2.75", "critical difference 1.10 (α = 0.05)"):
        assert text in svg
    assert svg == critical_difference(models, 1.1, [["a", "b"], ["b", "c"]]).decode()


def test_a_diagram_has_a_thick_bar_for_each_group_that_does_not_differ() -> None:
    models = [Ranked("a", 1.0), Ranked("b", 2.0)]
    bars = [critical_difference(models, 1.1, groups).count(b"stroke-width: 3.2") for groups in ([], [["a", "b"]])]
    assert bars == [0, 1]


def test_a_pareto_plot_counts_models_whose_cost_is_unknown() -> None:
    points = [Point("cheap", 0.6, 1.0, True, 0.5, 0.7), Point("dear", 0.5, 9.0, False), Point("new", 0.7, None, None)]
    svg = pareto_plot(points, quality="IoU", cost="GMACs").decode()
    assert "1 without a cost left out" in svg
    assert "1   cheap" in svg
    assert "new" not in svg


def test_nothing_to_draw_is_said() -> None:
    assert b"nothing to draw" in pareto_plot([], quality="IoU", cost="GMACs")
    assert b"nothing to draw" in score_bars({}, label="IoU")


@pytest.mark.parametrize("datasets", [1, 2, 4, 5])
def test_bars_have_a_panel_for_each_dataset(datasets: int) -> None:
    scores = {f"set {i}": {"a": Bar(0.5, 0.4, 0.6), "b": Bar(0.2, faint=True)} for i in range(datasets)}
    svg = score_bars(scores, label="IoU").decode()
    assert all(name in svg for name in scores)


def test_each_kind_of_pixel_has_its_colour_in_the_difference() -> None:
    truth = np.array([[0, 1, 0, 1, 2, 1]])
    found = np.array([[0, 1, 1, 0, 1, 0]])
    scored = np.array([[True, True, True, True, True, False]])
    grey = np.full((1, 6, 3), 100, np.uint8)
    picture = difference(grey, truth, found, scored)[0]
    assert picture[[2, 3, 4]].tolist() == [list(FALSE), list(MISSED), list(CONFUSED)]
    assert picture[0].tolist() == picture[5].tolist() == [60, 60, 60]
    # Right is laid over thinly: the picture is seen through it.
    assert picture[1].tolist() == [int(0.55 * 60 + 0.45 * c) for c in RIGHT]


def test_a_strip_shows_four_pictures_of_one_scale_and_hatches_what_is_not_scored() -> None:
    image, truth = np.random.default_rng(0).normal(size=(2, 40, 64)), np.zeros((40, 64), int)
    truth[10:20, 10:20], truth[:, 60:] = 1, -1
    with Image.open(io.BytesIO(mask_strip(image, truth, np.maximum(truth, 0), ignored=-1, side_px=128))) as opened:
        strip = np.asarray(opened)
    assert strip.shape == (80 + 22, 4 * 128 + 3 * 6, 3)
    panel = strip[22:, 134 : 134 + 128]  # the truth
    assert panel[30, 30].tolist() == [0, 114, 178]
    assert panel[4, 4].tolist() == [255, 255, 255]
    assert set(panel[:, 122:].ravel().tolist()) == {90, 200}


def test_a_strip_names_the_classes_in_their_colours_and_no_difference_has_one_of_them() -> None:
    image, truth = np.zeros((40, 64)), np.ones((40, 64), int)
    named = mask_strip(image, truth, truth, classes=["background", "pore"], side_px=256)
    with Image.open(io.BytesIO(named)) as opened:
        strip = np.asarray(opened)
    assert strip.shape[0] == 160 + 2 * 22
    assert strip[160 + 22 + 11, 8].tolist() == list(CLASS_COLOURS[0])
    assert not {RIGHT, FALSE, MISSED, CONFUSED} & set(CLASS_COLOURS)


def test_a_cost_plot_says_what_its_points_mean() -> None:
    picture = pareto_plot([Point("a", 0.7, 1.0, True, 0.6, 0.8)], quality="IoU", cost="GMACs").decode()
    assert "no other is both better and cheaper" in picture
    assert ">interval<" in picture


def test_a_constant_image_and_one_with_gaps_are_drawn() -> None:
    labels = np.zeros((8, 8), int)
    for image in (np.ones((8, 8)), np.full((8, 8), np.nan)):
        assert mask_strip(image, labels, labels)[:4] == b"\x89PNG"


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match="prediction are"):
        mask_strip(np.ones((8, 8)), np.zeros((8, 8), int), np.zeros((8, 9), int))
