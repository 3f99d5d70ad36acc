"""Jobs "segment" and "explain": what `epistem segment` and `epistem explain` do, with a network of this session.

::

    ROOM/weights/<id>/<name>.safetensors     networks that the person sent
    ROOM/runs/<id>/…/plan.json               networks that were trained here
    ITEM/segment/images/<name>/              results as `epistem segment` writes them
    ITEM/segment/looks/<slice>/              picture.png, classes.png, objects.json, told.json: what the page shows
    ITEM/explain/<id>/                       heatmap.svg, heatmap.tif, explain.json
"""

from __future__ import annotations

import io
import json
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from epistem.app.analyze import Analysis
from epistem.app.batch import make_jobs
from epistem.app.settings import Settings, make_settings
from epistem.app.store import FileRecord, Job, finished
from epistem.app.trust_card import Unwatched
from epistem.app.web.detect import check_size
from epistem.app.web.jobs import Bench
from epistem.app.web.looks import objects_json, threshold_row
from epistem.app.web.networks import Network, network_of
from epistem.app.web.rooms import Item, Refused, Room, read_json
from epistem.app.worker import run_job
from epistem.core import Instances, Micrograph
from epistem.core.files import write_text, written_whole
from epistem.report.overlay import COLOURS, plain_png

if TYPE_CHECKING:
    from epistem.app.web.desk import Desk

LOOKS = frozenset({"classes.png", "objects.json", "told.json"})
EXPLAINED = frozenset({"heatmap.svg", "heatmap.tif", "explain.json"})
SURE = 0.05
"""A map holds where places elsewhere take as much of the answer less often than this."""


@dataclass(frozen=True)
class _Bounded(Unwatched):
    """A network that looks at images of up to so many pixels."""

    megapixels: float = 0.0

    def __call__(self, micrograph: Micrograph) -> Instances:
        check_size(micrograph, self.megapixels)
        return self.detector(micrograph)


def queue_segment(desk: Desk, room: Room, id: str, network: str, min_diameter_px: float = 0.0) -> str:
    """Queues the segmentation of an image, and tells the job's id; one that waits with other settings is dropped.

    Raises:
        Refused: there is no such image or network in this session.
    """
    room.item(id)
    network_of(room, network)
    if not 0 <= min_diameter_px < np.inf:
        raise Refused(f"the smallest diameter is 0 px or more, not {min_diameter_px:g}")
    for job in desk.queue.of_room(room.name, kind="segment", item=id, state="waiting"):
        desk.queue.cancel(job.id, room.name)
    return desk.queue_job(room, "segment", {"network": network, "min_diameter_px": min_diameter_px}, id)


def queue_explain(desk: Desk, room: Room, id: str, ring: Sequence[float], class_name: str | None = None) -> str:
    """Queues the heatmap of a region for the network that segmented the image, and tells the job's id.

    Args:
        ring: corners x0, y0, x1, y1, … [px].
        class_name: that is asked about; None takes that of the region.

    Raises:
        Refused: the image has not been segmented, or that is no outline.
    """
    told = told_of(room, id, 0)
    if len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all():
        raise Refused("a region has three corners or more")
    what = {"network": told["network"], "ring": [round(float(one), 2) for one in ring], "class_name": class_name}
    return desk.queue_job(room, "explain", what, id)


def told_of(room: Room, id: str, slice_: int) -> dict[str, Any]:
    """What the page shows beside a segmented image.

    Raises:
        Refused: it has not been segmented.
    """
    told = read_json(look_of(room, id, slice_) / "told.json")
    if told is None:
        raise Refused("this image has not been segmented yet", 404)
    return dict(told)


def look_of(room: Room, id: str, slice_: int = 0) -> Path:
    """What the page shows of one image of a file."""
    return room.folder_of(id) / "segment" / "looks" / f"{slice_:04d}"


def results_of(room: Room, id: str) -> Path:
    """The results of an image as `epistem segment` writes them."""
    return room.folder_of(id) / "segment"


def explanation_of(room: Room, id: str, name: str) -> Path:
    """The folder of one heatmap.

    Raises:
        Refused: no name of one.
    """
    if len(name) != 16 or set(name) - set("0123456789abcdef"):
        raise Refused("there is no such heatmap in this session", 404)
    return room.folder_of(id) / "explain" / name


def run(bench: Bench) -> dict[str, Any]:
    """Segment one image; its results are those of `epistem segment` with the same network.

    Returns:
        The network in words, and of each image in the file: name, parts, verdict, folder of its results.
    """
    item, network, file, why = _asked(bench)
    results = results_of(bench.room, item.id)
    with chdir(bench.room.folder):  # where this machine keeps rooms is no part of a result
        path = file.relative_to(bench.room.folder)
        settings = segmenter_settings(item, path, float(bench.what.get("min_diameter_px", 0.0)))
        (job,) = make_jobs([(bench.room.file_of(item), item.name)], settings)
        record = finished(results, job)
        if record is None or not look_of(bench.room, item.id).is_dir():
            shutil.rmtree(results / "looks", ignore_errors=True)
            record = _segment(bench, job, settings, lambda folder, made: write_look(folder, made, network.id, why))
    return {"network": network.id, "why": why, "images": [_row(one) for one in record.images]}


def explain_region(bench: Bench) -> dict[str, Any]:
    """The heatmap of one region; the files and numbers are those of `epistem explain IMAGE --model … --roi …`.

    Returns:
        The heatmap's name, its numbers, whether it holds (None: not tested), and what to say of it.
    """
    from epistem.app.explain import ask_model, explain, write_explanation
    from epistem.app.segment_cli import explained

    item, _, file, _ = _asked(bench)
    bench.told("Opening the network")
    roi = corners(bench.what["ring"])
    asked = ask_model(bench.room.file_of(item), file, roi, bench.what.get("class_name"))
    made = explain(
        asked, kernel="blur", patch_px=None, check=True,
        told=lambda done, of, left: bench.told(f"Pass {done} of {of}, {left}", done / max(of, 1)),
    )  # fmt: skip
    name = secrets.token_hex(8)
    told = write_explanation(made, explanation_of(bench.room, item.id, name))
    p = told["deletion_p"]
    return {
        "name": name, "roi": roi, "words": explained(told).splitlines(), "holds": None if p is None else p < SURE,
        **{key: value for key, value in told.items() if key != "provenance"},
    }  # fmt: skip


def corners(ring: Sequence[float]) -> str:
    """An outline as --roi takes it.

    >>> corners([20, 10, 30, 10, 30.5, 20])
    '10,20 10,30 20,30.5'
    """
    return " ".join(f"{y:g},{x:g}" for x, y in zip(ring[::2], ring[1::2], strict=True))


def segmenter_settings(item: Item, file: Path, min_diameter_px: float) -> Settings:
    """Those of `epistem segment` where nothing else is said.

    Raises:
        SettingsError: a value outside its range.
    """
    chosen = {"weights": str(file), "min_diameter_px": min_diameter_px, "device": None}
    return make_settings(
        detector="segmenter", detector_settings=chosen, pixel_size=item.pixel_size, object_name="object"
    )


def filled_png(folder: Path, opacity: float) -> bytes:
    """The picture with every class filled in its colour.

    Args:
        folder: of a look.
        opacity: of the colours, 0 to 1.
    """
    picture = np.asarray(Image.open(folder / "picture.png").convert("RGB"))
    classes = np.asarray(Image.open(folder / "classes.png"))
    palette = np.array([colour_of(k) for k in range(256)], np.float32)
    here = classes > 0
    filled = picture.copy()
    filled[here] = np.rint((1 - opacity) * picture[here] + opacity * palette[classes[here] - 1])
    buffer = io.BytesIO()
    Image.fromarray(filled).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def colour_of(k: int) -> tuple[int, int, int]:
    """Of class k, the background not counted, as on the overlays of the reports."""
    return COLOURS[k % len(COLOURS)]


def _asked(bench: Bench) -> tuple[Item, Network, Path, str]:
    """Image, network, its file, and why that one of a run."""
    from epistem.app.segment import model_file

    assert bench.item is not None
    item = bench.room.item(bench.item)
    network = network_of(bench.room, str(bench.what.get("network")))
    bench.told("Opening the network")
    file, why = model_file(network.path)
    return item, network, file, network.name if network.path.is_file() else why.removeprefix("Network: ")


def _segment(bench: Bench, job: Job, settings: Settings, write: Callable[[Path, Analysis], None]) -> FileRecord:
    looker = settings.looker()
    assert isinstance(looker, Unwatched)
    bounded = _Bounded(looker.detector, looker.why_no_forecast, bench.limits.megapixels)
    id, slices = str(bench.item), 0

    def show(analysis: Analysis) -> None:
        nonlocal slices
        write(look_of(bench.room, id, slices), analysis)
        slices += 1

    bench.told("Looking for parts")
    return run_job(job, settings, results_of(bench.room, id), bench.told, find=bounded, each=show)


def write_look(folder: Path, analysis: Analysis, network: str, why: str) -> None:
    """What the page shows of one image: picture, classes at its size, outlines, and the numbers beside them.

    Args:
        folder: to write to.
        analysis: of the image.
        network: id.
        why: the network in words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    micrograph, found, scale = analysis.micrograph, analysis.found, analysis.micrograph.calibration
    with written_whole(folder / "picture.png") as part:
        part.write_bytes(plain_png(micrograph))
    with Image.open(folder / "picture.png") as picture:
        shown = Image.fromarray(class_map(found)).resize(picture.size, Image.Resampling.NEAREST)
    with written_whole(folder / "classes.png") as part:
        shown.save(part, "PNG", compress_level=1)
    write_text(folder / "objects.json", json.dumps(objects_json(found, micrograph), ensure_ascii=False))
    counts = np.bincount(found.label, minlength=len(found.classes))
    told = {
        **threshold_row(analysis, None), "name": micrograph.name, "network": network, "why": why,
        "classes": [
            {"name": name, "n": int(counts[k]), "colour": "#" + bytes(colour_of(k)).hex()}
            for k, name in enumerate(found.classes)
        ],
        "weights": analysis.provenance.weights, "warnings": list(micrograph.warnings),
        "calibration": None if scale is None else {"col_nm": scale.col_nm, "source": scale.source},
    }  # fmt: skip
    write_text(folder / "told.json", json.dumps(told, ensure_ascii=False))


def class_map(found: Instances) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H, W) number of the class, 0 where nothing was found."""
    classes = np.zeros(found.shape, np.uint8)
    for mask, k in zip(found.masks(), found.label, strict=True):
        classes[mask.rows, mask.cols][mask.crop] = k + 1
    return classes


def _row(one: Any) -> dict[str, Any]:
    return {"name": one.name, "n": one.n_objects, "verdict": one.verdict, "folder": one.folder}
