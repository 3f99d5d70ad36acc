"""Ready, revise or not known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from epistem.bench.profile import QualityControl
from epistem.bench.ready import Alignment, verdict
from epistem.core import RecordError

QC = QualityControl(detectors=("gmm", "ocsvm"))
ALIGNED = Alignment(0.8, None, None, 12)


def signals(auroc: float = 0.97, f1: float = 0.9) -> pd.DataFrame:
    return pd.DataFrame({"detector": ["gmm", "ocsvm"], "auroc": [0.99, auroc], "f1": [0.95, f1]})


def test_signals_that_reach_their_limits_and_aligned_heatmaps_are_ready() -> None:
    assert verdict(QC, signals(), ALIGNED, undertrained=False).said == "ready"
    assert verdict(QC, signals(0.95, 0.8), ALIGNED, undertrained=False).said == "ready"


@pytest.mark.parametrize(("auroc", "f1", "why"), [(0.949, 0.9, "AUROC of OCSVM"), (0.97, 0.79, "F1 of OCSVM")])
def test_one_signal_below_its_limit_is_reason_to_revise(auroc: float, f1: float, why: str) -> None:
    found = verdict(QC, signals(auroc, f1), ALIGNED, undertrained=False)
    assert found.said == "revise"
    assert why in found.reasons[0]


def test_what_was_not_asked_is_not_known_and_never_ready() -> None:
    assert verdict(QC, None, ALIGNED, undertrained=False).said == "not known"
    assert verdict(QC, signals(), None, undertrained=False).said == "not known"
    assert verdict(QC, signals(np.nan), ALIGNED, undertrained=False).said == "not known"
    assert verdict(QC, signals().iloc[:1], ALIGNED, undertrained=False).said == "not known"
    assert verdict(QC, signals(), Alignment(None, 0.1, None, 3), undertrained=False).said == "not known"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Alignment(0.7, None, None, 9), "ready"),
        (Alignment(0.2, 0.1, 0.01, 9), "ready"),
        (Alignment(None, 0.1, 0.01, 9), "ready"),
        (Alignment(0.69, None, None, 9), "revise"),
        (Alignment(None, 0.1, 0.05, 9), "revise"),
        (Alignment(None, -0.1, 0.001, 9), "revise"),
    ],
)
def test_heatmaps_are_aligned_by_pointing_or_by_deletion(seen: Alignment, said: str) -> None:
    assert verdict(QC, signals(), seen, undertrained=False).said == said


def test_an_undertrained_or_unscored_network_is_revised_first() -> None:
    assert "undertrained" in verdict(QC, signals(), ALIGNED, undertrained=True).reasons[0]
    assert verdict(QC, signals(), ALIGNED, undertrained=None).said == "revise"


def test_of_several_views_the_worst_counts() -> None:
    both = pd.concat([signals(), signals(0.5)])
    assert "0.500" in verdict(QC, both, ALIGNED, undertrained=False).reasons[0]
    unscored = pd.concat([signals(), signals(np.nan)])
    assert verdict(QC, unscored, ALIGNED, undertrained=False).said == "not known"


def test_a_table_without_its_columns_is_refused() -> None:
    with pytest.raises(RecordError, match="needs f1"):
        verdict(QC, signals().drop(columns="f1"), ALIGNED, undertrained=False)
