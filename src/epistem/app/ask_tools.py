"""epistem's own detectors as tools of the assistant: what is asked of, and which of them finds it."""

from __future__ import annotations

from dataclasses import dataclass

from epistem.core.instances import Instances
from epistem.core.micrograph import Micrograph
from epistem.core.protocols import Detector
from epistem.detect import make_detector


@dataclass(frozen=True)
class DetectorTool:
    """A detector that is asked for one kind of thing."""

    name: str
    finds: tuple[str, ...]
    detector: Detector

    def __call__(self, micrograph: Micrograph) -> Instances:
        return self.detector(micrograph)


def tools_for(micrograph: Micrograph) -> tuple[DetectorTool, ...]:
    """Cavities by the trained detector; outside TEM also dark pores and bright particles by threshold."""
    modality = (micrograph.context.modality or "").upper()
    cavities = DetectorTool("cavity-dense", ("cavity",), make_detector("cavity-dense"))
    if modality in ("TEM", "STEM"):
        return (cavities,)
    dark, bright = (make_detector("otsu-watershed", contrast=contrast) for contrast in ("dark", "bright"))
    return (
        cavities, DetectorTool("a plain threshold, all that is dark: otsu-watershed", ("pore",), dark),
        DetectorTool("a plain threshold, all that is bright: otsu-watershed", ("particle",), bright),
    )  # fmt: skip
