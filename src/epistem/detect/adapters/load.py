"""From a file, or a folder of files, to Instances: the format is told from suffix and structure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from epistem.core import Instances, RecordError, Table
from epistem.detect.adapters.coco import coco_images
from epistem.detect.adapters.content import Shape, read_json, to_instances
from epistem.detect.adapters.tables import table_images

ADAPTERS = Table(
    "annotation format",
    {
        "labels": "epistem.detect.adapters.pictures:read_labels",
        "binary": "epistem.detect.adapters.pictures:read_binary",
        "coco": "epistem.detect.adapters.coco:read_coco",
        "sam": "epistem.detect.adapters.sam:read_sam",
        "geojson": "epistem.detect.adapters.geojson:read_geojson",
        "yolo": "epistem.detect.adapters.lines:read_yolo",
        "cellpose": "epistem.detect.adapters.lines:read_cellpose_outlines",
        "table": "epistem.detect.adapters.tables:read_table",
        "imagej": "epistem.detect.adapters.imagej:read_rois",
    },
)

# What tools add to the image's name, longest first; none at all comes last.
ENDINGS = ("_cp_outlines", "_cp_masks", "_labels", "_label", "_masks", "_mask", "_rois", "_seg", "")
BY_SUFFIX = {
    ".tif": "labels",
    ".tiff": "labels",
    ".png": "labels",
    ".npy": "labels",
    ".txt": "yolo",
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "table",
    ".geojson": "geojson",
    ".zip": "imagej",
    ".roi": "imagej",
}


def load_instances(
    path: str | Path,
    *,
    shape: Shape | None = None,
    image: str | None = None,
    kind: str | None = None,
) -> Instances:
    """Objects that another tool, or a person, found.

    Args:
        path: the file.
        shape: rows and columns of the image; needed where the format does not hold them, checked where it does.
        image: which image, by file name or id, where the file holds several.
        kind: a name in ADAPTERS; None tells it from suffix and structure. `"binary"` must be asked for.

    Returns:
        Objects cut at the image's edge. Boxes are the masks' tight boxes where there are masks. The format and
        what was left out are in `provenance.settings`.

    Raises:
        RecordError: the file does not hold what it should.
        ShapeError: its image has another size than `shape`.
        UnknownName: no such `kind`.
    """
    path = Path(path)
    reader = ADAPTERS[kind] if kind else None
    try:
        kind = kind or format_of(path)
        content = (reader or ADAPTERS[kind])(path, shape=shape, image=image)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror or error}; check the path and its permissions"
        ) from error
    return to_instances(content, source=path.name, kind=kind, inputs=(digest,))


def format_of(path: Path) -> str:
    """The name in ADAPTERS of the format that a file is in.

    Raises:
        RecordError: none fits.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _json_format(read_json(path))
    if path.name.lower().endswith("_cp_outlines.txt"):
        return "cellpose"
    if suffix not in BY_SUFFIX:
        known = " ".join([*BY_SUFFIX, ".json"])
        raise RecordError(f"{path.name}: no annotation format ends in {suffix or 'nothing'}; wanted one of {known}")
    return BY_SUFFIX[suffix]


def _json_format(data: Any) -> str:
    first = data[0] if isinstance(data, list) and data else data
    if not isinstance(first, dict):
        return "table" if first else "coco"  # an empty list is a results file in which nothing was found
    if first.get("type") in ("FeatureCollection", "Feature"):
        return "geojson"
    if "images" in first or "image_id" in first:
        return "coco"
    return "sam" if "annotations" in first or "segmentation" in first else "table"


def annotations_for(found: Path, image_names: Sequence[str]) -> dict[str, Path]:
    """Which file holds the objects of which image.

    Args:
        found: a folder with one file an image, called like it (`a.tif`: `a.png`, `a_cp_masks.tif`, `a_rois.zip`…),
            or one file for all of them (COCO, a table with a column `image`), alone in its folder or given itself.
        image_names: file names or paths of the images.

    Returns:
        Image name → file. Images without one are not in it.

    Raises:
        RecordError: two files for one image, or nothing there.
    """
    if not found.exists():
        raise RecordError(f"no file or folder {found}; give the annotations' file or folder")
    if found.is_file():
        return _from_file(found, image_names)
    files = sorted(p for p in found.iterdir() if p.is_file() and p.suffix.lower() in {*BY_SUFFIX, ".json"})
    images = {Path(name).resolve() for name in image_names}
    files = [file for file in files if file.resolve() not in images]
    pairs = {name: file for name in image_names if (file := _by_stem(files, name)) is not None}
    shared = [file for file in files if file.suffix.lower() in (".json", ".csv", ".tsv", ".parquet")]
    return pairs if pairs or len(shared) != 1 else _from_file(shared[0], image_names)


def _by_stem(files: Sequence[Path], name: str) -> Path | None:
    stem = Path(name).stem
    for ending in ENDINGS:
        fits = [file for file in files if file.stem == stem + ending]
        if len(fits) > 1:
            raise RecordError(
                f"{fits[0].name} and {fits[1].name} are both for {name}; keep one of them in the folder"
            )
        if fits:
            return fits[0]
    return None


def _from_file(file: Path, image_names: Sequence[str]) -> dict[str, Path]:
    kind = format_of(file)
    listed = coco_images(file) if kind == "coco" else table_images(file) if kind == "table" else []
    if listed:
        stems = {Path(name).stem for name in listed}
        return {name: file for name in image_names if Path(name).stem in stems}
    if len(image_names) == 1:
        return {image_names[0]: file}
    return {name: file for name in image_names if _by_stem([file], name) is not None}
