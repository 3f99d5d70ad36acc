"""A patch in a few numbers that a turn changes simply: its Zernike moments, one matrix product for all patches.

On a patch of side s the disc has x = −1…1 along columns and y = −1…1 along rows, ρ ≤ 1, θ from x towards y::

    V_nm = √(2(n+1)/(1+δ_m0)) · R_n^|m|(ρ) · {cos mθ  (m ≥ 0),  sin |m|θ  (m < 0)}
    A_nm = Σ f·V_nm / (π s²/4)                     real, in the order j = (n(n+2)+m)/2: 66 of them up to n = 10
    Z_nm = A_nm + i·A_n,−m   (m > 0)               complex; a turn by α makes it e^(−imα)·Z_nm, so |Z_nm| stays

Source: F. Zernike, Physica 1, 689 (1934); M. R. Teague, J. Opt. Soc. Am. 70, 920 (1980); normalised and ordered as in
motif-learn (Dan et al.), whose moments these equal.
"""

from __future__ import annotations

from functools import cache
from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import fftconvolve

from epistem.core import SettingsError, ShapeError

Floats = NDArray[np.float32]
N_MAX = 10


class Basis(NamedTuple):
    """Functions V_nm on the pixels of a patch, read-only.

    Attributes:
        values: (features, side·side) float32, already over π·side²/4.
        n, m: (features,) order and signed angular frequency.
    """

    values: Floats
    n: NDArray[np.int64]
    m: NDArray[np.int64]


@cache
def basis(n_max: int = N_MAX, side: int = 32) -> Basis:
    """All V_nm up to order n_max for patches of side × side pixels.

    Args:
        n_max: highest order.
        side: of the patch [px].

    Raises:
        SettingsError: n_max below 0, or above side/2, where the pixels no longer resolve the functions.
    """
    if not 0 <= n_max <= side / 2:
        raise SettingsError(f"Zernike orders run from 0 to half the side, {side // 2} for {side} px; got {n_max}")
    orders = [(n, m) for n in range(n_max + 1) for m in range(-n, n + 1, 2)]
    rho, theta = _polar(side)
    inside = rho <= 1
    values = np.array([np.where(inside, _function(n, m, rho, theta), 0) for n, m in orders])
    n, m = np.array(orders).T
    scaled = (values / (np.pi * side**2 / 4)).reshape(len(orders), -1).astype(np.float32)
    for array in (scaled, n, m):
        array.setflags(write=False)
    return Basis(scaled, n, m)


def moments(patches: ArrayLike, *, n_max: int = N_MAX) -> Floats:
    """Real moments A_nm of each patch.

    Args:
        patches: (n, side, side).
        n_max: highest order, to side/2.

    Returns:
        (n, features) float32, 66 features for n_max = 10.

    Raises:
        ShapeError: patches that are not square.
        SettingsError: n_max that the side does not resolve.

    >>> moments(np.ones((1, 32, 32)))[0, 0].round(2)  # pixels in the disc over π·16²
    np.float32(0.92)
    """
    flat, side = _flat(patches)
    return flat @ basis(n_max, side).values.T


def complex_moments(real: ArrayLike) -> NDArray[np.complexfloating[Any, Any]]:
    """Z_nm for m ≥ 0, (…, 36) for 66 real moments, by n and then m.

    Args:
        real: (…, features) as from `moments`.

    Raises:
        ShapeError: a number of features that is no (n_max+1)(n_max+2)/2.
    """
    a = np.asarray(real)
    plus, minus = _pairs(a.shape[-1])
    m = _signed(a.shape[-1])[plus]
    return a[..., plus] + 1j * np.where(m > 0, a[..., minus], 0)


def magnitudes(real: ArrayLike) -> NDArray[np.floating[Any]]:
    """|Z_nm|, which no turn of the patch changes, (…, 36) for 66 real moments.

    Args:
        real: (…, features) as from `moments`.
    """
    sizes: NDArray[np.floating[Any]] = np.abs(complex_moments(real))
    return sizes


def rotated(real: ArrayLike, angle_rad: ArrayLike) -> NDArray[np.floating[Any]]:
    """Moments of the patches turned counter-clockwise as seen on the screen (rows downwards), as `np.rot90` turns.

    Args:
        real: (n, features) as from `moments`.
        angle_rad: one angle, or (n,) one for each patch [rad].

    Returns:
        (n, features).
    """
    a = np.asarray(real)
    plus, minus = _pairs(a.shape[-1])
    angle = np.broadcast_to(np.asarray(angle_rad, a.dtype), a.shape[:1])[:, None]
    z = complex_moments(a) * np.exp(-1j * angle * _signed(a.shape[-1])[plus])
    turned = np.empty_like(a)
    turned[..., minus] = z.imag
    turned[..., plus] = z.real
    return turned


def fold_score(real: ArrayLike, fold: int) -> NDArray[np.floating[Any]]:
    """How n-fold symmetric each patch is: S_n = Σ w_m·|Z_m|²/Σ|Z_m|² over |m| ≥ 2.

    w_m is 1 where n divides m, −1/(n−1) elsewhere.

    Args:
        real: (…, features) as from `moments`.
        fold: n, 2 or more.

    Returns:
        (…,) −1/(n−1) to 1, higher is more symmetric; NaN where nothing varies with the angle.

    Raises:
        SettingsError: fold below 2.

    Source: the rotation maps of motif-learn.
    """
    if fold < 2:
        raise SettingsError(f"a fold is 2 or more, not {fold}")
    power = np.square(np.asarray(real))
    m = np.abs(_signed(power.shape[-1]))
    weight = np.where(m % fold == 0, 1, -1 / (fold - 1)) * (m > 1)
    total = (power * (m > 1)).sum(-1)
    with np.errstate(invalid="ignore"):
        score: NDArray[np.floating[Any]] = (power * weight).sum(-1) / np.where(total > 0, total, np.nan)
    return score


def moment_map(image: ArrayLike, side: int, *, n_max: int = N_MAX) -> NDArray[np.float64]:
    """Moments of the patch at every place of an image where it fits.

    Args:
        image: (H, W), finite.
        side: of the patches [px].
        n_max: highest order, to side/2.

    Returns:
        (features, H − side + 1, W − side + 1); entry [:, r, c] is of image[r : r + side, c : c + side].

    Raises:
        ShapeError: an image smaller than a patch.
    """
    pixels = np.asarray(image, float)
    if pixels.ndim != 2 or min(pixels.shape) < side:
        raise ShapeError(f"wanted an image (H, W) of at least {side} × {side} px, got {pixels.shape}")
    values, n, _ = basis(n_max, side)
    kernels = values.reshape(-1, side, side).astype(float)
    # A convolution turns its kernel by half a turn, which changes the sign of odd orders.
    sign = np.where(n % 2, -1.0, 1.0)[:, None, None]
    found: NDArray[np.float64] = sign * fftconvolve(pixels[None], kernels, mode="valid", axes=(1, 2))
    return found


def groups(n_max: int = N_MAX) -> list[NDArray[np.int64]]:
    """Places of the moments of |m| = 0, 1, … n_max, one list each: those that a turn mixes; tokens of a network.

    >>> [len(group) for group in groups()]
    [6, 10, 10, 8, 8, 6, 6, 4, 4, 2, 2]
    """
    m = np.abs(_signed((n_max + 1) * (n_max + 2) // 2))
    return [np.flatnonzero(m == frequency) for frequency in range(n_max + 1)]


def mahotas_magnitudes(patches: ArrayLike, *, n_max: int = N_MAX) -> Floats:
    """What `mahotas.features.zernike_moments(patch, radius=(side−1)/2, degree=n_max, cm=(radius, radius))` gives.

    (n+1)/π·|Σ p·R·e^(−imθ)| with p = the positive pixels of the disc over their sum: gain drops out, offset does not.

    Args:
        patches: (n, side, side).
        n_max: highest order, to side/2.

    Returns:
        (n, 36) for n_max = 10, by n and then m; NaN for a patch without a positive pixel in the disc.
    """
    flat, side = _flat(patches)
    light = np.maximum(flat, 0)
    values, n, m = basis(n_max, side)
    found = magnitudes(light @ values.T)
    plus, _ = _pairs(len(n))
    # From √(2(n+1)/(1+δ)) over π·s²/4 to (n+1)/π over the sum.
    scale = np.sqrt((n[plus] + 1) * (1 + (m[plus] == 0)) / 2) * side**2 / 4
    disc = (_polar(side)[0] <= 1).ravel().astype(np.float32)
    total = (light @ disc)[:, None]
    shares: Floats = (found * scale / np.where(total > 0, total, np.nan)).astype(np.float32)
    return shares


def _polar(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ρ and θ of each pixel, (side, side)."""
    middle = (side - 1) / 2
    along = (np.arange(side) - middle) / (middle or 1)
    x, y = np.meshgrid(along, along)
    return np.sqrt(x**2 + y**2), np.arctan2(y, x)


def _function(n: int, m: int, rho: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    radial = sum(
        (-1) ** k * factorial(n - k)
        / (factorial(k) * factorial((n + abs(m)) // 2 - k) * factorial((n - abs(m)) // 2 - k))
        * rho ** (n - 2 * k)
        for k in range((n - abs(m)) // 2 + 1)
    )  # fmt: skip
    turning = np.cos(m * theta) if m >= 0 else np.sin(-m * theta)
    values: NDArray[np.float64] = np.sqrt(2 * (n + 1) / (1 + (m == 0))) * radial * turning
    return values


@cache
def _signed(features: int) -> NDArray[np.int64]:
    """m of each real moment, (features,)."""
    n_max = int(np.sqrt(2 * features)) - 1
    if (n_max + 1) * (n_max + 2) // 2 != features:
        raise ShapeError(f"moments up to order n are (n+1)(n+2)/2: 1, 3, 6, … 66; got {features}")
    return np.array([m for n in range(n_max + 1) for m in range(-n, n + 1, 2)])


@cache
def _pairs(features: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the moments with m ≥ 0, and of those with −m."""
    m = _signed(features)
    plus = np.flatnonzero(m >= 0)
    return plus, plus - m[plus]


def _flat(patches: ArrayLike) -> tuple[Floats, int]:
    """Patches as (n, side·side), and their side."""
    images = np.asarray(patches, np.float32)
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ShapeError(f"patches are (n, side, side), not {images.shape}")
    side = images.shape[1]
    return images.reshape(len(images), side * side), side
