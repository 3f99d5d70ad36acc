"""The panel with napari's layers and Qt's buttons; skipped, and said so, where napari or Qt is not installed.

With a display (Xvfb is enough) it stands in napari's window; without one there is no OpenGL to draw layers, and the
panel works on the viewer's model.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
DRAWN = os.environ.get("QT_QPA_PLATFORM") != "offscreen"
pytest.importorskip("napari", reason="napari is not installed (epistem[napari])")
pytest.importorskip("qtpy.QtWidgets", reason="no Qt is installed for napari (epistem[napari])")

# napari and vispy warn of their own age under our strict filters.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def viewer() -> Iterator[Any]:
    import napari
    from napari.components import ViewerModel
    from napari.qt import get_qapp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        get_qapp()
        if not DRAWN:
            yield ViewerModel()
            return
        made = napari.Viewer(show=False)
        yield made
        made.close()


@pytest.fixture
def panel(viewer: Any) -> Any:
    from napari.layers import Image, Labels

    from epistem.napari.widget import panel as make

    shown = make(viewer)
    if DRAWN:
        viewer.window.add_dock_widget(shown)
    else:  # napari's window would keep these up to date
        shown.image.choices = lambda _: [one for one in viewer.layers if isinstance(one, Image)]
        shown.objects.choices = lambda _: [one for one in viewer.layers if isinstance(one, Labels)]
        viewer.layers.events.inserted.connect(shown.reset_choices)
    return shown


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)
    assert until()


def discs(path: Path) -> Path:
    rows, cols = np.mgrid[:160, :224]
    image = np.random.default_rng(0).normal(0, 0.05, (160, 224))
    for i in range(9):
        image += np.hypot(rows - (30 + 45 * (i // 4)), cols - (30 + 50 * (i % 4))) < 5 + i % 3
    scale = {"resolution": (1 / 0.4, 1 / 0.5), "metadata": {"unit": "nm", "axes": "YX"}}
    tifffile.imwrite(path, (1000 + 300 * image).astype(np.uint16), imagej=True, **scale)
    return path


def test_open_run_correct_measure_and_send_back(viewer: Any, panel: Any, tmp_path: Path) -> None:
    from epistem.app.train_labels import read_labelled
    from epistem.napari.layers import read_layers

    ((data, about, _),) = read_layers(str(discs(tmp_path / "a.tif")))
    image = viewer.add_image(data, **about)
    assert image.scale == pytest.approx((0.5, 0.4))
    assert [str(unit) for unit in image.units] == ["nanometer", "nanometer"]
    assert panel.image.value is image

    panel.detector.value, panel.forecast.value = "otsu-watershed", False
    panel.run.native.click()
    wait(lambda: len(viewer.layers) == 2)
    objects = viewer.layers[1]
    assert panel.said.value.startswith("9 cavities in a.tif, mean diameter 5.")
    assert objects.scale == pytest.approx(image.scale)
    assert len(objects.features) == 9
    value = int(objects.data[30, 30])
    status = objects.get_status((30 * 0.5, 30 * 0.4), world=True)["value"]
    assert status.startswith(f"{value}; score:")
    assert "equivalent_diameter_nm: " in status

    objects.fill((30, 30), 0)
    objects.data[100:120, 180:200] = 50
    panel.measure.native.click()
    wait(lambda: "Corrected by hand" in panel.said.value)
    assert len(objects.features) == 9
    assert objects.data[30, 30] == 0
    assert np.isnan(objects.features["score"].iloc[-1])

    panel.folder.value = tmp_path / "mine"
    panel.send.native.click()
    wait(lambda: "epistem train detector" in panel.said.value)
    (labelled,) = read_labelled(tmp_path / "mine" / "labels", tmp_path / "mine" / "images", tmp_path / "out")
    assert len(labelled.truth) == 9
    assert sorted(int(mask.crop.sum()) for mask in labelled.truth.masks())[-1] == 400


def test_what_goes_wrong_is_said_in_the_panel(viewer: Any, panel: Any) -> None:
    panel.run.native.click()
    assert "no image layer" in panel.said.value
    viewer.add_image(np.zeros((64, 64)), name="b")
    panel.min_score.value = "high"
    panel.run.native.click()
    assert "from 0 to 1" in panel.said.value
    panel.min_score.value, panel.pixel_size.value = "", "3 kg"
    panel.run.native.click()
    wait(lambda: "3 kg" in panel.said.value)
    panel.pixel_size.value, panel.weights.value = "", "nowhere.safetensors"
    panel.run.native.click()
    wait(lambda: "no weights at nowhere.safetensors" in panel.said.value)
    viewer.add_labels(np.zeros((64, 64), int), name="mine")
    panel.measure.native.click()
    assert "that Run epistem made" in panel.said.value
    assert len(viewer.layers) == 2


def test_napari_offers_the_panel_and_the_reader_of_the_manifest(viewer: Any, tmp_path: Path) -> None:
    npe2 = pytest.importorskip("npe2")
    if not DRAWN:
        pytest.skip("no display: napari's window needs OpenGL; run under Xvfb")
    if "epistem" not in [one.name for one in npe2.PluginManager.instance().iter_manifests()]:
        pytest.skip("epistem was installed before it had a manifest; install it again")
    _, shown = viewer.window.add_plugin_dock_widget("epistem", "Run epistem")
    assert shown.run.text == "Run epistem"
    (layer,) = viewer.open(str(discs(tmp_path / "a.tif")), plugin="epistem")
    assert layer.scale == pytest.approx((0.5, 0.4))
