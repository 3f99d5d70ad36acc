"""Which found object is which true one, and the scores that follow.

=============  ========================================================================================
paper          truth in order, left to right then top to bottom, takes the best found object still free
score-greedy   found objects in falling score take the best true object still free, as COCO does
optimal        as many pairs as there can be, and of those the largest sum of IoU; knows no order
=============  ========================================================================================

Only pairs whose boxes overlap are ever looked at, so thousands of objects on both sides are quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from epistem.core import Instances, Interval, SettingsError, ShapeError
from epistem.detect.overlap import box_overlaps, mask_overlaps
from epistem.stats.resample import bootstrap_interval

Method = Literal["paper", "score-greedy", "optimal"]
By = Literal["box", "mask"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Match:
    """Found objects against true ones in one image.

    Attributes:
        pairs: (k, 2) indices (found, true), in rising order of found.
        pair_iou: (k,) IoU of each pair, 0 to 1.
        found_matched: (n,) whether each found object has a partner.
        truth_matched: (m,) whether each true object has one.
        ignored: (n,) found objects that have no partner but meet an ambiguous one: neither right nor wrong.
    """

    pairs: Ints
    pair_iou: Floats
    found_matched: NDArray[np.bool_]
    truth_matched: NDArray[np.bool_]
    ignored: NDArray[np.bool_]

    @property
    def tp(self) -> int:
        """Pairs."""
        return len(self.pairs)

    @property
    def fp(self) -> int:
        """Found, and not there."""
        return int((~self.found_matched & ~self.ignored).sum())

    @property
    def fn(self) -> int:
        """There, and not found."""
        return int((~self.truth_matched).sum())

    @property
    def empty(self) -> bool:
        """Nothing there and nothing found; F1 is 1 by agreement."""
        return self.tp + self.fp + self.fn == 0

    @property
    def precision(self) -> float | None:
        """Right share of what was found, 0 to 1; None where nothing was found."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Found share of what is there, 0 to 1; None where nothing is there."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2·tp/(2·tp + fp + fn), 0 to 1, higher is better; 1 where nothing is there and nothing was found."""
        return _f1(self.tp, self.fp, self.fn)


@dataclass(frozen=True)
class Pooled:
    """Several images together.

    Attributes:
        images: how many.
        places: how many independent ones: the images of a series show one place.
        empty: how many of them have nothing there and nothing found.
        tp, fp, fn: sums over the images.
        precision, recall, f1: of the sums; None where there is nothing to divide by (f1 is then 1).
        mean_f1: mean of the places' own F1 (the mean of their images), its interval from drawing places; None with
            fewer than two.
        mean_precision, mean_recall: likewise, over the images that have one.
    """

    images: int
    places: int
    empty: int
    tp: int
    fp: int
    fn: int
    precision: float | None
    recall: float | None
    f1: float
    mean_f1: Interval | None
    mean_precision: Interval | None
    mean_recall: Interval | None


class _Candidates(NamedTuple):
    """Pairs that may be matched, sorted by found, then truth."""

    found: Ints
    truth: Ints
    iou: Floats


def match(
    found: Instances,
    truth: Instances,
    *,
    method: Method = "paper",
    by: By = "box",
    iou: float = 0.1,
    ambiguous: Instances | None = None,
) -> Match:
    """Pair found with true objects.

    Args:
        found: n objects.
        truth: m objects of the same image.
        method: see the module's table. The paper sorts by the first point of a polygon; we have boxes and take
            their first column, then first row.
        by: IoU of boxes or of masks.
        iou: two objects with at least this overlap may be a pair, in (0, 1].
        ambiguous: objects an expert was not sure of. A found object without partner that overlaps one of them by
            `iou` is ignored.

    Raises:
        ShapeError: objects of images of different shape, or masks asked of boxes.
        SettingsError: iou outside (0, 1], or no such method or kind of overlap.

    Source: paper: uw-cmg/cavity_defect_detection; score-greedy: pycocotools, `COCOeval.evaluateImg`.

    >>> row = lambda *starts: Instances.from_boxes((9, 99), [[0, c, 9, c + 9] for c in starts])
    >>> match(row(0, 30), row(1, 60)).f1
    0.5
    """
    if not 0 < iou <= 1:
        raise SettingsError(f"an IoU threshold lies in (0, 1], not {iou}; 0.1 is the published one")
    methods = {"paper": _paper, "score-greedy": _score_greedy, "optimal": _optimal}
    if method not in methods:
        raise SettingsError(f"no way of matching is called {method!r}; there is {', '.join(methods)}")
    candidates = _candidates(found, truth, by, iou)
    chosen = np.sort(methods[method](candidates, found, truth))
    pairs = np.stack([candidates.found[chosen], candidates.truth[chosen]], axis=1)
    found_matched, truth_matched = np.zeros(len(found), bool), np.zeros(len(truth), bool)
    found_matched[pairs[:, 0]] = True
    truth_matched[pairs[:, 1]] = True
    ignored = np.zeros(len(found), bool)
    if ambiguous is not None:
        ignored[_candidates(found, ambiguous, by, iou).found] = True
    return Match(pairs, candidates.iou[chosen], found_matched, truth_matched, ignored & ~found_matched)


def pool(
    matches: Sequence[Match], *, places: Sequence[str] | None = None, coverage: float = 0.9, seed: int = 0
) -> Pooled:
    """Scores of several images together.

    Args:
        matches: one an image.
        places: which place each image shows, so that the slices of one series are no independent images; None: each
            its own.
        coverage: probability that an interval holds the truth, 0 to 1.
        seed: of the resampling.

    Raises:
        SettingsError: no image at all.
    """
    if not matches:
        raise SettingsError("scores are pooled over at least one image; none came")
    tp, fp, fn = (sum(getattr(one, name) for one in matches) for name in ("tp", "fp", "fn"))
    shown = [str(i) for i in range(len(matches))] if places is None else places

    def mean(values: list[float | None]) -> Interval | None:
        by_place: dict[str, list[float]] = {}
        for place, value in zip(shown, values, strict=True):
            if value is not None:
                by_place.setdefault(place, []).append(value)
        means = np.array([np.mean(known) for known in by_place.values()])
        return bootstrap_interval(means, np.mean, seed=seed, coverage=coverage)

    return Pooled(
        len(matches),
        len(set(shown)),
        sum(one.empty for one in matches),
        tp,
        fp,
        fn,
        _share(tp, tp + fp),
        _share(tp, tp + fn),
        _f1(tp, fp, fn),
        mean([one.f1 for one in matches]),
        mean([one.precision for one in matches]),
        mean([one.recall for one in matches]),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _f1(tp: int, fp: int, fn: int) -> float:
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def _candidates(found: Instances, truth: Instances, by: By, iou: float) -> _Candidates:
    if found.shape != truth.shape:
        raise ShapeError(f"found objects are of an image of {found.shape}, true ones of {truth.shape}")
    ways = {"box": box_overlaps, "mask": mask_overlaps}
    if by not in ways:
        raise SettingsError(f"objects are matched by box or by mask, not by {by!r}")
    overlaps = ways[by](found, truth)
    near = overlaps.iou >= iou
    a, b, values = overlaps.a[near], overlaps.b[near], overlaps.iou[near]
    order = np.lexsort((b, a))
    return _Candidates(a[order], b[order], values[order])


def _paper(candidates: _Candidates, found: Instances, truth: Instances) -> Ints:
    place = np.empty(len(truth), np.int64)
    place[np.lexsort((truth.boxes[:, 0], truth.boxes[:, 1]))] = np.arange(len(truth))
    return _greedy(place[candidates.truth], candidates.truth, candidates.found, candidates.iou)


def _score_greedy(candidates: _Candidates, found: Instances, truth: Instances) -> Ints:
    place = np.empty(len(found), np.int64)
    place[np.argsort(-found.score, kind="stable")] = np.arange(len(found))
    return _greedy(place[candidates.found], candidates.found, candidates.truth, candidates.iou)


def _greedy(place: Ints, chooser: Ints, choice: Ints, iou: Floats) -> Ints:
    """Each chooser in turn takes the choice of highest IoU that is still free; of equal ones the first."""
    order = np.lexsort((choice, -iou, place))
    taken: set[int] = set()
    done: set[int] = set()
    chosen = []
    for k, who, what in zip(order.tolist(), chooser[order].tolist(), choice[order].tolist(), strict=True):
        if who not in done and what not in taken:
            done.add(who)
            taken.add(what)
            chosen.append(k)
    return np.array(chosen, np.int64)


def _optimal(candidates: _Candidates, found: Instances, truth: Instances) -> Ints:
    """Groups of objects that overlap one another are solved each for itself."""
    a, b, iou = candidates
    if not len(a):
        return a
    n, m = len(found), len(truth)
    graph = coo_array((np.ones(len(a), np.int8), (a, b + n)), shape=(n + m, n + m))
    group = connected_components(graph, directed=False)[1][a]
    order = np.argsort(group, kind="stable")
    chosen = [_assign(part, a[part], b[part], iou[part]) for part in np.split(order, _starts(group[order])[1:])]
    return np.concatenate(chosen)


def _starts(sorted_values: Ints) -> Ints:
    return np.flatnonzero(np.append([True], sorted_values[1:] != sorted_values[:-1]))


def _assign(which: Ints, a: Ints, b: Ints, iou: Floats) -> Ints:
    if len(which) == 1:
        return which
    rows, row = np.unique(a, return_inverse=True)
    cols, col = np.unique(b, return_inverse=True)
    # One pair more outweighs any gain in IoU: all IoU of a group together are below its smaller side.
    gain = np.zeros((len(rows), len(cols)))
    gain[row, col] = iou + min(len(rows), len(cols))
    index = np.full(gain.shape, -1)
    index[row, col] = which
    picked = index[linear_sum_assignment(gain, maximize=True)]
    result: Ints = picked[picked >= 0]
    return result
