"""What every reader keeps: its own sample is read exactly, and foreign bytes are one line of refusal."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from epistem.core import Calibration, Micrograph, ReadError
from epistem.imaging import READERS, read
from epistem.imaging.read import SUFFIXES

NEEDS = {"igor": "igor2", "gwyddion": "gwyfile", "zspy": "zarr", "zarr": "zarr"}
# A picture and a Nanoscope file have no separate, or no, pixel size to tell rows from columns by.
SIZES = {"picture": None, "nanoscope": (0.25, 0.25)}


@pytest.fixture(scope="module")
def samples() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "sample_files.py"
    spec = importlib.util.spec_from_file_location("sample_files", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sample(samples: ModuleType, name: str, folder: Path) -> Path:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return samples.SAMPLES[name](folder)


def test_every_reader_has_a_sample_and_a_suffix(samples: ModuleType) -> None:
    assert set(samples.SAMPLES) == set(READERS) == set(SUFFIXES.values())


@pytest.mark.parametrize("name", READERS)
def test_a_sample_that_is_not_square_keeps_its_pixels_and_their_order(
    name: str, samples: ModuleType, tmp_path: Path
) -> None:
    found = read(sample(samples, name, tmp_path))
    assert isinstance(found, Micrograph)
    assert found.shape == (6, 9)
    np.testing.assert_array_equal(found.pixels, samples.PIXELS)


@pytest.mark.parametrize("name", READERS)
def test_the_pixel_size_is_the_files_own_or_none(name: str, samples: ModuleType, tmp_path: Path) -> None:
    found = read(sample(samples, name, tmp_path))
    assert isinstance(found, Micrograph)
    want = SIZES.get(name, (0.5, 0.25))
    if want is None:
        assert found.calibration is None
    else:
        assert found.calibration is not None
        assert (found.calibration.row_nm, found.calibration.col_nm) == pytest.approx(want)
        assert found.calibration.source == "metadata"
        assert found.calibration.detail


@pytest.mark.parametrize("name", READERS)
def test_the_users_pixel_size_overrules_the_files(name: str, samples: ModuleType, tmp_path: Path) -> None:
    found = read(sample(samples, name, tmp_path), Calibration(2.0, 3.0, "user"))
    assert isinstance(found, Micrograph)
    assert found.calibration == Calibration(2.0, 3.0, "user")


@pytest.mark.parametrize("name", READERS)
def test_the_metadata_are_plain_and_the_name_is_the_files(name: str, samples: ModuleType, tmp_path: Path) -> None:
    path = sample(samples, name, tmp_path)
    found = read(path)
    assert isinstance(found, Micrograph)
    assert json.loads(json.dumps(found.metadata)) == found.metadata
    assert found.name == path.name


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "content", [b"", b"plain words\n" * 300, bytes(range(256)) * 20], ids=["empty", "text", "noise"]
)
def test_foreign_bytes_are_refused_in_one_line_that_names_the_file(name: str, content: bytes, tmp_path: Path) -> None:
    suffix = next(suffix for suffix, reader in SUFFIXES.items() if reader == name)
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(content)
    for refuse in (READERS[name], read):
        if name in NEEDS:
            pytest.importorskip(NEEDS[name])
        with pytest.raises(ReadError) as caught:
            refuse(path)
        assert path.name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_a_file_cut_in_half_is_refused(name: str, samples: ModuleType, tmp_path: Path) -> None:
    path = sample(samples, name, tmp_path)
    if path.is_dir():
        pytest.skip("a folder cannot be cut")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ReadError, match=path.name):
        read(path)


@pytest.mark.parametrize("name", READERS)
def test_reading_prints_and_warns_nothing(
    name: str, samples: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = sample(samples, name, tmp_path)
    capfd.readouterr()
    read(path)
    assert capfd.readouterr() == ("", "")
