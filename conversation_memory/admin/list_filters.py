"""The filters of the list of conversations."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..exceptions import InvalidIndexError
from ..indexes import indexes
from .addresses import Address


class IndexFilter(SimpleListFilter):
    """Selects exactly one index, by default the first."""

    title = gettext_lazy("index")
    parameter_name = "index"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        aliases = list(model_admin.permitted_aliases(request))
        self.addresses: list[Address] = []
        for alias in aliases:
            with suppress(InvalidIndexError):
                self.addresses.append(Address(alias, indexes[alias].name))
        self.chosen = self._chosen(aliases)
        if self.chosen and self.chosen not in self.addresses:
            self.addresses.append(self.chosen)
        return [(str(address), address.index_name) for address in self.addresses]

    def _chosen(self, aliases: list[str]) -> Address | None:
        given = self.value()
        if given is None:
            return self.addresses[0] if self.addresses else None
        try:
            address = Address.parse(given)
        except ValueError as error:
            raise IncorrectLookupParameters from error
        if address.conversation_id is not None or address.alias not in aliases:
            raise IncorrectLookupParameters
        return address

    def choices(self, changelist: Any) -> Iterator[Any]:
        # Django's own would begin with "All".
        for address in self.addresses:
            yield {
                "selected": address == self.chosen,
                "query_string": changelist.get_query_string({self.parameter_name: str(address)}),
                "display": address.index_name,
            }

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.select(index=self.chosen)


class OwnerFilter(SimpleListFilter):
    """A field to enter an owner: there may be a million of them."""

    title = gettext_lazy("owner")
    parameter_name = "owner"
    template = "admin/conversation_memory/owner_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "")]  # Django omits a filter without lookups

    def choices(self, changelist: Any) -> Iterator[Any]:
        name = self.parameter_name
        yield {
            "value": self.value() or "",
            "name": name,
            "others": [pair for pair in changelist.params.items() if pair[0] != name],
            "all": changelist.get_query_string(remove=[name]),
        }

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        owner = self.value()
        return queryset.select(owner=owner) if owner else queryset


class AgeFilter(SimpleListFilter):
    title = gettext_lazy("last write")
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("day", _("Past 24 hours")),
            ("week", _("Past 7 days")),
            ("month", _("Past 30 days")),
            ("older", _("Older than 30 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        days = {"day": 1, "week": 7, "month": 30, "older": 30, None: 0}.get(self.value())
        if days is None:
            raise IncorrectLookupParameters
        if not days:
            return queryset
        limit = datetime.now(UTC) - timedelta(days=days)
        return queryset.select(**{"until" if self.value() == "older" else "since": limit})


class UnreadableFilter(SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "unreadable"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", _("Unreadable"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.select(unreadable=True) if self.value() else queryset
