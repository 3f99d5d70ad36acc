"""Writes the small files that `epistem doctor` reads, one of every format: src/epistem/app/shipped/formats.zip."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
OUT = ROOT / "src" / "epistem" / "app" / "shipped" / "formats.zip"
_NO_CLOCK = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """A folder for each reader, named as it is, with its sample inside."""
    from benchmarks.sample_files import SAMPLES

    OUT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, write in SAMPLES.items():
            folder = Path(made) / name
            folder.mkdir()
            sample = write(folder)
            for file in sorted(path for path in (sample, *sample.rglob("*")) if path.is_file()):
                inside = zipfile.ZipInfo(file.relative_to(made).as_posix(), _NO_CLOCK)
                inside.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(inside, file.read_bytes())
    print(f"{OUT.relative_to(ROOT)}: {len(SAMPLES)} formats, {OUT.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
