"""
Ask about an image, and know what the answer is worth
=====================================================

What can be measured is measured, what the file says is read, what no image shows is declined, and the rest are the
words of a small language model, and called so. Then: questions from a paper with their evidence, and how answers are
graded.
"""

# %%
# Two images
# ----------
#
# A TEM image of cavities from ``examples/images`` and a simulated SEM image of pores, with its pixel size written
# into the file.

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from contextlib import chdir, redirect_stderr
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import tifffile
from PIL import Image
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Image as Picture
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

import epistem
from epistem.app.cli import app
from epistem.synth.scenes import draw_scene

WORK = Path(tempfile.mkdtemp())
shutil.copy(Path("..", "images", "A2.emd"), WORK)


def command(words: str) -> None:
    """What the command line does."""
    print(f"$ epistem {words}")
    with chdir(WORK), redirect_stderr(sys.stdout):
        app(shlex.split(words), standalone_mode=False)


scene = draw_scene("pores", seed=5, shape=(384, 384), look="sem", size_px=(20, 30))
pixel_nm = scene.micrograph.calibration.col_nm
tifffile.imwrite(
    WORK / "pores.tif",
    scene.micrograph.pixels,
    imagej=True,
    resolution=(1 / pixel_nm, 1 / pixel_nm),
    metadata={"unit": "nm"},
)

figure, panels = plt.subplots(1, 2, figsize=(8, 4.1), layout="constrained")
for axes, path in zip(panels, (WORK / "A2.emd", WORK / "pores.tif"), strict=True):
    axes.imshow(epistem.read(path).pixels, cmap="gray")
    axes.set_title(path.name, fontsize=9)
    axes.set_axis_off()

# %%
# Measured
# --------
#
# A number comes from a detector that is named, with what is expected of it.

command('ask A2.emd "How many cavities are there?"')
command('ask A2.emd "What is the mean diameter of the cavities?"')
command('ask pores.tif "What is the area fraction of the pores?"')

# %%
# The pores are found by a plain threshold. The scene is drawn, so the truth is known:

print(f"There are {len(scene.objects)} pores, {100 * scene.truth.labels.mean():.1f} % of the area.")
command('ask pores.tif "How many pores are there?"')

# %%
# Read
# ----

command('ask pores.tif "What is the pixel size?"')
command('ask pores.tif "What was the accelerating voltage?"')

# %%
# Declined
# --------
#
# No image shows a hardness, and a question on some of the objects is not answered with the number of all.

command('ask pores.tif "What is the hardness of this steel?"')
command('ask pores.tif "How many pores are in the upper half?"')

# %%
# Words
# -----
#
# What is left goes to the assistant: a frozen image encoder and a language model of 135 million parameters that
# learned from drawn scenes alone.

command('ask pores.tif "What does this image show?"')
command('ask A2.emd "What does this image show?"')

# %%
# It has never seen a cavity in TEM, and says what it knows of other images. The line below each answer says that
# these are words; nothing in them was measured.
#
# From a paper to questions
# -------------------------
#
# ``epistem papers`` takes figures, captions and the sentences that mention them out of PDFs, and questions out of
# those. Here is a paper of one page.

Image.fromarray(scene.micrograph.pixels).save(WORK / "figure.png")
styles = getSampleStyleSheet()
before = """Soda-lime glass powder was sintered at 640 °C for 2 h. Sections were polished and looked at by scanning
electron microscopy at 10 kV. The pores of the glass are isolated and round (Fig. 1), which we ascribe to gas that was
trapped when the necks between the grains closed. No cracks were seen in the polished section of Fig. 1."""
caption = "Fig. 1. SEM image of a polished section of sintered soda-lime glass with isolated pores."
after = """Longer sintering closed fewer pores than expected, as the gas in them cannot leave. The density of the
glass was measured by the Archimedes method in ethanol."""
story = [
    Paragraph("Pores in a sintered glass", styles["Title"]),
    Paragraph(before, styles["BodyText"]),
    Spacer(1, 12),
    Picture(str(WORK / "figure.png"), 250, 250),
    Paragraph(caption, styles["BodyText"]),
    Spacer(1, 12),
    Paragraph(after, styles["BodyText"]),
]
(WORK / "pdfs").mkdir()
SimpleDocTemplate(str(WORK / "pdfs" / "paper.pdf"), title="Pores in a sintered glass").build(story)
command("papers ingest pdfs --out set")
command("papers questions set")

# %%
# A record of the figure, and the questions with their evidence: every piece of evidence is a sentence of the paper,
# word by word.

record = json.loads((WORK / "set" / "figures.jsonl").read_text().splitlines()[0])
print(f"caption: {record['caption']}")
for mention in record["mentions"]:
    print(f"mention: {mention}")
for line in (WORK / "set" / "pairs.jsonl").read_text().splitlines():
    pair = json.loads(line)
    print(f"\n{pair['category']}: {pair['question']}\n  {pair['answer']}")
    for evidence in pair.get("evidence", ["none: nothing in the paper answers it"]):
        print(f"  evidence: {evidence}")

# %%
# Grades
# ------
#
# Does the assistant look at the image? Scenes that it has not learned from are asked about with the right image and
# with another one; a model that does not look scores the same on both. Answers are graded by rules, 0 to 100.

command("ask evaluate --out graded --scenes 4 --questions 2 --answer words --condition real --condition shuffled")

# %%
# So few questions show how it works and no more, and the interval says so. One of them, with both answers:

pairs = pd.read_json(WORK / "graded" / "pairs.jsonl", lines=True).set_index("id")
answers = pd.read_json(WORK / "graded" / "answered.jsonl", lines=True).fillna({"condition": "real"})
grades = pd.read_json(WORK / "graded" / "grades.jsonl", lines=True).query("assessment == 'quality'")
graded = answers.merge(grades, left_on="id", right_on="answered", suffixes=("", "_graded"))
for asked, both in list(graded.groupby("pair"))[:2]:
    print(f"{pairs.loc[asked, 'question']}\n  benchmark: {pairs.loc[asked, 'answer']}")
    for one in both.itertuples():
        print(f"  {one.condition} image, {one.score:.0f} of 100: {one.text}")

# %%
# What this does not say
# ----------------------
#
# - A measured number is the detector's, with all its errors: a threshold on an SEM image takes every dark region
#   for a pore, and says so by its name.
# - The words describe drawn scenes. On real micrographs this assistant scores nothing (:doc:`/ask`); do not use
#   them there.
# - Questions that are taken from a text test whether it was read, as much as whether the image was looked at.
# - A grade by rules compares words and numbers with a benchmark. It is no judgement of the science, and never a
#   language model's.
