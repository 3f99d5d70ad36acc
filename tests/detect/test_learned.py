from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from epistem.core import Instances, Micrograph, RecordError, SettingsError
from epistem.detect import learned, make_detector
from epistem.detect.learned import HALO_PX, CavityDense, CavityMaskRCNN
from epistem.nets.engine import Loaded, load_dense
from epistem.nets.stars import CHANNELS, Reading
from epistem.nets.weights import Weights, save_weights

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from epistem.nets.dense import CavityDense as Network  # noqa: E402
from epistem.nets.dense import DenseSettings  # noqa: E402
from epistem.nets.restore import keep  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Weights:
    """A random network that looks far and finds a lot."""
    torch.manual_seed(0)
    network = Network(DenseSettings(least_logit=-20.0, shift=5.0)).train()
    with torch.no_grad():
        # What the deepest layers see outweighs the rest, as in a trained network.
        network.encoder.blocks[-1][-1].bn3.weight.mul_(30)
        for _ in range(2):
            network(2 * torch.randn(2, 1, 64, 128))
    path = tmp_path_factory.mktemp("weights") / "far.safetensors"
    return keep(path, network, name="cavity-dense", min_score=0.3, card={})


def blobs(*shape: int, seed: int = 0, **rest: Any) -> Micrograph:
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 300, shape), 3) + 1000
    return Micrograph(image.astype(np.float32), **rest)


def assert_alike(one: Instances, other: Instances) -> None:
    """The same objects to a hundredth; equally sure ones may come in another order."""
    assert len(one) == len(other)
    twin = abs(one.boxes[:, None] - other.boxes[None]).max(axis=2).argmin(axis=1)
    assert len(set(twin.tolist())) == len(one)
    np.testing.assert_allclose(one.boxes, other.boxes[twin], atol=1e-2)
    np.testing.assert_allclose(one.score, other.score[twin], atol=1e-2)
    sizes = [np.array([mask.crop.sum() for mask in found.masks()]) for found in (one, other)]
    np.testing.assert_allclose(sizes[0], sizes[1][twin], atol=2)


def test_a_window_has_the_maps_of_the_whole_from_the_halo_on(weights):
    image = np.random.default_rng(0).normal(0, 2, (32, HALO_PX + 640)).astype(np.float32)
    maps = load_dense(str(weights.path), "torch").maps
    whole, window = maps(image), maps(np.ascontiguousarray(image[:, 128:]))
    way = abs(whole[:, :, 64:] - window).max(axis=(0, 1))
    assert way[: HALO_PX // 4].max() > 1e-3  # it does look that far
    assert way[HALO_PX // 2 :].max() < 1e-4


def test_in_windows_a_long_image_gives_what_it_gives_as_a_whole(weights):
    image = blobs(41, 1331)
    detector = CavityDense(str(weights.path), engine="torch")
    whole, tiled = replace(detector, tile_px=4096)(image), replace(detector, tile_px=64)(image)
    assert len(whole) > 20
    assert_alike(whole, tiled)


def test_a_device_that_is_not_here_is_told_and_not_replaced(weights):
    with pytest.raises(SettingsError, match="device is cpu, cuda or cuda:N, not 'abacus'"):
        CavityDense(str(weights.path), device="abacus")(blobs(41, 41))


def local(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps that know where bright blobs are, and look no further than 30 px."""
    h, w = (-(-n // 2) for n in image.shape)
    maps = np.zeros((CHANNELS, h, w), np.float32)
    maps[0] = 4 * ndimage.gaussian_filter(image, 5, truncate=4)[::2, ::2] - 1
    maps[1:3] = 0.3
    maps[3:] = np.log(9.0) + 0.02 * np.arange(CHANNELS - 3)[:, None, None]
    return maps


@pytest.fixture
def by_eye(monkeypatch, weights, request) -> list[tuple[int, ...]]:
    """The detector with `local` for a network and a halo of 64 px; sizes of the windows it was given.

    It looks at the image as it is, or at the binnings of the test's mark.
    """
    seen: list[tuple[int, ...]] = []
    mark = request.node.get_closest_marker("binnings")
    reading = Reading(binnings=mark.args if mark else (1,))

    def maps(image: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(image.shape)
        return local(image)

    monkeypatch.setattr(learned, "HALO_PX", 64)
    monkeypatch.setattr(learned, "load_dense", lambda *_: Loaded(maps, weights, reading, "torch"))
    return seen


@pytest.mark.parametrize("shape", [(301, 423), (256, 320), (64, 1000), (193, 65)])
@pytest.mark.parametrize("tile_px", [64, 96, 160])
def test_windows_change_neither_objects_nor_their_order(by_eye, shape, tile_px):
    image = blobs(*shape)
    whole = CavityDense(min_score=0.2, tile_px=4096)(image)
    assert by_eye == [shape]
    by_eye.clear()
    tiled = CavityDense(min_score=0.2, tile_px=tile_px)(image)
    assert len(whole) >= 4
    np.testing.assert_array_equal(tiled.boxes, whole.boxes)
    np.testing.assert_array_equal(tiled.score, whole.score)
    for one, other in zip(tiled.masks(), whole.masks(), strict=True):
        np.testing.assert_array_equal(one.crop, other.crop)
    assert max(max(window) for window in by_eye) <= tile_px + 128 < max(shape) or len(by_eye) == 1


@pytest.mark.binnings(1, 2, 3)
@pytest.mark.parametrize("shape", [(301, 423), (193, 65)])
def test_windows_change_nothing_in_binned_looks_either(by_eye, shape):
    image = blobs(*shape)
    whole = CavityDense(min_score=0.2, tile_px=4096)(image)
    assert by_eye == [shape, (shape[0] // 2, shape[1] // 2), (shape[0] // 3, shape[1] // 3)]
    tiled = CavityDense(min_score=0.2, tile_px=64)(image)
    assert len(whole) >= 4
    np.testing.assert_array_equal(tiled.boxes, whole.boxes)
    np.testing.assert_array_equal(tiled.score, whole.score)


@pytest.mark.binnings(2)
def test_what_a_binned_look_finds_lies_where_it_is_with_its_size(by_eye):
    rows, cols = np.ogrid[:161, :200]
    image = np.random.default_rng(0).normal(0, 1, (161, 200)) + 60 * (np.hypot(rows - 70, cols - 120) < 18)
    found = CavityDense(min_score=0.5)(Micrograph(image))
    assert by_eye == [(80, 100)]
    assert len(found) == 1
    np.testing.assert_allclose(found.centres[0], (70, 120), atol=4)
    # `local` says radii of 9.7 px down and 11.4 px up, of what it is shown.
    assert found.boxes[0, 2] - found.boxes[0, 0] == pytest.approx(2 * (9.7 + 11.4), abs=1)


@pytest.mark.binnings(2)
def test_a_binned_look_says_nothing_about_small_objects(by_eye, monkeypatch):
    image = blobs(160, 180)
    assert len(CavityDense(min_score=0.0)(image)) > 0
    strict = learned.load_dense("")._replace(reading=Reading(binnings=(2,), least_binned_px=40.0))
    monkeypatch.setattr(learned, "load_dense", lambda *_: strict)
    assert len(CavityDense(min_score=0.0)(image)) == 0


@pytest.mark.binnings(1, 2)
def test_an_image_too_small_to_bin_is_looked_at_as_it_is(by_eye):
    CavityDense()(Micrograph(np.zeros((1, 40))))
    assert by_eye == [(1, 40)]


def test_objects_on_the_seams_of_windows_are_found_once(by_eye):
    rows, cols = np.ogrid[:320, :320]
    image = np.random.default_rng(0).normal(0, 1, (320, 320))
    for row in range(64, 320, 64):
        for col in range(64, 320, 64):
            image += 60 * (np.hypot(rows - row, cols - col) < 9)
    found = CavityDense(min_score=0.5, tile_px=64)(Micrograph(image))
    assert len(by_eye) == 25
    assert len(found) == 16
    way = np.hypot(*((found.centres + 32) % 64 - 32).T)
    assert (way < 3).all()


def test_among_equals_the_order_is_that_of_the_whole_image(by_eye):
    image = np.zeros((320, 320))
    for row in range(40, 320, 80):
        for col in range(40, 320, 80):
            image[row, col] = 1000
    whole, tiled = (CavityDense(min_score=0.0, tile_px=tile_px)(Micrograph(image)) for tile_px in (4096, 64))
    assert len(whole) >= 16
    np.testing.assert_array_equal(tiled.boxes, whole.boxes)


@pytest.mark.parametrize("shape", [(1, 1), (5, 70), (31, 17), (33, 200), (200, 33)])
def test_images_of_any_size_give_objects_inside_them(weights, shape):
    found = CavityDense(str(weights.path), engine="torch", min_score=0.0)(blobs(*shape))
    assert found.shape == shape
    assert found.classes == ("cavity",)
    assert (np.diff(found.score) <= 0).all()
    assert all(crop.any() for crop in found.crops)


def test_a_constant_image_is_handled_and_its_scores_are_finite(weights):
    found = CavityDense(str(weights.path), engine="torch")(Micrograph(np.full((70, 90), 7, np.uint8)))
    assert np.isfinite(found.score).all()


def test_grey_levels_and_their_scale_change_nothing(weights):
    image = blobs(96, 128)
    detector = CavityDense(str(weights.path), engine="torch")
    assert_alike(detector(image), detector(Micrograph(image.pixels * 7 + 30_000)))


def test_what_lies_mostly_outside_the_valid_pixels_is_left_out(by_eye):
    valid = np.ones((192, 192), bool)
    valid[:, 96:] = False
    rows, cols = np.ogrid[:192, :192]
    image = np.random.default_rng(0).normal(0, 1, (192, 192))
    for col in (40, 95, 150):
        image += 60 * (np.hypot(rows - 96, cols - col) < 9)
    assert len(CavityDense(min_score=0.5)(Micrograph(image))) == 3
    found = CavityDense(min_score=0.5)(Micrograph(image, valid=valid))
    assert (found.centres[:, 1] < 97).all()
    assert len(found) >= 1
    none = CavityDense(min_score=0.5)(Micrograph(image, valid=np.zeros((192, 192), bool)))
    assert len(none) == 0


def test_a_higher_threshold_leaves_the_surer_objects_as_they_are(by_eye):
    image = blobs(160, 180)
    all_of_them = CavityDense(min_score=0.0)(image)
    least = float(np.median(all_of_them.score))
    surer = CavityDense(min_score=least)(image)
    wanted = all_of_them[np.flatnonzero(all_of_them.score >= least)]
    np.testing.assert_array_equal(surer.boxes, wanted.boxes)
    assert 0 < len(surer) < len(all_of_them)
    assert len(CavityDense(min_score=1.0)(image)) == 0


def test_the_threshold_is_the_weights_own_unless_one_is_given(by_eye, weights):
    image = blobs(160, 180)
    np.testing.assert_array_equal(CavityDense()(image).boxes, CavityDense(min_score=weights.min_score)(image).boxes)
    assert CavityDense()(image).score.min() >= 0.3


def test_the_smallest_diameter_is_kept(weights):
    image = blobs(96, 128)
    detector = CavityDense(str(weights.path), engine="torch", min_score=0.0)

    def diameters(found: Instances) -> NDArray[np.float64]:
        return 2 * np.sqrt(np.array([mask.crop.sum() for mask in found.masks()]) / np.pi)

    everything = diameters(detector(image))
    least = float(np.median(everything)) + 0.01
    kept = diameters(replace(detector, min_diameter_px=least)(image))
    np.testing.assert_array_equal(kept, everything[everything >= least])
    assert 0 < len(kept) < len(everything)


def test_provenance_names_weights_threshold_runtime_and_image(weights):
    image = blobs(64, 70)
    made = CavityDense(str(weights.path), engine="torch", min_diameter_px=2.0)(image).provenance
    assert made is not None
    assert made.maker == "epistem.detect.CavityDense"
    assert made.weights == weights.hash
    assert made.inputs == (image.id,)
    told = {"min_score": 0.3, "min_diameter_px": 2.0, "weights": "far", "runtime": "torch"}
    assert {key: made.settings[key] for key in told} == told


def test_both_runtimes_find_the_same(weights):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from epistem.nets.restore import export_onnx

    export_onnx(weights)
    image = blobs(75, 130)
    one, other = (CavityDense(str(weights.path), engine=engine)(image) for engine in ("torch", "onnx"))
    assert len(one) > 3
    assert_alike(one, other)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"min_score": 1.5}, "min_score runs from 0 to 1, not 1.5"),
        ({"min_score": float("nan")}, "min_score"),
        ({"min_diameter_px": -1.0}, "min_diameter_px is at least 0"),
        ({"tile_px": 10}, "tile_px is at least 64, not 10"),
        ({"engine": "tensorrt"}, "engine"),
    ],
)
def test_meaningless_settings_are_refused(bad, words):
    with pytest.raises(SettingsError, match=words):
        make_detector("cavity-dense", **bad)


def tiny_maskrcnn(path: Path, seed: int = 0, **settings: Any) -> Weights:
    maskrcnn = pytest.importorskip("epistem.nets.maskrcnn")
    torch.manual_seed(seed)
    few = {"channels": 16, "box_features": 32, "rpn_pre_nms_top_n_test": 200, "rpn_post_nms_top_n_test": 60}
    chosen = maskrcnn.CavityMaskRCNN.Settings(**few, box_score_thresh=0.0, **settings)
    network = maskrcnn.CavityMaskRCNN(chosen)
    return keep(path, network, name="cavity-maskrcnn", min_score=0.0, card={})


def test_mask_rcnn_runs_from_its_weights_and_names_them(tmp_path):
    made = tiny_maskrcnn(tmp_path / "m.safetensors")
    image = blobs(64, 90)
    found = CavityMaskRCNN(str(made.path))(image)
    assert found.shape == (64, 90)
    assert found.provenance is not None
    assert found.provenance.weights == made.hash
    assert found.provenance.inputs == (image.id,)
    assert (found.provenance.settings["min_score"], found.provenance.settings["limit_reached"]) == (0.0, None)
    assert found.classes == ("cavity",)
    cut = float(np.median(found.score))
    assert 0 < len(CavityMaskRCNN(str(made.path), min_score=cut)(image)) < len(found)


def test_mask_rcnn_weights_written_over_are_read_anew(tmp_path):
    image = blobs(64, 90)
    first = CavityMaskRCNN(str(tiny_maskrcnn(tmp_path / "m.safetensors").path))(image)
    second = CavityMaskRCNN(str(tiny_maskrcnn(tmp_path / "m.safetensors", seed=1).path))(image)
    assert first.provenance.weights != second.provenance.weights
    assert not np.array_equal(first.boxes, second.boxes)


def test_a_limit_that_was_reached_stays_with_the_result(tmp_path):
    made = tiny_maskrcnn(tmp_path / "m.safetensors", box_detections_per_img=5, box_nms_thresh=0.9)
    with pytest.warns(UserWarning, match="limit of 5 objects"):
        found = CavityMaskRCNN(str(made.path))(blobs(64, 90))
    assert found.provenance.settings["limit_reached"] == 5


def test_weights_of_the_other_network_are_refused(tmp_path, weights):
    with pytest.raises(RecordError, match="wanted a cavity-maskrcnn; choose --detector cavity-dense"):
        CavityMaskRCNN(str(weights.path))(blobs(64, 64))
    other = save_weights(
        tmp_path / "m.safetensors", {}, network="cavity-maskrcnn", settings={}, min_score=0.5, card={}
    )
    with pytest.raises(RecordError, match="holds a cavity-maskrcnn, wanted a cavity-dense"):
        CavityDense(str(other.path))(blobs(64, 64))
