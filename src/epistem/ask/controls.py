"""What shows whether a model looks: the same questions with another image, none, or an untrained projector.

====================  ================================================================================
condition             the model is shown
====================  ================================================================================
real                  the image and the question
shuffled              the image of another paper, each image as often as before
blank                 a uniform image of the same size and mean grey
caption-only          no image; the caption beside the question
question-only         no image; the question alone
untrained-projector   the image and the question, through a projector that was never trained
====================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from PIL import Image

from epistem.ask.records import Figure, Pair
from epistem.core import Interval, SettingsError
from epistem.stats.resample import cluster_bootstrap

Condition = Literal["real", "shuffled", "blank", "caption-only", "question-only", "untrained-projector"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)


class Shown(NamedTuple):
    """What a model gets: the image or none, the text, and the figure that the image is of."""

    image: Image.Image | None
    text: str
    figure: Figure | None


class Gain(NamedTuple):
    """How much better one thing scores than another on the same questions.

    Attributes:
        name: of what against what.
        n: pairs with a score on both sides; left_out: those without one on either.
        papers: how many papers the pairs are of.
        first, second: mean scores; None without a pair.
        difference: its mean with the interval over papers; None with fewer than two papers.
    """

    name: str
    n: int
    left_out: int
    papers: int
    first: float | None
    second: float | None
    difference: Interval | None


def another_image(figures: Sequence[Figure], *, seed: int = 0) -> dict[str, str]:
    """For each figure the id of one of another paper; each is used once.

    Args:
        figures: of two papers or more, none with more than half of them.
        seed: same seed, same exchange.

    Raises:
        SettingsError: one paper has more than half of the figures, so that some would keep an image of their own.
    """
    rng = np.random.default_rng(seed)
    by_paper: dict[str, list[str]] = {}
    for one in figures:
        by_paper.setdefault(one.paper.id, []).append(one.id)
    most = max((len(ids) for ids in by_paper.values()), default=0)
    if not figures or 2 * most > len(figures):
        raise SettingsError(
            f"images are exchanged between papers; of {len(figures)}, one paper has {most}: wanted half or fewer"
        )
    papers = list(by_paper.values())
    order = [papers[i] for i in rng.permutation(len(papers))]
    row = [ids[i] for ids in order for i in rng.permutation(len(ids))]
    # Papers stand in blocks no longer than `most`: that many places on, and round the end, is another paper.
    shift = int(rng.integers(most, len(row) - most + 1))
    return dict(zip(row, row[shift:] + row[:shift], strict=True))


def blank_like(image: Image.Image) -> Image.Image:
    """A uniform image of the same size, mode and mean."""
    pixels = np.asarray(image, float)
    mean = pixels.reshape(-1, *pixels.shape[2:]).mean(0)
    return Image.fromarray(np.broadcast_to(np.round(mean), pixels.shape).astype(np.asarray(image).dtype), image.mode)


def shown_under(
    condition: Condition,
    pairs: Sequence[Pair],
    figures: Mapping[str, Figure],
    open_image: Callable[[Figure], Image.Image],
    *,
    seed: int = 0,
) -> Iterator[tuple[Pair, Shown]]:
    """What the model is shown for each pair.

    Args:
        condition: entry of CONDITIONS. "untrained-projector" shows what "real" shows: the model differs.
        pairs: questions.
        figures: by id.
        open_image: the picture of a figure.
        seed: of the exchange of images.

    Raises:
        SettingsError: another condition, a pair without its figure, or images that cannot be exchanged.
    """
    if condition not in CONDITIONS:
        raise SettingsError(f"a condition is one of {', '.join(CONDITIONS)}, not {condition!r}")
    missing = sorted({one.figure for one in pairs} - set(figures))
    if missing:
        raise SettingsError(f"no figure {', '.join(missing[:3])} for {len(missing)} of the questions' figures")
    asked = [figures[name] for name in dict.fromkeys(one.figure for one in pairs)]
    other = another_image(asked, seed=seed) if condition == "shuffled" else {}
    for pair in pairs:
        figure = figures[other.get(pair.figure, pair.figure)]
        if condition == "caption-only":
            caption = figure.caption_panel or figure.caption
            yield pair, Shown(None, f"Caption of the image: {caption}\n{pair.question}", None)
        elif condition == "question-only":
            yield pair, Shown(None, pair.question, None)
        else:
            image = open_image(figure)
            yield pair, Shown(blank_like(image) if condition == "blank" else image, pair.question, figure)


def paired_gain(
    name: str, first: pd.Series, second: pd.Series, paper: pd.Series, *, seed: int = 0, coverage: float = 0.9
) -> Gain:
    """Mean difference of two scores of the same questions, its interval from drawing papers and then questions.

    Args:
        name: of the comparison.
        first, second: scores by key, such as the pair's id; NaN where unscored.
        paper: paper of each key.
        seed, coverage: of the interval.
    """
    keys = first.index.union(second.index)
    both = pd.DataFrame({"first": first.reindex(keys), "second": second.reindex(keys)}).astype(float).dropna()
    of = paper.reindex(both.index)
    apart = (both["first"] - both["second"]).groupby(of, sort=True)
    groups = [group.to_numpy(float) for _, group in apart]
    known = len(both) > 0
    return Gain(
        name=name,
        n=len(both),
        left_out=len(keys) - len(both),
        papers=len(groups),
        first=float(both["first"].mean()) if known else None,
        second=float(both["second"].mean()) if known else None,
        difference=cluster_bootstrap(groups, np.mean, seed=seed, coverage=coverage),
    )
