"""The panel in napari: choose an image, find and measure, correct the labels, measure again, send back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from epistem.core import EpistemError
from epistem.detect import DEFAULT, DETECTORS
from epistem.napari import work
from epistem.napari.layers import micrograph_of

# The others have no weights of their own to begin with.
FINDERS = tuple(name for name in DETECTORS if name not in ("segmenter", "cavity-maskrcnn"))


def panel(viewer: Any = None) -> Any:
    """The panel as a magicgui container.

    Args:
        viewer: napari's; the one that is open if None.
    """
    from magicgui.types import FileDialogMode
    from magicgui.widgets import (
        CheckBox,
        ComboBox,
        Container,
        FileEdit,
        LineEdit,
        PushButton,
        TextEdit,
        create_widget,
    )
    from napari.layers import Image, Labels

    parts: dict[str, Any] = {
        "image": create_widget(annotation=Image, name="image", label="Image"),
        "detector": ComboBox(name="detector", label="Detector", choices=FINDERS, value=DEFAULT),
        "weights": LineEdit(name="weights", label="Weights", tooltip="A .safetensors file of yours; empty: shipped"),
        "pixel_size": LineEdit(
            name="pixel_size", label="Pixel size", tooltip="0.38, 1.2 µm…; empty: the layer's own"
        ),
        "min_score": LineEdit(name="min_score", label="Least score", tooltip="0 to 1; empty: the detector's own"),
        "forecast": CheckBox(name="forecast", label="Forecast F1", value=True),
        "run": PushButton(name="run", text="Run epistem"),
        "objects": create_widget(annotation=Labels, name="objects", label="Objects"),
        "measure": PushButton(name="measure", text="Measure corrected"),
        "folder": FileEdit(
            name="folder", label="Corrections", mode=FileDialogMode.EXISTING_DIRECTORY, value=Path("corrections")
        ),
        "send": PushButton(name="send", text="Send back"),
        "said": TextEdit(name="said", label=" ", value="Open an image, then run."),
    }
    shown = Container(widgets=list(parts.values()), name="epistem")
    shown.native.setMinimumWidth(260)
    parts["said"].native.setReadOnly(True)
    parts["said"].native.setMinimumHeight(200)
    acts = Panel(parts, viewer)
    # Signals hold methods weakly and functions not: these keep the panel's acts alive.
    parts["run"].changed.connect(lambda: acts.run())
    parts["measure"].changed.connect(lambda: acts.measure())
    parts["send"].changed.connect(lambda: acts.send())
    return shown


class Panel:
    """What the buttons do. The parts are read when one is pressed; the work runs beside the window."""

    def __init__(self, parts: dict[str, Any], viewer: Any = None) -> None:
        self.parts, self._viewer = parts, viewer

    @property
    def viewer(self) -> Any:
        """The viewer that the panel is in."""
        if self._viewer is None:
            import napari

            self._viewer = napari.current_viewer()
        return self._viewer

    def run(self) -> None:
        """Find and measure what is in the chosen image; the objects come as a labels layer."""
        layer = self.parts["image"].value
        if layer is None:
            return self.tell("There is no image layer; open a micrograph first.")
        step, typed = tuple(self.viewer.dims.current_step), self.parts["pixel_size"].value
        choices = self._tried(self._choices)
        if choices is None:
            return None
        return self._beside(
            lambda: work.run(micrograph_of(layer, step, typed), choices),
            self._show,
            f"Looking for objects in {layer.name}…",
        )

    def measure(self) -> None:
        """Measure the chosen labels as they are now."""
        self._corrected(self._update, "Measuring the corrected objects…")

    def send(self) -> None:
        """Measure them and write image and objects for training."""
        folder = Path(self.parts["folder"].value)

        def write(layer: Any, again: Any) -> None:
            self._update(layer, again)
            sent = self._tried(lambda: work.send_back(again, folder))
            if sent is not None:
                self.tell(f"{work.said(again)}\n\nWritten: {sent.labels}\nTo learn from them:\n{sent.command}")

        self._corrected(write, "Writing the corrected objects…")

    def tell(self, text: str) -> None:
        """Words at the foot of the panel."""
        self.parts["said"].value = text

    def _choices(self) -> work.Choices:
        weights = self.parts["weights"].value.strip()
        return work.Choices(
            self.parts["detector"].value,
            Path(weights) if weights else None,
            work.typed_score(self.parts["min_score"].value),
            self.parts["forecast"].value,
        )

    def _corrected(self, then: Callable[[Any, Any], None], doing: str) -> None:
        layer = self.parts["objects"].value
        analysis = None if layer is None else layer.metadata.get(work.RESULT)
        if analysis is None:
            return self.tell("Choose a labels layer that Run epistem made: it knows which image it is of.")
        labels = layer.data.copy()
        return self._beside(lambda: work.measure_again(analysis, labels), lambda again: then(layer, again), doing)

    def _show(self, analysis: Any) -> None:
        data, about, _ = work.labels_of(analysis)
        layer = self.viewer.add_labels(data, **about)
        layer.contour = 2  # what lies inside an outline is what a person judges by
        self.parts["objects"].value = layer
        self.tell(work.said(analysis))

    def _update(self, layer: Any, again: Any) -> None:
        """The layer gets the labels, sizes and scores of the corrected objects, numbered anew."""
        data, about, _ = work.labels_of(again)
        layer.data, layer.features = data, about["features"]
        layer.metadata = {**layer.metadata, work.RESULT: again}
        self.tell(work.said(again))

    def _tried(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except EpistemError as error:
            self.tell(str(error))
            return None

    def _beside(self, act: Callable[[], Any], then: Callable[[Any], None], doing: str) -> None:
        from napari.qt.threading import create_worker

        def done(result: Any) -> None:
            if isinstance(result, str):
                self.tell(result)
            else:
                then(result)

        self.tell(doing)
        create_worker(_caught, act, _connect={"returned": done})


def _caught(act: Callable[[], Any]) -> Any:
    """What it returns, or in words why not; other errors go to napari's own report.

    In words, because napari raises an error that a worker returns.
    """
    try:
        return act()
    except EpistemError as error:
        return str(error)
