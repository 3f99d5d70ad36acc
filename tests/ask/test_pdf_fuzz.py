"""Papers made to break a reader: cut, flipped, locked, endless, blown up. Each is figures or one line of words."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pypdfium2")
pytest.importorskip("reportlab")

from reportlab.lib import pdfencrypt
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from benchmarks.fuzz_readers import damaged
from epistem.ask.papers import Failed, Ingested, ingest_all

TOO_LONG_S = 20.0
TOO_MUCH_GB = 1.0


def paper(path: Path, **more: object) -> bytes:
    """One page with a picture over its caption, and a paragraph."""
    canvas = Canvas(str(path), pagesize=(400, 500), pageCompression=1, **more)
    grey = np.random.default_rng(0).integers(60, 200, (60, 80)).astype(np.uint8)
    canvas.drawImage(ImageReader(Image.fromarray(grey)), 50, 300, 160, 120)
    canvas.setFont("Helvetica", 9)
    canvas.drawString(50, 285, "Figure 1. SEM image of glass after irradiation.")
    for line in range(6):
        canvas.drawString(50, 200 - 12 * line, "The glass was irradiated with gold ions; Figure 1 shows its surface.")
    canvas.showPage()
    canvas.save()
    return path.read_bytes()


def by_hand(objects: list[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is its root."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + one + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))


def stream(about: bytes, content: bytes) -> bytes:
    return b"<<" + about + b"/Length %d>>\nstream\n" % len(content) + content + b"\nendstream"


def page(more: bytes = b"", box: bytes = b"0 0 400 500") -> list[bytes]:
    tree = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    return [*tree, b"<</Type/Page/Parent 2 0 R/MediaBox[" + box + b"]" + more + b">>"]


@cache
def zeros(megabytes: int) -> bytes:
    """So many of them, squeezed a thousandfold."""
    squeezed, some = zlib.compressobj(1), bytes(2**20)
    return b"".join(squeezed.compress(some) for _ in range(megabytes)) + squeezed.flush()


USE = b"/Resources<</XObject<</A 5 0 R>>>>/Contents 4 0 R"
DRAWN = stream(b"", b"q 300 0 0 300 50 100 cm /A Do Q")
PICTURE = b"/Type/XObject/Subtype/Image/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/FlateDecode"
TWICE = b"/Filter[/FlateDecode/FlateDecode]"
# Small files that ask for much.
BOMBS: dict[str, Callable[[], list[bytes]]] = {
    "text of 200 MB": lambda: [*page(b"/Contents 4 0 R"), stream(b"/Filter/FlateDecode", zeros(200))],
    "text squeezed twice": lambda: [*page(b"/Contents 4 0 R"), stream(TWICE, zlib.compress(zeros(200)))],
    "a picture of 10 gigapixels": lambda: [
        *page(USE), DRAWN, stream(PICTURE + b"/Width 100000/Height 100000", zlib.compress(b"0")),
    ],
    "a picture of 200 MB": lambda: [*page(USE), DRAWN, stream(PICTURE + b"/Width 10000/Height 20000", zeros(200))],
    "a page of a thousand kilometres": lambda: page(box=b"0 0 3000000000 3000000000"),
    "a page without area": lambda: page(box=b"0 0 0 0"),
    "a page of no number": lambda: page(box=b"0 0 nan 1e999"),
    "a thousand million pages": lambda: [page()[0], b"<</Type/Pages/Kids[3 0 R]/Count 1000000000>>", page()[2]],
    "fewer pages than none": lambda: [page()[0], b"<</Type/Pages/Kids[3 0 R]/Count -5>>", page()[2]],
    "pages that hold themselves": lambda: [page()[0], b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"],
    "an object that is itself": lambda: [page()[0], b"<</Type/Pages/Kids 2 0 R/Count 4 0 R>>", b"3 0 R", b"4 0 R"],
    "brackets in brackets": lambda: [*page(b"/Contents 4 0 R"), stream(b"", b"[" * 200_000)],
    "a million states": lambda: [*page(b"/Contents 4 0 R"), stream(b"", b"q " * 1_000_000)],
}  # fmt: skip


READ = """
import json, re, sys, time, warnings
from pathlib import Path
from epistem.ask.papers import Failed, ingest_all

def most_gb():
    # Peak of this process alone: what getrusage tells is that of whoever started it, where that is more.
    status = Path("/proc/self/status")
    return int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text("utf-8"))[1]) / 2**20 if status.exists() else 0.0

warnings.simplefilter("error")
folder, before = Path(sys.argv[1]), most_gb()
for path in sorted(one for one in folder.iterdir() if one.is_file()):
    began = time.monotonic()
    (told,) = ingest_all([path], folder / "out", layout="rules", read=False)
    kind, why = (told.kind, told.why) if isinstance(told, Failed) else ("", "")
    print(json.dumps([path.name, kind, why, time.monotonic() - began, most_gb() - before]), flush=True)
"""


class Told(NamedTuple):
    """What became of a paper: "" or the kind of error and why, seconds, how far memory peaked above the start."""

    kind: str
    why: str
    s: float
    grown_gb: float


def read_all(folder: Path) -> dict[str, Told]:
    """The papers of a folder, in a fresh process: each is figures or one line of words, in time and memory."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], capture_output=True, encoding="utf-8", errors="replace",
        timeout=200, check=False,
    )  # fmt: skip
    told = {name: Told(*rest) for name, *rest in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, f"after {[*told][-1:]}: {done.stderr}"
    for name, one in told.items():
        assert one.s < TOO_LONG_S, name
        assert one.grown_gb < TOO_MUCH_GB, name
        if one.kind:
            assert one.kind not in ("fault", "MemoryError"), one.why
            assert "\n" not in one.why
            assert name in one.why
    return told


def read(path: Path) -> Ingested | Failed:
    (told,) = ingest_all([path], path.parent / "out", layout="rules", read=False)
    return told


def test_damaged_papers_are_figures_or_a_line(tmp_path: Path) -> None:
    sound = [paper(tmp_path / "a.pdf"), paper(tmp_path / "b.pdf", pdfVersion=(1, 7))]
    (tmp_path / "damaged").mkdir()
    for number in range(60):
        content, _, how = damaged(sound, [".pdf", ".pdf"], np.random.default_rng([5, number]))
        (tmp_path / "damaged" / f"{number}_{how}.pdf").write_bytes(content)
    told = read_all(tmp_path / "damaged")
    assert len(told) == 60
    assert {one.kind == "" for one in told.values()} == {True, False}  # some damage is harmless, some is not


def test_small_files_that_ask_for_much_are_read_in_time_and_memory(tmp_path: Path) -> None:
    for name, objects in BOMBS.items():
        content = by_hand(objects())
        assert len(content) < 3_000_000
        (tmp_path / f"{name}.pdf").write_bytes(content)
    told = read_all(tmp_path)
    assert len(told) == len(BOMBS)
    if sys.platform == "linux":
        assert max(one.grown_gb for one in told.values()) > 0.2  # 200 MB were read: the peak is one


def test_a_locked_paper_is_told_as_one(tmp_path: Path) -> None:
    paper(tmp_path / "a.pdf", encrypt=pdfencrypt.StandardEncryption("secret", canPrint=0))
    told = read(tmp_path / "a.pdf")
    assert isinstance(told, Failed)
    assert "password" in told.why or "encrypt" in told.why


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
ARTICLE = (
    '<article><front><article-meta><article-id pub-id-type="doi">10.1/x</article-id></article-meta></front>'
    "{}</article>"
)
FIGURE = (
    '<body><p>Figure 1 shows it.</p><fig><label>Figure 1</label><caption><p>An SEM image of glass.</p></caption>'
    '<graphic xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="{}"/></fig></body>'
)  # fmt: skip
XML = {
    "a thousand million laughs": f'<!DOCTYPE article [<!ENTITY a0 "ha">{LAUGHS}]>'
    + ARTICLE.format("<body>&a11;</body>"),
    "a file of the system": '<!DOCTYPE article [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + ARTICLE.format("<body><p>&x;</p></body>"),
    "a picture above the folder": ARTICLE.format(FIGURE.format("../../../../etc/passwd")),
    "a picture that is no path": ARTICLE.format(FIGURE.format("a" * 5000)),
    "a year that is no number": ARTICLE.replace("</article-id>", "</article-id><pub-date><year>²</year></pub-date>"),
    "depth": "<article>" + "<p>" * 50_000 + "</p>" * 50_000 + "</article>",
    "no end": "<article><body>" + "<p>x" * 1000,
    "not its encoding": '<?xml version="1.0" encoding="utf-16"?><article/>',
    "nothing": "",
}


def test_articles_made_to_break_a_reader_are_figures_or_a_line(tmp_path: Path) -> None:
    for name, text in XML.items():
        (tmp_path / f"{name}.xml").write_text(text, "utf-8")
    told = read_all(tmp_path)
    assert len(told) == len(XML)
    kept = "".join(one.read_text("utf-8", "replace") for one in (tmp_path / "out").rglob("*.json"))
    assert "root:" not in f"{told}{kept}"


def test_a_picture_link_as_name_leads_to_no_other_file(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    Image.new("L", (60, 60), 99).save(tmp_path / "secret.png")
    (inside / "a.xml").write_text(ARTICLE.format(FIGURE.format("../secret.png")), "utf-8")
    told = read(inside / "a.xml")
    assert isinstance(told, Ingested)
    assert told.figures == ()


def test_a_paper_that_is_endless_is_stopped_and_told(tmp_path: Path) -> None:
    """Two drawings that draw each other: pdfium does not come back from the page."""
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</XObject<</A 5 0 R>>>>>>",
        b"<</Length 5>>stream\n/A Do\nendstream",
        *(
            b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</A %d 0 R/B %d 0 R>>>>/Length 11>>"
            b"stream\n/A Do /B Do\nendstream" % (6 + (k + 1) % 40, 6 + (k + 2) % 40)
            for k in range(-1, 40)
        ),
    ]
    body, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    (tmp_path / "endless.pdf").write_bytes(body + end % (len(parts) + 1, table, len(parts) + 1, len(body)))
    paper(tmp_path / "good.pdf")
    told, good = ingest_all(tmp_path.glob("*.pdf"), tmp_path / "out", layout="rules", read=False, limit_s=6.0)
    assert isinstance(good, Ingested)
    assert isinstance(told, Failed)
    assert "took longer than 0.1 minutes" in told.why
