"""From a look at a server to a Docker backup that ran: by keyboard, on a phone, without JavaScript.

With $PHPBORG_SCREENSHOTS pictures of the pages go there.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dockers.backing import PLAIN, clear, run, status
from tests.dockers.conftest import image_in
from tests.e2e.browser import Visitor, visit
from tests.e2e.test_database_journey import NEXT, PHONE, PLACES, look, to_kind
from tests.support.bridged import Bridged, engines
from tests.support.docker_reports import is_the_one
from tests.support.product import Product

pytestmark = pytest.mark.browser
CANARY = "canary-environment-77b"
COMPOSE = f"""version: '2.4'
services:
  web:
    image: {PLAIN}
    command: sleep 3600
    init: true
    env_file: [../secrets/app.env]
    volumes: [./data:/data, ../shared:/shared, named:/named]
  db:
    image: {PLAIN}
    command: sleep 3600
    init: true
    environment: [PG_MAJOR=15]
    volumes: [tables:/var/lib/postgresql/data]
volumes:
  named: {{}}
  tables: {{}}
"""


@dataclass
class Place:
    """The running product, and an engine with a project on its own machine."""

    product: Product
    engine: Bridged


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    top = Path(tempfile.mkdtemp(prefix="phpborg-docker-", dir="/var/tmp"))
    product = Product(PHPBORG_CLOCK="60")
    try:
        with engines("docker-s") as (engine,), product:
            is_the_one(engine)
            image_in(engine)
            clear(engine)
            _fill(engine, top)
            product.create_user("alice", language="en")
            product.python(PLACES.format(path=str(top / "pool")))
            yield Place(product, engine)
            clear(engine)
    finally:
        shutil.rmtree(product.root, ignore_errors=True)
        shutil.rmtree(top, ignore_errors=True)


def _fill(engine: Bridged, top: Path) -> None:
    for name in ("my shop/data", "shared", "secrets"):
        (top / name).mkdir(parents=True)
    (top / "shared/file").write_bytes(os.urandom(50_000))
    (top / "secrets/app.env").write_text(f"PASSWORD={CANARY}\n")
    (top / "my shop/docker-compose.yml").write_text(COMPOSE)
    engine.compose("-p", "shop", "up", "--detach", cwd=str(top / "my shop"))
    for name in ("shop_named", "shop_tables"):
        (engine.data / f"volumes/{name}/_data/file").write_bytes(os.urandom(300_000))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(top / "engine.sock"))
    run(engine, "proxy", "--volume", f"{top}/engine.sock:/sock", "--volume", "/etc/localtime:/etc/localtime:ro")
    swarm = ("--label", "com.docker.swarm.service.id=x", "--label", "com.docker.swarm.service.name=stack_web")
    run(engine, "stack_web.1", *swarm)
    engine.docker("volume", "create", "orphan")
    (engine.data / "volumes/orphan/_data/file").write_text("x")


def shoot(alice: Visitor, name: str) -> None:
    """A picture of the whole page, where somebody wants one."""
    assert alice.overflow() <= 0, f"{name} is {alice.overflow()} px too wide"
    if album := os.environ.get("PHPBORG_SCREENSHOTS"):
        alice.page.wait_for_timeout(300)
        alice.page.screenshot(path=f"{album}/docker-{name}.png", full_page=True, caret="initial")


def test_from_a_look_to_an_archive(chromium: Any, place: Place) -> None:
    alice = visit(chromium, place.product, "alice", locale="en-GB")
    page = alice.page
    to_kind(alice)
    assert page.locator("#kind-docker").count() == 0
    look(alice)
    shoot(alice, "kind")
    page.check("#kind-docker")
    alice.press(NEXT)
    shoot(alice, "what")
    choose(alice)
    look(alice)
    assert page.is_checked("#projects-only"), "the choice was lost"
    assert page.is_checked("[name=projects][value=shop]")
    shoot(alice, "what-chosen")
    alice.press(NEXT)
    page.check("label.choice >> nth=0")
    for _ in range(3):
        alice.press(NEXT)
    shoot(alice, "review")
    assert "Stopped while Borg reads: shop_web_1" in alice.text("main")
    page.fill("[name=name]", "containers")
    page.check("[name=run_now]")
    alice.press("form.form button.button--primary")
    alice.until(
        "!!document.querySelector('main') && document.body.innerText.includes('Success')", 120, "it did not end"
    )
    shoot(alice, "task")
    assert status(place.engine, "shop_web_1") == "running"
    job = place.product.manage_json("job", "show", "containers")
    assert (job["source_kind"], job["source"]["projects"]) == ("docker", ["shop"])
    (archive,) = place.product.manage_json("archives", "--job", "containers")
    alice.open(f"/archives/{archive['id']}/")
    held = alice.text("main")
    for words in ("shop_named", "shop_tables", "shop_web_1", "Kept still while Borg read", "orphan"):
        assert words in held
    shoot(alice, "archive")
    alice.open(f"/jobs/{job['id']}/")
    assert "shop/web" in alice.text("main")
    shoot(alice, "job")
    server = place.product.python("from servers.models import Server; print(Server.objects.get().pk)").strip()
    alice.open(f"/servers/{server}/capabilities/")
    shoot(alice, "server")
    assert alice.problems == []
    assert not any(CANARY in frame for frame in alice.frames)


def choose(alice: Visitor) -> None:
    """One project, by keyboard, its web container stopped."""
    page = alice.page
    page.focus("#projects-all")
    page.keyboard.press("ArrowDown")
    assert page.is_checked("#projects-only")
    page.focus("[name=projects][value=shop]")
    page.keyboard.press("Space")
    page.check("#containers-only")
    assert page.locator("#volumes").is_hidden()
    select = page.locator("[name='way:shop%2Fweb']")
    assert select.locator("option[value=dump]").count() == 0
    assert page.locator("[name='way:shop%2Fdb'] option[value=dump]").count() == 1
    assert page.locator("[name='way:stack_web.1'] option[value=stop]").count() == 0
    select.select_option("stop")


def test_on_a_phone_in_the_dark_in_french(chromium: Any, place: Place) -> None:
    """After the journey above; nothing is wider than the screen."""
    place.product.python("from phpborg.accounts.models import User; User.objects.update(language='fr')")
    alice = visit(chromium, place.product, "alice", locale="fr-FR", color_scheme="dark", **PHONE)
    to_kind(alice)
    shoot(alice, "fr-kind")
    alice.page.check("#kind-docker")
    alice.press(NEXT)
    alice.page.check("#projects-only")
    shoot(alice, "fr-what")
    job = place.product.manage_json("job", "show", "containers")
    (archive,) = place.product.manage_json("archives", "--job", "containers")
    server = place.product.python("from servers.models import Server; print(Server.objects.get().pk)").strip()
    for name, address in (
        ("archive", f"/archives/{archive['id']}/"),
        ("job", f"/jobs/{job['id']}/"),
        ("server", f"/servers/{server}/capabilities/"),
    ):
        alice.open(address)
        shoot(alice, f"fr-{name}")
    assert alice.problems == []


def test_without_javascript_every_list_is_open(chromium: Any, place: Place) -> None:
    bob = visit(chromium, place.product, "alice", java_script_enabled=False)
    to_kind(bob)
    bob.page.check("#kind-docker")
    bob.press(NEXT)
    assert bob.page.locator("#volumes").is_visible()
    bob.page.check("#volumes-but")
    bob.page.check("[name=volumes][value=orphan]")
    bob.press(NEXT)
    drafts = "from backups.models import JobDraft; print(JobDraft.objects.latest('updated_at').answers['what'])"
    assert "'volumes': ['orphan']" in place.product.python(drafts)
