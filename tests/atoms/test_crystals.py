from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from epistem.atoms.crystals import (
    ATOMIC_NUMBERS,
    HOSTS,
    MATERIALS,
    ROLES,
    Shares,
    check_dopants,
    host_of,
    lattice_vectors,
    make_sheet,
    sites,
    supercell,
)
from epistem.core import SettingsError, UnknownName

WSE2 = HOSTS["WSe2"]


def test_six_hosts_with_sixteen_dopants_each_are_ninety_six_materials():
    assert len(set(MATERIALS)) == 96
    assert all(len(host.dopants) == 16 and host.metal not in host.dopants for host in HOSTS.values())
    assert all(dopant in ATOMIC_NUMBERS for _, dopant in MATERIALS)


@pytest.mark.parametrize("name", HOSTS)
def test_a_supercell_has_two_chalcogens_to_a_metal_and_their_bond_lengths(name):
    pytest.importorskip("ase")
    host = HOSTS[name]
    atoms = supercell(host, (3, 2))
    symbols = np.array(atoms.get_chemical_symbols())
    assert (symbols == host.metal).sum() == 12
    assert (symbols == host.chalcogen).sum() == 24
    distance = atoms.get_all_distances(mic=True)
    bonds = distance[np.ix_(symbols == host.metal, symbols == host.chalcogen)]
    bond = np.hypot(host.a_A / np.sqrt(3), host.thickness_A / 2)
    assert ((bonds < bond + 0.01).sum(axis=1) == 6).all()
    assert bonds.min() == pytest.approx(bond, abs=1e-6)
    assert 2.3 < bond < 2.8


def test_atoms_of_a_supercell_stand_in_the_middle_of_three_equal_slices():
    pytest.importorskip("ase")
    atoms = supercell(WSE2)
    thirds = atoms.positions[:, 2] / atoms.cell[2, 2] * 3
    assert thirds == pytest.approx(np.floor(thirds) + 0.5)


def test_atoms_of_a_supercell_stand_on_24ths_of_it():
    pytest.importorskip("ase")
    atoms = supercell(WSE2, (4, 2))
    place = atoms.get_scaled_positions()[:, :2] * 24
    assert place == pytest.approx(np.round(place), abs=1e-6)


def test_sites_fill_the_field_as_densely_as_the_crystal():
    xy, kind = sites(lattice_vectors(WSE2, turned=0.3), (200.0, 150.0))
    each = 200 * 150 / (WSE2.a_A**2 * np.sqrt(3) / 2)
    assert (kind == 0).sum() == pytest.approx(each, rel=0.01)
    assert (kind == 1).sum() == pytest.approx(each, rel=0.01)
    assert (xy >= 0).all()
    assert (xy < [200, 150]).all()


def test_every_site_has_three_neighbours_of_the_other_kind_at_a_over_root_three():
    xy, kind = sites(lattice_vectors(WSE2, turned=0.3), (40.0, 40.0), margin_A=10.0)
    inner = np.flatnonzero(((xy > 5) & (xy < 35)).all(axis=1))
    distance, which = cKDTree(xy).query(xy[inner], 5)
    assert distance[:, 1:4] == pytest.approx(WSE2.a_A / np.sqrt(3))
    assert distance[:, 4].min() == pytest.approx(WSE2.a_A)
    assert (kind[which[:, 1:4]] != kind[inner, None]).all()


def test_strain_stretches_the_vectors_along_its_axis():
    plain, pulled = lattice_vectors(WSE2), lattice_vectors(WSE2, strain=(0.02, 0.0, 0.0))
    assert pulled[:, 0] == pytest.approx(1.02 * plain[:, 0])
    assert pulled[:, 1] == pytest.approx(plain[:, 1])


def test_defects_come_as_often_as_asked_for():
    shares = Shares({"Ti": 0.1, "Mo": 0.2}, no_metal=0.05, no_chalcogen=0.15, no_pair=0.1)
    sheet = make_sheet(WSE2, lattice_vectors(WSE2), (300.0, 300.0), shares, np.random.default_rng(0))
    metal = np.isin(np.array(ROLES)[sheet.role], ("M", "D_M", "V_M"))

    def share(role: str, among: np.ndarray, element: str = "") -> float:
        hit = (sheet.role == ROLES.index(role)) & ((sheet.element == element) | (not element))
        return float(hit[among].mean())

    assert share("D_M", metal, "Ti") == pytest.approx(0.1, abs=0.02)
    assert share("D_M", metal, "Mo") == pytest.approx(0.2, abs=0.02)
    assert share("V_M", metal, "W") == pytest.approx(0.05, abs=0.02)
    assert share("V_X", ~metal) == pytest.approx(0.15, abs=0.02)
    assert share("V_X2", ~metal) == pytest.approx(0.1, abs=0.02)
    assert share("X2", metal) == share("D_M", ~metal) == 0


def test_a_column_is_named_after_what_is_left_of_it():
    everything = Shares({"Ti": 0.3}, 0.3, 0.3, 0.3)
    sheet = make_sheet(WSE2, lattice_vectors(WSE2), (60.0, 60.0), everything, np.random.default_rng(0))
    names = {ROLES[role]: name for role, name in zip(sheet.role, sheet.column, strict=True)}
    assert names == {"M": "W", "X2": "Se2@WSe2", "D_M": "Ti", "V_X": "Se", "V_X2": "", "V_M": ""}


@pytest.mark.parametrize("shares", [Shares({"Ti": 0.7}, 0.4), Shares({"Ti": -0.1}), Shares({}, 0.0, 0.6, 0.6)])
def test_shares_that_cannot_be_are_refused(shares):
    with pytest.raises(SettingsError, match="at most 1 together"):
        make_sheet(WSE2, lattice_vectors(WSE2), (30.0, 30.0), shares, np.random.default_rng(0))


def test_an_impossible_host_or_dopant_is_refused_by_name():
    with pytest.raises(UnknownName, match="PtSe2"):
        host_of("PtSe2")
    with pytest.raises(SettingsError, match="W is the metal of WSe2"):
        check_dopants(WSE2, ["W"])
    with pytest.raises(UnknownName, match="Au"):
        check_dopants(WSE2, ["Au"])
    with pytest.raises(UnknownName, match="Te"):
        check_dopants(WSE2, ["Te"])


def test_dopants_come_in_order_of_atomic_number_and_once():
    assert check_dopants(WSE2, ["Re", "Ti", "Ti", "Mo"]) == ("Ti", "Mo", "Re")
