"""Markdown that a model wrote, as harmless HTML.

Needs the extra `markdown`: markdown-it-py, which escapes every tag in the text, and nh3, which
removes every tag and attribute not listed here. Without the extra, text is shown as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from time import thread_time
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from .safe_text import Marks

try:
    import nh3
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import table
except ImportError:  # the extra is not installed
    AVAILABLE = False
else:
    AVAILABLE = True

# Rendering a longer text would delay the page, and its source is as readable.
MAX_CHARACTERS = 50_000
# Seconds of CPU. A text of 20,000 characters takes 0.02, a malicious one 50 times that.
PER_TEXT = 0.25
PER_PAGE = 2.0
MAX_CELLS = 20_000

_TAGS = set(
    "a blockquote br code del div em hr li ol p pre s strong table tbody td th thead tr ul".split()
)
_ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),
    "a": {"href"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "ol": {"start"},
    "p": {"class", "dir"},
    "pre": {"class", "tabindex", "role", "aria-label", "dir"},
}
_is_web_address = re.compile(r"(https?://|mailto:)", re.IGNORECASE).match


class Budget:
    """The seconds of CPU that the Markdown of a page may still use."""

    def __init__(self, seconds: float = PER_PAGE):
        self.left = seconds


class _TooCostly(Exception):
    pass


def render(text: str, marks: Marks, budget: Budget) -> SafeString | None:
    """`text` as HTML, the words of `marks` marked; None if that exceeds the budget."""
    start = thread_time()
    try:
        return _rendered(text, marks, start + min(budget.left, PER_TEXT))
    except _TooCostly:
        return None
    finally:
        budget.left -= thread_time() - start


def _rendered(text: str, marks: Marks, deadline: float) -> SafeString:
    html = _parser().render(text, {"marks": marks, "deadline": deadline})
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return marks.finish(mark_safe(clean))  # nh3 has cleaned it


@cache
def _parser() -> Any:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20})
    # An external image would tell its server who reads this, so it is shown as its source.
    parser.enable(["table", "strikethrough"]).disable("image")
    setattr(parser, "validateLink", _is_web_address)  # noqa: B010  # its own hook for this
    for name, rule in _RULES.items():
        parser.add_render_rule(name, _as_method(rule))
    # First in each chain, so that they run at each block and at each part of a line.
    parser.block.ruler.before("table", "deadline", _check)
    parser.block.ruler.at("table", _small_table, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("text", "deadline", _check)
    return parser


def _check(state: Any, *_: Any) -> bool:
    if thread_time() > state.env["deadline"]:
        raise _TooCostly
    return False  # tells the parser that this rule does not apply


def _small_table(state: Any, first: int, last: int, silent: bool) -> bool:
    """A table, unless it may have too many cells: the parser adds missing ones in one step."""
    columns = state.src.count("|", state.bMarks[first], state.eMarks[first]) + 1
    return columns * (last - first) <= MAX_CELLS and table(state, first, last, silent)


Rule = Callable[[Sequence[Any], int, Any], str]


def _text(tokens: Sequence[Any], at: int, env: Any) -> str:
    if thread_time() > env["deadline"]:
        raise _TooCostly
    return str(escape(env["marks"].set_off(tokens[at].content)))


def _code(tokens: Sequence[Any], at: int, env: Any) -> str:
    language = tokens[at].info.split()[:1]
    name = _("Code in %s") % language[0] if language else _("Code")
    return (
        f'<pre class="code" dir="ltr" tabindex="0" role="group" aria-label="{escape(name)}">'
        f"<code>{_text(tokens, at, env)}</code></pre>\n"
    )


def _heading(tokens: Sequence[Any], at: int, env: Any) -> str:
    """Not a heading element, which would break the outline of the page."""
    return f'<p class="heading heading-{tokens[at].tag[1:]}" dir="auto"><strong>'


def _table(tokens: Sequence[Any], at: int, env: Any) -> str:
    name = escape(_("Table"))
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{name}"><table>\n'


_RULES: dict[str, Rule] = {
    "text": _text,
    "code_inline": lambda tokens, at, env: f"<code>{_text(tokens, at, env)}</code>",
    "fence": _code,
    "code_block": _code,
    "heading_open": _heading,
    "heading_close": lambda *_: "</strong></p>\n",
    "paragraph_open": lambda tokens, at, env: "" if tokens[at].hidden else '<p dir="auto">',
    "table_open": _table,
    "table_close": lambda *_: "</table></div>\n",
}


def _as_method(rule: Rule) -> Callable[..., str]:
    """`rule` as the parser calls it, which binds it to its renderer."""

    def render(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
        return rule(tokens, at, env)

    return render
