"""Promises that every entry of SIGNALS keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from epistem.core import Instances, Micrograph
from epistem.trust.cases import Cases, case_of, gather, joined
from epistem.trust.signals import SIGNALS, Signal, signal_table

SHAPE = (96, 128)


@pytest.fixture(params=list(SIGNALS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def found(rng: np.random.Generator, n: int, surest: float) -> Instances:
    """n discs, the first where they are in the image, with scores up to the surest."""
    rows, cols = np.divmod(np.arange(n), 4)
    low = np.stack([rows * 32 % 96 + 8, cols * 32 + 8], axis=1) + rng.uniform(0, 2, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(12, 15, (n, 1))], axis=1)
    return Instances.from_boxes(SHAPE, boxes, surest * rng.uniform(0.8, 1, n))


def image(contrast: float) -> Micrograph:
    """Discs with a rim of the other sign, in noise."""
    rows, cols = np.indices(SHAPE)
    away = np.hypot(rows % 32 - 16, cols % 32 - 16)
    discs = (away < 5) - 0.7 * ((away >= 5) & (away < 8))
    return Micrograph(np.random.default_rng(1).normal(contrast * discs, 1.0))


def case(n: int = 9, surest: float = 1.0, contrast: float = 9.0, candidates: int = 1, seed: int = 0) -> Cases:
    rng = np.random.default_rng(seed)
    every = found(rng, n + candidates, surest)
    every.score[n:] = 0.05
    return gather([case_of(every, found(rng, n, 1.0), image(contrast), image=str(seed))], {})


def test_every_entry_says_where_it_is_from_and_what_it_is_of(name: str) -> None:
    signal = SIGNALS[name]
    assert isinstance(signal, Signal)
    assert name.startswith(("s_", "a_"))
    assert signal.source


def test_full_images_have_a_finite_value_and_images_in_which_nothing_is_kept_have_none(name: str) -> None:
    values = signal_table(joined([case(), case(n=0), case(n=1), case(n=0, candidates=0)]), 0.1)[name]
    assert np.isfinite(values).tolist() == [True, False, True, False]


def test_no_image_at_all_is_a_table_without_rows(name: str) -> None:
    none = case().where(np.array([False]))
    assert signal_table(none, 0.1)[name].tolist() == []


def test_an_image_has_the_same_value_alone_and_in_company(name: str) -> None:
    parts = [case(seed=0), case(n=4, seed=1), case(n=0), case(surest=0.6, seed=2)]
    alone = pd.concat([signal_table(part, 0.1)[name] for part in parts])
    assert signal_table(joined(parts), 0.1)[name].tolist() == pytest.approx(alone.tolist(), nan_ok=True)


def test_the_order_of_objects_does_not_matter(name: str) -> None:
    cases = joined([case(seed=0), case(seed=1)])
    turned = Cases(cases.images, cases.objects.iloc[::-1])
    assert signal_table(turned, 0.1)[name].tolist() == pytest.approx(signal_table(cases, 0.1)[name].tolist())


def test_truth_is_not_read(name: str) -> None:
    cases = case()
    blind = Cases(cases.images.assign(asked=0), cases.objects.assign(right=False, neither=True))
    assert signal_table(blind, 0.1)[name].tolist() == signal_table(cases, 0.1)[name].tolist()


def test_worse_detections_move_it_the_bad_way(name: str) -> None:
    """Unsure, duplicated, in noise, with many that nearly passed."""
    better = SIGNALS[name].higher_is_better
    good, bad = signal_table(joined([case(), case(n=18, surest=0.6, contrast=0.0, candidates=9)]), 0.1)[name]
    if better is None:
        assert np.isfinite([good, bad]).all()
    else:
        assert (good > bad) == better, (good, bad)
