"""Known harm: a micrograph made worse by a physical amount, to see what harm does to what is found in it.

::

    before the electrons are counted   blur, drift, defocus, contrast   the signal changes, its noise does not
    while they are counted             dose                             fewer electrons, more noise
    while the scan runs                charging                         slow brightness, streaks along the rows
    after the recording                gamma, rescale, jpeg             what an export does

The noise is taken as white, and estimated from the image's finest grain. Where a camera or a program has smeared
the noise over several pixels, as in 5 of 8 real TEM images tried, the estimate is too low, and a lower dose looks
better than it would be. Where the specimen is textured pixel by pixel it is too high.

A harmed image says so in its warnings and leaves the instrument's metadata behind: they describe another one.
Pixels that are no image stay as they are.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from epistem.core.errors import SettingsError, ShapeError
from epistem.core.instances import Instances, Mask, whole_boxes
from epistem.core.micrograph import Context, Micrograph
from epistem.synth.optics import wavelength_nm

Grey = NDArray[np.floating[Any]]

JPEG_LARGEST_PX = 65_500
# |sin χ| under which phase contrast is not fully divided out. The difference to simulations at the other defocus,
# over their spread, is 0.45 untouched, 0.23 with 0.1, 0.25 with 0.2 and 0.29 with 0.3 (mean of 48 pairs); the noise
# that was recorded grows by at most 5.1, 2.6 and 1.9.
DAMPED_BELOW = 0.2


def _unmoved(truth: Instances, amount: float) -> Instances:
    return truth


@dataclass(frozen=True)
class Harm:
    """One way to harm a micrograph.

    Attributes:
        name: its name in HARMS.
        unit: of the amount; empty for a ratio.
        none: the amount that changes nothing, bit for bit.
        levels: five amounts of rising severity.
        apply: called with micrograph and amount, and with `rng=` if it is by chance.
        by_chance: whether it draws random numbers.
        truth: what is in the harmed image, from what is in the image and the amount.
    """

    name: str
    unit: str
    none: float
    levels: tuple[float, float, float, float, float]
    apply: Callable[..., Micrograph]
    by_chance: bool = True
    truth: Callable[[Instances, float], Instances] = _unmoved

    def __call__(self, micrograph: Micrograph, amount: float, *, seed: int) -> Micrograph:
        """The harmed micrograph; same seed, same bytes.

        >>> CONTRAST(Micrograph(np.eye(3)), 0.5, seed=1)
        <Micrograph 'image': 3 × 3 float64, no pixel size>
        """
        if self.by_chance:
            return self.apply(micrograph, amount, rng=np.random.default_rng(seed))
        return self.apply(micrograph, amount)


def dose(micrograph: Micrograph, fraction: float, *, rng: np.random.Generator) -> Micrograph:
    """The image with a fraction of its electrons, at the same mean grey value.

    Each electron is kept or lost by itself, so the noise is that of the lower dose. One electron is worth
    (variance of the noise)/(mean) grey values, and at least so many that not more electrons came than a known dose
    sends. That needs 0 to be black; in an image with values below 0 the noise is taken as alike everywhere. What
    the read-out adds counts as noise of electrons, and grows like it.

    Args:
        micrograph: any image; without noise and without a known dose it has endless electrons, and stays.
        fraction: kept, above 0 and at most 1.
        rng: which electrons.

    Source: thinned Poisson counts are Poisson counts; variance over mean from Janesick, Photon Transfer (2007).

    Raises:
        SettingsError: another fraction.
    """
    _need(0 < fraction <= 1, "a fraction of the electrons is above 0 and at most 1", fraction)
    if fraction == 1:
        return micrograph
    image = _whole(micrograph)
    mean, noise = _mean_count(micrograph, image), _noise_sd(micrograph, image)
    if mean is None:
        image = image + math.sqrt(1 / fraction - 1) * noise * _white(image, rng)
    else:
        grey = max(noise**2 / mean, mean / _most_electrons(micrograph))
        if grey > 1e-12 * mean:  # less is rounding of the grey values
            electrons = np.rint(np.maximum(image, 0) / grey).astype(np.int64)
            image = rng.binomial(electrons, fraction) * (grey / fraction)
    known = micrograph.context.dose_e_per_A2
    context = replace(micrograph.context, dose_e_per_A2=None if known is None else known * fraction)
    return _harmed(micrograph, image, f"{fraction:.3g} of the dose", context)


def dose_to(micrograph: Micrograph, dose_e_per_A2: float, *, rng: np.random.Generator) -> Micrograph:
    """The image at a lower dose [e/Å²]; see `dose`.

    Raises:
        SettingsError: its own dose is not known, or is lower.
    """
    known = _known(micrograph, "dose_e_per_A2")
    _need(0 < dose_e_per_A2 <= known, f"wanted a lower dose than the image's {known:g} e/Å²", dose_e_per_A2)
    return dose(micrograph, dose_e_per_A2 / known, rng=rng)


def blur(micrograph: Micrograph, sigma_px: float, *, rng: np.random.Generator) -> Micrograph:
    """The image of a lens or camera that is less sharp by a Gaussian of this standard deviation [px].

    Raises:
        SettingsError: less than 0.
    """
    _need(0 <= sigma_px < np.inf, "a blur is a number of px, at least 0", sigma_px)
    if sigma_px == 0:
        return micrograph

    def transfer(row: Grey, col: Grey) -> Grey:
        return np.exp(-2 * (np.pi * sigma_px) ** 2 * (row**2 + col**2))

    image = _before_counting(micrograph, transfer, reach_px=4 * sigma_px, rng=rng)
    return _harmed(micrograph, image, f"blur of {sigma_px:.3g} px")


def drift(micrograph: Micrograph, length_px: float, angle_deg: float, *, rng: np.random.Generator) -> Micrograph:
    """The image of a specimen that moved evenly during the exposure, half of the way to either side.

    Args:
        micrograph: any image.
        length_px: the way [px].
        angle_deg: its direction; 0 is along the rows, 90 along the columns [degree].
        rng: for the noise.

    Raises:
        SettingsError: a length below 0.
    """
    _need(0 <= length_px < np.inf, "a drift is a number of px, at least 0", length_px)
    if length_px == 0:
        return micrograph
    down, right = length_px * math.sin(math.radians(angle_deg)), length_px * math.cos(math.radians(angle_deg))

    def transfer(row: Grey, col: Grey) -> Grey:
        return np.sinc(down * row + right * col)

    image = _before_counting(micrograph, transfer, reach_px=length_px, rng=rng)
    return _harmed(micrograph, image, f"drift of {length_px:.3g} px")


def _drift_somewhere(micrograph: Micrograph, length_px: float, *, rng: np.random.Generator) -> Micrograph:
    return drift(micrograph, length_px, rng.uniform(0, 180), rng=rng)


def defocus(
    micrograph: Micrograph, extra_nm: float, *, rng: np.random.Generator, semiangle_mrad: float = 0.3
) -> Micrograph:
    """The image as if taken farther from focus, on the side where it is: a linear model for a TEM image.

    The phase contrast of a weak object goes with sin χ, χ = πλ·Δf·q². More defocus adds δ to χ and changes the
    image's spectrum by sin(χ + δ)/sin χ = cos δ + sin δ·cot χ. What the lens did not transfer cannot be brought
    back: the cotangent is damped as by Wiener where |sin χ| < 0.2, and leaves cos δ there. Spherical aberration is
    left out; at 1 µm and 200 keV it changes χ by less than 1 % up to 1/nm. Strong objects change by more than this
    tells: from −1 to −1.5 µm, it takes the difference to a simulation at the new defocus from 0.32 of that image's
    spread to 0.13 for weak cavities of 3 nm, from 0.34 to 0.22 for cavities of 8 nm in iron.

    Args:
        micrograph: with pixel size, electron energy and defocus.
        extra_nm: added to the size of the defocus; below 0 goes towards focus, and through it [nm].
        rng: for the noise.
        semiangle_mrad: of the illumination [mrad].

    Source: Williams & Carter, Transmission Electron Microscopy (2009), ch. 28, for χ and for the envelope
    exp(−(πα·Δf·q)²), whose change counts where it damps.

    Raises:
        CalibrationMissing: no pixel size.
        SettingsError: electron energy or defocus are not known, or it is no TEM image.
    """
    _need(math.isfinite(extra_nm), "an additional defocus is a number of nm", extra_nm)
    if extra_nm == 0:
        return micrograph
    _need(micrograph.context.modality in (None, "TEM"), "wanted a TEM image", micrograph.context.modality)
    pixel, wavelength = micrograph.needs_calibration(), wavelength_nm(_known(micrograph, "beam_keV"))
    before = _known(micrograph, "defocus_nm")
    after = before + (extra_nm if before > 0 else -extra_nm)

    def transfer(row: Grey, col: Grey) -> Grey:
        q2 = (row / pixel.row_nm) ** 2 + (col / pixel.col_nm) ** 2
        chi, more = np.pi * wavelength * before * q2, np.pi * wavelength * (after - before) * q2
        cotangent = np.sin(chi) * np.cos(chi) / (np.sin(chi) ** 2 + DAMPED_BELOW**2)
        damping = (np.pi * semiangle_mrad / 1000) ** 2 * max(after**2 - before**2, 0) * q2
        return np.exp(-damping) * (np.cos(more) + np.sin(more) * cotangent)

    # Twice as far as the finest wave is shifted: the division reaches farther than the lens did.
    reach_px = wavelength * (abs(before) + abs(extra_nm)) / min(pixel.row_nm, pixel.col_nm) ** 2
    image = _before_counting(micrograph, transfer, reach_px=reach_px, rng=rng)
    context = replace(micrograph.context, defocus_nm=after)
    return _harmed(micrograph, image, f"defocus from {before:.4g} to {after:.4g} nm by a linear model", context)


def contrast(micrograph: Micrograph, factor: float, *, rng: np.random.Generator) -> Micrograph:
    """The image of objects that scatter less: grey values nearer to their mean, and the noise as it was.

    With the noise nearer too it would be the same image on another grey scale, which `imaging.normalize` undoes.

    Raises:
        SettingsError: a factor that is not above 0 and at most 1.
    """
    _need(0 < factor <= 1, "a contrast factor is above 0 and at most 1", factor)
    if factor == 1:
        return micrograph
    image = _whole(micrograph)
    mean = _valid(micrograph, image).mean()
    noise = math.sqrt(1 - factor**2) * _noise_sd(micrograph, image) * _white(image, rng)
    return _harmed(micrograph, mean + factor * (image - mean) + noise, f"contrast × {factor:.3g}")


def charging(micrograph: Micrograph, strength: float, *, rng: np.random.Generator) -> Micrograph:
    """The image with slow changes of brightness and with streaks along the rows, the direction of the scan.

    Two random fields of equal variance: one smooth over a quarter of the image, one that is new in every row and
    smooth over a quarter of it.

    Args:
        micrograph: any image.
        strength: standard deviation of what is added, over the image's robust spread (1.4826·MAD).
        rng: where it is bright.

    Raises:
        SettingsError: less than 0.
    """
    _need(0 <= strength < np.inf, "a strength of charging is a number of at least 0", strength)
    if strength == 0:
        return micrograph
    image = _whole(micrograph)
    down, across = (_smoothing(n, n / 4) for n in image.shape)
    slow = down @ rng.standard_normal((down.shape[1], across.shape[1]))
    field = (slow + rng.standard_normal(slow.shape)) @ across.T
    added = _valid(micrograph, field)
    field = (field - added.mean()) / (added.std() or 1)
    image = image + strength * _robust_spread(_valid(micrograph, image)) * field
    return _harmed(micrograph, image, f"charging of {strength:.3g} robust spreads")


def gamma(micrograph: Micrograph, exponent: float) -> Micrograph:
    """The image shown with a gamma: u becomes u^exponent on the display range; above 1 darkens.

    Raises:
        SettingsError: not above 0.
    """
    _need(0 < exponent < np.inf, "a gamma is a number above 0", exponent)
    if exponent == 1:
        return micrograph
    shown, low, span = _as_shown(micrograph)
    return _harmed(micrograph, low + span * shown**exponent, f"gamma of {exponent:.3g}")


def jpeg(micrograph: Micrograph, quality: float) -> Micrograph:
    """The image after it was a JPEG file; of more than 8 bits only the display range goes in.

    Args:
        micrograph: any image.
        quality: from 95 down to 1. 100 means that there was no file; a JPEG of that quality would round.

    Raises:
        SettingsError: another quality.
        ShapeError: more rows or columns than a JPEG can have.
    """
    _need(1 <= quality <= 95 or quality == 100, "a JPEG quality is 1 to 95, or 100 for no file", quality)
    if quality == 100:
        return micrograph
    if max(micrograph.shape) > JPEG_LARGEST_PX:
        raise ShapeError(f"a JPEG has at most {JPEG_LARGEST_PX} rows and columns, not {micrograph.shape}; cut it")
    shown, low, span = _as_shown(micrograph)
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * shown).astype(np.uint8)).save(file, "JPEG", quality=round(quality))
    with Image.open(file) as picture:
        image = low + span * np.asarray(picture, shown.dtype) / 255
    return _harmed(micrograph, image, f"JPEG of quality {quality:.0f}")


def rescale(micrograph: Micrograph, factor: float) -> Micrograph:
    """The image with `factor` times as many pixels a side: means of the old ones, or linear between them.

    What is left at the bottom and at the right of whole new pixels is cut off. A new pixel is image if all that
    it is made of is. `rescale_truth` follows.

    Raises:
        SettingsError: a factor that is not above 0, or leaves no pixel.
    """
    _need(0 < factor < np.inf, "a factor is a number above 0", factor)
    if factor == 1:
        return micrograph
    shape = _rescaled_shape(micrograph.shape, factor)
    finite = np.isfinite(micrograph.pixels)
    image = np.where(finite, micrograph.pixels, 0).astype(_working_type(micrograph))
    valid = None
    if micrograph.valid is not None:
        valid = _resample(micrograph.valid.astype(float), shape, factor) > 1 - 1e-6
    scale = micrograph.calibration
    if scale is not None:
        detail = "; ".join(filter(None, (scale.detail, f"rescaled × {factor:.4g}")))
        scale = replace(scale, row_nm=scale.row_nm / factor, col_nm=scale.col_nm / factor, detail=detail)
    return replace(
        micrograph,
        pixels=_as_recorded(_resample(image, shape, factor), micrograph.pixels.dtype),
        valid=valid,
        calibration=scale,
        context=replace(micrograph.context, magnification=None),  # it belonged to the old pixels
        metadata={},
        warnings=(*micrograph.warnings, f"degraded on purpose: rescaled × {factor:.4g}"),
    )


def rescale_truth(truth: Instances, factor: float) -> Instances:
    """The objects as they lie in the image after `rescale`.

    Masks are interpolated and cut at a half; objects without a pixel are gone. Columns in px and px2 follow, others
    stay.
    """
    if factor == 1:
        return truth
    shape = _rescaled_shape(truth.shape, factor)
    # Rounded: 10 · 0.3 is a little more than 3, and would touch a fourth pixel.
    boxes = np.minimum(np.round(truth.boxes * factor, 9), np.tile(shape, 2))
    kept = (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    crops = None
    if truth.crops is not None:
        boxed = zip(truth.masks(), whole_boxes(boxes).tolist(), strict=True)
        every = [_rescaled_crop(mask, box, truth.shape, factor) for mask, box in boxed]
        kept &= np.array([crop.any() for crop in every], bool)
        crops = tuple(crop for crop, stays in zip(every, kept, strict=True) if stays)
    there = truth[kept]
    powers = {"px": 1, "px2": 2}
    columns = {
        name: column * factor ** powers[unit] if (unit := name.rpartition("_")[2]) in powers else column
        for name, column in there.columns.items()
    }
    return replace(there, shape=shape, boxes=boxes[kept], crops=crops, columns=columns)


def _rescaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    rows, cols = (math.floor(n * factor + 1e-9) for n in shape)
    _need(min(rows, cols) > 0, f"wanted a factor that leaves an image of {shape} at least one pixel", factor)
    return rows, cols


def _rescaled_crop(mask: Mask, box: list[int], old: tuple[int, int], factor: float) -> NDArray[np.bool_]:
    down, across = (
        _linear(range(low, high), side, n, factor)
        for low, high, side, n in zip(box[:2], box[2:], (mask.rows, mask.cols), old, strict=True)
    )
    inside: NDArray[np.bool_] = down @ mask.crop @ across.T >= 0.5
    return inside


def _linear(new: range, old: slice, n: int, factor: float) -> Grey:
    """Weights (new, old) of old pixels in new ones, by their distance; n is how many old ones there are in all.

    Over two new pixels, not one: of two by two old ones halves are frequent, and either way to round them makes
    discs of 4 to 12 px a half 6 to 8 % too large or too small. This one keeps them to 0.4 %.
    """
    reach = max(1, 1 / factor)
    there = np.arange(max(0, int(new.start / factor - reach)), min(n, math.ceil(new.stop / factor + reach)))
    weights = np.maximum(1 - np.abs((np.array(new)[:, None] + 0.5) / factor - (there + 0.5)) / reach, 0)
    shares: Grey = weights / weights.sum(axis=1, keepdims=True)
    return shares[:, (there >= old.start) & (there < old.stop)]


def _resample(image: Grey, shape: tuple[int, int], factor: float) -> Grey:
    if factor < 1:
        return _pooled(_pooled(image, shape[0], factor).T, shape[1], factor).T
    # The first new centre lies at 0.5/factor, counted from the border, where the first old one lies at 0.5.
    zoomed: Grey = ndimage.affine_transform(
        image, [1 / factor] * 2, 0.5 / factor - 0.5, output_shape=shape, order=1, mode="nearest"
    )
    return zoomed


def _pooled(image: Grey, rows: int, factor: float) -> Grey:
    """Mean over 1/factor rows, which need not be whole: differences of the running sum."""
    edges = np.minimum(np.arange(rows + 1) / factor, len(image))
    row = np.minimum(edges.astype(int), len(image) - 1)
    before = np.cumsum(image, axis=0, dtype=np.float64) - image
    pooled: Grey = np.diff(before[row] + (edges - row)[:, None] * image[row], axis=0) * factor
    return pooled


def _before_counting(
    micrograph: Micrograph, transfer: Callable[[Grey, Grey], Grey], *, reach_px: float, rng: np.random.Generator
) -> Grey:
    """The image through a transfer function of (row, col) frequency [1/px], with the noise it had.

    The transfer takes 1 − T² of the noise's power away, and that much is put in again: the electrons are counted
    after the lens. Where T is above 1 the noise grows with the signal. Beyond the border the image is mirrored.
    """
    image = _whole(micrograph)
    mean = _valid(micrograph, image).mean()
    counts = _mean_count(micrograph, image)
    brightness = 1.0 if counts is None else np.sqrt(np.maximum(image, 0) / counts)
    noise = _noise_sd(micrograph, image) * brightness * _white(image, rng)
    margins = [min(math.ceil(reach_px), n) for n in image.shape]
    sizes = [fft.next_fast_len(n + 2 * m, real=True) for n, m in zip(image.shape, margins, strict=True)]
    sides = [(m, size - n - m) for n, m, size in zip(image.shape, margins, sizes, strict=True)]
    through = transfer(fft.fftfreq(sizes[0])[:, None], fft.rfftfreq(sizes[1])[None]).astype(image.dtype)
    signal, lost = (fft.rfft2(np.pad(part, sides, "symmetric")) for part in (image - mean, noise))
    seen: Grey = fft.irfft2(signal * through + lost * np.sqrt(np.maximum(1 - through**2, 0)), sizes)
    (top, left), (rows, cols) = margins, image.shape
    cut: Grey = mean + seen[top : top + rows, left : left + cols]
    return cut


def _noise_sd(micrograph: Micrograph, image: Grey) -> float:
    """Standard deviation of white noise where the image is as bright as its mean, in grey values.

    Slopes and straight edges cancel in second differences of both ways. Where grey values are counts the noise goes
    with the root of the brightness.

    Source: Immerkær, Comput. Vis. Image Underst. 64 (1996) 300.
    """
    if min(image.shape) < 3:
        return 0.0
    inner = np.s_[1:-1, 1:-1]
    valid = np.ones(image.shape, bool)[inner] if micrograph.valid is None else micrograph.valid[inner]
    grain = np.abs(np.diff(np.diff(image, 2, axis=0), 2, axis=1))[valid] / 6
    if not grain.size:
        return 0.0
    noise = math.sqrt(math.pi / 2) * float(grain.mean(dtype=np.float64))
    counts = _mean_count(micrograph, image)
    if counts is None:
        return noise
    roots = np.sqrt(np.maximum(ndimage.uniform_filter(image, 3)[inner][valid], 0))
    return noise * math.sqrt(counts) / float(roots.mean(dtype=np.float64))


def _mean_count(micrograph: Micrograph, image: Grey) -> float | None:
    """Mean grey value if grey values can be counts of electrons: none below 0, not all 0."""
    values = _valid(micrograph, image)
    mean = float(values.mean(dtype=np.float64))
    return mean if values.min() >= 0 and mean > 0 else None


def _most_electrons(micrograph: Micrograph) -> float:
    """How many electrons a known dose sends to one pixel; endless if it is not known."""
    sent, scale = micrograph.context.dose_e_per_A2, micrograph.calibration
    return 100 * scale.pixel_area_nm2 * sent if sent and scale else math.inf


def _robust_spread(values: Grey) -> float:
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return spread or float(values.std())


def _smoothing(n: int, length_px: float) -> Grey:
    """Weights (n, nodes) that make white noise on the nodes a field of variance 1, smooth over a length."""
    nodes = np.arange(-8, np.ceil(2 * n / length_px) + 9) * length_px / 2
    weights = np.exp(-0.5 * ((np.arange(n)[:, None] - nodes) / length_px) ** 2)
    normed: Grey = weights / np.sqrt(np.sum(weights**2, axis=1, keepdims=True))
    return normed


def _as_shown(micrograph: Micrograph) -> tuple[Grey, float, float]:
    """The image from 0 to 1 over its display range, with the range's low end and its span in grey values.

    8-bit images are shown as they are; others from the first to the last thousandth, as a microscope's software does.
    """
    image = _whole(micrograph)
    low, high = 0.0, 255.0
    if micrograph.pixels.dtype != np.uint8:
        low, high = (float(end) for end in np.percentile(_valid(micrograph, image), [0.1, 99.9]))
    span = high - low or 1.0
    return np.clip((image - low) / span, 0, 1), low, span


def _working_type(micrograph: Micrograph) -> np.dtype[Any]:
    return np.result_type(micrograph.pixels.dtype, np.float32)


def _whole(micrograph: Micrograph) -> Grey:
    """A float copy of the pixels, each that is no image filled from the nearest that is."""
    image = micrograph.pixels.astype(_working_type(micrograph))
    valid = micrograph.valid
    if valid is None or valid.all():
        return image
    if not valid.any():
        return np.zeros_like(image)
    nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    filled: Grey = image[tuple(nearest)]
    return filled


def _valid(micrograph: Micrograph, image: Grey) -> Grey:
    return image if micrograph.valid is None or not micrograph.valid.any() else image[micrograph.valid]


def _white(image: Grey, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal(image.shape, np.float32)


def _as_recorded(image: Grey, dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "b":
        return image >= 0.5
    if dtype.kind == "f":
        return np.clip(image, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
    return np.clip(np.rint(image), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def _harmed(micrograph: Micrograph, image: Grey, words: str, context: Context | None = None) -> Micrograph:
    pixels = _as_recorded(image, micrograph.pixels.dtype)
    if micrograph.valid is not None:
        pixels = np.where(micrograph.valid, pixels, micrograph.pixels)
    return replace(
        micrograph,
        pixels=pixels,
        context=context or micrograph.context,
        metadata={},
        warnings=(*micrograph.warnings, f"degraded on purpose: {words}"),
    )


def _known(micrograph: Micrograph, name: str) -> float:
    value: float | None = getattr(micrograph.context, name)
    if value is None:
        raise SettingsError(f"{micrograph.name} does not say its {name}; give it a Context with {name}")
    return value


def _need(met: bool, wanted: str, came: object) -> None:
    if not met:
        raise SettingsError(f"{wanted}, not {came!r}")


DOSE = Harm("dose", "of the electrons", 1.0, (0.5, 0.25, 0.1, 0.04, 0.01), dose)
BLUR = Harm("blur", "px", 0.0, (0.7, 1.2, 2.0, 3.5, 6.0), blur)
DRIFT = Harm("drift", "px", 0.0, (2.0, 4.0, 7.0, 12.0, 20.0), _drift_somewhere)
DEFOCUS = Harm("defocus", "nm", 0.0, (100.0, 250.0, 500.0, 1000.0, 2000.0), defocus)
CONTRAST = Harm("contrast", "", 1.0, (0.8, 0.6, 0.4, 0.25, 0.12), contrast)
CHARGING = Harm("charging", "robust spreads", 0.0, (0.25, 0.5, 1.0, 2.0, 4.0), charging)
GAMMA = Harm("gamma", "", 1.0, (1.2, 1.5, 2.0, 3.0, 5.0), gamma, by_chance=False)
RESCALE = Harm("rescale", "", 1.0, (0.8, 0.65, 0.5, 0.35, 0.25), rescale, by_chance=False, truth=rescale_truth)
JPEG = Harm("jpeg", "quality", 100.0, (90.0, 75.0, 50.0, 25.0, 10.0), jpeg, by_chance=False)
