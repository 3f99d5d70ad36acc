"""Papers of ten layouts with the truth about their figures, for tests and the benchmark of `epistem papers`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from epistem.synth.scenes import draw_scene

Box = tuple[float, float, float, float]


class TrueFigure(NamedTuple):
    """What a reader of the paper would say of one figure; the box is left, top, right, bottom, y downwards [pt]."""

    number: str
    page: int
    box: Box
    caption: str
    mentions: tuple[str, ...]
    panels: tuple[str, ...]
    panel_boxes: tuple[Box, ...]


class Made(NamedTuple):
    """A paper, its layout, and its figures."""

    path: Path
    layout: str
    figures: tuple[TrueFigure, ...]
    pages: int
    doi: str
    title: str
    year: int
    tables: int


@dataclass
class Style:
    """How a journal sets its pages."""

    columns: int = 2
    body: str = "Times-Roman"
    size: float = 9.5
    leading: float = 1.18
    caption_font: str = "Times-Roman"
    caption_bold: str = "Times-Bold"
    caption_size: float = 8.0
    label: str = "Fig. {}. "
    margin: float = 50
    gutter: float = 20
    page: tuple[float, float] = (595, 842)
    above: bool = False
    justify: bool = True
    hyphens: bool = False
    prefix: str = ""
    indent: float = 10
    para_gap: float = 0
    heads: bool = True
    logo: bool = True
    cite: str = "Fig. {}"
    cites: str = "Figs. {}"


@dataclass
class Plan:
    """A figure to be set: pictures in a grid, each a scene or a plot."""

    number: str
    grid: tuple[int, int] = (1, 1)
    span: bool = False
    kinds: tuple[str, ...] = ("sem",)
    joined: bool = False
    letters: str = "none"
    gap: float = 4
    strip: bool = True
    own_page: bool = False
    caption: str = ""
    aspect: float = 0.75
    width: float = 1.0
    ratio: float = 1.0


SUBJECTS = ["soda-lime glass", "borosilicate glass", "glass ceramic", "fused silica", "sol-gel derived glass",
            "bioactive glass 45S5", "lithium disilicate", "aluminosilicate glass"]  # fmt: skip
SEEN = ["grains with clean boundaries", "isolated pores", "a network of cracks", "spherulites that impinge",
        "particles of narrow size", "dendritic crystals", "a smooth fracture surface"]  # fmt: skip
DONE = ["annealing at 620 °C for 2 h", "etching in 5 % HF for 30 s", "soaking in SBF for 7 days",
        "indentation with 9.8 N", "sintering at 850 °C", "ion exchange in molten KNO3",
        "quenching in water"]  # fmt: skip
FILLER = [
    "The samples were melted in a platinum crucible at {n} °C for {k} h and cast on a steel plate.",
    "Previous work by Tanaka et al. reported a similar value of approx. {n} nm for the same composition.",
    "This behaviour is consistent with a diffusion-controlled process, i.e. the rate falls with the square root of "
    "time.",
    "A density of {k}.{n} g/cm3 was measured by the Archimedes method in ethanol.",
    "The activation energy of {n} kJ/mol agrees with the literature, e.g. with that of Eq. 3 of Ref. {k}.",
    "No further phases were found by X-ray diffraction within the limit of detection of ca. {k} wt.%.",
    "All heat treatments were done in air, and the furnace was allowed to cool at {k} K/min.",
    "The residual stress was estimated from the optical retardation of slices of {n} µm.",
    "It follows that the viscosity controls the growth as long as the supersaturation remains small.",
    "Three samples of each batch were tested, and the mean of {n} measurements is given.",
    "The microstructure-property relationship was modelled with the well-known equation of Griffith.",
]
MENTION = [
    "{F} shows {s} in {g} after {d}.",
    "As can be seen in {f}, {g} exhibits {s} after {d}.",
    "The surface of {g} has {s} ({f}), which we ascribe to {d}.",
    "{F} presents the morphology of {g}, where {s} with a mean size of {n}.{k} µm are visible.",
    "After {d}, the number of defects rises to {n} per mm2 as evidenced by the micrograph of {g} in {f}.",
]


def wrap(words: list[tuple[str, str]], size: float, width: float, rng: Any, hyphens: bool, first: float = 0) -> list:
    """Lines of (font, word) that fit; long words break with a hyphen where that is wanted."""
    lines: list[list[tuple[str, str]]] = [[]]
    used = first
    queue = list(words)
    while queue:
        font, word = queue.pop(0)
        wide = stringWidth(word, font, size)
        space = stringWidth(" ", font, size) if lines[-1] else 0
        if used + space + wide <= width or not lines[-1]:
            lines[-1].append((font, word))
            used += space + wide
            continue
        plain = re.fullmatch(r"[a-z]{9,}", word)
        cut = len(word) // 2
        if hyphens and plain and used + space + stringWidth(word[:cut] + "-", font, size) <= width:
            lines[-1].append((font, word[:cut] + "-"))
            queue.insert(0, (font, word[cut:]))
        else:
            queue.insert(0, (font, word))
        lines.append([])
        used = 0
    return lines


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Pillow's own font has no µ.
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


@cache
def scene(kind: str, seed: int, strip: bool) -> Image.Image:
    """A simulated SEM picture of 320 × 240, with 24 more rows of data strip where wanted."""
    pixels = draw_scene(kind, seed=seed, shape=(240, 320), look="sem").micrograph.pixels
    picture = Image.fromarray(np.asarray(pixels, np.uint8))
    if not strip:
        return picture
    whole = Image.new("L", (320, 268), 0)
    whole.paste(picture)
    pen, font = ImageDraw.Draw(whole), _font(13)
    pen.text((6, 246), f"{5 + seed % 3 * 5}.0 kV  WD 8.{seed % 10} mm  SE", fill=255, font=font)
    pen.rectangle((230, 262, 289, 264), fill=255)
    pen.text((240, 245), "10 µm", fill=255, font=font)
    return whole


class Setter:
    """Sets one paper, column by column."""

    def __init__(self, path: Path, style: Style, seed: int) -> None:
        self.style, self.rng, self.seed = style, np.random.default_rng(seed), seed
        self.canvas = Canvas(str(path), pagesize=style.page, invariant=1)
        self.path, self.figures, self.tables = path, [], 0
        self.mentions: dict[str, list[str]] = {}
        self.page = 0
        self.doi = f"10.{[1016, 1021, 1007, 3390][seed % 4]}/j.sim.{2000 + seed}.{100 + seed}"
        self.title = f"Microstructure of {SUBJECTS[seed % 8]} after {DONE[seed % 7]}"
        self.year = 2011 + seed % 12
        self.top = style.margin + 24
        self.pool = [(kind, 7 * seed + at) for at, kind in enumerate(("grains", "pores", "cracks", "particles"))]
        self.new_page()
        self.front()

    # — places —

    def new_page(self) -> None:
        if self.page:
            self.canvas.showPage()
        self.page += 1
        style = self.style
        wide, high = style.page
        each = (wide - 2 * style.margin - style.gutter * (style.columns - 1)) / style.columns
        self.columns = [(style.margin + i * (each + style.gutter), each) for i in range(style.columns)]
        self.starts = [self.top] * style.columns
        self.ends = [high - style.margin - 14] * style.columns
        self.column, self.y = 0, self.top
        if style.heads:
            self.text_at(
                style.margin, style.margin - 10, f"A. Author et al. / J. Sim. Glass {self.seed} ({self.year})", 7
            )
            self.text_at(wide / 2, high - 22, str(self.page), 8)
            self.canvas.line(style.margin, high - style.margin + 2, wide - style.margin, high - style.margin + 2)

    def text_at(self, x: float, y: float, text: str, size: float, font: str = "Helvetica") -> Box:
        self.canvas.setFont(font, size)
        self.canvas.drawString(x, self.style.page[1] - y, text)
        return x, y - 0.72 * size, x + stringWidth(text, font, size), y + 0.2 * size

    def next_column(self) -> None:
        if self.column + 1 < self.style.columns:
            self.column += 1
            self.y = self.starts[self.column]
        else:
            self.new_page()

    def room(self) -> float:
        return self.ends[self.column] - self.y

    def front(self) -> None:
        style = self.style
        x, wide = style.margin, style.page[0] - 2 * style.margin
        if style.logo:
            self.canvas.drawImage(ImageReader(Image.new("RGB", (60, 40), (200, 40, 40))), x + wide - 60,
                                  style.page[1] - style.margin - 60, 60, 40)  # fmt: skip
        y = self.top + 20
        for line in wrap([("Helvetica-Bold", w) for w in self.title.split()], 16, wide - 80, self.rng, False):
            self.text_at(x, y, " ".join(w for _, w in line), 16, "Helvetica-Bold")
            y += 20
        self.text_at(x, y, "A. Author, B. Writer and C. D. Reader", 10)
        self.text_at(
            x, y + 14, f"https://doi.org/{self.doi}   Received 3 May {self.year}; accepted 1 August {self.year}", 7
        )
        self.text_at(x, y + 26, "Keywords: glass; scanning electron microscopy; fracture", 8)
        self.text_at(x, y + 38, "This is an open access article under the CC BY license (http://creativecommons.org/"
                     "licenses/by/4.0/).", 7)  # fmt: skip
        self.starts = [y + 60] * style.columns
        self.y = y + 60

    # — text —

    def draw_line(self, line: list[tuple[str, str]], x: float, y: float, wide: float, size: float, full: bool) -> Box:
        natural = sum(stringWidth(w, f, size) for f, w in line)
        gaps = len(line) - 1
        spaces = sum(stringWidth(" ", f, size) for f, _ in line[:-1])
        extra = (wide - natural - spaces) / gaps if full and gaps and self.style.justify else 0
        at, run, start = x, [], x
        font = line[0][0]
        for f, w in [*line, ("", "")]:
            if f != font:
                text = self.canvas.beginText(start, self.style.page[1] - y)
                text.setFont(font, size)
                text.setWordSpace(extra)
                text.textOut(" ".join(run) + (" " if f else ""))
                self.canvas.drawText(text)
                font, run, start = f, [], at
            run.append(w)
            at += stringWidth(w + " ", f or "Helvetica", size) + extra if f else 0
        return x, y - 0.7 * size, x + (wide if full and self.style.justify else natural + spaces), y + 0.22 * size

    def paragraph(self, text: str, font: str = "", size: float = 0) -> None:
        style = self.style
        font, size = font or style.body, size or style.size
        pitch = size * style.leading
        words = [(font, w) for w in text.split()]
        wide = self.columns[self.column][1]
        lines = wrap(words, size, wide, self.rng, style.hyphens, style.indent)
        for at, line in enumerate(lines):
            if self.room() < pitch:
                self.next_column()
            x, wide = self.columns[self.column]
            shift = style.indent if at == 0 else 0
            self.draw_line(line, x + shift, self.y + size, wide - shift, size, at < len(lines) - 1)
            self.y += pitch
        self.y += style.para_gap

    def heading(self, text: str) -> None:
        if self.room() < 70:
            self.next_column()
        self.y += 8
        self.text_at(self.columns[self.column][0], self.y + 10, text, 10.5, "Helvetica-Bold")
        self.y += 20

    def caption_lines(self, plan: Plan, wide: float) -> list:
        style = self.style
        label = style.label.format(plan.number)
        words = [(style.caption_bold, w) for w in label.split()]
        words += [(style.caption_font, w) for w in plan.caption.split()]
        return wrap(words, style.caption_size, wide, self.rng, style.hyphens)

    # — figures —

    def figure(self, plan: Plan) -> None:
        """Set a figure where the text stands, across columns at the top of a page, or on a page of its own."""
        style = self.style
        span = plan.span and style.columns > 1
        if plan.own_page or span:
            self.new_page()
        full = style.page[0] - 2 * style.margin
        wide = full if span or plan.own_page else self.columns[self.column][1]
        x0 = style.margin if span or plan.own_page else self.columns[self.column][0]
        lines = self.caption_lines(plan, wide)
        tall_caption = len(lines) * style.caption_size * 1.2
        tall = self.grid_size(plan, wide * plan.width)[1]
        if not (span or plan.own_page) and self.room() < tall + tall_caption + 34:
            self.next_column()
            x0, wide = self.columns[self.column]
        y = self.y + (10 if self.y > self.starts[self.column] else 0)
        if style.above:
            below = self.set_caption(lines, x0, y, wide)
            box, boxes = self.pictures(plan, x0, below + 7, wide)
            end = box[3]
        else:
            box, boxes = self.pictures(plan, x0, y, wide)
            end = self.set_caption(lines, x0, box[3] + 7, wide)
        letters = tuple("abcdefgh"[: len(boxes)]) if len(boxes) > 1 else ()
        self.figures.append([plan.number, self.page, box, plan.caption, letters, tuple(boxes) if letters else ()])
        after = end + 14
        if span:
            self.starts = [after] * style.columns
            self.column, self.y = 0, after
        elif plan.own_page:
            self.new_page()
        else:
            self.y = after

    def set_caption(self, lines: list, x: float, y: float, wide: float) -> float:
        size = self.style.caption_size
        for at, line in enumerate(lines):
            # A short caption stands in the middle in many journals.
            natural = sum(stringWidth(w + " ", f, size) for f, w in line)
            shift = (wide - natural) / 2 if len(lines) == 1 and self.seed % 2 else 0
            self.draw_line(line, x + shift, y + size, wide - shift, size, at < len(lines) - 1)
            y += size * 1.2
        return y

    def grid_size(self, plan: Plan, wide: float) -> tuple[list[float], float]:
        rows, cols = plan.grid
        each = (wide - plan.gap * (cols - 1)) / cols
        tall = each * plan.aspect + (14 if plan.letters == "under" else 0)
        return [each] * cols, rows * tall + (rows - 1) * plan.gap

    def pictures(self, plan: Plan, x0: float, y0: float, wide: float) -> tuple[Box, list[Box]]:
        rows, cols = plan.grid
        inner = wide * plan.width
        x0 += (wide - inner) / 2
        if plan.joined:
            return self.joined_picture(plan, x0, y0, inner)
        widths, _ = self.grid_size(plan, inner)
        tall = widths[0] * plan.aspect
        boxes, every = [], []
        for at in range(rows * cols):
            row, col = divmod(at, cols)
            under = 14 if plan.letters == "under" else 0
            x, y = x0 + col * (widths[0] + plan.gap), y0 + row * (tall + under + plan.gap)
            kind = plan.kinds[at % len(plan.kinds)]
            box = (x, y, x + widths[0], y + tall)
            if kind == "plot":
                box = self.plot(box)
            else:
                self.image(self.sem(at, plan), box)
            boxes.append(box)
            every.append(box)
            if plan.letters == "under":
                every.append(self.text_at(x + widths[0] / 2 - 5, y + tall + 11, f"({'abcdefgh'[at]})", 9))
            elif plan.letters == "over":
                self.canvas.setFillGray(1)
                self.text_at(x + 4, y + 13, f"({'abcdefgh'[at]})", 10, "Helvetica-Bold")
                self.canvas.setFillGray(0)
        sides = np.array(every)
        return (*sides[:, :2].min(0).tolist(), *sides[:, 2:].max(0).tolist()), boxes

    def sem(self, at: int, plan: Plan) -> Image.Image:
        kind, seed = self.pool[(at + sum(map(ord, plan.number))) % len(self.pool)]
        return scene(kind, seed, plan.strip)

    def image(self, picture: Image.Image, box: Box) -> None:
        x, y, right, bottom = box
        self.canvas.drawImage(ImageReader(picture), x, self.style.page[1] - bottom, right - x, bottom - y)

    def joined_picture(self, plan: Plan, x0: float, y0: float, wide: float) -> tuple[Box, list[Box]]:
        """All panels in one picture, with white gutters and burnt-in letters."""
        rows, cols = plan.grid
        one = self.sem(0, plan)
        gap = max(3, round(plan.gap * one.width * cols / wide))
        whole = Image.new("L", (cols * one.width + (cols - 1) * gap, rows * one.height + (rows - 1) * gap), 255)
        scale, boxes = wide / whole.width, []
        for at in range(rows * cols):
            row, col = divmod(at, cols)
            picture = self.sem(at, plan).copy()
            pen = ImageDraw.Draw(picture)
            pen.rectangle((4, 4, 30, 26), fill=255)
            pen.text((8, 6), f"({'abcdefgh'[at]})", fill=0, font=_font(15))
            left, top = col * (one.width + gap), row * (one.height + gap)
            whole.paste(picture, (left, top))
            boxes.append((x0 + left * scale, y0 + top * scale, x0 + (left + one.width) * scale,
                          y0 + (top + one.height) * scale))  # fmt: skip
        box = (x0, y0, x0 + wide, y0 + whole.height * scale)
        self.image(whole, box)
        return box, boxes

    def plot(self, box: Box) -> Box:
        """A drawn plot with axes, ticks and labels inside the box."""
        x, y, right, bottom = box
        pen, high = self.canvas, self.style.page[1]
        left, base = x + 30, bottom - 26
        pen.setLineWidth(0.8)
        pen.rect(left, high - base, right - left - 4, base - y - 4)
        for at in range(6):
            tick = left + 6 + at * (right - left - 22) / 5
            pen.line(tick, high - base, tick, high - base - 3)
            self.text_at(tick - 3, base + 11, str(100 * at), 6.5)
            level = base - 4 - at * (base - y - 12) / 5
            pen.line(left - 3, high - level, left, high - level)
            self.text_at(left - 14, level + 2, str(at), 6.5)
        for curve in range(2):
            pen.setStrokeColorRGB(*((0.8, 0.1, 0.1), (0.1, 0.1, 0.8))[curve])
            path = pen.beginPath()
            for at in range(30):
                rise = 0.2 + 0.35 * curve + 0.3 * np.sin(at / 5 + curve) ** 2
                to = left + 4 + at * (right - left - 12) / 29, high - (base - 6 - (base - y - 16) * rise)
                path.lineTo(*to) if at else path.moveTo(*to)
            pen.drawPath(path)
        pen.setStrokeGray(0)
        label = self.text_at((left + right) / 2 - 25, base + 22, "Temperature (°C)", 7.5)
        pen.saveState()
        pen.translate(x + 9, high - (y + base) / 2 - 20)
        pen.rotate(90)
        pen.setFont("Helvetica", 7.5)
        pen.drawString(0, 0, "Intensity (a.u.)")
        pen.restoreState()
        return x + 2, y + 3, right - 3, label[3]

    def table(self, rows: int = 5, grid: bool = False) -> None:
        self.tables += 1
        if self.room() < 40 + 12 * rows:
            self.next_column()
        x, wide = self.columns[self.column]
        style = self.style
        self.y += 10
        self.text_at(x, self.y + 8, f"Table {self.tables}. Composition of the glasses in mol%.", style.caption_size,
                     style.caption_bold)  # fmt: skip
        self.y += 14
        high = style.page[1]
        for row in range(rows + 1):
            if row in (0, 1, rows) or grid:
                self.canvas.line(x, high - self.y, x + wide, high - self.y)
            if row < rows:
                for col in range(4):
                    word = ("glass", "SiO2", "Na2O", "CaO")[col] if row == 0 else f"{self.rng.integers(1, 80)}.{row}"
                    self.text_at(x + 6 + col * wide / 4, self.y + 9, word, 7.5)
                self.y += 12
        if grid:
            for col in range(5):
                self.canvas.line(x + col * wide / 4, high - self.y, x + col * wide / 4, high - self.y + 12 * rows)
        self.y += 14

    # — words —

    def words(self, template: str, **more: str) -> str:
        pick = lambda of: of[self.rng.integers(len(of))]  # noqa: E731
        n, k = self.rng.integers(20, 90), self.rng.integers(2, 9)
        return template.format(n=n, k=k, g=pick(SUBJECTS), s=pick(SEEN), d=pick(DONE), **more)

    def mention(self, *numbers: str, at_start: bool = False) -> str:
        """A sentence on some figures, remembered as theirs."""
        style = self.style
        if len(numbers) > 1:
            plain = [n.rstrip("abcdefgh") for n in numbers]
            run = [n for n in plain if n.isdigit()]
            if len(run) == len(plain) > 2:
                f, plain = (
                    style.cites.format(f"{run[0]}–{run[-1]}"),
                    [str(n) for n in range(int(run[0]), int(run[-1]) + 1)],
                )
            else:
                f = style.cites.format(" and ".join(numbers))
        else:
            f, plain = style.cite.format(numbers[0]), [numbers[0].rstrip("abcdefgh")]
        template = MENTION[self.rng.choice([0, 3]) if at_start else self.rng.integers(len(MENTION))]
        first = f.replace("Figs.", "Figures").replace("Fig.", "Figure") if not style.cite.startswith("Fig. ") else f
        sentence = self.words(template, F=first, f=f)
        for n in plain:
            self.mentions.setdefault(n, []).append(sentence)
        return sentence

    def prose(self, *numbers: str | tuple[str, ...], sentences: int = 6, first: bool = False) -> None:
        """A paragraph of filler that mentions some figures, at its start where wanted."""
        parts = [self.words(FILLER[i]) for i in self.rng.choice(len(FILLER), sentences, replace=False)]
        for at, one in enumerate(numbers):
            sentence = self.mention(*((one,) if isinstance(one, str) else one), at_start=first and at == 0)
            parts.insert(0 if first and at == 0 else 1 + (2 * at) % len(parts), sentence)
        self.paragraph(" ".join(parts))

    def done(self, layout: str) -> Made:
        self.canvas.save()
        found = tuple(
            TrueFigure(n, page, box, caption, tuple(self.mentions.get(n, ())), letters, boxes)
            for n, page, box, caption, letters, boxes in self.figures
        )
        return Made(self.path, layout, found, self.page, self.doi, self.title, self.year, self.tables)


def captioned(setter: Setter, plan: Plan) -> Plan:
    """The plan with a caption that says what its panels are."""
    n = plan.grid[0] * plan.grid[1]
    lead = setter.words("Scanning electron micrographs of {g} after {d}")
    if n == 1 and plan.kinds[0] == "plot":
        plan.caption = setter.words("Intensity of the main reflection of {g} as a function of temperature.")
    elif n == 1:
        plan.caption = lead + setter.words(", with {s}. The scale bar is 10 µm.")
    else:
        each = [
            setter.words("plot of the intensity of {g}") if plan.kinds[at % len(plan.kinds)] == "plot"
            else setter.words("SEM image with {s} after {k} h")
            for at in range(n)
        ]  # fmt: skip
        parts = "; ".join(f"({'abcdefgh'[at]}) {text}" for at, text in enumerate(each))
        plan.caption = f"{lead}: {parts}."
    return plan


def varied(style: Style, seed: int) -> Style:
    """The same layout as another journal would set it."""
    rng = np.random.default_rng([seed, 7])
    times, sans = ("Times-Roman", "Times-Bold"), ("Helvetica", "Helvetica-Bold")
    caption = times if rng.random() < 0.5 else sans
    if style.body != style.caption_font or style.size - style.caption_size < 1:
        caption = style.caption_font, style.caption_bold
    return replace(
        style,
        size=style.size + round(float(rng.uniform(-0.4, 0.6)), 1),
        leading=style.leading + float(rng.uniform(-0.05, 0.08)),
        margin=style.margin + float(rng.uniform(-8, 8)),
        gutter=style.gutter + float(rng.uniform(-3, 6)),
        caption_font=caption[0],
        caption_bold=caption[1],
        justify=style.justify and rng.random() < 0.8,
        hyphens=style.hyphens or rng.random() < 0.4,
        logo=style.logo and rng.random() < 0.7,
        page=style.page if rng.random() < 0.6 else (612.0, 792.0),
    )


def _paper(
    path: Path,
    style: Style,
    seed: int,
    plans: list[Plan],
    tables: tuple[int, ...] = (),
    first: bool = False,
    stacked: tuple[int, ...] = (),
) -> Setter:
    """Text, then each figure after the paragraph that mentions it, and more text; none after stacked ones."""
    setter = Setter(path, varied(style, seed), seed)
    rng = setter.rng
    for plan in plans:
        plan.number = style.prefix + plan.number
        plan.aspect *= float(rng.uniform(0.85, 1.15))
        plan.gap *= float(rng.uniform(0.8, 1.5))
    setter.heading("1. Introduction")
    setter.prose(sentences=int(rng.integers(5, 11)))
    setter.heading("2. Results and discussion")
    for at, plan in enumerate(plans):
        n = plan.grid[0] * plan.grid[1]
        letter = "abcdefgh"[rng.integers(n)] if n > 1 else ""
        if at - 1 not in stacked:
            setter.prose(plan.number + letter, sentences=int(rng.integers(3, 7)), first=first)
        setter.figure(captioned(setter, plan))
        if at in tables:
            setter.table(grid=bool(at % 2))
        if at not in stacked:
            setter.prose(plan.number, sentences=int(rng.integers(4, 8)))
    numbers = [plan.number for plan in plans]
    if len(numbers) > 2 and not style.prefix:
        setter.prose((numbers[0], numbers[2]), tuple(numbers[:3]), sentences=6)
    setter.heading("3. Conclusions")
    setter.prose(sentences=6)
    setter.heading("References")
    for at in range(6):
        setter.paragraph(
            f"[{at + 1}] T. Tanaka, J. Sim. Glass {at} (20{10 + at}) 1-9, https://doi.org/10.1016/ref.{at}."
        )
    return setter


def one_column(path: Path, seed: int) -> Made:
    style = Style(columns=1, size=11, leading=1.25, caption_size=10, label="Figure {}. ", para_gap=6, indent=0,
                  cite="Figure {}", cites="Figures {}")  # fmt: skip
    plans = [Plan("1", width=0.6), Plan("2", strip=False, width=0.7), Plan("3", (1, 2), letters="over", width=0.9)]
    return _paper(path, style, seed, plans).done("one column")


def two_columns(path: Path, seed: int) -> Made:
    plans = [Plan("1"), Plan("2", strip=False), Plan("3", aspect=0.84), Plan("4")]
    return _paper(path, Style(), seed, plans, stacked=(1,)).done("two columns")


def across_columns(path: Path, seed: int) -> Made:
    style = Style(hyphens=True, gutter=16, caption_font="Helvetica", caption_bold="Helvetica-Bold", caption_size=7.5)
    plans = [Plan("1", (2, 2), span=True, letters="over", aspect=0.6), Plan("2"),
             Plan("3", (1, 3), span=True, letters="under", gap=8)]  # fmt: skip
    return _paper(path, style, seed, plans).done("figures across columns")


def panels_in_one(path: Path, seed: int) -> Made:
    style = Style(label="Fig. {} ", caption_font="Helvetica", caption_bold="Helvetica-Bold", caption_size=8)
    plans = [Plan("1", (2, 2), joined=True, gap=3), Plan("2", (1, 3), joined=True, span=True, gap=5),
             Plan("3", (3, 2), joined=True, strip=False, gap=4)]  # fmt: skip
    return _paper(path, style, seed, plans).done("panels in one picture")


def caption_above(path: Path, seed: int) -> Made:
    style = Style(columns=1, size=10.5, caption_size=9.5, label="FIGURE {}. ", above=True, margin=70,
                  cite="Figure {}", cites="Figures {}")  # fmt: skip
    plans = [Plan("1", width=0.6), Plan("2", (1, 2), letters="over"), Plan("3", width=0.5, strip=False)]
    return _paper(path, style, seed, plans).done("caption above")


def plots_beside(path: Path, seed: int) -> Made:
    plans = [Plan("1", (1, 2), span=True, kinds=("sem", "plot"), letters="over", gap=12), Plan("2", kinds=("plot",)),
             Plan("3", (2, 1), kinds=("sem", "plot"), gap=8), Plan("4")]  # fmt: skip
    return _paper(path, Style(size=9), seed, plans).done("plots beside pictures")


def own_page(path: Path, seed: int) -> Made:
    plans = [Plan("1"), Plan("2", (3, 2), own_page=True, letters="over", gap=6), Plan("3", own_page=True)]
    return _paper(path, Style(page=(612, 792)), seed, plans).done("figure on its own page")


def with_tables(path: Path, seed: int) -> Made:
    style = Style(label="Figure {}. ", cite="Figure {}", cites="Figures {}", para_gap=4, indent=0)
    plans = [Plan("1"), Plan("2", strip=False), Plan("3", (1, 2), span=True, letters="over"), Plan("4")]
    return _paper(path, style, seed, plans, tables=(0, 1, 3), first=True).done("tables, mentions at line starts")


def supplement(path: Path, seed: int) -> Made:
    style = Style(columns=1, size=12, leading=1.9, caption_font="Times-Roman", caption_size=12,
                  label="Figure {}. ", prefix="S", heads=False, justify=False, cite="Figure {}",
                  cites="Figures {}", logo=False)  # fmt: skip
    plans = [Plan("1", own_page=True, width=0.8), Plan("2", (1, 2), own_page=True, letters="over"),
             Plan("3", own_page=True, strip=False)]  # fmt: skip
    return _paper(path, style, seed, plans).done("supplement, double-spaced")


def bars_and_titles(path: Path, seed: int) -> Made:
    style = Style(label="Figure {} | ", body="Helvetica", caption_font="Helvetica", caption_bold="Helvetica-Bold",
                  caption_size=7, size=8.5, gutter=14, cite="Fig. {}", page=(595, 782))  # fmt: skip
    plans = [Plan("1", (2, 1), gap=3), Plan("2"), Plan("3", (2, 3), span=True, gap=5, letters="over"),
             Plan("4", kinds=("plot",)), Plan("5")]  # fmt: skip
    return _paper(path, style, seed, plans, first=True, stacked=(0, 3)).done("bars and titles")


LAYOUTS: tuple[Callable[[Path, int], Made], ...] = (
    one_column, two_columns, across_columns, panels_in_one, caption_above, plots_beside, own_page, with_tables,
    supplement, bars_and_titles,
)  # fmt: skip


def make_papers(folder: Path, seed: int) -> Iterator[Made]:
    """One paper of each layout."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, layout in enumerate(LAYOUTS):
        yield layout(folder / f"{layout.__name__}.pdf", seed + at)
