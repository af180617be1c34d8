"""How Sphinx builds the site; run it by scripts/docs."""

from __future__ import annotations

from ecc_rf import __version__

project = "ecc_rf"
author = "the ecc_rf authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
suppress_warnings = ["ref.python"]  # a name that several classes have, such as axes, is linked to one of them
nitpicky = False  # types of numpy and pandas are not looked up: the site is built without a network

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # links to headings, as GitHub makes them

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"  # `name` in a docstring

html_theme = "furo"
html_title = f"ecc_rf {version}"
html_copy_source = False
