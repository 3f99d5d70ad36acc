"""What every pixel is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import ShapeError
from epistem.core.provenance import Provenance


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map.

    Attributes:
        labels: (H, W) index into `classes`.
        classes: names, background first where there is one.
        probability: (C, H, W) in [0, 1], or None where the maker gives none.
        provenance: who made it.

    Raises:
        ShapeError: shapes that do not agree, or a label without a class.
    """

    labels: NDArray[np.integer[Any]]
    classes: tuple[str, ...]
    probability: NDArray[np.floating[Any]] | None = None
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        if self.labels.ndim != 2:
            raise ShapeError(f"a label map is (H, W), not {self.labels.shape}")
        if self.labels.size and not (0 <= self.labels.min() and self.labels.max() < len(self.classes)):
            raise ShapeError(f"labels run to {self.labels.max()}, there are {len(self.classes)} classes")
        want = (len(self.classes), *self.labels.shape)
        if self.probability is not None and self.probability.shape != want:
            raise ShapeError(f"probabilities are {self.probability.shape}; wanted {want}")
