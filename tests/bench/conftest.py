from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epistem.bench.folder import profile_from_folder
from epistem.bench.profile import Profile


def write_pair(folder: Path, name: str, *, seed: int, values: tuple[int, ...] = (0, 1)) -> None:
    """An image of noise and a mask in stripes, 12 × 16 pixels, in images/ and masks/."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16)).astype(np.uint8)
    mask = np.repeat(np.array(values, np.uint8), 3)[:12]
    mask = np.broadcast_to(np.resize(mask, 12)[:, None], (12, 16))
    Image.fromarray(pixels).save(folder / "images" / name)
    Image.fromarray(mask).save(folder / "masks" / name)


@pytest.fixture
def pairs() -> Callable[..., None]:
    """`write_pair(folder, name, seed=…, values=…)`."""
    return write_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five specimens with two images each."""
    root = tmp_path / "steel"
    for specimen in range(5):
        for i in range(2):
            write_pair(root, f"s{specimen}_{i}.png", seed=10 * specimen + i)
    return root


@pytest.fixture
def profile(folder: Path) -> Profile:
    return profile_from_folder(folder)
