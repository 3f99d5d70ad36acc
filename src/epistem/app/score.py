"""Found against true, for two files or two folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from epistem.app.store import RESULT, FileRecord
from epistem.core import Instances, RecordError
from epistem.detect.adapters import format_of, load_instances
from epistem.detect.adapters.coco import coco_images
from epistem.detect.adapters.load import BY_SUFFIX, ENDINGS
from epistem.detect.adapters.tables import table_images
from epistem.detect.match import By, Match, Method, Pooled, match, pool

Shape = tuple[int, int]


class Annotated(NamedTuple):
    """Where the objects of one image are: a file, which image in it, and of which series, if any."""

    path: Path
    image: str | None
    series: str | None = None

    def load(self, shape: Shape | None) -> Instances:
        """The objects."""
        return load_instances(self.path, shape=shape, image=self.image)


@dataclass(frozen=True, eq=False)
class Scores:
    """Matches by image, and what they amount to.

    Attributes:
        names: images, in order.
        matches: one each.
        pooled: over all of them.
        only_found, only_true: images that have annotations on one side only; they are not scored.
    """

    names: tuple[str, ...]
    matches: tuple[Match, ...]
    pooled: Pooled
    only_found: tuple[str, ...]
    only_true: tuple[str, ...]


def score(
    found: Path,
    truth: Path,
    *,
    images: Path | None = None,
    method: Method = "paper",
    by: By = "box",
    iou: float = 0.1,
) -> Scores:
    """Match what was found with what is true, image by image; images are paired by their name without suffix.

    Args:
        found: file or folder of annotations in any format of `ADAPTERS`, or the results folder of `analyze`.
        truth: the same.
        images: folder of the images; needed where neither side holds their size (YOLO, tables).
        method, by, iou: as for `match`.

    Raises:
        RecordError: annotations that cannot be read, or no image that both have.
    """
    ours, theirs = annotated(found), annotated(truth)
    if len(ours) == len(theirs) == 1 and not set(ours) & set(theirs):
        ours = dict(zip(theirs, ours.values(), strict=True))
    # Truth that names a file holds for each image of the series in it.
    for name, one in ours.items():
        if name not in theirs and one.series in theirs:
            theirs[name] = theirs[one.series]
    whole = {one.series for one in ours.values()} - set(ours)
    names = [name for name in theirs if name in ours]
    if not names:
        raise RecordError(
            f"no image has annotations in both: {found} has {_some(ours)}, {truth} has {_some(theirs)}; "
            "name them alike"
        )
    matches = []
    for name in names:
        true = theirs[name].load(_shape(name, images))
        matches.append(match(ours[name].load(true.shape), true, method=method, by=by, iou=iou))
    return Scores(
        tuple(names),
        tuple(matches),
        pool(matches),
        tuple(name for name in ours if name not in theirs),
        tuple(name for name in theirs if name not in ours and name not in whole),
    )


def annotated(path: Path) -> dict[str, Annotated]:
    """Image name without suffix → its annotations, for a file, a folder of files, or a folder of results.

    Raises:
        RecordError: nothing there.
    """
    if path.is_file():
        return _in_file(path)
    if (path / "run.json").is_file() and (path / "images").is_dir():
        return _in_results(path)
    if not path.is_dir():
        raise RecordError(f"{path}: wanted a file or a folder of annotations; there is none of that name")
    known = {*BY_SUFFIX, ".json"}
    found: dict[str, Annotated] = {}
    for file in sorted(path.iterdir()):
        if file.is_file() and file.suffix.lower() in known:
            for name, one in _in_file(file).items():
                if name in found:
                    raise RecordError(
                        f"{found[name].path.name} and {file.name} are both for {name}; keep one of them"
                    )
                found[name] = one
    if not found:
        raise RecordError(f"{path} holds no annotations; wanted files that end in {' '.join(sorted(known))}")
    return found


def _in_file(path: Path) -> dict[str, Annotated]:
    kind = format_of(path)
    listed = coco_images(path) if kind == "coco" else table_images(path) if kind == "table" else []
    if listed:
        return {Path(name).stem: Annotated(path, name) for name in listed}
    ending = next(ending for ending in ENDINGS if path.stem.endswith(ending))
    return {path.stem.removesuffix(ending): Annotated(path, None)}


def _in_results(results: Path) -> dict[str, Annotated]:
    found = {}
    for path in sorted((results / "images").rglob(RESULT)):
        record = FileRecord.model_validate_json(path.read_text("utf-8"))
        stem = Path(record.file).stem
        for image in record.images:
            coco = results / image.folder / "objects.coco.json"
            if len(record.images) == 1:
                found[stem] = Annotated(coco, None)
            else:
                found[f"{stem} {Path(image.folder).name}"] = Annotated(coco, None, series=stem)
    return found


def _shape(name: str, images: Path | None) -> Shape | None:
    if images is None:
        return None
    from epistem.core import MicrographSeries
    from epistem.imaging import read

    fits = sorted(path for path in images.iterdir() if path.stem == name)
    if not fits:
        raise RecordError(f"{images} holds no image called {name}; its size was needed")
    image = read(fits[0])
    return (image[0] if isinstance(image, MicrographSeries) else image).shape


def _some(names: dict[str, Annotated]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "") or "none"
