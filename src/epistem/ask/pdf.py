"""What stands on the pages of a PDF and where: lines of text, pictures and drawn paths; and renderings of them."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.core import DependencyMissing, ReadError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom on the page as it is shown [pt], y downwards."""

_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_HYPHENS = {0x02: "-", 0xAD: "-", 0xFFFE: "-"}  # how pdfium marks the hyphen at the end of a line
_MOST_PATHS = 20_000
_MOST_PX = 4_000
"""Longest side of a rendering [px]."""
_NATIVE_PX = 50_000_000
_GAP, _STRETCHED = 1.5, 5.0  # widest gap inside a line, in sizes of its type


class Line(NamedTuple):
    """A printed line of one column.

    Attributes:
        box: round the ink.
        size: of its type [pt].
        bold: "" where nothing is, "first" where it begins bold, "all" where it also ends so.
        upright: False for type that runs up or down the page.
    """

    text: str
    box: Box
    baseline: float
    size: float
    font: str
    bold: str = ""
    upright: bool = True


class Raster(NamedTuple):
    """A picture of pixels: where it stands, how many it has, and whether it is neither turned nor mirrored."""

    box: Box
    width_px: int
    height_px: int
    is_straight: bool
    place: int

    @property
    def dpi(self) -> float:
        """Pixels per inch of paper."""
        return 72 * self.width_px / max(self.box[2] - self.box[0], 1e-6)


class Page(NamedTuple):
    """One page: number from 1, size [pt], text, pictures of pixels, and boxes of drawn paths."""

    number: int
    width: float
    height: float
    lines: tuple[Line, ...]
    rasters: tuple[Raster, ...]
    paths: tuple[Box, ...]

    @property
    def is_scan(self) -> bool:
        """Whether one picture is the page."""
        whole = 0.8 * self.width * self.height
        return any(area(one.box) > whole for one in self.rasters)


class Document:
    """An open PDF; close it, or use it in a `with`.

    Args:
        path: the file.

    Raises:
        ReadError: no PDF, damaged or encrypted.
        DependencyMissing: the extra `ask` is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lib = _library()
        try:
            with path.open("rb") as file:
                head = file.read(1024)
        except OSError as error:
            raise ReadError(f"{path} cannot be read: {error.strerror}") from None
        if b"%PDF" not in head:
            raise ReadError(f"{path.name} is no PDF: it does not begin as one")
        try:
            self._pdf = self._lib.PdfDocument(path)
            self.n_pages = len(self._pdf)
        except self._lib.PdfiumError as error:
            raise ReadError(_why_closed(path, error)) from None
        if not self.n_pages:
            self._pdf.close()
            raise ReadError(f"{path.name} is damaged: no page can be found in it; download it again")

    def __enter__(self) -> Document:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._pdf.close()

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself: Title, Keywords…, and its XMP packet as "xmp"."""
        with suppress(self._lib.PdfiumError, UnicodeDecodeError):
            found: dict[str, str] = dict(self._pdf.get_metadata_dict(skip_empty=True))
            packet = re.search(rb"<x:xmpmeta.{0,200000}?</x:xmpmeta>", self.path.read_bytes(), re.DOTALL)
            return found | ({"xmp": packet[0].decode("utf-8", "replace")} if packet else {})
        return {}

    def page(self, number: int) -> Page:
        """One page, counted from 1.

        Raises:
            ReadError: the page is damaged.
        """
        page = self._page(number)
        try:
            place = _Placed(self._lib, page)
            rasters, paths = self._drawn(page, place)
            text = page.get_textpage()
            try:
                lines = _lines(self._lib.raw, text, place)
            finally:
                text.close()
            return Page(number, place.width, place.height, lines, rasters, paths)
        except self._lib.PdfiumError as error:
            raise ReadError(f"{self.path.name}, page {number}: cannot be read ({error})") from None
        finally:
            page.close()

    def render(self, number: int, box: Box | None = None, dpi: float = 300) -> Image.Image:
        """A part of a page as it is shown, at most 4000 px a side.

        Raises:
            ReadError: the page, or what stands in that part of it, cannot be drawn.
        """
        page = self._page(number)
        try:
            width, height = page.get_size()
            left, top, right, bottom = box or (0.0, 0.0, width, height)
            scale = min(dpi / 72, _MOST_PX / max(right - left, bottom - top, 1e-6))
            crop = (max(0.0, left), max(0.0, height - bottom), max(0.0, width - right), max(0.0, top))
            bitmap = page.render(scale=scale, crop=crop)
            return plain(bitmap.to_pil())
        except (RuntimeError, ValueError, AssertionError) as error:  # all that pypdfium2 raises
            raise ReadError(f"{self.path.name}, page {number}: cannot be drawn ({error})") from None
        finally:
            page.close()

    def native(self, number: int, raster: Raster) -> Image.Image | None:
        """A picture's own pixels; None where they are turned, too many, or cannot be taken out."""
        if not raster.is_straight or raster.width_px * raster.height_px > _NATIVE_PX:
            return None
        page = self._page(number)
        try:
            for place, found in enumerate(page.get_objects(filter=[self._lib.raw.FPDF_PAGEOBJ_IMAGE])):
                if place == raster.place:
                    picture = plain(found.get_bitmap(render=False).to_pil())
                    return picture if picture.size == (raster.width_px, raster.height_px) else None
        except (self._lib.PdfiumError, ValueError, RuntimeError):
            return None
        finally:
            page.close()
        return None

    def _page(self, number: int) -> Any:
        try:
            return self._pdf[number - 1]
        except self._lib.PdfiumError:
            raise ReadError(f"{self.path.name}, page {number}: is damaged and cannot be opened") from None

    def _drawn(self, page: Any, place: _Placed) -> tuple[tuple[Raster, ...], tuple[Box, ...]]:
        raw = self._lib.raw
        rasters: list[Raster] = []
        for at, one in enumerate(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE])):
            matrix = _matrix(one)
            box = place.box(*_moved((0, 0, 1, 1), matrix))
            a, b, c, d = matrix[:4]
            straight = a > 0 and d > 0 and abs(b) + abs(c) < 1e-3 * (abs(a) + abs(d)) and not page.get_rotation()
            if visible := place.clipped(box):
                width_px, height_px = one.get_px_size()
                rasters.append(Raster(visible, width_px, height_px, straight and visible == box, at))
        paths: list[Box] = []
        for one in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING]):
            bounds = one.get_bounds()
            if one.container is not None:
                bounds = _moved(bounds, _matrix(one.container))
            visible = place.clipped(place.box(*bounds))
            # A white or grey sheet behind everything is no drawing.
            if visible and area(visible) < 0.8 * place.width * place.height:
                paths.append(visible)
            if len(paths) >= _MOST_PATHS:
                break
        return tuple(rasters), tuple(paths)


class _Placed:
    """Page coordinates of pdfium → points on the page as it is shown, whatever its rotation and crop."""

    def __init__(self, lib: Any, page: Any) -> None:
        self.width, self.height = page.get_size()
        fine = 100
        spots = []
        for x, y in ((0.0, 0.0), (1000.0, 0.0), (0.0, 1000.0)):
            at_x, at_y = ctypes.c_int(), ctypes.c_int()
            size = round(self.width * fine), round(self.height * fine)
            lib.raw.FPDF_PageToDevice(page, 0, 0, *size, 0, x, y, at_x, at_y)
            spots.append((at_x.value / fine, at_y.value / fine))
        (self.x0, self.y0), along, up = spots
        self.xx, self.xy = (along[0] - self.x0) / 1000, (along[1] - self.y0) / 1000
        self.yx, self.yy = (up[0] - self.x0) / 1000, (up[1] - self.y0) / 1000

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.x0 + x * self.xx + y * self.yx, self.y0 + x * self.xy + y * self.yy

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        (ax, ay), (bx, by) = self.point(left, bottom), self.point(right, top)
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)

    def clipped(self, box: Box) -> Box | None:
        left, top, right, bottom = max(0, box[0]), max(0, box[1]), min(self.width, box[2]), min(self.height, box[3])
        return (left, top, right, bottom) if right >= left and bottom >= top else None


def area(box: Box) -> float:
    """Of a box [pt²]; 0 where it is inside out."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap(one: Box, other: Box) -> Box:
    """What two boxes share; inside out where that is nothing."""
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def union(boxes: list[Box]) -> Box:
    """The box round all."""
    sides = np.array(boxes, float)
    low, high = sides[:, :2].min(0).tolist(), sides[:, 2:].max(0).tolist()
    return low[0], low[1], high[0], high[1]


def iou(one: Box, other: Box) -> float:
    """Shared over joint area, 0 to 1."""
    shared = area(overlap(one, other))
    return shared / max(area(one) + area(other) - shared, 1e-9)


def plain(picture: Image.Image) -> Image.Image:
    """The picture in grey where it has no colour, else RGB; what is clear is white."""
    if picture.mode in ("RGBA", "LA", "PA"):
        ground = Image.new("RGBA", picture.size, "white")
        ground.alpha_composite(picture.convert("RGBA"))
        picture = ground
    if picture.mode in ("L", "1"):
        return picture.convert("L")
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture, float)
        top = max(float(values.max()), 1.0)
        return Image.fromarray((255 * values / top).clip(0, 255).astype(np.uint8))
    rgb = picture.convert("RGB")
    return rgb.convert("L") if colour_share(np.asarray(rgb)) == 0 else rgb


def colour_share(rgb: NDArray[np.uint8]) -> float:
    """Share of pixels whose channels differ by more than the noise of JPEG does, 0 to 1."""
    if rgb.ndim != 3:
        return 0.0
    thin = rgb[:: max(1, rgb.shape[0] // 500), :: max(1, rgb.shape[1] // 500), :3].astype(np.int16)
    return float((thin.max(2) - thin.min(2) > 24).mean())


def _library() -> Any:
    try:
        import pypdfium2
        import pypdfium2.raw
    except ImportError:
        raise DependencyMissing('reading papers needs pypdfium2; pip install "epistem[ask]"') from None
    return pypdfium2


def _why_closed(path: Path, error: Any) -> str:
    if getattr(error, "err_code", None) == 4 or "password" in str(error).lower():
        return f"{path.name} is encrypted; save it without a password and give it again"
    return f"{path.name} is damaged or no PDF ({error}); download it again"


def _matrix(one: Any) -> tuple[float, ...]:
    """The object's matrix to the page; forms that it is nested in are multiplied in."""
    matrix = one.get_matrix()
    outer = one.container
    while outer is not None:
        matrix = matrix.multiply(outer.get_matrix())
        outer = outer.container
    return tuple(float(value) for value in matrix.get())


def _moved(bounds: Any, matrix: tuple[float, ...]) -> Box:
    left, bottom, right, top = bounds
    a, b, c, d, e, f = matrix
    corners = [(a * x + c * y + e, b * x + d * y + f) for x in (left, right) for y in (bottom, top)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


class _Char(NamedTuple):
    text: str
    box: Box
    x: float
    y: float
    at: int


def _lines(raw: Any, page: Any, place: _Placed) -> tuple[Line, ...]:
    """Runs of characters as they were written, then put together where one line was written in pieces."""
    runs = [run for run in _runs(raw, page, place) if any(char.text.strip() for char in run)]
    lines = [_line(raw, page, run) for run in runs]
    return tuple(_put_together([line for line in lines if line is not None]))


def _runs(raw: Any, page: Any, place: _Placed) -> Iterator[list[_Char]]:
    run: list[_Char] = []
    tall = 10.0
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    x, y = ctypes.c_double(), ctypes.c_double()
    for at in range(page.count_chars()):
        code = raw.FPDFText_GetUnicode(page, at)
        if code in (0x0D, 0x0A):
            yield run
            run = []
            continue
        text = _LIGATURES.get(code) or _HYPHENS.get(code) or (chr(code) if code else "")
        raw.FPDFText_GetCharBox(page, at, left, right, bottom, top)
        raw.FPDFText_GetCharOrigin(page, at, x, y)
        box = place.box(left.value, bottom.value, right.value, top.value)
        char = _Char(text, box, *place.point(x.value, y.value), at)
        if not text.strip():
            if run:
                run.append(char)
            continue
        if not run:
            tall = max(2.0, _size(raw, page, at))
        last = next((one for one in reversed(run) if one.text.strip()), None)
        # A space that was written, not guessed from the gap, may be stretched to fill a line of few words.
        written = bool(run) and run[-1].text == " " and not raw.FPDFText_IsGenerated(page, run[-1].at)
        if last is not None and _is_apart(last, char, tall, _STRETCHED if written else _GAP):
            yield run
            run, tall = [], max(2.0, _size(raw, page, at))
        run.append(char)
    yield run


def _is_apart(last: _Char, char: _Char, tall: float, gap: float) -> bool:
    along, down = char.box[0] - last.box[2], char.y - last.y
    if abs(char.x - last.x) < 0.1 * tall:  # up or down the page
        return abs(down) > 2 * tall
    return abs(down) > 0.6 * tall or along > gap * tall or along < -1.5 * tall


def _size(raw: Any, page: Any, at: int) -> float:
    matrix = raw.FS_MATRIX()
    scale = 1.0
    if raw.FPDFText_GetMatrix(page, at, matrix):
        scale = float(np.hypot(matrix.c, matrix.d)) or 1.0
    return float(raw.FPDFText_GetFontSize(page, at)) * scale


def _line(raw: Any, page: Any, run: list[_Char]) -> Line | None:
    inked = [char for char in run if char.text.strip()]
    text = re.sub(r"\s+", " ", "".join(char.text for char in run)).strip()
    boxes = [char.box for char in inked if area(char.box) > 0] or [char.box for char in inked]
    first, middle, last = inked[0], inked[len(inked) // 2], inked[-1]
    size = float(np.median([_size(raw, page, char.at) for char in (first, middle, last)]))
    font = _font(raw, page, middle.at)
    bold = [_is_bold(raw, page, char.at) for char in (first, last)]
    along = abs(last.x - first.x) >= abs(last.y - first.y)
    said = "all" if all(bold) else "first" if bold[0] else ""
    return Line(text, union(boxes), float(np.median([char.y for char in inked])), size, font, said, along)


def _font(raw: Any, page: Any, at: int) -> str:
    held = ctypes.create_string_buffer(256)
    raw.FPDFText_GetFontInfo(page, at, held, 256, None)
    return held.value.decode("utf-8", "replace").split("+", 1)[-1]


def _is_bold(raw: Any, page: Any, at: int) -> bool:
    return "bold" in _font(raw, page, at).lower() or raw.FPDFText_GetFontWeight(page, at) >= 600


def _put_together(lines: list[Line]) -> list[Line]:
    """Neighbours on one baseline with no more than a space between them are one line."""
    order = sorted((line for line in lines if line.upright), key=lambda line: (round(line.baseline), line.box[0]))
    whole: list[Line] = []
    for line in order:
        for at in range(len(whole) - 1, max(-1, len(whole) - 6), -1):
            before = whole[at]
            gap = line.box[0] - before.box[2]
            level = abs(line.baseline - before.baseline) <= 0.25 * before.size
            if level and -0.2 * before.size <= gap <= 0.6 * before.size and abs(line.size / before.size - 1) < 0.3:
                joint = "" if gap < 0.12 * before.size else " "
                whole[at] = before._replace(text=before.text + joint + line.text, box=union([before.box, line.box]))
                break
        else:
            whole.append(line)
    return whole + [line for line in lines if not line.upright]
