"""One small file of every format that `read` knows, written without the reader: 6 rows, 9 columns, 0.5 × 0.25 nm.

The formats whose vendors publish no writer (dm3, ser, mrc, ibw, Nanoscope) are put together here byte by byte.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROWS, COLS = 6, 9
ROW_NM, COL_NM = 0.5, 0.25
PIXELS = (np.arange(ROWS * COLS, dtype=np.uint16).reshape(ROWS, COLS) * 37) % 251


def digitalmicrograph(folder: Path) -> Path:
    """A dm3: nested tag groups, big-endian structure, little-endian values."""

    def name(tag: int, text: str) -> bytes:
        return struct.pack(">BH", tag, len(text)) + text.encode()

    def data(text: str, info: list[int], value: bytes) -> bytes:
        return name(21, text) + b"%%%%" + struct.pack(f">{len(info) + 1}I", len(info), *info) + value

    def group(text: str, parts: list[bytes]) -> bytes:
        return name(20, text) + struct.pack(">BBI", 1, 0, len(parts)) + b"".join(parts)

    def real(text: str, value: float) -> bytes:
        return data(text, [6], struct.pack("<f", value))

    def whole(text: str, value: int) -> bytes:
        return data(text, [3], struct.pack("<i", value))

    def words(text: str, value: str) -> bytes:
        return data(text, [20, 4, len(value)], value.encode("utf-16-le"))

    def axis(scale: float) -> bytes:
        return group("", [real("Origin", 0.0), real("Scale", scale), words("Units", "nm")])

    brightness = group("Brightness", [real("Origin", 0.0), real("Scale", 1.0), words("Units", "")])
    image = group(
        "ImageData",
        [
            group("Calibrations", [brightness, group("Dimension", [axis(COL_NM), axis(ROW_NM)])]),
            data("Data", [20, 4, PIXELS.size], PIXELS.astype("<u2").tobytes()),
            whole("DataType", 10),
            group("Dimensions", [whole("", COLS), whole("", ROWS)]),
            whole("PixelDepth", 2),
        ],
    )
    tags = group("ImageTags", [group("Microscope Info", [real("Voltage", 200_000.0)])])
    root = group("ImageList", [group("", [image, tags, words("Name", "sample")])])
    body = struct.pack(">BBI", 1, 0, 1) + root
    path = folder / "sample.dm3"
    path.write_bytes(struct.pack(">III", 3, len(body), 1) + body + bytes(8))
    return path


def emd(folder: Path) -> Path:
    """Berkeley (NCEM) layout: dim1 are the columns."""
    import h5py

    path = folder / "sample.emd"
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/sample")
        group.attrs["emd_group_type"] = 1
        group["data"] = PIXELS.T
        for number, (count, step) in enumerate([(COLS, COL_NM), (ROWS, ROW_NM)], 1):
            dim = group.create_dataset(f"dim{number}", data=np.arange(count) * step)
            dim.attrs["name"], dim.attrs["units"] = "xy"[number - 1], "[n_m]"
    return path


def tia(folder: Path) -> Path:
    """A ser with one image; its first row is the lowest."""
    header = struct.pack("<HHHIIIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1, 0, 1)
    dim = struct.pack("<IddIII", 1, 0.0, 1.0, 0, 0, 0)
    offsets_at = len(header) + len(dim)
    header = header[:22] + struct.pack("<I", offsets_at) + header[26:]
    data_at = offsets_at + 8
    element = struct.pack("<ddIddIHII", 0, COL_NM * 1e-9, 0, 0, ROW_NM * 1e-9, 0, 2, COLS, ROWS)
    element += PIXELS[::-1].astype("<u2").tobytes() + struct.pack("<HHI", 0x4152, 0, 0)
    path = folder / "sample_1.ser"
    path.write_bytes(header + dim + struct.pack("<II", data_at, data_at + len(element) - 8) + element)
    return path


def mrc(folder: Path) -> Path:
    """Mode 6 (uint16), cell lengths in Å."""
    header = np.zeros(256, "<u4")
    header[[0, 1, 2, 3, 7, 8, 9]] = COLS, ROWS, 1, 6, COLS, ROWS, 1
    header.view("<f4")[10:13] = COLS * COL_NM * 10, ROWS * ROW_NM * 10, 10
    header[52:54] = np.frombuffer(b"MAP DD\x00\x00", "<u4")
    path = folder / "sample.mrc"
    path.write_bytes(header.tobytes() + PIXELS.astype("<u2").tobytes())
    return path


def _signal() -> dict[str, Any]:
    axes = [
        {"name": name, "size": size, "scale": scale, "offset": 0.0, "units": "nm", "navigate": False}
        for name, size, scale in [("y", ROWS, ROW_NM), ("x", COLS, COL_NM)]
    ]
    general = {"General": {"title": "sample"}, "Signal": {"signal_type": ""}}
    return {
        "data": PIXELS.copy(),
        "axes": axes,
        "metadata": general,
        "original_metadata": {},
        "attributes": {"_lazy": False},
        "learning_results": {},
        "models": {},
        "package_info": {"package": "none", "package_version": "0"},
        "tmp_parameters": {},
    }


def hspy(folder: Path) -> Path:
    """By RosettaSciIO's own writer."""
    from rsciio.hspy import file_writer

    path = folder / "sample.hspy"
    file_writer(str(path), _signal())
    return path


def zspy(folder: Path) -> Path:
    """The hspy file once more, as a zip of zarr; RosettaSciIO's own writer needs zarr 2."""
    import h5py
    import zarr as library

    tree, path = folder / "zspy", folder / "sample.zspy"
    root = library.open_group(str(tree), mode="w", zarr_format=2)

    def copy(name: str, item: Any) -> None:
        made = root.require_group(name) if isinstance(item, h5py.Group) else root.create_array(name, data=item[()])
        for key, value in item.attrs.items():
            made.attrs[key] = value.item() if hasattr(value, "item") else value

    with h5py.File(hspy(folder), "r") as source:
        copy("Experiments", source["Experiments"])
        source["Experiments"].visititems(lambda name, item: copy(f"Experiments/{name}", item))
    root.attrs["file_format"] = "ZSpy"
    root.attrs["file_format_version"] = "3.1"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(tree.rglob("*")):
            archive.write(file, file.relative_to(tree).as_posix())
    return path


def tiff(folder: Path) -> Path:
    """As ImageJ writes it."""
    import tifffile

    path = folder / "sample.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(1 / COL_NM, 1 / ROW_NM), metadata={"unit": "nm"})
    return path


def picture(folder: Path) -> Path:
    """A 16-bit PNG, which has no pixel size."""
    from PIL import Image

    path = folder / "sample.png"
    Image.fromarray(PIXELS).save(path)
    return path


def gwyddion(folder: Path) -> Path:
    """Heights as 64-bit numbers, lengths in m."""
    from gwyfile.objects import GwyContainer, GwyDataField

    field = GwyDataField(
        PIXELS.astype(float), xreal=COLS * COL_NM * 1e-9, yreal=ROWS * ROW_NM * 1e-9, si_unit_xy="m", si_unit_z="m"
    )
    path = folder / "sample.gwy"
    GwyContainer({"/0/data": field, "/0/data/title": "Height"}).tofile(str(path))
    return path


def igor(folder: Path) -> Path:
    """A version 5 wave of (x, y) with y growing upwards and lengths in m."""
    x_by_y = PIXELS[::-1].T.astype("<u2")
    dims = struct.pack("<4I", COLS, ROWS, 0, 0)
    scaling = struct.pack("<8d", COL_NM * 1e-9, ROW_NM * 1e-9, 0, 0, 0, 0, 0, 0)
    head = struct.pack("<IIIihh6xh", 0, 0, 0, x_by_y.size, 0x50, 0, 1) + b"sample".ljust(32, b"\x00") + bytes(8)
    units = bytes(4) + (b"m\x00\x00\x00" * 2).ljust(16, b"\x00")
    wave = (head + dims + scaling + units).ljust(320, b"\x00") + x_by_y.tobytes(order="F")
    lengths = struct.pack("<i8I8I", len(wave), *([0] * 16))[:60]
    start = struct.pack("<h", 5) + bytes(2) + lengths
    total = sum(struct.unpack("<192h", (start + wave)[:384]))
    start = start[:2] + struct.pack("<H", -total & 0xFFFF) + start[4:]
    path = folder / "sample.ibw"
    path.write_bytes(start + wave)
    return path


def nanoscope(folder: Path) -> Path:
    """One channel of 16 bits, lowest line first."""
    header = (
        "\\*File list\r\n\\Version: 0x05120130\r\n\\*Ciao image list\r\n\\Data offset: 2048\r\n"
        f"\\Data length: {PIXELS.size * 2}\r\n\\Bytes/pixel: 2\r\n\\Samps/line: {COLS}\r\n"
        f"\\Number of lines: {ROWS}\r\n\\Scan Size: {COLS * COL_NM} {ROWS * COL_NM} nm\r\n"
        '\\@2:Image Data: S [Height] "Height"\r\n\\*File list end\r\n\x1a'
    )
    path = folder / "sample.spm"
    path.write_bytes(header.encode("latin-1").ljust(2048, b"\x00") + PIXELS[::-1].astype("<i2").tobytes())
    return path


def zarr(folder: Path) -> Path:
    """OME-Zarr 0.4 in a folder."""
    import zarr as library

    path = folder / "sample.zarr"
    root = library.open_group(str(path), mode="w", zarr_format=2)
    root.create_array("0", data=PIXELS, chunks=(4, 4))
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [ROW_NM, COL_NM]}]
    root.attrs["multiscales"] = [
        {"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    ]
    return path


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "digitalmicrograph": digitalmicrograph,
    "emd": emd,
    "tia": tia,
    "mrc": mrc,
    "hspy": hspy,
    "zspy": zspy,
    "tiff": tiff,
    "picture": picture,
    "gwyddion": gwyddion,
    "igor": igor,
    "nanoscope": nanoscope,
    "zarr": zarr,
}
"""Format name, as in READERS -> what writes a sample into a folder."""
