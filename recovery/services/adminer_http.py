"""What may pass between a browser and the Adminer of a session, in both directions. Only what is named here does.

Adminer lives below one address of ours, so its cookies, redirects and policy are made to fit that address. phpBorg's
own cookies and headers never reach it, and nothing that it says is taken for granted: its pages show a stranger's data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import IO
from urllib.parse import quote, urlsplit

from recovery.errors import AdminerAway
from recovery.models import Session
from recovery.services import adminer
from servers.services import loopback

CHUNK = 1 << 16
MOST_BODY = 64 << 20
# A query may take long, but one that nobody reads any more must not hold a thread of the web server for ever.
SILENCE_SECONDS = 900.0
METHODS = ("GET", "HEAD", "POST")
_REQUEST = ("Accept", "Accept-Language", "Content-Type", "If-Modified-Since", "If-None-Match", "X-Requested-With")
_ANSWER = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Length",
    "Content-Type",
    "ETag",
    "Expires",
    "Last-Modified",
)
_COOKIE = re.compile(r"adminer_(?!permanent)[a-z_]{1,30}")
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]{0,4000}")  # RFC 6265, without quotes, commas, semicolons and backslashes
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_=-]{8,100})'")
_ADDRESS = "%/:?#[]@!$&'()*+,;=~-._"
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?")


class Answer:
    """What it said, with its connection still open: read `chunks` to their end, or `close`."""

    def __init__(self, response: HTTPResponse, chunks: Iterator[bytes]) -> None:
        self.status = response.status
        self.headers = {name: value for name in _ANSWER if (value := response.getheader(name)) is not None}
        self.location = response.getheader("Location")
        self.cookies = dict(cookies(response.headers.get_all("Set-Cookie") or []))
        self.nonce = nonce(response.getheader("Content-Security-Policy") or "")
        self.chunks = chunks


def ask(
    session: Session, method: str, query: str, headers: Mapping[str, str], cookie: str, body: IO[bytes], length: int
) -> Answer:
    """One request to the session's Adminer. Raises AdminerAway, and as `servers.services.reach.target_of`."""
    talk = _talk(session, method, query, {**headers, "Cookie": cookie, "Content-Length": str(length)}, body)
    try:
        return Answer(next(talk), _rest(talk))  # type: ignore[arg-type]
    except (OSError, HTTPException) as error:
        raise AdminerAway(str(error)) from None


def _talk(
    session: Session, method: str, query: str, headers: Mapping[str, str], body: IO[bytes]
) -> Iterator[HTTPResponse | bytes]:
    """The answer's head, then its body piece by piece; the connection ends with it."""
    if session.server is None or session.adminer_port is None:
        raise AdminerAway()
    with loopback.connected(session.server, session.adminer_port) as way:
        connection = HTTPConnection(f"127.0.0.1:{adminer.PORT}")
        connection.sock = way
        way.settimeout(SILENCE_SECONDS)
        given = {**headers, adminer.KEY_HEADER: adminer.key_of(session), "Connection": "close"}
        asked = quote(query, safe=_ADDRESS)
        connection.putrequest(method, f"/?{asked}" if asked else "/", skip_accept_encoding=True)
        for name, value in given.items():
            if value:
                connection.putheader(name, value.encode("latin-1", "replace"))
        connection.endheaders()
        while piece := body.read(CHUNK):
            connection.send(piece)
        response = connection.getresponse()
        with response:
            yield response
            while piece := response.read(CHUNK):
                yield piece


def _rest(talk: Iterator[HTTPResponse | bytes]) -> Iterator[bytes]:
    """Its end comes with ours, also when nobody reads on."""
    try:
        for piece in talk:
            assert isinstance(piece, bytes)
            yield piece
    finally:
        close = getattr(talk, "close", None)
        if close:
            close()


# --- the browser's side ----------------------------------------------------------------------------


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a request, what Adminer needs to see."""
    return {name: headers[name] for name in _REQUEST if headers.get(name)}


def cookie_header(given: Mapping[str, str]) -> str:
    """Adminer's own cookies of a request, and no other."""
    return "; ".join(f"{name}={value}" for name, value in given.items() if _is_cookie(name, value))


def _is_cookie(name: str, value: str) -> bool:
    return _COOKIE.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None


def cookies(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names and values that it sets, without what it says of path, time and domain; "" is one that it takes away."""
    for line in lines:
        first, _, attributes = line.partition(";")
        name, _, value = first.strip().partition("=")
        if _is_cookie(name, value):
            is_gone = value == "deleted" or re.search(r"(?i)max-age=(0|-\d+)(;|$)", attributes) is not None
            yield name, "" if is_gone else value


def nonce(policy: str) -> str:
    """That of the scripts which Adminer itself has put into its page; empty when there is none."""
    found = _NONCE.search(policy)
    return found[1] if found else ""


def place(location: str, prefix: str) -> str:
    """Where a redirect leads: to one of Adminer's pages, whatever it says."""
    parts = urlsplit(location)
    return f"{prefix}?{parts.query}" if parts.query else prefix


def policy(host: str, prefix: str, nonce: str) -> str:
    """What its page may do. It needs scripts and its cookies, so it stays in our origin, but in a corner of it.

    Only scripts of its own making run: a script in a table's content has no nonce. Should one run all the same, it can
    open no window and no frame, and send nothing but to Adminer: so it cannot read or press anything of phpBorg's.
    """
    own = f"{host}{prefix}" if _HOST.fullmatch(host) else "'self'"  # an address of IPv6 has no way to be written there
    rules = (
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'" if nonce else "script-src 'none'",
        f"style-src {own} 'unsafe-inline'",
        f"img-src {own} data:",
        f"connect-src {own}",
        f"form-action {own}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "sandbox allow-forms allow-scripts allow-same-origin allow-modals allow-downloads",
    )
    return "; ".join(rules)
