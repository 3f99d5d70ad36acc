"""Heatmaps of a run's best network on its test images, and whether they lie where they should."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem.app.explain import Asked, Explanation, explain, figure_of, region_of
from epistem.bench.images import Scored, load_part
from epistem.bench.plan import Plan
from epistem.bench.profile import Profile
from epistem.bench.ready import Alignment
from epistem.bench.store import MODEL, job_folder
from epistem.core import RecordError, SettingsError
from epistem.nets.segment_fit import predictor
from epistem.nets.segment_use import Trained, open_segmenter
from epistem.nets.tiles import shrunk_labels
from epistem.trust.heatmap_check import over_images, pointing

Told = Callable[[str, int, int, str], None]


class Explained(NamedTuple):
    """Pictures by caption, and how the maps did."""

    pictures: dict[str, bytes]
    alignment: Alignment | None


def explain_run(
    run: Path, profile: Profile, plan: Plan, job: str, *, images: int, regions: Path | None, told: Told
) -> Explained:
    """Heatmaps of so many test images, each for one region.

    The region is the largest object of the truth, of that at most half a tile around where it is thickest: what is
    looked at, and so the time, grows with the region. Pointing asks whether the hottest place lies where an expert
    said that one must look: `regions`/<image's stem>.png, for a slice of a stack <stem>_<slice>.png.

    Raises:
        RecordError: the run keeps no weights of the job.
        SettingsError: no region in the folder for these images.
    """
    if not (job_folder(run, job) / MODEL).is_file():
        raise RecordError(f"{job} has no weights in {run}; run it again without --no-models, or leave --heatmaps out")
    network = open_segmenter(job_folder(run, job))
    made, points = {}, []
    chosen = _spread(load_part(profile, plan.split.test), images)
    for number, one in enumerate(chosen, 1):
        if (region := _largest(one.seen.labels, network.tile_px // 2)) is None:
            continue
        asked = _asked(network, one, region)
        paced = partial(told, f"Heatmap {number} of {len(chosen)}, pass")
        made[one.name] = explain(asked, kernel="blur", patch_px=None, check=True, told=paced)
        drawn = None if regions is None else regions / _mask_name(one.name)
        if drawn is not None and drawn.is_file():
            points.append(pointing(made[one.name].heat.values, _drawn(drawn, one, network.shrink)))
    if regions is not None and not points:
        raise SettingsError(f"{regions} holds no mask of the images explained: {', '.join(made)}")
    return Explained({name: figure_of(one) for name, one in made.items()}, _alignment(list(made.values()), points))


def _mask_name(image: str) -> str:
    """What a region's file is called: `images/a.tif[3]` has a_3.png."""
    path, _, number = image.partition("[")
    stem = PurePosixPath(path).stem
    return f"{stem}_{number.rstrip(']')}.png" if number else f"{stem}.png"


def _asked(network: Trained, one: Scored, region: NDArray[np.bool_]) -> Asked:
    labels = one.seen.labels[region]
    which = int(np.bincount(labels[labels > 0]).argmax()) if (labels > 0).any() else 1
    # A window as wide as in training is all that the network ever sees at once.
    reach = network.tile_px // 2
    what = f"class {network.card['classes'][which]}"
    return Asked(predictor(network.network), one.seen.image, region, which, reach, what)


def _largest(labels: NDArray[np.int16], side_px: int) -> NDArray[np.bool_] | None:
    """The largest part, no more of it than a square of that side around the place deepest inside."""
    parts, n = ndimage.label(labels > 0)
    if not n:
        return None
    whole = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    depth = ndimage.distance_transform_edt(np.pad(whole, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), whole.shape)
    near = tuple(slice(max(0, int(at) - side_px // 2), int(at) + -(-side_px // 2)) for at in (row, col))
    region: NDArray[np.bool_] = np.zeros(whole.shape, bool)
    region[near] = whole[near]
    return region


def _drawn(path: Path, one: Scored, shrink: int) -> NDArray[np.bool_]:
    whole = region_of(str(path), (one.labels.shape[0], one.labels.shape[1]))
    region: NDArray[np.bool_] = shrunk_labels(whole.astype(np.int16), shrink).astype(bool)
    if not region.any():
        raise SettingsError(f"{path}: the region is smaller than what the network sees as one pixel")
    return region


def _alignment(made: list[Explanation], points: list[bool]) -> Alignment | None:
    tested = [one.deletion for one in made if one.deletion is not None]
    if not made:
        return None
    together = over_images(tested) if tested else None
    share = float(np.mean(points)) if points else None
    gap, p = (None, None) if together is None else (together.gap, together.p)
    return Alignment(share, gap, p, len(made))


def _spread(images: list[Scored], most: int) -> list[Scored]:
    places = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int))
    return [images[i] for i in places]
