"""The four servers. Facts first, by probe; then, by instance, whether it can be frozen and how large, or why not."""

from __future__ import annotations

from tests.lab.truth import parts
from tests.lab.truth.matching import GIBI, MEBI, Number, Text
from tests.lab.truth.parts import Row, cluster, directory, mount

# 127.0.0.21: a container with two clusters; the second has its data, with a blank in the path, and a tablespace apart.
POSTGRESQL: Row = {
    "system": parts.system("lab-postgresql", "root", container=True),
    "mounts": parts.in_docker(),
    "lvm": parts.NO_LVM,
    "btrfs": parts.NO_BTRFS,
    "zfs": parts.NO_ZFS,
    "postgresql": {
        "programs": parts.postgresql_programs(),
        "clusters": [
            cluster("main", 5432, "/var/lib/postgresql/15/main"),
            cluster(
                "second",
                5433,
                "/srv/pg data/second",
                tablespaces=[{"name": "outside", "location": "/srv/tablespace", "size_bytes": Number(0, 64 * MEBI)}],
            ),
        ],
    },
    "mysql": parts.NO_MYSQL,
    "mongodb": parts.NO_MONGODB,
    "elasticsearch": parts.NO_SEARCH,
    "redis": parts.NO_REDIS,
    "docker": parts.NO_DOCKER,
}
_NEVER: Row = {"possible": False, "code": "plain", "kind": "plain", "volume": "overlay", "size_bytes": None}
POSTGRESQL_FROZEN: Row = {"15/main": _NEVER, "15/second": _NEVER}

# 127.0.0.22: a container with MariaDB. Its root may not look at another account's descriptors.
MARIADB: Row = {
    **POSTGRESQL,
    "system": parts.system("lab-mariadb", "root", container=True),
    "postgresql": parts.NO_POSTGRESQL,
    "mysql": {
        "programs": parts.mariadb_programs(),
        "instances": [parts.mariadb("socket /run/mysqld/mysqld.sock", "mariadb.conf.d/90-lab.cnf")],
    },
}
MARIADB_FROZEN: Row = {"socket /run/mysqld/mysqld.sock": _NEVER}

# The virtual machine: LVM with two groups, both databases on volumes of their own.
_HALF = 512 * MEBI


def _volume(group: str, name: str, size: int, kind: str, attributes: str, **other: object) -> Row:
    return {
        "vg": group,
        "name": name,
        "path": f"/dev/{group}/{name}",
        "device": Text(r"/dev/dm-\d+"),
        "size_bytes": size,
        "attr": attributes,
        "origin": None,
        "pool": None,
        "kind": kind,
        "data_percent": None,
        **other,
    }


def _group(name: str, free: int) -> Row:
    return {"name": name, "size_bytes": 2143289344, "free_bytes": free, "extent_bytes": 4 * MEBI}


GUEST: Row = {
    **MARIADB,
    "system": parts.system("lab-guest", "root", container=False),
    "mounts": {
        "mounts": [
            mount("/", "/dev/vda", "ext4", Number(2 * GIBI, 3 * GIBI)),
            mount("/tmp", "tmpfs", "tmpfs", Number(64 * MEBI, 2 * GIBI)),
            mount("/srv/data", "/dev/mapper/vg--a-lv--data", "xfs", Number(400 * MEBI, _HALF)),
            mount("/var/lib/mysql", "/dev/mapper/vg--a-lv--mysql", "ext4", Number(400 * MEBI, _HALF)),
            mount("/srv/thin", "/dev/mapper/vg--thin-thin--data", "ext4", Number(900 * MEBI, GIBI)),
        ]
    },
    "lvm": {
        "installed": True,
        "version": Text(r"2\.03\.\d+"),
        "problem": None,
        "snapshots_possible": True,
        "vgs": [_group("vg-a", 2143289344 - 2 * _HALF), _group("vg-thin", Number(GIBI, 2 * GIBI))],  # type: ignore[arg-type]
        "lvs": [
            _volume("vg-a", "lv-data", _HALF, "linear", "-wi-ao----"),
            _volume("vg-a", "lv-mysql", _HALF, "linear", "-wi-ao----"),
            _volume("vg-thin", "pool", _HALF, "thin-pool", "twi-aotz--", path=None, data_percent=Number(1, 60)),
            _volume("vg-thin", "thin-data", GIBI, "thin", "Vwi-aotz--", pool="pool", data_percent=Number(1, 60)),
        ],
    },
    "btrfs": {**parts.NO_BTRFS, "installed": True, "version": Text(r"6\.\d+.*")},
    "postgresql": {
        "programs": parts.postgresql_programs(),
        "clusters": [cluster("main", 5432, "/srv/data/postgresql/15/main")],
    },
    "mysql": {"programs": parts.mariadb_programs(), "instances": [parts.mariadb("port 3306")]},
}
# 20 % of what there is would be less than the least, which is a GiB: the group has 1020 MiB free, less 5 %.
_ROOM = 968 * MEBI
GUEST_FROZEN: Row = {
    "15/main": {"possible": True, "code": "lvm-tight", "kind": "lvm", "volume": "vg-a/lv-data", "size_bytes": _ROOM},
    "port 3306": {"possible": True, "code": "lvm-tight", "kind": "lvm", "volume": "vg-a/lv-mysql", "size_bytes": _ROOM},
}


def node(place: str, port: int) -> Row:
    """The search engine on the fourth server, this machine: two directories of data, nobody signs in."""
    size = Number(4096, MEBI)
    return {
        "id": f"port {port}",
        "version": Text(r"2\.19\.\d+"),
        "cluster_name": "lab-one",
        "url": f"http://127.0.0.23:{port}",
        "owner": "nobody",
        "secured": False,
        "indices": 0,
        "size_bytes": 0,
        "flavour": "opensearch",
        "running": True,
        "contained": False,
        "pid": parts.PID,
        "data": [directory(f"{place}/data/{name}", size) for name in ("one", "two")],
        "path_repo": [f"{place}/repositories"],
        "config_files": [f"{place}/config/{f}" for f in ("opensearch.yml", "log4j2.properties", "opensearch.keystore")],
        "found_by": ["process"],
        "port": port,
        "login": parts.login("none", None),
    }


def documents(port: int) -> Row:
    """FerretDB beside it, whose files nobody who speaks MongoDB's protocol is told of."""
    wanted = "it wants a login: give one for it"
    return {
        "id": f"port {port}",
        "version": Text(r"\d+\.\d+\.\d+"),
        "port": port,
        "owner": "root",
        "pid": parts.PID,
        "data": None,
        "storage_engine": None,
        "replica_set": None,
        "bind": ["127.0.0.24"],
        "config_files": [],
        "databases": [],
        "running": True,
        "contained": False,
        "found_by": ["process"],
        "login": {"works": False, "method": None, "user": None, "file": None, "problem": wanted},
    }


def btrfs(device: str, path: str) -> Row:
    """The filesystem on a loop device, with one subvolume that is not mounted by itself."""
    return {
        "uuid": Text(r"[0-9a-f-]{36}"),
        "label": None,
        "size_bytes": _HALF,
        "used_bytes": Number(1, _HALF),
        "devices": [device],
        "mountpoints": [path],
        "subvolumes": [{"id": 256, "path": "data", "mountpoint": None}],
    }
