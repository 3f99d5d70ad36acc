"""
Which segmentation network, and what it looks at
================================================

Any images with masks: which network suits them, how well it does on specimens that it has not seen, whether a new
image is of a kind that it knows, and what its answer hangs on. Here the images are small simulated XCT slices with
pores, so that two networks are trained while this page is built; on real images ask for more steps, three seeds, and
a GPU if there is one.
"""

# %%
# Images and masks
# ----------------
#
# A folder with ``images`` and ``masks`` of the same names is one of the layouts that are understood. The names
# begin with the specimen: networks must be tested on specimens that they have not learned from.

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from contextlib import chdir, redirect_stderr
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile

from epistem.app.analyze import analyze_image
from epistem.app.cli import app
from epistem.app.explain import ask_model, explain
from epistem.app.segment import model_file
from epistem.app.settings import Settings
from epistem.synth.scenes import Scene, draw_scene

WORK = Path(tempfile.mkdtemp())


def pores(seed: int, look: str = "xct", strength: float = 2.0) -> Scene:
    """One slice with its truth."""
    return draw_scene("pores", seed=seed, shape=(192, 192), look=look, strength=strength, size_px=(14, 22))


IMAGES, MASKS = WORK / "slices" / "images", WORK / "slices" / "masks"
for folder in (IMAGES, MASKS):
    folder.mkdir(parents=True)
for specimen in range(8):
    for place in range(3):
        scene, name = pores(100 * specimen + place), f"specimen{specimen}_{place}.tif"
        tifffile.imwrite(IMAGES / name, scene.micrograph.pixels)
        tifffile.imwrite(MASKS / name, scene.truth.labels.astype(np.uint8))

figure, panels = plt.subplots(1, 4, figsize=(9, 2.4), layout="constrained")
for axes, specimen in zip(panels, range(4), strict=True):
    axes.imshow(tifffile.imread(IMAGES / f"specimen{specimen}_0.tif"), cmap="gray")
    axes.contour(tifffile.imread(MASKS / f"specimen{specimen}_0.tif"), [0.5], colors="C1", linewidths=1)
    axes.set_title(f"specimen {specimen}, truth outlined", fontsize=8.5)
    axes.set_axis_off()

# %%
# The profile
# -----------
#
# ``epistem bench init`` looks at the folder and writes all that decides a benchmark into one JSON file.


def command(words: str) -> None:
    """What the command line does."""
    print(f"$ epistem {words}")
    with chdir(WORK), redirect_stderr(sys.stdout):
        app(shlex.split(words), standalone_mode=False)


command('bench init slices --from-text "segment pores in XCT slices" --out profile.json')

# %%
# A person edits it. Two decoders on one small encoder that began with ImageNet, a hundred steps of four tiles each:
# short, and enough for pores that any eye can see.

profile = json.loads((WORK / "profile.json").read_text())
profile["model"] |= {"encoders": ["tf_efficientnet_lite0"], "decoders": ["unet", "deeplabv3plus"]}
profile["training"] |= {
    "image_size": 96, "batch_size": 4, "max_steps": 100, "early_stopping": None, "learning_rate": 5e-4,
    "seeds": [0], "val_tiles": 8, "split": profile["training"]["split"] | {"train": 0.5, "val": 0.25, "test": 0.25},
}  # fmt: skip
(WORK / "profile.json").write_text(json.dumps(profile))
command("bench plan profile.json")

# %%
# Train and compare
# -----------------

command("bench run profile.json --out run")

# %%
# The checkpoint was chosen on validation tiles, the test specimens were looked at once. One seed and a few images
# of two specimens are no ranking: ``epistem bench report run`` says which differences are more than chance, and
# names no winner where none is.
#
# Use it
# ------
#
# ``epistem segment IMAGES --model run --out results`` takes the network that scored highest on validation. Here on
# four images: one of a new specimen, one recorded much worse, one of another instrument, and one of another thing.

weights, why = model_file(WORK / "run")
print(why)
settings = Settings(detector="segmenter", detector_settings={"weights": str(weights)}, object_name="pore")
looker = settings.looker()
new = {
    "new specimen": pores(9004),
    "much noisier": pores(9004, strength=6.0),
    "as SEM sees it": pores(9004, look="sem"),
    "spherulites": draw_scene("spherulites", seed=9004, shape=(192, 192), look="optical", size_px=(60, 80)),
}

figure, panels = plt.subplots(1, 4, figsize=(9, 2.7), layout="constrained")
for axes, (name, scene) in zip(panels, new.items(), strict=True):
    one = analyze_image(scene.micrograph, settings, looker)
    mask = one.found.to_labels() > 0
    true = (scene.truth.labels == 1) & (scene.truth.classes[1] == "pore")
    iou = (mask & true).sum() / max(1, (mask | true).sum())
    print(f"{name}: {len(one.found)} pores, true IoU {iou:.2f}, typicality {one.reliability.typicality:.2f}")
    print(f"   {one.reliability.reasons[0]}")
    axes.imshow(scene.micrograph.pixels, cmap="gray")
    if mask.any():
        axes.contour(mask, [0.5], colors="C0", linewidths=1)
    axes.set_title(f"{name}\nIoU {iou:.2f}, typicality {one.reliability.typicality:.2f}", fontsize=8.5)
    axes.set_axis_off()

# %%
# *Typicality* is the share of the images learned from that are stranger than this one, by texture. It catches
# another instrument and another thing. It is no forecast of the masks: look at the noisier image.
#
# What the answer hangs on
# ------------------------
#
# Patches of the image are blurred one by one; the map shows by how much the probabilities in the region change.
# Then the map is tested: blurring what it ranks highest must take more of the answer than blurring places elsewhere
# does. On the command line this is ``epistem explain new.tif --model run --roi mask.png --out why``.

scene = new["new specimen"]
tifffile.imwrite(WORK / "new.tif", scene.micrograph.pixels)
boxes = scene.objects.boxes.astype(int)
inside = boxes[(boxes.min(axis=1) > 2) & (boxes.max(axis=1) < 190)]
row0, col0, row1, col1 = inside[np.argmax((inside[:, 2:] - inside[:, :2]).prod(axis=1))].tolist()
region = f"{row0},{col0} {row0},{col1} {row1},{col1} {row1},{col0}"
made = explain(
    ask_model(WORK / "new.tif", weights, region, "pore"), kernel="blur", patch_px=32, check=True, told=lambda *_: None
)
fall = made.deletion
print(f"{made.what}: {made.heat.forwards} passes of the network")
print(f"Highest against elsewhere: gap {fall.gap:.2f}, p = {fall.p:.3f}")

figure, panels = plt.subplots(1, 3, figsize=(9.4, 2.9), layout="constrained", width_ratios=[1, 1.25, 1.2])
for axes in panels[:2]:
    axes.imshow(made.grey, cmap="gray")
    axes.contour(made.heat.region, [0.5], colors="white", linewidths=1.2)
    axes.set_axis_off()
panels[0].set_title("The region asked about", fontsize=9)
heat = panels[1].imshow(
    made.heat.values, cmap="inferno", alpha=0.75 * np.sqrt(made.heat.values / made.heat.values.max())
)
figure.colorbar(heat, ax=panels[1], label="change of probability", fraction=0.05)
panels[1].set_title("What its answer hangs on", fontsize=9)
percent = 100 * fall.shares
panels[2].fill_between(
    percent, *np.quantile(fall.random, [0.05, 0.95], axis=0), color="0.88", label="elsewhere, 5 to 95 %"
)
panels[2].plot(percent, fall.top, color="C1", label="ranked highest")
panels[2].plot(percent, fall.bottom, "--", color="C0", label="ranked lowest")
panels[2].set(xlabel="Share of the image blurred [%]", ylabel="Fall of the Dice in the region", ylim=(-0.03, 1.03))
panels[2].legend(frameon=False, fontsize=8)

# %%
# What this does not say
# ----------------------
#
# - Which network is best: that takes seeds, more specimens, and the test of differences in the report. Two
#   trainings of a hundred steps say little about networks trained to the end.
# - How good a mask of an unlabelled image is. No forecast of IoU exists here; typicality looks at texture, and a
#   probability is not calibrated.
# - Why the network answers as it does. The map says which places matter to *this* answer when they are *blurred*;
#   another kernel asks another question. Where the test fails, the map shows nothing to be believed.
# - Anything about real XCT: drawn pores lack its artefacts.
