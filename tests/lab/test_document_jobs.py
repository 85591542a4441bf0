"""MongoDB by dump through the product: a job under writes, proven, loaded again and compared.

The server is FerretDB's, `mongodump` and `mongorestore` are MongoDB's own.
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups.models import Archive, BackupJob, Repository
from backups.services import credentials, jobs
from backups.services.database_login import try_login
from backups.services.database_offers import instance_of, offer_of
from backups.services.jobs import JobDefinition
from phpborg.accounts.models import User
from phpborg.tasks.models import Lease, Task
from recovery.models import Restore
from recovery.services import restores
from servers.capabilities.report import parse
from servers.models import Server
from servers.services import capabilities
from servers.services.capabilities import latest_report
from servers.services.reach import host_for
from tests.backups.conftest import RunJob, local_server, pool, real_repository, run_job
from tests.lab.ferretdb import PASSWORD, USER, running_ferretdb
from tests.lab.ferretdb import Server as Ferret
from tests.lab.test_database_jobs import proven
from tests.lab.test_mongodb import on_path, writes

__all__ = ["local_server", "pool", "real_repository", "run_job"]
pytestmark = pytest.mark.lab
Run = Callable[..., list[Task]]
LOGIN = credentials.login(USER, PASSWORD)


@contextmanager
def seen(row: Server, server: Ferret) -> Iterator[None]:
    """As a look of now makes it, with the tools on this machine's path."""
    with on_path(server.tools):
        look(row, server)
        yield


def look(row: Server, server: Ferret) -> None:
    answer = host_for(row).call("capabilities", {"only": ["mongodb"], "size_seconds": 0}, timeout=60)
    report = parse(answer)
    assert report.mongodb
    assert f"port {server.port}" in {one.id for one in report.mongodb.instances}
    capabilities.record(server=row, report=report, taken_at=timezone.now())


def job_of(row: Server, repository: Repository, server: Ferret, *names: str) -> BackupJob:
    source = {"instance": f"port {server.port}", "method": "logical", "databases": list(names), "config_files": True}
    sealed = {"credentials": LOGIN.sealed()} if server.secured else {}
    definition = JobDefinition(
        name="documents",
        server=row,
        repository=repository,
        source={**source, "login": "given" if server.secured else "auto"},
        source_kind="mongodb",
        **sealed,
    )
    return jobs.create_job(definition=definition)


def load(run_pending: Run, archive: Archive, row: Server, server: Ferret, *names: str, **more: Any) -> Task:
    chosen = [f"database:{name}" for name in names]
    given = {"login": LOGIN} if server.secured else {}
    _row, task = restores.load_and_start(
        archive=archive, server=row, instance=f"port {server.port}", chosen=chosen, **given, **more
    )
    run_pending()
    task.refresh_from_db()
    assert not Lease.objects.held().exists()
    return task


def told(task: Task) -> tuple[Any, ...]:
    return (task.error_code, task.error_detail, task.log_tail)


def fill(server: Ferret) -> None:
    """Documents of many kinds, indexes, an empty collection, an awkward name."""
    shop = server.client()["shop"]
    moment = datetime.datetime(2026, 3, 29, 1, 30, tzinfo=datetime.UTC)
    shop["items"].insert_many(
        [{"_id": n, "name": f"nön {n} 😀", "price": n / 7, "at": moment, "tags": ["a", n]} for n in range(500)]
    )
    shop["items"].insert_one({"name": "odd", "data": b"\0\xff", "none": None, "long": 1 << 60})
    shop["items"].create_index([("name", 1)], unique=True)
    shop["items"].create_index([("price", -1), ("at", 1)], name="by price")
    shop["empty one"].create_index([("a", 1)])
    server.client()["weird-db"]["x.y"].insert_one({"_id": "only"})


def all_of(server: Ferret, name: str) -> dict[str, Any]:
    """The documents and the indexes of a database, by collection; not of the one that is written to."""
    database = server.client()[name]
    return {
        one: (sorted(database[one].find(), key=lambda row: str(row["_id"])), database[one].index_information())
        for one in database.list_collection_names()
        if one != "orders"
    }


def test_a_dump_under_writes_is_loaded_into_another_server_and_beside_itself(
    local_server: Server,
    real_repository: Repository,
    run_job: RunJob,
    run_pending: Run,
    bob: User,
    client_of: Callable[[User], Client],
) -> None:
    with running_ferretdb() as server, running_ferretdb() as fresh, seen(local_server, server):
        fill(server)
        with writes(server) as done:
            before = len(done)
            archive = proven(run_job(job_of(local_server, real_repository, server)))
            after = len(done) + 1
        said = archive.backup_config["database"]
        assert (said["engine"], said["method"], said["consistency"]) == ("mongodb", "logical", "logical")
        assert {row["name"] for row in said["included"] if row["kind"] == "database"} == {"shop", "weird-db"}
        assert {row["path"] for row in said["included"]} == {"mongodb/all.archive"}
        assert archive.backup_config["streams"][0]["bytes"] > 50_000
        look(local_server, fresh)
        task = load(run_pending, archive, local_server, fresh, "shop", "weird-db")
        assert task.state == "success", told(task)
        for name in ("shop", "weird-db"):
            assert all_of(fresh, name) == all_of(server, name) != {}
        orders = list(fresh.client()["shop"]["orders"].find().sort("_id"))
        assert orders == [{"_id": n, "twice": 2 * n} for n in range(len(orders))]
        assert before <= len(orders) <= after
        row = Restore.objects.get()
        counted = {entry["target"]: (entry["collections"], entry["documents"]) for entry in row.report["loaded"]}
        assert counted == {"shop": (3, 501 + len(orders)), "weird-db": (1, 1)}
        page = client_of(bob).get(f"/restores/{row.pk}/").content.decode()
        assert "Documents" in page
        assert str(501 + len(orders)) in page
        # Beside what is there, under another name.
        beside = load(run_pending, archive, local_server, server, "shop", new_name="copy_of-it")
        assert beside.state == "success", told(beside)
        assert all_of(server, "copy_of-it") == all_of(server, "shop")


def test_by_a_given_login_one_database_replaces_what_was_changed(
    local_server: Server, real_repository: Repository, run_job: RunJob, run_pending: Run
) -> None:
    with running_ferretdb(secured=True) as server, seen(local_server, server):
        fill(server)
        expected = all_of(server, "shop")
        server.client()["admin"]["notes"].insert_one({"_id": 1})
        archive = proven(run_job(job_of(local_server, real_repository, server, "shop", "admin")))
        assert PASSWORD not in str(archive.backup_config)
        shop = server.client()["shop"]
        shop["items"].delete_many({"_id": {"$lt": 100}})
        shop["items"].update_many({"_id": {"$gt": 400}}, {"$set": {"price": 0}})
        shop["empty one"].insert_one({"_id": "later"})
        shop["made later"].insert_one({"_id": 1})
        task = load(run_pending, archive, local_server, server, "shop", "admin", replace=True)
        assert task.state == "notes", told(task)
        # mongorestore replaces collections; one that the dump lacks is told.
        assert [finding["message"] for finding in task.findings] == [
            "collections that the dump does not hold stay as they are: made later"
        ]
        shop.drop_collection("made later")
        assert all_of(server, "shop") == expected
        # The accounts are another choice: whoever is there may still sign in.
        assert server.client()["admin"]["notes"].count_documents({}) == 1
        assert PASSWORD not in str([task.params, task.steps, task.result, task.log_tail])


def test_a_dump_of_all_by_a_given_login_says_which_databases_it_holds(
    local_server: Server, real_repository: Repository, run_job: RunJob, run_pending: Run
) -> None:
    """Nobody sees them without that login: the look of the run signs in with it."""
    with running_ferretdb(secured=True) as server, running_ferretdb() as fresh, seen(local_server, server):
        fill(server)
        archive = proven(run_job(job_of(local_server, real_repository, server)))
        included = archive.backup_config["database"]["included"]
        assert {row["name"] for row in included if row["kind"] == "database"} >= {"shop", "weird-db"}
        assert {row["name"] for row in included if row["kind"] == "users"} == {"users"}
        look(local_server, fresh)
        task = load(run_pending, archive, local_server, fresh, "shop", "weird-db")
        assert task.state == "success", told(task)
        assert all_of(fresh, "shop") == all_of(server, "shop")
        assert PASSWORD not in str([archive.backup_config, task.log_tail])


@pytest.mark.parametrize(("password", "works"), [(PASSWORD, True), ("wrong", False)])
def test_a_login_is_tried_before_it_is_kept(local_server: Server, password: str, works: bool) -> None:
    with running_ferretdb(secured=True) as server, seen(local_server, server):
        fill(server)
        report = latest_report(local_server)
        assert report is not None
        offer = offer_of(report, "mongodb", f"port {server.port}")
        assert offer is not None
        tried = try_login(
            server=local_server,
            offer=offer,
            instance=instance_of(report, offer),
            login=credentials.login(USER, password),
        )
        assert tried.works is works
        assert ({"shop", "weird-db"} <= {one.name for one in tried.databases}) is works


def tool(folder: Path, server: Ferret, change: str) -> Path:
    """A directory with a `mongorestore` that hands its words to the real one after a change by `sh`."""
    folder.mkdir()
    (folder / "mongorestore").write_text(
        f'#!/bin/sh\n{change}\nexec {shlex.quote(str(server.tools))}/mongorestore "$@"\n'
    )
    (folder / "mongorestore").chmod(0o755)
    (folder / "mongodump").symlink_to(server.tools / "mongodump")
    return folder


LEFT_OUT = 'set -- "--nsExclude=shop.items" "$@"'
GOES_ON = 'for word; do shift; [ "$word" = --stopOnError ] || set -- "$@" "$word"; done'


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (LEFT_OUT, "nothing was said of shop.items, which has 501 documents"),
        (GOES_ON, "498 of 501 documents of shop.items"),
    ],
    ids=["a collection", "documents"],
)
def test_a_load_that_brought_less_is_a_failure_although_the_tool_ended_well(
    local_server: Server,
    real_repository: Repository,
    run_job: RunJob,
    run_pending: Run,
    tmp_path: Path,
    change: str,
    words: str,
) -> None:
    """mongorestore is told to leave something out, or to go on after documents that are there already."""
    with running_ferretdb() as server, running_ferretdb() as fresh, seen(local_server, server):
        fill(server)
        archive = proven(run_job(job_of(local_server, real_repository, server)))
        look(local_server, fresh)
        if change is GOES_ON:
            fresh.client()["shop"]["items"].insert_many([{"_id": n} for n in (3, 4, 5)])
        with on_path(tool(tmp_path / "bin", server, change)):
            task = load(run_pending, archive, local_server, fresh, "shop")
        assert task.state == "failed", told(task)
        assert words in task.error_detail
        assert Restore.objects.get().state == Restore.State.FAILED
        assert Restore.objects.get().report["loaded"] == []


def test_a_database_that_the_dump_does_not_hold_is_known_before_anything_is_touched(
    local_server: Server, real_repository: Repository, run_job: RunJob, run_pending: Run
) -> None:
    """The archive says of itself that there was one, as before somebody took it away while the dump began."""
    with running_ferretdb() as server, seen(local_server, server):
        fill(server)
        archive = proven(run_job(job_of(local_server, real_repository, server)))
        included = archive.backup_config["database"]["included"]
        included.append({"kind": "database", "name": "gone", "path": "mongodb/all.archive"})
        archive.save()
        task = load(run_pending, archive, local_server, server, "gone")
        assert (task.state, task.error_code) == ("failed", "REC-14"), told(task)
        assert "the archive holds nothing of “gone”" in task.error_detail
        assert set(server.client().list_database_names()) >= {"shop", "weird-db"}
