"""What a load may do, and what follows after files of a database server were put back: decided without a server."""

from __future__ import annotations

import shlex
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
OWNER = "runuser -u postgres --"
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
    assert lines[:4] == [
        f"namei -l '{data}' '/re covery/srv/a b'",
        f"chown -Rh postgres: '{data}'",
        f"{OWNER} chmod 0700 '{data}'",
        f"{OWNER} rm -f '{data}/postmaster.pid'",
    ]
    link = f"find '{data}/pg_tblspc' -lname '/srv/a b' -exec ln -sfn '/re covery/srv/a b' '{{}}' ';'"
    assert f"{OWNER} env --chdir=/ {link}" in lines
    assert not any("tablespace_map" in line for line in lines)
    assert f"{OWNER} install -T -m 0640 /etc/postgresql/15/main/pg_hba.conf '{data}/pg_hba.conf'" in lines
    program = f"{OWNER} /usr/lib/postgresql/15/bin/pg_ctl"
    (start,) = [line for line in lines if line.endswith(" start")]
    assert start.startswith(f"{program} -D '{data}' -l '{data}/restored.log' -w -o '-p 5433 -k '")
    # Nothing of it reaches what the other server has: its network, its archive of logs, its publishers.
    assert {"listen_addresses=", "archive_mode=off", "max_logical_replication_workers=0"} <= set(
        shlex.split(shlex.split(start)[-2])
    )


def test_the_settings_come_along_for_a_machine_that_has_none(server: Server) -> None:
    etc = "etc/postgresql/15/main"
    rows = [{"kind": "config", "name": name, "path": f"{etc}/{name}"} for name in ("postgresql.conf", "pg_hba.conf")]
    inside = {"kind": "config", "name": "postgresql.auto.conf", "path": f"{DATA[1:]}/postgresql.auto.conf"}
    record = {**PHYSICAL, "included": [*PHYSICAL["included"], *rows, inside]}  # type: ignore[misc]
    archive = archive_of(server, method="snapshot", **record)
    draft = restores.draft(archive=archive, selection=physical.tokens(archive))
    draft.target_path = "/new"
    plan = restores.plan_of(draft)
    assert [item.final for item in plan.items] == [
        f"/new/{etc}/pg_hba.conf".encode(),
        f"/new/{etc}/postgresql.conf".encode(),
        b"/new/srv/a b",
        f"/new/{DATA[1:]}".encode(),
    ]
    lines = [command.line for command in physical.commands_after(draft, plan)]
    assert f"{OWNER} install -T -m 0640 /new/{etc}/pg_hba.conf /new/{DATA[1:]}/pg_hba.conf" in lines


def test_a_stream_keeps_the_map_of_its_tablespaces(server: Server) -> None:
    archive = archive_of(server, method="stream", **{**PHYSICAL, "consistency": "physical-consistent"})
    record = record_of(archive)
    assert record is not None
    commands = next_commands(record, {DATA[1:]: "/new", "srv/a b": "/ne|w"})
    lines = [command.line for command in commands]
    assert not any("postmaster.pid" in line for line in lines)
    assert f"{OWNER} sed -i 's|^\\([0-9]* \\)/srv/a b$|\\1/ne\\|w|' /new/tablespace_map" in lines
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
            "--url http://127.0.0.1:9200/_snapshot/restored",
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


def test_settings_that_were_restored_too_go_before_those_that_are_there(server: Server) -> None:
    files = ["/etc/postgresql/15/main/postgresql.conf", "/etc/postgresql/15/main/conf.d"]
    archive = archive_of(server, method="snapshot", **{**PHYSICAL, "facts": {"config_files": files}})
    record = record_of(archive)
    assert record is not None
    commands = next_commands(record, {DATA[1:]: "/new", files[1][1:]: "/new etc/conf.d"})
    lines = [command.line for command in commands]
    assert f"{OWNER} install -T -m 0640 {files[0]} /new/postgresql.conf" in lines
    copied = lines.index(f"{OWNER} cp -RT '/new etc/conf.d' /new/conf.d")
    assert lines[copied - 1] == "chown -Rh postgres: '/new etc/conf.d'"
    assert any(" find /new/postgresql.conf /new/conf.d -name '*.conf' -exec sed -i" in line for line in lines)


@pytest.mark.parametrize(("version", "file"), [("15.4", "standby.signal"), ("11.2", "recovery.conf")])
def test_a_standby_starts_on_its_own(server: Server, version: str, file: str) -> None:
    facts = {"owner": "postgres", "in_recovery": True}
    record = record_of(archive_of(server, method="snapshot", server_version=version, **{**PHYSICAL, "facts": facts}))
    assert record is not None
    assert f"{OWNER} rm -f /new/{file}" in [command.line for command in next_commands(record, {DATA[1:]: "/new"})]


@pytest.mark.parametrize("place", ["/a,b", "/" + "x" * 100])
def test_a_socket_lies_where_it_can(server: Server, place: str) -> None:
    record = record_of(archive_of(server, method="snapshot", **PHYSICAL))
    assert record is not None
    show = next_commands(record, {DATA[1:]: place})[-1]
    assert show.argv[-5:] == ("-h", "/var/run/postgresql", "-p", "5433", "-l")
    mysql = record_of(archive_of(server, "mysql", "snapshot", included=[{"kind": "data", "path": "d"}]))
    assert mysql is not None
    shown = next_commands(mysql, {"d": place})[-1].line
    assert ("/run/mysqld/restored.sock" in shown) == (len(place) > 90)


def test_links_of_mysql_lead_to_where_their_files_are_now(server: Server) -> None:
    included = [{"kind": "data", "path": "srv/data"}, {"kind": "data", "path": "mnt/big[1]"}]
    facts = {"flavour": "mysql", "outside_files": ["/mnt/big[1]", "/gone"], "log_bin": True}
    record = record_of(archive_of(server, "mysql", "snapshot", included=included, facts=facts))
    assert record is not None
    commands = next_commands(record, {"srv/data": "/new", "mnt/big[1]": "/other"})
    lines = [command.line for command in commands]
    assert (
        "runuser -u mysql -- env --chdir=/ find /new -type l -lname '/mnt/big\\[1]' -exec ln -sfn /other '{}' ';'"
        in lines
    )
    told = [command.sentence for command in commands if not command.argv]
    assert told[0] == "Where its settings name /mnt/big[1], let them name /other before it is started."
    assert told[1].startswith("/gone lay outside")
    (start,) = [command for command in commands if "mysqld" in command.argv]
    assert {"--skip-networking", "--skip-slave-start", "--loose-mysqlx=OFF"} <= set(start.argv)
    assert "--log-bin" in start.sentence


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


@pytest.mark.parametrize(
    ("flavour", "file", "expected", "told"),
    [
        ("mariadb", "mysql-bin.000007", "--log-bin=mysql-bin", "--tc-heuristic-recover=COMMIT"),
        ("mysql", "binlog.000007", "--log-bin=binlog", "are rolled back"),
        ("mysql", "../x.000007", None, "add --log-bin with another one"),
        ("mysql", "-x y.000007", None, "add --log-bin with another one"),
        ("mysql", None, None, "add --log-bin with another one"),
    ],
)
def test_a_restored_server_decides_by_the_log_that_was_written_when_it_was_frozen(
    server: Server, flavour: str, file: str | None, expected: str | None, told: str
) -> None:
    facts = {"flavour": flavour, "log_bin": True}
    archive = archive_of(server, "mysql", "snapshot", included=[{"kind": "data", "path": "d"}], facts=facts)
    archive.backup_config["frozen"] = {"hold": {"binlog": {"file": file, "position": 4} if file else None}}
    record = record_of(archive)
    assert record is not None
    commands = next_commands(record, {"d": "/new"})
    start = commands[-2]
    assert [word for word in start.argv if word.startswith("--log-bin=")] == ([expected] if expected else [])
    assert told in start.sentence
    lists = [command.line for command in commands if "sed" in command.argv]
    assert len(lists) == (1 if expected else 0)
