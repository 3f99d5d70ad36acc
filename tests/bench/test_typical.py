from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from epistem.bench.images import load_part
from epistem.bench.plan import make_plan
from epistem.bench.profile import Profile
from epistem.bench.typical import make_reference, reference_beside, reliability_of

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, study: Callable[..., Profile]):
    root = tmp_path_factory.mktemp("typical")
    profile = study(root / "steel", groups=14, shape=(224, 224))
    plan = make_plan(profile)
    return profile, plan, make_reference(profile, plan, root / "typicality.npz"), root / "typicality.npz"


def test_a_test_image_is_typical_and_stripes_are_not(run) -> None:
    profile, plan, reference, path = run
    assert reference is not None
    assert reference.unscored is None
    own = reliability_of(load_part(profile, plan.split.test)[0].seen.image, path)
    assert own.typicality > 0.05
    assert own.verdict is None
    stripes = np.sin(np.arange(224) / 3)[None, None, :] * np.ones((1, 224, 1))
    strange = reliability_of(stripes.astype(np.float32), path)
    assert strange.verdict == "review"
    assert "less typical than" in strange.reasons[0]


def test_few_images_are_unscored_and_not_guessed(tmp_path: Path, study: Callable[..., Profile]) -> None:
    profile = study(tmp_path / "steel")
    plan = make_plan(profile)
    make_reference(profile, plan, tmp_path / "typicality.npz")
    said = reliability_of(load_part(profile, plan.split.test)[0].seen.image, tmp_path / "typicality.npz")
    assert said.typicality is None
    assert "not known" in said.reasons[-1]


def test_no_reference_and_a_small_image_are_told(run, tmp_path: Path) -> None:
    assert (
        "no reference of the images"
        in reliability_of(np.zeros((1, 90, 90), np.float32), tmp_path / "typicality.npz").reasons[-1]
    )
    assert "smaller than" in reliability_of(np.zeros((1, 40, 90), np.float32), run[3]).reasons[-1]


def test_weights_outside_a_run_have_no_reference(tmp_path: Path) -> None:
    inside = tmp_path / "run" / "jobs" / "abc" / "model.safetensors"
    assert reference_beside(inside, "0123456789") == tmp_path / "run" / "typicality-01234567.npz"
    assert reference_beside(Path("/m.safetensors"), "0123456789") is None
