from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from epistem.atoms.context import AtomContext
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import Described
from epistem.atoms.kernels import Ring, shipped_bank
from epistem.atoms.learn import build
from epistem.atoms.model import AtomModel

CONTEXT = AtomContext("WSe2", ("Ti",), 80.0, 30.0, (Ring(40, 90), Ring(85, 250)), False, 0.3, 1e4)
CARD = {"data": "none", "seed": 0, "scores": {}, "licences": "none"}


def columns(n=8):
    rng = np.random.default_rng(0)
    return Described(rng.standard_normal((n, 2, 66)).astype("f4"), rng.standard_normal((n, 2, 4)).astype("f4"))


def test_a_saved_classifier_gives_the_same_posteriors(tmp_path):
    model = AtomModel(build(seed=3), temperature=(1.3, 0.8), threshold=0.7, coverage=0.9)
    model.save(tmp_path / "model.safetensors", CARD)
    again = AtomModel.load(tmp_path / "model.safetensors")
    for one, other in zip(*(m.posterior(columns(), CONTEXT, shipped_bank()) for m in (model, again)), strict=True):
        assert other == pytest.approx(one, abs=1e-3)  # stored in half precision
    assert (again.temperature, again.threshold, again.coverage) == ((1.3, 0.8), 0.7, 0.9)
    assert again.identity != "untrained"


def test_posteriors_sum_to_one_over_roles_and_elements():
    role, joint, embedding = AtomModel(build()).posterior(columns(), CONTEXT, shipped_bank())
    assert role.sum(axis=1) == pytest.approx(1.0)
    assert joint.sum(axis=(1, 2)) == pytest.approx(1.0)
    assert embedding.shape == (8, 64)


def test_sets_hold_more_roles_the_higher_the_threshold():
    role = np.array([[0.5, 0.3, 0.1, 0.05, 0.03, 0.02]])
    small, large = (AtomModel(build(), threshold=t).sets(role).sum() for t in (0.55, 0.92))
    assert small == 1
    assert large == 3


def test_training_saw_every_role_as_often():
    assert AtomModel(build()).trained_shares == pytest.approx(np.full(len(ROLES), 1 / 6))


def test_a_context_outside_what_was_learned_is_said_and_one_inside_is_not():
    model = AtomModel.load()
    assert model.not_learned(CONTEXT) == []
    odd = AtomContext("WSe2", ("Ti",), 80.0, 24.0, (Ring(40, 90),), False, 0.05, 1e4)
    said = model.not_learned(odd)
    assert len(said) == 2
    assert "at 30 mrad of semi-angle, not at 24" in said[0]
    assert "0.1 to 0.45 Å a pixel, not at 0.05" in said[1]
    assert model.not_learned(AtomContext("WSe2", None, None, None, (None,), False, None, None)) == []
