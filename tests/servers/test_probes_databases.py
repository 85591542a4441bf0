"""What the probes of databases read: process lines, Debian's list, configuration files, answers, hostile bytes.

Written after what PostgreSQL 15 and MariaDB 10.11 answer; the real servers are in test_probes_databases_real.py.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.remote.probes import (
    databases,
    elasticsearch,
    mongodb,
    mysql,
    mysql_login,
    mysql_sql,
    postgresql,
    postgresql_find,
    postgresql_sql,
    redis,
)
from servers.remote.probes.base import Look, Ran
from tests.servers.fake_look import PID, FakeLook, process

# Who listens where


def test_listening_ports_of_both_families():
    lines = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4711 1 0000 100 0",
        "   1: 0100007F:1538 0100007F:9C40 01 00000000:00000000 00:00000000 00000000   101        0 4712 1 0000 20 4",
    ]
    assert databases.tcp_listeners("\n".join(lines).encode()) == {4711: ("127.0.0.1", 5432)}
    lines[1] = lines[1].replace("0100007F:1538", "00000000000000000000000001000000:0CEA")
    assert databases.tcp_listeners("\n".join(lines).encode()) == {4711: ("::1", 3306)}
    lines[1] = lines[1].replace("00000000000000000000000001000000", "0000000000000000FFFF00001700007F")
    assert databases.tcp_listeners("\n".join(lines).encode()) == {4711: ("127.0.0.23", 3306)}, "Java's way"


def test_listening_unix_sockets_with_blanks_and_without_the_connected_ones():
    table = (
        b"Num       RefCount Protocol Flags    Type St Inode Path\n"
        b"0000000000000000: 00000002 00000000 00010000 0001 01 15 /run/my sql/s\xffck\n"
        b"0000000000000000: 00000003 00000000 00000000 0001 03 16 /run/connected\n"
        b"0000000000000000: 00000002 00000000 00010000 0001 01 17\n"
    )
    assert databases.unix_listeners(table) == {15: "/run/my sql/s\udcffck"}


def test_a_socket_tells_who_listens_on_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert databases.peer("s") is None
        server.listen()
        assert databases.peer("s") == os.getpid()
        assert str(tmp_path / "s") in databases.listening(os.getpid()).sockets


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "PG_VERSION")
    assert databases.read(str(tmp_path / "PG_VERSION")) is None
    assert not postgresql_find.is_data(str(tmp_path))


def test_patience_ends():
    patience = databases.Patience()
    assert patience.seconds() == databases.ANSWER_SECONDS
    patience._until -= 100
    assert 0 < patience.seconds() < 1


# The data directory and the given login


def test_a_usual_place_is_considered_and_never_chosen():
    assert databases.directory([("/var/lib/mysql", "common", "low")]) is None
    found = databases.directory([("/a b/", "process", "medium"), ("/a b", "config", "low"), ("/u", "common", "low")])
    assert found is not None
    assert (found["path"], found["method"], found["confidence"], found["size_bytes"]) == (
        "/a b",
        "process",
        "medium",
        None,
    )
    assert [place["path"] for place in found["candidates"]] == ["/a b", "/u"]


@pytest.mark.parametrize(
    ("login", "safe", "shown"),
    [
        ({"password": "x"}, True, True),
        ({"password": "x"}, False, False),
        ({"password": "x", "port": 5433}, True, False),
        ({"password": "x", "port": 5432}, False, False),  # anybody may listen at a number
        ({"password": "x", "port": "5432"}, True, True),
        ({"password": "x", "socket": "/run/other"}, True, False),
        ({"password": "x", "socket": "/run/s"}, False, False),  # who pretends to be a database names any socket
        ({"password": "x", "socket": "/run/s", "port": 1}, True, False),
        ("nonsense", True, False),
    ],
)
def test_a_given_login_is_for_the_server_that_it_names_or_for_system_accounts(login, safe, shown):
    found = databases.given(Look({"mysql": login}), "mysql", 5432, ["/run/s"], safe)
    assert found == ({"user": "", "password": "x"} if shown else None)


# PostgreSQL


@pytest.mark.parametrize(
    "argv",
    [
        ("/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main", "-c", "config_file=/etc/x.conf"),
        ("/usr/bin/postmaster", "-D", "/var/lib/pgsql/data"),
        ("/usr/pgsql-15/bin/postgres", "-D", "/var/lib/pgsql/15/data/"),
        ("/usr/libexec/postgresql15/postgres", "-D", "/var/lib/postgresql/15/data"),
        ("postgres",),
    ],
)
def test_servers_of_every_distribution_are_known(argv):
    assert postgresql_find.postmasters([process(*argv)]) == [process(*argv)]


@pytest.mark.parametrize(
    "argv",
    [
        ("postgres: 15/main: checkpointer ",),
        ("postgres: walwriter",),
        ("/usr/lib/postgresql/15/bin/postgres", "--single", "-D", "/d", "postgres"),
        ("/usr/lib/postgresql/15/bin/postgres", "-C", "data_directory"),
        ("/usr/lib/postgresql/15/bin/psql",),
        ("pgbouncer: postgres",),
    ],
)
def test_what_a_server_forks_and_single_runs_are_no_servers(argv):
    assert postgresql_find.postmasters([process(*argv)]) == []


def test_the_data_directory_of_a_command_line():
    assert postgresql_find.data_argument(process("postgres", "-D", "/srv/pg two")) == "/srv/pg two"
    assert postgresql_find.data_argument(process("postgres", "-D/srv/é")) == "/srv/é"
    assert postgresql_find.data_argument(process("postgres", "--data_directory=/srv/a")) == "/srv/a"
    assert postgresql_find.data_argument(process("postgres")) is None


TABLE = """\
9.6 main    5433 down                  postgres  /var/lib/postgresql/9.6/main /var/log/postgresql/9.6-main.log
15  main    5432 online                postgres  /var/lib/postgresql/15/main  /var/log/postgresql/15-main.log
15  standby 5434 online,recovery       postgres  /srv/pg two                  /var/log/postgresql/15-two.log
17  broken  5435 down,binaries_missing <unknown> /gone                        <unknown>
"""


def test_debians_table_with_down_clusters_and_a_data_directory_with_a_blank():
    old, main, standby, broken = postgresql_find.from_table(TABLE)
    assert old == ("9.6", "main", 5433, False, ["/var/lib/postgresql/9.6/main"])
    assert main == ("15", "main", 5432, True, ["/var/lib/postgresql/15/main"])
    assert (standby.running, standby.data) == (True, ["/srv/pg two"])
    assert (broken.name, broken.running, broken.data) == ("broken", False, ["/gone"])


def test_debians_table_where_only_one_blank_divides_the_directory_from_the_log():
    (row,) = postgresql_find.from_table("15 main 5432 down postgres /srv/a /b c /var/log/x.log\n")
    assert row.data == ["/srv/a /b c", "/srv/a"]


def test_debians_list_as_json_needs_no_guess():
    text = '[{"version":"15","cluster":"two","port":"5433","running":1,"pgdata":"/srv/pg two /x","owneruid":101}]'
    assert postgresql_find.from_json(text) == [("15", "two", 5433, True, ["/srv/pg two /x"])]
    assert postgresql_find.from_json("Unknown option: json") is None
    assert postgresql_find.from_json("[]") == []


def test_pg_lsclusters_is_asked_for_json_and_then_for_its_table():
    look = FakeLook(tools={"pg_lsclusters": Ran(0, TABLE, "")})
    found = postgresql_find._debian(look)
    assert look.asked == [["pg_lsclusters", "--json"], ["pg_lsclusters", "-h"]]
    assert [cluster.id for cluster in found] == ["9.6/main", "15/main", "15/standby", "17/broken"]


def rows(*found: tuple[str, ...]) -> str:
    return "".join("\0".join([*row, *[""] * (5 - len(row))]) + "\0" for row in found)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("9.6.24", "9.6.24"),
        ("12.22 (Ubuntu 12.22-1.pgdg22.04+1)", "12.22"),
        ("15.18 (Debian 15.18-0+deb12u1)", "15.18"),
        ("17beta1", "17beta1"),
        ("17.2", "17.2"),
    ],
)
def test_the_version_is_the_servers_own(told, meant, tmp_path, monkeypatch):
    (tmp_path / "PG_VERSION").write_text("99\n")
    cluster = postgresql_find.Cluster("process")
    cluster.running, cluster.port, cluster.uid, cluster.socket_directory = True, 5433, 0, "/run"
    cluster.candidates = [(str(tmp_path), "process", "medium")]
    monkeypatch.setattr(FakeLook, "run", lambda *a, **k: Ran(0, rows(("setting", "server_version", told)), ""))
    programs: Any = {"psql": [{"path": "/p/psql", "version": "16.1"}]}
    found = postgresql._describe(FakeLook(), cluster, programs, databases.Patience())
    assert (found["version"], found["login"]["method"]) == (meant, "peer")


ANSWER_15 = rows(
    ("setting", "data_directory", "/srv/pg two"),
    ("setting", "max_wal_senders", "10"),
    ("recovery", "false"),
    *(
        ("database", name, "false", "true")
        for name in ("weird-db name", "a$b;c", "-x", "../up", "new\nline", "\x1e\x1f")
    ),
    ("database", "template0", "true", "false"),
    ("tablespace", "spa'ce", "/srv/ts"),
    ("size", "-x", "7471619"),
    ("tablespace size", "spa'ce", "4096"),
)


def test_names_with_any_character_in_a_name():
    facts = postgresql_sql.facts(ANSWER_15)
    names = [database["name"] for database in facts["databases"]]
    assert names == ["weird-db name", "a$b;c", "-x", "../up", "new\nline", "\x1e\x1f", "template0"]
    assert [database["size_bytes"] for database in facts["databases"]] == [None, None, 7471619, None, None, None, None]
    assert facts["tablespaces"] == [{"name": "spa'ce", "location": "/srv/ts", "size_bytes": 4096}]
    assert facts["in_recovery"] is False


@given(st.integers(0, len(ANSWER_15)))
def test_an_answer_that_is_cut_off_is_read_up_to_there(length):
    whole, cut = postgresql_sql.facts(ANSWER_15), postgresql_sql.facts(ANSWER_15[:length])
    names = [database["name"] for database in cut["databases"]]
    assert names == [database["name"] for database in whole["databases"]][: len(names)]
    assert cut["in_recovery"] in (None, False)


def test_psql_never_prompts_never_uses_the_network_and_gets_names_by_its_environment():
    assert {"-X", "-w"} <= set(postgresql_sql.ARGUMENTS)
    assert "-h" not in postgresql_sql.ARGUMENTS
    env = postgresql_sql.environment("/run/postgresql", 5433, "postgres", "-x", 0.5)
    assert (env["PGHOST"], env["PGPORT"], env["PGDATABASE"]) == ("/run/postgresql", "5433", "-x")
    assert env["PGCONNECT_TIMEOUT"] == "2"
    assert "statement_timeout" in env["PGOPTIONS"]


def test_a_cluster_in_a_container_is_told_and_not_asked():
    look = FakeLook(
        process("postgres", "-D", "/var/lib/postgresql/data", contained=True), tools={"psql": Ran(0, "", "")}
    )
    contained = [cluster for cluster in postgresql.probe(look)["clusters"] if cluster["contained"]]
    assert [(found["data"], found["owner"], found["pid"]) for found in contained] == [(None, None, PID)]
    assert "container" in contained[0]["login"]["problem"]
    assert not [argv for argv in look.asked if "-w" in argv]


# MySQL and MariaDB


def test_mariadbs_answer_with_errors_between_the_rows():
    rows = [
        ("variable", "version", "10.11.19-MariaDB"),
        ("variable", "datadir", "/srv/da ta/é/"),
        ("variable", "log_bin", "1"),
    ]
    text = "".join(f"{kind}\t{name}\t{value.encode().hex().upper()}\n" for kind, name, value in rows)
    text += f"account\t{b'root@localhost'.hex()}\t\n"
    text += "".join(
        f"database\t{name.encode().hex()}\t\n" for name in ("weird-db name", "a$b;c", "-x", "../up", "tab\té")
    )
    text += f"engine\t{b'InnoDB'.hex()}\t12\nsize\t{b'-x'.hex()}\t4096\nvariable\tno_such\tNULL\nERROR 1193\n"
    facts = mysql_sql.facts(text + "size\t6162")
    assert facts["variables"] == {
        "version": "10.11.19-MariaDB", "datadir": "/srv/da ta/é/", "log_bin": "1", "no_such": None,
    }  # fmt: skip
    assert [database["name"] for database in facts["databases"]] == ["weird-db name", "a$b;c", "-x", "../up", "tab\té"]
    assert (facts["databases"][2]["size_bytes"], facts["databases"][0]["size_bytes"]) == (4096, None)
    assert (facts["engines"], facts["account"]) == ({"InnoDB": 12}, "root@localhost")


def test_on_off_and_unknown():
    assert [mysql_sql.truth(text) for text in ("1", "0", "ON", "off", None, "maybe")] == [
        True,
        False,
        True,
        False,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("told", "version", "flavour"),
    [
        ("5.5.5-10.11.19-MariaDB-0+deb12u1-log", "10.11.19", "mariadb"),
        ("11.4.2-MariaDB", "11.4.2", "mariadb"),
        ("8.0.36-0ubuntu0.22.04.1", "8.0.36", "mysql"),
        ("5.7.44-log", "5.7.44", "mysql"),
    ],
)
def test_the_greeting_tells_version_and_flavour_without_a_login(told, version, flavour):
    found, problem = mysql_sql.greeting(b"\x0a" + told.encode() + b"\0\x05\0\0\0saltsalt\0")
    assert (found, problem) == (told, None)
    assert (mysql_sql.plain_version(told), mysql_sql.flavour(told)) == (version, flavour)


def test_a_greeting_that_is_none():
    assert mysql_sql.greeting(b"\xff\x6a\x04#HY000Host 'x' is not allowed")[1] == "Host 'x' is not allowed"
    assert mysql_sql.greeting(b"\xff\x10\x04Too many connections")[1] == "Too many connections"
    assert mysql_sql.greeting(b"HTTP/1.1 400")[1] == "it does not speak MySQL's protocol"
    assert mysql_sql.greeting(b"")[0] is None


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64) using  EditLine wrapper", "10.11.19"),
        ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)", "11.4.2"),
        ("mysqldump  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))", "8.0.36"),
        ("mariabackup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)", "10.11.19"),
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", "15.18"),
        ("mongodump version: 100.9.4\ngit version: 1234", "100.9.4"),
        ("nothing", None),
    ],
)
def test_a_programs_version(told, meant):
    assert databases.version_in(told) == meant


def test_logins_are_tried_in_their_order_and_the_secret_goes_by_a_pipe(monkeypatch):
    monkeypatch.setattr(mysql_login.os.path, "exists", lambda path: True)
    door = databases.Door("/run/mysqld/my sql.sock")
    given = {"user": "o'brien", "password": 'p"w\\d#\n'}
    found = mysql_login.tries(door, mysql_login.Server([door], "mysql", True), given)
    assert [attempt.method for attempt in found] == ["socket", "debian.cnf", "my.cnf", "given"]
    assert [attempt.first for attempt in found[1:3]] == [
        "--defaults-file=/etc/mysql/debian.cnf", "--defaults-file=/root/.my.cnf",
    ]  # fmt: skip
    assert found[3].stdin == '[client]\nuser="o\'brien"\npassword="p\\"w\\\\d#\\n"\n'
    assert not any('p"w' in word for word in [found[3].first, *found[3].more])


def test_an_ordinary_accounts_server_never_sees_roots_secrets():
    door = databases.Door("/home/eve/s")
    found = mysql_login.tries(door, mysql_login.Server([door], "eve", False), None)
    assert [(attempt.method, attempt.user, attempt.file) for attempt in found] == [("socket", "eve", None)]


def test_a_client_that_hands_over_no_file_and_reads_no_other_settings():
    look = FakeLook(tools={"mariadb": Ran(1, "", "ERROR 2002")})
    door = databases.Door("/nowhere/s")
    mysql_login.ask(look, mysql_login.Server([door], "mysql", True), None, 1)
    assert look.asked[0][1] == "--no-defaults"
    assert "--local-infile=0" in look.asked[0]
    # The client forgets --force that stands before what it executes.
    assert look.asked[0].index("--force") > [word[:9] for word in look.asked[0]].index("--execute")


def test_files_of_innodb_outside_the_data_directory(tmp_path):
    data, other = tmp_path / "da ta", tmp_path / "other"
    (data / "shop").mkdir(parents=True)
    (other / "shop").mkdir(parents=True)
    (other / "undo").mkdir()
    for path in (other / "shop/t.ibd", other / "ibdata1", other / "m.MYD"):
        path.write_text("")
    (data / "shop/t.isl").write_text(f"{other}/shop/t.ibd")
    (data / "shop/gone.isl").write_text("/nowhere/gone.ibd")
    (data / "shop/m.MYD").symlink_to(other / "m.MYD")
    variables: dict[str, str | None] = {
        "innodb_data_home_dir": "", "innodb_data_file_path": f"{other}/ibdata1:12M;ibdata2:10M:autoextend",
        "innodb_undo_directory": str(other / "undo"), "innodb_log_group_home_dir": "./",
    }  # fmt: skip
    found = mysql.outside_files(str(data), variables, ["./shop/a.ibd"])
    assert found == [str(other / name) for name in ("undo", "ibdata1", "shop/t.ibd", "m.MYD")]


def test_options_of_a_command_line_in_both_spellings():
    argv = ["--user=mysql", "--log_bin", "--datadir=/a", "--innodb-x", "--datadir", "/b c"]
    assert databases.option(argv, "--datadir") == "/b c"
    assert databases.option(["--data_dir=/x=y"], "--data-dir") == "/x=y"
    assert databases.option(["--port"], "--port") is None


# What none of them may do


def test_every_probe_answers_on_a_machine_without_databases(monkeypatch):
    monkeypatch.setattr("glob.glob", lambda pattern: [])
    monkeypatch.setattr(redis, "_SOCKETS", ())
    for probe in (postgresql, mysql, mongodb, elasticsearch, redis):
        facts = probe.probe(FakeLook())
        assert all(not value for value in facts.values()), facts
