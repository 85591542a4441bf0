"""Who may ask a session's Adminer, and what passes. The Adminer here is a small server of the test that tells all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse

from phpborg.crypto import EncryptedField
from recovery.models import Session
from recovery.services import adminer, adminer_http, serving
from servers.models import Server
from tests.engines.test_found_json import POSTGRESQL_WHOLE

pytestmark = pytest.mark.django_db
KEY = "the-key-of-this-session-0123456789-abcdef"
SAME = {"Sec-Fetch-Site": "same-origin"}


class Told(BaseHTTPRequestHandler):
    """Answers with what it was asked; `told` keeps it too."""

    answer: dict[str, Any]
    told: list[dict[str, Any]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.told.append({"path": self.path, "headers": dict(self.headers), "body": body, "method": self.command})
        self.send_response(self.answer.get("status", 200))
        for name, value in self.answer.get("headers", []):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.answer.get("body", b"hello"))

    do_POST = do_GET

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@pytest.fixture
def fake() -> Iterator[type[Told]]:
    class Handler(Told):
        answer: dict[str, Any] = {}
        told: list[dict[str, Any]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Handler.port = server.server_port  # type: ignore[attr-defined]
    yield Handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def session(fake) -> Session:
    server = Server.objects.create(name="here", kind=Server.Kind.LOCAL)
    return Session.objects.create(
        archive_name="nightly",
        server=server,
        product="postgresql",
        image="postgres:15",
        state=Session.State.READY,
        asked={"adminer": {"image": "phpborg-adminer"}},
        adminer_port=fake.port,
        secrets=EncryptedField.seal(json.dumps({adminer.KEY: KEY, adminer.PASSWORD: "Wb7-kettle"})),
    )


@pytest.fixture
def url(session) -> str:
    return reverse("adminer", args=[session.pk])


@pytest.fixture
def browser(client_of, bob) -> Client:
    return client_of(bob)


def text(response: Any) -> bytes:
    assert isinstance(response, StreamingHttpResponse)

    async def all_of_it() -> bytes:
        return b"".join([piece async for piece in response])

    return async_to_sync(all_of_it)()


@pytest.fixture
def get(browser: Client, url: str) -> Callable[..., Any]:
    def ask(query: str = "", **headers: str) -> Any:
        return browser.get(f"{url}?{query}" if query else url, headers={**SAME, **headers})

    return ask


@pytest.mark.parametrize(("who", "status"), [("alice", 200), ("bob", 200), ("diane", 403), ("charlie", 302)])
def test_who_may_ask_a_fake(request, client_of, url, fake, who, status):
    response = client_of(request.getfixturevalue(who)).get(url, headers=SAME)
    assert response.status_code == status
    assert len(fake.told) == (status == 200)


def test_nobody_who_is_not_signed_in(url, fake):
    assert Client().get(url, headers=SAME).status_code == 302
    assert fake.told == []


@pytest.mark.parametrize("state", [one for one in Session.State if one != Session.State.READY])
def test_only_a_session_that_is_ready(get, session, fake, state):
    Session.objects.filter(pk=session.pk).update(state=state)
    response = get()
    assert response.status_code == 409
    assert ("This session has ended" in response.content.decode()) == (state not in Session.ACTIVE)
    assert f'href="{session.get_absolute_url()}"' in response.content.decode()
    assert fake.told == []


def test_without_a_port_or_an_answer_it_is_said(get, session, fake):
    Session.objects.filter(pk=session.pk).update(adminer_port=None, adminer_problem="image")
    response = get()
    assert response.status_code == 409
    assert "its image is not on the server" in response.content.decode()
    Session.objects.filter(pk=session.pk).update(adminer_port=1, adminer_problem="")
    assert get().status_code == 409


def test_what_a_fake_is_told(browser, get, fake, session):
    browser.cookies["adminer_sid"] = "abc123"
    browser.cookies["adminer_permanent"] = "no"
    browser.cookies["csrftoken"] = "t" * 32
    response = get("pgsql=&select=x%20y", Accept="text/html", Authorization="Basic c2VjcmV0", X_Forwarded_Prefix="/x")
    assert text(response) == b"hello"
    (told,) = fake.told
    assert told["path"] == "/?pgsql=&select=x%20y"
    headers = told["headers"]
    assert headers.pop(adminer.KEY_HEADER) == KEY
    assert headers.pop("Cookie") == "adminer_sid=abc123"
    assert set(headers) <= {"Accept", "Host", "Content-Length", "Connection", "Content-Type"}
    assert browser.cookies["sessionid"].value not in json.dumps(headers)
    assert "Wb7-kettle" not in str(told)
    assert KEY not in str(response.headers)


def test_a_form_is_carried_as_it_is(browser, url, fake):
    body = b"\x00\xff" * 500_000
    response = browser.post(url, body, content_type="application/x-thing", headers=SAME)
    assert text(response) == b"hello"
    (told,) = fake.told
    assert (told["method"], told["body"], told["headers"]["Content-Type"]) == ("POST", body, "application/x-thing")


def test_a_form_without_our_token_is_carried_when_it_comes_from_us(client_of, bob, url, fake):
    """Adminer's forms have its own token."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)
    assert strict.post(url, {"a": "b"}, headers={**SAME, "Origin": "http://testserver"}).status_code == 200
    assert strict.post(url, {"a": "b"}, headers={"Origin": "http://testserver"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
)
def test_other_sites_are_kept_out(browser, url, fake, headers):
    assert browser.post(url, {"a": "b"}, headers=headers).status_code == 403
    if headers and headers != {"Sec-Fetch-Site": "none"}:
        assert browser.get(url, headers=headers).status_code == 403
    assert fake.told == []


def test_what_comes_back_of_a_fake(get, fake, url):
    fake.answer = {
        "status": 302,
        "headers": [
            ("Location", "http://127.0.0.1:8080/?pgsql=&username=phpborg"),
            ("Set-Cookie", "adminer_sid=abc; path=/; HttpOnly"),
            ("Set-Cookie", "adminer_lang=fr; expires=Fri, 01-Jan-2038 00:00:00 GMT; path=/; SameSite=lax"),
            ("Set-Cookie", "adminer_key=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0"),
            ("Set-Cookie", "sessionid=evil; path=/"),
            ("Set-Cookie", "adminer_permanent=x"),
            ("Content-Security-Policy", "script-src 'nonce-QUJDREVGR0hJ' 'strict-dynamic'; connect-src *"),
            ("Content-Type", "text/html; charset=utf-8"),
            ("X-Powered-By", "PHP"),
            ("Access-Control-Allow-Origin", "*"),
            ("Service-Worker-Allowed", "/"),
            ("Refresh", "0; url=//evil.example"),
            ("Transfer-Encoding", "identity"),
        ],
    }
    response = get()
    assert response.headers["Location"] == f"{url}?pgsql=&username=phpborg"
    for name in ("adminer_sid", "adminer_lang"):
        cookie = response.cookies[name]
        assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (url, True, "Strict")
        assert cookie["expires"] == ""
    assert response.cookies["adminer_key"].value == ""
    assert not set(response.cookies) & {"sessionid", "adminer_permanent"}
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'nonce-QUJDREVGR0hJ';" in policy
    assert f"connect-src testserver{url};" in policy
    assert f"form-action testserver{url};" in policy
    assert "sandbox allow-forms allow-scripts" in policy
    assert "popups" not in policy
    assert "strict-dynamic" not in policy
    unwanted = {"X-Powered-By", "Access-Control-Allow-Origin", "Service-Worker-Allowed", "Refresh", "Transfer-Encoding"}
    assert not unwanted & set(response.headers)
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "location", ["https://evil.example/?x=1", "//evil.example/?x=1", "/tasks/?x=1", "?x=1", "../?x=1"]
)
def test_a_redirect_stays_in_adminer(location):
    assert adminer_http.place(location, "/here/") == "/here/?x=1"
    assert adminer_http.place("https://evil.example", "/here/") == "/here/"


def test_a_nonce_that_would_end_its_place_is_none():
    assert adminer_http.nonce("script-src 'nonce-abcdefgh' *") == "abcdefgh"
    assert adminer_http.nonce("script-src 'nonce-abcdefgh; script-src *'") == ""
    assert "script-src 'none'" in adminer_http.policy("a.example", "/here/", "")
    assert "connect-src 'self'" in adminer_http.policy("[::1]:8000", "/here/", "")


def test_a_body_without_a_length_or_too_long_is_refused(browser, url, fake):
    assert browser.generic("POST", url, b"", headers=SAME).status_code in (200, 411)
    too_long = str(adminer_http.MOST_BODY + 1)
    response = browser.post(url, b"x", content_type="text/plain", headers={**SAME, "Content-Length": too_long})
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "Open Adminer"),
        ({"adminer_port": None}, "Adminer starts…"),
        ({"adminer_port": None, "adminer_problem": "image"}, "here does not have the image phpborg-adminer"),
        ({"adminer_port": None, "adminer_problem": "ended"}, "There is no Adminer: it has ended."),
        ({"adminer_port": None, "asked": {}}, ""),
    ],
)
def test_the_page_of_a_session_says_how_it_is(session, client_of, bob, diane, changes, shown):
    asked, _login = serving.request(POSTGRESQL_WHOLE, "postgres:15", read_only=True)
    told = {**asked.args, "engine": "/run/docker.sock"}
    if "asked" in changes:
        del told["adminer"]
    rows = {"port": 15432, "login": "phpborg", "server_name": "here", **changes, "asked": told}
    Session.objects.filter(pk=session.pk).update(**rows)
    page = reverse("session", args=[session.pk])
    seen = " ".join(client_of(bob).get(page).content.decode().split())
    assert shown in seen if shown else "Adminer" not in seen
    assert (reverse("adminer", args=[session.pk]) in seen) == (shown == "Open Adminer")
    assert "Adminer starts" not in client_of(diane).get(page).content.decode()
    assert reverse("adminer", args=[session.pk]) not in client_of(diane).get(page).content.decode()
