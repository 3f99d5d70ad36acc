from __future__ import annotations

import numpy as np
import pytest

from epistem.atoms.formation import Formation, Lens, counted, drifted, expose, power_law_field, relative_transfer
from epistem.atoms.kernels import Ring, grid_of, render, shipped_bank
from epistem.atoms.multislice import Beam
from epistem.core import SettingsError

BEAM, PIXEL, SHAPE = Beam(80.0), 0.2, (80, 80)
FLAT = np.full((1, 200, 200), 0.01, np.float32)


def seen_through(lens):
    """A single W column in the middle of the image."""
    spectra = [shipped_bank().spectra(BEAM, Ring(85, 250))]
    transfer = relative_transfer(lens, BEAM, grid_of(SHAPE, PIXEL))
    middle = np.array([[40 * PIXEL, 40 * PIXEL]])
    return render(middle, np.array(["W"]), spectra, SHAPE, PIXEL, transfer=transfer)[0].astype(float)


def centre(image):
    rows, cols = np.indices(image.shape)
    return (rows * image).sum() / image.sum() - 40, (cols * image).sum() / image.sum() - 40


def exposed(seed=0, image=FLAT, **more):
    return expose(image, Formation(**({"blur_A": 0.0} | more)), PIXEL, np.random.default_rng(seed))


@pytest.mark.parametrize("mean", [0.3, 5.0, 59.0, 61.0, 2000.0])
def test_counts_have_the_mean_and_variance_of_poisson_s_law(mean):
    counts = counted(np.full((300, 300), mean, np.float32), np.random.default_rng(0))
    assert counts.mean() == pytest.approx(mean, rel=0.01)
    assert counts.var() == pytest.approx(mean, rel=0.03)


def test_twice_the_dose_gives_twice_the_electrons():
    assert exposed(dose_e_per_A2=2e5).mean() == pytest.approx(2 * exposed(dose_e_per_A2=1e5).mean(), rel=0.01)


def test_the_dose_falls_on_the_area_of_a_pixel():
    assert exposed(dose_e_per_A2=1e5).mean() == pytest.approx(0.01 * 1e5 * PIXEL**2, rel=0.002)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    all_on = {"jitter_A": 0.1, "contamination": 0.3, "read_noise": 0.5, "dark": 1.0, "dose_e_per_A2": 1e4}
    assert exposed(3, **all_on).tobytes() == exposed(3, **all_on).tobytes()
    assert exposed(3, **all_on).tobytes() != exposed(4, **all_on).tobytes()


def test_read_noise_and_dark_current_are_added():
    plain, noisy = exposed(dose_e_per_A2=1e4), exposed(dose_e_per_A2=1e4, read_noise=3.0, dark=20.0)
    assert noisy.mean() - plain.mean() == pytest.approx(20.0, abs=0.1)
    assert noisy.var() - plain.var() == pytest.approx(20.0 + 9.0, rel=0.06)


def test_jitter_moves_lines_and_leaves_the_mean():
    image = seen_through(Lens())[None].astype(np.float32)
    still, moved = (exposed(image=image, dose_e_per_A2=1e9, jitter_A=jitter) for jitter in (0.0, 0.2))
    assert moved.mean() == pytest.approx(still.mean(), rel=2e-3)
    top = [float(np.abs(line.argmax() - 40)) for line in moved[0, 36:45]]
    assert max(top) >= 1
    assert [int(line.argmax()) for line in still[0, 36:45]] == [40] * 9


def test_jitter_moves_both_detectors_alike():
    image = np.repeat(seen_through(Lens())[None], 2, axis=0).astype(np.float32)
    first, second = exposed(image=image, dose_e_per_A2=1e9, jitter_A=0.2)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9999


def test_contamination_adds_light_up_to_its_share():
    clean, dirty = (exposed(dose_e_per_A2=1e7, contamination=part) for part in (0.0, 0.5))
    added = dirty / clean.mean() - 1
    assert -0.05 < added.min() < 0.05
    assert 0.45 < added.max() < 0.55


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_the_field_of_contamination_has_the_wanted_power_law(power):
    slopes = []
    for seed in range(8):
        field = power_law_field((512, 512), power, np.random.default_rng(seed))
        assert field.min() == 0
        assert field.max() == 1
        rows, cols = (np.fft.fftfreq(512, 1 / 512)[part] for part in ((slice(None), None), (None, slice(None))))
        length = np.hypot(rows, cols)
        ring = (length >= 2) & (length < 25)
        power_of = np.abs(np.fft.fft2(field)) ** 2
        slopes.append(np.polyfit(np.log(length[ring]), np.log(power_of[ring]), 1)[0])
    assert -np.mean(slopes) == pytest.approx(power, abs=0.25)


def test_drift_shears_columns_and_stretches_rows():
    xy = np.array([[0.0, 10.0], [5.0, 0.0]])
    assert drifted(xy, (0.05, -0.1)) == pytest.approx(np.array([[-1.0, 10.5], [5.0, 0.0]]))


def test_a_perfect_lens_changes_nothing():
    assert relative_transfer(Lens(), BEAM, grid_of(SHAPE, PIXEL)) is None


def test_aberrations_lower_the_peak_and_keep_the_total():
    sharp = seen_through(Lens())
    for lens in (Lens(60.0), Lens(-60.0), Lens(0, 40.0), Lens(0, 0, 0, 1500.0)):
        image = seen_through(lens)
        assert image.max() < 0.95 * sharp.max()
        assert image.sum() == pytest.approx(sharp.sum(), rel=0.01)


def test_over_and_under_focus_look_the_same_without_other_aberrations():
    assert seen_through(Lens(50.0)) == pytest.approx(seen_through(Lens(-50.0)), abs=1e-6)


def test_astigmatism_with_defocus_stretches_a_column_along_its_direction():
    rows, cols = np.indices(SHAPE) - 40

    def longer(image):
        near = np.hypot(rows, cols) < 10
        part = image * near
        return (part * cols**2).sum() / (part * rows**2).sum()

    along, across = longer(seen_through(Lens(30.0, 30.0, 0.0))), longer(seen_through(Lens(30.0, 30.0, np.pi / 2)))
    assert along == pytest.approx(1 / across, rel=0.02)
    assert abs(np.log(along)) > 0.3


@pytest.mark.parametrize("angle", [0.0, np.pi / 2, np.pi])
def test_coma_moves_the_image_along_its_direction_only(angle):
    row, col = centre(seen_through(Lens(0, 0, 0, 1000.0, angle)))
    along = col * np.cos(angle) + row * np.sin(angle)
    across = -col * np.sin(angle) + row * np.cos(angle)
    assert abs(along) > 0.3
    assert abs(across) < 0.05 * abs(along)
    opposite = centre(seen_through(Lens(0, 0, 0, 1000.0, angle + np.pi)))
    assert opposite == pytest.approx((-row, -col), abs=0.02)


@pytest.mark.parametrize("lens", [Lens(40.0), Lens(0, 25.0, 0.5), Lens(0, 0, 0, 1500.0, 0.3)])
def test_a_lens_does_to_a_column_what_it_does_in_multislice(lens):
    abtem = pytest.importorskip("abtem")
    ase = pytest.importorskip("ase")
    length, step = 12.0, 0.5
    atoms = ase.Atoms("Ti", [(length / 2, length / 2, 0.5)], cell=(length, length, 1.0))
    line = np.arange(-4, 5) * step
    spots = np.array([(length / 2 + x, length / 2 + y) for y in line for x in line])
    aberrations = lens.abtem
    aberrations["defocus"] = -aberrations.pop("C10")
    with abtem.config.set({"diagnostics.progress_bar": False, "diagnostics.task_progress": False}):
        potential = abtem.Potential(
            atoms, gpts=162, slice_thickness=1.0, parametrization="lobato", projection="infinite"
        )
        probe = abtem.Probe(energy=80e3, semiangle_cutoff=30, **aberrations)
        probe.grid.match(potential)
        found = probe.scan(
            potential, scan=abtem.CustomScan(spots), detectors=abtem.AnnularDetector(60, 150), lazy=False
        )
    theirs = np.asarray(found.array, float).reshape(9, 9)
    spectra = [shipped_bank().spectra(BEAM, Ring(60, 150), vibration=0.0)]
    transfer = relative_transfer(lens, BEAM, grid_of((9, 9), step))
    ours = render(np.array([[4 * step, 4 * step]]), np.array(["Ti"]), spectra, (9, 9), step, transfer=transfer)[0]
    assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("name", ["blur_A", "jitter_A", "contamination", "read_noise", "dark"])
def test_nothing_of_an_image_s_making_is_negative(name):
    with pytest.raises(SettingsError, match=name):
        Formation(**{name: -0.1}).checked()


@pytest.mark.parametrize("dose", [0.0, -1.0, float("nan")])
def test_an_image_needs_a_dose(dose):
    with pytest.raises(SettingsError, match="electrons per Å²"):
        Formation(dose).checked()
