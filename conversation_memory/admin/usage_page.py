"""The page of what the runs of an index tell: tokens, cost, times, feedback, errors, owners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import islice

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET

from ..browse import Finds, Span
from ..collection.summaries import Summary
from ..rendering import label
from ..runs import Run
from . import plots
from .formatting import Note, grouped, usage_words
from .index_views import IndexViews
from .owner_names import OwnerNames
from .redis_admin import guarded
from .run_facts import Usage, feedback_of, has_error, usage_of
from .transcript import answered_at, asked_at

MOST_OWNERS = MOST_MODELS = 10


class Survey:
    """Counts of the runs that it visits since the day `first`, and of their conversations."""

    def __init__(self, first: date) -> None:
        self.first = first
        self.usage = Usage()
        self.runs = 0
        self.seconds: list[float] = []
        self.days: Counter[date | None] = Counter()
        self.models: Counter[str] = Counter()
        self.states: Counter[str] = Counter()
        self.owners: Counter[str] = Counter()
        self._last: Summary | None = None

    def visit(self, summary: Summary, run: Run) -> bool:
        """Count the run. Returns False, so that a search goes on."""
        usage, day = usage_of(run), _day(summary, run)
        if day is not None and day < self.first:
            return False
        self.runs += 1
        self.usage += usage
        if summary is not self._last:
            self._last = summary
            self.owners[summary.record.owner or ""] += 1
        if usage.total is not None:
            self.days[day] += usage.total
            self.models[usage.models[0] if usage.models else ""] += usage.total
        if usage.seconds is not None:
            self.seconds.append(usage.seconds)
        feedback = feedback_of(run)
        found = [feedback.rating] if feedback and feedback.rating in ("up", "down") else []
        self.states.update([*found, *(["error"] if has_error(run) else [])])
        return False


def _day(summary: Summary, run: Run) -> date | None:
    """Where the run has no time, that of the last write to its conversation counts."""
    time = answered_at(run) or asked_at(run) or summary.record.updated
    return timezone.localdate(time) if time else None


class UsagePage(OwnerNames, IndexViews):
    @method_decorator(require_GET)
    @guarded
    def usage_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """The last 30 days, as far as 10,000 conversations of 32 MB tell."""
        address = self.index_at(key, request, may=self.has_view_permission(request))
        days = plots.days()
        survey = Survey(days[0])
        found = address.index().find_with_run(survey.visit, Span(since=plots.edges(days)[0]))
        names = self.get_owner_names(request, dict(_most(survey.owners)))
        since = days[0].isoformat()
        context = {
            "title": _("Usage"),
            "facts": list(self._facts(survey, found.looked_at)),
            "states": [
                (self.list_url(address, state=state, since=since), name, survey.states[state])
                for state, name in (
                    ("up", _("Rated up")),
                    ("down", _("Rated down")),
                    ("error", _("With an error")),
                )
            ],
            "owners": [
                (
                    self.list_url(address, owner=owner, since=since),
                    owner,
                    names.get(owner, ""),
                    count,
                )
                for owner, count in _most(survey.owners)
            ],
            "plots": _plots(days, survey),
            "notes": list(_notes(found)),
        }
        return self.index_page(request, "usage.html", address, context)

    def _facts(self, survey: Survey, conversations: int) -> Iterator[str]:
        text = ngettext("%(count)s conversation", "%(count)s conversations", conversations)
        yield text % {"count": grouped(conversations)}
        text = ngettext("%(count)s run", "%(count)s runs", survey.runs)
        yield text % {"count": grouped(survey.runs)}
        yield from usage_words(replace(survey.usage, models=()))


def _most(owners: Counter[str]) -> list[tuple[str, int]]:
    """Those that a link can hold: an owner that is not valid UTF-8 is on the list only."""
    named = (pair for pair in owners.most_common() if pair[0] and label(pair[0]) == pair[0])
    return list(islice(named, MOST_OWNERS))


def _plots(days: list[date], survey: Survey) -> list[plots.Plot]:
    models = survey.models.most_common(MOST_MODELS)
    shown = [plots.Bar(count, label(name) or "–", label(name)[:12]) for name, count in models]
    tokens, nothing = _("tokens"), _("No run tells its tokens.")
    return [
        plots.daily(_("Tokens per day"), days, survey.days, tokens, nothing),
        plots.Plot(_("Tokens by model"), shown, _("model"), tokens, nothing=nothing),
        plots.latencies(survey.seconds),
    ]


def _notes(found: Finds) -> Iterator[Note]:
    if found.next is not None:
        text = _("Only the newest %s conversations of the last 30 days were read.")
        yield Note(text % grouped(found.looked_at))
    if found.skipped:
        text = ngettext(
            "%(count)s conversation was left out because too much would have to be read.",
            "%(count)s conversations were left out because too much would have to be read.",
            found.skipped,
        )
        yield Note(text % {"count": grouped(found.skipped)})
