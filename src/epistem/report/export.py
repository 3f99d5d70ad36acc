"""Results out: tables with units, COCO, GeoJSON, ImageJ, YOLO, label images.

Object i of an image is number i + 1 everywhere: row in the table, value in the label image, name of the ROI.
A file is there whole or not at all.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core import Calibration, Instances, Mask, RecordError, ShapeError
from epistem.core.files import written_whole
from epistem.core.polygon import Part, one_ring, trace
from epistem.core.rle import compress, run_lengths

BOX = ("row0", "col0", "row1", "col1")

# Ending of a column's name → its unit, in letters that every program reads; the first that fits counts.
UNITS = {
    "_per_1e6_px": "(10^6 px)^-1",
    "_per_1e4_nm2": "(10^4 nm^2)^-1",
    "_per_um2": "um^-2",
    "_per_um3": "um^-3",
    "_per_nm2": "nm^-2",
    "_per_m3": "m^-3",
    "_e_per_A2": "e/angstrom^2",
    "_nm2": "nm^2",
    "_nm3": "nm^3",
    "_um2": "um^2",
    "_um3": "um^3",
    "_px2": "px^2",
    "_nm": "nm",
    "_um": "um",
    "_px": "px",
    "_A": "angstrom",
    "_mrad": "mrad",
    "_deg": "deg",
    "_rad": "rad",
    "_keV": "keV",
    "_C": "degC",
    "_K": "K",
    "_dpa": "dpa",
    "_percent": "%",
}


# Ends of an interval have the unit of the value they belong to.
ENDS = ("_low", "_high")

# A spreadsheet takes text that begins so for a formula; apostrophes before it are counted, so that one more is exact.
_FORMULA = r"'*[=+\-@\t\r]"


def name_and_unit(column: str) -> tuple[str, str]:
    """A column's words and unit, from its machine name; no unit is "".

    >>> name_and_unit("equivalent_diameter_nm")
    ('equivalent diameter', 'nm')
    >>> name_and_unit("density_per_um2_low")
    ('density low', 'um^-2')
    """
    if column in BOX:
        return column, "px"
    end = next((end for end in ENDS if column.endswith(end)), "")
    base = column.removesuffix(end)
    ending = next((ending for ending in UNITS if base.endswith(ending)), "")
    return (base.removesuffix(ending) + end).replace("_", " "), UNITS.get(ending, "")


def columns_of(found: Instances) -> dict[str, NDArray[Any]]:
    """Everything but the masks, by column: number, class, score, box, then the open columns."""
    boxes = dict(zip(BOX, found.boxes.T, strict=True))
    names = np.array(found.classes, object)[found.label]
    return {"object": np.arange(1, len(found) + 1), "label": names, "score": found.score, **boxes, **found.columns}


def write_table(path: Path, table: Instances | Mapping[str, ArrayLike] | Sequence[Mapping[str, Any]]) -> None:
    """A table as parquet or CSV, by the path's suffix. NaN and None are empty cells.

    Parquet keeps the machine names, with metadata `unit` and `description` on each field. CSV has headers for
    people, `equivalent diameter [nm]`, and reads back as machine name and unit all the same. Text in a CSV that a
    spreadsheet would run as a formula (it begins with = + - @) has an apostrophe before it; numbers never.

    Args:
        path: ends in .parquet or .csv.
        table: objects, or columns by name, or rows.

    Raises:
        ShapeError: a column that is not (n,).
        RecordError: another suffix, or the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    if path.suffix not in (".parquet", ".csv"):
        raise RecordError(f"a table is .parquet or .csv, not {path.name}; change the suffix")
    columns = columns_of(table) if isinstance(table, Instances) else _columns(table)
    arrays = {name: arrow_column(name, column) for name, column in columns.items()}
    if path.suffix == ".csv":
        with written_whole(path) as part:
            table = pa.table([no_formulas(array) for array in arrays.values()], list(map(header, arrays)))
            pyarrow.csv.write_csv(table, part)
        return
    fields = [described(pa.field(name, array.type)) for name, array in arrays.items()]
    with written_whole(path) as part:
        pyarrow.parquet.write_table(pa.table(list(arrays.values()), pa.schema(fields)), part)


def header(name: str) -> str:
    """What a column is called in a CSV, for people: `equivalent diameter [nm]`."""
    words, unit = name_and_unit(name)
    return f"{words} [{unit}]" if unit else words


def described(field: Any) -> Any:
    """An Arrow field that says its unit and what it is."""
    words, unit = name_and_unit(field.name)
    return field.with_metadata({"unit": unit, "description": words})


def _columns(table: Mapping[str, ArrayLike] | Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    if isinstance(table, Mapping):
        return table
    names = dict.fromkeys(name for row in table for name in row)
    return {name: [row.get(name) for row in table] for name in names}


def arrow_column(name: str, column: Any) -> Any:
    """A column as an Arrow array; None and NaN are empty.

    Raises:
        ShapeError, RecordError: it is no column of one type.
    """
    import pyarrow as pa

    if np.ndim(column) != 1:
        raise ShapeError(f"column {name!r} of a table is (n,), not {np.shape(column)}; give it as several columns")
    try:
        return pa.array(column, from_pandas=True)
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowException as error:
        raise RecordError(f"column {name!r} cannot be written: {error}; give it one type") from error


def no_formulas(array: Any) -> Any:
    """The column with an apostrophe before each text that a spreadsheet would run."""
    import pyarrow as pa
    import pyarrow.compute

    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return array
    return pyarrow.compute.replace_substring_regex(array, f"^({_FORMULA})", r"'\1")


def write_coco(path: Path, items: Sequence[tuple[str, Instances]]) -> None:
    """COCO JSON of several images: compressed run lengths, boxes as x, y, width, height, areas in pixels.

    Ids count from 1: pycocotools takes an annotation 0 for none. A score that is not known is left out.
    """
    classes = tuple(dict.fromkeys(name for _, found in items for name in found.classes))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, found) in enumerate(items, 1):
        images.append({"id": image_id, "file_name": name, "height": found.shape[0], "width": found.shape[1]})
        masks = _masks(found)
        for i, (row0, col0, row1, col1) in enumerate(found.boxes.tolist()):
            entry = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": classes.index(found.classes[found.label[i]]) + 1,
                "bbox": [col0, row0, col1 - col0, row1 - row0],
                "area": (col1 - col0) * (row1 - row0),
                "iscrowd": 0,
            }
            if masks:
                counts = compress(run_lengths(masks[i], found.shape))
                entry |= {
                    "segmentation": {"size": list(found.shape), "counts": counts},
                    "area": int(masks[i].crop.sum()),
                }
            if math.isfinite(found.score[i]):
                entry["score"] = float(found.score[i])
            annotations.append(entry)
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]
    _write_json(path, {"images": images, "annotations": annotations, "categories": categories})


def write_geojson(path: Path, found: Instances) -> None:
    """GeoJSON that QuPath opens: polygons as x, y [px]; score and columns are its measurements.

    Objects without a mask are their boxes.
    """
    columns = {"score": found.score, **found.columns}
    values = {
        name: np.asarray(c, float).tolist() for name, c in columns.items() if c.dtype.kind in "buif" and c.ndim == 1
    }
    features = [
        {
            "type": "Feature",
            "geometry": geometry,
            "properties": {
                "objectType": "detection",
                "name": str(i + 1),
                "classification": {"name": found.classes[found.label[i]]},
                "measurements": {name: column[i] for name, column in values.items() if math.isfinite(column[i])},
            },
        }
        for i, geometry in enumerate(_geometries(found))
    ]
    _write_json(path, {"type": "FeatureCollection", "features": features})


def _geometries(found: Instances) -> Iterator[dict[str, Any]]:
    for parts in outlines(found):
        polygons = [[_closed(ring) for ring in (part.shell, *part.holes)] for part in parts]
        if len(polygons) == 1:
            yield {"type": "Polygon", "coordinates": polygons[0]}
        else:
            yield {"type": "MultiPolygon", "coordinates": polygons}


def _closed(ring: NDArray[Any]) -> list[list[float]]:
    xy = ring[:, ::-1].tolist()
    return [*xy, xy[0]]


def write_imagej_rois(path: Path, found: Instances) -> None:
    """A zip of ImageJ selections, one traced outline an object, named by its number.

    Area selections count from pixel corners in ImageJ, as our outlines do. Holes and separate pieces are joined by
    bridges of no width. Objects without a mask are their boxes, at whole pixels.
    """
    from roifile import ROI_TYPE, ImagejRoi

    digits = max(4, len(str(len(found))))
    with written_whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, parts in enumerate(outlines(found), 1):
            name = f"{i:0{digits}}"
            points = np.round(one_ring(parts)[:, ::-1]).astype(np.int32)
            roi = ImagejRoi.frompoints(points, name=name)
            roi.roitype = ROI_TYPE.TRACED
            # roifile counts the last corner as a pixel; ImageJ's bounds end at it.
            roi.right, roi.bottom = roi.right - 1, roi.bottom - 1
            # No clock: the same objects give the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.roi"), roi.tobytes(), zipfile.ZIP_DEFLATED)


def write_yolo(path: Path, found: Instances) -> None:
    """YOLO text: `class x y x y…` (`class x y width height` without masks), with the score last where it is known.

    Coordinates are fractions of width and height; class is the index into `found.classes`. Holes and separate
    pieces are joined by bridges of no width.
    """
    rows, cols = found.shape
    lines = []
    if found.crops is None:
        row0, col0, row1, col1 = found.boxes.T
        flat = np.stack(
            [(col0 + col1) / 2 / cols, (row0 + row1) / 2 / rows, (col1 - col0) / cols, (row1 - row0) / rows]
        )
        coordinates = iter(flat.T)
    else:
        coordinates = (np.ravel(one_ring(parts)[:, ::-1] / (cols, rows)) for parts in outlines(found))
    for values, label, score in zip(coordinates, found.label.tolist(), found.score.tolist(), strict=True):
        confidence = [f"{score:.6f}"] if math.isfinite(score) else []
        lines.append(" ".join([str(label), *(f"{value:.7f}" for value in values.tolist()), *confidence]))
    with written_whole(path) as part:
        part.write_text("".join(line + "\n" for line in lines), "utf-8")


def write_labels(path: Path, found: Instances, *, calibration: Calibration | None = None) -> None:
    """Label image as compressed TIFF, object i drawn as i + 1; where two overlap the smaller is on top.

    16 bit, or 32 from 65,536 objects on. The pixel size stands where ImageJ looks for it.
    """
    write_tiff(path, found.to_labels(np.uint16 if len(found) < 2**16 else np.int32), calibration)


def read_labels(path: Path) -> NDArray[Any] | None:
    """What `write_labels` wrote, (H, W); None where there is none, as of objects without masks."""
    import tifffile

    return np.asarray(tifffile.imread(path)) if path.exists() else None


def write_tiff(path: Path, pixels: NDArray[Any], calibration: Calibration | None) -> None:
    """A compressed TIFF of grey values or labels (H, W), its pixel size where ImageJ looks for it."""
    import tifffile

    scale: dict[str, Any] = {}
    if calibration is not None:
        scale = {"resolution": (1 / calibration.col_nm, 1 / calibration.row_nm), "resolutionunit": "NONE"}
    with written_whole(path) as part:
        tifffile.imwrite(
            part,
            pixels,
            photometric="minisblack",
            compression="zlib",
            # What ImageJ reads of a TIFF: its version first, then the unit that resolution counts in.
            description="ImageJ=1.54f\nunit=nm\n" if calibration else "ImageJ=1.54f\n",
            metadata=None,
            software=False,
            **scale,
        )


def outlines(found: Instances) -> Iterator[list[Part]]:
    """Each object's outline as (row, col) corners; the box where only that is known.

    Raises:
        RecordError: a mask without a pixel has no outline.
    """
    if found.crops is None:
        for row0, col0, row1, col1 in found.boxes.tolist():
            yield [_box(row0, col0, row1, col1)]
        return
    yield from _traced(found)


# Four files of an image want them; tracing took half of the time of writing all.
@lru_cache(maxsize=1)
def _traced(found: Instances) -> list[list[Part]]:
    traced = []
    for i, mask in enumerate(found.masks()):
        if mask.crop.all():
            traced.append([_box(mask.rows.start, mask.cols.start, mask.rows.stop, mask.cols.stop)])
            continue
        corner = np.array([mask.rows.start, mask.cols.start])
        parts = [Part(part.shell + corner, tuple(hole + corner for hole in part.holes)) for part in trace(mask.crop)]
        if not parts:
            raise RecordError(f"object {i} has a mask without a pixel; leave it out")
        traced.append(parts)
    return traced


def _box(row0: int, col0: int, row1: int, col1: int) -> Part:
    return Part(np.array([[row0, col0], [row0, col1], [row1, col1], [row1, col0]]), ())


def _masks(found: Instances) -> list[Mask]:
    return [] if found.crops is None else list(found.masks())


def _write_json(path: Path, data: Any) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")), "utf-8")
