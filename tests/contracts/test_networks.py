"""Promises that every entry of NETWORKS keeps, and all weights that are shipped."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epistem.atoms.model import AtomModel
from epistem.core import Instances, whole_boxes
from epistem.nets import NETWORKS
from epistem.nets.sample import Sample
from epistem.nets.weights import SHIPPED, open_weights

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("timm")
from epistem.detect.learned import HALO_PX  # noqa: E402
from epistem.nets.engine import load_dense  # noqa: E402
from epistem.nets.maskrcnn import PUBLISHED  # noqa: E402
from epistem.nets.restore import build, keep, restore  # noqa: E402
from epistem.nets.spec import read_spec  # noqa: E402

# Untrained, one finds next to nothing and the other objects everywhere.
FINDS_SOMETHING: dict[str, dict[str, Any]] = {"cavity-dense": {"least_logit": -20.0}}
pytestmark = pytest.mark.filterwarnings("ignore:the limit of")


def discs(*places: tuple[float, float, float], shape: tuple[int, int] = (64, 64)) -> Sample:
    """Bright discs at (row, col) with a radius, in noise; the second is ignored."""
    image = np.random.default_rng(len(places)).normal(size=shape).astype(np.float32)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, int)
    for i, (row, col, radius) in enumerate(places, 1):
        labels[np.hypot(rows + 0.5 - row, cols + 0.5 - col) < radius] = i
    image[labels > 0] += 5
    truth = Instances.from_labels(labels)
    return Sample(image, truth.with_columns(ignored=np.arange(len(truth)) == 1))


FULL, EMPTY = discs((16, 20, 6), (40, 46, 9), (50, 12, 5)), discs()


@pytest.fixture(scope="module", params=list(NETWORKS))
def network(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    built = build(request.param, FINDS_SOMETHING.get(request.param, {}))
    built.registered = request.param
    # One look at noise, so that norms and scores are not those of an empty network.
    with torch.no_grad():
        built.train().losses([FULL, EMPTY])
    return built.eval()


@pytest.fixture
def training(network: Any) -> Any:
    yield network.train()
    network.zero_grad(set_to_none=True)
    network.eval()


def shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def assert_same(one: Instances, other: Instances) -> None:
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.score, other.score)
    for a, b in zip(one.masks(), other.masks(), strict=True):
        np.testing.assert_array_equal(a.crop, b.crop)


def test_settings_that_went_through_json_rebuild_the_same_parameters(network):
    settings = json.loads(json.dumps(asdict(network.settings)))
    again = build(network.registered, settings)
    assert again.settings == network.settings
    assert shapes(again) == shapes(network)


def test_the_same_seed_gives_the_same_new_weights(network):
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(build(network.registered, {}).state_dict())
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())


def test_losses_are_finite_numbers_that_can_be_learned_from(training):
    losses = training.losses([FULL, EMPTY])
    assert all(loss.shape == () and torch.isfinite(loss) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    gradients = [parameter.grad for parameter in training.parameters() if parameter.grad is not None]
    assert len(gradients) > 20
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_a_batch_without_objects_has_finite_losses(training):
    losses = training.losses([EMPTY, EMPTY])
    assert all(torch.isfinite(loss) and loss >= 0 for loss in losses.values())


def test_samples_are_not_changed_by_learning_from_them(training):
    image, boxes = FULL.image.copy(), FULL.truth.boxes.copy()
    training.losses([FULL])
    np.testing.assert_array_equal(FULL.image, image)
    np.testing.assert_array_equal(FULL.truth.boxes, boxes)


@pytest.mark.parametrize("shape", [(64, 64), (41, 70), (96, 33), (1, 1)])
def test_objects_lie_inside_the_image_best_first_with_masks(network, shape):
    found = network.detect(discs(shape=shape).image)
    assert found.shape == shape
    assert found.classes == ("cavity",)
    assert found.crops is not None
    assert ((0 <= found.score) & (found.score <= 1)).all()
    assert (np.diff(found.score) <= 0).all()
    assert (whole_boxes(found.boxes)[:, 2:] <= shape).all()


def test_an_image_gives_the_same_whatever_came_before(network):
    first = network.detect(FULL.image)
    assert len(first) > 0
    network.detect(discs(shape=(90, 41)).image)
    assert_same(network.detect(FULL.image), first)


def test_detecting_changes_no_weight(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.detect(FULL.image)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_kept_and_restored_it_finds_the_same(network, tmp_path):
    once = restore(keep(tmp_path / "a.safetensors", network, name=network.registered, min_score=0.2, card={}))
    weights = keep(tmp_path / "b.safetensors", once, name=network.registered, min_score=0.2, card={})
    again = restore(weights)
    assert not again.training
    assert again.settings == network.settings
    assert shapes(again) == shapes(network)
    assert_same(again.detect(FULL.image), once.detect(FULL.image))


def textured(*shape: int) -> NDArray[np.float32]:
    """Noise with dark spots, as z-scores."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=shape)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    for _ in range(np.prod(shape) // 4000):
        row, col, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 12)
        image -= 3 * (np.hypot(rows - row, cols - col) < radius)
    return image.astype(np.float32)


def shipped() -> list[Path]:
    return sorted(SHIPPED.glob("*.safetensors"))


def test_all_shipped_weights_together_take_60_megabytes_at_most():
    assert sum(path.stat().st_size for path in SHIPPED.glob("*") if path.is_file()) <= 60e6


def test_the_default_detector_has_shipped_weights():
    # The promises below are of every shipped file; with none they would hold of nothing.
    assert "cavity-dense" in {path.stem for path in shipped()}


def test_the_published_spec_is_that_of_the_published_settings():
    spec = read_spec(Path(__file__).parents[2] / "scripts" / "published" / "cavity-maskrcnn.toml")
    assert build(spec.network, dict(spec.settings)).settings == PUBLISHED


def test_every_shipped_weights_file_has_a_card_a_network_and_a_threshold():
    for path in shipped():
        weights = open_weights(path.stem)
        for said in ("about", "seed", "training_seconds", "hardware", "scores", "licences"):
            assert weights.card.get(said) not in (None, "", {}), f"the card of {path.name} lacks {said}"
        assert "initial_weights" in weights.card["licences"]
        if (
            weights.network == "context-classifier"
        ):  # answers with posteriors and sets, which have a threshold of theirs
            assert 0 < AtomModel.load(path.stem).threshold <= 1
            continue
        if weights.network == "llava-assistant":  # answers with words; its other half is in packages of their own
            assert all(np.isfinite(value).all() for value in weights.tensors().values())
            continue
        assert 0 < weights.min_score < 1
        network = restore(weights)
        assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_every_shipped_dense_network_runs_alike_with_and_without_torch():
    for path in shipped():
        if open_weights(path.stem).network != "cavity-dense":
            continue
        for shape in ((96, 160), (77, 131)):
            image = textured(*shape)
            one, other = (load_dense(path.stem, engine).maps(image) for engine in ("onnx", "torch"))
            np.testing.assert_allclose(one, other, atol=1e-3)


def test_every_shipped_dense_network_looks_no_further_than_the_halo():
    for path in shipped():
        if open_weights(path.stem).network != "cavity-dense":
            continue
        image = textured(128, HALO_PX + 256)
        maps = load_dense(path.stem, "torch").maps
        way = abs(maps(image)[:, :, 32:] - maps(np.ascontiguousarray(image[:, 64:])))
        assert way[:, :, HALO_PX // 2 :].max() < 1e-3
