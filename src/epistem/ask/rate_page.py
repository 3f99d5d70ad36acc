"""One page on which a person grades answers: blind, in random order, some of them twice, without a network."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.ask.judge import ASSESSMENTS, Assessment, claim
from epistem.ask.offline_page import offline_page
from epistem.ask.records import Answered, Pair
from epistem.core import RecordError, SettingsError
from epistem.stats.blind import evenly_chosen, shown_order

_LARGEST_PX = 800


class AnswersPage(NamedTuple):
    """What a page asks.

    Attributes:
        path: where it was written.
        answered: ids of the answers on it.
        order: places in `answered`, as they are shown.
    """

    path: Path
    answered: tuple[str, ...]
    order: NDArray[np.int64]


def write_answers_page(
    path: Path,
    pairs: Sequence[Pair],
    answered: Sequence[Answered],
    *,
    assessments: Sequence[Assessment] = ("quality",),
    open_image: Callable[[str], Image.Image | None] | None = None,
    title: str = "answers",
    n: int = 100,
    repeats: float = 0.1,
    seed: int = 0,
) -> AnswersPage:
    """Write the page; nothing in it tells which model, mode or condition an answer comes from.

    Args:
        path: the .html to write.
        pairs: with the benchmark answers.
        answered: what models said; as many of each category, subcategory, level, model, mode and condition are taken
            as can be.
        assessments: what is asked; "defect" only of questions on defects and fracture.
        open_image: picture of a figure's id, or None where it has none; without it, the page shows text only.
        title: above the page, and in the name of the CSV.
        n: how many answers are asked for; all, if there are fewer.
        repeats: share that is shown a second time, 10 or more others later.
        seed: chooses the answers and their order.

    Raises:
        RecordError: an answer to a pair that is not given.
        SettingsError: no assessment, another one, nothing to rate, or a share of repeats out of range.
    """
    strange = sorted(set(assessments) - set(ASSESSMENTS))
    if strange or not assessments:
        raise SettingsError(f"a page asks for some of {', '.join(ASSESSMENTS)}, not {strange or 'nothing'}")
    of = {pair.id: pair for pair in pairs}
    lost = [one.id for one in answered if one.pair is not None and one.pair not in of]
    if lost:
        raise RecordError(f"{len(lost)} answers are to pairs that are not given, the first is {lost[0]}")
    ratable = [(one, of[one.pair]) for one in answered if one.pair is not None]
    ratable = [(one, pair) for one, pair in ratable if _asked(pair, assessments)]
    if not ratable or n < 1:
        raise SettingsError(f"wanted an answer to rate at least; got {len(ratable)}, of which {n} are asked for")
    rng = np.random.default_rng(seed)
    keys = [
        (pair.category, pair.subcategory, pair.level, one.model, one.mode, one.condition) for one, pair in ratable
    ]
    chosen = [ratable[i] for i in evenly_chosen(keys, n, rng)]
    order = shown_order(len(chosen), repeats, rng)
    page = {
        "title": title,
        "assessments": list(assessments),
        "items": [_item(one, pair, assessments, open_image) for one, pair in chosen],
        "order": order.tolist(),
    }
    named = {**page, "id": hashlib.sha256(repr(page).encode()).hexdigest()[:16]}
    path.write_text(offline_page("rate", named), "utf-8")
    return AnswersPage(path, tuple(one.id for one, _ in chosen), order)


def _asked(pair: Pair, assessments: Sequence[Assessment]) -> list[Assessment]:
    return [
        one for one in ASSESSMENTS if one in assessments and (one != "defect" or pair.category == "defect_fracture")
    ]


def _item(
    one: Answered,
    pair: Pair,
    assessments: Sequence[Assessment],
    open_image: Callable[[str], Image.Image | None] | None,
) -> dict[str, Any]:
    image = None if open_image is None else open_image(pair.figure)
    return {
        "answered": one.id, "pair": pair.id, "question": pair.question, "benchmark": pair.answer,
        "candidate": claim(one), "asked": _asked(pair, assessments),
        "picture": None if image is None else _png(image),
    }  # fmt: skip


def _png(image: Image.Image) -> str:
    small = image.convert("L") if image.mode in ("1", "L", "LA") else image.convert("RGB")
    small.thumbnail((_LARGEST_PX, _LARGEST_PX))
    held = io.BytesIO()
    small.save(held, "PNG")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()
