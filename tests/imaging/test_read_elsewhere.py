"""A file that somebody sends must not choose what else is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from epistem.core import ReadError
from epistem.imaging import read
from epistem.imaging.stores import check_hdf5


def external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("data", (4, 4), "uint8", external=[(str(other), 0, 16)])


def external_link(file: h5py.File, other: Path) -> None:
    file.create_group("deep")["data"] = h5py.ExternalLink(str(other), "/data")


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((4, 4), "uint8")
    layout[:] = h5py.VirtualSource(str(other), "data", (4, 4))
    file.create_virtual_dataset("data", layout)


@pytest.mark.parametrize("makes", [external_storage, external_link, virtual])
def test_an_hdf5_file_with_values_in_another_file_is_refused(
    makes: Callable[[h5py.File, Path], None], tmp_path: Path
) -> None:
    other = tmp_path / "secret.h5"
    with h5py.File(other, "w") as file:
        file["data"] = np.arange(16, dtype=np.uint8).reshape(4, 4)
    with h5py.File(tmp_path / "sent.h5", "w") as file:
        makes(file, other)

    with pytest.raises(ReadError, match="other files"):
        check_hdf5(tmp_path / "sent.h5")


def test_an_hdf5_file_of_its_own_is_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "sent.h5", "w") as file:
        file["group/data"] = np.zeros((4, 4))
        file["link"] = h5py.SoftLink("/group/data")

    check_hdf5(tmp_path / "sent.h5")


@pytest.mark.parametrize("place", ["../secret.tif", "{home}/secret.tif"])
def test_an_ome_tiff_with_pages_in_another_folder_is_refused(place: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    tifffile.imwrite(secret, np.full((16, 16), 7, np.uint8), ome=True)
    with tifffile.TiffFile(secret) as file:
        uuid = "urn:uuid:" + str(file.ome_metadata).split('UUID="urn:uuid:')[1][:36]
    (tmp_path / "room").mkdir()
    sent = tmp_path / "room" / "sent.ome.tif"
    name = place.format(home=tmp_path.as_posix())
    described = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000000-0000-0000-0000-000000000001"><Image ID="Image:0" Name="x"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="16" SizeY="16" SizeZ="2" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        '<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="sent.ome.tif">'
        "urn:uuid:00000000-0000-0000-0000-000000000001</UUID></TiffData>"
        f'<TiffData IFD="0" FirstZ="1" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(sent, np.zeros((16, 16), np.uint8), description=described, metadata=None)

    with pytest.raises(ReadError, match="other folders"):
        read(sent)
