"""The page of one conversation: its transcript, and the form for what staff may change."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode

from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from ..exceptions import ConversationCorrupt
from ..models import Conversation
from ..records import Excerpt
from ..rendering import Marks, visible
from ..rendering.safe_text import cut
from ..runs import Run
from ..search_index.tokens import Words
from .forms import ConversationForm
from .redis_admin import RedisAdmin, guarded
from .transcript import MAX_BEGINNING, PER_PAGE, Transcript, damage, has_words, transcript


class LinkingList(ChangeList):
    """After a search, the links of the list lead to the hit in each conversation."""

    def url_for_result(self, result: Model) -> str:
        url = super().url_for_result(result)
        found = getattr(result, "found", None)
        if found and found.run_id:
            return f"{url}?{urlencode({'run': found.run_id}, errors='replace')}#hit"
        return f"{url}#hit" if self.query else url


class ConversationPage(RedisAdmin):
    form = ConversationForm
    change_form_template = "admin/conversation_memory/conversation/change_form.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LinkingList

    @guarded
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        return response.render() if isinstance(response, TemplateResponse) else response

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Conversation | None:
        """The conversation; for its own page with an `excerpt` of its runs."""
        found: Conversation | None = super().get_object(request, object_id, from_field)
        if found is None or not self._is_page(request):
            return found
        try:
            found.excerpt = self._read(request, found)
        except ConversationCorrupt as damage:
            found.damage = damage
            return found
        found.metadata = found.excerpt.metadata
        return found if found.excerpt.exists else None

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        """Unreadable conversations cannot be changed."""
        if getattr(obj, "damage", None) is not None:
            return False
        return super().has_change_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Conversation | None = None) -> Any:
        """Only fields that the user may change: the page shows all others above the transcript."""
        if not self.has_change_permission(request, obj):
            return []
        return [(None, {"fields": list(ConversationForm.Meta.fields)})]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        found: Conversation = kwargs["obj"]
        if corrupt := getattr(found, "damage", None):
            context |= _damage(corrupt)
        else:
            context["transcript"] = self._transcript(request, found)
        context |= {"address": found.address, "raw_url": self.link("raw", str(found.address))}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool
    ) -> None:
        """Write only the fields that were changed."""
        assert isinstance(form, ConversationForm)
        driver, given = obj.address.driver(), form.cleaned_data
        if "metadata" in form.changed_data:
            changes, removed = form.metadata_changes(given["metadata"])
            driver.update_metadata(changes, remove=removed)
        if "title" in form.changed_data:
            driver.set_title(given["title"])
        if "owner" in form.changed_data:
            driver.move_to(given["owner"] or None)
        if "expires" in form.changed_data:
            _set_deadline(driver, given["expires"])

    def _is_page(self, request: HttpRequest) -> bool:
        match = request.resolver_match
        return match is not None and match.url_name == self.view_name("change")

    def _read(self, request: HttpRequest, found: Conversation) -> Excerpt:
        driver, until = found.address.driver(), _position(request.GET.get("until"))
        if until is None and (wanted := _wanted(request, _marks(request, found))):
            found.hit = driver.find(wanted)
            until = None if found.hit is None else found.hit + 1 + PER_PAGE // 2
        page: Excerpt = driver.excerpt(before=until, limit=PER_PAGE, strict=False)
        return page

    def _transcript(self, request: HttpRequest, found: Conversation) -> Transcript:
        key = str(found.address)
        return transcript(
            found.excerpt,
            lambda view, *parts: self.link(view, key, *parts),
            query=_query(request),
            marks=_marks(request, found),
            hit=getattr(found, "hit", None),
            is_searched=hasattr(found, "hit"),
            may_remove=self.has_change_permission(request, found),
        )


def _marks(request: HttpRequest, found: Conversation) -> Marks:
    """The words of the search that led here, in the language of the index."""
    search = found.address.index().settings.search
    return Marks(_query(request), Words(search.language if search else None))


def _wanted(request: HttpRequest, marks: Marks) -> Any:
    """A test for the run that a search has found, None if there was no search."""
    if run_id := request.GET.get("run"):
        return lambda run: not damage(run) and run.id == run_id

    def wanted(run: Run) -> bool:
        return has_words(run, marks)

    return wanted if marks else None


def _query(request: HttpRequest) -> str:
    """The search that led here, which Django keeps in the address of the list."""
    filters = parse_qs(request.GET.get("_changelist_filters", ""))
    return request.GET.get("q") or "".join(filters.get("q", [])[:1])


def _position(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and 0 < len(text) < 10 and int(text) else None


def _damage(corrupt: ConversationCorrupt) -> dict[str, Any]:
    beginning, _left = cut(visible(corrupt.raw[: 4 * MAX_BEGINNING]), MAX_BEGINNING)
    return {
        "damage": corrupt.reason,
        "beginning": beginning,
        "is_cut": len(corrupt.raw) > len(beginning.encode()),
    }


def _set_deadline(driver: Any, expires: Any) -> None:
    if expires is None:
        driver.persist()
    else:
        driver.expire(max(1, (expires - timezone.now()).total_seconds()))
