"""Is an image like the reference images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from epistem.core import SettingsError
from epistem.trust.typicality import NEIGHBOURS, Typicality

# Signals of very different size that go together, as those of images do.
MIX = np.array([[1.0, 0.9, 0.0, 0.0], [0.0, 0.4, 0.0, 0.0], [0.0, 0.0, 900.0, 5.0], [0.0, 0.0, 0.0, 3.0]])


def kind(n: int, seed: int = 0, away: float = 0.0) -> pd.DataFrame:
    """n images of one kind; another kind lies `away` standard deviations of the first signal from it."""
    raw = np.random.default_rng(seed).normal(0, 1, (n, 4)) + np.array([away, 0, 0, 0])
    return pd.DataFrame(raw @ MIX, columns=["q_a", "q_b", "s_c", "s_d"])


REFERENCE = Typicality.of(kind(400))


def test_images_of_the_same_kind_are_spread_evenly() -> None:
    share = REFERENCE.share_less_typical(kind(600, seed=1))
    assert kstest(share, "uniform").pvalue > 0.01
    assert np.mean(share < 0.1) == pytest.approx(0.1, abs=0.04)


def test_a_foreign_kind_is_as_untypical_as_it_can_be() -> None:
    assert (REFERENCE.share_less_typical(kind(50, seed=1, away=15)) == 1 / 401).all()


def test_the_farther_out_the_less_typical() -> None:
    share = [float(np.median(REFERENCE.share_less_typical(kind(60, seed=1, away=k)))) for k in (0, 1, 2, 3, 4)]
    assert (np.diff(share) < 0).all()


def test_what_goes_together_in_the_reference_is_untypical_apart() -> None:
    # Both values are usual by themselves; q_b follows q_a.
    together = pd.DataFrame([{"q_a": 2.0, "q_b": 1.8, "s_c": 0.0, "s_d": 0.0}])
    apart = together.assign(q_b=-1.8)
    assert REFERENCE.beyond(dict(apart.iloc[0])) == ()
    assert REFERENCE.share_less_typical(together)[0] > 0.1 > 0.01 > REFERENCE.share_less_typical(apart)[0]


def test_units_and_the_order_of_signals_change_nothing() -> None:
    scale = pd.Series({"q_a": 1e-3, "q_b": 40.0, "s_c": 1.0, "s_d": 1e6})
    other = Typicality.of(kind(400) * scale + 7)
    new = kind(50, seed=1)
    share = REFERENCE.share_less_typical(new)
    np.testing.assert_allclose(
        other.share_less_typical((new * scale + 7)[["s_d", "q_b", "q_a", "s_c"]]), share, atol=3e-3
    )


def test_an_unknown_signal_stands_in_the_middle() -> None:
    new = kind(30, seed=1).assign(s_c=np.nan)
    middle = new.assign(s_c=float(np.median(kind(400)["s_c"])))
    assert REFERENCE.share_less_typical(new).tolist() == REFERENCE.share_less_typical(middle).tolist()
    assert "s_c" not in {one.signal for one in REFERENCE.beyond(dict(new.iloc[0]))}


def test_some_unknown_and_constant_signals_of_the_reference_do_no_harm() -> None:
    signals = kind(200).assign(q_same=3.0)
    signals.loc[::7, "q_b"] = np.nan
    share = Typicality.of(signals).share_less_typical(kind(300, seed=1).assign(q_same=3.0))
    assert kstest(share, "uniform").pvalue > 0.001


def test_beyond_is_what_no_reference_image_has_the_farthest_first() -> None:
    row = {"q_a": float(REFERENCE.high[0]), "q_b": 0.0, "s_c": -90_000.0, "s_d": 40.0}
    beyond = REFERENCE.beyond(row)
    assert [one.signal for one in beyond] == ["s_c", "s_d"]
    assert (beyond[1].low, beyond[1].high) == (REFERENCE.low[3], REFERENCE.high[3])
    assert "below" in beyond[0].in_words()


def test_plain_values_make_the_same_again() -> None:
    again = Typicality.from_dict(REFERENCE.as_dict())
    new = kind(20, seed=2)
    assert again.names == REFERENCE.names
    assert again.share_less_typical(new).tolist() == REFERENCE.share_less_typical(new).tolist()


def test_too_few_images_are_refused() -> None:
    with pytest.raises(SettingsError, match="10 images or more; 9 came"):
        Typicality.of(kind(2 * NEIGHBOURS - 1))
