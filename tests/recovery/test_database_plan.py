"""What a load may do, and what follows after files of a database server were put back: decided without a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone, translation

from backups.models import Archive, Repository, StoragePool
from backups.source_errors import InstanceContained, InstanceStopped
from phpborg.errors import InvalidInput, PhpBorgError
from recovery.errors import DatabaseIsThere, DatabaseRuns, InstanceNotSeen, NotADatabaseArchive, OlderServer
from recovery.services import physical, restores
from recovery.services.dumps import record_of
from recovery.services.load_plan import LoadPlan, plan_load
from recovery.services.next_commands import next_commands
from recovery.services.plan import plan_restore
from servers.capabilities.report import parse
from servers.models import Server
from servers.services import capabilities
from tests.support import reports

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """The sentences that are compared here."""
    with translation.override("en"):
        yield


@pytest.fixture
def server(db: None) -> Server:
    return Server.objects.create(name="db1", kind=Server.Kind.LOCAL, state=Server.State.READY)


def archive_of(server: Server, engine: str = "postgresql", method: str = "logical", **more: Any) -> Archive:
    pool, _ = StoragePool.objects.get_or_create(name="pool", defaults={"path": "/srv/pool"})
    repository, _ = Repository.objects.get_or_create(name="main", defaults={"pool": pool, "path": "/srv/pool/main"})
    record = {
        "engine": engine,
        "server_version": "15.4",
        "method": method,
        "consistency": "logical" if method == "logical" else "crash-consistent",
        "data_directory": "/var/lib/postgresql/15/main",
        "included": [
            {"kind": "globals" if engine == "postgresql" else "users", "name": "all", "path": "x/globals.sql"},
            {"kind": "database", "name": "new", "path": "x/0001-new.sql"},
            {"kind": "database", "name": "shop", "path": "x/0002-shop.sql"},
        ],
        "facts": {},
        **more,
    }
    return Archive.objects.create(
        repository=repository,
        server=server,
        name="one",
        borg_id=str(Archive.objects.count()),
        started_at=timezone.now(),
        backup_config={"database": record},
    )


def seen(server: Server, engine: str = "postgresql", **more: Any) -> None:
    if engine == "postgresql":
        facts: dict[str, Any] = {"programs": {}, "clusters": [reports.cluster(**more)]}
    else:
        facts = {
            "programs": {},
            "instances": [reports.mariadb(login=reports.login(method="socket", user="root"), **more)],
        }
    capabilities.record(server=server, report=parse(reports.report(**{engine: facts})), taken_at=timezone.now())


def plan(archive: Archive, server: Server, *chosen: str, instance: str = "15/main", **more: Any) -> LoadPlan:
    return plan_load(archive=archive, server=server, instance=instance, chosen=list(chosen), **more)


def test_accounts_come_first_and_what_is_there_is_told(server: Server) -> None:
    seen(server)
    made = plan(archive_of(server), server, "database:shop", "globals:all", "database:new", replace=True)
    assert [(item.dump.kind, item.target, item.is_there) for item in made.items] == [
        ("globals", "all", None),
        ("database", "new", False),
        ("database", "shop", True),
    ]
    assert made.endangered == ["shop"]
    assert made.access == {"major": "15", "socket": "/var/run/postgresql", "port": 5432, "owner": "postgres"}


@pytest.mark.parametrize(
    ("there", "error"),
    [
        ({"version": "14.2"}, OlderServer),
        ({"version": "16.1"}, None),
        ({"version": "15.1"}, None),
        ({"version": "9.6.24"}, OlderServer),
        ({"running": False}, InstanceStopped),
        ({"contained": True}, InstanceContained),
        ({"name": "15/other"}, InstanceNotSeen),
    ],
)
def test_only_a_server_that_can_take_it(
    server: Server, there: dict[str, Any], error: type[PhpBorgError] | None
) -> None:
    seen(server, **there)
    archive = archive_of(server)
    if error is None:
        assert plan(archive, server, "database:new").items
        return
    with pytest.raises(error) as raised:
        plan(archive, server, "database:new")
    if error is OlderServer:
        assert raised.value.facts == {"dumped": "15.4", "there": there["version"]}


def test_what_is_there_is_never_replaced_unasked(server: Server) -> None:
    seen(server)
    archive = archive_of(server)
    with pytest.raises(DatabaseIsThere):
        plan(archive, server, "database:shop")
    with pytest.raises(DatabaseIsThere):
        plan(archive, server, "database:new", new_name="a$b;c")
    with pytest.raises(InvalidInput):
        plan(archive, server, "database:new", "database:shop", new_name="other")
    assert plan(archive, server, "database:shop", new_name="../up").items[0].target == "../up"


def test_mysql_comes_back_under_its_own_name_and_its_users_last(server: Server) -> None:
    seen(server, "mysql", databases=[{"name": "shop", "size_bytes": 1}])
    archive = archive_of(server, "mysql", server_version="10.11.6", facts={"flavour": "mariadb"})
    where = {"instance": "port 3306"}
    made = plan(archive, server, "users:all", "database:new", **where)
    assert [item.dump.kind for item in made.items] == ["database", "users"]
    with pytest.raises(InvalidInput, match="cannot rename"):
        plan(archive, server, "database:shop", new_name="other", **where)


def test_a_copy_of_files_is_not_loaded(server: Server) -> None:
    seen(server)
    with pytest.raises(NotADatabaseArchive):
        plan(archive_of(server, method="snapshot"), server, "database:shop")


def test_a_given_login_is_named_to_the_helper_without_its_password(server: Server) -> None:
    seen(server, login=reports.login(False))
    assert plan(archive_of(server), server, "database:new", user="boss").access["user"] == "boss"


DATA = "/var/lib/postgresql/15/main"
PHYSICAL = {
    "included": [
        {"kind": "data", "name": DATA, "path": DATA[1:]},
        {"kind": "tablespace", "name": "fast", "path": "srv/a b"},
    ],
    "facts": {
        "owner": "postgres",
        "tablespaces": [{"name": "fast", "location": "/srv/a b"}],
        "config_files": ["/etc/postgresql/15/main/postgresql.conf", "/etc/postgresql/15/main/pg_hba.conf"],
    },
}


def test_files_of_a_running_server_never_go_to_their_own_place(server: Server) -> None:
    archive = archive_of(server, method="snapshot", **PHYSICAL)
    draft = restores.draft(archive=archive, selection=physical.tokens(archive))
    draft.destination = "in_place"
    with pytest.raises(DatabaseRuns):
        restores.plan_of(draft)
    seen(server)
    with pytest.raises(DatabaseRuns):
        restores.plan_of(draft)
    seen(server, running=False)
    assert restores.plan_of(draft).items
    draft.destination, draft.target_path = "other_path", "/recovery"
    seen(server)
    assert restores.plan_of(draft).items


def test_the_next_commands_of_postgresql_name_the_new_places(server: Server) -> None:
    archive = archive_of(server, method="snapshot", **PHYSICAL)
    draft = restores.draft(archive=archive, selection=physical.tokens(archive))
    draft.target_path = "/re covery"
    lines = [command.line for command in physical.commands_after(draft, restores.plan_of(draft))]
    data = "/re covery/var/lib/postgresql/15/main"
    assert lines[:3] == [f"chown -R postgres: '{data}'", f"chmod 0700 '{data}'", f"rm -f '{data}/postmaster.pid'"]
    assert f"find '{data}/pg_tblspc' -lname '/srv/a b' -exec ln -sfn '/re covery/srv/a b' '{{}}' ';'" in lines
    assert not any("tablespace_map" in line for line in lines)
    assert f"install -o postgres -m 0640 /etc/postgresql/15/main/pg_hba.conf '{data}/pg_hba.conf'" in lines
    program = "runuser -u postgres -- /usr/lib/postgresql/15/bin/pg_ctl"
    start = f"{program} -D '{data}' -w -o '-p 5433 -c listen_addresses=' start"
    assert start in lines


def test_a_stream_keeps_the_map_of_its_tablespaces(server: Server) -> None:
    archive = archive_of(server, method="stream", **{**PHYSICAL, "consistency": "physical-consistent"})
    record = record_of(archive)
    assert record is not None
    commands = next_commands(record, {DATA[1:]: "/new", "srv/a b": "/ne|w"})
    lines = [command.line for command in commands]
    assert not any("postmaster.pid" in line for line in lines)
    assert "sed -i 's|^\\([0-9]* \\)/srv/a b$|\\1/ne\\|w|' /new/tablespace_map" in lines
    assert next_commands(record, {}) == []
    told = [command.sentence for command in next_commands(record, {DATA[1:]: "/new"}) if not command.argv]
    assert told == ["The tablespace “fast” (/srv/a b) was not restored: restore it too."]


@pytest.mark.parametrize(
    ("engine", "method", "expected"),
    [
        ("mysql", "mariabackup", "mariadbd --datadir=/new --socket=/new/restored.sock"),
        ("mysql", "snapshot", "runuser -u mysql -- mariadbd"),
        ("mongodb", "snapshot", "mongod --dbpath /new --port 27018 --bind_ip 127.0.0.1"),
        (
            "elasticsearch",
            "api",
            "curl -X PUT -H 'Content-Type: application/json' http://127.0.0.1:9200/_snapshot/restored",
        ),
        ("elasticsearch", "snapshot", "find /new -name node.lock -delete"),
    ],
)
def test_the_next_commands_of_the_others(server: Server, engine: str, method: str, expected: str) -> None:
    included = [{"kind": "data", "name": "x", "path": "srv/data"}]
    archive = archive_of(server, engine, method, included=included)
    record = record_of(archive)
    assert record is not None
    lines = [command.line for command in next_commands(record, {"srv/data": "/new"})]
    assert any(expected in line for line in lines), lines


def test_an_archive_of_files_has_no_next_commands(server: Server) -> None:
    archive = archive_of(server)
    archive.backup_config = {}
    archive.save()
    draft = restores.draft(archive=archive, selection=["etc"])
    draft.target_path = "/recovery"
    assert physical.commands_after(draft, restores.plan_of(draft)) == []
    assert plan_restore(
        archive=archive, server=server, selection=["etc"], destination="in_place", target_path="", conflict="keep"
    ).items
