"""Dumps from a real repository into a real PostgreSQL, by the task and by the pages; what is shown is what happens."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from backups.models import Archive
from backups.services import credentials
from phpborg.accounts.models import User
from phpborg.tasks import reaper
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from recovery.models import Restore
from recovery.services import restores
from servers.capabilities.report import parse
from servers.services import capabilities
from tests.support import postgresql, reports
from tests.support.archives import Storage, storage
from tests.support.postgresql import Cluster

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
Run = Callable[..., list[Task]]
SECRET = "pa$s 'w\"ord\\: é"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    place = Path(subprocess.check_output(["mktemp", "-d", "/tmp/phpborg-pg-XXXXXX"], text=True).strip())
    place.chmod(0o755)
    try:
        with postgresql.running(place / "data", place / "run") as made:
            yield made
    finally:
        subprocess.run(["rm", "-rf", str(place)], check=True)


@pytest.fixture
def fresh(cluster: Cluster) -> Cluster:
    """The server without anything of ours."""
    for name in ("shop", "weird-db name", "copy; of"):
        cluster.sql(f'DROP DATABASE IF EXISTS "{name}"')
    cluster.sql("DROP ROLE IF EXISTS shop; CREATE ROLE shop")
    cluster.sql('CREATE DATABASE shop OWNER shop; CREATE DATABASE "weird-db name"')
    cluster.sql("CREATE TABLE t AS SELECT i, md5(i::text) h FROM generate_series(1, 500) i", "shop")
    return cluster


def dumped(argv: list[str], cluster: Cluster, *more: str) -> str:
    ended = postgresql.as_owner([*argv, "-h", str(cluster.sockets), "-p", str(cluster.port), *more])
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def archive(storage: Storage, fresh: Cluster, tmp_path: Path) -> Archive:
    """What a job of the method “logical” leaves: dumps, and what the archive says of itself."""
    folder = tmp_path / "streams/postgresql"
    folder.mkdir(parents=True)
    (folder / "globals.sql").write_text(dumped(["pg_dumpall", "--globals-only"], fresh))
    included: list[dict[str, Any]] = [{"kind": "globals", "name": "globals", "path": "postgresql/globals.sql"}]
    for number, name in enumerate(["shop", "weird-db name"], 1):
        path = f"postgresql/000{number}-x.sql"
        (folder.parent / path).write_text(dumped(["pg_dump"], fresh, f"dbname='{name}'"))
        beside = path.replace(".sql", ".json")
        (folder.parent / beside).write_text(json.dumps({"owner": "shop", "encoding": "UTF8", "comment": "was"}) + "\n")
        included.append({"kind": "database", "name": name, "path": path, "properties": beside})
    made = storage.archive(folder.parent, cwd=folder.parent, paths=(b"postgresql",))
    made.backup_config = {
        "database": {
            "engine": "postgresql",
            "server_version": "15.18",
            "method": "logical",
            "consistency": "logical",
            "data_directory": str(fresh.data),
            "included": included,
            "facts": {"instance": "15/test"},
        }
    }
    made.save()
    look(storage, fresh)
    return made


def look(storage: Storage, cluster: Cluster, **more: Any) -> None:
    """A report as a fresh look would have made it."""
    names = cluster.sql("SELECT string_agg(datname, E'\\n') FROM pg_database").splitlines()
    known = {
        "port": cluster.port,
        "socket_directory": str(cluster.sockets),
        "databases": [{"name": name, "size_bytes": 1} for name in names],
        "data": reports.directory(str(cluster.data)),
        **more,
    }
    facts = {"programs": {}, "clusters": [reports.cluster("15/test", **known)]}
    row = parse(reports.report(postgresql=facts))
    capabilities.record(server=storage.server, report=row, taken_at=timezone.now())


def nothing_left(storage: Storage, cluster: Cluster) -> None:
    assert not Lease.objects.held().exists()
    assert not any((Path(storage.pool.path) / ".views").iterdir())
    assert cluster.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'phpborg%'") == "0"
    assert not Restore.objects.exclude(credentials="").exists()


def load(run_pending: Run, storage: Storage, archive: Archive, chosen: list[str], **more: Any) -> Task:
    _row, task = restores.load_and_start(
        archive=archive, server=storage.server, instance="15/test", chosen=chosen, **more
    )
    run_pending()
    task.refresh_from_db()
    return task


def test_what_was_dropped_comes_back_with_its_owner(
    storage: Storage, archive: Archive, fresh: Cluster, run_pending: Run
) -> None:
    fresh.sql("DROP DATABASE shop")
    fresh.sql('DROP DATABASE "weird-db name"')
    fresh.sql("DROP ROLE shop")
    look(storage, fresh)
    chosen = ["globals:globals", "database:shop", "database:weird-db name"]
    task = load(run_pending, storage, archive, chosen)
    assert task.state == State.NOTES, (task.error_code, task.error_detail, task.log_tail)
    assert [finding["message"] for finding in task.findings] == ["the role “postgres” was there and stays as it is"]
    assert fresh.sql("SELECT count(*), max(h) FROM t", "shop").startswith("500|")
    owner = "SELECT pg_get_userbyid(datdba), shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = "
    assert fresh.sql(owner + "'shop'") == "shop|was"
    row = Restore.objects.get()
    assert [entry["target"] for entry in row.report["loaded"]] == ["globals", "shop", "weird-db name"]
    assert [step["code"] for step in row.plan["steps"]] == ["view", "count", "link", *["load"] * 3, "verify"]
    assert [step["code"] for step in task.steps] == [step["code"] for step in row.plan["steps"]]
    command = row.plan["steps"][4]["command"]
    assert "pp:postgresql/0001-x.sql | psql --no-psqlrc --set=ON_ERROR_STOP=1" in command
    nothing_left(storage, fresh)


def test_a_dump_that_cannot_be_loaded_leaves_the_database_as_it_was_and_says_so(
    storage: Storage, archive: Archive, fresh: Cluster, run_pending: Run
) -> None:
    fresh.sql("DROP TABLE t; CREATE TABLE newer AS SELECT 1 AS one", "shop")
    fresh.sql("ALTER DATABASE shop OWNER TO postgres; DROP ROLE shop")
    task = load(run_pending, storage, archive, ["database:shop"], replace=True)
    assert (task.state, task.error_code) == (State.FAILED, "REC-14")
    assert 'role "shop" does not exist' in task.error_detail
    assert fresh.sql("SELECT one FROM newer", "shop") == "1"
    assert Restore.objects.get().state == Restore.State.FAILED
    nothing_left(storage, fresh)


def test_a_given_login_is_used_and_not_kept(
    storage: Storage, archive: Archive, fresh: Cluster, run_pending: Run
) -> None:
    quoted = SECRET.replace("'", "''")
    fresh.sql(f"DROP ROLE IF EXISTS boss; CREATE ROLE boss SUPERUSER LOGIN PASSWORD '{quoted}'")
    rules = fresh.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all boss scram-sha-256\n" + before)
    fresh.sql("SELECT pg_reload_conf()")
    try:
        wrong = load(
            run_pending, storage, archive, ["database:shop"], replace=True, login=credentials.login("boss", "x")
        )
        assert wrong.state == State.FAILED
        assert "password authentication failed" in wrong.error_detail
        given = credentials.login("boss", SECRET)
        task = load(run_pending, storage, archive, ["database:shop"], new_name="copy; of", login=given)
        assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.log_tail)
        assert SECRET not in json.dumps([task.params, task.steps, task.result, task.log_tail])
        assert fresh.sql("SELECT count(*) FROM t", "copy; of") == "500"
    finally:
        rules.write_text(before)
        fresh.sql("SELECT pg_reload_conf()")
    nothing_left(storage, fresh)


def test_a_start_without_what_it_needs_says_what_is_missing(
    storage: Storage, archive: Archive, fresh: Cluster, bob: User, client_of: Callable[[User], Client]
) -> None:
    """By the address alone, and with a login whose password is not kept."""
    browser = client_of(bob)
    row = restores.load_draft(archive=archive, by=bob)
    Restore.objects.filter(pk=row.pk).update(server=None, instance="", dumps=[])
    start = f"/restores/{row.pk}/load/start/"
    answer = browser.post(start, {"confirmed": "1"})
    assert answer.status_code == 422
    assert answer.content.decode().count("This field is required.") >= 2

    known = {"server": storage.server, "instance": "15/test", "dumps": ["database:shop"], "replace": True}
    Restore.objects.filter(pk=row.pk).update(**known, login_user="boss", credentials="")
    answer = browser.post(start, {"confirmed": "1", "typed": "shop"})
    assert answer.status_code == 422
    assert "Write its password." in answer.content.decode()
    assert not Task.objects.exists()

    # The password that is kept belongs to the user who was named with it.
    row.refresh_from_db()
    row.credentials = credentials.login("boss", SECRET).sealed()
    row.save()
    words = {"dumps": ["database:shop"], "target": f"{storage.server.pk} 15/test", "existing": "replace"}
    answer = browser.post(f"/restores/{row.pk}/load/", {**words, "login": "given", "user": "other", "password": ""})
    assert answer.status_code == 422
    assert "Write its password." in answer.content.decode()
    row.refresh_from_db()
    assert row.login_user == "boss"


def test_a_load_is_planned_shown_and_typed_before_it_replaces(
    storage: Storage, archive: Archive, fresh: Cluster, run_pending: Run, bob: User, client_of: Callable[[User], Client]
) -> None:
    browser = client_of(bob)
    page = browser.get(f"/archives/{archive.pk}/restore/")
    assert b"Load into a running server" in page.content
    assert b"Put the files into a directory" not in page.content
    draft = browser.post(f"/archives/{archive.pk}/load/").headers["Location"]
    assert browser.post(f"/archives/{archive.pk}/load/").headers["Location"] == draft
    page = browser.get(draft)
    assert b"15/test (15.18)" in page.content
    answers = {
        "dumps": ["database:shop"],
        "target": f"{storage.server.pk} 15/test",
        "existing": "new",
        "login": "found",
    }
    page = browser.post(draft + "load/", answers, follow=True)
    assert "There is a database “shop” on localhost already.".encode() in page.content
    page = browser.post(
        draft + "load/start/", {**answers, "existing": "replace", "login": "given", "user": "u", "password": SECRET}
    )
    assert b'name="typed"' in page.content
    assert SECRET not in page.content.decode()
    assert not Task.objects.exists()
    assert Restore.objects.get().credentials
    browser.post(draft + "load/", {**answers, "existing": "replace"})
    assert not Restore.objects.get().credentials
    assert browser.post(draft + "load/start/", {"confirmed": "1", "typed": "shoq"}).status_code == 422
    fresh.sql("DROP TABLE t", "shop")
    assert browser.post(draft + "load/start/", {"confirmed": "1", "typed": "shop"}).headers["Location"] == draft
    (task,) = run_pending()
    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.log_tail)
    assert fresh.sql("SELECT count(*) FROM t", "shop") == "500"
    page = browser.get(draft)
    assert "500" in page.content.decode()
    assert b"psql --no-psqlrc" in page.content
    assert browser.get("/restores/").status_code == 200
    nothing_left(storage, fresh)


def test_an_old_database_that_cannot_be_removed_is_owed_until_it_is_gone(
    storage: Storage, archive: Archive, fresh: Cluster, run_pending: Run
) -> None:
    """A subscription keeps its database from being dropped."""
    fresh.sql("CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", "shop")
    look(storage, fresh)
    task = load(run_pending, storage, archive, ["database:shop"], replace=True)
    assert task.state == State.NOTES, (task.error_code, task.error_detail)
    assert "could not be removed" in task.findings[0]["message"]
    left = fresh.sql("SELECT datname FROM pg_database WHERE datname LIKE 'phpborg%'")
    assert left.startswith("phpborg-old-")
    (lease,) = Lease.objects.held().filter(kind="database_load")
    assert (lease.attempts, "could not be removed" in lease.error) == (1, True)
    assert not reaper.clean_task(str(task.pk))

    fresh.sql("ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s", left)
    assert reaper.clean_task(str(task.pk))
    nothing_left(storage, fresh)
    assert fresh.sql("SELECT count(*) FROM t", "shop") == "500"


def test_the_command_plans_and_loads(
    storage: Storage, archive: Archive, fresh: Cluster, capsys: pytest.CaptureFixture[str], run_pending: Run
) -> None:
    words = ["restore", archive.name, "--database", "shop", "--into", "localhost", "--instance", "15/test"]
    with pytest.raises(SystemExit):
        call_command(*words, "--dry-run", "--json")
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "REC-13"
    call_command(*words, "--as", "copy; of", "--dry-run", "--json")
    plan = json.loads(capsys.readouterr().out)
    assert [(item["name"], item["target"]) for item in plan["items"]] == [("shop", "copy; of")]
    assert not Task.objects.exists()
    with pytest.raises(SystemExit) as ended:
        call_command(*words, "--as", "copy; of", "--here", "--json")
    assert ended.value.code == 0
    assert fresh.sql("SELECT count(*) FROM t", "copy; of") == "500"
    nothing_left(storage, fresh)
