"""Every write whose answer is lost: it is sent again, made once, and answered truthfully."""

from urllib.parse import urlsplit

from django.conf import settings

from conversation_memory import Run, Selection, indexes

from .archives import dumped, restored
from .servers import LossyProxy
from .utils import RedisTestCase, alternating, both, each_layout

LONG = "x" * 140_000  # a document that no script changes

EXCHANGE = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]
CALLING = [EXCHANGE[0], {"role": "assistant", "tool_calls": [{"id": "t"}]}]
RESULT = [{"role": "tool", "tool_call_id": "t", "content": "There."}, EXCHANGE[1]]


def run(id, text="text"):
    return Run(f"{text} {id}", "an answer", id=str(id))


def without_id(run):
    return {key: value for key, value in run.to_dict().items() if key != "id"}


def fork(driver, *args, **options):
    return driver.fork("fork", *args, **options).conversation_id


def is_newest(driver, revision):
    """Whether a revision that a write returned is the one that a reader gets."""
    return driver.read().revision == revision


# What a write is called: the write, with an index and with the driver of a conversation "c" of five
# runs, which belongs to ann as "d" does; and what it answers.
WRITES = {
    "append": (lambda index, c: c.append(run(5), run(6)), 2),
    "append what is there in part": (lambda index, c: c.append(run(4), run(5)), 1),
    "append many": (lambda index, c: c.append(*map(run, range(5, 105))), 100),
    "append without an id": (
        lambda index, c: c.append(without_id(run(1))),
        1,
    ),
    "begin": (lambda index, c: index.driver("new", owner="ann").append(run(1)), 1),
    "append much": (lambda index, c: c.append(run(5, LONG)), 1),
    "append messages": (lambda index, c: c.append_messages(EXCHANGE, ids=["m"]), ["m"]),
    "begin with messages": (lambda index, c: c.append_messages(EXCHANGE[:1], ids=["m"]), ["m"]),
    "continue with messages": (
        lambda index, c: [c.append_messages(some, ids=["m"]) for some in (CALLING, RESULT)],
        [["m"], ["m"]],
    ),
    "finish with messages": (
        lambda index, c: [c.append_messages([message], ids=["m"]) for message in EXCHANGE],
        [["m"], ["m"]],
    ),
    "store": (lambda index, c: is_newest(c, c.store([run(7), run(4)], {"b": 2})), True),
    "store more": (lambda index, c: is_newest(c, c.store(map_runs(7), {"a": 1})), True),
    "store a revision": (
        lambda index, c: is_newest(c, c.store([run(7)], revision=c.read().revision)),
        True,
    ),
    "update_metadata": (lambda index, c: c.update_metadata({"b": 2}), {"a": 1, "b": 2}),
    "edit": (lambda index, c: c.edit(run(2, "other")), None),
    "remove": (lambda index, c: c.remove("2"), None),
    "truncate": (lambda index, c: c.truncate(after="2"), None),
    "fork": (lambda index, c: fork(c), "fork"),
    "fork in part": (lambda index, c: fork(c, until="1"), "fork"),
    "rename": (lambda index, c: c.rename("renamed"), None),
    "move_to": (lambda index, c: c.move_to("bob"), None),
    "move_to nobody": (lambda index, c: c.move_to(None), None),
    "set_title": (lambda index, c: c.set_title("a title"), None),
    "expire": (lambda index, c: c.expire(10_000), None),
    "persist": (lambda index, c: c.persist(), None),
    "delete": (lambda index, c: c.delete(), True),
    "delete by the index": (lambda index, c: index.delete("c", "d", "absent"), 2),
    "prune": (lambda index, c: index.prune(Selection(owner="ann")).conversations, 2),
    "erase": (lambda index, c: index.erase(owner="ann").conversations, 2),
    "anonymise": (lambda index, c: index.anonymise(owner="ann"), 2),
    "adopt": (lambda index, c: index.adopt(), 1),
    "begin a reply": (lambda index, c: c.begin("Why?", run_id="n").run_id, "n"),
    "claim a reply": (lambda index, c: c.reply("waiting").run_id, "waiting"),
    "cancel a reply": (lambda index, c: c.cancel("claimed"), True),
    "cancel a question": (lambda index, c: c.cancel("waiting"), True),
    "fail a reply": (lambda index, c: c.fail("claimed", "Stopped."), True),
    "discard a reply": (lambda index, c: c.discard("claimed"), True),
    "reply": (lambda index, c: said(c.reply("waiting")), "one two three"),
}


def said(reply):
    """Write and finish a reply."""
    for word in ("one", " two", " three"):
        reply.write(word)
        reply.flush()
    return reply.finish().output.text


def open_runs(driver):
    """Let a conversation have a reply that is being written, and one that waits."""
    driver.begin("Why?", run_id="waiting")
    driver.begin("Why?", run_id="claimed")
    driver.reply("claimed").write("half")


def map_runs(count):
    return [run(number) for number in range(count)]


@each_layout
class LostAnswerTests:
    writes = WRITES

    def setUp(self):
        super().setUp()
        self.proxy = LossyProxy(urlsplit(settings.REDIS_URL).port)
        self.addCleanup(self.proxy.close)
        entry = {**settings.REDIS["default"], "URL": self.proxy.url}
        self.enterContext(self.settings(REDIS={**settings.REDIS, "lossy": entry}))

    def prepare(self):
        """Two conversations of ann, and one that a stock driver wrote."""
        self.wipe()
        for id in ("c", "d"):
            driver = self.index.driver(id, owner="ann")
            driver.append(*map_runs(5))
            driver.update_metadata({"a": 1})
        open_runs(self.index.driver("c"))
        document = b'{"runs": [], "metadata": {}}'
        self.put("stock", document)

    def state(self):
        """All that a reader sees, but for times, versions and the ids of runs that had none."""
        found = {}
        for id in sorted({*self.index}):
            conversation = self.index.inspect(id)
            record = conversation.record
            texts = [run.input.text for run in conversation.runs]
            facts = (record.owner, record.title, record.runs, record.expires is None)
            states = [(run.run_id, run.state) for run in self.index.driver(id).open_runs()]
            found[id] = (texts, conversation.metadata, facts, sorted(states))
        owners = {owner: self.listed(owner) for owner in (None, "ann", "bob")}
        return found, owners, self.redis.zcard(f"{{{self.index.name}}}:expiry")

    def listed(self, owner):
        return sorted(record.conversation_id for record in self.index.recent(owner=owner))

    def undisturbed(self, lossy, write, number=None):
        """Answer and state of a write, with the answer to the exchange `number` lost."""
        self.prepare()
        driver = lossy.driver("c", owner="ann")
        self.proxy.lose(number)
        answer = write(lossy, driver)
        assert self.proxy.lost is None
        return answer, self.proxy.exchanges, self.state()

    def lossy(self, index):
        through = indexes["lossy"]
        return type(index)(through, index.run) if index is not self.index else through

    def test_is_made_once_and_answered_truthfully(self):
        with alternating(indexes["lossy"]) as ways:
            for name, (write, expected) in self.writes.items():
                exchanges = self.exchanges(next(ways), write)
                answer, _, state = self.undisturbed(next(ways), write)
                assert answer == expected, name
                for number in range(exchanges):
                    with self.subTest(write=name, lost=number):
                        found, _, after = self.undisturbed(next(ways), write, number)
                        assert (found, after) == (answer, state)

    @both
    def test_takes_nothing_from_who_writes_in_between(self, index):
        other = self.index.driver("c")

        for name in ("append", "append many", "edit", "remove", "truncate", "rename", "delete"):
            write, _ = WRITES[name]
            lossy = self.lossy(index)
            with self.subTest(write=name):
                number = self.exchanges(lossy, write) - 1
                self.prepare()
                self.proxy.lose(number, between=lambda: other.append(run("other")))
                write(lossy, lossy.driver("c", owner="ann"))
                runs = [it.id for id in {*self.index} for it in self.index.inspect(id).runs]
                assert runs.count("other") >= 1

    def exchanges(self, lossy, write):
        """How many there are once the server knows the scripts."""
        self.undisturbed(lossy, write)
        return self.undisturbed(lossy, write)[1]

    @both
    def test_an_append_does_not_begin_anew_what_was_renamed_or_deleted(self, index):
        lossy = self.lossy(index)
        for change in (
            lambda: self.index.driver("new").rename("moved"),
            lambda: self.index.driver("new").delete(),
        ):
            write, _ = WRITES["begin"]
            exchanges = self.exchanges(lossy, write)
            self.prepare()
            self.proxy.lose(exchanges - 1, between=change)
            assert write(lossy, None) == 1
            assert "new" not in {*self.index}

    def test_a_restore(self):
        self.prepare()
        archive = dumped(self.index)
        for options in ({"on_conflict": "fail"}, {"on_conflict": "replace"}):

            def restore(number, options=options):
                self.prepare()
                if options["on_conflict"] == "fail":
                    self.wipe()
                else:
                    self.index.driver("c").append(run("other"))
                self.proxy.lose(number)
                counts = restored(indexes["lossy"], archive, **options)
                assert self.proxy.lost is None
                return counts, self.state()

            restore(None)
            expected, exchanges = restore(None), self.proxy.exchanges
            for number in range(exchanges):
                with self.subTest(lost=number, **options):
                    assert restore(number) == expected

    @both
    def test_a_conversion(self, index):
        layout = settings.REDIS["default"]["LAYOUT"]
        other = {"list": "hash", "hash": "list"}[layout]
        entries = {
            **settings.REDIS,
            "lossy": {**settings.REDIS["lossy"], "LAYOUT": other},
        }
        with self.settings(REDIS=entries):
            lossy = self.lossy(index)
            self.undisturbed(lossy, lambda index, c: index.convert())
            expected = self.undisturbed(lossy, lambda index, c: index.convert())
            assert expected[0].converted == (3 if other == "list" else 2)
            for number in range(expected[1]):
                with self.subTest(lost=number):
                    found = self.undisturbed(lossy, lambda index, c: index.convert(), number)
                    assert (found[0], found[2]) == (expected[0], expected[2])


@each_layout
class RepeatedAppendTests:
    """An append that was not confirmed may be repeated by whoever made it, for an hour."""

    @both
    def test_of_many_runs(self, index):
        runs = map_runs(100)
        assert index.driver("c").append(*runs) == 100
        assert index.driver("c").append(*runs) == 0
        assert len(index.driver("c").load()[0]) == 100

    @both
    def test_behind_many_other_appends(self, index):
        driver = index.driver("c")
        driver.append(run("first"))
        for number in range(60):
            driver.append(run(number))
        assert driver.append(run("first")) == 0
        assert driver.append(run("first"), run("last")) == 1

    @both
    def test_what_was_taken_out_may_come_again(self, index):
        driver = index.driver("c")
        driver.append(*map_runs(6))
        driver.remove("1")
        driver.truncate(after="4")
        driver.store([r for r in driver.load()[0] if r.id != "2"])
        assert driver.append(run(1), run(5), run(2), run(0)) == 3
        assert [r.id for r in driver.load()[0]] == ["0", "3", "4", "1", "5", "2"]

    @both
    def test_after_another_layout_and_another_id(self, index):
        driver = index.driver("c")
        driver.append(*map_runs(40))
        other = {"list": "hash", "hash": "list"}[settings.REDIS["default"]["LAYOUT"]]
        entry = {**settings.REDIS["default"], "LAYOUT": other}
        with self.settings(REDIS={"default": entry}):
            indexes["default"].convert()
            indexes["default"].driver("c").rename("d")
            assert indexes["default"].driver("d").append(run(0), run("new")) == 1

    def test_the_ids_pass(self):
        self.index.driver("c").append(run(1))
        key = f"{{{self.index.name}}}:ids:c"
        if settings.REDIS["default"]["LAYOUT"] == "list":
            assert 3500 < self.redis.ttl(key) <= 3600
        else:
            assert not self.redis.exists(key)


class LongDocumentTests(RedisTestCase):
    """A document that is too long for a digest at each write."""

    def overwrite(self, id="c"):
        """Write as many bytes as were there, as a stock driver does."""
        self.put(id, self.stored(id).replace(b"text first", b"text FIRST"))

    def write_in_between(self, index, write):
        from conversation_memory.layouts.base import Layout

        original, done = Layout._write, []

        def write_over(layout, ref, *args, **options):
            if not done and ref.id == b"c":
                done.append(True)
                self.overwrite()
            return original(layout, ref, *args, **options)

        Layout._write = write_over
        try:
            write(index.driver("c"))
        finally:
            Layout._write = original

    @both
    def test_what_a_stock_driver_writes_in_the_round_trip_of_an_append_stays(self, index):
        for before in (lambda: None, self.overwrite, lambda: self.index.driver("c").expire(9000)):
            self.wipe()
            self.index.driver("c").append(run("first"), run("second", LONG))
            before()
            if before == self.overwrite:
                self.put("c", self.stored("c").replace(b"text FIRST", b"text first"))
            self.write_in_between(index, lambda driver: driver.append(run("third")))
            texts = [r.input.text for r in index.driver("c").load()[0]]
            assert (texts[0], texts[-1]) == ("text FIRST", "text third")

    @both
    def test_a_new_time_does_not_hide_it(self, index):
        self.index.driver("c").append(run("first"), run("second", LONG))
        seen = self.index.driver("c").read()
        self.overwrite()
        index.driver("c").expire(9000)
        self.write_in_between(index, lambda driver: driver.append(run("third")))
        assert [r.id for r in index.driver("c").load()[0]] == ["first", "second", "third"]
        assert self.index.driver("c").read().revision != seen.revision

    @both
    def test_is_not_held_for_one_that_expires(self, index):
        index.driver("c").append(run("first"), run("second", LONG))
        assert index.driver("c").record().expires is None
        assert index.driver("c").append(run("third")) == 1
        index.driver("c").rename("d")
        assert index.driver("d").append(run("fourth")) == 1
