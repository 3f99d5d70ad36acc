"""Every claim of speed or memory: what is compared with what, and which command measures it. No claim is elsewhere.

Their numbers stand in results/*.json, how far each is from what this machine could do in results/race.json.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Way = Literal["more", "less"]
Kind = Literal["ratio", "absolute", "count", "target"]
BUILD = "build/race"


class Claim(NamedTuple):
    """One row of the table.

    Attributes:
        name: of its number in results/<topic>.json.
        what: what is counted, for a reader.
        peer: what it is compared with in the same run; "" if with nothing.
        better: whether more or less of it is better.
        run: what follows `python -m benchmarks.`.
        kind: ratio, whose two sides meet on the same machine; absolute, which goes with the machine; count, which
            hardly depends on it; target, near 0, where nothing can be said of a change by so many percent.
        bounded: has a least cost on this machine, in benchmarks/bounds.py; pixels, errors and growth have none.
        slow: takes more than two minutes.
        apart: takes so long that only `--only` runs it; its row is of the commit that it names.
        spread: low and high of its row say how far the number itself goes.
    """

    name: str
    what: str
    peer: str
    better: Way
    run: str
    kind: Kind = "ratio"
    bounded: bool = True
    slow: bool = False
    apart: bool = False
    spread: bool = True


_STUDY = f"ask_study {BUILD}/ask --only time"

CLAIMS = (
    Claim("main.match_speed_ratio", "pairs of 6,000 objects with 6,000, processor time", "pycocotools", "more",
          "match_speed"),
    Claim("main.region_speed_ratio", "label image to region table, processor time", "scikit-image", "more",
          "region_speed"),
    Claim("main.detect_speed_ratio", "cavities of a field, by the clock", "torchvision's Mask R-CNN", "more",
          f"detect_speed --folder {BUILD}/detect", slow=True),
    Claim("main.detect_speed.f1_gain", "F1 of the two after the same training", "torchvision's Mask R-CNN", "more",
          f"detect_speed --folder {BUILD}/detect", "count", False, slow=True),
    Claim("main.help_seconds", "`epistem --help` [s]", "", "less", "help_speed", "absolute"),
    Claim("main.large_image_peak_gb", "memory of an image of 8192² [GB]", "", "less", "large_image", "count",
          slow=True),
    Claim("segment.prdc_speed_ratio", "precision, recall, density, coverage, by the clock", "prdc", "more",
          "prdc_speed"),
    Claim("segment.heatmap_pixel_ratio", "pixels the network is given for a heatmap", "Captum's Occlusion", "more",
          "heatmap", "count", False, slow=True),
    Claim("atoms.render_speed_ratio", "rendered patches, processor time", "abTEM's multislice", "more",
          "atoms_render", slow=True),
    Claim("atoms.patches_per_s", "patches simulated and described [1/s]", "", "more", "atoms_render", "absolute",
          slow=True),
    Claim("atoms.zernike_speed_ratio", "Zernike moments, by the clock", "mahotas", "more", "zernike_speed"),
    Claim("atoms.train_million_minutes", "training on a million patches [min]", "", "less", "atoms_train",
          "absolute"),
    Claim("ask.pages_per_s", "pages of papers [1/s], two cores by processor time", "", "more", "ask_papers",
          "absolute", slow=True),
    Claim("ask.first_word_s", "first word of an answer [s]", "", "less", _STUDY, "absolute"),
    Claim("app.first_result_s", "outlines in the browser [s]", "", "less", "app_load", "absolute", slow=True),
    Claim("app.request_ms_p95", "a request under load, 95 % [ms]", "", "less", "app_load", "absolute",
          slow=True, spread=False),
    Claim("scale.two_worker_ratio", "a batch by two workers", "one worker", "more", "scale", slow=True, apart=True),
    Claim("scale.images_per_s", "images of a batch by one worker [1/s]", "", "more", "scale", "absolute", slow=True,
          apart=True),
    Claim("scale.soak_growth", "growth of memory over many images", "", "less", "soak", "target", False,
          slow=True, apart=True),
)  # fmt: skip
