"""What Chromium lets a script do that runs in Adminer's page all the same: nothing to phpBorg's own pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from recovery.services import adminer_http
from tests.e2e.browser import chromium

pytestmark = pytest.mark.browser
PREFIX = "/sessions/one/adminer/"
NONCE = "abcdefgh1"
PAGE = f"""<!doctype html><title>quiet</title><form method=post action="?a=1"><button>go</button></form>
<a href="?b=2">on</a><i onclick="document.title='loud'">x</i><script>document.title = 'loud'</script>
<script nonce={NONCE}>window.ours = true</script>"""
ADDED = "(name, more) => Object.assign(document.body.appendChild(document.createElement(name)), more)"
HOSTILE = {
    "read": "fetch('/other/').then(answer => answer.text())",
    "send": "fetch('/other/', {method: 'POST', body: 'x'})",
    "upwards": "fetch('../../../other/')",
    "hidden upwards": "fetch('%2e%2e/%2e%2e/%2e%2e/other/')",
    "beacon": "navigator.sendBeacon('/other/', 'x')",
    "events": "new EventSource('/other/')",
    "socket": "new WebSocket(`ws://${location.host}/other/`)",
    "window": "window.open('/other/')",
    "frame": "added('iframe', {src: '/other/'})",
    "picture": "added('img', {src: '/other/'})",
    "script": "added('script', {src: '/other/'})",
    "form": "added('form', {method: 'post', action: '/other/'}).submit()",
    "form in a window": "added('form', {method: 'post', action: '/other/', target: '_blank'}).submit()",
    "link in a window": "added('a', {href: '/other/', target: '_blank'}).click()",
    "ping": "added('a', {href: '#', ping: '/other/'}).click()",
    "worker": "new Worker('/other/')",
    "service worker": "navigator.serviceWorker.register('/other/')",
}


class Site(ThreadingHTTPServer):
    """One origin: what stands for Adminer's page has its policy, all the rest stands for phpBorg's."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.host = f"127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, str, str]] = []


class _Answer(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get("Cookie", "")))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.path.startswith(PREFIX):
            self.send_header("Content-Security-Policy", adminer_http.policy(self.server.host, PREFIX, NONCE))
            self.send_header("Set-Cookie", f"adminer_sid=a; Path={PREFIX}; HttpOnly; SameSite=Strict")
        else:
            self.send_header("Set-Cookie", "sessionid=s; Path=/; HttpOnly; SameSite=Lax")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    do_POST = do_GET


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as one:
        yield one


@pytest.fixture
def page(browser: Any, site: Site) -> Iterator[Any]:
    """At Adminer's page, signed in to phpBorg."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://{site.host}/")
    page.goto(f"http://{site.host}{PREFIX}")
    site.asked.clear()
    yield page
    context.close()


def test_its_own_scripts_run_and_those_of_a_table_do_not(page):
    page.click("i")
    assert page.evaluate("window.ours")
    assert page.title() == "quiet"


def test_its_forms_and_links_go_with_every_cookie(page, site):
    """An opaque origin would be stricter, but its forms lose the sign-in: cookies of SameSite=Lax stay behind."""
    page.click("button")
    page.click("a")
    page.evaluate("fetch('?c=3').then(answer => answer.text())")
    rows = [(method, path.removeprefix(PREFIX)) for method, path, cookie in site.asked if "sessionid=s" in cookie]
    assert [row for row in rows if "?" in row[1]] == [("POST", "?a=1"), ("GET", "?b=2"), ("GET", "?c=3")]
    assert all("adminer_sid=a" in cookie for _, path, cookie in site.asked if "?" in path)


@pytest.mark.parametrize("deed", HOSTILE.values(), ids=HOSTILE)
def test_a_script_that_runs_all_the_same_reaches_nothing_else(page, site, deed):
    page.evaluate(f"async () => {{ const added = {ADDED}; try {{ await ({deed}) && 0 }} catch (error) {{}} }}")
    # Its turn comes after all that the page has begun: when this is answered, the deed has been let through or not.
    page.evaluate("fetch('?last').then(answer => answer.text())")
    page.goto(f"http://{site.host}{PREFIX}?end")
    assert [row for row in site.asked if "other" in row[1]] == []
    assert len(page.context.pages) == 1
