"""Truths that several servers share."""

from __future__ import annotations

from typing import Any

from tests.lab.truth.matching import GIBI, MEBI, PID, Holds, Number, Text

Row = dict[str, Any]
POSTGRESQL_VERSION = Text(r"15\.\d+")
MARIADB_VERSION = Text(r"10\.11\.\d+")
NO_LVM: Row = {"installed": False, "version": None, "problem": None, "vgs": [], "lvs": [], "snapshots_possible": None}
NO_BTRFS: Row = {"installed": False, "version": None, "problem": None, "filesystems": []}
NO_ZFS: Row = {"installed": False, "version": None, "problem": None, "datasets": []}
NO_MONGODB: Row = {"programs": {}, "instances": []}
NO_POSTGRESQL: Row = {"programs": {}, "clusters": []}
NO_MYSQL: Row = {"programs": {}, "instances": []}
NO_SEARCH: Row = {"nodes": []}
NO_REDIS: Row = {"instances": []}
NO_DOCKER: Row = {
    **dict.fromkeys(("version", "api_version", "problem", "socket", "data_root", "storage_driver", "compose")),
    **{name: [] for name in ("projects", "containers", "volumes", "networks", "config_files")},
    "installed": False,
    "running": False,
    "swarm": False,
}


def system(hostname: str, user: str, *, container: bool) -> Row:
    """A Debian 12 without an init system of its own."""
    return {
        "hostname": hostname,
        "os": {
            "id": "debian",
            "version_id": "12",
            "pretty_name": "Debian GNU/Linux 12 (bookworm)",
            "id_like": None,
        },
        "kernel": Text(r"\d+\.\d+.*"),
        "machine": "x86_64",
        "cpus": Number(1, 1024),
        "memory_bytes": Number(512 * MEBI, 1 << 45),
        "swap_bytes": Number(0, 1 << 45),
        "uptime_seconds": Number(0, 1e9),
        "init": "other",
        "container": container,
        "user": user,
        "uid": 0,
        "borg": {"path": "/usr/bin/borg", "version": "1.2.4", "problem": None},
    }


def mount(target: str, source: Any, kind: str, size: Number, **other: Any) -> Row:
    """One mounted filesystem; its numbers are of one moment."""
    return {
        "target": target,
        "source": source,
        "fstype": kind,
        "options": Holds(("rw",)),
        "device": Text(r"\d+:\d+"),
        "root": "/",
        "size_bytes": size,
        "used_bytes": Number(0, size.most),
        "available_bytes": Number(0, size.most),
        "problem": None,
        **other,
    }


def lent(target: str) -> Row:
    """A file or folder that Docker lends to a container."""
    size = Number(GIBI, 1 << 50)
    return mount(target, Text(r"/dev/\S+"), Text(r"\w+"), size, options=Holds(()), root=Text("/.+"))  # type: ignore[arg-type]


def in_docker() -> Row:
    """What a container of the laboratory has mounted."""
    root = mount("/", "overlay", "overlay", Number(GIBI, 1 << 50))
    names = ("/usr/sbin/docker-init", "/etc/lab", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts")
    return {"mounts": [root, *map(lent, names)]}


def directory(path: str, size: Number, method: str = "sql", confidence: str = "high") -> Row:
    """Where data lie, and how that is known; there was no other place to consider."""
    told = {"path": path, "method": method, "confidence": confidence}
    return {**told, "candidates": [told], "size_bytes": size, "size_problem": None}


def login(method: str, user: str | None) -> Row:
    """One that works without being given."""
    return {"works": True, "method": method, "user": user, "file": None, "problem": None}


def postgresql_programs() -> Row:
    """Of one version."""
    tools = ["psql", "pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "pg_amcheck", "pg_verifybackup"]
    return {tool: [{"path": f"/usr/lib/postgresql/15/bin/{tool}", "version": POSTGRESQL_VERSION}] for tool in tools}


def cluster(name: str, port: int, path: str, **other: Any) -> Row:
    """One of Debian's clusters as it is after its creation."""
    size = Number(6 * MEBI, 12 * MEBI)
    config = f"/etc/postgresql/15/{name}"
    files = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "start.conf", "pg_ctl.conf", "environment", "conf.d"]
    return {
        "id": f"15/{name}",
        "version": POSTGRESQL_VERSION,
        "running": True,
        "contained": False,
        "port": port,
        "socket_directory": "/var/run/postgresql",
        "owner": "postgres",
        "pid": PID,
        "data": directory(path, Number(20 * MEBI, 200 * MEBI)),
        "config_files": [f"{config}/{file}" for file in files],
        "login": login("peer", "postgres"),
        "in_recovery": False,
        "wal_directory": None,
        "tablespaces": [],
        "databases": [
            {"name": "postgres", "is_template": False, "allows_connections": True, "size_bytes": size},
            {"name": "template0", "is_template": True, "allows_connections": False, "size_bytes": size},
            {"name": "template1", "is_template": True, "allows_connections": True, "size_bytes": size},
        ],
        "extensions": ["plpgsql"],
        "max_wal_senders": 10,
        "wal_level": "replica",
        "found_by": ["pg_lsclusters", "process", "socket"],
        **other,
    }


def mariadb_programs() -> Row:
    """Under their old names and their new ones."""
    tools = ["mariadb-dump", "mysqldump", "mariabackup", "mariadb-backup", "mysql", "mariadb"]
    return {tool: {"path": f"/usr/bin/{tool}", "version": MARIADB_VERSION} for tool in tools}


def mariadb(instance: str, *more_files: str, **other: Any) -> Row:
    """Debian's server as it is after its installation."""
    files = [
        "debian-start",
        "debian.cnf",
        "mariadb.cnf",
        "my.cnf",
        "my.cnf.fallback",
        "conf.d/mysql.cnf",
        "conf.d/mysqldump.cnf",
        "mariadb.conf.d/50-client.cnf",
        "mariadb.conf.d/50-mysql-clients.cnf",
        "mariadb.conf.d/50-mysqld_safe.cnf",
        "mariadb.conf.d/50-server.cnf",
        "mariadb.conf.d/60-galera.cnf",
    ]
    return {
        "id": instance,
        "flavour": "mariadb",
        "version": MARIADB_VERSION,
        "running": True,
        "contained": False,
        "port": 3306,
        "socket": "/run/mysqld/mysqld.sock",
        "owner": "mysql",
        "pid": PID,
        "data": directory("/var/lib/mysql", Number(5 * MEBI, 300 * MEBI)),
        "config_files": [f"/etc/mysql/{file}" for file in (*files, *more_files)],
        "login": login("socket", "root"),
        "databases": [
            {"name": "mysql", "size_bytes": Number(MEBI, 20 * MEBI)},
            {"name": "sys", "size_bytes": Number(0, MEBI)},
        ],
        "engines": {},
        "log_bin": False,
        "read_only": False,
        "outside_files": [],
        "found_by": ["process"],
        **other,
    }
