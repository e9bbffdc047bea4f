from unittest import mock

from conversation_memory import Run, indexes
from conversation_memory.redis_io import operations as commands

from .admin import AdminTestCase
from .utils import counted, monitored

BODY = "the text of a message that is long enough to be recognised " * 20


class RoundTripTests(AdminTestCase):
    def fill(self, count):
        """Conversations that others wrote, and one of ours in front of them."""
        document = Run("q", BODY).to_wire().join([b'{"runs": [', b'], "metadata": {}}'])
        pipeline = self.redis.pipeline(transaction=False)
        for number in range(count):
            pipeline.hset(self.index.name, f"c{number}", document)
        pipeline.execute()
        self.index.adopt()
        self.index.driver("ours", owner="7").append(Run("q", BODY))

    def round_trips(self, view, **query):
        with counted() as sent:
            assert self.client.get(self.url(view), query).status_code == 200
        return len(sent)

    def test_a_list_page_costs_the_same_whatever_the_index_holds(self):
        pages = ({}, {"p": 2}, {"owner": "7"}, {"age": "day"}, {"o": "2"})
        self.fill(10)
        self.list()  # the scripts are known from here on
        few = [self.round_trips("conversation_changelist", **query) for query in pages]
        self.fill(1_000)
        many = [self.round_trips("conversation_changelist", **query) for query in pages]
        assert few[0] == 3
        assert many == [few[0], few[0], few[2], few[3], few[0]]

    def test_the_page_of_indexes_costs_the_same_whatever_they_hold(self):
        self.fill(10)
        self.round_trips("index_changelist")  # lets the server know the scripts
        few = self.round_trips("index_changelist")
        self.fill(1_000)
        assert self.round_trips("index_changelist") == few <= 5

    def test_the_page_of_a_conversation_costs_the_same_whatever_is_open_in_it(self):
        driver = self.index.driver("c1", owner="7")
        driver.append(Run("q", "a"))
        url = self.url("conversation_change", self.address("c1"))

        def cost():
            with counted() as sent:
                assert self.client.get(url).status_code == 200
            return len(sent)

        cost()
        none = cost()
        costs = []
        for number in (1, 30):
            for n in range(number):
                driver.begin(f"question {n}", run_id=f"{number}-{n}").claim().write("text")
            costs.append(cost())
        assert costs == [none + 1, none + 1]

    def test_no_body_leaves_redis_for_a_list(self):
        self.fill(100)
        sizes = []
        exchange = commands._exchange

        def measuring(client, calls):
            replies = exchange(client, calls)
            sizes.append(len(repr(replies)))
            return replies

        with mock.patch.object(commands, "_exchange", measuring):
            self.list()
        # The record, and at most 1,024 bytes of the last message of each.
        assert sum(sizes) < 101 * 1_600
        assert 101 * len(BODY) * 2 > 101 * 1_600

    def test_a_list_walks_through_nothing(self):
        self.fill(300)
        self.list()
        with monitored(self.redis) as sent:
            self.list()
        names = [command["command"].split()[0].upper() for command in sent]
        assert not {"KEYS", "HGETALL", "HKEYS", "HVALS", "SCAN"} & {*names}
        assert names.count("HSCAN") == 1  # the short step that finds what others wrote

    def test_indexes_of_one_server_are_asked_in_turn_and_no_one_twice(self):
        entry = {**self.settings_of("default")}
        names = [f"{self.index.name}-{n}" for n in range(3)]
        with self.settings(REDIS={name: {**entry, "INDEX": name} for name in names}):
            one = self.round_trips("index_changelist")
            assert list(indexes)[:3] == names
        with self.settings(REDIS={names[0]: {**entry, "INDEX": names[0]}}):
            assert self.round_trips("index_changelist") * 3 >= one

    def settings_of(self, alias):
        from django.conf import settings

        return settings.REDIS[alias]
