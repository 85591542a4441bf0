"""Reports of capabilities as servers gave them, in the shape of the wire; tests take one and change what they need."""

from __future__ import annotations

import copy
from typing import Any

GB = 10**9


def probe(facts: dict[str, Any] | None, state: str = "ok", problem: str | None = None) -> dict[str, Any]:
    """The answer of one probe."""
    return {"state": state, "problem": problem, "seconds": 0.2, "facts": facts}


def report(**facts: Any) -> dict[str, Any]:
    """A report of these probes; a value that is a probe's answer already is taken as it is."""
    probes = {name: one if "state" in (one or {}) else probe(one) for name, one in facts.items()}
    return {"schema": 1, "taken_at": 1795629600.5, "seconds": 1.25, "probes": probes}


def mount(target: str, source: str, fstype: str = "ext4", **more: Any) -> dict[str, Any]:
    """A mounted filesystem of 200 GB, half full."""
    row = {"target": target, "source": source, "fstype": fstype, "options": ["rw"], "device": "8:1", "root": "/"}
    sizes = {"size_bytes": 200 * GB, "used_bytes": 100 * GB, "available_bytes": 100 * GB, "problem": None}
    return {**row, **sizes, **more}


def lv(vg: str, name: str, minor: int, **more: Any) -> dict[str, Any]:
    """A linear logical volume of 200 GB."""
    row = {"vg": vg, "name": name, "path": f"/dev/{vg}/{name}", "device": f"/dev/dm-{minor}", "attr": "-wi-ao----"}
    return {**row, "size_bytes": 200 * GB, "origin": None, "pool": None, "kind": "linear", "data_percent": None, **more}


def vg(name: str, free: int = 100 * GB) -> dict[str, Any]:
    """A volume group."""
    return {"name": name, "size_bytes": 500 * GB, "free_bytes": free, "extent_bytes": 4 << 20}


def lvm(*lvs: dict[str, Any], vgs: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    """LVM with these volumes."""
    groups = vgs if vgs is not None else [vg("vg-a")]
    known = {"installed": True, "version": "2.03.16", "problem": None, "snapshots_possible": True}
    return {**known, "vgs": groups, "lvs": list(lvs), **more}


def btrfs(*subvolumes: str, device: str = "/dev/vdb", mountpoints: tuple[str, ...] = ("/srv",)) -> dict[str, Any]:
    """One btrfs filesystem with these subvolumes."""
    rows = [{"id": 256 + number, "path": path, "mountpoint": None} for number, path in enumerate(subvolumes)]
    one = {"uuid": "4d1c", "label": "data", "devices": [device], "mountpoints": list(mountpoints), "subvolumes": rows}
    known = {"installed": True, "version": "6.2", "problem": None}
    return {**known, "filesystems": [{**one, "size_bytes": 100 * GB, "used_bytes": 10 * GB}]}


def directory(path: str, size: int | None = 10 * GB, **more: Any) -> dict[str, Any]:
    """A data directory that the server itself told."""
    candidate = {"path": path, "method": "sql", "confidence": "high"}
    return {**candidate, "candidates": [candidate], "size_bytes": size, "size_problem": None, **more}


def login(works: bool = True, **more: Any) -> dict[str, Any]:
    """How we get in."""
    row = {"works": works, "method": "peer" if works else None, "user": "postgres" if works else None}
    return {**row, "file": None, "problem": None if works else "password authentication failed", **more}


def cluster(name: str = "15/main", path: str = "/var/lib/postgresql/15/main", **more: Any) -> dict[str, Any]:
    """A PostgreSQL cluster that runs."""
    row = {"id": name, "version": "15.18", "running": True, "contained": False, "port": 5432, "owner": "postgres"}
    names = ["postgres", "shop", "weird-db name", "a$b;c"]
    known = {
        "socket_directory": "/var/run/postgresql",
        "pid": 812,
        "data": directory(path),
        "config_files": ["/etc/postgresql/15/main/postgresql.conf"],
        "login": login(),
        "in_recovery": False,
        "wal_directory": None,
        "tablespaces": [],
        "databases": [
            {"name": one, "size_bytes": GB, "is_template": False, "allows_connections": True} for one in names
        ],
        "extensions": ["plpgsql"],
        "max_wal_senders": 10,
        "wal_level": "replica",
        "found_by": ["pg_lsclusters", "process"],
    }
    return {**row, **known, **more}


def mariadb(path: str = "/var/lib/mysql", **more: Any) -> dict[str, Any]:
    """A MariaDB server that lets nobody in."""
    row = {"id": "port 3306", "flavour": "mariadb", "version": "10.11.14", "running": True, "contained": False}
    known = {
        "port": 3306,
        "socket": "/run/mysqld/mysqld.sock",
        "owner": "mysql",
        "pid": 900,
        "data": directory(path, method="process", confidence="medium"),
        "config_files": ["/etc/mysql/my.cnf"],
        "login": login(False),
        "databases": [],
        "engines": {"InnoDB": 12},
        "log_bin": None,
        "read_only": None,
        "outside_files": [],
        "found_by": ["process"],
    }
    return {**row, **known, **more}


SYSTEM: dict[str, Any] = {
    "hostname": "db1",
    "os": {"id": "debian", "version_id": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)", "id_like": None},
    "kernel": "6.1.0-30-amd64",
    "machine": "x86_64",
    "cpus": 4,
    "memory_bytes": 8 * GB,
    "swap_bytes": 0,
    "uptime_seconds": 93784.2,
    "init": "systemd",
    "container": False,
    "user": "root",
    "uid": 0,
    "borg": {"path": "/usr/bin/borg", "version": "1.2.4", "problem": None},
}
DOCKER: dict[str, Any] = {
    "installed": True,
    "running": True,
    "version": "20.10.24",
    "api_version": "1.41",
    "problem": None,
    "socket": "/run/docker.sock",
    "data_root": "/var/lib/docker",
    "storage_driver": "overlay2",
    "swarm": False,
    "compose": {"command": "docker-compose", "version": "1.29.2"},
    "projects": [
        {
            "name": "shop",
            "working_dir": "/srv/shop",
            "config_files": ["/srv/shop/docker-compose.yml"],
            "environment_files": ["/srv/shop/.env"],
            "services": ["web", "db"],
            "running": 2,
            "total": 2,
        }
    ],
    "containers": [
        {
            "id": "ab12",
            "name": "shop_web_1",
            "image": "nginx:1.25",
            "state": "running",
            "project": "shop",
            "service": "web",
            "dockerfile": None,
            "mounts": [{"type": "volume", "name": "shop_data", "source": "/v", "destination": "/d", "writable": True}],
            "networks": ["shop_default"],
            "restart": "always",
        }
    ],
    "volumes": [
        {
            "name": "shop_data",
            "driver": "local",
            "mountpoint": "/var/lib/docker/volumes/shop_data/_data",
            "options": {},
            "labels": {"com.docker.compose.project": "shop"},
            "anonymous": False,
            "used_by": ["shop_web_1"],
        }
    ],
    "networks": [{"name": "shop_default", "driver": "bridge", "internal": False}],
    "config_files": ["/etc/docker/daemon.json"],
}


def debian() -> dict[str, Any]:
    """A Debian server: PostgreSQL on a hyphenated logical volume, MariaDB on the plain system disk, Docker."""
    source = "/dev/mapper/vg--a-lv--data"
    mounts = [mount("/", "/dev/vda1"), mount("/var/lib/postgresql", source, "xfs", device="254:3")]
    facts = {
        "system": SYSTEM,
        "mounts": {"mounts": mounts},
        "lvm": lvm(lv("vg-a", "lv-data", 3)),
        "btrfs": {"installed": False, "version": None, "problem": None, "filesystems": []},
        "zfs": {"installed": False, "version": None, "problem": None, "datasets": []},
        "postgresql": {
            "programs": {"pg_dump": [{"path": "/usr/bin/pg_dump", "version": "15.18"}]},
            "clusters": [cluster()],
        },
        "mysql": {"programs": {"mariadb": {"path": "/usr/bin/mariadb", "version": "10.11"}}, "instances": [mariadb()]},
        "mongodb": {"programs": {}, "instances": []},
        "elasticsearch": {"nodes": []},
        "redis": {"instances": []},
        "docker": DOCKER,
    }
    return copy.deepcopy(report(**facts))
