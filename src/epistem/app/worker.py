"""One file from reading to its folder of results; what a worker of a batch runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from epistem.app.analyze import Analysis, Finder, analyze, noise_words, shipped_weights, versions
from epistem.app.settings import Settings
from epistem.app.store import RESULT, FileRecord, ImageRecord, Job, folder_of
from epistem.app.trust_card import Unwatched, Watched
from epistem.core import Instances, Micrograph, Quantity, Reliability
from epistem.report.compose import single_report
from epistem.report.export import (
    columns_of,
    write_coco,
    write_geojson,
    write_imagej_rois,
    write_labels,
    write_table,
    write_text,
    write_yolo,
    written_whole,
)
from epistem.report.fiji import write_micrograph
from epistem.report.overlay import overlay_png
from epistem.report.render import render_html
from epistem.report.words import counted

# label, file name: what lies beside the page of each image
EXPORTS = (
    ("Objects (CSV)", "objects.csv"),
    ("Objects (parquet)", "objects.parquet"),
    ("Masks (COCO)", "objects.coco.json"),
    ("Outlines (GeoJSON)", "objects.geojson"),
    ("ImageJ ROIs", "rois.zip"),
    ("YOLO-seg", "yolo.txt"),
    ("Label image", "labels.tif"),
    ("Image for Fiji", "image.tif"),
    ("Overlay", "overlay.png"),
)


Stage = Callable[[str], None]


def run_job(
    job: Job, settings: Settings, results: Path, stage: Stage = lambda what: None, *,
    find: Finder | Watched | Unwatched | None = None, each: Callable[[Analysis], None] = lambda analysis: None,
) -> FileRecord:  # fmt: skip
    """Analyse one file, write its folder, and then the record that says the folder is whole.

    Args:
        job: the file.
        settings: of the analysis.
        results: folder of all results.
        stage: is called with what is under way.
        find: the detector of the settings that somebody holds already.
        each: is given every image's analysis, before its files are written.

    Raises:
        EpistemError: the file cannot be read, or the results cannot be written.
    """
    if job.thickness_nm is not None:
        thickness = {"thickness_nm": job.thickness_nm, "thickness_error_nm": job.thickness_error_nm}
        settings = settings.model_copy(update=thickness)
    folder = folder_of(results, job.name)
    # While it is being made anew the folder must not count as whole.
    (folder / RESULT).unlink(missing_ok=True)
    for old in folder.glob("[0-9]*"):
        if old.name.isdigit() and old.is_dir():  # slices of the run before
            shutil.rmtree(old)
    stage(f"{job.name}: looking for objects")
    analyses = analyze(job.path, settings, find=_loader(job) or find)
    records = []
    for analysis in analyses:
        place = analysis.micrograph.slice
        inside = folder if place is None else folder / f"{place.position:04d}"
        each(analysis)
        write_image(analysis, inside, lambda what: stage(f"{job.name}: {what}"))
        records.append(_record(analysis, inside.relative_to(results)))
    record = FileRecord(file=job.name, key=job.key, specimen=job.specimen, images=tuple(records))
    write_text(folder / RESULT, record.model_dump_json(indent=1))
    return record


def write_image(analysis: Analysis, folder: Path, stage: Stage = lambda what: None) -> None:
    """Everything about one image, in its own folder."""
    folder.mkdir(parents=True, exist_ok=True)
    micrograph, found = analysis.micrograph, analysis.found
    stage(f"tables and outlines of {counted(len(found), 'object')}")
    write_table(folder / "objects.csv", found)
    write_table(folder / "objects.parquet", columns_of(found))
    write_coco(folder / "objects.coco.json", [(micrograph.name, found)])
    write_geojson(folder / "objects.geojson", found)
    write_imagej_rois(folder / "rois.zip", found)
    write_yolo(folder / "yolo.txt", found)
    exports = list(EXPORTS)
    if found.crops is None:
        exports.remove(("Label image", "labels.tif"))
    else:
        write_labels(folder / "labels.tif", found, calibration=micrograph.calibration)
    write_micrograph(folder / "image.tif", micrograph)
    stage("overlay")
    overlay = overlay_png(micrograph, found)
    with written_whole(folder / "overlay.png") as part:
        part.write_bytes(overlay)
    stage("report")
    report = single_report(
        micrograph,
        found,
        analysis.quantities,
        overlay,
        provenance=analysis.provenance,
        versions=versions(),
        shipped=shipped_weights(),
        reliability=analysis.reliability,
        exports=exports,
    )
    write_text(folder / "report.json", report.to_json())
    write_text(folder / "report.html", render_html(report))


def _record(analysis: Analysis, folder: Path) -> ImageRecord:
    micrograph = analysis.micrograph
    scale, place = micrograph.calibration, micrograph.slice
    return ImageRecord(
        name=micrograph.name,
        axis=place.axis if place else None,
        slice=place.position if place else None,
        folder=folder.as_posix(),
        id=micrograph.id,
        shape=micrograph.shape,
        row_nm=scale.row_nm if scale else None,
        col_nm=scale.col_nm if scale else None,
        n_objects=len(analysis.found),
        quantities=dict(analysis.quantities),
        expected=_expected(analysis.reliability),
        typicality=analysis.reliability.typicality,
        verdict=analysis.reliability.verdict,
        reasons=analysis.reliability.reasons,
        warnings=(*micrograph.warnings, *([noise] if (noise := noise_words(analysis.found)) else [])),
        maker=analysis.provenance.maker,
        detector_settings=dict(analysis.provenance.settings["detector"]),
        weights=analysis.provenance.weights,
    )


def _expected(reliability: Reliability) -> dict[str, Quantity]:
    labels = {"f1": "Expected F1", "precision": "Expected precision", "recall": "Expected recall"}
    spans = {name: getattr(reliability, name) for name in labels}
    return {
        name: Quantity(name, labels[name], span.value, "", span.low, span.high, span.coverage)
        for name, span in spans.items()
        if span is not None
    }


def _loader(job: Job) -> Finder | None:
    """Objects from a file of annotations, where the job has one."""
    path = job.found
    if path is None:
        return None

    def load(micrograph: Micrograph) -> Instances:
        from epistem.detect.adapters import load_instances

        return load_instances(path, shape=micrograph.shape, image=job.name)

    return load
