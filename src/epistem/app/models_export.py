"""A folder that model hubs take: README.md with its front, the weights, and rdf.yaml where bioimage.io has a form."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from epistem.app.bioimageio import NETWORKS, write_rdf
from epistem.app.card_front import body
from epistem.app.models import FOLDERS, Model, find_model, own_model
from epistem.core import DependencyMissing, RecordError, SettingsError
from epistem.core.files import write_text
from epistem.nets.weights import open_weights

README = "README.md"
_USE = {
    "cavity-dense": "epistem analyze FOLDER --out RESULTS --detector cavity-dense --set weights={file}",
    "cavity-maskrcnn": "epistem analyze FOLDER --out RESULTS --detector cavity-maskrcnn --set weights={file}",
    "segmenter": "epistem segment FOLDER --model {file} --out RESULTS",
    "context-classifier": "epistem atoms classify ADF1 ADF2 --host WSe2 --dopant Ti --model {file} --out RESULTS",
    "forecast": "epistem analyze FOLDER --out RESULTS --forecast {file}",
}


class Exported(NamedTuple):
    """What was written, and why no rdf.yaml was; "" where one was."""

    files: tuple[Path, ...]
    without_rdf: str


def export_model(name: str, out: Path, *, licence: str | None = None) -> Exported:
    """Weights with their card in a new folder, whole or not at all.

    Args:
        name: as `find_model` takes it.
        out: folder to make; it may be there and empty.
        licence: SPDX name, of a person's own weights whose card names none.

    Raises:
        SettingsError: something is in the folder, or nobody said under which licence the weights may be passed on.
        RecordError: the weights cannot be read or the folder not be written.
    """
    model = _licensed(name, licence)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} is there and not empty; choose a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as made:
            without = _fill(model, Path(made))
            out.mkdir(exist_ok=True)
            for file in sorted(Path(made).iterdir()):
                file.replace(out / file.name)
    except OSError as error:
        raise RecordError(f"cannot write {out}: {error.strerror or error}; choose another folder") from error
    return Exported(tuple(sorted(out.iterdir())), without)


def _licensed(name: str, licence: str | None) -> Model:
    model = find_model(name)
    known = model.said.get("licence")
    if known is not None:
        if licence is not None and licence != known:
            raise SettingsError(f"{model.name} is under {known}, which its card says; leave --licence out")
        return model
    if licence is None:
        learned = model.said.get("trained_on", "data that its card does not name")
        raise SettingsError(
            f"the card of {model.name} does not say under which licence it may be passed on. It learned from "
            f"{learned}: if that allows it, choose a licence and tell it, as in --licence CC-BY-4.0"
        )
    return own_model(model.files[0], licence)


def _fill(model: Model, folder: Path) -> str:
    for file in model.files:
        shutil.copyfile(file, folder / file.name)
    network = model.said["network"]
    text = model.card
    if network in _USE:
        text += f"\n## Use\n\n```sh\n{_USE[network].format(file=model.files[0].name)}\n```\n"
    without = ""
    if network in NETWORKS:
        weights = open_weights(folder / model.files[0].name)
        try:
            text += "\n## In and out\n\n" + write_rdf(
                weights, model.name, licence=model.said["licence"], summary=_summary(model), ours=_is_ours(model)
            )
        except DependencyMissing as error:
            without = str(error)
    else:
        without = f"bioimage.io takes networks from image to image, and {network} is none"
    write_text(folder / README, text)
    return without


def _is_ours(model: Model) -> bool:
    return model.files[0].parent in FOLDERS


def _summary(model: Model) -> str:
    """The first sentence of the card."""
    words = next(line for line in body(model.card).splitlines() if line and not line.startswith(("#", "|")))
    return words.split(". ")[0].rstrip(".") + "."
