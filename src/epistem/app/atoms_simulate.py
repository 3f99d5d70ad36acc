"""`epistem atoms simulate`: fields of a specification as files, with their truth."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epistem import __version__
from epistem.app.atoms_context import as_yaml
from epistem.atoms.classify import label
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import AtomField, Spec, make_field
from epistem.atoms.kernels import shipped_bank
from epistem.core import Calibration, Micrograph, RecordError, SettingsError
from epistem.core.cluster import spread
from epistem.core.errors import in_a_line
from epistem.core.files import write_text, written_whole
from epistem.report.export import write_table

EXAMPLE = """\
# A field of WSe2 with four dopants and vacancies, as two detectors record it at 80 kV.
seed: 7
hosts: [WSe2]
dopants: [Ti, V, Nb, Re]
per_field: [4, 4]           # how many of them stand in one field
settings:
  - {keV: 80, semiangle_mrad: 30, detectors: [[40, 90], [85, 250]]}
size_A: 100
pixel_A: [0.25, 0.25]       # from, to: drawn for each field
dose_e_per_A2: [50000, 50000]
defects: [0.03, 0.04]       # share of the sites, for dopants together and for each kind of vacancy
"""
SPEC_FILE = "spec.json"
WHOLE = "truth.csv"  # written last: a field that has it is whole


class Item(NamedTuple):
    """One field to be made."""

    spec: Spec
    number: int
    folder: Path


class Cost(NamedTuple):
    """What the first field took; None of `left` is made yet."""

    seconds: float
    megabytes_on_disk: float
    megabytes_of_memory: float
    left: int

    def words(self, workers: int) -> str:
        """What is to be expected."""
        seconds = self.seconds * self.left / max(1, workers)
        time_ = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        return (
            f"{self.left} more fields: about {time_} on {workers} process{'es' if workers > 1 else ''}, "
            f"{self.megabytes_on_disk * self.left:.1f} MB on disk, {self.megabytes_of_memory * workers:.0f} MB of "
            "memory."
        )


def simulate(
    spec: Spec, out: Path, fields: int, *, workers: int = 1, cluster: str | None = None,
    say: Callable[[str], None] = lambda text: None, progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:  # fmt: skip
    """Write fields 0 to `fields` − 1; those that are there already are kept.

    Returns:
        How many were made and kept, and which failed and why.

    Raises:
        RecordError: the folder holds fields of another specification, or cannot be written.
        SettingsError: a beam or detector outside the bank; no scheduler.
        ClusterError: the scheduler went away, or its workers cannot do the work.
    """
    _same_spec(spec, out)
    numbers = [number for number in range(fields) if not (out / name_of(number) / WHOLE).is_file()]
    made, failed = 0, {}
    if numbers:
        began = time.perf_counter()
        why = write_field(Item(spec, numbers[0], out))
        if why:
            raise SettingsError(why)
        made = 1
        cost = Cost(time.perf_counter() - began, _size_mb(out / name_of(numbers[0])), _memory_mb(), len(numbers) - 1)
        progress(fields - len(numbers) + 1, fields)
        if cost.left:
            say(cost.words(workers))
        items = (Item(spec, number, out) for number in numbers[1:])
        for item, outcome in _each(items, workers, cluster, many=cost.left):
            if outcome is None or outcome:
                failed[name_of(item.number)] = outcome or "its worker died twice, perhaps for want of memory"
            else:
                made += 1
            progress(fields - len(numbers) + made + len(failed), fields)
    return {"out": str(out), "fields": fields, "made": made, "kept": fields - len(numbers), "failed": failed}


def name_of(number: int) -> str:
    """The folder of a field."""
    return f"field_{number:05d}"


def write_field(item: Item) -> str:
    """Image, truth, context and picture of one field.

    Returns:
        Why it could not be made, else "".
    """
    folder = item.folder / name_of(item.number)
    if (folder / WHOLE).is_file():  # by another run on this folder, or a worker that died afterwards
        return ""
    try:
        field = make_field(item.spec, item.number, shipped_bank())
        write_text(folder / "context.yaml", as_yaml(field.context))
        write_counts(folder / "image.tif", field.counts, field.pixel_A)
        with written_whole(folder / "picture.png") as part:
            part.write_bytes(picture(field))
        write_table(folder / WHOLE, truth(field))
    except Exception as error:  # noqa: BLE001 - one field must not stop the others
        return in_a_line(error)
    return ""


def truth(field: AtomField) -> dict[str, Any]:
    """Every column of the image with what it is."""
    rows, cols = field.counts.shape[1:]
    inside = np.flatnonzero(((field.sites_px >= -0.5) & (field.sites_px < np.array([rows, cols]) - 0.5)).all(axis=1))
    sheet, places = field.sheet, field.sites_px[inside]
    names = [(ROLES[r], str(e)) for r, e in zip(sheet.role[inside], sheet.element[inside], strict=True)]
    return {
        "row_px": places[:, 0], "col_px": places[:, 1],
        "x_A": places[:, 1] * field.pixel_A, "y_A": places[:, 0] * field.pixel_A,
        "label": [label(role, element, sheet.host.metal) for role, element in names],
        "role": [role for role, _ in names], "element": [element for _, element in names],
        "whole_patch": field.whole[inside],
    }  # fmt: skip


def write_counts(path: Path, counts: NDArray[np.float32], pixel_A: float) -> None:
    """Electrons as a calibrated TIFF, a page for each detector."""
    import tifffile

    scale = 10 / pixel_A
    with written_whole(path) as part:
        tifffile.imwrite(
            part, counts.astype(np.float32), imagej=True, resolution=(scale, scale),
            metadata={"unit": "nm", "axes": "CYX"} if len(counts) > 1 else {"unit": "nm", "axes": "YX"},
        )  # fmt: skip


def picture(field: AtomField) -> bytes:
    """The last detector's image with the defects marked."""
    from epistem.report.columns import Marks, columns_png
    from epistem.report.overlay import COLOURS

    told = truth(field)
    places = np.stack([told["row_px"], told["col_px"]], axis=1)
    labels, role = np.array(told["label"]), np.array(told["role"])
    kinds = sorted({name for name, kind in zip(told["label"], told["role"], strict=True) if kind not in ("M", "X2")})
    marks = [
        Marks(f"{name}: {int((labels == name).sum())}", places[labels == name], COLOURS[i % len(COLOURS)],
              "circle" if "D_M" in role[labels == name] else "square")
        for i, name in enumerate(kinds)
    ]  # fmt: skip
    scale = field.pixel_A / 10
    image = Micrograph(field.counts[-1], Calibration(scale, scale, "simulation"), name="simulated")
    return columns_png(image, marks, neighbour_px=field.a_px / np.sqrt(3))


def reference(spec: Spec, out: Path, *, phonons: int = 2) -> dict[str, Any]:
    """One small cell by abTEM's multislice beside the fast renderer: both images and how alike they are.

    Returns:
        r and the largest difference over the contrast for each detector, seconds of both.

    Raises:
        DependencyMissing: without the extra `atoms`.
    """
    from epistem.app.atoms_reference import compare

    field = make_field(spec, 0, shipped_bank())
    found = compare(field.sheet.host, field.dopants, field.setting, shipped_bank(), phonons=phonons)
    write_counts(out / "reference_multislice.tif", found.multislice, found.pixel_A)
    write_counts(out / "reference_renderer.tif", found.renderer, found.pixel_A)
    write_text(out / "reference.json", json.dumps(found.record(), indent=1) + "\n")
    return found.record()


def _same_spec(spec: Spec, out: Path) -> None:
    """The specification in the folder is this one, or becomes it."""
    file = out / SPEC_FILE
    mine = json.loads(spec.model_dump_json())
    if file.is_file():
        try:
            held = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"{file} cannot be read ({error}); choose another --out") from error
        if held.get("spec") != mine:
            names = [name for name, value in mine.items() if held.get("spec", {}).get(name) != value]
            raise RecordError(
                f"{out} holds fields of another specification ({', '.join(names)} differ); choose another --out"
            )
        return
    write_text(file, json.dumps({"version": __version__, "spec": mine}, indent=1) + "\n")


def _each(items: Any, workers: int, cluster: str | None, *, many: int) -> Any:
    if cluster is None and (workers <= 1 or many < 2):
        return ((item, write_field(item)) for item in items)
    return spread(write_field, items, workers=min(workers, many) or 1, cluster=cluster)


def _size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def _memory_mb() -> float:
    """Memory of this process [MB]: its peak where the system tells it (Windows), else what it has now."""
    import psutil

    used: Mapping[str, int] = psutil.Process(os.getpid()).memory_info()._asdict()
    return used.get("peak_wset", used["rss"]) / 1e6
