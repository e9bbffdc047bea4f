import re
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.test import TestCase
from django.test.utils import override_settings

from conversation_memory import Artifact, Run

from .utils import RedisTestCase

User = get_user_model()
PIXEL = Artifact(
    b"\x89PNG\r\n\x1a\n", type="ImageArtifact", name="A dot", format="png", width=1, height=1
)


IMMEDIATE = {"default": {"BACKEND": "example_project.chat.thread_pool.ImmediateBackend"}}


@override_settings(TASKS=IMMEDIATE)
class ChatTestCase(RedisTestCase, TestCase):
    def setUp(self):
        super().setUp()
        self.user = User.objects.create_user("ada", password="lovelace")
        self.client.force_login(self.user)

    def driver(self, conversation_id="c1", owner=None):
        return self.index.driver(conversation_id, owner=owner or self.user.pk)

    def write(self, text, url="/c/c1/", run=None, **data):
        run = run or uuid4().hex
        return self.client.post(url, {"text": text, "run": run, **data}), run

    def page(self, url="/c/c1/"):
        return self.client.get(url).content.decode()


class ListingTests(ChatTestCase):
    def test_an_empty_list_invites(self):
        assert "No conversations yet" in self.page("/")

    def test_lists_only_what_is_mine(self):
        self.driver("mine").store([Run("a", "b")])
        self.driver("mine").set_title("My walk")
        self.driver("other", owner=99).store([Run("a", "b")])
        self.driver("other", owner=99).set_title("Her walk")
        page = self.page("/")
        assert "My walk" in page
        assert "Her walk" not in page

    def test_older_ones_are_a_page_away(self):
        for number in range(25):
            self.driver(f"c{number:02}").store([Run("a", "b")])
        first = self.page("/")
        assert first.count('class="row"') == 20
        older = re.search(r'class="older" rel="next" href="([^"]+)"', first)[1]
        second = self.page("/" + older)
        assert second.count('class="row"') == 5
        assert "Latest" in second
        assert "Older" not in second

    def test_a_mangled_cursor_is_not_found(self):
        for cursor in ("", "x", "-", "1e9-YQ", "é-é"):
            with self.subTest(cursor):
                assert self.client.get("/", {"before": cursor}).status_code == 404

    def test_needs_a_user(self):
        self.client.logout()
        for url in ("/", "/new/", "/c/c1/", "/c/c1/r/r1/", "/c/c1/delete/"):
            assert self.client.get(url).url == f"/login/?next={url}"


class ForeignTests(ChatTestCase):
    def setUp(self):
        super().setUp()
        self.driver("hers", owner=99).store([Run("secret", PIXEL, id="r1")])

    def test_pages_do_not_exist(self):
        for url in ("", "rename/", "delete/", "r/r1/", "r/r1/stream/", "r/r1/output/"):
            assert self.client.get(f"/c/hers/{url}").status_code == 404

    def test_changes_do_not_happen(self):
        before = self.stored("hers")
        for url, data in {
            "/c/hers/": {"text": "mine now", "run": uuid4().hex},
            "/c/hers/rename/": {"title": "mine now"},
            "/c/hers/delete/": {},
            "/c/hers/r/r1/retry/": {},
            "/c/hers/r/r1/stop/": {},
        }.items():
            self.client.post(url, data)
        assert self.stored("hers") == before
        assert self.index.driver("hers").record().title != "mine now"

    def test_cannot_be_claimed_as_new(self):
        id = uuid4()
        self.driver(id.hex, owner=99).store([Run("secret", "")])
        response, _ = self.write("mine now", "/new/", conversation=id)
        assert response.status_code == 404


class ConversationTests(ChatTestCase):
    def test_rename(self):
        self.driver().store([Run("a", "b")])
        assert self.client.post("/c/c1/rename/", {"title": "خط جديد"}).status_code == 302
        assert self.driver().record().title == "خط جديد"
        assert "خط جديد" in self.page()

    def test_an_empty_title_is_refused(self):
        self.driver().store([Run("a", "b")])
        self.driver().set_title("Old")
        assert self.client.post("/c/c1/rename/", {"title": " "}).status_code == 200
        assert self.driver().record().title == "Old"

    def test_delete_asks_first(self):
        self.driver().store([Run("a", "b")])
        assert "Delete this conversation?" in self.page("/c/c1/delete/")
        assert self.driver().exists()
        response = self.client.post("/c/c1/delete/", follow=True)
        assert "The conversation was deleted." in response.content.decode()
        assert not self.driver().exists()

    def test_a_deleted_conversation_does_not_come_back_by_writing(self):
        response, _ = self.write("Hello")
        assert response.status_code == 404
        assert not self.driver().exists()

    def test_a_long_one_is_shown_in_parts(self):
        self.driver().store([Run(f"question {n}.", f"answer {n}.") for n in range(100)])
        latest = self.page()
        assert "question 99." in latest
        assert "question 59." not in latest
        earlier = self.page("/c/c1/?until=60")
        assert "question 59." in earlier
        assert "question 60." not in earlier
        assert '?until=100"' in earlier
        assert "<textarea" not in earlier

    def test_an_id_of_any_kind_has_a_page(self):
        for id in ("a/b", "..", "~", "ü {x} 👩‍🚀", "\udcff", "x" * 1000):
            with self.subTest(ascii(id)):
                self.driver(id).store([Run("Hello there", "b")])
                url = re.search(r'class="row" href="([^"#]+)', self.page("/"))[1]
                assert "Hello there" in self.page(url)
                self.driver(id).delete()

    def test_a_mangled_id_is_not_found(self):
        for id in ("~", "~a", "~__8", "nothing"):
            assert self.client.get(f"/c/{id}/").status_code == 404

    def test_a_damaged_one_costs_only_itself(self):
        self.driver("good").store([Run("a", "b")])
        self.driver("bad").store([Run("a", "b")])
        self.put("bad", b"{")
        with self.assertLogs("example_project", "ERROR"):
            response = self.client.get("/c/bad/")
        assert response.status_code == 503
        assert "cannot be shown" in response.content.decode()
        assert self.client.get("/").status_code == self.client.get("/c/good/").status_code == 200

    def test_a_conversation_of_a_stock_driver_has_no_owner_and_no_page(self):
        self.put("stock", b'{"runs": [], "metadata": {}}')
        assert self.client.get("/c/stock/").status_code == 404


class WritingTests(ChatTestCase):
    def test_the_reply_uses_the_memory(self):
        id = uuid4()
        response, _ = self.write("My name is Ada", "/new/", conversation=id)
        assert response.url == f"/c/{id.hex}/#latest"
        self.write("What is my name?", f"/c/{id.hex}/")
        runs, _ = self.driver(id.hex).load()
        assert runs[1].output.text == "Your name is Ada. You told me so yourself."
        assert "Your name is Ada." in self.page(f"/c/{id.hex}/")

    def test_a_new_conversation_is_called_like_its_first_line(self):
        id = uuid4()
        self.write("Tulips\nand other things", "/new/", conversation=id)
        assert self.driver(id.hex).record().title == "Tulips"

    def test_a_form_sent_twice_is_stored_once(self):
        self.driver().store([Run("a", "b")])
        _, run = self.write("Hello")
        self.write("Hello", run=run)
        assert self.driver().record().runs == 2

    def test_an_empty_message_is_refused(self):
        self.driver().store([Run("a", "b")])
        response, _ = self.write("  ")
        assert "This field is required." in response.content.decode()
        assert self.driver().record().runs == 1

    def test_a_pasted_text_is_stored_whole_or_comes_back_with_a_reason(self):
        self.driver().store([Run("a", "b")])
        self.write("word " * 5000 + "end")
        assert self.driver().load()[0][1].input.text.endswith("end")
        assert "maxlength" not in self.page().partition("<textarea")[2].partition(">")[0]
        response, _ = self.write("word " * 20_000 + "end")
        page = response.content.decode()
        assert "Your message has 100,003 characters. Shorten it to 100,000" in page
        assert "word end</textarea>" in page
        assert self.driver().record().runs == 2

    def test_a_long_message_is_folded(self):
        self.driver().store([Run("short", "b"), Run("long " * 400, "b" * 5000, id="r1")])
        page = self.page()
        assert page.count("Show more") == 1
        assert "<details open>" in self.page("/c/c1/?run=r1")
        assert "<details>" in page

    def test_a_message_without_an_id_is_refused(self):
        response = self.client.post("/new/", {"text": "Hello", "run": "x", "conversation": "y"})
        assert response.status_code == 200
        assert self.index.count() == 0


class ArtifactTests(ChatTestCase):
    def show(self, artifact):
        self.driver().store([Run("a", artifact, id="r1")])
        return self.page()

    def test_text_is_escaped_and_code_set_apart(self):
        page = self.show("<b>bold</b>\nline\n```html\n<i>code</i>\n```")
        assert "&lt;b&gt;bold&lt;/b&gt;<br>line" in page
        assert 'aria-label="Code in html"><code>&lt;i&gt;code&lt;/i&gt;</code>' in page

    def test_an_error_is_marked(self):
        assert "<strong>Error.</strong> Out of paper" in self.show(
            Artifact("Out of paper", type="ErrorArtifact")
        )

    def test_json_is_folded(self):
        page = self.show(Artifact({"paper": "ünfolded"}, type="JsonArtifact"))
        assert "<details" in page
        assert "ünfolded" in page

    def test_a_list_is_unfolded(self):
        page = self.show(Artifact([Artifact("one"), Artifact("two")], type="ListArtifact"))
        assert page.index("artifact-list") < page.index("one") < page.index("two")

    def test_a_tool_call_says_which_tool(self):
        call = {"type": "ToolAction", "tag": "t", "name": "Mail", "path": "send", "input": {}}
        assert "Used the tool Mail.send" in self.show(Artifact(call, type="ActionArtifact"))

    def test_a_binary_is_described_and_can_be_saved(self):
        page = self.show(Artifact(b"12345", type="BlobArtifact", name="notes.txt"))
        assert "notes.txt" in page
        assert "application/octet-stream, 5 bytes" in page
        response = self.client.get("/c/c1/r/r1/output/")
        assert response["Content-Disposition"] == 'attachment; filename="notes.txt"'
        assert response.content == b"12345"

    def test_only_web_addresses_become_links(self):
        assert 'href="https://example.com/"' in self.show(
            Artifact("https://example.com/", type="UrlArtifact")
        )
        assert 'href="javascript' not in self.show(
            Artifact("javascript:alert(1)", type="UrlArtifact")
        )

    def test_an_unknown_type_is_shown_as_what_it_is(self):
        page = self.show({"type": "HologramArtifact", "value": {"depth": 3}})
        assert "HologramArtifact" in page
        assert "depth" in page

    def test_lists_in_lists_end_somewhere(self):
        artifact = Artifact("deep")
        for _ in range(50):
            artifact = Artifact([artifact], type="ListArtifact")
        assert self.show(artifact).count("artifact-list") == 20

    def test_a_picture_comes_with_its_type_and_nothing_else(self):
        page = self.show(Artifact([PIXEL], type="ListArtifact"))
        url = re.search(r'<img src="([^"]+)" alt="Picture: A dot" width="1" height="1"', page)[1]
        response = self.client.get(url)
        assert response.content.startswith(b"\x89PNG")
        assert response["Content-Type"] == "image/png"
        assert response["X-Content-Type-Options"] == "nosniff"

    def test_an_svg_is_no_picture_here(self):
        svg = Artifact(b"<svg/>", type="ImageArtifact", format="svg+xml")
        assert "<img" not in self.show(svg)
        response = self.client.get("/c/c1/r/r1/output/")
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Disposition"].startswith("attachment")

    def test_only_binaries_are_served(self):
        self.show(Artifact([PIXEL, Artifact("text")], type="ListArtifact"))
        for place in ("output", "output.1", "output.2", "output.x", "output.-1", "input", "meta"):
            with self.subTest(place):
                assert self.client.get(f"/c/c1/r/r1/{place}/").status_code == 404

    def test_a_damaged_picture_is_not_found(self):
        self.show({**PIXEL.to_dict(), "value": "no base64"})
        assert self.client.get("/c/c1/r/r1/output/").status_code == 404


class UnavailableTests(ChatTestCase):
    def setUp(self):
        super().setUp()
        self.enterContext(
            self.settings(REDIS={"default": {"URL": "redis://127.0.0.1:1", "INDEX": "gone"}})
        )

    def test_no_page_is_an_error_of_the_server(self):
        for url in ("/", "/c/c1/", "/c/c1/rename/", "/c/c1/r/r1/", "/c/c1/r/r1/output/"):
            with self.subTest(url), self.assertLogs("example_project", "ERROR"):
                response = self.client.get(url)
                assert response.status_code == 503
                assert "are not available" in response.content.decode()
                assert response["Retry-After"] == "5"

    def test_a_message_is_not_lost(self):
        with self.assertLogs("example_project", "ERROR"):
            response, run = self.write("A <long> thought")
        page = response.content.decode()
        assert response.status_code == 503
        assert "A &lt;long&gt; thought</textarea>" in page
        assert f'name="run" value="{run}"' in page


class PolicyTests(ChatTestCase):
    INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", re.I)

    def test_every_page_keeps_the_policy(self):
        self.driver().store([Run("a", PIXEL, id="r1")])
        self.driver().begin("b", run_id="r2")
        self.driver().begin("c", run_id="r3")
        self.driver().fail("r3", "No.")
        client, anonymous = self.client, self.client_class()
        pages = [client.get(url) for url in ("/", "/new/", "/c/c1/", "/nothing/")]
        pages += [
            client.get(f"/c/c1/{url}/") for url in ("rename", "delete", "r/r1", "r/r2", "r/r3")
        ]
        pages += [
            anonymous.get("/login/"),
            self.client_class(enforce_csrf_checks=True).post("/login/"),
        ]
        for response in pages:
            with self.subTest(response.request["PATH_INFO"]):
                assert (
                    "default-src 'none'; script-src 'self'" in response["Content-Security-Policy"]
                )
                assert "unsafe" not in response["Content-Security-Policy"]
                assert not self.INLINE.search(response.content.decode())

    def test_changes_need_a_token(self):
        client = self.client_class(enforce_csrf_checks=True)
        client.force_login(self.user)
        self.driver().store([Run("a", "b")])
        for url in (
            "/new/",
            "/c/c1/",
            "/c/c1/rename/",
            "/c/c1/delete/",
            "/c/c1/r/r1/retry/",
            "/c/c1/r/r1/stop/",
        ):
            assert client.post(url, {"title": "x", "text": "x"}).status_code == 403

    def test_a_reply_is_not_asked_for_or_stopped_by_a_link(self):
        for name in ("retry", "stop"):
            assert self.client.get(f"/c/c1/r/r1/{name}/").status_code == 405

    def test_the_admin_is_there(self):
        self.client.force_login(User.objects.create_superuser("root"))
        assert self.client.get("/admin/").status_code == 200


class SigningInTests(ChatTestCase):
    def test_in_and_out(self):
        client = self.client_class()
        response = client.post(
            "/login/", {"username": "ada", "password": "lovelace", "next": "/new/"}
        )
        assert response.url == "/new/"
        assert client.post("/logout/").url == "/login/"
        assert client.get("/").status_code == 302
