"""How `make docs` builds these pages: Sphinx, MyST and a gallery that runs; nothing is fetched while it does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "ext"))
# Two tutorials run side by side, on a core each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from epistem import __version__  # noqa: E402

project = "epistem"
author = copyright = "The epistem developers"
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "formulas",
    "numbers_pages",
    "offline",
]
exclude_patterns = ["_build", "tutorials/**/*.ipynb", "tutorials/**/*.py", "tutorials/**/*.json"]
default_role = "code"
# Sphinx takes the name of a described attribute, such as f1, for a link and finds it in several classes.
suppress_warnings = ["ref.python"]
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
napoleon_attr_annotations = False
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"epistem {release}"
html_static_path = ["_static"]
html_css_files = ["epistem.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2f6f9f", "color-brand-content": "#2f6f9f"},
}

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples" / "tutorials"),
    "gallery_dirs": "tutorials",
    "filename_pattern": r"/tutorial_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": (),
    "parallel": 2,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
}
