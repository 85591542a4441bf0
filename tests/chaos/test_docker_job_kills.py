"""A Docker backup is killed while its containers are stopped and paused: they run again within a minute (case 111)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.test_chaos import horse_of
from tests.dockers.backing import KEPT, clear, inspected, run, status
from tests.dockers.conftest import image_in
from tests.support.bridged import Bridged, engines
from tests.support.docker_reports import is_the_one
from tests.support.estate import Estate
from tests.support.product import WORKERS, eventually

pytestmark = pytest.mark.chaos
STATES = {"stopped": "exited", "paused": "paused", "left": "running"}


@pytest.fixture(scope="module")
def engine(estate: Estate) -> Iterator[Bridged]:
    """Three containers, and so much in their volume that reading it takes half a minute."""
    with engines("docker-s") as (made,):
        is_the_one(made)
        image_in(made)
        clear(made)
        run(made, "stopped", "--volume", "data:/data")
        run(made, "paused")
        run(made, "left")
        for number in range(25):
            (made.data / f"volumes/data/_data/{number}").write_bytes(os.urandom(1_000_000))
        still = ("--still-container", "stopped=stop", "--still-container", "paused=pause")
        estate.product.manage(
            *("job", "create", "docker", "--server", "one", "--repository", "main", "--source", "docker"),
            *(*still, "--rate-limit", "1000", "--compression", "none"),
        )
        yield made
        clear(made)


def states(engine: Bridged) -> dict[str, str]:
    return {name: status(engine, name) for name in STATES}


@pytest.mark.parametrize(
    "how", [pytest.param("horse", marks=pytest.mark.long), "worker", pytest.param("cancel", marks=pytest.mark.long)]
)
def test_containers_run_again(estate: Estate, engine: Bridged, how: str) -> None:
    left = inspected(engine, "left")["State"]["StartedAt"]
    task = estate.start("docker")
    eventually(lambda: states(engine) == STATES, 60, "nothing is stopped")
    eventually(lambda: estate.task(task)["progress"].get("original_bytes"), 60, "nothing is transferred")
    name = ""
    if how == "cancel":
        estate.product.manage("task", "cancel", task)
    else:
        name, horse = horse_of(estate)
        if how == "worker":
            estate.product.end(name, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(horse, signal.SIGKILL)
        else:
            os.kill(horse, signal.SIGKILL)
    if how == "worker":
        estate.product.start_worker(name.removeprefix("worker-"), WORKERS[name.removeprefix("worker-")])
    eventually(lambda: set(states(engine).values()) == {"running"}, 60, f"they are still {states(engine)}")
    assert estate.wait(task, 120)["state"] == ("cancelled" if how == "cancel" else "lost")
    assert inspected(engine, "left")["State"]["StartedAt"] == left
    estate.is_clean(120)
    assert not list(KEPT.glob("*"))


def test_afterwards_the_same_job_succeeds(estate: Estate, engine: Bridged) -> None:
    ended = estate.run("docker", 240)
    assert ended["state"] == "success", ended
    assert set(states(engine).values()) == {"running"}
    assert not Path("/var/lib/phpborg/docker/manifest.json").exists()
