"""The least that the work behind each claim can cost on this machine, for benchmarks/limits.py.

Each function says why its least is one. Most are loose: they count the arithmetic or the bytes that no program can
leave out, at the best rate seen here in the same run, and nothing of what finds, branches or allocates. Where a claim
is absolute and its job long, ours is taken from its row in results/*.json, which `python -m benchmarks.race` has just
measured.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import Times, peak_gb, processor, reading, started
from benchmarks.record import ROOT

LOADED = "from epistem.detect import make_detector\nimport numpy as np\nfrom epistem.core import Micrograph\n"
REQUESTS = 200


class Share(NamedTuple):
    """Of the limit, with its spread if it has one; the words say what the limit is."""

    value: float
    low: float | None
    high: float | None
    words: str


def _least(least_s: float, ours: Times, words: str) -> Share:
    said = f"{words}: {1e3 * least_s:.4g} ms at least, ours {1e3 * ours.median:.4g} ms"
    return Share(least_s / ours.median, least_s / ours.most, least_s / ours.least, said)


def _row(name: str) -> float | None:
    path = ROOT / "results" / f"{name.partition('.')[0]}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return next((row["value"] for row in rows if row["name"] == name), None)


def _detector_flops(side: int) -> int:
    """Multiplications and additions of all looks at a square image, as direct convolutions do them."""
    from epistem.nets.cost import cost_of
    from epistem.nets.engine import load_dense
    from epistem.nets.restore import restore
    from epistem.nets.weights import open_weights

    network = restore(open_weights("cavity-dense"))
    at_256 = cost_of(network, channels=1, side_px=256, repeats=1).macs
    return sum(round(2 * at_256 * (side / n / 256) ** 2) for n in load_dense("cavity-dense").reading.binnings)


def matched(gemm: float) -> Share:
    """Every byte of both sides' masks is read once: a mask left unread could change any pair's overlap."""
    from benchmarks.match_speed import IOU, scene
    from epistem.detect.match import match

    found, truth = scene()
    held = sum(mask.crop.nbytes for side in (found, truth) for mask in side.masks())
    ours = processor(lambda: match(found, truth, by="mask", iou=IOU))
    return _least(reading(held), ours, f"reading the masks of both sides ({held / 1e6:.1f} MB) once")


def regions(gemm: float) -> Share:
    """Every label and every grey value is read once: each of them goes into the table."""
    from benchmarks.region_speed import scene
    from epistem.core import Instances
    from epistem.detect.measure import region_table

    labels = scene()
    pixels = np.random.default_rng(1).integers(0, 2**16, labels.shape).astype(np.uint16)
    held = labels.nbytes + pixels.nbytes
    ours = processor(lambda: region_table(Instances.from_labels(labels), pixels=pixels))
    return _least(reading(held), ours, f"reading labels and grey values ({held / 1e6:.0f} MB) once")


def detected(gemm: float) -> Share:
    """The network's products, if its convolutions are summed directly and at the rate of one large product."""
    from benchmarks.engines import by_onnxruntime, running_by
    from epistem.detect import make_detector
    from epistem.nets.weights import open_weights
    from epistem.synth.cavities import simulate
    from epistem.synth.sets import draw_scene

    scene = draw_scene("A:under", "clear", rng=np.random.default_rng(0), shape=(512, 512))
    micrograph = simulate(scene, seed=0).micrograph
    work = _detector_flops(512)
    with running_by(by_onnxruntime(open_weights("cavity-dense").onnx)):
        ours = processor(lambda: make_detector("cavity-dense", engine="onnx")(micrograph))
    return _least(work / gemm, ours, f"{work / 1e9:.1f}·10⁹ operations of both looks at 512², one thread")


def helped(gemm: float) -> Share:
    """Python starts and ends, having run nothing."""
    return _least(started("-c", "pass").median, started("-m", "epistem", "--help"), "starting Python to do nothing")


def large(gemm: float) -> Share | None:
    """A process that has the same libraries loaded and has looked at one small image."""
    ours = _row("main.large_image_peak_gb")
    if ours is None:
        return None
    small = peak_gb(f"{LOADED}make_detector('cavity-dense')(Micrograph(np.eye(64, dtype=np.float32)))")
    words = f"libraries, network and an image of 64²: {small:.2f} GB at least, ours {ours:.2f} GB"
    return Share(small / ours, None, None, words)


def prdc_counted(gemm: float) -> Share:
    """All distances as one matrix product: half of those within each set, by symmetry, and all between the two."""
    from threadpoolctl import threadpool_limits

    from benchmarks.prdc_speed import NEIGHBOURS, POINTS, WIDTH, features
    from epistem.stats.prdc import prdc

    real, fake = features(np.float32)
    with threadpool_limits(1):
        ours = processor(lambda: prdc(real, fake, k=NEIGHBOURS), 3)
    work = 2 * (POINTS**2 / 2 + POINTS**2 / 2 + POINTS**2) * WIDTH
    return _least(work / gemm, ours, f"{work / 1e9:.0f}·10⁹ operations of the distances, one thread")


def rendered(gemm: float) -> Share:
    """Each pixel's electrons are drawn by chance once, as numpy draws them; the image itself comes for nothing."""
    from benchmarks.atoms_render import RINGS, SPEED_PIXEL_A
    from epistem.atoms.dataset import Setting, Spec, make_field
    from epistem.atoms.kernels import shipped_bank

    setting = Setting(keV=80.0, detectors=tuple(map(tuple, RINGS)))
    spec = Spec(hosts=("WSe2",), settings=(setting,), pixel_A=(SPEED_PIXEL_A, SPEED_PIXEL_A))
    counts = make_field(spec, 1, shipped_bank()).counts
    expected = np.maximum(counts, 0).astype(float)
    rng = np.random.default_rng(0)
    least = processor(lambda: rng.poisson(expected)).least
    return _least(
        least, processor(lambda: make_field(spec, 1, shipped_bank())), "drawing the electrons of each pixel"
    )


def zernike(gemm: float) -> Share:
    """Each pixel of a patch is multiplied by each of the basis's real functions."""
    from threadpoolctl import threadpool_limits

    from benchmarks.zernike_speed import OURS_AT_ONCE, PATCHES, SIDE, patches
    from epistem.atoms.zernike import mahotas_magnitudes, moments

    images = patches()
    work = 2 * PATCHES * SIDE**2 * moments(images[:1]).shape[-1]
    with threadpool_limits(1):
        ours = processor(lambda: mahotas_magnitudes(images), OURS_AT_ONCE)
    return _least(work / gemm, ours, f"{work / 1e6:.0f}·10⁶ operations of {PATCHES} patches, one thread")


def streamed(gemm: float) -> Share | None:
    """The products of the moments of both detectors, on two threads; the simulation comes for nothing."""
    from epistem.atoms.zernike import moments

    ours = _row("atoms.patches_per_s")
    if ours is None:
        return None
    work = 2 * 2 * 32**2 * moments(np.ones((1, 32, 32), np.float32)).shape[-1]
    most = 2 * gemm / work
    return Share(ours / most, None, None, f"the moments' products: {most:.3g} patches/s at most, ours {ours:.3g}")


def trained(gemm: float) -> Share | None:
    """The products of losses and gradients, on two threads; simulating the patches comes for nothing."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.atoms_train import FIELDS
    from epistem.atoms.kernels import shipped_bank
    from epistem.atoms.learn import build, training_sample
    from scripts.make_atoms import SPEC

    ours = _row("atoms.train_million_minutes")
    if ours is None:
        return None
    make, rng, network = training_sample(SPEC, shipped_bank()), np.random.default_rng(0), build()
    fields = [make(rng, 0) for _ in range(FIELDS)]
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(list(network.losses(fields).values()))
    least = counter.get_total_flops() / sum(len(one.role) for one in fields) * 1e6 / (2 * gemm) / 60
    return Share(least / ours, None, None, f"the network's products: {least:.2g} min at least, ours {ours:.2g} min")


def papers(gemm: float) -> Share | None:
    """pdfium draws every page once, at the resolution at which pages are looked at first."""
    import pypdfium2

    from benchmarks.ask_papers import SEEDS
    from epistem.ask.papers import _LOOK_DPI
    from tests.ask.pdfs import make_papers

    ours = _row("ask.pages_per_s")
    if ours is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        files = [pypdfium2.PdfDocument(one.path) for one in make_papers(Path(folder), SEEDS[0])]
        pages = sum(map(len, files))
        least = processor(lambda: [page.render(scale=_LOOK_DPI / 72) for one in files for page in one], 3).least
        for one in files:
            one.close()
    most = 2 * pages / least
    return Share(ours / most, None, None, f"pdfium's drawing alone: {most:.3g} pages/s at most, ours {ours:.3g}")


def first_word(gemm: float) -> Share | None:
    """The picture's tokens go through the language model's matrices; eye, question and attention come for nothing."""
    from torch import nn

    from epistem.nets.assistant_use import load_assistant

    ours = _row("ask.first_word_s")
    if ours is None:
        return None
    network, _ = load_assistant()
    parts = [(name, part) for name, part in network.language.named_modules() if isinstance(part, nn.Linear)]
    numbers = sum(part.weight.numel() for name, part in parts if "lm_head" not in name)
    least = 2 * numbers * network.image_tokens / (2 * gemm)
    words = (
        f"{numbers / 1e6:.0f}·10⁶ weights for {network.image_tokens} tokens of the picture: {least:.2g} s at least"
    )
    return Share(least / ours, None, None, f"{words}, ours {ours:.3g} s")


def first_result(gemm: float) -> Share | None:
    """The detector's products on 1024², on two threads; upload, picture and browser come for nothing."""
    ours = _row("app.first_result_s")
    if ours is None:
        return None
    least = _detector_flops(1024) / (2 * gemm)
    return Share(least / ours, None, None, f"the detector's products: {least:.2g} s at least, ours {ours:.2g} s")


def requested(gemm: float) -> Share | None:
    """A connection to the standard library's server, which answers the same two words to everything."""
    ours = _row("app.request_ms_p95")
    if ours is None:
        return None
    with HTTPServer(("127.0.0.1", 0), _Bare) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        least = 1e3 * float(np.median([_asked(server.server_port) for _ in range(REQUESTS)]))
        server.shutdown()
    return Share(least / ours, None, None, f"a bare server, idle: {least:.2g} ms, ours under load {ours:.3g} ms")


class _Bare(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def _asked(port: int) -> float:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
    return time.perf_counter() - began


def two_workers(gemm: float) -> Share | None:
    """Two workers do no more than twice the work of one."""
    ours = _row("scale.two_worker_ratio")
    return None if ours is None else Share(ours / 2, None, None, f"twice one worker, ours {ours:.2f} times")


def batched(gemm: float) -> Share | None:
    """The detector's products on 512², on one thread; reading, forecast, report and tables come for nothing."""
    ours = _row("scale.images_per_s")
    if ours is None:
        return None
    most = gemm / _detector_flops(512)
    return Share(ours / most, None, None, f"the detector's products: {most:.3g} images/s at most, ours {ours:.3g}")


BOUNDS: dict[str, Callable[[float], Share | None]] = {
    "main.match_speed_ratio": matched,
    "main.region_speed_ratio": regions,
    "main.detect_speed_ratio": detected,
    "main.help_seconds": helped,
    "main.large_image_peak_gb": large,
    "segment.prdc_speed_ratio": prdc_counted,
    "atoms.render_speed_ratio": rendered,
    "atoms.patches_per_s": streamed,
    "atoms.zernike_speed_ratio": zernike,
    "atoms.train_million_minutes": trained,
    "ask.pages_per_s": papers,
    "ask.first_word_s": first_word,
    "app.first_result_s": first_result,
    "app.request_ms_p95": requested,
    "scale.two_worker_ratio": two_workers,
    "scale.images_per_s": batched,
}
