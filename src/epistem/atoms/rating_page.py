"""One page on which a person says what columns are: blind, in random order, some of them twice, without a network."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from epistem.atoms.ratings import unit_at
from epistem.core import SettingsError, ShapeError
from epistem.stats import blind
from epistem.stats.blind import shown_order

Floats = NDArray[np.float64]

SURROUNDINGS = 5.0
"""Side of what is shown round a patch, over the side of the patch."""
_CLIPPED = (0.5, 99.5)


class RatingPage(NamedTuple):
    """What a page asks.

    Attributes:
        path: where it was written.
        chosen: (m,) which of the sites are shown.
        order: (m + repeats,) places in `chosen`, as they are shown.
        at_edge: sites that could not be chosen, for their patch leaves the image.
    """

    path: Path
    chosen: NDArray[np.int64]
    order: NDArray[np.int64]
    at_edge: int


def write_rating_page(
    path: Path,
    views: Mapping[str, ArrayLike],
    sites: ArrayLike,
    *,
    pixel_A: float,
    patch_A: float,
    image_id: str,
    choices: Mapping[str, str],
    n: int = 200,
    keys: Sequence[Hashable] | None = None,
    repeats: float = 0.1,
    seed: int = 0,
) -> RatingPage:
    """Write the page; nothing in it tells what a model or a key says.

    Args:
        path: the .html to write.
        views: name → image (H, W) of the same field, one for each detector. Grey values span the whole image, so that
            patches can be held against each other.
        sites: (k, 2) row and column of each atomic column [px].
        pixel_A: pixel size [Å].
        patch_A: side of what is shown enlarged [Å].
        image_id: comes back in the CSV.
        choices: label → what it looks like, 1 to 9 of them.
        n: how many columns are asked for; all, if there are fewer.
        keys: (k,) such as a model's label, from each of which as many columns are taken as can be. Not in the page.
            Rare classes are then frequent, so agreement on these columns is not that over the whole field.
        repeats: share of the columns that is shown a second time, 10 or more others later.
        seed: chooses the columns and their order.

    Raises:
        ShapeError: views of different shape, sites that are not (k, 2).
        SettingsError: sizes, n, or choices out of range, or no site far enough from the edge.
    """
    images = {name: np.asarray(view, float) for name, view in views.items()}
    places = _checked(images, sites, pixel_A, patch_A, choices)
    shape = next(iter(images.values())).shape
    reach = patch_A / pixel_A / 2
    inside = ((places >= reach) & (places <= np.array(shape) - 1 - reach)).all(1)
    if not inside.any():
        raise SettingsError(f"none of {len(places)} columns lies {patch_A / 2:g} Å from the edge; give a wider image")
    candidates = np.flatnonzero(inside)
    rng = np.random.default_rng(seed)
    strata = [0] * len(places) if keys is None else list(keys)
    if len(strata) != len(places):
        raise ShapeError(f"wanted a key for each of {len(places)} sites, got {len(strata)}")
    chosen = candidates[evenly_chosen([strata[i] for i in candidates], n, rng)]
    order = shown_order(len(chosen), repeats, rng)
    page = {
        "image_id": image_id,
        "choices": [{"label": label, "looks": looks} for label, looks in choices.items()],
        "views": list(images),
        "pixel_A": pixel_A,
        "patch_A": patch_A,
        "surroundings_A": SURROUNDINGS * patch_A,
        "items": _items(images, places[chosen], pixel_A, patch_A, image_id),
        "order": order.tolist(),
    }
    path.write_text(_html(page), "utf-8")
    return RatingPage(path, chosen, order, int((~inside).sum()))


def evenly_chosen(keys: Sequence[Hashable], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of n entries, as many of each key as there can be; all where there are not more, in rising order.

    >>> keys = ["W"] * 90 + ["Ti"] * 2
    >>> evenly_chosen(keys, 10, np.random.default_rng(0))[-2:].tolist()
    [90, 91]
    """
    if n < 1:
        raise SettingsError(f"wanted at least one column to rate, not {n}")
    return np.array(blind.evenly_chosen(keys, n, rng), np.int64)


def _checked(
    images: Mapping[str, Floats], sites: ArrayLike, pixel_A: float, patch_A: float, choices: Mapping[str, str]
) -> Floats:
    shapes = {image.shape for image in images.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ShapeError(f"wanted views (H, W) of one field, all of one shape; got {sorted(shapes)}")
    places = np.asarray(sites, float)
    if places.ndim != 2 or places.shape[1] != 2:
        raise ShapeError(f"sites are (k, 2) as row and column, not {places.shape}")
    if not (np.isfinite(pixel_A) and pixel_A > 0 and 2 * pixel_A <= patch_A < np.inf):
        raise SettingsError(f"wanted a pixel size and a patch of two pixels or more, got {pixel_A} and {patch_A} Å")
    if not 1 <= len(choices) <= 9 or not all(choices):
        raise SettingsError(f"wanted 1 to 9 labels, one for each key; got {list(choices)}")
    return places


def _items(
    images: Mapping[str, Floats], places: Floats, pixel_A: float, patch_A: float, image_id: str
) -> list[dict[str, Any]]:
    """Of each column: where it is, where that is in its picture, and one picture a view, as data URI."""
    reach = int(np.ceil(SURROUNDINGS * patch_A / pixel_A / 2)) + 1
    padded = [np.pad(_grey(image), reach) for image in images.values()]
    items = []
    for row, col in places.tolist():
        unit = unit_at(image_id, row, col, pixel_A)
        at_row, at_col = round(row), round(col)
        window = np.s_[at_row : at_row + 2 * reach + 1, at_col : at_col + 2 * reach + 1]
        # A canvas counts from the corner of a pixel, the sites from its middle.
        centre = [col - at_col + reach + 0.5, row - at_row + reach + 0.5]
        pictures = [_png(grey[window]) for grey in padded]
        items.append({"x": f"{unit.x_A:.3f}", "y": f"{unit.y_A:.3f}", "centre": centre, "pictures": pictures})
    return items


def _grey(image: Floats) -> NDArray[np.uint8]:
    """The image from black to white over all but the outermost values; what is not known is black."""
    known = image[np.isfinite(image)]
    low, high = np.percentile(known, _CLIPPED) if known.size else (0.0, 0.0)
    scaled = (np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _png(grey: NDArray[np.uint8]) -> str:
    held = io.BytesIO()
    Image.fromarray(grey).save(held, "PNG")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()


def _html(page: dict[str, Any]) -> str:
    script = files("epistem.atoms").joinpath("templates", "rate.js").read_text("utf-8")
    # With the script's hash in the policy, nothing that slipped into a label could run, and nothing is loaded.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    named = {**page, "id": hashlib.sha256(repr(page).encode()).hexdigest()[:16]}
    template = _environment().get_template("rate.html")
    return template.render(page=named, policy=policy, script=Markup(script))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("epistem.atoms", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
