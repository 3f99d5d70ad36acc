from __future__ import annotations

import numpy as np
import pytest

from epistem.atoms.crystals import HOSTS, Shares, lattice_vectors, make_sheet
from epistem.atoms.dataset import Setting, expose_sheet
from epistem.atoms.detectors import effective_angles
from epistem.atoms.formation import Formation
from epistem.atoms.kernels import shipped_bank
from epistem.atoms.multislice import Beam
from epistem.atoms.patches import levels
from epistem.core import SettingsError

WSE2, BEAM = HOSTS["WSe2"], Beam(80.0)


def contrasts(*rings, host=WSE2, exchanged=False):
    """Height of sub-lattice 1 over 0 on an image of these detectors."""
    sheet = make_sheet(host, lattice_vectors(host, turned=0.4), (60.0, 60.0), Shares({"Ti": 0.03}),
                       np.random.default_rng(1), margin_A=9.0)  # fmt: skip
    setting = Setting(keV=80.0, detectors=rings)
    field = expose_sheet(sheet, setting, Formation(1e7, 0.45), 0.4, (150, 150), shipped_bank(),
                         np.random.default_rng(2), dopants=("Ti",))  # fmt: skip
    ok = field.whole
    kind = 1 - field.sublattice[ok] if exchanged else field.sublattice[ok]
    found = [levels(image, field.sites_px[ok], kind, field.hollow_px, field.a_px) for image in field.counts]
    return [one.dim if one.bright_is == 0 else 1 / one.dim for one in found]


def test_a_simulated_image_gives_the_angles_it_was_simulated_with():
    found = effective_angles(WSE2, BEAM, contrasts((50, 200), (70, 200)), shipped_bank())
    assert [ring.inner_mrad for ring in found.rings] == pytest.approx([50, 70], abs=4)
    assert found.metal == 0
    assert found.misfit < 0.05


def test_the_other_sub_lattice_is_the_metal_s_when_sites_are_counted_the_other_way():
    found = effective_angles(WSE2, BEAM, contrasts((50, 200), (70, 200), exchanged=True), shipped_bank())
    assert found.metal == 1
    assert [ring.inner_mrad for ring in found.rings] == pytest.approx([50, 70], abs=4)


def test_equal_heights_are_ambiguous_and_strong_contrast_is_not():
    assert effective_angles(WSE2, BEAM, [1.0], shipped_bank()).ambiguous
    clear = contrasts((80, 200), host=HOSTS["MoS2"])
    assert not effective_angles(HOSTS["MoS2"], BEAM, clear, shipped_bank()).ambiguous


def test_where_two_angles_fit_alike_the_contrast_is_still_met():
    found = effective_angles(WSE2, BEAM, contrasts((80, 200)), shipped_bank())  # as bright at 80 as at 98 mrad
    assert found.misfit < 0.03


def test_a_contrast_that_no_detector_gives_is_missed_by_much():
    for ratio in (0.01, 0.0, -0.2):
        found = effective_angles(WSE2, BEAM, [ratio], shipped_bank())
        assert found.misfit > 1
        assert not found.ambiguous


def test_a_wide_probe_is_not_asked_about_detectors_inside_its_disc():
    found = effective_angles(WSE2, Beam(80.0, 35.0), [0.5], shipped_bank())
    assert found.rings[0].inner_mrad >= 37


def test_a_beam_outside_the_bank_is_refused():
    with pytest.raises(SettingsError, match="outside the bank"):
        effective_angles(WSE2, Beam(10.0), [0.5], shipped_bank())
