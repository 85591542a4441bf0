"""A drill that is killed in the middle, or cancelled: nothing of it is left, and production is untouched."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerops.drill_manifest import LABEL
from phpborg.tasks import queue, reaper
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State as TaskState
from recovery.checks.base import Query
from recovery.models import Depth, Proof
from recovery.services import proofs
from tests.dockerops.drill_show import Shop
from tests.dockerops.product import Products
from tests.dockers.backing import clear
from tests.support.archives import Storage, storage
from tests.support.bridged import Bridged, engines
from tests.support.workers import WorkerProcess, wait_until

__all__ = ["storage"]
pytestmark = [pytest.mark.real]
State = Proof.State
SLOW = Query("db", "SELECT pg_sleep(600)")


@pytest.fixture(scope="module")
def engine() -> Iterator[Bridged]:
    with engines("docker-drill-k") as (one,):
        clear(one)
        # The engine's directory outlives a run that was killed.
        for left in one.data.glob(".phpborg-*"):
            shutil.rmtree(left)
        yield one
        clear(one)


@pytest.fixture
def shop(engine: Bridged) -> Iterator[Shop]:
    place = Path(tempfile.mkdtemp(prefix="phpborg-drill-"))
    place.chmod(0o755)
    one = Shop(place)
    one.start(engine)
    yield one
    clear(engine)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def running(
    worker: Callable[..., WorkerProcess],
    storage: Storage,
    run_pending: Callable[..., list[Task]],
    engine: Bridged,
    shop: Shop,
) -> tuple[WorkerProcess, Proof, Task, dict[str, Any]]:
    """A drill that is up, and asks its database something that takes long."""
    products = Products(storage, run_pending)
    products.look_at(storage.server, engine)
    archive = products.back_up(products.job())
    before = shop.everything(engine)
    process = worker("proofs")
    choices = proofs.Choices(Depth.START, docker=str(engine.socket), queries=(SLOW.as_json(),))
    proof = proofs.draft(archive=archive, choices=choices)
    task = proofs.start(proof=proof)

    def asks() -> bool:
        task.refresh_from_db()
        assert task.is_active, (task.error_code, task.error_detail)
        return any(step["code"] == "drill-questions" for step in task.steps)

    wait_until(asks, 240, "it does not come so far")
    assert made(engine)
    return process, proof, task, before


def made(engine: Bridged) -> list[str]:
    return engine.docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").stdout.split()


def is_clean(engine: Bridged, shop: Shop, before: dict[str, Any]) -> bool:
    if made(engine) or shop.traces(engine) or Lease.objects.held().exists():
        return False
    assert shop.everything(engine) == before
    return True


def test_kill_9(
    running: tuple[WorkerProcess, Proof, Task, dict[str, Any]],
    engine: Bridged,
    shop: Shop,
    run_pending: Callable[..., list[Task]],
) -> None:
    process, proof, task, before = running
    (horse,) = process.horses()
    os.kill(horse, signal.SIGKILL)
    wait_until(lambda: reaper.reap_lost() or Task.objects.get(pk=task.pk).state == TaskState.LOST, 60)
    proofs.notice_ends()
    proof.refresh_from_db()
    assert (proof.state, proof.error_code) == (State.FAILED, "TSK-01")

    def cleaned() -> bool:
        reaper.clean_abandoned()
        run_pending()
        return is_clean(engine, shop, before)

    wait_until(cleaned, 240, "something of it is left")


@pytest.mark.long
def test_cancelled(running: tuple[WorkerProcess, Proof, Task, dict[str, Any]], engine: Bridged, shop: Shop) -> None:
    _process, proof, task, before = running
    queue.cancel(task)
    wait_until(lambda: Task.objects.get(pk=task.pk).state == TaskState.CANCELLED, 120)
    wait_until(lambda: is_clean(engine, shop, before), 60)
    wait_until(lambda: Proof.objects.get(pk=proof.pk).state == State.CANCELLED, 30)
