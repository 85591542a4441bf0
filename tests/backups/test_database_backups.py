"""Jobs of real database servers on this machine, carried out as a worker does: proven, recorded, started again."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive, BackupJob, Repository
from backups.services import credentials, jobs, repositories
from backups.services.jobs import JobDefinition
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Lease, Task
from servers.capabilities.report import parse
from servers.models import Server
from servers.services.reach import host_for
from tests.backups.conftest import RunJob, archive_of
from tests.support import mariadb, postgresql
from tests.support.archives import in_repository

pytestmark = pytest.mark.real
ODD = ["weird-db name", "a$b;c", "-x", "../up", 'it\'s "q"', "a=b"]
PASSWORD = "pa'ss \"w\\ord# é"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A short directory that other accounts may pass through."""
    path = Path(tempfile.mkdtemp(prefix="pb-jobs-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[postgresql.Cluster]:
    """Databases of awkward names, roles, a routine, an extension; its directory has a blank in it."""
    with postgresql.running(place / "pg data", place / "pg-run") as running:
        running.sql("CREATE ROLE shop LOGIN PASSWORD 'secret'; CREATE DATABASE shop OWNER shop")
        for name in ODD:
            running.sql('CREATE DATABASE "{}"'.format(name.replace('"', '""')))
        running.sql(
            "CREATE EXTENSION IF NOT EXISTS plpgsql; CREATE TABLE t AS SELECT n, md5(n::text) h "
            "FROM generate_series(1, 5000) n; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 7'; "
            "GRANT SELECT ON t TO shop",
            "shop",
        )
        yield running


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[mariadb.Server]:
    """Databases of awkward names, a routine, an event, a trigger, a user; in its directory a folder that is none."""
    with mariadb.running(place / "my data", place / "my-run") as running:
        # As on a volume of their own: the server lists it as a database.
        (running.data / "lost+found").mkdir(mode=0o700)
        password = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        for name in ODD:
            running.sql(f"CREATE DATABASE `{name}`")
        running.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE t (n INT PRIMARY KEY, h CHAR(32));"
            "INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_5000;"
            "CREATE TABLE words (e VARCHAR(40)) CHARACTER SET utf8mb4; INSERT INTO words VALUES ('naïve 😀');"
            "CREATE PROCEDURE p() SELECT 7; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1;"
            "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.h = MD5(NEW.n);"
            f"CREATE USER dump@localhost IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO dump@localhost"
        )
        yield running


def instance_id(server: Server, kind: str, socket: Path) -> str:
    """The id under which a report of this machine names the server at this socket."""
    report = parse(host_for(server).call("capabilities", {"only": [kind], "size_seconds": 0}, timeout=60))
    found: Any = report.postgresql.clusters if kind == "postgresql" else report.mysql.instances  # type: ignore[union-attr]
    where = {getattr(row, "socket", None) or getattr(row, "socket_directory", None): row.id for row in found}
    return str(where[str(socket)])


MakeDatabaseJob = Callable[..., BackupJob]


@pytest.fixture
def make(local_server: Server, real_repository: Repository) -> MakeDatabaseJob:
    """`make(kind, socket, method, …)`: a job of this database server."""

    def build(
        kind: str, socket: Path, method: str, *, given: credentials.Login | None = None, **source: Any
    ) -> BackupJob:
        wanted = {
            "instance": instance_id(local_server, kind, socket),
            "method": method,
            "databases": [],
            "config_files": True,
            "login": "given" if given else "auto",
            **source,
        }
        definition = JobDefinition(
            name=f"{kind} {method}",
            server=local_server,
            repository=real_repository,
            source=wanted,
            source_kind=kind,
            **({"credentials": given.sealed()} if given else {}),
        )
        return jobs.create_job(definition=definition)

    return build


def proven(task: Task) -> Archive:
    """The archive of a run that went well, found in the repository; nothing is left of the run."""
    assert task.state in ("success", "notes"), (task.error_code, task.error_detail, log_path(task).read_text()[-3000:])
    archive = archive_of(task)
    found = in_repository(repositories.borg_of(archive.repository), archive.name)
    assert found is not None
    assert not Lease.objects.held().exists()
    assert not [path for path in Path("/run/phpborg").glob("s*-*") if task.pk.hex[:16] in path.name]
    return archive


def extracted(archive: Archive, target: Path) -> Path:
    """All of it, with its owners."""
    target.mkdir(mode=0o755)
    repositories.borg_of(archive.repository).extract(archive.name, None, target)
    return target


def opened(path: Path, top: Path) -> None:
    """Others may pass through the directories above what was restored."""
    for folder in path.parents:
        if folder.is_relative_to(top):
            folder.chmod(0o755)


@contextmanager
def writing(write: Callable[[], object]) -> Iterator[None]:
    """Somebody writes all the time."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            write()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def test_postgresql_as_a_stream(
    cluster: postgresql.Cluster, make: MakeDatabaseJob, run_job: RunJob, place: Path, tmp_path: Path
) -> None:
    rows = "SELECT count(*), sum(hashtext(h)) FROM t"
    expected = cluster.sql(rows, "shop")
    cluster.sql("CREATE TABLE IF NOT EXISTS busy (n serial, total bigint)", "shop")
    with writing(lambda: cluster.sql("INSERT INTO busy (total) SELECT count(*) FROM busy", "shop")):
        task = run_job(make("postgresql", cluster.sockets, "stream"))
    archive = proven(task)
    said = archive.backup_config["database"]
    assert (said["engine"], said["method"], said["consistency"]) == ("postgresql", "stream", "physical-consistent")
    assert said["data_directory"] == str(cluster.data)
    assert said["server_version"].startswith("15")
    assert archive.backup_config["streams"][0]["bytes"] > 1_000_000
    out = extracted(archive, place / "out-stream")
    data = out / str(cluster.data)[1:]
    opened(data, out)
    with postgresql.running(data, place / "again") as again:
        assert again.sql(rows, "shop") == expected
        # A whole prefix of what was written: each row knows how many there were before.
        assert again.sql("SELECT count(*) FROM busy WHERE total > n", "shop") == "0"
        assert again.sql("SELECT count(*) = coalesce(max(total) + 1, 0) FROM busy", "shop") == "t"


def test_postgresql_as_dumps(cluster: postgresql.Cluster, make: MakeDatabaseJob, run_job: RunJob, place: Path) -> None:
    archive = proven(run_job(make("postgresql", cluster.sockets, "logical")))
    said = archive.backup_config["database"]
    assert said["consistency"] == "logical"
    names = {row["name"]: row["path"] for row in said["included"] if row["kind"] == "database"}
    assert set(names) == {"postgres", "shop", *ODD}
    assert {row["name"] for row in said["not_included"]} >= {"template0", "template1"}
    out = extracted(archive, place / "out-dumps")
    for path in names.values():
        assert b"-- PostgreSQL database dump complete" in (out / path).read_bytes()[-2000:]
    (roles,) = [row["path"] for row in said["included"] if row["kind"] == "globals"]
    assert "CREATE ROLE shop" in (out / roles).read_text()


def test_only_what_was_chosen(cluster: postgresql.Cluster, make: MakeDatabaseJob, run_job: RunJob) -> None:
    archive = proven(run_job(make("postgresql", cluster.sockets, "logical", databases=["../up", "-x"])))
    said = archive.backup_config["database"]
    assert {row["name"] for row in said["included"] if row["kind"] == "database"} == {"../up", "-x"}
    assert "shop" in {row["name"] for row in said["not_included"]}


def test_a_database_that_is_gone_makes_no_archive(
    cluster: postgresql.Cluster, make: MakeDatabaseJob, run_job: RunJob
) -> None:
    cluster.sql("CREATE DATABASE gone")
    job = make("postgresql", cluster.sockets, "logical", databases=["gone", "shop"])
    cluster.sql("DROP DATABASE gone")
    task = run_job(job)
    assert task.state == "failed"
    assert "gone" in str(task.error_facts) + task.error_detail
    assert not Archive.objects.filter(job=job).exists()


def test_mariadb_as_dumps(server: mariadb.Server, make: MakeDatabaseJob, run_job: RunJob, place: Path) -> None:
    rows = "SELECT COUNT(*), SUM(CRC32(h)) FROM shop.t"
    archive = proven(run_job(make("mysql", server.socket, "logical")))
    said = archive.backup_config["database"]
    assert (said["engine"], said["consistency"]) == ("mysql", "logical")
    names = {row["name"]: row["path"] for row in said["included"] if row["kind"] == "database"}
    assert set(names) == {"shop", *ODD}
    out = extracted(archive, place / "out-my")
    (users,) = [row["path"] for row in said["included"] if row["kind"] == "users"]
    with mariadb.running(place / "my fresh", place / "my-fresh-run") as fresh:
        for path in [*names.values(), users]:
            ended = fresh.client(stdin=(out / path).read_text())
            assert ended.returncode == 0, ended.stderr
        assert fresh.sql(rows) == server.sql(rows)
        assert fresh.sql("SELECT HEX(e) FROM shop.words") == "6E61C3AF766520F09F9880"
        for what in (
            "SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'shop'",
            "SELECT event_name FROM information_schema.events",
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'shop'",
            "SHOW GRANTS FOR dump@localhost",
        ):
            assert fresh.sql(what) == server.sql(what) != ""


def test_mariadb_as_a_copy_that_is_ready_to_start(
    server: mariadb.Server, make: MakeDatabaseJob, run_job: RunJob, place: Path
) -> None:
    rows = "SELECT COUNT(*), SUM(CRC32(h)) FROM shop.t"
    expected = server.sql(rows)
    server.sql("CREATE TABLE IF NOT EXISTS shop.busy (n INT AUTO_INCREMENT PRIMARY KEY, total BIGINT)")
    with writing(lambda: server.sql("INSERT INTO shop.busy (total) SELECT COUNT(*) FROM shop.busy")):
        archive = proven(run_job(make("mysql", server.socket, "mariabackup")))
    assert archive.backup_config["database"]["consistency"] == "physical-consistent"
    assert [path.name for path in server.data.parent.iterdir() if "phpborg" in path.name] == []
    out = extracted(archive, place / "out-copy")
    data = out / str(server.data)[1:]
    opened(data, out)
    with mariadb.running(data, place / "copy-run") as again:
        assert again.sql(rows) == expected
        assert again.sql("SELECT COUNT(*) FROM shop.busy WHERE total >= n") == "0"
        assert {
            line.split("\t")[-1] for line in again.sql("CHECK TABLE shop.t, shop.busy, shop.words").splitlines()
        } == {"OK"}


def test_a_login_that_was_given(server: mariadb.Server, make: MakeDatabaseJob, run_job: RunJob) -> None:
    job = make("mysql", server.socket, "logical", given=credentials.Login("dump", PASSWORD), databases=["shop"])
    task = run_job(job)
    proven(task)
    assert PASSWORD not in log_path(task).read_text()
    wrong = BackupJob.objects.get(pk=job.pk)
    wrong.credentials = credentials.Login("dump", "wrong").sealed()
    wrong.save()
    task = run_job(wrong)
    assert task.state == "failed"
    assert "Access denied" in task.error_detail
    assert Archive.objects.filter(job=job).count() == 1


def test_a_broken_view_fails_the_dump_and_is_named(
    server: mariadb.Server, make: MakeDatabaseJob, run_job: RunJob
) -> None:
    server.sql(
        "CREATE DATABASE broken; USE broken; CREATE TABLE base (a INT); CREATE VIEW bad AS SELECT a FROM base; "
        "DROP TABLE base"
    )
    try:
        job = make("mysql", server.socket, "logical", databases=["broken"])
        task = run_job(job)
    finally:
        server.sql("DROP DATABASE broken")
    assert task.state == "failed"
    assert "broken.bad" in task.error_detail
    assert not Archive.objects.filter(job=job).exists()


def test_a_server_that_is_stopped_is_said_to_be(make: MakeDatabaseJob, run_job: RunJob, place: Path) -> None:
    with postgresql.running(place / "short", place / "short-run") as short:
        job = make("postgresql", short.sockets, "stream")
    task = run_job(job)
    assert task.state == "failed"
    assert task.error_code.startswith("DBS-"), (task.error_code, task.error_detail)
    assert subprocess.run(["pgrep", "-f", str(short.data)], capture_output=True, check=False).stdout == b""
