"""The download of all data of an owner, in the admin."""

from io import BytesIO
from unittest import mock
from zipfile import BadZipFile, ZipFile

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import LogEntry

from conversation_memory import Run, indexes
from conversation_memory.archive import OwnerExport
from conversation_memory.exceptions import RedisUnavailable

from .admin import AdminTestCase

LABEL = "Download all data of this owner"


class OwnerDataTests(AdminTestCase):
    def setUp(self):
        super().setUp()
        for id in ("a", "b"):
            self.index.driver(id, owner="7").store([Run(f"question of {id}", "answer")])
        self.index.driver("c", owner="8").store([Run("of somebody else", "answer")])
        self.data_url = self.url("conversation_owner_data", self.address())
        self.erase_url = self.url("conversation_erase", self.address())

    def download(self, owner="7", **options):
        return self.client.post(self.data_url, {"owner": owner}, **options)

    def page_of(self, id):
        return self.client.get(self.url("conversation_change", self.address(id))).content.decode()

    def test_streams_all_that_the_owner_has_and_nothing_else(self):
        self.index.driver("a").begin("And now?")
        response = self.download()
        assert response.streaming and response["Content-Type"] == "application/zip"
        assert response["Content-Disposition"].startswith('attachment; filename="7-')
        with ZipFile(BytesIO(b"".join(response.streaming_content))) as archive:
            content = b"".join(map(archive.read, archive.namelist()))
        for text in (b"question of a", b"question of b", b"And now?"):
            assert text in content
        assert b"somebody else" not in content

    def test_under_asgi_as_well(self):
        self.async_client.force_login(self.root)

        async def download():
            response = await self.async_client.post(self.data_url, {"owner": "7"})
            content = b"".join([chunk async for chunk in response.streaming_content])
            await indexes.aclose()
            return content

        with ZipFile(BytesIO(async_to_sync(download)())) as archive:
            assert archive.testzip() is None and len(archive.namelist()) == 6
        assert LogEntry.objects.exists()

    def test_is_noted_with_the_index(self):
        b"".join(self.download().streaming_content)
        entry = LogEntry.objects.get()
        assert entry.object_id == str(self.address())
        assert entry.get_change_message() == "Downloaded all data of owner “7”."

    def test_is_offered_beside_the_erasure_and_beside_the_owner(self):
        pages = [self.page_of("a"), self.client.get(self.erase_url, {"owner": "7"})]
        for page in (pages[0], pages[1].content.decode()):
            assert LABEL in page and f'action="{self.data_url}"' in page
            assert '<input type="hidden" name="owner" value="7">' in page
        self.index.driver("nobody's").append(Run("q", "a"))
        assert LABEL not in self.page_of("nobody's")

    def test_needs_the_permissions_to_erase_and_to_export(self):
        theirs = ("view_conversation", "change_conversation", "delete_conversation")
        for few in ((), ("export_conversation",), ("erase_owner",)):
            with self.subTest(few):
                user = self.staff(*theirs, *few)
                assert LABEL not in self.page_of("a")
                assert self.download().status_code == 403
                assert self.client.get(self.data_url).status_code == 403
                user.delete()
        self.staff(*theirs, "export_conversation", "erase_owner")
        assert LABEL in self.page_of("a") and self.download().status_code == 200

    def test_a_link_downloads_nothing(self):
        response = self.client.get(self.data_url, {"owner": "7"})
        assert response.status_code == 302 and not LogEntry.objects.exists()

    def test_a_post_needs_its_token(self):
        client = self.client_class(enforce_csrf_checks=True)
        client.force_login(self.root)
        assert client.post(self.data_url, {"owner": "7"}).status_code == 403

    def test_the_owner_is_taken_exactly(self):
        self.index.driver("d", owner=" 7").store([Run("theirs", "answer")])
        with ZipFile(BytesIO(b"".join(self.download(" 7").streaming_content))) as archive:
            assert len(archive.namelist()) == 4
        for owner in ("", "x" * 1001):
            response = self.download(owner, follow=True)
            assert response.context["messages"] and not response.streaming

    def test_a_failure_before_the_first_byte_is_a_message(self):
        gone = mock.patch.object(OwnerExport, "_select", side_effect=RedisUnavailable("Gone."))
        with gone:
            response = self.download(follow=True)
        assert "Gone." in response.content.decode()
        assert not LogEntry.objects.exists()

    def test_a_failure_in_the_middle_leaves_no_complete_zip(self):
        gone = mock.patch.object(OwnerExport, "_read", side_effect=RedisUnavailable("Gone."))
        parts = []
        with gone, pytest.raises(RedisUnavailable):
            parts.extend(self.download().streaming_content)
        with pytest.raises(BadZipFile):
            ZipFile(BytesIO(b"".join(parts)))
