"""Jobs of the laboratory's database servers under writes, carried out as a worker does; started again from the archive.

What was written meanwhile is a row that knows how many there were before it: a restored database is of one moment
when each row is there up to some number and none after it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive, BackupJob, Repository
from backups.services import jobs, repositories
from backups.services.jobs import JobDefinition
from phpborg.crypto import EncryptedField
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Lease, Task
from servers.capabilities.report import parse
from servers.models import Server
from servers.services import reach
from tests.backups.conftest import RunJob, archive_of, pool, real_repository, run_job
from tests.lab.guest import Guest
from tests.lab.zfs_guest import snapshots
from tests.support import mariadb, postgresql

__all__ = ["pool", "real_repository", "run_job"]
pytestmark = pytest.mark.lab
# Until a file is gone: a row that says how many there were.
_WRITER = 'while [ -e /tmp/go ]; do printf "%s\\n" "$0" | sh -c "$1" >/dev/null 2>>/tmp/writer.log; done'
_POSTGRESQL = "runuser -u postgres -- psql -X -v ON_ERROR_STOP=1 -q {database}"
_PREFIX = "SELECT count(*) = coalesce(max(total) + 1, 0), count(*) FROM busy"


@pytest.fixture
def place() -> Iterator[Path]:
    """A short directory that other accounts may pass through."""
    path = Path(tempfile.mkdtemp(prefix="pb-lab-jobs-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def row_of(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    """`row_of(machine)`: a laboratory server as a row that is ready for backups."""

    def make(machine: Any) -> Server:
        machine.install_helper()
        target = machine.target()
        monkeypatch.setattr(reach, "HELPER_PATH", target.helper_path)
        return Server.objects.create(
            name=f"lab-{target.port}",
            address=target.address,
            port=target.port,
            user=target.user,
            host_key=target.host_key,
            private_key=EncryptedField.seal(target.private_key_path.read_text()),
            state=Server.State.READY,
        )

    return make


def job_of(server: Server, repository: Repository, kind: str, method: str, *, port: int | None = None) -> BackupJob:
    """A job of the only instance, or of the one at this port."""
    answer = reach.host_for(server).call("capabilities", {"only": [kind], "size_seconds": 0}, timeout=120)
    report = parse(answer)
    found: Any = report.postgresql.clusters if kind == "postgresql" else report.mysql.instances  # type: ignore[union-attr]
    instance = next(one for one in found if port in (None, one.port))
    source = {"instance": instance.id, "method": method, "databases": [], "config_files": True, "login": "auto"}
    definition = JobDefinition(
        name=f"{kind} {method} {port}", server=server, repository=repository, source=source, source_kind=kind
    )
    return jobs.create_job(definition=definition)


def proven(task: Task) -> Archive:
    """The archive of a run that went well; nothing is owed."""
    assert task.state in ("success", "notes"), (task.error_code, task.error_detail, log_path(task).read_text()[-4000:])
    assert not Lease.objects.held().exists()
    return archive_of(task)


def extracted(archive: Archive, target: Path) -> Path:
    """All of it, with its owners as numbers made those of this machine's accounts by the caller."""
    target.mkdir(mode=0o755)
    repositories.borg_of(archive.repository).extract(archive.name, None, target)
    return target


def made_ours(data: Path, top: Path, account: str) -> Path:
    """The owner has another number on this machine, and may pass through the directories above."""
    subprocess.run(["chown", "-R", f"{account}:", "--", str(data)], check=True)
    for folder in data.parents:
        if folder.is_relative_to(top):
            folder.chmod(0o755)
    return data


@contextmanager
def writing(machine: Any, sql: str, client: str) -> Iterator[None]:
    """Somebody in the machine writes all the time."""
    machine.execute(("touch", "/tmp/go"))
    machine.execute(("sh", "-c", 'setsid sh -c "$0" "$1" "$2" </dev/null >/dev/null 2>&1 &', _WRITER, sql, client))
    try:
        yield
    finally:
        machine.execute(("rm", "-f", "/tmp/go"))


def nothing_is_left(machine: Any) -> None:
    """No snapshot, no mount, no pipe, no copy."""
    if isinstance(machine, Guest):
        volumes = machine.execute(("lvs", "--noheadings", "-o", "lv_name")).stdout.decode().split()
        assert not [name for name in [*volumes, *snapshots(machine)] if "phpborg-" in name]
    listed = machine.execute(
        ("sh", "-c", 'ls /run/phpborg 2>/dev/null; grep " /run/phpborg/" /proc/mounts || true')
    ).stdout
    assert listed.decode().split() == []


@pytest.mark.parametrize("method", ["stream", "snapshot"])
def test_postgresql_in_the_machine(
    guest: Guest, row_of: Any, real_repository: Repository, run_job: RunJob, place: Path, method: str
) -> None:
    """On LVM (xfs): the stream and the snapshot."""
    postgresql_comes_back(guest, row_of(guest), real_repository, run_job, place, method)


def postgresql_comes_back(
    guest: Guest, row: Server, repository: Repository, run_job: RunJob, place: Path, method: str
) -> None:
    """Backed up under writes, extracted, started here: it is of one moment, whole, with its roles."""
    guest.execute(("sh", "-c", "pg_ctlcluster 15 main status || pg_ctlcluster 15 main start"))
    guest.postgresql(
        "DROP TABLE IF EXISTS busy, still; CREATE TABLE busy (n serial, total bigint);"
        "CREATE TABLE still AS SELECT n, md5(n::text) h FROM generate_series(1, 3000) n;"
        "CREATE EXTENSION IF NOT EXISTS plpgsql"
    )
    guest.postgresql(
        "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'x'; GRANT SELECT ON still TO reader"
    )
    sums = "SELECT count(*), sum(hashtext(h)) FROM still"
    expected = guest.postgresql(sums).replace("\t", "|")
    job = job_of(row, repository, "postgresql", method)
    with writing(guest, "INSERT INTO busy (total) SELECT count(*) FROM busy", _POSTGRESQL.format(database="postgres")):
        archive = proven(run_job(job))
        nothing_is_left(guest)
        guest.postgresql("INSERT INTO still VALUES (0, 'x'); DELETE FROM still WHERE n = 0")
    said = archive.backup_config["database"]
    assert said["consistency"] == {"stream": "physical-consistent", "snapshot": "crash-consistent"}[method]
    out = extracted(archive, place / "out")
    data = made_ours(out / said["data_directory"].lstrip("/"), out, postgresql.OWNER)
    (data / "postmaster.pid").unlink(missing_ok=True)
    # Debian keeps the settings elsewhere; what is needed to start is in the data directory or has a default.
    (data / "postgresql.conf").touch()
    (data / "pg_hba.conf").write_text("local all all peer\n")
    (data / "pg_ident.conf").touch()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        shutil.chown(data / name, postgresql.OWNER)
    with postgresql.running(data, place / "run") as again:
        assert again.sql(sums) == expected
        whole, count = again.sql(_PREFIX).split("|")
        assert (whole, int(count) > 0) == ("t", True)
        assert again.sql("SELECT rolname FROM pg_roles WHERE rolname = 'reader'") == "reader"
        checked = postgresql.as_owner(
            ["pg_amcheck", "--all", "--install-missing", "-h", str(again.sockets), "-p", str(again.port)]
        )
        assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


def test_mariadb_in_the_machine_as_a_snapshot(
    guest: Guest, row_of: Any, real_repository: Repository, run_job: RunJob, place: Path
) -> None:
    """On LVM (ext4)."""
    mariadb_comes_back(guest, row_of(guest), real_repository, run_job, place)


def mariadb_comes_back(guest: Guest, row: Server, repository: Repository, run_job: RunJob, place: Path) -> None:
    """A snapshot under writes, with a table without transactions: writing is locked for that moment; started here."""
    guest.execute(("sh", "-c", "service mariadb status >/dev/null 2>&1 || service mariadb start"))
    guest.mariadb(
        "DROP DATABASE IF EXISTS lab; CREATE DATABASE lab; USE lab; "
        "CREATE TABLE busy (n INT AUTO_INCREMENT PRIMARY KEY, total BIGINT);"
        "CREATE TABLE isam (n INT PRIMARY KEY, h CHAR(32)) ENGINE=MyISAM;"
        "INSERT INTO isam SELECT seq, MD5(seq) FROM seq_1_to_2000"
    )
    sums = "SELECT COUNT(*), SUM(CRC32(h)) FROM lab.isam"
    expected = guest.mariadb(sums)
    job = job_of(row, repository, "mysql", "snapshot")
    with writing(guest, "INSERT INTO busy (total) SELECT COUNT(*) FROM busy", "mariadb lab"):
        archive = proven(run_job(job))
        nothing_is_left(guest)
        guest.mariadb("INSERT INTO lab.isam VALUES (0, 'x'); DELETE FROM lab.isam WHERE n = 0")
    said = archive.backup_config["database"]
    assert said["consistency"] == "crash-consistent"
    out = extracted(archive, place / "out")
    data = made_ours(out / said["data_directory"].lstrip("/"), out, mariadb.ACCOUNT)
    with mariadb.running(data, place / "run") as again:
        assert again.sql(sums) == expected
        whole, count = again.sql("SELECT COUNT(*) = COALESCE(MAX(total) + 1, 0), COUNT(*) FROM lab.busy").split()
        assert (whole, int(count) > 0) == ("1", True)
        checked = again.sql("CHECK TABLE lab.busy, lab.isam EXTENDED").splitlines()
        assert {line.split("\t")[-1] for line in checked} == {"OK"}


def test_a_second_cluster_with_a_tablespace_elsewhere(
    postgresql_server: Any, row_of: Any, real_repository: Repository, run_job: RunJob, place: Path
) -> None:
    """In a container: another port, a data path with a blank, a tablespace outside: backup mode in one session."""
    port = 5433
    run = postgresql_server.sql
    run("DROP TABLE IF EXISTS busy; CREATE TABLE busy (n serial, total bigint)", port=port)
    job = job_of(row_of(postgresql_server), real_repository, "postgresql", "stream", port=port)
    client = f"{_POSTGRESQL.format(database='postgres')} -p {port}"
    with writing(postgresql_server, "INSERT INTO busy (total) SELECT count(*) FROM busy", client):
        archive = proven(run_job(job))
        nothing_is_left(postgresql_server)
    said = archive.backup_config["database"]
    assert said["consistency"] == "physical-consistent"
    places = [row for row in said["included"] if row["kind"] == "tablespace"]
    assert places
    out = extracted(archive, place / "out")
    data = made_ours(out / said["data_directory"].lstrip("/"), out, postgresql.OWNER)
    for row in places:
        made_ours(out / row["path"], out, postgresql.OWNER)
    # The map is what recovery makes the links from: it must name the place where the tablespace lies now.
    listed = (data / "tablespace_map").read_text()
    for row in places:
        listed = listed.replace(f"/{row['path']}", str(out / row["path"]))
    (data / "tablespace_map").write_text(listed)
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        if not (data / name).exists():
            (data / name).write_text("local all all peer\n" if name == "pg_hba.conf" else "")
            shutil.chown(data / name, postgresql.OWNER)
    with postgresql.running(data, place / "run") as again:
        whole, count = again.sql(_PREFIX).split("|")
        assert (whole, int(count) > 0) == ("t", True)
        locations = again.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%'")
        assert all(os.path.realpath(line).startswith(str(out)) for line in locations.splitlines())


def test_dumps_of_a_server_in_a_container(
    mariadb_server: Any, row_of: Any, real_repository: Repository, run_job: RunJob, place: Path
) -> None:
    """As Debian leaves it: root by the socket."""
    mariadb_server.sql(
        "DROP DATABASE IF EXISTS `weird-db name`; CREATE DATABASE `weird-db name`; USE `weird-db name`;"
        "CREATE TABLE busy (n INT AUTO_INCREMENT PRIMARY KEY, total BIGINT)"
    )
    job = job_of(row_of(mariadb_server), real_repository, "mysql", "logical")
    with writing(mariadb_server, "INSERT INTO busy (total) SELECT COUNT(*) FROM busy", "mariadb 'weird-db name'"):
        archive = proven(run_job(job))
        nothing_is_left(mariadb_server)
    paths = {row["name"]: row["path"] for row in archive.backup_config["database"]["included"]}
    out = extracted(archive, place / "out")
    with mariadb.running(place / "fresh", place / "run") as fresh:
        ended = fresh.client(stdin=(out / paths["weird-db name"]).read_text())
        assert ended.returncode == 0, ended.stderr
        found = fresh.sql("SELECT COUNT(*) = COALESCE(MAX(total) + 1, 0), COUNT(*) FROM `weird-db name`.busy").split()
        assert (found[0], int(found[1]) > 0) == ("1", True)
