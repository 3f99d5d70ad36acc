"""analyze(path, settings): the one path that command line, batch and web page share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from epistem import __version__
from epistem.app.settings import Settings
from epistem.app.trust_card import Unwatched, Watched, corrected, with_texture
from epistem.core import Instances, Micrograph, MicrographSeries, Provenance, Quantity, Reliability
from epistem.detect.measure import measure
from epistem.detect.population import summarize
from epistem.imaging import read

MANY, SPECK_PX = 500, 9
"""So many parts, half of them no larger than 3 × 3 pixels, are taken for noise."""

Finder = Callable[[Micrograph], Instances]
GIVEN = "These objects were given, so nothing forecasts how many are right: look at the overlay first."


@dataclass(frozen=True, eq=False)
class Analysis:
    """One image, what was found in it, and what that amounts to.

    Attributes:
        micrograph: the image as read.
        found: the objects with their measurements as columns.
        quantities: count, sizes, density, swelling… by name.
        reliability: how far to trust them.
        provenance: how to make this again.
    """

    micrograph: Micrograph
    found: Instances
    quantities: Mapping[str, Quantity]
    reliability: Reliability
    provenance: Provenance


def analyze(
    path: str | Path,
    settings: Settings | None = None,
    *,
    find: Finder | Watched | Unwatched | None = None,
) -> list[Analysis]:
    """Read a file, find and measure what is in it.

    Args:
        path: any file that `epistem.read` knows.
        settings: the defaults if None.
        find: objects from somewhere else instead of the detector in the settings.

    Returns:
        One Analysis for each image in the file: one, or as many as its series has.

    Raises:
        ReadError: the file cannot become an image.
        SettingsError: an unknown detector or setting.
    """
    settings = settings or Settings()
    looker = find or settings.looker()
    return [analyze_image(micrograph, settings, looker) for micrograph in images_of(path, settings)]


def images_of(path: str | Path, settings: Settings) -> Sequence[Micrograph]:
    """The image of a file, or those of its series; of a large stack each is read when it is asked for.

    Raises:
        ReadError: the file cannot become an image.
    """
    image = read(path, settings.pixel_size)
    return image.slices if isinstance(image, MicrographSeries) else (image,)


def analyze_image(micrograph: Micrograph, settings: Settings, find: Finder | Watched | Unwatched) -> Analysis:
    """Find and measure what is in one image that has been read already; a watched detector is forecast too."""
    found, forecast = find.look(micrograph) if isinstance(find, Watched) else (find(micrograph), None)
    if settings.min_score is not None:
        # An unscored object has no score to fall short of.
        found = found[~(found.score < settings.min_score)]
    if found.classes == ("object",):
        found = replace(found, classes=(settings.object_name,))
    measured = measure(found, micrograph)
    quantities = summarize(
        measured,
        micrograph,
        thickness_nm=settings.thickness_nm,
        thickness_error_nm=settings.thickness_error_nm,
        coverage=settings.coverage,
        seed=settings.seed,
    )
    reliability = find.reliability(micrograph) if isinstance(find, Unwatched) else Reliability(reasons=(GIVEN,))
    if forecast is not None and isinstance(find, Watched):
        reliability = find.reliability(forecast, len(measured))
        quantities = corrected(
            quantities, measured, micrograph, forecast, thickness_nm=settings.thickness_nm,
            thickness_error_nm=settings.thickness_error_nm, coverage=settings.coverage, seed=settings.seed,
        )  # fmt: skip
    maker = found.provenance or Provenance("unknown", "unknown")
    analysis = settings.model_dump(exclude={"detector", "detector_settings"}, exclude_none=True)
    provenance = replace(
        maker,
        settings={"detector": dict(maker.settings), "analysis": analysis},
        inputs=(micrograph.id,),
        seed=settings.seed,
    )
    if settings.typicality is not None:
        reliability = with_texture(reliability, micrograph, Path(settings.typicality))
    reliability = replace(reliability, reasons=(*reliability.reasons, *_weak(measured)))
    return Analysis(micrograph, measured, quantities, reliability, provenance)


def noise_words(found: Instances) -> str:
    """What is to be said where so many specks were found that they are hardly objects; "" else."""
    if len(found) < MANY or found.crops is None:
        return ""
    area_px = float(np.median([mask.crop.sum() for mask in found.masks()]))
    if area_px > SPECK_PX:
        return ""
    return f"{len(found):,} parts, half of them of {area_px:.0f} pixels or fewer: looks like noise, not like objects."


def _weak(measured: Instances) -> list[str]:
    """What weakens the numbers whoever found the objects."""
    reasons = [noise] if (noise := noise_words(measured)) else []
    if len(measured):
        edge = np.asarray(measured.columns["touches_edge"]).mean()
        if edge > 0.25:
            reasons.append(f"{edge:.0%} of the objects are cut by the border and left out of the sizes.")
        diameter = np.asarray(measured.columns["equivalent_diameter_px"], float)
        small = float(np.mean(diameter[np.isfinite(diameter)] < 8)) if np.isfinite(diameter).any() else 0.0
        if small > 0.25:
            # d = 8 px: half a pixel of edge either way changes the area by 2·(1/8) = 25 %.
            reasons.append(
                f"{small:.0%} of the objects are under 8 pixels across: half a pixel of rim is 25 % of their area."
            )
    return reasons


def versions() -> dict[str, str]:
    """Versions of epistem and of what its numbers rest on."""
    from importlib.metadata import version

    return {"epistem": __version__} | {
        name: version(name) for name in ("numpy", "scipy", "scikit-image", "rosettasciio")
    }


@cache
def shipped_weights() -> frozenset[str]:
    """Hashes of the weights that come with epistem."""
    from epistem.nets.weights import SHIPPED, Weights

    return frozenset(Weights(path, "", {}, 0.0).hash for path in SHIPPED.glob("*.safetensors"))
