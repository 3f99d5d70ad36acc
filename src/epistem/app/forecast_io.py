"""Found and true objects, in any format of annotations, as what a forecast reads: cases, or descriptions alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from epistem.app.score import Annotated, annotated, paired, picture, pictures_of
from epistem.core import Instances, Micrograph, MicrographSeries, RecordError, SettingsError
from epistem.detect.adapters.content import read_json
from epistem.trust.cases import Cases, Described, case_of, describe, gather

Tell = Callable[[int, int], None]
"""Is told how many images are through, of how many."""


class Origin(NamedTuple):
    """Who found the objects, with which weights; None where that is not known."""

    detector: str | None = None
    weights: str | None = None


class Seen(NamedTuple):
    """One image, what was found in it, and whether with masks; None where nothing was found."""

    name: str
    described: Described
    masks: bool | None


def read_found(found: Path, images: Path | None = None, *, told: Tell | None = None) -> list[Seen]:
    """Every image of detections, described.

    Args:
        found: detections with scores: a file or folder in any format of `ADAPTERS`, or a results folder of `analyze`.
        images: folder of the images; without it, what needs the image is NaN.
        told: is told how far it is.

    Raises:
        RecordError: detections that no forecast can read: without a score or outside the image, some without masks.
        SettingsError: a path that is not there.
    """
    listed = annotated(found)
    pictures = pictures_of(images, listed)
    seen = []
    for done, (name, one) in enumerate(listed.items(), 1):
        micrograph = _micrograph(picture(images, pictures, (one.series or name,)), one)
        objects = _loaded(name, one, micrograph, scored=True)
        seen.append(Seen(name, describe(objects, micrograph), _has_masks(objects)))
        if told:
            told(done, len(listed))
    _one_kind({one.name: one.masks for one in seen})
    return seen


def read_cases(
    source: Path, truth: Path | None = None, images: Path | None = None, *, origin: Origin | None = None,
    told: Tell | None = None, say: Callable[[str], None] = lambda _: None,
) -> Cases:  # fmt: skip
    """Cases from a folder of them, or from detections and truth.

    Args:
        source: folder that `epistem forecast cases` made, or detections as for `read_found`.
        truth: what is true, in any format; None for a folder of cases.
        images: as for `read_found`.
        origin: who found the objects.
        told: is told how far it is.
        say: is told which images are left out.

    Raises:
        RecordError: cases that lack a column, or as for `read_found`.
        SettingsError: a path that is not there, truth that is missing or not wanted.
    """
    if (source / "images.parquet").is_file():
        if truth is not None or images is not None or any(origin or ()):
            raise SettingsError(
                f"{source} is a folder of cases, which say all of themselves; leave out TRUTH, --images, --detector "
                "and --weights"
            )
        return _checked(Cases.load(source), source)
    if truth is None:
        raise SettingsError(
            f"{source} is no folder of cases (with images.parquet); give what is true as well: SOURCE TRUTH"
        )
    known = origin or Origin()
    provenance = {"weights": {known.detector: known.weights}} if known.detector else {}
    return gather(_cases(source, truth, images, known.detector or "", told, say), provenance)


def _cases(
    source: Path, truth: Path, images: Path | None, detector: str, told: Tell | None, say: Callable[[str], None]
) -> Iterator[Described]:
    """A folder of the images is their source; images of one series are one image, as they show the same place."""
    pairing = paired(source, truth, images)
    for names, side in ((pairing.only_found, "found"), (pairing.only_true, "true")):
        if names:
            more = ", …" if len(names) > 5 else ""
            say(f"Images with {side} objects only are left out, {len(names)}: {', '.join(names[:5])}{more}")
    masks = {}
    for done, one in enumerate(pairing.both, 1):
        micrograph = _micrograph(one.picture, one.found if one.found.series else one.truth)
        true = _loaded(f"the truth of {one.name}", one.truth, micrograph)
        found = _loaded(one.name, one.found, micrograph, shape=true.shape, scored=True)
        masks[one.name] = _has_masks(found)
        crowd = np.nan_to_num(np.asarray(true.columns.get("crowd", np.zeros(len(true))), float)) > 0
        yield case_of(
            found, true[~crowd], micrograph, ambiguous=true[crowd], image=one.place, detector=detector,
            source=one.place.rpartition("/")[0],
        )  # fmt: skip
        if told:
            told(done, len(pairing.both))
    _one_kind(masks)


def origin_of(found: Path, detector: str | None = None, weights: str | None = None) -> Origin:
    """What was said of the detector, else what a results folder of `analyze` knows.

    Raises:
        SettingsError: the two differ.
    """
    known = _recorded(found) if (found / "run.json").is_file() else Origin()
    if detector and known.detector not in (None, detector):
        raise SettingsError(f"{found} was made with {known.detector}, not {detector}; leave out --detector")
    if weights and known.weights and not any_same(weights, [known.weights]):
        raise SettingsError(f"{found} was made with weights {known.weights}, not {weights}; leave out --weights")
    return Origin(detector or known.detector, known.weights or weights)


def any_same(said: str, known: Sequence[str]) -> bool:
    """Whether a hash, or its first eight letters or more, is one of those known."""
    return any(one == said or (len(said) >= 8 and one.startswith(said)) for one in known)


def _recorded(results: Path) -> Origin:
    """Nothing where annotations were measured: who made these is not written anywhere."""
    run = read_json(results / "run.json")
    settings = run.get("settings") if isinstance(run, dict) else None
    if not isinstance(settings, dict) or run.get("found"):
        return Origin()
    weights = set()
    for page in sorted((results / "images").rglob("report.json")):
        try:
            weights.add(json.loads(page.read_text("utf-8"))["provenance"].get("weights"))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise RecordError(f"{page}: wanted the report of an image; run analyze again") from error
    return Origin(settings.get("detector"), weights.pop() if len(weights) == 1 else None)


# ---------------------------------------------------------------- one image


def _micrograph(path: Path | None, one: Annotated) -> Micrograph | None:
    if path is None:
        return None
    image = _read(path)
    if not isinstance(image, MicrographSeries):
        return image
    if one.position is None or not 0 <= one.position < len(image):
        raise RecordError(f"{path} holds {len(image)} images; save the one with these objects as a file of its own")
    return image[one.position]


@lru_cache(maxsize=1)
def _read(path: Path) -> Micrograph | MicrographSeries:
    """Read once for all images of a series."""
    from epistem.imaging import read

    return read(path)


def _loaded(
    name: str, one: Annotated, micrograph: Micrograph | None, *, shape: tuple[int, int] | None = None,
    scored: bool = False,
) -> Instances:  # fmt: skip
    """The objects, all of them as they were meant."""
    objects = one.load(micrograph.shape if micrograph is not None else shape)
    # Any note is of objects that were left out, cut or listed twice: the counts would not be the file's.
    if notes := objects.provenance.settings["notes"] if objects.provenance else ():
        raise RecordError(f"{one.path.name}, {name}: {'; '.join(notes)}; correct the file")
    if scored and (missing := int(np.isnan(objects.score).sum())):
        raise RecordError(
            f"{one.path.name}, {name}: {missing} of {len(objects)} objects have no score, and a forecast reads "
            "scores from 0 to 1; export them with their scores"
        )
    return objects


def _has_masks(found: Instances) -> bool | None:
    return found.crops is not None if len(found) else None


def _one_kind(masks: dict[str, bool | None]) -> None:
    """Sizes are of masks or of boxes: a forecast that learnt from one means nothing for the other."""
    with_masks, without = ([name for name, has in masks.items() if has is wanted] for wanted in (True, False))
    if with_masks and without:
        raise RecordError(
            f"{len(without)} images have boxes without masks, such as {without[0]}, {len(with_masks)} have masks; "
            "give masks for all, or boxes for all"
        )


# ---------------------------------------------------------------- a folder of cases


def _checked(cases: Cases, source: Path) -> Cases:
    blank = Instances.empty((8, 8))
    wanted = case_of(blank, blank)
    for what, table, columns in (
        ("images", cases.images, wanted.image), ("objects", cases.objects, wanted.objects.columns),
    ):  # fmt: skip
        if missing := [name for name in columns if name not in table]:
            raise RecordError(f"{source}: the table of {what} lacks {', '.join(missing)}; make the cases again")
    score = cases.objects["score"].to_numpy(float)
    if strange := int((~((score >= 0) & (score <= 1))).sum()):
        raise RecordError(f"{source}: scores lie in 0…1; {strange} of {len(score)} are missing or outside")
    return cases


def masks_of(cases: Cases) -> bool | None:
    """Whether the objects of cases have masks; None where there is no object."""
    solid: pd.Series[Any] = cases.objects["heywood"].notna()
    return bool(solid.any()) if len(solid) else None
