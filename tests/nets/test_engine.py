from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epistem.core.errors import DependencyMissing, RecordError, SettingsError
from epistem.nets import engine
from epistem.nets.engine import load_dense
from epistem.nets.stars import CHANNELS
from epistem.nets.weights import Weights, open_weights, save_weights

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx  # noqa: E402

from epistem.nets.dense import CavityDense, DenseSettings  # noqa: E402
from epistem.nets.restore import build, export_onnx, keep, restore  # noqa: E402

SIZES = [(64, 64), (96, 160), (33, 70), (1, 1), (130, 31)]


def random_weights(path: Path, seed: int = 0) -> Weights:
    """A network that has seen a little noise, so that its norms do something."""
    torch.manual_seed(seed)
    network = CavityDense(DenseSettings(scale=0.9, shift=0.2, least_logit=-6.0)).train()
    with torch.no_grad():
        for _ in range(2):
            network(2 * torch.randn(2, 1, 64, 64) + 0.5)
    return keep(path, network, name="cavity-dense", min_score=0.25, card={"seed": seed})


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Weights:
    made = random_weights(tmp_path_factory.mktemp("weights") / "net.safetensors")
    export_onnx(made)
    return made


@pytest.fixture(autouse=True)
def forgotten():
    load_dense.cache_clear()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, shape).astype(np.float32)


@pytest.mark.parametrize("shape", SIZES)
def test_onnx_gives_what_torch_gives_at_any_size(weights, shape):
    image = noise(*shape)
    one, other = (load_dense(str(weights.path), kind).maps(image) for kind in ("onnx", "torch"))
    assert one.shape == (CHANNELS, -(-shape[0] // 2), -(-shape[1] // 2))
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_onnx_file_is_as_small_as_the_weights_and_says_what_it_was_made_from(weights):
    assert weights.onnx.stat().st_size < 1.05 * weights.path.stat().st_size
    model = onnx.load(weights.onnx)
    assert {one.key: one.value for one in model.metadata_props} == {"weights": weights.hash}
    assert model.ir_version <= 10  # what onnxruntime 1.18 reads
    assert model.opset_import[0].version <= 21


def test_the_same_weights_give_the_same_onnx_file(weights):
    before = weights.onnx.read_bytes()
    assert export_onnx(weights).read_bytes() == before


def test_an_onnx_file_that_cannot_be_written_leaves_no_part(weights, tmp_path, monkeypatch):
    copy = Weights(tmp_path / "net.safetensors", weights.network, weights.settings, 0.2)
    copy.path.write_bytes(weights.path.read_bytes())

    def half(path: Path, data: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(RecordError, match="No space left on device; make room"):
        export_onnx(copy)
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_other_networks_are_not_exported(tmp_path):
    other = save_weights(
        tmp_path / "m.safetensors", {}, network="cavity-maskrcnn", settings={}, min_score=0.5, card={}
    )
    with pytest.raises(RecordError, match="only a cavity-dense runs by onnxruntime"):
        export_onnx(other)


def test_by_onnx_no_torch_is_loaded(weights):
    script = (
        "import sys, numpy as np\n"
        "from epistem.core import Micrograph\n"
        "from epistem.detect.learned import CavityDense\n"
        "found = CavityDense(weights=sys.argv[1], engine='onnx', min_score=0.0)(\n"
        "    Micrograph(np.random.default_rng(0).normal(0, 9, (70, 90))))\n"
        "assert found.provenance.settings['runtime'] == 'onnx'\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'torchvision', 'timm', 'onnx'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(weights.path)], capture_output=True, text=True, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Of torch and onnxruntime only those."""
    real = importlib.util.find_spec

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name in {"torch", "onnxruntime"} - set(names) else real(name, *rest)

    monkeypatch.setattr(engine.importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(engine, "_gpu", lambda has_torch: False)


@pytest.mark.parametrize(
    ("there", "chosen"), [(("torch", "onnxruntime"), "onnx"), (("onnxruntime",), "onnx"), (("torch",), "torch")]
)
def test_auto_takes_what_is_installed_and_onnx_first(weights, monkeypatch, there, chosen):
    installed(monkeypatch, *there)
    assert load_dense(str(weights.path)).engine == chosen


def test_auto_takes_torch_where_there_is_a_gpu(weights, monkeypatch):
    monkeypatch.setattr(engine, "_gpu", lambda has_torch: True)
    assert load_dense(str(weights.path)).engine == "torch"


def test_auto_takes_torch_where_there_is_no_onnx_file(weights, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(weights.path.read_bytes())
    assert load_dense(str(tmp_path / "net.safetensors")).engine == "torch"


@pytest.mark.parametrize(
    ("kind", "there", "words"),
    [
        ("auto", (), r'pip install "epistem\[lite\]" \(small\) or "epistem\[nets\]", or choose --detector log'),
        ("onnx", ("torch",), r'engine onnx needs onnxruntime \(pip install "epistem\[lite\]"\)'),
        ("torch", ("onnxruntime",), r'engine torch needs torch; pip install "epistem\[nets\]"'),
    ],
)
def test_a_runtime_that_is_missing_is_told_with_what_to_install(weights, monkeypatch, kind, there, words):
    installed(monkeypatch, *there)
    with pytest.raises(DependencyMissing, match=words):
        load_dense(str(weights.path), kind)


def test_onnxruntime_alone_without_an_onnx_file_is_told(weights, tmp_path, monkeypatch):
    installed(monkeypatch, "onnxruntime")
    (tmp_path / "net.safetensors").write_bytes(weights.path.read_bytes())
    with pytest.raises(DependencyMissing, match=r"net\.onnx"):
        load_dense(str(tmp_path / "net.safetensors"), "onnx")
    with pytest.raises(DependencyMissing, match=r"net\.onnx is not beside"):
        load_dense(str(tmp_path / "net.safetensors"))


def test_an_unknown_engine_is_refused(weights):
    with pytest.raises(SettingsError, match="engine is auto, onnx or torch, not 'tensorrt'"):
        load_dense(str(weights.path), "tensorrt")


def test_the_device_asked_for_is_the_one_that_runs(weights, monkeypatch):
    moved: list[str] = []
    monkeypatch.setattr(CavityDense, "to", lambda network, device: moved.append(device) or network)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("cpu", "cuda:1", None):
        load_dense(str(weights.path), "torch", device).maps(noise(32, 32))
    assert moved == ["cpu", "cuda:1", "cuda"]


def test_auto_takes_onnx_for_the_cpu_where_there_is_a_gpu(weights, monkeypatch):
    monkeypatch.setattr(engine, "_gpu", lambda has_torch: True)
    assert load_dense(str(weights.path), "auto", "cpu").engine == "onnx"
    assert load_dense(str(weights.path)).engine == "torch"


def test_onnx_on_a_gpu_is_refused(weights):
    with pytest.raises(SettingsError, match="engine onnx runs on the CPU, not on 'cuda'"):
        load_dense(str(weights.path), "onnx", "cuda")


def test_a_window_too_large_for_the_gpu_is_told_with_what_to_do(weights, monkeypatch):
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CavityDense, "maps", full)
    loaded = load_dense(str(weights.path), "torch", "cpu")
    with pytest.raises(SettingsError, match="no room for a window of 64 × 32 pixels; take a smaller tile_px"):
        loaded.maps(noise(64, 32))


def test_an_onnx_file_of_other_weights_is_refused(weights, tmp_path):
    other = random_weights(tmp_path / "net.safetensors", seed=1)
    other.onnx.write_bytes(weights.onnx.read_bytes())
    with pytest.raises(RecordError, match=r"net\.onnx was made from other weights.*; fetch it again, or delete it"):
        load_dense(str(other.path), "onnx")


@pytest.mark.parametrize("kept", [0, 100, 100_000])
def test_a_damaged_onnx_file_is_refused(weights, tmp_path, kept):
    (tmp_path / "net.safetensors").write_bytes(weights.path.read_bytes())
    (tmp_path / "net.onnx").write_bytes(weights.onnx.read_bytes()[:kept])
    with pytest.raises(RecordError, match=r"net\.onnx cannot be run by onnxruntime.*; fetch it again, or delete it"):
        load_dense(str(tmp_path / "net.safetensors"), "onnx")


def test_weights_of_another_network_are_refused(tmp_path):
    save_weights(tmp_path / "m.safetensors", {}, network="cavity-maskrcnn", settings={}, min_score=0.5, card={})
    with pytest.raises(RecordError, match="wanted a cavity-dense; choose --detector cavity-maskrcnn"):
        load_dense(str(tmp_path / "m.safetensors"))


def test_a_network_is_loaded_once(weights):
    assert load_dense(str(weights.path), "torch") is load_dense(str(weights.path), "torch")


def test_how_maps_are_read_comes_with_the_weights(weights):
    reading = load_dense(str(weights.path)).reading
    assert (reading.scale, reading.shift, reading.least_logit) == (0.9, 0.2, -6.0)


def test_a_restored_network_has_the_settings_and_tensors_that_were_kept(weights):
    network = restore(weights)
    assert network.settings == DenseSettings(scale=0.9, shift=0.2, least_logit=-6.0)
    assert not network.training
    kept = weights.tensors()
    for name, value in network.state_dict().items():
        assert value.shape == kept[name].shape
        np.testing.assert_array_equal(value.numpy(), kept[name])


def test_keeping_a_restored_network_again_changes_nothing(weights, tmp_path):
    again = keep(
        tmp_path / "net.safetensors", restore(weights), name="cavity-dense", min_score=0.25, card={"seed": 0}
    )
    assert again.hash == weights.hash


def rewritten(weights: Weights, path: Path, **change: Any) -> Weights:
    about = {"network": weights.network, "settings": weights.settings, "min_score": 0.3, "card": {}}
    tensors = change.pop("tensors", weights.tensors())
    return save_weights(path, tensors, **{**about, **change})


def test_tensors_that_do_not_fit_are_refused(weights, tmp_path):
    tensors = weights.tensors()
    tensors.pop("centre.1.bias")
    tensors["centre.1.weight"] = tensors["centre.1.weight"][:, :2]
    tensors["frog"] = np.zeros(2, np.float32)
    with pytest.raises(
        RecordError, match=r"cavity-dense: centre\.1\.bias is missing \(and 2 more\); train"
    ) as caught:
        restore(rewritten(weights, tmp_path / "net.safetensors", tensors=tensors))
    assert len(str(caught.value)) < 300
    short = weights.tensors() | {"centre.1.weight": tensors["centre.1.weight"]}
    with pytest.raises(RecordError, match=r"centre\.1\.weight is \(1, 2, 1, 1\), wanted \(1, 32, 1, 1\); train"):
        restore(rewritten(weights, tmp_path / "net.safetensors", tensors=short))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"depth": 3}}, "depth"),
        ({"settings": {"widths": [8, 8, 8]}}, "does not fit"),
        ({"network": "cavity-oracle"}, "no network is called 'cavity-oracle'"),
    ],
)
def test_settings_or_networks_that_this_version_does_not_know_are_refused(weights, tmp_path, change, words):
    with pytest.raises(RecordError, match=words):
        restore(rewritten(weights, tmp_path / "net.safetensors", **change))


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(SettingsError, match=r"cavity-dense cannot be built.*depth"):
        build("cavity-dense", {"depth": 3})


def test_opening_weights_of_a_network_needs_neither_runtime(weights):
    assert open_weights(weights.path).hash == weights.hash
