"""What each ingredient of the simulation is worth: main.ablation.<what is left out>.sim_f1 and .real_f1.

The shipped spec with an eighth of its fields and short trainings, once whole and once without each ingredient. What
is left out is left out of the calibration fields too, so the threshold knows nothing of it; the test fields have
everything.
Texture, camera and speckle are left out of simulated fields only, as no recorded field can do without: compare these
with `recorded-backgrounds`, which has all simulated fields and no recorded one.
Two trainings that differ in the seed alone (`whole`, `another seed`) tell how large a difference means nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contest import contestant, pooled_f1, told
from benchmarks.real_f1 import score
from benchmarks.study import labelled_cavities
from epistem.app.train import Words
from epistem.app.train_spec import train_from_spec
from epistem.detect.calibrate import ASKED, collect, counts_at, saved_field
from epistem.nets.spec import DetectorSpec, read_spec
from epistem.synth.fields import Recipe, make_fields

COMMAND = "python -m benchmarks.ablation"
SPEC = Path(__file__).parents[1] / "scripts" / "shipped" / "cavity-dense.toml"
TEST = Recipe((("wide", "any", 1.0), ("A:over", "any", 0.5), ("A:under", "any", 0.5), ("B", "any", 0.5),
               ("C", "any", 0.5)), 60, seed=3000)  # fmt: skip

Change = Callable[[DetectorSpec], DetectorSpec]


def main(words: Sequence[str] | None = None) -> int:
    """Train each variant, score it, record; a run that was cut short goes on."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("ingredients", nargs="*", metavar="WHAT", help=f"left out: {', '.join(VARIANTS)}")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--folder", type=Path, default=Path("build/ablation"), help="of fields and checkpoints")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    if unknown := sorted(set(asked.ingredients) - set(VARIANTS)):
        parser.error(f"no ingredient is called {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    short = shortened(read_spec(SPEC), asked.steps)
    test = make_fields(asked.folder / "test", TEST)
    for name in asked.ingredients or VARIANTS:
        with Words(quiet=False) as said:
            weights = train_from_spec(VARIANTS[name](short), asked.folder / name, told=said)
        _score(name, weights.path, test, asked.steps, asked.dry)
    return 0


def shortened(spec: DetectorSpec, steps: int) -> DetectorSpec:
    """An eighth of the fields, few steps, no tests of its own."""
    return replace(
        spec,
        fields={name: replace(one, number=one.number // 8) for name, one in spec.fields.items()},
        calibration={name: replace(one, number=one.number // 8) for name, one in spec.calibration.items()},
        schedule=replace(spec.schedule, steps=steps),
        tests={},
    )


def _every_recipe(spec: DetectorSpec, **changes: Any) -> DetectorSpec:
    def changed(recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
        return {name: replace(one, **changes) for name, one in recipes.items()}

    return replace(spec, fields=changed(spec.fields), calibration=changed(spec.calibration))


def _without(*settings: str) -> Change:
    return lambda spec: _every_recipe(spec, without=settings)


def _simulated_without(*settings: str) -> Change:
    # A recorded field brings its own texture and camera.
    return lambda spec: _every_recipe(spec, without=settings, on_backgrounds=0.0)


def _without_speckle(spec: DetectorSpec) -> DetectorSpec:
    kept = {name: one for name, one in spec.fields.items() if name != "speckled"}
    return _simulated_without("speckle_rad")(replace(spec, fields=kept))


VARIANTS: Mapping[str, Change] = {
    "whole": lambda spec: spec,
    "another-seed": lambda spec: replace(spec, schedule=replace(spec.schedule, seed=1)),
    "speckle": _without_speckle,
    "texture": _simulated_without("thickness_sd", "background", "clouds", "mottle", "grains", "fringes", "wedge"),
    "dislocations-precipitates-edges": _without("dislocations", "precipitates", "edge"),
    "camera": _simulated_without("camera_blur_px", "scintillator", "readout_e", "drift_px"),
    "small-bubbles": _without("bubbles"),
    "facets": _without("faceted"),
    "recorded-backgrounds": lambda spec: _every_recipe(spec, on_backgrounds=0.0),
    "marks": lambda spec: replace(spec, augment=replace(spec.augment, marks=0.0)),
    "enlarged-windows": lambda spec: replace(spec, augment=replace(spec.augment, enlarge=1.0)),
    "imagenet": lambda spec: replace(spec, settings={**spec.settings, "pretrained": False}),
}
ON_SIMULATED_ONLY = ("speckle", "texture", "camera")


def _score(name: str, weights: Path, test: Sequence[Path], steps: int, dry: bool) -> None:
    who = contestant(f"cavity-dense={weights}")
    assert who is not None
    about = f"{steps} steps {'with everything' if name in ('whole', 'another-seed') else f'without {name}'}"
    if name in ON_SIMULATED_ONLY:
        about += ", and without recorded backgrounds: compare with recorded-backgrounds"
    judged = collect(who.keeps_all, (saved_field(path, ASKED["any"]) for path in test))
    found = pooled_f1(counts_at(judged, who.min_score))
    data = f"{about}; {len(test)} simulated fields with everything"
    told(f"main.ablation.{name}.sim_f1", found, target="reported", command=COMMAND, data=data, dry=dry)
    crops = labelled_cavities()
    if not crops:
        print("skipped the real images: EPISTEM_STUDY_DATA does not lead to cavity_tem_labelled")
        return
    matches = [score(who.as_used(crop.micrograph), crop.annotators["A"]) for crop in crops]
    counts = np.array([[one.tp, one.fp, one.fn] for one in matches])
    data = f"{about}; cavity_tem_labelled, {len(crops)} crops, annotator A"
    told(f"main.ablation.{name}.real_f1", pooled_f1(counts), target="reported", command=COMMAND, data=data, dry=dry)


if __name__ == "__main__":
    sys.exit(main())
