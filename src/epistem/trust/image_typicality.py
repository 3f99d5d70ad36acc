"""Is a whole image like those of a reference folder: window by window, for the trust card.

Needs no labels and no forecast: images that a detector or segmenter is known to work on are enough. What is stored is
a few hundred kilobytes (`forte_file`). It looks at texture, not at what was found: it answers another question than
the typicality of a forecast, which compares signals of the detections too and knows foreign kinds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core import Micrograph, SettingsError, ShapeError
from epistem.trust.encoders import Encoder, embed, make_encoder
from epistem.trust.forte import TypicalityReference

WINDOW_PX = 128
MOST_WINDOWS = 16
ENCODER = "descriptors"
_LEAST_VALID = 0.95


@dataclass(frozen=True)
class ImageJudgement:
    """Of one image; numbers are None where it is unscored.

    Attributes:
        share_less_typical: median of the windows', 0 to 1; about 0.5 for an image of the reference's kind.
        untypical_share: share of its windows that are untypical; for an image of the reference's kind about `level`.
        level: share of the reference's own windows that would be called untypical.
        windows: looked at.
        reason: why it is unscored.
    """

    share_less_typical: float | None
    untypical_share: float | None
    level: float
    windows: int
    reason: str | None = None

    def in_words(self, references: str = "the reference images") -> str:
        """A sentence for the card."""
        if self.untypical_share is None:
            return f"How typical the texture is of {references} is unscored: {self.reason}."
        untypical = round(self.untypical_share * self.windows)
        return (
            f"Texture: {untypical} of {self.windows} windows are unlike {references} "
            f"({100 * self.level:.0f} % would be by chance over many images; windows of one image are alike)."
        )


def windows(micrograph: Micrograph) -> list[NDArray[Any]]:
    """Up to 16 windows of 128 px, spread evenly; those on a data strip or scale bar are left out."""
    rows, cols = (_starts(n) for n in micrograph.shape)
    found = []
    for row in rows:
        for col in cols:
            here = np.s_[row : row + WINDOW_PX, col : col + WINDOW_PX]
            # Pixels that are no image are filled with the window's median.
            valid = None if micrograph.valid is None else micrograph.valid[here]
            if valid is None or valid.all():
                found.append(micrograph.pixels[here])
            elif valid.mean() >= _LEAST_VALID:
                part = micrograph.pixels[here]
                found.append(np.where(valid, part, np.median(part[valid])))
    return found


def fit(
    micrographs: Iterable[Micrograph], groups: Sequence[Hashable] | None = None, *, encoder: Encoder | None = None,
    seed: int = 0,
) -> TypicalityReference:  # fmt: skip
    """A reference from images of one kind; the windows of one image, and of one group, stay together.

    Args:
        micrographs: about 20 or more, so that 300 windows come together; with fewer, all is unscored.
        groups: what each image comes from (a specimen, a session), one an image; None: each by itself.
        encoder: what looks at them; descriptors if None.
        seed: of the split.

    Raises:
        SettingsError: fewer than three groups, or groups that do not fit the images.
        ShapeError: images too small for a window, but for two groups or fewer.
    """
    looked = [windows(one) for one in micrographs]
    names = list(range(len(looked)) if groups is None else groups)
    if len(names) != len(looked):
        raise SettingsError(f"wanted a group for each of {len(looked)} images; got {len(names)}")
    of = [name for name, some in zip(names, looked, strict=True) for _ in some]
    if len(set(of)) < 3 <= len(set(names)):
        small = sum(not some for some in looked)
        raise ShapeError(
            f"{small} of {len(looked)} images have no window of {WINDOW_PX} px that is all image; 3 or more larger "
            "ones are needed"
        )
    eye = encoder or make_encoder(ENCODER)
    return TypicalityReference.fit(
        {"texture": embed([w for some in looked for w in some], eye)}, groups=of, seed=seed
    )


def judge(
    reference: TypicalityReference, micrograph: Micrograph, *, encoder: Encoder | None = None, level: float = 0.05
) -> ImageJudgement:
    """One image against a reference that was fitted with the same encoder.

    Raises:
        ShapeError: of another encoder.
    """
    if reference.unscored:
        return ImageJudgement(None, None, level, 0, reference.unscored)
    looked = windows(micrograph)
    if not looked:
        why = f"no window of {WINDOW_PX} px that is all image fits into {micrograph.shape[0]} × {micrograph.shape[1]}"
        return ImageJudgement(None, None, level, 0, why)
    share = reference.share_less_typical({"texture": embed(looked, encoder or make_encoder(ENCODER))})
    return ImageJudgement(float(np.median(share)), float((share <= level).mean()), level, len(share))


def _starts(n: int) -> list[int]:
    """Of up to four windows along an edge of n px, from border to border, not overlapping."""
    fit_in = min(n // WINDOW_PX, int(np.sqrt(MOST_WINDOWS)))
    return [int(at) for at in np.linspace(0, n - WINDOW_PX, fit_in).round()] if fit_in > 1 else [
        (n - WINDOW_PX) // 2
    ] * fit_in  # fmt: skip
