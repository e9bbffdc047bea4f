"""The reference pages name all that there is, and nothing that there is not."""

import inspect
import re

from django.core.management import get_commands, load_command_class
from django.test import SimpleTestCase

from conversation_memory import checks, conf, exceptions
from conversation_memory.keys import Keys
from conversation_memory.management.exit_codes import Exit

from .pages import ROOT

DOCS = ROOT / "docs"


def page(name):
    return (DOCS / f"{name}.md").read_text()


def headings(text, level):
    return re.findall(rf"^{'#' * level} (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)


def codes(text):
    """The words in backticks."""
    return re.findall(r"`([^`]+)`", text)
