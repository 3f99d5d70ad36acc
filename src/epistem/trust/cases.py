"""Images a detector ran on, with what was found and what is true: the rows from which a forecast is learnt.

Two tables. `images` has one row a case, one image through one detector:

==================================  ==================================================================
case                                its number, which `objects` refers to
image, source, split, detector      identity of the image; the set it is of; the study's split; who looked
rows, cols, pixel_nm                size; nm per pixel, NaN where unknown
q_…                                 the image itself, see `trust.quality`
asked, asked_d3_px3, asked_d_px     true objects to be found; Σd³ and mean of their diameters
paper_tp, _fp, _fn                  counts at a score of 0.1 by the published matching
==================================  ==================================================================

`objects` has one row for each object found, down to `LEAST_CANDIDATE`:

==================================  ==================================================================
case, score
row0, col0, row1, col1              box
area_px, diameter_px, heywood       of the mask, area-equivalent; of the box and NaN without a mask
c_…                                 how it stands out of its surroundings, see `trust.profiles`
right, neither                      whether it is an object asked for; whether it counts neither way
==================================  ==================================================================

Matching is in falling score: counts at every threshold follow from one pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from epistem.core import Instances, Micrograph, RecordError, SettingsError
from epistem.core.files import written_whole
from epistem.detect.match import match
from epistem.detect.measure import published_heywood
from epistem.imaging.normalize import robust_scale
from epistem.trust.profiles import object_contrast
from epistem.trust.quality import image_quality

VERSION = 2
LEAST_CANDIDATE = 0.02
"""Objects down to this score are kept: what was nearly found tells what may have been missed."""

FOREIGN = "foreign"
"""Source of images that are of another kind: they show what is no reference image."""

GROUPS = ("image", "source", "split", "detector")
_KEY = b"epistem.cases"
_READ = 65_536  # pixels give the median to half a percent of the spread, in a millisecond


class Described(NamedTuple):
    """One image and what was found in it, as the rows of `Cases`, without truth."""

    image: Mapping[str, Any]
    objects: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Cases:
    """See the module's tables.

    Raises:
        RecordError: a column is missing, or objects refer to no case.
    """

    images: pd.DataFrame
    objects: pd.DataFrame
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = {"images": ("case", *GROUPS, "rows", "cols"), "objects": ("case", "score")}
        for name, columns in needed.items():
            if missing := [one for one in columns if one not in getattr(self, name)]:
                raise RecordError(f"the table of {name} lacks {', '.join(missing)}; it has other columns of a case")
        if self.images["case"].duplicated().any() or not self.objects["case"].isin(self.images["case"]).all():
            raise RecordError("every case has one row of images, and objects belong to one of them")

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """Row in `images` of the case of each object, (objects,)."""
        row: NDArray[np.int64] = pd.Index(self.images["case"]).get_indexer(self.objects["case"])
        return row

    @property
    def own(self) -> Self:
        """Those that are not of source `FOREIGN`."""
        return self.where(self.images["source"] != FOREIGN)

    def where(self, chosen: NDArray[np.bool_] | pd.Series) -> Self:
        """Those cases alone."""
        images = self.images[np.asarray(chosen, bool)]
        objects = self.objects[self.objects["case"].isin(images["case"])]
        return type(self)(images.reset_index(drop=True), objects.reset_index(drop=True), self.provenance)

    def counts(self, min_score: float) -> NDArray[np.int64]:
        """True positives, false positives and false negatives of each case, (n, 3), if lower scores are left out.

        Raises:
            SettingsError: a case without truth.
        """
        if "asked" not in self.images or self.images["asked"].isna().any():
            raise SettingsError("these cases have no truth, so nothing is counted; give labels with the detections")
        kept = ((self.objects["score"] >= float(min_score)) & ~self.objects["neither"].astype(bool)).to_numpy()
        right = self.objects["right"].to_numpy(bool)
        tp, fp = (np.bincount(self.row[kept & which], minlength=len(self)) for which in (right, ~right))
        return np.stack([tp, fp, self.images["asked"].to_numpy(np.int64) - tp], axis=1)

    def truth(self, min_score: float) -> pd.DataFrame:
        """f1, precision and recall of each case at that threshold; NaN where there is nothing to divide by.

        An image with nothing to find in which nothing is found has an F1 of 1, as in `detect.match`.
        """
        tp, fp, fn = self.counts(min_score).T.astype(float)
        with np.errstate(invalid="ignore"):
            both = 2 * tp + fp + fn
            f1 = np.where(both > 0, 2 * tp / both, 1.0)
            return pd.DataFrame({"f1": f1, "precision": tp / (tp + fp), "recall": tp / (tp + fn)})

    def save(self, folder: Path) -> None:
        """`images.parquet` and `objects.parquet`, provenance in both.

        Raises:
            RecordError: they cannot be written.
        """
        about = {_KEY: json.dumps({"version": VERSION, **self.provenance}, sort_keys=True).encode()}
        for name in ("objects", "images"):  # images last: with it the folder is whole
            table = pa.Table.from_pandas(getattr(self, name), preserve_index=False).replace_schema_metadata(about)
            with written_whole(folder / f"{name}.parquet") as part:
                folder.mkdir(parents=True, exist_ok=True)
                # Without checksums every second flipped bit gave other numbers and no error.
                pq.write_table(table, part, compression="zstd", write_page_checksum=True)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Saved cases.

        Raises:
            RecordError: not there, damaged, of another version, or lacking columns.
        """
        tables, about = {}, {}
        for name in ("images", "objects"):
            path = folder / f"{name}.parquet"
            try:
                table = pq.read_table(path, page_checksum_verification=True)
                about = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
                tables[name] = table.to_pandas()
            except (OSError, pa.ArrowException, ValueError) as error:
                why = str(error).split("\n")[0]
                raise RecordError(f"{path}: wanted a table of cases (epistem forecast cases); {why}") from error
            if about.get("version") != VERSION:
                raise RecordError(
                    f"{path} is of version {about.get('version')}, this epistem reads {VERSION}; make the cases again"
                )
        del about["version"]
        return cls(tables["images"], tables["objects"], about)


def describe(found: Instances, micrograph: Micrograph | None = None) -> Described:
    """What can be said of one image and of what was found in it, without truth.

    Args:
        found: objects with scores, down to `LEAST_CANDIDATE` if the detector gives as many; lower ones are left out.
        micrograph: the image; None where only detections are at hand: what needs it is NaN.

    Raises:
        SettingsError: a score that is missing or not in 0 to 1.
    """
    check_scores(found)
    kept = found[np.flatnonzero(found.score >= LEAST_CANDIDATE)]
    row0, col0, row1, col1 = kept.boxes.T
    area, heywood = (row1 - row0) * (col1 - col0), np.full(len(kept), np.nan)
    if kept.crops is not None:
        area = np.array([crop.sum() for crop in kept.crops], float)
        heywood = published_heywood(kept)
    grey = robust_scale(micrograph, _READ) if micrograph is not None else None
    columns = {
        "score": kept.score, "row0": row0, "col0": col0, "row1": row1, "col1": col1, "area_px": area,
        "diameter_px": 2 * np.sqrt(area / np.pi), "heywood": heywood, **object_contrast(kept, micrograph, grey),
    }  # fmt: skip
    rows, cols = found.shape
    scale = micrograph.calibration if micrograph is not None else None
    image = {"rows": rows, "cols": cols, "pixel_nm": float(np.sqrt(scale.pixel_area_nm2)) if scale else np.nan}
    return Described(image | dict(image_quality(micrograph, grey)), pd.DataFrame(columns).astype(np.float32))


def case_of(
    found: Instances, truth: Instances, micrograph: Micrograph | None = None, *, ambiguous: Instances | None = None,
    smallest_px: float = 0.0, **group: str,
) -> Described:  # fmt: skip
    """The same with truth.

    Args:
        found: objects with scores, of one image.
        truth: objects to be found in it.
        micrograph: the image, if it is at hand.
        ambiguous: objects that count neither way.
        smallest_px: found objects without partner below this diameter count neither way.
        group: image, source, split, detector, as far as known.
    """
    if unknown := sorted(set(group) - set(GROUPS)):
        raise SettingsError(f"cases are grouped by {', '.join(GROUPS)}; not by {', '.join(unknown)}")
    described = describe(found, micrograph)
    kept = found[np.flatnonzero(found.score >= LEAST_CANDIDATE)]
    paired = match(kept, truth, method="score-greedy", ambiguous=ambiguous)
    objects = described.objects
    objects["right"] = paired.found_matched
    objects["neither"] = paired.ignored | (~paired.found_matched & (objects["diameter_px"] < smallest_px).to_numpy())
    diameters = describe(truth_scored(truth)).objects["diameter_px"].to_numpy(float)
    published = match(
        found[np.flatnonzero(found.score >= 0.1)], truth, method="paper", ambiguous=ambiguous
    )  # fmt: skip
    about = dict.fromkeys(GROUPS, "") | {"image": micrograph.id if micrograph is not None else ""} | group
    counted = {
        "asked": len(truth), "asked_d3_px3": float((diameters**3).sum()),
        "asked_d_px": float(diameters.mean()) if len(diameters) else np.nan,
        "paper_tp": published.tp, "paper_fp": published.fp, "paper_fn": published.fn,
    }  # fmt: skip
    return Described({**about, **described.image, **counted}, objects)


def truth_scored(truth: Instances) -> Instances:
    """True objects as sure ones, whatever stands in their score."""
    return Instances(truth.shape, truth.boxes, np.ones(len(truth)), truth.label, truth.classes, truth.crops)


def gather(described: Iterable[Described], provenance: Mapping[str, Any]) -> Cases:
    """Cases from their rows, numbered as they come.

    Raises:
        SettingsError: none came.
    """
    images, objects = [], []
    for case, one in enumerate(described):
        images.append({"case": case, **dict.fromkeys(GROUPS, ""), **one.image})
        objects.append(one.objects.assign(case=case))
    if not images:
        raise SettingsError("a forecast learns from cases; none came")
    return Cases(pd.DataFrame(images), pd.concat(objects, ignore_index=True), provenance)


def joined(parts: Sequence[Cases]) -> Cases:
    """Cases of several tables, numbered anew."""
    images, objects, start = [], [], 0
    for part in parts:
        number = dict(zip(part.images["case"], range(start, start + len(part)), strict=True))
        images.append(part.images.assign(case=part.images["case"].map(number)))
        objects.append(part.objects.assign(case=part.objects["case"].map(number)))
        start += len(part)
    about = {"parts": [dict(part.provenance) for part in parts]}
    return Cases(pd.concat(images, ignore_index=True), pd.concat(objects, ignore_index=True), about)


def check_scores(found: Instances) -> None:
    score = found.score
    if not (np.isfinite(score).all() and (score >= 0).all() and (score <= 1).all()):
        strange = int((~(np.isfinite(score) & (score >= 0) & (score <= 1))).sum())
        raise SettingsError(
            f"a forecast reads scores from 0 to 1; {strange} of {len(found)} are missing or outside. "
            "Give each object its score"
        )
