"""The admin of an encrypted index."""

from conversation_memory import Run

from .encrypting import EncryptedTestCase
from .test_admin_transcript import PageTestCase

SECRET = "lighthouse"


class EncryptedAdminTests(PageTestCase):
    entry = EncryptedTestCase.entry
    keys_are = EncryptedTestCase.keys_are

    def setUp(self):
        super().setUp()
        driver = self.index.driver("c1", owner="ada")
        driver.store([Run(SECRET, "**bright**", id="r1")], {})
        driver.set_title(SECRET)

    def test_a_page_shows_texts_and_lists_show_titles(self):
        assert SECRET in self.page()
        assert SECRET in self.list().content.decode()
        assert self.shown(q=SECRET) == ["c1"]

    def test_a_conversation_that_cannot_be_decrypted_is_shown_with_its_key(self):
        with self.keys_are("b"):
            page = self.page()
            assert "key &#x27;a&#x27;, which is not in KEYS of ENCRYPTION" in page
            assert SECRET not in page
            assert self.shown() == ["c1"]


class EncryptedSearchAdminTests(PageTestCase):
    entry = {
        **EncryptedTestCase.entry,
        "SEARCH": {"FIELDS": {"topic": "tag"}, "STORED_UNENCRYPTED": ["input"]},
    }

    def test_a_search_shows_titles_and_excerpts_decrypted(self):
        for id, text in (("c1", f"The {SECRET} burns"), ("c2", "other")):
            driver = self.index.driver(id, owner="ada")
            driver.append(Run(text, "**bright**", {"topic": SECRET}))
            driver.set_title(f"Title of {id}")
        page = self.list(q=SECRET).content.decode()
        assert self.shown(q=SECRET) == ["c1"]
        assert "Title of c1" in page
        assert f"The <mark>{SECRET}</mark> burns" in page
