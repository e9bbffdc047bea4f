"""The page of one conversation, with its form, and the views of its parts."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from ..artifacts import Artifact
from ..exceptions import ConversationCorrupt, RedisUnavailable, RunNotFound
from ..models import Conversation
from ..records import Excerpt
from ..rendering import Look, Marks, label, pick, visible
from ..rendering.serving import download, plain, serve
from ..runs import Run
from ..search_index.tokens import Words
from .formatting import usage_words
from .forms import ConversationForm
from .owner_names import OwnerNames
from .redis_admin import guarded
from .run_facts import Usage, usage_of
from .transcript import (
    MAX_CHARACTERS,
    PER_PAGE,
    SIDES,
    beginning_of,
    damage_of,
    messages_of,
    tag_of,
    transcript,
)

# Indenting more would keep the user waiting; the exact bytes are sent at once.
MOST_INDENTED = 8 * 1024 * 1024
# Runs whose usage is summed on request.
MOST_SUMMED = 10_000


class ConversationPage(OwnerNames):
    form = ConversationForm
    change_form_template = "admin/conversation_memory/conversation/change_form.html"

    class Media:
        js = ["conversation_memory/copy.js"]

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Conversation | None:
        """The conversation; for its own page with an `excerpt` of its runs."""
        found: Conversation | None = super().get_object(request, object_id, from_field)
        match = request.resolver_match
        # Django's pages for its deletion and its history ask for it as well.
        is_page = match and match.url_name == f"{self.opts.app_label}_{self.opts.model_name}_change"
        if found is None or not is_page:
            return found
        try:
            found.excerpt = _excerpt(request, found)
        except ConversationCorrupt as error:
            found.damage = error
            return found
        found.metadata = found.excerpt.metadata
        return found if found.excerpt.exists else None

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        # Nothing unreadable is ever overwritten.
        damage = getattr(obj, "damage", None)
        return damage is None and super().has_change_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Conversation | None = None) -> Any:
        # Without the permission, Django would show the fields read-only below the transcript,
        # which has them above it.
        if not self.has_change_permission(request, obj):
            return []
        return [(None, {"fields": list(ConversationForm.Meta.fields)})]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        found: Conversation = kwargs["obj"]
        key = str(found.address)
        if corrupt := getattr(found, "damage", None):
            beginning = beginning_of(corrupt.raw)
            context |= {
                "damage": corrupt.reason,
                "beginning": beginning,
                "is_cut": len(corrupt.raw) > len(beginning.encode()),
            }
        else:
            if "sums" in request.GET:
                context["sums"] = usage_words(_usage_of_all(found))
                context["sums_are_cut"] = found.excerpt.total > MOST_SUMMED
            context["transcript"] = transcript(
                found,
                lambda view, *parts: self.link(view, key, *parts),
                query=_query(request),
                marks=_marks(request, found),
                may_remove=self.has_change_permission(request, found),
            )
        context |= self._about_owner(request, found)
        context |= {
            "address": found.address,
            "raw_url": self.link("raw", key),
            "may_export": self.has_export_permission(request),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def _about_owner(self, request: HttpRequest, found: Conversation) -> dict[str, Any]:
        """The name of the owner, and the way to all that they have."""
        if not found.owner:
            return {}
        name = self.get_owner_names(request, [found.owner]).get(found.owner, "")
        about: dict[str, Any] = {"owner_name": name}
        if name:
            about["owner_url"] = self.get_owner_url(request, found.owner)
        stored = found.summary.record.owner
        if found.owner == stored:  # valid UTF-8, so that a link can hold it
            about["owner_list_url"] = self.list_url(found.address, owner=found.owner)
            # A browser would change a line break in a field of a form.
            if found.owner.isprintable() and self.has_owner_data_permission(request):
                about["owner_data_url"] = self.link("owner_data", str(found.address.of_index))
        try:
            about["owner_count"] = found.address.index().count(stored)
        except RedisUnavailable:  # another shard is down, which has none of this conversation
            about.pop("owner_list_url", None)
        return about

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # Only what was changed: others may have written the rest since the page was shown.
        assert isinstance(form, ConversationForm)
        driver, given = obj.address.driver(), form.cleaned_data
        if "metadata" in form.changed_data:
            changes, removed = form.metadata_changes()
            driver.update_metadata(changes, remove=removed)
        if "title" in form.changed_data:
            driver.set_title(given["title"])
        if "owner" in form.changed_data:
            driver.move_to(given["owner"] or None)
        if "expires" in form.changed_data:
            if given["expires"] is None:
                driver.persist()
            else:
                driver.expire(given["expires"])

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """The old and the new values, where Django names the fields only."""
        return form.history()

    @method_decorator(require_GET)
    @guarded
    def raw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The JSON, indented; with `exact`, the stored bytes as a file for whom may export."""
        found = self._visible(request, object_id)
        raw = found.address.driver().raw()
        if raw is None:
            raise Http404
        name = f"{found.conversation_id}.json"
        return self._json(request, raw, name, exact="exact" in request.GET)

    @method_decorator(require_GET)
    @guarded
    def run_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str
    ) -> HttpResponse:
        run = _run_at(self._visible(request, object_id), position, tag)
        return self._json(request, run.to_wire(), f"run-{position + 1}")

    @method_decorator(require_GET)
    @guarded
    def file_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str, path: str
    ) -> HttpResponse:
        """A picture, another binary as a download, or a text that is too long for the page."""
        run = _run_at(self._visible(request, object_id), position, tag)
        return file_of(run, path)

    @method_decorator(require_http_methods(["GET", "POST"]))
    @guarded
    def remove_view(
        self, request: HttpRequest, object_id: str, position: int, tag: str
    ) -> HttpResponse:
        found = self._visible(request, object_id)
        address = found.address
        if not self.has_change_permission(request, found):
            raise PermissionDenied
        run = _run_at(found, position, tag)
        page = self.link("change", quote(object_id))
        if request.method == "GET":
            url = partial(self.link, "file", str(address), position, tag)
            context = {
                "title": _("Remove a run"),
                "subtitle": str(found),
                "parents": [(self.list_url(address), address.index_name), (page, str(found))],
                "messages_of_run": list(messages_of(run, Look(url=url, limit=MAX_CHARACTERS))),
                "number": position + 1,
                "run_id": label(run.id),
                "page": page,
            }
            return self.page(request, "conversation/remove.html", context)
        try:
            address.driver().remove(run.id)
        except RunNotFound:
            self.message_user(request, _("This run was removed already."), messages.WARNING)
            return HttpResponseRedirect(page)
        self.log_change(request, found, [{"deleted": {"name": _("run"), "object": label(run.id)}}])
        self.message_user(request, _("The run was removed."), messages.SUCCESS)
        return HttpResponseRedirect(page)

    def _json(
        self, request: HttpRequest, raw: bytes, name: str, *, exact: bool = False
    ) -> HttpResponse:
        """Indented JSON to look at; if it is long, no JSON, or wanted `exact`, a file to keep."""
        shown = None if exact or len(raw) > MOST_INDENTED else _indented(raw)
        if shown is not None:
            return plain(shown)
        if not self.has_export_permission(request):
            raise PermissionDenied
        return download(raw, name)

    def _visible(self, request: HttpRequest, object_id: str) -> Conversation:
        found: Conversation | None = self.get_object(request, object_id)
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        if found is None:
            raise Http404
        return found


def file_of(run: Run, path: str) -> HttpResponse:
    """The part of a run at `path`, which is like `output.2`."""
    side, *inside = path.split(".")
    if side not in SIDES or damage_of(run):
        raise Http404
    artifact: Artifact | None = pick(getattr(run, side), inside)
    if artifact is None:
        raise Http404
    return serve(artifact) or plain(visible(artifact.text).encode())


def _excerpt(request: HttpRequest, found: Conversation) -> Excerpt:
    """The part of the runs that the user has asked for, or that has the hit of the search."""
    driver, text = found.address.driver(), request.GET.get("until") or ""
    until = (int(text) or None) if text.isdecimal() and len(text) < 10 else None
    if until is None and (wanted := _hit_test(request, _marks(request, found))):
        found.hit = driver.find(wanted)
        until = None if found.hit is None else found.hit + 1 + PER_PAGE // 2
    page: Excerpt = driver.excerpt(before=until, limit=PER_PAGE, strict=False)
    return page


def _usage_of_all(found: Conversation) -> Usage:
    """The usage of the last 10,000 runs, more than a page shows."""
    driver = found.address.driver()
    runs = driver.excerpt(limit=MOST_SUMMED, strict=False).runs
    return sum((usage_of(run) for run in runs if not damage_of(run)), Usage())


def _hit_test(request: HttpRequest, marks: Marks) -> Any:
    """A test for the run that a search has found, None if there was no search."""
    if run_id := request.GET.get("run"):
        return lambda run: not damage_of(run) and run.id == run_id
    return (lambda run: not damage_of(run) and marks.are_in(run)) if marks else None


def _marks(request: HttpRequest, found: Conversation) -> Marks:
    search = found.address.index().settings.search
    language, has_calls = (search.language, search.tool_calls) if search else (None, False)
    return Marks(_query(request), Words(language), tool_calls=has_calls)


def _query(request: HttpRequest) -> str:
    # Django keeps the search that led here in the address of the list.
    filters = parse_qs(request.GET.get("_changelist_filters", ""))
    return request.GET.get("q") or "".join(filters.get("q", [])[:1])


def _run_at(found: Conversation, position: int, tag: str) -> Run:
    # Another run may have moved there since the page was shown.
    page: Excerpt = found.address.driver().excerpt(before=position + 1, limit=1, strict=False)
    if page.start != position or not page.runs or tag_of(page.runs[0]) != tag:
        raise Http404
    return page.runs[0]


def _indented(raw: bytes) -> bytes | None:
    try:
        return visible(json.dumps(json.loads(raw), ensure_ascii=False, indent=2)).encode()
    except (ValueError, RecursionError):
        return None
