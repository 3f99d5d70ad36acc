"""COCO run-length coding of masks: the lengths of runs of 0, 1, 0, 1…, down the columns of the whole image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epistem.core.errors import RecordError
from epistem.core.instances import Mask

# Compressed, each number is written 5 bits at a time, low bits first: bit 5 says that more follow, bit 4 of
# the last one is the sign, and 48 makes a printable character of it.
_BITS, _MORE, _SIGN, _FIRST_CHARACTER = 5, 0x20, 0x10, 48


def run_lengths(mask: Mask, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Run lengths of one mask in an image of `shape`; the first counts zeros and may be 0.

    Source: COCO API, common/maskApi.c, rleEncode.

    >>> run_lengths(Mask(slice(0, 1), slice(1, 2), np.array([[True]])), (2, 2)).tolist()
    [2, 1, 1]
    """
    height, width = shape
    rows, cols = mask.crop.shape
    columns = np.zeros((cols, rows + 2), bool)
    columns[:, 1:-1] = mask.crop.T
    # Inside each column, changes come in pairs: a run's first row and the row after its last.
    col, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    changes = (mask.cols.start + col) * height + mask.rows.start + row
    starts, stops = changes[0::2], changes[1::2]
    # A run that ends with its column goes on where the next column begins.
    apart = starts[1:] != stops[:-1]
    if not apart.all():
        keep = np.ones((len(starts), 2), bool)
        keep[1:, 0] = keep[:-1, 1] = apart
        changes = changes[keep.ravel()]
    ends = np.concatenate([[0], changes, [height * width]])
    counts: NDArray[np.int64] = ends[1:] - ends[:-1]
    return counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts


def mask_from_runs(counts: ArrayLike, shape: tuple[int, int]) -> Mask | None:
    """The mask that the run lengths describe, in its tight box; None if no pixel is set.

    Raises:
        RecordError: negative runs, or runs that do not fill the image.
    """
    height, width = shape
    runs = np.asarray(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        raise RecordError(
            f"run lengths must be ≥ 0 and sum to {height} × {width} = {height * width} pixels, "
            f"these sum to {runs.sum()}; check the size beside them"
        )
    ends = np.cumsum(runs)
    stops = ends[1::2]
    starts = stops - runs[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        return None
    col0, col1 = int(starts[0] // height), int((stops[-1] - 1) // height) + 1
    first_row, last_row = starts % height, (stops - 1) % height
    wraps = bool((starts // height != (stops - 1) // height).any())
    row0, row1 = (0, height) if wraps else (int(first_row.min()), int(last_row.max()) + 1)
    rows = row1 - row0
    flips = np.zeros((col1 - col0) * rows + 1, np.int8)
    flips[(starts // height - col0) * rows + first_row - row0] += 1
    flips[((stops - 1) // height - col0) * rows + last_row - row0 + 1] -= 1
    crop = np.cumsum(flips[:-1], dtype=np.int8).astype(bool).reshape(col1 - col0, rows).T
    return Mask(slice(row0, row1), slice(col0, col1), np.ascontiguousarray(crop))


def compress(counts: ArrayLike) -> str:
    """Run lengths as COCO's printable text.

    Source: COCO API, common/maskApi.c, rleToString: from the fourth on, each is written as its difference
    to the one before the last.

    >>> compress([2, 1, 1])
    '211'
    """
    left = np.array(counts, np.int64)
    left[3:] -= left[1:-2].copy()
    digits, written = [], []
    open_ = np.ones(len(left), bool)
    while open_.any():
        digit = left & (_MORE - 1)
        left >>= _BITS
        more = np.where(digit & _SIGN, left != -1, left != 0)
        digits.append(digit + np.where(more, _MORE, 0) + _FIRST_CHARACTER)
        written.append(open_)
        open_ = open_ & more
    if not digits:
        return ""
    characters = np.stack(digits, axis=1)[np.stack(written, axis=1)].astype(np.uint8)
    return bytes(characters).decode("ascii")


def decompress(text: str) -> NDArray[np.int64]:
    """Run lengths from COCO's printable text.

    Raises:
        RecordError: text that is no such coding.

    >>> decompress("211").tolist()
    [2, 1, 1]
    """
    characters = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if not len(characters):
        return np.empty(0, np.int64)
    last = (characters & _MORE) == 0
    stops = np.flatnonzero(last) + 1
    starts = np.concatenate([[0], stops[:-1]])
    bad = not last[-1] or characters.min() < 0 or characters.max() >= 2 * _MORE
    if bad or (stops - starts).max() * _BITS > 60:
        raise RecordError(f"{text[:20]!r} is no compressed COCO run-length text; wanted its characters '0' to 'o'")
    place = np.arange(len(characters)) - np.repeat(starts, stops - starts)
    values = np.add.reduceat((characters & (_MORE - 1)) << (_BITS * place), starts)
    negative = (characters[stops - 1] & _SIGN) != 0
    values[negative] -= np.int64(1) << (_BITS * (stops - starts)[negative])
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
