"""From a file, or a folder of files, to Instances: the format is told from suffix and structure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epistem.core import Instances, RecordError, SettingsError, Table
from epistem.detect.adapters.coco import coco_images
from epistem.detect.adapters.content import Shape, read_json, to_instances
from epistem.detect.adapters.names import Parts, pair, parts_of
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
_UNREADABLE = "cannot read {}: {}; check the path and its permissions"
_TABULAR = (".json", ".csv", ".tsv", ".parquet")


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
        raise RecordError(_UNREADABLE.format(path, error.strerror or error)) from error
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


def annotations_for(found: Path, images: Mapping[str, Path]) -> dict[str, Path]:
    """Which file holds the objects of which image.

    Args:
        found: a folder with one file an image, called like it (`a.tif`: `a.png`, `a_cp_masks.tif`, `a_rois.zip`…),
            in sub-folders where the images are (`a/x.tif`: `a/x.png`), or one file for all of them (COCO, a table
            with a column `image`), alone in its folder or given itself.
        images: name of each image, its path below the folder that is analysed → its file. These files are never
            taken for annotations.

    Returns:
        Image name → file. Images without one are not in it.

    Raises:
        RecordError: two files for one image, or two images for one file.
        SettingsError: nothing there.
    """
    if not found.exists():
        raise SettingsError(f"no file or folder {found}; give the annotations' file or folder")
    if found.is_file():
        return _from_file(found, images)
    own = {path.resolve() for path in images.values()}
    files = [file for file in annotation_files(found) if file.resolve() not in own]
    pairs = _by_name(files, found, images)
    shared = [file for file in files if file.parent == found and file.suffix.lower() in _TABULAR]
    return pairs if pairs or len(shared) != 1 else _from_file(shared[0], images)


def annotation_files(folder: Path) -> list[Path]:
    """All files below a folder that end like annotations, in order; none that is hidden."""
    known = {*BY_SUFFIX, ".json"}
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in known
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    )


def listed_images(path: Path) -> list[str]:
    """The images that a file of annotations names; empty where its format names none.

    Raises:
        RecordError: a file that cannot be read.
    """
    try:
        kind = format_of(path)
        return coco_images(path) if kind == "coco" else table_images(path) if kind == "table" else []
    except OSError as error:
        raise RecordError(_UNREADABLE.format(path, error.strerror or error)) from error


def _by_name(files: Sequence[Path], root: Path, images: Mapping[str, Path]) -> dict[str, Path]:
    """Pairs by path and stem; in one folder, a tool's ending goes before none."""
    wanted = {name: parts_of(name) for name in images}
    stems = {parts[-1] for parts in wanted.values()}
    best: dict[Parts, tuple[int, list[Path]]] = {}
    for file in files:
        for rank, ending in enumerate(ENDINGS):
            stem = file.stem.removesuffix(ending)
            if not file.stem.endswith(ending) or stem not in stems:
                continue
            parts = (*file.relative_to(root).parent.parts, stem)
            before, same = best.get(parts, (rank, []))
            if rank <= before:
                best[parts] = (rank, [*same, file] if rank == before else [file])
    chosen = {"/".join(parts): files for parts, (_, files) in best.items()}
    pairs = pair(wanted, {"/".join(parts): parts for parts in best})
    for name, key in pairs.items():
        if len(chosen[key]) > 1:
            one, two, *_ = (file.relative_to(root) for file in chosen[key])
            raise RecordError(f"{one} and {two} are both for {name}; keep one of them in the folder")
    return {name: chosen[key][0] for name, key in pairs.items()}


def _from_file(file: Path, images: Mapping[str, Path]) -> dict[str, Path]:
    listed = listed_images(file)
    if listed:
        pairs = pair({name: parts_of(name) for name in images}, {name: parts_of(name) for name in listed})
        return dict.fromkeys(pairs, file)
    return dict.fromkeys(images, file) if len(images) == 1 else _by_name([file], file.parent, images)
