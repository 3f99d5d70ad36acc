"""Objects invented in real fields that hold no cavity: main.false_per_empty_field, …_megapixel, each .seen and .log.

Some of the fields of `cosmic_backgrounds` lay under the training's simulated cavities (`trained_on`); the others
were held out of it and make the number without a suffix. The simulation's texture was compared with all of them
(`benchmarks/realism.py`), so none is wholly new.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.contest import LEARNED, Contestant, contestant, mean_share, pooled_share, told
from benchmarks.realism import specimen_area
from benchmarks.record import ROOT
from benchmarks.study import study_data
from epistem.core import Micrograph
from epistem.imaging import read

COMMAND = "python -m benchmarks.empty_fields"
FOLDER = "cosmic_backgrounds"
SPEC = ROOT / "scripts" / "shipped" / f"{LEARNED}.toml"


class Invented(NamedTuple):
    """How many objects were found where there is none."""

    file: str
    objects: int
    megapixels: float


def trained_on(spec: Path = SPEC) -> set[str]:
    """Names of the fields that the shipped weights' training put cavities on."""
    return {one["name"] for one in tomllib.loads(spec.read_text("utf-8"))["backgrounds"]["files"]}


def invented(who: Contestant, paths: Sequence[Path]) -> list[Invented]:
    """Every field through the detector as users get it."""
    result = []
    for path in paths:
        micrograph = read(path)
        assert isinstance(micrograph, Micrograph)
        found = len(who.as_used(micrograph))
        result.append(Invented(path.name, found, micrograph.pixels.size / 1e6))
        print(f"  {who.label} {path.name}: {found} objects in {result[-1].megapixels:.1f} megapixels")
    return result


def main(words: Sequence[str] | None = None) -> int:
    """Measure and record, or with --dry only print; 0 also where the images are not here, which is said."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="*", default=[LEARNED, "log"], help="NAME or NAME=WEIGHTS")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    folder = study_data(FOLDER)
    if folder is None:
        print(f"skipped: EPISTEM_STUDY_DATA does not lead to {FOLDER}")
        return 0
    paths = sorted((folder / "images").glob("*.png"))
    for who in filter(None, map(contestant, asked.detectors)):
        _tell(who, invented(who, paths), dry=asked.dry)
    return 0


def _tell(who: Contestant, found: Sequence[Invented], *, dry: bool) -> None:
    """Apart by whether the training used a field; what was not trained is measured on the same two parts."""
    whose = "" if who.is_default else f".{who.label}"
    used = trained_on()
    held_out = [one for one in found if one.file not in used]
    seen = [one for one in found if one.file in used]
    areas = {specimen_area(one.file) for one in seen}
    near = [one.file for one in held_out if specimen_area(one.file) in areas]
    for suffix, part in ((whose, held_out), (f"{whose}.seen", seen)):
        if not part:
            continue
        what = "used in training" if part is seen else f"held out; {len(near)} of a specimen area used in training"
        objects, sizes = [one.objects for one in part], [one.megapixels for one in part]
        data = (
            f"{who.label}, {sum(objects)} objects in {len(part)} fields of {FOLDER}, {sum(sizes):.1f} megapixels, "
            f"{what}; low and high: 90 % over fields drawn again"
        )
        command = COMMAND if who.is_default else f"{COMMAND} {who.word}"
        for per, share in (("field", mean_share(objects)), ("megapixel", pooled_share(objects, sizes))):
            name = f"main.false_per_empty_{per}{suffix}"
            told(name, share, target="reported", command=command, data=data, dry=dry)


if __name__ == "__main__":
    sys.exit(main())
