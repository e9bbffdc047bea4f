"""The site, built by Sphinx: python -m sphinx -W docs docs/_build"""

import os
import re
import sys
from dataclasses import is_dataclass
from pathlib import Path

import django
from pygments.lexers.special import TextLexer

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
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries = False
default_role = "literal"  # docstrings have single backticks

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"top_of_page_buttons": []}

llms_txt_summary = (
    "A reusable Django app that keeps the memory of LLM conversations in Redis: append, load, "
    "search, archive, erase, and an admin, in synchronous and asynchronous code."
)


def hide_twins(app, what, name, obj, skip, options):
    """Methods whose docstring says `See load().` are named once, at the top of the page."""
    doc = getattr(obj, "__doc__", None) or ""
    return True if doc.startswith(f"See {name.removeprefix('a')}().") else skip


def shorten_signatures(app, what, name, obj, options, signature, returned):
    """Values that only the app constructs have no signature, and ids are of one type."""
    if what == "class" and is_dataclass(obj) and obj.__name__ != "Selection":
        return "", None
    return tuple(text and shortened(text) for text in (signature, returned))


def shortened(text):
    text = re.sub(r"~?(?:\w+\.)+(?=[A-Z])", "", text)
    text = re.sub(r"<(?:function|class) '?(\w+)'?>", r"\1", text)
    text = re.sub(r"<bound method .*?>>|(?<== )bool\b", "...", text)
    return text.replace("str | bytes | int | UUID", "Id")


def setup(app):
    for language in ("cron", "redis"):  # which Pygments does not know
        app.add_lexer(language, TextLexer)
    app.connect("autodoc-skip-member", hide_twins)
    app.connect("autodoc-process-signature", shorten_signatures)
