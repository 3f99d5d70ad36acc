"""Every file of the study's `formats` folder against what is stated of it here.

    EPISTEM_STUDY_DATA=… python benchmarks/formats.py

The statements are RosettaSciIO's tests' and its own reading of shape, scale and unit, written down by hand; not a
line of ours made them. A file is right if it becomes what is stated: an image or a series of that shape with that
pixel size (0.1 %), without one, or a refusal in one line.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from epistem.core import EpistemError, Micrograph, MicrographSeries, NotAnImage
from epistem.imaging import read


class Stated(NamedTuple):
    """What a file holds: 0 images (refused), 1, or n; their shape; their pixel size [nm] or None."""

    images: int
    shape: tuple[int, int] | None = None
    row_nm: float | None = None
    col_nm: float | None = None


def image(rows: int, cols: int, row_nm: float | None = None, col_nm: float | None = None) -> Stated:
    return Stated(1, (rows, cols), row_nm, row_nm if col_nm is None else col_nm)


def series(n: int, rows: int, cols: int, row_nm: float | None = None, col_nm: float | None = None) -> Stated:
    return Stated(n, (rows, cols), row_nm, row_nm if col_nm is None else col_nm)


REFUSED = Stated(0)

# The numbered files of digitalmicrograph: 2 values an axis, the number is the data type, no scale.
# Types 3, 5, 13, 27 and 28 are complex.
NUMBERED = re.compile(r"(\dD)__test-(\d+)\.dm[34]")
COMPLEX = {3, 5, 13, 27, 28}

STATED = {
    "1D__test-EDS_spectrum.dm3": REFUSED,
    "1D__test-MonarcCL_spectrum-pmt.dm4": REFUSED,
    "1D__test-MonoCL_spectrum-ccd.dm4": REFUSED,
    "2D__multi_signal.dm3": image(512, 512, 0.0177516),
    "2D__test-MonarcCL_spectrum-SI.dm4": REFUSED,
    "2D__test_STEM_image.dm3": image(68, 68, 0.248538),
    "2D__test_diffraction_pattern.dm3": image(87, 87),
    "2D__test_diffraction_pattern_tags_removed.dm3": image(87, 87),
    "3D__EELS_SI.dm4": REFUSED,
    "Fei HAADF-DE_location.dm3": image(4, 16, 5.50607),
    "Fei HAADF-FR_location.dm3": image(4, 16, 5.50607),
    "Fei HAADF-UK_location.dm3": image(4, 16, 5.50607),
    "test_stackbuilder_imagestack.dm3": series(3, 2, 16, 59.9829),
    "test_dm_image_um_unit.dm3": image(68, 68, 168.675),
    "FFTComplexEven.emd": image(128, 128, 27.1153),
    "FFTComplexOdd.emd": image(128, 128, 27.1153),
    "Si100_1x1x3-zStart6.7875.emd": series(2 * 208, 7, 7, 0.4),
    # (2, 2) DPC, 2 annular and (2, 18) virtual detector images, 4 slices of potential
    "Si100_2D_3D_DPC_potential_2slices.emd": series(4 + 2 + 36 + 4, 22, 22, 0.25),
    "Si100_4D.emd": REFUSED,
    "example_image.emd": image(3, 3),
    "example_metadata.emd": image(3, 3),
    "example_object_dtype_data.emd": REFUSED,
    "fei_example_complex_fft.emd": REFUSED,
    "fei_example_tem_stack.emd": series(2, 3, 3, 0.00817288),
    "example2_v3.1.hspy": image(16, 16),
    "jpg_no_exif_tags.jpg": image(182, 255),
    "20241021_00405_1_Virt 1_sum.mrc": image(4, 8),
    "20241021_00405_final.mrc": image(4, 8),
    "20241021_00405_movie.mrc": series(32, 4, 8),
    "HAADFscan.mrc": image(16, 16, 5.67913),
    "ROI_Random_Scan_movie.mrc": series(348, 16, 16),
    "new__128x128_TEM_acquire-sum1": image(128, 128, 21.4793),
    "new__128x128x5-diffraction_preview": series(5, 128, 128),
    "new__16x16-diffraction_imagel_5x5x256x256_EDS": REFUSED,
    "new__16x16-diffraction_imagel_5x5x256x256_EDS_copy": REFUSED,
    "new__16x16-line_profile_horizontal_5x128x128_EDS.emi": series(5, 128, 128),
    "new__16x16-line_profile_horizontal_5x128x128_EDS_1.ser": REFUSED,
    "new__16x16-line_profile_horizontal_5x128x128_EDS_2.ser": series(5, 128, 128),
    "new__16x16-spectrum_image_5x5x4000-not_square": REFUSED,
    "old__03_Scanning Preview": series(5, 128, 128, 0.384352),
    "old__16x16-line_profile_diagonal_10x1024": REFUSED,
    "old__16x16x5_STEM_BF_DF_preview.emi": series(10, 16, 16, 21.5100),
    "old__16x16x5_STEM_BF_DF_preview": series(5, 16, 16, 21.5100),
    "old__64x64_TEM_images_acquire": image(64, 64, 6.28183),
    "old__64x64_diffraction_acquire": image(64, 64),
    "old__more_ser_then_emi_metadata": REFUSED,
    "old__no_AcquireDate": REFUSED,
    "optical_Zeiss_AxioVision_BW.tif": image(10, 13),
    "test_loading_image_saved_with_DM.tif": image(68, 68, 168.675),
    "test_loading_image_saved_with_DM_stack.tif": series(2, 68, 68, 1686.74, 168.674),
    "test_loading_image_saved_with_imageJ_no_scale.tif": image(68, 68),
    "test_loading_image_saved_with_imageJ_stack.tif": series(2, 68, 68, 168.675),
    "signal1d_10x10-ZipStore.zspy": REFUSED,
    "signal1d_10x100-model.zspy": REFUSED,
}
"""File name, or the name that an emi and its ser files share -> what it holds."""


def stated(name: str) -> Stated | None:
    """What is stated of a file, or None where nothing is."""
    numbered = NUMBERED.fullmatch(name)
    if numbered:
        axes, kind = numbered[1], int(numbered[2])
        if axes == "1D" or kind in COMPLEX:
            return REFUSED
        return image(2, 2) if axes == "2D" else series(2, 2, 2)
    return STATED.get(name) or STATED.get(re.sub(r"(_\d)?\.(ser|emi)$", "", name))


def difference(path: Path, want: Stated) -> str | None:
    """How what we read differs from what is stated, or None."""
    try:
        found = read(path)
    except NotAnImage as error:
        return None if want == REFUSED and "\n" not in str(error) else f"refused: {error}"
    except EpistemError as error:
        return f"not read: {error}"
    first = found[0] if isinstance(found, MicrographSeries) else found
    images = len(found) if isinstance(found, MicrographSeries) else 1
    if want == REFUSED or (images, first.shape) != (want.images, want.shape):
        return f"{images} of {first.shape}, wanted {want}"
    if (want.images == 1) != isinstance(found, Micrograph):
        return f"a {type(found).__name__}, wanted {want}"
    size = first.calibration
    if want.row_nm is None or want.col_nm is None:
        return None if size is None else f"{size}, wanted no pixel size"
    if size is None or max(abs(size.row_nm / want.row_nm - 1), abs(size.col_nm / want.col_nm - 1)) > 1e-3:
        return f"{size}, wanted {want.row_nm} × {want.col_nm} nm"
    return None


def main() -> None:
    """Read all, print what differs, record the share that is right."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from record import record

    folder = os.environ.get("EPISTEM_STUDY_DATA")
    if not folder:
        sys.exit("EPISTEM_STUDY_DATA names the folder with the study's images; it is not set")
    files = [path for path in sorted(Path(folder, "formats").glob("*/*")) if path.is_file()]
    right, silent = 0, 0
    for path in files:
        want = stated(path.name)
        if want is None:
            silent += 1
            print(f"nothing is stated of {path.name}")
            continue
        wrong = difference(path, want)
        right += wrong is None
        if wrong:
            print(f"{path.name}: {wrong}")
    record(
        "main.formats_right",
        right / len(files),
        target="1",
        command="python benchmarks/formats.py",
        data=f"{len(files)} real files of 8 formats, {right} right, {silent} with nothing stated (counted as wrong)",
    )


if __name__ == "__main__":
    main()
