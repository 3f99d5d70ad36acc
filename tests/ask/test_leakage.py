from __future__ import annotations

import numpy as np
import pytest

from epistem.ask.clusters import Cluster, Clusters, Vectors
from epistem.ask.leakage import independence, leakage


def lying(labels: list[int]) -> Clusters:
    names = tuple(f"p{i}" for i in range(len(labels)))
    held = np.eye(max(labels) + 1)[labels]
    clusters = tuple(Cluster(str(i), (), ()) for i in range(max(labels) + 1))
    return Clusters(Vectors(names, held, "test"), np.array(labels), clusters, (), None, held[:, :2], "PCA", 0)


def test_splits_that_follow_the_clusters_are_seen_and_splits_that_do_not_are_not() -> None:
    labels = [0] * 10 + [1] * 10
    follow = independence(lying(labels), {f"p{i}": "train" if i < 10 else "test" for i in range(20)}, draws=499)
    across = independence(lying(labels), {f"p{i}": "train" if i % 2 else "test" for i in range(20)}, draws=499)
    assert follow is not None
    assert across is not None
    assert follow.p < 0.01
    assert follow.v == pytest.approx(1)
    assert follow.table.tolist() == [[0, 10], [10, 0]]
    assert follow.splits == ("test", "train")
    assert (across.chi2, across.p) == (0, 1)


def test_papers_without_a_split_are_counted_and_one_split_or_cluster_has_no_test() -> None:
    some = independence(lying([0, 1, 0, 1, 1]), {"p0": "train", "p1": "test", "p2": "train"}, draws=99)
    assert some is not None
    assert some.left_out == 2
    assert independence(lying([0, 1]), {"p0": "train", "p1": "train"}) is None
    assert independence(lying([0, 0]), {"p0": "train", "p1": "test"}) is None
    assert independence(lying([0, 1]), {}) is None


LONG = "the melt was held for two hours and then cast into a mould of graphite and cooled at five kelvin a minute"


def test_a_copied_paper_is_warned_of_and_stands_first() -> None:
    texts = {
        "t1": LONG,
        "t2": "pores of foam " * 9,
        "e1": "cracks grow slowly in moist air " * 5,
        "e2": f"{LONG} slowly",
    }
    vectors = Vectors(tuple(texts), np.array([[1, 0], [0, 1], [0.6, 0.8], [0.8, 0.6]]), "test")
    got = leakage(vectors, texts, {"t1": "train", "t2": "train", "e1": "test", "e2": "validation"})
    assert [one.paper for one in got.nearest] == ["e2", "e1"]
    assert [one.paper for one in got.duplicates] == ["e2"]
    first, other = got.nearest
    assert (first.copied_from, first.split, first.nearest) == ("t1", "validation", "t1")
    assert first.copied is not None
    assert first.copied > 0.9
    assert (other.copied, other.copied_from, other.nearest) == (0, None, "t2")
    assert other.cosine == pytest.approx(0.8)
    assert (got.evaluation, got.training) == (pytest.approx(0.8), 0)


def test_vectors_that_coincide_are_warned_of_without_a_word_in_common() -> None:
    texts = {"t": "foam", "e": "Schaum"}
    got = leakage(Vectors(("t", "e"), np.ones((2, 1)), "test"), texts, {"t": "train", "e": "test"})
    assert got.duplicates[0].copied is None
    assert (got.training, got.p) == (None, None)


def test_evaluation_papers_chosen_near_training_papers_differ_from_chance() -> None:
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    angle = np.concatenate([angle, angle[:6] + 0.05])
    names = tuple(f"p{i}" for i in range(18))
    texts = dict.fromkeys(names, "foam")
    splits = {name: "train" if i < 12 else "test" for i, name in enumerate(names)}
    got = leakage(Vectors(names, np.c_[np.cos(angle), np.sin(angle)], "test"), texts, splits)
    assert got.p is not None
    assert got.p < 0.01
    assert got.evaluation > got.training


def test_without_training_or_evaluation_papers_there_is_nothing_to_compare() -> None:
    vectors, texts = Vectors(("a", "b"), np.eye(2), "test"), {"a": "x", "b": "y", "c": ""}
    for splits in ({}, {"a": "train"}, {"a": "test"}):
        got = leakage(vectors, texts, splits)
        assert got.nearest == ()
        assert got.left_out == 3 - len(splits)
