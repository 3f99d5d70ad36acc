from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from epistem.core import Mask, RecordError
from epistem.core.polygon import tight
from epistem.core.rle import compress, decompress, mask_from_runs, run_lengths

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def whole(full: np.ndarray) -> Mask:
    return Mask(slice(0, full.shape[0]), slice(0, full.shape[1]), full)


def reference(full: np.ndarray) -> str:
    return coco.encode(np.asfortranarray(full, np.uint8))["counts"].decode()


@given(MASKS)
def test_a_mask_is_coded_bit_for_bit_as_pycocotools_does(full):
    assert compress(run_lengths(whole(full), full.shape)) == reference(full)


@given(MASKS)
def test_a_crop_is_coded_like_its_mask_in_the_whole_image(full):
    crop = tight(full)
    if crop is not None:
        assert compress(run_lengths(crop, full.shape)) == reference(full)


@given(MASKS)
def test_text_of_pycocotools_decodes_to_the_same_pixels(full):
    mask = mask_from_runs(decompress(reference(full)), full.shape)
    again = np.zeros_like(full)
    if mask is not None:
        again[mask.rows, mask.cols] = mask.crop
        assert all(side.any() for side in (mask.crop[0], mask.crop[-1], mask.crop[:, 0], mask.crop[:, -1]))
    np.testing.assert_array_equal(again, full)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_runs_of_any_length_survive_compression(counts):
    assert decompress(compress(counts)).tolist() == counts


def test_uncompressed_runs_count_zeros_first_and_go_down_the_columns():
    full = np.array([[True, False, False], [True, True, False]])
    assert run_lengths(whole(full), full.shape).tolist() == [0, 2, 1, 1, 2]


def test_a_large_mask_agrees_with_pycocotools():
    row, col = np.ogrid[:700, :300]
    full = np.hypot(row - 350, col - 100) < 120
    assert compress(run_lengths(whole(full), full.shape)) == reference(full)


def test_an_empty_mask_is_one_run_of_zeros_and_comes_back_as_none():
    empty = np.zeros((3, 5), bool)
    assert run_lengths(whole(empty), (3, 5)).tolist() == [15]
    assert mask_from_runs([15], (3, 5)) is None


@pytest.mark.parametrize("counts", [[4, 4], [-1, 16], [15, 1, 1], [[15]]])
def test_runs_that_do_not_fill_the_image_are_refused(counts):
    with pytest.raises(RecordError, match="3 × 5"):
        mask_from_runs(counts, (3, 5))


@pytest.mark.parametrize("text", ["q!", "\x7f", "P", "é", "oooooooooooooooo1"])
def test_text_that_is_no_run_length_code_is_refused(text):
    with pytest.raises(RecordError, match="run-length"):
        decompress(text)
