"""What a person can choose for one analysis."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from epistem import __version__
from epistem.app.trust_card import Unwatched, Watched, model_key, texture_key, watched
from epistem.core import Detector, SettingsError
from epistem.detect import DEFAULT, DETECTORS, make_detector, weights_hash


class Settings(BaseModel):
    """Settings of `analyze`; the same for the command line, batches and the library.

    Attributes:
        detector: name in `epistem.detect.DETECTORS`.
        detector_settings: the detector's own settings, by name.
        pixel_size: what a person typed, "0.38 nm" or "0.38x0.40 nm"; it wins over what the file says.
        thickness_nm: foil thickness, for swelling and volume density [nm].
        thickness_error_nm: one standard deviation of it [nm].
        object_name: what a report calls one object, in the singular.
        min_score: objects below are left out, 0 to 1; None keeps what the detector itself holds for found.
        forecast: of the detector's F1: "shipped", "none", or the path of one that `epistem forecast fit` made.
        typicality: file of a reference that `epistem typicality` made: each image's texture is held against it.
        limits: of the verdict, by name, where they are not the defaults; see `trust.verdict.Limits`.
        coverage: probability that an interval holds the truth, 0 to 1.
        seed: of the resampling behind the intervals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = DEFAULT
    detector_settings: dict[str, Any] = Field(default_factory=dict)
    pixel_size: str | None = None
    thickness_nm: float | None = Field(None, gt=0)
    thickness_error_nm: float | None = Field(None, ge=0)
    object_name: str = Field("cavity", min_length=1)
    min_score: float | None = Field(None, ge=0, le=1)
    forecast: str = "shipped"
    typicality: str | None = None
    limits: dict[str, float] = Field(default_factory=dict)
    coverage: float = Field(0.9, gt=0, lt=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _error_needs_thickness(self) -> Self:
        if self.thickness_error_nm is not None and self.thickness_nm is None:
            raise ValueError("a thickness error needs a thickness")
        return self

    def finder(self) -> Detector:
        """The detector, with `min_score` where it has such a setting."""
        settings = dict(self.detector_settings)
        if self.min_score is not None and "min_score" in get_type_hints(DETECTORS[self.detector]):
            settings.setdefault("min_score", self.min_score)
        return make_detector(self.detector, **settings)

    def looker(self) -> Watched | Unwatched:
        """The detector with the forecast that covers it, or with why none does."""
        return watched(self.finder(), self.detector, self.forecast, self.limits)

    def key(self, *, detects: bool = True) -> str:
        """Hash of everything here, of the version and the weights: a result under the same key stays as it is.

        Args:
            detects: False where given objects are measured: the weights are then neither needed nor in the hash.
        """
        finder = self.finder()
        weights = weights_hash(finder) if detects else None
        text = json.dumps(self.model_dump(), sort_keys=True) + __version__ + str(weights)
        text += model_key(self.detector, self.forecast) if detects else ""
        text += texture_key(self.typicality)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_settings(**values: Any) -> Settings:
    """Settings, with one clear line if a value is not meaningful.

    Raises:
        SettingsError: an unknown name or a value outside its range.
    """
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise SettingsError(
            f"{where}: {first['msg'].removeprefix('Value error, ')}, not {first['input']!r}"
        ) from error


def load_settings(path: Path) -> dict[str, Any]:
    """Settings saved as JSON, such as the `settings` of a run.json.

    Raises:
        SettingsError: no JSON object in that file.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: wanted a JSON file of settings; {error}") from error
    values = values.get("settings", values) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise SettingsError(f'{path}: wanted a JSON object of settings, such as {{"detector": "log"}}')
    return values
