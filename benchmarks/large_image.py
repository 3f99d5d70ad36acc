"""Memory of `epistem analyze` on an image of 8192 × 8192: main.large_image_peak_gb.

The image is one simulated field of 2048² repeated 4 × 4, 16 bit. The peak is that of the process that reads,
detects, measures and writes everything, as the kernel counts it (ru_maxrss).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.record import record

COMMAND = "python -m benchmarks.large_image"


def main() -> int:
    """Make the image, analyse it in a process of its own, record."""
    if len(sys.argv) > 1:
        return _analyse(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.tif"
        _write(path)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.large_image", str(path)], capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
        print(done.stderr, end="")
        done.check_returncode()
        peak_gb, n_objects = done.stdout.split()
    data = f"8192 × 8192 uint16 TIFF, simulated, {n_objects} objects found; {seconds:.0f} s"
    record("main.large_image_peak_gb", float(peak_gb), target="< 3", command=COMMAND, data=data)
    return 0


def _write(path: Path) -> None:
    import tifffile

    from epistem.synth.cavities import CavityScene, simulate

    scene = CavityScene(shape=(2048, 2048), number=250)
    field = simulate(scene, seed=0).micrograph.pixels
    metadata = {"axes": "YX", "unit": "nm"}
    resolution = (1 / scene.pixel_nm, 1 / scene.pixel_nm)
    tifffile.imwrite(path, np.tile(field, (4, 4)), imagej=True, resolution=resolution, metadata=metadata)


def _analyse(path: Path) -> int:
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.settings import Settings

    out, settings = path.parent / "out", Settings.model_validate({})
    result = run_batch(make_jobs(list_files([path], out), settings), settings, out, workers=1)
    if result.errors:
        print(result.errors[0].why, file=sys.stderr)
        return 1
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(round(peak_kb * 1024 / 1e9, 3), result.records[0].images[0].n_objects)
    return 0


if __name__ == "__main__":
    sys.exit(main())
