"""Instant Recovery in a browser: from the archive's page to a database that answers and to Adminer, seen live on other
pages, and gone everywhere after its stop. PHPBORG_SCREENSHOTS names a directory for a picture of each station."""

from __future__ import annotations

import os
import re
import shutil
import socket
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
    pool: Path


def with_adminer(product: Product, engine: Engine) -> Product:
    """The product knows Adminer's image as an administrator has made it."""
    product.env["PHPBORG_RECOVERY_ADMINER_IMAGE"] = own_image.adminer(engine)
    return product


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    top = Path(tempfile.mkdtemp(prefix="phpborg-instant-", dir="/var/tmp"))
    top.chmod(0o755)
    product = Product(PHPBORG_CLOCK="3")
    try:
        with postgresql.running(top / "pg", top / "sockets") as cluster:
            cluster.sql(f"CREATE TABLE kettle AS SELECT i AS id FROM generate_series(1, {ROWS}) i")
        with running_engine() as engine, with_adminer(product, engine):
            for language in ("en", "fr"):
                product.create_user(f"alice-{language}", language=language)
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
            yield Place(product, engine, own_image.postgresql(engine), archive, top / "pool")
    finally:
        shutil.rmtree(product.root, ignore_errors=True)
        shutil.rmtree(top, ignore_errors=True)


def to_the_plan(alice: Visitor, place: Place) -> None:
    """From the archive's page, by its restore page: a job of plain files has no button of its own."""
    page = alice.page
    alice.open(f"/archives/{place.archive}/")
    alice.press("#content a[href$='/restore/'], main a[href$='/restore/']")
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


def shoot(visitor: Visitor, name: str) -> None:
    """A picture, where they are wanted; and in any case nothing is wider than the screen."""
    if album := os.environ.get("PHPBORG_SCREENSHOTS"):
        width = visitor.page.viewport_size["width"]
        # Hiding the caret leaves a style on every field, which htmx would copy against the page's policy.
        visitor.page.screenshot(path=f"{album}/instant-{name}-{width}.png", full_page=True, caret="initial")
    if "/adminer/" not in visitor.page.url:  # Adminer's own pages scroll
        assert visitor.overflow() <= 0, name


def beside(visitor: Visitor, address: str) -> Visitor:
    """Another page of the same person, which is never loaded again."""
    other = Visitor(visitor.page.context.new_page(), visitor.url).open(address)
    other.page.evaluate(_HEARD)
    return other


def in_adminer(alice: Visitor) -> Any:
    """Opened from the session's page; signed in; through the table to its rows."""
    page = alice.page
    page.wait_for_selector("#session a[href$='/adminer/']", timeout=90_000)
    with page.context.expect_page() as opened:
        page.click("#session a[href$='/adminer/']")
    adminer = Visitor(opened.value, alice.url)
    adminer.page.wait_for_load_state()
    assert "auth[password]" not in adminer.page.content()
    shoot(adminer, "adminer")
    adminer.press("a:text-is('postgres')")
    adminer.press("a[href$='&select=kettle']")
    adminer.page.wait_for_selector("#table tbody tr")
    assert {"1", "2", "3"} <= set(adminer.text("#table").split())
    shoot(adminer, "rows")
    return adminer


def nothing_is_left(place: Place, port: int) -> bool:
    """Directory, mount, view, container, port."""
    with socket.socket() as probe:
        is_free = probe.connect_ex(("127.0.0.1", port)) != 0
    views = place.pool / ".views"
    return (
        is_free
        and not os.listdir(INSTANT)
        and not mounts_below(INSTANT)
        and not (views.exists() and os.listdir(views))
        and not place.engine.docker("ps", "-aq").stdout.split()
    )


@pytest.mark.parametrize(
    ("language", "options"),
    [
        ("en", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}),
        ("fr", {"viewport": {"width": 375, "height": 812}, "color_scheme": "dark"}),
    ],
    ids=["desk", "phone"],
)
def test_through_adminer_to_the_end_seen_by_another_person(
    chromium: Any, place: Place, language: str, options: dict[str, Any]
) -> None:
    alice = visit(chromium, place.product, f"alice-{language}", **options)
    diane = visit(chromium, place.product, "diane", **options).open("/servers/")
    diane.page.evaluate(_HEARD)
    listing = beside(diane, "/sessions/")
    to_the_plan(alice, place)
    shoot(alice, "plan")
    alice.press("button[name=start]")
    row, state = "[id^=taskbar-task-]", "[id^=figure-state-]"
    diane.page.wait_for_selector(row, state="attached", timeout=60_000)
    listing.page.wait_for_selector(state, timeout=60_000)
    alice.page.wait_for_selector("#session-command", timeout=90_000)
    port = int(alice.text("#session-command").split("-p ")[1].split()[0])
    adminer = in_adminer(alice)
    read = "document.querySelector('[id^=figure-read-]')?.textContent.trim()"
    before = listing.page.evaluate(read)
    adminer.press("a[href$='&select=kettle']")
    listing.until(f"/\\d/.test({read})", 30, f"the list shows no figures: {before}")
    shoot(listing, "list")
    shoot(alice, "session")
    alice.page.bring_to_front()  # a page behind another one is not drawn, and its buttons never rest
    alice.page.click("[id^=task-cancel-]")
    alice.page.wait_for_selector("#confirm-dialog[open]")
    shoot(alice, "question")
    alice.page.click("#confirm-dialog [value=yes]")
    alice.page.wait_for_selector("#session .tone-good .note__title", timeout=60_000)
    for one in (alice, diane):
        one.page.wait_for_selector(row, state="detached", timeout=60_000)
    listing.page.wait_for_selector(state, state="detached", timeout=60_000)
    for one in (diane, listing):
        assert one.page.evaluate("window.sameDocument === true"), "a page was loaded again"
    eventually(lambda: nothing_is_left(place, port), 60, "something is left")
    shoot(alice, "ended")
    adminer.page.bring_to_front()
    adminer.page.reload()
    shoot(adminer, "adminer-away")
    adminer.press("main a.button--primary")
    assert adminer.page.url == alice.page.url
    assert [*alice.problems, *diane.problems, *listing.problems] == []


def test_by_the_keyboard_alone(chromium: Any, place: Place) -> None:
    """From the plan to the start, and stopped in the list."""
    alice = visit(chromium, place.product, "alice", locale="en-GB")
    to_the_plan(alice, place)
    alice.tab_to("button[name=start]")
    with alice.page.expect_navigation():
        alice.page.keyboard.press("Enter")
    alice.page.wait_for_selector("#session-command", timeout=90_000)
    alice.open("/sessions/")
    alice.tab_to("form[action$='/stop/'] button")
    alice.page.keyboard.press("Enter")
    alice.page.wait_for_selector("#confirm-dialog[open]")
    assert "Stop this session?" in alice.text("#confirm-dialog")
    alice.tab_to("#confirm-dialog [value=yes]", most=5)
    with alice.page.expect_navigation():
        alice.page.keyboard.press("Enter")
    alice.page.wait_for_selector("#session .tone-good .note__title", timeout=60_000)
    eventually(lambda: not os.listdir(INSTANT), 60, "something is left")


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
