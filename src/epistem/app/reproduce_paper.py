"""What the paper on forecasting F1 prints, each number with the place where it stands.

N. Li et al., Predicting performance of object detection models in electron microscopy using random forests. Its
images are not at hand: `reproduce` does the same on simulated ones, and shows these numbers beside its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Printed(NamedTuple):
    """Errors as Table 2 and Table 3 print them; None where a table has no such column."""

    rmse: float | None
    mae: float | None
    r2: float
    nrmse: float | None = None
    nmae: float | None = None
    n: float | None = None

    @property
    def true_mean(self) -> float | None:
        """Mean of the true values, as MAE and NMAE imply it: the paper prints it nowhere."""
        return self.mae / self.nmae if self.mae and self.nmae else None

    @property
    def true_sd(self) -> float | None:
        """Their standard deviation, as RMSE and NRMSE imply it."""
        return self.rmse / self.nrmse if self.rmse and self.nrmse else None


# Table 1: split → what Mask R-CNN was trained on and what it was tested on. Names of splits without spaces.
TRAINED_AND_TESTED: Mapping[str, tuple[str, str]] = {
    "A&B_C": ("A&B", "C"),
    "A:over_under": ("A:overfocus", "A:underfocus"),
    "A:under_over": ("A:underfocus", "A:overfocus"),
    "B_A": ("B", "A"),
    "A_B": ("A", "B"),
    "A&B_A&B": ("A&B", "A&B"),
    "A_A": ("A", "A"),
    "B_B": ("B", "B"),
    "A:under_under": ("A:underfocus", "A:underfocus"),
    "A:over_over": ("A:overfocus", "A:overfocus"),
}

# Table 2, "from both the grouped cross-validation and ten iterations of random five-fold cross-validation".
BY_SUBSET: Mapping[str, Printed] = {
    "All data": Printed(0.127, 0.093, 0.774, 0.475, 0.167, 833),
    "A&B_C": Printed(0.130, 0.096, 0.714, 0.457, 0.221, 368),
    "A:over_under": Printed(0.138, 0.096, -0.012, 0.753, 0.147, 107),
    "A:under_over": Printed(0.136, 0.116, 0.600, 0.566, 0.247, 39),
    "B_A": Printed(0.228, 0.188, -0.099, 1.024, 0.460, 28),
    "A_B": Printed(0.147, 0.108, 0.247, 0.715, 0.377, 19),
    "Average of grouped splits": Printed(0.156, 0.121, 0.290, 0.703, 0.290, 112.2),
    "A&B_A&B": Printed(0.092, 0.069, 0.652, 0.550, 0.098, 195),
    "A_A": Printed(0.098, 0.077, 0.666, 0.441, 0.118, 29),
    "B_B": Printed(0.100, 0.077, 0.645, 0.639, 0.102, 19),
    "A:under_under": Printed(0.103, 0.077, -0.150, 0.702, 0.105, 18),
    "A:over_over": Printed(0.141, 0.110, 0.409, 0.543, 0.223, 11),
    "Average of random splits": Printed(0.107, 0.082, 0.444, 0.575, 0.129, 54.4),
}

# Table 3, and § 3 for the swelling error.
BY_TARGET: Mapping[str, Printed] = {
    "f1": Printed(0.127, 0.093, 0.774, 0.475, 0.167),
    "precision": Printed(0.132, 0.094, 0.81, 0.435, 0.163),
    "recall": Printed(0.192, 0.140, 0.57, 0.656, 0.198),
    "swelling_error": Printed(None, None, 0.131),
}

SPLIT_MEANS = Printed(0.062, 0.047, 0.831)
"""§ 3, on Fig. 6 b: means of the splits."""

CUT, CUT_PRECISION, CUT_RECALL = 0.5, 0.89, 0.91
"""Fig. 8, its caption: precision and recall of calling images good at that F1."""

SWEEP = "classification F1 above 0.7 and accuracy above 0.8 at thresholds below 0.8"
"""§ 3, on Fig. 9, which prints no numbers."""

F1_MEAN, F1_SD = 0.55, 0.27
"""Of all true F1, as the first row of Table 2 implies them: 0.093/0.167 and 0.127/0.475, to two digits."""

LEAST_SD, MOST_SD = 0.22, 0.32
"""R² and MAE are compared with the printed ones only if true F1 spread about as much: ours to set."""
