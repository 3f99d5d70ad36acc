"""Spheres and truncated octahedra: path through vacuum, outline, and their place on a pixel grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float32]

MOST_SUBPIXELS = 4  # a cavity of 4 camera pixels, 8 grid points, has its volume to 0.2 % wherever it lies
_ENOUGH_ACROSS = 512  # rays across a cavity: more change its chord by less than 1 in 100,000


class Cavities(NamedTuple):
    """Cavities in the foil, each array (n,); rows and columns count from the image's top left corner [nm].

    `diameter_nm` is that of the circle with the area of the projection; `faceted` tells the truncated octahedra.
    """

    row_nm: NDArray[np.float64]
    col_nm: NDArray[np.float64]
    depth_nm: NDArray[np.float64]
    diameter_nm: NDArray[np.float64]
    faceted: NDArray[np.bool_] | None = None

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Cavities:
        """Those cavities."""
        faceted = None if self.faceted is None else self.faceted[which]
        return Cavities(
            self.row_nm[which], self.col_nm[which], self.depth_nm[which], self.diameter_nm[which], faceted
        )


@dataclass(frozen=True, eq=False)
class Octahedron:
    """A truncated octahedron seen along the beam, scaled so that its projection has the area of a disc of radius 1.

    Attributes:
        normals: (7, 3) along (row, col, beam), one of each pair of faces.
        distances: (7,) of the faces from the centre.
        outline: (m, 2) corners of the projection in order, (row, col).
    """

    normals: NDArray[np.float64]
    distances: NDArray[np.float64]
    outline: NDArray[np.float64]

    @property
    def reach(self) -> NDArray[np.float64]:
        """Half extent along rows and columns, in radii."""
        reach: NDArray[np.float64] = np.abs(self.outline).max(axis=0)
        return reach


@lru_cache(maxsize=64)
def octahedron(orientation_deg: tuple[float, float, float], truncation: float) -> Octahedron:
    """The equilibrium shape of voids in cubic metals, as the crystal's orientation shows it.

    Args:
        orientation_deg: Euler angles z, x, z of the crystal [degree].
        truncation: distance of the {100} over that of the {111} faces; 1.155 is the regular truncated octahedron,
            0.87 a cuboctahedron, 1.73 an octahedron.

    Source: Wulff construction; Niwase et al., Phil. Mag. Lett. 65 (1992) 143 for voids in irradiated metals.
    """
    from scipy.spatial import ConvexHull, HalfspaceIntersection
    from scipy.spatial.transform import Rotation

    cube = np.eye(3)
    eight = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]) / np.sqrt(3)
    turn = Rotation.from_euler("zxz", orientation_deg, degrees=True).as_matrix()
    normals = np.concatenate([cube, eight]) @ turn.T
    distances = np.array([truncation] * 3 + [1.0] * 4)
    both = np.concatenate([normals, -normals]), np.concatenate([distances, distances])
    corners = HalfspaceIntersection(np.column_stack([both[0], -both[1]]), np.zeros(3)).intersections[:, :2]
    hull = ConvexHull(corners)
    scale = np.sqrt(np.pi / hull.volume)  # of a plane hull, `volume` is the area
    return Octahedron(normals, distances * scale, corners[hull.vertices] * scale)


def chords(
    canvas: tuple[int, int], step_nm: float, cavities: Cavities, margin_nm: float, shape: Octahedron | None
) -> Grid:
    """Path through vacuum at each grid point, mean over the rays through it [nm].

    Args:
        canvas: rows and columns of the grid.
        step_nm: its spacing [nm].
        cavities: where they are; the image begins `margin_nm` inside the grid.
        shape: of the faceted ones.
    """
    total = np.zeros(canvas, np.float32)
    for row, col, radius, facets in _each(cavities, step_nm, shape):
        row, col = row + margin_nm / step_nm, col + margin_nm / step_nm
        reach = radius * (facets.reach if facets else np.ones(2))
        rows, cols = (_covered(at, half, n) for at, half, n in zip((row, col), reach, canvas, strict=True))
        if not (len(rows) and len(cols)):
            continue
        k = int(np.clip(_ENOUGH_ACROSS / max(2 * radius, 1), 1, MOST_SUBPIXELS))
        offsets = (np.arange(k) + 0.5) / k
        down = (rows[:, None] + offsets).ravel() - row
        across = (cols[:, None] + offsets).ravel() - col
        path = _path(down[:, None] / radius, across / radius, facets) * radius * step_nm
        mean = path.reshape(len(rows), k, len(cols), k).mean(axis=(1, 3))
        total[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] += mean
    return total


class Outline(NamedTuple):
    """Where cavity `number` is in the image: box in pixels, cut by the border, and its whole-pixel mask."""

    number: int
    box: NDArray[np.float64]
    crop: NDArray[np.bool_]


def outlines(
    image: tuple[int, int], pixel_nm: float, cavities: Cavities, shape: Octahedron | None
) -> Iterator[Outline]:
    """The cavities that cover the centre of a pixel."""
    for i, (row, col, radius, facets) in enumerate(_each(cavities, pixel_nm, shape)):
        reach = radius * (facets.reach if facets else np.ones(2))
        low = np.maximum([row - reach[0], col - reach[1]], 0)
        high = np.minimum([row + reach[0], col + reach[1]], image)
        if (low >= high).any():
            continue
        rows, cols = (np.arange(np.floor(a), np.ceil(b)) + 0.5 for a, b in zip(low, high, strict=True))
        crop = _inside((rows[:, None] - row) / radius, (cols - col) / radius, facets)
        if crop.any():
            yield Outline(i, np.array([*low, *high]), crop)


def _each(
    cavities: Cavities, unit_nm: float, shape: Octahedron | None
) -> Iterator[tuple[float, float, float, Octahedron | None]]:
    """Row, column and radius in units of the grid, and the facets or None."""
    faceted = np.zeros(len(cavities.row_nm), bool) if cavities.faceted is None else cavities.faceted
    for row, col, diameter, facets in zip(
        cavities.row_nm / unit_nm, cavities.col_nm / unit_nm, cavities.diameter_nm / unit_nm, faceted, strict=True
    ):
        yield float(row), float(col), float(diameter) / 2, shape if facets else None


def _covered(at: float, half: float, n: int) -> NDArray[np.int64]:
    return np.arange(max(np.floor(at - half), 0), min(np.ceil(at + half), n)).astype(int)


def _path(down: NDArray[np.float64], across: NDArray[np.float64], facets: Octahedron | None) -> NDArray[np.float64]:
    """Chord along the beam in radii, at (rows, 1) and (cols,) from the centre in radii."""
    if facets is None:
        return 2 * np.sqrt(np.maximum(1 - down**2 - across**2, 0))
    enter, leave = np.full((len(down), len(across)), -np.inf), np.full((len(down), len(across)), np.inf)
    for (a, b, c), distance in zip(facets.normals, facets.distances, strict=True):
        along = a * down + b * across
        if abs(c) < 1e-9:  # a face parallel to the beam: in or out, whatever the depth
            leave = np.where(np.abs(along) > distance, -np.inf, leave)
            continue
        first, second = (-distance - along) / c, (distance - along) / c
        enter = np.maximum(enter, np.minimum(first, second))
        leave = np.minimum(leave, np.maximum(first, second))
    path: NDArray[np.float64] = np.maximum(leave - enter, 0)
    return path


def _inside(down: NDArray[np.float64], across: NDArray[np.float64], facets: Octahedron | None) -> NDArray[np.bool_]:
    if facets is None:
        inside: NDArray[np.bool_] = np.hypot(down, across) <= 1
        return inside
    return _path(down, across, facets) > 0
