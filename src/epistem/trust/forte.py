"""Is an item like those of a reference set, by the precision, recall, density and coverage of its features.

==========  ===================================================================================================
published   a batch is judged together: one half of a training set against the other teaches a density, and
            held-out and foreign items are looked at as one set
single      each item alone against a stored reference; how often a typical one is called untypical is chosen
==========  ===================================================================================================

Features are one table an encoder, (n, D), with the same items in its rows. A high score is typical.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control, gaussian_kde
from sklearn.model_selection import train_test_split
from sklearn.svm import OneClassSVM

from epistem.core import SettingsError, ShapeError, Table, UnknownName
from epistem.stats.prdc import PointPrdc, PrdcReference, point_prdc
from epistem.stats.separation import Separation, separation
from epistem.trust.densities import LEAST_VARIANCE, NEIGHBOURS, Density, Whitening, mixture

Floats = NDArray[np.float64]
Features = Mapping[str, ArrayLike]
"""Name of an encoder -> (n, D)."""

DETECTORS = Table(
    "typicality detector",
    {
        "gmm": "epistem.trust.densities:Mixture",
        "kde": "epistem.trust.densities:Kernels",
        "ocsvm": "epistem.trust.densities:Boundary",
        "knn": "epistem.trust.densities:Neighbours",
        "mahalanobis": "epistem.trust.densities:Gaussian",
    },
)
BASELINES = ("knn", "mahalanobis")
"""Those that look at the features themselves; the others look at recall, density, precision and coverage."""
DEFAULT = "mahalanobis"
"""Chosen on simulated scenes (docs/decisions/0011)."""
LEAST_CALIBRATION = 100
"""Items set aside for the p-value; with fewer, nothing is scored."""
# Columns count, so they move in steps. A Gaussian narrower than a step would be the densest where many items share
# one value, as those outside all balls do: on simulated clusters foreign items then were the most typical (AUROC
# 0.24 to 0.41 with a mixture; 0.69 so). In this unit the least variance of a Gaussian is that within a step, 1/12.
_UNIT = np.sqrt(12 * LEAST_VARIANCE)
_BINARY = (2, 3)  # precision and coverage, of the four columns of an encoder
_JITTER = 1e-3


class Judgement(NamedTuple):
    """Of one item; all None but the reason where it is unscored.

    Attributes:
        score: higher is more typical.
        share_less_typical: conformal p-value, 0 to 1: share of the calibration items that are not more typical.
        typical: whether that share is above the level asked for.
        reason: why it is unscored.
    """

    score: float | None
    share_less_typical: float | None
    typical: bool | None
    reason: str | None


@dataclass(frozen=True)
class TypicalityReference:
    """A stored reference set: judges items one by one, each as if it were the only one.

    Typical items are split in three, by group: R, the balls' centres; F, in which a new item's neighbours are sought
    and whose columns teach the density; V, the calibration, seen by neither. So items of V and new ones are treated
    alike, and the p-value holds for new items that are exchangeable with V.

    Attributes:
        detector: of `DETECTORS`; `BASELINES` take R and F as one.
        encoders: their names, in the order of the columns.
        prdc: one an encoder; none for a baseline.
        centre, spread: by which the columns are standardised, (d,).
        tail: how far beyond the largest ball those items of F lie that do, as a share of it, mean of each encoder.
        density: None where unscored.
        calibration: scores of V, rising.
        whitening: one an encoder, learnt from R (baselines: R and F); none where features are taken as they are.
        widths: features of each encoder.
        sizes: items in R, F and V.
        groups: in V; the p-value is as good as that number allows.
    """

    detector: str
    encoders: tuple[str, ...]
    prdc: tuple[PrdcReference, ...]
    centre: Floats
    spread: Floats
    tail: Floats
    density: Density | None
    calibration: Floats
    whitening: tuple[Whitening, ...]
    widths: tuple[int, ...]
    sizes: tuple[int, int, int]
    groups: int

    @classmethod
    def fit(
        cls, features: Features, *, detector: str = DEFAULT, groups: Sequence[Hashable] | None = None,
        whiten: bool = True, k: int = NEIGHBOURS, seed: int = 0,
    ) -> Self:  # fmt: skip
        """From typical items.

        Args:
            features: of n items by each encoder.
            detector: of `DETECTORS`.
            groups: what each item comes from, (n,); those of one group stay together. None: each by itself.
            whiten: distances count in units of the reference's own spread, correlations taken out; if not, features
                are compared as they come.
            k: which neighbour gives a radius.
            seed: of the split and the density.

        Raises:
            UnknownName: no such detector.
            ShapeError: tables and groups that do not belong together.
            SettingsError: fewer than three groups, or features that are not finite.
        """
        kind: type[Density] = DETECTORS[detector]
        tables = _tables(features)
        names = _groups(groups, tables)
        r, f, v = _split(names, (1, 1, 1), seed)
        sizes, none = (int(r.sum()), int(f.sum()), int(v.sum())), np.empty(0)
        widths, n_groups = _widths(tables), len({name for name, mine in zip(names, v, strict=True) if mine})
        empty = cls(detector, tuple(tables), (), none, none, none, None, none, (), widths, sizes, n_groups)
        if sizes[2] < LEAST_CALIBRATION:
            return empty
        if whiten:
            # Not from V, and for the balls not from F: what the whitening has seen lies nearer than what is new.
            seen = r | f if detector in BASELINES else r
            empty = replace(empty, whitening=tuple(Whitening.fit(t[seen].astype(float)) for t in tables.values()))
        given, tables = tables, empty._white(tables)
        prdc = () if detector in BASELINES else tuple(PrdcReference.of(t[r], t[f], k=k) for t in tables.values())
        own = [one.score_third() for one in prdc]
        if prdc:
            learnt = np.concatenate([one.columns for one in own], axis=1)
            spread = np.concatenate(
                [np.array([1 / len(one.points), 1 / (k * len(one.points)), 1, 1]) for one in prdc]
            )
            spread /= _UNIT
        else:
            learnt = np.concatenate([table[r | f] for table in tables.values()], axis=1)
            # One scale an encoder: how its features compare with one another is its own affair.
            spread = np.repeat([table[r].std(axis=0).mean() or 1.0 for table in tables.values()], widths)
        tail = np.array([_tail(*both) for both in zip(prdc, own, strict=True)])
        centre = learnt.mean(axis=0)
        density = kind.fit((learnt - centre) / spread, seed)
        made = replace(empty, prdc=prdc, tail=tail, centre=centre, spread=spread, density=density)
        return replace(made, calibration=np.sort(made.score(_taken(given, v))))

    @property
    def unscored(self) -> str | None:
        """Why nothing is scored; None where it is."""
        if self.density is not None:
            return None
        return (
            f"{self.sizes[2]} typical items were set aside for calibration, {LEAST_CALIBRATION} are needed: give "
            f"about {3 * LEAST_CALIBRATION} or more in all, from three groups or more"
        )

    def score(self, features: Features) -> Floats:
        """Of m items, (m,), higher is more typical; NaN where unscored.

        Raises:
            ShapeError: other encoders or widths than the reference's.
            SettingsError: features that are not finite.
        """
        tables = _tables(features, self.encoders)
        if (widths := _widths(tables)) != self.widths:
            raise ShapeError(f"the reference's encoders have {self.widths} features, these have {widths}")
        if self.density is None:
            return np.full(_length(tables), np.nan)
        tables = self._white(tables)
        if not self.prdc:
            whole = np.concatenate(list(tables.values()), axis=1)
            return self.density.score((whole - self.centre) / self.spread)
        points = [one.score(table) for one, table in zip(self.prdc, tables.values(), strict=True)]
        columns = np.concatenate([one.columns for one in points], axis=1)
        # Beyond the largest ball, by an exponential tail: columns are alike there, whatever the distance.
        far = sum(_beyond(one, p) / t for one, p, t in zip(self.prdc, points, self.tail, strict=True))
        score: Floats = self.density.score((columns - self.centre) / self.spread) - far
        return score

    def share_less_typical(self, features: Features) -> Floats:
        """Conformal p-value of m items, (m,): (1 + calibration items that are not more typical)/(1 + all of them).

        For items of the reference's own kind it is spread evenly from 0 to 1; NaN where unscored.
        Source: Vovk et al., Algorithmic Learning in a Random World (2005), § 2.
        """
        return self._share(self.score(features))

    def threshold(self, level: float) -> float:
        """Score below which an item is called untypical, so that `level` of the typical ones are; NaN if unscored.

        It is the same as asking whether `share_less_typical` is at most `level`.

        Raises:
            SettingsError: a level outside 0 to 1, or too small for the number of calibration items.
        """
        if not 0 < level < 1:
            raise SettingsError(f"the share of false alarms lies between 0 and 1, not {level}")
        if self.density is None:
            return float("nan")
        # A rounding error must not cost a rank: 0.1·(99 + 1) is 10.
        rank = int(np.floor(np.round(level * (len(self.calibration) + 1), 9)))
        if rank < 1:
            raise SettingsError(
                f"{len(self.calibration)} calibration items cannot tell {level:g} false alarms; ask for "
                f"{1 / (len(self.calibration) + 1):.2g} or more, or calibrate with {int(np.ceil(1 / level)) - 1}"
            )
        return float(self.calibration[rank - 1])

    def judge(self, features: Features, *, level: float = 0.05) -> list[Judgement]:
        """Each of m items by itself, at `level` false alarms; raises as `score` and `threshold` do."""
        threshold, score = self.threshold(level), self.score(features)
        if self.unscored:
            return [Judgement(None, None, None, self.unscored)] * len(score)
        share = self._share(score)
        return [Judgement(float(s), float(p), bool(s >= threshold), None) for s, p in zip(score, share, strict=True)]

    def untypical_of_batch(self, features: Features, *, level: float = 0.05) -> NDArray[np.bool_] | None:
        """Which of m items are untypical, (m,), so that of those named at most `level` are typical on average.

        None where unscored. Source: Benjamini, Hochberg, J. R. Stat. Soc. B 57, 289 (1995); for conformal p-values
        Bates et al., Ann. Statist. 51, 149 (2023).
        """
        share = self.share_less_typical(features)
        if self.unscored:
            return None
        return np.asarray(false_discovery_control(share) <= level) if len(share) else np.empty(0, bool)

    def _white(self, tables: Mapping[str, Floats]) -> dict[str, Floats]:
        if not self.whitening:
            return dict(tables)
        return {name: one(t.astype(float)) for one, (name, t) in zip(self.whitening, tables.items(), strict=True)}

    def _share(self, score: Floats) -> Floats:
        share: Floats = (1 + np.searchsorted(self.calibration, score, side="right")) / (1 + len(self.calibration))
        return np.where(np.isnan(score), np.nan, share)


def evaluate(
    typical: Features, foreign: Features, *, mode: Literal["published", "single"] = "single",
    detector: str | None = None, groups: Sequence[Hashable] | None = None, level: float = 0.05,
    k: int = NEIGHBOURS, seed: int = 0,
) -> Separation | None:  # fmt: skip
    """How well typical items that were held out are told from foreign ones; None where too few calibrate.

    Args:
        typical, foreign: features of both kinds by the same encoders.
        mode: published: `published`, which knows no groups and no level; single: a third of the groups is held out,
            a `TypicalityReference` is fitted to the rest, and each item is scored alone.
        detector: of `DETECTORS`; published: gmm, kde or ocsvm. None: `DEFAULT`, published: gmm.
        groups: what each typical item comes from, (n,).
        level: share of false alarms that the threshold stands for.
        k: which neighbour gives a radius.
        seed: of splits and densities.

    Raises:
        UnknownName: no such detector.
        ShapeError: tables and groups that do not belong together.
        SettingsError: too few groups, or features that are not finite.
    """
    if mode == "published":
        return published(typical, foreign, detector or "gmm", k=k, seed=seed)
    ours, theirs = _tables(typical), _tables(foreign, typical)
    names = _groups(groups, ours)
    train, held = _split(names, (2, 1), seed)
    kept = [name for name, mine in zip(names, train, strict=True) if mine]
    reference = TypicalityReference.fit(
        _taken(ours, train), detector=detector or DEFAULT, groups=kept, k=k, seed=seed
    )
    if reference.unscored:
        return None
    held_score = reference.score(_taken(ours, held))
    return separation(held_score, reference.score(theirs), threshold=reference.threshold(level))


def published(
    typical: Features, foreign: Features, detector: str, *, k: int = NEIGHBOURS, seed: int = 0
) -> Separation:
    """The published protocol on a batch: an item's score depends on the others, and settings follow training fit.

    A third of the typical items is held out and fused with the foreign ones; the rest teaches, one half against the
    other. The threshold is the 5th percentile of the training scores, 0 for OCSVM, as in the released package.

    Args:
        typical, foreign: features of both kinds by the same encoders.
        detector: gmm, kde or ocsvm.
        k: which neighbour gives a radius.
        seed: of the splits and the mixtures; the paper takes 0 to 4.

    Raises:
        UnknownName: another detector.
        ShapeError: tables that do not belong together.

    Source: Ganguly et al., Forte, ICLR 2025, and its released code.
    """
    if detector not in _PUBLISHED:
        raise UnknownName(f"the published protocol has no detector {detector!r}; it has {', '.join(_PUBLISHED)}")
    fit = _PUBLISHED[detector]
    ours, theirs = _tables(typical), _tables(foreign, typical)
    rows = np.arange(_length(ours))
    train, held = train_test_split(rows, test_size=0.33, random_state=seed)
    reference, teaches = train_test_split(train, test_size=0.5, random_state=seed)
    learnt, fused = [], []
    for name, table in ours.items():
        learnt.append(point_prdc(table[reference], table[teaches], k=k).columns)
        fused.append(point_prdc(table[reference], np.concatenate([table[held], theirs[name]]), k=k).columns)
    train_score, score = fit(np.concatenate(learnt, axis=1), np.concatenate(fused, axis=1), seed)
    threshold = 0.0 if detector == "ocsvm" else float(np.percentile(train_score, 5))
    return separation(score[: len(held)], score[len(held) :], threshold=threshold)


def _jittered(x: Floats, seed: int) -> Floats:
    """Binary columns with a noise of 1e-3, without which a covariance could not be inverted."""
    noise = np.random.default_rng(seed).normal(0, _JITTER, x.shape)
    noise[:, [i for i in range(x.shape[1]) if i % 4 not in _BINARY]] = 0
    return x + noise


def _published_gmm(x: Floats, new: Floats, seed: int) -> tuple[Floats, Floats]:
    fitted = [mixture(x, n, seed) for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) if n <= len(x)]
    best = max(fitted, key=lambda one: float(one.score(x)))
    return best.score_samples(x), best.score_samples(new)


def _published_kde(x: Floats, new: Floats, seed: int) -> tuple[Floats, Floats]:
    points = _jittered(x, seed).T
    best = max((gaussian_kde(points, width) for width in ("scott", "silverman")), key=lambda k: k.logpdf(x.T).sum())
    return best.logpdf(x.T), best.logpdf(new.T)


def _published_ocsvm(x: Floats, new: Floats, seed: int) -> tuple[Floats, Floats]:
    fitted = [OneClassSVM(nu=nu, gamma="auto").fit(x) for nu in (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)]
    best = max(fitted, key=lambda one: float((one.predict(x) == 1).mean()))
    return best.decision_function(x), best.decision_function(new)


_PUBLISHED: dict[str, Callable[[Floats, Floats, int], tuple[Floats, Floats]]] = {
    "gmm": _published_gmm, "kde": _published_kde, "ocsvm": _published_ocsvm,
}  # fmt: skip


def _split(names: Sequence[Hashable], shares: tuple[int, ...], seed: int) -> list[NDArray[np.bool_]]:
    """Which items are in which part, one mask a part; groups stay together, the largest are placed first."""
    found, which = np.unique([str(name) for name in names], return_inverse=True)
    if len(found) < len(shares):
        raise SettingsError(
            f"wanted {len(shares)} groups or more to split between; got {len(found)}: name what each item comes from"
        )
    size = np.bincount(which)
    order = np.random.default_rng(seed).permutation(len(found))
    order = order[np.argsort(-size[order], kind="stable")]
    filled, part = np.zeros(len(shares)), np.empty(len(found), int)
    for group in order:
        part[group] = np.argmin(filled)
        filled[part[group]] += size[group] / shares[part[group]]
    return [part[which] == i for i in range(len(shares))]


def _tables(features: Features, encoders: Mapping[str, Any] | Sequence[str] | None = None) -> dict[str, Floats]:
    """As arrays, in the order asked for."""
    wanted = list(features if encoders is None else encoders)
    if not wanted or set(wanted) != set(features):
        raise ShapeError(
            f"wanted features of {', '.join(wanted) or 'an encoder'}; got {', '.join(features) or 'none'}"
        )
    tables = {name: np.asarray(features[name]) for name in wanted}
    if any(table.ndim != 2 for table in tables.values()) or len({len(table) for table in tables.values()}) != 1:
        raise ShapeError(
            f"wanted (n, D) of each encoder, with one n; got {', '.join(f'{n} {t.shape}' for n, t in tables.items())}"
        )
    for name, table in tables.items():
        if not np.isfinite(table).all():
            bad = int((~np.isfinite(table).all(axis=1)).sum())
            raise SettingsError(
                f"{bad} of {len(table)} items have features of {name} that are not finite; leave them out"
            )
    return tables


def _length(tables: Mapping[str, Floats]) -> int:
    return len(next(iter(tables.values())))


def _widths(tables: Mapping[str, Floats]) -> tuple[int, ...]:
    return tuple(table.shape[1] for table in tables.values())


def _taken(tables: Mapping[str, Floats], rows: NDArray[np.bool_]) -> dict[str, Floats]:
    return {name: table[rows] for name, table in tables.items()}


def _groups(groups: Sequence[Hashable] | None, tables: Mapping[str, Floats]) -> list[Hashable]:
    names = list(range(_length(tables)) if groups is None else groups)
    if len(names) != _length(tables):
        raise ShapeError(f"wanted a group for each of {_length(tables)} items; got {len(names)}")
    return names


def _beyond(reference: PrdcReference, points: PointPrdc) -> Floats:
    """By which share of a ball's largest radius the nearest neighbours lie beyond it, (m,)."""
    return np.maximum(points.radius.astype(float) / max(reference.reach, 1e-30) - 1, 0)


def _tail(reference: PrdcReference, points: PointPrdc) -> float:
    beyond = _beyond(reference, points)
    return float(beyond[beyond > 0].mean()) if beyond.any() else 1.0
