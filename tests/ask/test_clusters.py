from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from epistem.ask.chat import ChatError, Scripted
from epistem.ask.clusters import Clusters, cluster_papers, paper_vectors, titled
from epistem.core.errors import DependencyMissing, SettingsError

TOPICS = {
    "crack": "Cracks grow under load and the fracture surface shows hackle and mirror zones.",
    "foam": "The foam has open pores whose walls thin out as the gas expands during sintering.",
    "crystal": "Crystals of lithium disilicate nucleate and interlock after the heat treatment.",
}


def embed(texts: Sequence[str]) -> np.ndarray:
    """A direction for each topic's first word, with a little of each text's own."""
    keys = ("Cracks", "foam", "Crystals")
    rows = [[float(text.count(key)) for key in keys] + [len(text) % 7 / 50] for text in texts]
    return np.array(rows, np.float32)


def papers(each: int = 5) -> dict[str, str]:
    own = ("in air", "in water", "at night", "when polished", "once etched", "after ion milling")
    return {f"{name}-{i}": f"{text} Seen {own[i]}." for name, text in TOPICS.items() for i in range(each)}


def found(**more: object) -> Clusters:
    return cluster_papers(papers(), embed=embed, bootstraps=5, **more)  # type: ignore[arg-type]


def test_papers_of_three_topics_fall_into_three_stable_clusters() -> None:
    got = found()
    assert [len(one.papers) for one in got.clusters] == [5, 5, 5]
    assert all(len({paper.split("-")[0] for paper in one.papers}) == 1 for one in got.clusters)
    assert got.stable is True
    best = max(got.trials, key=lambda one: one.silhouette)
    assert best.k == 3
    assert best.stability > 0.9


def test_the_same_seed_gives_the_same_clusters_and_map_and_the_map_is_one_of_tsne() -> None:
    one, same = found(seed=3), found(seed=3)
    assert one.labels.tolist() == same.labels.tolist()
    assert one.points.tolist() == same.points.tolist()
    assert (one.drawn_by, one.points.shape) == ("t-SNE", (15, 2))


def test_titles_are_of_words_that_set_a_cluster_apart() -> None:
    by_topic = {one.papers[0].split("-")[0]: one for one in found(k=3).clusters}
    assert {"pores", "foam", "gas"} & set(" ".join(by_topic["foam"].words).split())
    assert "seen" not in by_topic["foam"].words
    assert by_topic["crack"].title == ", ".join(by_topic["crack"].words[:3])


def test_a_given_number_of_clusters_is_taken_and_an_impossible_one_refused() -> None:
    got = found(k=2)
    assert sorted(len(one.papers) for one in got.clusters) == [5, 10]
    assert len(got.clusters[0].papers) == 10
    assert (got.trials, got.stable) == ((), None)
    with pytest.raises(SettingsError, match="wanted 1 to 1 clusters"):
        cluster_papers({"a": "foam", "b": "foam"}, k=2, embed=embed)
    with pytest.raises(SettingsError):
        found(k=0)


@pytest.mark.parametrize("texts", [{}, {"a": ""}, {"a": "12 34"}, {"a": "foam"}, {"a": "foam", "b": "Cracks"}])
def test_few_papers_are_one_cluster_or_none(texts: dict[str, str]) -> None:
    for how in (embed, _missing):
        try:
            got = cluster_papers(texts, embed=how)
        except DependencyMissing:
            continue
        assert len(got.clusters) == min(1, len(got.vectors.papers))
        assert got.points.shape == (len(got.vectors.papers), 2)
        assert np.isfinite(got.points).all()


def test_papers_all_alike_are_one_cluster_on_one_point() -> None:
    got = cluster_papers(dict.fromkeys("abcdef", "The foam has pores."), embed=embed)
    assert len(got.clusters) == 1
    assert np.ptp(got.points) == 0
    assert got.drawn_by == "PCA"


def test_a_paper_without_a_word_is_left_out_and_named() -> None:
    got = cluster_papers({**papers(), "empty": "  "}, k=3, embed=embed)
    assert got.vectors.left_out == ("empty",)
    assert len(got.labels) == 15
    rows = got.rows({"crack-0": "train"})
    assert rows[0]["split"] == "train"
    assert rows[1]["split"] is None
    assert {row["cluster"] for row in rows} == {1, 2, 3}


def test_a_long_paper_is_the_mean_of_pieces_that_the_network_can_read() -> None:
    seen: list[str] = []

    def watching(texts: Sequence[str]) -> np.ndarray:
        seen.extend(texts)
        return embed(texts)

    vectors = paper_vectors({"a": "foam " * 1000, "b": "Cracks " * 400 + "foam " * 400}, watching)
    assert max(len(piece.split()) for piece in seen) <= 170
    assert np.linalg.norm(vectors.values, axis=1) == pytest.approx(1)
    assert vectors.values[1, 0] == pytest.approx(vectors.values[1, 1], rel=0.2)


def _missing(texts: Sequence[str]) -> np.ndarray:
    raise DependencyMissing("vectors of sentences need transformers")


def test_without_minilm_words_are_counted_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pytest.importorskip("epistem.nets.texts")
    monkeypatch.setattr(texts, "embed", _missing)
    got = cluster_papers(papers(), k=3)
    assert "TF-IDF with SVD, as MiniLM is missing" in got.vectors.by
    assert all(len({paper.split("-")[0] for paper in one.papers}) == 1 for one in got.clusters)
    with pytest.raises(DependencyMissing):
        cluster_papers(papers(), embed=_missing)


def test_a_chat_model_may_title_clusters_and_where_it_fails_the_words_stay() -> None:
    texts, got = papers(), found(k=3)
    chat = Scripted(['{"title": "Foams of  glass"}', '```json\n{"title": "Fracture"}\n```', "no", "no"])
    named = titled(got, texts, chat)
    assert [one.title for one in named.clusters] == ["Foams of glass", "Fracture", got.clusters[2].title]
    assert (named.titled_by, len(named.untitled), len(named.prompt)) == ("scripted", 1, 12)
    assert "<<<BEGIN paper" in str(chat.seen[0])

    def down(messages: object) -> str:
        raise ChatError("endpoint down")

    kept = titled(got, texts, Scripted(down))
    assert [one.title for one in kept.clusters] == [one.title for one in got.clusters]
    assert kept.titled_by == "c-TF-IDF"
    assert "endpoint down" in kept.untitled[0]
