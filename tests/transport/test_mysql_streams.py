"""Dumps and accounts of MariaDB through the helper into an archive, and back into a fresh server.

There is no MySQL to run here: what is its own is tried by command line, and such tests say so by their names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote import children, producers, streams, wire
from servers.remote.loaders.mysql import Server as Asked
from servers.remote.probes import mysql_login
from servers.remote.producers import mysql
from servers.remote.producers.mysql_rights import unseen
from tests.support import mariadb
from tests.support.sshd import wait_until

pytestmark = pytest.mark.real

ODD = ["weird-db name", "a$b;c", "-x", "../up", "it's `é` \\"]
PASSWORD = "pa'ss \"w\\ord# é"
by_sudo = pytest.mark.parametrize("host", ["sudo"], indirect=True)

_SHOP = """
CREATE DATABASE shop; USE shop;
CREATE TABLE t (i INT PRIMARY KEY, h CHAR(32), twice INT AS (i * 2) VIRTUAL, kept INT AS (i + 1) STORED, KEY (kept));
INSERT INTO t (i, h) SELECT seq, MD5(seq) FROM seq_1_to_20000;
CREATE TABLE words (e VARCHAR(40) CHARACTER SET utf8mb4, b BLOB, f BIT(9), g GEOMETRY, d DATETIME(6));
INSERT INTO words VALUES ('naïve 😀', 0x00ff0a0d1a275c, b'101010101', POINT(1, 2), '2026-11-25 03:04:05.000006');
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 10; DO NEXTVAL(numbers), NEXTVAL(numbers);
CREATE VIEW v AS SELECT h FROM t WHERE i < 100;
CREATE FUNCTION twice(i INT) RETURNS INT DETERMINISTIC RETURN i * 2;
CREATE PROCEDURE p(OUT n INT) SELECT COUNT(*) INTO n FROM t;
CREATE TRIGGER tr BEFORE INSERT ON words FOR EACH ROW SET NEW.e = CONCAT(NEW.e, ';');
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM words WHERE e = 'never';
CREATE TABLE ledger (n INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE total (n INT) ENGINE=InnoDB;
INSERT INTO total VALUES (0);
"""
_USERS = """
CREATE ROLE reader; CREATE ROLE deeper; GRANT SELECT ON shop.t TO deeper; GRANT deeper TO reader;
CREATE USER 'o; TO `dd'@'%' IDENTIFIED BY 'se''cret' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3;
GRANT reader TO 'o; TO `dd'@'%'; SET DEFAULT ROLE reader FOR 'o; TO `dd'@'%';
GRANT INSERT ON `weird-db name`.* TO 'o; TO `dd'@'%' WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION shop.twice TO 'o; TO `dd'@'%'; GRANT SELECT (h), UPDATE (h) ON shop.t TO 'o; TO `dd'@'%';
CREATE USER ''@'localhost'; CREATE USER 'new\nline'@'10.0.0.%' ACCOUNT LOCK;
CREATE USER two@localhost IDENTIFIED VIA mysql_native_password USING PASSWORD('a') OR unix_socket;
CREATE USER late@localhost IDENTIFIED BY 'x' PASSWORD EXPIRE INTERVAL 120 DAY;
ALTER USER late@localhost PASSWORD EXPIRE;
GRANT SELECT ON *.* TO two@localhost WITH GRANT OPTION; GRANT SELECT ON shop.v TO PUBLIC;
"""
_WRITE = (
    "START TRANSACTION; INSERT INTO shop.ledger SELECT n + 1 FROM shop.total;"
    "UPDATE shop.total SET n = n + 1; COMMIT;"
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.Server]:
    """Databases of awkward names, everything that a database may hold, accounts of every kind."""
    with tempfile.TemporaryDirectory(prefix="phpborg-my-") as name:
        place = Path(name)
        place.chmod(0o755)
        with mariadb.running(place / "data dir", place / "run") as made:
            made.sql(_SHOP)
            for odd in ODD:
                quoted = "`{}`".format(odd.replace("`", "``"))
                made.sql(
                    f"CREATE DATABASE {quoted}; CREATE TABLE {quoted}.a (n INT); INSERT INTO {quoted}.a VALUES (7)"
                )
            made.sql(_USERS)
            yield made


@contextmanager
def writing(server: mariadb.Server) -> Iterator[None]:
    """Somebody adds row after row, each in one transaction with their number."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            server.sql(_WRITE)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def dump(server: mariadb.Server, database: str, name: str = "one.sql", **more: Any) -> dict[str, Any]:
    return {"name": name, "producer": "mysql_dump", "database": database, **server.where, **more}


def given(user: str) -> dict[str, Any]:
    return {"login": {"method": "given", "user": user}}


def names(borg: Callable[..., bytes], repository: Path) -> list[str]:
    return borg("list", "--short", str(repository)).decode().splitlines()


def inside(server: mariadb.Server) -> list[str]:
    """All that does not change while the ledger is written."""
    asked = [
        # Not CHECKSUM TABLE: with a virtual column it was seen to differ for equal rows, by what was asked before.
        "SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', i, h, twice, kept))) FROM shop.t",
        "SELECT HEX(e), HEX(b), f + 0, ST_AsText(g), d FROM shop.words",
        "SHOW CREATE VIEW shop.v; SELECT COUNT(*) FROM shop.v; SELECT shop.twice(21); CALL shop.p(@n); SELECT @n",
        "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = 'shop'",
        "SELECT event_name, event_definition, interval_value FROM information_schema.events",
        "SHOW CREATE TABLE shop.t; SELECT next_not_cached_value FROM shop.numbers",
        "SHOW CREATE DATABASE shop",
    ]
    asked += ["SELECT n FROM `{}`.a".format(name.replace("`", "``")) for name in ODD]
    return [server.sql(question) for question in asked]


def accounts(server: mariadb.Server) -> dict[str, list[str]]:
    """What the server says of each account; what it says apart of one whose password has run out is left out.

    A right to stand for all others is listed twice once it was given twice: a server's first one has no host.
    """
    found = {}
    rows = server.sql("SELECT HEX(user), HEX(host), is_role FROM mysql.user WHERE user <> 'mariadb.sys'").splitlines()
    for user, host, is_role in (row.split("\t") for row in rows):
        name, place = ("`{}`".format(bytes.fromhex(one).decode().replace("`", "``")) for one in (user, host))
        who = name if is_role == "Y" else f"{name}@{place}"
        asked = f"SHOW GRANTS FOR {who};" + ("" if is_role == "Y" else f"SHOW CREATE USER {who}")
        found[who] = sorted({line for line in server.sql(asked).splitlines() if not line.startswith("ALTER USER")})
    return found


def test_dumps_under_writes_come_back_with_all_that_is_in_them(server, make, borg, repository, place):
    rows = [{"name": "my/users.sql", "producer": "mysql_users", **server.where}]
    rows += [dump(server, database, f"my/{number}.sql") for number, database in enumerate(["shop", *ODD])]
    before = int(server.sql("SELECT n FROM shop.total"))
    with writing(server):
        wait_until(lambda: int(server.sql("SELECT n FROM shop.total")) > before, 10)
        ended = make("create", streams=rows)
    assert ended.exit.code == 0, ended.exit.stderr_tail
    after = int(server.sql("SELECT n FROM shop.total"))
    with mariadb.running(place / "fresh", place / "fresh-run") as fresh:
        for number in range(len(ODD) + 1):
            fresh.sql(borg("extract", "--stdout", f"{repository}::one", f"pp:my/{number}.sql").decode())
        fresh.sql(borg("extract", "--stdout", f"{repository}::one", "pp:my/users.sql").decode())
        assert inside(fresh) == inside(server)
        assert fresh.sql("SELECT HEX(e) FROM shop.words") == "6E61C3AF766520F09F9880"
        assert accounts(fresh) == accounts(server)
        # One moment of the writer: all rows up to some number, and that number.
        counted, last, total = map(
            int, fresh.sql("SELECT COUNT(*), MAX(n), (SELECT n FROM shop.total) FROM shop.ledger").split()
        )
        assert counted == last == total
        assert before < total < after


def test_accounts_that_are_there_keep_their_passwords(server):
    server.sql("CREATE USER kept@localhost IDENTIFIED BY 'old'; GRANT SELECT ON *.* TO kept@localhost")
    try:
        text = produced({"name": "u", "producer": "mysql_users", **server.where})
        server.sql("ALTER USER kept@localhost IDENTIFIED BY 'new'")
        now = accounts(server)
        for _ in range(2):
            server.sql(text.decode())
            assert accounts(server) == now
    finally:
        server.sql("DROP USER kept@localhost")


def produced(row: dict[str, Any], secrets: dict[str, str] | None = None) -> bytes:
    """What the producer of this row prints. Raises AssertionError with its words."""
    (stream,) = producers.streams([row], secrets or {})
    with streams.Said() as said:
        running = streams.begin(stream.producer, said.descriptor)
        assert running.stdout
        out = running.stdout.read()
        assert running.wait() == 0, said.text()
    assert stream.producer.trailer in out[-200:]
    return out


def refused(make: Callable[..., Any], row: dict[str, Any], words: str, **secrets: str) -> None:
    with pytest.raises(errors.StreamFailed, match=words):
        make("create", streams=[row], secrets=secrets)


@by_sudo
def test_what_cannot_be_dumped_leaves_no_archive(server, make, borg, repository, token):
    server.sql("CREATE USER IF NOT EXISTS wrong@localhost IDENTIFIED BY 'x'")
    refused(make, dump(server, "no such"), "Unknown database 'no such'")
    assert names(borg, repository) == []
    assert not Path(f"/run/phpborg/streams-{token}").exists()


@by_sudo
def test_a_wrong_password_is_told_in_the_words_of_the_server(server, make, borg, repository):
    refused(make, dump(server, "shop", **given("two")), "^(?!.*Traceback).*Access denied for user 'two'", database="no")
    row = {"name": "u.sql", "producer": "mysql_users", **server.where, **given("two")}
    refused(make, row, "^(?!.*Traceback).*Access denied for user 'two'", database="no")
    assert names(borg, repository) == []


@by_sudo
@pytest.mark.parametrize(
    "broken",
    ["CREATE VIEW bad AS SELECT a FROM base", "CREATE TABLE bad LIKE base; ALTER TABLE bad DISCARD TABLESPACE"],
    ids=["view", "table"],
)
def test_a_broken_object_fails_the_dump_and_is_named(server, make, borg, repository, broken):
    server.sql(f"CREATE DATABASE broken; USE broken; CREATE TABLE base (a INT); {broken}; DROP TABLE base")
    try:
        rows = [dump(server, "shop", "a.sql"), dump(server, "broken", "b.sql")]
        with pytest.raises(errors.StreamFailed, match=r"mariadb-dump ended with exit \d: .*\bbad\b"):
            make("create", streams=rows)
    finally:
        server.sql("DROP DATABASE broken")
    assert names(borg, repository) == []


@by_sudo
def test_a_tool_that_is_killed_leaves_no_archive(server, make, borg, repository):
    """It waits for a table that somebody has locked, and ends there."""
    hold = subprocess.Popen(
        ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root"], stdin=subprocess.PIPE
    )
    assert hold.stdin
    hold.stdin.write(b"LOCK TABLES shop.t WRITE;\n")
    hold.stdin.flush()

    def kill() -> None:
        wait_until(lambda: bool(tools_of(server)), 20)
        for pid in tools_of(server):
            os.kill(pid, signal.SIGKILL)

    killer = threading.Timer(1, kill)
    killer.start()
    try:
        refused(make, dump(server, "shop"), "mariadb-dump ended with signal 9")
    finally:
        killer.join()
        hold.kill()
        hold.communicate()
    assert names(borg, repository) == []


def tools_of(server: mariadb.Server) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"mariadb-dump") and f"--socket={server.socket}".encode() in words:
            found.append(int(path.parent.name))
    return found


# Who may not see everything


RIGHTS = {
    "tables": ("SELECT, SHOW VIEW ON shop.t", "SELECT, TRIGGER, EXECUTE"),
    "routines": ("SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*", "EXECUTE"),
    "triggers": ("SELECT, SHOW VIEW, EVENT ON *.*", "TRIGGER"),
}


@by_sudo
@pytest.mark.parametrize("kind", RIGHTS)
def test_a_login_that_does_not_see_all_makes_no_archive(server, make, borg, repository, kind):
    """The tool itself leaves out what it does not see, and ends well."""
    rights, missing = RIGHTS[kind]
    secret = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    server.sql(f"CREATE USER part@localhost IDENTIFIED BY '{secret}'; GRANT {rights} TO part@localhost")
    try:
        words = f"this login does not see all of “shop”.*: grant it {missing} on the database"
        refused(make, dump(server, "shop", **given("part")), words, database=PASSWORD)
    finally:
        server.sql("DROP USER part@localhost")
    assert names(borg, repository) == []


def test_rights_that_the_manual_names_are_enough_and_no_password_is_told(server):
    secret = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    server.sql(
        f"CREATE USER enough@localhost IDENTIFIED BY '{secret}'; CREATE ROLE enough_role;"
        "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES, PROCESS, RELOAD ON *.* TO enough_role;"
        "GRANT enough_role TO enough@localhost; SET DEFAULT ROLE enough_role FOR enough@localhost;"
    )
    try:
        row = dump(server, "shop", **given("enough"))
        (stream,) = producers.streams([row], {"database": PASSWORD})
        assert "pa'ss" not in repr((stream.producer.argv, stream.producer.env))
        whole, as_root = produced(row, {"database": PASSWORD}), produced(dump(server, "shop"))
        assert whole.rpartition(b"-- Dump")[0] == as_root.rpartition(b"-- Dump")[0]
        # A role that is not active gives nothing.
        server.sql("SET DEFAULT ROLE NONE FOR enough@localhost")
        with pytest.raises(AssertionError, match="grant it SELECT, TRIGGER, EXECUTE"):
            produced(row, {"database": PASSWORD})
        # What is seen but may not be read is told by the tool itself.
        server.sql("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON shop.* TO enough@localhost")
        with pytest.raises(AssertionError, match="insufficient privileges to SHOW CREATE"):
            produced(row, {"database": PASSWORD})
        with pytest.raises(AssertionError, match=r"SELECT command denied .*mysql.*user"):
            produced(
                {"name": "u", "producer": "mysql_users", **server.where, **given("enough")}, {"database": PASSWORD}
            )
    finally:
        server.sql("DROP USER enough@localhost; DROP ROLE enough_role")


ALL = ["SELECT", "TRIGGER", "EXECUTE"]
GRANTS = [
    ("mysql", [], "GRANT SELECT, EXECUTE, TRIGGER, CREATE ROLE ON *.* TO `root`@`localhost` WITH GRANT OPTION"),
    ("mysql", [], "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON *.* TO `b`@`%`"),
    ("mysql", [], "GRANT ALL PRIVILEGES ON `a_b`.* TO `b`@`%`"),
    ("mysql", ALL, "GRANT ALL PRIVILEGES ON `a\\_b`.* TO `b`@`%`"),
    ("mysql", ["SELECT", "EXECUTE"], "GRANT SELECT, TRIGGER ON *.* TO `b`@`%`\nREVOKE SELECT ON `a%`.* FROM `b`@`%`"),
    ("mysql", [], "GRANT SELECT, TRIGGER ON `axb`.* TO `b`@`%`\nGRANT SHOW_ROUTINE ON *.* TO `b`@`%`"),
    ("mysql", ["EXECUTE"], "GRANT SELECT, TRIGGER ON `axb`.* TO `b`@`%`\nGRANT SELECT ON `mysql`.* TO `b`@`%`"),
    ("mariadb", [], "GRANT SELECT, TRIGGER ON `axb`.* TO `b`@`%`\nGRANT SELECT ON `mysql`.`proc` TO `b`@`%`"),
    ("mariadb", ALL, "GRANT SELECT (`c`) ON `axb`.`t` TO `b`@`%`"),
    ("mariadb", ALL, "GRANT PROXY ON ''@'%' TO 'root'@'localhost'\nGRANT `r` TO `b`@`%`"),
    ("mariadb", [], "GRANT SELECT, TRIGGER, Delete history, EXECUTE ON `a%`.* TO `x``; ON *.* TO `@`%`"),
]


@pytest.mark.parametrize(("flavour", "missing", "grants"), GRANTS)
def test_what_show_grants_says_is_understood(flavour, missing, grants):
    assert unseen(grants.splitlines(), "axb", flavour) == missing


def test_what_a_file_on_the_server_says_to_the_tool_leaves_nothing_out(server, tmp_path, monkeypatch):
    """Only the login is taken from it: somebody's own dumps may leave out what they like."""
    included = tmp_path / "more.cnf"
    included.write_text('[client]\npassword="pw#1"\n')
    file = tmp_path / "my.cnf"
    file.write_text(
        f"!include {included}\n[mysqldump]\nignore-table=shop.t\nno-data\n[ client ]\nuser=filed\n"
        "[mariadb-dump]\nwhere=1=0\nskip-comments\n"
    )
    file.chmod(0o600)
    monkeypatch.setattr(mysql_login, "FILES", (("my.cnf", str(file)),))
    server.sql("CREATE USER filed@localhost IDENTIFIED BY 'pw#1'; GRANT ALL ON *.* TO filed@localhost")
    try:
        whole = produced(dump(server, "shop", login={"method": "my.cnf", "user": None}))
    finally:
        server.sql("DROP USER filed@localhost")
    assert whole.rpartition(b"-- Dump")[0] == produced(dump(server, "shop")).rpartition(b"-- Dump")[0]


# Programs of the other family, which cannot run here


def test_the_program_of_another_family_is_not_taken(server):
    """What is called mysqldump here is MariaDB's."""
    with pytest.raises(wire.Refused, match="mysqldump is not installed: install mysql-client"):
        producers.streams([dump(server, "shop", flavour="mysql")], {})


def test_a_fake_mysqldump_gets_the_options_of_its_own(server, tmp_path, monkeypatch):
    fake = tmp_path / "mysqldump"
    fake.write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'mysqldump  Ver 8.0.36 for Linux'; exit; }\n"
        "printf '%s\\n' \"$@\"; echo '-- Dump completed on now'\n"
    )
    fake.chmod(0o755)
    real = children.find
    monkeypatch.setattr(children, "find", lambda name: str(fake) if name == "mysqldump" else real(name))
    words = produced(dump(server, "-x", flavour="mysql")).decode().splitlines()
    assert words[:4] == ["--no-defaults", "--user=root", "--protocol=socket", f"--socket={server.socket}"]
    assert {"--single-transaction", "--routines", "--events", "--triggers", "--hex-blob"} < set(words)
    assert {"--loose-column-statistics=0", "--loose-set-gtid-purged=OFF", "--no-tablespaces"} < set(words)
    assert words[-4:-1] == ["--databases", "--", "-x"]


def test_variables_are_asked_for_as_every_server_of_both_families_takes_it(server):
    asked = Asked(server.where, {})
    assert mysql._knows(asked, "sql_mode") is True
    assert mysql._knows(asked, "print_identified_with_as_hex") is False
