"""What a test may ask the laboratory for. Each is started once a run and ended by it, unless `script/lab up` runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import servers
from tests.lab.engine import Engine, running_engine
from tests.lab.ferretdb import Server as FerretServer
from tests.lab.ferretdb import running_ferretdb
from tests.lab.fixtures_guest import btrfs_place, ext4_place, guest, xfs_place, zfs_guest
from tests.lab.opensearch import Node, running_node
from tests.lab.servers import LabServer, running_server

__all__ = ["btrfs_place", "engine", "ext4_place", "guest", "mariadb_server", "mysql_server", "postgresql_server"]
__all__ += ["xfs_place", "zfs_guest"]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine of our own, without a bridge: `engine.docker("run", "--network", "none", …)`."""
    with running_engine() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_server(engine: Engine) -> Iterator[LabServer]:
    """127.0.0.21: PostgreSQL 15 with clusters main (5432) and second (5433; “/srv/pg data/second”, a tablespace)."""
    with running_server(engine, servers.POSTGRESQL) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server(engine: Engine) -> Iterator[LabServer]:
    """127.0.0.22: MariaDB 10.11 on 3306, as Debian leaves it: root by the socket, /etc/mysql/debian.cnf."""
    with running_server(engine, servers.MARIADB) as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server(engine: Engine) -> Iterator[LabServer]:
    """127.0.0.25: MySQL itself on 3306, as Debian's unstable release leaves it: root by the socket."""
    with running_server(engine, servers.MYSQL) as server:
        yield server


@pytest.fixture(scope="session")
def opensearch_node() -> Iterator[Node]:
    """127.0.0.23: a node of OpenSearch 2.19 with two directories of data and one for repositories of snapshots."""
    with running_node() as node:
        yield node


@pytest.fixture(scope="session")
def ferretdb() -> Iterator[FerretServer]:
    """127.0.0.24: FerretDB 1.24, which speaks MongoDB's protocol; only `USER` with `PASSWORD` is let in."""
    with running_ferretdb(secured=True) as server:
        yield server
