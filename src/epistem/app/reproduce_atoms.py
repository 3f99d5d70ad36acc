"""The published study of context-aware defect classification, done again on simulated columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem import __version__
from epistem.atoms.context import VARIABLES, AtomContext
from epistem.atoms.crystals import ROLES
from epistem.atoms.dataset import Patches
from epistem.atoms.evaluate import (
    DOSES,
    Answers,
    answers,
    drawn_cases,
    summary,
    trial_patches,
    trial_spec,
    wrong_context,
)
from epistem.atoms.kernels import Bank, shipped_bank
from epistem.atoms.model import AtomModel
from epistem.core.files import write_text, written_whole
from epistem.report import atoms_figures as draw
from epistem.report.document import Block, Column, Fact, Facts, Figure, Notice, Report, Section, Table, Text, plain
from epistem.report.render import render_html
from epistem.stats.multiclass import confusion_matrix
from epistem.stats.posterior import entropy_bits

_MAPPED = 1500
_NETWORKS = ("attention, equal steps", "image-only", "concat", "film", "attention", "context masked")
_MAIN = 1e5
_COLUMNS = (
    ("accuracy", "accuracy", 3), ("balanced_accuracy", "balanced", 3), ("macro_f1", "macro-F1", 3),
    ("entropy_bits", "entropy, bit", 3), ("nll_bits", "NLL, bit", 3), ("role_entropy_bits", "role entropy, bit", 3),
    ("ece", "ECE", 3), ("brier", "Brier", 3),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class AtomStudy:
    """What was computed.

    Attributes:
        cases: of the 576.
        dose: dose → who → summary.
        gain: which variable is unknown → entropy [bit].
        wrong: summary under a false context.
        full, nothing: answers at 1e5 with the context and without any.
        embedding: title → (n, 2), and the roles of those columns.
        kept: the study that came with epistem: networks that do not ship, and what was held out.
        weights: hash.
    """

    cases: int
    dose: Mapping[float, Mapping[str, Mapping[str, Any]]]
    gain: Mapping[str, float]
    wrong: Mapping[str, Any]
    full: Answers
    nothing: Answers
    embedding: Mapping[str, NDArray[np.float64]]
    mapped: NDArray[np.int64]
    kept: Mapping[str, Any] | None
    weights: str


def nothing_known(context: AtomContext) -> AtomContext:
    """The same field, of which nothing is told."""
    return context.without(*VARIABLES)


def run_study(*, share: int = 8, step: Callable[[str], None] = lambda words: None) -> AtomStudy:
    """The study on every `share`-th of the 288 pairs of cases, from simulation to numbers.

    Raises:
        RecordError: the classifier does not come with this installation.
    """
    model, bank = AtomModel.load(), shipped_bank()
    wanted = drawn_cases(trial_spec(_MAIN), share)
    dose: dict[float, dict[str, Any]] = {}
    fields: list[Patches] = []
    for each in DOSES:
        step(f"{len(wanted)} fields at {each:g} e/Å²")
        made = list(trial_patches(trial_spec(each), bank, wanted))
        dose[each] = {
            "with context": asdict(summary(answers(model, made, bank))),
            "both detectors": asdict(summary(answers(model, made, bank, slots=((0, 1),)))),
            "nothing known": asdict(summary(answers(model, made, bank, told=nothing_known))),
        }
        fields = made if each == _MAIN else fields
    step("each variable unknown")
    gain = {"nothing unknown": _entropy(model, fields, bank, lambda context: context)}
    for name in VARIABLES:
        gain[f"{name} unknown"] = _entropy(model, fields, bank, lambda context, name=name: context.without(name))  # type: ignore[misc]
    step("maps")
    embedding, mapped = _maps(model, fields, bank)
    return AtomStudy(
        2 * len(wanted), dose, gain, asdict(summary(answers(model, fields, bank, told=wrong_context))),
        answers(model, fields, bank), answers(model, fields, bank, told=nothing_known), embedding, mapped,
        kept_study(),
        model.identity,
    )  # fmt: skip


def kept_study() -> dict[str, Any] | None:
    """What `benchmarks/atoms_study.py` wrote when the classifier was trained, if it comes with this installation."""
    path = files("epistem.atoms") / "shipped" / "study.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def _entropy(
    model: AtomModel, fields: list[Patches], bank: Bank, told: Callable[[AtomContext], AtomContext]
) -> float:
    return summary(answers(model, fields, bank, told=told)).entropy_bits or 0.0


def _maps(
    model: AtomModel, fields: list[Patches], bank: Bank
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """t-SNE of what the classifier makes of the same columns, told everything and nothing."""
    from sklearn.manifold import TSNE

    known = np.concatenate([model.posterior(one.described, one.context, bank)[2] for one in fields])
    blind = np.concatenate([model.posterior(one.described, nothing_known(one.context), bank)[2] for one in fields])
    role = np.concatenate([one.role for one in fields])
    chosen = np.random.default_rng(0).permutation(len(role))[:_MAPPED]
    made = {
        title: TSNE(perplexity=30, init="pca", random_state=0).fit_transform(values[chosen]).astype(float)
        for title, values in (("nothing known", blind), ("with context", known))
    }
    return made, role[chosen]


def numbers(study: AtomStudy) -> dict[str, Any]:
    """The study as plain numbers."""
    main = study.dose[_MAIN]
    known, nothing = main["with context"]["entropy_bits"], main["nothing known"]["entropy_bits"]
    return {
        "cases": study.cases, "weights": study.weights,
        "dose": {f"{key:g}": value for key, value in study.dose.items()},
        "entropy_reduction": 1 - known / nothing, "gain": dict(study.gain), "wrong_context": dict(study.wrong),
    }  # fmt: skip


def write_study(study: AtomStudy, out: Path) -> Path:
    """index.html, report.json, numbers.json and figures/*.svg; the page.

    Raises:
        RecordError: something cannot be written.
    """
    figures = dict(_figures(study))
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for name, (svg, _) in figures.items():
        with written_whole(out / "figures" / f"{name}.svg") as part:
            part.write_bytes(svg)
    report = page_of(study, figures)
    write_text(out / "report.json", report.to_json())
    write_text(out / "numbers.json", json.dumps(plain(numbers(study)), indent=1) + "\n")
    write_text(out / "index.html", render_html(report))
    return out / "index.html"


def _figures(study: AtomStudy) -> Iterator[tuple[str, tuple[bytes, str]]]:
    curves = {
        who: {dose: rows[who]["accuracy"] for dose, rows in study.dose.items()}
        for who in ("with context", "both detectors", "nothing known")
    }
    if study.kept:
        curves["likelihood bound (48 pairs of cases)"] = {
            float(dose): rows["bound"]["accuracy"] for dose, rows in study.kept["dose"].items()
        }
    yield "accuracy-by-dose", (draw.by_dose(curves, label="accuracy of the role"), "Roles equally frequent")
    yield (
        "entropy",
        (
            draw.entropies(
                {"with context": entropy_bits(study.full.joint), "nothing known": entropy_bits(study.nothing.joint)}
            ),
            "Posterior over role and element, 1e5 e/Å², one detector",
        ),
    )
    yield "information", (draw.bars(study.gain, label="mean entropy (bit)"), "What each variable takes away")
    table = confusion_matrix(study.full.role, study.full.posterior.argmax(axis=1), classes=len(ROLES))
    yield "confusion", (draw.confusion(table, ROLES), "1e5 e/Å², one detector")
    yield (
        "maps",
        (draw.maps(study.embedding, study.mapped, ROLES), "t-SNE of the same columns, coloured by true role"),
    )


def page_of(study: AtomStudy, figures: Mapping[str, tuple[bytes, str]]) -> Report:
    """The page as data."""
    found = numbers(study)
    main = study.dose[_MAIN]

    def picture(name: str) -> Figure:
        svg, caption = figures[name]
        return Figure.of(svg, alt=caption, caption=caption)

    cards = Facts(facts=(
        Fact(label="role accuracy at 1e5 e/Å²; printed: above 0.98", value=main["with context"]["accuracy"]),
        Fact(label="entropy taken away by context; printed: 0.94", value=found["entropy_reduction"]),
        Fact(label="entropy with context", value=main["with context"]["entropy_bits"], unit="bit"),
        Fact(label="entropy, nothing known", value=main["nothing known"]["entropy_bits"], unit="bit"),
        Fact(label="NLL with context", value=main["with context"]["nll_bits"], unit="bit"),
        Fact(label="NLL, nothing known", value=main["nothing known"]["nll_bits"], unit="bit"),
    ))  # fmt: skip
    sections = [
        Section(title="What came out", id="outcome", blocks=(
            Text(role="headline", text=f"{study.cases} of 576 simulated cases: context takes away "
                 f"{100 * found['entropy_reduction']:.0f} % of the posterior's entropy at 1e5 e/Å²."),
            cards,
            Text(text=f"Of the roles alone, without their element: {main['with context']['role_entropy_bits']:.3f} "
                 f"bit with context, {main['nothing known']['role_entropy_bits']:.3f} without. Told the host and its "
                 "one dopant, the element follows from the role: that part of the fall needs no image."),
            Text(text="Entropy is the mean over columns of −Σ p·log₂ p, over roles with their element: metal, "
                 "chalcogen pair, dopant, missing X, X2 and M. “Nothing known” is the same network with all context "
                 "masked. NLL, the mean −log₂ p of the truth, stands beside it: a posterior that is narrow and wrong "
                 "has a low entropy and a high NLL."),
        )),
        Section(title="By dose", id="dose", blocks=(
            _dose_table(study), picture("accuracy-by-dose"), picture("confusion"),
        )),
        Section(title="What the context is worth", id="context", blocks=(
            picture("entropy"), picture("information"), _wrong(study), picture("maps"),
        )),
        *_kept(study),
    ]  # fmt: skip
    return Report(
        kind="Published study, done again",
        title="Atomic columns in context: the published study and ours",
        provenance={"maker": "epistem reproduce atoms", "version": __version__, "weights": study.weights},
        sections=tuple(sections),
    )


def _dose_table(study: AtomStudy) -> Table:
    rows = [
        (f"{dose:g}", who, *(values[key] for key, _, _ in _COLUMNS))
        for dose, found in study.dose.items()
        for who, values in found.items()
    ]
    return Table(
        columns=(Column(label="dose", unit="e/Å²"), Column(label="told", kind="text", align="left"),
                 *(Column(label=label, decimals=decimals) for _, label, decimals in _COLUMNS)),
        rows=tuple(rows),
    )  # fmt: skip


def _wrong(study: AtomStudy) -> Block:
    right = study.dose[_MAIN]["with context"]
    text = (
        f"Told another host, dopant, energy and detector, accuracy is {study.wrong['accuracy']:.3f} instead of "
        f"{right['accuracy']:.3f}, entropy {study.wrong['entropy_bits']:.3f} instead of "
        f"{right['entropy_bits']:.3f} bit."
    )
    lower = study.wrong["entropy_bits"] < right["entropy_bits"]
    return Notice(level="warning" if lower else "info", text=text)


def _kept(study: AtomStudy) -> list[Section]:
    """What needs networks that do not ship."""
    if not study.kept:
        return []
    kept = study.kept["dose"]["100000"]
    networks = [(name, *(kept[name][key] for key, _, _ in _COLUMNS)) for name in
                _NETWORKS if name in kept]  # fmt: skip
    held = [
        (name, study.kept["held"][name]["held out"]["accuracy"], study.kept["held"][name]["seen"]["accuracy"])
        for name in study.kept["held"]
    ]
    return [Section(title="Other networks, and what was held out", id="networks", blocks=(
        Text(text="“Attention” is the shipped classifier, which went on learning alone; the others were trained "
             f"on the same fields for as many steps. {study.kept['cases']} cases."),
        Table(columns=(Column(label="network", kind="text", align="left"),
                       *(Column(label=label, decimals=d) for _, label, d in _COLUMNS)), rows=tuple(networks)),
        Table(title="Held out from training", columns=(
            Column(label="what", kind="text", align="left"), Column(label="accuracy, held out", decimals=3),
            Column(label="accuracy, seen", decimals=3)), rows=tuple(held)),
    ))]  # fmt: skip
