"""What a foil holds besides cavities: uneven thickness, diffraction contrast, lines, dots, particles, amorphous skin.

Each part is a field on the grid of the exit wave. Lengths that belong to the foil's texture scale with
`texture_scale`, so that a scene at 0.06 nm and one at 1 nm a pixel are both textured as far as the eye sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

if TYPE_CHECKING:
    from epistem.synth.cavities import CavityScene

Grid = NDArray[np.float32]


def smooth_field(canvas: tuple[int, int], step_nm: float, length_nm: float, rng: np.random.Generator) -> Grid:
    """Gaussian random field of mean 0 and variance 1, correlation exp(−d²/4L²) with L = `length_nm`."""
    spacing = length_nm / 2 / step_nm
    nodes = [np.arange(-8, np.ceil(n / spacing) + 9) * spacing for n in canvas]
    down, across = (
        np.exp(-0.5 * ((np.arange(n)[:, None] - at) * step_nm / length_nm) ** 2)
        for n, at in zip(canvas, nodes, strict=True)
    )
    noise = rng.standard_normal((len(nodes[0]), len(nodes[1])), np.float32)
    down, across = (w.astype(np.float32) / np.sqrt(np.sum(w**2, axis=1, keepdims=True)) for w in (down, across))
    field: Grid = down @ noise @ across.T
    return field


def rough_field(
    canvas: tuple[int, int],
    step_nm: float,
    *,
    longest_nm: float,
    shortest_nm: float,
    slope: float,
    stretch: float = 1.0,
    angle_rad: float = 0.0,
    rng: np.random.Generator,
) -> Grid:
    """Gaussian random field of variance 1 whose power falls as q^−slope between two lengths.

    Args:
        canvas: rows and columns.
        step_nm: their spacing [nm].
        longest_nm, shortest_nm: lengths (1/2πq) beyond which the power stays and below which it dies off [nm].
        slope: 2 is cloudy, 4 smooth, 0 white.
        stretch: features are this many times longer along than across.
        angle_rad: what is along, from the columns' axis towards the rows' [rad].
        rng: its white noise.
    """
    down = 2 * np.pi * fft.fftfreq(canvas[0], step_nm).astype(np.float32)
    across = 2 * np.pi * fft.rfftfreq(canvas[1], step_nm).astype(np.float32)
    along = np.cos(angle_rad) * across + np.sin(angle_rad) * down[:, None]
    beside = np.cos(angle_rad) * down[:, None] - np.sin(angle_rad) * across
    q2 = stretch * along**2 + beside**2 / stretch
    amplitude = (q2 + longest_nm**-2) ** (-slope / 4) * np.exp(-q2 * shortest_nm**2 / 2)
    spectrum = fft.rfft2(rng.standard_normal(canvas, np.float32)) * amplitude.astype(np.float32)
    field: Grid = fft.irfft2(spectrum, s=canvas)
    field -= field.mean()
    return field / max(float(field.std()), 1e-12)


def strain(canvas: tuple[int, int], step_nm: float, scale: float, rng: np.random.Generator) -> Grid:
    """Diffraction contrast, 0 (bright) upwards: dark patches where the foil is strained, bands where it bends."""
    lengths_nm = (70, 18, 6, 2.5, 160)
    wide, middle, fine, grain, bend = (smooth_field(canvas, step_nm, scale * length, rng) for length in lengths_nm)
    mottle = 0.05 * (middle + fine + 0.7 * grain)
    patches = np.maximum(wide + 0.6 * middle - 0.3, 0) ** 2 * np.maximum(1 + 0.5 * fine, 0)
    bands = np.exp(-np.square((bend + 0.1 * middle) / 0.12)) * np.maximum(1 + 0.5 * middle, 0)
    field: Grid = np.maximum(0.2 + mottle + 0.3 * patches + 0.3 * bands, 0)
    return field


def uneven_nm(scene: CavityScene, canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """Thickness over its mean: slow waves, and a wedge across the image [nm]."""
    field = scene.thickness_sd * scene.thickness_nm * smooth_field(canvas, step_nm, 300, rng)
    if scene.wedge:
        angle = rng.uniform(0, 2 * np.pi)
        field = field + scene.wedge * scene.thickness_nm * _ramp(canvas, angle)
    return field


def edge_share(scene: CavityScene, canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """1 inside the foil, 0 beyond its ragged edge; `scene.edge` of the canvas lies beyond."""
    angle = rng.uniform(0, 2 * np.pi)
    across = _ramp(canvas, angle) + 0.05 * smooth_field(canvas, step_nm, 25 * scene.texture_scale, rng)
    at = np.quantile(across, scene.edge)
    taper = 0.01 + 0.05 * rng.random()
    share: Grid = np.clip((across - at) / taper, 0, 1).astype(np.float32)
    return share


def diffraction(scene: CavityScene, canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """Logarithm of the intensity that diffraction takes away, besides `strain`; each part only where asked for."""
    total = np.zeros(canvas, np.float32)
    scale = scene.texture_scale
    if scene.clouds:
        slope, stretch = rng.uniform(2.0, 4.0), float(np.exp(abs(rng.normal(0, 0.8))))
        cloudy = rough_field(
            canvas, step_nm, longest_nm=60 * scale, shortest_nm=0.6 * scale, slope=slope, stretch=stretch,
            angle_rad=rng.uniform(0, np.pi), rng=rng,
        )  # fmt: skip
        # Strain darkens a bright matrix more often than the reverse.
        total += scene.clouds * (np.maximum(cloudy + rng.uniform(-0.5, 1.5), 0) if rng.random() < 0.6 else cloudy)
    if scene.mottle:
        grain = rough_field(
            canvas, step_nm, longest_nm=scene.mottle_nm, shortest_nm=scene.mottle_nm / 3, slope=rng.uniform(0, 3),
            stretch=float(np.exp(abs(rng.normal(0, 0.3)))), angle_rad=rng.uniform(0, np.pi), rng=rng,
        )  # fmt: skip
        # Half of the foils are mottled in patches: where two reflections beat or damage is uneven.
        where = np.maximum(smooth_field(canvas, step_nm, 30 * scale, rng), 0) if rng.random() < 0.5 else 1.0
        total += scene.mottle * np.maximum(grain + rng.uniform(-0.5, 2.0), 0) * where
    if scene.fringes:
        total += scene.fringes * _bend_contour(canvas, step_nm, scale, rng)
    if scene.grains:
        total += _grains(scene, canvas, step_nm, rng)
    total += _lines(scene, canvas, step_nm, rng) + _dots(scene, canvas, step_nm, rng)
    return total


def speckle_rad(scene: CavityScene, canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """Phase of the amorphous skin [rad].

    White, it has the standard deviation `speckle_rad` over areas of 1 nm². Correlated over L nm, it has
    `speckle_rad`/√(1 + 4πL²) at each point: over areas much larger than L as much as white for L ≥ 1, less below.
    """
    white = rng.standard_normal(canvas, np.float32)
    if scene.speckle_length_nm:
        sigma = scene.speckle_length_nm / step_nm
        white = ndimage.gaussian_filter(white, sigma, mode="wrap") * np.float32(np.sqrt(4 * np.pi) * sigma)
        phase: Grid = scene.speckle_rad / np.hypot(1.0, np.sqrt(4 * np.pi) * scene.speckle_length_nm) * white
        return phase
    return scene.speckle_rad / step_nm * white


def _ramp(canvas: tuple[int, int], angle_rad: float) -> Grid:
    """From −½ to ½ across the canvas along an angle."""
    down, across = (np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in canvas)
    ramp: Grid = np.sin(angle_rad) * down[:, None] + np.cos(angle_rad) * across
    return ramp


def _bend_contour(canvas: tuple[int, int], step_nm: float, scale: float, rng: np.random.Generator) -> Grid:
    """A dark band with side fringes, as where the foil bends through a Bragg position.

    Source: two-beam rocking curve, sin²(πts)/(ts)², Williams & Carter (2009), ch. 13 and 24.
    """
    tilt = smooth_field(canvas, step_nm, 120 * scale, rng) + 2 * _ramp(canvas, rng.uniform(0, 2 * np.pi))
    s = (tilt - rng.normal(0, 0.5)) * rng.uniform(1, 8)
    rocking: Grid = np.square(np.sinc(s)) * np.maximum(1 + 0.3 * smooth_field(canvas, step_nm, 15 * scale, rng), 0)
    sides: Grid = 0.3 * (1 - np.cos(2 * np.pi * s)) * np.exp(-np.abs(s) / 2)
    return rocking + sides


def _grains(scene: CavityScene, canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """Grains with curved boundaries, each with its own grey; one may show a packet of parallel fringes."""
    length_nm = rng.uniform(0.1, 0.4) * max(canvas) * step_nm
    number = int(rng.integers(2, 5))
    owner = np.argmax([smooth_field(canvas, step_nm, length_nm, rng) for _ in range(number)], axis=0)
    field: Grid = (scene.grains * rng.standard_normal(number)).astype(np.float32)[owner]
    if rng.random() < 0.5:
        turns = np.hypot(*canvas) * step_nm / (rng.uniform(6, 25) * scene.pixel_nm)
        packet = smooth_field(canvas, step_nm, length_nm / 2, rng) > 0.5
        waves = np.cos(2 * np.pi * turns * _ramp(canvas, rng.uniform(0, np.pi)))
        field += scene.grains * waves * (packet & (owner == 0))
    rounded: Grid = ndimage.gaussian_filter(field, scene.pixel_nm / step_nm)
    return rounded


def _lines(scene: CavityScene, canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """Dislocations: wandering dark lines, some with a bright side, some broken into dots by their oscillation."""
    field = np.zeros(canvas, np.float32)
    for _ in range(rng.poisson(scene.dislocations)):
        length_px = rng.uniform(0.1, 1.0) * max(canvas)
        steps = np.arange(max(int(length_px), 8))
        turn = np.cumsum(rng.normal(0, rng.uniform(0.002, 0.03), len(steps))) + rng.uniform(0, 2 * np.pi)
        row = rng.uniform(0, canvas[0]) + np.cumsum(np.sin(turn))
        col = rng.uniform(0, canvas[1]) + np.cumsum(np.cos(turn))
        period_px = rng.uniform(6, 40) * scene.texture_scale / step_nm
        beat = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * steps / period_px)
        inside = (row >= 0) & (row < canvas[0]) & (col >= 0) & (col < canvas[1])
        line = np.zeros(canvas, np.float32)
        np.maximum.at(line, (row[inside].astype(int), col[inside].astype(int)), beat[inside])
        width = max(rng.uniform(0.5, 3.0) * scene.texture_scale / step_nm, 0.7)
        blurred = ndimage.gaussian_filter(line, width, truncate=3) * np.float32(width * 2.5)
        if rng.random() < 0.4:
            blurred -= 0.6 * np.roll(blurred, int(2 * width) + 1, axis=int(rng.integers(2)))
        field += rng.uniform(0.2, 1.0) * blurred
    return field


def _dots(scene: CavityScene, canvas: tuple[int, int], step_nm: float, rng: np.random.Generator) -> Grid:
    """Black-dot loops and precipitates: dark, softly bounded, without a rim; a few are lobed or bright."""
    field = np.zeros(canvas, np.float32)
    lengths = np.array(canvas) * step_nm
    share = float(np.prod(lengths) / np.prod(np.array(scene.shape) * scene.pixel_nm))
    for _ in range(rng.poisson(scene.precipitates * share)):
        size = scene.precipitate_nm * float(np.exp(rng.normal(0, 0.4))) / 2
        stretch, angle, strength = np.exp(rng.normal(0, 0.35)), rng.uniform(0, np.pi), rng.uniform(0.1, 0.8)
        sharp = rng.uniform(1, 4)
        at = rng.random(2) * lengths
        reach = 2.5 * size * max(stretch, 1 / stretch)
        rows, cols = (
            np.arange(max((c - reach) / step_nm, 0), min((c + reach) / step_nm, n)).astype(int)
            for c, n in zip(at, canvas, strict=True)
        )
        if not (len(rows) and len(cols)):
            continue
        down, across = rows[:, None] * step_nm - at[0], cols * step_nm - at[1]
        along, beside = np.cos(angle) * across + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * across
        r2 = (along / stretch) ** 2 + (beside * stretch) ** 2
        dot = np.exp(-0.7 * (r2 / size**2) ** sharp)
        if rng.random() < 0.25:
            dot *= along / (size * stretch)
        window = np.ix_(rows, cols)
        field[window] += (strength if rng.random() < 0.85 else -0.5 * strength) * dot.astype(np.float32)
    return field
