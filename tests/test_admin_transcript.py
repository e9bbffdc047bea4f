import json
import re
from base64 import urlsafe_b64decode
from datetime import timedelta

from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.utils import timezone

from conversation_memory import Artifact, Run

from .admin import AdminMixin, AdminTestCase
from .utils import each_layout

PIXEL = Artifact(b"\x89PNG", type="ImageArtifact", name="dot", format="png", width=1, height=1)


class PageMixin(AdminMixin):
    case = AdminTestCase

    def store(self, *runs, id="c1", metadata=None, **options):
        self.index.driver(id, **options).store(runs, metadata)

    def page_url(self, id="c1"):
        return self.url("conversation_change", self.address(id))

    def get(self, id="c1", **query):
        return self.client.get(self.page_url(id), query)

    def page(self, id="c1", **query):
        response = self.get(id, **query)
        assert response.status_code == 200, response
        return response.content.decode()

    def change(self, id="c1", page=None, **data):
        """Send the form as the page had it, but for `data`."""
        form = self.get(id).context["adminform"].form if page is None else page
        sent = {}
        for field in form:
            for name, value in self.inputs(field.name, field.value()):
                sent[name] = sent[f"initial-{name}"] = value
        return self.client.post(self.page_url(id), {**sent, **data}, follow=True)

    def inputs(self, name, value):
        if name != "expires":
            return [(name, value or "")]
        local = value and timezone.localtime(value)
        texts = (f"{local:%Y-%m-%d}", f"{local:%H:%M:%S}") if value else ("", "")
        return [(f"expires_{number}", text) for number, text in enumerate(texts)]


class PageTestCase(PageMixin, AdminTestCase):
    pass


@each_layout
class TranscriptTests(PageMixin):
    def test_shows_both_sides_the_facts_and_the_metadata(self):
        meta = {"model": "m-1", "asked": "2026-11-24T10:00:00Z"}
        self.store(Run("Where is it?", "**Here**", meta, id="r1"), metadata={"topic": "lamps"})
        self.index.driver("c1").set_title("A lamp")
        page = self.page()
        assert "Where is it?" in page
        assert "<strong>Here</strong>" in page
        for text in ("A lamp", "lamps", "m-1", "Nov. 24, 2026, 10 a.m.", "r1"):
            assert text in page

    def test_opens_at_the_end_and_pages_back(self):
        self.store(*(Run(f"question {n}.", "a") for n in range(120)))
        page = self.page()
        assert "question 119." in page and "question 69." not in page
        assert "Runs 71 to 120 of 120" in page
        earlier = re.search(r'href="([^"]*)" rel="prev"', page)[1].replace("&amp;", "&")
        page = self.client.get(self.page_url() + earlier).content.decode()
        assert "Runs 21 to 70 of 120" in page
        assert 'rel="next"' in page
        page = self.page(until=20)
        assert "Runs 1 to 20 of 120" in page
        assert 'rel="prev"' not in page

    def test_nonsense_in_the_address_is_the_last_page(self):
        self.store(*(Run(f"question {n}.", "a") for n in range(60)))
        for until in ("x", "0", "9" * 30, "²"):
            with self.subTest(until):
                assert "question 59." in self.page(until=until)
        assert "question 59." in self.page(until=999)

    def test_the_page_of_a_long_conversation_costs_what_that_of_a_short_one_does(self):
        from .utils import monitored

        self.store(*(Run("q", "a") for _ in range(60)), id="short")
        self.store(*(Run("q", "a") for _ in range(2000)), id="long")
        self.page("short")
        counts = []
        for id in ("short", "long"):
            with monitored(self.redis) as commands:
                self.page(id)
            counts.append(len(commands))
        assert counts[0] == counts[1] < 40

    def test_the_hit_of_a_search_is_marked_and_has_an_anchor(self):
        runs = [Run(f"question {n}.", f"answer {n}.", id=f"r{n}") for n in range(120)]
        self.store(*runs)
        page = self.page(_changelist_filters="q=answer+17")
        assert re.search(r'id="hit">(?:(?!</li>).)*<mark>answer</mark> <mark>17</mark>', page, re.S)
        assert 'id="hit"' in self.page(run="r30")
        assert "Runs 1 to 43 of 120" in page

    def test_the_list_of_a_search_leads_to_the_hit(self):
        self.store(Run("a", "b"))
        assert "/change/#hit" not in self.list().content.decode()
        page = self.list(q="c1").content.decode()
        assert re.search(r'/change/\?_changelist_filters=q%3Dc1#hit"', page)

    def test_a_search_that_is_not_in_the_messages_says_so(self):
        self.store(Run("a", "b"))
        assert "was not found in the messages" in self.page(q="zebra <b>")
        assert "<bdi>zebra &lt;b&gt;</bdi>" in self.page(q="zebra <b>")

    def test_every_kind_of_artifact_is_shown_as_what_it_is(self):
        outputs = [
            Artifact([Artifact("one"), PIXEL], type="ListArtifact"),
            Artifact({"json": 1}, type="JsonArtifact"),
            Artifact("Broken", type="ErrorArtifact"),
            Artifact(b"12345", type="BlobArtifact", name="notes.txt"),
            {"type": "Hologram", "value": 3, "colour": "red"},
        ]
        self.store(*(Run("a", output) for output in outputs))
        page = self.page()
        for text in ("artifact-list", "artifact-json", "artifact-error", "notes.txt", "Hologram"):
            assert text in page
        url = re.search(r'<img src="([^"]+)"', page)[1]
        assert self.client.get(url).content == b"\x89PNG"

    def test_what_a_stock_driver_wrote_is_shown(self):
        run = {"type": "Run", "id": "x", "meta": None, "input": {"type": "TextArtifact"}}
        self.put("c1", json.dumps({"runs": [run], "metadata": None}))
        assert "Input and output are empty." in self.page()

    def test_without_runs(self):
        self.store()
        assert "There are no runs" in self.page()


class UnreadableTests(PageTestCase):
    def test_a_document_that_is_none_is_shown_with_the_reason(self):
        self.put("c1", b'{"runs": [<b>\xff')
        response = self.get()
        page = response.content.decode()
        assert response.status_code == 200
        assert "This conversation cannot be read:" in page
        assert "byte 13 is not text in utf-8" in page
        assert "{&quot;runs&quot;: [&lt;b&gt;\\xff" in page
        assert "Delete" in page and 'name="_save"' not in page

    def test_it_can_be_downloaded_and_deleted_but_not_changed(self):
        self.put("c1", b"nonsense \xff")
        address = self.address("c1")
        raw = self.client.get(self.url("conversation_raw", address))
        assert raw.content == b"nonsense \xff"
        assert raw["Content-Disposition"] == 'attachment; filename="c1.json"'
        assert self.client.post(self.page_url(), {"title": "x"}).status_code == 403
        assert self.stored("c1") == b"nonsense \xff"
        self.client.post(self.url("conversation_delete", address), {"post": "yes"})
        assert self.stored("c1") is None


class UnreadableRunTests(PageTestCase):
    entry = {"LAYOUT": "list"}

    def test_a_run_that_is_none_costs_only_itself(self):
        self.store(Run("first", "a"), Run("second", "b"), Run("third", "c"))
        key = f"{{{self.index.name}}}:runs:c1"
        for value, reason in (
            (b"{broken \xff", "byte 8 is not text in utf-8"),
            (b"[]", "it is not an object"),
            (b"null", "it is not an object"),
            (b'{"id": "x", "input": ' + b"[" * 100_000, "nested too deeply"),
        ):
            with self.subTest(value[:10]):
                self.redis.lset(key, 1, value)
                page = self.page()
                assert "This run cannot be read:" in page and reason in page
                assert "first" in page and "third" in page
                url = re.findall(r'<a href="([^"]*/runs/1/[^"]*)"', page)[0]
                assert self.client.get(url).content.startswith(value[:2])
                assert self.page(q="third").count("<mark>third</mark>") == 1


class ChangeTests(PageTestCase):
    def test_title_owner_and_metadata_are_changed_and_noted(self):
        self.store(Run("a", "b"), metadata={"keep": 1.0, "drop": 2, "edit": 3}, owner="1")
        metadata = '{"keep": 1.0, "edit": 4, "new": [true]}'
        response = self.change(title="New title", owner="7", metadata=metadata)
        assert "was changed successfully" in response.content.decode()
        record = self.index.driver("c1").record()
        assert (record.title, record.owner) == ("New title", "7")
        assert self.index.driver("c1").read().metadata == {"keep": 1.0, "edit": 4, "new": [True]}
        entry = LogEntry.objects.get()
        assert entry.object_id == str(self.address("c1"))
        assert entry.get_change_message() == "Changed Title, Owner and Metadata."

    def test_what_was_not_touched_is_not_written(self):
        self.store(Run("a", "b"), metadata={"a": 1})
        before = self.index.driver("c1").read().revision
        self.index.driver("c1").set_title("tab\there")
        self.change()
        assert self.index.driver("c1").read().revision == before
        assert self.index.driver("c1").record().title == "tab\there"

    def test_keys_that_others_wrote_meanwhile_stay(self):
        self.store(Run("a", "b"), metadata={"mine": 1})
        form = self.get().context["adminform"].form
        self.index.driver("c1").update_metadata({"theirs": 2})
        self.change(page=form, metadata='{"mine": 5}')
        assert self.index.driver("c1").read().metadata == {"mine": 5, "theirs": 2}

    def test_a_key_that_others_wrote_meanwhile_is_not_overwritten(self):
        self.store(Run("a", "b"), metadata={"key": 1})
        form = self.get().context["adminform"].form
        self.index.driver("c1").update_metadata({"key": 2})
        page = self.change(page=form, metadata='{"key": 3}').content.decode()
        assert "These keys were changed in the meantime: key." in page
        assert self.index.driver("c1").read().metadata == {"key": 2}

    def test_numbers_keep_their_form(self):
        self.put(
            "c1", b'{"runs": [], "metadata": {"f": 1.0, "n": NaN, "i": 123456789012345678901}}'
        )
        self.change(title="x")
        assert b'"f": 1.0, "n": NaN, "i": 123456789012345678901' in self.stored("c1")

    def test_what_is_no_object_is_refused(self):
        self.store(Run("a", "b"), metadata={"a": 1})
        for text in ("[]", "{", '"x"', "1", "[" * 100_000, "null x"):
            with self.subTest(text[:5]):
                page = self.change(metadata=text).content.decode()
                assert "Please correct the error below." in page
        assert self.index.driver("c1").read().metadata == {"a": 1}

    def test_an_empty_owner_is_nobody(self):
        self.store(Run("a", "b"), owner="7")
        self.change(owner="")
        assert self.index.driver("c1").record().owner is None

    def test_a_deadline_is_set_and_taken_away(self):
        self.store(Run("a", "b"))
        tomorrow = timezone.now() + timedelta(days=1)
        date, time = f"{tomorrow:%Y-%m-%d}", f"{tomorrow:%H:%M:%S}"
        self.change(expires_0=date, expires_1=time)
        expires = self.index.driver("c1").record().expires
        assert abs(expires - tomorrow) < timedelta(seconds=5)
        self.change(expires_0="", expires_1="")
        assert self.index.driver("c1").record().expires is None

    def test_a_deadline_in_the_past_is_refused(self):
        self.store(Run("a", "b"))
        page = self.change(expires_0="2020-01-01", expires_1="00:00").content.decode()
        assert "Enter a time in the future." in page
        assert self.index.driver("c1").record().expires is None

    def test_a_conversation_that_is_gone_is_said(self):
        self.store(Run("a", "b"))
        form = self.get().context["adminform"].form
        self.index.driver("c1").delete()
        page = self.change(page=form, title="x").content.decode()
        assert "doesn’t exist" in page
        assert not self.index.driver("c1").exists()

    def test_viewers_see_the_metadata_and_no_form(self):
        self.store(Run("a", "b"), metadata={"topic": "lamps"})
        self.staff("view_conversation")
        page = self.page()
        assert "lamps" in page
        assert 'name="title"' not in page and ">Remove<" not in page
        assert self.client.post(self.page_url(), {"title": "x"}).status_code == 403
        assert self.index.driver("c1").record().title == "a"


@each_layout
class RemoveTests(PageMixin):
    def url_of(self, text="Remove"):
        return re.search(rf'<a href="([^"]+)"[^>]*>{text}</a>', self.page())[1]

    def test_a_run_is_removed_after_asking_and_noted(self):
        self.store(Run("first", "a", id="r1"), Run("second", "b", id="r2"))
        url = self.url_of()
        assert "Remove run 1" in self.client.get(url).content.decode()
        assert len(self.index.driver("c1").load()[0]) == 2
        page = self.client.post(url, follow=True).content.decode()
        assert "The run was removed." in page
        assert [run.id for run in self.index.driver("c1").load()[0]] == ["r2"]
        assert LogEntry.objects.get().get_change_message() == "Deleted run “r1”."

    def test_the_way_back_is_above_the_page_whatever_the_id(self):
        id = urlsafe_b64decode(b"aa_5Faaa")  # in the admin's addresses, _5F stands for _
        self.put(id, Run("q", "a", id="r1").to_wire().join([b'{"runs": [', b'], "metadata": {}}']))
        key = quote(str(self.address(id)))
        page = self.client.get(self.url("conversation_change", key)).content.decode()
        url = re.search(r'<a href="([^"]+)"[^>]*>Remove</a>', page)[1]
        texts, links = self.breadcrumbs(self.client.get(url).content.decode())
        assert texts[3] == f"default: {self.index.name}" and texts[5] == "Remove a run"
        assert links[texts[4]] == self.url("conversation_change", key)

    def test_a_run_that_moved_meanwhile_is_not_removed(self):
        self.store(Run("first", "a", id="r1"), Run("second", "b", id="r2"))
        url = self.url_of()
        self.index.driver("c1").remove("r1")
        assert self.client.post(url).status_code == 404
        assert [run.id for run in self.index.driver("c1").load()[0]] == ["r2"]

    def test_viewers_may_not(self):
        self.store(Run("first", "a", id="r1"))
        url = self.url_of()
        self.staff("view_conversation")
        assert self.client.get(url).status_code == self.client.post(url).status_code == 403
        assert len(self.index.driver("c1").load()[0]) == 1
