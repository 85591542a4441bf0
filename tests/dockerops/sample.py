"""The project of Show 1 as a manifest of format 1, and the engine that it came from, as the helper tells it.

Project `kiosk` was started with `-p` from /opt/app: a database and a web container, binds in and beside the directory,
`.env`, two Compose files, an external network, a named volume with driver options and an anonymous one. Beside it runs
the standalone container `probe-1` with many options. Secrets are canaries: they may be in no plan and no script.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from dockerops.inventory import Inventory
from dockerops.manifest import Contents, parse
from tests.dockerops.sample_rows import (
    ANONYMOUS,
    CANARIES,
    DATABASE,
    DB_IMAGE,
    FILES,
    PROBE,
    PROBE_IMAGE,
    WEB,
    WEB_IMAGE,
    WORKING_DIR,
    volume_source,
)

__all__ = ["ANONYMOUS", "CANARIES", "FILES", "contents", "empty", "inventory", "manifest", "there"]


def _compose_volume(name: str, logical: str, driver_options: dict[str, str], size: int, user: str) -> dict[str, Any]:
    return {
        "name": name,
        "driver": "local",
        "options": driver_options,
        "labels": {"com.docker.compose.project": "kiosk", "com.docker.compose.volume": logical},
        "scope": "local",
        "anonymous": False,
        "project": "kiosk",
        "logical": logical,
        "used_by": [user],
        "path": volume_source(name),
        "read": "mounted" if driver_options else "path",
        "problem": None,
        "size_bytes": size,
        "files": 3,
    }


VOLUMES: list[dict[str, Any]] = [
    _compose_volume("kiosk_data", "data", {}, 40_000_000, "kiosk_db_1"),
    _compose_volume(
        "kiosk_files",
        "files",
        {"type": "tmpfs", "device": "tmpfs", "o": "size=16m,password=canary-cifs-password"},
        1_000_000,
        "kiosk_web_1",
    ),
    {
        **_compose_volume(ANONYMOUS, "", {}, 5_000, "kiosk_web_1"),
        "labels": {},
        "anonymous": True,
        "project": "kiosk",
        "logical": None,
    },
    {
        **_compose_volume("corp_shared", "", {}, 7_000, "probe-1"),
        "labels": {"department": "corp"},
        "project": None,
        "logical": None,
    },
]
NETWORKS: list[dict[str, Any]] = [
    {
        "name": "kiosk_default",
        "create": {
            "Driver": "bridge",
            "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.20.0.0/16", "Gateway": "172.20.0.1"}]},
            "Options": {},
            "Labels": {"com.docker.compose.project": "kiosk", "com.docker.compose.network": "default"},
        },
        "project": "kiosk",
        "logical": "default",
        "external": False,
    },
    {
        "name": "proxy",
        "create": {
            "Driver": "bridge",
            "Attachable": True,
            "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.30.0.0/24", "Gateway": "172.30.0.1"}]},
            "Options": {"com.docker.network.bridge.name": "br-proxy"},
            "Labels": {},
        },
        "project": None,
        "logical": None,
        "external": True,
    },
]
MANIFEST: dict[str, Any] = {
    "format": 1,
    "made_at": "2026-11-27T16:00:00Z",
    "hostname": "shop-1",
    "machine": "x86_64",
    "engine": {
        "version": "20.10.24",
        "api_version": "1.41",
        "data_root": "/var/lib/docker",
        "storage_driver": "overlay2",
        "swarm": False,
        "compose": {"command": "docker-compose", "version": "1.29.2"},
    },
    "projects": [
        {
            "name": "kiosk",
            "working_dir": WORKING_DIR,
            "config_files": FILES,
            "environment_files": ["/opt/app/.env"],
            "services": ["db", "web"],
            "containers": ["kiosk_db_1", "kiosk_web_1"],
            "volumes": ["kiosk_data", "kiosk_files", ANONYMOUS],
            "networks": ["kiosk_default", "proxy"],
            "paths": [WORKING_DIR, "/opt/shared", "/etc/app.conf"],
        }
    ],
    "containers": [DATABASE, WEB, PROBE],
    "volumes": VOLUMES,
    "networks": NETWORKS,
    "images": [
        {
            "id": DB_IMAGE,
            "tags": ["phpborg-test/postgres:15"],
            "digests": [],
            "size_bytes": 300_000_000,
            "stream": "images/0.tar",
            "used_by": ["kiosk_db_1"],
        },
        {
            "id": WEB_IMAGE,
            "tags": ["phpborg-test/web:1"],
            "digests": ["phpborg-test/web@sha256:" + "9" * 64],
            "size_bytes": 90_000_000,
            "stream": None,
            "used_by": ["kiosk_web_1"],
        },
        {
            "id": PROBE_IMAGE,
            "tags": ["phpborg-test/probe:1"],
            "digests": [],
            "size_bytes": 5_000_000,
            "stream": None,
            "used_by": ["probe-1"],
        },
    ],
    "dumps": [
        {"container": "kiosk_db_1", "engine": "postgresql", "path": "dumps/0.sql", "bytes": 90_000, "version": "15"}
    ],
    "binds": [
        {
            "source": "/opt/app/html",
            "kind": "directory",
            "containers": ["kiosk_web_1"],
            "project": "kiosk",
            "inside": True,
            "path": "/opt/app/html",
            "reason": "",
        },
        {
            "source": "/opt/shared",
            "kind": "directory",
            "containers": ["kiosk_web_1"],
            "project": "kiosk",
            "inside": False,
            "path": "/opt/shared",
            "reason": "",
        },
        {
            "source": "/etc/app.conf",
            "kind": "file",
            "containers": ["kiosk_web_1"],
            "project": "kiosk",
            "inside": False,
            "path": "/etc/app.conf",
            "reason": "",
        },
    ],
    "config_files": ["/etc/docker/daemon.json"],
    "quiesced": [{"container": "kiosk_db_1", "how": "pause", "from": "running"}],
    "not_included": [],
}


def manifest() -> dict[str, Any]:
    """A copy of the manifest, to be changed."""
    return copy.deepcopy(MANIFEST)


def contents(raw: dict[str, Any] | None = None) -> Contents:
    """The manifest, typed."""
    return parse(json.dumps(raw if raw is not None else MANIFEST))


def there() -> dict[str, Any]:
    """The engine that the archive was made of, still running, as the helper's `inventory` tells it."""
    return {
        "engine": copy.deepcopy(MANIFEST["engine"]),
        "machine": "x86_64",
        "containers": [_running(row) for row in (DATABASE, WEB, PROBE)],
        "volumes": [
            {
                **{
                    key: row[key]
                    for key in ("name", "driver", "labels", "project", "used_by", "size_bytes", "anonymous")
                },
                "option_names": sorted(row["options"]),
                "mountpoint": row["path"],
            }
            for row in VOLUMES
        ],
        "networks": [
            {
                "name": row["name"],
                "id": row["name"] * 3,
                "driver": "bridge",
                "subnets": [row["create"]["IPAM"]["Config"][0]["Subnet"]],
                "internal": False,
                "attachable": bool(row["create"].get("Attachable")),
                "labels": row["create"]["Labels"],
                "containers": [one["name"] for one in (DATABASE, WEB, PROBE) if row["name"] in one["networks"]],
            }
            for row in NETWORKS
        ],
        "images": [{key: row[key] for key in ("id", "tags", "digests")} for row in MANIFEST["images"]],
        "listening": [
            {"ip": "0.0.0.0", "port": 8080, "protocol": "tcp"},
            {"ip": "127.0.0.1", "port": 5353, "protocol": "udp"},
        ],
        "paths": {
            path: _place(path, True) for path in ("/opt/app", "/opt/shared", "/etc/app.conf", "/etc/docker/daemon.json")
        },
        "data_root_free_bytes": 10_000_000_000,
    }


def empty() -> dict[str, Any]:
    """An engine on which there is nothing but the images."""
    nothing: dict[str, Any] = {"containers": [], "volumes": [], "networks": [], "listening": [], "paths": {}}
    return {**there(), **nothing}


def inventory(raw: dict[str, Any] | None = None) -> Inventory:
    """The engine, typed."""
    return Inventory.from_json(there() if raw is None else raw)


def _place(path: str, exists: bool) -> dict[str, Any]:
    return {
        "exists": exists,
        "kind": "file" if "." in path else "directory",
        "mountpoint": "/",
        "free_bytes": 10_000_000_000,
        "total_bytes": 20_000_000_000,
        "device": "8:1",
        "empty": False,
    }


def _running(row: dict[str, Any]) -> dict[str, Any]:
    ports = [
        {
            "ip": one["HostIp"] or "0.0.0.0",
            "port": int(one["HostPort"]),
            "protocol": inside.split("/")[1],
            "container_port": int(inside.split("/")[0]),
        }
        for inside, bound in row["create"]["HostConfig"].get("PortBindings", {}).items()
        for one in bound
    ]
    left_out = ("create", "networks")
    kept = {key: copy.deepcopy(value) for key, value in row.items() if key not in left_out}
    return {**kept, "ports": ports, "networks": sorted(row["networks"]), "labels": _compose(row["create"]["Labels"])}


def _compose(labels: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key.startswith("com.docker.compose.")}
