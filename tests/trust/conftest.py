"""Cases made without images or detectors: how many are right follows a quality of the image, `q_noise`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from epistem.trust.cases import Cases, Described
from epistem.trust.forecast import Forecaster, How
from epistem.trust.profiles import CONTRAST
from epistem.trust.quality import QUALITY

QUICK = How(scores=(0.5,), folds=3, rounds=30, trees=10)
OBJECTS = 24


def drawn_cases(n: int, seed: int = 0, *, detectors: tuple[str, ...] = ("d",)) -> Cases:
    """n images through each detector, 24 objects each and 24 asked for; a share of 1 − q_noise of them is right."""
    rng = np.random.default_rng(seed)
    k, images = n * len(detectors), []
    for case in range(k):
        about = {"case": case, "image": f"{seed}-{case % n}", "source": "abc"[case % 3], "split": "s"}
        values = dict(zip(QUALITY, rng.normal(size=len(QUALITY)), strict=True)) | {"q_noise": rng.random()}
        values["q_flat"] = rng.uniform(0, 0.1)
        size = {"rows": 400, "cols": 500, "pixel_nm": 0.5, "asked": OBJECTS}
        images.append(about | {"detector": detectors[case // n]} | values | size)
    table, m = pd.DataFrame(images), OBJECTS * k
    case = np.repeat(np.arange(k), OBJECTS)
    row0, col0, side = rng.uniform(0, 380, m), rng.uniform(0, 480, m), rng.uniform(5, 19, m)
    objects = pd.DataFrame(
        {"score": rng.uniform(0.02, 1, m), "row0": row0, "col0": col0, "row1": row0 + side, "col1": col0 + side,
         "area_px": side**2, "diameter_px": side, "heywood": 1.0,
         **{name: rng.uniform(0.5, 2, m) for name in CONTRAST}}
    ).astype(np.float32)  # fmt: skip
    # So that what is kept from 0.5 on is as many as are asked for.
    objects["score"] = np.float32(0.5) + objects["score"] / 2.1
    right = rng.random(m) > np.repeat(table["q_noise"].to_numpy(), OBJECTS)
    return Cases(table, objects.assign(case=case, right=right, neither=False), {"weights": {"d": "0123"}})


def described_case(cases: Cases, case: int) -> Described:
    """One of them as `describe` gives it."""
    row = cases.images[cases.images["case"] == case].iloc[0].drop(["case", "asked"])
    objects = cases.objects[cases.objects["case"] == case].drop(columns=["case", "right", "neither"])
    return Described(row.to_dict(), objects.reset_index(drop=True))


@pytest.fixture(scope="session")
def draw() -> Callable[..., Cases]:
    """`drawn_cases`."""
    return drawn_cases


@pytest.fixture(scope="session")
def described() -> Callable[[Cases, int], Described]:
    """`described_case`."""
    return described_case


@pytest.fixture(scope="session")
def fitted() -> Forecaster:
    """A forecast of 150 such cases, for a score of 0.5."""
    return Forecaster(QUICK, {"detector": "d", "weights": "0123"}).fit(drawn_cases(150))
