"""Databases dumped inside their containers."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote.producers.mongodb import Walk
from tests.dockers import backing
from tests.dockers.backing import Backup, inspected, quiet, run, status
from tests.dockers.conftest import PROGRAMS
from tests.dockers.fixtures_backup import backup, backup_engine, engine, here, place
from tests.support import mariadb, own_image, postgresql
from tests.support.bridged import Bridged
from tests.support.sshd import wait_until

__all__ = ["backup", "backup_engine", "engine", "here", "place"]
pytestmark = pytest.mark.real
PASSWORD = "pa'ss \"w\\ord# é$(id)"
MEMORY = ("--tmpfs", "/tmp:mode=1777")


@pytest.fixture
def postgres(engine: Bridged, place: Path) -> str:
    """A container with PostgreSQL that lets nobody in without the password."""
    data = place / "pg"
    with postgresql.running(data, place / "pg-run") as cluster:
        secret = PASSWORD.replace("'", "''")
        cluster.sql(f"ALTER USER postgres PASSWORD '{secret}'; CREATE ROLE shop LOGIN; CREATE DATABASE \"Shop é\"")
        cluster.sql("CREATE TABLE t AS SELECT n, md5(n::text) AS h FROM generate_series(1, 5000) n", "Shop é")
    (data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
    image = own_image.build(
        engine,
        "phpborg-test/pgdump:15",
        *("/usr/lib/postgresql/15", "/usr/share/postgresql/15", "/usr/share/zoneinfo", *PROGRAMS),
        leave_out=("*/bitcode", "*llvmjit*", "*/pgxs", "/usr/share/postgresql/15/man"),
    )
    account = pwd.getpwnam("postgres")
    engine.docker(
        *("run", "--detach", "--name", "db", "--network", "none", *MEMORY, "--tmpfs", "/var/run/postgresql:mode=1777"),
        *("--env", "PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin", "--env", f"POSTGRES_PASSWORD={PASSWORD}"),
        *("--user", f"{account.pw_uid}:{account.pw_gid}", "--mount", f"type=bind,source={data},target=/data", image),
        *("postgres", "-D", "/data", "-c", "listen_addresses="),
    )
    wait_until(lambda: _answers(engine, "pg_isready", "-q"), 30)
    return "db"


def not_dumped(backup: Backup, made: dict[str, Any]) -> str:
    """Why the database in “db” was not dumped: nothing of a dump is left, and the manifest says so, too."""
    (told,) = [one for one in made["findings"] if one["kind"] == "docker_dump_failed"]
    assert told["name"] == "db"
    row = {"kind": "dump", "name": "db", "reason": told["message"]}
    assert row in made["not_included"]
    manifest = backup.manifest()
    assert row in manifest["not_included"]
    assert "db" not in [one["container"] for one in (*manifest["dumps"], *made["actual"]["dumps"])]
    assert not list((backup.kept / "made").glob("dumps/db.*"))
    return str(told["message"])


def _answers(engine: Bridged, *argv: str) -> bool:
    return engine.docker("exec", "db", *argv, check=False).returncode == 0


@contextmanager
def watching() -> Iterator[list[bytes]]:
    """Every command line that runs meanwhile."""
    seen: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.append(path.read_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_postgresql_is_dumped_inside_its_container_and_comes_back(backup: Backup, engine, postgres, place):
    run(engine, "app")
    with watching() as seen:
        made = backup.make(
            containers=["app", "db"],
            quiesce=[quiet("app", "pause")],
            dumps=[{"container": "db", "engine": "postgresql"}],
        )
    assert not [words for words in seen if b"pa'ss" in words]
    assert [words for words in seen if b"pg_dumpall" in words]
    (row,) = made["actual"]["dumps"]
    assert {key: row[key] for key in ("container", "engine", "path", "version")} == {
        "container": "db", "engine": "postgresql", "path": "dumps/db.sql", "version": row["version"]
    }  # fmt: skip
    assert row["version"].startswith("15.")
    assert backup.manifest()["dumps"] == [row]
    dump = backup.kept / "made" / row["path"]
    assert (dump.stat().st_size, dump.stat().st_mode & 0o777) == (row["bytes"], 0o600)
    copy = place / "dump.sql"
    shutil.copyfile(dump, copy)
    os.chmod(copy, 0o644)
    with postgresql.running(place / "again", place / "again-run") as again:
        words = ["psql", "-X", "-q", "-h", str(again.sockets), "-p", str(again.port), "-d", "postgres", "-f", str(copy)]
        ended = postgresql.as_owner(words)
        assert "already exists" in ended.stderr  # the superuser itself, and nothing else
        assert again.sql("SELECT count(*), max(h), min(h) FROM t", "Shop é").startswith("5000|")
        assert again.sql("SELECT rolname FROM pg_roles WHERE rolname = 'shop'") == "shop"


def test_a_password_in_a_file_of_the_container_is_used(backup: Backup, engine, postgres, place):
    """And one that is wrong is told in the words of the tool."""
    environment = inspected(engine, "db")
    engine.docker("rm", "--force", "db")
    secret = place / "secret"
    secret.write_text(PASSWORD + "\n")
    image, data = environment["Config"]["Image"], place / "pg"
    account = pwd.getpwnam("postgres")

    def start(*options: str) -> None:
        engine.docker(
            *("run", "--detach", "--name", "db", "--network", "none", *MEMORY),
            *("--tmpfs", "/var/run/postgresql:mode=1777", "--env", "PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin"),
            *("--user", f"{account.pw_uid}:{account.pw_gid}", "--mount", f"type=bind,source={data},target=/data"),
            *(*options, image, "postgres", "-D", "/data", "-c", "listen_addresses="),
        )
        wait_until(lambda: _answers(engine, "pg_isready", "-q"), 30)

    mount = f"type=bind,source={secret},target=/run/secrets/pw,readonly"
    start("--env", "POSTGRES_PASSWORD_FILE=/run/secrets/pw", "--mount", mount)
    asked = [{"container": "db", "engine": "postgresql"}]
    assert backup.make(containers=["db"], dumps=asked)["actual"]["dumps"][0]["bytes"] > 100_000
    backup.remove()
    engine.docker("rm", "--force", "db")
    start("--env", "POSTGRES_PASSWORD=wrong")
    message = not_dumped(backup, backup.make(containers=["db"], dumps=asked))
    assert re.search(r"(?s)pg_dumpall in db is not whole: .*exit 1: .*password authent", message)


def test_mariadb_is_dumped_inside_its_container_and_comes_back(backup: Backup, engine, plain_place: Path):
    place = plain_place
    data = place / "my"
    with mariadb.running(data, place / "my-run") as server:
        secret = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        server.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE t (n INT PRIMARY KEY, h CHAR(32));"
            "INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_5000; CREATE PROCEDURE p() SELECT 1;"
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t WHERE n < 0"
        )
        checksum = server.sql("CHECKSUM TABLE shop.t EXTENDED")
        # The last one: nobody gets in without it from here on.
        server.client("--execute", f"ALTER USER root@localhost IDENTIFIED BY '{secret}'")
    image = own_image.build(
        engine,
        "phpborg-test/mydump:10.11",
        *(
            "/usr/sbin/mariadbd",
            "/usr/bin/mariadb",
            "/usr/bin/mariadb-dump",
            "/usr/share/mysql",
            "/usr/lib/mysql/plugin",
        ),
        *("/usr/share/zoneinfo", *PROGRAMS),
    )
    account = pwd.getpwnam("mysql")
    engine.docker(
        *("run", "--detach", "--name", "db", "--network", "none", *MEMORY, "--tmpfs", "/run/mysqld:mode=1777"),
        *("--env", f"MARIADB_ROOT_PASSWORD={PASSWORD}", "--user", f"{account.pw_uid}:{account.pw_gid}"),
        *("--mount", f"type=bind,source={data},target=/data", image, "mariadbd", "--no-defaults", "--datadir=/data"),
        *("--socket=/run/mysqld/mysqld.sock", "--skip-networking"),
    )
    wait_until(lambda: "ready for connections" in engine.docker("logs", "db").stderr, 60)
    with watching() as seen:
        made = backup.make(containers=["db"], dumps=[{"container": "db", "engine": "mysql"}])
    assert not [words for words in seen if b"pa'ss" in words]
    (row,) = made["actual"]["dumps"]
    assert (row["path"], row["version"][:5]) == ("dumps/db.sql", "10.11")
    with mariadb.running(place / "again", place / "again-run") as again:
        ended = again.client(
            stdin=(backup.kept / "made" / row["path"]).read_text(encoding="utf-8", errors="surrogateescape")
        )
        assert ended.returncode == 0, ended.stderr
        words = ("--batch", "--skip-column-names", "--execute")
        assert again.client(*words, "CHECKSUM TABLE shop.t EXTENDED").stdout.strip() == checksum
        asked = "SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema='shop'"
        assert again.client(*words, asked).stdout.strip() == "1"


@pytest.fixture
def plain_place() -> Iterator[Path]:
    """A directory with a name that the scripts of MariaDB take."""
    path = Path(tempfile.mkdtemp(prefix="phpborg-place-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


FAKE_MONGODUMP = """#!/usr/bin/python3
import json, os, struct, sys
said = open([word for word in sys.argv if word.startswith("--config=")][0][9:]).read()
assert json.loads(said.partition(":")[2]) == os.environ["WANTED"], said
assert "--username=root" in sys.argv and "--archive" in sys.argv
def doc(pairs):
    body = b""
    for key, value in pairs.items():
        name = key.encode() + b"\\0"
        if isinstance(value, bool):
            body += b"\\x08" + name + bytes([value])
        else:
            text = value.encode() + b"\\0"
            body += b"\\x02" + name + struct.pack("<i", len(text)) + text
    return struct.pack("<i", len(body) + 5) + body + b"\\0"
end, name = b"\\xff" * 4, {"db": "shop", "collection": "items"}
out = b"\\x6d\\xe2\\x99\\x81" + doc({"server_version": "6.0.1"}) + doc(dict(name, metadata="{}")) + end
out += doc(dict(name, EOF=False)) + doc({"_id": "x"}) + end
if not os.path.exists("/tmp/cut"):
    out += doc(dict(name, EOF=True)) + end
os.write(1, out)
"""


def test_mongodb_by_a_fake_mongodump_gets_its_password_by_its_input(backup: Backup, engine, place: Path):
    """No real server of MongoDB can be had here: what the tool is told, and what it says."""
    program = place / "image/usr/bin/mongodump"
    program.parent.mkdir(parents=True)
    program.write_text(FAKE_MONGODUMP)
    program.chmod(0o755)
    python = ("/usr/bin/python3", "/usr/bin/python3.11", "/usr/lib/python3.11")
    image = own_image.build(
        engine,
        "phpborg-test/mongodump:6.0",
        *(str(program), *python, *PROGRAMS, "/bin/touch"),
        leave_out=("*/config-3.11-*", "*/__pycache__", "*/test"),
        moved=(str(place / "image"), ""),
    )
    environment = {"MONGO_INITDB_ROOT_USERNAME": "root", "MONGO_INITDB_ROOT_PASSWORD": PASSWORD, "WANTED": PASSWORD}
    words = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
    engine.docker("run", "--detach", "--name", "db", "--network", "none", *MEMORY, *words, image, "sleep", "3600")
    asked = [{"container": "db", "engine": "mongodb"}]
    with watching() as seen:
        made = backup.make(containers=["db"], dumps=asked)
    assert not [words for words in seen if b"pa'ss" in words]
    (row,) = made["actual"]["dumps"]
    assert (row["path"], row["version"]) == ("dumps/db.archive", "6.0.1")
    walk = Walk()
    walk.feed((backup.kept / "made" / row["path"]).read_bytes())
    assert (walk.missing(), walk.held) == (None, {("shop", "items"): 1})
    backup.remove()
    engine.docker("exec", "db", "touch", "/tmp/cut")
    message = not_dumped(backup, backup.make(containers=["db"], dumps=asked))
    assert "mongodump in db is not whole: it has no end of shop.items" in message


@pytest.fixture
def liar(engine: Bridged, place: Path) -> str:
    """A container whose fake of pg_dumpall does what the file /place/do says."""
    program = place / "image/usr/bin/pg_dumpall"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n. /place/do\n")
    program.chmod(0o755)
    image = own_image.build(
        engine, "phpborg-test/liar:1", str(program), *PROGRAMS, "/bin/dd", moved=(str(place / "image"), "")
    )
    engine.docker(
        *("run", "--detach", "--name", "db", "--network", "none"),
        *("--mount", f"type=bind,source={place},target=/place", image, "sleep", "3600"),
    )
    return "db"


END = "echo '-- PostgreSQL database cluster dump complete'\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo half\n", "it has no end"),
        (END + "echo 'out of memory' >&2\nexit 3\n", "exit 3: out of memory"),
        (END + "kill -9 $$\n", "exit 137"),
    ],
)
def test_a_dump_by_a_fake_that_is_not_whole_takes_nothing_else_from_the_backup(
    backup: Backup, engine, liar, place, script, words
):
    run(engine, "app", "--volume", "data:/data")
    (place / "good").mkdir()
    (place / "good/do").write_text(END)
    mount = f"type=bind,source={place}/good,target=/place"
    engine.docker(
        *("run", "--detach", "--name", "good", "--network", "none", "--mount", mount),
        *(inspected(engine, "db")["Config"]["Image"], "sleep", "3600"),
    )
    (place / "do").write_text(script)
    asked = [{"container": name, "engine": "postgresql"} for name in ("db", "good")]
    made = backup.make(volumes=["data"], containers=["app"], quiesce=[quiet("app", "stop")], dumps=asked)
    assert re.search(f"pg_dumpall in db is not whole: .*{words}", not_dumped(backup, made))
    assert [row["container"] for row in made["actual"]["dumps"]] == ["good"]
    assert [row["name"] for row in made["actual"]["volumes"]] == ["data"]
    assert status(engine, "app") == "exited"
    backup.remove()
    assert status(engine, "app") == "running"
    backup.is_gone()


def test_a_container_that_is_not_there_to_be_dumped_is_told(backup: Backup, engine):
    run(engine, "app")
    made = backup.make(containers=["app"], dumps=[{"container": "db", "engine": "postgresql"}])
    assert not_dumped(backup, made) == "there is no container db any more that could be dumped"
    assert [row["name"] for row in made["actual"]["containers"]] == ["app"]


def test_the_other_name_of_a_tool_is_tried_and_the_dump_has_its_output_alone(backup: Backup, engine, place: Path):
    """By a fake: a container that has mysqldump and no mariadb-dump."""
    program = place / "image/usr/bin/mysqldump"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho '-- Server version\t8.0.36'\necho '-- Dump completed'\n")
    program.chmod(0o755)
    image = own_image.build(
        engine, "phpborg-test/mysqldump:1", str(program), *PROGRAMS, moved=(str(place / "image"), "")
    )
    engine.docker("run", "--detach", "--name", "db", "--network", "none", image, "sleep", "3600")
    (row,) = backup.make(containers=["db"], dumps=[{"container": "db", "engine": "mysql"}])["actual"]["dumps"]
    assert row["version"] == "8.0.36"
    assert (backup.kept / "made" / row["path"]).read_text() == "-- Server version\t8.0.36\n-- Dump completed\n"


def test_a_dump_by_a_fake_that_is_not_waited_for_is_ended(backup: Backup, engine, liar, place):
    (place / "do").write_text("echo $$ > /place/began\nexec sleep 3601\n")
    run(engine, "app")
    stop = threading.Event()
    plan = {"quiesce": [quiet("app", "pause")], "dumps": [{"container": "db", "engine": "postgresql"}]}
    args = {"kind": "docker", "socket": backup.socket, "action": "make", "token": backup.token, "plan": plan}

    def end() -> None:
        wait_until((place / "began").exists, 30)
        stop.set()

    ender = threading.Thread(target=end)
    ender.start()
    with pytest.raises(errors.RemoteStopped):
        backup.host.call("snapshot", args, timeout=300, stop=stop)
    ender.join()
    assert status(engine, "app") == "running"
    backup.is_gone()
    wait_until(lambda: "3601" not in engine.docker("top", "db").stdout, 5)
    assert "3600" in engine.docker("top", "db").stdout


def test_a_dump_by_a_fake_never_fills_the_disk(backup: Backup, engine, liar, place):
    (place / "do").write_text("exec dd if=/dev/zero bs=1M count=100 status=none\n")
    run(engine, "app")
    backing.KEPT.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m,mode=700", "tmpfs", str(backing.KEPT)], check=True)
    try:
        with pytest.raises(
            errors.SnapshotNoRoom, match=r"dump of db cannot be written below .*: it would take the last 67108864"
        ):
            backup.make(quiesce=[quiet("app", "stop")], dumps=[{"container": "db", "engine": "postgresql"}])
        backup.is_gone()
    finally:
        subprocess.run(["umount", str(backing.KEPT)], check=True)
    assert status(engine, "app") == "running"
