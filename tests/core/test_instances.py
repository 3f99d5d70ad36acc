from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from epistem.core import Instances, ShapeError


def two() -> Instances:
    labels = np.zeros((5, 8), np.uint8)
    labels[0:2, 0:3], labels[3:5, 5:8] = 1, 2
    return Instances.from_labels(labels, score=[0.9, 0.4]).with_columns(size_px=[6, 6])


def test_nothing_found_is_empty_with_the_images_shape() -> None:
    nothing = Instances.empty((4, 7))
    assert len(nothing) == 0
    assert nothing.shape == (4, 7)
    assert list(nothing.masks()) == []
    assert nothing.to_labels().tolist() == np.zeros((4, 7)).tolist()


@given(
    hnp.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 0, 1, 5, 9]))
)
def test_label_image_to_objects_and_back_is_the_same_regions(labels: np.ndarray) -> None:
    again = Instances.from_labels(labels).to_labels()
    values = [value for value in np.unique(labels) if value]
    for i, value in enumerate(values):
        np.testing.assert_array_equal(again == i + 1, labels == value)
    assert again.max() == len(values)


def test_every_column_follows_a_selection() -> None:
    chosen = two()[[1]]
    assert chosen.score.tolist() == [0.4]
    assert chosen.boxes.tolist() == [[3, 5, 5, 8]]
    assert chosen.columns["size_px"].tolist() == [6]
    assert [mask.crop.shape for mask in chosen.masks()] == [(2, 3)]
    assert len(two()[two().score > 0.5]) == 1
    assert len(two()[:0]) == 0


def test_choosing_rows_by_a_single_number_is_refused() -> None:
    with pytest.raises(ShapeError, match="slice, a mask or a list"):
        two()[np.array(1)]


@pytest.mark.parametrize(
    "box", [[0, 0, 0, 3], [-1, 0, 2, 2], [0, 0, 6, 2], [0, 0, 2, 9], [3, 3, 2, 4], [0, 0, np.nan, 1]]
)
def test_boxes_that_are_empty_or_outside_are_refused_with_what_was_wanted(box: list[float]) -> None:
    with pytest.raises(ShapeError, match="wanted 0 ≤ row0 < row1 ≤ 5"):
        Instances.from_boxes((5, 8), [box])


def test_a_mask_that_does_not_fit_its_box_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"mask 0 is \(2, 2\), its box needs \(2, 3\)"):
        Instances.from_boxes((5, 8), [[0, 0, 2, 3]], crops=(np.ones((2, 2), bool),))
    with pytest.raises(ShapeError, match="1 masks for 2 boxes"):
        Instances.from_boxes((5, 8), [[0, 0, 2, 2], [1, 1, 3, 3]], crops=(np.ones((2, 2), bool),))


def test_a_box_between_pixels_has_a_mask_over_the_pixels_it_touches() -> None:
    found = Instances.from_boxes((5, 8), [[0.5, 1.2, 2.1, 3.0]], crops=(np.ones((3, 2), bool),))
    mask = next(found.masks())
    assert (mask.rows, mask.cols) == (slice(0, 3), slice(1, 3))


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ShapeError, match="'size_px' has shape"):
        two().with_columns(size_px=[1.0])


def test_a_label_without_class_is_refused() -> None:
    with pytest.raises(ShapeError, match="there are 1 classes"):
        Instances((5, 8), np.array([[0.0, 0, 1, 1]]), np.array([0.5]), np.array([1]))


def test_masks_of_boxes_alone_are_refused() -> None:
    with pytest.raises(ShapeError, match="boxes only"):
        next(Instances.from_boxes((5, 8), [[0, 0, 1, 1]]).masks())


def test_where_two_overlap_the_smaller_is_drawn_on_top() -> None:
    big, small = np.ones((4, 4), bool), np.ones((2, 2), bool)
    found = Instances.from_boxes((6, 6), [[1, 1, 3, 3], [0, 0, 4, 4]], crops=(small, big))
    assert found.to_labels()[1, 1] == 1
    assert found.to_labels()[0, 0] == 2


def test_no_score_is_nan_not_zero() -> None:
    assert np.isnan(Instances.from_boxes((5, 8), [[0, 0, 1, 1]]).score).all()


def test_adding_columns_does_not_change_the_original() -> None:
    found = two()
    found.with_columns(extra=[1, 2])
    assert "extra" not in found.columns
