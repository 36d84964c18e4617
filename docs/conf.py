"""How Sphinx builds the site; scripts/docs runs it."""

import os
from importlib.metadata import metadata
from typing import Any

import stoqapp
import stoqapp.client
import stoqapp_sandbox
from stoq_public_api_client import models
from stoqapp.version import __version__

project = "stoqapp"
author = "the stoqapp maintainers"
version = release = __version__
urls = dict(one.split(", ") for one in metadata("stoqapp").get_all("Project-URL", []))

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.programoutput",
]
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 3

# Docstrings name what they refer to in single backticks.
default_role = "any"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
# No build reaches the network, so the standard library's names lead nowhere.
nitpick_ignore_regex = [
    ("py:.*", r"(asyncio|collections|datetime|os|pathlib|sqlite3|ssl|typing)\..*"),
    # What signatures name besides.
    ("py:class", r"(stoq_public_api_client\.\w+\.)?(Literal|Unset)|NewIntent(Channel|Source)"),
    ("py:class", r"(.*\.)?(Changes|Options|Moment)"),
]

# A walk shows parts of files, which are not whole TOML or JSON.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"stoqapp {version}"
html_baseurl = urls["Documentation"]
html_show_copyright = False
html_theme_options: dict[str, Any] = {
    "source_repository": urls["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}

# As wide as a page; the help of commands fits itself to the terminal.
os.environ["COLUMNS"] = "88"

# A public name is documented where it is imported from, not where it is written.
for package in (stoqapp, stoqapp_sandbox, models):
    for name in package.__all__:
        thing = getattr(package, name)
        if hasattr(thing, "__module__") and hasattr(thing, "__name__"):
            thing.__module__ = package.__name__

# What the clients name for type checkers alone.
vars(stoqapp.client).update({name: getattr(models, name) for name in ["CreateIntentRequest"]})
