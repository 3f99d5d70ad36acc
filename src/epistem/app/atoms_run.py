"""What the commands of `epistem atoms` do with their words, and what they say of what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epistem.app.atoms_context import Person, read_person
from epistem.app.atoms_images import read_field
from epistem.app.atoms_report import headline
from epistem.app.atoms_use import Field, classify_field, counts, record, write_field
from epistem.app.terminal import Bar, say
from epistem.atoms.columns import NoLattice
from epistem.atoms.kernels import shipped_bank
from epistem.core import EpistemError, SettingsError
from epistem.core.errors import ReadError

if TYPE_CHECKING:
    from epistem.atoms.model import AtomModel
    from epistem.nets.context import Kind


def classify_images(
    images: Sequence[Path], out: Path, *, context: Path | None, host: str | None, dopants: Sequence[str] | None,
    pixel_size: str | None, model: Path | None, what_if: bool, as_json: bool,
) -> bool:  # fmt: skip
    """Classify one field, and tell what came of it.

    Returns:
        Whether the image itself could not be used; then it was told why.

    Raises:
        EpistemError: a command that cannot be meant: context, model, images that do not belong together.
    """
    person = asked_person(context, host, dopants, pixel_size)
    folders = [path for path in images if path.is_dir() and path.suffix not in (".zarr", ".zspy")]
    if folders:
        raise SettingsError(f"{folders[0]} is a folder; give it alone, or one image, or two of one field")
    try:
        read = read_field(images, pixel_size)
    except ReadError as error:
        return _failed(error, as_json)
    network = load_model(model)
    try:
        field = classify_field(read, person, network, shipped_bank(), ask_what_if=what_if)
    except NoLattice as error:
        return _failed(f"{' + '.join(path.name for path in images)}: {error}", as_json)
    told = write_field(field, out)
    if as_json:
        print(json.dumps({"out": str(out), **told}, indent=1, ensure_ascii=False))
    else:
        tell(field)
        print(f"Report: {out / 'report.html'}")
    return False


def classify_folder(
    folder: Path, out: Path, *, context: Path | None, host: str | None, dopants: Sequence[str] | None,
    pixel_size: str | None, model: Path | None, what_if: bool, as_json: bool,
) -> bool:  # fmt: skip
    """Classify each image of a folder, of one detector or two, on its own.

    Returns:
        Whether some could not be.

    Raises:
        EpistemError: a command that cannot be meant.
    """
    from epistem.app.batch import list_files
    from epistem.report.export import write_table

    person = asked_person(context, host, dopants, pixel_size)
    network, bank = load_model(model), shipped_bank()
    files = list_files([folder], out)
    done: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    with Bar(len(files), quiet=as_json) as bar:
        for number, (path, name) in enumerate(files):
            bar.stage(name)
            try:
                field = classify_field(read_field([path], pixel_size), person, network, bank, ask_what_if=what_if)
                done.append({"image": name, **_row(field), "_json": write_field(field, out / "images" / name)})
            except EpistemError as error:
                errors.append({"image": name, "why": " ".join(str(error).split())})
                say(f"{name}: {errors[-1]['why']}")
            bar.advance(number + 1, len(files), None)
    told = [one.pop("_json") for one in done]
    write_overview(done, errors, out)
    if done:
        write_table(out / "images.csv", done)
    if errors:
        write_table(out / "errors.csv", errors)
    if as_json:
        print(json.dumps({"out": str(out), "fields": told, "errors": errors}, indent=1, ensure_ascii=False))
    else:
        print(f"{len(done)} of {len(files)} images classified.\nReport: {out / 'report.html'}")
    return bool(errors)


def write_overview(done: Sequence[dict[str, Any]], errors: Sequence[dict[str, str]], out: Path) -> None:
    """The page that leads to each image's own."""
    from epistem.core.files import write_text
    from epistem.report.compose import failures_section
    from epistem.report.document import Column, Link, Report, Section, Table, Text
    from epistem.report.render import render_html

    columns = (
        Column(label="Image", kind="text", align="left"), Column(label="Columns"), Column(label="Dopants"),
        Column(label="Vacancies"), Column(label="Uncertain"), Column(label="Mean entropy", unit="bit", decimals=3),
        Column(label="", kind="text", align="left"),
    )  # fmt: skip
    rows = [
        (
            Link.to_file(one["image"], f"images/{one['image']}/report.html"), one["columns"], one["dopants"],
            one["vacancies"], one["uncertain"], one["mean_entropy_bits"], one["headline"],
        )
        for one in done
    ]  # fmt: skip
    text = f"{len(done)} images classified, {len(errors)} not."
    sections = [
        Section(
            title="Overview",
            id="overview",
            blocks=(Text(text=text, role="headline"), Table(columns=columns, rows=tuple(rows))),
        )
    ]
    if errors:
        sections.append(failures_section([(one["image"], one["why"]) for one in errors]))
    report = Report(kind="Atomic columns", title="Folder", subtitle=text, sections=tuple(sections))
    write_text(out / "report.html", render_html(report))


def asked_person(
    context: Path | None, host: str | None, dopants: Sequence[str] | None, pixel_size: str | None
) -> Person:
    """What the person says by file and options, checked as far as that goes without an image."""
    from epistem.imaging import parse_pixel_size

    pixel_A = None
    if pixel_size is not None:
        scale = parse_pixel_size(pixel_size)
        if not scale.is_square:
            raise SettingsError(
                f"--pixel-size {pixel_size}: columns are classified on square pixels; resample the image"
            )
        pixel_A = 10 * scale.col_nm
    return read_person(context, host=host, dopants=dopants, pixel_A=pixel_A)


def load_model(path: Path | None) -> AtomModel:
    """The classifier asked for, or the shipped one.

    Raises:
        RecordError, DependencyMissing: as `AtomModel.load`.
    """
    from epistem.app.train import need_torch
    from epistem.atoms.model import AtomModel

    need_torch()
    return AtomModel.load() if path is None else AtomModel.load(path)


def tell(field: Field) -> None:
    """The headline, each label with what is expected of it, and what to know."""
    print(headline(field))
    for one in counts(field.found):
        share = "" if one.share is None else f"{one.share.value:8.2%} ({one.share.low:.2%} to {one.share.high:.2%})"
        print(f"  {one.label:10} {one.called:6} called {one.expected:9.1f} expected {share}")
    for note in field.notes:
        say(f"Note: {note}")


def _row(field: Field) -> dict[str, Any]:
    told, roles = record(field), field.found.role.argmax(axis=1) if field.found.known else []
    return {
        "columns": told["columns"], "dopants": int(sum(at == 2 for at in roles)),
        "vacancies": int(sum(at > 2 for at in roles)),
        "uncertain": told["uncertain"], "mean_entropy_bits": told["mean_entropy_bits"], "headline": headline(field),
    }  # fmt: skip


def _failed(why: object, as_json: bool) -> bool:
    text = " ".join(str(why).split())
    say(f"epistem: {text}")
    if as_json:
        print(json.dumps({"error": text}, ensure_ascii=False))
    return True


def simulate_fields(
    spec: Path | None, out: Path, *, example: bool, fields: int, with_reference: bool, workers: int,
    cluster: str | None, as_json: bool,
) -> bool:  # fmt: skip
    """Simulate, and tell what came of it.

    Returns:
        Whether some fields could not be made.
    """
    from epistem.app.atoms_simulate import EXAMPLE, reference, simulate
    from epistem.app.train import Words
    from epistem.atoms.dataset import read_spec
    from epistem.core.files import write_text

    if (spec is None) != example:
        raise SettingsError("wanted a specification, or --example without one")
    if spec is None:
        spec = out / "example.yaml"
        write_text(spec, EXAMPLE)
    asked = read_spec(spec)
    with Words(quiet=as_json) as words, words.stoppable(lambda: f"fields that are whole are kept in {out}"):
        told = simulate(
            asked, out, fields, workers=workers, cluster=cluster,
            say=lambda text: None if as_json else words.say(text),
            progress=lambda done, of: words.part("Simulating, field", done, of),
        )  # fmt: skip
        if with_reference:
            if not as_json:
                words.say("Multislice of one small cell; this takes minutes.")
            told["reference"] = reference(asked, out)
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return bool(told["failed"])
    for name, why in told["failed"].items():
        say(f"{name}: {why}")
    if with_reference:
        print(f"Renderer against multislice: r {', '.join(f'{r:.4f}' for r in told['reference']['r'])}")
    print(f"{told['made']} fields made, {told['kept']} were there: {out}")
    return bool(told["failed"])


def train_network(
    spec: Path, out: Path, *, steps: int, kind: Kind, learning_rate: float, fields: int, seed: int,
    device: str | None, workers: int, as_json: bool,
) -> None:  # fmt: skip
    """Train, calibrate, and tell where the weights are."""
    from epistem.app.train import Words, need_torch
    from epistem.atoms.dataset import read_spec

    asked = read_spec(spec)
    need_torch()
    from epistem.app.atoms_train import train_classifier
    from epistem.nets.train import Schedule

    schedule = Schedule(steps=steps, batch=8, learning_rate=learning_rate, clip=20.0, seed=seed)
    with Words(quiet=as_json) as words, words.stoppable(lambda: f"what was reached is kept in {out}"):
        weights = train_classifier(
            asked, out, schedule, kind=kind, workers=workers, device=device or "cpu", fields=fields,
            told=lambda step: words.step(step, steps),
            calibrating=lambda done, of: words.part("Calibrating, field", done, of),
        )  # fmt: skip
    found = weights.card["calibration"]
    if as_json:
        print(json.dumps({"weights": str(weights.path), "hash": weights.hash, "calibration": found}, indent=1))
        return
    print(
        f"Roles right on fields it has not seen, every role as often: {found['accuracy']:.1%}; "
        f"NLL {found['nll_after']:.3f}, ECE {found['ece_after']:.3f}\n"
        f"Weights: {weights.path}\nCard: {weights.path.with_name('card.md')}"
    )


def evaluate_images(
    images: Sequence[Path], truth: Path, *, labels: str | None, context: Path | None, host: str | None,
    dopants: Sequence[str] | None, pixel_size: str | None, model: Path | None, seed: int, as_json: bool,
) -> bool:  # fmt: skip
    """Classify, hold against labels, and print it.

    Returns:
        Whether the image could not be used.
    """
    from epistem.app.atoms_evaluate import evaluate
    from epistem.app.atoms_tell import print_evaluation
    from epistem.app.atoms_truth import parse_names, read_truth

    person, names = asked_person(context, host, dopants, pixel_size), parse_names(labels)
    try:
        read = read_field(images, pixel_size)
        network = load_model(model)
        field = classify_field(read, person, network, shipped_bank(), ask_what_if=False)
    except (ReadError, NoLattice) as error:
        return _failed(error, as_json)
    told = evaluate(field, read_truth(truth, pixel_A=field.found.context.pixel_A, names=names), seed=seed)
    if as_json:
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return False
    print_evaluation(told)
    for note in field.notes:
        say(f"Note: {note}")
    return False


def rating_page(
    images: Sequence[Path], out: Path, *, context: Path | None, host: str | None, dopants: Sequence[str] | None,
    pixel_size: str | None, n: int, by_model: bool, model: Path | None, seed: int,
) -> bool:  # fmt: skip
    """Write the page, and tell how many columns it asks for.

    Returns:
        Whether the image could not be used.
    """
    from epistem.app.atoms_rate import rate

    if out.suffix != ".html":
        raise SettingsError(f"a page is .html, not {out.name}")
    person = asked_person(context, host, dopants, pixel_size)
    network = load_model(model) if by_model else None
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        page = rate(read_field(images, pixel_size), person, out, shipped_bank(), model=network, n=n, seed=seed)
    except (ReadError, NoLattice) as error:
        return _failed(error, False)
    edge = f" ({page.at_edge} too near the edge)" if page.at_edge else ""
    print(f"{len(page.chosen)} columns{edge}, {len(page.order) - len(page.chosen)} of them twice: {page.path}")
    return False


def tell_agreement(ratings: Sequence[Path], columns: Path | None, *, seed: int, as_json: bool) -> None:
    """Print how far raters agree."""
    from epistem.app.atoms_rate import agreement
    from epistem.app.atoms_rate import record as agreement_record
    from epistem.app.atoms_tell import print_agreement
    from epistem.report.document import plain

    found = agreement(ratings, columns, seed=seed)
    if as_json:
        print(json.dumps(plain(agreement_record(found)), indent=1, ensure_ascii=False))
    else:
        print_agreement(found)
