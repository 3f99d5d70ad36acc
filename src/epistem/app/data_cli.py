"""`epistem data`, `data show`, `data fetch`: public data sets for each job, and getting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epistem.app.options import Json

if TYPE_CHECKING:
    from epistem.app.data_fetch import Listing

data = typer.Typer(help="Public data sets for each job: licence, source, loader; fetch them.")

UNKNOWN = "unknown"


@data.callback(invoke_without_command=True)
def list_data(context: typer.Context, as_json: Json = False) -> None:
    """Public data sets for each job: licence, source, loader; fetch them."""
    if context.invoked_subcommand is not None:
        return
    from epistem.app.data_table import DATA

    if as_json:
        print(json.dumps([one.as_record() for one in DATA], indent=1, ensure_ascii=False))
        return
    for job in dict.fromkeys(job for one in DATA for job in one.jobs):
        print(f"{job}:")
        for one in (one for one in DATA if job in one.jobs):
            print(f"  {one.name}: {one.what} (images: {one.images}; licence: {one.licence or UNKNOWN})")
    print("epistem data show NAME tells more; epistem data fetch NAME --out FOLDER gets it.")


@data.command()
def show(name: Annotated[str, typer.Argument(help="A name from the list.")], as_json: Json = False) -> None:
    """Print all that is known of a data set."""
    from epistem.app.data_table import find_data

    one = find_data(name)
    if as_json:
        print(json.dumps(one.as_record(), indent=1, ensure_ascii=False))
        return
    print(f"{one.name}: {one.what}")
    rows = {
        "for": ", ".join(one.jobs), "images": one.images, "truth": one.truth, "licence": one.licence or UNKNOWN,
        "source": one.source, "fetch": one.fetch or "its whole address is not known", "read by": one.loader,
        "split by": one.groups or UNKNOWN, "note": one.note,
    }  # fmt: skip
    for label, value in rows.items():
        if value:
            print(f"  {label}: {value}")
    if one.licence is None:
        print("  Nobody stated a licence: look at it, and do not pass it on or ship weights trained on it.")


@data.command()
def fetch(
    source: Annotated[str, typer.Argument(help="A name from the list, a DOI of Zenodo or Figshare, or an address.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")],
    sha256: Annotated[str | None, typer.Option(help="Of the file, as its maker told it.")] = None,
    md5: Annotated[str | None, typer.Option(help="Of the file, as its maker told it.")] = None,
    limit_gb: Annotated[float, typer.Option(min=0.001, help="Of all files together, packed and unpacked.")] = 10,
    unpack: Annotated[bool, typer.Option("--unpack", help="Unpack what is a zip.")] = False,
    as_json: Json = False,
) -> None:
    """Get a data set. What was cut goes on where it was, the same command again; a wrong checksum is refused."""
    from epistem.app.data_fetch import listing
    from epistem.app.data_fetch import unpack as unpack_zip
    from epistem.app.fetch import fetch as fetch_file
    from epistem.app.terminal import say
    from epistem.app.train import Words

    found = _expecting(listing(source), sha256, md5)
    most = round(limit_gb * 1e9)
    say(_announced(found, most))
    done = []
    with Words(quiet=as_json) as words:

        def step(name: str, have: int, of: int | None) -> None:
            words.show(f"{name}, MB", have // 10**6, (of or have) // 10**6, "")

        for remote in found.files:
            got = fetch_file(remote, out, most_bytes=most, step=step)
            folder = unpack_zip(got.path, most_bytes=most) if unpack and got.path.suffix.lower() == ".zip" else None
            done.append((got, folder))
    if as_json:
        files = [
            {
                "path": str(got.path),
                "sha256": got.sha256,
                "checked": got.checked,
                "unpacked": str(folder or "") or None,
            }
            for got, folder in done
        ]
        print(json.dumps({"title": found.title, "licence": found.licence, "files": files}, indent=1))
        return
    for got, folder in done:
        how = "as its maker told" if got.checked else "not checked, as nobody told one"
        print(f"{got.path}: SHA-256 {got.sha256}, checksum {how}")
        if folder is not None:
            print(f"{folder}: unpacked")


def _expecting(found: Listing, sha256: str | None, md5: str | None) -> Listing:
    """With the checksum that the user told, which stands before the archive's."""
    from epistem.core import SettingsError

    told = [(kind, value) for kind, value in (("sha256", sha256), ("md5", md5)) if value is not None]
    if not told:
        return found
    if len(told) > 1 or len(found.files) > 1:
        raise SettingsError("a checksum is of one file, and one kind is enough: --sha256 or --md5 with one address")
    kind, value = told[0]
    digits = {"sha256": 64, "md5": 32}[kind]
    if len(value) != digits or set(value.lower()) - set("0123456789abcdef"):
        raise SettingsError(f"--{kind} has {digits} digits of 0-9 and a-f, not {value!r}")
    return found._replace(files=(found.files[0]._replace(checksum=f"{kind}:{value.lower()}"),))


def _announced(found: Listing, most: int) -> str:
    """What is about to be fetched.

    Raises:
        SettingsError: together it is more than the limit.
    """
    from epistem.core import SettingsError
    from epistem.report.words import counted

    sizes = [file.size for file in found.files if file.size is not None]
    if sum(sizes) > most:
        raise SettingsError(
            f"together they have {sum(sizes) / 1e9:.3g} GB, more than the limit of {most / 1e9:.3g} GB; "
            f"say --limit-gb {sum(sizes) / 1e9 + 0.1:.1f}"
        )
    size = f"{sum(sizes) / 1e6:.1f} MB" if len(sizes) == len(found.files) else "size not told"
    title = found.title or found.files[0].name
    return f"{title}: {counted(len(found.files), 'file')}, {size}; licence: {found.licence or UNKNOWN}"
