"""Whether evaluation papers were met in training: splits beside clusters, and the nearest training paper of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.ask.clusters import Clusters, Vectors
from epistem.stats.resample import permutation_test

RUN_WORDS = 8
"""Words in a row that two texts hardly ever share by chance."""
COPIED = 0.2
"""Share of an evaluation paper's runs of words that stand in one training paper, from which on it is warned of."""
NEAR = 0.97
"""Cosine of two papers' vectors from which on they are taken for two versions of one."""


class Independence(NamedTuple):
    """Whether papers were dealt to splits regardless of their cluster.

    Attributes:
        table: (splits, clusters) papers; splits: names of its rows.
        chi2: Σ(seen − expected)²/expected.
        p: share of deals of the same splits to the same papers whose χ² is as large; small: the splits differ in
            what their papers are about.
        v: Cramér's V, 0 to 1: how much.
        left_out: papers without a split.
    """

    table: NDArray[np.int64]
    splits: tuple[str, ...]
    chi2: float
    p: float
    v: float
    left_out: int


class Nearest(NamedTuple):
    """An evaluation paper and the training paper that is most like it.

    Attributes:
        cosine: of their vectors.
        copied: largest share of its runs of eight words that stand in one training paper, `copied_from`; None with
            fewer words.
        duplicate: warned of.
    """

    paper: str
    split: str
    nearest: str
    cosine: float
    copied: float | None
    copied_from: str | None
    duplicate: bool


@dataclass(frozen=True)
class Leakage:
    """How near evaluation papers are to training papers.

    Attributes:
        nearest: of each evaluation paper, the most suspicious first.
        evaluation: median cosine of an evaluation paper and its nearest training paper; training: of a training
            paper and its nearest other one. None without two training papers or an evaluation paper.
        p: of their difference of means, by permutation; small with evaluation above training: evaluation papers were
            chosen near training papers.
        left_out: papers without a split or a vector.
    """

    nearest: tuple[Nearest, ...]
    evaluation: float | None
    training: float | None
    p: float | None
    left_out: int

    @property
    def duplicates(self) -> tuple[Nearest, ...]:
        """Those to be warned of."""
        return tuple(one for one in self.nearest if one.duplicate)


def independence(
    found: Clusters, splits: Mapping[str, str], *, seed: int = 0, draws: int = 9999
) -> Independence | None:
    """Permutation test of splits against clusters; None with one split or one cluster.

    Its p comes from deals and not from the χ² distribution, which needs more papers in a cell than there are.

    Source: B. Phipson, G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 39 (2010).
    """
    known = [i for i, paper in enumerate(found.vectors.papers) if paper in splits]
    names = tuple(sorted({splits[found.vectors.papers[i]] for i in known}))
    split = np.array([names.index(splits[found.vectors.papers[i]]) for i in known], int)
    _, cluster = np.unique(found.labels[known], return_inverse=True)
    if len(names) < 2 or cluster.max() < 1:
        return None
    rng = np.random.default_rng(seed)
    seen = _chi2(split, cluster)
    deals = np.array([_chi2(rng.permutation(split), cluster) for _ in range(draws)])
    p = (1 + int((deals >= seen * (1 - 1e-12)).sum())) / (1 + draws)
    table = np.zeros((len(names), len(found.clusters)), np.int64)
    np.add.at(table, (split, found.labels[known]), 1)
    least = min(len(names), int(cluster.max()) + 1) - 1
    v = float(np.sqrt(seen / (len(known) * least)))
    return Independence(table, names, seen, p, v, len(found.vectors.papers) - len(known))


def leakage(
    vectors: Vectors, texts: Mapping[str, str], splits: Mapping[str, str], *, train: str = "train", seed: int = 0
) -> Leakage:
    """The nearest training paper of each paper of another split.

    Args:
        vectors: of `paper_vectors`.
        texts: by paper.
        splits: by paper; those without one are left out.
        train: name of the training split.
        seed: of the permutations.
    """
    at = {paper: i for i, paper in enumerate(vectors.papers)}
    trained = [paper for paper in at if splits.get(paper) == train]
    asked = [paper for paper in at if paper in splits and splits[paper] != train]
    left_out = len(texts) - len(trained) - len(asked)
    if not trained or not asked:
        return Leakage((), None, None, None, left_out)
    known = vectors.values[[at[paper] for paper in trained]]
    cosine = vectors.values[[at[paper] for paper in asked]] @ known.T
    runs = {paper: _runs(texts[paper]) for paper in trained}
    found = [_nearest(paper, splits[paper], trained, row, _runs(texts[paper]), runs)
             for paper, row in zip(asked, cosine, strict=True)]  # fmt: skip
    found.sort(key=lambda one: (not one.duplicate, -max(one.copied or 0.0, 0.0), -one.cosine))
    if len(trained) < 2:
        return Leakage(tuple(found), None, None, None, left_out)
    among = known @ known.T
    np.fill_diagonal(among, -np.inf)
    near, usual = cosine.max(1), among.max(1)
    p = permutation_test(near, usual, seed=seed)
    return Leakage(tuple(found), float(np.median(near)), float(np.median(usual)), p, left_out)


def _chi2(split: NDArray[np.int64], cluster: NDArray[np.int64]) -> float:
    table = np.zeros((split.max() + 1, cluster.max() + 1))
    np.add.at(table, (split, cluster), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    return float(((table - expected) ** 2 / expected).sum())


def _nearest(
    paper: str, split: str, trained: list[str], cosine: NDArray[np.float64], own: set[str], runs: dict[str, set[str]]
) -> Nearest:
    best = int(cosine.argmax())
    shares = {other: len(own & runs[other]) / len(own) for other in trained} if own else {}
    source = max(shares, key=lambda other: shares[other], default=None)
    copied = shares[source] if source is not None else None
    duplicate = float(cosine[best]) >= NEAR or (copied or 0.0) >= COPIED
    return Nearest(
        paper, split, trained[best], float(cosine[best]), copied, source if copied else None, duplicate
    )  # fmt: skip


def _runs(text: str) -> set[str]:
    """Every eight words in a row.

    Source: A. Z. Broder, On the resemblance and containment of documents, 1997.
    """
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + RUN_WORDS]) for i in range(len(words) - RUN_WORDS + 1)}
