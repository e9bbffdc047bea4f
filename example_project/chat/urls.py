from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from django.urls import path, register_converter

from example_project.chat import views

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class MemoryIdConverter:
    """A conversation id or run id in a URL: plain ones unchanged, others as ~base64.

    Ids are arbitrary strings, and browsers and proxies normalise slashes and dots.
    """

    regex = r"~?[A-Za-z0-9_-]+"

    def to_python(self, value: str) -> str:
        if not value.startswith("~"):
            return value
        padded = value[1:] + "=" * (-len(value[1:]) % 4)
        return urlsafe_b64decode(padded).decode("utf-8", "surrogateescape")

    def to_url(self, value: str) -> str:
        if PLAIN.fullmatch(value):
            return value
        encoded = urlsafe_b64encode(value.encode("utf-8", "surrogateescape"))
        return "~" + encoded.decode().rstrip("=")


register_converter(MemoryIdConverter, "id")

app_name = "chat"
urlpatterns = [
    path("", views.conversations, name="index"),
    path("new/", views.new, name="new"),
    path("search/", views.search, name="search"),
    path("c/<id:conversation_id>/", views.conversation, name="conversation"),
    path("c/<id:conversation_id>/rename/", views.rename, name="rename"),
    path("c/<id:conversation_id>/delete/", views.delete, name="delete"),
    path("c/<id:conversation_id>/r/<id:run_id>/", views.reply, name="reply"),
    path("c/<id:conversation_id>/r/<id:run_id>/stream/", views.stream, name="stream"),
    path("c/<id:conversation_id>/r/<id:run_id>/stop/", views.stop, name="stop"),
    path("c/<id:conversation_id>/r/<id:run_id>/retry/", views.retry, name="retry"),
    path("c/<id:conversation_id>/r/<id:run_id>/<str:place>/", views.file, name="file"),
]
