"""The tables and the report of a whole folder, from the results of its images."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epistem import __version__
from epistem.app.analyze import shipped_weights, versions
from epistem.app.folder_tables import Source, folders_of, images_in, write_images, write_objects
from epistem.app.groups import AnalysedImage, compare_groups, summarize_groups
from epistem.app.samples import Samples, column_name
from epistem.app.settings import Settings
from epistem.app.store import FileError, FileRecord, ImageRecord
from epistem.core import Provenance
from epistem.core.files import write_text
from epistem.report.compose import Grouping, folder_report
from epistem.report.document import Report, Text
from epistem.report.export import write_table
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
    source: Source | None = None,
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
        source: of the images' results; their folders unless told.

    Returns:
        How the groups compare.
    """
    results.mkdir(parents=True, exist_ok=True)
    source = source or folders_of(results, records)
    write_images(results / "images.csv", records, samples)
    write_table(
        results / "errors.csv", {name: [getattr(e, name) for e in errors] for name in ("file", "kind", "why")}
    )
    write_objects(results, records, samples, source)
    grouping = _groups(source, records, settings, samples, by)
    _write_groups(results / "samples.csv", grouping)
    provenance = _provenance(records, settings)
    _write_report(results, records, errors, grouping, provenance, settings, source)
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
    source: Source,
) -> None:
    report = folder_report(
        (source.entry(record, image) for record, image in images_in(records)),
        grouping,
        [(error.file, error.why) for error in errors],
        provenance=provenance,
        versions=versions(),
        shipped=shipped_weights(),
        title=f"{settings.object_name.capitalize()} analysis",
        n_images=len(provenance.inputs),
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


def _groups(
    source: Source, records: Sequence[FileRecord], settings: Settings, samples: Samples | None, by: str
) -> Grouping:
    if samples is None:
        return Grouping()
    images = [_analysed(source, record, image, samples) for record, image in images_in(records)]
    grouped = [image for image in images if by in image.extra or (by == "specimen" and image.specimen)]
    return Grouping(
        summarize_groups(grouped, by=by, coverage=settings.coverage),
        compare_groups(grouped, by=by, coverage=settings.coverage, seed=settings.seed),
        by,
        samples.path.name if any(row.thickness_nm is not None for row in samples.rows) else "",
        len(images) - len(grouped),
    )


def _analysed(source: Source, record: FileRecord, image: ImageRecord, samples: Samples) -> AnalysedImage:
    table = source.objects(record, image).to_pandas()
    sizes = np.empty(0)
    if "equivalent_diameter_nm" in table:
        whole = ~(table["touches_edge"].astype(bool) | table["touches_invalid"].astype(bool))
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
    makers: set[str] = set()
    weights: set[str | None] = set()
    inputs: list[str] = []
    shared: dict[str, Any] | None = None
    for _, image in images_in(records):
        makers.add(image.maker)
        weights.add(image.weights)
        inputs.append(image.id)
        own = image.detector_settings
        shared = own if shared is None else {k: v for k, v in shared.items() if own.get(k) == v}
    analysis = settings.model_dump(exclude={"detector", "detector_settings"}, exclude_none=True)
    return Provenance(
        maker=makers.pop() if len(makers) == 1 else f"detector {settings.detector}",
        version=__version__,
        settings={"detector": shared or {}, "analysis": analysis},
        inputs=tuple(inputs),
        weights=weights.pop() if len(weights) == 1 else None,
        seed=settings.seed,
    )


def _methods(report: Report) -> str:
    section = next(section for section in report.sections if section.id == "methods")
    return "\n".join(block.text for block in section.blocks if isinstance(block, Text))
