"""A Docker restore over a running project is killed in the middle, over SSH: the server is as it was before, by itself,
and the same restore succeeds afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dockerops.models import DockerRestore
from phpborg.tasks.models import Task
from tests.chaos.test_chaos import WORKERS, horse_of
from tests.dockerops.show import Stage
from tests.dockers.backing import clear
from tests.support.bridged import Bridged, engines
from tests.support.estate import Estate
from tests.support.product import eventually

pytestmark = pytest.mark.chaos
_JOB = """
from backups.models import Repository
from backups.services import jobs
from servers.models import Server
jobs.create_job(definition=jobs.JobDefinition(
    name="containers", server=Server.objects.get(name="one"), repository=Repository.objects.get(name="main"),
    source={"images": "saved", "config_files": False}, source_kind="docker"))
"""


@dataclass
class Restores:
    """A project that is in an archive, and has changed since."""

    estate: Estate
    engine: Bridged
    stage: Stage

    def start(self) -> tuple[str, str]:
        """Over what runs, agreed to everything; the ids of the restore and of its task."""
        words = ("docker-restore", "latest:containers", "--run", "--agree-to-all")
        said = self.estate.product.manage_json(*words)
        return said["restore"], said["task"]

    def row(self, restore: str) -> dict[str, Any]:
        names = ("state", "report", "plan")
        query = f"SELECT {', '.join(names)} FROM {DockerRestore._meta.db_table} WHERE id = ?"
        (found,) = self.estate.rows(query, uuid.UUID(restore).hex)
        return {name: json.loads(value) if name != "state" else value for name, value in zip(names, found, strict=True)}

    def at(self, restore: str, task: str) -> str:
        """The kind of the step that is carried out now."""
        ((steps,),) = self.estate.rows(f"SELECT steps FROM {Task._meta.db_table} WHERE id = ?", uuid.UUID(task).hex)
        running = [row["code"] for row in json.loads(steps) if row["state"] == "running"]
        kinds = {f"step-{step['number']}": step["op"] for step in self.row(restore)["plan"]["steps"]}
        return kinds.get(running[-1], running[-1]) if running else ""

    def what_is_there(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.stage.seen(self.engine), self.stage.data(self.engine)


@pytest.fixture(scope="module")
def restores(estate: Estate) -> Iterator[Restores]:
    place = Path(tempfile.mkdtemp(prefix="phpborg-kills-"))
    place.chmod(0o755)
    with engines("docker-k") as (engine,):
        clear(engine)
        stage = Stage(place)
        try:
            stage.start(engine)
            estate.product.manage("server", "capabilities", "one", "--reload", "--wait", timeout=200)
            estate.product.python(_JOB)
            ended = estate.run("containers", 300)
            assert ended["state"] in ("success", "notes"), ended
            stage.change(engine)
            yield Restores(estate, engine, stage)
        finally:
            clear(engine)
            shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize(
    ("how", "where"),
    [
        pytest.param("horse", "stop_container", marks=pytest.mark.long),
        ("worker", "exchange"),
        pytest.param("horse", "healthy", marks=pytest.mark.long),
        ("cancel", "healthy"),
    ],
)
def test_the_server_is_as_it_was_before(restores: Restores, how: str, where: str) -> None:
    estate = restores.estate
    before = restores.what_is_there()
    restore, task = restores.start()
    eventually(lambda: restores.at(restore, task) == where, 180, f"it never comes to {where}")
    if how == "cancel":
        estate.product.manage("task", "cancel", task)
    else:
        name, horse = horse_of(estate)
        if how == "worker":
            estate.product.end(name, signal.SIGKILL)
            estate.product.start_worker(name.removeprefix("worker-"), WORKERS[name])
        else:
            os.kill(horse, signal.SIGKILL)
    ended = estate.wait(task, 180)
    # A horse outlives its worker for as long as it takes to undo everything itself.
    assert ended["state"] == {"cancel": "cancelled", "worker": "failed", "horse": "lost"}[how], ended
    eventually(lambda: restores.row(restore)["state"] == "rolled_back", 180, str(restores.row(restore)["report"]))
    assert restores.row(restore)["report"]["rollback"]["complete"]
    assert restores.what_is_there() == before
    estate.is_clean(120)
    assert restores.stage.traces(restores.engine) == []


def test_afterwards_the_same_restore_succeeds(restores: Restores) -> None:
    restore, task = restores.start()
    ended = restores.estate.wait(task, 300)
    assert ended["state"] == "success", ended
    assert restores.row(restore)["state"] == "done"
    assert not (restores.stage.beside / "since").exists()
    assert (
        json.loads(restores.estate.product.manage("docker-restore", "--rollback", restore, "--wait", "--json"))["state"]
        == "success"
    )
    assert (restores.stage.beside / "since").exists()
    assert restores.stage.traces(restores.engine) == []
