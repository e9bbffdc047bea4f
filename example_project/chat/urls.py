from __future__ import annotations

from django.urls import path, register_converter

from example_project.chat import views
from example_project.chat.converters import MemoryIdConverter

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
    path("c/<id:conversation_id>/r/<id:run_id>/retry/", views.retry, name="retry"),
    path("c/<id:conversation_id>/r/<id:run_id>/<str:place>/", views.file, name="file"),
]
