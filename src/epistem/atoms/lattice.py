"""The lattice of a monolayer seen from above: where every column of its two sub-lattices stands, and every hollow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epistem.atoms.cell import Kind, canonical, cell_of, columns_of, contrast, polar, sites_of
from epistem.atoms.columns import Fit, NoLattice, checked_image, fit_columns, without_background
from epistem.atoms.phases import Field, field_of
from epistem.atoms.spectrum import PROMINENT, basis, peaks, share_on, spectrum
from epistem.core.errors import SettingsError, ShapeError

Floats = NDArray[np.float64]

_LEAST_SHARE = 0.3
_LEAST_CLOSURE = 0.5
_FEWEST_CELLS = 16
_SMALLEST_PX = 4.5  # sub-lattices then stand 2.6 px apart
_CLIPPED_REFUSED, _CLIPPED_NAMED = 0.01, 0.0005
_EMPTY = 0.1  # of its sub-lattice's median height; vanadium on a tungsten site has 0.14 at high angles
_LARGEST_MOVE = 0.25  # of the neighbours' distance; a fit that went further followed something else
_LEAST_OCCUPIED = 0.5
_EQUAL = 0.07
_SHEARED, _BENT, _COVERED, _CLEAN = 0.03, 0.15, 0.97, 0.5
_WRONG_SIZE = 0.08


@dataclass(frozen=True, eq=False)
class Lattice:
    """Sites of a lattice in an image; all places are (row, col) [px].

    Attributes:
        kind: "honeycomb" (A and B), "triangular" (one column a cell, as in a bilayer or a metal seen along three-fold
            axes) or "other" (not hexagonal; one site a cell).
        vectors_px: (2, 2) rows are the mean lattice vectors; 60° apart where the lattice is hexagonal.
        sites: (n, 2) predicted by the lattice and its smooth distortion.
        refined: (n, 2) the fitted column; the prediction where there is none or the fit ran away.
        sublattice: (n,) 0 = A, the brighter on the summed image; 1 = B.
        occupied: (n,) a column stands there, by its height.
        hollow: (k, 2) centres of the hexagons; none unless a honeycomb.
        edge_px: (n,) distance from the nearest image border.
        inside: (n,) a patch of side √3·a fits into the image.
        mask: (H, W) where the lattice is; sites outside are left out.
        width_px: σ of a column.
        ratios: brightness of B over A above the hollow's, one of each image; NaN unless a honeycomb.
        score: 0–1, larger is better: how strongly the masked part is this lattice. Coherence of the local phases
            times share of the power above the noise that lies on the lattice's orders.
        warnings: what is unusual, in sentences.
    """

    kind: Kind
    vectors_px: Floats
    sites: Floats
    refined: Floats
    sublattice: NDArray[np.int8]
    occupied: NDArray[np.bool_]
    hollow: Floats
    edge_px: Floats
    inside: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    width_px: float
    ratios: tuple[float, ...]
    score: float
    warnings: tuple[str, ...]

    @property
    def a_px(self) -> float:
        """Lattice constant of the hexagonal cell of the same area [px]."""
        return float(np.sqrt(abs(np.linalg.det(self.vectors_px)) * 2 / np.sqrt(3)))

    @property
    def neighbour_px(self) -> float:
        """Distance of neighbouring columns [px]."""
        return self.a_px / np.sqrt(3) if self.kind == "honeycomb" else float(np.linalg.norm(self.vectors_px[0]))

    @property
    def angle(self) -> float:
        """Between the two vectors [degrees]."""
        first, second = self.vectors_px
        return float(np.degrees(np.arccos(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))))

    @property
    def turn(self) -> float:
        """From the column axis to the undeformed lattice's nearest row of sites, −30 to 30, + is down [degrees]."""
        return polar(self.vectors_px).turn

    @property
    def shear(self) -> float:
        """Long over short axis of what a circle becomes, less 1."""
        return polar(self.vectors_px).stretch - 1

    @property
    def offset_px(self) -> Floats:
        """(n,) from the predicted to the refined place."""
        return np.asarray(np.linalg.norm(self.refined - self.sites, axis=1))


def find_lattice(
    images: Sequence[NDArray[np.floating]], *, pixel_A: float | None = None, a_A: float | None = None
) -> Lattice:
    """Every column's place in a field of a dichalcogenide monolayer; other lattices are told from it.

    Args:
        images: (H, W) each, one per detector, of the same field.
        pixel_A: pixel size, and
        a_A: lattice constant expected; where both are known a measured one more than 8 % away is named.

    Raises:
        NoLattice: noise, an amorphous film, several crystals, too few cells, columns too close, saturated.
        ShapeError: images that do not have one shape.
        SettingsError: a length that is not above 0.
    """
    for name, value in (("pixel_A", pixel_A), ("a_A", a_A)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise SettingsError(f"{name} is a length above 0 in ångström, not {value!r}")
    fields = [checked_image(image) for image in images]
    if not fields or len({one.shape for one in fields}) != 1:
        raise ShapeError(f"wanted images of one shape, got {[one.shape for one in fields]}")
    clipped = max(_clipped_share(one) for one in fields)
    if clipped > _CLIPPED_REFUSED:
        raise NoLattice(
            f"{clipped:.1%} of the pixels are at the highest value: the image is saturated and its columns cannot be "
            f"compared; record it with less gain"
        )
    summed = sum((one - one.mean()) / one.std() for one in fields)
    vectors, noise, share = _vectors(np.asarray(summed))
    period = float(np.linalg.norm(np.linalg.inv(vectors).T, axis=1).mean())
    flat = without_background(np.asarray(summed), period)
    field = field_of(flat, vectors, noise=noise)
    _check_field(field, share)
    return _lattice(flat, [without_background(one, period) for one in fields], field, share, clipped, pixel_A, a_A)


def _clipped_share(image: Floats) -> float:
    """Share of pixels at the highest value, where they pile up there: the next lower value is rarer."""
    top = image.max()
    at_top = int((image == top).sum())
    lower = image[image < top]
    below = int((lower == lower.max()).sum()) if len(lower) else 0
    return at_top / image.size if at_top > 2 * below and at_top > 4 else 0.0


def _vectors(image: Floats) -> tuple[Floats, float, float]:
    """Reciprocal vectors (their real ones 60° apart if hexagonal), noise near them, and their share of the power."""
    power = spectrum(image)
    found = peaks(power)
    pair = basis(power, found)
    if pair is None:
        raise NoLattice(
            f"no lattice stands out: {len(found.k)} spectral peaks are {PROMINENT:g} times the noise of their ring, "
            f"and no three fit one lattice; wanted one crystal, at a dose that shows it"
        )
    share = share_on(power, pair)
    if share < _LEAST_SHARE:
        raise NoLattice(
            f"only {share:.0%} of what stands out of the noise lies on one lattice; several crystals, a strongly "
            f"distorted scan or not a crystal: crop to one grain"
        )
    real = canonical(np.asarray(np.linalg.inv(pair).T, float))
    turned = np.linalg.inv(real).T
    length = np.hypot(power.rows[:, None], power.cols)
    wanted = np.linalg.norm(turned, axis=1).mean()
    near = np.abs(length - wanted) < 2 / min(image.shape)
    return np.asarray(turned, float), float(np.median(power.ring[near])), share


def _check_field(field: Field, share: float) -> None:
    real = np.linalg.inv(field.vectors).T
    area = abs(np.linalg.det(real))
    shown = (field.rows[-1] + 1) * (field.cols[-1] + 1) * field.present.mean()
    a_px = float(np.sqrt(area * 2 / np.sqrt(3)))
    if a_px < _SMALLEST_PX:
        raise NoLattice(
            f"the lattice constant is {a_px:.1f} px; columns are told apart from {_SMALLEST_PX} px; "
            f"record a smaller field"
        )
    if shown < _FEWEST_CELLS * area:
        raise NoLattice(
            f"the lattice shows in {shown / area:.0f} cells; {_FEWEST_CELLS} are needed to measure it: a larger field"
        )
    if field.closure < _LEAST_CLOSURE:
        raise NoLattice(
            f"the phases of three orders agree to {field.closure:.2f} (1 is a lattice, 0 is none, wanted "
            f"{_LEAST_CLOSURE}): the periods belong to different things; crop to one crystal"
        )


def _check_occupied(occupied: NDArray[np.bool_]) -> None:
    if (share := float(occupied.mean())) < _LEAST_OCCUPIED:
        raise NoLattice(
            f"columns stand on {share:.0%} of the sites of the lattice found; it is not one of single columns, or "
            f"the scan is too distorted: crop to a straight part"
        )


def _lattice(
    flat: Floats, fields: list[Floats], field: Field, share: float, clipped: float,
    pixel_A: float | None, a_A: float | None,
) -> Lattice:  # fmt: skip
    vectors = np.asarray(np.linalg.inv(field.vectors).T, float)
    orders = field.orders(flat)
    cell = cell_of(orders, field, vectors)
    columns = columns_of(orders[:, field.present].mean(axis=1), field.vectors, cell)
    placed = [sites_of(origin, vectors, field, flat.shape) for origin in cell.origins]
    sites = np.concatenate(placed[:2])
    sublattice = np.repeat(np.arange(len(placed[:2])), [len(one) for one in placed[:2]]).astype(np.int8)
    a_px = float(np.sqrt(abs(np.linalg.det(vectors)) * 2 / np.sqrt(3)))
    neighbour = a_px / np.sqrt(3) if cell.kind == "honeycomb" else float(np.linalg.norm(vectors, axis=1).min())
    fit = fit_columns(
        flat, sites, heights=columns.heights[sublattice], level=columns.level, width_px=columns.width_px,
        reach_px=0.5 * neighbour,
    )  # fmt: skip
    occupied = _occupied(fit, sublattice, columns.width_px)
    _check_occupied(occupied)
    shift = _shifts(fit.places - sites, occupied, sublattice)
    sites = sites + shift[sublattice]
    near = occupied & (np.linalg.norm(fit.places - sites, axis=1) < _LARGEST_MOVE * neighbour)
    edge = np.minimum(sites, np.array(flat.shape) - 1 - sites).min(axis=1)
    ratios = tuple(contrast(field.orders(one)[:, field.present].mean(axis=1), cell) for one in fields)
    lattice = Lattice(
        kind=cell.kind,
        vectors_px=vectors,
        sites=sites,
        refined=np.where(near[:, None], fit.places, sites),
        sublattice=sublattice,
        occupied=occupied,
        hollow=placed[2] + shift.mean(axis=0) if cell.kind == "honeycomb" else np.empty((0, 2)),
        edge_px=edge,
        inside=edge >= np.sqrt(3) / 2 * a_px,
        mask=field.present_mask((flat.shape[0], flat.shape[1])),
        width_px=columns.width_px,
        ratios=ratios,
        score=field.closure * share,
        warnings=(),
    )
    told = _warnings(lattice, field, share, clipped)
    told += wrong_size(lattice.a_px, pixel_A, a_A)
    return replace(lattice, warnings=tuple(told))


def _occupied(fit: Fit, sublattice: NDArray[np.int8], width_px: float) -> NDArray[np.bool_]:
    """Sites with a column: high enough for its sub-lattice, and above the noise."""
    usual = np.array([np.median(fit.amplitude[sublattice == k]) for k in range(int(sublattice.max()) + 1)])
    # White noise s puts s/(σ√π) on the height of a fitted Gaussian.
    noise = fit.noise / (np.sqrt(np.pi) * width_px)
    return np.asarray(fit.amplitude > np.maximum(_EMPTY * usual[sublattice], 3 * noise))


def _shifts(offsets: Floats, occupied: NDArray[np.bool_], sublattice: NDArray[np.int8]) -> Floats:
    """(1 or 2, 2) how far the columns of each sub-lattice lie from the three-fold positions: coma, tilt."""
    kinds = range(int(sublattice.max()) + 1)
    return np.array([np.median(offsets[occupied & (sublattice == k)], axis=0) for k in kinds])


def wrong_size(a_px: float, pixel_A: float | None, a_A: float | None) -> list[str]:
    """A sentence where the lattice constant measured is not the one expected."""
    if pixel_A is None or a_A is None:
        return []
    measured = a_px * pixel_A
    if abs(measured / a_A - 1) <= _WRONG_SIZE:
        return []
    return [
        f"the lattice constant measures {measured:.2f} Å, wanted {a_A:.2f} Å: another material, or a wrong pixel "
        f"size? It would fit with {a_A / a_px:.4f} Å per pixel in place of {pixel_A:.4f}"
    ]


def _warnings(lattice: Lattice, field: Field, share: float, clipped: float) -> list[str]:
    told = []
    if lattice.kind == "other":
        lengths = " and ".join(f"{length:.1f}" for length in np.linalg.norm(lattice.vectors_px, axis=1))
        told.append(
            f"not a hexagonal lattice: vectors of {lengths} px at {lattice.angle:.1f}°; no honeycomb to classify"
        )
    if lattice.kind == "triangular":
        told.append(
            "one column a cell: a triangular lattice, not a honeycomb, or its second sub-lattice is too faint"
        )
    if lattice.kind == "honeycomb" and all(abs(ratio - 1) < _EQUAL for ratio in lattice.ratios):
        told.append("A and B are equally bright: graphene, or detectors at which metal and chalcogen look alike")
    if any(ratio < 0 for ratio in lattice.ratios):
        told.append("B is darker than the hollows in one of the images: a bright-field image, or not the same field")
    if lattice.kind != "other" and lattice.shear > _SHEARED:
        told.append(f"sheared by {lattice.shear:.1%}: drift, tilt or unequal scan steps; sites follow it")
    bent = float(np.percentile(np.linalg.norm(field.displacement[:, field.present], axis=0), 95))
    if bent > _BENT * lattice.a_px:
        told.append(f"bent by up to {bent:.1f} px (drift or scan distortion); sites follow it")
    if (covered := float(lattice.mask.mean())) < _COVERED:
        told.append(f"the lattice shows in {covered:.0%} of the field; sites elsewhere are left out")
    if share < _CLEAN:
        told.append(
            f"{1 - share:.0%} of what stands out of the noise is not on this lattice: other material or layers"
        )
    if clipped > _CLIPPED_NAMED:
        told.append(f"{clipped:.2%} of the pixels are at the highest value: the brightest columns may be cut off")
    return told
