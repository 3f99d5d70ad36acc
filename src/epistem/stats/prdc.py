"""Precision, recall, density and coverage of a set of points against a reference set: of the whole set, or of each.

Every number counts how many distances are shorter than a radius, which is that to a point's k-th neighbour in its
own set:

==========  ==========================================  =========================================================
            the whole set (Naeem)                       each new point (Forte)
==========  ==========================================  =========================================================
precision   new points inside a reference ball, share   is it inside a reference ball, 0 or 1
recall      reference points inside a new ball, share   share of the reference points inside its ball
density     reference balls a new point is in, over k   share of the reference balls it is in, over k
coverage    reference balls that hold a new point       does its ball hold a reference point, 0 or 1
==========  ==========================================  =========================================================

Squared distances come from one matrix product in single precision that is shifted to lie below the true ones. Where
that bound leaves it open which side of a radius a point is on, the distance is computed again, from differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import SettingsError, ShapeError

Floats = NDArray[np.floating[Any]]
Whole = NDArray[np.int64]

_BLOCK = 6 * 2**20  # distances at once: 24 MB
_PAIRS = 512  # whose difference vectors lie in the processor's cache together
_REACH = 0.8
_LARGEST = 1e30  # of squared norms: their sums stay finite in single precision


class Prdc(NamedTuple):
    """Of a whole set; each 0 to 1 but density, which may be larger; higher is more like the reference."""

    precision: float
    recall: float
    density: float
    coverage: float


class PointPrdc(NamedTuple):
    """Of each of m points, (m,) each, in the published order; higher is more typical.

    Attributes:
        recall, density, precision, coverage: see the module; 0 to 1, density to 1/k.
        radius: distance to its k-th neighbour; lower is more typical.
    """

    recall: Floats
    density: Floats
    precision: Floats
    coverage: Floats
    radius: Floats

    @property
    def columns(self) -> NDArray[np.float64]:
        """Recall, density, precision, coverage, (m, 4)."""
        return np.stack(self[:4], axis=1).astype(float)


def prdc(reference: ArrayLike, new: ArrayLike, *, k: int = 5) -> Prdc:
    """How much two sets of points lie in the same places.

    Args:
        reference: (n, D) real points.
        new: (m, D) the set that is judged.
        k: which neighbour gives the radius.

    Raises:
        ShapeError: not two tables of equal width.
        SettingsError: k below 1, a set of k points or fewer, values that are not finite or too large.

    Source: Naeem et al., ICML 2020, eq. 3 to 5; precision and recall of Kynkäänniemi et al., NeurIPS 2019.
    """
    real, fake = _clouds(reference, new)
    counts = _counts(real, _own_radius(real, k), fake, _own_radius(fake, k))
    return Prdc(
        float((counts.balls_round_new > 0).mean()), float((counts.balls_round_reference > 0).mean()),
        float(counts.balls_round_new.mean() / k), float((counts.new_in_ball > 0).mean()),
    )  # fmt: skip


def point_prdc(reference: ArrayLike, new: ArrayLike, *, k: int = 5) -> PointPrdc:
    """How typical each point of a set is; its radius, and so its numbers, depend on the other points of that set.

    Args:
        reference: (n, D).
        new: (m, D) judged together.
        k: which neighbour gives the radius.

    Raises:
        ShapeError: not two tables of equal width.
        SettingsError: k below 1, a set of k points or fewer, values that are not finite or too large.

    Source: Ganguly et al., Forte, ICLR 2025, with density as its released code has it, over k·n.
    """
    real, fake = _clouds(reference, new)
    return _of_points(real, _own_radius(real, k), fake, _own_radius(fake, k), k)


def neighbour_distance(new: ArrayLike, among: ArrayLike, *, k: int = 5) -> Floats:
    """Distance of each point to its k-th neighbour in another set, (m,).

    Args:
        new: (m, D).
        among: (v, D) none of the new ones.
        k: 1 or more.

    Raises:
        ShapeError: not two tables of equal width.
        SettingsError: k below 1, fewer than k points, values that are not finite or too large.
    """
    others, points = _clouds(among, new)
    return _radius_among(points, others, k)


@dataclass(frozen=True)
class PrdcReference:
    """A reference set that judges points one by one: what one is told does not depend on which others are asked.

    Attributes:
        points: (n, D) the balls' centres.
        radius: (n,) of the balls.
        third: (v, D) other points of the same kind, in which a new point's neighbours are sought.
        reach: largest radius of a new point's ball: the 80th percentile of those of the third set's own points. The
            farther a point, the larger its neighbours' distance; without a bound it would have as many reference
            points within as a typical one. Between 50 and 95 it hardly mattered on simulated features.
        k: which neighbour gives a radius.
    """

    points: Floats
    radius: Floats
    third: Floats
    reach: float
    k: int

    @classmethod
    def of(cls, points: ArrayLike, third: ArrayLike | None = None, *, k: int = 5) -> Self:
        """From two sets of one kind.

        Args:
            points: (n, D).
            third: (v, D); None: `points`; then all typical points have a recall of (k − 1)/n.
            k: which neighbour gives a radius.

        Raises:
            ShapeError: not two tables of equal width.
            SettingsError: k below 1, a set of k points or fewer, values that are not finite or too large.
        """
        real, other = _clouds(points, points if third is None else third)
        if len(other) <= k:
            raise SettingsError(
                f"the {k}-th neighbour of a third set needs {k + 1} points or more; {len(other)} came"
            )
        reach = np.quantile(_own_radius(other, k), _REACH)
        return cls(real.points, _own_radius(real, k), other.points, float(reach), k)

    def score(self, new: ArrayLike) -> PointPrdc:
        """Of m new points, (m, D), none of which is of the reference or the third set; m may be 0.

        Raises:
            ShapeError: not a table of the reference's width.
            SettingsError: values that are not finite or too large.
        """
        fake = _Cloud.of(_table(new, self.points.shape[1]).astype(self.points.dtype), self._real.centre)
        return self._score(fake, _radius_among(fake, self._other, self.k))

    def score_third(self) -> PointPrdc:
        """Of the third set's own points, each without itself among its neighbours."""
        return self._score(self._other, _own_radius(self._other, self.k))

    def _score(self, new: _Cloud, radius: Floats) -> PointPrdc:
        ball = np.minimum(radius, radius.dtype.type(self.reach))
        return _of_points(self._real, self.radius, new, ball, self.k)._replace(radius=radius)

    @cached_property
    def _real(self) -> _Cloud:
        return _Cloud.of(self.points, _centre(self.points))

    @cached_property
    def _other(self) -> _Cloud:
        return _Cloud.of(self.third, self._real.centre)


def _of_points(real: _Cloud, radius: Floats, fake: _Cloud, reach: Floats, k: int) -> PointPrdc:
    counts = _counts(real, radius, fake, reach)
    inside, near = counts.balls_round_new, counts.reference_in_ball
    n = len(real)
    return PointPrdc(near / n, inside / (k * n), (inside > 0).astype(float), (near > 0).astype(float), reach)


@dataclass(frozen=True)
class _Cloud:
    """Points ready for lower bounds of squared distances: `left` of one times `right` of another.

    |x − y|² = |x|² + |y|² − 2x·y. A sum of D products in single precision errs by at most D·u·Σ|terms|, u = 2⁻²⁴:
    norms by D·u(|x|² + |y|²), the whole, of two terms more, by twice that; 90u more than cover all other rounding.
    Source: Higham, Accuracy and Stability of Numerical Algorithms, § 3.1.
    """

    points: Floats
    centre: Floats
    norm2: NDArray[np.float32]
    left: NDArray[np.float32]
    right: NDArray[np.float32]

    @classmethod
    def of(cls, points: Floats, centre: Floats) -> Self:
        n, width = points.shape
        rows = np.ones((n, width + 2), np.float32)
        with np.errstate(all="ignore"):
            # About the centre: far from the origin the norms would swallow the distances.
            shifted = np.subtract(points, centre, out=rows[:, :width], casting="same_kind")
            norm2 = np.vecdot(shifted, shifted)
        if not norm2.max(initial=0) < _LARGEST:
            raise SettingsError(
                "features must be finite and below about 1e15; leave out or rescale those that are not"
            )
        rows[:, -1] = norm2 * (1 - _share(width))
        right = np.empty((width + 2, n), np.float32)
        for start in range(0, n, 64):
            right[:, start : start + 64] = rows[start : start + 64].T
        shifted *= -2
        rows[:, width], rows[:, -1] = right[-1], 1
        return cls(points, centre, norm2, rows, right)

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def slack(self) -> NDArray[np.float32]:
        """Above a lower bound between two points, at most the sum of both lies the squared distance, (n,)."""
        return self.norm2 * np.float32(2 * _share(self.points.shape[1]))


def _share(width: int) -> float:
    return 3 * (width + 32) * 2.0**-24


def _clouds(reference: ArrayLike, new: ArrayLike) -> tuple[_Cloud, _Cloud]:
    real = _table(reference)
    fake = _table(new, real.shape[1])
    kind = np.result_type(real, fake)
    real, fake = real.astype(kind, copy=False), fake.astype(kind, copy=False)
    centre = _centre(real)
    return _Cloud.of(real, centre), _Cloud.of(fake, centre)


def _table(values: ArrayLike, width: int | None = None) -> Floats:
    table = np.asarray(values)
    if table.ndim != 2 or (width is not None and table.shape[1] != width):
        raise ShapeError(f"wanted features (n, {width or 'D'}), one row a point; got {table.shape}")
    return table if table.dtype == np.float32 else table.astype(float, copy=False)


def _centre(points: Floats) -> Floats:
    """About the mean, from some 256 of the points: any will do that does not lie far outside."""
    some = points[:: max(len(points) // 256, 1)]
    with np.errstate(all="ignore"):  # not finite: refused where the norms are known
        centre: Floats = some.sum(axis=0, dtype=float).astype(points.dtype) / max(len(some), 1)
    return centre


def _stripes(rows: _Cloud, cols: _Cloud, *, triangle: bool = False) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First row of a stripe and its lower bounds, (b, n) or, of a triangle, (b, n − first row).

    The array is overwritten by the next one.
    """
    # Of a triangle, wide stripes compute more of what is known by symmetry.
    step = int(np.clip(_BLOCK // max(len(cols), 1), 64, 1024)) // (3 if triangle else 1)
    memory = np.empty(min(step, len(rows)) * len(cols), np.float32)
    for start in range(0, len(rows), step):
        left, right = rows.left[start : start + step], cols.right[:, start if triangle else 0 :]
        shape = (len(left), right.shape[1])
        yield start, np.matmul(left, right, out=memory[: shape[0] * shape[1]].reshape(shape))


def _own_radius(cloud: _Cloud, k: int) -> Floats:
    """Distance of each point to its k-th neighbour in its own set, (n,); every pair is looked at once."""
    n = len(cloud)
    if not 1 <= k < n:
        raise SettingsError(f"the {k}-th neighbour needs k from 1 and {k + 1} points or more; {n} points came")
    most = 2 * cloud.slack.max()  # of any pair
    if not most:
        return np.zeros(n, cloud.points.dtype)  # one point n times; all pairs would be candidates
    # Minima of k groups of points: the k-th neighbour is not farther than the largest of them.
    nearest = np.full((k, n), np.inf, np.float32)
    found = []
    for start, lower in _stripes(cloud, cloud, triangle=True):
        b = len(lower)
        np.fill_diagonal(lower, np.inf)
        nearest[:, start:] = _smallest(nearest[:, start:], _group_minima(lower, k))
        # Finite, so that no point becomes its own neighbour.
        limit = np.minimum(nearest.max(axis=0)[start:] + most, np.finfo(np.float32).max)
        row, col = _where(lower <= limit[:b, None])
        found.append((start + row, start + col, lower[row, col]))
        later = lower[:, b:]
        row, col = _where(later <= limit[b:])
        found.append((start + b + col, start + row, later[row, col]))
    who, whom, value = (np.concatenate(one) for one in zip(*found, strict=True))
    return _kth(cloud, cloud, who, whom, value, k)


def _group_minima(lower: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Column minima of each of some 6·k groups of rows, (groups, n); neighbouring rows are in different groups."""
    groups = min(6 * k, len(lower))
    whole = len(lower) // groups * groups
    minima: NDArray[np.float32] = lower[:whole].reshape(-1, groups, lower.shape[1]).min(axis=0)
    return minima


def _smallest(known: NDArray[np.float32], more: NDArray[np.float32]) -> NDArray[np.float32]:
    both = np.concatenate([known, more])
    return np.partition(both, len(known) - 1, axis=0)[: len(known)]


def _radius_among(cloud: _Cloud, others: _Cloud, k: int) -> Floats:
    if not 1 <= k <= len(others):
        raise SettingsError(f"the {k}-th neighbour needs k from 1 and {k} points or more; {len(others)} came")
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    most = others.slack.max()
    for start, lower in _stripes(cloud, others):
        kth = np.partition(lower, k - 1, axis=1)[:, k - 1]
        row, col = _where(lower <= (kth + cloud.slack[start : start + len(lower)] + most)[:, None])
        found.append((start + row, col, lower[row, col]))
    who, whom, value = (np.concatenate(one) for one in zip(*found, strict=True))
    return _kth(cloud, others, who, whom, value, k)


def _kth(cloud: _Cloud, others: _Cloud, who: Whole, whom: Whole, value: NDArray[np.float32], k: int) -> Floats:
    """The k-th smallest true distance of each point, (n,), from pairs and their lower bounds, k or more a point."""
    each = np.arange(len(cloud))
    # One key for point and bound, less than half a step apart, sorts six times as fast as lexsort.
    order = np.argsort(who + 0.4 * value / max(float(np.abs(value).max(initial=0)), 1e-30))
    who, whom, value = who[order], whom[order], value[order]
    kth = value[np.searchsorted(who, each) + k - 1]
    reach = cloud.slack + others.slack.max()
    away = value - kth[who]
    below = np.bincount(who[away < -reach[who]], minlength=len(cloud))
    close = np.abs(away) <= reach[who]
    who, distance = who[close], _distance(cloud, others, who[close], whom[close])
    radius: Floats = distance[np.lexsort((distance, who))][np.searchsorted(who, each) + k - 1 - below]
    return radius


class _Counts(NamedTuple):
    balls_round_new: Whole
    new_in_ball: Whole
    reference_in_ball: Whole
    balls_round_reference: Whole


def _counts(real: _Cloud, radius: Floats, fake: _Cloud, reach: Floats) -> _Counts:
    """Pairs nearer than the reference point's radius, by new and by reference point; the same with the new one's."""
    n, m = len(real), len(fake)
    counts = _Counts(*(np.zeros(size, np.int64) for size in (m, n, m, n)))
    radius2, reach2 = radius.astype(float) ** 2, reach.astype(float) ** 2
    for start, lower in _stripes(fake, real):
        part = slice(start, start + len(lower))
        for limit, new, old in ((radius2[None], 0, 1), (reach2[part, None], 2, 3)):
            row, col = _where(lower < limit.astype(np.float32))
            most = lower[row, col] + fake.slack[start + row] + real.slack[col]
            sure = most < (limit[0, col] if new == 0 else limit[row, 0])
            open_ = np.flatnonzero(~sure)
            distance = _distance(fake, real, start + row[open_], col[open_])
            sure[open_] = distance < (radius[col[open_]] if new == 0 else reach[start + row[open_]])
            counts[new][part] += np.bincount(row[sure], minlength=len(lower))
            counts[old][:] += np.bincount(col[sure], minlength=n)
    return counts


def _where(mask: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """Rows and columns; four times as fast as nonzero where few are."""
    row, col = np.divmod(np.flatnonzero(mask), max(mask.shape[1], 1))
    return row, col


def _distance(a: _Cloud, b: _Cloud, i: Whole, j: Whole) -> Floats:
    """Distances of pairs from their differences, in double precision, told in that of the features.

    So does the package of Naeem et al.: two distances that are equal in single precision are equal there.
    """
    out = np.empty(len(i), a.points.dtype)
    for start in range(0, len(i), _PAIRS):
        part = slice(start, start + _PAIRS)
        apart = a.points[i[part]].astype(float)
        apart -= b.points[j[part]]
        out[part] = np.vecdot(apart, apart)
    return np.sqrt(out)
