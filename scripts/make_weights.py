"""Makes the shipped weights again from nothing: `python scripts/make_weights.py [NAME…]`.

Each scripts/shipped/NAME.toml is trained by the code of `epistem train detector`, and weights, ONNX file and card are
copied to src/epistem/nets/shipped. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from epistem.app.train import Words
from epistem.app.train_spec import train_from_spec
from epistem.core import EpistemError
from epistem.nets.spec import read_spec
from epistem.nets.weights import SHIPPED, Weights

SPECS = Path(__file__).resolve().parent / "shipped"
MOST_BYTES = 60e6


def main() -> int:
    """Train all that is asked for; 1 if one cannot be made, or if all together are too large to ship."""
    known = sorted(path.stem for path in SPECS.glob("*.toml"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all unless told")
    parser.add_argument("--folder", type=Path, default=Path("build/weights"), help="of fields and checkpoints")
    parser.add_argument("--device")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    for name in asked.names or known:
        if name not in known:
            parser.error(f"no spec is called {name}; there is {', '.join(known)}")
        try:
            with Words(quiet=False) as words:
                weights = train_from_spec(
                    read_spec(SPECS / f"{name}.toml"), asked.folder / name, told=words, device=asked.device,
                    workers=asked.workers,
                )  # fmt: skip
        except EpistemError as error:
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
        for path in ship(weights, name, SHIPPED):
            print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    total = sum(path.stat().st_size for path in SHIPPED.iterdir())
    print(f"All together {total / 1e6:.1f} MB of at most {MOST_BYTES / 1e6:.0f}")
    return int(total > MOST_BYTES)


def ship(weights: Weights, name: str, folder: Path) -> list[Path]:
    """The files of these weights in a folder under a name, each whole."""
    folder.mkdir(parents=True, exist_ok=True)
    shipped = []
    for source in (weights.path, weights.onnx, weights.path.with_name("card.md")):
        if source.is_file():
            path = folder / f"{name}{source.suffix}"
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            shutil.copyfile(source, part)
            part.replace(path)
            shipped.append(path)
    return shipped


if __name__ == "__main__":
    sys.exit(main())
