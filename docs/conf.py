"""Sphinx builds the site from this folder; README.md here tells how."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import fovflow

project = "fovflow"
author = "The fovflow developers"
project_copyright = "The fovflow developers"
version = release = fovflow.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated_parts",
    "navigation",
    "outside_links",
]
exclude_patterns = ["_build", "extensions"]
keep_warnings = True

myst_heading_anchors = 4
myst_links_external_new_tab = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
smartquotes = False

html_theme = "furo"
html_title = f"fovflow {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["pictures/site.css"]
html_css_files = ["site.css"]
html_theme_options = {"sidebar_hide_name": False}
pygments_style = "friendly"
pygments_dark_style = "native"


def set_dashes(*given: Any) -> None:
    """Write the dashes between parameters and their descriptions as such.

    All other pairs of hyphens are left alone: they are options of commands.
    """
    lines = given[-1]
    lines[:] = [line.replace(" -- ", " – ") for line in lines]


def setup(app: Any) -> None:
    """Register with Sphinx, behind napoleon."""
    app.connect("autodoc-process-docstring", set_dashes, priority=900)
