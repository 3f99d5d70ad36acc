"""epistem's own detectors and segmenters as tools of the assistant: what is asked of, and which of them finds it.

Each looks as `epistem analyze` and `epistem segment` do, so its numbers, forecast and verdict are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from epistem.app.analyze import analyze_image
from epistem.app.settings import Settings
from epistem.app.trust_card import Unwatched, Watched
from epistem.ask.intents import thing_called
from epistem.ask.measured import Looked
from epistem.core import Instances, Micrograph, SettingsError
from epistem.imaging.colour import NAMES


@dataclass(frozen=True)
class DetectorTool:
    """A detector that is asked for one kind of thing.

    Attributes:
        name: for people.
        finds: what it finds, singular.
        settings: of the analysis.
        again: the command whose report shows what was found.
        label: the class that is meant, of a detector that finds several; None means all.
        refuses: why it does not look at this image; "" where it does.
        note: what else to say of how far to trust it.
    """

    name: str
    finds: tuple[str, ...]
    settings: Settings
    again: str
    label: int | None = None
    refuses: str = ""
    note: str = ""

    def look(self, micrograph: Micrograph) -> Looked:
        """What is found, measured, and how far to trust it.

        Raises:
            EpistemError: this image cannot be looked at.
        """
        if self.refuses:
            raise SettingsError(self.refuses)
        find: Watched | Unwatched = self.settings.looker()
        if self.label is not None:
            find = _OneClass(find.detector, getattr(find, "why_no_forecast", ""), self.label)
        seen = analyze_image(micrograph, self.settings, find)
        reasons = (*seen.reliability.reasons, *filter(None, [self.note]))
        return Looked(seen.found, seen.quantities, replace(seen.reliability, reasons=reasons))


@dataclass(frozen=True)
class _OneClass(Unwatched):
    """The objects of one class alone."""

    label: int

    def __call__(self, micrograph: Micrograph) -> Instances:
        found = super().__call__(micrograph)
        return found[found.label == self.label]


def tools_for(
    micrograph: Micrograph, segmenters: Sequence[Path] = (), *, chosen: bool = False
) -> tuple[DetectorTool, ...]:
    """Classes of given segmenters, cavities by the trained detector, outside TEM pores and particles by threshold.

    Of two that find the same thing the first is asked.

    Args:
        micrograph: what they are to look at.
        segmenters: runs, jobs or .safetensors files of `epistem bench run`.
        chosen: somebody said that it is this image of a series, so that a colour's channel is meant.

    Raises:
        SettingsError, RecordError: a segmenter that is none.
    """
    given = tuple(tool for path in segmenters for tool in segmenter_tools(path))
    cavities = DetectorTool("cavity-dense", ("cavity",), Settings(), "epistem analyze IMAGE")
    if (micrograph.context.modality or "").upper() in ("TEM", "STEM"):
        return (*given, cavities)
    refuses = _COLOURED if is_coloured(micrograph) and not chosen else ""
    return (*given, cavities, _by_threshold("pore", "dark", refuses), _by_threshold("particle", "bright", refuses))


_COLOURED = (
    "the image is in colour, so not of electrons, and in a photograph a threshold counts whatever is dark or bright; "
    "if it is a light micrograph, say which of its channels is meant: --image 1 is red, 2 green, 3 blue"
)


def is_coloured(micrograph: Micrograph) -> bool:
    """Whether it is one channel of a picture in colour."""
    return micrograph.slice is not None and micrograph.slice.label in NAMES


def _by_threshold(thing: str, contrast: str, refuses: str) -> DetectorTool:
    name = f"a plain threshold on all that is {contrast}, otsu-watershed"
    settings = Settings(detector="otsu-watershed", detector_settings={"contrast": contrast}, object_name=thing)
    again = f"epistem analyze IMAGE --detector otsu-watershed --set contrast={contrast}"
    return DetectorTool(name, (thing,), settings, again, refuses=refuses)


def segmenter_tools(path: Path) -> list[DetectorTool]:
    """A tool for each class but the background; a class that no rule has a name for is asked for by its own.

    Raises:
        SettingsError, RecordError: no run, or none that is trained and kept; see `segment.model_file`.
    """
    from epistem.app.segment import model_file
    from epistem.nets.segment_use import segmenter_weights

    file, why = model_file(path)
    classes = segmenter_weights(file).card["classes"][1:]
    settings = Settings(detector="segmenter", detector_settings={"weights": str(file)}, object_name="object")
    return [
        DetectorTool(f"segmenter {path.name}", (thing_called(name) or name.replace("_", " ").lower(),), settings,
                     f"epistem segment IMAGE --model {path}", label=label, note=f"{why}.")
        for label, name in enumerate(classes)
    ]  # fmt: skip
