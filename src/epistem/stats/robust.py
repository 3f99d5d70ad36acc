"""Spread that a minority of outliers does not move."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TO_GAUSSIAN = 1.4826  # 1 / Φ⁻¹(3/4)


def mad_sd(deviations: NDArray[Any]) -> float:
    """Standard deviation of the Gaussian whose median absolute deviation is that of these, in their unit.

    Source: Huber, Robust Statistics (1981), §5.1.

    >>> mad_sd(np.array([-1.0, 0.0, 1.0, 1000.0]))
    1.4826
    """
    return _TO_GAUSSIAN * float(np.median(np.abs(deviations)))
