"""Tests of every search, with RediSearch and without."""

import math
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError

from conversation_memory import Run, indexes

from .utils import both

SEARCH = {"FIELDS": {"topic": "tag", "score": "numeric", "note": "text"}}
UUID = "550e8400-e29b-41d4-a716-446655440000"


def settled(ask):
    """The state of a search, once RediSearch has scanned the server for all new indexes.

    A state says "older" rather than "building" of an index that is both.
    """
    while (state := ask()).kind == "building" or _is_scanning():
        time.sleep(0.01)
    return state


def _is_scanning():
    with Redis.from_url(settings.REDIS_URL) as client, suppress(ResponseError):
        for name in client.execute_command("FT._LIST"):  # if there is RediSearch
            with suppress(ResponseError):  # dropped meanwhile
                reply = client.execute_command("FT.INFO", name)
                pairs = (
                    reply
                    if isinstance(reply, dict)
                    else dict(zip(reply[::2], reply[1::2], strict=True))
                )
                if float(pairs[b"indexing"]) > 0:
                    return True
    return False


class Settled:
    """Mixin of a RedisTestCase: waits until RediSearch has scanned the server for a new index."""

    def setUp(self):
        super().setUp()
        settled(self.index.search_state)


class SearchTests(Settled):
    """For a RedisTestCase whose entry has SEARCH, which has `always` these options."""

    always: dict[str, object] = {}

    def fill(self, **conversations):
        """Conversations of one run each, by id: the input, or input and output."""
        for id, texts in conversations.items():
            texts = (texts, "") if isinstance(texts, str) else texts
            self.index.driver(id).append(Run(*texts, id=f"{id}-1"))

    def found(self, index, text="", **options):
        return sorted(hit.conversation_id for hit in index.search(text, **options))

    @both
    def test_all_words_in_question_or_answer(self, index):
        self.fill(a=("The quick fox", "jumps"), b=("The quick dog", "sleeps"))
        assert self.found(index, "quick") == ["a", "b"]
        assert self.found(index, "jumps quick") == ["a"]
        assert self.found(index, "jumps dog") == []

    @both
    def test_phrases_prefixes_and_exclusions(self, index):
        self.fill(a="one two three", b="two one three", c=("one", "two"))
        assert self.found(index, '"one two"') == ["a"]
        assert self.found(index, "one -three") == ["c"]
        assert self.found(index, "thr*") == ["a", "b"]
        assert self.found(index, '-"two one"') == ["a", "c"]

    @both
    def test_scripts_identifiers_and_addresses(self, index):
        self.fill(
            han="我们今天去北京动物园，谢谢",
            kana="東京タワーに行きました",
            thai="ฉันรักประเทศไทย",
            code="call get_user_by_id() or state-of-the-art",
            mail=f"Ada.Lovelace@example.org has {UUID}",
            accents="Crème Brûlée ΑΘΉΝΑ Ёлка",
        )
        assert self.found(index, "北京") == ["han"]
        assert self.found(index, "谢谢") == ["han"]
        assert self.found(index, "谢北") == []
        assert self.found(index, "タワー") == ["kana"]
        assert self.found(index, "ประเทศ") == ["thai"]
        assert self.found(index, "get_user_by_id") == ["code"]
        assert self.found(index, "state-of-the-art") == ["code"]
        assert self.found(index, "ada.lovelace@EXAMPLE.org") == ["mail"]
        assert self.found(index, UUID) == ["mail"]
        assert self.found(index, "creme BRULEE αθηνα елка") == ["accents"]

    @both
    def test_a_hit_tells_where_it_was_found(self, index):
        driver = self.index.driver("a", owner=7)
        driver.append(Run("<b>Fish</b> & chips", "Bon appétit", id="r", meta={"k": 1}))
        driver.set_title("Lunch")
        [hit] = index.search("FISH appetit")
        assert (hit.conversation_id, hit.owner, hit.title, hit.run_id) == ("a", "7", "Lunch", "r")
        assert hit.run == driver.load()[0][0]
        assert hit.snippet == "<b>Fish</b> & chips"
        assert hit.snippet_html == "&lt;b&gt;<mark>Fish</mark>&lt;/b&gt; &amp; chips"

    @both
    def test_an_owner_finds_what_is_his(self, index):
        self.index.driver("mine", owner=1).append(Run("secret plan", ""))
        self.index.driver("theirs", owner=2).append(Run("secret plan", ""))
        self.fill(nobodys="secret plan")
        assert self.found(index, "secret", owner=1) == ["mine"]
        assert self.found(index, "secret") == ["mine", "nobodys", "theirs"]
        assert self.found(index, "secret", owner=3) == []

    @both
    def test_one_conversation(self, index):
        self.index.driver("mine", owner=1).append(Run("secret plan", ""))
        self.fill(other="secret plan")
        assert self.found(index, "plan", conversation="mine") == ["mine"]
        assert self.found(index, "plan", conversation="mine", owner=2) == []
        assert self.found(index, "plan", conversation="none") == []

    @both
    def test_where(self, index):
        for id, topic, score in (("a", "billing", 1), ("b", ["a b", "billing"], 2.5), ("c", "", 3)):
            driver = self.index.driver(id)
            driver.store([Run("x", "", meta={"note": f"Note {id}"})], {"topic": topic})
            driver.append(Run("y", "", meta={"score": score, "topic": "own"}))
        assert self.found(index, where={"topic": "billing"}) == ["a", "b"]
        assert self.found(index, where={"topic": "Billing"}) == []
        assert self.found(index, where={"topic__in": ["a b", "?"]}) == ["b"]
        assert self.found(index, where={"topic": "own", "score__gte": 2.5}) == ["b", "c"]
        assert self.found(index, where={"score__lt": 2.5}) == ["a"]
        assert self.found(index, where={"score": 3}) == ["c"]
        assert self.found(index, where={"note": '"note a"'}) == ["a"]
        assert self.found(index, "y", where={"note": "note"}) == []

    @both
    def test_what_cannot_be_asked(self, index):
        for wrong in (
            {"where": {"nothing": 1}},
            {"where": {"topic__gt": 1}},
            {"where": {"score": "many"}},
            {"where": {"topic": object()}},
            {"order_by": "size"},
            {"limit": 0},
            {"limit": 1001},
            {"after": "nonsense"},
            {"owner": ""},
        ):
            with pytest.raises(ValueError):
                index.search("x", **wrong)

    @both
    def test_a_number_to_compare_with_is_finite(self, index):
        for wrong in (10**400, -(10**400), math.nan, math.inf, -math.inf, Decimal(1), True, "1"):
            for lookup in ("score", "score__gte", "score__lt"):
                with pytest.raises(ValueError, match="'score' must be compared with a finite"):
                    index.search("x", where={lookup: wrong})

    @both
    def test_since_and_until(self, index):
        self.fill(a="now")
        now = datetime.now(UTC)
        hour, day = timedelta(hours=1), timedelta(days=2)
        assert self.found(index, "now", since=now - hour) == ["a"]
        assert self.found(index, "now", until=now - hour) == []
        assert self.found(index, "now", since=now + hour) == []
        assert self.found(index, since=(now - day).date(), until=(now + day).date()) == ["a"]
        assert self.found(index, since=now, until=now) == []

    @both
    def test_pages_have_every_hit_once(self, index):
        self.index.driver("long").append(*(Run(f"number {n}", "", id=f"{n}") for n in range(7)))
        self.fill(a="number", b="number")
        for order in ("relevance", "-time", "time"):
            page = index.search("number", limit=4, order_by=order)
            seen = [hit.run_id for hit in page]
            assert page.total == 9
            while page.next:
                page = index.search("number", limit=4, order_by=order, after=page.next)
                seen += [hit.run_id for hit in page]
            assert len(seen) == 9
            assert len({*seen}) == 9

    @both
    def test_newest_and_oldest_first(self, index):
        self.fill(a="word", b="word word word", c="word")
        self.index.driver("c").append(Run("word", "", id="c-2"))
        newest = [hit.run_id for hit in index.search("word", order_by="-time")]
        assert newest == ["c-2", "c-1", "b-1", "a-1"]
        oldest = [hit.run_id for hit in index.search("word", order_by="time")]
        assert oldest == newest[::-1]

    @both
    def test_what_is_about_it_comes_first(self, index):
        self.fill(some="word " + "other " * 50, more="word word word", **dict.fromkeys("abcd", ""))
        assert [hit.conversation_id for hit in index.search("word")] == ["more", "some"]

    @both
    def test_hits_by_conversation(self, index):
        self.index.driver("a").append(Run("word", "", id="1"), Run("word", "", id="2"))
        self.fill(b="word")
        results = index.search("word", order_by="time")
        groups = [(group.conversation_id, len(group.hits)) for group in results.conversations]
        assert groups in ([("a", 2), ("b", 1)], [("b", 1), ("a", 2)])

    @both
    def test_no_text_finds_all_and_no_word_nothing(self, index):
        self.fill(a="one", b="")
        assert self.found(index) == ["a", "b"]
        assert self.found(index, "?!") == []

    @both
    def test_changes_are_seen_at_once(self, index):
        driver = self.index.driver("a")
        driver.append(Run("first", "", id="1"), Run("second", "", id="2"))
        driver.edit(Run("third", "", id="1"))
        assert self.found(index, "first") == []
        assert self.found(index, "third") == ["a"]
        driver.truncate(after="1")
        assert self.found(index, "second") == []
        driver.rename("b")
        assert self.found(index, "third") == ["b"]
        driver.move_to(5)
        assert self.found(index, "third", owner=5) == ["b"]
        driver.delete()
        assert self.found(index) == []

    @both
    def test_what_is_past_its_deadline_is_not_found(self, index):
        self.fill(kept="word")
        self.index.driver("gone", ttl=0.001).append(Run("word", ""))
        time.sleep(0.005)
        results = index.search("word")
        assert [hit.conversation_id for hit in results] == ["kept"]
        assert results.total == 1

    @both
    def test_a_picture_has_no_words(self, index):
        picture = {"type": "ImageArtifact", "format": "png", "value": "aGVsbG8="}
        self.index.driver("a").append(Run(picture, "a sunset"))
        assert self.found(index, "png") == []
        assert self.found(index, "sunset") == ["a"]

    @both
    def test_a_long_run(self, index):
        text = "filler " * 20_000 + "needle"
        self.index.driver("a").append(Run(text, "", id="long"))
        [hit] = index.search("needle")
        assert hit.run.input.text == text
        assert hit.snippet_html.endswith("<mark>needle</mark>")

    def test_a_language_finds_other_forms(self):
        search = {**self.always, "LANGUAGE": "english"}
        entry = {**settings.REDIS["default"], "SEARCH": search, "INDEX": f"test-{uuid4().hex}"}
        with self.settings(REDIS={"default": entry}):
            index = indexes["default"]
            index.driver("a").append(Run("The runners were running", ""))
            assert [hit.snippet_html for hit in index.search('"was run" runs')] == []
            [hit] = index.search('runs "RUNNER were"')
            assert hit.snippet_html == ("The <mark>runners were</mark> <mark>running</mark>")
            index.delete("a")
