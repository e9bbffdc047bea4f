"""The filters of the list of conversations."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest
from django.utils.timezone import make_aware
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..exceptions import InvalidIndexError
from ..indexes import indexes
from .addresses import Address
from .run_facts import RUN_TESTS


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


class FieldsFilter(SimpleListFilter):
    """A filter with fields to enter, whose values are the `further` parameters."""

    further: tuple[str, ...] = ()

    def __init__(self, request: HttpRequest, params: dict[str, Any], *args: Any):
        super().__init__(request, params, *args)
        self.used_parameters |= {
            name: params.pop(name)[-1] for name in self.further if name in params
        }

    def expected_parameters(self) -> list[Any]:
        return [self.parameter_name, *self.further]

    def form(self, changelist: Any) -> dict[str, Any]:
        """What the template needs for its form: the other parameters, and the way out of it."""
        own = self.expected_parameters()
        return {
            "others": [pair for pair in changelist.params.items() if pair[0] not in own],
            "all": changelist.get_query_string(remove=own),
            "is_used": any(self.used_parameters.get(name) for name in own),
        }


class OwnerFilter(FieldsFilter):
    """A field to enter an owner or a name: there may be a million of them.

    `owner` is exact, as links have it. What was entered is `named`: the owner that is written so,
    if that one has a name; else an owner with that name, or any that is written so. The filter
    says who has that name.
    """

    title = gettext_lazy("owner")
    parameter_name = "owner"
    further = ("named",)
    template = "admin/conversation_memory/owner_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.entered = request.GET.get("named", "").strip()
        self.candidates = {}
        if not self.entered:
            return [("", "")]
        if self.entered not in model_admin.get_owner_names(request, [self.entered]):
            self.candidates = model_admin.find_owners(request, self.entered)
        return [("", "")]  # Django omits a filter without lookups

    @property
    def owner(self) -> str | None:
        """The owner who is selected; None for all."""
        if self.entered and len(self.candidates) == 1:
            return str(next(iter(self.candidates)))
        return self.entered or str(self.value() or "") or None

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield {
            **self.form(changelist),
            "value": self.entered or self.value() or "",
            "candidates": [
                (changelist.get_query_string({"owner": owner}, ["named"]), owner, name)
                for owner, name in self.candidates.items()
            ],
        }

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.select(owner=self.owner) if self.owner else queryset


class AgeFilter(FieldsFilter):
    """The time of the last write: a period until now, or a range of days."""

    title = gettext_lazy("last write")
    parameter_name = "age"
    further = ("since", "until")
    template = "admin/conversation_memory/age_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("day", _("Past 24 hours")),
            ("week", _("Past 7 days")),
            ("month", _("Past 30 days")),
            ("older", _("Older than 30 days")),
        ]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first: dict[str, Any]
        first, *others = map(dict, super().choices(changelist))
        form = self.form(changelist)
        days = {name: self.used_parameters.get(name) or "" for name in self.further}
        first |= {"query_string": form["all"], "selected": not form["is_used"], **form, **days}
        yield first
        for choice, (value, _name) in zip(others, self.lookup_choices, strict=True):
            url = changelist.get_query_string({self.parameter_name: value}, list(self.further))
            yield {**choice, "query_string": url}

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        days = {"day": 1, "week": 7, "month": 30, "older": 30, None: 0}.get(self.value() or None)
        if days is None:
            raise IncorrectLookupParameters
        limit = datetime.now(UTC) - timedelta(days=days)
        is_older = self.value() == "older"
        since, until = self._day("since"), self._day("until")
        if days:
            since, until = (since, limit) if is_older else (limit, until)
        return queryset.select(since=since, until=until)

    def _day(self, name: str) -> datetime | None:
        """Where the range begins or ends: `until` is the last day that is in it."""
        if not (text := self.used_parameters.get(name)):
            return None
        try:
            day = date.fromisoformat(text) + timedelta(days=name == "until")
            return make_aware(datetime.combine(day, time()))
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters from error


class StateFilter(SimpleListFilter):
    """What only the runs tell, so that conversations are read, 10,000 at a time."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("unreadable", _("Unreadable")),
            ("error", _("With an error")),
            ("up", _("Rated up")),
            ("down", _("Rated down")),
            ("comment", _("With a comment")),
            ("tools", _("With tool calls")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        if not value:
            return queryset
        if value == "unreadable":
            return queryset.select(unreadable=True)
        if value not in RUN_TESTS:
            raise IncorrectLookupParameters
        return queryset.select(with_run=value)
