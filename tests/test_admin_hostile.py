"""Everything stored is text of strangers: no page of the admin obeys it."""

import json
import re
from html.parser import HTMLParser

from conversation_memory import Artifact, Run

from .admin import AdminTestCase

SCRIPT = "<script>alert(1)</script>"
NASTY = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "\u202egnp.exe",
    "a\x00b\x1b[31m",
    "half \ud800 half",
    "../../../etc/passwd",
    "{{ 7|add:7 }}{% load %}",
    "w" * 30_000,
    "',;--",
    "\ue0f0mark\ue0f1",
    "%s %(x)s {0}",
]


class Reader(HTMLParser):
    """Collects what a browser would run, load or follow."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name.startswith("on") or name == "style":
                self.found.append((tag, name, value))
            if name in ("href", "src", "action") and not self.is_ours(value or ""):
                self.found.append((tag, name, value))
        if tag == "script" and not dict(attributes).get("src"):
            self.found.append((tag, "", ""))

    def is_ours(self, url):
        return re.match(r"(/|\?|#|$|https?://|mailto:)", url)


class HostileTests(AdminTestCase):
    def page(self, view, *args, **query):
        response = self.client.get(self.url(view, *args), query)
        assert response.status_code == 200, response
        page = response.content.decode()
        assert "\x00" not in page
        assert not Reader(page).found, Reader(page).found
        return page

    def artifacts(self, text):
        kinds = "Text Error Info Url ImageUrl Action Json Generic Blob Audio Image Nonsense".split()
        for kind in kinds:
            yield {"type": f"{kind}Artifact", "id": text, "name": text, "value": text, text: text}
            yield {"type": f"{kind}Artifact", "format": text, "value": {text: [text]}, "meta": text}
        yield {"type": text, "value": text}
        yield Artifact([Artifact(text), Artifact([], type="ListArtifact")], type="ListArtifact")

    def store(self, text, id="c1"):
        runs = [
            Run(text, artifact, {text: text}, id=f"{text}{n}"[-900:])
            for n, artifact in enumerate(self.artifacts(text))
        ]
        self.index.driver(id, owner="7").store(runs, {text: text})
        self.index.driver(id).set_title(text[:1000])

    def test_a_conversation_full_of_it(self):
        for text in NASTY:
            with self.subTest(ascii(text[:20])):
                self.store(text[:30_000])
                words = text[:50].encode("utf-8", "replace").decode()
                page = self.page("conversation_change", self.address("c1"), q=words)
                assert len(page) < 5_000_000
                self.page("conversation_changelist")

    def test_a_word_of_a_megabyte(self):
        self.index.driver("c1").store([Run("w" * 1_000_000, "w" * 1_000_000, id="r1")])
        page = self.page("conversation_change", self.address("c1"), q="w")
        assert "980000 more characters are not shown" in page.replace(",", "")
        assert len(page) < 100_000

    def test_an_id_and_an_owner_made_of_it(self):
        for text in NASTY:
            id = text.encode("utf-8", "surrogatepass")[:1000] + b"\xff"
            with self.subTest(ascii(text[:20])):
                self.index.driver(id, owner=id).store([Run("a", "b")])
                self.page("conversation_change", self.address(id))
                self.page("conversation_delete", self.address(id))
                self.page("conversation_history", self.address(id))
        self.page("conversation_changelist")

    def test_an_unreadable_one_made_of_it(self):
        for text in NASTY:
            with self.subTest(ascii(text[:20])):
                self.put("c1", text.encode("utf-8", "surrogatepass"))
                assert "cannot be read" in self.page("conversation_change", self.address("c1"))

    def test_a_change_of_it_is_logged_and_shown(self):
        for text in NASTY:
            with self.subTest(ascii(text[:20])):
                title = text[:1000].encode("utf-8", "replace").decode().replace("\x00", "")
                self.index.driver("c1").store([Run("a", "b")], {text[:100]: 1})
                form = {"title": title, "owner": title, "metadata": json.dumps({"k": text[:99]})}
                form |= {"expires_0": "", "expires_1": ""}
                url = self.url("conversation_change", self.address("c1"))
                assert self.client.post(url, form).status_code == 302
                self.page("conversation_history", self.address("c1"))
                self.page("conversation_changelist")

    def test_a_run_id_of_it_can_be_removed(self):
        for text in NASTY:
            with self.subTest(ascii(text[:20])):
                self.index.driver("c1").store([Run("a", "b", id=text[:1000])])
                response = self.client.get(self.url("conversation_change", self.address("c1")))
                url = response.context["transcript"].entries[0].remove_url
                assert self.client.post(url, follow=True).status_code == 200
                assert self.index.driver("c1").load()[0] == []

    def test_a_link_of_a_model_leads_to_the_web_or_nowhere(self):
        text = "[a](javascript:alert(1)) [b](//evil.example) [c](https://fine.example) <" + SCRIPT
        self.index.driver("c1").store([Run("a", text)])
        page = self.page("conversation_change", self.address("c1"))
        assert 'href="https://fine.example"' in page
        assert "evil.example" not in "".join(re.findall(r'href="([^"]*)"', page))

    def test_keys_that_are_none_are_not_found(self):
        for key in ("x", "..", "a.b", "a.b.c", "YQ.YQ.YQ", "~", "%00", "a" * 3000, "é.é.é", "_"):
            for view in ("change", "delete", "history", "raw"):
                with self.subTest(key=key, view=view):
                    response = self.client.get(self.url(f"conversation_{view}", key))
                    assert response.status_code in (302, 404)
            for view in ("erase", "restore"):
                response = self.client.get(self.url(f"conversation_{view}", key))
                assert response.status_code in (403, 404, 503)
        key = self.address("c1")
        for rest in (
            "runs/0/x/",
            "runs/999999999999/x/",
            "runs/0/x/file/output/",
            "runs/0/x/remove/",
        ):
            url = self.url("conversation_change", key).replace("change/", rest)
            assert self.client.get(url).status_code == 404
