from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from epistem.ask.controls import (
    CONDITIONS,
    Gain,
    another_image,
    blank_like,
    paired_gain,
    shown_under,
)
from epistem.ask.records import Figure, Pair, Paper
from epistem.core.errors import SettingsError


def figures(*counts: int) -> list[Figure]:
    return [
        Figure(id=f"{paper}-{i}", paper=Paper(id=str(paper)), figure=str(i), caption=f"Caption {paper}-{i}.")
        for paper, count in enumerate(counts)
        for i in range(count)
    ]


def pair_on(figure: Figure) -> Pair:
    return Pair(
        id=f"pair-{figure.id}", figure=figure.id, paper=figure.paper.id, question="What is it?", answer="Glass.",
        category="general",
    )  # fmt: skip


def picture(figure: Figure) -> Image.Image:
    """A picture that tells which figure it is of."""
    paper, number = figure.id.split("-")
    return Image.fromarray(np.array([[int(paper), int(number), 9]], np.uint8))


@pytest.mark.parametrize("counts", [(1, 1), (3, 2, 1), (4, 4), (5, 1, 2, 2), (2, 2, 2, 2, 7, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_each_image_goes_to_another_paper_and_is_used_once(counts: tuple[int, ...], seed: int) -> None:
    shown = figures(*counts)
    other = another_image(shown, seed=seed)
    paper = {one.id: one.paper.id for one in shown}
    assert sorted(other) == sorted(other.values()) == sorted(paper)
    assert all(paper[one] != paper[two] for one, two in other.items())


def test_the_exchange_depends_on_the_seed_alone() -> None:
    shown = figures(3, 3, 3)
    assert another_image(shown, seed=1) == another_image(shown, seed=1) != another_image(shown, seed=2)


@pytest.mark.parametrize("counts", [(3, 1, 1), (1,), ()])
def test_images_of_mostly_one_paper_cannot_be_exchanged(counts: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="exchanged between papers"):
        another_image(figures(*counts))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_blank_image_has_size_and_mean_of_the_real_one_and_no_contrast(mode: str) -> None:
    pixels = np.zeros((4, 6) if mode == "L" else (4, 6, 3), np.uint8)
    pixels[:2] = 100
    blank = blank_like(Image.fromarray(pixels))
    assert (blank.size, blank.mode) == ((6, 4), mode)
    assert np.unique(np.asarray(blank)).tolist() == [50]


def test_each_condition_shows_what_it_says() -> None:
    shown = figures(2, 2)
    pairs = [pair_on(one) for one in shown]
    by_id = {one.id: one for one in shown}
    seen = {name: [one for _, one in shown_under(name, pairs, by_id, picture)] for name in CONDITIONS}
    own = [np.asarray(picture(one)).tolist() for one in shown]
    assert [np.asarray(one.image).tolist() for one in seen["real"]] == own
    assert all(np.asarray(one.image).tolist() != mine for one, mine in zip(seen["shuffled"], own, strict=True))
    assert all(np.ptp(np.asarray(one.image)) == 0 for one in seen["blank"])
    assert [one.image for one in seen["caption-only"]] == [None] * 4
    assert all("Caption 0-0." in one.text for one in seen["caption-only"][:1])
    assert all(one == (None, "What is it?", None) for one in seen["question-only"])
    # What is known of an image goes with it.
    assert [one.figure for one in seen["blank"]] == shown
    assert all(one.figure != mine for one, mine in zip(seen["shuffled"], shown, strict=True))
    assert "Caption" not in "".join(one.text for name in ("real", "shuffled", "blank") for one in seen[name])


def test_what_is_not_there_is_refused() -> None:
    shown = figures(1, 1)
    with pytest.raises(SettingsError, match="a condition is one of"):
        list(shown_under("upside-down", [], {}, picture))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no figure 1-0"):
        list(shown_under("real", [pair_on(shown[1])], {}, picture))


def gain(first: list[float], second: list[float], papers: int = 5) -> Gain:
    paper = pd.Series([str(i % papers) for i in range(max(len(first), len(second)))])
    return paired_gain("real − shuffled", pd.Series(first), pd.Series(second), paper)


def test_a_model_that_looks_gains_and_one_that_does_not_gains_nothing() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(20, 60, 40)
    looks = gain([*(base + 20)], [*base]).difference
    assert looks is not None
    assert looks.low > 0
    assert looks.value == pytest.approx(20)
    blind = gain([*(base + rng.normal(0, 5, 40))], [*base]).difference
    assert blind is not None
    assert blind.low < 0 < blind.high


def test_pairs_without_a_score_on_both_sides_are_left_out_and_counted() -> None:
    found = gain([50, 60, np.nan, 80], [40, 40, 40], papers=2)
    assert (found.n, found.left_out) == (2, 2)
    assert (found.first, found.second) == (55, 40)


def test_one_paper_gives_no_interval_and_no_pair_no_mean() -> None:
    assert gain([50.0, 60.0], [40.0, 30.0], papers=1).difference is None
    nothing = paired_gain("a", pd.Series(dtype=float), pd.Series(dtype=float), pd.Series(dtype=str))
    assert (nothing.n, nothing.first, nothing.difference) == (0, None, None)
