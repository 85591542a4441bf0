"""The frame is tested on addresses of its own; in the browser lane with Debian's Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def routes(settings):
    """Every route that the frame names exists."""
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    settings.ROOT_URLCONF = "tests.ui.urls"
    cache.clear()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser for the tests of one module."""
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread; the database is still used by one thread at a time.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, routes, live_server, alice, client_of) -> Iterator[Callable[..., Any]]:
    """`open_page("/path", width=375, …)`: a page where Alice is signed in; no console error may appear."""
    contexts: list[Any] = []
    problems: list[str] = []

    def silence(page: Any) -> None:
        page.route_web_socket("**/ws/live/**", lambda _socket: None)

    def listen(page: Any) -> None:
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)

    def opened(path: str, *, width: int = 1280, before: Callable[[Any], None] | None = None, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 800}, locale="en-GB", **options)
        contexts.append(context)
        cookie = client_of(alice).cookies[django_settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": django_settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        page = context.new_page()
        listen(page)
        # The live server of the tests speaks no websocket: here somebody listens and says nothing.
        (before or silence)(page)
        page.goto(f"{live_server.url}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    # A page that says no (403, 404, 409, 422) is one of the pages under test.
    assert [problem for problem in problems if "responded with a status of 4" not in problem] == []
