"""Markdown that a model wrote, as harmless HTML.

Needs the extra `markdown`: markdown-it-py, which escapes every tag in the text, and nh3, which
removes every tag and attribute not listed here. Without the extra, text is shown as text.
"""

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


def render(text: str, marks: Marks, budget: Budget) -> SafeString | None:
    """`text` as HTML, the words of `marks` marked; None if that exceeds the budget."""
    start = thread_time()
    deadline = start + min(budget.left, PER_TEXT)
    try:
        clean = nh3.clean(
            _parser().render(text, {"marks": marks, "deadline": deadline}),
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    except TimeoutError:
        return None
    finally:
        budget.left -= thread_time() - start
    return marks.finish(mark_safe(clean))  # nh3 has cleaned it


@cache
def _parser() -> Any:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20})
    # An external image would tell its server who reads this, so it is shown as its source.
    parser.enable(["table", "strikethrough"]).disable("image")
    setattr(parser, "validateLink", _is_web_address)  # noqa: B010  # its own hook for this
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    # First in each chain, or others would apply before them.
    parser.block.ruler.before("table", "deadline", _never)
    parser.block.ruler.at("table", _small_table, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("text", "deadline", _never)
    return parser


def _check_deadline(env: Any) -> None:
    if thread_time() > env["deadline"]:
        raise TimeoutError


def _never(state: Any, *_: Any) -> bool:
    """A rule that does not apply, and is asked at each block and at each part of a line."""
    _check_deadline(state.env)
    return False


def _small_table(state: Any, first: int, last: int, silent: bool) -> bool:
    """A table, unless it may have too many cells: the parser adds missing ones in one step."""
    columns = state.src.count("|", state.bMarks[first], state.eMarks[first]) + 1
    return columns * (last - first) <= MAX_CELLS and table(state, first, last, silent)


# The rules below have the signature of the parser, which makes methods of its renderer of them.


def _text(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    _check_deadline(env)
    return str(escape(env["marks"].set_off(tokens[at].content)))


def _code(renderer: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    language = tokens[at].info.split()[:1]
    name = _("Code in %s") % language[0] if language else _("Code")
    return (
        f'<pre class="code" dir="ltr" tabindex="0" role="group" aria-label="{escape(name)}">'
        f"<code>{_text(renderer, tokens, at, options, env)}</code></pre>\n"
    )


def _heading(renderer: Any, tokens: Sequence[Any], at: int, *_: Any) -> str:
    # A heading element would break the outline of the page.
    return f'<p class="heading heading-{tokens[at].tag[1:]}" dir="auto"><strong>'


def _table(*args: Any) -> str:
    name = escape(_("Table"))
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{name}"><table>\n'


_RULES: dict[str, Callable[..., str]] = {
    "text": _text,
    "code_inline": lambda *args: f"<code>{_text(*args)}</code>",
    "fence": _code,
    "code_block": _code,
    "heading_open": _heading,
    "heading_close": lambda *_: "</strong></p>\n",
    # The parser hides paragraphs in a tight list.
    "paragraph_open": lambda _, tokens, at, *__: "" if tokens[at].hidden else '<p dir="auto">',
    "table_open": _table,
    "table_close": lambda *_: "</table></div>\n",
}
