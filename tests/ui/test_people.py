"""Theme, language, confirmation: kept for the person, and nothing leads away from us."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.usefixtures("routes")


@pytest.fixture
def signed_in(alice, client_of):
    return client_of(alice)


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_a_theme_is_kept_with_the_person(theme, alice, signed_in, client_of):
    answer = signed_in.post("/theme/", {"theme": theme, "next": "/servers/"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/servers/")
    alice.refresh_from_db()
    assert alice.theme == theme
    assert f'data-theme="{theme}"' in client_of(alice).get("/").content.decode()


def test_a_strangers_theme_is_kept_in_a_cookie(db):
    client = Client()
    client.post("/theme/", {"theme": "dark", "next": "/login/"})
    assert 'data-theme="dark"' in client.get("/login/").content.decode()


@pytest.mark.parametrize("theme", ["", "neon", '"><script>'])
def test_an_unknown_theme_is_that_of_the_system(theme, alice, signed_in):
    signed_in.post("/theme/", {"theme": theme})
    alice.refresh_from_db()
    assert alice.theme == "auto"
    client = Client()
    client.cookies["theme"] = "neon"
    assert 'data-theme="auto"' in client.get("/login/").content.decode()


@pytest.mark.parametrize("target", ["https://else.example/", "//else.example", "javascript:alert(1)", "\\\\else"])
def test_a_switch_leads_nowhere_else(target, signed_in):
    assert signed_in.post("/theme/", {"theme": "dark", "next": target}).headers["Location"] == "/"
    assert signed_in.post("/language/", {"language": "fr", "next": target}).headers["Location"] == "/"


@pytest.mark.parametrize("path", ["/theme/", "/language/"])
def test_a_switch_is_no_link(path, signed_in):
    assert signed_in.get(path).status_code == 405


def test_a_language_is_kept_with_the_person(alice, signed_in, client_of):
    answer = signed_in.post("/language/", {"language": "fr", "next": "/servers/?q=a"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/servers/?q=a")
    alice.refresh_from_db()
    assert alice.language == "fr"
    assert '<html lang="fr"' in client_of(alice).get("/").content.decode()


def test_a_strangers_language_is_kept_in_a_cookie(db):
    client = Client(headers={"accept-language": "fr"})
    client.post("/language/", {"language": "en", "next": "/login/"})
    assert '<html lang="en"' in client.get("/login/").content.decode()


def test_an_unknown_language_changes_nothing(alice, signed_in):
    assert signed_in.post("/language/", {"language": "xx", "next": "/"}).status_code == 303
    alice.refresh_from_db()
    assert alice.language == "en"


def test_nothing_happens_before_the_confirmation(signed_in):
    answer = signed_in.post("/remove/", {"keep": ["a", "b"], "note": "<x>"})
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "4 jobs go." in html
    assert html.count('name="keep"') == 2
    assert 'value="&lt;x&gt;"' in html


def test_a_link_never_confirms(signed_in):
    assert "removed" not in signed_in.get("/remove/?confirmed=1&typed=web-01").content.decode().split()


@pytest.mark.parametrize("typed", ["", "web-1", "WEB-01", "web-01 "])
def test_a_wrong_name_confirms_nothing(typed, signed_in):
    answer = signed_in.post("/remove/", {"confirmed": "1", "typed": typed})
    assert answer.status_code == 422
    assert "This is not the name." in answer.content.decode()


def test_the_right_name_confirms(signed_in):
    answer = signed_in.post("/remove/", {"confirmed": "1", "typed": "web-01"})
    assert answer.content == b"removed"
