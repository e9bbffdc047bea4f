import json
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.management import load_command_class
from django.test import override_settings

from conversation_memory import Run, indexes
from conversation_memory.models import Conversation

from .admin import AdminTestCase


class TransferTestCase(AdminTestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(TemporaryDirectory())
        self.enterContext(self.settings(FILE_UPLOAD_TEMP_DIR=self.folder))
        for id, owner in (("a", "7"), ("b", "7"), ("c", "8")):
            self.index.driver(id, owner=owner).store([Run(f"question of {id}", "answer")])
        self.restore_url = self.url("conversation_restore", self.address())

    def export(self, *ids, across=False, **query):
        data = {"action": "export_selected", "_selected_action": [self.address(i) for i in ids]}
        data |= {"select_across": "1" if across else "0", "index": "0"}
        url = self.url("conversation_changelist")
        return self.client.post(url, data, query_params={"index": str(self.address()), **query})

    def archive(self, *ids, **options):
        return b"".join(self.export(*ids, **options).streaming_content)

    def ids(self, archive):
        return sorted(json.loads(line)["id"] for line in archive.splitlines()[1:-1])

    def preview(self, content, name="archive.jsonl", **data):
        file = BytesIO(content)
        file.name = name
        data = {"on_conflict": "skip", **data, "archive": file}
        return self.client.post(self.restore_url, data)

    def confirm(self, **data):
        data = {"confirmed": "yes", "on_conflict": "skip", **data}
        return self.client.post(self.restore_url, data, follow=True)

    def uploads(self):
        return list(Path(self.folder).iterdir())


class ExportTests(TransferTestCase):
    def test_the_ticked_ones_are_streamed_as_a_file(self):
        response = self.export("a", "c")
        assert response.streaming
        assert response["Content-Disposition"].startswith('attachment; filename="test-')
        assert self.ids(b"".join(response.streaming_content)) == ["a", "c"]

    def test_all_that_match_are_exported(self):
        assert self.ids(self.archive("a", across=True)) == ["a", "b", "c"]
        assert self.ids(self.archive("a", across=True, owner="7")) == ["a", "b"]
        assert self.ids(self.archive("c", across=True, q="c")) == ["c"]

    def test_is_noted_with_the_index(self):
        self.archive("a", "b")
        entry = LogEntry.objects.get()
        assert entry.object_id == str(self.address())
        assert entry.get_change_message() == "Exported 2 conversations."

    def test_needs_its_permission(self):
        self.staff("view_conversation", "change_conversation", "delete_conversation")
        assert "export_selected" not in self.list().content.decode()
        response = self.export("a")
        assert not response.streaming
        assert not LogEntry.objects.exists()

    def test_under_asgi_as_well(self):
        self.async_client.force_login(self.root)
        url = self.url("conversation_changelist")
        data = {"action": "export_selected", "_selected_action": [str(self.address("a"))]}

        async def export():
            response = await self.async_client.post(
                f"{url}?index={self.address()}", {**data, "index": "0", "select_across": "0"}
            )
            content = b"".join([chunk async for chunk in response.streaming_content])
            await indexes.aclose()
            return content

        assert self.ids(async_to_sync(export)()) == ["a"]


class RestoreTests(TransferTestCase):
    def test_shows_what_would_happen_and_then_does_it(self):
        archive = self.archive("a", "b", "c")
        self.index.delete("a")
        self.index.driver("b").append(Run("newer", "newer"))
        page = self.preview(archive).content.decode()
        assert "is a valid archive" in page
        new = '<td>1</td><th scope="row">new: restored</th><td><bdi>a</bdi>'
        for line in (new, "identical: skipped", "different: skipped"):
            assert line in page
        assert "in conflict" not in page
        assert not self.index.driver("a").exists()
        page = self.confirm().content.decode()
        assert "1 new, 0 replaced, 1 unchanged, 1 skipped." in page
        assert self.index.driver("a").load()[0][0].input.text == "question of a"
        assert self.index.driver("a").record().owner == "7"
        assert len(self.index.driver("b").load()[0]) == 2
        assert "1 new" in LogEntry.objects.first().get_change_message()
        assert self.uploads() == []

    def test_replaces_where_it_is_told_to(self):
        archive = self.archive("b")
        self.index.driver("b").append(Run("newer", "newer"))
        self.preview(archive, on_conflict="replace")
        assert "1 replaced" in self.confirm(on_conflict="replace").content.decode()
        assert len(self.index.driver("b").load()[0]) == 1

    def test_a_conflict_that_must_not_be_restores_nothing(self):
        archive = self.archive("a", "b")
        self.index.delete("a")
        self.index.driver("b").append(Run("newer", "newer"))
        assert "in conflict" in self.preview(archive, on_conflict="fail").content.decode()
        self.confirm(on_conflict="fail")
        assert not self.index.driver("a").exists()

    def test_what_is_no_archive_or_damaged_is_refused_before_anything_is_written(self):
        archive = self.archive("a")
        self.index.delete("a")
        for content in (b"x", b"{}\n", archive[:-20], archive.replace(b"question", b"Question")):
            with self.subTest(content[:10]):
                response = self.preview(content)
                assert response.status_code == 200
                assert "errornote" in response.content.decode()
                assert self.uploads() == []
                self.confirm()
                assert not self.index.driver("a").exists()
        assert "The submitted file is empty" in self.preview(b"").content.decode()

    def test_an_error_names_the_uploaded_file_and_not_the_temporary_one(self):
        page = self.preview(self.archive("a")[:-20], name="of <b>.jsonl").content.decode()
        assert "“of &lt;b&gt;.jsonl”" in page
        assert "conversation-memory-" not in page.partition("errornote")[2]

    def test_a_conversation_that_was_kept_is_in_the_result(self):
        archive = self.archive("a", "b")
        self.put("b", b"nonsense")
        self.index.delete("a")
        self.preview(archive, on_conflict="replace")
        page = self.confirm(on_conflict="replace").content.decode()
        assert "1 was kept because the conversation stored here is unreadable: b." in page
        assert self.stored("b") == b"nonsense"

    def test_the_button_is_there_only_if_something_would_be_written(self):
        archive = self.archive("a", "b")
        button = 'value="Restore"'
        assert button not in self.preview(archive).content.decode()  # all is stored already
        self.index.driver("b").append(Run("newer", "newer"))
        assert button not in self.preview(archive).content.decode()
        assert button in self.preview(archive, on_conflict="replace").content.decode()
        self.index.delete("a")
        assert button not in self.preview(archive, on_conflict="fail").content.decode()
        assert button in self.preview(archive).content.decode()

    def test_a_conflict_has_the_default_of_the_command(self):
        parser = load_command_class("conversation_memory", "loadconversations").create_parser(
            "manage.py", "loadconversations"
        )
        page = self.client.get(self.restore_url).content.decode()
        assert f'<option value="{parser.get_default("on_conflict")}" selected' in page

    def test_a_file_that_is_too_large_is_not_kept(self):
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10**6):
            with self.limited(1000):
                page = self.preview(b"x" * 300_000).content.decode()
        assert "larger than the limit of 1000" in page.replace("\xa0", " ")
        assert self.uploads() == []

    def test_an_archive_of_too_much_is_refused(self):
        archive = self.archive("a", "b")
        registered = admin.site.get_model_admin(Conversation)
        for limit in ("max_archive_conversations", "max_archive_bytes"):
            with mock.patch.object(registered, limit, 1):
                page = self.preview(archive).content.decode()
            assert "errornote" in page
            assert "Use `loadconversations`" in page or "use `loadconversations`" in page
            assert self.uploads() == []

    def limited(self, most):
        registered = admin.site.get_model_admin(Conversation)
        return mock.patch.object(registered, "max_upload_bytes", most)

    def test_nobody_confirms_what_another_uploaded(self):
        self.preview(self.archive("a"))
        self.index.delete("a")
        client = self.client_class()
        client.force_login(self.root)
        data = {"confirmed": "yes", "on_conflict": "skip"}
        page = client.post(self.restore_url, data).content.decode()
        assert "is no longer available" in page
        assert not self.index.driver("a").exists()

    def test_a_name_is_only_shown(self):
        page = self.preview(self.archive("a"), name="<b>..\\x\u202e.jsonl").content.decode()
        assert "<b>.." not in page and "\u202e" not in page

    def test_needs_its_permission_and_its_token(self):
        archive = self.archive("a")
        client = self.client_class(enforce_csrf_checks=True)
        client.force_login(self.root)
        file = BytesIO(archive)
        file.name = "a.jsonl"
        data = {"on_conflict": "skip", "archive": file}
        assert client.post(self.restore_url, data).status_code == 403
        self.staff("view_conversation", "change_conversation")
        assert self.preview(archive).status_code == 403
        assert self.client.get(self.restore_url).status_code == 403
        assert "Restore an archive" not in self.list().content.decode()
        assert self.uploads() == []
