"""Networks out of weights, and weights out of networks."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional as F

from epistem.core.errors import RecordError, SettingsError
from epistem.core.files import written_whole
from epistem.nets import NETWORKS
from epistem.nets.weights import Weights, save_weights

_OPSET, _IR = 17, 8  # what onnxruntime 1.18 reads, and all later ones


def build(network: str, settings: Mapping[str, Any]) -> nn.Module:
    """A new network of that name.

    Raises:
        UnknownName: no such network.
        SettingsError: a setting it does not have, or outside what is meaningful.
    """
    maker = NETWORKS[network]
    try:
        chosen = maker.Settings(**{name: _tupled(value) for name, value in settings.items()})
    except TypeError as error:
        raise SettingsError(f"{network} cannot be built with the settings {dict(settings)}: {error}") from error
    built: nn.Module = maker(chosen)
    return built


def _tupled(value: Any) -> Any:
    """JSON has lists where settings have tuples."""
    return tuple(_tupled(one) for one in value) if isinstance(value, list | tuple) else value


def restore(weights: Weights) -> nn.Module:
    """The trained network, ready to use.

    Raises:
        RecordError: the tensors do not fit the network that the file names.
    """
    try:
        network = build(weights.network, {**weights.settings, "pretrained": False})
    except (ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise RecordError(
            f"{weights.path} does not fit this version's {weights.network}: {why}; train or fetch it again"
        ) from error
    tensors = weights.tensors()
    if misfits := list(_misfits(network, tensors)):
        more = f" (and {len(misfits) - 1} more)" if len(misfits) > 1 else ""
        raise RecordError(
            f"{weights.path} does not fit this version's {weights.network}: {misfits[0]}{more}; train or fetch it "
            "again"
        )
    network.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return network.eval()


def _misfits(network: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What a file lacks, has too much, or has in another shape."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() - tensors.keys()):
        yield f"{name} is missing"
    for name, tensor in tensors.items():
        if name not in wanted:
            yield f"{name} is unknown"
        elif tensor.shape != wanted[name].shape:
            yield f"{name} is {tensor.shape}, wanted {tuple(wanted[name].shape)}"


def keep(path: Path, network: Any, *, name: str, min_score: float, card: Mapping[str, Any]) -> Weights:
    """The network as a weights file, with its settings as they are."""
    settings = asdict(replace(network.settings, pretrained=False))
    tensors = {key: value.detach().float().cpu().numpy() if value.is_floating_point() else value.cpu().numpy()
               for key, value in network.state_dict().items()}  # fmt: skip
    return save_weights(path, tensors, network=name, settings=settings, min_score=min_score, card=card)


def export_onnx(weights: Weights) -> Path:
    """The network beside its weights as an ONNX file for any image size that is a multiple of 32.

    The weights lie in it as stored, in half precision, and are widened when the file is loaded: the sums are in
    single precision, as torch does them. The file says which weights it was made from.

    Raises:
        RecordError: not the dense detector's weights, or the file cannot be written.
    """
    import onnx
    from onnx import TensorProto, helper

    if weights.network != "cavity-dense":
        raise RecordError(f"only a cavity-dense runs by onnxruntime; {weights.path} holds a {weights.network}")
    writer = _OnnxWriter(restore(weights))
    graph = helper.make_graph(
        writer.nodes,
        weights.path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["images", 1, "rows", "cols"])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["images", "maps", "half_rows", "half_cols"])],
        writer.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    helper.set_model_props(model, {"weights": weights.hash})
    onnx.checker.check_model(model, full_check=True)
    with written_whole(weights.onnx) as part:
        part.write_bytes(model.SerializeToString())
    return weights.onnx


class _Tracer(fx.Tracer):
    """Looks into everything but norms, which in timm hold their activation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or not any(m.children())


class _OnnxWriter:
    """The operations of a network as ONNX nodes, and its tensors in half precision.

    torch's own exporters do not serve: the older knows no asinh and folds norms into the convolutions, whose weights
    then do not fit half precision; the newer needs half a minute and onnxscript.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network, self.state = network, network.state_dict()
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        names: dict[fx.Node, str] = {}
        for node in _Tracer().trace(network).nodes:
            if node.op == "placeholder":
                names[node] = "image"
            elif node.op == "output":
                self._node("Identity", [names[node.args[0]]], "maps")
            else:
                inputs = [names[one] for one in node.all_input_nodes]
                names[node] = (self._module if node.op == "call_module" else self._function)(node, inputs)

    def _module(self, node: fx.Node, inputs: list[str]) -> str:
        path = str(node.target)
        module = self.network.get_submodule(path)
        if isinstance(module, nn.Conv2d):
            held = [self._half(f"{path}.{part}") for part in ("weight", "bias") if f"{path}.{part}" in self.state]
            pads = [*module.padding, *module.padding]
            settings = {"strides": module.stride, "pads": pads, "dilations": module.dilation, "group": module.groups}
            return self._node("Conv", inputs + held, node.name, **settings)
        if isinstance(module, nn.BatchNorm2d):
            held = [self._half(f"{path}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
            after = getattr(module, "act", None)
            normed = self._node("BatchNormalization", inputs + held, f"{node.name}_normed", epsilon=module.eps)
            return self._activation(after, normed, node.name) if after is not None else normed
        return self._activation(module, inputs[0], node.name)

    def _activation(self, module: nn.Module, given: str, output: str) -> str:
        if isinstance(module, nn.Identity):
            return given
        if isinstance(module, nn.ReLU6):
            limits = [self._constant(f"{output}_{n}", np.float32(n)) for n in (0, 6)]
            return self._node("Clip", [given, *limits], output)
        if isinstance(module, nn.ReLU):
            return self._node("Relu", [given], output)
        raise _unknown(module)

    def _function(self, node: fx.Node, inputs: list[str]) -> str:
        if node.target is torch.asinh:
            return self._node("Asinh", inputs, node.name)
        if node.target is operator.add:
            return self._node("Add", inputs, node.name)
        if node.target is torch.cat:
            return self._node("Concat", inputs, node.name, axis=node.kwargs["dim"])
        if node.target is F.interpolate and node.kwargs["mode"] == "nearest":
            factor = node.kwargs["scale_factor"]
            scales = self._constant(f"{node.name}_scales", np.array([1, 1, factor, factor], np.float32))
            how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            return self._node("Resize", [inputs[0], "", scales], node.name, mode="nearest", **how)
        raise _unknown(node.target)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _half(self, name: str) -> str:
        from onnx import TensorProto

        stored = self._constant(f"{name}.half", self.state[name].numpy().astype(np.float16))
        return self._node("Cast", [stored], name, to=TensorProto.FLOAT)


def _unknown(what: object) -> TypeError:
    return TypeError(f"the ONNX writer does not know {what}; add it beside the other operations")
