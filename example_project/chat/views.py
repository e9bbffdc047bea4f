from __future__ import annotations

from collections.abc import Sequence

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from conversation_memory import (
    Page,
    Record,
    RedisConversationMemoryDriver,
    Run,
    astream_reply,
    indexes,
    rendering,
)
from conversation_memory.archive import OwnerExport
from conversation_memory.rendering.serving import serve
from conversation_memory.search.results import ConversationHits, SearchResults
from conversation_memory.titles import first_line
from example_project.chat import memory
from example_project.chat.forms import MessageForm, NewConversationForm, TitleForm

PER_PAGE = 20
RUNS_PER_PAGE = 40


def open_driver(request: HttpRequest, conversation_id: str) -> RedisConversationMemoryDriver:
    return indexes["default"].driver(conversation_id, owner=request.user.pk)


def at_latest(conversation_id: str) -> HttpResponse:
    return redirect(reverse("chat:conversation", args=[conversation_id]) + "#latest")


@login_required
@require_GET
def conversations(request):
    index, owner = indexes["default"], request.user.pk
    try:
        page = index.recent(PER_PAGE, owner=owner, before=request.GET.get("before"))
    except ValueError as error:
        raise Http404("Not a cursor.") from error
    return render(request, "chat/index.html", {"page": page, "count": index.count(owner=owner)})


@login_required
@require_GET
def search(request):
    """Search the user's own conversations: what was said in them, and their titles."""
    text, after = request.GET.get("q", ""), request.GET.get("after")
    if not text.strip():
        return render(request, "chat/search.html", {"text": text})
    index, owner = indexes["default"], request.user.pk
    try:
        results = index.search(text, owner=owner, limit=PER_PAGE, after=after)
    except ValueError as error:
        raise Http404("Not a cursor.") from error
    # All titles are on the first page.
    titles = index.titled(text, owner=owner) if after is None else Page([])
    context = {"text": text, "results": results, "titles": titles}
    context |= {"groups": grouped(titles[:PER_PAGE], results), "more_titles": titles[PER_PAGE:]}
    return render(request, "chat/search.html", context)


def grouped(titles: Sequence[Record], results: SearchResults) -> list[ConversationHits]:
    """The conversations with such a title, then the others, each with its hits."""
    groups = {record.conversation_id: ConversationHits(record, []) for record in titles}
    for found in results.conversations:
        group = groups.setdefault(found.conversation_id, ConversationHits(found.record, []))
        group.hits.extend(found.hits)
    return list(groups.values())


@login_required
@require_http_methods(["GET", "POST"])
def new(request):
    form = NewConversationForm(request.POST or None)
    if not form.is_valid():
        return render(request, "chat/new.html", {"form": form})
    driver = open_driver(request, form.conversation_id)
    memory.ask(driver, form.cleaned_data["text"], form.run_id)
    # TITLE in settings gives it a title with its first run; the sidebar has it before.
    driver.set_title(first_line(Run(form.cleaned_data["text"], "")))
    return at_latest(form.conversation_id)


@login_required
@require_http_methods(["GET", "POST"])
def conversation(request, conversation_id):
    driver = open_driver(request, conversation_id)
    form = MessageForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if not driver.exists():
            raise Http404
        memory.ask(driver, form.cleaned_data["text"], form.run_id)
        return at_latest(conversation_id)
    return show_conversation(request, driver, form)


def show_conversation(request, driver, form):
    # In this order, a reply that is finished in between is not missed.
    questions = driver.open_runs()
    found = driver.read()
    if not found.exists:
        raise Http404
    memory.take_up(driver, questions)
    stored = {run.id for run in found.runs}
    questions = [question for question in questions if question.run_id not in stored]
    wanted = request.GET.get("run")
    until = page_end(request.GET.get("until"), len(found.runs))
    if wanted is not None:
        until = page_around(wanted, found.runs)
    start = max(0, until - RUNS_PER_PAGE)
    runs = found.runs[start:until]
    context = {
        "conversation": found,
        "record": found.record,
        "runs": runs,
        "start": start,
        "until": until,
        "later": min(until + RUNS_PER_PAGE, len(found.runs)),
        "total": len(found.runs),
        "exchanges": len(found.runs) + len(questions),
        "wanted": wanted,
        "questions": questions if until == len(found.runs) else [],
        "waiting": any(question.state in memory.UNDER_WAY for question in questions),
        "recent": indexes["default"].recent(PER_PAGE, owner=request.user.pk),
        "form": form,
    }
    return render(request, "chat/conversation.html", context)


def page_around(run_id: str, runs: list[Run]) -> int:
    """The end of the page that has the run in the middle."""
    positions = [position for position, run in enumerate(runs) if run.id == run_id]
    return min(positions[-1] + RUNS_PER_PAGE // 2, len(runs)) if positions else len(runs)


def page_end(wanted: str | None, total: int) -> int:
    return min(int(wanted), total) if wanted and wanted.isdecimal() else total


@login_required
@require_http_methods(["GET", "POST"])
def rename(request, conversation_id):
    driver = open_driver(request, conversation_id)
    record = existing(driver)
    form = TitleForm(request.POST or None, initial={"title": record.title})
    if not form.is_valid():
        return render(request, "chat/rename.html", {"form": form, "record": record})
    driver.set_title(form.cleaned_data["title"])
    return at_latest(conversation_id)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request, conversation_id):
    driver = open_driver(request, conversation_id)
    record = existing(driver)
    if request.method == "GET":
        return render(request, "chat/delete.html", {"record": record})
    driver.delete()
    messages.success(request, "The conversation was deleted.")
    return redirect("chat:index")


@login_required
@require_http_methods(["GET", "POST"])
def data(request):
    """All that is known of the user, to take along."""
    index, owner = indexes["default"], request.user.pk
    count = index.count(owner=owner)  # without Redis, there is a page that says so
    if request.method == "GET":
        return render(request, "chat/data.html", {"count": count})
    export = OwnerExport(index, owner)
    # Under ASGI, Django would collect a sync iterator in memory.
    content = aiter(export) if isinstance(request, ASGIRequest) else export
    headers = {"Content-Disposition": 'attachment; filename="conversations.zip"'}
    return StreamingHttpResponse(content, content_type="application/zip", headers=headers)


def existing(driver):
    record = driver.record()
    if record is None:
        raise Http404
    return record


@login_required
@require_POST
def retry(request, conversation_id, run_id):
    memory.try_again(open_driver(request, conversation_id), run_id)
    return at_latest(conversation_id)


@login_required
@require_POST
def stop(request, conversation_id, run_id):
    open_driver(request, conversation_id).cancel(run_id)
    return at_latest(conversation_id)


@login_required
@require_GET
async def stream(request, conversation_id, run_id):
    """The reply while it is written, as server-sent events; see stream_reply()."""
    driver = await aopen_driver(request, conversation_id)
    questions = await driver.aopen_runs()
    await sync_to_async(memory.take_up)(driver, questions)
    return await astream_reply(request, driver, run_id)


@login_required
@require_GET
@never_cache
async def reply(request, conversation_id, run_id):
    """The reply as an HTML fragment; with status 202 before there is an outcome."""
    driver = await aopen_driver(request, conversation_id)
    question = memory.find(await driver.aopen_runs(), run_id)
    position = None if question else await driver.afind(lambda run: run.id == run_id)
    context = {"conversation": driver, "question": question}
    if position is not None:
        [context["run"]] = await driver.apage(before=position + 1, limit=1)
    elif question is None:
        raise Http404
    is_under_way = question and question.state in memory.UNDER_WAY
    return render(request, "chat/reply.html", context, status=202 if is_under_way else 200)


async def aopen_driver(request, conversation_id):
    user = await request.auser()
    return indexes["default"].driver(conversation_id, owner=user.pk)


@login_required
@require_GET
@cache_control(private=True, max_age=3600)
def file(request, conversation_id, run_id, place):
    runs, _ = open_driver(request, conversation_id).load()
    side, *path = place.split(".")
    run = next((run for run in runs if run.id == run_id), None)
    if run is None or side not in ("input", "output"):
        raise Http404
    artifact = rendering.pick(getattr(run, side), path)
    response = artifact and serve(artifact)
    if not response:
        raise Http404
    return response
