from threading import Event
from zipfile import ZipFile

from django.contrib.auth import get_user_model
from django.test import override_settings

from conversation_memory import Run
from example_project.chat import thread_pool
from example_project.chat.samples import samples

from .browser import DARK, PHONE, WITHOUT_SCRIPTS, BrowserTestCase

User = get_user_model()


class ChatTestCase(BrowserTestCase):
    def setUp(self):
        super().setUp()
        self.user = User.objects.create_user("ada", password="lovelace", first_name="Ada")
        # What still writes a reply does so before the index is wiped.
        self.addCleanup(thread_pool.close)

    def driver(self, conversation_id):
        return self.index.driver(conversation_id, owner=self.user.pk)

    def store(self, conversation_id, *runs, title=""):
        driver = self.driver(conversation_id)
        driver.store(runs)
        driver.set_title(title)
        return f"/c/{conversation_id}/"

    def sign_in(self, page):
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill("lovelace")
        page.get_by_role("button", name="Sign in").click()

    def type(self, page, text, *keys):
        """Type where the page has put the cursor, and send."""
        page.wait_for_function("document.activeElement.name === 'text'")
        page.keyboard.type(text)
        for key in keys or ["Enter"]:
            page.keyboard.press(key)


GO_ON = Event()


def speak(runs, text):
    """Say a word, and all others when the test lets it."""
    yield "Slowly "
    for word in ("and ", "at ", "last."):
        GO_ON.wait(10)
        yield word


@override_settings(CHAT_RESPONDER="tests.test_browser_chat.speak")
class StreamingTests(ChatTestCase):
    """Two tabs of one page, while GO_ON holds the reply after its first word."""

    def setUp(self):
        super().setUp()
        GO_ON.clear()
        self.addCleanup(GO_ON.set)

    def ask(self, text="Hello", **options):
        page = self.open(self.store("c1", Run("a", "b")), user=self.user, **options)
        page.get_by_label("Message").fill(text)
        page.get_by_role("button", name="Send").click()
        page.get_by_text("Slowly").last.wait_for()
        return page

    def texts(self):
        return [run.output.text for run in self.index.driver("c1").load()[0]]

    def test_words_come_without_a_reload_and_survive_one(self):
        page = self.ask()
        assert page.get_by_text("Slowly").last.text_content() == "Slowly "
        page.reload()
        page.get_by_text("Slowly").last.wait_for()
        page.evaluate("window.isTheSamePage = true")
        GO_ON.set()
        page.get_by_text("Slowly and at last.").wait_for()
        page.locator("conversation-reply[state=finished]").wait_for()
        assert page.evaluate("window.isTheSamePage")
        assert self.texts() == ["b", "Slowly and at last."]

    def test_two_tabs_show_the_same(self):
        page = self.ask()
        other = page.context.new_page()
        other.goto("/c/c1/")
        other.get_by_text("Slowly").last.wait_for()
        GO_ON.set()
        for tab in (page, other):
            tab.get_by_text("Slowly and at last.").wait_for()
            tab.locator("conversation-reply[state=finished]").wait_for()

    def test_stop_keeps_what_was_said(self):
        for options in ({}, PHONE):
            with self.subTest(**options):
                page = self.ask(**options)
                page.get_by_role("button", name="Stop").click()
                page.get_by_text("You stopped this reply.").wait_for()
                assert page.get_by_text("Slowly").last.is_visible()
                assert self.texts() == ["b", "Slowly "]
                GO_ON.set()
                thread_pool.close()
                GO_ON.clear()
                assert self.texts() == ["b", "Slowly "]

    def test_stop_works_without_scripts(self):
        page = self.open(self.store("c1", Run("a", "b")), user=self.user, **WITHOUT_SCRIPTS)
        page.get_by_label("Message").fill("Hello")
        page.get_by_role("button", name="Send").click()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("You stopped this reply.").wait_for()

    @override_settings(CHAT_RESPONDER="tests.test_example_responders.refuse")
    def test_a_failure_is_shown_and_tried_again(self):
        page = self.open(self.store("c1", Run("a", "b")), user=self.user)
        page.get_by_label("Message").fill("Hello")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("The model is on holiday.").wait_for()
        with self.settings(CHAT_RESPONDER="tests.test_example_responders.echo"):
            page.get_by_role("button", name="Try again").click()
            page.get_by_text("Hello!").wait_for()
        assert page.get_by_role("button", name="Try again").count() == 0

    def test_the_page_is_accessible_while_a_reply_is_written(self):
        for options in ({}, DARK, {**PHONE, **DARK}):
            with self.subTest(**options):
                GO_ON.clear()
                page = self.ask(**options)
                violations = self.violations(page)
                assert not violations, violations
                assert not self.is_wider_than_screen(page)
                GO_ON.set()
                page.locator("conversation-reply[state=finished]").wait_for()

    def test_the_page_follows_a_long_reply_unless_the_reader_has_scrolled_up(self):
        def bottom(page):
            return page.evaluate("document.documentElement.scrollHeight - innerHeight - scrollY")

        with self.settings(CHAT_RESPONDER="tests.test_browser_chat.speak_long"):
            page = self.ask()
            page.wait_for_function("scrollY > 0 || document.body.scrollHeight > innerHeight")
            assert bottom(page) < 60
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_function("scrollY == 0")
            GO_ON.set()
            page.get_by_text("The end.").wait_for()
            assert page.evaluate("scrollY") == 0


def speak_long(runs, text):
    yield "Slowly " + "line\n" * 60
    GO_ON.wait(10)
    yield "line\n" * 30 + "The end."


class JourneyTests(ChatTestCase):
    @override_settings(CHAT_THINKING_SECONDS=0.7)
    def test_a_reply_appears_without_a_reload(self):
        page = self.open()
        self.sign_in(page)
        page.get_by_role("link", name="New conversation").click()
        self.type(page, "My name is Ada")
        page.get_by_text("Writing a reply").wait_for()
        page.evaluate("window.isTheSamePage = true")
        page.get_by_text("Pleased to meet you, Ada.").wait_for()
        assert page.evaluate("window.isTheSamePage")
        self.type(page, "What is my name?")
        page.get_by_text("Your name is Ada.").wait_for()
        assert page.title() == "My name is Ada – Keepsake"

    @override_settings(CHAT_THINKING_SECONDS=0.7)
    def test_everything_works_without_scripts(self):
        page = self.open(**WITHOUT_SCRIPTS)
        self.sign_in(page)
        page.get_by_role("link", name="New conversation").click()
        page.get_by_label("Message").fill("Ich heiße Jörg")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("Writing a reply").wait_for()
        page.get_by_text("Schön, dich kennenzulernen, Jörg.").wait_for()
        page.get_by_role("link", name="Rename").click()
        page.get_by_label("Title").fill("Namen")
        page.get_by_role("button", name="Save").click()
        assert page.get_by_role("heading", level=1).inner_text() == "Namen"
        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("No conversations yet").wait_for()

    def test_shift_and_enter_start_a_new_line(self):
        page = self.open("/new/", user=self.user)
        self.type(page, "a", "Shift+Enter", "b")
        assert page.get_by_label("Message").input_value() == "a\nb"

    def test_the_keyboard_reaches_the_content_first(self):
        page = self.open(self.store("c1", Run("a", "b")), user=self.user)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Rename"

    @override_settings(CHAT_THINKING_SECONDS=0.7)
    def test_the_reply_is_announced(self):
        page = self.open("/new/", user=self.user)
        self.type(page, "Hello")
        page.get_by_text("Writing a reply").wait_for()
        live = page.locator("[aria-live=polite]")
        live.get_by_text("What is on your mind?").wait_for()

    def test_a_long_message_is_folded(self):
        page = self.open(self.store("c1", Run("start " + "word " * 1000, "b")), user=self.user)
        message = page.get_by_text("start word")
        height = message.evaluate("e => e.closest('.message').clientHeight")
        page.get_by_text("Show more").click()
        unfolded = message.evaluate("e => e.closest('.message').clientHeight")
        assert height < 320 < unfolded
        page.get_by_text("Show less").click()
        assert message.evaluate("e => e.closest('.message').clientHeight") == height

    def test_what_is_pasted_is_not_cut(self):
        page = self.open("/new/", user=self.user)
        page.get_by_label("Message").fill("x" * 100_001)
        page.get_by_role("button", name="Send").click()
        page.get_by_text("Shorten it to 100,000").wait_for()
        assert len(page.get_by_label("Message").input_value()) == 100_001

    def test_a_conversation_opens_at_its_end(self):
        self.store("c1", *(Run(f"question {n}.", f"answer {n}.") for n in range(60)), title="Long")
        page = self.open(user=self.user)
        page.get_by_role("link", name="Long").click()
        answer = page.get_by_text("answer 59.")
        answer.wait_for()
        assert answer.evaluate("e => e.getBoundingClientRect().bottom < innerHeight")
        page.get_by_role("link", name="Earlier messages").click()
        page.get_by_text("answer 19.").wait_for()

    def test_what_is_right_to_left_starts_at_the_right(self):
        page = self.open(self.store("c1", Run("a", "مرحبا بك في هذا المكان")), user=self.user)
        answer = page.get_by_text("مرحبا بك")
        assert answer.evaluate("e => getComputedStyle(e).textAlign") == "start"
        assert answer.evaluate("e => e.closest('[dir=auto]').matches(':dir(rtl)')")

    def test_all_of_ones_own_data_is_taken_along(self):
        self.store("c1", Run("a", "b"))
        page = self.open("/data/", user=self.user)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        with ZipFile(download.value.path()) as archive:
            assert b"1 conversation" in archive.read("index.html")

    def test_what_a_tool_said_is_unfolded(self):
        [sample] = [one for one in samples() if one.conversation_id == "sample-orbit"]
        page = self.open(self.store("sample-orbit", *sample.runs), user=self.user)
        page.get_by_text("Tool almanac").click()
        page.get_by_text("no data for this orbit").wait_for()
        page.get_by_text("Tool calculate").click()
        page.get_by_text("15.584").wait_for()
        assert not (found := self.violations(page)), found

    def test_the_admin_keeps_the_policy(self):
        page = self.open("/admin/", user=User.objects.create_superuser("root"))
        page.get_by_role("link", name="Users").first.click()
        page.get_by_role("link", name="ada").click()
        page.get_by_label("First name").wait_for()


class LooksTests(ChatTestCase):
    def setUp(self):
        super().setUp()
        for sample in samples():
            if sample.owner == "ada":
                self.store(sample.conversation_id, *sample.runs, title=sample.title)
        self.store("waiting", Run("Hello", "x" * 500), title="z" * 90)
        self.driver("waiting").begin("y" * 500)
        refused = Run("a", {"type": "ErrorArtifact", "value": "No."}, {"status": "failed"})
        self.store("long", Run("word " * 2000, "b"), title="It is long")
        self.store("failed", refused, title="It failed")

    def check(self, **options):
        page = self.open("/login/", **options)
        self.check_page(page)
        self.sign_in(page)
        for path in (
            "/",
            "/new/",
            "/search/?q=the",
            "/search/?q=lisbon",
            "/search/?q=nosuchword",
            "/c/long/",
            "/c/sample-errors/",
            "/c/sample-code/",
            "/c/sample-lighthouse/",
            "/c/sample-arabic/",
            "/c/waiting/",
            "/c/failed/",
            "/c/waiting/rename/",
            "/c/waiting/delete/",
            "/nothing/",
        ):
            page.goto(path)
            self.check_page(page)
        with self.settings(REDIS={"default": {"URL": "redis://127.0.0.1:1"}}):
            with self.assertLogs("example_project", "ERROR"):
                page.goto("/")
            self.check_page(page)

    def check_page(self, page):
        with self.subTest(page.url):
            assert not self.is_wider_than_screen(page)
            violations = self.violations(page)
            assert not violations, violations

    def test_on_a_desk(self):
        self.check()

    def test_in_the_dark(self):
        self.check(**DARK)

    def test_on_a_small_phone(self):
        self.check(**PHONE)

    def test_on_a_small_phone_in_the_dark(self):
        self.check(**PHONE, **DARK)

    def test_dark_is_dark(self):
        page = self.open("/login/", **DARK)
        background = "getComputedStyle(document.documentElement).backgroundColor"
        assert page.evaluate(background) == "rgb(25, 24, 21)"

    def test_nothing_moves_for_those_who_asked_for_it(self):
        page = self.open("/c/waiting/", user=self.user, reduced_motion="reduce")
        page.wait_for_timeout(100)
        assert page.evaluate("document.getAnimations().length") == 0
