"""What `epistem ask rate` and `agree` do with their words: people grade answers, and agree with judges or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from epistem.app.ask_folder import ANSWERED, FIGURES, GRADES, PAIRS, records_of, there
from epistem.app.ask_set import open_picture
from epistem.ask.judge import ASSESSMENTS
from epistem.ask.records import Answered, Figure, Grade, Pair
from epistem.core import RecordError
from epistem.report.words import number as rounded
from epistem.report.words import span

if TYPE_CHECKING:
    from epistem.ask.people import JudgeAgreement


def write_rating_page(folder: Path, out: Path, *, number: int, seed: int) -> None:
    """The page for people.

    Raises:
        SettingsError: no such folder of `epistem ask evaluate`, or nothing in it to grade.
    """
    from epistem.ask.rate_page import write_answers_page

    figures = {one.id: one for one in records_of(folder, FIGURES, Figure)}

    def open_image(name: str) -> Image.Image | None:
        figure = figures.get(name)
        return None if figure is None or figure.image is None else open_picture(folder, figure)

    out.parent.mkdir(parents=True, exist_ok=True)
    page = write_answers_page(
        out, records_of(folder, PAIRS, Pair), records_of(folder, ANSWERED, Answered), open_image=open_image,
        assessments=("quality", "defect"), n=number, seed=seed,
    )  # fmt: skip
    print(f"{len(page.answered)} answers to grade.\nPage: {page.path}")


def tell_agreement(folder: Path, ratings: Sequence[Path], *, as_json: bool) -> None:
    """κ and ICC of people and judges.

    Raises:
        SettingsError: a file that is not there.
        RecordError: nothing to compare, or a file that is no ratings.
    """
    from epistem.ask.people import agreements, read_ratings

    pairs = records_of(folder, PAIRS, Pair)
    held = [there(path, "the CSV that a page of `epistem ask rate` saved") for path in ratings]
    grades = [*records_of(folder, GRADES, Grade), *read_ratings(held)]
    found = [
        one
        for assessment in ASSESSMENTS
        if any(grade.assessment == assessment for grade in grades)
        for one in agreements(grades, pairs, assessment)
    ]
    if not found:
        raise RecordError(f"no grades to compare in {folder} and {', '.join(map(str, ratings))}")
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False))
        return
    for one in found:
        print(_line(one))


def _line(one: JudgeAgreement) -> str:
    """For people."""
    first, second = one.names
    who = f"{first} against the own repeats" if first == second else f"{first} and {second}"
    if one.kappa is None:
        return f"{one.assessment}, {who}: no κ, of {one.n} answers that both graded."
    held = one.interval
    ends = f" ({span(held.low, held.high, held.coverage)})" if held else ""
    more: dict[str, Any] = {"PABAK": one.pabak, "ICC": one.icc, "α": one.alpha, "mean difference": one.difference}
    told = ", ".join(f"{name} {rounded(value)}" for name, value in more.items() if value is not None)
    return f"{one.assessment}, {who}, {one.n} answers: κ {one.kappa:.2f}{ends}, {one.band}; {told}"
