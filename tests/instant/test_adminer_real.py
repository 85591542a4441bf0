"""Adminer itself, beside a real database out of an archive, asked as our page asks it."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from phpborg.crypto import EncryptedField
from recovery.errors import AdminerAway
from recovery.models import Session as Row
from recovery.services import adminer, adminer_http, serving
from servers.models import Server
from servers.services import loopback
from servers.transport import host_for
from tests.instant.conftest import Session
from tests.instant.test_product_real import ROWS, look, place, repository, serve
from tests.instant.test_verb_real import left
from tests.support import own_image
from tests.support.sshd import running
from tests.support.workers import wait_until

__all__ = ["place", "repository", "serve"]
pytestmark = pytest.mark.real


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are looked at, not followed."""

    def redirect_request(self, *_args: Any) -> None:
        return None


class Browser:
    """Asks the port as the view does: with the key, and with Adminer's own cookies."""

    def __init__(self, port: int, key: str | None) -> None:
        self.port, self.key = port, key
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._open = urllib.request.build_opener(jar, _Stay())

    def ask(self, query: str = "", form: dict[str, str] | None = None, path: str = "/") -> tuple[int, str]:
        """(status, text)"""
        body = None if form is None else urlencode(form).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}?{query}", body)
        if self.key is not None:
            request.add_header(adminer.KEY_HEADER, self.key)
        try:
            with self._open.open(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def sql(self, query: str, text: str) -> str:
        """What the page of SQL commands says to this one."""
        status, page = self.ask(f"{query}&sql=")
        token = re.search(r'name="token" value="([^"]+)"', page)
        assert token, page
        form = {"query": text, "token": token[1], "limit": "", "error_stops": "1"}
        status, page = self.ask(f"{query}&sql=", form)
        assert status == 200
        return page


@pytest.fixture(autouse=True)
def its_image(engine, settings) -> str:
    settings.RECOVERY_ADMINER_IMAGE = own_image.adminer(engine)
    return settings.RECOVERY_ADMINER_IMAGE


def adminer_of(session: Session) -> dict[str, Any]:
    """The first row that says how Adminer is."""
    found: list[dict[str, Any]] = []

    def is_said() -> bool:
        rows = [row for row in session.rows if row.get("adminer_port") or row.get("adminer_problem")]
        found.extend(rows[:1])
        assert session.thread is None or session.thread.is_alive(), session.error
        return bool(rows)

    session.until("ready")
    wait_until(is_said, 90)
    return found[0]


@pytest.fixture
def begin(engine, repository, place, serve):
    """(session, browser) of a database of the archive that runs, with Adminer beside it."""

    def run(archive: str, *, read_only: bool = True) -> tuple[Session, Browser]:
        found = look(repository, archive, place)
        image = own_image.postgresql(engine) if archive == "pg" else own_image.mariadb(engine)
        asked, _login = serving.request(found, image, read_only=read_only)
        session = serve(asked, archive)
        row = adminer_of(session)
        assert row["adminer_problem"] == "", row
        return session, Browser(row["adminer_port"], asked.secrets[adminer.KEY])

    return run


def refused_by_everything(browser: Browser, driver: str) -> None:
    """Other servers, accounts, drivers and callers."""
    other = "pgsql" if driver == "server" else "server"
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0)
        evil = f"127.0.0.1:{trap.getsockname()[1]}"
        for query in (f"{driver}={evil}", f"{other}={evil}", f"{other}=", "sqlite=/phpborg/etc/key", "username=root"):
            assert browser.ask(query)[0] == 400, query
        auth = {"auth[driver]": driver, "auth[server]": evil, "auth[username]": "root", "auth[password]": "x"}
        assert browser.ask("", auth)[0] == 400
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert browser.ask("script=version", {"version": "9"})[0] == 404
    assert browser.ask(path="/router.php")[0] == 404
    for key in (None, "", "x" * 43, (browser.key or "")[:-1]):
        status, page = Browser(browser.port, key).ask()
        assert (status, page) == (403, "Only phpBorg may ask here.\n")


def test_postgresql_without_a_form_and_read_only(begin, engine):
    session, browser = begin("pg")
    status, page = browser.ask()
    assert status == 200
    assert "auth[password]" not in page
    assert "PostgreSQL" in page
    assert "postgres" in page
    usual = "pgsql=&username=phpborg&db=postgres&ns=public"
    assert "kettle" in browser.ask(usual)[1]
    status, page = browser.ask(f"{usual}&select=kettle&order[0]=id&desc[0]=1")
    assert status == 200
    assert str(ROWS) in page
    assert str(ROWS) in browser.sql(usual, "SELECT count(*) FROM kettle")
    refused = browser.sql(usual, "INSERT INTO kettle VALUES (0)")
    assert "read-only" in refused or "recovery" in refused
    refused_by_everything(browser, "pgsql")
    session.finish()
    assert session.error is None
    assert left(session.token, engine) == []
    with pytest.raises(OSError):
        browser.ask()


def test_postgresql_in_a_sandbox_is_written(begin):
    _session, browser = begin("pg", read_only=False)
    usual = "pgsql=&username=phpborg&db=postgres&ns=public"
    assert "read-only" not in browser.sql(usual, "INSERT INTO kettle VALUES (-4711)")
    assert "-4711" in browser.ask(f"{usual}&select=kettle&order[0]=id")[1]


def test_mariadb_without_a_form_and_read_only(begin):
    _session, browser = begin("my")
    status, page = browser.ask()
    assert status == 200
    assert "auth[password]" not in page
    assert "shop" in page
    usual = "server=&username=phpborg&db=shop"
    status, page = browser.ask(f"{usual}&select=kettle&order[0]=id&desc[0]=1")
    assert status == 200
    assert str(ROWS) in page
    assert "read-only" in browser.sql(usual, "INSERT INTO kettle VALUES (0)")
    refused_by_everything(browser, "server")


def test_mariadb_in_a_sandbox_is_written(begin):
    _session, browser = begin("my", read_only=False)
    usual = "server=&username=phpborg&db=shop"
    browser.sql(usual, "INSERT INTO kettle VALUES (-4711)")
    assert "-4711" in browser.ask(f"{usual}&select=kettle&order[0]=id")[1]


def test_it_sees_the_socket_and_no_file_of_the_database(begin, engine):
    """And none of its own can be changed by it; its port is nobody's but the loopback's."""
    session, browser = begin("pg")
    name = f"phpborg-{session.token}-adminer"

    def php(code: str) -> str:
        return engine.docker("exec", name, "/usr/bin/php", "-r", code).stdout

    assert php("echo @file_put_contents('/phpborg/run/x', 'x') ? 'yes' : 'no';") == "no"
    assert php("echo @file_put_contents('/phpborg/etc/x', 'x') ? 'yes' : 'no';") == "no"
    assert php("echo file_exists('/phpborg/data') ? 'yes' : 'no';") == "no"
    assert php("echo posix_getuid() ? 'somebody' : 'root';") == "somebody"
    with open("/proc/net/tcp") as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert [one for one in listening if one.endswith(f":{browser.port:04X}")] == [f"0100007F:{browser.port:04X}"]
    arguments = engine.docker("inspect", name).stdout
    assert (browser.key or "?") not in arguments


def test_one_that_is_not_there_or_ends_does_not_end_the_session(engine, repository, place, serve, settings, begin):
    session, browser = begin("pg")
    engine.docker("kill", f"phpborg-{session.token}-adminer")
    wait_until(lambda: session.rows[-1].get("adminer_problem") == "ended", 60)
    assert session.rows[-1]["adminer_port"] is None
    with pytest.raises(OSError):
        browser.ask()
    session.finish()
    assert session.error is None
    settings.RECOVERY_ADMINER_IMAGE = "phpborg-test/adminer:none"
    found = look(repository, "pg", place)
    asked, _login = serving.request(found, own_image.postgresql(engine), read_only=True)
    session = serve(asked, "pg")
    assert adminer_of(session)["adminer_problem"] == "image"
    session.finish()
    assert session.error is None


def test_a_kill_9_of_the_helper_takes_it_along(begin, host, engine):
    session, browser = begin("pg")
    state = json.loads(Path(f"/var/lib/phpborg/instant/{session.token}/state.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    assert session.thread is not None
    session.thread.join(60)
    with pytest.raises(OSError):
        browser.ask()
    host.call("instant", {"action": "remove", "token": session.token}, timeout=150)
    assert left(session.token, engine) == []


def test_on_another_server_it_is_reached_through_ssh(start, engine, repository, place, lab, monkeypatch):
    """As an account that needs sudo for everything else: to reach the port it needs nothing."""
    found = look(repository, "pg", place)
    asked, _login = serving.request(found, own_image.postgresql(engine), read_only=True)
    with running(lab) as sshd:
        far = sshd.sudo_target()
        monkeypatch.setattr(loopback, "target_of", lambda _server: far)
        session = start(repository=repository, archive="pg", asked=asked, host=host_for(far))
        row = Row(
            server=Server(name="far", kind=Server.Kind.SSH),
            adminer_port=adminer_of(session)["adminer_port"],
            secrets=EncryptedField.seal(json.dumps(dict(asked.secrets))),
        )
        query = "pgsql=&username=phpborg&db=postgres&ns=public&select=kettle&order[0]=id&desc[0]=1"
        answer = adminer_http.ask(row, "GET", query, {}, "", BytesIO(), 0)
        assert answer.status == 200
        assert str(ROWS) in b"".join(answer.chunks).decode()
        session.finish()
        with pytest.raises(AdminerAway):
            adminer_http.ask(row, "GET", query, {}, "", BytesIO(), 0)
