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

import numpy as np
from PIL import Image

from epistem.core.errors import ShapeError
from epistem.core.instances import Instances
from epistem.core.micrograph import Context, Micrograph
from epistem.synth.counting import (
    before_counting,
    known_value,
    mean_count,
    most_electrons,
    noise_sd,
    robust_spread,
    white_noise,
)
from epistem.synth.optics import wavelength_nm
from epistem.synth.pixels import Grey, as_recorded, as_shown, need, valid_pixels, whole_pixels
from epistem.synth.rescale import rescale, rescale_truth

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
    need(0 < fraction <= 1, "a fraction of the electrons is above 0 and at most 1", fraction)
    if fraction == 1:
        return micrograph
    image = whole_pixels(micrograph)
    mean, noise = mean_count(micrograph, image), noise_sd(micrograph, image)
    if mean is None:
        image = image + math.sqrt(1 / fraction - 1) * noise * white_noise(image, rng)
    else:
        grey = max(noise**2 / mean, mean / most_electrons(micrograph))
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
    known = known_value(micrograph, "dose_e_per_A2")
    need(0 < dose_e_per_A2 <= known, f"wanted a lower dose than the image's {known:g} e/Å²", dose_e_per_A2)
    return dose(micrograph, dose_e_per_A2 / known, rng=rng)


def blur(micrograph: Micrograph, sigma_px: float, *, rng: np.random.Generator) -> Micrograph:
    """The image of a lens or camera that is less sharp by a Gaussian of this standard deviation [px].

    Raises:
        SettingsError: less than 0.
    """
    need(0 <= sigma_px < np.inf, "a blur is a number of px, at least 0", sigma_px)
    if sigma_px == 0:
        return micrograph

    def transfer(row: Grey, col: Grey) -> Grey:
        return np.exp(-2 * (np.pi * sigma_px) ** 2 * (row**2 + col**2))

    image = before_counting(micrograph, transfer, reach_px=4 * sigma_px, rng=rng)
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
    need(0 <= length_px < np.inf, "a drift is a number of px, at least 0", length_px)
    if length_px == 0:
        return micrograph
    down, right = length_px * math.sin(math.radians(angle_deg)), length_px * math.cos(math.radians(angle_deg))

    def transfer(row: Grey, col: Grey) -> Grey:
        return np.sinc(down * row + right * col)

    image = before_counting(micrograph, transfer, reach_px=length_px, rng=rng)
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
    need(math.isfinite(extra_nm), "an additional defocus is a number of nm", extra_nm)
    if extra_nm == 0:
        return micrograph
    need(micrograph.context.modality in (None, "TEM"), "wanted a TEM image", micrograph.context.modality)
    pixel, wavelength = micrograph.needs_calibration(), wavelength_nm(known_value(micrograph, "beam_keV"))
    before = known_value(micrograph, "defocus_nm")
    after = before + (extra_nm if before > 0 else -extra_nm)

    def transfer(row: Grey, col: Grey) -> Grey:
        q2 = (row / pixel.row_nm) ** 2 + (col / pixel.col_nm) ** 2
        chi, more = np.pi * wavelength * before * q2, np.pi * wavelength * (after - before) * q2
        cotangent = np.sin(chi) * np.cos(chi) / (np.sin(chi) ** 2 + DAMPED_BELOW**2)
        damping = (np.pi * semiangle_mrad / 1000) ** 2 * max(after**2 - before**2, 0) * q2
        return np.exp(-damping) * (np.cos(more) + np.sin(more) * cotangent)

    # Twice as far as the finest wave is shifted: the division reaches farther than the lens did.
    reach_px = wavelength * (abs(before) + abs(extra_nm)) / min(pixel.row_nm, pixel.col_nm) ** 2
    image = before_counting(micrograph, transfer, reach_px=reach_px, rng=rng)
    context = replace(micrograph.context, defocus_nm=after)
    return _harmed(micrograph, image, f"defocus from {before:.4g} to {after:.4g} nm by a linear model", context)


def contrast(micrograph: Micrograph, factor: float, *, rng: np.random.Generator) -> Micrograph:
    """The image of objects that scatter less: grey values nearer to their mean, and the noise as it was.

    With the noise nearer too it would be the same image on another grey scale, which `imaging.normalize` undoes.

    Raises:
        SettingsError: a factor that is not above 0 and at most 1.
    """
    need(0 < factor <= 1, "a contrast factor is above 0 and at most 1", factor)
    if factor == 1:
        return micrograph
    image = whole_pixels(micrograph)
    mean = valid_pixels(micrograph, image).mean()
    noise = math.sqrt(1 - factor**2) * noise_sd(micrograph, image) * white_noise(image, rng)
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
    need(0 <= strength < np.inf, "a strength of charging is a number of at least 0", strength)
    if strength == 0:
        return micrograph
    image = whole_pixels(micrograph)
    down, across = (_smoothing(n, n / 4) for n in image.shape)
    slow = down @ rng.standard_normal((down.shape[1], across.shape[1]))
    field = (slow + rng.standard_normal(slow.shape)) @ across.T
    added = valid_pixels(micrograph, field)
    field = (field - added.mean()) / (added.std() or 1)
    image = image + strength * robust_spread(valid_pixels(micrograph, image)) * field
    return _harmed(micrograph, image, f"charging of {strength:.3g} robust spreads")


def gamma(micrograph: Micrograph, exponent: float) -> Micrograph:
    """The image shown with a gamma: u becomes u^exponent on the display range; above 1 darkens.

    Raises:
        SettingsError: not above 0.
    """
    need(0 < exponent < np.inf, "a gamma is a number above 0", exponent)
    if exponent == 1:
        return micrograph
    shown, low, span = as_shown(micrograph)
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
    need(1 <= quality <= 95 or quality == 100, "a JPEG quality is 1 to 95, or 100 for no file", quality)
    if quality == 100:
        return micrograph
    if max(micrograph.shape) > JPEG_LARGEST_PX:
        raise ShapeError(f"a JPEG has at most {JPEG_LARGEST_PX} rows and columns, not {micrograph.shape}; cut it")
    shown, low, span = as_shown(micrograph)
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * shown).astype(np.uint8)).save(file, "JPEG", quality=round(quality))
    with Image.open(file) as picture:
        image = low + span * np.asarray(picture, shown.dtype) / 255
    return _harmed(micrograph, image, f"JPEG of quality {quality:.0f}")


def _smoothing(n: int, length_px: float) -> Grey:
    """Weights (n, nodes) that make white noise on the nodes a field of variance 1, smooth over a length."""
    nodes = np.arange(-8, np.ceil(2 * n / length_px) + 9) * length_px / 2
    weights = np.exp(-0.5 * ((np.arange(n)[:, None] - nodes) / length_px) ** 2)
    normed: Grey = weights / np.sqrt(np.sum(weights**2, axis=1, keepdims=True))
    return normed


def _harmed(micrograph: Micrograph, image: Grey, words: str, context: Context | None = None) -> Micrograph:
    pixels = as_recorded(image, micrograph.pixels.dtype)
    if micrograph.valid is not None:
        pixels = np.where(micrograph.valid, pixels, micrograph.pixels)
    return replace(
        micrograph,
        pixels=pixels,
        context=context or micrograph.context,
        metadata={},
        warnings=(*micrograph.warnings, f"degraded on purpose: {words}"),
    )


DOSE = Harm("dose", "of the electrons", 1.0, (0.5, 0.25, 0.1, 0.04, 0.01), dose)
BLUR = Harm("blur", "px", 0.0, (0.7, 1.2, 2.0, 3.5, 6.0), blur)
DRIFT = Harm("drift", "px", 0.0, (2.0, 4.0, 7.0, 12.0, 20.0), _drift_somewhere)
DEFOCUS = Harm("defocus", "nm", 0.0, (100.0, 250.0, 500.0, 1000.0, 2000.0), defocus)
CONTRAST = Harm("contrast", "", 1.0, (0.8, 0.6, 0.4, 0.25, 0.12), contrast)
CHARGING = Harm("charging", "robust spreads", 0.0, (0.25, 0.5, 1.0, 2.0, 4.0), charging)
GAMMA = Harm("gamma", "", 1.0, (1.2, 1.5, 2.0, 3.0, 5.0), gamma, by_chance=False)
RESCALE = Harm("rescale", "", 1.0, (0.8, 0.65, 0.5, 0.35, 0.25), rescale, by_chance=False, truth=rescale_truth)
JPEG = Harm("jpeg", "quality", 100.0, (90.0, 75.0, 50.0, 25.0, 10.0), jpeg, by_chance=False)
