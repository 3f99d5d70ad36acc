"""One file from reading to its folder of results; what a worker of a batch runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from epistem.app.analyze import (
    Analysis,
    Finder,
    analyze_image,
    images_of,
    noise_words,
    shipped_weights,
    versions,
)
from epistem.app.settings import Settings
from epistem.app.shards import write_shard
from epistem.app.store import (
    BRIEF,
    LABELS,
    READ_AGAIN,
    RESULT,
    SLICE,
    FileRecord,
    ImageRecord,
    Job,
    finished_slice,
    folder_of,
)
from epistem.app.trust_card import Unwatched, Watched
from epistem.core import Instances, Micrograph, Quantity, Reliability
from epistem.core.files import summed, sweep, write_text, written_whole
from epistem.report.compose import Entry, brief_of, foil_of, single_report
from epistem.report.export import (
    arrow_column,
    columns_of,
    read_labels,
    write_coco,
    write_geojson,
    write_imagej_rois,
    write_labels,
    write_table,
    write_yolo,
)
from epistem.report.fiji import write_micrograph
from epistem.report.label_stack import label_stack
from epistem.report.overlay import overlay_png
from epistem.report.render import render_html
from epistem.report.sections import noun_of
from epistem.report.words import counted

# label, file name: what lies beside the page of each image
EXPORTS = (
    ("Objects (CSV)", "objects.csv"),
    ("Objects (parquet)", "objects.parquet"),
    ("Masks (COCO)", "objects.coco.json"),
    ("Outlines (GeoJSON)", "objects.geojson"),
    ("ImageJ ROIs", "rois.zip"),
    ("YOLO-seg", "yolo.txt"),
    ("Label image", LABELS),
    ("Image for Fiji", "image.tif"),
    ("Overlay", "overlay.png"),
)
STACK = "labels.ome.zarr"

Stage = Callable[[str], None]


def run_job(
    job: Job, settings: Settings, results: Path, stage: Stage = lambda what: None, *,
    find: Finder | Watched | Unwatched | None = None, each: Callable[[Analysis], None] | None = None,
) -> FileRecord:  # fmt: skip
    """Analyse one file, write its folder, and then the record that says the folder is whole.

    Slices of a series that a killed run has done under the same key are kept, but where `find` or `each` is given.

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
    settings = _of_job(settings, job)
    folder = folder_of(results, job.name)
    # While it is being made anew the folder must not count as whole.
    (folder / RESULT).unlink(missing_ok=True)
    stage(f"{job.name}: looking for objects")
    looker = _loader(job) or find or settings.looker()
    images = images_of(job.path, settings)
    keeps = find is None and each is None
    records: list[ImageRecord] = []
    sums: dict[str, str] = {}
    with label_stack(folder / STACK, len(images)) as add_labels:
        for number, micrograph in enumerate(images, 1):
            place = micrograph.slice
            inside = folder if place is None else folder / f"{place.position:04d}"
            done = finished_slice(inside, job.key, micrograph.id) if keeps and place is not None else None
            if done is None:
                analysis = analyze_image(micrograph, settings, looker)
                if each is not None:
                    each(analysis)
                which = "" if place is None else f", {number} of {len(images)}"
                done = _written(analysis, inside, job, results, stage, which)
            if place is not None:
                add_labels(read_labels(inside / LABELS), micrograph)
            records += done.images
            sums |= {(inside / one).relative_to(folder).as_posix(): done.sums[one] for one in READ_AGAIN}
    _remove_others(folder, len(images) if records[0].slice is not None else 0)
    for inside in (folder, *(one for one in folder.glob("[0-9]*") if one.is_dir())):
        sweep(inside)
    record = FileRecord(file=job.name, key=job.key, specimen=job.specimen, images=tuple(records), sums=sums)
    write_text(folder / RESULT, record.model_dump_json(indent=1))
    return record


def run_lean(job: Job, settings: Settings, results: Path, stage: Stage = lambda what: None) -> FileRecord:
    """Analyse one file, and write its objects and its record as one shard: no picture, no outline, no page.

    Raises:
        EpistemError: the file cannot be read, or the shard cannot be written.
    """
    import pyarrow as pa

    settings = _of_job(settings, job)
    stage(f"{job.name}: looking for objects")
    looker = _loader(job) or settings.looker()
    records, tables = [], []
    for micrograph in images_of(job.path, settings):
        analysis = analyze_image(micrograph, settings, looker)
        records.append(record_of(analysis, ""))
        columns = columns_of(analysis.found)
        n = len(analysis.found)
        place = micrograph.slice
        own = {"file": job.name, "key": job.key, "image": micrograph.name}
        first = {name: pa.array([value] * n, pa.string()) for name, value in own.items()}
        first["slice"] = pa.array([place.position if place else None] * n, pa.int64())
        first["specimen"] = pa.array([job.specimen] * n, pa.string())
        tables.append(pa.table(first | {name: arrow_column(name, column) for name, column in columns.items()}))
    record = FileRecord(file=job.name, key=job.key, specimen=job.specimen, images=tuple(records))
    write_shard(results, record, tables)
    return record


def _written(analysis: Analysis, folder: Path, job: Job, results: Path, stage: Stage, which: str) -> FileRecord:
    """Everything about one image, and last the record that says that a slice is whole."""
    (folder / SLICE).unlink(missing_ok=True)
    with summed((*READ_AGAIN, LABELS)) as sums:
        write_image(analysis, folder, lambda what: stage(f"{job.name}{which}: {what}"))
    image = record_of(analysis, folder.relative_to(results).as_posix())
    record = FileRecord(file=job.name, key=job.key, specimen=job.specimen, images=(image,), sums=sums)
    if analysis.micrograph.slice is not None:
        write_text(folder / SLICE, record.model_dump_json(indent=1))
    return record


def _of_job(settings: Settings, job: Job) -> Settings:
    """The settings with the thickness that the samples give for the file."""
    if job.thickness_nm is None:
        return settings
    thickness = {"thickness_nm": job.thickness_nm, "thickness_error_nm": job.thickness_error_nm}
    return settings.model_copy(update=thickness)


def _remove_others(folder: Path, n: int) -> None:
    """Slices that a run before had and this one has not; last, so that another run of the same command loses none."""
    for old in folder.glob("[0-9]*"):
        if old.name.isdigit() and int(old.name) >= n and old.is_dir():
            shutil.rmtree(old, ignore_errors=True)


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
        exports.remove(("Label image", LABELS))
        (folder / LABELS).unlink(missing_ok=True)
    else:
        write_labels(folder / LABELS, found, calibration=micrograph.calibration)
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
    # By the workers: the small pictures of a large folder would keep one process busy for minutes.
    write_text(folder / BRIEF, brief_of(Entry(report, "")).to_json())
    write_text(folder / "report.html", render_html(report))


def record_of(analysis: Analysis, folder: str) -> ImageRecord:
    """What the tables of all images take of one.

    Args:
        analysis: of the image.
        folder: of its files, relative to the results; "" where it has none.
    """
    micrograph = analysis.micrograph
    scale, place = micrograph.calibration, micrograph.slice
    return ImageRecord(
        name=micrograph.name,
        axis=place.axis if place else None,
        slice=place.position if place else None,
        folder=folder,
        id=micrograph.id,
        shape=micrograph.shape,
        row_nm=scale.row_nm if scale else None,
        col_nm=scale.col_nm if scale else None,
        scale_source=scale.source if scale else None,
        foil=foil_of(micrograph, analysis.provenance.settings),
        noun=noun_of(analysis.found.classes),
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
