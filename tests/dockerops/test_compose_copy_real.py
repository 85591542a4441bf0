"""A project restored beside itself: in its new directory, plain Compose finds the copy, never the original."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dockerops.choice import Choice
from dockerops.options import Options
from tests.dockerops.product import Products, Run
from tests.dockerops.show import LOOP, PLAIN
from tests.dockers.backing import clear
from tests.dockers.conftest import image_in
from tests.support.archives import Storage, storage
from tests.support.bridged import Bridged, engines

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
SECRET = "canary-of-a-compose-file"
TEXT = f"""# The shop.
version: "2.4"
services:
  db:
    image: {PLAIN}
    container_name: shop_database   # a fixed name
    command: ["/bin/sh", "-c", "{LOOP}"]
    environment: {{PASSWORD: {SECRET}}}
    volumes: [data:/data]
  web:
    image: {PLAIN}
    command: ["/bin/sh", "-c", "{LOOP}"]
    ports:
      - "127.0.0.1:18085:7000"
      - ${{DNS_PORT}}:53/udp
    volumes:
      - ./www:/www:ro
      - @PLACE@/beside:/beside
volumes:
  data:
    name: shop_data
"""


@pytest.fixture
def engine() -> Iterator[Bridged]:
    with engines("docker-copy") as (one,):
        clear(one)
        image_in(one)
        yield one
        clear(one)


@pytest.fixture
def place() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="phpborg-copy-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found, ignore_errors=True)


def containers(engine: Bridged, project: str) -> dict[str, tuple[str, ...]]:
    """{name: (id, start, project, published ports)}"""
    label = f"label=com.docker.compose.project={project}"
    names = engine.docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").stdout.split()
    said = json.loads(engine.docker("inspect", *names).stdout) if names else []
    return {
        one["Name"][1:]: (one["Id"], one["State"]["StartedAt"], one["State"]["Status"], str(_ports(one)))
        for one in said
    }


def _ports(said: dict[str, Any]) -> list[str]:
    rows = said["HostConfig"]["PortBindings"].values()
    return sorted(row["HostPort"] for bound in rows for row in bound)


def test_compose_finds_the_copy_and_leaves_the_original_alone(
    storage: Storage, run_pending: Run, engine: Bridged, place: Path
) -> None:
    app = place / "shop"
    for directory in (app / "www", place / "beside"):
        directory.mkdir(parents=True)
    (app / "docker-compose.yml").write_text(TEXT.replace("@PLACE@", str(place)))
    (app / ".env").write_text(f"TOKEN={SECRET}\nDNS_PORT=5300\n")
    (app / ".env").chmod(0o600)
    engine.compose("up", "--detach", cwd=str(app))
    original = containers(engine, "shop")
    assert sorted(original) == ["shop_database", "shop_web_1"]
    products = Products(storage, run_pending)
    products.look_at(storage.server, engine)
    archive = products.back_up(products.job(images="digests"))

    options = Options(placement="other_project", project_name="copy", path=str(place / "new"), ports="shift")
    choice = Choice("projects", projects=("shop",))
    restore = products.draft(archive, storage.server, choice=choice, options=options)
    products.agree(restore)
    task = products.restore(restore)
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail[-3000:])
    restore.refresh_from_db()
    assert SECRET not in str([restore.contents, restore.plan, restore.report, task.steps, task.log_tail])

    new = Path(f"{place}/new{app}")
    assert (new / ".env").stat().st_mode & 0o777 == 0o600
    assert (new / ".env").read_text() == f"TOKEN={SECRET}\nDNS_PORT=15300\nCOMPOSE_PROJECT_NAME=copy\n"
    said = yaml.safe_load(engine.compose("config", cwd=str(new)).stdout)
    assert said["services"]["db"]["container_name"] == "copy_database"
    assert said["volumes"]["data"]["name"] == "copy_data"
    assert f"{place}/new{place}/beside:/beside:rw" in said["services"]["web"]["volumes"]
    restored = containers(engine, "copy")
    assert sorted(engine.compose("ps", "--quiet", cwd=str(new)).stdout.split()) == sorted(
        row[0] for row in restored.values()
    )

    engine.compose("up", "--detach", cwd=str(new))
    assert containers(engine, "shop") == original
    now = containers(engine, "copy")
    assert {name: row[2:] for name, row in now.items()} == {name: row[2:] for name, row in restored.items()}
    assert sorted(now) == ["copy_database", "copy_web_1"]
    assert now["copy_web_1"][3] == "['15300', '28085']"
    engine.compose("down", "--volumes", cwd=str(new))
    assert containers(engine, "shop") == original
    assert "shop_data" in engine.docker("volume", "ls", "--quiet").stdout.split()
    assert containers(engine, "copy") == {}
