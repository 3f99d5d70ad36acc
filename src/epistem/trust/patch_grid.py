"""What a network is asked: its answer with one patch changed after another, more finely where it matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import griddata
from scipy.spatial import QhullError

from epistem.core import SettingsError, ShapeError
from epistem.trust.perturb import Floats, Perturber, Window

Predict = Callable[[Floats], Floats]
Told = Callable[[int, int], None]
Mask = NDArray[np.bool_]
Cells = NDArray[np.int64]

FINER = 4  # the refined grid's stride, of the first grid's
REFINED = 0.1  # share of the first grid's cells
BATCH_PX = 1 << 20
# Effects fall over decades with distance: above this share of the largest their logarithm is interpolated. On four
# images ranks of "change" were the same from 1e-5 to 1e-1 (0.95 to 0.99 of every node), those of "drop" best here.
_LINEAR = 1e-2


@dataclass(frozen=True)
class How:
    """What is asked of the network.

    Attributes:
        of_class: whose probability is the answer; index into the network's K classes.
        kernel: what stands in a patch instead; in `perturb.KERNELS`.
        window: how a patch ends.
        patch_px: edge of a patch [px].
        stride_px: of the first grid; half a patch if None [px].
        coarse_to_fine: look again at the tenth of the cells that matter most, at a quarter of the stride.
        measure: "change": mean |Z - Z'| in the region, 0 to 1. "drop": mean Z - Z', -1 to 1; above 0 what stood there
            spoke for the class.
        hard: Z is 1 where the class is the most probable one and 0 elsewhere, instead of the probability.
        reach_px: what lies farther from the region is taken to change nothing, and only a window of the image is
            looked at; None: the whole image. See `measured_reach` [px].
        seed: of the noise.

    Raises:
        SettingsError: a value outside what is meaningful.
    """

    of_class: int = 1
    kernel: str = "blur"
    window: Window = "cosine"
    patch_px: int = 16
    stride_px: int | None = None
    coarse_to_fine: bool = True
    measure: Literal["change", "drop"] = "change"
    hard: bool = False
    reach_px: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.measure not in ("change", "drop"):
            raise SettingsError(f"measure is change or drop, not {self.measure!r}")
        if not 1 <= self.stride <= self.patch_px:
            raise SettingsError(f"stride_px is from 1 to the patch's {self.patch_px}, not {self.stride_px}")
        if self.coarse_to_fine and self.stride % FINER:
            raise SettingsError(
                f"coarse to fine divides the stride by {FINER}, and {self.stride} px cannot be; take a patch_px that "
                f"is a multiple of {2 * FINER}, or coarse_to_fine=False"
            )
        if self.reach_px is not None and self.reach_px < 0:
            raise SettingsError(f"reach_px is at least 0, not {self.reach_px}")

    @property
    def stride(self) -> int:
        """Of the first grid [px]."""
        return max(1, self.patch_px // 2) if self.stride_px is None else self.stride_px

    @property
    def finest(self) -> int:
        """Stride where it is finest [px]."""
        return self.stride // FINER if self.coarse_to_fine else self.stride


class Counted:
    """A predictor that counts its passes and their pixels, and never gets more than so many pixels at once."""

    def __init__(self, predict: Predict, batch_px: int = BATCH_PX) -> None:
        self.predict, self.batch_px = predict, batch_px
        self.forwards = self.forward_px = 0

    def __call__(self, images: Floats) -> Floats:
        """(N, C, H, W) -> (N, K, H, W)."""
        one_px = images.shape[2] * images.shape[3]
        at_once = max(1, self.batch_px // one_px)
        parts = [self._checked(images[i : i + at_once]) for i in range(0, len(images), at_once)]
        self.forwards += len(images)
        self.forward_px += len(images) * one_px
        return np.concatenate(parts)

    def _checked(self, images: Floats) -> Floats:
        answer = np.asarray(self.predict(images))
        if answer.ndim != 4 or answer.shape[0] != len(images) or answer.shape[2:] != images.shape[2:]:
            raise ShapeError(f"predict gave {answer.shape} for {images.shape}; wanted (N, K, H, W) probabilities")
        return answer


class Grid:
    """The grid at its finest stride, and what is known of it.

    Attributes:
        near: (m, 2) nodes (row, col) whose patch may reach the region.
        answer: (K, H, W) of the image as it is.
    """

    def __init__(self, predict: Counted, patches: Perturber, region: Mask, how: How, told: Told) -> None:
        self.predict, self.patches, self.region, self.how, self.told = predict, patches, region, how, told
        self.answer = predict(patches.image[None])[0]
        if not 0 <= how.of_class < len(self.answer):
            raise SettingsError(
                f"the network has {len(self.answer)} classes, from 0 on; there is no class {how.of_class}"
            )
        self.inside = _chosen(self.answer, how)[region]
        # The last patch may be cut by the border, as Captum's is.
        nodes = tuple(-(-max(size - how.patch_px, 0) // how.finest) + 1 for size in region.shape)
        self.value = np.full(nodes, np.nan)
        self.near = np.argwhere(self._may_reach())
        self.done, self.total = 0, 0

    @property
    def on_first_grid(self) -> Mask:
        """Which nodes are of the first grid; the last row and column are, or nothing would be known there."""
        step = self.how.stride // self.how.finest
        ends = np.array(self.value.shape) - 1
        first: Mask = ((self.near % step == 0) | (self.near == ends)).all(axis=1)
        return first

    def around_largest(self) -> Mask:
        """Nodes within half a stride of the cells that matter most."""
        known = np.isfinite(self.value)
        cells, size = np.argwhere(known), np.abs(self.value[known])
        top = np.argsort(-size, kind="stable")[: round(REFINED * len(cells)) or 1]
        # Where nearly nothing changes a closer look is wasted.
        top = top[size[top] > _LINEAR * size.max(initial=0)]
        half = self.how.stride // self.how.finest // 2
        wanted = np.zeros(self.value.shape, bool)
        for row, col in cells[top]:
            wanted[max(row - half, 0) : row + half, max(col - half, 0) : col + half] = True
        result: Mask = (wanted & ~np.isfinite(self.value))[tuple(self.near.T)]
        return result

    def ask(self, nodes: Cells) -> None:
        """Change these patches and keep what the answer in the region did."""
        self.total += len(nodes) * self.patches.draws
        for some in self._batches(nodes):
            images = np.concatenate([self.patches.changed(*(node * self.how.finest)) for node in some])
            changed = _chosen(self.predict(images).swapaxes(0, 1), self.how)[:, self.region]
            gone = self.inside - changed
            mean = (np.abs(gone) if self.how.measure == "change" else gone).mean(axis=1, dtype=float)
            self.value[tuple(some.T)] = self.patches.reduced(mean.reshape(len(some), -1))
            self.done += len(images)
            self.told(self.done, self.total)

    def known(self) -> tuple[Cells, NDArray[np.float64]]:
        """Upper left pixels and changes of the patches asked."""
        known = np.isfinite(self.value)
        return np.argwhere(known) * self.how.finest, self.value[known]

    def map(self) -> Floats:
        """(H, W)."""
        weight, total = np.zeros((2, *self.region.shape))
        patch, step = self.patches.patch_px, self.how.finest
        for (i, j), value in np.ndenumerate(self._everywhere()):
            here = (slice(i * step, i * step + patch), slice(j * step, j * step + patch))
            share = self.patches.weight[: weight[here].shape[0], : weight[here].shape[1]]
            total[here] += share * value
            weight[here] += share
        mean: Floats = (total / weight).astype(np.float32)
        return mean

    def _everywhere(self) -> NDArray[np.float64]:
        """The value at every node, those too far off 0."""
        known = np.isfinite(self.value)
        result = np.where(known, self.value, 0.0)
        missing = self.near[~known[tuple(self.near.T)]]
        if not len(missing):
            return result
        unit = _LINEAR * np.abs(result).max() or 1.0
        folded = np.arcsinh(result[known] / unit)
        # A cubic swings over; nothing is made larger than what was seen.
        between = np.clip(_between(np.argwhere(known), folded, missing), folded.min(), folded.max())
        result[tuple(missing.T)] = unit * np.sinh(between)
        return result

    def _may_reach(self) -> Mask:
        if self.how.reach_px is None:
            return np.ones(self.value.shape, bool)
        distance = ndimage.distance_transform_cdt(~self.region, "chessboard")
        patch = self.patches.patch_px
        # The least distance inside each patch, read at its upper left pixel.
        least = ndimage.minimum_filter(distance, patch, mode="nearest", origin=-(patch // 2))
        rows, cols = (np.arange(n) * self.how.finest for n in self.value.shape)
        reached: Mask = least[np.ix_(rows, cols)] <= self.how.reach_px
        return reached

    def _batches(self, nodes: Cells) -> Iterator[Cells]:
        at_once = max(1, self.predict.batch_px // self.region.size // self.patches.draws)
        for start in range(0, len(nodes), at_once):
            yield nodes[start : start + at_once]


def _between(at: Cells, values: NDArray[np.float64], wanted: Cells) -> NDArray[np.float64]:
    """Values at other nodes: by a cubic between known ones, as the nearest beyond them."""
    nearest: NDArray[np.float64] = griddata(at, values, wanted, method="nearest")
    try:
        cubic = griddata(at, values, wanted, method="cubic")
    except QhullError:  # fewer than three nodes, or all on one line
        return nearest
    return np.where(np.isnan(cubic), nearest, cubic)


def _chosen(probabilities: Floats, how: How) -> Floats:
    """Z of the class: (K, …) to (…)."""
    answer = probabilities.argmax(axis=0) == how.of_class if how.hard else probabilities[how.of_class]
    chosen: Floats = answer.astype(np.float32)
    return chosen
