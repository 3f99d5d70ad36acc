"""What a network costs: parameters, multiply-adds, time and memory of one image."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from epistem.core import SettingsError


@dataclass(frozen=True)
class Cost:
    """Of one image through a network that is not learning.

    Attributes:
        parameters: numbers that are learned.
        macs: multiply-adds of convolutions and matrix products; norms, sums and interpolations are not counted.
        latency_ms: median time, on one thread where there is no accelerator [ms].
        frames_per_s: images a second at that, one after the other [1/s].
        peak_mb: the weights, the image and the results that are held at the same time, at their most; what the
            library's kernels take for themselves comes on top [MB, 10⁶ bytes].
    """

    parameters: int
    macs: int
    latency_ms: float
    frames_per_s: float
    peak_mb: float


def cost_of(network: nn.Module, *, channels: int, side_px: int, repeats: int = 5) -> Cost:
    """What one square image costs; the network is as before afterwards.

    Args:
        network: from (1, C, H, W), on any device.
        channels: C.
        side_px: H = W [px].
        repeats: the time is the median of so many, after one that is not counted.

    Raises:
        SettingsError: a number below 1.
    """
    for what, number in (("channels", channels), ("side_px", side_px), ("repeats", repeats)):
        if number < 1:
            raise SettingsError(f"{what} is at least 1, not {number}")
    device = next(network.parameters()).device
    image = torch.zeros(1, channels, side_px, side_px, device=device)
    with _at_rest(network):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
        with torch.no_grad(), _Held() as held:
            network(image)
        with torch.inference_mode():
            latency_ms = _latency_ms(network, image, repeats)
    tensors = [*network.parameters(), *network.buffers(), image]
    peak_bytes = held.peak_bytes + sum(tensor.nbytes for tensor in tensors)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=counter.get_total_flops() // 2,
        latency_ms=latency_ms,
        frames_per_s=1e3 / latency_ms,
        peak_mb=peak_bytes / 1e6,
    )


@contextmanager
def _at_rest(network: nn.Module) -> Iterator[None]:
    """Not learning, on one thread."""
    learning = {part: part.training for part in network.modules()}
    threads = torch.get_num_threads()
    network.eval()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for part, was in learning.items():
            part.training = was


def _latency_ms(network: nn.Module, image: Tensor, repeats: int) -> float:
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        network(image)
        if image.device.type == "cuda":
            torch.cuda.synchronize(image.device)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:])


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all results made within it for as long as they are held."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes, self.peak_bytes = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._hold(leaf.untyped_storage())
        return result

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.bytes += size
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.bytes -= size
