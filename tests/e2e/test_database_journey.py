"""From a look at a server to a job for one of its databases: in place, by keyboard, on a phone, without JavaScript."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import Visitor, visit
from tests.support import postgresql
from tests.support.product import Product

pytestmark = pytest.mark.browser
ODD = ("weird-db name", "a$b;c", "-x", "../up")
CANARY = "ca$ry canary-5b1e"
NEXT = "button[name=next]:not(.visually-hidden)"
PHONE = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
PLACES = """
from backups.services import pools, repositories
from servers.models import Server
pool = pools.create_pool(name="pool", path={path!r})
repositories.create_repository(pool=pool, name="main", passphrase="canary phrase")
Server.objects.create(name="here", kind=Server.Kind.LOCAL, state=Server.State.READY)
"""


@dataclass
class Place:
    """The running product, and a cluster with databases of odd names on its own machine."""

    product: Product
    cluster: postgresql.Cluster

    @property
    def choice(self) -> str:
        """Its radio button."""
        return f"input[name=kind][value$='port {self.cluster.port}']"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """PostgreSQL's own account must reach its directory, which a test's is not."""
    top = Path(tempfile.mkdtemp(prefix="phpborg-journey-", dir="/var/tmp"))
    top.chmod(0o755)
    product = Product(PHPBORG_CLOCK="60")
    try:
        with postgresql.running(top / "data", top / "sockets") as cluster, product:
            for name in [*ODD, *(f"tenant {number:02}" for number in range(12))]:
                cluster.sql(f'create database "{name}"')
            product.create_user("alice")
            product.python(PLACES.format(path=str(top / "pool")))
            yield Place(product, cluster)
    finally:
        shutil.rmtree(product.root, ignore_errors=True)
        shutil.rmtree(top, ignore_errors=True)


def to_kind(alice: Visitor) -> None:
    """As far as the choice of what is backed up."""
    alice.open("/jobs/new/")
    alice.page.check("label.choice input")
    alice.press(NEXT)


def look(alice: Visitor) -> None:
    """Press the button by keyboard and wait for that very look, on the same page."""
    page = alice.page
    before = page.locator("[data-taken]").get_attribute("data-taken") if page.locator("[data-taken]").count() else ""
    page.evaluate("window.sameDocument = true")
    alice.requests.clear()
    page.focus("#look")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"[data-taken]:not([data-taken='{before}'])", timeout=60_000)
    page.wait_for_selector("#looking", state="detached", timeout=60_000)
    assert page.evaluate("window.sameDocument === true"), "the page was loaded again"
    # The button and what follows it, and the end of the task: nothing is asked again and again.
    assert sum(alice.background_requests().values()) <= 5, alice.background_requests()


def test_from_a_look_to_a_job(chromium: Any, place: Place) -> None:
    alice = visit(chromium, place.product, "alice", locale="en-GB")
    page = alice.page
    to_kind(alice)
    assert page.locator("input[name=kind]").count() == 2
    page.check("#kind-system")
    look(alice)
    assert page.is_checked("#kind-system"), "the choice was lost"
    page.check(place.choice)
    alice.press(NEXT)
    choose_databases(alice)
    look(alice)
    assert page.is_checked("#method-logical")
    assert sorted(page.locator("[name=database]:checked").evaluate_all("boxes => boxes.map(box => box.value)")) == [
        "-x",
        "weird-db%20name",
    ]
    try_a_login(alice)
    page.check("#login-auto")
    alice.press(NEXT)
    page.check("label.choice >> nth=0")
    for _ in range(3):
        alice.press(NEXT)
    assert str(place.cluster.port) in page.input_value("[name=name]")
    page.fill("[name=name]", "two databases")
    assert "borg create" in alice.text("#plan-create")
    alice.press("form.form button.button--primary")
    assert "weird-db name" in alice.text()
    job = place.product.manage_json("job", "show", "two databases")
    assert (job["source_kind"], sorted(job["source"]["databases"])) == ("postgresql", ["-x", "weird-db name"])
    assert alice.problems == []
    assert not any("canary-5b1e" in frame for frame in alice.frames)


def choose_databases(alice: Visitor) -> None:
    """Two of them, by keyboard, with the filter."""
    page = alice.page
    page.focus("#method-logical")
    page.keyboard.press("Space")
    page.check("#scope-chosen")
    for text in ("WEIRD", "-x"):
        page.fill("#database-filter", text)
        row = page.locator("#databases li:visible")
        assert row.count() == 1, row.all_inner_texts()
        row.locator("input").focus()
        page.keyboard.press("Space")
    page.focus("#database-filter")
    page.keyboard.press("Enter")
    assert page.locator("#databases").count(), "Enter in the filter left the page"
    page.fill("#database-filter", "")
    assert page.locator("#databases li:visible").count() >= 16


def try_a_login(alice: Visitor) -> None:
    """The server is asked; what was typed stays, but for the password."""
    page = alice.page
    page.check("#login-given")
    page.fill("[name=user]", "nobody-of-this-name")
    page.fill("[name=password]", CANARY)
    page.click("#try")
    page.wait_for_selector("#tried .note", timeout=60_000)
    assert page.locator("#tried .tone-good").count() == 0, alice.text("#tried")
    assert page.input_value("[name=user]") == "nobody-of-this-name"
    assert page.input_value("[name=password]") == ""
    assert "canary-5b1e" not in page.content()
    assert page.locator("[data-kept]").count()
    assert page.is_checked("#method-logical")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off(chromium: Any, place: Place, scheme: str) -> None:
    alice = visit(chromium, place.product, "alice", color_scheme=scheme, **PHONE)
    page = alice.page
    to_kind(alice)
    look(alice)
    assert alice.overflow() == 0
    page.check(place.choice)
    alice.press(NEXT)
    page.check("#method-logical")
    page.check("#scope-chosen")
    page.check("#login-given")
    assert alice.overflow() == 0
    assert alice.problems == []


def test_a_database_job_without_javascript(chromium: Any, place: Place) -> None:
    alice = visit(chromium, place.product, "alice", java_script_enabled=False)
    page = alice.page
    to_kind(alice)
    alice.press("#look")
    for _ in range(60):
        if page.locator(place.choice).count() and not page.locator("#looking").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    page.check(place.choice)
    alice.press(NEXT)
    page.check("#method-logical")
    page.check("#scope-chosen")
    page.check("[name=database][value='..%2Fup']")
    alice.press("#try")
    assert page.is_checked("[name=database][value='..%2Fup']")
    alice.press(NEXT)
    page.check("label.choice >> nth=0")
    for _ in range(3):
        alice.press(NEXT)
    page.fill("[name=name]", "without javascript")
    alice.press("form.form button.button--primary")
    assert place.product.manage_json("job", "show", "without javascript")["source"]["databases"] == ["../up"]


def test_the_whole_system_is_a_job_too(chromium: Any, place: Place) -> None:
    alice = visit(chromium, place.product, "alice")
    page = alice.page
    to_kind(alice)
    page.check("#kind-system")
    alice.press(NEXT)
    page.fill("[name=excludes]", "/srv/cache/*")
    alice.press(NEXT)
    page.check("label.choice >> nth=0")
    for _ in range(3):
        alice.press(NEXT)
    page.fill("[name=name]", "all of it")
    alice.press("form.form button.button--primary")
    source = place.product.manage_json("job", "show", "all of it")["source"]
    assert source == {"excludes": ["/srv/cache/*"], "all_filesystems": True}
