"""Promises that every scene keeps in every look, and what is special about each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from epistem.core import Micrograph, SettingsError
from epistem.core.errors import UnknownName
from epistem.imaging.normalize import normalize
from epistem.synth import specimens
from epistem.synth.looks import AFM, SEM, Look
from epistem.synth.pixels import as_recorded
from epistem.synth.scenes import LOOKS, SCENES, Kind, draw_scene
from epistem.synth.specimens import Specimen, covered
from epistem.synth.tessellate import bent, centres, compete, spread

SHAPE = (72, 96)
LINES = ["grains", "spherulites", "meltpools"]


@pytest.fixture(params=list(SCENES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(LOOKS))
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def step(width_px: float = 20.0, height_px: float = 4.0) -> Specimen:
    """A ridge in the middle of a flat field."""
    cols = np.arange(64) + 0.5
    depth = np.broadcast_to(np.float32(width_px / 2 - np.abs(cols - 32)), (48, 64))
    inside = covered(depth)
    return Specimen(depth, (depth > 0).astype(np.int32), height_px * inside, inside - 0.5, inside - 0.5, inside - 0.5)


def test_same_seed_same_bytes_and_another_seed_another_image(name: str, look: str) -> None:
    first, again, other = (draw_scene(name, seed=seed, shape=SHAPE, look=look) for seed in (5, 5, 6))
    assert first.micrograph.pixels.tobytes() == again.micrograph.pixels.tobytes()
    assert first.truth.labels.tobytes() == again.truth.labels.tobytes()
    assert first.micrograph.id != other.micrograph.id


def test_the_specimen_is_the_same_in_every_look_and_at_every_strength(name: str) -> None:
    first = draw_scene(name, seed=3, shape=SHAPE)
    others = [draw_scene(name, seed=3, shape=SHAPE, look=look, strength=0.5) for look in LOOKS]
    assert all(np.array_equal(first.truth.labels, other.truth.labels) for other in others)
    assert len({other.micrograph.id for other in others}) == len(LOOKS)


def test_truth_fits_the_image_and_says_how_it_was_made(name: str, look: str) -> None:
    micrograph, truth, objects = draw_scene(name, seed=1, shape=SHAPE, look=look)
    assert truth.labels.shape == objects.shape == micrograph.shape == SHAPE
    assert set(np.unique(truth.labels)) == {0, 1}
    assert len(objects) > 0
    assert truth.provenance == objects.provenance
    assert truth.provenance is not None
    assert truth.provenance.seed == 1
    assert truth.provenance.settings["look"] == look


def test_pixel_size_modality_and_unit_travel_with_the_image(name: str, look: str) -> None:
    micrograph = draw_scene(name, seed=2, shape=SHAPE, look=look, size_px=(10, 10), size_nm=(50, 50)).micrograph
    assert micrograph.needs_calibration().row_nm == pytest.approx(5)
    assert micrograph.needs_calibration().source == "simulation"
    assert micrograph.context.modality == LOOKS[look].modality
    assert micrograph.metadata.get("unit of the values") == ("nm" if look == "afm" else None)
    assert micrograph.pixels.dtype == LOOKS[look].dtype


def test_pixel_sizes_are_what_the_instrument_is_used_for(name: str, look: str) -> None:
    kind: Kind = SCENES[name]
    low, high = kind.size_nm[look][0] / kind.size_px[1], kind.size_nm[look][1] / kind.size_px[0]
    found = [draw_scene(name, seed=seed, shape=(16, 16), look=look).micrograph for seed in range(5)]
    assert all(low <= one.needs_calibration().row_nm <= high for one in found)


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_the_class_is_in_the_range_asked_for(name: str, seed: int) -> None:
    kind: Kind = SCENES[name]
    low, high = max(kind.possible[0], 0.05), min(kind.possible[1], 0.08)
    labels = draw_scene(name, seed=seed, shape=(96, 128), share=(low, high)).truth.labels
    assert low - 1e-3 <= labels.mean() <= high + 1e-3


@pytest.mark.parametrize("end", [0, 1])
def test_the_least_and_the_largest_possible_share_are_met(name: str, end: int) -> None:
    share = SCENES[name].possible[end]
    for seed in range(3):
        labels = draw_scene(name, seed=seed, shape=(96, 90), share=(share, share)).truth.labels
        assert labels.mean() == pytest.approx(share, abs=5 / labels.size)


def test_a_share_changes_nothing_else() -> None:
    thin, thick = (draw_scene("grains", seed=4, share=(share, share)).truth.labels for share in (0.05, 0.15))
    assert (thick >= thin).all()


def test_objects_lie_in_their_class(name: str) -> None:
    _, truth, objects = draw_scene(name, seed=7, shape=(128, 128))
    covered_by_one = objects.to_labels() > 0
    assert np.array_equal(covered_by_one, truth.labels == (0 if name in LINES else 1))


@pytest.mark.parametrize("name", [name for name in SCENES if name != "cracks"])
def test_a_larger_size_gives_larger_objects(name: str) -> None:
    small, large = (draw_scene(name, seed=1, size_px=(size, size)).objects for size in (15, 45))
    areas = [np.median([mask.crop.sum() for mask in found.masks()]) for found in (small, large)]
    assert areas[1] == pytest.approx(9 * areas[0], rel=0.6)


def test_a_larger_size_gives_wider_cracks() -> None:
    half = [
        ndimage.distance_transform_edt(draw_scene("cracks", seed=1, size_px=(size, size)).truth.labels).max()
        for size in (4, 8, 16)
    ]
    assert half == pytest.approx([2.5, 5, 10], rel=0.4)


def test_a_pixel_is_of_the_class_that_covers_most_of_it(name: str) -> None:
    specimen = SCENES[name].draw((64, 80), 20.0, 0.15, np.random.default_rng(0))
    cover = covered(specimen.depth_px)
    assert np.array_equal(specimen.inside, cover > 0.5)
    assert ((cover > 0) & (cover < 1)).any()
    assert cover.mean() == pytest.approx(specimen.inside.mean(), rel=0.1)


def test_nothing_that_is_seen_leaves_its_range(name: str) -> None:
    specimen = SCENES[name].draw((64, 80), 20.0, 0.1, np.random.default_rng(0))
    for channel in (specimen.emission, specimen.density, specimen.reflection):
        assert np.abs(channel).max() < 1.7
    assert all(np.isfinite(channel).all() for channel in specimen)


def test_at_strength_0_the_image_is_what_is_seen(look: str) -> None:
    instrument: Look = LOOKS[look]
    recorded = instrument(step(), 5.0, 0.0, rng=np.random.default_rng(1))
    seen = instrument.see(step(), 5.0, np.random.default_rng(1))
    assert np.array_equal(recorded, as_recorded(seen, instrument.dtype))


def test_what_disturbs_fades_with_its_strength(look: str) -> None:
    instrument: Look = LOOKS[look]
    seen = instrument.see(step(), 5.0, np.random.default_rng(1))
    change = [np.abs(instrument.disturb(seen, s, np.random.default_rng(2)) - seen).mean() for s in (1e-7, 0.3, 1)]
    assert change[0] < 1e-3 * change[2]
    assert change[0] < change[1] < change[2]


def test_the_class_can_be_seen_in_every_look(name: str, look: str) -> None:
    """A contrast between the class and its neighbourhood of at least half its spread, without what disturbs."""
    micrograph, truth, _ = draw_scene(name, seed=8, shape=(160, 160), look=look, strength=0)
    inside = truth.labels > 0
    around = ndimage.binary_dilation(inside, iterations=6) & ~ndimage.binary_dilation(inside, iterations=3)
    pixels = micrograph.pixels.astype(float)
    assert abs(pixels[inside].mean() - pixels[around].mean()) > 0.5 * pixels[around].std()


def test_image_and_truth_lie_on_each_other(name: str) -> None:
    """Shifted by two pixels either way, the truth fits the undisturbed image less well."""
    micrograph, truth, _ = draw_scene(name, seed=9, shape=(160, 160), look="xct", strength=0)
    pixels, labels = micrograph.pixels.astype(float), truth.labels.astype(float)
    fits = {
        (down, across): abs(np.corrcoef(pixels[4:-4, 4:-4].ravel(), moved[4:-4, 4:-4].ravel())[0, 1])
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
        for moved in (np.roll(labels, (down, across), (0, 1)),)
    }
    assert max(fits, key=lambda shift: fits[shift]) == (0, 0)


def test_an_image_can_be_normalized_and_read_as_any_other(name: str, look: str) -> None:
    micrograph = draw_scene(name, seed=0, shape=SHAPE, look=look).micrograph
    assert isinstance(micrograph, Micrograph)
    assert np.isfinite(normalize(micrograph)).all()


@pytest.mark.parametrize("shape", [(16, 16), (16, 200), (150, 17)])
def test_small_and_narrow_images_are_drawn(name: str, look: str, shape: tuple[int, int]) -> None:
    for seed in range(3):
        assert draw_scene(name, seed=seed, shape=shape, look=look).micrograph.shape == shape


def test_grain_boundaries_are_where_two_laguerre_cells_meet() -> None:
    rng = np.random.default_rng(0)
    at, sites = bent((60, 50), 2.0, 8.0, rng), spread((60, 50), 15.0, rng)
    weight = rng.uniform(0, 30, len(sites)).astype(np.float32)
    found = compete(at, sites, 33.0, lambda i, down, across: down**2 + across**2 - weight[i])
    every = np.stack([(at[0] - r) ** 2 + (at[1] - c) ** 2 - w for (r, c), w in zip(sites, weight, strict=True)])
    order = np.argsort(every, axis=0)
    assert (found.winner == order[0]).mean() > 0.999
    assert (found.runner_up == order[1]).mean() > 0.999
    assert np.allclose(found.second, np.sort(every, axis=0)[1], atol=0.01)


def test_grain_boundaries_close_around_every_grain() -> None:
    _, truth, objects = draw_scene("grains", seed=2)
    _, parts = ndimage.label(truth.labels == 0)
    assert parts >= len(objects)


def test_a_pixel_of_a_crack_has_its_centre_within_half_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    along = np.arange(5, 55, 0.5)
    straight = np.column_stack([np.full(len(along), 20.0), along, np.full(len(along), 3.0), np.zeros(len(along))])
    monkeypatch.setattr(specimens, "_crack_points", lambda *_: straight)
    inside = specimens.cracks((40, 60), 6.0, 6.6 * 50 / 2400, np.random.default_rng(0)).inside
    assert np.flatnonzero(inside[:, 30]).tolist() == [17, 18, 19, 20, 21, 22]


def test_a_disc_about_a_corner_of_pixels_covers_what_is_on_either_side_alike() -> None:
    disc = compete(centres((12, 12)), np.array([[6.0, 6.0]]), 20.0, lambda i, down, across: np.hypot(down, across))
    inside = disc.best < 3
    assert inside.sum() == 32
    assert np.array_equal(inside, inside[::-1, ::-1])


def test_cracks_are_thin_and_hang_together() -> None:
    for seed in range(5):
        _, truth, objects = draw_scene("cracks", seed=seed, size_px=(3, 3))
        _, parts = ndimage.label(truth.labels, np.ones((3, 3)))
        assert parts <= len(objects)
        assert ndimage.distance_transform_edt(truth.labels).max() < 6


def test_most_particles_touch_another() -> None:
    objects = draw_scene("particles", seed=1, share=(0.3, 0.3)).objects
    labels = objects.to_labels()
    near = [np.unique(labels[ndimage.binary_dilation(labels == i + 1, iterations=2)]) for i in range(len(objects))]
    assert np.mean([(ids > 0).sum() > 1 for ids in near]) > 0.5


def test_the_lower_edge_of_most_melt_pools_is_a_cup() -> None:
    objects = draw_scene("meltpools", seed=5, shape=(256, 256)).objects
    depths = [
        mask.crop.shape[0] - mask.crop[::-1].argmax(axis=0) for mask in objects.masks() if mask.crop.sum() > 200
    ]
    cups = [np.median(depth[len(depth) // 3 : -(len(depth) // 3)]) > depth[[0, -1]].mean() for depth in depths]
    assert np.mean(cups) > 0.9


def test_edges_are_bright_in_sem() -> None:
    seen = SEM.see(step(), 5.0, np.random.default_rng(0)).mean(axis=0)
    sides = [seen[20:24].max(), seen[40:44].max()]  # the detector stands on one of them
    assert np.mean(sides) > seen[28:36].mean() + 5


def test_an_afm_tip_widens_what_stands_up_and_never_lowers_it() -> None:
    ridge = step(height_px=20.0)
    ridge = ridge._replace(relief_px=ridge.relief_px.copy())
    heights = AFM.see(ridge, 1.0, np.random.default_rng(0))
    half = np.ptp(heights) / 2
    assert (heights.mean(axis=0) > half).sum() > 20
    assert np.ptp(heights) == pytest.approx(20, abs=2)


def test_afm_lines_are_offset_one_by_one() -> None:
    flat = AFM.disturb(np.zeros((40, 64), np.float32), 1.0, np.random.default_rng(3))
    between = np.diff(np.median(flat, axis=1)).std()
    along = np.diff(np.median(flat, axis=0)).std()
    assert between > 3 * along


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (8, 64)}, "at least 16 rows"),
        ({"strength": -1.0}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"seed": -1}, "seed"),
        ({"share": (0.2, 0.1)}, "share"),
        ({"share": (0.0, 0.1)}, "share"),
        ({"share": (0.1, 0.99)}, "share"),
        ({"size_px": (0.0, 3.0)}, "size_px"),
        ({"size_nm": (-5.0, 3.0)}, "size_nm"),
    ],
)
def test_what_has_no_meaning_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        draw_scene("pores", **{"seed": 0, **change})  # type: ignore[arg-type]


def test_an_unknown_scene_or_look_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match="grains"):
        draw_scene("grain", seed=0)
    with pytest.raises(UnknownName, match="sem"):
        draw_scene("grains", seed=0, look="sme")
