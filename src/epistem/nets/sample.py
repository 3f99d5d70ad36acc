"""What a detector network learns from: one image and the objects in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epistem.core.instances import Instances


@dataclass(frozen=True, eq=False)
class Sample:
    """One training image.

    Attributes:
        image: (H, W) robust z-scores, as `imaging.normalize` makes them.
        truth: objects with masks, and a bool column `ignored`: too faint or too much cut to ask for; finding one is
            neither right nor wrong.
    """

    image: NDArray[np.float32]
    truth: Instances
