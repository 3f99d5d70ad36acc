"""Drawn scenes of six kinds in the looks of four instruments, with exact truth: for tests, demos and training.

=============  ============================  ======================  ===========================================
scene          classes                       objects                 size
=============  ============================  ======================  ===========================================
grains         grain, boundary               grains                  diameter of a grain
pores          matrix, pore                  pores                   diameter of a pore
cracks         matrix, crack                 cracks with branches    widest opening
spherulites    spherulite, impingement       spherulites             diameter of a spherulite
particles      substrate, particle           particles               diameter of a particle
meltpools      melt pool, boundary           melt pools              width of a pool
=============  ============================  ======================  ===========================================

Grains, spherulites and melt pools are told apart by their boundaries, which belong to none of them. Truth is where
the thing is, not where an instrument would show it: an AFM tip widens a particle, its mask stays. How specimens
are drawn and the sub-pixel rule are in `specimens.py`, the instruments in `looks.py`.

Melt pools are wider than an AFM scans and hardly differ in density: in the looks of AFM and XCT they are drawn as
they would look, though hardly anybody records them so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from epistem import __version__
from epistem.core.errors import SettingsError
from epistem.core.instances import Instances
from epistem.core.micrograph import Calibration, Context, Micrograph
from epistem.core.provenance import Provenance
from epistem.core.registry import Table
from epistem.core.segmentation import Segmentation
from epistem.synth import specimens
from epistem.synth.looks import Look
from epistem.synth.specimens import Specimen

SMALLEST_PX = 16
Range = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """One kind of scene and what is plausible in it.

    Attributes:
        draw: called with shape, size [px], share and rng.
        classes: the second one is looked for.
        objects: what the instances are called.
        size_px: of an object, on a magnification that suits it [px].
        size_nm: of an object, as each instrument is used for it [nm].
        share: of the class that is looked for; None where it follows from lines of 1.6 to 3.2 px.
        possible: shares that can be asked for.
    """

    draw: Callable[..., Specimen]
    classes: tuple[str, str]
    objects: str
    size_px: Range
    size_nm: Mapping[str, Range]
    share: Range | None
    possible: Range


class Scene(NamedTuple):
    """A micrograph, the class of each pixel, and the objects one by one."""

    micrograph: Micrograph
    truth: Segmentation
    objects: Instances


def draw_scene(
    name: str,
    *,
    seed: int,
    shape: tuple[int, int] = (256, 256),
    look: str = "sem",
    strength: float = 1.0,
    size_px: Range | None = None,
    size_nm: Range | None = None,
    share: Range | None = None,
) -> Scene:
    """One scene. With the same seed it is the same specimen in every look and at every strength.

    Args:
        name: in SCENES.
        seed: same seed, same bytes.
        shape: rows and columns, at least 16.
        look: in LOOKS.
        strength: of all that disturbs; 1 is common, 0 is nothing at all.
        size_px: mean size of the objects, drawn between these [px]; None is what suits the kind.
        size_nm: the same [nm]; the pixel size follows from both. None is what the instrument is used for.
        share: of the class that is looked for, drawn between these. None is what suits the kind.

    Returns:
        The image with pixel size and modality; labels with the classes of the table above; the objects' masks.

    Raises:
        UnknownName: no such scene or look.
        SettingsError: a seed, shape, strength or range that has no meaning.

    >>> draw_scene("pores", seed=1, shape=(64, 48), look="xct").micrograph.shape
    (64, 48)
    """
    kind: Kind = SCENES[name]
    instrument: Look = LOOKS[look]
    _check(seed, shape, strength)
    sizes, shares, geometry, sight = (_stream(seed, name, what) for what in ("size", "share", "geometry", look))
    across_px = _between("size_px", size_px or kind.size_px, (1, 10 * max(shape)), sizes)
    across_nm = _between("size_nm", size_nm or kind.size_nm[look], (1e-3, 1e9), sight)
    wanted = share or kind.share
    part = None if wanted is None else _between("share", wanted, kind.possible, shares)
    specimen = kind.draw(shape, across_px, part, geometry)
    pixel_nm = across_nm / across_px
    drawn = {"strength": strength, "size_px": across_px, "size_nm": across_nm, "share": part}
    settings = {"scene": name, "look": look, "shape": list(shape), **drawn}
    made = Provenance("epistem.synth.scenes.draw_scene", __version__, settings, seed=seed)
    micrograph = Micrograph(
        instrument(specimen, pixel_nm, strength, rng=sight),
        Calibration(pixel_nm, pixel_nm, "simulation"),
        Context(modality=instrument.modality, instrument="epistem simulation", material=f"simulated {name}"),
        metadata={"unit of the values": instrument.unit} if instrument.unit else {},
        name=f"simulated {name}, {look}, seed {seed}",
    )
    return Scene(
        micrograph,
        Segmentation(specimen.inside.astype(np.uint8), kind.classes, provenance=made),
        Instances.from_labels(specimen.objects, classes=(kind.objects,), provenance=made),
    )


def _check(seed: int, shape: tuple[int, int], strength: float) -> None:
    if seed < 0:
        raise SettingsError(f"a seed is a whole number of at least 0, not {seed!r}")
    if min(shape) < SMALLEST_PX:
        raise SettingsError(f"a scene has at least {SMALLEST_PX} rows and columns, not {shape}")
    if not 0 <= strength < np.inf:
        raise SettingsError(f"a strength is a number of at least 0, not {strength!r}")


def _stream(seed: int, name: str, what: str) -> np.random.Generator:
    """Random numbers of their own for each use: a look changes no specimen, and no noise comes twice."""
    return np.random.default_rng([seed, *f"{name}: {what}".encode()])


def _between(name: str, wanted: Range, possible: Range, rng: np.random.Generator) -> float:
    """A value drawn evenly on a scale of ratios."""
    low, high = wanted
    if not possible[0] <= low <= high <= possible[1]:
        raise SettingsError(f"wanted {name} as (low, high) between {possible[0]:g} and {possible[1]:g}, not {wanted}")
    return float(np.clip(np.exp(rng.uniform(np.log(low), np.log(high))), low, high))


def _sizes(sem: Range, afm: Range, xct: Range, optical: Range) -> dict[str, Range]:
    return {"sem": sem, "afm": afm, "xct": xct, "optical": optical}


GRAINS = Kind(
    specimens.grains,
    ("grain", "boundary"),
    "grain",
    size_px=(22, 60),
    size_nm=_sizes((300, 20_000), (50, 2000), (10_000, 200_000), (5000, 100_000)),
    share=None,
    possible=(0.02, 0.5),
)
PORES = Kind(
    specimens.pores,
    ("matrix", "pore"),
    "pore",
    size_px=(8, 30),
    size_nm=_sizes((50, 5000), (20, 500), (2000, 50_000), (2000, 50_000)),
    share=(0.03, 0.25),
    possible=(0.002, 0.6),
)
CRACKS = Kind(
    specimens.cracks,
    ("matrix", "crack"),
    "crack",
    size_px=(2, 5),
    size_nm=_sizes((50, 2000), (20, 300), (1000, 10_000), (500, 10_000)),
    share=(0.01, 0.06),
    possible=(0.002, 0.15),
)
SPHERULITES = Kind(
    specimens.spherulites,
    ("spherulite", "impingement"),
    "spherulite",
    size_px=(50, 110),
    size_nm=_sizes((1000, 50_000), (500, 20_000), (20_000, 200_000), (5000, 200_000)),
    share=None,
    possible=(0.01, 0.4),
)
PARTICLES = Kind(
    specimens.particles,
    ("substrate", "particle"),
    "particle",
    size_px=(12, 36),
    size_nm=_sizes((20, 10_000), (20, 500), (2000, 100_000), (2000, 50_000)),
    share=(0.12, 0.4),
    possible=(0.01, 0.7),
)
MELT_POOLS = Kind(
    specimens.melt_pools,
    ("melt pool", "boundary"),
    "melt pool",
    size_px=(60, 120),
    size_nm=_sizes((80_000, 300_000), (80_000, 120_000), (80_000, 300_000), (80_000, 300_000)),
    share=None,
    possible=(0.01, 0.4),
)

_HERE, _LOOKS = "epistem.synth.scenes", "epistem.synth.looks"
SCENES = Table(
    "scene",
    {
        "grains": f"{_HERE}:GRAINS",
        "pores": f"{_HERE}:PORES",
        "cracks": f"{_HERE}:CRACKS",
        "spherulites": f"{_HERE}:SPHERULITES",
        "particles": f"{_HERE}:PARTICLES",
        "meltpools": f"{_HERE}:MELT_POOLS",
    },
)
LOOKS = Table(
    "look",
    {"sem": f"{_LOOKS}:SEM", "afm": f"{_LOOKS}:AFM", "xct": f"{_LOOKS}:XCT", "optical": f"{_LOOKS}:OPTICAL"},
)
