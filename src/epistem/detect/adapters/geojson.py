"""GeoJSON polygons in pixels, as QuPath writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epistem.core import Mask, RecordError
from epistem.core.polygon import fill
from epistem.detect.adapters.content import Content, Item, Shape, each, need_shape, numbers, read_json, union


def read_geojson(path: Path, *, shape: Shape | None, image: str | None) -> Content:
    """Polygons and multi-polygons; QuPath's classification is the class, a measurement `score` the score.

    Points and lines have no area: they are left out, and a note counts them.

    Raises:
        RecordError: no GeoJSON, or no `shape`, which GeoJSON cannot carry.
    """
    size = need_shape(shape, path.name, "GeoJSON")
    features = _features(read_json(path), path.name)
    kinds = each(features, "feature", path.name, lambda feature: str(feature["geometry"]["type"]))
    areas = [f for f, kind in zip(features, kinds, strict=True) if kind in ("Polygon", "MultiPolygon")]
    others = sorted(set(kinds) - {"Polygon", "MultiPolygon"})
    notes = (
        (f"{len(features) - len(areas)} features without area ({', '.join(others)}) are left out",) if others else ()
    )
    return Content(size, each(areas, "feature", path.name, lambda feature: _item(feature, size)), notes=notes)


def _features(data: Any, source: str) -> list[dict[str, Any]]:
    features = data.get("features", [data]) if isinstance(data, dict) else data
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise RecordError(f"{source}: wanted GeoJSON features, found none; export it again as GeoJSON")
    return features


def _item(feature: Mapping[str, Any], shape: Shape) -> Item:
    geometry, properties = feature["geometry"], feature.get("properties") or {}
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    mask = union([_polygon(rings, shape) for rings in polygons])
    name = (properties.get("classification") or {}).get("name") or "object"
    return Item(mask, None, _score(properties), str(name))


def _polygon(rings: Sequence[Sequence[Sequence[float]]], shape: Shape) -> Mask | None:
    points = [numbers(value for point in ring for value in point[:2]).reshape(-1, 2) for ring in rings]
    return fill([ring[:, ::-1] for ring in points], shape)


def _score(properties: Mapping[str, Any]) -> float:
    """From `score` itself or among QuPath's measurements, a dictionary or (before 0.4) a list."""
    measurements = properties.get("measurements") or {}
    if isinstance(measurements, list):
        measurements = {entry["name"]: entry["value"] for entry in measurements}
    return float(properties.get("score", measurements.get("score", math.nan)))
