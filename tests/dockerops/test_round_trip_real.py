"""A Compose project and a container beside it, backed up, destroyed, put back: on the same engine and on another."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from backups.models import Archive
from backups.services import repositories
from dockerops.choice import Choice
from dockerops.errors import NotPlanned
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.run_errors import ConflictsOpen, NothingKept, PutBackAsItWas
from dockerops.script import script
from dockerops.services import detecting, planning, protection
from phpborg.tasks.models import Lease, Task
from tests.dockerops.load import Frozen, Load, plain
from tests.dockerops.options import STATES
from tests.dockerops.product import Products, Run
from tests.dockerops.show import LOOP, PLAIN, SECRET, Stage, different, entry
from tests.dockerops.whole import Whole, brought_back
from tests.dockers.backing import clear
from tests.support.archives import PASSPHRASE, Storage, storage
from tests.support.bridged import Bridged, engines
from tests.support.workers import wait_until

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
def whole(stage: Stage) -> Whole:
    return Whole(stage.place)


@dataclass
class Saved:
    """An archive, what there was before, and the moment when all kept still."""

    archive: Archive
    seen: dict[str, Any]
    data: dict[str, Any]
    frozen: Frozen


@pytest.fixture
def products(storage: Storage, run_pending: Run) -> Products:
    return Products(storage, run_pending)


@pytest.fixture
def other() -> Iterator[Bridged]:
    """Another machine."""
    with engines("docker-r2") as (one,):
        clear(one)
        yield one
        clear(one)


def carried_out(products: Products, restore: DockerRestore) -> Task:
    """Agreed to everything, carried out to its end."""
    products.agree(restore)
    task = products.restore(restore)
    restore.refresh_from_db()
    return task


def is_good(task: Task) -> None:
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail[-3000:])


def backed_up_under_load(products: Products, engine: Bridged, whole: Whole, way: str, place: Path) -> Saved:
    """Everything runs and is written to; the containers keep still in this way while they are read."""
    whole.start(engine)
    products.look_at(products.storage.server, engine)
    seen, data = whole.seen(engine), whole.data(engine)
    assert {name: seen["states"][name] for name in STATES} == STATES
    state = {"pause": "paused", "stop": "exited"}[way]
    with Load(engine, whole.busy) as load:
        before = set(load.committed)
        with Frozen(load, state, whole.still(engine)) as frozen:
            archive = products.back_up(products.job(quiesce={"default": way}))
        begun = load.begun
        written = len(load.committed)
        wait_until(lambda: len(load.committed) > written + 2, 90, "nobody could write any more")
    assert before <= frozen.committed
    assert frozen.begun <= begun
    assert different(whole.data(engine), data) == []
    # The archive has the very files of that moment, by plain borg.
    for name, there in whole.still(engine).items():
        extract(products.storage, archive, place, str(there).lstrip("/"))
        assert plain(place / str(there).lstrip("/")) == frozen.files[name]
    shutil.rmtree(place)
    return Saved(archive, seen, data, frozen)


def is_back(whole: Whole, engine: Bridged, saved: Saved) -> None:
    """As it was declared and as it ran, whole, with the data of the moment that the backup is of."""
    assert different(whole.seen(engine), brought_back(saved.seen)) == []
    whole.is_well(engine)
    assert different(whole.data(engine), saved.data) == []
    assert entry(whole.volume(engine, "files") / "lines") == saved.frozen.files["files"]["lines"]
    rows = whole.rows(engine)
    assert saved.frozen.committed <= rows
    assert max(rows) <= saved.frozen.begun
    # What another program wrote meanwhile is there as far as it was read: not compared, and not torn.
    lines = (whole.busy / "lines").read_text().splitlines()[:-1]
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]
    assert lines


def test_everything_comes_back_on_the_same_engine(
    products: Products, engine: Bridged, whole: Whole, tmp_path: Path
) -> None:
    saved = backed_up_under_load(products, engine, whole, "pause", tmp_path / "by borg")
    whole.destroy(engine)
    restore = products.draft(saved.archive, products.storage.server, options=Options(create_missing=True))
    task = carried_out(products, restore)
    is_good(task)
    is_back(whole, engine, saved)
    assert (restore.state, restore.plan_hash) == (DockerRestore.State.DONE, restore.plan["hash"])
    assert SECRET not in str([restore.contents, restore.plan, restore.report, restore.conflicts, restore.inventory])
    assert SECRET not in str([task.steps, task.log_tail, task.result, task.params])
    assert [lease.kind for lease in Lease.objects.held()] == ["docker_kept"]


def test_everything_comes_back_on_another_engine(
    products: Products, engine: Bridged, other: Bridged, whole: Whole, tmp_path: Path
) -> None:
    saved = backed_up_under_load(products, engine, whole, "stop", tmp_path / "by borg")
    whole.destroy(engine)
    products.look_at(products.storage.server, other)  # as far as Docker is concerned, another machine
    restore = products.draft(saved.archive, products.storage.server, options=Options(create_missing=True))
    is_good(carried_out(products, restore))
    is_back(whole, other, saved)
    assert whole.seen(engine)["containers"] == {}
    # The same plan as a script, by hand, on the same engine, destroyed again.
    is_good(products.ended(protection.start_forget(restore=restore)))
    whole.destroy(other)
    plan = planning.stored_plan(restore)
    text = script(plan, "simple")
    assert plan.hash in text
    assert SECRET not in text
    run_script(products.storage, text)
    is_back(whole, other, saved)


def run_script(storage: Storage, text: str) -> None:
    """As somebody on the server would, who knows the repository's passphrase."""
    env = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "BORG_PASSPHRASE": PASSPHRASE,
        "BORG_BASE_DIR": str(storage.root / "by-hand"),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    }
    done = subprocess.run(["bash", "-s"], input=text, text=True, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.long
def test_what_was_replaced_comes_back_by_one_click_and_goes_when_it_is_let_go(
    products: Products, engine: Bridged, stage: Stage
) -> None:
    stage.start(engine)
    products.look_at(products.storage.server, engine)
    archive = products.back_up(products.job())
    then, data_then = stage.seen(engine), stage.data(engine)
    stage.change(engine)
    now, data_now = stage.seen(engine), stage.data(engine)
    assert data_now != data_then
    first = products.draft(archive, products.storage.server)
    assert detecting.standing(first)
    with pytest.raises(NotPlanned):
        planning.plan_of(first)
    is_good(carried_out(products, first))
    assert without_kept(stage.seen(engine)) == then
    assert stage.data(engine) == data_then
    assert first.is_protected
    is_good(products.roll_back(first))
    first.refresh_from_db()
    assert (first.state, first.is_protected) == (DockerRestore.State.ROLLED_BACK, False)
    assert stage.seen(engine) == now
    assert stage.data(engine) == data_now
    assert not Lease.objects.held().exists()

    second = products.draft(archive, products.storage.server)
    is_good(carried_out(products, second))
    is_good(products.ended(protection.start_forget(restore=second)))
    second.refresh_from_db()
    assert (second.state, second.is_protected) == (DockerRestore.State.DONE, False)
    assert stage.seen(engine) == then
    assert stage.data(engine) == data_then
    assert not Lease.objects.held().exists()
    with pytest.raises(NothingKept):
        products.roll_back(second)
    assert stage.traces(engine) == []


def test_one_that_fails_in_the_middle_is_undone_and_says_so(products: Products, engine: Bridged, stage: Stage) -> None:
    stage.start(engine)
    products.look_at(products.storage.server, engine)
    (stage.directory / "www/index.html").unlink()  # without it the container ends when it is started
    archive = products.back_up(products.job())
    stage.change(engine)
    (stage.directory / "www/index.html").write_text("new")
    plan_from_the_shell(archive)
    # Somebody begins to use the volume after the plan was shown: nothing of it is touched.
    seen_by_all = products.draft(archive, products.storage.server)
    products.agree(seen_by_all)
    engine.docker("run", "--detach", "--name", "late", "--volume", "kiosk_data:/x", PLAIN, "/bin/sh", "-c", LOOP)
    now, data_now = stage.seen(engine), stage.data(engine)
    task = products.restore(seen_by_all)
    assert (task.state, task.error_code) == ("failed", ConflictsOpen.code), task.log_tail
    seen_by_all.refresh_from_db()
    assert (seen_by_all.state, seen_by_all.report["touched"]) == (DockerRestore.State.FAILED, False)
    assert (stage.seen(engine), stage.data(engine)) == (now, data_now)
    # With its consent as well it begins, and fails in the middle.
    restore = products.draft(archive, products.storage.server)
    task = carried_out(products, restore)
    assert (task.state, task.error_code) == ("failed", PutBackAsItWas.code), task.log_tail
    assert "exit 7" in task.error_detail
    assert (restore.state, restore.report["rollback"]["complete"]) == (DockerRestore.State.ROLLED_BACK, True)
    assert stage.seen(engine) == now
    assert stage.data(engine) == data_now
    assert not Lease.objects.held().exists()
    assert stage.traces(engine) == []


@pytest.mark.long
def test_only_volumes_come_back_and_a_safety_archive_holds_what_they_held(
    products: Products, engine: Bridged, stage: Stage
) -> None:
    stage.start(engine)
    products.look_at(products.storage.server, engine)
    archive = products.back_up(products.job(images="digests"))
    then, data_then = stage.seen(engine), stage.data(engine)
    stage.change(engine)
    mountpoint = engine.data / "volumes/kiosk_data/_data"
    changed = {path: entry for path, entry in stage.data(engine).items() if "kiosk_data" in path or "beside" in path}
    choice = Choice(mode="volumes", volumes=("kiosk_data",))
    restore = products.draft(archive, products.storage.server, choice, Options(protect="archive"))
    is_good(carried_out(products, restore))
    assert stage.seen(engine) == then  # all containers are those that were there, and run again
    now = stage.data(engine)
    assert {path: one for path, one in now.items() if "kiosk_data/" in path} == {
        path: one for path, one in data_then.items() if "kiosk_data/" in path
    }
    beside = {path: one for path, one in changed.items() if "beside" in path}
    assert {path: now[path] for path in beside} == beside
    assert restore.is_protected
    safety = Archive.objects.get(backup_config__before_docker_restore=str(restore.pk))
    assert (safety.name, safety.job, safety.grade) == (f"before-{restore.token[:8]}", None, "success")
    back = products.storage.root / "back"
    extract(products.storage, safety, back)
    assert (back / str(mountpoint).lstrip("/") / "text").read_text() == "new\n"
    is_good(products.ended(protection.start_forget(restore=restore)))
    assert not Lease.objects.held().exists()
    assert stage.traces(engine) == []
    products.run_pending()
    assert not Archive.objects.filter(pk=safety.pk).exists()
    named = [fact.name for fact in repositories.borg_of(products.storage.repository).proof()]
    assert (archive.name in named, safety.name in named) == (True, False)


def extract(storage: Storage, archive: Archive, place: Path, *paths: str) -> None:
    """All of it, or these paths, by plain borg."""
    place.mkdir(exist_ok=True)
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(storage.root / "by-hand")}
    env["BORG_RELOCATED_REPO_ACCESS_IS_OK"] = "yes"
    words = ["borg", "extract", "--numeric-ids", f"{storage.repository.path}::{archive.name}", *paths]
    subprocess.run(words, cwd=place, env=env, check=True, capture_output=True)


def plan_from_the_shell(archive: Archive) -> None:
    """Conflicts are told with their keys; agreed to, the plan is a script. No draft is left behind."""
    said = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("docker-restore", archive.name, stdout=said)
    assert ended.value.code == 5
    assert "--agree project:kiosk" in said.getvalue()
    said = StringIO()
    call_command("docker-restore", archive.name, "--agree-to-all", "--script", "advanced", stdout=said)
    assert said.getvalue().startswith("#!")
    assert SECRET not in said.getvalue()
    said = StringIO()
    call_command("docker-restore", archive.name, "--contents", stdout=said)
    assert "kiosk_data" in said.getvalue()
    with pytest.raises(CommandError) as refused:
        call_command("docker-restore", "nothing of this name", stdout=said)
    assert refused.value.returncode == 2
    assert not DockerRestore.objects.exists()


def without_kept(seen: dict[str, Any]) -> dict[str, Any]:
    """What there is beside containers that are kept aside."""
    tables = ("containers", "states")
    return {**seen, **{one: {k: v for k, v in seen[one].items() if ".phpborg-" not in k} for one in tables}}
