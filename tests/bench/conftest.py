from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from epistem.bench.folder import profile_from_folder
from epistem.bench.profile import Profile, profile_of
from epistem.segment.summary import FOREGROUND


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


CELLS = [(e, d) for e in ("tf_efficientnet_lite0", "resnet50") for d in ("unet", "deeplabv3", "deeplabv3plus")]


def simulated_runs(
    lead: Mapping[str, Mapping[str, float]], *, cells: Sequence[tuple[str, str]] = CELLS, seeds: int = 3,
    groups: int = 8, weights: str = "none", variant: str = "canonical", undertrained: bool = False, seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Jobs and scores as runs leave them: IoU 0.6 plus the decoder's lead on a dataset, noise of images and seeds."""
    rng = np.random.default_rng(seed)
    jobs, scores = [], []
    for dataset, leads in lead.items():
        of_image = rng.normal(0.6, 0.08, 2 * groups)
        for (encoder, decoder), number in product(cells, range(seeds)):
            job = f"{dataset}-{encoder}-{decoder}-{weights}-{variant}-{number}"
            cost = (2 if encoder.startswith("resnet") else 0.3) * (1.5 if decoder == "unet" else 1)
            keys = {"dataset": dataset, "job": job, "encoder": encoder, "decoder": decoder, "variant": variant}
            keys |= {"weights": weights, "seed": number}
            jobs.append(keys | {
                "start": "random initialisation" if weights == "none" else weights, "undertrained": undertrained,
                "steps": 100 if undertrained else 600, "best_step": 90, "best_score": 0.6, "seconds": 60.0,
                "device": "cpu", "parameters": int(cost * 1e7), "macs": int(cost * 1e9), "latency_ms": 12 * cost,
                "frames_per_s": 80 / cost, "peak_mb": 50 * cost, "tile_px": 128,
            })  # fmt: skip
            bump = leads.get(decoder, 0.0) + rng.normal(0, 0.01)
            found = np.clip(of_image + bump + rng.normal(0, 0.02, len(of_image)), 0.02, 0.98)
            for i, iou in enumerate(found):
                row = keys | {"image": f"{dataset}{i}", "name": f"{dataset}_{i}.png", "group": f"s{i // 2}"}
                for name, value in (("iou", iou), ("dice", 2 * iou / (1 + iou))):
                    counts = {"metric": name, "value": value, "empty": 0, "undefined": 0}
                    scores += [row | counts | {"class": one} for one in ("pore", FOREGROUND)]
    return pd.DataFrame(jobs), pd.DataFrame(scores)


@pytest.fixture(scope="session")
def runs() -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    """`simulated_runs(lead, …)`: jobs and scores."""
    return simulated_runs


def write_study(
    root: Path, *, groups: int = 5, each: int = 1, shape: tuple[int, int] = (64, 64), channels: int = 1,
    values: tuple[int, ...] = (0, 1),
) -> Profile:  # fmt: skip
    """Noise with a brighter square for each value but the first; a network that two steps train, at 32 pixels."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    for group, i in product(range(groups), range(each)):
        rng = np.random.default_rng(10 * group + i)
        mask = np.full(shape, values[0], np.uint8)
        grey = rng.normal(100, 10, (*shape, channels))
        for value in values[1:]:
            row, col = (int(rng.integers(1, size - 9)) for size in shape)
            mask[row : row + 8, col : col + 8] = value
            grey[row : row + 8, col : col + 8] += 40 + value % 80
        pixels = grey.clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels if channels > 1 else pixels[..., 0]).save(root / "images" / f"s{group}_{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"s{group}_{i}.png")
    return tiny(profile_from_folder(root, scale_bars=False))


def tiny(profile: Profile, **parts: Mapping[str, Any]) -> Profile:
    """The profile with the smallest network and training, and other values in some of its parts."""
    values = profile.model_dump(by_alias=True)
    values["model"] |= {"encoders": ["tf_efficientnet_lite0"], "decoders": ["unet"], "weights": ["none"]}
    values["training"] |= {
        "batch_size": 2, "max_epochs": None, "max_steps": 3, "image_size": 32, "val_tiles": 4, "seeds": [0],
    }  # fmt: skip
    for part, updates in parts.items():
        values[part] |= updates
    return profile_of(values)


@pytest.fixture(scope="session")
def study() -> Callable[..., Profile]:
    """`write_study(folder, …)`: its profile."""
    return write_study


@pytest.fixture(scope="session")
def smallest() -> Callable[..., Profile]:
    """`tiny(profile, part={…})`."""
    return tiny
