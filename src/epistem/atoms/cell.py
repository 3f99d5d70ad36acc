"""The mean cell of a lattice: which of its three-fold positions hold columns, how wide, and where each one stands."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.phases import ORDERS, Complexes, Field
from epistem.atoms.spectrum import reduced

Floats = NDArray[np.float64]
Kind = Literal["honeycomb", "triangular", "other"]

_MOST_STRETCHED = 1.1  # long over short axis of what a circle becomes; silicon along [110] has 1.22
_LEAST_RATIO = 0.05  # B over A; a fainter B is not told from a hollow in a tilted or aberrated image
_LEAST_SIGNIFICANCE = 5.0


class Cell(NamedTuple):
    """What stands where in the mean cell.

    Attributes:
        kind: see Lattice.
        origins: places in fractions of the vectors: A, B, hollow of a honeycomb, else that of the column.
        ratio: B over A above the hollow; NaN unless hexagonal.
    """

    kind: Kind
    origins: Floats
    ratio: float


class Polar(NamedTuple):
    """The map from a perfect hexagon to a pair of vectors: its rotation [degrees, −30 to 30] and ratio of axes."""

    turn: float
    stretch: float


def canonical(real: Floats) -> Floats:
    """The shortest pair at an acute angle, turning towards rising rows; a hexagon's lies nearest the column axis."""
    first, second = reduced(real)
    if first @ second < 0:
        second = -second
    if np.linalg.det(np.array([second, first])) < 0:
        first, second = second, first
    for _ in range(6):
        if polar(np.array([first, second])).stretch > _MOST_STRETCHED or abs(np.arctan2(*first)) <= np.pi / 6:
            break
        first, second = second, second - first
    return np.array([first, second])


def polar(vectors: Floats) -> Polar:
    """How a pair of vectors 60° apart is turned from the column axis, and how far from a perfect hexagon it is."""
    ideal = np.array([[0.0, 1.0], [np.sqrt(3) / 2, 0.5]])
    left, sizes, right = np.linalg.svd((np.linalg.inv(ideal) @ vectors).T)
    turn = left @ right
    degrees = float(np.degrees(np.arctan2(turn[0, 1], turn[1, 1])))
    return Polar((degrees + 30) % 60 - 30, float(sizes[0] / sizes[1]))


def cell_of(orders: Complexes, field: Field, vectors: Floats) -> Cell:
    """What the mean cell holds.

    Args:
        orders: (9, m, n) local orders of the summed image.
        field: they belong to.
        vectors: (2, 2) of the lattice [px].
    """
    mean = orders[:, field.present].mean(axis=1)
    if polar(vectors).stretch > _MOST_STRETCHED:
        return Cell("other", _brightest(mean)[None], float("nan"))
    origins = _three_fold(mean)
    local = np.stack([_value(orders[:, field.present], place) for place in origins])
    ratio = contrast(mean, Cell("honeycomb", origins, float("nan")))
    spacing = (field.rows[1] - field.rows[0]) * (field.cols[1] - field.cols[0])
    independent = max(2.0, field.present.sum() * spacing / (4 * np.pi * field.window_px**2))
    error = float((local[1] - local[2]).std()) / np.sqrt(independent)
    if ratio < _LEAST_RATIO or float((local[1] - local[2]).mean()) < _LEAST_SIGNIFICANCE * error:
        return Cell("triangular", origins[:1], ratio)
    return Cell("honeycomb", origins, ratio)


def contrast(mean: Complexes, cell: Cell) -> float:
    """Brightness of B over A, both above the hollow; NaN unless a honeycomb.

    Blur alike for all columns cancels: it adds the same share of the neighbours to all three positions.
    """
    if cell.kind != "honeycomb":
        return float("nan")
    a, b, hollow = (float(_value(mean, place)) for place in cell.origins)
    return (b - hollow) / (a - hollow) if a != hollow else float("nan")


def _value(orders: Complexes, at: Floats) -> Floats:
    """Of the cell at a place in fractions of the vectors, from orders (9, …)."""
    wave = np.exp(2j * np.pi * (ORDERS @ at)).reshape((-1,) + (1,) * (orders.ndim - 1))
    return np.asarray(2 * (orders * wave).real.sum(axis=0))


def _three_fold(mean: Complexes) -> Floats:
    """(3, 2) the three-fold positions of a cell, brightest first, in fractions of the vectors.

    With the origin on one of them, the three shortest orders have one phase ψ. The sum of their phases does not
    depend on the origin, so 3ψ is known, and its three solutions are the three positions.
    """
    phase = np.angle(mean[:3])
    places = np.array([((phase.sum() + 2 * np.pi * n) / 3 - phase[:2]) / (2 * np.pi) for n in range(3)])
    values = [float(_value(mean, place)) for place in places]
    return np.asarray(places[np.argsort(values)[::-1]])


def _brightest(mean: Complexes) -> Floats:
    """(2,) where the cell is brightest, to 1/64 of the vectors."""
    steps = np.arange(64) / 64
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    values = 2 * (np.exp(2j * np.pi * grid @ ORDERS.T) @ mean).real
    return np.asarray(grid[values.argmax()])


class Columns(NamedTuple):
    """The mean columns as Gaussians: their σ [px], the height of each kind, and the level between them."""

    width_px: float
    heights: Floats
    level: float


def columns_of(mean: Complexes, reciprocal: Floats, cell: Cell) -> Columns:
    """The Gaussian columns whose orders are most like the mean cell's, in an image of mean 0.

    Args:
        mean: (9,) orders.
        reciprocal: (2, 2) vectors [1/px].
        cell: where the columns stand.
    """
    k2 = np.sum((ORDERS @ reciprocal) ** 2, axis=1)
    at = cell.origins[:2] if cell.kind == "honeycomb" else cell.origins[:1]
    waves = np.exp(-2j * np.pi * ORDERS @ at.T)
    wanted = np.concatenate([mean.real, mean.imag])
    per_area = abs(np.linalg.det(reciprocal))
    found, least = Columns(float("nan"), np.ones(len(at)), 0.0), np.inf
    for width in np.arange(0.1, 0.32, 0.01) / np.sqrt(k2[:3].mean()):
        weight = 2 * np.pi * width**2 * per_area
        damped = waves * (weight * np.exp(-2 * np.pi**2 * width**2 * k2))[:, None]
        heights, *_ = np.linalg.lstsq(np.concatenate([damped.real, damped.imag]), wanted)
        left = float(np.sum(np.abs(mean - damped @ heights) ** 2))
        if left < least:
            found, least = Columns(float(width), heights, -weight * float(heights.sum())), left
    return found


def sites_of(origin: Floats, vectors: Floats, field: Field, shape: tuple[int, ...]) -> Floats:
    """(n, 2) every site of one kind inside the image and the lattice's region, by row [px]."""
    size = np.array(shape) - 1.0
    reach = np.abs(field.displacement).max() + np.linalg.norm(vectors, axis=1).max()
    corners = np.array([[r, c] for r in (-reach, size[0] + reach) for c in (-reach, size[1] + reach)])
    index = corners @ np.linalg.inv(vectors)
    low, high = np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    straight = (grid.reshape(-1, 2) + origin) @ vectors
    straight = straight[((straight > -reach) & (straight < size + reach)).all(axis=1)]
    places = straight
    for _ in range(4):
        places = straight + field.displacement_at(places)
    kept = ((places >= 0) & (places <= size)).all(axis=1) & field.present_at(places)
    places = places[kept]
    return np.asarray(places[np.lexsort(places.T[::-1])])
