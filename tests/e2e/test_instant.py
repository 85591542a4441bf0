"""Instant Recovery in a browser: from the archive's page to a database that answers, seen live on other pages, and gone
everywhere after its stop."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from phpborg.mounts import mounts_below
from tests.e2e.browser import Visitor, visit
from tests.lab.engine import Engine, running_engine
from tests.support import own_image, postgresql
from tests.support.product import Product, eventually

pytestmark = pytest.mark.browser
ROWS = 4321
INSTANT = Path("/var/lib/phpborg/instant")
_MADE = """
from backups.services import pools, repositories
from servers.models import Server
pool = pools.create_pool(name="pool", path={path!r})
repositories.create_repository(pool=pool, name="main", passphrase="canary phrase")
Server.objects.create(name="here", kind=Server.Kind.LOCAL, state=Server.State.READY)
"""
_HEARD = """
() => { window.sameDocument = true; }
"""


@dataclass
class Place:
    """The running product with an archive of a cluster, and the engine that its sessions run in."""

    product: Product
    engine: Engine
    image: str
    archive: str


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    top = Path(tempfile.mkdtemp(prefix="phpborg-instant-", dir="/var/tmp"))
    top.chmod(0o755)
    product = Product(PHPBORG_CLOCK="3")
    try:
        with postgresql.running(top / "pg", top / "sockets") as cluster:
            cluster.sql(f"CREATE TABLE kettle AS SELECT i AS id FROM generate_series(1, {ROWS}) i")
        with running_engine() as engine, product:
            product.create_user("alice", language="en")
            product.create_user("diane", role="viewer", language="en")
            product.python(_MADE.format(path=str(top / "pool")))
            product.manage(
                "job", "create", "kettle", "--server", "here", "--repository", "main", "--path", str(top / "pg")
            )
            task = product.manage_json("backup", "kettle")["task"]
            eventually(
                lambda: product.manage_json("task", "show", task, check=False)["state"] == "success", 120, "no archive"
            )
            archive = product.python("from backups.models import Archive\nprint(Archive.objects.get().pk)").strip()
            yield Place(product, engine, own_image.postgresql(engine), archive)
    finally:
        shutil.rmtree(product.root, ignore_errors=True)
        shutil.rmtree(top, ignore_errors=True)


def to_the_plan(alice: Visitor, place: Place) -> None:
    """From the archive's page, by its restore page: a job of plain files has no button of its own."""
    page = alice.page
    alice.open(f"/archives/{place.archive}/restore/")
    alice.press("#content a[href$='/instant/']")
    if page.locator("form[action$='/look/']").count():
        alice.press("form[action$='/look/'] button")
        page.wait_for_selector("form[action$='/instant/start/']", timeout=90_000)
    page.fill("[name=image]", place.image)
    page.fill("[name=docker]", str(place.engine.socket))
    page.uncheck("[name=fetch]")
    alice.press("form[action$='/instant/start/'] button:not([name=start])")
    assert "--network none" in page.content()
    assert place.image in alice.text()


def psql(alice: Visitor, query: str) -> str:
    """As somebody does who copies the line and the password from the page."""
    command = alice.text("#session-command").split()
    alice.press("form[action$='/password/'] button")
    password = alice.text("#session-password").strip()
    words = [str(postgresql.PROGRAMS / "psql"), "-XAt", *command[1:], "-c", query]
    ended = subprocess.run(
        words, env={**os.environ, "PGPASSWORD": password}, capture_output=True, text=True, check=False
    )
    return ended.stdout.strip() or ended.stderr


def test_from_the_archive_to_an_answer_and_gone_everywhere(chromium: Any, place: Place) -> None:
    alice = visit(chromium, place.product, "alice", locale="en-GB")
    diane = visit(chromium, place.product, "diane", locale="en-GB")
    diane.open("/servers/")
    diane.page.evaluate(_HEARD)
    assert "active task" not in diane.text("#taskbar-live")
    to_the_plan(alice, place)
    alice.press("button[name=start]")
    page = alice.page
    page.evaluate(_HEARD)
    diane.page.wait_for_selector("[id^=taskbar-task-]", state="attached", timeout=60_000)
    page.wait_for_selector("#session-command", timeout=90_000)
    assert page.evaluate("window.sameDocument === true"), "the page was loaded again"
    session = page.url
    diane.until("document.querySelector('#taskbar-live .tone-good') !== null", 30, "it does not serve")
    assert diane.page.evaluate("window.sameDocument === true")
    assert diane.page.locator("[id^=taskbar-stop-]").count() == 0, "a viewer is offered to stop it"
    (token,) = os.listdir(INSTANT)
    assert mounts_below(INSTANT / token)
    assert psql(alice, "SELECT count(*) FROM kettle") == str(ROWS)
    alice.open(session.removeprefix(place.product.url))
    refused = psql(alice, "INSERT INTO kettle VALUES (0)")
    assert re.search("read-only|permission denied", refused), refused
    alice.open(session.removeprefix(place.product.url))
    page.click("[id^=task-cancel-]")
    page.wait_for_selector("#confirm-dialog[open]")
    page.click("#confirm-dialog [value=yes]")
    page.wait_for_selector("#session .tone-good .note__title", timeout=60_000)
    diane.page.wait_for_selector("[id^=taskbar-task-]", state="detached", timeout=60_000)
    eventually(lambda: not os.listdir(INSTANT), 60, "something is left")
    assert not mounts_below(INSTANT)
    assert place.engine.docker("ps", "-aq").stdout.split() == []
    alice.open("/sessions/")
    assert "Stopped" in alice.text("#content")
    assert "Running" not in alice.text("#content")
    assert alice.problems == []
    assert diane.problems == []


def test_without_javascript(chromium: Any, place: Place) -> None:
    alice = visit(chromium, place.product, "alice", locale="en-GB", java_script_enabled=False)
    to_the_plan(alice, place)
    alice.press("button[name=start]")
    page = alice.page
    for _ in range(90):
        if page.locator("#session-command").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    assert psql(alice, "SELECT count(*) FROM kettle") == str(ROWS)
    alice.open("/sessions/")
    alice.press("form[action$='/stop/'] button")
    assert "Stop this session?" in alice.text()
    alice.press("form.form button[type=submit]")
    for _ in range(90):
        if page.locator("#session .tone-good .note__title").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    assert "It has ended" in alice.text("#session")
    eventually(lambda: not os.listdir(INSTANT), 60, "something is left")
