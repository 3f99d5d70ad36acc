"""Damaged annotations, settings, profiles, specimens, records, forecasts and weights: what came, or one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import tifffile
from PIL import Image

from epistem.app.samples import read_samples
from epistem.app.settings import load_settings
from epistem.ask.records import Category, Pair, read_records
from epistem.atoms.dataset import read_spec
from epistem.atoms.ratings import COLUMNS, read_ratings
from epistem.bench.folder import profile_from_folder
from epistem.bench.groups import read_groups
from epistem.bench.masks import read_mask
from epistem.bench.profile import load_profile, save_profile
from epistem.core import EpistemError, Instances
from epistem.detect.adapters import load_instances
from epistem.report.export import write_coco, write_geojson, write_imagej_rois, write_labels, write_table, write_yolo
from epistem.synth.cavities import CavityScene, simulate
from epistem.synth.fields import load_field, save_field

TIMES, SHAPE = 60, (64, 64)
WORDS = b'null|-1|1e309|NaN|[]|{}|\x00|\xff\xfe|0|true|&a *a|!!x|\'|""'.split(b"|")


class Kind(NamedTuple):
    """A file that somebody gives, and what reads it."""

    name: str
    write: Callable[[Path, Instances], object]
    read: Callable[[Path], Any]


def text(content: str) -> Callable[[Path, Instances], object]:
    return lambda path, found: path.write_text(content, "utf-8")


def objects(path: Path) -> Instances:
    return load_instances(path, shape=SHAPE)


SCENE = CavityScene(shape=SHAPE, number=4)
SPEC = """\
seed: 7
hosts: [WSe2]
dopants: [Ti]
per_field: [1, 1]
settings:
  - {keV: 80, semiangle_mrad: 30, detectors: [[40, 90], [85, 250]]}
size_A: 30
dose_e_per_A2: [50000, 50000]
"""
PAIR = Pair(id="p", figure="f", paper="x", question="Which?", answer="SEM", category=get_args(Category)[0])
PAIRS = 3 * (PAIR.model_dump_json() + "\n")
RATED = ",".join(COLUMNS) + "\na,1.5,2.5,me,a,1,0.5\n"


def profile(path: Path, found: Instances) -> None:
    for name in (*(f"images/{one}.png" for one in "abc"), *(f"masks/{one}.png" for one in "abc")):
        (path.parent / name).parent.mkdir(exist_ok=True)
        labels = found.to_labels(np.uint8)
        grey = (labels > 0) * np.uint8(255) if "masks" in name else labels + np.uint8(ord(name[-5]))
        Image.fromarray(grey).save(path.parent / name)
    save_profile(profile_from_folder(path.parent), path)


KINDS = (
    Kind("a.coco.json", lambda path, found: write_coco(path, [("a", found)]), objects),
    Kind("a.geojson", write_geojson, objects),
    Kind("a.zip", write_imagej_rois, objects),
    Kind("a.txt", write_yolo, objects),
    Kind("a.tif", write_labels, objects),
    Kind("a.npy", lambda path, found: np.save(path, found.to_labels()), objects),
    Kind("a.csv", write_table, objects),
    Kind("a.parquet", write_table, objects),
    Kind("mask.png", lambda path, found: Image.fromarray(found.to_labels(np.uint8)).save(path), read_mask),
    Kind("mask.tif", lambda path, found: tifffile.imwrite(path, found.to_labels(np.uint8)), read_mask),
    Kind("samples.csv", text("image,specimen,thickness_nm\na.tif,one,80\nb.tif,two,\n"), read_samples),
    Kind("groups.csv", text("image,group\na.tif,one\nb.tif,two\n"), read_groups),
    Kind("settings.json", text('{"detector": "log", "min_score": 0.5, "pixel_size": "0.5 nm"}'), load_settings),
    Kind("spec.yaml", text(SPEC), read_spec),
    Kind("profile.json", profile, load_profile),
    Kind("pairs.jsonl", text(PAIRS), lambda path: read_records(path, Pair)),
    Kind("ratings.csv", text(RATED), lambda path: read_ratings([path], ["a"])),
    Kind("field.npz", lambda path, found: save_field(path, simulate(SCENE, seed=0)), load_field),
)  # fmt: skip


def harmed(sound: bytes, rng: np.random.Generator) -> bytes:
    """Cut, with bits that are wrong, or with a piece that is another or there twice."""
    at, to = sorted(rng.integers(0, len(sound) + 1, 2))
    word = WORDS[rng.integers(len(WORDS))]
    flipped = bytearray(sound)
    for place in rng.integers(0, len(sound), 3):
        flipped[place] ^= 1 << rng.integers(8)
    ways = (sound[:at], bytes(flipped), sound[:at] + word + sound[to:], sound[:at] + word + sound[at:],
            sound[:to] + sound[at:])  # fmt: skip
    return ways[rng.integers(len(ways))]


@pytest.mark.filterwarnings("default")  # foreign readers warn of damage in ways of their own
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damaged_file_is_read_or_refused_in_words(kind: Kind, tmp_path: Path) -> None:
    path, rng = tmp_path / kind.name, np.random.default_rng([7, len(kind.name)])
    found = simulate(SCENE, seed=3).truth
    kind.write(path, found)
    sound = path.read_bytes()
    kind.read(path)

    ended: Counter[str] = Counter()
    for _ in range(TIMES):
        path.write_bytes(harmed(sound, rng))
        try:
            kind.read(path)
            ended["read"] += 1
        except EpistemError:
            ended["refused"] += 1
    assert ended["refused"], "no damage was noticed"
