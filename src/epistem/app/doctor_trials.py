"""Each job done once in small; `python -m epistem.app.doctor_trials NAME` is the process that `doctor.tried` starts.

What came of it is the last line it prints, as JSON: state, said, mend.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epistem.app.doctor import one_line
from epistem.app.doctor_source import reinstall_line
from epistem.core.errors import DependencyMissing, EpistemError

SAMPLES = Path(__file__).parent / "shipped" / "formats.zip"
_SIDE = 128  # of the field that is simulated and analysed [px]
_QUESTION = "What is the pixel size?"
_ROUNDING = 1e-3  # of sums of 256 products in single precision, relative


class Told(Exception):
    """What came of a trial, where it is not simply that it went well."""

    def __init__(self, state: str, said: str, mend: str | None) -> None:
        super().__init__(said)
        self.state, self.mend = state, mend


def analyze() -> str:
    """A simulated field, from a file to the report."""
    from epistem.detect import DEFAULT

    try:
        return _analyzed(DEFAULT)
    except DependencyMissing as error:
        said = f"{_analyzed('log')}, by the detector log; {DEFAULT} is not installed"
        raise Told("missing", said, str(error)) from error


def formats() -> str:
    """The sample of every format."""
    from epistem.imaging import READERS, read

    well, lacking, wrong = [], {}, {}
    with tempfile.TemporaryDirectory() as made:
        with zipfile.ZipFile(SAMPLES) as archive:
            archive.extractall(made)
        for name in READERS:
            (sample,) = (Path(made) / name).iterdir()
            try:
                read(sample)
            except DependencyMissing as error:
                lacking[name] = str(error)
            except Exception as error:  # noqa: BLE001 - one format must not hide the others
                wrong[name] = f"{type(error).__name__}: {error}"
            else:
                well.append(name)
    if wrong:
        said = "; ".join(f"{name}: {' '.join(why.split())}" for name, why in wrong.items())
        raise Told("broken", f"{len(well)} of {len(READERS)} formats are read; {said}", reinstall_line())
    if lacking:
        said = f"{len(well)} of {len(READERS)} formats are read; not {', '.join(lacking)}"
        raise Told("missing", said, "; ".join(dict.fromkeys(lacking.values())))
    return f"{len(well)} formats: {', '.join(well)}"


def segment() -> str:
    """Scores of a mask that is off by a row, where they are known."""
    import numpy as np

    import epistem.bench.compare
    import epistem.bench.run  # noqa: F401 - what `epistem bench` begins with
    from epistem.segment.metrics import confusion, iou

    truth = np.zeros((8, 8), int)
    truth[2:6, 2:6] = 1
    value = float(iou(confusion(np.roll(truth, 1, axis=0), truth, ("ground", "part")))[1])
    if abs(value - 12 / 20) > 1e-9:
        raise Told("broken", f"IoU {value:.4f} where it is {12 / 20:.4f}", reinstall_line())
    return f"IoU {value:.2f}, as it should be"


def atoms() -> str:
    """A small field from the shipped bank of columns."""
    from epistem.app.atoms_simulate import EXAMPLE
    from epistem.atoms.dataset import make_field, read_spec
    from epistem.atoms.kernels import shipped_bank

    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "spec.yaml"
        file.write_text(EXAMPLE, "utf-8")
        spec = read_spec(file).model_copy(update={"size_A": 40.0})
    field = make_field(spec, 0, shipped_bank())
    rows, cols = field.counts.shape[1:]
    return f"{len(field.sites_px)} columns of {spec.hosts[0]} in {rows} × {cols} pixels"


def ask() -> str:
    """A question whose answer stands in the file: no language model, no network."""
    from epistem.app.ask_run import put_to, reply, shown

    with tempfile.TemporaryDirectory() as made:
        put = put_to(shown(_field(Path(made)), None, None), _QUESTION, chosen=False)
        answered = reply(put, speaker=None)
    said = " ".join(statement.text for statement in answered.statements)
    if answered.abstained:
        raise Told("broken", f"{_QUESTION!r} was not answered: {said}", reinstall_line())
    return f"{_QUESTION} {said}"


def serve() -> str:
    """The page, answering on a free port of this machine."""
    if importlib.util.find_spec("nicegui") is None:
        raise DependencyMissing('the page needs nicegui; pip install "epistem[app]"')
    from epistem.app.doctor_page import first_page

    status, port = first_page()
    if status != 200:
        raise Told("broken", f"the page answers {status} at 127.0.0.1:{port}, wanted 200", reinstall_line())
    return f"the page answers at 127.0.0.1, tried at port {port}"


def onnxruntime() -> str:
    """Its version and what it can run on."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise DependencyMissing('pip install "epistem[lite]"')
    import onnxruntime as runtime

    return f"{runtime.__version__}, {', '.join(runtime.get_available_providers())}; epistem uses the CPU's"


def torch() -> str:
    """Its version, and one product on each device there is."""
    if importlib.util.find_spec("torch") is None:
        raise DependencyMissing('pip install "epistem[nets]"')
    import torch as library

    devices = ["cpu", *(f"cuda:{i}" for i in range(library.cuda.device_count()))]
    left, right = library.rand(256, 256), library.rand(256, 256)
    want = left @ right
    for device in devices:
        if not library.allclose((left.to(device) @ right.to(device)).cpu(), want, rtol=_ROUNDING):
            raise Told("broken", f"{library.__version__} multiplies wrongly on {device}", "update the GPU's driver")
    names = [f"{device} ({library.cuda.get_device_name(device)})" for device in devices[1:]]
    return f"{library.__version__}, {', '.join(['CPU', *names]) if names else 'CPU, no GPU that it can use'}"


TRIALS: dict[str, Callable[[], str]] = {
    "analyze": analyze, "formats": formats, "segment": segment, "atoms": atoms, "ask": ask, "serve": serve,
    "onnxruntime": onnxruntime, "torch": torch,
}  # fmt: skip


def outcome(trial: Callable[[], str]) -> dict[str, Any]:
    """What came of a trial: its state, what was seen, what to do."""
    try:
        return {"state": "ok", "said": trial(), "mend": None}
    except Told as told:
        return {"state": told.state, "said": str(told), "mend": told.mend}
    except DependencyMissing as error:
        return {"state": "missing", "said": "not installed", "mend": one_line(error)}
    except EpistemError as error:
        return {"state": "broken", "said": one_line(error), "mend": reinstall_line()}
    except Exception as error:  # noqa: BLE001 - whatever a broken library raises is what is to be told
        return {"state": "broken", "said": f"{type(error).__name__}: {one_line(error)}", "mend": reinstall_line()}


def _analyzed(detector: str) -> str:
    # What is still open when something fails must not hide why it failed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        n, wrong = _small_batch(Path(made), detector)
    if wrong:
        raise Told("broken", wrong, reinstall_line())
    return f"{n} cavities found in a simulated field of {_SIDE} × {_SIDE} pixels, tables and report written"


def _small_batch(folder: Path, detector: str) -> tuple[int, str]:
    """How many cavities were found, and what is wrong; "" for nothing.

    The result does not leave this function: it keeps a file open, which Windows would not remove with the folder.
    """
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.settings import make_settings

    settings, out = make_settings(detector=detector), folder / "out"
    _field(folder)
    jobs = make_jobs(list_files([folder / "field.tif"], out), settings)
    result = run_batch(jobs, settings, out, workers=1)
    if result.errors:
        return 0, result.errors[0].why
    n = result.records[0].images[0].n_objects
    well = (out / "report.html").is_file() and n > 0
    return n, "" if well else f"{n} objects found in a field of clear cavities"


def _field(folder: Path) -> Path:
    """A simulated field as a calibrated file."""
    import tifffile

    from epistem.synth.cavities import CavityScene, simulate

    made = simulate(CavityScene(shape=(_SIDE, _SIDE), number=6, diameter_nm=6), seed=0).micrograph
    assert made.calibration is not None
    per_nm = 1 / made.calibration.row_nm
    path = folder / "field.tif"
    tifffile.imwrite(path, made.pixels, imagej=True, resolution=(per_nm, per_nm), metadata={"unit": "nm"})
    return path


if __name__ == "__main__":
    told = outcome(TRIALS[sys.argv[1]])
    print(json.dumps(told))
