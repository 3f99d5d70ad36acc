"""
Find cavities, and know how far to trust that
=============================================

A TEM image of cavities: what is in it, how large it is, how many of the objects are right, and what happens as the
image gets worse. The images of ``examples/images`` are simulated, so each answer can be held against the truth.
"""

# %%
# One image
# ---------
#
# ``epistem.read`` keeps grey values as they were recorded and tells where the pixel size comes from. What a file
# does not say is None: nothing is guessed.

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import epistem
from epistem.app.analyze import analyze_image
from epistem.app.settings import Settings
from epistem.detect.adapters import load_instances
from epistem.report.overlay import overlay_png
from epistem.report.words import with_interval
from epistem.synth import HARMS

EXAMPLES = Path("..")

micrograph = epistem.read(EXAMPLES / "images" / "A2.emd")
print(micrograph)
print("Pixel size from:", micrograph.calibration.source)
print("Beam energy [keV]:", micrograph.context.beam_keV)

# %%
# ``epistem.analyze`` finds, measures and forecasts, as ``epistem analyze FOLDER --out RESULTS`` does on the command
# line.

analysis = epistem.analyze(EXAMPLES / "images" / "A2.emd")[0]
truth = load_instances(EXAMPLES / "truth.json", image="A2.emd")


def picture(one: epistem.app.analyze.Analysis) -> np.ndarray:
    """The image with what was found in it."""
    return plt.imread(io.BytesIO(overlay_png(one.micrograph, one.found)))


figure, axes = plt.subplots(figsize=(6.4, 6.7), layout="constrained")
axes.imshow(picture(analysis), interpolation="lanczos")
axes.set_title(f"{analysis.micrograph.name}: {len(analysis.found)} cavities found", fontsize=10)
axes.set_axis_off()

# %%
# Each number comes with an interval, what that covers, and how it was made. Where a number cannot be known it says
# why.

for name in ("count", "mean_diameter_nm", "density_per_um2", "swelling_percent"):
    quantity = analysis.quantities[name]
    print(f"{quantity.label}: {with_interval(quantity)}\n   {quantity.note}")

# %%
# How far to trust it
# -------------------
#
# No label is needed for this. The forecast looks at scores, contrast, crowding and at the image itself; it was
# fitted on images whose truth is known. *Precision* is the share of the found objects that are right, *recall* the
# share of the cavities that are found, *F1* joins both.

trust = analysis.reliability
for name in ("f1", "precision", "recall"):
    value = getattr(trust, name)
    print(f"Expected {name}: {value.value:.2f} ({value.low:.2f} to {value.high:.2f}, {100 * value.coverage:.0f} %)")
print(f"Typicality: {trust.typicality:.2f} of {trust.reference} are stranger than this image")
print(f"Verdict: {trust.verdict}")
print(*trust.reasons, sep="\n")

# %%
# Was that right?
# ---------------
#
# ``examples/truth.json`` holds the outline of every cavity. A found object is right where its box and that of a
# cavity overlap by a tenth of their union or more.

matched = epistem.match(analysis.found, truth)
print(f"{matched.tp} right, {matched.fp} false, {matched.fn} missed: F1 {matched.f1:.2f}")

missed = truth.boxes[~matched.truth_matched]
figure, panels = plt.subplots(1, len(missed), figsize=(2 * len(missed), 2.3), layout="constrained", squeeze=False)
for axes, (row0, col0, row1, col1) in zip(panels[0], missed, strict=True):
    axes.imshow(micrograph.pixels, cmap="gray")
    axes.add_patch(plt.Rectangle((col0, row0), col1 - col0, row1 - row0, fill=False, color="C1"))
    row, col = np.clip([(row0 + row1) / 2, (col0 + col1) / 2], 40, 472)
    axes.set(xlim=(col - 40, col + 40), ylim=(row + 40, row - 40))
    axes.set_title(f"missed, {(row1 - row0) * micrograph.calibration.row_nm:.1f} nm high", fontsize=9)
    axes.set_axis_off()

# %%
# What was missed is a sliver at the border, or lies upon another cavity.
#
# Sizes, against those of the true outlines. What the border cuts is left out on both sides.

true = epistem.measure(truth, micrograph)
sizes = {
    name: np.asarray(one.columns["equivalent_diameter_nm"])
    for name, one in (("true", true), ("found", analysis.found))
}
whole = {name: ~np.asarray(one.columns["touches_edge"]) for name, one in (("true", true), ("found", analysis.found))}
pairs = np.array([(f, t) for f, t in matched.pairs if whole["found"][f] and whole["true"][t]])
ratio = np.median(sizes["found"][pairs[:, 0]] / sizes["true"][pairs[:, 1]])
print(f"Measured over true diameter, median of {len(pairs)} cavities: {ratio:.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
bins = np.arange(2, 9, 0.5)
left.hist(sizes["true"][whole["true"]], bins, color="0.8", label=f"true, n = {whole['true'].sum()}")
left.hist(
    sizes["found"][whole["found"]], bins, histtype="step", linewidth=1.8, label=f"found, n = {whole['found'].sum()}"
)
left.set(xlabel="Area-equivalent diameter [nm]", ylabel="Number of cavities")
left.legend(frameon=False)
right.plot([2, 8.5], [2, 8.5], color="0.6", linewidth=1)
right.plot(sizes["true"][pairs[:, 1]], sizes["found"][pairs[:, 0]], "o", markersize=4)
right.set(xlabel="True diameter [nm]", ylabel="Measured diameter [nm]", aspect="equal")

# %%
# As the image gets worse
# -----------------------
#
# The same field with ever fewer electrons. The forecast does not know the truth: watch whether it falls with it.

settings = Settings()
looker = settings.looker()
worse = [
    replace(HARMS["dose"](micrograph, share, seed=1), name=f"{100 * share:.0f} % of the dose")
    for share in (1.0, 0.3, 0.1, 0.03, 0.01)
]
series = [analyze_image(image, settings, looker) for image in worse]
true_f1 = [epistem.match(one.found, truth).f1 for one in series]
for one, true_one in zip(series, true_f1, strict=True):
    f1 = one.reliability.f1
    said = "unscored" if f1 is None else f"expected F1 {f1.value:.2f} ({f1.low:.2f} to {f1.high:.2f})"
    print(
        f"{one.micrograph.name:>17}: {len(one.found):2} found, {said}, true F1 {true_one:.2f}, "
        f"{one.reliability.verdict}"
    )

figure, panels = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axes, one in zip(panels, series[::2], strict=True):
    axes.imshow(picture(one)[320:, :320])
    axes.set_title(f"{one.micrograph.name}: {one.reliability.verdict}", fontsize=9)
    axes.set_axis_off()

# %%
# The threshold
# -------------
#
# Every object has a score. A lower least score finds more and is wrong more often; the forecast follows it. Here is
# the field with 3 % of its electrons.

noisy = worse[3]
scores = np.round(np.arange(0.1, 0.95, 0.1), 1).tolist()
swept = [analyze_image(noisy, one, one.looker()) for one in (Settings(min_score=score) for score in scores)]
matches = [epistem.match(one.found, truth) for one in swept]

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.plot(scores, [len(one.found) for one in swept], "o-", label="found")
left.plot(scores, [one.tp for one in matches], "^--", color="C2", label="of them right")
left.axhline(len(truth), color="0.5", linestyle=":", label="there are")
left.set(xlabel="Least score", ylabel="Cavities", ylim=(0, None))
left.legend(frameon=False)
expected = [one.reliability.f1 for one in swept]
right.fill_between(scores, [one.low for one in expected], [one.high for one in expected], alpha=0.2, linewidth=0)
right.plot(scores, [one.value for one in expected], "o-", label="expected, with 90 % interval")
right.plot(scores, [one.f1 for one in matches], "k^--", label="true")
right.set(xlabel="Least score", ylabel="F1", ylim=(0, 1.02))
right.legend(frameon=False, loc="lower left")

# %%
# What this does not say
# ----------------------
#
# - The forecast was fitted on simulated images, and these are simulated too. On images of your microscope it holds
#   as far as they are like its reference; *typicality* tells how far that is, and :doc:`/howto/labels` how to fit a
#   forecast of your own.
# - An interval of F1 can be wide, and the expected value far off inside it or even outside: compare the last line
#   of the dose series with the truth beside it. A verdict is no measurement of the specimen.
# - The interval of a diameter says how much the mean would move with other cavities of this image. It knows nothing
#   of other places of the specimen (:doc:`/howto/samples`), nor of a pixel size that is wrong
#   (:doc:`/howto/calibrate`).
# - A cavity that nobody can see is not found, and nothing here says how many those are: *recall* counts what an
#   ideal observer could see.
