"""The Docker wizard in a browser, from the archive's page to containers that run again, seen live, and rolled back.

A real engine, a real Compose project, real execution. PHPBORG_SCREENSHOTS names a directory for a picture of each
station.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dockerops.show import IMAGE, PROJECT, SECRET, Stage
from tests.dockers.backing import clear
from tests.e2e.browser import Visitor, visit
from tests.support.bridged import Bridged, engines
from tests.support.product import Product, eventually

pytestmark = pytest.mark.browser
_MADE = """
from dataclasses import replace
from django.utils import timezone
from backups.services import jobs, pools, repositories
from phpborg.process import Never
from servers.models import Server
from servers.services import capabilities, capabilities_run
from servers.services.reach import host_for
pool = pools.create_pool(name="pool", path={pool!r})
repository = repositories.create_repository(pool=pool, name="main", passphrase="canary phrase")
server = Server.objects.create(name="here", kind=Server.Kind.LOCAL, state=Server.State.READY)
report = capabilities_run.ask(host_for(server), stop=Never(), only=("docker",), size_seconds=0)
docker = replace(report.docker, socket={socket!r}, running=True, data_root={data!r})
capabilities.record(server=server, report=replace(report, docker=docker), taken_at=timezone.now())
jobs.create_job(definition=jobs.JobDefinition(
    name="kiosk", server=server, repository=repository, source_kind="docker",
    source={{"images": "digests", "config_files": False}},
))
"""
WORKERS = {"backup": ("backup",), "restore": ("restore",), "quick": ("quick",), "system": ("system", "quick")}
_HEARD = "() => { window.sameDocument = true; }"
DESK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 375, "height": 812}, "color_scheme": "dark"}
DATABASE = f"{PROJECT}_db_1"


@dataclass
class Place:
    """The running product with an archive of the project, and the engine that it runs in."""

    product: Product
    engine: Bridged
    stage: Stage
    archive: str

    def inside(self, container: str, script: str) -> str:
        return self.engine.docker("exec", container, "/bin/sh", "-c", script).stdout.strip()

    def states(self) -> dict[str, str]:
        said = self.engine.docker("ps", "--all", "--format", "{{.Names}} {{.State}}").stdout.split("\n")
        return dict(line.split(" ") for line in said if line)


@contextmanager
def running(product: Product) -> Iterator[None]:
    """With the workers that are needed here, and no more: the machine is small."""
    product.prepare()
    try:
        product.start(WORKERS)
        yield
    finally:
        product.stop()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    top = Path(tempfile.mkdtemp(prefix="phpborg-wizard-", dir="/var/tmp"))
    top.chmod(0o755)
    product = Product(PHPBORG_CLOCK="3")
    try:
        with engines("docker-wz") as (engine,):
            clear(engine)
            stage = Stage(top / "stage")
            stage.place.mkdir(mode=0o755)
            stage.start(engine)
            with running(product):
                for name, language in (("alice", "en"), ("amelie", "fr")):
                    product.create_user(name, language=language)
                product.create_user("diane", role="viewer", language="en")
                facts = {"pool": str(top / "pool"), "socket": str(engine.socket), "data": str(engine.data)}
                product.python(_MADE.format(**facts))
                task = product.manage_json("backup", "kiosk")["task"]
                ended = ("success", "notes", "failed")

                def show() -> Any:
                    return product.manage_json("task", "show", task, check=False)

                eventually(lambda: show()["state"] in ended, 180, "no archive")
                assert show()["state"] != "failed", show()
                archive = product.python("from backups.models import Archive\nprint(Archive.objects.get().pk)").strip()
                yield Place(product, engine, stage, archive)
            clear(engine)
    finally:
        shutil.rmtree(product.root, ignore_errors=True)
        shutil.rmtree(top, ignore_errors=True)


def shoot(visitor: Visitor, name: str) -> None:
    """A picture, where they are wanted; and in any case nothing is wider than the screen."""
    if album := os.environ.get("PHPBORG_SCREENSHOTS"):
        width = visitor.page.viewport_size["width"]
        # Hiding the caret leaves a style on every field, which htmx would copy against the page's policy.
        visitor.page.screenshot(path=f"{album}/docker-{name}-{width}.png", full_page=True, caret="initial")
    assert visitor.overflow() <= 0, name


def next_step(visitor: Visitor, step: str) -> None:
    """Press “Next”, and be at the step whose address ends so."""
    visitor.press("main button[name=next]")
    assert f"/{step}/" in visitor.page.url, f"{visitor.page.url}: {visitor.text()[:2000]}"


def to_the_choice(visitor: Visitor, place: Place) -> None:
    """From the archive's page through the look into it, which is followed live."""
    visitor.open(f"/archives/{place.archive}/")
    visitor.press(f"a[href$='/archives/{place.archive}/docker/']")
    shoot(visitor, "1-archive")
    next_step(visitor, "contents")
    visitor.page.evaluate(_HEARD)
    visitor.page.wait_for_selector("#found-volumes", timeout=60_000)
    assert visitor.page.evaluate("window.sameDocument === true"), "the page was loaded again"
    shoot(visitor, "2-contents")
    assert SECRET not in visitor.page.content()
    next_step(visitor, "choice")


def checked(visitor: Visitor) -> None:
    """At the conflicts: wait for the check, without loading the page again."""
    assert "/conflicts/" in visitor.page.url, f"{visitor.page.url}: {visitor.text()[:2000]}"
    visitor.page.evaluate(_HEARD)
    visitor.page.wait_for_selector("#conflicts button[name=check]", timeout=60_000)
    assert visitor.page.evaluate("window.sameDocument === true"), "the page was loaded again"
    visitor.page.wait_for_selector("#conflicts time[datetime]", timeout=5_000)


def agree(visitor: Visitor) -> None:
    """To everything."""
    for box in visitor.page.locator("[name=consent]").all():
        box.check()


def confirm(visitor: Visitor) -> None:
    """Yes, in the dialog."""
    visitor.page.wait_for_selector("#confirm-dialog[open]")
    with visitor.page.expect_navigation():
        visitor.page.click("#confirm-dialog [value=yes]")


def start(visitor: Visitor) -> None:
    """From the review to the record, after the question."""
    assert "/review/" in visitor.page.url, f"{visitor.page.url}: {visitor.text()[:2000]}"
    shoot(visitor, "6-review")
    visitor.page.click("form[action$='/start/'] button")
    visitor.page.wait_for_selector("#confirm-dialog[open]")
    shoot(visitor, "7-question")
    confirm(visitor)


def followed(visitor: Visitor, words: str = "good") -> None:
    """On the record until it has ended, without loading the page again; the steps are seen while it runs."""
    page = visitor.page
    page.evaluate(_HEARD)
    page.wait_for_selector("[id^=task-] .step", timeout=60_000)
    shoot(visitor, "8-running")
    page.wait_for_selector(f"#content .note.tone-{words} .note__title, .error", timeout=240_000)
    shoot(visitor, "9-ended")
    assert page.evaluate("window.sameDocument === true"), "the page was loaded again"
    assert page.locator(f"#content .note.tone-{words}").count(), visitor.text()[:4000]


def test_everything_comes_back_and_goes_again_by_one_click(chromium: Any, place: Place) -> None:
    """Everything was destroyed but the images: the project, its volumes and directories come back, seen live by two."""
    place.stage.destroy(place.engine, images=False)
    alice = visit(chromium, place.product, "alice", locale="en-GB", **DESK)
    to_the_choice(alice, place)
    alice.page.check("[name=mode][value=all]")
    shoot(alice, "3-choice")
    next_step(alice, "conflicts")
    checked(alice)
    shoot(alice, "4-blocked")
    assert alice.page.locator("main button[name=next][disabled]").count(), "the external network is missing"
    alice.press("main a[href$='/options/']")
    alice.page.check("[name=create_missing]")
    shoot(alice, "5-options")
    next_step(alice, "conflicts")
    checked(alice)
    agree(alice)
    shoot(alice, "4-conflicts")
    next_step(alice, "review")
    start(alice)
    diane = visit(chromium, place.product, "diane", **DESK).open(alice.page.url.removeprefix(place.product.url))
    assert diane.page.locator("form[action$='/rollback/']").count() == 0
    followed(alice)
    assert {DATABASE: "running", "probe-1": "paused", f"{PROJECT}_web_1": "running"}.items() <= place.states().items()
    assert place.inside(DATABASE, "cat /data/text") == "old"
    assert (place.stage.directory / "www/index.html").read_text() == "hello"
    diane.page.wait_for_selector("#content .note.tone-good", timeout=30_000)
    alice.page.click("form[action$='/rollback/'] button")
    alice.page.wait_for_selector("#confirm-dialog[open]")
    shoot(alice, "10-rollback")
    confirm(alice)
    alice.page.wait_for_selector("#content > .note.tone-warn .note__title", timeout=120_000)
    shoot(alice, "11-rolled-back")
    assert place.states() == {}, "what the restore had made is gone again"
    assert not place.stage.directory.exists()
    assert [*alice.problems, *diane.problems] == []
    assert SECRET not in alice.page.content()


def rebuilt(place: Place) -> None:
    """The project runs, as the other tests find it."""
    if DATABASE not in place.states():
        place.stage.destroy(place.engine, images=False)
        shutil.rmtree(place.stage.place)
        place.stage.place.mkdir(mode=0o755)
        place.stage.start(place.engine)


@pytest.mark.long
def test_one_volume_of_a_running_project_in_french_on_a_phone(chromium: Any, place: Place) -> None:
    rebuilt(place)
    place.inside(DATABASE, "echo new > /data/text; echo more > /data/more")
    amelie = visit(chromium, place.product, "amelie", locale="fr-FR", **PHONE)
    to_the_choice(amelie, place)
    amelie.page.check("[name=mode][value=volumes]")
    amelie.page.check(f"[name=volumes][value={PROJECT}_data]")
    shoot(amelie, "3-choice")
    next_step(amelie, "conflicts")
    checked(amelie)
    amelie.press("main button[name=next]")
    assert "/conflicts/" in amelie.page.url, "without an agreement nothing goes on"
    shoot(amelie, "4-disagreed")
    agree(amelie)
    shoot(amelie, "4-conflicts")
    next_step(amelie, "options")
    shoot(amelie, "5-options")
    next_step(amelie, "review")
    start(amelie)
    followed(amelie)
    assert place.inside(DATABASE, "cat /data/text; test -e /data/more || echo gone").split() == ["old", "gone"]
    amelie.page.click("form[action$='/forget/'] button")
    amelie.page.wait_for_selector("#confirm-dialog[open]")
    shoot(amelie, "10-forget")
    confirm(amelie)
    amelie.page.wait_for_selector("#protection", state="detached", timeout=60_000)
    amelie.open("/docker-restores/")
    shoot(amelie, "12-list")
    assert amelie.problems == []


def enter(visitor: Visitor, selector: str) -> None:
    """Reach a button by Tab and press it, and wait for the page that follows."""
    visitor.tab_to(selector)
    with visitor.page.expect_navigation():
        visitor.page.keyboard.press("Enter")


@pytest.mark.long
def test_single_files_by_the_keyboard_alone(chromium: Any, place: Place) -> None:
    """A file of a volume, its path typed; no pointer is used from the archive's page to the end."""
    rebuilt(place)
    place.inside(DATABASE, "echo new > /data/text; echo more > /data/more")
    alice = visit(chromium, place.product, "alice", locale="en-GB", **DESK)
    keys = alice.page.keyboard
    alice.open(f"/archives/{place.archive}/")
    enter(alice, f"a[href$='/archives/{place.archive}/docker/']")
    enter(alice, "button[name=next]")
    alice.page.wait_for_selector("#found-volumes", timeout=60_000)
    enter(alice, "button[name=next]")
    alice.tab_to("[name=mode]")
    while not alice.page.evaluate("document.activeElement.value === 'files'"):
        keys.press("ArrowDown")
    keys.press("Tab")
    assert alice.page.evaluate("document.activeElement.name") == "volume"
    keys.type(f"{PROJECT}_data")
    assert alice.page.input_value("[name=volume]") == f"{PROJECT}_data"
    keys.press("Tab")
    keys.type("text")
    enter(alice, "button[name=next]")
    checked(alice)
    for _ in range(alice.page.locator("[name=consent]").count()):
        alice.tab_to("[name=consent]:not(:checked)")
        keys.press("Space")
    enter(alice, "button[name=next]")
    enter(alice, "button[name=next]")
    assert "/review/" in alice.page.url, alice.text()[:2000]
    alice.tab_to("form[action$='/start/'] button")
    keys.press("Enter")
    alice.page.wait_for_selector("#confirm-dialog[open]")
    alice.tab_to("#confirm-dialog [value=yes]", most=5)
    with alice.page.expect_navigation():
        keys.press("Enter")
    followed(alice)
    assert place.inside(DATABASE, "cat /data/text /data/more").split() == ["old", "more"]
    assert alice.problems == []


def reloaded(visitor: Visitor, selector: str, seconds: float = 90) -> None:
    """Without scripts: look again, by the link that is there for it, until something is seen."""
    end = time.monotonic() + seconds
    while not visitor.page.locator(selector).count():
        assert time.monotonic() < end, f"no {selector}: {visitor.text()[:2000]}"
        visitor.page.wait_for_timeout(500)
        visitor.press("noscript a, main p a.button")


@pytest.mark.long
def test_without_javascript_files_picked_by_looking_and_the_script(chromium: Any, place: Place) -> None:
    """By plain forms and links to the plan; the archive is opened to pick a folder; the script is a file."""
    rebuilt(place)
    alice = visit(chromium, place.product, "alice", locale="en-GB", java_script_enabled=False, accept_downloads=True)
    alice.open(f"/archives/{place.archive}/docker/")
    next_step(alice, "contents")
    reloaded(alice, "#found-volumes")
    next_step(alice, "choice")
    alice.page.check("[name=mode][value=files]")
    alice.page.select_option("[name=volume]", f"{PROJECT}_data")
    alice.press("button[name=pick]")
    assert "/files/" in alice.page.url
    if alice.page.locator("button[name=open]").count():
        alice.press("button[name=open]")
        reloaded(alice, "[name=item]")
    alice.page.check("[name=item][value=deep]")
    alice.press("form:has([name=item]) button.button--primary")
    assert "deep" in alice.text(".picked-path")
    alice.press("main a[href$='/choice/'].button--primary")
    assert alice.page.input_value("[name=paths]") == "deep"
    next_step(alice, "conflicts")
    reloaded(alice, "#conflicts time[datetime]")
    agree(alice)
    next_step(alice, "options")
    next_step(alice, "review")
    with alice.page.expect_download() as download:
        alice.page.click("a[download]")
    text = Path(download.value.path()).read_text()
    assert download.value.suggested_filename.endswith(".sh")
    assert text.startswith("#!")
    assert SECRET not in text
    alice.press("form[action$='/start/'] button")
    assert "Restore to here?" in alice.text()
    alice.press("main a.button")
    alice.press("form[action$='/discard/'] button")
    assert "/docker-restores/" in alice.page.url


def test_nothing_is_cut_off_or_squeezed_on_a_phone(chromium: Any, place: Place) -> None:
    """The record of a viewer, in the dark."""
    diane = visit(chromium, place.product, "diane", **PHONE).open("/docker-restores/")
    if diane.page.locator("main tbody th a").count():
        diane.press("main tbody th a")
        shoot(diane, "13-record")
        assert diane.page.locator("main form[method=post]").count() == 0, "a viewer is offered to change something"
    assert IMAGE  # the images stay in the engine between the tests
