"""MySQL itself (Debian's unstable release): found, dumped while somebody writes, and loaded again by the product."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from backups.models import Repository
from backups.services import credentials
from phpborg.tasks.models import Lease, Task
from recovery.errors import LoadFailed
from recovery.services import restores
from servers.capabilities.report import parse
from servers.models import Server
from servers.services import capabilities, reach
from tests.backups.conftest import RunJob, pool, real_repository, run_job
from tests.lab.servers import HELPER, LabServer
from tests.lab.test_database_jobs import job_of, nothing_is_left, proven, row_of, writing

__all__ = ["pool", "real_repository", "row_of", "run_job"]
pytestmark = pytest.mark.lab
Run = Callable[..., list[Task]]
PASSWORD = "pa$s 'w\"ord\\: é"
ODD = ("weird-db name", "a$b;c", "-x", "naïve `é")
USERS = ("'shop'@'%'", "'it''s'@'127.0.0.1'", "'phpborg boss'@'%'")
ROLES = ("'readers'@'%'", "'writ-ers'@'%'")
BUSY = "SELECT COUNT(*) = COALESCE(MAX(total) + 1, 0), COUNT(*) FROM `weird-db name`.busy"

_SHOP = """
CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop;
CREATE TABLE t (i INT PRIMARY KEY, h VARCHAR(40), twice INT GENERATED ALWAYS AS (i * 2) STORED, j JSON);
SET SESSION cte_max_recursion_depth = 5000;
INSERT INTO t (i, h, j) WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < 3000)
  SELECT n, IF(n = 7, 'naïve 😀', LEFT(SHA2(n, 256), 32)), JSON_OBJECT('n', n, 'é', '"\\\\') FROM seq;
CREATE TABLE log (a TEXT, b BLOB);
INSERT INTO log VALUES ('\\n-- Table structure for table `x`\\n', 0x00ff0a0d1a275c);
CREATE TABLE isam (n INT PRIMARY KEY, h CHAR(32)) ENGINE=MyISAM;
INSERT INTO isam SELECT i, h FROM t WHERE i <> 7;
CREATE TABLE parts (n INT PRIMARY KEY) PARTITION BY RANGE (n)
  (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE);
INSERT INTO parts VALUES (1), (99);
CREATE VIEW v AS SELECT h FROM t;
CREATE FUNCTION twice(i INT) RETURNS INT DETERMINISTIC RETURN i * 2;
CREATE TRIGGER tr BEFORE INSERT ON log FOR EACH ROW SET NEW.a = 'x;';
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM log WHERE a = 'never';
DELIMITER //
CREATE PROCEDURE many(OUT found INT) BEGIN SELECT COUNT(*) INTO found FROM t; END //
DELIMITER ;
"""
_ACCOUNTS = """
CREATE ROLE {readers}, {writers};
CREATE USER {shop} IDENTIFIED WITH caching_sha2_password BY 'secret one' DEFAULT ROLE {readers}
  PASSWORD EXPIRE NEVER FAILED_LOGIN_ATTEMPTS 4 PASSWORD_LOCK_TIME 2;
CREATE USER {its} IDENTIFIED BY 'other' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3 ATTRIBUTE '{{"team": "é"}}';
CREATE USER {boss} IDENTIFIED BY {password};
GRANT SELECT ON shop.* TO {readers}; GRANT {readers} TO {writers};
GRANT {readers}, {writers} TO {shop} WITH ADMIN OPTION;
GRANT INSERT (a), UPDATE (b) ON shop.log TO {shop}; GRANT EXECUTE ON FUNCTION shop.twice TO {shop};
GRANT SELECT ON `weird-db name`.* TO {its} WITH GRANT OPTION; GRANT BACKUP_ADMIN ON *.* TO {its};
GRANT ALL PRIVILEGES ON *.* TO {boss} WITH GRANT OPTION;
"""

# In the machine, as the helper does it: what is written while the lock is held waits in vain.
_HOLD = f"""
import json, subprocess, sys
sys.path.insert(0, {HELPER!r})
from remote import holds
def sql(text):
    return subprocess.run(["mysql", "-N", "--batch", "-e", text], capture_output=True, text=True)
row = {{"engine": "mysql", "socket": "/run/mysqld/mysqld.sock", "login": {{"method": "socket", "user": "root"}}}}
with holds.opened(row, {{}}) as hold, hold:
    log = sql("SHOW BINARY LOG STATUS").stdout
    waited = sql("SET lock_wait_timeout = 1; INSERT INTO shop.parts VALUES (50)")
print(json.dumps({{**hold.facts, "log": log, "refused": "Lock wait timeout" in waited.stderr}}))
"""


def quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))


def text(value: str) -> str:
    return "'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))


@pytest.fixture
def filled(mysql_server: LabServer) -> LabServer:
    """Databases with odd names and all that a database can have; users and roles."""
    emptied(mysql_server)
    mysql_server.sql(_SHOP)
    for name in ODD:
        mysql_server.sql(f"CREATE DATABASE {quoted(name)}; CREATE TABLE {quoted(name)}.`-t;` AS SELECT 'é😀' AS a")
    mysql_server.sql("CREATE TABLE `weird-db name`.busy (n INT AUTO_INCREMENT PRIMARY KEY, total BIGINT)")
    names = {"readers": ROLES[0], "writers": ROLES[1], "shop": USERS[0], "its": USERS[1], "boss": USERS[2]}
    mysql_server.sql(_ACCOUNTS.format(**names, password=text(PASSWORD)))
    return mysql_server


def emptied(server: LabServer) -> None:
    for name in ("shop", *ODD):
        server.sql(f"DROP DATABASE IF EXISTS {quoted(name)}")
    for user in USERS:
        server.sql(f"DROP USER IF EXISTS {user}")
    server.sql(f"DROP ROLE IF EXISTS {', '.join(ROLES)}")


def all_of(server: LabServer) -> dict[str, str]:
    """What has to be equal, by what it is."""
    schemas = ", ".join(text(name) for name in ("shop", *ODD))
    told = {
        "sums": "CHECKSUM TABLE shop.t, shop.log, shop.isam, shop.parts EXTENDED",
        "bytes": "SELECT HEX(h), HEX(j), twice FROM shop.t WHERE i = 7; SELECT HEX(a), HEX(b) FROM shop.log",
        "odd": "; ".join(f"SELECT HEX(a) FROM {quoted(name)}.`-t;`" for name in ODD),
        "tables": "SELECT table_schema, table_name, engine, create_options, table_collation FROM"
        f" information_schema.tables WHERE table_schema IN ({schemas}) ORDER BY 1, 2",
        "view": "SELECT COUNT(*) FROM shop.v",
        "routines": "SHOW CREATE FUNCTION shop.twice; SHOW CREATE PROCEDURE shop.many;"
        " CALL shop.many(@found); SELECT @found, shop.twice(21)",
        "event": "SELECT event_definition, interval_value, status FROM information_schema.events",
        "trigger": "SELECT trigger_schema, action_timing, action_statement FROM information_schema.triggers"
        " WHERE trigger_schema = 'shop'",
        "accounts": "SELECT user, host, plugin, HEX(authentication_string), account_locked, password_expired,"
        " max_user_connections, ssl_type, user_attributes FROM mysql.user ORDER BY 1, 2",
        "roles": "SELECT * FROM mysql.role_edges ORDER BY 1, 2, 3, 4; SELECT * FROM mysql.default_roles",
    }
    told |= {f"grants of {who}": f"SHOW GRANTS FOR {who}" for who in (*USERS, *ROLES)}
    return {name: server.sql(question) for name, question in told.items()}


def looked(row: Server) -> Any:
    """The report as a look of today makes it, kept; its only instance."""
    answer = reach.host_for(row).call("capabilities", {"only": ["mysql"], "size_seconds": 0}, timeout=120)
    report = parse(answer)
    capabilities.record(server=row, report=report, taken_at=timezone.now())
    assert report.mysql is not None
    assert len(report.mysql.instances) == 1, report.mysql.instances
    (instance,) = report.mysql.instances
    return instance


def test_it_is_known_for_what_it_is(mysql_server: LabServer, row_of: Any) -> None:
    """By root's own login through the socket."""
    instance = looked(row_of(mysql_server))
    version = mysql_server.sql("SELECT VERSION()").partition("-")[0]
    assert int(version.partition(".")[0]) >= 9
    assert (instance.flavour, instance.version, instance.running, instance.port) == ("mysql", version, True, 3306)
    assert (instance.data.path.rstrip("/"), instance.owner) == ("/var/lib/mysql", "mysql")
    assert (instance.login.works, instance.login.method, instance.login.user) == (True, "socket", "root")
    assert instance.log_bin is True
    assert any(path.startswith("/etc/mysql") for path in instance.config_files)
    assert {database.name for database in instance.databases} >= {"mysql", "sys"}


def test_all_comes_back_from_dumps_that_were_made_while_somebody_wrote(
    filled: LabServer, row_of: Any, real_repository: Repository, run_job: RunJob, run_pending: Run
) -> None:
    """Databases and accounts are taken away and loaded again by the product."""
    before = all_of(filled)
    row = row_of(filled)
    job = job_of(row, real_repository, "mysql", "logical")
    with writing(filled, "INSERT INTO busy (total) SELECT COUNT(*) FROM busy", "mysql 'weird-db name'"):
        archive = proven(run_job(job))
        nothing_is_left(filled)
    said = archive.backup_config["database"]
    names = {entry["name"] for entry in said["included"] if entry["kind"] == "database"}
    assert names >= {"shop", *ODD}
    emptied(filled)
    instance = looked(row)
    chosen = ["users:users", *(f"database:{name}" for name in ("shop", *ODD))]
    _restore, task = restores.load_and_start(archive=archive, server=row, instance=instance.id, chosen=chosen)
    run_pending()
    task.refresh_from_db()
    assert task.state in ("success", "notes"), (task.error_code, task.error_detail, task.log_tail)
    refused = [finding["message"] for finding in task.findings if "stays as it is" not in finding["message"]]
    assert refused == []
    assert all_of(filled) == before
    whole, count = filled.sql(BUSY).split()
    assert (whole, int(count) > 0) == ("1", True)
    # The password is what it was.
    client = ("mysql", "--host=127.0.0.25", "--user=shop", "--batch", "--skip-column-names")
    signed = filled.execute(("env", "MYSQL_PWD=secret one", *client, "--execute=SELECT COUNT(*) FROM shop.t"))
    assert signed.stdout == b"3000\n"
    assert not Lease.objects.held().exists()


def test_rights_that_end_at_a_database_come_back_or_nobody_gets_them(
    filled: LabServer, row_of: Any, real_repository: Repository, run_job: RunJob, run_pending: Run
) -> None:
    """Partial revokes: without them the account that comes back could do more than the one that was there."""
    row, shop = row_of(filled), USERS[0]
    emptied(filled)
    filled.sql(
        f"CREATE DATABASE shop; SET GLOBAL partial_revokes = ON; CREATE USER {shop} IDENTIFIED BY 'x'; "
        f"GRANT SELECT, INSERT ON *.* TO {shop}; REVOKE INSERT ON mysql.* FROM {shop}; "
        f"REVOKE SELECT, INSERT ON shop.* FROM {shop}"
    )
    try:
        before = filled.sql(f"SHOW GRANTS FOR {shop}")
        assert before.count("REVOKE") == 2
        archive = proven(run_job(job_of(row, real_repository, "mysql", "logical")))
        filled.sql(f"DROP USER {shop}; SET GLOBAL partial_revokes = OFF")
        instance = looked(row).id

        def load() -> Task:
            _restore, task = restores.load_and_start(
                archive=archive, server=row, instance=instance, chosen=["users:users"]
            )
            run_pending()
            task.refresh_from_db()
            return task

        refused = load()
        assert refused.error_code == LoadFailed.code, (refused.error_code, refused.error_detail)
        assert "SET PERSIST partial_revokes = ON" in refused.error_detail
        assert filled.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'shop'") == "0"

        filled.sql("SET GLOBAL partial_revokes = ON")
        task = load()
        assert task.state in ("success", "notes"), (task.error_code, task.error_detail)
        assert filled.sql(f"SHOW GRANTS FOR {shop}") == before
    finally:
        filled.sql(f"DROP USER IF EXISTS {shop}; SET GLOBAL partial_revokes = OFF")


def test_a_login_that_was_given_dumps(
    filled: LabServer, row_of: Any, real_repository: Repository, run_job: RunJob
) -> None:
    """By caching_sha2_password; nothing of the password is told."""
    row = row_of(filled)
    job = job_of(row, real_repository, "mysql", "logical")
    job.source = {**job.source, "login": "given", "databases": ["shop"]}
    job.credentials = credentials.login("phpborg boss", PASSWORD).sealed()
    job.save()
    archive = proven(run_job(job))
    assert PASSWORD not in str(archive.backup_config)
    assert {entry["name"] for entry in archive.backup_config["database"]["included"]} >= {"shop"}


def test_its_tables_are_held_for_a_moment_and_the_position_of_the_log_is_told(filled: LabServer, row_of: Any) -> None:
    """With a table of MyISAM it is locked; nobody waits once the hold has ended."""
    row_of(filled)
    held = filled.execute(("python3", "-I", "-"), stdin=_HOLD.encode()).stdout
    facts = json.loads(held)
    assert (facts["locked"], facts["other_engines"], facts["refused"]) == (True, {"MyISAM": 1}, True)
    file, position, *_more = facts["log"].split("\t")
    assert facts["binlog"]["file"] == file
    assert (facts["binlog"]["position"], facts["binlog_exact"]) == (int(position), True)
    filled.sql("SET lock_wait_timeout = 5; INSERT INTO shop.parts VALUES (50)")
