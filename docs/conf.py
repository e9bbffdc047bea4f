"""The site, built by Sphinx: python -m sphinx -W docs docs/_build"""

import os
import sys
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "docs.settings")
django.setup()

project = "conversation_memory"
author = "the contributors of conversation_memory"
copyright = author
html_title = "conversation_memory"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_llms_txt"]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "attrs_block", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "separated"

html_theme = "furo"
html_static_path = ["_static"]
html_theme_options = {"top_of_page_buttons": []}

llms_txt_summary = (
    "A reusable Django app that keeps the memory of LLM conversations in Redis: append, load, "
    "search, archive, erase, and an admin, in synchronous and asynchronous code."
)
