"""Writes the fronts of the shipped cards again: `python scripts/card_fronts.py [--check]`.

The front of a network's card comes from its weights file, that of the forecast's from the table in the card;
columns.md and decline.md are written whole. Run it after any of the make_*.py.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import epistem
from epistem.app.card_front import body, front_of, with_front
from epistem.nets.weights import open_weights

PACKAGE = Path(epistem.__file__).parent
LICENCE = "GPL-3.0-or-later"
NETS, FORECAST = PACKAGE / "nets/shipped", PACKAGE / "trust/shipped/cavity-dense.md"
COLUMNS, DECLINE = PACKAGE / "atoms/shipped/columns.md", PACKAGE / "ask/shipped/decline.md"
ABOUT_COLUMNS = """\
# Bank of column profiles

How bright every column of a dichalcogenide monolayer is in an annular dark-field image, by detector angle and
distance from the column, for 26 columns under 4 beams. Simulated with abTEM by `scripts/make_columns.py`; no
recorded image is in it. The fields that `atoms-context` learned from, and those that `epistem atoms simulate` makes,
are sums of these profiles.
"""
ABOUT_DECLINE = """\
# Questions that no image answers

A logistic regression on MiniLM's vectors of questions, which says how likely it is that no single image answers one.
`epistem ask` declines where it is likely. The questions were written for it and lie in `scripts/decline_*.json`;
`scripts/make_decline.py` makes it again. MiniLM is not in it; it comes with a package of `scripts/weights.txt`.
"""


def main() -> int:
    """Write, or with --check only say which are behind; 1 if any is."""
    behind = []
    for path, text in cards().items():
        if not path.is_file() or path.read_text("utf-8") != text:
            behind.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text, "utf-8")
    print(f"{'behind' if '--check' in sys.argv else 'written'}: {', '.join(behind) or 'nothing'}")
    return int("--check" in sys.argv and bool(behind))


def cards() -> dict[Path, str]:
    """Every shipped card as it should be."""
    found = {}
    for path in sorted(NETS.glob("*.safetensors")):
        weights = open_weights(path)
        front = front_of(weights.network, weights.card, name=path.stem, licence=LICENCE)
        found[path.with_suffix(".md")] = with_front(front, path.with_suffix(".md").read_text("utf-8"))
    text = FORECAST.read_text("utf-8")
    front = front_of("forecast", _forecast(text), name=f"{FORECAST.stem}-forecast", licence=LICENCE)
    found[FORECAST] = with_front(front, text)
    bank = {"trained_on": "abTEM multislice simulations; nothing was fitted"}
    found[COLUMNS] = with_front(front_of("columns", bank, name="atoms-columns", licence=LICENCE), ABOUT_COLUMNS)
    asked = {"trained_on": "questions written for it"}
    found[DECLINE] = with_front(front_of("decline", asked, name="ask-decline", licence=LICENCE), ABOUT_DECLINE)
    return found


def _forecast(text: str) -> dict[str, object]:
    """What the body of the forecast's card says, as front_of wants it."""
    scores = {}
    for name, error, r2 in re.findall(r"^\| (\w+) \| \d+ \| ([\d.]+) .*?\| [\d.]+ \| ([\d.]+) \|", body(text), re.M):
        scores[f"expected {name} on simulated images held out"] = {"mae": float(error), "r2": float(r2)}
    fitted = re.search(r"fitted on (\d+) images with simulated cavities", text)
    return {"scores": scores, "trained_on": f"{fitted[1]} images with simulated cavities" if fitted else None}


if __name__ == "__main__":
    sys.exit(main())
