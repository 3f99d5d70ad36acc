"""Whether the heatmap is right, and what it costs beside Captum's Occlusion: segment.heatmap_….

Names: segment.heatmap_significant, segment.heatmap_pixel_ratio, segment.heatmap_spearman.

    pip install captum
    python -m benchmarks.heatmap [--quick] [--dry] [--images N] [--beside N] [--folder RUN] [--figure OUT.svg]

A network learns on simulated scenes of four kinds in two looks and is explained on others. Deletion: is more of the
answer gone when the map's highest pixels are blurred than when the same shapes are blurred elsewhere? Captum: the
same question (the mean change of the class's probability in the region), the same patches with hard ends, the same
blurred image as baseline, at the finest stride of ours; it gets every window, ours a grid of 4 × that stride and the
finest stride only where it matters. Both sides' passes are counted by the pixels that the network is given.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from captum.attr import Occlusion
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from benchmarks.contest import Share, mean_share, told
from epistem.nets.saliency import gradient_saliency, randomised, smooth_gradient
from epistem.nets.segment_fit import Learning, predictor
from epistem.nets.segmenters import build_segmenter
from epistem.nets.tiles import Tile, network_input
from epistem.nets.train import Schedule, Step, fit
from epistem.report.heatmap_figures import Curves, heatmap_figure
from epistem.synth.scenes import Scene, draw_scene
from epistem.trust.counterfactual import Heatmap, How, Predict, heatmap, minimal_change
from epistem.trust.heatmap_check import Deletion, deletion, over_images, rank_agreement, similarity

COMMAND = "python -m benchmarks.heatmap"
KINDS, LOOKS = ("pores", "particles", "cracks", "grains"), ("sem", "optical")
LINES = ("cracks", "grains")  # one network of lines, not objects: the region is a window on it
WINDOW_PX, AROUND_PX = 28, 2
FIRST_TEST_SEED = 1 << 20
LEVEL = 0.05


class Size(NamedTuple):
    """How much is done."""

    steps: int
    side_px: int
    images: int
    beside_captum: int
    places: int


FULL, QUICK = Size(400, 128, 24, 5, 99), Size(40, 64, 3, 1, 39)
CONTEXT_PLACES = 39


class Case(NamedTuple):
    """A test image and what is explained in it."""

    name: str
    image: NDArray[np.float32]
    region: NDArray[np.bool_]


class Beside(NamedTuple):
    """Ours beside Captum on one image: its pixels over ours, and rank correlations of the maps.

    `spearman` of the mean absolute change in the region, `of_sum` of its sum of probabilities, with its sign.
    """

    pixel_ratio: float
    spearman: float
    of_sum: float


def scene(seed: int, side_px: int) -> Scene:
    """Kind and look follow from the seed in turn."""
    look = LOOKS[seed // len(KINDS) % len(LOOKS)]
    return draw_scene(KINDS[seed % len(KINDS)], seed=seed, shape=(side_px, side_px), look=look)


def trained(size: Size, folder: Path) -> nn.Module:
    """A small network of these scenes; one found in the folder is taken, or goes on."""

    def make(rng: np.random.Generator, step: int) -> Tile:
        one = scene(int(rng.integers(FIRST_TEST_SEED)), size.side_px)
        return Tile(network_input([one.micrograph.pixels]), one.truth.labels.astype(np.int16))

    def word(step: Step) -> None:
        print(f"  step {step.number}: {', '.join(f'{k} {v:.3f}' for k, v in step.losses.items())}", flush=True)

    torch.manual_seed(0)
    segmenter = build_segmenter("tf_efficientnet_lite0", "unet", weights="imagenet")
    # The weights' running mean is kept, and it has to forget the beginning within so few steps.
    schedule = Schedule(size.steps, average=0.98, half=True)
    fit(Learning(segmenter, "default"), make, schedule, folder, workers=0, word_every=50, told=word)
    return segmenter.eval()


def cases(predict: Predict, size: Size) -> tuple[list[Case], int]:
    """Held-out images with a region that the network finds something in; how many had none."""
    found, without = [], 0
    for seed in range(FIRST_TEST_SEED, FIRST_TEST_SEED + size.images):
        one = scene(seed, size.side_px)
        image = network_input([one.micrograph.pixels])
        region = _region(predict(image[None])[0].argmax(axis=0) == 1, KINDS[seed % len(KINDS)] in LINES, seed)
        if region is None:
            without += 1
        else:
            found.append(Case(one.micrograph.name, image, region))
    return found, without


def _region(answer: NDArray[np.bool_], lines: bool, seed: int) -> NDArray[np.bool_] | None:
    """One object with its rim, or a window on lines, by chance."""
    rng, labels = np.random.default_rng(seed), ndimage.label(answer)[0]
    large = np.flatnonzero(np.bincount(labels.ravel())[1:] >= 12) + 1
    if not len(large):
        return None
    if not lines:
        return ndimage.binary_dilation(labels == rng.choice(large), iterations=AROUND_PX)
    row, col = rng.choice(np.argwhere(np.isin(labels, large)))
    region = np.zeros(answer.shape, bool)
    half = WINDOW_PX // 2
    region[max(row - half, 0) : row + half, max(col - half, 0) : col + half] = True
    return region


def beside_captum(predict: Predict, case: Case, how: How) -> Beside:
    """Our maps and Captum's of the same two questions."""
    change, drop = (
        heatmap(predict, case.image, case.region, how=replace(how, window="box", measure=measure))
        for measure in ("change", "drop")
    )
    captum = Captum(predict, case, change)
    theirs = captum.map(lambda inside: -np.abs(inside - change.answer[how.of_class][case.region]).mean(1))
    of_sum = captum.map(lambda inside: inside.mean(1))
    return Beside(
        captum.passed_px / change.forward_px,
        rank_agreement(change.values, theirs),
        rank_agreement(drop.values, of_sum),
    )


class Captum:
    """Occlusion as our map was made: the same patches and baseline, at its finest stride.

    The network's answers to the windows are kept, so that a second question about them costs nothing.
    """

    def __init__(self, predict: Predict, case: Case, ours: Heatmap) -> None:
        self.predict, self.case, self.ours = predict, case, ours
        self.passed_px, self.answers = 0, []

    def map(self, number: Callable[[Any], Any]) -> NDArray[np.float32]:
        """(H, W) attribution of the number that is made of the class's probabilities in the region (n, pixels)."""
        known, how, patches = iter(list(self.answers)), self.ours.how, self.ours.patches
        assert patches.fills is not None

        def forward(images: torch.Tensor) -> torch.Tensor:
            inside = next(known, None)
            if inside is None:
                inside = self.predict(images.numpy())[:, how.of_class][:, self.case.region]
                self.passed_px += images.shape[0] * images.shape[2] * images.shape[3]
                self.answers.append(inside)
            return torch.from_numpy(number(inside))

        found = Occlusion(forward).attribute(
            torch.from_numpy(self.case.image[None]),
            sliding_window_shapes=(1, how.patch_px, how.patch_px),
            strides=(1, how.finest, how.finest),
            baselines=torch.from_numpy(np.ascontiguousarray(patches.fills)),
            perturbations_per_eval=32,
        )
        return found.numpy()[0].mean(axis=0)


def sanity(network: nn.Module, case: Case, heat: Heatmap) -> dict[str, float]:
    """How like the map is to that of random weights (SSIM), and to those of gradients (rank correlation)."""
    forgotten = heatmap(predictor(randomised(network)), case.image, case.region, how=heat.how)
    plain = gradient_saliency(network, case.image, case.region, of_class=heat.how.of_class)
    smooth = smooth_gradient(network, case.image, case.region, of_class=heat.how.of_class)
    return {
        "SSIM with random weights": similarity(heat.values, forgotten.values),
        "rank correlation with the gradient": rank_agreement(heat.values, plain),
        "rank correlation with SmoothGrad": rank_agreement(heat.values, smooth),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Train, explain, test, compare; record, or with --dry or --quick only print."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="hardly trained, few and small images; records nothing")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    parser.add_argument("--images", type=int, help=f"how many to explain, {FULL.images} if not said")
    parser.add_argument("--beside", type=int, help=f"on how many of them Captum runs, {FULL.beside_captum}")
    parser.add_argument("--folder", type=Path, help="where the trained network is kept, and found again")
    parser.add_argument("--figure", type=Path, help="where the first image's figure goes (SVG)")
    asked = parser.parse_args(words)
    size, dry = (QUICK, True) if asked.quick else (FULL, asked.dry)
    size = size._replace(images=asked.images or size.images, beside_captum=asked.beside or size.beside_captum)
    with tempfile.TemporaryDirectory() as temporary:
        network = trained(size, asked.folder or Path(temporary))
    predict = predictor(network)
    chosen, without = cases(predict, size)
    how, curves, context, least = How(), [], [], []
    for i, case in enumerate(chosen):
        heat = heatmap(predict, case.image, case.region, how=how)
        curves.append(deletion(predict, heat, places=size.places))
        context.append(deletion(predict, heat, places=CONTEXT_PLACES, without_region=True))
        least.append(minimal_change(predict, heat))
        print(
            f"  {case.name}: gap {curves[-1].gap:.2f}, p {curves[-1].p:.3f}; context {context[-1].gap:.2f}",
            flush=True,
        )
        if i == 0 and asked.figure:
            asked.figure.write_bytes(_figure(case, heat, curves[0]))
    beside, checks = [], []
    for case in chosen[: size.beside_captum]:
        beside.append(beside_captum(predict, case, how))
        checks.append(sanity(network, case, heatmap(predict, case.image, case.region, how=how)))
        print(f"  {case.name}: {beside[-1]}; {checks[-1]}", flush=True)
    _record(size, how, (curves, context, least), (beside, checks), without, dry)
    return 0


def _figure(case: Case, heat: Heatmap, curve: Deletion) -> bytes:
    curves = Curves(curve.shares, curve.top, curve.random, curve.bottom, curve.p)
    return heatmap_figure(
        case.image[0], case.region, heat.values, label="Mean change of the probability", curves=curves
    )


def _record(size: Size, how: How, deleted: Any, compared: Any, without: int, dry: bool) -> None:
    curves, context, least = deleted
    beside, checks = compared
    with_it, around = over_images(curves, level=LEVEL), over_images(context, level=LEVEL)
    reached = [one.share for one in least if one is not None]
    by = f", by {np.median(reached):.1%} of the image (median)" if reached else ""
    made = (
        f"lite0 + U-Net, {size.steps} steps on simulated {', '.join(KINDS)} ({' and '.join(LOOKS)}), "
        f"{size.side_px}² px; regions: one object, or {WINDOW_PX}² px of lines; blur, patches of {how.patch_px} px, "
        f"stride {how.stride} px, {how.finest} px where it matters"
    )
    told(
        "segment.heatmap_significant",
        mean_share([one.p < LEVEL for one in curves]),
        target=">= 0.8",
        command=COMMAND,
        data=(
            f"{len(curves)} held-out images ({without} more held nothing to explain); {made}; each tested against "
            f"its own map laid at {size.places} other places, 1 to 30 % blurred; mean gap of the Dice "
            f"{with_it.gap:.2f}, over images p = {with_it.p}; with the region and half a patch around "
            f"it left alone ({CONTEXT_PLACES} places) {around.significant} of {around.images} significant, gap "
            f"{around.gap:.2f}, p = {around.p}; the answer "
            f"flipped (Dice < 0.5) on {len(reached)} images{by}; low "
            "and high: 90 % over images"
        ),
        dry=dry,
    )
    data = f"{len(beside)} images; {made}; Captum's Occlusion at {how.finest} px; low and high: of single images"
    told(
        "segment.heatmap_pixel_ratio",
        _spread([one.pixel_ratio for one in beside]),
        target=">= 5",
        command=COMMAND,
        data=f"pixels given to the network, Captum's over ours; {data}",
        dry=dry,
    )
    means = ", ".join(f"{name} {np.mean([one[name] for one in checks]):.2f}" for name in checks[0])
    told(
        "segment.heatmap_spearman",
        _spread([one.spearman for one in beside]),
        target=">= 0.9",
        command=COMMAND,
        data=(
            "median over images of the rank correlation over all pixels of the mean absolute change; of the region's "
            f"sum of probabilities with its sign (drop) {_median([one.of_sum for one in beside]):.3f}; {data}; "
            f"on the same images, means: {means}"
        ),
        dry=dry,
    )


def _spread(values: Sequence[float]) -> Share:
    return Share(*(round(float(how(values)), 4) for how in (np.median, np.min, np.max)))


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


if __name__ == "__main__":
    sys.exit(main())
