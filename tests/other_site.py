"""URLs of a project whose admin is a site of its own, under another name."""

from django.contrib import admin
from django.urls import path

from conversation_memory.admin import ConversationAdmin, IndexAdmin
from conversation_memory.models import Conversation, Index

office = admin.AdminSite(name="office")
office.register(Conversation, ConversationAdmin)
office.register(Index, IndexAdmin)

urlpatterns = [path("office/", office.urls)]
