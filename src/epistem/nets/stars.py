"""Objects as stars: a centre and radii along fixed directions; to and from masks, boxes and maps. No torch here.

The dense detector's output has 3 + RAYS channels at a STRIDE of 2 pixels: the logit that an object's centre lies in
the cell, the way from the cell's middle to the centre (rows, columns) [px], and the logarithm of the radii [px].
Direction k points to the angle 2πk/RAYS from the column axis towards growing rows.

Source: centres as points, Zhou et al., arXiv:1904.07850; star-convex outlines, Schmidt et al., arXiv:1806.03535.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core.instances import Instances, whole_boxes

STRIDE = 2
ALIGNMENT = 32  # the deepest stride of the network: sides are padded to multiples of it
RAYS = 16
CHANNELS = 3 + RAYS
_DIRECTIONS = 2 * np.pi * np.arange(RAYS) / RAYS
_SIN, _COS = np.sin(_DIRECTIONS), np.cos(_DIRECTIONS)


@dataclass(frozen=True)
class Reading:
    """How maps become objects.

    Attributes:
        scale, shift: calibrated score = σ(scale·logit + shift), the share of such objects that are true on the data
            the network was calibrated on.
        least_logit: weaker peaks are not looked at.
        iou, inside: which of two overlapping stars go (`suppress`).
        binnings: the image is looked at as the means of so many pixels by as many, once for each: pictures are often
            stored larger than they resolve.
        least_binned_px: a look at a binned image counts for objects of at least this diameter in it [px]; smaller
            ones are seen better without binning.
    """

    scale: float = 1.0
    shift: float = 0.0
    least_logit: float = -3.0
    iou: float = 0.45
    inside: float = 0.7
    binnings: tuple[int, ...] = (1,)
    least_binned_px: float = 8.0


class Stars(NamedTuple):
    """n star-shaped objects: centres (n, 2) and radii (n, RAYS) [px], scores (n,), cells of the map (n, 2)."""

    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    scores: NDArray[np.float64]
    cells: NDArray[np.int64]

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Stars:
        """Those stars."""
        return Stars(self.centres[which], self.radii[which], self.scores[which], self.cells[which])

    def diameters(self) -> NDArray[np.float64]:
        """(n,) of the disc of as much area, nearly [px]."""
        diameter: NDArray[np.float64] = 2 * np.sqrt(np.mean(self.radii**2, axis=1))
        return diameter

    def boxes(self) -> NDArray[np.float64]:
        """(n, 4) as [row0, col0, row1, col1] [px]."""
        rows, cols = self.radii * _SIN, self.radii * _COS
        low = np.stack([rows.min(axis=1, initial=np.inf), cols.min(axis=1, initial=np.inf)], axis=1)
        high = np.stack([rows.max(axis=1, initial=-np.inf), cols.max(axis=1, initial=-np.inf)], axis=1)
        return np.concatenate([self.centres + low, self.centres + high], axis=1)


class Targets(NamedTuple):
    """What the maps should be, at stride 2.

    Attributes:
        heat: (h, w) 1 in the cell of a centre, falling off around it.
        regression: (2 + RAYS, h, w) way to the centre and log radii, where `weight` is above 0.
        weight: (h, w) of the regression.
        asked: (h, w) 0 where nothing is asked: around ignored objects.
    """

    heat: NDArray[np.float32]
    regression: NDArray[np.float32]
    weight: NDArray[np.float32]
    asked: NDArray[np.float32]


def targets(truth: Instances) -> Targets:
    """Maps for the objects of a training image whose sides are multiples of the stride."""
    h, w = truth.shape[0] // STRIDE, truth.shape[1] // STRIDE
    made = Targets(
        np.zeros((h, w), np.float32),
        np.zeros((2 + RAYS, h, w), np.float32),
        np.zeros((h, w), np.float32),
        np.ones((h, w), np.float32),
    )
    ignored = truth.columns.get("ignored", np.zeros(len(truth), bool))
    area = [mask.crop.sum() for mask in truth.masks()]
    # The ignored first, then from large to small: nobody's centre is wiped out by a neighbour that is not asked for.
    for i in np.lexsort((np.negative(area), ~np.asarray(ignored, bool))):
        box, crop = truth.boxes[i], truth.crops[i] if truth.crops else None
        assert crop is not None
        _draw(made, box, crop, bool(ignored[i]))
    return made


def radii_of(crop: NDArray[np.bool_], row: float, col: float) -> NDArray[np.float64]:
    """Way from a point to the edge of the mask along each direction, (RAYS,) [px]; `row, col` within the crop."""
    step = 0.25 if max(crop.shape) < 16 else 0.5
    way = np.arange(step / 2, np.hypot(*crop.shape), step)
    rows = np.floor(row + np.outer(_SIN, way)).astype(int)
    cols = np.floor(col + np.outer(_COS, way)).astype(int)
    inside = (rows >= 0) & (rows < crop.shape[0]) & (cols >= 0) & (cols < crop.shape[1])
    inside[inside] = crop[rows[inside], cols[inside]]
    beyond = ~inside
    first = np.where(beyond.any(axis=1), beyond.argmax(axis=1), len(way))
    radii: NDArray[np.float64] = np.maximum(first * step, 0.5)
    return radii


def _draw(made: Targets, box: NDArray[np.float64], crop: NDArray[np.bool_], ignored: bool) -> None:
    half = (box[2:] - box[:2]) / 2
    centre = (box[:2] + box[2:]) / 2
    # Wide enough for the cells next to the centre, narrow enough that neighbours keep their own peaks.
    sigma = np.maximum(0.2 * half, 1.3) / STRIDE
    at = centre / STRIDE - 0.5
    reach = np.ceil(3 * sigma).astype(int)
    cell = np.clip(np.floor(centre / STRIDE), 0, np.array(made.heat.shape) - 1).astype(int)
    if ignored:
        low, high = (np.floor(box[:2] / STRIDE) - 1).astype(int), (np.ceil(box[2:] / STRIDE) + 1).astype(int)
        made.asked[max(low[0], 0) : max(high[0], 0), max(low[1], 0) : max(high[1], 0)] = 0
        return
    rows, cols = (
        np.arange(max(c - r, 0), min(c + r + 1, n)) for c, r, n in zip(cell, reach, made.heat.shape, strict=True)
    )
    fall = np.exp(-0.5 * (((rows[:, None] - at[0]) / sigma[0]) ** 2 + ((cols - at[1]) / sigma[1]) ** 2))
    window = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    heat = made.heat[window]
    won = fall >= heat
    heat[won] = fall[won]
    made.heat[cell[0], cell[1]] = 1
    made.asked[window][fall > 0.1] = 1
    made.asked[cell[0], cell[1]] = 1
    near = won & (fall > 0.3)
    near[cell[0] - rows[0], cell[1] - cols[0]] = True
    origin = whole_boxes(box[None])[0][:2]
    radii = np.log(radii_of(crop, *(centre - origin)))
    made.weight[window][near] = fall[near]
    made.weight[cell[0], cell[1]] = 1
    down = np.broadcast_to(centre[0] - (rows[:, None] + 0.5) * STRIDE, fall.shape)
    across = np.broadcast_to(centre[1] - (cols + 0.5) * STRIDE, fall.shape)
    made.regression[0][window][near] = down[near]
    made.regression[1][window][near] = across[near]
    made.regression[2:, window[0], window[1]][:, near] = radii[:, None]


def decode(maps: NDArray[np.float32], *, least_logit: float) -> Stars:
    """Peaks of the centre map with what the other maps say there, best first.

    Args:
        maps: (CHANNELS, h, w) as the network gives them.
        least_logit: weaker peaks are left out.
    """
    logit = maps[0]
    peaks = (logit >= least_logit) & (logit == ndimage.maximum_filter(logit, 3, mode="constant", cval=-np.inf))
    rows, cols = np.nonzero(peaks)
    order = np.argsort(-logit[rows, cols], kind="stable")
    rows, cols = rows[order], cols[order]
    there = maps[:, rows, cols].astype(float)
    cells = np.stack([rows, cols], axis=1)
    centres = (cells + 0.5) * STRIDE + there[1:3].T
    # e^-0.7 is half a pixel; e^7 is more than any image holds, and keeps a wild guess from becoming infinite.
    return Stars(centres, np.exp(np.clip(there[3:].T, -0.7, 7)), there[0], cells)


def suppress(stars: Stars, *, iou: float, inside: float) -> Stars:
    """Of stars that lie on one another the better; they come best first.

    Args:
        stars: best first.
        iou: boxes that overlap more are one object.
        inside: a star of which a larger share lies in the box of a better one of up to nine times its area is a
            piece of that.
    """
    from scipy.spatial import cKDTree

    if len(stars.scores) < 2:
        return stars
    boxes = stars.boxes()
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    area = np.prod(2 * half, axis=1)
    middle = (boxes[:, 2:] + boxes[:, :2]) / 2
    tree = cKDTree(middle)
    reach = np.hypot(*half.T)
    kept = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if not kept[i]:
            continue
        near = np.array([j for j in tree.query_ball_point(middle[i], 2 * reach[i] + 2) if j > i and kept[j]], int)
        if not near.size:
            continue
        low, high = np.maximum(boxes[i, :2], boxes[near, :2]), np.minimum(boxes[i, 2:], boxes[near, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        same = common > iou * (area[i] + area[near] - common)
        piece = (common > inside * area[near]) & (area[near] * 9 > area[i])
        kept[near[same | piece]] = False
    return stars.take(kept)


def read(maps: NDArray[np.float32], shape: tuple[int, int], reading: Reading) -> Instances:
    """Objects in the maps of one whole image, by falling score."""
    stars = suppress(decode(maps, least_logit=reading.least_logit), iou=reading.iou, inside=reading.inside)
    return to_instances(stars, shape, calibrated(stars.scores, reading), ("cavity",))


def calibrated(logits: NDArray[np.float64], reading: Reading) -> NDArray[np.float64]:
    """Scores of logits.

    Source: Platt, Advances in Large Margin Classifiers (1999) 61.
    """
    scores: NDArray[np.float64] = 1 / (1 + np.exp(-(reading.scale * logits + reading.shift)))
    return scores


def pad(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image mirrored below and to the right, to multiples of ALIGNMENT."""
    return np.pad(image, [(0, -n % ALIGNMENT) for n in image.shape], mode="symmetric")


def to_instances(
    stars: Stars, shape: tuple[int, int], scores: NDArray[np.float64], classes: tuple[str, ...]
) -> Instances:
    """Masks of the stars, cut by the border; a star that covers no pixel's centre is left out."""
    boxes, crops, kept = [], [], []
    for i, (box, centre, radii) in enumerate(zip(stars.boxes(), stars.centres, stars.radii, strict=True)):
        low, high = np.maximum(box[:2], 0), np.minimum(box[2:], shape)
        if (low >= high).any():
            continue
        r0, c0, r1, c1 = whole_boxes(np.array([[*low, *high]]))[0]
        down, across = np.arange(r0, r1)[:, None] + 0.5 - centre[0], np.arange(c0, c1) + 0.5 - centre[1]
        turn = np.arctan2(down, across) % (2 * np.pi) / (2 * np.pi) * RAYS
        k = turn.astype(int) % RAYS
        share = turn - np.floor(turn)
        crop = np.hypot(down, across) <= radii[k] * (1 - share) + radii[(k + 1) % RAYS] * share
        if crop.any():
            boxes.append([*low, *high])
            crops.append(crop)
            kept.append(i)
    return Instances.from_boxes(shape, boxes, score=scores[kept], classes=classes, crops=tuple(crops))
