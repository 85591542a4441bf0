"""Databases that their jobs dump: images of this machine's own programs with an entrypoint like the official ones'."""

from __future__ import annotations

import os
import pwd
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.dockers.conftest import PROGRAMS
from tests.support import own_image
from tests.support.bridged import Bridged
from tests.support.workers import wait_until

PG, MARIADB, PLAIN = "phpborg-test/dumped-postgres:15", "phpborg-test/dumped-mariadb:10.11", "phpborg-test/plain:1"
PASSWORD = "canary-of-the-dump"
# As the official image: a server on its socket alone initialises, ends, and the real one takes the place of the shell.
PG_ENTRYPOINT = """#!/bin/sh
set -e
unset PGHOST PGHOSTADDR PGSERVICE
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/pw
    initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/pw --locale=C -E UTF8 --no-sync >/dev/null
    postgres -D "$PGDATA" -c listen_addresses= &
    server=$!
    until psql -qX -U "$POSTGRES_USER" -d postgres -c '' 2>/dev/null; do sleep 0.1; done
    psql -qX -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE $POSTGRES_DB"
    psql -qX -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "CREATE TABLE kettle (made_at_first_start int); CREATE ROLE app"
    sleep 1
    kill -INT $server
    wait $server
fi
exec "$@"
"""
PG_COMPOSE = """
version: "2.4"
services:
  db:
    image: {image}
    user: "{uid}:{gid}"
    environment:
      PATH: /usr/lib/postgresql/15/bin:/usr/bin:/bin
      PGDATA: /var/lib/postgresql/data
      POSTGRES_USER: boss
      POSTGRES_DB: shop
      POSTGRES_PASSWORD: {password}
    entrypoint: [/entrypoint.sh]
    command: [postgres, -c, "listen_addresses="]
    volumes: ["{data}:/var/lib/postgresql/data", "more:/more"]
    healthcheck: {{test: [CMD, psql, -qX, -U, boss, -d, shop, -c, "SELECT 1 FROM kettle"], interval: 1s, retries: 60}}
  app:
    image: phpborg-test/plain:1
    depends_on: [db]
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    volumes: ["more:/more"]
volumes: {{data: {{}}, more: {{}}}}
"""


@dataclass
class Kiosk:
    """A database with writers, in a project below `place`; its data lie in a volume, or in a directory beside."""

    place: Path
    data: str = "data"

    @property
    def directory(self) -> Path:
        return self.place / "kiosk; $(id)"

    def start(self, engine: Bridged) -> None:
        images(engine, self.place)
        account = pwd.getpwnam("postgres")
        self.directory.mkdir(parents=True)
        facts = {"image": PG, "uid": account.pw_uid, "gid": account.pw_gid, "password": PASSWORD, "data": self.data}
        (self.directory / "docker-compose.yml").write_text(PG_COMPOSE.format(**facts))
        engine.compose("-p", "kiosk", "up", "--no-start", cwd=str(self.directory))
        own = self.directory / self.data if self.data.startswith("./") else self.volume(engine, "data")
        own.mkdir(exist_ok=True)
        os.chown(own, account.pw_uid, account.pw_gid)
        (self.volume(engine, "more") / "note").write_text("beside the database")
        engine.compose("-p", "kiosk", "up", "--detach", cwd=str(self.directory))
        # Its health check is content with the server that only initialises it.
        wait_until(lambda: "postgres" in first_process(engine, "kiosk_db_1"), 60)
        wait_until(lambda: health(engine, "kiosk_db_1") == "healthy", 60)
        sql(
            engine,
            "DROP TABLE kettle; CREATE TABLE kettle (id int PRIMARY KEY, text text); CREATE ROLE clerk LOGIN;"
            "CREATE TABLE twin (id int REFERENCES kettle); GRANT SELECT ON kettle TO clerk;"
            "INSERT INTO kettle SELECT i, repeat('tea', 20) FROM generate_series(1, 20000) i",
        )

    def volume(self, engine: Bridged, name: str) -> Path:
        where = ("volume", "inspect", "--format", "{{.Mountpoint}}", f"kiosk_{name}")
        return Path(engine.docker(*where).stdout.strip())

    @contextmanager
    def load(self, engine: Bridged) -> Iterator[None]:
        """Somebody writes all the time: each row has its twin."""
        over = threading.Event()

        def write() -> None:
            number = 1_000_000
            while not over.is_set():
                number += 1
                time.sleep(0.2)
                sql(
                    engine,
                    f"BEGIN; INSERT INTO kettle VALUES ({number}, 'x'); INSERT INTO twin VALUES ({number}); COMMIT",
                )

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(1)
        try:
            yield
        finally:
            over.set()
            writer.join()


def sql(engine: Bridged, text: str, container: str = "kiosk_db_1", database: str = "shop") -> str:
    words = ("psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-U", "boss", "-d", database, "-c", text)
    return engine.docker("exec", container, *words).stdout.strip()


def health(engine: Bridged, name: str) -> str:
    return engine.docker("inspect", "--format", "{{.State.Health.Status}}", name).stdout.strip()


def first_process(engine: Bridged, name: str) -> str:
    return engine.docker("exec", name, "cat", "/proc/1/comm", check=False).stdout


def images(engine: Bridged, place: Path) -> None:
    """With an entrypoint of its own."""
    entrypoint = place / "image/entrypoint.sh"
    entrypoint.parent.mkdir(parents=True, exist_ok=True)
    entrypoint.write_text(PG_ENTRYPOINT)
    entrypoint.chmod(0o755)
    engine.docker("tag", own_image.build(engine, "phpborg-test/plain:1", *PROGRAMS), PLAIN)
    base = own_image.build(
        engine,
        "phpborg-test/dumped-base:15",
        *("/usr/lib/postgresql/15", "/usr/share/postgresql/15", "/usr/share/zoneinfo", *PROGRAMS),
        leave_out=("*/bitcode", "*llvmjit*", "*/pgxs", "/usr/share/postgresql/15/man"),
    )
    (place / "image/Dockerfile").write_text(f"FROM {base}\nCOPY entrypoint.sh /entrypoint.sh\nCOPY top/ /\n")
    for name in ("tmp", "var/run/postgresql"):
        own = place / "image/top" / name
        own.mkdir(parents=True, exist_ok=True)
        own.chmod(0o1777)
    engine.docker("build", "--quiet", "--tag", PG, str(place / "image"))


MARIADB_ENTRYPOINT = """#!/bin/sh
set -e
unset MYSQL_HOST
data=/tmp/my socket=/run/mysqld/mysqld.sock
if [ ! -d $data/mysql ]; then
    mkdir -p $data/mysql $data/performance_schema
    {
        printf 'USE mysql;\\n'
        cat /usr/share/mysql/mysql_system_tables.sql /usr/share/mysql/mysql_system_tables_data.sql
    } | mariadbd --no-defaults --bootstrap --datadir=$data --log-warnings=0 --enforce-storage-engine= 2>/dev/null
    mariadbd --no-defaults --datadir=$data --socket=$socket --skip-networking &
    server=$!
    until mariadb --user=root --execute 'SELECT 1' >/dev/null 2>&1; do sleep 0.2; done
    mariadb --user=root --execute "ALTER USER root@localhost IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
        CREATE DATABASE shop; CREATE TABLE shop.kettle (made_at_first_start int)"
    sleep 1
    kill -TERM $server
    wait $server
fi
exec "$@"
"""


def mariadb_image(engine: Bridged, place: Path) -> None:
    """MariaDB with an entrypoint of its own."""
    entrypoint = place / "mariadb/entrypoint.sh"
    entrypoint.parent.mkdir(parents=True, exist_ok=True)
    entrypoint.write_text(MARIADB_ENTRYPOINT)
    entrypoint.chmod(0o755)
    base = own_image.build(
        engine,
        "phpborg-test/mydump:10.11",
        *("/usr/sbin/mariadbd", "/usr/bin/mariadb", "/usr/bin/mariadb-dump", "/usr/share/mysql"),
        *("/usr/lib/mysql/plugin", "/usr/share/zoneinfo", *PROGRAMS),
    )
    (place / "mariadb/Dockerfile").write_text(f"FROM {base}\nCOPY entrypoint.sh /entrypoint.sh\n")
    engine.docker("build", "--quiet", "--tag", MARIADB, str(place / "mariadb"))
