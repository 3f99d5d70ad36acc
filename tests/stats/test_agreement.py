from __future__ import annotations

import numpy as np
import pytest

from epistem.core import SettingsError, ShapeError
from epistem.stats.agreement import (
    bias_index,
    block_interval,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    landis_koch,
    observed_agreement,
    pabak,
    pair_table,
    prevalence_index,
)

# J. Sim, C. C. Wright, Phys. Ther. 85, 257 (2005), table 1: two clinicians, 39 patients.
SIM_WRIGHT = [[22, 2], [4, 11]]
# The customary worked example of Fleiss κ: 14 raters, 10 subjects, 5 classes; κ = 0.210.
FLEISS_VOTES = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip
_ = np.nan
# K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, example C: four observers, twelve units.
KRIPPENDORFF = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]).T  # fmt: skip


def kappa_of(ratings: np.ndarray) -> float | None:
    return cohen_kappa(pair_table(*ratings.T, classes=3))


def two_raters(n: int = 400, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 3, n)
    return np.stack([first, np.where(rng.random(n) < 0.7, first, rng.integers(0, 3, n))], axis=1).astype(float)


def test_two_raters_of_sim_and_wright() -> None:
    assert observed_agreement(SIM_WRIGHT) == pytest.approx(0.8462, abs=1e-4)
    assert cohen_kappa(SIM_WRIGHT) == pytest.approx(0.67, abs=5e-3)
    assert pabak(SIM_WRIGHT) == pytest.approx(0.69, abs=5e-3)
    np.testing.assert_allclose(prevalence_index(SIM_WRIGHT), [0.28, -0.28], atol=5e-3)
    np.testing.assert_allclose(bias_index(SIM_WRIGHT), [-0.05, 0.05], atol=5e-3)


@pytest.mark.parametrize("weights", ["none", "quadratic"])
def test_kappa_is_that_of_sklearn(weights: str) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    first, second = two_raters().T
    theirs = metrics.cohen_kappa_score(first, second, weights=None if weights == "none" else weights)
    ours = cohen_kappa(pair_table(first, second, classes=3), weights=weights)  # type: ignore[arg-type]
    assert ours == pytest.approx(theirs)


def test_a_rare_class_lowers_kappa_and_not_pabak() -> None:
    even, rare = [[45, 5], [5, 45]], [[89, 5], [5, 1]]
    assert cohen_kappa(even) == pytest.approx(0.8)
    assert cohen_kappa(rare) == pytest.approx(0.11, abs=5e-3)
    assert pabak(even) == pabak(rare) == pytest.approx(0.8)


def test_pabak_of_five_classes_is_zero_at_a_fifth() -> None:
    assert pabak(np.ones((5, 5))) == pytest.approx(0)


def test_two_raters_who_use_one_class_only_have_no_kappa() -> None:
    assert cohen_kappa([[7, 0], [0, 0]]) is None
    assert fleiss_kappa(np.zeros((7, 3)), classes=2) is None
    assert krippendorff_alpha(np.zeros((7, 3))) is None


def test_a_unit_that_one_rater_left_out_is_left_out() -> None:
    assert pair_table([0, 1, _, 1], [0, _, 1, 0], classes=2).tolist() == [[1, 0], [1, 0]]


def test_no_unit_has_no_agreement() -> None:
    none = np.zeros((2, 2))
    assert observed_agreement(none) is cohen_kappa(none) is pabak(none) is None
    assert prevalence_index(none) is bias_index(none) is None
    assert fleiss_kappa(np.full((2, 3), _), classes=2) is krippendorff_alpha(np.full((2, 3), _)) is None


def test_several_raters_of_the_published_table() -> None:
    ratings = [np.repeat(np.arange(5), votes) for votes in FLEISS_VOTES]
    assert fleiss_kappa(ratings, classes=5) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_takes_the_units_that_all_rated() -> None:
    full = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 1]], float)
    gap = np.vstack([full, [1, _, 0]])
    assert fleiss_kappa(gap, classes=2) == fleiss_kappa(full, classes=2)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_the_published_example(level: str, alpha: float) -> None:
    assert krippendorff_alpha(KRIPPENDORFF, level=level) == pytest.approx(alpha, abs=5e-4)  # type: ignore[arg-type]


def test_two_raters_without_gaps_have_nearly_the_same_alpha_and_kappa() -> None:
    ratings = two_raters()
    assert krippendorff_alpha(ratings) == pytest.approx(kappa_of(ratings), abs=2e-3)


@pytest.mark.parametrize(
    ("kappa", "word"),
    [(-0.01, "poor"), (0, "slight"), (0.2, "slight"), (0.21, "fair"), (0.6, "moderate"), (0.8, "substantial"),
     (1, "almost perfect")],
)  # fmt: skip
def test_the_bands_of_landis_and_koch(kappa: float, word: str) -> None:
    assert landis_koch(kappa) == word


def test_units_that_are_alike_within_blocks_widen_the_interval() -> None:
    ratings = two_raters(40)
    copied = np.repeat(ratings, 20, axis=0)
    alone = block_interval(copied, range(800), kappa_of)
    together = block_interval(copied, np.repeat(range(40), 20).tolist(), kappa_of)
    assert alone is not None
    assert together is not None
    assert together.value == alone.value == kappa_of(ratings)
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_the_same_seed_gives_the_same_interval() -> None:
    ratings = two_raters(50)
    one, again, other = (block_interval(ratings, range(50), kappa_of, seed=seed, draws=50) for seed in (1, 1, 2))
    assert one == again != other


def test_an_interval_that_cannot_be_is_none() -> None:
    ratings = two_raters(10)
    assert block_interval(ratings, [0] * 10, kappa_of) is None
    assert block_interval(np.zeros((4, 2)), range(4), kappa_of) is None
    assert block_interval(np.empty((0, 2)), [], kappa_of) is None


def test_draws_without_the_measure_are_left_out() -> None:
    ratings = np.array([[0, 0], [0, 0], [1, 1], [1, 1]], float)
    found = block_interval(ratings, range(4), kappa_of)  # one draw in eight has one class only
    assert found is not None
    assert (found.low, found.value, found.high) == (1, 1, 1)


def test_a_measure_that_most_draws_do_not_have_has_no_interval() -> None:
    ratings = np.stack([np.arange(6.0)] * 2, axis=1)
    assert block_interval(ratings, range(6), lambda drawn: 1.0 if len(np.unique(drawn)) == 6 else None) is None


def test_what_is_no_rating_is_refused() -> None:
    with pytest.raises(SettingsError, match="0 to 1"):
        pair_table([0, 2], [0, 1], classes=2)
    with pytest.raises(SettingsError, match="0 to 1"):
        fleiss_kappa([[0, 2]], classes=2)
    with pytest.raises(SettingsError, match="nominal, ordinal or interval"):
        krippendorff_alpha([[0, 1]], level="ratio")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="none or quadratic"):
        cohen_kappa(SIM_WRIGHT, weights="linear")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="same units"):
        pair_table([0], [0, 1], classes=2)
    with pytest.raises(ShapeError, match="units, raters"):
        krippendorff_alpha([0, 1])
    with pytest.raises(ShapeError, match="block for each"):
        block_interval([[0, 1]], [0, 1], kappa_of)
