"""Found against true, for two files or two folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from epistem.app.store import RESULT, FileRecord, folder_of
from epistem.core import Instances, RecordError, SettingsError
from epistem.detect.adapters import load_instances
from epistem.detect.adapters.content import read_json
from epistem.detect.adapters.load import BY_SUFFIX, ENDINGS, annotation_files, format_of, listed_images
from epistem.detect.adapters.names import Parts, pair, parts_of
from epistem.detect.match import By, Match, Method, Pooled, match, pool

Shape = tuple[int, int]


class Annotated(NamedTuple):
    """Where the objects of one image are: a file, which image in it, and which image of a series it is, if of one."""

    path: Path
    image: str | None
    series: str | None = None
    position: int | None = None

    def load(self, shape: Shape | None) -> Instances:
        """The objects."""
        return load_instances(self.path, shape=shape, image=self.image)


class Paired(NamedTuple):
    """One image that both sides have annotations of.

    Attributes:
        name: as the found side calls it.
        place: its series, or itself.
        found, truth: where the objects are.
        picture: its file; None without a folder of images.
    """

    name: str
    place: str
    found: Annotated
    truth: Annotated
    picture: Path | None


class Pairing(NamedTuple):
    """The images of both sides, and the names of those that only one side has."""

    both: tuple[Paired, ...]
    only_found: tuple[str, ...]
    only_true: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scores:
    """Matches by image, and what they amount to.

    Attributes:
        names: images, as the found side calls them.
        matches: one each.
        pooled: over all of them; a series is one place.
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
    """Match what was found with what is true, image by image; images are paired by path and name without suffix.

    Folders count where both sides have them, so `a/x` and `b/x` are two images; a bare `x` is the only `x` there is.
    Truth that names a file holds for each image of the series in it. The images of a series show the same place:
    each has its row, and in the means they are one.

    Args:
        found: file or folder of annotations in any format of `ADAPTERS`, or the results folder of `analyze`.
        truth: the same.
        images: folder of the images; needed where neither side holds their size (YOLO, tables).
        method, by, iou: as for `match`.

    Raises:
        RecordError: annotations that cannot be read, or a name that fits two.
        SettingsError: a path that is not there, or no image that both have.
    """
    images_of = paired(found, truth, images)
    matches = []
    for one in images_of.both:
        objects = one.truth.load(_shape(one.picture))
        matches.append(match(one.found.load(objects.shape), objects, method=method, by=by, iou=iou))
    return Scores(
        tuple(one.name for one in images_of.both),
        tuple(matches),
        pool(matches, places=[one.place for one in images_of.both]),
        images_of.only_found,
        images_of.only_true,
    )


def paired(found: Path, truth: Path, images: Path | None = None) -> Pairing:
    """Which annotations on one side are of the same image as which on the other, as `score` has it.

    COCO results name their images by id; where the truth is one COCO file, it says which images these are.

    Raises:
        RecordError: annotations that cannot be read, or a name that fits two.
        SettingsError: a path that is not there, or no image that both have.
    """
    theirs = annotated(truth)
    ours = _named_by_id(annotated(found), theirs)
    pairs = _pairs(ours, theirs)
    if not pairs:
        raise SettingsError(
            f"wanted images with annotations in both; {found} has {_some(ours)}, {truth} has {_some(theirs)}; give "
            "found and true objects of the same images, named alike"
        )
    pictures = pictures_of(images, theirs) | pictures_of(images, ours)
    both = []
    for name, other in pairs.items():
        mine, true = ours[name], theirs[other]
        place = mine.series or true.series or name
        both.append(
            Paired(name, place, mine, true, picture(images, pictures, (mine.series or name, true.series or other)))
        )
    return Pairing(
        tuple(both),
        tuple(name for name in ours if name not in pairs),
        tuple(name for name in theirs if name not in pairs.values()),
    )


def _named_by_id(ours: dict[str, Annotated], theirs: Mapping[str, Annotated]) -> dict[str, Annotated]:
    """Images of COCO results under the names that the truth has for their ids."""
    sources = {one.path for one in theirs.values() if one.image and one.path.suffix.lower() == ".json"}
    if len(sources) != 1 or not any(_is_results(one) for one in ours.values()):
        return ours
    data = read_json(sources.pop())
    if not isinstance(data, dict) or "images" not in data:
        return ours
    name_of = {one.image: name for name, one in theirs.items()}
    by_id = {str(entry.get("id")): name_of[str(entry.get("file_name"))] for entry in data["images"]}
    named: dict[str, Annotated] = {}
    for name, one in ours.items():
        _add(named, by_id.get(str(one.image), name) if _is_results(one) else name, one)
    return named


def _is_results(one: Annotated) -> bool:
    """Whether it is of a COCO results file, a list of records with `image_id`."""
    return (
        bool(one.image)
        and one.path.suffix.lower() == ".json"
        and format_of(one.path) == "coco"
        and isinstance(read_json(one.path), list)
    )


def _pairs(ours: Mapping[str, Annotated], theirs: Mapping[str, Annotated]) -> dict[str, str]:
    """Our image → theirs."""
    # Series stand among the images, so that a name which fits one of each is seen to be ambiguous.
    names = [*ours, *(one.series for one in ours.values() if one.series)]
    pairs = pair({name: _key_parts(name) for name in names}, {name: _key_parts(name) for name in theirs})
    if not pairs and len(ours) == len(theirs) == 1:
        return dict(zip(ours, theirs, strict=True))
    partners = {name: pairs.get(name) or pairs.get(one.series or name) for name, one in ours.items()}
    return {name: other for name, other in partners.items() if other}


def annotated(path: Path) -> dict[str, Annotated]:
    """Image path without suffix → its annotations, for a file, a folder of files, or a folder of results.

    Raises:
        RecordError: a folder without annotations, damaged results, or two annotations of one image.
        SettingsError: nothing there.
    """
    if path.is_file():
        return _in_file(path, path.parent)
    if is_results_folder(path):
        return _in_results(path)
    if not path.is_dir():
        raise SettingsError(f"{path}: wanted a file or a folder of annotations; there is none of that name")
    found: dict[str, Annotated] = {}
    for file in annotation_files(path):
        for name, one in _in_file(file, path).items():
            _add(found, name, one)
    if not found:
        known = " ".join(sorted({*BY_SUFFIX, ".json"}))
        raise RecordError(f"{path} holds no annotations; wanted files that end in {known}")
    return found


def is_results_folder(path: Path) -> bool:
    """Whether `analyze` wrote it."""
    return (path / "run.json").is_file() and (path / "images").is_dir()


def _add(found: dict[str, Annotated], name: str, one: Annotated) -> None:
    if name in found:
        first, second = (entry.image or entry.path.name for entry in (found[name], one))
        raise RecordError(f"{first} and {second} are both for {name}; keep one of them")
    found[name] = one


def _in_file(path: Path, root: Path) -> dict[str, Annotated]:
    folder = path.relative_to(root).parent.parts
    listed = listed_images(path)
    if not listed:
        ending = next(ending for ending in ENDINGS if path.stem.endswith(ending))
        return {"/".join((*folder, path.stem.removesuffix(ending))): Annotated(path, None)}
    found: dict[str, Annotated] = {}
    for name in listed:
        _add(found, "/".join((*folder, *parts_of(name))), Annotated(path, name))
    return found


def _in_results(results: Path) -> dict[str, Annotated]:
    """What the last run lists; results of files that were removed since stay behind in the folder."""
    found: dict[str, Annotated] = {}
    for file in _files_of_run(results / "run.json"):
        path = folder_of(results, file) / RESULT
        try:
            record = FileRecord.model_validate_json(path.read_text("utf-8"))
        except (OSError, ValidationError) as error:
            raise RecordError(f"{path}: wanted the results of {file}, cannot read them; analyse it again") from error
        name = "/".join(parts_of(file))
        for image in record.images:
            coco = results / image.folder / "objects.coco.json"
            if len(record.images) == 1:
                _add(found, name, Annotated(coco, None))
            else:
                _add(found, f"{name} {Path(image.folder).name}", Annotated(coco, None, name, image.slice))
    return found


def _files_of_run(path: Path) -> list[str]:
    run = read_json(path)
    files = run.get("files") if isinstance(run, dict) else None
    if not isinstance(files, dict):
        raise RecordError(f"{path}: wanted the files of a run under 'files'; run analyze again")
    return list(files)


def pictures_of(images: Path | None, annotated: Mapping[str, Annotated]) -> dict[str, Path]:
    """Name of an image or a series → its file, for those that have one.

    Raises:
        SettingsError: no such folder.
    """
    if images is None:
        return {}
    if not images.is_dir():
        raise SettingsError(f"{images}: wanted the folder of the images; there is none of that name")
    from epistem.imaging.read import SUFFIXES

    files = {path.relative_to(images).as_posix(): path for path in sorted(images.rglob("*"))}
    wanted = {one.series or name for name, one in annotated.items()}
    pairs = pair(
        {name: _key_parts(name) for name in sorted(wanted)},
        {name: parts_of(name) for name, path in files.items() if path.suffix.lower() in SUFFIXES},
    )
    return {name: files[other] for name, other in pairs.items()}


def picture(images: Path | None, pictures: Mapping[str, Path], names: tuple[str, ...]) -> Path | None:
    """The file of the image under any of its names; None without a folder of images.

    Raises:
        RecordError: the folder does not have it.
    """
    if images is None:
        return None
    path = next((pictures[name] for name in names if name in pictures), None)
    if path is None:
        raise RecordError(f"{images} holds no image called {names[0]}; its size was needed")
    return path


def _shape(picture: Path | None) -> Shape | None:
    if picture is None:
        return None
    from epistem.core import MicrographSeries
    from epistem.imaging import read

    image = read(picture)
    return (image[0] if isinstance(image, MicrographSeries) else image).shape


def _key_parts(name: str) -> Parts:
    """Parts of a name that has no suffix any more."""
    return tuple(name.split("/"))


def _some(names: Mapping[str, Annotated]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "") or "none"
