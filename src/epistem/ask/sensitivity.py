"""How many of a model's questions pass each check, by temperature, top_p and how the rules are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import product

from epistem.ask.checks import CHECKS, Encode, Rules
from epistem.ask.questions import ChatWriter, PromptStyle, make_questions
from epistem.ask.records import CATEGORIES, Category, Figure
from epistem.core.errors import SettingsError
from epistem.core.protocols import ChatModel
from epistem.stats.intervals import binomial_interval

Row = dict[str, str | float | int | None]


def sensitivity(
    figures: Sequence[Figure],
    make_model: Callable[[float, float], ChatModel],
    *,
    temperatures: Sequence[float] = (0.0, 0.2, 0.7),
    top_ps: Sequence[float] = (0.2, 1.0),
    styles: Sequence[PromptStyle] = ("bullets", "prose"),
    categories: Collection[Category] = CATEGORIES,
    per_category: int = 2,
    rules: Rules | None = None,
    encode: Encode | None = None,
) -> list[Row]:
    """The sweep: one row for each temperature, top_p and style, each on the same figures.

    Args:
        make_model: called with temperature and top_p, such as
            `lambda t, p: Endpoint(url, model, temperature=t, top_p=p)`.

    Returns:
        Rows of settings; `figures` asked, `unwritten` of them without a usable reply, `written` drafts, `kept` of
        them with its share and 90 % interval, and for each check the share that passes it, `passes_CHECK`. Shares
        are in [0, 1], and None where nothing was written. Drafts of one figure are not independent, so intervals
        are narrower than they should be.

    Raises:
        SettingsError: no figures, or nothing to vary.
    """
    if not figures:
        raise SettingsError("a sweep needs one figure or more")
    if not (temperatures and top_ps and styles):
        raise SettingsError("a sweep needs a temperature, a top_p and a style or more")
    rows = []
    for temperature, top_p, style in product(temperatures, top_ps, styles):
        writer = ChatWriter(make_model(temperature, top_p), style=style)
        # No draft is left out because its category is full: what is counted is what was written.
        made = [
            make_questions(
                one, writer=writer, categories=categories, per_category=per_category, keep=10_000, rules=rules,
                encode=encode,
            )
            for one in figures
        ]  # fmt: skip
        settings: Row = {"temperature": temperature, "top_p": top_p, "style": style, "prompt": writer.prompt.hash}
        failed: Counter[str] = Counter()
        for one in made:
            for _, found in one.refused:
                failed.update({refused.check for refused in found})
        kept, refused = sum(len(one.pairs) for one in made), sum(len(one.refused) for one in made)
        unwritten = sum(bool(one.unwritten) for one in made)
        rows.append(settings | _shares(kept, kept + refused, failed) | {"figures": len(made), "unwritten": unwritten})
    return rows


def _shares(kept: int, written: int, failed: Counter[str]) -> Row:
    interval = binomial_interval(kept, written)
    row: Row = {
        "written": written,
        "kept": kept,
        "kept_share": kept / written if written else None,
        "kept_low": interval.low if interval else None,
        "kept_high": interval.high if interval else None,
    }
    for check in ("schema", *CHECKS):
        row[f"passes_{check}"] = 1 - failed[check] / written if written else None
    return row
