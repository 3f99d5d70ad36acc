"""Other ways to run the shipped detector's network: main.engine_ratio.<way>, main.engine_f1_loss.<way>.

    pip install openvino        # for its row; without it that row is left out
    python -m benchmarks.engines [--fields 24] [--dry]

The ways: `folded`, the file as onnxruntime rewrites it (weights widened beforehand, norms in the convolutions), so
that loading does not have to (also main.engine_load_ms_saved); `int8`, convolutions in 8 bit, ranges taken from
simulated fields; `int8_ends`, the same with the stem and the heads left in single precision; `openvino`. Each runs on
one thread, in turns with the file as shipped, on the same images. F1 is that of the detector on held-out fields at
its shipped threshold; the loss is that of the same fields, so that fields drawn again are drawn for both.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.contest import LEARNED, Share, f1_gain, told
from epistem.detect import make_detector
from epistem.detect.calibrate import ASKED, collect, counts_at, saved_field
from epistem.imaging.normalize import normalize
from epistem.nets.engine import Maps, load_dense
from epistem.nets.stars import pad
from epistem.nets.weights import open_weights
from epistem.synth.fields import Recipe, make_fields
from epistem.synth.sets import SETS

COMMAND = "python -m benchmarks.engines"
# No training, calibration or other benchmark draws from these; with seed 4001 it was tried which layers to leave.
RANGES_SEED, TEST_SEED = 4000, 4002
RANGE_FIELDS, TURNS = 12, 9
ENDS = ("encoder_bn1", "centre", "shape")  # beginnings of the outputs of the stem and of the heads


def main(words: Sequence[str] | None = None) -> int:
    """Make the files, time them in turns, score them, record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, default=24, help="held-out, for F1")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ranges, test = (_fields(folder / str(seed), number, seed)
                        for seed, number in ((RANGES_SEED, RANGE_FIELDS), (TEST_SEED, asked.fields)))  # fmt: skip
        ways = made(folder, ranges)
        loaded(folder, asked.dry)
        timed(ways, test[0], asked.dry)
        scored(ways, test, asked.dry)
    return 0


def _fields(folder: Path, number: int, seed: int) -> list[Path]:
    return make_fields(folder, Recipe(tuple((one, "clear", 1.0) for one in SETS), number, seed=seed, empty=0))


def made(folder: Path, ranges: Sequence[Path]) -> dict[str, Maps]:
    """Name → network, `shipped` first; (H, W) z-scores to maps."""
    shipped = open_weights(LEARNED).onnx
    folded = folder / "folded.onnx"
    fold(shipped, folded)
    ways = {"shipped": by_onnxruntime(shipped), "folded": by_onnxruntime(folded)}
    images = [pad(normalize(saved_field(path, ASKED["clear"]).micrograph))[None, None] for path in ranges]
    for name, left in (("int8", ()), ("int8_ends", ENDS)):
        path = folder / f"{name}.onnx"
        quantise(folded, path, images, left)
        ways[name] = by_onnxruntime(path)
    if importlib.util.find_spec("openvino") is None:
        print("openvino is not installed; its row stays as it is")
    else:
        ways["openvino"] = by_openvino(shipped)
    return ways


def _options(level: Any = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if level is not None:
        options.graph_optimization_level = level
    return options


def fold(given: Path, out: Path) -> None:
    """Write what onnxruntime makes of a file before it looks at the processor, each node with a name."""
    import onnx

    options = _options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(str(given), options, providers=["CPUExecutionProvider"])
    model = onnx.load(out)
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.save(model, out)


def quantise(given: Path, out: Path, images: Sequence[NDArray[np.float32]], left: Sequence[str]) -> None:
    """Convolutions in 8 bit, each output channel with its own step, but for those whose outputs begin with `left`."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Ranges(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self.rest, None)
            return None if image is None else {"image": image}

    nodes = onnx.load(given).graph.node
    excluded = [node.name for node in nodes if node.op_type == "Conv" and node.name.startswith(tuple(left))]
    assert bool(excluded) == bool(left), "the network's parts have other names now"
    quantize_static(
        given, out, Ranges(), quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["Conv"],
        nodes_to_exclude=excluded,
    )  # fmt: skip


def by_onnxruntime(path: Path) -> Maps:
    """A file on one thread."""
    session = onnxruntime.InferenceSession(str(path), _options(), providers=["CPUExecutionProvider"])
    return _cut(lambda image: session.run(None, {"image": image})[0])


def by_openvino(path: Path) -> Maps:
    """The same, in single precision too."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    return _cut(lambda image: next(iter(request.infer({0: image}).values())))


def _cut(run: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Maps:
    def maps(image: NDArray[np.float32]) -> NDArray[np.float32]:
        h, w = (-(-n // 2) for n in image.shape)
        return run(pad(image)[None, None])[0, :, :h, :w]

    return maps


def loaded(folder: Path, dry: bool) -> None:
    """What a folded file would save when it is loaded."""
    files = (open_weights(LEARNED).onnx, folder / "folded.onnx")
    ms = 1e3 * np.array([[_seconds(by_onnxruntime, path) for path in files] for _ in range(TURNS)])
    saved = ms[:, 0] - ms[:, 1]
    told(
        "main.engine_load_ms_saved",
        Share(*(round(float(one), 1) for one in (np.median(saved), saved.min(), saved.max()))),
        target="reported", command=COMMAND, dry=dry,
        data=f"loading the network by onnxruntime: {np.median(ms[:, 0]):.0f} ms as shipped "
        f"({files[0].stat().st_size / 1e6:.1f} MB), {np.median(ms[:, 1]):.0f} ms folded "
        f"({files[1].stat().st_size / 1e6:.1f} MB); median, least and most of {TURNS} turns, processor time",
    )  # fmt: skip


def timed(ways: dict[str, Maps], path: Path, dry: bool) -> None:
    """Processor time of one image by each, in turns, after a first call that does not count."""
    image = normalize(saved_field(path, ASKED["clear"]).micrograph)
    first = {name: maps(image) for name, maps in ways.items()}
    seconds = np.array([[_seconds(maps, image) for maps in ways.values()] for _ in range(TURNS)])
    for at, name in enumerate(ways):
        if name == "shipped":
            continue
        ratios = seconds[:, 0] / seconds[:, at]
        apart = float(np.abs(first[name] - first["shipped"]).max())
        told(
            f"main.engine_ratio.{name}",
            Share(*(round(float(one), 3) for one in (np.median(ratios), ratios.min(), ratios.max()))),
            target="reported", command=COMMAND, dry=dry,
            data=f"time of the shipped network by onnxruntime over {name}'s, one look at a simulated field of "
            f"{image.shape[0]}² on one thread: {1e3 * np.median(seconds[:, 0]):.0f} ms against "
            f"{1e3 * np.median(seconds[:, at]):.0f} ms; maps differ by {apart:.2g} at most; median, smallest and "
            f"largest of {TURNS} turns, processor time",
        )  # fmt: skip


def _seconds(work: Callable[[Any], object], given: Any) -> float:
    began = time.process_time()
    work(given)
    return time.process_time() - began


def scored(ways: dict[str, Maps], test: Sequence[Path], dry: bool) -> None:
    """F1 of the shipped file less that of each other one, on the same fields."""
    counts = {name: _counts(maps, test) for name, maps in ways.items()}
    for name in ways:
        if name == "shipped":
            continue
        tp, fp, fn = counts[name].sum(axis=0)
        own_tp, own_fp, own_fn = counts["shipped"].sum(axis=0)
        told(
            f"main.engine_f1_loss.{name}", f1_gain(counts["shipped"], counts[name]), target="reported",
            command=COMMAND, dry=dry,
            data=f"{len(test)} clear fields of 512² of all sets, seed {TEST_SEED}: F1 "
            f"{2 * own_tp / (2 * own_tp + own_fp + own_fn):.4f} as shipped, {2 * tp / (2 * tp + fp + fn):.4f} by "
            f"{name}; low and high: 90 % over fields drawn again",
        )  # fmt: skip


def _counts(maps: Maps, test: Sequence[Path]) -> NDArray[np.int64]:
    with running_by(maps):
        found = collect(make_detector(LEARNED, engine="onnx"), (saved_field(path, ASKED["clear"]) for path in test))
    return counts_at(found, open_weights(LEARNED).min_score)


@contextmanager
def running_by(maps: Maps) -> Iterator[None]:
    """Within it the shipped detector's network is this one."""
    shipped = load_dense(LEARNED, "onnx")
    with patch("epistem.detect.learned.load_dense", lambda *_: shipped._replace(maps=maps)):
        yield


if __name__ == "__main__":
    sys.exit(main())
