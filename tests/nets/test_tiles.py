from __future__ import annotations

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError

torch = pytest.importorskip("torch")
from epistem.nets.tiles import (  # noqa: E402
    IGNORED,
    Labelled,
    RandomTiles,
    Tile,
    batches,
    changed,
    collate,
    cut,
    network_input,
    shrunk_labels,
    spread_tiles,
)


def labelled(rows: int = 40, cols: int = 50, *, channels: int = 1, group: str = "a", label: int = 0) -> Labelled:
    """An image whose pixels are their places, row + col/100."""
    image = np.arange(rows)[:, None] + np.arange(cols)[None] / 100
    labels = np.full((rows, cols), label, np.int16)
    return Labelled(np.stack([image] * channels).astype(np.float32), labels, group)


def test_each_channel_becomes_z_scores_by_median_and_mad():
    raw = np.random.default_rng(0).normal([[[100.0]], [[-3.0]]], [[[10.0]], [[0.1]]], (2, 64, 64))
    found = network_input(raw)
    np.testing.assert_allclose(np.median(found, axis=(1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(axis=(1, 2)), 1, rtol=0.05)
    np.testing.assert_allclose(network_input(3 * raw + 7), found, atol=1e-3)


def test_a_spike_is_cut_at_ten():
    raw = np.random.default_rng(0).normal(size=(1, 16, 16))
    raw[0, 3, 4], raw[0, 5, 6] = 1e6, -1e6
    found = network_input(raw)
    assert (found[0, 3, 4], found[0, 5, 6]) == (10, -10)


def test_a_constant_image_is_zero_and_one_that_is_nearly_so_is_scaled_by_its_standard_deviation():
    assert not network_input(np.full((1, 8, 8), 7, np.uint16)).any()
    nearly = np.zeros((1, 10, 10))
    nearly[0, 0] = 1
    np.testing.assert_allclose(network_input(nearly).max(), 1 / 0.3, rtol=1e-5)


def test_pixels_that_are_no_image_become_zero_and_do_not_count():
    raw, valid = np.random.default_rng(0).normal(size=(1, 20, 20)), np.ones((20, 20), bool)
    banner = raw.copy()
    banner[:, 15:], valid[15:] = 1e4, False
    found = network_input(banner, valid=valid)
    assert not found[:, 15:].any()
    np.testing.assert_array_equal(found[:, :15], network_input(raw[:, :15]))
    assert not network_input(raw, valid=np.zeros((20, 20), bool)).any()


def test_an_image_and_its_mask_are_not_changed():
    raw, valid = np.random.default_rng(0).normal(size=(1, 9, 9)).astype(np.float32), np.eye(9, dtype=bool)
    before = raw.copy()
    network_input(raw, valid=valid, shrink=2)
    np.testing.assert_array_equal(raw, before)


@pytest.mark.parametrize(("rows", "cols", "shrink"), [(12, 18, 3), (13, 17, 3), (5, 2, 4), (7, 7, 1)])
def test_image_and_labels_shrink_to_the_same_size_rounded_up(rows, cols, shrink):
    image = network_input(np.random.default_rng(0).normal(size=(2, rows, cols)), shrink=shrink)
    labels = shrunk_labels(np.zeros((rows, cols), np.int16), shrink)
    assert image.shape[1:] == labels.shape == (-(-rows // shrink), -(-cols // shrink))
    assert labels.dtype == np.int16


def test_a_block_has_the_label_of_most_of_its_pixels_and_the_higher_one_in_a_tie():
    blocks = [[[0, 0], [0, 1]], [[0, 0], [1, 1]], [[2, 2], [1, 1]], [[IGNORED, IGNORED], [IGNORED, 1]]]
    assert [int(shrunk_labels(np.array(one, np.int16), 2)[0, 0]) for one in blocks] == [0, 1, 2, 1]


def test_what_is_ignored_throughout_stays_so():
    assert (shrunk_labels(np.full((7, 9), IGNORED, np.int16), 2) == IGNORED).all()


def test_channels_without_rows_and_columns_are_refused():
    with pytest.raises(ShapeError, match=r"wanted channels \(C, H, W\), not \(8, 8\)"):
        network_input(np.zeros((8, 8)))
    with pytest.raises(ShapeError, match=r"not \(1, 8, 8\), \(8, 9\)"):
        Labelled(np.zeros((1, 8, 8), np.float32), np.zeros((8, 9), np.int16), "a")


def test_a_tile_that_reaches_over_the_edge_goes_on_mirrored_and_unlabelled():
    tile = cut(labelled(40, 50, channels=2), 30, 0, 32)
    assert tile.image.shape == (2, 32, 32)
    np.testing.assert_array_equal(tile.image[:, 10:20], tile.image[:, 9::-1])
    assert (tile.labels[10:] == IGNORED).all()
    assert (tile.labels[:10] == 0).all()


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (40, 6)])
def test_an_image_smaller_than_the_tile_fills_it(shape):
    one = labelled(*shape)
    tile = RandomTiles([one], 32, augment=False)(np.random.default_rng(0))
    assert tile.image.shape == (1, 32, 32)
    assert (tile.labels != IGNORED).sum() == min(shape[0], 32) * shape[1]
    assert set(np.unique(tile.image)) <= set(np.unique(one.image))


def test_groups_are_drawn_alike_however_many_images_they_have():
    many = [labelled(group="many", label=1) for _ in range(9)]
    draw = RandomTiles([*many, labelled(group="one", label=2)], 32, augment=False)
    labels = [int(draw(np.random.default_rng(i)).labels[0, 0]) for i in range(300)]
    assert 120 < labels.count(2) < 180


def test_every_place_is_drawn_the_last_row_and_column_too():
    draw = RandomTiles([labelled(34, 33)], 32, augment=False)
    corners = {tuple(np.round(draw(np.random.default_rng(i)).image[0, 0, 0:1], 2)) for i in range(100)}
    assert corners == {(np.float32(row + col),) for row in (0, 1, 2) for col in (0, np.float32(0.01))}


def test_the_same_generator_gives_the_same_tile_and_another_one_another():
    draw = RandomTiles([labelled(80, 80)], 32, augment=True)
    first, same, other = (draw(np.random.default_rng(i)).image for i in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_labels_turn_with_the_image():
    one = labelled(32, 32)
    one.labels[:] = (one.image[0] > 16).astype(np.int16)
    tile = Tile(np.where(one.labels, 5, -5)[None].astype(np.float32), one.labels)
    for i in range(30):
        image, labels = changed(tile, np.random.default_rng(i))
        np.testing.assert_array_equal(image[0] > 0, labels == 1)
        assert image.dtype == np.float32
    assert (tile.image[0] > 0).sum() == tile.labels.sum()


def test_tiles_are_spread_over_all_images_without_overlap_and_always_the_same():
    images = [labelled(64, 70), labelled(33, 32)]
    every = spread_tiles(images, 32, 100)
    assert len(every) == 2 * 3 + 2
    assert sum(int((tile.labels != IGNORED).sum()) for tile in every) == 64 * 70 + 33 * 32
    some = spread_tiles(images, 32, 3)
    assert len(some) == 3
    np.testing.assert_array_equal(some[-1].image, every[-1].image)
    assert len(spread_tiles(images, 32, 1)) == 1


def test_no_image_to_learn_from_is_refused():
    with pytest.raises(SettingsError, match="no image to learn from"):
        RandomTiles([], 32, augment=True)


def test_a_batch_is_stacked_and_the_last_may_be_smaller():
    tiles = [cut(labelled(), 0, 0, 32) for _ in range(5)]
    parts = [collate(part) for part in batches(tiles, 2)]
    assert [tuple(images.shape) for images, _ in parts] == [(2, 1, 32, 32), (2, 1, 32, 32), (1, 1, 32, 32)]
    assert parts[0][1].dtype == torch.int64
