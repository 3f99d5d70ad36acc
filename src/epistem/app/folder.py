"""The tables and the report of a whole folder, from the results of its images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from epistem import __version__
from epistem.app.analyze import versions
from epistem.app.groups import AnalysedImage, compare_groups, summarize_groups
from epistem.app.samples import Samples
from epistem.app.settings import Settings
from epistem.app.store import FileError, FileRecord, ImageRecord, write_text
from epistem.core import Provenance
from epistem.report.compose import Entry, folder_report
from epistem.report.document import Report, Text
from epistem.report.export import write_table
from epistem.report.render import render_html
from epistem.report.samples import Comparison, GroupSummary


def write_folder(
    results: Path,
    records: Sequence[FileRecord],
    errors: Sequence[FileError],
    settings: Settings,
    samples: Samples | None,
) -> None:
    """images.csv, objects.*, samples.csv, errors.csv, run.json, methods.txt, report.json and report.html."""
    results.mkdir(parents=True, exist_ok=True)
    write_table(results / "images.csv", [_image_row(record, image) for record, image in _images(records)])
    write_table(
        results / "errors.csv", {name: [getattr(e, name) for e in errors] for name in ("file", "kind", "why")}
    )
    _write_objects(results, records)
    groups, comparisons = _groups(results, records, settings, samples)
    if groups:
        write_table(results / "samples.csv", [_group_row(group) for group in groups])
    provenance = _provenance(records, settings)
    report = folder_report(
        (Entry(_report(results, image), f"{image.folder}/report.html") for _, image in _images(records)),
        groups,
        comparisons,
        [(error.file, error.why) for error in errors],
        provenance=provenance,
        versions=versions(),
        title=f"{settings.object_name.capitalize()} analysis",
    )
    write_text(results / "report.json", report.to_json())
    write_text(results / "report.html", render_html(report))
    write_text(results / "methods.txt", _methods(report) + "\n")
    run = provenance.as_dict() | {
        "settings": settings.model_dump(),
        "versions": versions(),
        "files": {record.file: [image.id for image in record.images] for record in records},
        "failed": {error.file: error.why for error in errors},
    }
    write_text(results / "run.json", json.dumps(run, indent=1, ensure_ascii=False) + "\n")


def _images(records: Sequence[FileRecord]) -> Iterator[tuple[FileRecord, ImageRecord]]:
    return ((record, image) for record in records for image in record.images)


def _report(results: Path, image: ImageRecord) -> Report:
    return Report.from_json((results / image.folder / "report.json").read_text("utf-8"))


def _image_row(record: FileRecord, image: ImageRecord) -> dict[str, object]:
    row: dict[str, object] = {
        "image": image.name,
        "file": record.file,
        "axis": image.axis,
        "slice": image.slice,
        "specimen": record.specimen,
        "rows": image.shape[0],
        "columns": image.shape[1],
        "row_nm": image.row_nm,
        "col_nm": image.col_nm,
    }
    for name, quantity in image.quantities.items():
        row |= {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}
    return row | {"warnings": " | ".join(image.warnings)}


def _write_objects(results: Path, records: Sequence[FileRecord]) -> None:
    """All objects of all images in one table; images without one are in images.csv."""
    import pandas as pd
    import pyarrow.parquet as pq

    tables = []
    for record, image in _images(records):
        table = pq.read_table(results / image.folder / "objects.parquet").to_pandas()
        if len(table):
            tables.append(table.assign(image=image.name, slice=image.slice, specimen=record.specimen))
    everything = (
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"image": [], "slice": [], "specimen": []})
    )
    first = ["image", "slice", "specimen"]
    columns = {name: everything[name].to_numpy() for name in first + [c for c in everything if c not in first]}
    for suffix in (".csv", ".parquet"):
        write_table(results / f"objects{suffix}", columns)


def _groups(
    results: Path, records: Sequence[FileRecord], settings: Settings, samples: Samples | None
) -> tuple[list[GroupSummary], list[Comparison]]:
    if samples is None or not any(record.specimen for record in records):
        return [], []
    images = [_analysed(results, record, image, samples) for record, image in _images(records)]
    return (
        summarize_groups(images, coverage=settings.coverage),
        compare_groups(images, coverage=settings.coverage, seed=settings.seed),
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
        extra=row.extra if row else {},
    )


def _group_row(group: GroupSummary) -> dict[str, object]:
    row: dict[str, object] = {"specimen": group.name, "images": group.n_images, "objects": group.n_objects}
    for name, quantity in group.quantities.items():
        row |= {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}
    return row


def _provenance(records: Sequence[FileRecord], settings: Settings) -> Provenance:
    """Of the run: maker and detector settings as far as they are the same for all images."""
    images = [image for _, image in _images(records)]
    makers = {image.maker for image in images}
    first = images[0].detector_settings if images else {}
    shared = {k: v for k, v in first.items() if all(image.detector_settings.get(k) == v for image in images)}
    analysis = settings.model_dump(exclude={"detector", "detector_settings"}, exclude_none=True)
    return Provenance(
        maker=makers.pop() if len(makers) == 1 else f"detector {settings.detector}",
        version=__version__,
        settings={"detector": shared, "analysis": analysis},
        inputs=tuple(image.id for image in images),
        seed=settings.seed,
    )


def _methods(report: Report) -> str:
    section = next(section for section in report.sections if section.id == "methods")
    return "\n".join(block.text for block in section.blocks if isinstance(block, Text))
