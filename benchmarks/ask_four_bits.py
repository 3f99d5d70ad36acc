"""What weights of four bits cost the language model, estimated by rounding them once more.

    python -m benchmarks.ask_four_bits [--dry]

The unrounded weights are not at hand, so nothing is measured against them. The rounded ones are rounded a second
time, by the same Q4_1 (blocks of 32, 16 levels from the smallest to the largest), the blocks drawn from columns in an
order by chance: on the old blocks the second rounding would change nothing. Its error is as large as the first one's
and has nothing to do with it; both are checked. To second order in the error, what it adds to the loss is what the
first has added, if the loss curves at the rounded weights as at the unrounded ones. A third rounding tells how far
that holds: where it adds more than the second, the second added more than the first.

The text is prose of docs/ (this project's, GPL-3.0-or-later): newer than the model, so not learned by heart.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray

from benchmarks.record import ROOT, record
from epistem.core import Interval
from epistem.nets.language import Language, gguf_file, load_language
from epistem.stats.resample import cluster_bootstrap

COMMAND = "python -m benchmarks.ask_four_bits"
Q4_1 = GGMLQuantizationType.Q4_1
BLOCK_BYTES = 20  # step and smallest value in two bytes each, 32 codes of four bits
CHUNK, CHUNKS = 512, 20  # tokens that are read at once; how many such pieces of the text, evenly spread
SEEDS = range(4)
Weights = NDArray[np.float32]


class Size(NamedTuple):
    """Root mean square of rounding errors over that of the weights.

    Attributes:
        first: of the file's own rounding, by its steps: evenly spread over a step, none at a block's two ends.
        second: of the second rounding.
        gauss: of a first rounding of numbers of a normal distribution.
        correlation: of first and second error there.
    """

    first: float
    second: float
    gauss: float
    correlation: float


def main(words: list[str] | None = None) -> int:
    """Record, or with --dry only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    asked = parser.parse_args(words)
    language = load_language()
    chunks = text_chunks(language)
    size = sizes(language)
    print(f"{len(chunks)} chunks of {CHUNK} tokens; errors {size}")
    before = losses(language.model, chunks)
    rises = np.empty((len(SEEDS), 2, len(chunks)))
    for at, seed in enumerate(SEEDS):
        rises[at] = [after - before for after in rounded_losses(language, chunks, seed)]
        print(
            f"seed {seed}: the second adds, second and third add {rises[at].mean(-1).round(4).tolist()}", flush=True
        )
    found, again = interval(rises[:, 0]), interval(rises[:, 1] - rises[:, 0])
    perplexity = np.exp(before.mean()), np.exp(before.mean() + found.value)
    about = (
        "rise of the cross-entropy [nats/token] of SmolLM2-135M-Instruct when its Q4_1 weights are rounded a second "
        "time: an estimate of what the first rounding cost, no measurement against the originals; prose of docs/, "
        f"{len(chunks) * (CHUNK - 1)} tokens in {len(chunks)} chunks, {len(SEEDS)} roundings, low and high 90 % over "
        f"roundings and chunks; cross-entropy before {before.mean():.3f}, perplexity {perplexity[0]:.2f} before and "
        f"{perplexity[1]:.2f} after; a third rounding adds {again.value:.4f} ({again.low:.4f} to {again.high:.4f}); "
        f"error over weights {size.second:.4f}, of the first by the file's own steps {size.first:.4f}"
    )
    print(about)
    print(f"rise {found.value:.4f} ({found.low:.4f} to {found.high:.4f})")
    if not asked.dry:
        record("ask.four_bit_loss", found.value, low=found.low, high=found.high, target="reported", command=COMMAND,
               data=about)  # fmt: skip
    return 0


def interval(rises: NDArray[np.float64]) -> Interval:
    """Mean of (roundings, chunks) and where it would lie with other roundings and chunks."""
    found = cluster_bootstrap(list(rises), np.mean)
    assert found is not None
    return found


def rounded(weights: Weights, order: NDArray[np.intp] | None = None) -> Weights:
    """The weights (rows, columns) rounded to Q4_1, blocks of 32 along the columns in this order."""
    if order is None:
        order = np.arange(weights.shape[1])
    out = np.empty_like(weights)
    out[:, order] = dequantize(quantize(np.ascontiguousarray(weights[:, order]), Q4_1), Q4_1)
    return out


def rounded_losses(language: Language, chunks: torch.Tensor, seed: int) -> Iterator[NDArray[np.float64]]:
    """Loss of each chunk after a second and after a third rounding, each with an order of its own."""
    rng = np.random.default_rng(seed)
    model = copy.deepcopy(language.model)
    for _ in range(2):
        with torch.no_grad():
            for layer in layers(model):
                own = layer.weight.numpy()
                layer.weight.copy_(torch.from_numpy(rounded(own, rng.permutation(own.shape[1]))))
        yield losses(model, chunks)


def layers(model: Any) -> list[torch.nn.Linear]:
    """The linear layers that the file holds as Q4_1: all but what turns words into vectors and back."""
    return [layer for layer in model.model.modules() if isinstance(layer, torch.nn.Linear)]


def losses(model: Any, chunks: torch.Tensor) -> NDArray[np.float64]:
    """Mean cross-entropy of each chunk's tokens after the first [nats/token]."""
    found = []
    with torch.inference_mode():
        for chunk in chunks:
            logits = model(chunk[None]).logits[0, :-1]
            found.append(float(torch.nn.functional.cross_entropy(logits.float(), chunk[1:])))
    return np.array(found)


def text_chunks(language: Language) -> torch.Tensor:
    """(n, CHUNK) token ids of prose of docs/: paragraphs, without tables, code and comments."""
    paragraphs = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = re.sub(r"```.*?```|<!--.*?-->", "", path.read_text("utf-8"), flags=re.DOTALL)
        parts = [one.strip() for one in text.split("\n\n")]
        paragraphs += [one for one in parts if len(one) > 200 and not one.startswith(("|", "#"))]
    ids = language.tokenizer("\n\n".join(paragraphs), add_special_tokens=False).input_ids
    chunks = torch.tensor(ids[: len(ids) // CHUNK * CHUNK]).reshape(-1, CHUNK)
    return chunks[np.linspace(0, len(chunks) - 1, min(CHUNKS, len(chunks))).round().astype(int)]


def sizes(language: Language) -> Size:
    """How large both errors are; SystemExit where they differ by more than a twentieth, or hang together."""
    tensors = [one for one in GGUFReader(str(gguf_file())).tensors if one.tensor_type == Q4_1]
    if len(tensors) != len(layers(language.model)):
        raise SystemExit(f"{len(tensors)} tensors are of four bits, {len(layers(language.model))} would be rounded")
    rng = np.random.default_rng(0)
    powers = np.zeros(3)
    for one in tensors:
        weights = dequantize(one.data, Q4_1)
        again = rounded(weights, rng.permutation(weights.shape[1]))
        powers += [first_power(one.data), np.sum((again - weights) ** 2.0), np.sum(weights**2.0)]
    normal = rng.standard_normal((2000, 576)).astype(np.float32)
    once = rounded(normal)
    twice = rounded(once, rng.permutation(576))
    first_error, second_error = once - normal, twice - once
    size = Size(
        first=float(np.sqrt(powers[0] / powers[2])), second=float(np.sqrt(powers[1] / powers[2])),
        gauss=float(np.std(first_error)),
        correlation=float(np.corrcoef(first_error.ravel(), second_error.ravel())[0, 1]),
    )  # fmt: skip
    if abs(size.second / size.first - 1) > 0.05 or abs(size.correlation) > 0.02:
        raise SystemExit(f"the second rounding is no copy of the first: {size}")
    return size


def first_power(data: NDArray[np.uint8]) -> float:
    """Sum of squares of a tensor's first rounding error: step²/12 for the 30 of 32 between a block's ends."""
    blocks = data.reshape(-1, BLOCK_BYTES)
    step = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(float)
    return float(30 * np.sum(step**2) / 12)


if __name__ == "__main__":
    sys.exit(main())
