"""What HDF5 and zarr files declare, looked at before anything of it is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from epistem.core import ReadError
from epistem.imaging.border import MAX_BYTES, check_declared

_ZARR_METADATA = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")


# A flipped bit in a string's heap address makes the HDF5 library crash (1 of 8,000 damaged files), which takes the
# whole batch with it, or ask for gigabytes (1 of 12,000). So another process goes first, over all that is small.
_GO_FIRST = """
import sys, h5py
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
except (ImportError, ValueError):
    pass
def look(name, item):
    if isinstance(item, h5py.Dataset):
        elsewhere = item.external or (item.is_virtual and any(one.file_name != "." for one in item.virtual_sources()))
    else:
        elsewhere = any(isinstance(item.get(key, getlink=True), h5py.ExternalLink) for key in item)
    if elsewhere:
        sys.exit(4)
    for key in item.attrs:
        try:
            item.attrs[key]
        except (OSError, MemoryError):
            sys.exit(3)
        except Exception:
            pass
    try:
        if isinstance(item, h5py.Dataset) and item.size and item.size * item.dtype.itemsize < 2**26:
            item[()]
    except Exception:
        pass
with h5py.File(sys.argv[1], "r") as file:
    look("/", file)
    file.visititems(look)
"""
_PATIENCE_S = 60


def check_hdf5(path: Path, skip: tuple[str, ...] = ()) -> None:
    """Refuse an HDF5 file on which the library crashes, or in which a data set is larger than the limit.

    Costs 0.2 s, for the process that goes first.

    Args:
        path: the file.
        skip: groups that will not be read.

    Raises:
        ReadError: damaged, too large, or with values in other files: whoever sends a file must not choose what else
            is read.
    """
    import h5py

    _let_another_go_first(path)

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.size and not any(word in name for word in skip):
            check_declared(f"data set {name!r}", item.shape, item.dtype.itemsize, path=path)

    with h5py.File(path, "r") as file:
        file.visititems(look)


def _let_another_go_first(path: Path) -> None:
    command = [sys.executable, "-c", _GO_FIRST, str(path)]
    try:
        code = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False).returncode
    except subprocess.TimeoutExpired:
        raise ReadError(
            f"the HDF5 library does not come to an end with it in {_PATIENCE_S} s; it is damaged"
        ) from None
    if code == 3:
        raise ReadError("an attribute in the HDF5 file cannot be read; the file is damaged, copy it again")
    if code == 4:
        raise ReadError("the HDF5 file keeps values in other files, which are not opened; save it as one file")
    if code not in (0, 1):  # 1 is an ordinary error, which will be met and told here
        raise ReadError("the HDF5 library crashes on it; the file is damaged, copy it again")


def check_zarr(path: Path, limit: int | None = None) -> None:
    """Refuse a zarr folder or zip that is larger than the limit or would unpickle.

    zarr hands chunks to any codec that the file names; the codec "pickle" runs whatever the file says.

    Args:
        path: the folder or zip.
        limit: MAX_STACK where its arrays are read plane by plane [bytes].

    Raises:
        ReadError: too large, or a codec that executes code.
    """
    for name, text in _metadata_files(path):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ReadError(f"{name} is no JSON: {error}") from error
        for node in _dictionaries(found):
            _check_node(name, node, limit)


def _check_node(name: str, node: dict[str, Any], limit: int | None) -> None:
    for key in ("id", "name"):
        if str(node.get(key, "")).lower().endswith(("pickle", "dill")):
            raise ReadError(f"{name} asks for the codec {node[key]!r}, which runs code from the file; not opened")
    if isinstance(node.get("shape"), list) and ("dtype" in node or "data_type" in node):
        size = _itemsize(node.get("dtype", node.get("data_type")))
        if 0 not in node["shape"]:
            check_declared(name, tuple(node["shape"]), size, limit=limit)
        chunks = node.get("chunks") or _grid_chunks(node)
        if isinstance(chunks, list) and chunks:
            check_declared(f"a chunk of {name}", tuple(max(1, int(length)) for length in chunks), size)


def _grid_chunks(node: dict[str, Any]) -> Any:
    grid = node.get("chunk_grid")
    configuration = grid.get("configuration") if isinstance(grid, dict) else None
    return configuration.get("chunk_shape") if isinstance(configuration, dict) else None


def _itemsize(dtype: Any) -> int:
    try:
        return np.dtype(dtype).itemsize or 1
    except TypeError:
        return 8


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _metadata_files(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.name in _ZARR_METADATA and file.is_file():
                yield str(file.relative_to(path)), file.read_text("utf-8")
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > MAX_BYTES:
            raise ReadError(f"the zip declares {total / 2**30:.3g} GiB; the limit is {MAX_BYTES / 2**30:g} GiB")
        for entry in entries:
            if entry.filename.rsplit("/", 1)[-1] in _ZARR_METADATA:
                yield entry.filename, archive.read(entry).decode("utf-8")
