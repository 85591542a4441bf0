"""Somebody works in Adminer with Chromium, over a real database out of an archive; its content is hostile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from phpborg.accounts.models import User
from phpborg.crypto import EncryptedField
from recovery.models import Session as Row
from recovery.services import adminer, adminer_http, serving
from servers.models import Server
from tests.engines.test_found_json import POSTGRESQL_WHOLE
from tests.instant.conftest import Session
from tests.instant.test_adminer_real import Browser, begin, its_image
from tests.instant.test_product_real import ROWS, place, repository, serve
from tests.ui.conftest import chromium

__all__ = ["begin", "chromium", "its_image", "place", "repository", "serve"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# What a row holds that was written by somebody who wants to be an operator of phpBorg.
HOSTILE = """<script>document.title="taken"</script><img src=x onerror="document.title='taken'">"""
# What a script of theirs would try, had it found a way to run: each answers what it reached.
ATTEMPTS = {
    "fetch": "fetch('/tasks/').then(answer => 'reached ' + answer.status, error => 'kept out')",
    "window": "new Promise(done => done(window.open('/tasks/') ? 'reached' : 'kept out'))",
    "frame": """new Promise(done => {
        const frame = document.createElement('iframe');
        frame.src = '/tasks/';
        document.body.append(frame);
        setTimeout(() => {
            let text = '';
            try { text = frame.contentDocument.body.textContent.trim() } catch { text = '' }
            done(text ? 'reached ' + text : 'kept out');
        }, 1500);
    })""",
    "script": """new Promise(done => {
        const script = document.createElement('script');
        script.textContent = 'document.title = "taken"';
        document.body.append(script);
        setTimeout(() => done(document.title === 'taken' ? 'reached' : 'kept out'), 300);
    })""",
    "worker": "navigator.serviceWorker.register('?file=functions.js').then(() => 'reached', () => 'kept out')",
    "cookie": "new Promise(done => done(document.cookie.includes('sessionid') ? 'reached' : 'kept out'))",
}


@pytest.fixture
def open_page(
    chromium: Any, live_server: Any, bob: User, client_of: Callable[[User], Client], tmp_path: Path
) -> Iterator[Any]:
    """`open_page(session, browser)`: Bob has opened Adminer from the page of the session."""
    contexts: list[Any] = []

    def go(_session: Session, browser: Browser, product: str = "postgresql") -> Any:
        asked, _login = serving.request(POSTGRESQL_WHOLE, "postgres:15", read_only=True)
        row = Row.objects.create(
            archive_name="nightly",
            server=Server.objects.create(name="here", kind=Server.Kind.LOCAL),
            product=product,
            image="an image",
            state=Row.State.READY,
            asked={**asked.args, "engine": "/run/docker.sock"},
            port=15432,
            adminer_port=browser.port,
            secrets=EncryptedField.seal(json.dumps({adminer.KEY: browser.key})),
        )
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
        contexts.append(context)
        cookie = client_of(bob).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url, "httpOnly": True}])
        page = context.new_page()
        page.route_web_socket("**/ws/live/**", lambda _socket: None)
        page.goto(live_server.url + reverse("session", args=[row.pk]))
        page.screenshot(path=str(tmp_path / "session.png"), full_page=True)
        with context.expect_page() as opened:
            page.click(f"a[href='{reverse('adminer', args=[row.pk])}']")
        opened.value.wait_for_load_state()
        return opened.value

    yield go
    for context in contexts:
        context.close()


def say(page: Any, text: str) -> None:
    """In the page of SQL commands."""
    page.click("a[href$='&sql=']")
    page.evaluate("text => { document.querySelector('textarea[name=query]').value = text }", text)
    page.click("input[type=submit][value=Execute]")
    page.wait_for_load_state()


def test_rows_are_looked_at_written_and_nothing_hostile_happens(begin, open_page, tmp_path):
    problems: list[str] = []
    page = open_page(*begin("pg", read_only=False))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    here = page.url.partition("?")[0]
    page.click("a:text-is('postgres')")
    content = HOSTILE.replace("'", "''")
    say(page, f"CREATE TABLE notes (id int primary key, said text); INSERT INTO notes VALUES (1, '{content}')")
    assert "Query executed OK" in page.content()
    page.click("a[href$='&select=notes'] >> nth=0")
    page.wait_for_load_state()
    page.screenshot(path=str(tmp_path / "rows.png"))
    assert "document.title" in page.locator("#table").inner_text()
    assert "taken" not in page.title()
    page.click("#table a:text-is('edit')")
    page.fill("[name='fields[said]']", "written by hand")
    page.click("input[type=submit][value=Save]")
    page.wait_for_load_state()
    assert page.locator("#table").inner_text().count("written by hand") == 1
    assert page.url.startswith(here)
    reached = {name: page.evaluate(script) for name, script in ATTEMPTS.items()}
    assert reached == dict.fromkeys(ATTEMPTS, "kept out")
    cookies = {one["name"]: one for one in page.context.cookies() if one["name"].startswith("adminer")}
    assert "adminer_sid" in cookies
    for one in cookies.values():
        assert here.endswith(one["path"])
    assert cookies["adminer_sid"]["httpOnly"]
    page.screenshot(path=str(tmp_path / "written.png"))
    assert problems == []


def test_the_attempts_would_reach_something_without_the_policy(begin, open_page, monkeypatch):
    """So that the one above tests something. Our pages refuse frames themselves, and show scripts no cookie."""
    loose = "sandbox allow-forms allow-scripts allow-same-origin allow-popups"
    monkeypatch.setattr(adminer_http, "policy", lambda *_words: loose)
    page = open_page(*begin("pg"))
    reached = {name for name, script in ATTEMPTS.items() if page.evaluate(script).startswith("reached")}
    assert reached == {"fetch", "window", "script", "worker"}


def test_an_export_is_a_download(begin, open_page):
    page = open_page(*begin("my"), "mariadb")
    page.click("a:text-is('shop')")
    page.click("a[href*='&dump=']")
    page.check("input[name=output][value=file]")
    with page.expect_download() as told:
        page.click("input[type=submit][value=Export]")
    text = told.value.path().read_text()
    assert text.count("),\n(") > 1
    assert f"({ROWS})" in text
