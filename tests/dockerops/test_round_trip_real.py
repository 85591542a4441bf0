"""A Compose project and a container beside it, backed up, destroyed, and put back: on the same engine and on another."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerops.models import DockerRestore
from dockerops.options import Options
from phpborg.tasks.models import Lease
from tests.dockerops.product import Products, Run
from tests.dockerops.show import SECRET, Stage
from tests.dockers.backing import clear
from tests.support.archives import Storage, storage
from tests.support.bridged import Bridged, engines

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]


@pytest.fixture
def engine() -> Iterator[Bridged]:
    with engines("docker-r1") as (one,):
        clear(one)
        yield one
        clear(one)


@pytest.fixture
def stage() -> Iterator[Stage]:
    place = Path(tempfile.mkdtemp(prefix="phpborg-show-"))
    place.chmod(0o755)
    yield Stage(place)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def products(storage: Storage, run_pending: Run) -> Products:
    return Products(storage, run_pending)


def test_everything_comes_back_on_the_same_engine(products: Products, engine: Bridged, stage: Stage) -> None:
    stage.start(engine)
    products.look_at(products.storage.server, engine)
    archive = products.back_up(products.job())
    seen, data = stage.seen(engine), stage.data(engine)
    stage.destroy(engine)
    restore = products.draft(archive, products.storage.server, options=Options(create_missing=True))
    products.agree(restore)
    task = products.restore(restore)
    restore.refresh_from_db()
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail[-3000:])
    assert stage.seen(engine) == seen
    assert stage.data(engine) == data
    assert (restore.state, restore.plan_hash) == (DockerRestore.State.DONE, restore.plan["hash"])
    assert SECRET not in str([restore.contents, restore.plan, restore.report, restore.conflicts, restore.inventory])
    assert SECRET not in str([task.steps, task.log_tail, task.result, task.params])
    assert [lease.kind for lease in Lease.objects.held()] == ["docker_kept"]
