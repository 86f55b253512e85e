"""Sphinx configuration: Markdown pages, no generated code reference."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent / "phasegrok"
_SOURCE = (_PACKAGE / "__init__.py").read_text(encoding="utf-8")

project = "phasegrok"
author = "The phasegrok developers"
copyright = "2026, The phasegrok developers"
version = release = _SOURCE.split('__version__ = "')[1].split('"')[0]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_title = "phasegrok"
myst_enable_extensions = ["dollarmath", "tasklist"]
myst_heading_anchors = 3
