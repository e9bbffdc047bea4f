from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zipfile import ZipFile

import django
from django.contrib.auth import get_user_model

from conversation_memory import Artifact, Run
from example_project.chat.samples import samples

from .admin import AdminMixin
from .browser import DARK, PHONE, WITHOUT_SCRIPTS, BrowserTestCase
from .test_messages import calling, result

User = get_user_model()
DESK = {"viewport": {"width": 1280, "height": 900}}


class AdminBrowserTestCase(BrowserTestCase):
    address, url = AdminMixin.address, AdminMixin.url

    def setUp(self):
        super().setUp()
        self.root = User.objects.create_superuser("root", password="word")

    def store(self, conversation_id, *runs, title="", **options):
        driver = self.index.driver(conversation_id, **options)
        driver.store(runs, {"topic": "lamps"})
        driver.set_title(title)

    def page_of(self, conversation_id, **options):
        url = self.url("conversation_change", self.address(conversation_id))
        return self.open(url, user=self.root, **options)

    def choose(self, page, action):
        page.locator("select[name=action]").select_option(action)
        page.locator("button[name=index]").first.click()


class JourneyTests(AdminBrowserTestCase):
    def test_from_signing_in_to_the_restored_conversation(self):
        for n in range(120):
            self.store(f"c{n}", Run("q", "a"))
        runs = [Run(f"question {n}.", f"answer {n}.") for n in range(120)]
        self.store("lamp", *runs, title="A broken lamp")
        page = self.open("/admin/")
        page.get_by_label("Username").fill("root")
        page.get_by_label("Password").fill("word")
        page.get_by_role("button", name="Log in").click()

        page.get_by_role("link", name="Indexes").first.click()
        page.locator("#result_list").get_by_role("link").first.click()
        page.locator("#searchbar").fill("lamp")
        page.get_by_role("button", name="Search").click()
        page.get_by_text("but not messages: this index has no search").wait_for()
        page.get_by_role("link", name="A broken lamp").click()
        page.get_by_text("answer 119.").wait_for()
        page.get_by_role("link", name="Earlier").first.click()
        page.get_by_text("answer 69.").wait_for()
        page.go_back()
        page.go_back()

        page.get_by_role("checkbox", name="A broken lamp").check()
        with page.expect_download() as download:
            self.choose(page, "export_selected")
        archive = str(download.value.path())
        self.choose(page, "delete_selected")
        page.get_by_text("Are you sure you want to delete").wait_for()
        page.get_by_role("button", name="Yes, I’m sure").click()
        page.get_by_text("Successfully deleted 1 conversation").wait_for()
        assert not self.index.driver("lamp").exists()
        page.goto(self.url("conversation_history", self.address("c1")))
        page.goto("/admin/")
        page.get_by_text("A broken lamp").wait_for()  # among the recent actions

        page.goto(self.url("conversation_restore", self.address()))
        page.locator("input[type=file]").set_input_files(archive)
        page.get_by_role("button", name="Preview").click()
        page.get_by_role("row", name="1 new: restored lamp").wait_for()
        page.get_by_role("button", name="Restore", exact=True).click()
        page.get_by_text("1 new, 0 replaced").wait_for()
        assert len(self.index.driver("lamp").load()[0]) == 120

    def test_a_search_hit_is_scrolled_to(self):
        runs = [Run(f"question {n}.", "word\n\n" * 20 + f"answer {n}.") for n in range(60)]
        self.store("c1", *runs)
        url = self.url("conversation_change", self.address("c1"))
        page = self.open(f"{url}?q=answer+31#hit", user=self.root, **DESK)
        page.locator(".cm-hit mark", has_text="31").first.wait_for()
        assert page.evaluate("scrollY") > 500

    def test_a_run_is_removed_and_the_title_changed_without_scripts_and_by_keyboard(self):
        self.store("c1", Run("first", "a", id="r1"), Run("second", "b", id="r2"))
        page = self.page_of("c1", **WITHOUT_SCRIPTS)
        page.get_by_role("link", name="Remove run 1").focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Yes, I’m sure").focus()
        page.keyboard.press("Enter")
        page.get_by_text("The run was removed.").wait_for()
        assert [run.id for run in self.index.driver("c1").load()[0]] == ["r2"]
        self.index.driver("c1").begin("third")
        page.reload()
        page.get_by_role("link", name="Fail the answer of run").click()
        page.get_by_label("Reason").fill("Asked by phone.")
        page.get_by_label("Reason").press("Enter")
        page.get_by_text("The answer was failed.").wait_for()
        page.locator("#id_title").fill("Lamps")
        page.locator("#id_title").press("Enter")
        page.get_by_text("was changed successfully").wait_for()
        assert self.index.driver("c1").record().title == "Lamps"

    def test_an_owner_is_found_by_name_and_all_that_they_have_is_one_click_away(self):
        ada = User.objects.create_user("ada", first_name="Ada", last_name="Lovelace")
        for n in range(3):
            self.store(f"c{n}", Run("q", "a"), title=f"Number {n}", owner=ada.pk)
        self.store("other", Run("q", "a"), owner="guest")
        page = self.open(self.url("conversation_changelist"), user=self.root, **DESK)
        page.get_by_label("Owner or name").fill("lovelace")
        page.get_by_label("Owner or name").press("Enter")
        page.get_by_text("3 conversations").first.wait_for()
        page.get_by_role("link", name="Number 1").click()
        page.get_by_role("link", name="Ada Lovelace").wait_for()
        page.get_by_role("link", name="3 conversations").click()
        page.get_by_text("3 results").wait_for()
        page.go_back()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download all data of this owner").click()
        with ZipFile(download.value.path()) as archive:
            assert len(archive.namelist()) == 8
        page.go_forward()
        page.get_by_role("link", name="Last write").click()
        page.locator("#result_list tbody tr").first.get_by_text("Number 0").wait_for()
        page.get_by_role("link", name="Ada Lovelace").first.click()
        assert page.url.endswith(f"/auth/user/{ada.pk}/change/")

    def test_many_are_tagged_at_once_and_errors_filtered(self):
        failed = Artifact("Too many requests", type="ErrorArtifact")
        for n in range(3):
            self.store(f"c{n}", Run("q", failed if n else "a"), title=f"Number {n}")
        page = self.open(self.url("conversation_changelist"), user=self.root, **DESK)
        page.get_by_role("link", name="With an error").click()
        page.get_by_text("2 results").wait_for()
        page.locator("#action-toggle").check()
        self.choose(page, "add_tag")
        page.get_by_label("Tag").fill("quota")
        page.get_by_role("button", name="Add a tag").click()
        page.get_by_text("2 conversations were changed.").wait_for()
        assert self.index.driver("c2").read().metadata["tags"] == ["quota"]

    def test_many_get_another_owner_and_then_an_expiry(self):
        for n in range(3):
            self.store(f"c{n}", Run("q", "a"), title=f"Number {n}", owner="guest")
        page = self.open(self.url("conversation_changelist"), user=self.root, **DESK)
        for n in (0, 2):
            page.get_by_role("checkbox", name=f"Number {n}").check()
        self.choose(page, "set_owner")
        page.get_by_text("2 conversations are selected").wait_for()
        page.get_by_label("Owner").fill(str(self.root.pk))
        page.get_by_role("button", name="Set the owner").click()
        page.get_by_text("2 conversations were changed.").wait_for()
        owners = [self.index.driver(f"c{n}").record().owner for n in range(3)]
        assert owners == [str(self.root.pk), "guest", str(self.root.pk)]

        page.locator("#action-toggle").check()
        self.choose(page, "set_expiry")
        page.get_by_label("Expires").fill("2020-01-01T00:00")
        page.get_by_role("button", name="Set the expiry").click()
        page.get_by_text("Enter a time in the future.").wait_for()
        page.get_by_label("Expires").fill(f"{datetime.now():%Y}-12-31T23:59".replace("20", "21", 1))
        page.get_by_role("button", name="Set the expiry").click()
        page.get_by_text("3 conversations were changed.").wait_for()
        assert all(self.index.driver(f"c{n}").record().expires.year > 2100 for n in range(3))

    def test_a_range_of_days_and_what_users_thought_narrow_the_list(self):
        good, bad = {"feedback": "up"}, {"feedback": {"rating": "down", "comment": "Wrong."}}
        for id, meta in (("good", good), ("bad", bad), ("none", None)):
            self.store(id, Run("q", "a", meta), title=f"A {id} one")
        page = self.open(self.url("conversation_changelist"), user=self.root, **DESK)
        for name, title in (("Rated up", "good"), ("Rated down", "bad"), ("With a comment", "bad")):
            page.get_by_role("link", name=name).click()
            page.get_by_text("1 result").wait_for()
            page.get_by_role("link", name=f"A {title} one").wait_for()
        page.get_by_role("link", name=f"A {title} one").click()
        page.get_by_text("Rated down").wait_for()
        page.goto(self.url("conversation_changelist"))
        today = datetime.now(UTC).date()
        page.get_by_label("First day").fill(str(today - timedelta(days=1)))
        page.get_by_label("Last day").fill(str(today + timedelta(days=1)))
        page.get_by_role("button", name="Filter").last.click()
        page.get_by_text("3 results").wait_for()
        page.get_by_label("Last day").fill(str(today - timedelta(days=1)))
        page.get_by_role("button", name="Filter").last.click()
        page.get_by_text("0 results").wait_for()

    def test_a_search_opens_the_tool_call_that_it_is_found_in(self):
        chat = [calling("1"), {**result("1", "A harbour."), "is_error": True}]
        self.store("c1", Run("q", "a", {"messages": chat}))
        url = self.url("conversation_change", self.address("c1"))
        page = self.open(f"{url}?q=harbour#hit", user=self.root, **DESK)
        page.locator(".cm-step mark", has_text="harbour").wait_for()
        page.locator(".cm-failed").wait_for()

    def test_a_long_message_is_unfolded_and_what_is_needed_copied(self):
        self.store("c1", Run("Why?", "Because. " * 900, {"usage": {"input_tokens": 7}}, id="r1"))
        page = self.page_of("c1", permissions=["clipboard-read", "clipboard-write"], **DESK)
        page.get_by_text("7 tokens in").first.wait_for()
        folded = page.locator(".cm-folded")
        before = folded.bounding_box()["height"]
        page.get_by_text("Show more").click()
        assert folded.bounding_box()["height"] > before + 100
        page.get_by_role("button", name="Copy: Input").click()
        page.get_by_text("Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "Why?"
        page.get_by_role("button", name="Copy link to run 1").click()
        link = page.evaluate("navigator.clipboard.readText()")
        assert "?run=r1#run-" in link
        page.goto(link)
        page.locator(".cm-run:target").wait_for()

    def test_the_usage_of_an_index_is_plotted(self):
        meta = {"model": "m-1", "usage": {"input_tokens": 90, "output_tokens": 10}}
        self.store("c1", Run("q", "a", meta), owner="guest")
        page = self.open(self.url("conversation_changelist"), user=self.root, **DESK)
        page.get_by_role("link", name="Usage").click()
        page.get_by_text("90 tokens in").wait_for()
        page.locator("svg.cm-bars").first.wait_for()
        page.get_by_role("link", name="guest").click()
        page.get_by_text("1 result").wait_for()

    def test_times_are_visible_on_a_desk_and_title_time_and_owner_on_a_phone(self):
        self.store("f" * 32, Run("q", "word " * 40), title="A lamp " * 20, owner="o" * 32)
        self.index.driver("f" * 32).expire(10_000)
        url = self.url("conversation_changelist")
        page = self.open(url, user=self.root, viewport={"width": 1400, "height": 900})
        for name in ("shown_title", "updated_ago", "expires_in", "shown_owner", "last_words"):
            assert self.is_in_view(page, name), name
        page = self.open(url, user=self.root, **PHONE)
        for name in ("shown_title", "updated_ago", "shown_owner"):
            assert self.is_in_view(page, name), name
        assert not page.locator("td.field-last_words").is_visible()

    def is_in_view(self, page, column):
        """True if the column is neither hidden nor cut off by the table that scrolls."""
        cell = page.locator(f".field-{column}").first.bounding_box()
        table = page.locator(".results").bounding_box()
        return cell and cell["x"] + cell["width"] <= table["x"] + table["width"] + 1

    def test_nothing_stored_runs(self):
        nasty = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
        svg = Artifact(nasty.encode(), type="ImageArtifact", format="svg+xml", name=nasty)
        self.store(nasty, Run(nasty, nasty), Run(nasty, svg), title=nasty, owner=nasty)
        page = self.page_of(nasty)
        assert page.title() != "ran"
        page.goto(self.url("conversation_changelist"))
        page.get_by_role("link", name="<script>").first.wait_for()
        assert page.title() != "ran"


class LooksTests(AdminBrowserTestCase):
    def setUp(self):
        super().setUp()
        for sample in samples():
            if sample.conversation_id in ("sample-orbit", "sample-errors", "sample-lighthouse"):
                self.store(sample.conversation_id, *sample.runs, title=sample.title, owner="1")
        self.put("damaged", b'{"runs": [')
        tools = [
            {**calling("1", name="n" * 300), "content": "Hm. " * 99, "reasoning": "word " * 99},
            {**result("1", "x" * 5000), "is_error": True},
            {"role": "assistant", "content": "Done."},
        ]
        feedback = {"rating": "down", "comment": "No " * 200}
        meta = {"model": "m", "cost": 0.5, "feedback": feedback, "messages": tools}
        self.store("facts", Run("Why? " * 900, "word\n\n" * 90, meta), owner=str(self.root.pk))
        driver = self.index.driver("open", owner="1")
        driver.append(Run("What is 1 + 1?", "2"))
        driver.begin("Where is the lamp?", run_id="r1").claim().write("In the " + "tower " * 30)
        driver.begin("x" * 500, run_id="y" * 300)
        driver.fail("y" * 300, "The model is overloaded. " * 20)
        self.open_tag = sha256(b"r1").hexdigest()[:32]
        self.store("wide", Run("x" * 5000, "y" * 5000), title="z" * 900, owner="o" * 500)

    def check(self, **options):
        page = self.open("/admin/", user=self.root, **options)
        # Django 5.2 marks some of its own links by their colour only.
        theirs = [".breadcrumbs", "#changelist-search"] if django.VERSION < (6,) else []
        views = [
            self.url("index_changelist"),
            self.url("conversation_changelist"),
            *(
                self.url("conversation_change", self.address(id))
                for id in ("sample-orbit", "sample-errors", "sample-lighthouse", "damaged", "wide")
            ),
            self.url("conversation_delete", self.address("wide")),
            self.url("conversation_usage", self.address()),
            self.url("conversation_changelist") + "?q=a",
            self.url("conversation_changelist") + "?named=nobody&since=2026-01-01&o=-7",
            self.url("conversation_change", self.address("facts")),
            self.url("conversation_erase", self.address()),
            self.url("conversation_erase", self.address()) + "?owner=1",
            self.url("conversation_change", self.address("open")),
            self.url("conversation_fail", self.address("open"), self.open_tag),
        ]
        for url in views:
            page.goto(url)
            page.evaluate("document.querySelectorAll('.cm-step').forEach(it => it.open = true)")
            with self.subTest(url):
                assert not self.is_wider_than_screen(page)
                found = self.violations(page, outside=theirs)
                assert not found, found

    def tearDown(self):
        # axe-core tries to apply styles of its own, which the policy forbids.
        self.complaints = [c for c in self.complaints if "inline style" not in c]
        self.complaints = [c for c in self.complaints if "preload assets" not in c]
        super().tearDown()

    def test_on_a_desk(self):
        self.check(**DESK)

    def test_in_the_dark(self):
        self.check(**DESK, **DARK)

    def test_on_a_phone(self):
        self.check(**PHONE)
