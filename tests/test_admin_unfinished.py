"""The open runs of a conversation in the admin."""

import re

from django.contrib.admin.models import LogEntry
from django.test import override_settings

from conversation_memory import Artifact, Run

from .admin import AdminTestCase
from .utils import each_layout

PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\n' \" &"


class UnfinishedTestCase(AdminTestCase):
    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c1", owner="7")
        self.driver.append(Run("What is 1 + 1?", "2"))
        self.change_url = self.url("conversation_change", self.address("c1"))

    def page(self, **query):
        response = self.client.get(self.change_url, query)
        assert response.status_code == 200
        return response.content.decode()

    def unfinished(self):
        return self.client.get(self.change_url).context["unfinished"]


class UnfinishedTests(UnfinishedTestCase):
    def test_are_shown_behind_the_last_run_with_state_and_text_so_far(self):
        reply = self.driver.begin("Where is the lamp?", run_id="r1").claim()
        reply.write("In the tow")
        reply.flush()
        self.driver.begin("Who am I?", run_id="r2")
        self.driver.begin("And now?", run_id="r3")
        self.driver.fail("r3", "The model is overloaded.")
        page = self.page()
        words = ["What is 1 + 1?", "Being written", "Where is the lamp?", "In the tow"]
        words += ["Waiting for a worker", "Who am I?", "Failed", "The model is overloaded."]
        places = [page.index(text) for text in words]
        assert places == sorted(places)
        assert page.count("since <time datetime=") == 3
        assert [bool(run.fail_url) for run in self.unfinished()] == [True, True, False]

    def test_of_a_dead_worker_and_cancelled_ones_say_so(self):
        self.driver.begin("q", run_id="r1").claim()
        self.driver.begin("q", run_id="r2")
        self.driver.cancel("r2")
        open = f"{{{self.index.name}}}:open:c1"
        state = self.redis.hget(open, "state:r1").split(b" ", 4)
        state[3] = b"1000"
        self.redis.hset(open, "state:r1", b" ".join(state))
        page = self.page()
        assert "Interrupted: the worker does not answer any more" in page and "Cancelled" in page

    def test_are_not_mentioned_if_there_are_none(self):
        assert "Answers that are not finished" not in self.page()

    def test_are_on_the_last_page_only(self):
        self.driver.append(*(Run("q", "a") for _ in range(60)))
        self.driver.begin("Who am I?")
        assert "Who am I?" in self.page()
        assert "Who am I?" not in self.page(until=50)

    def test_the_newest_of_many_are_shown(self):
        for n in range(22):
            self.driver.begin(f"question {n}.", run_id=f"{n:02d}")
        page = self.page()
        assert "2 older ones are not shown." in page
        assert "question 21." in page and "question 1." not in page

    def test_are_shown_to_readers_who_cannot_fail_them(self):
        self.driver.begin("Who am I?")
        [run] = self.unfinished()
        url = run.fail_url
        self.staff("view_conversation")
        assert "Who am I?" in self.page() and [run.fail_url for run in self.unfinished()] == [""]
        for send in (self.client.get, self.client.post):
            assert send(url, {"reason": "x"}).status_code == 403
        assert self.driver.open_runs()[0].state == "waiting"

    def test_hostile_texts_are_harmless(self):
        self.driver.begin(HOSTILE, run_id=HOSTILE)
        self.driver.begin(HOSTILE, run_id=HOSTILE + "2")
        self.driver.fail(HOSTILE, HOSTILE)
        page = self.page()
        assert "<script>alert" not in page and "\x1b" not in page and "\u202e" not in page
        [url] = [run.fail_url for run in self.unfinished() if run.fail_url]
        page = self.client.post(url, {"reason": HOSTILE}, follow=True).content.decode()
        assert "<script>alert" not in page
        assert [run.state for run in self.driver.open_runs()] == ["failed", "failed"]

    def test_pictures_and_long_texts_have_an_address(self):
        picture = Artifact(PNG, type="ImageArtifact", format="png")
        reply = self.driver.begin(picture, run_id="r1").claim()
        reply.write("x" * 30_000)
        reply.flush()
        [run] = self.unfinished()
        input, output = run.messages
        url = input.shown.url
        assert self.client.get(url).content == PNG
        assert self.client.get(output.shown.url).content == b"x" * 30_000
        for bad in (url.replace("/input/", "/input.9/"), url.replace(run.tag, "0" * 32)):
            assert self.client.get(bad).status_code == 404

    def test_what_is_damaged_costs_only_itself(self):
        self.driver.begin("lost", run_id="r1")
        self.driver.begin("fine", run_id="r2")
        open = f"{{{self.index.name}}}:open:c1"
        self.redis.hset(open, "question:r1", b"no JSON \xff")
        page = self.page()
        assert "no JSON" in page and "fine" in page and page.count("cannot be read") == 1
        self.redis.hset(open, "state:r2", b"nonsense")
        assert "fine" not in self.page()
        self.redis.delete(open)
        self.redis.set(open, "a string")
        assert "What is 1 + 1?" in self.page()

    def test_are_shown_if_the_conversation_cannot_be_read(self):
        self.driver.begin("Who am I?")
        self.redis.hset(self.index.name, "c1", b"{")
        assert "Who am I?" in self.page()

    def test_the_list_of_indexes_counts_them(self):
        for id in ("r1", "r2"):
            self.driver.begin("q", run_id=id)
        page = self.client.get(self.url("index_changelist")).content.decode()
        assert re.search(r'<td class="field-open_runs">2</td>', page)
        self.redis.delete(opened := f"{{{self.index.name}}}:opened")
        self.redis.set(opened, "a string")
        page = self.client.get(self.url("index_changelist")).content.decode()
        assert re.search(r'<td class="field-open_runs">0</td>', page)


@each_layout
class FailingTests:
    case = AdminTestCase

    def setUp(self):
        super().setUp()
        self.driver = self.index.driver("c1", owner="7")
        self.driver.begin("Who am I?", run_id="r1")
        self.change_url = self.url("conversation_change", self.address("c1"))
        [run] = self.client.get(self.change_url).context["unfinished"]
        self.fail_url = run.fail_url

    def test_asks_for_the_reason_and_shows_the_question(self):
        page = self.client.get(self.fail_url).content.decode()
        assert "Who am I?" in page and "Reason" in page
        page = self.client.post(self.fail_url, {"reason": ""}).content.decode()
        assert "This field is required." in page
        assert self.driver.open_runs()[0].state == "waiting"

    def test_fails_it_and_notes_it(self):
        data = {"reason": "Asked by phone."}
        page = self.client.post(self.fail_url, data, follow=True).content.decode()
        assert "The answer was failed." in page and "Asked by phone." in page
        [run] = self.driver.open_runs()
        assert (run.state, run.reason) == ("failed", "Asked by phone.")
        entry = LogEntry.objects.get()
        assert entry.object_id == str(self.address("c1"))
        assert entry.get_change_message() == "Failed the answer of run r1: Asked by phone."

    def test_of_one_that_was_finished_meanwhile_says_so(self):
        self.driver.reply("r1").finish("You are Ada.")
        for send in (self.client.get, self.client.post):
            page = send(self.fail_url, {"reason": "x"}, follow=True).content.decode()
            assert "This answer was finished or given up already." in page
        assert not LogEntry.objects.exists()

    def test_needs_the_token_of_the_form(self):
        client = self.client_class(enforce_csrf_checks=True)
        client.force_login(self.root)
        assert client.post(self.fail_url, {"reason": "x"}).status_code == 403

    @override_settings(LANGUAGE_CODE="de")
    def test_is_in_german(self):
        page = self.client.get(self.fail_url, headers={"accept-language": "de"}).content.decode()
        assert "Wartet auf einen Worker" in page
