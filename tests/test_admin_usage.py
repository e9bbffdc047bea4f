"""The page of what the runs of an index tell."""

from django.contrib.auth import get_user_model

from conversation_memory import Artifact, Run

from .admin import AdminMixin, AdminTestCase
from .utils import counted, each_layout


@each_layout
class UsageTests(AdminMixin):
    case = AdminTestCase

    def page(self):
        response = self.client.get(self.url("conversation_usage", self.address()))
        assert response.status_code == 200
        return response

    def fill(self):
        usage = {"input_tokens": 100, "output_tokens": 20}
        for number in range(4):
            meta = {"model": "m-1", "usage": usage, "latency": number, "feedback": "up"}
            runs = [Run("q", "a", meta), Run("q", Artifact("no", type="ErrorArtifact"))]
            self.index.driver(f"c{number}", owner=f"owner-{number % 2}").append(*runs)

    def test_counts_what_the_runs_tell(self):
        self.fill()
        page = self.page().content.decode()
        for text in ("4 conversations · 8 runs", "400 tokens in · 80 tokens out"):
            assert text in page
        assert ">Rated up</a>: 4" in page and ">With an error</a>: 4" in page
        tokens, models, times = self.page().context["plots"]
        assert tokens.bars[-1].value == 480
        assert [(bar.name, bar.value) for bar in models.bars] == [("m-1", 480)]
        assert [bar.value for bar in times.bars][:3] == [1, 1, 2]

    def test_names_the_owners_with_the_most(self):
        ada = get_user_model().objects.create_user("ada")
        for number in range(3):
            owner = ada.pk if number else "guest"
            self.index.driver(f"c{number}", owner=owner).append(Run("q", "a"))
        owners = self.page().context["owners"]
        assert [(owner, name, count) for _, owner, name, count in owners] == [
            (str(ada.pk), "ada", 2),
            ("guest", "", 1),
        ]

    def test_runs_that_tell_nothing_are_counted_as_runs(self):
        self.index.driver("c").append(Run("q", "a"))
        self.put("bad", b"nonsense")
        page = self.page().content.decode()
        assert "1 run" in page and "No run tells its tokens." in page

    def test_the_list_is_filtered_by_what_the_runs_tell(self):
        self.fill()
        self.index.driver("down").append(
            Run("q", "a", {"feedback": {"rating": "down", "comment": "No."}})
        )
        calls = [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "x"}}]}]
        self.index.driver("tools").append(Run("q", "a", {"messages": calls}))
        self.put("bad", b"nonsense")
        for state, ids in (
            ("error", ["c3", "c2", "c1", "c0"]),
            ("up", ["c3", "c2", "c1", "c0"]),
            ("down", ["down"]),
            ("comment", ["down"]),
            ("tools", ["tools"]),
        ):
            assert self.shown(state=state) == ids
        assert self.shown(state="up", owner="owner-0") == ["c2", "c0"]
        assert self.shown(state="up", q="c2") == ["c2"]
        assert self.notes(state="up") == ["Conversations were read to find these."]
        assert self.list(state="nonsense").status_code == 302

    def test_costs_the_same_few_round_trips_however_many_there_are(self):
        self.fill()
        self.page()
        costs = []
        for _ in range(2):
            with counted() as sent:
                self.page()
            costs.append(len(sent))
            for number in range(100):
                self.index.driver(f"more{number}").append(Run("q", "a"))
        assert costs[0] == costs[1] <= 6

    def test_needs_the_permission_to_view(self):
        self.staff("view_index")
        url = self.url("conversation_usage", self.address())
        assert self.client.get(url).status_code == 403
