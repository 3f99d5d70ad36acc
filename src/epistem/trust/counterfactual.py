"""Which parts of an image an answer hangs on: patches are changed, the answers in a region compared.

::

    region A, answer Z  ->  patches on a grid are changed one by one  ->  H = |Z - Z'| in A, mean over A
                            ->  the 10 % that matter most again, four times as finely  ->  a map of H
                            ->  the fewest patches that together change the answer

Source: the published framework's H_ij = ‖(Z⊙A) - (Z^(ij)⊙A)‖₁ over the area of A, with probabilities as Z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem import __version__
from epistem.core import Provenance, SettingsError, ShapeError
from epistem.trust.patch_grid import BATCH_PX, Cells, Counted, Grid, How, Mask, Predict, Told
from epistem.trust.perturb import Floats, Perturber, perturber

__all__ = [
    "Heatmap",
    "How",
    "MinimalChange",
    "Predict",
    "dice_inside",
    "found",
    "heatmap",
    "minimal_change",
    "window_of",
]

# Windows of an image begin where the deepest cells of most encoders begin.
ALIGN_PX = 32


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
        window: rows and columns of the image that were looked at.
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
    window: tuple[slice, slice]
    how: How
    forwards: int
    forward_px: int
    provenance: Provenance

    def looked_at(self) -> Heatmap:
        """The same of the window alone."""
        rows, cols = self.window
        return replace(
            self,
            values=self.values[rows, cols],
            region=self.region[rows, cols],
            answer=self.answer[:, rows, cols],
            cells=self.cells - np.array([rows.start, cols.start]),
            patches=self.patches.cropped(rows, cols),
            window=(slice(0, rows.stop - rows.start), slice(0, cols.stop - cols.start)),
        )


class MinimalChange(NamedTuple):
    """The fewest patches that together change the answer.

    Attributes:
        cells: (k, 2) upper left pixels of the patches, in the order in which they were taken.
        changed: (H, W) pixels that are replaced by at least half.
        area_px: how many.
        share: of the image, 0 to 1.
        dice: of the class inside the region, between the answer before and after.
        image: (C, H, W) changed; of several draws the one that changed the answer most.
        answer: (K, H, W) what the network said; NaN outside the window that the heatmap looked at.
    """

    cells: Cells
    changed: Mask
    area_px: int
    share: float
    dice: float
    image: Floats
    answer: Floats


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
    rows, cols = window_of(region, how)
    asked = Grid(Counted(predict, batch_px), whole.cropped(rows, cols), region[rows, cols], how, told)
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
        (rows, cols),
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


def window_of(region: Mask, how: How) -> tuple[slice, slice]:
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

    Patches are taken by falling change, those at least half a patch from one another first, until the Dice of the
    class between the answer before and after falls below the limit; then those that turn out not to be needed are put
    back, so no patch of the result can be left out.

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
    part = heat.looked_at()
    trial, order = _Trial(Counted(predict, batch_px), part, least), _order(part)
    taken = _first_enough(lambda k: trial.of(order[:k]).dice < dice_below, len(order))
    if taken is None:
        return None
    kept = list(range(taken))
    for one in reversed(range(taken)):
        fewer = [k for k in kept if k != one]
        if fewer and trial.of(order[fewer]).dice < dice_below:
            kept = fewer
    return _placed(heat, order[kept], trial)


def _placed(heat: Heatmap, cells: Cells, trial: _Trial) -> MinimalChange:
    """In the whole image."""
    result, (rows, cols) = trial.of(cells), heat.window
    changed, image, answer = (
        np.zeros(heat.region.shape, bool),
        heat.patches.image.copy(),
        np.full_like(heat.answer, np.nan),
    )
    changed[rows, cols], image[:, rows, cols] = trial.weight(cells) >= 0.5, result.image
    answer[:, rows, cols] = result.answer
    area = int(changed.sum())
    at = cells + np.array([rows.start, cols.start])
    return MinimalChange(at, changed, area, area / changed.size, result.dice, image, answer)


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
        self.before = found(heat.answer, heat.how.of_class, least)
        if not self.before[heat.region].any():
            raise SettingsError(
                f"the network finds class {heat.how.of_class} nowhere in the region, so nothing can be taken from "
                "it; choose a region or a class that it finds"
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
        """(H, W) how much of each pixel is replaced: patches half a width apart add up to all of it."""
        total = np.zeros(self.heat.region.shape, np.float32)
        window = self.heat.patches.weight
        for row, col in cells:
            here = total[row : row + len(window), col : col + len(window)]
            here += window[: here.shape[0], : here.shape[1]]
        return np.minimum(total, 1)


def _order(heat: Heatmap) -> Cells:
    """Patches by falling change: first those at least half a patch from all before, then what lies between them."""
    half, falling = heat.patches.patch_px // 2, heat.cells[np.argsort(-np.abs(heat.change), kind="stable")]
    taken, between = falling[:1], []
    for cell in falling[1:]:
        if np.abs(taken - cell).max(axis=1).min() >= half:
            taken = np.vstack([taken, cell])
        else:
            between.append(cell)
    return np.vstack([taken, *between])
