"""Makes the shipped forecast again from nothing: `python scripts/make_forecast.py`.

The cases of the plan `shipped` are simulated and searched, and the forecast is fitted on them; it lies with its card
in src/epistem/trust/shipped. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from epistem.app.forecast import Fitted, fit
from epistem.app.forecast_cases import make_cases
from epistem.app.forecast_plan import PLANS, SHIPPED_SEED
from epistem.app.train import Words
from epistem.core import Interval
from epistem.detect import DEFAULT, least_score, make_detector
from epistem.nets.spec import read_spec
from epistem.trust.cases import FOREIGN, Cases
from epistem.trust.forecast import GRID, How
from epistem.trust.model import SHIPPED

PLAN = "shipped"
SPEC = Path(__file__).parent / "shipped/cavity-dense.toml"


def main() -> int:
    """Cases, fit, card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/forecast"), help="of fields and cases")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    least = least_score(make_detector(DEFAULT))
    assert least is not None
    with Words(quiet=False) as words:
        cases = make_cases(
            PLANS[PLAN](), asked.folder, told=words, workers=asked.workers, backgrounds=read_spec(SPEC).backgrounds
        )
        # The detector's own threshold is what most people use: it needs no snapping.
        how = How(scores=tuple(sorted({*GRID, least})))
        fitted = fit(cases, SHIPPED / f"{DEFAULT}.npz", how=how, source=f"plan {PLAN}", step=lambda *_: None)
    card = SHIPPED / f"{DEFAULT}.md"
    card.write_text(card_of(fitted, cases), "utf-8")
    print(f"{card}\n{card.read_text('utf-8')}")
    return 0


def card_of(fitted: Fitted, cases: Cases) -> str:
    """What it was fitted on and how far off it is on images held out."""
    forecaster = fitted.forecaster
    sources = cases.images.groupby("source", sort=False).size()
    own = len(cases) - sources.get(FOREIGN, 0)
    rows = [
        f"| {name} | {judged.n} | {_span(judged.mae)} | {_plain(judged.rmse)} | {_plain(judged.r2)} "
        f"| {_span(judged.coverage)} |"
        for name, judged in (fitted.check or {}).items()
    ]
    return "\n".join([
        f"# Forecast of {DEFAULT}", "",
        f"Expected F1, precision and recall of {DEFAULT} (weights {forecaster.about.get('weights')}) on an image, "
        f"fitted on {own} images with simulated cavities, {sources.get('recorded', 0)} of them on the recorded "
        "cavity-free fields that lay under the detector's training (MIT, see its card). Half of them were harmed by "
        "a known amount (dose, blur, drift, contrast, charging, gamma, rescale, JPEG). "
        f"{len(cases) - own} drawings of other kinds of images (grains, precipitates, particles, pores, strokes, "
        "dead leaves, textures) say what is not typical; F1 is learnt from none of them.", "",
        f"Score {fitted.score:g}, five folds of images held out; low and high: 90 %.", "",
        "| | images | mean absolute error | rmse | R² | 90 % intervals that held the truth |",
        "|---|--:|--:|--:|--:|--:|", *rows, "",
        "These are errors on more of the same simulation. `results/forecast.json` has those on other images.", "",
        "| | |", "|---|---|",
        f"| scores | {', '.join(f'{score:.4g}' for score in forecaster.how.scores)} |",
        f"| images | {', '.join(f'{name}: {n}' for name, n in sources.items())} |",
        f"| seeds | {SHIPPED_SEED} and up |",
        f"| features | {len(forecaster.columns)} |",
        f"| boosting rounds, trees | {forecaster.how.rounds}, {forecaster.how.trees} |", "",
    ])  # fmt: skip


def _span(span: Interval | None) -> str:
    return "–" if span is None else f"{span.value:.3f} ({span.low:.3f}–{span.high:.3f})"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
