"""Items like those of a stored reference set, and foreign ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import gaussian_kde, kstest
from sklearn.mixture import GaussianMixture
from sklearn.svm import OneClassSVM

from epistem.core import RecordError, SettingsError, ShapeError, UnknownName
from epistem.stats.separation import separation
from epistem.trust import densities, forte_file
from epistem.trust.forte import BASELINES, DETECTORS, LEAST_CALIBRATION, TypicalityReference, evaluate, published

Floats = NDArray[np.float64]
EVERY = tuple(DETECTORS)
PUBLISHED = tuple(name for name in DETECTORS if name not in BASELINES)
MIX = np.random.default_rng(99).normal(0, 1, (6, 24))


def kind(n: int, seed: int = 0, away: float = 0.0) -> dict[str, Floats]:
    """Features of n items by two encoders: six causes seen through noise; of another kind `away` from the first."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(0, 1, (n, 6)) + away
    return {"one": cause @ MIX + 0.3 * rng.normal(0, 1, (n, 24)), "two": cause + 0.3 * rng.normal(0, 1, (n, 6))}


@pytest.fixture(scope="module", params=EVERY)
def reference(request: pytest.FixtureRequest) -> TypicalityReference:
    return TypicalityReference.fit(kind(1500), detector=request.param)


@pytest.mark.parametrize("detector", EVERY)
def test_false_alarms_on_2500_held_out_items_are_within_2_points_of_the_level(detector: str) -> None:
    reference = TypicalityReference.fit(kind(4500), detector=detector)
    held = kind(2500, seed=1)
    for level in (0.05, 0.1):
        alarms = [not one.typical for one in reference.judge(held, level=level)]
        assert np.mean(alarms) == pytest.approx(level, abs=0.02)


def test_in_500_dimensions_false_alarms_are_as_asked_though_many_items_lie_in_no_ball() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(0, 1, (5500, 500)) * rng.lognormal(0, 0.2, (5500, 1))
    reference = TypicalityReference.fit({"one": wide[:3000]}, detector="gmm")
    assert np.mean(~reference.prdc[0].score(wide[3000:]).columns.any(axis=1)) > 0.1
    for level in (0.05, 0.1):
        alarms = reference.score({"one": wide[3000:]}) < reference.threshold(level)
        assert alarms.mean() == pytest.approx(level, abs=0.02)


def test_items_of_the_same_kind_are_spread_evenly(reference: TypicalityReference) -> None:
    assert kstest(reference.share_less_typical(kind(600, seed=1)), "uniform").pvalue > 1e-3


def test_the_farther_out_the_less_typical(reference: TypicalityReference) -> None:
    share = [float(np.mean(reference.share_less_typical(kind(200, 1, away)))) for away in (0, 0.7, 1.4, 2.1)]
    assert (np.diff(share) < 0).all()


def test_a_foreign_kind_is_as_untypical_as_it_can_be(reference: TypicalityReference) -> None:
    share = reference.share_less_typical(kind(50, 1, 30.0))
    assert (share == 1 / (reference.sizes[2] + 1)).all()


def test_one_item_is_judged_as_among_others(reference: TypicalityReference) -> None:
    new = {name: np.concatenate([kind(20, 1)[name], kind(10, 2, 3.0)[name]]) for name in ("one", "two")}
    alone = [reference.judge({name: table[i : i + 1] for name, table in new.items()})[0] for i in range(30)]
    together = reference.judge(new)
    assert [one[1:] for one in alone] == [one[1:] for one in together]
    np.testing.assert_allclose([one.score for one in alone], [one.score for one in together], rtol=1e-6)


def test_untypical_is_the_same_as_a_share_up_to_the_level(reference: TypicalityReference) -> None:
    for level in (0.02, 0.05, 0.1, 0.37):
        for one in reference.judge(kind(300, 1, 0.5), level=level):
            assert one.share_less_typical is not None
            assert one.typical == (one.share_less_typical > level)


def test_the_order_of_encoders_changes_nothing(reference: TypicalityReference) -> None:
    new = kind(20, 1)
    assert reference.score(dict(reversed(new.items()))).tolist() == reference.score(new).tolist()


def test_of_those_a_batch_names_few_are_typical() -> None:
    reference = TypicalityReference.fit(kind(3000))
    wrong = []
    for seed in range(20):
        new = {name: np.concatenate([kind(100, seed)[name], kind(30, seed, 4.0)[name]]) for name in ("one", "two")}
        named = reference.untypical_of_batch(new, level=0.1)
        assert named is not None
        assert named[100:].all()
        wrong.append(named[:100].sum() / named.sum())
    assert np.mean(wrong) < 0.15
    empty = reference.untypical_of_batch({name: table[:0] for name, table in kind(1).items()})
    assert empty is not None
    assert empty.shape == (0,)


def test_a_batch_of_typical_items_names_fewer_than_the_level_would() -> None:
    reference = TypicalityReference.fit(kind(3000))
    named = reference.untypical_of_batch(kind(1000, seed=1), level=0.1)
    assert named is not None
    assert named.sum() <= 10


@pytest.mark.parametrize("detector", ["gmm", "knn"])
def test_below_100_calibration_items_nothing_is_scored_and_it_says_so(detector: str) -> None:
    few = TypicalityReference.fit(kind(3 * LEAST_CALIBRATION - 3), detector=detector)
    assert few.sizes[2] == LEAST_CALIBRATION - 1
    said = few.judge(kind(2, seed=1))
    assert [one[:3] for one in said] == [(None, None, None)] * 2
    assert "99 typical items" in str(said[0].reason)
    assert np.isnan(few.score(kind(2))).all()
    assert np.isnan(few.share_less_typical(kind(2))).all()
    assert few.untypical_of_batch(kind(2)) is None
    assert evaluate(kind(300), kind(50, 1, 3.0), detector=detector) is None
    assert TypicalityReference.fit(kind(3 * LEAST_CALIBRATION), detector=detector).unscored is None


def test_items_of_one_group_stay_together() -> None:
    # Copies of one item in two parts would be one another's nearest neighbours.
    groups = [f"specimen {i // 30}" for i in range(900)]
    items = {name: np.repeat(table, 30, axis=0) for name, table in kind(30).items()}
    made = TypicalityReference.fit(items, detector="gmm", groups=groups)
    r, f = made.prdc[1].points, made.prdc[1].third
    assert not set(map(tuple, r.tolist())) & set(map(tuple, f.tolist()))
    assert (made.sizes, made.groups) == ((300, 300, 300), 10)


def test_a_column_that_never_varies_does_no_harm() -> None:
    features = {"one": np.concatenate([kind(1500)["one"], np.ones((1500, 2))], axis=1)}
    new = {"one": np.concatenate([kind(400, 1)["one"], np.ones((400, 2))], axis=1)}
    for detector in EVERY:
        share = TypicalityReference.fit(features, detector=detector).share_less_typical(new)
        assert np.mean(share <= 0.1) == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize("detector", EVERY)
def test_foreign_items_are_told_one_by_one(detector: str) -> None:
    found = evaluate(kind(1500), kind(300, 1, 2.5), detector=detector)
    assert found is not None
    assert found.auroc > 0.95
    assert found.f1 is not None
    assert 0.8 < found.f1 <= found.oracle_f1
    assert (found.n_typical, found.n_foreign) == (500, 300)


@pytest.mark.parametrize("detector", PUBLISHED)
def test_the_published_protocol_tells_a_far_kind(detector: str) -> None:
    # A small set: the published choice of the mixture tries up to 256 Gaussians.
    typical = {name: table[:, :6] for name, table in kind(240).items()}
    foreign = {name: table[:, :6] for name, table in kind(80, 1, 4.0).items()}
    found = evaluate(typical, foreign, mode="published", detector=detector)
    assert found == published(typical, foreign, detector)
    assert found is not None
    assert found.auroc > 0.85
    assert (found.n_typical, found.n_foreign) == (80, 80)


def test_a_batch_of_foreign_items_alone_is_judged_by_its_own_company_in_the_published_protocol() -> None:
    # Radii come from the batch: the same foreign items in a larger batch have other scores.
    typical = kind(240)
    some, more = kind(40, 1, 1.0), kind(400, 1, 1.0)
    assert published(typical, some, "kde").auroc != pytest.approx(published(typical, more, "kde").auroc, abs=1e-3)


def test_densities_say_what_the_libraries_say() -> None:
    x, new = np.random.default_rng(0).normal(0, 1, (2, 300, 8))
    mix = densities.Mixture.fit(x, 0)
    theirs = GaussianMixture(len(mix.mean), reg_covar=1e-4, random_state=0).fit(x)
    np.testing.assert_allclose(mix.score(new), theirs.score_samples(new), rtol=1e-9)
    svm = OneClassSVM(nu=0.1, gamma="auto").fit(x / x.std(axis=0))
    expected = svm.decision_function(new / x.std(axis=0))
    np.testing.assert_allclose(densities.Boundary.fit(x, 0).score(new), expected, atol=1e-9)
    apart = densities.Kernels.fit(x, 0).score(new) - gaussian_kde(x.T).logpdf(new.T)
    np.testing.assert_allclose(apart, apart.mean(), atol=5e-3)


def test_the_mixture_finds_clusters_but_has_no_more_parts_than_a_twentieth_of_the_points() -> None:
    rng = np.random.default_rng(0)
    clusters = np.concatenate([rng.normal(0, 1, (50, 2)) + at for at in rng.uniform(-50, 50, (8, 2))])
    assert len(densities.Mixture.fit(clusters, 0).mean) == 8
    assert len(densities.Mixture.fit(clusters[::4], 0).mean) <= 4
    assert len(densities.Mixture.fit(clusters[:19], 0).mean) == 1


def test_the_metrics_of_a_case_done_by_hand() -> None:
    found = separation([4.0, 3.0, 1.0], [2.0, 0.0], threshold=2.0)
    assert found.auroc == pytest.approx(5 / 6)
    assert found.fpr95 == 0.5
    assert found.precision == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)
    assert found.oracle_f1 == pytest.approx(6 / 7)
    assert found.auprc == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert separation([1.0], [0.0]).f1 is None
    assert separation([1.0], [0.0], threshold=9.0)[3:5] == (None, 0.0)
    with pytest.raises(SettingsError, match="1 of them not finite"):
        separation([1.0, np.nan], [0.0])
    with pytest.raises(SettingsError, match="0 foreign"):
        separation([1.0], [])


def test_a_saved_reference_judges_as_before(reference: TypicalityReference, tmp_path: Path) -> None:
    forte_file.save(reference, tmp_path / "new" / "a.npz")
    back = forte_file.load(tmp_path / "new" / "a.npz")
    assert back.judge(kind(30, 1, 0.5)) == reference.judge(kind(30, 1, 0.5))
    assert (back.sizes, back.groups, back.encoders) == (reference.sizes, reference.groups, reference.encoders)
    forte_file.save(reference, tmp_path / "b.npz")
    assert (tmp_path / "b.npz").read_bytes() == (tmp_path / "new" / "a.npz").read_bytes()


def test_an_unscored_reference_can_be_kept_too(tmp_path: Path) -> None:
    few = TypicalityReference.fit(kind(30))
    forte_file.save(few, tmp_path / "a.npz")
    assert forte_file.load(tmp_path / "a.npz").judge(kind(1)) == few.judge(kind(1))


def test_what_is_no_reference_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(RecordError, match="No such file"):
        forte_file.load(path)
    for content in (b"", b"PK\x03\x04 not whole", b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(RecordError, match="damaged"):
            forte_file.load(path)
    np.savez(path, about=np.array('{"epistem_typicality": 99}'))
    with pytest.raises(RecordError, match="version 99"):
        forte_file.load(path)
    np.savez(path, other=np.ones(3))
    with pytest.raises(RecordError, match="no typicality reference"):
        forte_file.load(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write"):
        forte_file.save(TypicalityReference.fit(kind(30)), tmp_path / "file" / "a.npz")


def test_what_cannot_be_judged_is_refused(reference: TypicalityReference) -> None:
    with pytest.raises(ShapeError, match="wanted features of one, two; got one"):
        reference.score({"one": np.zeros((1, 24))})
    with pytest.raises(ShapeError):
        reference.score({"one": np.zeros((1, 20)), "two": np.zeros((1, 10))})
    with pytest.raises(ShapeError, match="one n"):
        reference.score({"one": np.zeros((1, 24)), "two": np.zeros((2, 6))})
    bad = kind(3)
    bad["two"][1, 2] = np.nan
    with pytest.raises(SettingsError, match="1 of 3 items have features of two"):
        reference.score(bad)
    with pytest.raises(SettingsError, match="between 0 and 1"):
        reference.threshold(0.0)
    with pytest.raises(SettingsError, match="calibrate with 999"):
        reference.threshold(0.001)


def test_what_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(UnknownName, match="gmm"):
        TypicalityReference.fit(kind(30), detector="gm")
    with pytest.raises(UnknownName, match="published protocol has no detector 'knn'"):
        published(kind(30), kind(30), "knn")
    with pytest.raises(SettingsError, match="3 groups or more"):
        TypicalityReference.fit(kind(30), groups=["a", "b"] * 15)
    with pytest.raises(ShapeError, match="30 items; got 29"):
        TypicalityReference.fit(kind(30), groups=["a"] * 29)
    with pytest.raises(ShapeError, match="wanted features of an encoder"):
        TypicalityReference.fit({})


def test_the_same_seed_gives_the_same_reference(tmp_path: Path) -> None:
    for name in ("a", "b"):
        forte_file.save(TypicalityReference.fit(kind(400), detector="gmm", seed=3), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_new_reference_shares_nothing_that_was_given() -> None:
    given = kind(400)
    before = {name: table.copy() for name, table in given.items()}
    made = TypicalityReference.fit(given)
    assert replace(made).score(given).shape == (400,)
    for name, table in given.items():
        np.testing.assert_array_equal(table, before[name])


@pytest.mark.parametrize("detector", ["gmm", "knn", "mahalanobis"])
def test_units_of_features_do_not_matter_once_they_are_whitened(detector: str) -> None:
    scores = []
    for largest in (1, 100):
        typical, new = (
            {name: table * np.geomspace(1, largest, table.shape[1]) for name, table in one.items()}
            for one in (kind(600), kind(50, seed=5))
        )
        scores.append(TypicalityReference.fit(typical, detector=detector).score(new))
    np.testing.assert_allclose(*scores, rtol=0.02, atol=0.05)


def test_a_narrow_direction_counts_only_when_whitened() -> None:
    rng = np.random.default_rng(0)
    typical, foreign = rng.normal(size=(900, 2)) * (100, 1), rng.normal(size=(200, 2)) * (100, 1) + (0, 8)
    shares = [
        TypicalityReference.fit({"a": typical}, detector="knn", whiten=whiten).share_less_typical({"a": foreign})
        for whiten in (True, False)
    ]
    assert np.median(shares[0]) < 0.01
    assert np.median(shares[1]) > 0.05


def test_a_whitened_reference_with_fewer_items_than_features_keeps_its_false_alarms() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(300, 300)) / 10
    typical, new = (rng.normal(size=(n, 300)) @ mix for n in (600, 2000))
    for detector in ("gmm", "mahalanobis"):
        share = TypicalityReference.fit({"a": typical}, detector=detector).share_less_typical({"a": new})
        assert (share <= 0.1).mean() == pytest.approx(0.1, abs=0.05)
