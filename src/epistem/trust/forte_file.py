"""A typicality reference as a file: arrays and a line of settings, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import RecordError
from epistem.core.files import written_whole
from epistem.stats.prdc import PrdcReference
from epistem.trust.densities import Whitening
from epistem.trust.forte import DETECTORS, TypicalityReference

VERSION = 2
_PLAIN = ("detector", "encoders", "widths", "sizes", "groups")
_REFERENCE = ("points", "radius", "third", "reach")
_ARRAYS = ("centre", "spread", "tail", "calibration")


def save(reference: TypicalityReference, path: Path) -> None:
    """Arrays only, no pickle; the whole file or none.

    Raises:
        RecordError: it cannot be written.
    """
    about = {name: getattr(reference, name) for name in _PLAIN} | {
        "epistem_typicality": VERSION, "scored": reference.density is not None,
        "k": [one.k for one in reference.prdc], "white": len(reference.whitening),
    }  # fmt: skip
    arrays = {name: getattr(reference, name) for name in _ARRAYS}
    for i, one in enumerate(reference.prdc):
        arrays |= {f"prdc{i}_{name}": getattr(one, name) for name in _REFERENCE}
    for i, white in enumerate(reference.whitening):
        arrays |= {f"white{i}_centre": white.centre, f"white{i}_root": white.root}
    if reference.density is not None:
        arrays |= {
            f"density_{one.name}": getattr(reference.density, one.name) for one in _parts_of(reference.detector)
        }
    with written_whole(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)


def load(path: Path) -> TypicalityReference:
    """A saved reference.

    Raises:
        RecordError: not there, damaged, of another version, or something else.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        if (found := about["epistem_typicality"]) != VERSION:
            raise RecordError(f"{path} is of version {found}, this epistem reads {VERSION}; fit it again")
        return _reference(about, arrays)
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(f"{path}: wanted a typicality reference; {error.strerror or error}") from error
    except Exception as error:  # numpy and zipfile raise a dozen kinds for a damaged file
        raise RecordError(f"{path} is no typicality reference, or is damaged ({error}); fit it again") from error


def _reference(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TypicalityReference:
    prdc = []
    for i, k in enumerate(about["k"]):
        points, radius, third, reach = (arrays[f"prdc{i}_{name}"] for name in _REFERENCE)
        prdc.append(PrdcReference(points, radius, third, float(reach), int(k)))
    kind: Any = DETECTORS[about["detector"]]
    parts = (
        {one.name: arrays[f"density_{one.name}"] for one in _parts_of(about["detector"])} if about["scored"] else {}
    )
    return TypicalityReference(
        about["detector"], tuple(about["encoders"]), tuple(prdc), arrays["centre"], arrays["spread"],
        arrays["tail"], kind(**parts) if about["scored"] else None, arrays["calibration"],
        tuple(Whitening(arrays[f"white{i}_centre"], arrays[f"white{i}_root"]) for i in range(about["white"])),
        tuple(about["widths"]), tuple(about["sizes"]), about["groups"],
    )  # fmt: skip


def _parts_of(detector: str) -> tuple[Any, ...]:
    kind: Any = DETECTORS[detector]
    return fields(kind)
