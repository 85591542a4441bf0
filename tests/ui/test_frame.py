"""The frame of every page: its parts, what a check of accessibility finds, and what it costs."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from phpborg.tasks.models import Task
from tests.ui.page import Page, accessibility_problems

pytestmark = pytest.mark.usefixtures("routes")
INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|javascript:", re.IGNORECASE)


@pytest.fixture
def signed_in(alice, client_of):
    return client_of(alice)


@pytest.mark.parametrize("path", ["/login/", "/styleguide/"])
def test_a_stranger_costs_no_query(path, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert Client().get(path).status_code == 200


def test_a_page_costs_few_queries_whatever_runs(signed_in, django_assert_max_num_queries):
    for number in range(40):
        Task.objects.create(kind="backup", queue="backup", subject=f"web-{number}")
    # Session, person, name of the installation, the task bar's rows and their number.
    with django_assert_max_num_queries(6):
        signed_in.get("/servers/")


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize(
    "path", ["/", "/styleguide/?toast=1", "/fails/", "/remove/", "/password/", "/password/done/", "/nowhere/"]
)
def test_pages_pass_the_accessibility_check(path, language, alice, client_of):
    alice.language = language
    alice.save()
    answer = client_of(alice).get(path)
    html = answer.content.decode()
    assert f'<html lang="{language}"' in html
    assert accessibility_problems(html) == []
    assert not INLINE.search(html)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_strangers_pages_pass_the_accessibility_check(language, db):
    for path in ("/login/", "/styleguide/"):
        html = Client(headers={"accept-language": language}).get(path).content.decode()
        assert f'<html lang="{language}"' in html
        assert accessibility_problems(html) == []


def test_wrong_passwords_are_told_to_those_who_cannot_see_them(db):
    html = Client().post("/login/", {"username": "x", "password": "y"}).content.decode()
    assert accessibility_problems(html) == []
    assert 'role="alert"' in html


def test_the_page_that_one_is_on_is_marked(signed_in):
    page = Page(signed_in.get("/servers/web-01/").content.decode())
    current = [link for link in page.all("a") if link.attributes.get("aria-current") == "page" and link.inside("nav")]
    assert {link.attributes["href"] for link in current if "nav__link" in link.attributes["class"]} == {"/servers/"}


def test_only_administrators_are_shown_the_administration(diane, signed_in, client_of):
    assert "/admin/" in signed_in.get("/").content.decode()
    assert "/admin/" not in client_of(diane).get("/").content.decode()


def test_a_missing_route_is_left_out_instead_of_breaking_the_page(settings, alice, client_of, tmp_path):
    settings.ROOT_URLCONF = "tests.ui.bare_urls"
    with pytest.raises(NoReverseMatch):
        reverse("servers")
    assert client_of(alice).get("/").status_code == 200


def test_an_expected_error_is_a_page_with_its_two_sentences(signed_in):
    answer = signed_in.get("/fails/")
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "A stored secret cannot be decrypted." in html
    assert "enter the secret again" in html
    assert "&lt;b&gt;InvalidToken&lt;/b&gt;" in html


def test_an_unexpected_error_is_a_page_that_needs_nothing(signed_in, monkeypatch):
    def broken(*_args):
        raise RuntimeError("anything")

    monkeypatch.setattr("phpborg.ui.views_styleguide.render", broken)
    signed_in.raise_request_exception = False
    answer = signed_in.get("/styleguide/")
    html = answer.content.decode()
    assert answer.status_code == 500
    assert accessibility_problems(html) == []
    assert "This page could not be made." in html
    assert "Cette page n’a pas pu être produite." in html


def test_a_form_from_another_site_is_refused_with_a_page(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post("/theme/", {"theme": "dark"})
    assert answer.status_code == 403
    assert "The page was too old" in answer.content.decode()


def test_the_task_bar_shows_what_runs_and_how_far(signed_in):
    task = Task.objects.create(
        kind="backup",
        queue="backup",
        subject="web-01 <b>",
        state="running",
        phase="transferring",
        progress={"share": 0.42, "rate_now": 12_500_000, "remaining_seconds": 185},
    )
    html = signed_in.get("/").content.decode()
    bar = html[html.index('id="taskbar"') :]
    assert "42%" in bar
    assert "100\u00a0Mbit/s" in bar
    assert "3\u00a0min\u00a005\u00a0s left" in bar
    assert f"/tasks/{task.pk}/" in bar
    assert "web-01 &lt;b&gt;" in bar


def test_the_task_bar_invents_no_share(signed_in):
    Task.objects.create(kind="backup", queue="backup", subject="web-01", state="running", progress={"share": None})
    html = signed_in.get("/").content.decode()
    bar = html[html.index('id="taskbar"') :]
    assert "%" not in re.sub(r"<[^>]+>", "", bar)


def test_the_task_bar_counts_what_it_does_not_show(signed_in):
    for number in range(9):
        Task.objects.create(kind="backup", queue="backup", subject=f"web-{number}")
    html = signed_in.get("/").content.decode()
    assert "All 9 active tasks" in html
    assert html.count('class="taskbar__row"') == 5


def test_an_idle_task_bar_says_so(signed_in):
    assert "No task is active." in signed_in.get("/").content.decode()
