"""`epistem typicality`: a reference of the texture of images of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from epistem.app.batch import list_files
from epistem.core import EpistemError, Micrograph, SettingsError
from epistem.imaging import read
from epistem.trust.forte_file import save
from epistem.trust.image_typicality import fit


def make_texture(paths: Sequence[Path], out: Path) -> dict[str, Any]:
    """The reference of all images in these files and folders, written to `out`; the images of one file stay together.

    Returns:
        images, windows, unscored (why nothing will be scored with it, or None), errors by file.

    Raises:
        SettingsError: no images, or fewer than three that can be read.
        RecordError: it cannot be written.
    """
    images: list[Micrograph] = []
    groups: list[str] = []
    errors: dict[str, str] = {}
    for path, name in list_files(paths, out):
        try:
            found = read(path)
        except EpistemError as error:
            errors[name] = " ".join(str(error).split())
            continue
        slices = [found] if isinstance(found, Micrograph) else list(found.slices)
        images += slices
        groups += [name] * len(slices)
    if (read_well := len(set(groups))) < 3:
        of = f"{read_well} files of {read_well + len(errors)}"
        raise SettingsError(f"{of} can be read; 3 are needed, some 20 to score")
    reference = fit(images, groups)
    save(reference, out)
    return {"images": len(images), "windows": sum(reference.sizes), "unscored": reference.unscored, "errors": errors}
