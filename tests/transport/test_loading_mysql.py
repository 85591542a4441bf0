"""Dumps of MariaDB out of an archive into a running server, through the helper."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote.loaders.mysql import DumpCensus
from servers.transport.tunnel import link
from tests.servers import database_servers as servers
from tests.support.sshd import processes_with, wait_until
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real

ODD = ["weird-db name", "a$b;c", "-x", "../up", "it's `é` \\"]
ROWS = "SELECT COUNT(*), SUM(CRC32(h)) FROM {}.t"
by_sudo = pytest.mark.parametrize("host", ["sudo"], indirect=True)

_SHOP = """
USE `{name}`;
CREATE TABLE t (i INT PRIMARY KEY, h VARCHAR(40)) DEFAULT CHARSET=utf8mb4;
INSERT INTO t SELECT seq, IF(seq = 7, 'naïve 😀', MD5(seq)) FROM seq_1_to_3000;
CREATE TABLE log (a TEXT, b BLOB);
INSERT INTO log VALUES ('\\n-- Table structure for table `x`\\n', 0x00ff0a0d1a275c);
CREATE VIEW v AS SELECT h FROM t;
CREATE FUNCTION twice(i INT) RETURNS INT DETERMINISTIC RETURN i * 2;
CREATE TRIGGER tr BEFORE INSERT ON log FOR EACH ROW SET NEW.a = 'x;';
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM log WHERE a = 'never';
"""


@dataclass
class Server:
    socket: Path

    @property
    def where(self) -> dict[str, Any]:
        return {"socket": str(self.socket), "flavour": "mariadb", "login": {"method": "socket", "user": "root"}}

    def run(self, program: str, *words: str, data: bytes = b"") -> bytes:
        argv = [program, "--no-defaults", f"--socket={self.socket}", "--default-character-set=utf8mb4", *words]
        return subprocess.run(argv, input=data, check=True, capture_output=True).stdout

    def sql(self, text: str) -> str:
        return self.run("mariadb", "--batch", "--skip-column-names", data=text.encode()).decode().strip()

    def dump(self, name: str) -> bytes:
        """As the producer makes it."""
        options = ["--single-transaction", "--routines", "--events", "--triggers", "--hex-blob"]
        return self.run("mariadb-dump", *options, "--databases", "--", name)


@contextmanager
def running() -> Iterator[Server]:
    """A MariaDB server of its own, for the length of a block."""
    account = servers.MARIADB_ACCOUNT
    with servers.place() as top:
        argv = ["mariadb-install-db", "--no-defaults", f"--user={account}", f"--datadir={top}/data", "--skip-test-db"]
        subprocess.run(
            [*argv, "--auth-root-authentication-method=socket"],
            check=True,
            capture_output=True,
            env=servers.open_to_all(),
        )
        run = servers.directory(top / "run", account)
        run.chmod(0o755)
        socket = run / "my sql.sock"
        argv = ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={top}/data", f"--socket={socket}"]
        argv += ["--skip-networking", f"--pid-file={run}/pid", "--innodb-flush-log-at-trx-commit=0"]
        with servers.running(argv, account, servers.listens(socket), top / "log"):
            yield Server(socket)


@pytest.fixture(scope="module")
def there() -> Iterator[Server]:
    """The server that is dumped and loaded into."""
    with running() as server:
        yield server


@pytest.fixture
def source(there: Server) -> Server:
    for name in ["shop", *ODD]:
        quoted = "`{}`".format(name.replace("`", "``"))
        there.sql(f"DROP DATABASE IF EXISTS {quoted}; CREATE DATABASE {quoted} CHARACTER SET utf8mb4;")
    there.sql(_SHOP.format(name="shop"))
    return there


@pytest.fixture
def borg(repository, place):
    def run(*words: str, data: bytes | None = None) -> bytes:
        env = {
            **os.environ,
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_BASE_DIR": str(place / "borg-base"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        return subprocess.run(["borg", *words], env=env, check=True, capture_output=True, input=data).stdout

    return run


@pytest.fixture
def load(host, repository, token):
    """Load a file of an archive; the helper's answer."""

    def run(name: str, archive: str, **into: object) -> dict[str, Any]:
        with link(host, str(repository), mode="tunnel", token=token) as way:
            argv = ["extract", "--stdout", way.location(archive), f"pp:{name}"]
            args = {"argv": argv, "token": token, "into": into}
            ended = host.run("load", args, secrets={"passphrase": PASSPHRASE}, link=way)
        return json.loads(ended.exit.stdout)

    return run


def all_of(server: Server, name: str = "shop") -> list[str]:
    """What has to be equal: rows, bytes, routines, events, triggers, views."""
    return [
        server.sql(ROWS.format(f"`{name}`")),
        server.sql(f"SELECT HEX(h) FROM `{name}`.t WHERE i = 7; SELECT HEX(a), HEX(b) FROM `{name}`.log"),
        server.sql(f"SELECT `{name}`.twice(21)"),
        server.sql(f"SELECT COUNT(*) FROM `{name}`.v"),
        server.sql(
            f"SHOW EVENTS FROM `{name}`; SELECT trigger_name, action_statement FROM information_schema.triggers"
        ),
    ]


def test_a_database_comes_back_with_all_that_is_in_it(source, load, borg, repository):
    for number, name in enumerate(["shop", *ODD]):
        borg("create", "--stdin-name", "my/one.sql", f"{repository}::n{number}", "-", data=source.dump(name))
    before = all_of(source)
    for number, name in enumerate(["shop", *ODD]):
        into = {**source.where, "loader": "mysql_database", "database": name, "as": name}
        with pytest.raises(errors.RemoteFailed, match="already"):
            load("my/one.sql", f"n{number}", **into)
        source.sql("DROP DATABASE `{}`".format(name.replace("`", "``")))
        said = load("my/one.sql", f"n{number}", **into)
        assert said["loaded"], said
        assert said["facts"]["tables"] == (2 if number == 0 else 0)
    assert all_of(source) == before
    assert before[1].startswith("6E61C3AF766520F09F9880")


@by_sudo
def test_what_is_replaced_is_gone(source, load, borg, repository):
    borg("create", "--stdin-name", "my/one.sql", f"{repository}::one", "-", data=source.dump("shop"))
    before = all_of(source)
    source.sql("CREATE TABLE shop.newer (a INT); DELETE FROM shop.t")
    into = {**source.where, "loader": "mysql_database", "database": "shop", "as": "shop", "replace": True}
    assert load("my/one.sql", "one", **into)["loaded"]
    assert all_of(source) == before
    assert "newer" not in source.sql("SHOW TABLES FROM shop")
    with pytest.raises(errors.RequestRefused, match="under its own name"):
        load("my/one.sql", "one", **{**into, "as": "other"})


@by_sudo
def test_a_dump_that_is_cut_leaves_the_old_database_as_it_was(source, load, borg, repository):
    text = source.dump("shop")
    borg("create", "--stdin-name", "my/one.sql", f"{repository}::one", "-", data=text[: len(text) * 2 // 3])
    source.sql("CREATE TABLE shop.newer (a INT)")
    before = all_of(source)
    into = {**source.where, "loader": "mysql_database", "database": "shop", "as": "shop", "replace": True}
    said = load("my/one.sql", "one", **into)
    assert (said["loaded"], said["untouched"]) == (False, True)
    assert "it is not whole" in said["problem"]
    assert all_of(source) == before
    assert "newer" in source.sql("SHOW TABLES FROM shop")


@by_sudo
def test_a_statement_that_fails_is_told_with_what_it_cost(source, load, borg, repository):
    broken = source.dump("shop").replace(b"CREATE TABLE `t`", b"CREATE TABLE `no such`.`t`")
    borg("create", "--stdin-name", "my/one.sql", f"{repository}::one", "-", data=broken)
    into = {**source.where, "loader": "mysql_database", "database": "shop", "as": "shop", "replace": True}
    said = load("my/one.sql", "one", **into)
    assert (said["loaded"], said["untouched"]) == (False, False)
    assert "Unknown database 'no such'" in said["problem"]


def test_users_come_back_with_their_rights_and_those_that_are_there_stay(host, repository, token, source, load):
    source.sql(
        "DROP USER IF EXISTS 'o; TO `dd'@'%', kept@localhost; DROP ROLE IF EXISTS reader;"
        "CREATE ROLE reader; GRANT SELECT ON shop.t TO reader;"
        "CREATE USER 'o; TO `dd'@'%' IDENTIFIED BY 'se''cret'; GRANT reader TO 'o; TO `dd'@'%';"
        "SET DEFAULT ROLE reader FOR 'o; TO `dd'@'%';"
        "GRANT INSERT ON `weird-db name`.* TO 'o; TO `dd'@'%'; GRANT EXECUTE ON FUNCTION shop.twice TO 'o; TO `dd'@'%';"
        "CREATE USER kept@localhost IDENTIFIED BY 'old'; GRANT SELECT ON shop.* TO kept@localhost;"
    )
    stream = {"name": "my/users.sql", "producer": "mysql_users", **source.where}
    with link(host, str(repository), mode="tunnel", token=token) as way:
        asked = {"argv": ["create", "--json", "--log-json", way.location("one")], "token": token, "streams": [stream]}
        ended = host.run("borg", asked, secrets={"passphrase": PASSPHRASE}, link=way)
    assert ended.exit.code == 0, ended.exit.stderr_tail
    shown = "SHOW CREATE USER 'o; TO `dd'@'%'; SHOW GRANTS FOR 'o; TO `dd'@'%'; SHOW GRANTS FOR reader"
    before = source.sql(shown)
    source.sql(
        "DROP USER 'o; TO `dd'@'%'; DROP ROLE reader; DROP FUNCTION shop.twice;"
        "ALTER USER kept@localhost IDENTIFIED BY 'new'; REVOKE SELECT ON shop.* FROM kept@localhost"
    )
    kept = source.sql("SHOW CREATE USER kept@localhost; SHOW GRANTS FOR kept@localhost")
    said = load("my/users.sql", "one", **source.where, loader="mysql_users")
    assert said["loaded"], said
    assert said["facts"]["users"] == 2
    assert "the account “kept@localhost” was there and stays as it is" in said["notes"]
    refused = [note for note in said["notes"] if note.startswith("a right was not given")]
    assert len(refused) == 1, said["notes"]
    assert "twice" in refused[0]
    assert source.sql("SHOW CREATE USER kept@localhost; SHOW GRANTS FOR kept@localhost") == kept
    source.sql("USE shop; CREATE FUNCTION twice(i INT) RETURNS INT DETERMINISTIC RETURN i * 2;")
    source.sql("GRANT EXECUTE ON FUNCTION shop.twice TO 'o; TO `dd'@'%'")
    assert sorted(source.sql(shown).split("\n")) == sorted(before.split("\n"))


def test_what_everybody_may_comes_back_where_nobody_has_been_given_anything(host, repository, token, source, load):
    """PUBLIC is no account that is made; one that has rights already keeps them as they are."""
    source.sql("DROP USER IF EXISTS kept@localhost; GRANT SELECT ON shop.* TO PUBLIC")
    stream = {"name": "my/users.sql", "producer": "mysql_users", **source.where}
    with link(host, str(repository), mode="tunnel", token=token) as way:
        asked = {"argv": ["create", "--json", "--log-json", way.location("one")], "token": token, "streams": [stream]}
        ended = host.run("borg", asked, secrets={"passphrase": PASSPHRASE}, link=way)
    assert ended.exit.code == 0, ended.exit.stderr_tail
    before = source.sql("SHOW GRANTS FOR PUBLIC")
    assert "SELECT ON `shop`" in before
    source.sql("REVOKE SELECT ON shop.* FROM PUBLIC; GRANT INSERT ON shop.t TO PUBLIC")
    said = load("my/users.sql", "one", **source.where, loader="mysql_users")
    assert said["loaded"], said
    assert "the account “PUBLIC” was there and stays as it is" in said["notes"]
    assert "SELECT" not in source.sql("SHOW GRANTS FOR PUBLIC")
    source.sql("REVOKE INSERT ON shop.t FROM PUBLIC; DELETE FROM mysql.global_priv WHERE user = 'PUBLIC'")
    source.sql("FLUSH PRIVILEGES")
    said = load("my/users.sql", "one", **source.where, loader="mysql_users")
    assert said["loaded"], said
    assert not [note for note in said["notes"] if "PUBLIC" in note or "not given" in note], said["notes"]
    assert source.sql("SHOW GRANTS FOR PUBLIC") == before
    source.sql("REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC")


def test_accounts_of_a_load_that_was_killed_are_taken_away_and_no_other(host, repository, token, source, load, borg):
    """kill -9 while they are made: what the disk remembers goes, and what was there before stays."""
    source.sql("CREATE OR REPLACE USER 'many-7'@'%' IDENTIFIED BY 'mine'")
    made = "".join(f"CREATE USER IF NOT EXISTS 'many-{n}'@'%' IDENTIFIED BY 'secret {n}';\n" for n in range(9000))
    dump = made + "-- phpBorg: end of the users and their rights\n"
    borg("create", "--stdin-name", "my/users.sql", f"{repository}::many", "-", data=dump.encode())
    count = "SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'many-%'"
    into = {**source.where, "loader": "mysql_users"}

    def until_killed() -> None:
        with pytest.raises(errors.ConnectionLost):
            load("my/users.sql", "many", **into)

    thread = threading.Thread(target=until_killed)
    thread.start()
    wait_until(lambda: int(source.sql(count)) > 20, 60, "no account is made")
    clients = [pid for pid in processes_with(str(source.socket)) if _name(pid) in ("mariadb", "mysql")]
    for pid in {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in clients}:
        os.kill(pid, signal.SIGKILL)
    thread.join(60)
    wait_until(lambda: not [pid for pid in processes_with(str(source.socket)) if _name(pid) == "mariadb"], 60)
    assert 20 < int(source.sql(count)) < 9000
    host.call("load", {"action": "clean", "token": token, "into": into}, timeout=300)
    assert source.sql(count) == "1"
    assert source.sql("SELECT user FROM mysql.user WHERE user LIKE 'many-%'") == "many-7"
    host.call("load", {"action": "clean", "token": token, "into": into})
    source.sql("DROP USER 'many-7'@'%'")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_tables_are_counted_however_the_dump_is_cut_into_pieces():
    text = b"--\n-- Table structure for table `a`\n--\n-- Table structure for table `b`\nx\n-- Dump completed on x\n"
    for size in (1, 2, 5, 31, len(text)):
        census = DumpCensus()
        for at in range(0, len(text), size):
            census.add(text[at : at + size])
        census.judge()
        assert census.tables == 2, size
