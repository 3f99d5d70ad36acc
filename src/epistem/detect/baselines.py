"""Two detectors that need no training: Laplacian-of-Gaussian blobs, and Otsu's threshold with a watershed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epistem import __version__
from epistem.core import Instances, Micrograph, Provenance, SettingsError
from epistem.detect.rims import Outline, not_covered, outlined, usual_slope
from epistem.detect.scalespace import Blobs, find_blobs, scales
from epistem.imaging.normalize import normalize
from epistem.imaging.tiles import tiles
from epistem.stats.robust import mad_sd

Contrast = Literal["bright", "dark", "both", "auto"]

# Blobs weaker than this, over the noise of their scale, are not worth an outline: 1 in 30,000 of white noise.
_MIN_SNR = 4.0
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
        slope = usual_slope(image)
        if slope == 0:
            blobs = blobs.take(np.zeros(len(blobs), bool))
        bright, dark = (
            [] if self.contrast == other else outlined(image, blobs, sign, slope, self.min_rim)
            for other, sign in _SIGNS
        )
        if self.contrast == "auto":
            used = "bright" if _strength(bright, self.min_rim) >= _strength(dark, self.min_rim) else "dark"
            outlines = bright if used == "bright" else dark
        else:
            used = self.contrast
            outlines = bright + dark
        smallest = np.pi / 4 * self.min_diameter_px**2
        outlines = [one for one in outlines if one.crop.sum() >= smallest]
        outlines = not_covered(micrograph.shape, outlines)
        rim = np.array([one.rim for one in outlines], float)
        return _from_crops(
            micrograph,
            [(one.row, one.col, one.crop) for one in outlines],
            score=rim / (rim + self.min_rim),
            columns={"rim": rim, "snr": np.array([one.snr for one in outlines], float)},
            provenance=_provenance(self, micrograph, used),
        )


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


def _strength(outlines: list[Outline], min_rim: float) -> float:
    """Sum over the ten strongest rims of the square of what they have above the threshold.

    Squares, so that one clear cavity outweighs ten specks that just pass; fringes are weaker than what they surround.
    """
    excess = sorted((one.rim - min_rim for one in outlines), reverse=True)[:10]
    return float(sum(value**2 for value in excess))


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
    return centre, mad_sd(sample - centre) or float(sample.std()) or 1.0


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
