"""Sessions through the product: looked at, started, held by the keeper, stopped, killed; real parts all the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive
from phpborg.mounts import mounts_below
from phpborg.tasks import leases, reaper
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State as TaskState
from recovery.models import Session
from recovery.services import looking, serving, sessions
from tests.instant.test_product_real import psql
from tests.support import own_image, postgresql
from tests.support.archives import Storage, make_storage, storage
from tests.support.workers import wait_until

__all__ = ["storage"]
pytestmark = [pytest.mark.real]
State = Session.State
ROWS = 500


@pytest.fixture(scope="module")
def stopped_cluster() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="phpborg-session-"))
    place.chmod(0o755)
    with postgresql.running(place / "pg", place / "s") as cluster:
        cluster.sql(f"CREATE TABLE kettle AS SELECT i AS id FROM generate_series(1, {ROWS}) i")
    yield place / "pg"
    shutil.rmtree(place)


@pytest.fixture
def archive(keeper, storage: Storage, stopped_cluster: Path) -> Archive:
    """Of a cluster that was shut down; the keeper runs."""
    return storage.archive(stopped_cluster)


@pytest.fixture
def session(archive: Archive, storage: Storage, engine, run_pending) -> Session:
    """Drafted from what a look has found."""
    return drafted(archive, storage, engine, run_pending)


def drafted(archive: Archive, storage: Storage, engine, run_pending) -> Session:
    looking.ask(archive=archive)
    run_pending()
    (found,) = looking.answer_of(archive) or ()
    session = sessions.draft(
        archive=archive,
        found=found,
        server=storage.server,
        docker=str(engine.socket),
        image=own_image.postgresql(engine),
    )
    session.save()
    return session


def ready(session: Session) -> Session:
    def is_ready() -> bool:
        session.refresh_from_db()
        assert session.state in (State.STARTING, State.READY), (session.error_code, session.error_detail)
        return session.state == State.READY

    wait_until(is_ready, 60, "it does not become ready")
    return session


def count(session: Session) -> str:
    login = serving.Login(session.login, session.password.reveal(), b"")
    return psql(session.port or 0, login, "SELECT count(*) FROM kettle").stdout.strip()


def nothing_is_left(storage: Storage) -> bool:
    held = [lease.kind for lease in Lease.objects.held()]
    views = list((Path(storage.pool.path) / ".views").iterdir())
    tokens = [lease.data["token"] for lease in Lease.objects.filter(kind="instant_session")]
    places = [Path("/var/lib/phpborg/instant") / token for token in tokens]
    return not held and not views and not any(place.exists() or mounts_below(place) for place in places)


def state_of(session: Session) -> str:
    session.refresh_from_db()
    return str(session.state)


def test_it_answers_until_it_is_stopped_and_leaves_nothing_but_its_record(session, storage):
    task = sessions.start(session=session)
    ready(session)
    assert count(session) == str(ROWS)
    assert session.password.reveal() not in json.dumps(session.asked)
    assert session.upper_bytes is not None
    task.refresh_from_db()
    assert (task.state, task.phase) == (TaskState.RUNNING, "serving")
    sessions.stop(session=session)
    sessions.stop(session=session)
    wait_until(lambda: state_of(session) == State.STOPPED, 60)
    wait_until(lambda: nothing_is_left(storage), 30)
    task.refresh_from_db()
    assert task.state == TaskState.SUCCESS
    assert not session.password
    assert not session.secrets
    assert session.error_code == ""
    sessions.stop(session=session)
    assert state_of(session) == State.STOPPED


@pytest.mark.parametrize("encryption", ["none", "authenticated-blake2"])
def test_a_repository_that_conceals_nothing(keeper, engine, run_pending, stopped_cluster, tmp_path, encryption):
    """Borg asks before it opens one; it was answered when the repository was declared so."""
    storage = make_storage(tmp_path, encryption=encryption)
    session = drafted(storage.archive(stopped_cluster), storage, engine, run_pending)
    sessions.start(session=session)
    ready(session)
    assert count(session) == str(ROWS)


def test_case_103_a_backup_a_prune_and_a_compact_go_on_beneath_three_sessions(
    session, storage, archive, stopped_cluster, engine, run_pending
):
    """Row E9: they hold no lock, and what they read stays, to the last row and by a new connection too."""
    from backups.services import repositories

    three = [session, *(drafted(archive, storage, engine, run_pending) for _ in range(2))]
    for one in three:
        sessions.start(session=one)
    for one in three:
        ready(one)
    asked: list[str] = []
    done = threading.Event()

    def ask_on() -> None:
        logins = [(one.port or 0, serving.Login(one.login, one.password.reveal(), b"")) for one in three]
        while not done.is_set():
            asked.extend(psql(port, login, "SELECT sum(id) FROM kettle").stdout.strip() for port, login in logins)

    readers = threading.Thread(target=ask_on)
    readers.start()
    borg = repositories.borg_of(storage.repository)
    try:
        assert not borg.lock_state().holders
        storage.archive(stopped_cluster, name="two")
        before = {path.name for path in (Path(storage.repository.path) / "data").rglob("*")}
        borg.delete([archive.name])
        borg.compact(threshold=0)
        assert before - {path.name for path in (Path(storage.repository.path) / "data").rglob("*")}
    finally:
        done.set()
        readers.join(60)
    assert len(asked) > 3
    assert set(asked) == {str(ROWS * (ROWS + 1) // 2)}
    for one in three:
        assert count(one) == str(ROWS)
        sessions.stop(session=one)
    wait_until(lambda: {state_of(one) for one in three} == {State.STOPPED}, 60)
    wait_until(lambda: nothing_is_left(storage), 30)


def test_its_time_is_over_and_it_may_be_extended_before(session, storage):
    sessions.start(session=session)
    ready(session)
    sessions.extend(session=session, hours=3)
    assert state_of(session) == State.READY
    Session.objects.filter(pk=session.pk).update(expires_at=timezone.now())
    wait_until(lambda: state_of(session) == State.STOPPED, 60)
    wait_until(lambda: nothing_is_left(storage), 30)


def test_kill_9_of_its_process_is_said_and_cleaned_up(session, storage, run_pending):
    task = sessions.start(session=session)
    ready(session)
    task.refresh_from_db()
    os.kill(int(task.worker.split(":")[1]), signal.SIGKILL)
    wait_until(lambda: reaper.reap_lost() or Task.objects.get(pk=task.pk).state == TaskState.LOST, 30)
    sessions.notice_ends()
    assert (state_of(session), session.error_code) == (State.FAILED, "TSK-01")

    def cleaned() -> bool:
        reaper.clean_abandoned()
        run_pending()
        return nothing_is_left(storage)

    wait_until(cleaned, 60)


def test_the_service_stops(session, storage, keeper):
    sessions.start(session=session)
    ready(session)
    keeper.terminate(60)
    assert (state_of(session), session.error_code) == (State.FAILED, "TSK-03")
    assert nothing_is_left(storage)


def test_an_image_that_is_not_there(session, storage):
    Session.objects.filter(pk=session.pk).update(asked={**session.asked, "image": "phpborg-test/postgres:none"})
    session.refresh_from_db()
    sessions.start(session=session)
    wait_until(lambda: state_of(session) == State.FAILED, 60)
    assert "phpborg-test/postgres:none is not there" in session.error_detail
    wait_until(lambda: nothing_is_left(storage), 30)


@pytest.mark.parametrize(("name", "code"), [("a.txt", "REC-21"), ("a.sql", "REC-22")])
def test_an_archive_without_a_data_directory_says_so(storage, run_pending, tmp_path, name, code):
    """Case 109."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_text("SELECT 1;")
    archive = storage.archive(tmp_path / "source")
    task = looking.ask(archive=archive)
    run_pending()
    task.refresh_from_db()
    assert (task.state, task.error_code) == (TaskState.FAILED, code)
    assert looking.answer_of(archive) is None
    assert nothing_is_left(storage)


def test_the_command_starts_lists_and_stops(archive, storage, engine):
    def run(*words: str) -> dict:
        out = StringIO()
        call_command("instant", *words, "--json", stdout=out)
        return json.loads(out.getvalue())

    (found,) = run("look", archive.name, "--here")["databases"]
    assert (found["product"], found["version"]) == ("postgresql", "15")
    words = ("--image", own_image.postgresql(engine), "--docker", str(engine.socket))
    started = run("start", archive.name, *words)
    login = serving.Login(started["login"], started["password"], b"")
    assert psql(started["port"], login, "SELECT count(*) FROM kettle").stdout.strip() == str(ROWS)
    (listed,) = run("list")["sessions"]
    assert (listed["id"], listed["state"]) == (started["id"], "ready")
    assert run("stop", started["id"][:8])["state"] == "stopped"
    assert run("list")["sessions"] == []
    assert leases.process_started_at(os.getpid())


def test_a_dry_run_shows_the_plan_and_makes_nothing(archive, storage, engine):
    out = StringIO()
    words = ("--image", own_image.postgresql(engine), "--docker", str(engine.socket), "--here", "--dry-run")
    call_command("instant", "start", archive.name, *words, stdout=out)
    assert "--network none" in out.getvalue()
    assert not Session.objects.exists()
    assert nothing_is_left(storage)


def test_adminer_is_beside_it_for_those_who_may_and_goes_with_it(
    keeper, storage, engine, run_pending, settings, stopped_cluster, client_of, bob
):
    """Row E7, all the way: a session of the keeper, our page, the real program."""
    settings.RECOVERY_ADMINER_IMAGE = own_image.adminer(engine)
    session = drafted(storage.archive(stopped_cluster), storage, engine, run_pending)
    sessions.start(session=session)
    ready(session)

    def answers() -> bool:
        session.refresh_from_db()
        assert session.adminer_problem == ""
        return session.adminer_port is not None

    wait_until(answers, 60)
    page = reverse("adminer", args=[session.pk])
    browser = client_of(bob)
    answer = browser.get(f"{page}?pgsql=&username=phpborg&db=postgres&ns=public&select=kettle")
    assert answer.status_code == 200
    text = b"".join(answer).decode()
    assert "kettle" in text
    assert 'name="auth[password]"' not in text
    assert session.password.reveal() not in text
    assert browser.get(f"{page}?pgsql=10.0.0.1").status_code == 400
    sessions.stop(session=session)
    wait_until(lambda: state_of(session) == State.STOPPED, 60)
    assert session.adminer_port is None
    assert browser.get(page).status_code == 409
    wait_until(lambda: nothing_is_left(storage), 30)
