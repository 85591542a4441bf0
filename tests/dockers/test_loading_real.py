"""The step `load_dump` on real servers in containers: what it refuses, and what it says of a dump that is refused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import loading, restoring, streaming
from servers.remote.dockers.engine import Engine as Client
from tests.dockerops.dump_show import MARIADB, PASSWORD, PG, images, mariadb_image
from tests.dockers.steps_at_hand import do, journals_fixture
from tests.dockers.world import clean
from tests.support.bridged import Bridged, engines

__all__ = ["journals_fixture"]
pytestmark = pytest.mark.real
TOKEN = "abcdef12-3456"
END = "-- PostgreSQL database cluster dump complete\n"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Bridged]:
    with engines("docker-load") as (engine,):
        yield engine


@pytest.fixture
def one(loaded: Bridged) -> Iterator[Bridged]:
    clean(loaded)
    yield loaded
    clean(loaded)


@pytest.fixture
def archived(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The dump as borg would hand it over."""

    def give(text: str) -> None:
        @contextmanager
        def stream(context: Any, tell: Any) -> Iterator[Any]:
            yield SimpleNamespace(chunks=lambda: slowly(text.encode()), bytes=len(text))

        monkeypatch.setattr(streaming, "out_of_the_archive", stream)

    return give


def slowly(data: bytes) -> Iterator[bytes]:
    """So that a client that ends is seen to have ended in the middle of it."""
    for at in range(0, len(data), 60):
        yield data[at : at + 60]
        time.sleep(0.3)


@contextmanager
def killed_in_the_middle(context: Any, tell: Any) -> Iterator[Any]:
    def chunks() -> Iterator[bytes]:
        yield GOOD[:-60].encode()
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    yield SimpleNamespace(chunks=chunks, bytes=0)


def make(client: Client, engine: Bridged, tmp_path: Path) -> None:
    """A container of this restore that initialises its database by itself."""
    images(engine, tmp_path)
    environment = {
        "PATH": "/usr/lib/postgresql/15/bin:/usr/bin:/bin",
        "PGDATA": "/tmp/pg",
        "POSTGRES_USER": "boss",
        "POSTGRES_DB": "shop",
        "POSTGRES_PASSWORD": PASSWORD,
        # Another server: that one is not asked, cleared or filled.
        "PGHOST": "127.0.0.9",
        "PGHOSTADDR": "127.0.0.9",
    }
    body = {
        "Image": PG,
        "User": "postgres",
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Entrypoint": ["/entrypoint.sh"],
        "Cmd": ["postgres", "-c", "listen_addresses="],
        "HostConfig": {"NetworkMode": "none", "Tmpfs": {"/tmp": "mode=1777", "/var/run/postgresql": "mode=1777"}},
    }
    restoring.begin(TOKEN)
    do(client, TOKEN, 0, "create_container", {"name": "db", "body": body})
    do(client, TOKEN, 1, "start", {"container": "db"})


def load(client: Client, number: int, kind: str = "postgresql") -> dict[str, Any]:
    params = {"container": "db", "engine": kind, "stream": "/dump", "bytes": None, "seconds": 120}
    return do(client, TOKEN, number, "load_dump", params)


REFUSED = (
    "\\connect postgres\nCREATE TABLE public.t (n int);\nCOPY public.t (n) FROM stdin;\n1\ncanary-row\n\\.\n"
    + "-- more\n" * 40
    + END
)
CUT = "\\connect postgres\nCREATE TABLE public.t (n int);\nCOPY public.t (n) FROM stdin;\n1\n2\n"
GOOD = (
    "CREATE ROLE boss;\nALTER ROLE boss WITH SUPERUSER;\nCREATE ROLE app;\nCREATE ROLE other;\n"
    "CREATE DATABASE shop WITH TEMPLATE = template0;\n\\connect shop\n"
    "CREATE TABLE public.kettle (n int);\nCOPY public.kettle (n) FROM stdin;\n1\n2\n\\.\n" + END
)


def test_a_refused_statement_is_named_without_data_and_the_dump_can_be_loaded_again(
    one: Bridged, journals: Path, tmp_path: Path, archived: Callable[[str], None]
) -> None:
    with Client(str(one.socket)) as client:
        make(client, one, tmp_path)
        archived(REFUSED)
        with pytest.raises(wire.Refused, match=r"line 6 \(COPY public\.t\): error 22P02, a value has not") as told:
            load(client, 2)
        assert "canary" not in told.value.message
        assert told.value.code == "bad-dump"
        archived(CUT)
        with pytest.raises(wire.Refused, match="db: its dump") as told:
            load(client, 3)
        assert told.value.code == "bad-dump"
        archived(GOOD)
        facts = load(client, 4)
        assert (facts["tables"], facts["rows"]) == (1, 2)
        words = (
            "exec",
            "--env",
            "PGHOST=",
            "--env",
            "PGHOSTADDR=",
            "db",
            "psql",
            "-qXAt",
            "-U",
            "boss",
            "-d",
            "shop",
            "-c",
            "SELECT sum(n) FROM kettle",
        )
        assert one.docker(*words).stdout.strip() == "3"
    assert restoring.rollback(str(one.socket), TOKEN)["problems"] == []
    assert one.docker("ps", "-aq").stdout == ""


def test_what_this_restore_did_not_make_is_never_touched(
    one: Bridged, journals: Path, tmp_path: Path, archived: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(str(one.socket)) as client:
        make(client, one, tmp_path)
        archived(GOOD)
        # As if its data had been there a minute before their container.
        monkeypatch.setattr(loading, "_CLOCKS_SECONDS", -3600.0)
        with pytest.raises(wire.Refused, match="its data were there before this restore made it") as told:
            load(client, 2)
        assert told.value.code == "engine"
        one.docker("rename", "db", "ours")
        one.docker("run", "--detach", "--name", "db", "--network", "none", "phpborg-test/plain:1", "sleep", "600")
        with pytest.raises(wire.Refused, match="db was not made by this restore"):
            load(client, 3)
        one.docker("rm", "--force", "db")
    assert restoring.rollback(str(one.socket), TOKEN)["problems"] == []


def test_one_that_is_killed_in_the_middle_leaves_nothing_but_what_the_rollback_undoes(
    one: Bridged, journals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(str(one.socket)) as client:
        make(client, one, tmp_path)
    child = os.fork()
    if not child:
        monkeypatch.setattr(streaming, "out_of_the_archive", killed_in_the_middle)
        with Client(str(one.socket)) as client:
            load(client, 2)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    answer = restoring.rollback(str(one.socket), TOKEN)
    assert answer["problems"] == []
    assert [row["op"] for row in answer["undone"]] == ["load_dump", "start", "create_container"]
    assert one.docker("ps", "-aq").stdout == ""
    assert restoring.all_of_them() == []


DUMP_OF_MARIADB = """USE `mysql`;
CREATE DATABASE `shop`;
USE `shop`;
CREATE TABLE `kettle` (`n` int);
INSERT INTO `kettle` VALUES (1),(2);
CREATE TABLE `price` (`n` int) WITH SYSTEM VERSIONING;
CREATE SEQUENCE `bill` start with 1;
{more}-- Dump completed on 2026-11-27
"""


@pytest.mark.long
def test_mariadb_is_loaded_and_a_refused_statement_is_named(
    one: Bridged, journals: Path, tmp_path: Path, archived: Callable[[str], None]
) -> None:
    mariadb_image(one, tmp_path)
    body = {
        "Image": MARIADB,
        "User": "mysql",
        "Env": [f"MARIADB_ROOT_PASSWORD={PASSWORD}", "MYSQL_HOST=127.0.0.9", "PATH=/usr/bin:/bin:/usr/sbin"],
        "Entrypoint": ["/entrypoint.sh"],
        "Cmd": ["mariadbd", "--no-defaults", "--datadir=/tmp/my", "--socket=/run/mysqld/mysqld.sock"],
        "HostConfig": {"NetworkMode": "none", "Tmpfs": {"/tmp": "mode=1777", "/run/mysqld": "mode=1777"}},
    }
    restoring.begin(TOKEN)
    with Client(str(one.socket)) as client:
        do(client, TOKEN, 0, "create_container", {"name": "db", "body": body})
        do(client, TOKEN, 1, "start", {"container": "db"})
        archived(DUMP_OF_MARIADB.format(more="INSERT INTO `kettle` VALUES ('canary-row');\n"))
        with pytest.raises(
            wire.Refused, match=r"line 8 \(INSERT INTO `kettle`\): error 1366 \(\w{5}\), a value has not"
        ) as told:
            load(client, 2, "mysql")
        assert "canary" not in told.value.message
        archived(DUMP_OF_MARIADB.format(more=""))
        assert load(client, 3, "mysql")["tables"] == 2
    assert restoring.rollback(str(one.socket), TOKEN)["problems"] == []
