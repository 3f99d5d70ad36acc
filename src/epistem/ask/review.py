"""The review queue: one page on which a person accepts, fixes or rejects each figure, and what comes back from it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from epistem.ask.offline_page import offline_page
from epistem.ask.records import Figure
from epistem.core import RecordError, SettingsError

_SHOWN_PX = 900
TECHNIQUES = ("SEM", "TEM", "STEM", "EBSD", "EDS", "AFM", "XCT", "optical", "photo", "plot", "scheme", "other")
REASONS = ("not SEM", "wrong picture", "cut wrongly", "wrong caption", "poor quality", "other")


class Fix(BaseModel):
    """What a person corrects; what stays None stays as it was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    caption: str | None = None
    caption_panel: str | None = None
    technique: str | None = None
    nm_per_px: float | None = Field(None, gt=0, allow_inf_nan=False)
    material: str | None = None


class Decision(BaseModel):
    """On one figure; everything but acceptance has a reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    decision: Literal["accepted", "fixed", "rejected"]
    reason: str = ""
    fix: Fix = Fix()


class Review(BaseModel):
    """What the page saves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: str
    reviewer: str
    decisions: tuple[Decision, ...]


class Reviewed(NamedTuple):
    """The figures as they are now, and how many were accepted, fixed, rejected, and are still waiting."""

    figures: tuple[Figure, ...]
    counts: dict[str, int]


def write_review(path: Path, figures: Sequence[Figure], folder: Path) -> int:
    """Write the page with all figures that wait; how many those are.

    Args:
        path: the .html to write; it needs nothing else and loads nothing.
        figures: all of a set.
        folder: where the records lie; pictures are relative to it.

    Raises:
        SettingsError: none waits.
    """
    waiting = [one for one in figures if one.review == "waiting" and one.image]
    if not waiting:
        raise SettingsError(f"none of {len(figures)} figures with a picture waits for a review")
    items = [_item(one, folder) for one in waiting]
    digest = hashlib.sha256(json.dumps([one.id for one in waiting]).encode()).hexdigest()[:16]
    page = {"id": digest, "items": items, "techniques": TECHNIQUES, "reasons": REASONS}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(offline_page("review", page), "utf-8")
    return len(waiting)


def read_review(path: Path) -> Review:
    """What a page saved.

    Raises:
        RecordError: it is no such file.
    """
    try:
        return Review.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecordError(f"{path.name} is no review as the page saves it: {where}: {first['msg']}") from None


def apply_review(figures: Sequence[Figure], review: Review) -> Reviewed:
    """The figures with what a person decided; those not decided on still wait.

    Raises:
        RecordError: decisions on figures that are not here, two on one, or without the reason they need.
    """
    by_id: dict[str, Decision] = {}
    known = {one.id for one in figures}
    for one in review.decisions:
        if one.id not in known:
            raise RecordError(f"the review decides on figure {one.id}, which is not among these {len(known)}")
        if one.id in by_id:
            raise RecordError(f"the review decides twice on figure {one.id}")
        if one.decision != "accepted" and not one.reason.strip():
            raise RecordError(f"figure {one.id} is {one.decision} without a reason")
        by_id[one.id] = one
    found = tuple(_decided(one, by_id.get(one.id), review.reviewer) for one in figures)
    return Reviewed(found, dict(sorted(Counter(one.review for one in found).items())))


def _decided(figure: Figure, decision: Decision | None, reviewer: str) -> Figure:
    if decision is None:
        return figure
    changes: dict[str, Any] = {"review": decision.decision}
    if decision.decision != "accepted":
        changes["review_reason"] = f"{decision.reason.strip()} ({reviewer})" if reviewer else decision.reason.strip()
    if decision.decision == "fixed":
        fixed = decision.fix.model_dump(exclude_none=True)
        changes |= fixed | ({"technique_from": "person"} if "technique" in fixed else {})
    return figure.model_copy(update=changes)


def _item(figure: Figure, folder: Path) -> dict[str, Any]:
    where = figure.paper.title or figure.paper.id
    return {
        "id": figure.id,
        "name": f"Figure {figure.figure}{figure.panel or ''}",
        "paper": where + (f", page {figure.page}" if figure.page else ""),
        "picture": _picture(folder / (figure.image or "")),
        "caption": figure.caption,
        "caption_panel": figure.caption_panel,
        "mentions": list(figure.mentions),
        "technique": figure.technique,
        "technique_from": figure.technique_from,
        "strip": figure.strip,
        "nm_per_px": figure.nm_per_px,
        "material": figure.material,
    }


def _picture(path: Path) -> str | None:
    """The picture as data URI, made smaller; None where it is gone."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB" if opened.mode != "L" else "L")
    except OSError:
        return None
    picture.thumbnail((_SHOWN_PX, _SHOWN_PX))
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()
