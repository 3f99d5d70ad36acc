"""Networks out of weights, and weights out of networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from epistem.core.errors import RecordError
from epistem.nets import NETWORKS
from epistem.nets.weights import Weights, save_weights


def build(network: str, settings: Mapping[str, Any]) -> nn.Module:
    """A new network of that name."""
    maker = NETWORKS[network]
    built: nn.Module = maker(maker.Settings(**settings))
    return built


def restore(weights: Weights) -> nn.Module:
    """The trained network, ready to use.

    Raises:
        RecordError: the tensors do not fit the network that the file names.
    """
    network = build(weights.network, {**weights.settings, "pretrained": False})
    try:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.tensors().items()})
    except RuntimeError as error:
        raise RecordError(f"{weights.path} does not fit this version's {weights.network}: {error}") from error
    return network.eval()


def keep(path: Path, network: Any, *, name: str, min_score: float, card: Mapping[str, Any]) -> Weights:
    """The network as a weights file, with its settings as they are."""
    settings = asdict(replace(network.settings, pretrained=False))
    tensors = {key: value.detach().float().cpu().numpy() if value.is_floating_point() else value.cpu().numpy()
               for key, value in network.state_dict().items()}  # fmt: skip
    return save_weights(path, tensors, network=name, settings=settings, min_score=min_score, card=card)


def export_onnx(weights: Weights) -> Path:
    """The network beside its weights as an ONNX file for any image size, in half-precision storage.

    The weights go in as stored, in half precision, and are widened when the file is loaded: the sums are in single
    precision, as torch does them.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    network = restore(weights)
    part = weights.onnx.with_suffix(".part")
    sides = {2: "rows", 3: "cols"}
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 64, 64),),
        str(part),
        input_names=["image"],
        output_names=["maps"],
        dynamic_axes={"image": sides, "maps": {2: "half_rows", 3: "half_cols"}},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(str(part))
    kept, casts = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.size > 64:
            kept.append(numpy_helper.from_array(values.astype("float16"), f"{tensor.name}_half"))
            casts.append(helper.make_node("Cast", [f"{tensor.name}_half"], [tensor.name], to=TensorProto.FLOAT))
        else:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(part))
    part.replace(weights.onnx)
    return weights.onnx
