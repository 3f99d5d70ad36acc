"""What the papers are about: clusters of them with titles, and a map to look at.

::

    {paper: text} ─► paper_vectors ─► cluster_papers ─► Clusters ─► titled (by a chat model)
                                                           └────► leakage.py: splits and near-duplicates

Papers are clustered where their vectors lie. The published study clustered the points of a t-SNE map, which tears
apart and pushes together: here the map is only drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from epistem.ask.chat import ChatError, ask_json, name_of
from epistem.ask.prompting import as_data, conversation, prompt
from epistem.core.errors import SettingsError
from epistem.core.protocols import ChatModel

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
CHUNK_WORDS = 150
"""MiniLM reads 256 word pieces, about so many words of a paper."""
STABLE = 0.6
"""Mean ARI with clusterings of other draws of papers from which on a number of clusters is taken for real: ours."""
MOST_CLUSTERS, BOOTSTRAPS = 10, 20
_DIMENSIONS = 100  # of TF-IDF vectors, after SVD
_TITLE_WORDS, _LISTED_WORDS = 3, 10
_SHOWN_WORDS, _SHOWN_PAPERS = 80, 6  # of a cluster, to the model that titles it
_TOKEN = r"[^\W\d_][^\W_]{2,}(?:-[^\W_]+)*"


class Vectors(NamedTuple):
    """Papers as vectors.

    Attributes:
        papers: ids, n of them.
        values: (n, D) of unit length; the cosine of two is their dot product.
        by: what made them, and why where it is second choice.
        left_out: ids of papers without a word.
    """

    papers: tuple[str, ...]
    values: NDArray[np.float64]
    by: str
    left_out: tuple[str, ...] = ()


class Trial(NamedTuple):
    """A number of clusters: mean silhouette, −1 to 1, and mean ARI over bootstraps, to 1; higher is better."""

    k: int
    silhouette: float
    stability: float


class Cluster(NamedTuple):
    """Papers that lie together; words that set them apart, the first ones in the title unless a model gave it."""

    title: str
    words: tuple[str, ...]
    papers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of papers, the largest first.

    Attributes:
        vectors: what was clustered.
        labels: (n,) index into `clusters`.
        clusters: with title.
        trials: numbers of clusters that were tried; empty where the number was given or only one is possible.
        stable: whether other draws of papers give the same clusters; None where that was not tried.
        points: (n, 2) of the map, only to be drawn.
        drawn_by: "t-SNE", or "PCA" with fewer than four different papers.
        titled_by: "c-TF-IDF", or the name of the chat model.
        prompt: hash of the model's prompt; untitled: why clusters kept the title of their words.
        seed: of everything.
    """

    vectors: Vectors
    labels: NDArray[np.int64]
    clusters: tuple[Cluster, ...]
    trials: tuple[Trial, ...]
    stable: bool | None
    points: NDArray[np.float64]
    drawn_by: str
    seed: int
    titled_by: str = "c-TF-IDF"
    prompt: str = ""
    untitled: tuple[str, ...] = ()

    def rows(self, splits: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """A row for each paper: `paper, split, cluster` (from 1), `title, x, y`."""
        return [
            {"paper": paper, "split": (splits or {}).get(paper), "cluster": int(label) + 1,
             "title": self.clusters[label].title, "x": float(x), "y": float(y)}
            for paper, label, (x, y) in zip(self.vectors.papers, self.labels, self.points, strict=True)
        ]  # fmt: skip


def paper_vectors(texts: Mapping[str, str], embed: Embed | None = None) -> Vectors:
    """A vector for each paper: the mean over its pieces of about 150 words.

    Args:
        texts: by paper.
        embed: texts → (m, D); None takes MiniLM, or TF-IDF with SVD where that is not installed.
    """
    held = {paper: pieces for paper, text in texts.items() if (pieces := _pieces(text))}
    left_out = tuple(paper for paper in texts if paper not in held)
    if not held:
        return Vectors((), np.zeros((0, 1)), "nothing", left_out)
    try:
        by, found = _embedded(list(held.values()), embed)
    except ImportError as error:
        if embed is not None:
            raise
        by, found = f"TF-IDF with SVD, as MiniLM is missing ({error})", _tfidf([texts[paper] for paper in held])
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return Vectors(tuple(held), found / np.where(length > 0, length, 1), by, left_out)


def cluster_papers(
    texts: Mapping[str, str],
    *,
    k: int | None = None,
    embed: Embed | None = None,
    seed: int = 0,
    bootstraps: int = BOOTSTRAPS,
) -> Clusters:
    """KMeans of the papers' vectors, titles from the words that set clusters apart, and a map.

    Args:
        texts: by paper.
        k: number of clusters; None takes, of those up to 10 that are stable, the one with the highest silhouette,
            and where none is, the most stable. Two papers or fewer, and papers all alike, are one cluster.
        embed: see `paper_vectors`.
        seed: same seed, same clusters and map.
        bootstraps: draws of papers for the stability.

    Raises:
        SettingsError: a number of clusters that the papers cannot have.
    """
    vectors = paper_vectors(texts, embed)
    values, n = vectors.values, len(vectors.papers)
    different = len(np.unique(values.round(6), axis=0)) if n else 0
    if k is not None and not (k == 1 and n == 0) and not 1 <= k <= different:
        raise SettingsError(f"wanted 1 to {different} clusters, as many as papers differ; got {k}")
    trials: tuple[Trial, ...] = ()
    stable = None
    if k is None and n > 2 and different > 1:
        most = min(MOST_CLUSTERS, n - 1, different)
        trials = tuple(_trial(values, number, seed, bootstraps) for number in range(2, most + 1))
        k, stable = _chosen(trials)
    labels = _by_size(_fit(values, k, seed).labels_) if k and k > 1 else np.zeros(n, np.int64)
    points, drawn_by = _map(values, different, seed)
    return Clusters(
        vectors, labels, _described(texts, vectors.papers, labels), trials, stable, points, drawn_by, seed
    )


def titled(found: Clusters, texts: Mapping[str, str], chat: ChatModel) -> Clusters:
    """The same clusters with titles by a chat model; where it gives none, the words stay and why is kept."""
    asked, clusters, untitled = prompt("cluster_title"), [], []
    for one in found.clusters:
        shown = [" ".join(texts[paper].split()[:_SHOWN_WORDS]) for paper in one.papers[:_SHOWN_PAPERS]]
        parts = [as_data("words", ", ".join(one.words)), *(as_data("paper", text) for text in shown)]
        try:
            said, why = ask_json(chat, conversation(asked, *parts), _Title)
        except ChatError as error:
            said, why = None, str(error)
        title = " ".join(said.title.split()) if said else ""
        if not title:
            untitled.append(f"{one.title}: {why}")
        clusters.append(one._replace(title=title or one.title))
    name = name_of(chat)
    by = name if len(untitled) < len(clusters) else found.titled_by
    return replace(found, clusters=tuple(clusters), titled_by=by, prompt=asked.hash, untitled=tuple(untitled))


class _Title(BaseModel):
    title: str = Field(min_length=1, max_length=80)


# ---------------------------------------------------------------- vectors


def _pieces(text: str) -> list[str]:
    """Pieces of equal length: a short rest would weigh as much as a whole one."""
    words = text.split()
    parts = np.array_split(np.arange(len(words)), max(1, round(len(words) / CHUNK_WORDS)))
    return [" ".join(words[i] for i in part) for part in parts if len(part)]


def _embedded(pieces: Sequence[Sequence[str]], embed: Embed | None) -> tuple[str, NDArray[np.float64]]:
    by = "vectors of MiniLM (all-MiniLM-L6-v2)" if embed is None else "vectors handed in"
    if embed is None:
        from epistem.nets.texts import embed as minilm

        embed = minilm
    values = np.asarray(embed([piece for one in pieces for piece in one]), float)
    ends = np.cumsum([len(one) for one in pieces])[:-1]
    return by, np.array([part.mean(0) for part in np.split(values, ends)])


def _tfidf(texts: Sequence[str]) -> NDArray[np.float64]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        table = TfidfVectorizer(stop_words="english", token_pattern=_TOKEN, sublinear_tf=True).fit_transform(texts)
    except ValueError:  # no word but stop words and numbers
        return np.zeros((len(texts), 1))
    # A dense SVD: papers are tens to hundreds, and it is the same on every machine.
    left, size, _ = np.linalg.svd(table.toarray(), full_matrices=False)
    values: NDArray[np.float64] = (left * size)[:, :_DIMENSIONS]
    return values


# ---------------------------------------------------------------- how many clusters


def _fit(values: NDArray[np.float64], k: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=10, random_state=seed).fit(values)


def _trial(values: NDArray[np.float64], k: int, seed: int, bootstraps: int) -> Trial:
    """Silhouette of all papers, and how alike the clusterings of other draws of them group all papers.

    Source: P. J. Rousseeuw, J. Comput. Appl. Math. 20, 53 (1987); L. Hubert, P. Arabie, J. Classif. 2, 193 (1985);
    bootstraps after C. Hennig, Comput. Stat. Data Anal. 52, 258 (2007).
    """
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    labels = _fit(values, k, seed).labels_
    rng = np.random.default_rng(seed)
    alike = []
    for _ in range(bootstraps):
        drawn = values[rng.integers(0, len(values), len(values))]
        if len(np.unique(drawn.round(6), axis=0)) >= k:
            alike.append(adjusted_rand_score(labels, _fit(drawn, k, seed).predict(values)))
    return Trial(k, float(silhouette_score(values, labels)), float(np.mean(alike)) if alike else 0.0)


def _chosen(trials: Sequence[Trial]) -> tuple[int, bool]:
    stable = [one for one in trials if one.stability >= STABLE]
    if stable:
        return max(stable, key=lambda one: one.silhouette).k, True
    return max(trials, key=lambda one: one.stability).k, False


def _by_size(labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The same groups, numbered from the largest, and of equal ones from that of the first paper."""
    place = {label: i for i, (label, _) in enumerate(Counter(labels.tolist()).most_common())}
    return np.array([place[label] for label in labels.tolist()], np.int64)


def _map(values: NDArray[np.float64], different: int, seed: int) -> tuple[NDArray[np.float64], str]:
    n = len(values)
    if different < 2:
        return np.zeros((n, 2)), "PCA"
    if different < 4:
        left, size, _ = np.linalg.svd(values - values.mean(0), full_matrices=False)
        flat = np.zeros((n, 2))
        flat[:, : len(size[:2])] = (left * size)[:, :2]
        return flat, "PCA"
    from sklearn.manifold import TSNE

    made = TSNE(perplexity=min(30, (n - 1) / 3), init="pca", random_state=seed).fit_transform(values)
    return np.asarray(made, float), "t-SNE"


# ---------------------------------------------------------------- titles


def _described(
    texts: Mapping[str, str], papers: Sequence[str], labels: NDArray[np.int64]
) -> tuple[Cluster, ...]:  # fmt: skip
    """Each cluster with the words that are frequent in it and seldom elsewhere.

    Source: M. Grootendorst, BERTopic, arXiv 2203.05794, 2022: W = tf·log(1 + A/f), A words a class, f of all classes.
    """
    groups = [
        [p for p, label in zip(papers, labels, strict=True) if label == i] for i in sorted(set(labels.tolist()))
    ]
    counts, names = _counted([texts[paper] for paper in papers])
    together = np.array([counts[labels == i].sum(0) for i in range(len(groups))])
    weight = together * np.log1p(together.sum() / max(1, len(groups)) / np.maximum(together.sum(0), 1))
    found = []
    for i, group in enumerate(groups):
        # A word of one paper alone is its own, not the cluster's.
        inside, outside = (counts[labels == i] > 0), (counts[labels != i] > 0)
        shared = inside.sum(0) >= min(2, len(group))
        if len(outside):
            shared &= inside.mean(0) > outside.mean(0)
        words = _best(np.where(shared, weight[i], 0.0), names)
        found.append(Cluster(", ".join(words[:_TITLE_WORDS]) or f"cluster {i + 1}", words, tuple(group)))
    return tuple(found)


def _counted(texts: Sequence[str]) -> tuple[NDArray[np.float64], list[str]]:
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        counter = CountVectorizer(stop_words="english", token_pattern=_TOKEN, ngram_range=(1, 2))
        return counter.fit_transform(texts).toarray().astype(float), list(counter.get_feature_names_out())
    except ValueError:  # no word but stop words and numbers
        return np.zeros((len(texts), 0)), []


def _best(weight: NDArray[np.float64], names: Sequence[str]) -> tuple[str, ...]:
    chosen: list[str] = []
    for i in np.argsort(-weight, kind="stable"):
        if weight[i] <= 0 or len(chosen) == _LISTED_WORDS:
            break
        own = set(re.split(r"\s", names[i]))
        if not any(own & set(one.split()) for one in chosen):
            chosen.append(names[i])
    return tuple(chosen)
