"""Which parts of an image an answer hangs on: patches are changed, and what the network says of a region is compared.

::

    region A, answer Z  ->  patches on a grid are changed one by one  ->  H = |Z - Z'| in A, mean over A
                            ->  the 10 % that matter most again, four times as finely  ->  a map of H
                            ->  the fewest patches that together change the answer

Source: the published framework's H_ij = ‖(Z⊙A) - (Z^(ij)⊙A)‖₁ over the area of A, with probabilities as Z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import griddata
from scipy.spatial import QhullError

from epistem import __version__
from epistem.core import Provenance, SettingsError, ShapeError
from epistem.trust.perturb import Floats, Perturber, Window, perturber

Predict = Callable[[Floats], Floats]
Told = Callable[[int, int], None]
Mask = NDArray[np.bool_]
Cells = NDArray[np.int64]

FINER = 4  # the refined grid's stride, of the first grid's
REFINED = 0.1  # share of the first grid's cells
BATCH_PX = 1 << 20
# Windows of an image begin where the deepest cells of most encoders begin.
ALIGN_PX = 32
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


@dataclass(frozen=True, eq=False)
class Heatmap:
    """What the answer in a region hangs on.

    Attributes:
        values: (H, W) what `How.measure` says, the mean over the patches that cover a pixel, weighed by how much they
            change it.
        region: (H, W) where the answer was looked at.
        answer: (K, H, W) the network's probabilities of the image as it is; NaN outside the window looked at.
        cells: (n, 2) upper left pixels of the patches that were changed.
        change: (n,) of each.
        patches: the image and what stood in the patches.
        how: what was asked.
        forwards, forward_px: passes of the network, and the pixels they had together.
        provenance: how to make it again.
    """

    values: Floats
    region: Mask
    answer: Floats
    cells: Cells
    change: NDArray[np.float64]
    patches: Perturber
    how: How
    forwards: int
    forward_px: int
    provenance: Provenance


class MinimalChange(NamedTuple):
    """The fewest patches that together change the answer.

    Attributes:
        cells: (k, 2) upper left pixels of the patches, in the order in which they were taken.
        changed: (H, W) pixels that are replaced by at least half.
        area_px: how many.
        share: of the image, 0 to 1.
        dice: of the class inside the region, between the answer before and after.
        image: (C, H, W) as the network saw it; of several draws the one that changed most.
        answer: (K, H, W) what it said.
    """

    cells: Cells
    changed: Mask
    area_px: int
    share: float
    dice: float
    image: Floats
    answer: Floats


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


def heatmap(
    predict: Predict,
    image: Floats,
    region: Mask,
    *,
    how: How | None = None,
    other: Floats | None = None,
    image_id: str | None = None,
    batch_px: int = BATCH_PX,
    told: Told = lambda done, total: None,
) -> Heatmap:
    """Which parts of the image the answer in a region hangs on.

    Between the cells of the grid the logarithm of the change is interpolated (cubic): effects fall over decades.

    Args:
        predict: (N, C, H, W) images -> (N, K, H, W) probabilities.
        image: (C, H, W) as the network takes it.
        region: (H, W) where the answer counts, drawn by an expert or an object's mask.
        how: what is asked; `How()` if None.
        other: (C, H', W') another image, for kernel "swap".
        image_id: kept in the provenance.
        batch_px: most pixels that the network gets at once.
        told: called with the passes done and how many there will be; the second grows when it looks more closely.

    Raises:
        ShapeError: an image, region, or answer whose shapes do not fit.
        SettingsError: an empty region, a class that the network does not have, or a setting outside what is
            meaningful.
        UnknownName: no such kernel.
    """
    how = how or How()
    _check(image, region)
    whole = perturber(image, how.kernel, patch_px=how.patch_px, window=how.window, seed=how.seed, other=other)
    rows, cols = _window(region, how)
    asked = _Asked(Counted(predict, batch_px), whole.cropped(rows, cols), region[rows, cols], how, told)
    asked.ask(asked.near[asked.on_first_grid])
    if how.coarse_to_fine:
        asked.ask(asked.near[asked.around_largest()])
    values = np.zeros(region.shape, np.float32)
    values[rows, cols] = asked.map()
    answer = np.full((len(asked.answer), *region.shape), np.nan, np.float32)
    answer[:, rows, cols] = asked.answer
    cells, change = asked.known()
    made = Provenance(f"{__name__}.heatmap", __version__, asdict(how), inputs=(image_id,) if image_id else ())
    return Heatmap(
        values,
        np.array(region, bool),
        answer,
        cells + np.array([rows.start, cols.start]),
        change,
        whole,
        how,
        asked.predict.forwards,
        asked.predict.forward_px,
        made,
    )


def _check(image: Floats, region: Mask) -> None:
    if image.ndim != 3 or region.shape != image.shape[1:]:
        raise ShapeError(f"the image is {image.shape}, the region {region.shape}; wanted (C, H, W) and (H, W)")
    if not np.isfinite(image).all():
        raise SettingsError("the image holds values that are not finite; normalise it first, which sets them to 0")
    if not region.any():
        raise SettingsError("the region holds no pixel; draw it inside the image")


def _window(region: Mask, how: How) -> tuple[slice, slice]:
    """What of the image is looked at."""
    if how.reach_px is None:
        return slice(0, region.shape[0]), slice(0, region.shape[1])
    window = []
    for axis, size in enumerate(region.shape):
        on = np.flatnonzero(region.any(axis=1 - axis))
        first = max(int(on[0]) - how.reach_px, 0) // ALIGN_PX * ALIGN_PX
        first = min(first, (size - how.patch_px) // ALIGN_PX * ALIGN_PX)
        last = -(-(int(on[-1]) + 1 + how.reach_px) // ALIGN_PX) * ALIGN_PX
        # A window narrower than a patch has no place for one.
        window.append(slice(first, min(max(last, first + how.patch_px), size)))
    return window[0], window[1]


class _Asked:
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
        return (total / weight).astype(np.float32)

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
    if how.hard:
        return (probabilities.argmax(axis=0) == how.of_class).astype(np.float32)
    return probabilities[how.of_class]


def found(probabilities: Floats, of_class: int, least: float | None) -> Mask:
    """Where the class is the answer: (K, …) to (…); the most probable one, or at least so probable."""
    mask: Mask = probabilities.argmax(axis=0) == of_class if least is None else probabilities[of_class] >= least
    return mask


def dice_inside(before: Mask, after: Mask, region: Mask) -> NDArray[np.float64]:
    """Dice of (H, W) and each of (…, H, W) in the region, shape (…), 0 to 1; 1 where the class is in neither."""
    a, b = before[region], after[..., region]
    both, each = (a & b).sum(-1), a.sum() + b.sum(-1)
    return np.where(each > 0, 2 * both / np.maximum(each, 1), 1.0)


def minimal_change(
    predict: Predict,
    heat: Heatmap,
    *,
    dice_below: float = 0.5,
    least: float | None = None,
    batch_px: int = BATCH_PX,
) -> MinimalChange | None:
    """The fewest patches that change the answer in the region, and what the answer is then.

    Patches are taken by falling change, at least half a patch from one another, until the Dice of the class between
    the answer before and after falls below the limit; then those that turn out not to be needed are put back, so no
    patch of the result can be left out.

    Args:
        predict: as `heatmap` had it.
        heat: of the region.
        dice_below: the limit, 0 to 1; an answer is flipped where the class is gone, that is near 0.
        least: probability from which on the class is found; None: where it is the most probable one.
        batch_px: most pixels that the network gets at once.

    Returns:
        None where all patches together do not reach it.

    Raises:
        SettingsError: the class is nowhere in the region, or a limit that has no meaning.
    """
    if not 0 < dice_below <= 1:
        raise SettingsError(f"dice_below is above 0 and at most 1, not {dice_below}")
    trial = _Trial(Counted(predict, batch_px), heat, least)
    order = _apart(heat)
    taken = _first_enough(lambda k: trial.of(order[:k]).dice < dice_below, len(order))
    if taken is None:
        return None
    kept = list(range(taken))
    for one in reversed(range(taken)):
        fewer = [k for k in kept if k != one]
        if fewer and trial.of(order[fewer]).dice < dice_below:
            kept = fewer
    cells = order[kept]
    result, changed = trial.of(cells), trial.weight(cells) >= 0.5
    area = int(changed.sum())
    return MinimalChange(cells, changed, area, area / changed.size, result.dice, result.image, result.answer)


def _first_enough(enough: Callable[[int], bool], most: int) -> int | None:
    """A k from 1 to `most` that is enough where k - 1 is not, by doubling and halving; None if `most` is not."""
    low, high = 0, 1
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


class _Tried(NamedTuple):
    """Of the draw that changed most: image (C, H, W) and answer (K, H, W); the Dice is what counts of all draws."""

    image: Floats
    answer: Floats
    dice: float


class _Trial:
    """Changes several patches at once and looks how much of the answer is left."""

    def __init__(self, predict: Counted, heat: Heatmap, least: float | None) -> None:
        self.predict, self.heat, self.least = predict, heat, least
        # The map may have been made in a window of the image: here all of it is looked at.
        self.before = found(predict(heat.patches.image[None])[0], heat.how.of_class, least)
        if not self.before[heat.region].any():
            raise SettingsError(
                f"the network finds class {heat.how.of_class} nowhere in the region, so nothing can be taken from it; "
                "choose a region or a class that it finds"
            )

    def of(self, cells: Cells) -> _Tried:
        """With these patches changed."""
        images = self.heat.patches.changed_where(self.weight(cells))
        answers = self.predict(images)
        after = found(answers.swapaxes(0, 1), self.heat.how.of_class, self.least)
        dice = dice_inside(self.before, after, self.heat.region)
        first = int(dice.argmin())
        lowest = self.heat.patches.reduce == "max"
        return _Tried(images[first], answers[first], float(dice.min() if lowest else dice.mean()))

    def weight(self, cells: Cells) -> Floats:
        """(H, W) how much of each pixel is replaced."""
        total = np.zeros(self.heat.region.shape, np.float32)
        window = self.heat.patches.weight
        for row, col in cells:
            here = total[row : row + len(window), col : col + len(window)]
            np.maximum(here, window[: here.shape[0], : here.shape[1]], out=here)
        return total


def _apart(heat: Heatmap) -> Cells:
    """Patches by falling change, each at least half a patch from those before it."""
    half, taken = heat.patches.patch_px // 2, np.empty((0, 2), np.int64)
    for cell in heat.cells[np.argsort(-np.abs(heat.change), kind="stable")]:
        if not len(taken) or np.abs(taken - cell).max(axis=1).min() >= half:
            taken = np.vstack([taken, cell])
    return taken
