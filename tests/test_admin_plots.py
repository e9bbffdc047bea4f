import re

from django.template.loader import render_to_string
from django.test import SimpleTestCase
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from conversation_memory.admin.plots import Bar, Plot, ceiling


def plot(*values, **options):
    bars = [Bar(value, f"day {n}", str(n)) for n, value in enumerate(values)]
    return Plot(title="Activity", bars=bars, name="Day", value="Conversations", **options)


class PlotTests(SimpleTestCase):
    def page(self, plot):
        return render_to_string("admin/conversation_memory/plot.html", {"plot": plot})

    def test_each_bar_is_as_high_as_its_value(self):
        heights = re.findall(r'class="cm-bar"[^>]* height="([\d.]+)"', self.page(plot(0, 5, 10)))
        none, half, full = map(float, heights)
        assert (none, half) == (0, full / 2)

    def test_few_among_many_are_still_seen(self):
        heights = re.findall(r'class="cm-bar"[^>]* height="([\d.]+)"', self.page(plot(1, 10**6)))
        assert float(heights[0]) > 1

    def test_the_axis_ends_at_a_round_number(self):
        assert [ceiling(n) for n in (0, 1, 3, 7, 10, 11, 99, 101)] == [
            1,
            1,
            5,
            10,
            10,
            20,
            100,
            200,
        ]

    def test_the_same_numbers_are_a_table(self):
        page = self.page(plot(3, 1234))
        assert '<th scope="row">day 1</th><td>1234</td>' in page
        assert 'aria-hidden="true"' in page

    def test_nothing_is_said_rather_than_drawn(self):
        for empty in (plot(), plot(0, 0)):
            page = self.page(empty)
            assert "There are no conversations yet" in page
            assert "<svg" not in page

    def test_what_was_left_out_is_said(self):
        assert "of 500 looked at" in self.page(plot(1, note="of 500 looked at"))

    def test_numbers_are_no_decimal_commas(self):
        with translation.override("de"):
            assert not re.search(r'(x|y|width|height)\d?="[^"]*,', self.page(plot(1, 2, 3)))

    def test_names_are_escaped_and_nothing_is_inline(self):
        page = self.page(Plot("<i>", [Bar(1, "<b>", "<u>")], "<s>", "<p>", "<q>"))
        assert not re.search("<(i|b|u|s|q)>", page)
        assert " style=" not in page

    @given(st.lists(st.integers(0, 2**63), max_size=40))
    def test_every_bar_stays_inside(self, values):
        svg = self.page(plot(*values))
        for y, height in re.findall(
            r'class="cm-bar"[^>]* y="([\d.]+)"[^>]* height="([\d.]+)"', svg
        ):
            assert 0 <= float(y) <= float(y) + float(height) <= 150.01
