"""The tables and the report of a whole folder, from the results of its images."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epistem import __version__
from epistem.app.analyze import shipped_weights, versions
from epistem.app.groups import AnalysedImage, compare_groups, summarize_groups
from epistem.app.samples import Samples, column_name
from epistem.app.settings import Settings
from epistem.app.store import FileError, FileRecord, ImageRecord
from epistem.core import Provenance
from epistem.report.compose import Entry, Grouping, folder_report
from epistem.report.document import Report, Text
from epistem.report.export import write_table, write_text
from epistem.report.render import render_html
from epistem.report.samples import GroupSummary


def write_folder(
    results: Path,
    records: Sequence[FileRecord],
    errors: Sequence[FileError],
    settings: Settings,
    samples: Samples | None,
    *,
    by: str = "specimen",
    found: Mapping[str, str] | None = None,
) -> Grouping:
    """images.csv, objects.*, samples.csv, errors.csv, run.json, methods.txt, report.json and report.html.

    Args:
        results: folder to write to. All of these files are replaced: they hold this run and nothing before it.
        records: the files that were analysed.
        errors: those that failed.
        settings: of the analysis.
        samples: specimens, or None.
        by: column of the samples that makes the groups.
        found: name of the annotations by file, where they were measured instead of detecting.

    Returns:
        How the groups compare.
    """
    results.mkdir(parents=True, exist_ok=True)
    write_table(results / "images.csv", [_image_row(record, image, samples) for record, image in _images(records)])
    write_table(
        results / "errors.csv", {name: [getattr(e, name) for e in errors] for name in ("file", "kind", "why")}
    )
    _write_objects(results, records, samples)
    grouping = _groups(results, records, settings, samples, by)
    _write_groups(results / "samples.csv", grouping)
    provenance = _provenance(records, settings)
    _write_report(results, records, errors, grouping, provenance, settings)
    run = provenance.as_dict() | {
        "settings": settings.model_dump(),
        "versions": versions(),
        "samples": _samples_record(samples, by),
        "found": dict(found or {}),
        "files": {record.file: [image.id for image in record.images] for record in records},
        "failed": {error.file: error.why for error in errors},
    }
    write_text(results / "run.json", json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    return grouping


def _write_report(
    results: Path,
    records: Sequence[FileRecord],
    errors: Sequence[FileError],
    grouping: Grouping,
    provenance: Provenance,
    settings: Settings,
) -> None:
    report = folder_report(
        (Entry(_report(results, image), f"{image.folder}/report.html") for _, image in _images(records)),
        grouping,
        [(error.file, error.why) for error in errors],
        provenance=provenance,
        versions=versions(),
        shipped=shipped_weights(),
        title=f"{settings.object_name.capitalize()} analysis",
    )
    write_text(results / "report.json", report.to_json())
    write_text(results / "report.html", render_html(report))
    write_text(results / "methods.txt", _methods(report) + "\n")


def _samples_record(samples: Samples | None, by: str) -> dict[str, Any] | None:
    """The samples as they were read: run.json then tells all that the numbers depend on."""
    if samples is None:
        return None
    rows = [{"image": row.image, "specimen": row.specimen, **row.known()} for row in samples.rows]
    return {"file": samples.path.name, "by": by, "rows": rows}


def _said(samples: Samples | None, file: str, taken: Collection[str]) -> dict[str, str | float | None]:
    """What the samples say of a file: the same columns for every file, None where its row says nothing.

    A name that is taken by a column of ours gets a prefix: `count` becomes `sample_count`.
    """
    row = samples.row_for(file) if samples else None
    known = row.known() if row else {}
    names = samples.columns[1:] if samples else ()
    return {f"sample_{name}" if name in taken else name: known.get(name) for name in names}


def _images(records: Sequence[FileRecord]) -> Iterator[tuple[FileRecord, ImageRecord]]:
    return ((record, image) for record in records for image in record.images)


def _report(results: Path, image: ImageRecord) -> Report:
    return Report.from_json((results / image.folder / "report.json").read_text("utf-8"))


def _image_row(record: FileRecord, image: ImageRecord, samples: Samples | None) -> dict[str, object]:
    row: dict[str, object] = {
        "image": image.name,
        "file": record.file,
        "axis": image.axis,
        "slice": image.slice,
        "specimen": record.specimen,
    }
    numbers: dict[str, object] = {
        "rows": image.shape[0],
        "columns": image.shape[1],
        "row_nm": image.row_nm,
        "col_nm": image.col_nm,
    }
    for name, quantity in image.quantities.items():
        numbers |= {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}
    for name in ("f1", "precision", "recall"):
        one = image.expected.get(name)
        low, value, high = (one.low, one.value, one.high) if one else (None, None, None)
        numbers |= {f"expected_{name}": value, f"expected_{name}_low": low, f"expected_{name}_high": high}
    numbers |= {"typicality": image.typicality, "verdict": image.verdict, "reasons": " | ".join(image.reasons)}
    numbers["warnings"] = " | ".join(image.warnings)
    return row | _said(samples, record.file, {*row, *numbers}) | numbers


def _write_objects(results: Path, records: Sequence[FileRecord], samples: Samples | None) -> None:
    """All objects of all images in one table; images without one are in images.csv."""
    import pandas as pd
    import pyarrow.parquet as pq

    own = ("image", "slice", "specimen")
    first = dict.fromkeys(own)
    tables = []
    for record, image in _images(records):
        table = pq.read_table(results / image.folder / "objects.parquet").to_pandas()
        if len(table):
            said = _said(samples, record.file, {*own, *table})
            tables.append(table.assign(image=image.name, slice=image.slice, specimen=record.specimen, **said))
            first |= dict.fromkeys(said)
    everything = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({name: [] for name in first})
    names = dict.fromkeys([*first, *map(str, everything.columns)])
    ordered = {name: everything[name].to_numpy() for name in names}
    for suffix in (".csv", ".parquet"):
        write_table(results / f"objects{suffix}", ordered)


def _groups(
    results: Path, records: Sequence[FileRecord], settings: Settings, samples: Samples | None, by: str
) -> Grouping:
    if samples is None:
        return Grouping()
    images = [_analysed(results, record, image, samples) for record, image in _images(records)]
    grouped = [image for image in images if by in image.extra or (by == "specimen" and image.specimen)]
    return Grouping(
        summarize_groups(grouped, by=by, coverage=settings.coverage),
        compare_groups(grouped, by=by, coverage=settings.coverage, seed=settings.seed),
        by,
        samples.path.name if any(row.thickness_nm is not None for row in samples.rows) else "",
        len(images) - len(grouped),
    )


def _analysed(results: Path, record: FileRecord, image: ImageRecord, samples: Samples) -> AnalysedImage:
    import pyarrow.parquet as pq

    table = pq.read_table(results / image.folder / "objects.parquet").to_pandas()
    sizes = np.empty(0)
    if "equivalent_diameter_nm" in table:
        whole = ~(table["touches_edge"] | table["touches_invalid"])
        sizes = table.loc[whole, "equivalent_diameter_nm"].to_numpy(float)
    row = samples.row_for(record.file)

    def value(name: str) -> float | None:
        quantity = image.quantities.get(name)
        return quantity.value if quantity else None

    return AnalysedImage(
        name=image.name,
        specimen=record.specimen,
        diameters_nm=sizes,
        density_per_um2=value("density_per_um2"),
        swelling_percent=value("swelling_percent"),
        series=record.file if len(record.images) > 1 else None,
        extra=row.known() if row else {},
        n_found=image.n_objects,
    )


def _write_groups(path: Path, grouping: Grouping) -> None:
    """One row a group; without groups the table of a run before goes."""
    if grouping.groups:
        write_table(path, [_group_row(group, grouping) for group in grouping.groups])
    elif path.is_file() and not _is_input(path):
        path.unlink()


def _is_input(path: Path) -> bool:
    """Whether this is a table that a person wrote to be read: those have a column `image`, ours never has."""
    first, _, _ = path.read_text("utf-8", errors="replace").partition("\n")
    return "image" in map(column_name, re.split("[,;\t]", first))


def _group_row(group: GroupSummary, grouping: Grouping) -> dict[str, object]:
    shared = list(dict.fromkeys(name for group in grouping.groups for name in group.shared))
    row: dict[str, object] = {grouping.by: group.name if group.at is None else group.at}
    numbers: dict[str, object] = {"images": group.n_images, "objects": group.n_objects}
    for name, quantity in group.quantities.items():
        numbers |= {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}
    known = {f"sample_{name}" if name in numbers else name: group.shared.get(name) for name in shared}
    return row | known | numbers


def _provenance(records: Sequence[FileRecord], settings: Settings) -> Provenance:
    """Of the run: maker, weights and detector settings as far as they are the same for all images."""
    images = [image for _, image in _images(records)]
    makers = {image.maker for image in images}
    weights = {image.weights for image in images}
    first = images[0].detector_settings if images else {}
    shared = {k: v for k, v in first.items() if all(image.detector_settings.get(k) == v for image in images)}
    analysis = settings.model_dump(exclude={"detector", "detector_settings"}, exclude_none=True)
    return Provenance(
        maker=makers.pop() if len(makers) == 1 else f"detector {settings.detector}",
        version=__version__,
        settings={"detector": shared, "analysis": analysis},
        inputs=tuple(image.id for image in images),
        weights=weights.pop() if len(weights) == 1 else None,
        seed=settings.seed,
    )


def _methods(report: Report) -> str:
    section = next(section for section in report.sections if section.id == "methods")
    return "\n".join(block.text for block in section.blocks if isinstance(block, Text))
