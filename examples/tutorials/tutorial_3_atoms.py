"""
What every atomic column is, and how sure that is
=================================================

An annular dark-field image of a doped monolayer: which columns are dopants, which are vacancies, which cannot be
told, and what the answer hangs on. The classifier that ships was trained on simulated images and takes into account
what is known of sample and microscope. Here it is asked about a simulated field of WSe₂ with titanium, niobium and
rhenium, so the truth is known.
"""

# %%
# A field
# -------
#
# A few lines specify it; the same lines give the same field, on any machine. Two detectors record at once.

from __future__ import annotations

import io
import shlex
import sys
import tempfile
from contextlib import chdir, redirect_stderr
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import epistem
from epistem.app.atoms_context import read_person, told
from epistem.app.atoms_images import stacked
from epistem.app.atoms_use import classify_field, overlays
from epistem.app.cli import app
from epistem.atoms.classify import what_if
from epistem.atoms.crystals import ROLES
from epistem.atoms.kernels import shipped_bank
from epistem.atoms.model import AtomModel

WORK = Path(tempfile.mkdtemp())


def command(words: str) -> None:
    """What the command line does."""
    print(f"$ epistem {words}")
    with chdir(WORK), redirect_stderr(sys.stdout):
        app(shlex.split(words), standalone_mode=False)


(WORK / "spec.yaml").write_text("""\
seed: 7
hosts: [WSe2]
dopants: [Ti, Nb, Re]
per_field: [3, 3]
settings:
  - {keV: 80, semiangle_mrad: 30, detectors: [[40, 90], [85, 250]]}
size_A: 70
pixel_A: [0.25, 0.25]
dose_e_per_A2: [20000, 20000]
defects: [0.03, 0.05]
""")
command("atoms simulate spec.yaml --out fields")
FIELD = "fields/field_00000"
images = epistem.read(WORK / FIELD / "image.tif").slices

figure, panels = plt.subplots(1, 2, figsize=(8.4, 4.2), layout="constrained")
for axes, image, title in zip(panels, images, ("40 to 90 mrad", "85 to 250 mrad"), strict=True):
    axes.imshow(image.pixels, cmap="gray")
    axes.set_title(f"{title}, {image.shape[0]} × {image.shape[1]} px of 0.25 Å", fontsize=9)
    axes.set_axis_off()

# %%
# What is known
# -------------
#
# ``context.yaml`` says what the classifier may use. ``epistem atoms init`` writes one for images of your own, from
# what their files say; what is unknown is left out.

print((WORK / FIELD / "context.yaml").read_text())

# %%
# Classify
# --------

command(f"atoms classify {FIELD}/image.tif --context {FIELD}/context.yaml --out result --no-what-if")

# %%
# *Called* counts columns by their likeliest label, *expected* adds up the posteriors. Rhenium stands next to
# tungsten in the periodic table: few of its columns can be called, and the posterior says about how many there are
# without saying which.

person, model, bank = read_person(WORK / FIELD / "context.yaml"), AtomModel.load(), shipped_bank()
done = classify_field(images, person, model, bank, ask_what_if=False)
figure, axes = plt.subplots(figsize=(6.6, 6.8), layout="constrained")
axes.imshow(plt.imread(io.BytesIO(overlays(done)[0])))
axes.set_axis_off()

# %%
# Every column has a posterior over six roles (metal, pair of chalcogens, dopant on a metal site; one chalcogen, both
# or the metal missing) with their elements, the entropy of that in bits, and a set of the roles that cannot be ruled
# out. Here are a dopant, a vacancy, and the column that is the least sure.

columns = pd.read_csv(WORK / "result" / "columns.csv")
print(columns.columns.tolist())
entropy = done.found.entropy_bits
labels = done.found.labels
at = [np.flatnonzero(labels == "Ti on W")[0], np.flatnonzero(labels == "V_Se")[0], int(entropy.argmax())]
figure, panels = plt.subplots(2, 3, figsize=(8.4, 4.4), layout="constrained", height_ratios=[1.1, 1])
for (above, below), column in zip(panels.T, at, strict=True):
    row, col = done.found.places_px[column].round().astype(int)
    above.imshow(
        images[0].pixels[max(0, row - 18) : row + 19, max(0, col - 18) : col + 19],
        cmap="gray", vmin=images[0].pixels.min(), vmax=images[0].pixels.max(),
    )  # fmt: skip
    above.plot(col - max(0, col - 18), row - max(0, row - 18), "o", color="C1", markersize=14, markerfacecolor="none")
    above.set_title(f"column {column + 1}: {labels[column]}, {entropy[column]:.2f} bit", fontsize=9)
    above.set_axis_off()
    below.bar(ROLES, done.found.role[column], color="C0")
    below.set(ylim=(0, 1), ylabel="posterior")
    below.tick_params(axis="x", labelsize=8)

# %%
# Was that right?
# ---------------

command(f"atoms evaluate {FIELD}/image.tif --context {FIELD}/context.yaml --truth {FIELD}/truth.csv")

# %%
# What if the metadata are wrong?
# -------------------------------
#
# The same image is classified again with each variable unknown, and with wrong ones. Columns that change hang on
# what you said, not on the image alone.

answers = what_if(stacked(images)[0], done.found, told(person, images, bank).context, model, bank)
known = [one for one in answers if one.changed is not None]
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.6), layout="constrained", sharey=True)
places = np.arange(len(known))
left.barh(places, [100 * one.changed for one in known], color="C1")
left.set(xlabel="Columns with another role [%]", yticks=places, yticklabels=[one.told for one in known])
left.invert_yaxis()
right.barh(places, [one.entropy_bits for one in known], color="C0")
right.axvline(entropy.mean(), color="0.4", linestyle="--", label="as told")
right.set(xlabel="Mean entropy [bit]")
right.legend(frameon=False)
for one in answers:
    if one.changed is None:
        print(f"{one.told}: {one.refused}")

# %%
# What this does not say
# ----------------------
#
# - A low entropy is sure, and sure is not right: told a wrong host or dopant, the classifier is often sure of
#   something wrong. A bar of few changed columns above does not mean that the context was right.
# - A column called W may be rhenium. Name all dopants that can be there, and read *expected* beside *called*.
# - Real images are drifted, dirty and tilted in ways that simulation lacks. On labelled fields of Ti-doped WSe₂ the
#   classifier was too sure of the dopants it called (:doc:`/atoms`); look at them before you count them.
# - Adatoms, antisites, second layers and edges are none of the six roles. What stands there is given one of them
#   all the same, or is called unknown.
