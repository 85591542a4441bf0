"""What a report says of database servers. Versions are those of the server, not of a client beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    path: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A place where the data may lie, how it was found, and how sure that is."""

    path: str | None = None
    method: str | None = None
    confidence: str | None = None


@dataclass(frozen=True)
class Directory:
    """The data directory. `method`: sql, process, config, common; `confidence`: high, medium, low."""

    path: str | None = None
    method: str | None = None
    confidence: str | None = None
    candidates: tuple[Candidate, ...] = ()
    size_bytes: int | None = None
    size_problem: str | None = None


@dataclass(frozen=True)
class Login:
    """How we get in. `file` is the credentials file that worked; what is in it never leaves the server."""

    works: bool | None = None
    method: str | None = None
    user: str | None = None
    file: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Database:
    name: str | None = None
    size_bytes: int | None = None
    is_template: bool | None = None
    allows_connections: bool | None = None


@dataclass(frozen=True)
class Tablespace:
    name: str | None = None
    location: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class Instance:
    """What the instances of every engine have. `contained`: it runs in a container, its paths are not ours."""

    id: str | None
    version: str | None
    running: bool | None
    contained: bool | None
    port: int | None
    owner: str | None
    pid: int | None
    login: Login
    config_files: tuple[str, ...]
    found_by: tuple[str, ...]


@dataclass(frozen=True)
class Cluster(Instance):
    """PostgreSQL: one cluster."""

    data: Directory | None
    socket_directory: str | None
    in_recovery: bool | None
    wal_directory: str | None  # only when it lies outside the data directory
    tablespaces: tuple[Tablespace, ...]
    databases: tuple[Database, ...]
    extensions: tuple[str, ...]
    max_wal_senders: int | None
    wal_level: str | None


@dataclass(frozen=True)
class Postgresql:
    programs: dict[str, tuple[Program, ...]]
    clusters: tuple[Cluster, ...]


@dataclass(frozen=True)
class MysqlInstance(Instance):
    """MySQL or MariaDB. `outside_files` lie outside the data directory and belong to it."""

    flavour: str | None
    data: Directory | None
    socket: str | None
    databases: tuple[Database, ...]
    engines: dict[str, int]
    log_bin: bool | None
    read_only: bool | None
    outside_files: tuple[str, ...]


@dataclass(frozen=True)
class Mysql:
    programs: dict[str, Program]
    instances: tuple[MysqlInstance, ...]


@dataclass(frozen=True)
class MongodbInstance(Instance):
    data: Directory | None
    bind: tuple[str, ...]
    storage_engine: str | None
    replica_set: str | None
    databases: tuple[Database, ...]


@dataclass(frozen=True)
class Mongodb:
    programs: dict[str, Program]
    instances: tuple[MongodbInstance, ...]


@dataclass(frozen=True)
class Node(Instance):
    """Elasticsearch or OpenSearch: it may keep its data in several directories."""

    flavour: str | None
    cluster_name: str | None
    url: str | None
    data: tuple[Directory, ...]
    path_repo: tuple[str, ...]
    secured: bool | None
    indices: int | None
    size_bytes: int | None


@dataclass(frozen=True)
class Elasticsearch:
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Persistence:
    rdb: bool | None = None
    aof: bool | None = None


@dataclass(frozen=True)
class RedisInstance(Instance):
    data: Directory | None
    socket: str | None
    persistence: Persistence


@dataclass(frozen=True)
class Redis:
    instances: tuple[RedisInstance, ...]
