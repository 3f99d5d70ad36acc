"""Make the bundled example images again: two simulated specimens in seven file formats, with their exact truth.

python scripts/make_examples.py
"""

from __future__ import annotations

import csv
import json
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from epistem.core import Instances
from epistem.core.rle import compress, run_lengths
from epistem.synth.cavities import CavityScene, simulate

EXAMPLES_FOLDER = Path(__file__).parents[1] / "examples"
# One count an electron: the noise then takes half the disk space.
COLD = CavityScene(number=60, diameter_nm=5.5, diameter_sd_nm=1.2, counts_per_electron=1, dose_e_per_A2=60)
HOT = replace(COLD, number=16, diameter_nm=12.0, diameter_sd_nm=3.0, pixel_nm=0.4, dose_e_per_A2=40)
SPECIMENS = {"A 300 °C": (5.0, 300), "B 450 °C": (5.0, 450)}  # dose [dpa], temperature [°C]
SCALE_BAR_NM = 50.0
MRC_UINT16 = 6

Pixels = NDArray[np.uint16] | NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """One file: its scene (one image for each defocus), and how it is written."""

    file: str
    specimen: str
    scene: CavityScene
    seed: int
    write: Callable[[Path, Pixels, CavityScene], None]
    defocus_nm: tuple[float, ...] = (-1000.0,)
    is_8_bit: bool = False


def make(example: Example) -> tuple[Pixels, Instances]:
    """The pixels, (H, W) or (n, H, W), and the cavities in them."""
    shots = [simulate(replace(example.scene, defocus_nm=z), seed=example.seed) for z in example.defocus_nm]
    stack = np.stack([shot.micrograph.pixels for shot in shots])
    if example.is_8_bit:
        low, high = np.percentile(stack, [0.1, 99.9])
        stack = np.clip(np.rint((stack - low) / (high - low) * 255), 0, 255).astype(np.uint8)
    truth = shots[0].truth
    if example.write is write_png:
        top, left, bottom, right = label_box(truth.shape, example.scene.pixel_nm)
        row0, col0, row1, col1 = truth.boxes.T
        truth = truth[~((row0 < bottom) & (row1 > top) & (col0 < right) & (col1 > left))]
    return (stack[0] if len(stack) == 1 else stack), truth


def label_box(shape: tuple[int, int], pixel_nm: float) -> tuple[int, int, int, int]:
    """Where the scale bar hides the image: [row0, col0, row1, col1]."""
    return shape[0] - 62, 10, shape[0] - 10, 30 + round(SCALE_BAR_NM / pixel_nm)


def write_tiff(path: Path, pixels: Pixels, scene: CavityScene) -> None:
    """Calibrated as ImageJ does it; a stack is a focal series."""
    axes: dict[str, Any] = {"axes": "ZYX", "spacing": 300.0} if pixels.ndim == 3 else {"axes": "YX"}
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1 / scene.pixel_nm, 1 / scene.pixel_nm),
        metadata={**axes, "unit": "nm"},
        compression="zlib",
        predictor=True,
    )


def write_mrc(path: Path, pixels: Pixels, scene: CavityScene) -> None:
    """MRC2014, one image; the cell is in ångström, the top row comes first."""
    rows, cols = pixels.shape
    cell = (cols * scene.pixel_nm * 10, rows * scene.pixel_nm * 10, 1.0)
    header = struct.pack("<10i6f3i", cols, rows, 1, MRC_UINT16, 0, 0, 0, cols, rows, 1, *cell, 90, 90, 90, 1, 2, 3)
    header += struct.pack("<3f", pixels.min(), pixels.max(), pixels.mean())
    header = header.ljust(208, b"\0") + b"MAP " + b"\x44\x44\0\0"
    path.write_bytes(header.ljust(1024, b"\0") + pixels.astype("<u2").tobytes())


def write_emd(path: Path, pixels: Pixels, scene: CavityScene) -> None:
    """NCEM's Electron Microscopy Dataset."""
    from rsciio import emd

    emd.file_writer(str(path), _signal(path, pixels, scene))


def write_hspy(path: Path, pixels: Pixels, scene: CavityScene) -> None:
    """HyperSpy's own format."""
    from rsciio import hspy

    empty: dict[str, Any] = {
        "tmp_parameters": {},
        "models": {},
        "learning_results": {},
        "attributes": {"_lazy": False},
    }
    package = {"package_info": {"package": "rosettasciio", "package_version": ""}}
    hspy.file_writer(str(path), {**_signal(path, pixels, scene), **package, **empty}, compression="gzip")


def write_png(path: Path, pixels: Pixels, scene: CavityScene) -> None:
    """A picture with its scale bar burnt in, as from a slide."""
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    top, left, bottom, right = label_box(picture.size[::-1], scene.pixel_nm)
    draw.rectangle((left, top, right - 1, bottom - 1), fill=0)
    draw.rectangle((left + 10, bottom - 16, right - 11, bottom - 10), fill=255)
    label = f"{SCALE_BAR_NM:.0f} nm"
    font = ImageFont.load_default(24)
    draw.text(((left + right) / 2, bottom - 34), label, fill=255, anchor="mm", font=font)
    picture.save(path, optimize=True)


EXAMPLES = (
    Example("A1.tif", "A 300 °C", replace(COLD, shape=(768, 1024), number=170, thickness_nm=95), 11, write_tiff),
    Example("A2.emd", "A 300 °C", replace(COLD, number=52, diameter_nm=5.2, thickness_nm=80), 12, write_emd),
    Example("A3.tif", "A 300 °C", replace(COLD, number=68, thickness_nm=110), 13, write_tiff, is_8_bit=True),
    Example("A4.png", "A 300 °C", replace(COLD, diameter_nm=5.8, thickness_nm=90), 14, write_png, is_8_bit=True),
    Example("B1.mrc", "B 450 °C", replace(HOT, number=17, thickness_nm=100), 21, write_mrc),
    Example("B2.hspy", "B 450 °C", replace(HOT, diameter_nm=12.8, thickness_nm=120), 22, write_hspy),
    Example("B3.tif", "B 450 °C", replace(HOT, shape=(512, 640), diameter_nm=11.4, thickness_nm=90), 23, write_tiff),
    Example(
        "B4_focus.tif",
        "B 450 °C",
        replace(HOT, shape=(384, 384), number=9, thickness_nm=105),
        24,
        write_tiff,
        (-700.0, -1000.0, -1300.0),
        is_8_bit=True,
    ),
)


def main(folder: Path = EXAMPLES_FOLDER) -> None:
    """Write images/, samples.csv and truth.json."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    truths = {}
    for example in EXAMPLES:
        pixels, truths[example] = make(example)
        path = folder / "images" / example.file
        path.unlink(missing_ok=True)
        example.write(path, pixels, example.scene)
        print(f"{path.name}: {pixels.shape} {pixels.dtype}, {len(truths[example])} cavities")
    write_samples(folder / "samples.csv")
    text = json.dumps(coco(truths), ensure_ascii=False, indent=None, separators=(",", ":"))
    (folder / "truth.json").write_text(text.replace('},{"id"', '},\n{"id"') + "\n", "utf-8")


def write_samples(path: Path) -> None:
    """The table that groups the images; a thickness is known to 10 %, as by log-ratio EELS."""
    header = ["image", "specimen", "dose_dpa", "temperature_C", "thickness_nm", "thickness_error_nm"]
    rows = [
        [e.file, e.specimen, *SPECIMENS[e.specimen], e.scene.thickness_nm, round(e.scene.thickness_nm / 10)]
        for e in EXAMPLES
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def coco(truths: dict[Example, Instances]) -> dict[str, Any]:
    """All truths in COCO's form, with each cavity's true diameter."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (example, truth) in enumerate(truths.items(), 1):
        rows, cols = truth.shape
        images.append({"id": image_id, "file_name": example.file, "height": rows, "width": cols})
        for box, mask, diameter_nm in zip(truth.boxes, truth.masks(), truth.columns["diameter_nm"], strict=True):
            row0, col0, row1, col1 = box.tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [round(value, 2) for value in (col0, row0, col1 - col0, row1 - row0)],
                    "area": int(mask.crop.sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": [rows, cols], "counts": compress(run_lengths(mask, truth.shape))},
                    "diameter_nm": round(float(diameter_nm), 3),
                }
            )
    return {"images": images, "categories": [{"id": 1, "name": "cavity"}], "annotations": annotations}


def _signal(path: Path, pixels: Pixels, scene: CavityScene) -> dict[str, Any]:
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "units": "nm",
            "size": size,
            "offset": 0.0,
            "scale": scene.pixel_nm,
            "index_in_array": i,
            "navigate": False,
        }
        for i, (name, size) in enumerate(zip("yx", pixels.shape, strict=True))
    ]
    general = {"title": path.stem, "original_filename": path.name}
    metadata = {
        "General": general,
        "Signal": {"signal_type": ""},
        "Acquisition_instrument": {"TEM": {"beam_energy": scene.beam_keV}},
    }
    return {"data": pixels, "axes": axes, "metadata": metadata, "original_metadata": {}}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES_FOLDER)
