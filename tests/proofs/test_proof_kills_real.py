"""A proof whose process is killed in the middle says so, disproves nothing, and leaves nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from phpborg.tasks import queue, reaper
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State as TaskState
from recovery.checks.base import Query
from recovery.models import Depth, Proof
from recovery.services import proofs
from tests.lab.engine import Engine
from tests.proofs.conftest import nothing_is_left
from tests.support import own_image
from tests.support.archives import Storage
from tests.support.workers import WorkerProcess, wait_until

pytestmark = [pytest.mark.real]
State = Proof.State
SLOW = Query("postgres", "SELECT pg_sleep(600)")


@pytest.fixture
def running(
    worker: Callable[..., WorkerProcess], storage: Storage, engine: Engine, data: Path
) -> tuple[WorkerProcess, Proof, Task]:
    """A proof that is asking its database something that takes long."""
    process = worker("proofs")
    choices = proofs.Choices(
        Depth.START,
        docker=str(engine.socket),
        image=own_image.postgresql(engine),
        queries=(SLOW.as_json(),),
    )
    proof = proofs.draft(archive=storage.archive(data / "pg"), choices=choices)
    task = proofs.start(proof=proof)

    def asks() -> bool:
        task.refresh_from_db()
        assert task.is_active, (task.error_code, task.error_detail)
        return task.phase == "checking"

    wait_until(asks, 90, "it does not come so far")
    return process, proof, task


def engine_names(engine: Engine, token: str) -> list[str]:
    return engine.docker("ps", "--all", "--quiet", "--filter", f"label=phpborg.session={token}").stdout.split()


def is_clean(storage: Storage, engine: Engine) -> bool:
    tokens = [lease.data["token"] for lease in Lease.objects.filter(kind="instant_session")]
    return nothing_is_left(storage) and not [name for token in tokens for name in engine_names(engine, token)]


def test_kill_9(running, storage, engine, run_pending):
    process, proof, task = running
    (horse,) = process.horses()
    os.kill(horse, signal.SIGKILL)
    wait_until(lambda: reaper.reap_lost() or Task.objects.get(pk=task.pk).state == TaskState.LOST, 60)
    proofs.notice_ends()
    proof.refresh_from_db()
    assert (proof.state, proof.error_code) == (State.FAILED, "TSK-01")

    def cleaned() -> bool:
        reaper.clean_abandoned()
        run_pending()
        return is_clean(storage, engine)

    wait_until(cleaned, 120)


def test_cancelled(running, storage, engine):
    _process, proof, task = running
    queue.cancel(task)
    wait_until(lambda: Task.objects.get(pk=task.pk).state == TaskState.CANCELLED, 60)
    wait_until(lambda: is_clean(storage, engine), 60)
    wait_until(lambda: Proof.objects.get(pk=proof.pk).state == State.CANCELLED, 30)
