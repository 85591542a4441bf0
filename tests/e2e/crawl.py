"""Every page that can be reached by links, as one person sees them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

from django.urls import Resolver404, resolve

PER_ROUTE = 6  # pages of one kind look alike


@dataclass(frozen=True)
class Answer:
    """What came back for one address; `body` only of pages."""

    status: int
    body: str
    kind: str = "text/html"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("href", "src", "hx-get", "data-url")
        self.found += [value for name, value in attrs if name in names and value and tag != "link"]


def links(page: str, address: str) -> list[str]:
    """Addresses of this site that a page leads to, as `/path?query`."""
    parser = _Links()
    parser.feed(page)
    found = []
    for link in parser.found:
        parts = urlsplit(urldefrag(urljoin(address, link)).url)
        if not parts.netloc and not parts.scheme and not parts.path.startswith("/static/"):
            found.append(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    return list(dict.fromkeys(found))


def route_of(address: str) -> str:
    """The name of an address's route; "" when there is none."""
    try:
        match = resolve(urlsplit(address).path)
    except Resolver404:
        return ""
    return f"{match.namespace}:{match.url_name}" if match.namespace else str(match.url_name)


def crawl(
    get: Callable[[str], Answer], start: str = "/", per_route: int = PER_ROUTE
) -> Iterator[tuple[str, str, Answer]]:
    """(address, the page that led there, answer) of everything that can be reached, breadth first."""
    seen = {start}
    count: Counter[str] = Counter()
    queue = deque([(start, "")])
    while queue:
        address, parent = queue.popleft()
        route = route_of(address)
        count[route] += 1
        if count[route] > per_route:
            continue
        answer = get(address)
        yield address, parent, answer
        if answer.status < 300 and answer.kind.startswith("text/html"):
            for link in links(answer.body, address):
                if link not in seen:
                    seen.add(link)
                    queue.append((link, address))
