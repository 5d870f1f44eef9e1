"""Sphinx configuration. ``make docs`` builds the site into out/docs; nothing is fetched, neither now nor when read."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(Path(__file__).parent / "_extensions")]

import mvdiff  # noqa: E402 - the checkout's own package, not an installed one

project = "mvdiff"
author = "the mvdiff contributors"
copyright = f"{author}, Apache-2.0"
version = release = mvdiff.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "cli_reference",
]
exclude_patterns = ["_build", "api/*/modules.rst"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

apidoc_modules = [
    {"path": "../recon", "destination": "api/recon", "max_depth": 3},
    {
        "path": "../mvdiff",
        "destination": "api/mvdiff",
        "max_depth": 3,
        "exclude_patterns": ["**/integrations/blender/addon"],  # imports Blender's own modules
    },
]
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_mock_imports = ["triton"]  # comes with CUDA builds of torch alone
# Other packages' docstrings, which inherited members bring in, are not always valid reStructuredText.
autodoc_inherit_docstrings = False
suppress_warnings = ["docutils", "ref.python"]

html_theme = "furo"
html_title = f"mvdiff {release}"
html_static_path: list[str] = []
html_copy_source = False
html_theme_options = {
    "source_repository": "",
    "light_css_variables": {"font-stack": "system-ui, sans-serif", "font-stack--monospace": "ui-monospace, monospace"},
}
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
