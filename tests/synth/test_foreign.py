from __future__ import annotations

import numpy as np
import pytest

from epistem.synth import foreign
from epistem.synth.foreign import KINDS, draw_foreign


def test_the_same_seed_draws_the_same_bytes() -> None:
    one, other = (draw_foreign(np.random.default_rng(5), (64, 80)) for _ in range(2))
    assert one.id == other.id
    assert one.id != draw_foreign(np.random.default_rng(6), (64, 80)).id


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_every_kind_is_an_8_bit_picture_with_something_in_it(monkeypatch, kind, seed) -> None:
    monkeypatch.setattr(foreign, "KINDS", (kind,))
    drawn = draw_foreign(np.random.default_rng(seed), (96, 64))
    assert drawn.shape == (96, 64)
    assert drawn.pixels.dtype == np.uint8
    assert drawn.pixels.std() > 5
    assert drawn.calibration is None


def test_all_kinds_are_drawn() -> None:
    names = {draw_foreign(np.random.default_rng(seed), (48, 48)).name for seed in range(60)}
    assert names == {kind.__name__.strip("_") for kind in KINDS}
