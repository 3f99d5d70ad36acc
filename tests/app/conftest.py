from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile


def write_discs(path: Path, *, n: int = 9, seed: int = 0, nm_per_px: float | None = 0.5) -> None:
    """A calibrated 16-bit TIFF of 160 × 224 pixels with n bright discs of 12 px."""
    rows, cols = np.mgrid[:160, :224]
    image = np.random.default_rng(seed).normal(0, 0.05, (160, 224))
    for i in range(n):
        image += np.hypot(rows - (30 + 45 * (i // 4)), cols - (30 + 50 * (i % 4))) < 6
    pixels = (1000 + 300 * image).astype(np.uint16)
    if nm_per_px is None:
        tifffile.imwrite(path, pixels)
    else:
        scale = (1 / nm_per_px, 1 / nm_per_px)
        tifffile.imwrite(path, pixels, imagej=True, resolution=scale, metadata={"unit": "nm", "axes": "YX"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good images and one that is text."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        write_discs(images / f"im{i}.tif", n=9 + i, seed=i)
    (images / "broken.tif").write_text("this is no picture", "utf-8")
    return images


@pytest.fixture
def discs() -> Callable[..., None]:
    """`write_discs(path, n=…, seed=…, nm_per_px=…)`."""
    return write_discs
