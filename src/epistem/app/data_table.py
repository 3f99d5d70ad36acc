"""Public data for each job: what it is, whose it is, under which licence, and how it is read.

Nothing of it is in this package. A licence that nobody stated is None: such data may be looked at, and not passed on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from epistem.core import UnknownName


@dataclass(frozen=True)
class DataSet:
    """One public data set.

    Attributes:
        name: it goes by here.
        jobs: detect, segment, atoms, ask, read: what it serves for.
        what: in a sentence.
        images: how many, in words.
        truth: what is known of them.
        licence: as its source states it; None where it states none.
        source: whose it is: a repository at a commit, or a DOI.
        fetch: URL or DOI that `epistem data fetch` takes; None where only parts of the address are known.
        loader: what of epistem reads it.
        groups: what to split by; images that share it are not independent.
        note: what a person has to know before using it.
    """

    name: str
    jobs: tuple[str, ...]
    what: str
    images: str
    truth: str
    licence: str | None
    source: str
    fetch: str | None
    loader: str
    groups: str | None = None
    note: str = ""

    def as_record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def find_data(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        UnknownName: there is none.
    """
    for one in DATA:
        if one.name == name:
            return one
    raise UnknownName(f"no public data set is called {name!r} here; epistem data lists them")


def _github(repository: str, commit: str) -> dict[str, str]:
    """Source and address of a repository at a whole commit."""
    return {
        "source": f"github {repository} at {commit[:12]}",
        "fetch": f"https://github.com/{repository}/archive/{commit}.zip",
    }


_NASA = _github("nasa/pretrained-microscopy-models", "f50b5689a71cf6f86016fb4a5c5a2bb31e0397f3")
_ANALYZE = "epistem analyze FOLDER --out RESULTS"
_MASKS = "epistem bench init FOLDER, with images and masks named alike"

DATA = (
    DataSet(
        "cavities-li2025", ("detect",), "TEM images of cavities in irradiated alloys (Li et al. 2025)", "733 PNG",
        "none: the annotations are not in the repository", None,
        **_github("uw-cmg/cavity_defect_detection", "52d96d5516f247ca849576ce2c0846d1c8533f32"), loader=_ANALYZE,
        groups="file-name family", note="pixel sizes of 409 images are in its conversions table; the rest have none",
    ),
    DataSet(
        "forecast-li2025", ("detect",), "What the published forecast of F1 was fitted on (Li et al. 2025)",
        "unknown: not looked into", "unknown", None, "doi 10.6084/m9.figshare.27281400.v1",
        "10.6084/m9.figshare.27281400.v1", "none was tried; epistem reproduce forecast makes its own cases",
    ),
    DataSet(
        "cosmic-backgrounds", ("detect",), "Cavity-free TEM fields, and Fresnel profiles of cavities over defocus",
        "20", "no cavity is in them", "MIT",
        **_github("nomelabs/COSMIC-ML", "779b4ee336596918bd64bcf6ab70aecdb7940503"),
        loader="epistem train detector SPEC.toml, as [backgrounds]",
        note="the shipped detector has learned on 8 of them",
    ),
    DataSet(
        "loops-316l", ("detect",), "Dislocation loops in 316L steel, bright-field TEM",
        "16 of 512 × 512, 1 of 1024 × 1024", "masks; COCO polygons of 186 loops", "MIT",
        **_github("ai-atoms/creme", "19e9c46d731e525fd80270d9bb602a6e94e92e70"),
        loader="epistem train detector, epistem score, epistem analyze --found", groups="tile",
        note="a tile of 512 px is 200 nm wide, says its name; some loops are not labelled",
    ),
    DataSet(
        "emps", ("detect", "segment"), "Particles in SEM and TEM images from papers (Yildirim & Cole 2021)", "465",
        "label images, 0 background, 1…n particles", "MIT",
        **_github("by256/emps", "dd8f86d714894fd08f3db80041893982ce058dd6"), loader=_MASKS,
        groups="paper (DOI of each image)", note="no pixel size",
    ),
    DataSet(
        "meltpools", ("segment",), "Melt pools in laser powder-bed metallographs, optical", "231 of 512 × 512",
        "COCO polygons of 1262 melt pools", "MIT", **_NASA, loader="epistem bench init FOLDER (COCO)", groups="slice",
    ),
    DataSet(
        "superalloy", ("segment",), "γ′ precipitates in nickel superalloys, SEM", "23 of 512 × 512",
        "masks: matrix, secondary γ′, tertiary γ′", "MIT", **_NASA, loader=_MASKS, groups="spot",
    ),
    DataSet(
        "barrier-coatings", ("segment",), "Oxide and cracks in environmental barrier coatings, SEM",
        "22 of 1024 × 1024", "masks: background, oxide, crack", "MIT", **_NASA, loader=_MASKS,
        groups="sample in the name",
    ),
    DataSet(
        "pt-alumina", ("segment",), "Platinum on γ-alumina, HAADF-STEM tilt series", "60 of 512 × 512",
        "masks: background, alumina, platinum", None,
        "github ArdaGen/Multi_Class_Semantic_Segmentation at 375605a9d57c", None, _MASKS, groups="tilt, in blocks",
    ),
    DataSet(
        "pitting", ("segment",), "Pitting corrosion, frames of an optical video", "100 of 200 × 200",
        "masks of moving particles, 0.6 % of the pixels", None, "doi 10.5281/zenodo.14653184",
        "10.5281/zenodo.14653184", _MASKS, groups="video", note="pits that do not move are not labelled",
    ),
    DataSet(
        "pores-xct", ("segment",), "Pores in nano-XCT slices", "22 of 768 × 768, voxels of 22 nm",
        "masks: background, pore, and 2 where nothing is said", None,
        "github Syntoxikoo/Deep-learning-for-segmentation-of-micro-tomography-images at 424f592e8418", None, _MASKS,
        groups="slice blocks", note="one volume: its slices are alike",
    ),
    DataSet(
        "dna-afm", ("segment",), "DNA strands and nucleosomes, AFM height", "6 of 2016 × 2016",
        "masks: substrate, strand, nucleosome", None,
        **_github("VincentStimper/AFM-Image-Segmentation", "229186e844da39f18133af43c4e29933ec3e4019"), loader=_MASKS,
        groups="image",
    ),
    DataSet(
        "wse2-ti", ("atoms",), "Ti-doped WSe2 monolayer, 80 kV, two ADF detectors at once", "3 fields of 512 × 512",
        "about 23,400 labelled columns: W, dopant, Se2, Se vacancy", "MIT",
        **_github("jiadongdan/random-defect-model", "b058e897d80a6c3633491950475bdd01f5326d03"),
        loader="epistem atoms classify ADF1.dm4 ADF2.dm4 --host WSe2 --dopant Ti", groups="field",
        note="labels are the authors' own clusters, not those of independent raters",
    ),
    DataSet(
        "wse2-v", ("atoms",), "V-doped WSe2 monolayer, recorded and simulated",
        "15 recorded, 20 simulated, 1024 × 1024", "label maps of the simulated ones", None,
        **_github("SKKU-STEM/TEMworkshop29_DL", "aa65ee01cc740ff9d386eab5eb34752c5576b775"),
        loader="epistem atoms classify IMAGE --host WSe2 --dopant V", groups="image",
    ),
    DataSet(
        "graphene-si", ("atoms",), "Silicon in graphene, HAADF-STEM at 60 kV", "187, mostly 256 × 256",
        "class and position of 202 defects", None,
        **_github("pycroscopy/AICrystallographer", "a32e4cfe32e13ac0179c9641d3d022b88bcf99e6"),
        loader="h5py; positions are x, y in the library, row, col in atomnet_exp", groups="image",
    ),
    DataSet(
        "atomsegnet", ("atoms",), "Assorted fields at atomic resolution", "4", "none", "MIT",
        **_github("xinhuolin/AtomSegNet", "fe317bab38d9ecee7762c60d98c3b986ab51be01"), loader="epistem read",
    ),
    DataSet(
        "doitpoms", ("ask",), "Micrographs of the DoITPoMS library with experts' descriptions", "476",
        "text, composition, processing, length of the scale bar", "CC BY-NC-SA 2.0 UK for most; see each",
        **_github("Subham2507/mic_hackathon", "1e2c08b2dd47942f4dc74b908e963f08392af0df"),
        loader="epistem ask IMAGE QUESTION", groups="system",
        note="a copy of the library of the University of Cambridge",
    ),
    DataSet(
        "chemrxiv-micrographs", ("ask",), "Micrographs cut from preprints, with captions", "842",
        "captions; technique and material as a model named them", "of each paper (DOI); the repository MIT",
        **_github("tldr-group/micrograph_extractor", "1ff08f1b67e048ba4c0fecb6d1982244270e08d4"),
        loader="epistem ask IMAGE QUESTION", groups="DOI", note="many papers forbid passing their figures on",
    ),
    DataSet(
        "instrument-files", ("read",), "Small files as instruments wrote them: dm3, dm4, emd, ser, mrc, tif…",
        "some of each format", "shape, type and pixel size, in the tests beside them", "GPL-3.0-or-later",
        "github hyperspy/rosettasciio at bc254db", None, "epistem read",
    ),
)  # fmt: skip
