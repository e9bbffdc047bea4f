"""The page of all indexes, read from all servers at once: one that is down costs its rows only."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from typing import Any, Self, TypeVar

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..exceptions import ConversationMemoryError, InvalidIndexError, RedisUnavailable
from ..indexes import ConversationIndex, indexes
from ..models import Index
from ..rendering import label
from . import plots
from .addresses import Address
from .formatting import Note, ago, grouped, isolated, lasting
from .queryset import RedisQuerySet
from .redis_admin import RedisAdmin

_MOST_THREADS = 16
MOST_OF_A_NAME = 1000
T = TypeVar("T")

SEARCH_STATES = {
    "off": gettext_lazy("off"),
    "ready": gettext_lazy("on"),
    "building": gettext_lazy("being built"),
    "incomplete": gettext_lazy("incomplete"),
    "absent": gettext_lazy("not available"),
    "denied": gettext_lazy("not permitted"),
    "missing": gettext_lazy("not built"),
    "partial": gettext_lazy("not available"),
}


class Overview:
    """The indexes of `aliases`. `edges` are the times between which activity is counted."""

    def __init__(self, aliases: Iterable[str], edges: Sequence[int]):
        self._aliases = list(aliases)
        self._edges = edges
        self._down: dict[Any, str] = {}
        self.is_complete = True

    @cached_property
    def addresses(self) -> list[Address]:
        """The indexes of settings, each followed by those that its INDEXES matches."""
        opened: dict[str, ConversationIndex | None] = {}
        for alias in self._aliases:
            try:
                opened[alias] = indexes[alias]
            except InvalidIndexError:
                opened[alias] = None
        patterned = [index for index in opened.values() if index and index.settings.indexes]
        found = self._ask(patterned, lambda index: index.discover())
        addresses: list[Address] = []
        for alias, index in opened.items():
            addresses.append(Address(alias, index.name if index else ""))
            discovery, _failure = found.get(index, (None, ""))
            if discovery:
                self.is_complete &= discovery.is_complete
                addresses += [Address(alias, name) for name in discovery.names]
        return list(dict.fromkeys(addresses))

    def count(self, chosen: frozenset[str] | None) -> int:
        return len(self._chosen(chosen))

    def rows(self, chosen: frozenset[str] | None, low: int, high: int | None) -> list[Index]:
        rows = [_row(address) for address in self._chosen(chosen)[low:high]]
        known = self._ask(
            [row.opened for row in rows if row.opened],
            lambda index: (index.statistics(self._edges), index.search_state().kind),
        )
        for row in rows:
            if row.opened:
                found, row.failure = known[row.opened]
                row.statistics, row.search_state = found or (None, "off")
        return rows

    def _chosen(self, chosen: frozenset[str] | None) -> list[Address]:
        found = self.addresses
        return found if chosen is None else [one for one in found if str(one) in chosen]

    def _ask(
        self, asked: Sequence[ConversationIndex], question: Callable[[ConversationIndex], T]
    ) -> dict[ConversationIndex | None, tuple[T | None, str]]:
        """The answer or the error of each: servers in parallel, the indexes of one in turn."""
        by_server: dict[Any, list[ConversationIndex]] = {}
        for index in asked:
            by_server.setdefault(index.settings.server, []).append(index)

        def answers(group: list[ConversationIndex]) -> list[Any]:
            return [(index, self._answer(index, question)) for index in group]

        with ThreadPoolExecutor(_MOST_THREADS) as pool:  # starts one per server at most
            return dict(chain.from_iterable(pool.map(answers, by_server.values())))

    def _answer(
        self, index: ConversationIndex, question: Callable[[ConversationIndex], T]
    ) -> tuple[T | None, str]:
        server = index.settings.server
        # A server that is down is asked once: each time would wait for its time-out.
        if failure := self._down.get(server):
            return None, failure
        try:
            return question(index), ""
        except ConversationMemoryError as error:
            if isinstance(error, RedisUnavailable):
                self._down[server] = str(error)
            return None, str(error)


def _row(address: Address) -> Index:
    made = Index(id=str(address), alias=label(address.alias), name=label(address.name))
    made._state.adding = False
    made.address = address
    try:
        made.opened = address.index()
    except InvalidIndexError as error:
        made.failure = str(error)
    return made


class IndexQuerySet(RedisQuerySet):
    """Indexes, in the order of settings; the selection is a set of primary keys."""

    row_model = Index
    source: Overview

    def choose(self, keys: Iterable[str]) -> Self:
        clone: Self = self._chain()
        clone.selection = frozenset(keys)
        return clone


@admin.register(Index)
class IndexAdmin(RedisAdmin):
    list_display = (
        "alias",
        "shown_name",
        "layout",
        "conversations",
        "open_runs",
        "memory",
        "newest",
        "expiry",
        "search",
        "server",
    )
    list_per_page = 50
    actions = None

    def get_queryset(self, request: HttpRequest) -> Any:
        edges = plots.edges(plots.days())
        return IndexQuerySet.of(Overview(self.permitted_aliases(request), edges))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def list_context(self, request: HttpRequest, changelist: Any) -> dict[str, Any]:
        found = [row.statistics for row in changelist.result_list if row.statistics]
        shown = [plots.activity(plots.days(), found), plots.sizes(found)] if found else []
        text = _(
            "The server has more than a million keys, so some indexes that match INDEXES may be "
            "missing here. Add them to INDEXES by name, without a pattern."
        )
        notes = [] if changelist.queryset.source.is_complete else [Note(text)]
        return {"plots": shown, "notes": notes, "title": _("Indexes")}

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        # The history of an index links here.
        key, may = unquote(object_id), self.has_view_permission(request)
        return HttpResponseRedirect(self.list_url(self.index_at(key, request, may=may)))

    @admin.display(description=gettext_lazy("index"))
    def shown_name(self, index: Index) -> str:
        name = isolated(index.name or "–", MOST_OF_A_NAME)
        if not index.failure:
            return name
        return format_html('{}<br><span class="cm-cell cm-failure">{}</span>', name, index.failure)

    @admin.display(description=gettext_lazy("layout"))
    def layout(self, index: Index) -> str | None:
        return str(index.opened.settings.layout) if index.opened else None

    @admin.display(description=gettext_lazy("conversations"))
    def conversations(self, index: Index) -> str | None:
        return grouped(index.statistics.conversations) if index.statistics else None

    @admin.display(description=gettext_lazy("open runs"))
    def open_runs(self, index: Index) -> str | None:
        return grouped(index.statistics.open_runs) if index.statistics else None

    @admin.display(description=gettext_lazy("memory"))
    def memory(self, index: Index) -> str | None:
        memory = index.statistics and index.statistics.memory
        return None if memory is None else _("about %s") % filesizeformat(memory)

    @admin.display(description=gettext_lazy("last write"))
    def newest(self, index: Index) -> str | None:
        return ago(index.statistics.newest) if index.statistics else None

    @admin.display(description=gettext_lazy("expiry"))
    def expiry(self, index: Index) -> str | None:
        if index.opened is None:
            return None
        settings = index.opened.settings
        if settings.lifetime is None:
            return _("never")
        time = {"time": lasting(settings.lifetime / 1000)}
        if settings.ttl_on_read:
            return _("%(time)s after the last read") % time
        return _("%(time)s after the last write") % time

    @admin.display(description=gettext_lazy("search"))
    def search(self, index: Index) -> Any:
        return index.statistics and SEARCH_STATES.get(index.search_state, index.search_state)

    @admin.display(description=gettext_lazy("server"))
    def server(self, index: Index) -> str | None:
        if not index.statistics:
            return None
        return f"{index.opened.server} ({index.statistics.version or '–'})"
