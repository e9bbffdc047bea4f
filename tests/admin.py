"""What tests of the admin share."""

import re
from html import unescape

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import TestCase
from django.urls import reverse
from django.utils.html import strip_tags

from conversation_memory.admin.addresses import Address

from .utils import RedisTestCase

User = get_user_model()


class AdminMixin:
    """A member of staff, and the pages of the admin about `self.index`."""

    def setUp(self):
        super().setUp()
        self.root = User.objects.create_superuser("root", password="word")
        self.client.force_login(self.root)

    def address(self, conversation_id=None, index=None):
        index = index or self.index
        id = conversation_id.encode() if isinstance(conversation_id, str) else conversation_id
        return Address(index.alias, index.name, id)

    def url(self, view, *args):
        """`view` is like `conversation_changelist`."""
        return reverse(f"admin:conversation_memory_{view}", args=args)

    def list(self, **query):
        return self.client.get(self.url("conversation_changelist"), query)

    def shown(self, **query):
        """The ids on a page of the list, in their order."""
        response = self.list(**query)
        assert response.status_code == 200, response
        return [row.conversation_id for row in response.context["cl"].result_list]

    def notes(self, **query):
        return [note.text for note in self.list(**query).context["notes"]]

    def breadcrumbs(self, page):
        """The texts of its breadcrumbs, and the links by their text."""
        [found] = re.findall(r'<div class="breadcrumbs">(.*?)</div>', page, re.S)
        texts = [" ".join(strip_tags(part).split()) for part in found.split("&rsaquo;")]
        links = re.findall(r'<a href="([^"]*)">(.*?)</a>', found)
        return texts, {strip_tags(text): unescape(link) for link, text in links}

    def staff(self, *codenames):
        """Log in as somebody who has only these permissions."""
        user = User.objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        self.client.force_login(user)
        return user


class AdminTestCase(AdminMixin, RedisTestCase, TestCase):
    pass
