"""Somebody in front of Chromium. Finds things by address and field name, so that both languages work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.product import PASSWORD, Product

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
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """One signed-in person with one page. `problems` holds every error that the browser told of."""

    page: Any
    url: str
    problems: list[str] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.problems.append(f"{self.page.url}: {error}"))
        self.page.on("console", self._hear)
        self.page.on("request", self._note_request)
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._note_frame))

    def _hear(self, message: Any) -> None:
        # A page that says no (403, 404, 409, 422) is one of the pages under test.
        if message.type == "error" and "responded with a status of 4" not in message.text:
            self.problems.append(f"{self.page.url}: {message.text}")

    def _note_request(self, request: Any) -> None:
        self.requests.append(request)

    def _note_frame(self, payload: Any) -> None:
        self.frames.append(payload if isinstance(payload, str) else payload.decode("utf-8", "replace"))

    def background_requests(self) -> Counter[str]:
        """What scripts asked for (XHR, fetch), counted by method and address."""
        return Counter(
            f"{request.method} {request.url.removeprefix(self.url)}"
            for request in self.requests
            if request.resource_type in ("xhr", "fetch", "eventsource")
        )

    def open(self, path: str) -> Visitor:
        """Type an address."""
        answer = self.page.goto(self.url + path)
        assert answer is None or answer.status < 500, f"{path}: {answer.status}"
        return self

    def sign_in(self, name: str) -> Visitor:
        """Through the form, as people do."""
        self.open("/account/login/")
        self.page.fill("[name=username]", name)
        self.page.fill("[name=password]", PASSWORD)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/account/login/" not in url)
        return self

    def press(self, selector: str) -> None:
        """Click what leads to another page, and wait for it."""
        with self.page.expect_navigation():
            self.page.locator(selector).first.click()

    def post(self, route: str, extra: str = "") -> None:
        """Press the button of the form that posts to an address ending so."""
        self.press(f"form[action$='{route}'] button{extra or ':not([disabled])'}")

    def tab_to(self, selector: str, most: int = 150) -> None:
        """By the keyboard alone."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("selector => !!document.activeElement?.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} is not reached by Tab on {self.page.url}")

    def text(self, selector: str = "main") -> str:
        """What is read there."""
        return str(self.page.locator(selector).first.inner_text())

    def until(self, expression: str, seconds: float, what: str) -> None:
        """Wait for something that a script sees. (The policy of our pages forbids Playwright's own way.)"""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, what
            self.page.wait_for_timeout(100)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(self.page.evaluate(OVERFLOW))


def visit(browser: Any, product: Product, name: str = "", **options: Any) -> Visitor:
    """A new window; signed in when a name is given."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(20_000)
    visitor = Visitor(context.new_page(), product.url)
    return visitor.sign_in(name) if name else visitor
