"""The plans of MySQL and MariaDB: dump, snapshot, prepared copy, and what each is honest about."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from backups import source_errors as e
from backups.sources.base import Consistency, SourcePlan, View
from phpborg.ui.format import byte_size
from tests.backups.test_source_databases import WEIRD, plan
from tests.support.reports import GB, directory, login, lv, lvm, mariadb, mount, report

SOCKET_LOGIN = {"method": "socket", "user": "root"}
ACCESS = {"socket": "/run/mysqld/mysqld.sock", "login": SOCKET_LOGIN, "flavour": "mariadb"}
DATA = "/var/lib/mysql"
VOLUMES = {
    "mounts": {"mounts": [mount("/", "/dev/vda1"), mount("/var/lib", "/dev/vg/lib", available_bytes=30 * GB)]},
    "lvm": lvm(lv("vg", "lib", 3), vgs=[{"name": "vg", "free_bytes": 100 * GB, "extent_bytes": 4 << 20}]),
}
PROGRAMS = ("mariadb-dump", "mariadb-backup", "mysqldump", "xtrabackup")


def one(method: str, *, config: dict[str, Any] | None = None, programs: tuple[str, ...] = PROGRAMS, **more: Any) -> Any:
    """The plan for a server that lets root in, changed by `more`."""
    known = {
        "login": login(method="socket", user="root"),
        "databases": [{"name": name, "size_bytes": GB} for name in ("mysql", "sys", "shop", "a$b;c")],
    }
    listed = {name: {"path": f"/usr/bin/{name}", "version": "10.11"} for name in programs}
    facts = {**VOLUMES, "mysql": {"programs": listed, "instances": [mariadb(**{**known, **more})]}}
    return plan("mysql", method, report(**facts), instance="port 3306", **(config or {}))


def text(made: SourcePlan) -> str:
    return " ".join(map(str, made.sentences))


def test_a_dump_holds_users_as_statements_and_every_database_of_a_person() -> None:
    made = one("logical", databases=[{"name": name} for name in ("mysql", "sys", "performance_schema", *WEIRD)])
    rows = [stream.row() for stream in made.streams]
    assert rows[0] == {**ACCESS, "producer": "mysql_users", "name": "mysql/users.sql"}
    dumped = [row for row in rows if row["producer"] == "mysql_dump"]
    assert [row["database"] for row in dumped] == WEIRD
    assert dumped[0] == {
        **ACCESS, "producer": "mysql_dump", "database": "weird-db name", "name": "mysql/0001-weird-db-name.sql",
    }  # fmt: skip
    assert rows[-1] == {"producer": "file", "path": "/etc/mysql/my.cnf", "name": "config/etc/mysql/my.cnf"}
    assert {row["name"]: row["reason"] for row in made.database.not_included} == {
        "mysql": "only as users and grants",
        "sys": "made by the server itself",
        "performance_schema": "made by the server itself",
    }
    assert made.database.consistency is Consistency.LOGICAL
    assert (made.database.engine, made.database.facts["flavour"]) == ("mysql", "mariadb")
    assert made.findings == ()
    assert "Signs in as root, through the socket (root)." in text(made)


def test_tables_that_no_transaction_holds_still_are_a_finding_of_a_dump_alone() -> None:
    engines = {"InnoDB": 12, "MyISAM": 3, "Aria": 1, "CSV": 0}
    made = one("logical", engines=engines)
    assert [(row.kind, row.message, row.path) for row in made.findings] == [
        ("not_transactional", "Aria: 1, MyISAM: 3", "port 3306")
    ]
    assert "Aria: 1, MyISAM: 3" in text(made)
    frozen = one("snapshot", engines=engines)
    assert frozen.findings == ()
    assert "Writing is locked while the snapshot is made" in text(frozen)
    assert "nobody is locked out" in text(one("snapshot"))


def test_system_databases_and_those_that_are_gone_cannot_be_chosen() -> None:
    with pytest.raises(e.DatabaseGone):
        one("logical", config={"databases": ["gone"]})
    for name in ("mysql", "sys"):
        with pytest.raises(e.DatabaseNotDumped):
            one("logical", config={"databases": [name]})
    with pytest.raises(e.InstanceUnclear):
        one("logical", databases=[])


def test_without_a_socket_the_network_is_used_and_an_unknown_flavour_is_refused() -> None:
    arguments = one("logical", socket=None).streams[0].arguments
    assert (arguments["address"], arguments["port"]) == ("127.0.0.1", 3306)
    for more in ({"socket": None, "port": None, "id": "port 3306"}, {"flavour": None}, {"flavour": "percona"}):
        with pytest.raises(e.InstanceUnclear):
            one("logical", **more)


@pytest.mark.parametrize(
    ("method", "flavour", "programs", "tool", "package"),
    [
        ("logical", "mariadb", (), "mariadb-dump", "mariadb-client"),
        ("logical", "mysql", ("mysql",), "mysqldump", "mysql-client"),
        # What the helper would not start: MariaDB's program, also under the name that both have.
        ("logical", "mysql", ("mariadb-dump",), "mysqldump", "mysql-client"),
        ("logical", "mysql", ("mysqldump",), "mysqldump", "mysql-client"),
        ("mariabackup", "mariadb", ("xtrabackup", "mariadb-dump"), "mariadb-backup", "mariadb-backup"),
        ("mariabackup", "mysql", ("mariadb-backup",), "xtrabackup", "percona-xtrabackup"),
    ],
)
def test_a_program_that_is_missing_is_named_with_its_package(
    method: str, flavour: str, programs: tuple[str, ...], tool: str, package: str
) -> None:
    with pytest.raises(e.ToolMissing) as caught:
        one(method, flavour=flavour, programs=programs)
    assert caught.value.facts == {"tool": tool, "package": package}


@pytest.mark.parametrize(
    ("flavour", "version", "usable"),
    [
        ("mysql", "9.7.0", True),
        ("mysql", "5.7.44", True),
        ("mysql", None, True),
        ("mysql", "11.8.3", False),
        ("mariadb", "8.0.36", False),
        ("mariadb", "5.5.68", True),
        ("mariadb", "10.3.39", True),
    ],
)
def test_a_name_that_both_families_have_is_told_apart_by_its_version(
    flavour: str, version: str | None, usable: bool
) -> None:
    listed = {"mysqldump": {"path": "/usr/bin/mysqldump", "version": version}}
    server = mariadb(login=login(method="socket", user="root"), databases=[{"name": "shop"}], flavour=flavour)
    made = report(**VOLUMES, mysql={"programs": listed, "instances": [server]})
    if usable:
        assert len(plan("mysql", "logical", made, instance="port 3306").streams) >= 2
    else:
        with pytest.raises(e.ToolMissing):
            plan("mysql", "logical", made, instance="port 3306")


def test_a_snapshot_holds_files_elsewhere_but_nothing_else_of_their_directories() -> None:
    outside = ["/var/lib/tables/shop/d.ibd", "/var/lib/undo/undo001"]
    made = one("snapshot", outside_files=outside)
    assert made.freeze.views == (
        View("/mysql", DATA),
        View("/tables/shop", "/var/lib/tables/shop"),
        View("/undo", "/var/lib/undo"),
    )
    assert made.paths == (DATA.encode(), *(path.encode() for path in outside), b"/etc/mysql/my.cnf")
    assert made.freeze.arguments["hold"] == {"engine": "mysql", **ACCESS}
    assert (made.freeze.arguments["kind"], made.freeze.arguments["lv"]) == ("lvm", "lib")
    names = {row["name"] for row in made.database.included}
    assert {DATA, *outside, "mysql", "sys", "shop", "a$b;c", "/etc/mysql/my.cnf"} == names
    assert made.database.consistency is Consistency.CRASH


@pytest.mark.parametrize("outside", ["/srv/t/d.ibd", "/d.ibd"])
def test_files_elsewhere_that_the_snapshot_would_lack_refuse_it(outside: str) -> None:
    with pytest.raises(e.SnapshotImpossible):
        one("snapshot", outside_files=[outside])


def test_a_prepared_copy_is_seen_where_the_data_is_and_tells_the_room_that_it_needs() -> None:
    made = one("mariabackup")
    assert made.freeze.kind == "mariabackup"
    assert made.freeze.arguments == {"kind": "mariabackup", **ACCESS, "datadir": DATA}
    assert made.freeze.views == (View("/", DATA),)
    assert made.paths == (DATA.encode(), b"/etc/mysql/my.cnf")
    assert made.database.consistency is Consistency.PHYSICAL
    assert made.database.facts["program"] == "mariadb-backup"
    with translation.override("en"):
        needed, free = byte_size(10 * GB), byte_size(30 * GB)
    assert f"It needs {needed} beside the data directory, where {free} are free." in text(made)
    assert "not known" in text(one("mariabackup", data=directory(DATA, None)))


def test_config_folders_go_with_a_copy_of_files_and_are_told_where_they_cannot() -> None:
    files = ["/etc/my.cnf", "/etc/mysql"]
    assert one("snapshot", config_files=files).paths[1:] == (b"/etc/my.cnf", b"/etc/mysql")
    made = one("logical", config_files=files)
    assert [stream.name for stream in made.streams if stream.producer == "file"] == ["config/etc/my.cnf"]
    assert {"kind": "config", "name": "/etc/mysql", "reason": "a folder, not a file"} in made.database.not_included
    assert not [row for row in one("logical", config={"config_files": False}).streams if row.producer == "file"]


def test_a_login_that_was_given_but_not_tried_makes_the_plan_wait() -> None:
    made = one("logical", config={"login": "given"}, login=login(False), databases=[])
    assert (made.streams, [row.kind for row in made.findings]) == ((), ["login_unproven"])
    copied = one("mariabackup", config={"login": "given"}, login=login(False), databases=[])
    assert copied.freeze.arguments["login"] == {"method": "given"}
