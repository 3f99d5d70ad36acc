from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("safetensors")
from epistem.app.card_front import body, front_of, read_front, trained_on, with_front
from epistem.app.models import PACKAGE, find_model, own_model, shipped_models
from epistem.app.models_export import export_model
from epistem.core import RecordError, SettingsError, UnknownName
from epistem.nets.weights import Weights, open_weights, save_weights

ROOT = Path(__file__).resolve().parents[2]


def epistem(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "epistem", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def own(path: Path, **card: Any) -> Weights:
    """A small file of weights that no network has."""
    about = {
        "network": "cavity-maskrcnn",
        "settings": {},
        "min_score": 0.5,
        "card": {"about": "Mine. No more.", **card},
    }
    return save_weights(path, {"a": np.ones(3, np.float32)}, **about)  # type: ignore[arg-type]


def test_every_shipped_file_of_weights_has_a_card_and_a_name_of_its_own() -> None:
    there = shipped_models()
    files = {file for model in there for file in model.files}
    wanted = {"*/shipped/*.safetensors", "*/shipped/*.onnx", "*/shipped/*.npz"}
    assert files == {file for pattern in wanted for file in PACKAGE.glob(pattern)}
    assert len({model.name for model in there}) == len(there)
    assert {"cavity-dense", "cavity-dense-forecast", "atoms-context", "assistant"} <= {model.name for model in there}


def test_fronts_of_the_shipped_cards_are_those_of_their_weights() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "card_fronts.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "behind: nothing\n"


def test_every_shipped_card_says_its_licence_and_what_it_was_made_from() -> None:
    for model in shipped_models():
        assert model.said["licence"] == "GPL-3.0-or-later", model.name
        assert model.said["trained_on"], model.name


def test_a_model_hub_reads_the_same_scores_from_a_card() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(find_model("cavity-dense").card)
    assert (card.data.license, card.data.library_name) == ("gpl-3.0", "epistem")
    assert "cavities" in card.data.tags
    came = {(one.dataset_name, one.metric_type): one.metric_value for one in card.data.eval_results}
    scores = open_weights("cavity-dense").card["scores"]
    assert came[("B hard", "f1")] == round(scores["B hard"]["f1"], 4)
    assert len(came) == 3 * len(scores)


def test_scores_before_a_training_are_not_told_as_those_of_the_new_weights() -> None:
    card = {
        "data": {"learned_from": ["a", "b"], "held_out": ["c"]},
        "from": "abc",
        "scores": {"held-out images, before": {"f1": 0.2}, "held-out images, after": {"f1": 0.7}},
    }
    (index,) = front_of("cavity-dense", card, name="mine")["model-index"]
    assert [one["metrics"] for one in index["results"]] == [[{"type": "f1", "value": 0.7}]]
    assert index["results"][0]["dataset"]["type"] == "own images"
    assert trained_on(card) == "2 labelled images, from weights abc"


def test_a_licence_that_the_hub_has_no_word_for_is_told_by_its_name() -> None:
    front = front_of("segmenter", {}, name="x", licence="EUPL-1.2")
    assert (front["license"], front["license_name"]) == ("other", "EUPL-1.2")
    assert "license" not in front_of("segmenter", {}, name="x")


def test_a_new_front_replaces_the_old_one_and_leaves_the_page() -> None:
    page = "# A\n\n| | |\n|---|---|\n| a | b |\n"
    once = with_front({"license": "mit"}, page)
    twice = with_front({"license": "gpl-3.0"}, once)
    assert body(twice) == page
    assert read_front(twice, "x") == {"license": "gpl-3.0"}
    assert read_front(page, "x") == {}
    with pytest.raises(RecordError, match="no YAML"):
        read_front("---\na: [\n---\n", "x.md")


def test_unknown_weights_are_told_with_those_that_ship() -> None:
    with pytest.raises(UnknownName, match="cavity-dense"):
        find_model("cavity-dents")


def test_own_weights_go_out_under_no_licence_but_the_one_their_owner_names(tmp_path: Path) -> None:
    weights = own(tmp_path / "mine.safetensors", dataset="pores", licence="CC BY-NC 4.0")
    with pytest.raises(SettingsError, match=r"pores \(licence: CC BY-NC 4.0\)"):
        export_model(str(weights.path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    made = export_model(str(weights.path), tmp_path / "out", licence="CC-BY-NC-4.0")
    assert [file.name for file in made.files] == ["README.md", "mine.safetensors"]
    front = read_front((tmp_path / "out" / "README.md").read_text("utf-8"), "README.md")
    assert front["license"] == "cc-by-nc-4.0"
    assert (tmp_path / "out" / "mine.safetensors").read_bytes() == weights.path.read_bytes()


def test_a_licence_that_a_card_names_is_not_overruled(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is under GPL"):
        export_model("atoms-context", tmp_path / "out", licence="MIT")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x", "utf-8")
    with pytest.raises(SettingsError, match="not empty"):
        export_model("atoms-context", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_network_of_the_bench_goes_by_its_data_and_build(tmp_path: Path) -> None:
    built = {"encoder": "resnet50", "decoder": "unet"}
    weights = own(tmp_path / "model.safetensors", dataset="pores", settings=built)
    assert own_model(weights.path).name == "pores-resnet50-unet"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped detector as a folder."""
    pytest.importorskip("onnxruntime")
    out = tmp_path_factory.mktemp("models") / "detector"
    made = export_model("cavity-dense", out)
    assert made.without_rdf == ""
    return out


def test_the_detectors_folder_holds_card_weights_and_test_and_nothing_else(detector: Path) -> None:
    wanted = {"README.md", "cavity-dense.safetensors", "cavity-dense.onnx", "rdf.yaml"}
    assert {file.name for file in detector.iterdir()} == wanted | {"test_input.npy", "test_output.npy"}


def test_the_onnx_file_gives_the_test_output_of_the_test_input_and_so_does_torch(detector: Path) -> None:
    from epistem.app.bioimageio import run_onnx

    given, wanted = np.load(detector / "test_input.npy"), np.load(detector / "test_output.npy")
    assert given.shape == (1, 1, 128, 160)
    assert wanted.shape == (1, 19, 64, 80)
    np.testing.assert_array_equal(run_onnx(detector / "cavity-dense.onnx", given), wanted)
    pytest.importorskip("torch")
    from epistem.nets.engine import load_dense

    maps = load_dense(str(detector / "cavity-dense.safetensors"), "torch", "cpu").maps(given[0, 0])
    np.testing.assert_allclose(maps, wanted[0], atol=1e-3)


def test_the_test_input_is_our_z_scores_of_a_simulated_image(detector: Path) -> None:
    from epistem.imaging.normalize import normalize
    from epistem.synth.cavities import CavityScene, simulate

    image = simulate(CavityScene(shape=(128, 160)), seed=0).micrograph
    np.testing.assert_array_equal(np.load(detector / "test_input.npy")[0, 0], normalize(image))
    said = yaml.safe_load((detector / "rdf.yaml").read_text("utf-8"))
    assert "preprocessing" not in said["inputs"][0]  # the format knows the mean and not the median
    assert "median" in said["inputs"][0]["description"]
    assert "1.4826·MAD" in (detector / "README.md").read_text("utf-8")


def test_bioimage_io_takes_the_detectors_folder(detector: Path) -> None:
    found = valid(detector)
    assert found.weights.onnx.opset_version == 17
    given, came = (np.load(detector / f"test_{side}.npy").shape for side in ("input", "output"))
    for axis, size, whole in zip(found.outputs[0].axes[2:], came[2:], given[2:], strict=True):
        assert size * axis.scale == whole
    assert len(found.outputs[0].axes[1].channel_names) == came[1]
    for axis, size in zip(found.inputs[0].axes[2:], given[2:], strict=True):
        assert (size - axis.size.min) % axis.size.step == 0


def valid(folder: Path) -> Any:
    """The description as bioimage.io's own validator reads it."""
    spec = pytest.importorskip("bioimageio.spec")
    said = yaml.safe_load((folder / "rdf.yaml").read_text("utf-8"))
    context = spec.ValidationContext(root=folder, perform_io_checks=False)
    found = spec.build_description(said, context=context)
    assert type(found).__name__ == "ModelDescr", found.validation_summary
    return found


def test_a_segmentation_network_becomes_onnx_that_gives_its_probabilities(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from epistem.app.bioimageio import run_onnx
    from epistem.nets.segmenters import build_segmenter

    torch.manual_seed(0)
    build = {"encoder": "resnet18", "decoder": "deeplabv3plus", "variant": "canonical", "channels": 2, "classes": 3}
    network = build_segmenter(**build).eval()
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    card = {
        "dataset": "pores", "classes": ["background", "pore", "crack"], "channels": ["BSE", "SE"],
        "look": {"tile_px": 64, "shrink": 2}, "validation": {"iou": 0.5, "step": 3},
        "settings": {"encoder": "resnet18", "decoder": "deeplabv3plus"},
    }  # fmt: skip
    path = tmp_path / "model.safetensors"
    save_weights(path, tensors, network="segmenter", settings=build, min_score=0.5, card=card)
    out = tmp_path / "out"
    assert export_model(str(path), out, licence="CC-BY-4.0").without_rdf == ""
    given, wanted = np.load(out / "test_input.npy"), np.load(out / "test_output.npy")
    assert given.shape == (1, 2, 64, 64)
    assert wanted.shape == (1, 3, 64, 64)
    np.testing.assert_allclose(wanted.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(run_onnx(out / "model.onnx", given), wanted)
    from epistem.nets.segment_use import open_segmenter

    with torch.no_grad():
        logits = open_segmenter(path).network(torch.from_numpy(given))
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), wanted, atol=1e-4)
    found = valid(out)
    assert [str(name) for name in found.outputs[0].axes[1].channel_names] == ["background", "pore", "crack"]
    assert found.authors == []


def test_the_list_and_a_card_are_told_as_json_and_in_words() -> None:
    told = json.loads(epistem("models", "--json").stdout)
    dense = next(one for one in told if one["name"] == "cavity-dense")
    assert dense["hash"] == open_weights("cavity-dense").hash
    assert dense["job"] == "detect"
    listed = epistem("models").stdout
    assert "atoms-context: atoms" in listed
    assert epistem("models", "show", "cavity-dense").stdout.startswith("# cavity-dense\n")
    wrong = epistem("models", "show", "cavity-dents")
    assert (wrong.returncode, "cavity-dense" in wrong.stderr) == (2, True)
