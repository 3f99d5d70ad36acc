"""An answer that says of each sentence whether it was measured, read, or is a language model's words.

::

    question ─► intent ─┬─ count, size, fraction ─► a tool for that thing ─► measured, with unit and maker
                        ├─ voltage, pixel size… ──► metadata and data strip ─► read, or "not known"
                        ├─ what no image shows ───► abstain, with the reason
                        └─ else ──────────────────► the model's words, streamed; said to be only that

A number that could be measured is never left to the language model. Tools are handed in, so that `ask` needs no
detector of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epistem.ask.intents import Intent, Limit, Statistic, intent_of
from epistem.ask.records import Answered, Statement, identity
from epistem.core.errors import EpistemError
from epistem.core.instances import Instances
from epistem.core.micrograph import Micrograph
from epistem.detect.measure import measure
from epistem.imaging.normalize import normalize

Told = Callable[[str], None]
_CANNOT = re.compile(
    r"cannot (?:be told|tell|answer|be determined|be answered|be seen)|can't tell|not possible to (?:tell|say)|"
    r"unable to (?:tell|determine)|is not visible in the image and",
    re.IGNORECASE,
)
_STATISTICS: dict[Statistic, Callable[[NDArray[np.float64]], float]] = {
    "mean": lambda d: float(d.mean()), "median": lambda d: float(np.median(d)), "largest": lambda d: float(d.max()),
    "smallest": lambda d: float(d.min()), "sd": lambda d: float(d.std(ddof=1)),
}  # fmt: skip


class Speaker(Protocol):
    """What answers in words: a vision-language model, or a baseline.

    Attributes:
        name: with its identity.
    """

    name: str

    def __call__(self, image: Image.Image | None, text: str) -> Iterator[str]: ...


class Tool(Protocol):
    """Finds things of one kind.

    Attributes:
        name: with settings, for people.
        finds: the things it was made for, singular.
    """

    @property
    def name(self) -> str: ...

    @property
    def finds(self) -> tuple[str, ...]: ...

    def __call__(self, micrograph: Micrograph) -> Instances: ...


def answer(
    micrograph: Micrograph, question: str, *, speaker: Speaker | None = None, tools: Sequence[Tool] = (),
    strip: Mapping[str, str] | None = None, context: str = "", told: Told = lambda piece: None,
    pair: str | None = None, declines: Callable[[str], bool] = lambda question: False,
    guess_numbers: bool = False,
) -> Answered:  # fmt: skip
    """The answer to a question on an image.

    Args:
        speaker: for what is neither measured nor read; None answers only what can be.
        tools: that find things.
        strip: what the data strip says, by name, as it was read.
        context: what the person tells of the sample; data for the model, never an instruction.
        told: is given the answer piece by piece as it comes.
        pair: id of the question in a set.
        declines: whether a question that the rules leave to words is one that no image answers, see `ask.decline`.
        guess_numbers: let the speaker answer where a number is asked for that no tool measures.
    """
    began = time.perf_counter()
    statements = _known(micrograph, question, tools, dict(strip or {}), declines, guess_numbers)
    if statements is not None:
        told(" ".join(one.text for one in statements))
    else:
        statements = _spoken(micrograph, question, speaker, context, told)
    text = " ".join(one.text for one in statements)
    model = speaker.name if speaker is not None else "no language model"
    return Answered(
        id=identity(pair, model, "real", text), pair=pair, model=model, question=question, text=text,
        statements=tuple(statements), abstained=_CANNOT.search(text) is not None,
        seconds=round(time.perf_counter() - began, 3),
    )  # fmt: skip


def abstains(text: str) -> bool:
    """Whether an answer says that the image cannot tell."""
    return _CANNOT.search(text) is not None


def picture(micrograph: Micrograph) -> Image.Image:
    """The image as a person would look at it, 8 bit."""
    grey = np.clip(0.5 + normalize(micrograph) / 8, 0, 1)
    return Image.fromarray(np.round(255 * grey).astype(np.uint8))


def _known(
    micrograph: Micrograph,
    question: str,
    tools: Sequence[Tool],
    strip: dict[str, str],
    declines: Callable[[str], bool],
    guess_numbers: bool,
) -> list[Statement] | None:
    """The answer without a language model; None where one is needed."""
    intent = intent_of(question)
    if intent.asked == "unseen":
        return [Statement(text=f"The image cannot tell: {intent.subject}.", source="language")]
    if intent.asked == "written":
        return _written(micrograph, intent, strip)
    if intent.asked == "words":
        if declines(question):
            text = (
                "The image cannot tell, or the question is not understood: by its words it asks for what no single "
                "picture shows. Ask in English what is seen, how many, how large, which share."
            )
            return [Statement(text=text, source="language")]
        return None
    tool = _tool_for(intent, tools)
    if tool is not None and not intent.left:
        return _measured(micrograph, intent, tool)
    if guess_numbers:
        return None
    if tool is not None:
        every = plural(intent.thing or tool.finds[0])
        text = (f"This cannot be told: measured are all {every} of the field, by their area-equivalent diameter, and "
                f'the question adds "{intent.left}", which no measurement here takes into account.')  # fmt: skip
        return [Statement(text=text, source="language")]
    known = ", ".join(plural(thing) for one in tools for thing in one.finds) or "nothing"
    wanted = plural(intent.thing) if intent.thing else "what is meant"
    text = f"This cannot be told: no detector here finds {wanted} (there is one for {known}); words would be guesses."
    return [Statement(text=text, source="language")]


def _tool_for(intent: Intent, tools: Sequence[Tool]) -> Tool | None:
    """The tool for the thing that is asked of; where none is named, not even in other words, the only one."""
    if intent.thing is None:
        return tools[0] if len(tools) == 1 and not intent.left else None
    return next((tool for tool in tools if intent.thing in tool.finds), None)


def _measured(micrograph: Micrograph, intent: Intent, tool: Tool) -> list[Statement]:
    thing = intent.thing or tool.finds[0]
    try:
        found = measure(tool(micrograph), micrograph)
    except EpistemError as error:
        return [Statement(text=f"The image cannot tell: {tool.name} could not measure it ({error}).",
                          source="language")]  # fmt: skip
    return [_number(micrograph, intent, found, thing, tool)]


def _number(micrograph: Micrograph, intent: Intent, found: Instances, thing: str, tool: Tool) -> Statement:
    n, many = len(found), plural(thing)
    by = f"(measured by {tool.name})"
    if intent.limit is not None:
        return _beyond(found, intent.limit, many, by)
    if intent.asked == "count":
        verb = "is 1" if n == 1 else f"are {n}"
        return Statement(text=f"There {verb} {thing if n == 1 else many} in the field {by}.", source="measured",
                         value=float(n), unit="1")  # fmt: skip
    if intent.asked == "fraction":
        share = 100 * float(np.nansum(found.columns["area_px"])) / _pixels(micrograph)
        return Statement(text=f"The {many} cover {share:.3g} % of the field {by}.", source="measured", value=share,
                         unit="%")  # fmt: skip
    if intent.asked == "density":
        return _density(micrograph, n, many, by)
    if not n:
        return Statement(text=f"No {thing} was found, so none has a size {by}.", source="measured", value=None)
    return _size(micrograph, found, intent.which, many, by)


def _beyond(found: Instances, limit: Limit, many: str, by: str) -> Statement:
    """How many are larger, or smaller, than a diameter."""
    diameters = _diameters(found, limit.unit)
    if diameters is None:
        what = "its pixel size" if limit.unit == "nm" else "a diameter in pixels"
        return Statement(
            text=f"The image cannot tell: {what} is not known, so nothing can be compared with {limit.said}. There "
            f"are {len(found)} {many} of any size {by}.", source="measured",
        )  # fmt: skip
    known = diameters[np.isfinite(diameters)]
    if len(found) and not len(known):
        return Statement(text=f"The image cannot tell: no outline of the {many} was found {by}.", source="measured")
    n = int((known > limit.diameter if limit.side == "above" else known < limit.diameter).sum())
    unknown = len(diameters) - len(known)
    aside = f" Of {unknown} more no outline was found." if unknown else ""
    return Statement(
        text=f"Of {len(known)} {many} in the field, {n} {'is' if n == 1 else 'are'} {limit.side} {limit.said} in "
        f"area-equivalent diameter {by}.{aside}", source="measured", value=float(n), unit="1",
    )  # fmt: skip


def _diameters(found: Instances, unit: str) -> NDArray[np.float64] | None:
    """Area-equivalent, NaN of what has no outline; None where this unit is not known."""
    column = found.columns.get(f"equivalent_diameter_{unit}")
    return None if column is None else np.asarray(column, float)


def _density(micrograph: Micrograph, n: int, many: str, by: str) -> Statement:
    if micrograph.calibration is None:
        return Statement(
            text=f"The image cannot tell: its pixel size is not known. There are {n} {many} in {_pixels(micrograph)} "
            f"pixels {by}.", source="measured", value=n / _pixels(micrograph), unit="1/px²",
        )  # fmt: skip
    per_um2 = n / (_pixels(micrograph) * micrograph.calibration.pixel_area_nm2 * 1e-6)
    return Statement(text=f"The {many} have a number density of {per_um2:.3g} per µm² {by}.", source="measured",
                     value=per_um2, unit="1/µm²")  # fmt: skip


def _size(micrograph: Micrograph, found: Instances, which: Statistic, many: str, by: str) -> Statement:
    unit = "px" if micrograph.calibration is None else "nm"
    diameters = np.asarray(found.columns[f"equivalent_diameter_{unit}"], float)
    diameters = diameters[np.isfinite(diameters)]
    if not len(diameters):
        return Statement(text=f"The image cannot tell: no outline of the {many} was found {by}.", source="measured")
    if which == "sd" and len(diameters) < 2:
        return Statement(text=f"The image cannot tell: one of the {many} has no standard deviation {by}.",
                         source="measured")  # fmt: skip
    value, low, high = _STATISTICS[which](diameters), float(diameters.min()), float(diameters.max())
    scale = "" if unit == "nm" else " The pixel size is not known, so these are pixels."
    said = {
        "mean": f"measure {value:.3g} {unit} on average", "median": f"have a median diameter of {value:.3g} {unit}",
        "largest": f"measure up to {value:.3g} {unit}", "smallest": f"measure {value:.3g} {unit} or more",
        "sd": f"have diameters with a standard deviation of {value:.3g} {unit}",
    }  # fmt: skip
    return Statement(
        text=f"The {len(diameters)} {many} {said[which]}, from {low:.3g} to {high:.3g} {unit}, as area-equivalent "
        f"diameters {by}.{scale}", source="measured", value=value, unit=unit,
    )  # fmt: skip


def _written(micrograph: Micrograph, intent: Intent, strip: dict[str, str]) -> list[Statement]:
    """From metadata or the strip; that it is not there is an answer too."""
    assert intent.subject is not None
    pixels = micrograph.calibration
    if intent.subject == "pixel size" and pixels is not None:
        text = f"The pixel size is {pixels.col_nm:.4g} nm (from {pixels.source})."
        return [Statement(text=text, source="read", value=pixels.col_nm, unit="nm")]
    if intent.subject == "field of view" and pixels is not None:
        rows, cols = micrograph.shape
        wide, high = cols * pixels.col_nm, rows * pixels.row_nm
        text = f"The field is {wide:.4g} nm wide and {high:.4g} nm high (from {pixels.source})."
        return [Statement(text=text, source="read", value=wide, unit="nm")]
    said = _in_metadata(micrograph, intent.subject) or strip.get(intent.subject)
    if said is not None:
        return [
            Statement(text=f"The {intent.subject} is {said} (as the file or its data strip says).", source="read")
        ]
    return [Statement(text=f"The image cannot tell: neither the file nor a data strip states the {intent.subject}.",
                      source="read")]  # fmt: skip


def _in_metadata(micrograph: Micrograph, subject: str) -> str | None:
    known = micrograph.context
    values = {
        "voltage": None if known.beam_keV is None else f"{known.beam_keV:g} kV",
        "magnification": None if known.magnification is None else f"{known.magnification:g}",
        "detector": known.detector, "instrument": known.instrument, "date": known.acquired,
        "working distance": next((v for k, v in known.extra.items() if "working distance" in k.lower()), None),
        "beam current": next((v for k, v in known.extra.items() if "current" in k.lower()), None),
    }  # fmt: skip
    return values.get(subject)


def _spoken(
    micrograph: Micrograph, question: str, speaker: Speaker | None, context: str, told: Told
) -> list[Statement]:
    if speaker is None:
        text = "Without a language model only counts, sizes, area shares and what the file says can be answered."
        told(text)
        return [Statement(text=text, source="language")]
    asked = f"Known of the sample: {context.strip()}\n{question}" if context.strip() else question
    pieces = []
    for piece in speaker(picture(micrograph), asked):
        pieces.append(piece)
        told(piece)
    text = "".join(pieces).strip()
    return [Statement(text=text or "The model gave no answer.", source="language")]


def _pixels(micrograph: Micrograph) -> int:
    return int(micrograph.pixels.size if micrograph.valid is None else micrograph.valid.sum())


def plural(thing: str) -> str:
    """Of a thing's name."""
    return f"{thing[:-1]}ies" if thing.endswith("ty") else f"{thing}s"
