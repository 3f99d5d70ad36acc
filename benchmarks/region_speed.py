"""How much faster a label image becomes a region table here than in scikit-image: [main.region_speed_ratio].

Both sides start at the same label image and end with the same 12 properties; ours brings ten more with them.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from benchmarks.record import record
from epistem.core import Instances
from epistem.detect.measure import region_table

OBJECTS, SIZE, REPEATS = 1700, 2048, 7
PROPERTIES = {
    "area": "area_px",
    "centroid": "centroid_row_px centroid_col_px",
    "equivalent_diameter_area": "equivalent_diameter_px",
    "perimeter": "perimeter_px",
    "feret_diameter_max": "feret_max_px",
    "axis_major_length": "major_axis_px",
    "axis_minor_length": "minor_axis_px",
    "orientation": "orientation_rad",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "intensity_mean": "intensity_mean",
    "intensity_max": "intensity_max",
}


def scene(seed: int = 0) -> NDArray[np.int32]:
    """1,700 ellipses, 12 to 40 px long, jittered round a grid; some touch, some are cut by the border."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIZE, SIZE), np.int32)
    side = int(np.ceil(np.sqrt(OBJECTS)))
    for i in range(OBJECTS):
        row, col = (np.array(divmod(i, side)) + 0.5) * SIZE / side + rng.uniform(-8, 8, 2)
        (a, b), turn = rng.uniform(6, 20, 2), rng.uniform(0, np.pi)
        top, left = max(int(row) - 21, 0), max(int(col) - 21, 0)
        window = labels[top : int(row) + 22, left : int(col) + 22]
        y, x = np.ogrid[: window.shape[0], : window.shape[1]]
        y, x = y + top - row, x + left - col
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        window[((along / a) ** 2 + (across / b) ** 2 <= 1) & (window == 0)] = i + 1
    return labels


def main() -> None:
    """Time both sides in turn, check that they agree, record the ratio of the medians."""
    labels = scene()
    pixels = np.random.default_rng(1).integers(0, 2**16, labels.shape).astype(np.uint16)
    ours_s, theirs_s = [], []
    for _ in range(REPEATS):
        start = time.process_time()
        ours = region_table(Instances.from_labels(labels), pixels=pixels)
        middle = time.process_time()
        theirs = regionprops_table(labels, pixels, properties=tuple(PROPERTIES))
        ours_s.append(middle - start)
        theirs_s.append(time.process_time() - middle)

    worst = 0.0
    for name, column in PROPERTIES.items():
        for k, part in enumerate(column.split()):
            other = theirs[f"{name}-{k}" if " " in column else name]
            # -90° and 90° are the same line.
            apart = np.sin(ours[part] - other) if name == "orientation" else ours[part] - other
            worst = max(worst, float(np.abs(apart).max()))
    assert worst < 1e-6, f"the tables differ by {worst}"

    ratios = np.array(theirs_s) / np.array(ours_s)
    record(
        "main.region_speed_ratio",
        round(float(np.median(theirs_s) / np.median(ours_s)), 1),
        low=round(float(ratios.min()), 1),
        high=round(float(ratios.max()), 1),
        target=">= 20",
        command="python -m benchmarks.region_speed",
        data=(
            f"{len(ours['area_px'])} simulated ellipses on {SIZE}², label image to table of 12 properties, equal to "
            f"{worst:.0e}; median processor time of {REPEATS}: {1e3 * np.median(ours_s):.0f} ms against "
            f"{1e3 * np.median(theirs_s):.0f} ms of scikit-image; low and high: smallest and largest single ratio"
        ),
    )


if __name__ == "__main__":
    main()
