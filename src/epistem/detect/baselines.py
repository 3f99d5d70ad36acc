"""Two detectors that need no training: Laplacian-of-Gaussian blobs, and Otsu's threshold with a watershed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from epistem import __version__
from epistem.core import Instances, Micrograph, Provenance, SettingsError
from epistem.detect.scalespace import Blobs, find_blobs, scales
from epistem.imaging.normalize import normalize
from epistem.imaging.tiles import tiles

Contrast = Literal["bright", "dark", "both", "auto"]

# Blobs weaker than this, over the noise of their scale, are not worth an outline: 1 in 30,000 of white noise.
_MIN_SNR = 4.0
# Where the true edge lies between the steepest place and the bottom of the Fresnel fringe: medians on simulated
# cavities at -0.5 to -1.5 and +1 µm defocus, 0.3 and 0.5 nm pixels (0.58 to 0.71, and 0.20 to 0.21).
_EDGE_BRIGHT, _EDGE_DARK = 0.65, 0.2
# The first and the second fringe round a cavity lie within so many radii; the second is fainter by this.
_FRINGE, _SECOND_FRINGE, _FAINT = 1.3, 2.0, 0.4
# (the contrast for which this polarity is not looked at, sign of its blobs)
_SIGNS = (("dark", 1), ("bright", -1))


@dataclass(frozen=True)
class LogBlobs:
    """Round objects that are brighter (underfocus) or darker (overfocus) than what surrounds them.

    Blobs are looked for at every scale, their outlines drawn, and kept where a rim closes round them. The score is
    rim / (rim + min_rim): 0.5 at the threshold, towards 1 for strong rims. It ranks; it is no probability.

    Attributes:
        contrast: which polarity; "auto" takes the one with the stronger rims and says which in the provenance.
        min_diameter_px, max_diameter_px: sizes looked for [px].
        min_rim: fall of the mean grey value across one pixel at the rim, over the image's usual slope, times the root
            of the rim's length [√px].
        tile_px: edge of the windows worked on; it changes memory, never the result [px].

    Source: Lindeberg, Feature detection with automatic scale selection, IJCV 30 (1998) 79; the rim is ours.
    """

    contrast: Contrast = "auto"
    min_diameter_px: float = 4.0
    max_diameter_px: float = 120.0
    min_rim: float = 8.0
    tile_px: int = 1024

    def __post_init__(self) -> None:
        _check_common(self.contrast, self.min_diameter_px, self.max_diameter_px, self.tile_px)
        if not self.min_rim > 0:
            raise SettingsError(f"min_rim is above 0, not {self.min_rim}")

    def __call__(self, micrograph: Micrograph) -> Instances:
        """Objects with masks, and columns `rim` and `snr` (negative where dark)."""
        image = normalize(micrograph)
        to_sigma = 1 / (2 * np.sqrt(2))
        sigmas = scales(self.min_diameter_px * to_sigma, self.max_diameter_px * to_sigma)
        blobs = _on_image(find_blobs(image, sigmas=sigmas, min_snr=_MIN_SNR, tile_px=self.tile_px), micrograph)
        slope = _usual_slope(image)
        if slope == 0:
            blobs = blobs.take(np.zeros(len(blobs), bool))
        bright, dark = (
            [] if self.contrast == other else _outlined(image, blobs, sign, slope, self.min_rim)
            for other, sign in _SIGNS
        )
        if self.contrast == "auto":
            used = "bright" if _strength(bright) >= _strength(dark) else "dark"
            outlines = bright if used == "bright" else dark
        else:
            used = self.contrast
            outlines = bright + dark
        smallest = np.pi / 4 * self.min_diameter_px**2
        outlines = [one for one in outlines if one.crop.sum() >= smallest]
        outlines = _not_covered(micrograph.shape, outlines)
        rim = np.array([one.rim for one in outlines], float)
        return _from_crops(
            micrograph,
            [(one.row, one.col, one.crop) for one in outlines],
            score=rim / (rim + self.min_rim),
            columns={"rim": rim, "snr": np.array([one.snr for one in outlines], float)},
            provenance=_provenance(self, micrograph, used),
        )


class Outline(NamedTuple):
    """One blob's mask with its place, how strongly a rim closes round it, and how strong the blob itself is.

    `disc` is (row, col, radius) of that rim [px].
    """

    row: int
    col: int
    crop: NDArray[np.bool_]
    rim: float
    snr: float
    disc: tuple[float, float, float]


@dataclass(frozen=True)
class OtsuWatershed:
    """Objects that stand out from a flattened background by grey value, split where they touch.

    The score is how far the object's mean lies above the threshold, in noise; like any score here it ranks and
    is no probability.

    Attributes:
        contrast: which polarity; "auto" takes the longer tail of the flattened grey values.
        min_diameter_px, max_diameter_px: area-equivalent sizes kept [px].
        smooth_px: sigma of the blur before the threshold [px].
        background_px: sigma of the blur that is taken for background [px].
        min_snr: least height of the threshold over the background's noise; Otsu alone would split an empty image
            in two halves.
        tile_px: edge of the windows worked on; it changes memory, never the result [px].

    Source: Otsu, IEEE Trans. SMC 9 (1979) 62; Meyer, Signal Processing 38 (1994) 113 (watershed).
    """

    contrast: Contrast = "auto"
    min_diameter_px: float = 4.0
    max_diameter_px: float = 200.0
    smooth_px: float = 1.5
    background_px: float = 40.0
    min_snr: float = 3.0
    tile_px: int = 1024

    def __post_init__(self) -> None:
        _check_common(self.contrast, self.min_diameter_px, self.max_diameter_px, self.tile_px)
        if self.contrast == "both":
            raise SettingsError("otsu-watershed looks for one polarity; wanted bright, dark or auto, not both")
        if not 0 < self.smooth_px < self.background_px:
            raise SettingsError(f"wanted 0 < smooth_px < background_px, not {self.smooth_px}, {self.background_px}")

    def __call__(self, micrograph: Micrograph) -> Instances:
        """Pieces of the thresholded image, each cut out and split on its own."""
        from skimage.filters import threshold_otsu

        flat = self._flattened(micrograph)
        values = flat if micrograph.valid is None else flat[micrograph.valid]
        if not values.size or values.min() == values.max():
            return _from_crops(micrograph, [], np.empty(0), {}, _provenance(self, micrograph, self.contrast))
        centre, noise = _median_and_noise(values)
        tail = float(np.mean((values - centre) ** 3))
        contrast = self.contrast if self.contrast != "auto" else ("bright" if tail >= 0 else "dark")
        if contrast == "dark":
            np.negative(flat, out=flat)
            values, centre = -values, -centre
        threshold = max(float(threshold_otsu(values)), centre + self.min_snr * noise)
        above = flat > threshold
        if micrograph.valid is not None:
            above &= micrograph.valid
        kept, height = [], []
        for row, col, crop in self._pieces(above):
            inside = flat[row : row + crop.shape[0], col : col + crop.shape[1]][crop]
            kept.append((row, col, crop))
            height.append((inside.mean() - threshold) / noise)
        over = np.array(height, float)
        return _from_crops(
            micrograph, kept, over / (over + 1), {"snr": over + self.min_snr}, _provenance(self, micrograph, contrast)
        )

    def _flattened(self, micrograph: Micrograph) -> NDArray[np.float32]:
        """Blurred a little, less blurred a lot; the same for every tile size."""
        image = normalize(micrograph)
        flat = np.empty_like(image)
        halo = int(4 * self.background_px + 0.5)
        for tile in tiles(image.shape, tile_px=self.tile_px, halo_px=halo):
            outer = image[tile.outer]
            part = ndimage.gaussian_filter(outer, self.smooth_px) - ndimage.gaussian_filter(outer, self.background_px)
            flat[tile.core] = part[tile.inner]
        return flat

    def _pieces(self, above: NDArray[np.bool_]) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        labels, _ = ndimage.label(above)
        low, high = (np.pi / 4 * d**2 for d in (self.min_diameter_px, self.max_diameter_px))
        for value, place in enumerate(ndimage.find_objects(labels), start=1):
            component = labels[place] == value
            if component.sum() < low:
                continue
            for crop, row, col in _split(component):
                if low <= crop.sum() <= high:
                    yield place[0].start + row, place[1].start + col, crop


def _split(component: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], int, int]]:
    """The convex-looking parts of one connected piece: watershed of its distance map."""
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    padded = np.pad(component, 1)
    distance = ndimage.distance_transform_edt(padded)
    # Maxima lower than a tenth of the depth are the outline's roughness, not objects.
    markers, n = ndimage.label(h_maxima(distance, max(0.75, 0.1 * distance.max())), np.ones((3, 3)))
    if n <= 1:
        yield component, 0, 0
        return
    parts = watershed(-distance, markers, mask=padded)[1:-1, 1:-1]
    for value, place in enumerate(ndimage.find_objects(parts), start=1):
        yield parts[place] == value, place[0].start, place[1].start


def _outlined(image: NDArray[np.float32], blobs: Blobs, sign: int, slope: float, min_rim: float) -> list[Outline]:
    """The outlines of the blobs of one sign that have a rim."""
    blobs = _without_twins(blobs.take(np.sign(blobs.snr) == sign))
    rows = zip(blobs.row.tolist(), blobs.col.tolist(), blobs.sigma.tolist(), blobs.snr.tolist(), strict=True)
    found = (_outline(image, row, col, sigma * np.sqrt(2), snr, slope, min_rim) for row, col, sigma, snr in rows)
    return [one for one in found if one is not None]


def _outline(
    image: NDArray[np.float32], row: float, col: float, radius: float, snr: float, slope: float, min_rim: float
) -> Outline | None:
    """The pixels of one blob: what lies above half-height within its rim, or its disc where that makes no sense.

    The rim is where the mean grey value falls fastest with distance from the centre. The blob's scale alone would
    put it too far in: a Fresnel fringe of the other sign around a cavity makes the best-fitting Gaussian narrower.
    """
    reach = int(np.ceil(2.2 * radius)) + 2
    r0, c0 = max(0, int(row) - reach), max(0, int(col) - reach)
    window = np.sign(snr) * image[r0 : int(row) + reach + 1, c0 : int(col) + reach + 1]
    rows, cols = np.ogrid[r0 : r0 + window.shape[0], c0 : c0 + window.shape[1]]
    offset = (rows + 0.5 - row) + 1j * (cols + 0.5 - col)
    distance = np.abs(offset)
    smooth = ndimage.gaussian_filter(window, min(1.5, 0.25 * radius))
    rim, fall, fringe = _rim(smooth, offset, radius)
    strength = fall / slope * float(np.sqrt(2 * np.pi * rim))
    if strength < min_rim:
        return None
    beyond = fringe * (_EDGE_BRIGHT if snr > 0 else _EDGE_DARK)
    crop = _above_half(smooth, distance, rim)
    if beyond:
        crop = ndimage.distance_transform_edt(~crop) <= beyond
    where = ndimage.find_objects(crop.astype(np.int8))[0]
    return Outline(r0 + where[0].start, c0 + where[1].start, crop[where], strength, snr, (row, col, rim + beyond))


def _above_half(smooth: NDArray[np.float32], distance: NDArray[np.float64], rim: float) -> NDArray[np.bool_]:
    """The piece above half-height that fills the disc best, or the disc where its area is quite another."""
    disc = distance <= rim
    inside, outside = smooth[(distance > 0.6 * rim) & disc], smooth[(distance > rim) & (distance < 1.4 * rim)]
    if not (inside.size and outside.size):
        return disc
    labels, _ = ndimage.label((smooth > (np.median(inside) + np.median(outside)) / 2) & (distance < 1.25 * rim))
    own = np.bincount(labels[disc])
    own[0] = 0
    if not own.any():
        return disc
    filled = ndimage.binary_fill_holes(labels == own.argmax())
    return filled if 0.6 < filled.sum() / disc.sum() < 1.5 else disc


def _rim(smooth: NDArray[np.float32], offset: NDArray[np.complex128], radius: float) -> tuple[float, float, float]:
    """Where the circle's mean falls fastest, between half and twice the radius [px], by how much, and on how far it
    falls further into a fringe [px].

    What falls on one side only is no rim: the part of the fall that varies as the cosine of the direction is taken
    off. A closed rim has none, half a rim loses 64 % of its fall.
    """
    ring = np.floor(np.abs(offset)).astype(int)
    count = np.bincount(ring.ravel())
    mean = np.bincount(ring.ravel(), smooth.ravel()) / np.maximum(count, 1)
    fall = mean[:-1] - mean[1:]
    fall[count[1:] == 0] = -np.inf
    first, last = max(0, int(0.5 * radius)), int(np.ceil(2 * radius)) + 1
    best = first + int(np.argmax(fall[first:last]))
    sides = [_one_sided(smooth[ring == r], offset[ring == r]) for r in (best, best + 1)]
    return best + 1.0, float(fall[best]) - abs(sides[0] - sides[1]), _fringe(mean[count > 0], best)


def _fringe(mean: NDArray[np.float64], best: int) -> float:
    """From the steepest place to the bottom of the fringe behind it [px]; 0 where there is none.

    A fringe is a fall below the surroundings by more than a quarter of the step up to the object.
    """
    bottom = best + 1
    while bottom + 1 < len(mean) and mean[bottom + 1] < mean[bottom]:
        bottom += 1
    around = mean[bottom + 2 :]
    if not around.size:
        return 0.0
    level = float(np.median(around))
    return bottom - best - 0.5 if level - mean[bottom] > 0.25 * (mean[best] - level) else 0.0


def _one_sided(values: NDArray[np.float32], offset: NDArray[np.complex128]) -> complex:
    """Covariance of the values round a circle with the direction they lie in; 0 for a circle of one value."""
    if not values.size:
        return 0j
    direction = offset / np.maximum(np.abs(offset), 1e-9)
    return complex(np.mean(values * direction) - values.mean() * direction.mean())


def _not_covered(shape: tuple[int, int], outlines: list[Outline]) -> list[Outline]:
    """Those that are objects of their own, top left first.

    The rim decides, not the blob's own strength: the bright fringe inside a large cavity breaks up into small
    blobs that are stronger than the cavity, but only the cavity has a rim all round. What lies by half in a
    stronger one or its first fringe is part of that; what lies further out but near is its second fringe, if its
    rim is much weaker.
    """
    taken = np.zeros(shape, bool)
    shadow = np.zeros(shape, np.float32)  # the strongest rim within whose second fringe a pixel lies
    kept = []
    for one in sorted(outlines, key=lambda one: (-one.rim, one.row, one.col)):
        row, col, radius = one.disc
        window = taken[one.row : one.row + one.crop.shape[0], one.col : one.col + one.crop.shape[1]]
        is_fringe = one.rim < _FAINT * shadow[int(row), int(col)]
        if not is_fringe and window[one.crop].mean() < 0.5:
            for canvas, reach, value in ((taken, _FRINGE, True), (shadow, _SECOND_FRINGE, one.rim)):
                place, disc = _disc(shape, row, col, reach * radius)
                canvas[place][disc] = np.maximum(canvas[place][disc], value)
            kept.append(one)
    return sorted(kept, key=lambda one: (one.row, one.col))


def _disc(
    shape: tuple[int, int], row: float, col: float, radius: float
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """A disc cut at the image's edge: its window, and which pixels of that it holds."""
    rows = slice(max(0, int(row - radius)), min(shape[0], int(row + radius) + 1))
    cols = slice(max(0, int(col - radius)), min(shape[1], int(col + radius) + 1))
    y, x = np.ogrid[rows, cols]
    return (rows, cols), (y + 0.5 - row) ** 2 + (x + 0.5 - col) ** 2 <= radius**2


def _without_twins(blobs: Blobs) -> Blobs:
    """Of blobs of like size (to a factor 1.5) whose centres lie in one another, the strongest."""
    if not len(blobs):
        return blobs
    radius = blobs.sigma * np.sqrt(2)
    centres = np.stack([blobs.row, blobs.col], axis=1)
    near = spatial.KDTree(centres).query_ball_point(centres, 1.5 * radius)
    kept = np.zeros(len(blobs), bool)
    order = np.argsort(-np.abs(blobs.response), kind="stable")
    for i in order:
        others = np.array(near[i])
        others = others[kept[others]]
        inside = np.hypot(*(centres[others] - centres[i]).T) < radius[others]
        alike = np.abs(np.log(radius[others] / radius[i])) < np.log(1.5)
        kept[i] = not (inside & alike).any()
    return blobs.take(order[kept[order]])


def _usual_slope(image: NDArray[np.float32]) -> float:
    """Robust standard deviation of the grey value's change per pixel, after a blur of 1 px.

    Slopes, not grey values: thickness and bending move grey values far more than they tilt them.
    """
    slope = ndimage.gaussian_filter1d(image, 1.0, axis=1, order=1)
    step = max(1, int(np.sqrt(image.size / 1_000_000)))
    return 1.4826 * float(np.median(np.abs(slope[::step, ::step])))


def _strength(outlines: list[Outline]) -> float:
    """Sum of the ten strongest rims: fringes are weaker than what they surround."""
    return float(sum(sorted((one.rim for one in outlines), reverse=True)[:10]))


def _on_image(blobs: Blobs, micrograph: Micrograph) -> Blobs:
    """Without those whose centre is off the image or on masked pixels."""
    rows, cols = micrograph.shape
    inside = (blobs.row >= 0) & (blobs.row < rows) & (blobs.col >= 0) & (blobs.col < cols)
    blobs = blobs.take(inside)
    if micrograph.valid is None:
        return blobs
    return blobs.take(micrograph.valid[blobs.row.astype(int), blobs.col.astype(int)])


def _median_and_noise(values: NDArray[np.float32]) -> tuple[float, float]:
    step = max(1, values.size // 1_000_000)
    sample = values.ravel()[::step]
    centre = float(np.median(sample))
    return centre, 1.4826 * float(np.median(np.abs(sample - centre))) or float(sample.std()) or 1.0


def _from_crops(
    micrograph: Micrograph,
    placed: list[tuple[int, int, NDArray[np.bool_]]],
    score: NDArray[np.float64],
    columns: dict[str, NDArray[Any]],
    provenance: Provenance,
) -> Instances:
    boxes = np.array([[r, c, r + m.shape[0], c + m.shape[1]] for r, c, m in placed], float).reshape(-1, 4)
    return Instances.from_boxes(
        micrograph.shape,
        boxes,
        score,
        crops=tuple(crop for _, _, crop in placed),
        columns=columns,
        provenance=provenance,
    )


def _provenance(detector: LogBlobs | OtsuWatershed, micrograph: Micrograph, contrast: str) -> Provenance:
    settings = asdict(detector) | {"contrast_used": contrast}
    return Provenance(f"epistem.detect.{type(detector).__name__}", __version__, settings, (micrograph.id,))


def _check_common(contrast: str, low: float, high: float, tile_px: int) -> None:
    if contrast not in ("bright", "dark", "both", "auto"):
        raise SettingsError(f"contrast is bright, dark, both or auto, not {contrast!r}")
    if not 2 <= low < high:
        raise SettingsError(f"wanted 2 ≤ min_diameter_px < max_diameter_px, not {low} and {high}")
    if tile_px < 64:
        raise SettingsError(f"tile_px is at least 64, not {tile_px}")
