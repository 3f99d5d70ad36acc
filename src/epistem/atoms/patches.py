"""Patches round columns, in units of the host's own contrast: 0 in the hollows, 1 on the brighter sub-lattice.

Which sub-lattice is metal is not used: telling it is the classifier's work, and it needs the context.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter

from epistem.core import SettingsError
from epistem.stats.robust import mad_sd

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

SIDE = 32


class Levels(NamedTuple):
    """The host's contrast on one detector.

    Attributes:
        bright: height of the brighter sub-lattice over the hollows, in the image's units.
        dim: height of the other one, as a share of `bright`.
        bright_is: which sub-lattice is the brighter.
        noise: scatter of a column's height from one to the next, as a share of `bright`, robust against defects.
        hollow: (n,) level of the hollows round every site, in the image's units.
        height: (n,) of every site over it, as a share of `bright`.
    """

    bright: float
    dim: float
    bright_is: int
    noise: float
    hollow: Floats
    height: Floats


def levels(image: Image, sites_px: Floats, sublattice: NDArray[np.int64], hollow_px: Floats, a_px: float) -> Levels:
    """The host's contrast, from most of its columns.

    Args:
        image: (H, W) of one detector.
        sites_px: (n, 2) row and column of every site.
        sublattice: (n,) 0 or 1.
        hollow_px: (k, 2) hollow centres.
        a_px: lattice constant.

    Raises:
        SettingsError: no site of one kind, or no contrast between columns and hollows.
    """
    if not len(hollow_px) or len(np.unique(sublattice)) < 2:
        raise SettingsError(
            "the contrast of the host needs sites of both sub-lattices and hollows; the field is too small"
        )
    # A column is some 1.2 Å wide: a wider average would mix it with its neighbours at a/√3.
    smooth = gaussian_filter(image.astype(np.float32), 0.1 * a_px)
    value = map_coordinates(smooth, sites_px.T, order=1, mode="nearest").astype(float)
    empty = map_coordinates(smooth, hollow_px.T, order=1, mode="nearest").astype(float)
    hollow = _local_mean(empty, hollow_px, sites_px, image.shape, a_px)
    over = value - hollow
    heights = [float(np.median(over[sublattice == kind])) for kind in (0, 1)]
    bright_is = int(np.argmax(heights))
    bright = heights[bright_is]
    if not bright > 0:
        raise SettingsError(
            "the columns are no brighter than the hollows between them: this is no dark-field image of one"
        )
    scatter = [mad_sd(over[sublattice == kind] - heights[kind]) for kind in (0, 1)]
    return Levels(
        bright, heights[1 - bright_is] / bright, bright_is, float(np.mean(scatter)) / bright, hollow, over / bright
    )


def cut(image: Image, sites_px: Floats, *, side_px: float, turned: float) -> Image:
    """Square patches round sites, (n, 32, 32), bilinear.

    Args:
        image: (H, W).
        sites_px: (n, 2) row and column of the centres.
        side_px: length of a patch; between its outer pixels' centres.
        turned: angle of the patch's first axis from the columns' direction [rad].
    """
    step = side_px / (SIDE - 1)
    # Pixels finer than the patch's are averaged, or their electrons would be thrown away.
    fine = uniform_filter(image, round(step)) if step >= 1.5 else image
    along = (np.arange(SIDE) - (SIDE - 1) / 2) * step
    down, right = np.meshgrid(along, along, indexing="ij")
    row = (right * np.sin(turned) + down * np.cos(turned)).astype(np.float32)
    col = (right * np.cos(turned) - down * np.sin(turned)).astype(np.float32)
    return bilinear(
        np.ascontiguousarray(fine, np.float32),
        sites_px[:, 0, None, None].astype(np.float32) + row,
        sites_px[:, 1, None, None].astype(np.float32) + col,
    )


def bilinear(image: Image, row: Image, col: Image) -> Image:
    """Values between pixels; outside the image its border goes on."""
    rows, cols = image.shape
    row, col = np.clip(row, 0, rows - 1.01), np.clip(col, 0, cols - 1.01)
    first_row, first_col = row.astype(np.int32), col.astype(np.int32)
    down, right = row - first_row, col - first_col
    flat = image.ravel()
    at = first_row * cols + first_col
    top = flat[at] * (1 - right) + flat[at + 1] * right
    low = flat[at + cols] * (1 - right) + flat[at + cols + 1] * right
    return np.asarray(top * (1 - down) + low * down, np.float32)


def _local_mean(values: Floats, at_px: Floats, wanted_px: Floats, shape: tuple[int, ...], a_px: float) -> Floats:
    """Mean of the values round each wanted place, Gaussian with a width of three lattice constants."""
    cells = tuple(int(np.ceil(n / a_px)) + 1 for n in shape)
    index = np.clip(np.round(at_px / a_px).astype(int), 0, np.array(cells) - 1)
    flat = index[:, 0] * cells[1] + index[:, 1]
    total = np.bincount(flat, values, cells[0] * cells[1]).reshape(cells)
    count = np.bincount(flat, minlength=cells[0] * cells[1]).reshape(cells).astype(float)
    # Six cells out there is nothing left of the Gaussian, and an island without hollows takes the whole field's mean.
    smooth, weight = gaussian_filter(total, 3.0), gaussian_filter(count, 3.0)
    field = np.where(weight > 1e-3, smooth / np.maximum(weight, 1e-3), values.mean())
    return np.asarray(map_coordinates(field, wanted_px.T / a_px, order=1, mode="nearest"), float)
