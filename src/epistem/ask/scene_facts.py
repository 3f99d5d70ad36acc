"""What is true of a simulated scene, measured on its exact masks by the tools that measure what a detector found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epistem.detect.measure import measure
from epistem.synth.scenes import Scene

CRUMB_PX = 9  # smaller pieces, mostly of objects that end outside the field, are not counted
FEWEST_WHOLE = 3  # objects wholly in the field that a size is told of
CLEARLY_LARGEST = 1.15  # of the largest object's diameter over the next
FROM_MIDDLE = 0.07  # of the field: what lies nearer to its middle lines is in no quarter
FEWEST_PX_OF_SHAPE = 30
CLEAR_CONTRAST = 0.5  # of the difference between two classes, over the image's standard deviation


@dataclass(frozen=True)
class Facts:
    """What a picture of a simulated scene shows; None where it is too little to tell.

    Attributes:
        kind: in synth.scenes.SCENES.
        technique: modality of the image, "SEM", "AFM"…
        count: objects of at least 9 px.
        density_per_um2: count over the field's area [1/µm²].
        field_nm, height_nm: width and height of the field [nm].
        share_percent: of the field that the class looked for covers [%].
        dark: whether that class is darker than the rest.
        mean_nm, smallest_nm, largest_nm: equivalent diameters of the objects wholly in the field [nm].
        spread: standard deviation of those over their mean.
        aspect: median ratio of the axes of the objects wholly in the field.
        extent_nm: largest calliper of all objects [nm].
        quarter: of the field where the largest object's middle lies, "upper left"….
    """

    kind: str
    technique: str | None
    count: int
    density_per_um2: float
    field_nm: float
    height_nm: float
    share_percent: float
    dark: bool | None
    mean_nm: float | None
    smallest_nm: float | None
    largest_nm: float | None
    spread: float | None
    aspect: float | None
    extent_nm: float | None
    quarter: str | None


def scene_facts(kind: str, scene: Scene) -> Facts:
    """What is true of a scene of this kind."""
    micrograph = scene.micrograph
    found = measure(scene.objects, micrograph)
    columns = found[found.columns["area_px"] >= CRUMB_PX].columns
    across_nm = columns["equivalent_diameter_nm"]
    whole = ~columns["touches_edge"]
    rows, cols = micrograph.shape
    pixels = micrograph.needs_calibration()
    sizes = across_nm[whole] if whole.sum() >= FEWEST_WHOLE else None
    shaped = whole & (columns["area_px"] >= FEWEST_PX_OF_SHAPE)
    ratio = columns["major_axis_nm"][shaped] / columns["minor_axis_nm"][shaped]
    return Facts(
        kind=kind,
        technique=micrograph.context.modality,
        count=len(across_nm),
        density_per_um2=len(across_nm) / (rows * cols * pixels.pixel_area_nm2 * 1e-6),
        field_nm=cols * pixels.col_nm,
        height_nm=rows * pixels.row_nm,
        share_percent=100 * float((scene.truth.labels == 1).mean()),
        dark=_darker(scene),
        mean_nm=None if sizes is None else float(sizes.mean()),
        smallest_nm=None if sizes is None else float(sizes.min()),
        largest_nm=None if sizes is None else float(sizes.max()),
        spread=None if sizes is None else float(sizes.std() / sizes.mean()),
        aspect=float(np.median(ratio)) if len(ratio) >= FEWEST_WHOLE else None,
        extent_nm=float(columns["feret_max_nm"].max()) if len(across_nm) else None,
        quarter=_quarter(across_nm, columns["centroid_row_px"] / rows - 0.5, columns["centroid_col_px"] / cols - 0.5),
    )


def _darker(scene: Scene) -> bool | None:
    """Whether the class looked for is darker than the rest; None where it hardly differs, or is not there."""
    pixels, inside = scene.micrograph.pixels.astype(float), scene.truth.labels == 1
    spread = pixels.std()
    if not inside.any() or inside.all() or spread == 0:
        return None
    difference = (pixels[inside].mean() - pixels[~inside].mean()) / spread
    return None if abs(difference) < CLEAR_CONTRAST else bool(difference < 0)


def _quarter(across_nm: NDArray[np.float64], down: NDArray[np.float64], right: NDArray[np.float64]) -> str | None:
    """Where the largest object is, seen from the middle; None where none is clearly largest, or clearly off it."""
    if not len(across_nm):
        return None
    order = np.argsort(across_nm)
    largest = int(order[-1])
    if len(order) > 1 and across_nm[largest] < CLEARLY_LARGEST * across_nm[order[-2]]:
        return None
    if min(abs(down[largest]), abs(right[largest])) < FROM_MIDDLE:
        return None
    return f"{'upper' if down[largest] < 0 else 'lower'} {'left' if right[largest] < 0 else 'right'}"
