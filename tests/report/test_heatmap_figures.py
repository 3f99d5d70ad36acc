from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from epistem.core import ShapeError
from epistem.report.heatmap_figures import Curves, heatmap_figure

SHAPE = (20, 30)
REGION = np.zeros(SHAPE, bool)
REGION[5:10, 6:12] = True
VALUES = np.random.default_rng(0).random(SHAPE)


def curves(p: float | None = 0.025) -> Curves:
    shares = np.array([0.1, 0.2, 0.3])
    return Curves(shares, 2 * shares, np.stack([shares, shares / 2]), 0 * shares, p)


def words(svg: bytes) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())


def test_the_figure_names_its_panels_its_scale_and_the_p_value():
    text = words(heatmap_figure(VALUES, REGION, VALUES, label="Fall of p(pore)", curves=curves()))
    for word in ("Image and region", "Fall of p(pore)", "highest", "elsewhere", "lowest", "p = 0.025"):
        assert word in text


def test_a_tiny_p_value_is_no_bare_zero():
    assert "p < 0.001" in words(heatmap_figure(VALUES, REGION, VALUES, curves=curves(1e-5)))


def test_without_a_deletion_test_there_is_no_panel_for_it():
    assert "blurred" not in words(heatmap_figure(VALUES, REGION, VALUES))
    assert "p =" not in words(heatmap_figure(VALUES, REGION, VALUES, curves=curves(None)))


def test_the_region_is_outlined_along_its_pixels():
    with_region, without = (heatmap_figure(VALUES, region, VALUES) for region in (REGION, np.zeros(SHAPE, bool)))
    assert with_region.count(b"<path") > without.count(b"<path")


@pytest.mark.parametrize("values", [np.zeros(SHAPE), VALUES - 0.5, np.full(SHAPE, 0.2)])
def test_a_map_of_zeros_of_both_signs_or_constant_is_drawn(values):
    svg = heatmap_figure(np.ones(SHAPE), REGION, values)
    assert svg == heatmap_figure(np.ones(SHAPE), REGION, values)


def test_panels_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"heatmap \(3, 3\)"):
        heatmap_figure(VALUES, REGION, np.ones((3, 3)))
