"""Template tags: words, icons, colours; unknown is a dash; nothing is injected."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.paginator import Paginator
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone, translation

from phpborg.tasks.states import State, StepState
from phpborg.ui import html
from tests.ui.page import Page

EVIL = '<script>alert("1")</script>'


def render(source, request=None, **context):
    with translation.override("en"):
        template = Template("{% load ui %}" + source)
        return template.render(Context({**context, **({"request": request} if request else {})}))


@pytest.mark.parametrize("state", list(State))
def test_a_state_is_a_word_an_icon_and_a_colour(state):
    page = Page(render("{% state value %}", value=state.value))
    (badge,) = [element for element in page.all("span") if "badge" in element.attributes.get("class", "")]
    assert badge.text.strip() == str(state.label)
    assert f"tone-{state.tone}" in badge.attributes["class"]
    (use,) = page.all("use")
    assert use.attributes["href"].endswith(f"icons.svg#{'spinner' if state is State.RUNNING else state.icon}")
    assert not page.problems


def test_a_state_that_nobody_knows_is_shown_as_it_is():
    assert "frozen" in render('{% state "frozen" %}')


def test_states_of_one_tone_differ_in_their_icon():
    seen = [(state.tone, "spinner" if state is State.RUNNING else state.icon) for state in State]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", ["bytes", "bitrate", "duration", "percent", "count", "or_unknown"])
def test_none_is_a_dash_that_says_why(name):
    text = render("{{ value|" + name + " }}", value=None)
    assert "—" in text
    assert 'title="Not known yet"' in text
    assert "visually-hidden" in text


@pytest.mark.parametrize("name", ["bytes", "bitrate", "duration", "percent", "count"])
def test_zero_is_not_unknown(name):
    assert render("{{ value|" + name + " }}", value=0).startswith("0")


@pytest.mark.parametrize("name", ["bytes", "bitrate", "duration", "percent", "count"])
def test_words_instead_of_a_number_are_unknown(name):
    assert "—" in render("{{ value|" + name + " }}", value="nonsense")


def test_a_ratio_without_a_divisor_is_unknown():
    assert "—" in render("{% ratio 5 0 %}")
    assert "—" in render("{% ratio none 5 %}", none=None)
    assert render("{% ratio 24 10 %}") == "2.4×"


@pytest.mark.parametrize(
    "source",
    [
        "{% badge evil %}",
        "{% state evil %}",
        '{% badge "x" evil evil %}',
        "{% icon evil label=evil %}",
        "{% bar 0.5 evil evil %}",
        "{% usage 1 2 evil %}",
        "{% ring 0.5 evil evil %}",
        "{% sparkline values evil evil %}",
        "{% unknown evil %}",
        "{{ evil|or_unknown }}",
        "{{ evil|bytes }}",
        "{{ evil|phase }}",
        "{{ evil|task_kind }}",
        "{% toast evil evil %}",
        "{% panel title=evil foot=evil %}{{ evil }}{% endpanel %}",
        "{% note tone=evil title=evil %}{{ evil }}{% endnote %}",
        "{% menu label=evil %}{{ evil }}{% endmenu %}",
        '{% code ident="x" label=evil %}{{ evil }}{% endcode %}',
        "{% steps rows %}",
        '{% wizard stations "a" %}',
        '{% crumbs evil "/" evil %}',
        '{% error_panel "GEN-03" facts evil %}',
    ],
)
def test_what_people_and_servers_say_is_never_markup(source):
    text = render(
        source,
        evil=EVIL,
        values=[1, 2, 3],
        rows=[{"name": EVIL, "state": "failed", "text": EVIL, "remedy": EVIL, "seconds": 1}],
        stations=[{"key": "a", "label": EVIL}],
        facts={"field": EVIL, "problem": EVIL},
    )
    assert "<script" not in text
    assert 'alert("1")' not in text
    assert not Page(text).problems


def test_a_share_of_none_moves_without_a_number():
    assert "value=" not in render("{% bar none 'Backup' %}", none=None)
    (bar,) = Page(render("{% bar 0.637 'Backup' %}")).all("progress")
    assert bar.attributes["value"] == "63.7"
    assert bar.attributes["aria-label"] == "Backup"


@pytest.mark.parametrize(("share", "value"), [(-1, "0.0"), (2, "100.0")])
def test_a_bar_stays_in_its_frame(share, value):
    (bar,) = Page(render("{% bar share 'x' %}", share=share)).all("progress")
    assert bar.attributes["value"] == value


@pytest.mark.parametrize(("used", "tone"), [(10, "good"), (80, "warn"), (92, "bad"), (100, "bad")])
def test_a_full_disk_changes_its_tone(used, tone):
    assert f"tone-{tone}" in html.usage(used, 100, "Pool")


def test_usage_of_an_unknown_disk_is_unknown():
    assert "—" in html.usage(None, 100, "Pool")
    assert "—" in html.usage(5, 0, "Pool")


@pytest.mark.parametrize("values", [[], [None], [1], [None, 3, None]])
def test_a_line_needs_two_points(values):
    assert "—" in html.sparkline(values, "Files")


def test_a_gap_in_the_numbers_is_a_gap_in_the_line():
    assert html.sparkline([1, 2, None, 3, 4], "Files").count("<polyline") == 2
    assert html.sparkline([0, 0, 0], "Files").count("<polyline") == 1


def test_moments_are_shown_in_the_readers_zone():
    moment = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    with timezone.override("Europe/Paris"), translation.override("fr"):
        shown = html.ago(moment)
        same = html.ago(moment.isoformat())
    assert "2 juil. 2026, 00:30" in shown
    assert "data-relative" in shown
    assert 'datetime="2026-07-01T22:30:00+00:00"' in shown
    assert same == shown


def test_moments_are_short_and_cannot_be_misread():
    with timezone.override("UTC"), translation.override("en"):
        assert ">25 Nov 2026, 13:03<" in html.when(datetime(2026, 11, 25, 13, 3, tzinfo=UTC))


@pytest.mark.parametrize("value", [None, "", "not a date"])
def test_never_is_said(value):
    with translation.override("en"):
        assert 'title="Never"' in html.when(value)


def test_steps_say_their_outcome_in_words():
    rows = [{"name": f"Step {state}", "state": state.value} for state in StepState]
    page = Page(render("{% steps rows %}", rows=rows))
    said = [" ".join(item.text.split()) for item in page.all("li")]
    assert said == [f"Step {state} : {state.label}" for state in StepState]


def test_a_wizard_says_where_we_are():
    stations = [{"key": key, "label": key.title(), "url": f"/{key}/"} for key in ("server", "what", "when")]
    page = Page(render('{% wizard stations "what" %}', stations=stations))
    items = page.all("li")
    assert [item.attributes.get("aria-current") for item in items] == [None, "step", None]
    assert "Server (done)" in " ".join(items[0].text.split())
    assert page.all("nav")[0].attributes["aria-label"] == "Step 2 of 3"


def test_pages_keep_the_rest_of_the_query():
    request = RequestFactory().get("/jobs/", {"q": "a b&c", "state": ["failed", "lost"], "page": "2"})
    text = render(
        '{% include "components/_pagination.html" %}',
        request=request,
        page_obj=Paginator(range(2000), 50).get_page(2),
    )
    page = Page(text)
    following = next(a for a in page.all("a") if a.attributes.get("rel") == "next")
    assert following.attributes["href"] == "?q=a+b%26c&state=failed&state=lost&page=3"
    assert [a.text.strip() for a in page.all("a") if a.attributes.get("aria-current")] == ["2"]
    assert "51 to 100 of 2,000" in " ".join(text.split())


def test_one_page_needs_no_numbers():
    request = RequestFactory().get("/")
    page_obj = Paginator(range(3), 50).get_page(1)
    assert not render('{% include "components/_pagination.html" %}', request=request, page_obj=page_obj).strip()


def test_a_column_sorts_both_ways():
    def head(query):
        return Page(render('{% sort "name" "Name" %}', request=RequestFactory().get("/", query))).all("th", "a")

    cell, link = head({"q": "x", "page": "4"})
    assert "aria-sort" not in cell.attributes
    assert link.attributes["href"] == "?q=x&sort=name"
    cell, link = head({"sort": "name"})
    assert cell.attributes["aria-sort"] == "ascending"
    assert link.attributes["href"] == "?sort=-name"
    assert head({"sort": "-name"})[0].attributes["aria-sort"] == "descending"
