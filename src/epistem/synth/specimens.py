"""Six kinds of specimen as geometry: where each class is, how high the surface stands, what each instrument sees.

Everything is drawn in pixels, and each kind ends with one number at every pixel centre: how deep it lies in the class
that is looked for. The label, the share of the pixel that is covered, the height and the contrast all come from that
number, so that image and truth cannot differ.

Sub-pixel rule: a pixel is of the class that covers its centre. In the image it is a mixture, by the area that each
class covers when its edge is straight within the pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from epistem.synth.foil import rough_field, smooth_field
from epistem.synth.pixels import Grey
from epistem.synth.tessellate import Shape, Value, bent, centres, compete, spread, way_from

FAR = np.float32(10)  # in units of an object's radius: where no object is near
LINE_PX = (1.6, 3.2)  # width of a line where no share is asked for: under 1.4 px it breaks up into loose pixels


class Specimen(NamedTuple):
    """What lies under the microscope, each (H, W).

    Attributes:
        depth_px: how far inside the class that is looked for; below 0 outside [px].
        objects: number of the object from 1, or 0.
        relief_px: height of the surface [px].
        emission: of secondary electrons, -1 to 1; edges follow from the relief.
        density: of the material for X-rays, -1 (none) to 1.
        reflection: of light, -1 to 1.
    """

    depth_px: Grey
    objects: NDArray[np.int32]
    relief_px: Grey
    emission: Grey
    density: Grey
    reflection: Grey

    @property
    def inside(self) -> NDArray[np.bool_]:
        """The pixels whose centre is in the class."""
        inside: NDArray[np.bool_] = self.depth_px > 0
        return inside


def grains(shape: Shape, size_px: float, share: float | None, rng: np.random.Generator) -> Specimen:
    """Polycrystal: a Laguerre tessellation with curved boundaries and thermal grooves; the class is the boundary.

    Source: Lautensack & Zuyev, Adv. Appl. Probab. 40 (2008) 630, for Laguerre tessellations as grain structures.
    """
    at = bent(shape, 0.1 * size_px, 0.4 * size_px, rng)
    sites = spread(shape, size_px, rng)
    weight = np.square(size_px * rng.normal(0, 0.25, len(sites))).astype(np.float32)
    first = compete(at, sites, 2.2 * size_px, lambda i, down, across: down**2 + across**2 - weight[i])
    (down, across), (down2, across2) = (way_from(sites, who, at) for who in (first.winner, first.runner_up))
    apart = np.sqrt((down - down2) ** 2 + (across - across2) ** 2)
    to_boundary = (first.second - first.best) / (2 * np.maximum(apart, np.float32(1e-3)))
    depth = _line(to_boundary, size_px, share, rng)
    cover = covered(depth)
    contrast = rng.uniform(0.15, 1)
    tone = contrast * rng.uniform(-1, 1, len(sites)).astype(np.float32)[first.winner]
    groove = np.exp(-to_boundary / (0.08 * size_px))
    plateau = 0.02 * size_px * rng.standard_normal(len(sites)).astype(np.float32)
    return Specimen(
        depth,
        np.where(depth > 0, 0, first.winner + 1).astype(np.int32),
        # A groove as deep as a twentieth of the grain; the plateaus meet in it and make no cliff.
        plateau[first.winner] * (1 - groove) - 0.05 * size_px * groove,
        _mix(0.55 * tone, -0.55, cover),
        _mix(0.0, 0.9, cover),
        _mix(0.55 * tone + 0.25, -0.9, cover),
    )


def pores(shape: Shape, size_px: float, share: float, rng: np.random.Generator) -> Specimen:
    """Rounded pores of lognormal size, some grown together; the class is the pore."""
    number = max(1, round(-np.log1p(-share) * shape[0] * shape[1] / (np.pi / 4 * size_px**2 * np.exp(0.35**2))))
    radius = size_px / 2 * rng.lognormal(0, 0.35, number)
    level, depth, who = _fill(rng.random((number, 2)) * shape, radius, share, _blobs(radius, 0.25, rng), shape)
    cover = covered(depth)
    bowl = -0.8 * radius.astype(np.float32)[who] * np.sqrt(np.maximum(1 - level**2, 0))
    matrix = 0.15 * smooth_field(shape, 1.0, 2 * size_px, rng)
    return Specimen(
        depth,
        np.where(depth > 0, who + 1, 0).astype(np.int32),
        bowl,
        _mix(0.1 + matrix, -1.1 + 0.25 * level, cover),
        _mix(0.3, -1.0, cover),
        _mix(0.5 + matrix, -1.1, cover),
    )


def cracks(shape: Shape, size_px: float, share: float, rng: np.random.Generator) -> Specimen:
    """Kinked cracks that branch and taper; the class is the crack, its size the widest opening."""
    points = _crack_points(shape, size_px, share, rng)
    distance, which = _near_points(shape, points[:, :2], 4 * size_px + 3)
    half = np.append(points[:, 2], 1.0).astype(np.float32)[which]
    tree = np.append(points[:, 3], -1).astype(np.int32)[which]
    level = np.minimum(distance / half, FAR)
    depth = (_below(level, share) - level) * half
    cover = covered(depth)
    matrix = 0.15 * smooth_field(shape, 1.0, 12 * size_px, rng)
    return Specimen(
        depth,
        np.where(depth > 0, tree + 1, 0).astype(np.int32),
        -1.5 * np.maximum(depth, 0),
        _mix(0.1 + matrix, -1.1, cover),
        _mix(0.3, -1.0, cover),
        _mix(0.45 + matrix, -1.1, cover),
    )


def spherulites(shape: Shape, size_px: float, share: float | None, rng: np.random.Generator) -> Specimen:
    """Radial lamellae that grow from nuclei until they meet; the class is the line where they do.

    Nuclei come one after another and all grow at one speed (Johnson & Mehl), so the lines are hyperbolas.
    """
    sites = spread(shape, size_px, rng)
    born = (0.4 * size_px * rng.random(len(sites))).astype(np.float32)
    at = bent(shape, 0.02 * size_px, 0.2 * size_px, rng)
    first = compete(at, sites, 2.2 * size_px, lambda i, down, across: np.sqrt(down**2 + across**2) + born[i])
    (down, across), (down2, across2) = (way_from(sites, who, at) for who in (first.winner, first.runner_up))
    radius, radius2 = (np.sqrt(r**2 + c**2) + np.float32(1e-3) for r, c in ((down, across), (down2, across2)))
    # How fast the lead of the first shrinks towards the line, where the two fronts meet.
    closing = np.sqrt((down / radius - down2 / radius2) ** 2 + (across / radius - across2 / radius2) ** 2)
    to_line = (first.second - first.best) / np.maximum(closing, np.float32(0.2))
    depth = _line(to_line, size_px, share, rng)
    cover = covered(depth)
    angle = np.arctan2(down, across)
    lamellae = _lamellae(angle, radius, first.winner, rng)
    cross = np.sin(2 * (angle - rng.uniform(0, np.pi / 2))) ** 2
    # Highest where growth began, and a narrow groove where the melt ran out: both continuous across the line.
    dome = -0.12 * first.best - 0.02 * size_px * np.exp(-to_line / (0.02 * size_px + 1))
    return Specimen(
        depth,
        np.where(depth > 0, 0, first.winner + 1).astype(np.int32),
        dome + 0.35 * lamellae,
        _mix(0.35 * lamellae, -0.7, cover),
        _mix(0.2 + 0.1 * lamellae, -0.5, cover),
        # Between crossed polarisers: dark where the lamellae lie along one of them.
        _mix(1.3 * cross - 0.7 + 0.3 * lamellae * cross, -0.9, cover),
    )


def particles(shape: Shape, size_px: float, share: float, rng: np.random.Generator) -> Specimen:
    """Rounded particles on a substrate, most of them in touch with others; the class is the particle."""
    sites, radius = _touching(shape, size_px, share, rng)
    level, depth, who = _fill(sites, radius, share, _blobs(radius, 0.07, rng), shape)
    cover = covered(depth)
    round_ = np.sqrt(np.maximum(1 - level**2, 0))
    grey = rng.normal(0, 0.12, len(sites)).astype(np.float32)[who]
    return Specimen(
        depth,
        np.where(depth > 0, who + 1, 0).astype(np.int32),
        cover * radius.astype(np.float32)[who] * (1 + round_),
        _mix(-0.75, 0.1 + grey - 0.15 * round_, cover),
        _mix(-0.9, 0.5 + 0.3 * grey, cover),
        _mix(-0.6, 0.25 + grey + 0.5 * (round_ - 0.5), cover),
    )


def melt_pools(shape: Shape, size_px: float, share: float | None, rng: np.random.Generator) -> Specimen:
    """Section across laser tracks: each pool is a parabola that melts into those before it; the class is its edge.

    A layer is a third to a half of the depth, the hatch 0.5 to 0.65 of the width, as where the powder melts fully.
    """
    depth_px = size_px * rng.uniform(0.4, 0.7)
    layer, hatch = depth_px * rng.uniform(0.33, 0.5), size_px * rng.uniform(0.5, 0.65)
    rows, cols = bent(shape, 0.015 * size_px, 0.15 * size_px, rng)
    to_edge = np.full(shape, np.inf, np.float32)
    pool = np.zeros(shape, np.int32)
    tops = np.arange(shape[0] + depth_px, -2 * depth_px, -layer)
    number = 0
    for top in tops:
        wide = size_px * rng.uniform(1.0, 1.5)  # the scan turns from layer to layer: some are cut aslant
        for middle in np.arange(-rng.random() * hatch, shape[1] + hatch, hatch * wide / size_px):
            across, deep = middle + 0.07 * size_px * rng.normal(), depth_px * rng.normal(1, 0.12)
            number += 1
            _melt(rows, cols, to_edge, pool, number, (top, across, wide / 2, deep))
    depth = _line(to_edge, size_px, share, rng)
    cover = covered(depth)
    tone = rng.uniform(-1, 1, pool.max() + 1).astype(np.float32)[pool]
    cells = rough_field(
        shape, 1.0, longest_nm=size_px / 6, shortest_nm=0.8, slope=2.0, stretch=4.0,
        angle_rad=np.pi / 2 + rng.normal(0, 0.3), rng=rng,
    )  # fmt: skip
    return Specimen(
        depth,
        np.where(depth > 0, 0, pool).astype(np.int32),
        0.25 * cells - 0.02 * size_px * np.exp(-to_edge / 2),
        _mix(0.15 * tone + 0.15 * cells, 0.55, cover),
        _mix(0.1 + 0.03 * tone, -0.45, cover),
        _mix(0.45 + 0.15 * tone + 0.15 * cells, -0.6, cover),
    )


def covered(depth_px: Grey) -> Grey:
    """Share of each pixel that the class covers, where its edge is straight within the pixel.

    Of lines under 1 px, as a very small share makes them, it is too much.
    """
    cover: Grey = np.clip(0.5 + depth_px, 0, 1)
    return cover


def _mix(outside: Grey | float, inside: Grey | float, cover: Grey) -> Grey:
    return np.asarray(outside + cover * np.subtract(inside, outside), np.float32)


def _blobs(radius: NDArray[np.float64], uneven: float, rng: np.random.Generator) -> Value:
    """Distance from the centre over the outline's, which is an ellipse with a third lobe."""
    lobes = uneven * rng.normal(0, 1, (len(radius), 4)).clip(-1.5, 1.5) * [0.7, 0.7, 0.35, 0.35]
    lobes = lobes.astype(np.float32)

    def value(i: int, down: Grey, across: Grey) -> Grey:
        a, b, c, d = lobes[i]
        square = down * down + across * across + np.float32(1e-6)
        away = np.sqrt(square)
        cos2, sin2 = (across * across - down * down) / square, 2 * across * down / square
        cos, sin = across / away, down / away
        outline = 1 + a * cos2 + b * sin2 + c * (cos2 * cos - sin2 * sin) + d * (sin2 * cos + cos2 * sin)
        level: Grey = away / (np.float32(radius[i]) * np.maximum(outline, np.float32(0.3)))
        return level

    return value


def _below(level: Grey, share: float) -> np.float32:
    """The level under which this share of the pixels lies."""
    count = min(max(round(share * level.size), 1), level.size - 1)
    return np.float32(np.partition(level, count, axis=None)[count])


def _fill(
    sites: NDArray[np.float64], radius: NDArray[np.float64], share: float, value: Value, shape: Shape
) -> tuple[Grey, Grey, NDArray[np.int32]]:
    """Objects grown or shrunk alike until they cover the share.

    Returns:
        Level (1 on the outline, 0 in the centre), depth inside [px], and the number of the object that is nearest.
    """
    # Few may have to grow a lot, many differ little from what was drawn.
    reach = 3 * float(radius.max()) if len(radius) > 20 else 2.0 * max(shape)
    first = compete(centres(shape), sites, reach, value)
    full = _below(first.best, share)
    level = np.minimum(first.best / full, FAR)
    return level, (1 - level) * full * radius.astype(np.float32)[first.winner], first.winner


def _line(distance: Grey, size_px: float, share: float | None, rng: np.random.Generator) -> Grey:
    """Depth inside a line [px], from the distance to its middle: of the share asked for, or of a width by chance."""
    width = rng.uniform(*LINE_PX)  # drawn in any case, so that a share changes nothing but the line
    half = np.float32(width / 2) if share is None else _below(distance, share)
    depth: Grey = half - np.minimum(distance, np.float32(4 * size_px))
    return depth


def _lamellae(angle: Grey, radius: Grey, owner: NDArray[np.int32], rng: np.random.Generator) -> Grey:
    """Radial stripes that fork where their spacing has doubled, -1 to 1."""
    spacing = rng.uniform(4, 7)
    turns = np.log2(np.maximum(2 * np.pi * radius / spacing, 4)).astype(np.float32)
    octave = np.floor(turns)
    part = turns - octave
    phase = rng.uniform(0, 2 * np.pi, (int(octave.max()) + 2, int(owner.max()) + 1)).astype(np.float32)
    wavy = 1.2 * smooth_field(angle.shape, 1.0, 3 * spacing, rng)
    inner, outer = (
        np.cos(np.exp2(octave + k) * angle + wavy + phase[(octave + k).astype(int), owner]) for k in (0, 1)
    )
    stripes: Grey = (1 - part) * inner + part * outer
    return stripes


def _touching(
    shape: Shape, size_px: float, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (n, 2) and radii (n,) of discs that cover about the share; two of three are put beside another."""
    sites, radii = np.empty((0, 2)), np.empty(0)
    for _ in range(40 + int(8 * share * shape[0] * shape[1] / size_px**2)):
        if np.pi * np.sum(radii**2) >= share * shape[0] * shape[1]:
            break
        radius, way = size_px / 2 * rng.lognormal(0, 0.25), rng.uniform(0, 2 * np.pi)
        site, other, beside = rng.random(2) * shape, int(rng.integers(max(len(radii), 1))), rng.random() < 0.67
        if len(radii) and beside:
            site = sites[other] + (radius + radii[other]) * np.array([np.sin(way), np.cos(way)])
        apart = np.hypot(*(sites - site).T) / (radii + radius)
        if (site >= 0).all() and (site < shape).all() and not (apart < 0.97).any():
            sites, radii = np.vstack([sites, site]), np.append(radii, radius)
    return sites, radii


def _melt(
    rows: Grey, cols: Grey, to_edge: Grey, pool: NDArray[np.int32], number: int,
    outline: tuple[float, float, float, float],
) -> None:  # fmt: skip
    """One more pool: what it melts is its own, and its edge is the nearest to what lies just outside."""
    top, across, half, deep = outline
    r0, r1 = (int(np.clip(end, 0, rows.shape[0])) for end in (top - 2, top + 1.4 * deep + 4))
    c0, c1 = (int(np.clip(end, 0, rows.shape[1])) for end in (across - 1.3 * half - 4, across + 1.3 * half + 5))
    if r0 >= r1 or c0 >= c1:
        return
    here = np.s_[r0:r1, c0:c1]
    down, side = (rows[here] - np.float32(top)) / deep, (cols[here] - np.float32(across)) / half
    # Distance to first order: the parabola's value over the length of its gradient.
    value = 1 - side**2 - down
    distance = np.abs(value) / np.hypot(2 * side / half, 1 / deep)
    melted, below = (value > 0) & (down >= 0), down >= 0
    to_edge[here] = np.where(melted, distance, np.where(below, np.minimum(to_edge[here], distance), to_edge[here]))
    pool[here][melted] = number


class _Tip(NamedTuple):
    """Where a crack goes on: place [px], heading [rad], width over the widest, number of the crack."""

    row: float
    col: float
    heading: float
    width: float
    crack: int


def _crack_points(shape: Shape, size_px: float, share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points half a pixel apart along every crack and branch, (n, 4): row, column, half width [px], its number."""
    wanted = 2 * share * shape[0] * shape[1] / (0.75 * size_px)
    paths: list[NDArray[np.float64]] = []
    tips: list[_Tip] = []
    length, number = 0, 0
    while length < 0.9 * wanted and len(paths) < 500:
        if not tips:
            # From anywhere to anywhere else, so that few leave the image soon.
            start, end = rng.random((2, 2)) * shape
            tips.append(_Tip(start[0], start[1], np.arctan2(*(end - start)), 1.0, number))
            number += 1
        tip = tips.pop(0)
        steps = min(2 * max(shape) * tip.width * rng.uniform(0.4, 1.0), wanted - length)
        path, heading = _grown(tip, max(4, int(steps)), size_px, shape, rng)
        paths.append(path)
        length += len(path)
        if tip.width > 0.4:
            for at in np.flatnonzero(rng.random(len(path)) < 1 / 90):
                aside = rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
                tips.append(_Tip(path[at, 0], path[at, 1], heading[at] + aside, 0.65 * tip.width, tip.crack))
    return np.concatenate(paths)


def _grown(
    tip: _Tip, steps: int, size_px: float, shape: Shape, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of a crack, and its heading at each; it ends where it leaves the image."""
    # Straight runs of about 9 px with kinks between them: a crack goes from weak point to weak point.
    run = np.cumsum(rng.random(steps) < 1 / 18)
    heading = tip.heading + rng.normal(0, 0.4, run[-1] + 1)[run] + 0.015 * np.cumsum(rng.standard_normal(steps))
    rows, cols = tip.row + np.cumsum(np.sin(heading)) / 2, tip.col + np.cumsum(np.cos(heading)) / 2
    # A crack is widest in its middle, a branch where it leaves.
    opening = tip.width * (1 - 0.75 * np.linspace(-1 if tip.width == 1 else 0, 1, steps) ** 2)
    uneven = 1 + 0.5 * ndimage.gaussian_filter1d(rng.standard_normal(steps), 6, mode="nearest")
    half = np.maximum(size_px / 2 * opening * uneven, LINE_PX[0] / 2)
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    stays = np.logical_and.accumulate(inside)
    return np.column_stack([rows, cols, half, np.full(steps, tip.crack)])[stays], heading[stays]


def _near_points(shape: Shape, points: NDArray[np.float64], reach_px: float) -> tuple[Grey, NDArray[np.int64]]:
    """Distance to the nearest point within reach, and which; infinite and len(points) beyond."""
    close = np.zeros(shape, bool)
    close[tuple(points.astype(int).T)] = True
    close = ndimage.maximum_filter(close, 2 * int(np.ceil(reach_px)) + 1)
    where = np.nonzero(close)
    distance, which = np.full(shape, np.inf, np.float32), np.full(shape, len(points))
    found = spatial.cKDTree(points).query(np.column_stack(where) + 0.5, distance_upper_bound=reach_px)
    distance[where], which[where] = found
    return distance, which
