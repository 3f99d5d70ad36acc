"""What a heatmap is compared with: gradients of the answer, and the same network without what it has learned."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from epistem.core import SettingsError, ShapeError

Floats = NDArray[np.float32]


def gradient_saliency(network: nn.Module, image: Floats, region: NDArray[np.bool_], *, of_class: int) -> Floats:
    """How strongly each pixel pulls at the mean probability of a class in a region.

    Args:
        network: (B, C, H, W) -> logits (B, K, H, W).
        image: (C, H, W).
        region: (H, W) where the answer counts.
        of_class: index into the K classes.

    Returns:
        (H, W) |∂p/∂x|, the largest over channels.

    Raises:
        ShapeError: an image and a region that do not fit.
        SettingsError: an empty region or no such class.

    Source: Simonyan et al., ICLR workshop 2014, arXiv:1312.6034.
    """
    if image.ndim != 3 or region.shape != image.shape[1:]:
        raise ShapeError(f"the image is {image.shape}, the region {region.shape}; wanted (C, H, W) and (H, W)")
    if not region.any():
        raise SettingsError("the region holds no pixel; draw it inside the image")
    device = next(network.parameters()).device
    given = torch.from_numpy(image[None]).to(device).requires_grad_(True)
    probability = network.eval()(given).float().softmax(1)[0]  # (K, H, W)
    if not 0 <= of_class < len(probability):
        raise SettingsError(f"the network has {len(probability)} classes, from 0 on; there is no class {of_class}")
    inside = torch.from_numpy(region).to(device)
    (gradient,) = torch.autograd.grad(probability[of_class][inside].mean(), given)
    result: Floats = gradient[0].abs().amax(0).cpu().numpy()
    return result


def smooth_gradient(
    network: nn.Module,
    image: Floats,
    region: NDArray[np.bool_],
    *,
    of_class: int,
    noise: float = 0.15,
    draws: int = 25,
    seed: int = 0,
) -> Floats:
    """The mean of `gradient_saliency` over noisy copies of the image, (H, W).

    Args:
        network, image, region, of_class: as `gradient_saliency`.
        noise: standard deviation of the noise, of the range of the image.
        draws: how many copies.
        seed: same seed, same noise.

    Source: Smilkov et al., arXiv:1706.03825 (SmoothGrad), of absolute gradients.
    """
    if draws < 1 or noise < 0:
        raise SettingsError(f"wanted at least 1 draw and noise of at least 0, not {draws} and {noise}")
    rng, spread = np.random.default_rng(seed), noise * float(np.ptp(image))
    total = np.zeros(image.shape[1:], np.float32)
    for _ in range(draws):
        noisy = image + np.float32(spread) * rng.standard_normal(image.shape, np.float32)
        total += gradient_saliency(network, noisy, region, of_class=of_class) / np.float32(draws)
    return total


def randomised(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """A copy that has learned nothing: every tensor of weights dealt out anew among its own places.

    The weights keep their spread, so activations neither vanish nor explode; running means and variances of batch
    normalisation stay with their layers and are dealt among channels.

    Source: Adebayo et al., NeurIPS 2018, arXiv:1810.03292 (the model randomisation test).
    """
    generator = torch.Generator().manual_seed(seed)
    forgotten = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in (*forgotten.parameters(), *forgotten.buffers()):
            if tensor.is_floating_point() and tensor.numel() > 1:
                deal = torch.randperm(tensor.numel(), generator=generator)
                tensor.copy_(tensor.flatten()[deal.to(tensor.device)].view_as(tensor))
    return forgotten.eval()
