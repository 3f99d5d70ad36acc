from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from benchmarks.typicality import FOLDS, NEAR, PHOTOS, PX, SETS, Items, Pair, folds, read_set, scored


def test_near_pairs_photographs_and_unscored_ones_do_not_count() -> None:
    near = sorted(next(iter(NEAR)))
    found = [
        Pair(typical, foreign, auroc, 0.1, 0.9, 0.9, FOLDS)
        for typical, foreign, auroc in (
            (near[0], near[1], 0.5), (near[1], near[0], 0.5), ("a", PHOTOS, 0.5), ("a", "b", None), ("a", "c", 0.9),
        )
    ]  # fmt: skip
    assert [one[:2] for one in scored(found)] == [("a", "c")]


def test_near_pairs_are_of_known_sets() -> None:
    assert {name for pair in NEAR for name in pair} <= set(SETS)
    assert all(len(pair) == 2 for pair in NEAR)


def test_no_group_is_on_both_sides_and_each_item_is_held_out_once() -> None:
    groups = np.array([str(i // 7) for i in range(70)])
    one = Items({"number": np.arange(70, dtype=np.float32)[:, None]}, groups)
    parts = list(folds(one))
    assert all(not set(train.groups) & set(held.groups) for train, held in parts)
    held = np.concatenate([held.features["number"][:, 0] for _, held in parts])
    np.testing.assert_array_equal(np.sort(held), np.arange(70))


def test_every_image_gives_a_window_before_any_gives_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    for name, edge in (("large", 4 * PX), ("small", PX), ("tiny", PX - 1)):
        Image.fromarray(np.zeros((edge, edge), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    monkeypatch.setattr("benchmarks.typicality.MOST", 3)
    windows, groups = read_set(tmp_path, lambda name: name)
    assert groups == ["large.png", "small.png", "large.png"]
    assert {one.shape for one in windows} == {(PX, PX)}
