"""The containers of the sample (see sample.py)."""

from __future__ import annotations

from typing import Any

CANARIES = ("canary-db-password", "canary-env-token", "canary-cifs-password")
ANONYMOUS = "a1" * 32
DB_IMAGE, WEB_IMAGE, PROBE_IMAGE = ("sha256:" + digit * 64 for digit in "123")
WORKING_DIR = "/opt/app"
FILES = ["/opt/app/docker-compose.yml", "/opt/app/docker-compose.override.yml"]


def _labels(service: str, depends: str = "") -> dict[str, str]:
    return {
        "com.docker.compose.project": "kiosk",
        "com.docker.compose.project.working_dir": WORKING_DIR,
        "com.docker.compose.project.config_files": ",".join(FILES),
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.depends_on": depends,
    }


def _mount(kind: str, destination: str, name: str | None, source: str, writable: bool = True) -> dict[str, Any]:
    return {"type": kind, "name": name, "source": source, "destination": destination, "writable": writable}


def volume_source(name: str) -> str:
    return f"/var/lib/docker/volumes/{name}/_data"


DATABASE: dict[str, Any] = {
    "name": "kiosk_db_1",
    "id": "d" * 64,
    "project": "kiosk",
    "service": "db",
    "number": 1,
    "oneoff": False,
    "state": "running",
    "health": "healthy",
    "started_at": "2026-11-27T10:00:00Z",
    "restart": "unless-stopped",
    "image": "phpborg-test/postgres:15",
    "image_id": DB_IMAGE,
    "stack": None,
    "create": {
        "Image": "phpborg-test/postgres:15",
        "Env": ["POSTGRES_PASSWORD=canary-db-password", "PATH=/usr/bin"],
        "Labels": _labels("db"),
        "Healthcheck": {"Test": ["CMD", "pg_isready"], "Interval": 1_000_000_000},
        "HostConfig": {
            "Binds": ["kiosk_data:/var/lib/postgresql/data:rw"],
            "NetworkMode": "kiosk_default",
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
        },
        "NetworkingConfig": {"EndpointsConfig": {"kiosk_default": {"Aliases": ["db"]}}},
    },
    "networks": {"kiosk_default": {"Aliases": ["db"]}},
    "mounts": [_mount("volume", "/var/lib/postgresql/data", "kiosk_data", volume_source("kiosk_data"))],
    "depends_on": [],
    "dockerfile": None,
}
WEB: dict[str, Any] = {
    "name": "kiosk_web_1",
    "id": "e" * 64,
    "project": "kiosk",
    "service": "web",
    "number": 1,
    "oneoff": False,
    "state": "running",
    "health": None,
    "started_at": "2026-11-27T10:00:05Z",
    "restart": "always",
    "image": "phpborg-test/web:1",
    "image_id": WEB_IMAGE,
    "stack": None,
    "create": {
        "Image": "phpborg-test/web:1",
        "Env": ["TOKEN=canary-env-token"],
        "Labels": _labels("web", "db:service_healthy:false"),
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {
            "Binds": [
                "/opt/app/html:/srv/html:ro",
                "/opt/shared:/srv/shared:rw",
                "/etc/app.conf:/etc/app.conf:ro",
                "kiosk_files:/srv/files:rw",
                f"{ANONYMOUS}:/srv/cache:rw",
            ],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "NetworkMode": "kiosk_default",
            "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
        },
        "NetworkingConfig": {"EndpointsConfig": {"kiosk_default": {"Aliases": ["web"]}}},
    },
    "networks": {
        "kiosk_default": {"Aliases": ["web"]},
        "proxy": {"Aliases": ["web", "kiosk.example"], "IPAMConfig": {"IPv4Address": "172.30.0.20"}},
    },
    "mounts": [
        _mount("bind", "/srv/html", None, "/opt/app/html", False),
        _mount("bind", "/srv/shared", None, "/opt/shared"),
        _mount("bind", "/etc/app.conf", None, "/etc/app.conf", False),
        _mount("volume", "/srv/files", "kiosk_files", volume_source("kiosk_files")),
        _mount("volume", "/srv/cache", ANONYMOUS, volume_source(ANONYMOUS)),
    ],
    "depends_on": ["kiosk_db_1"],
    "dockerfile": None,
}
PROBE: dict[str, Any] = {
    "name": "probe-1",
    "id": "f" * 64,
    "project": None,
    "service": None,
    "number": None,
    "oneoff": False,
    "state": "paused",
    "health": None,
    "started_at": "2026-11-27T09:00:00Z",
    "restart": "on-failure",
    "image": "phpborg-test/probe:1",
    "image_id": PROBE_IMAGE,
    "stack": None,
    "create": {
        "Image": "phpborg-test/probe:1",
        "Hostname": "probe",
        "Domainname": "example.test",
        "User": "4242:4343",
        "WorkingDir": "/srv",
        "Cmd": ["sleep", "100000"],
        "Entrypoint": ["/sbin/init-it", "--"],
        "Env": ["A=b c", "SECRET=canary-env-token"],
        "Labels": {"owner": "somebody's; $(reboot) `id`"},
        "StopSignal": "SIGINT",
        "StopTimeout": 3,
        "HostConfig": {
            "Binds": ["corp_shared:/srv/shared:ro"],
            "CapAdd": ["NET_ADMIN"],
            "CapDrop": ["MKNOD"],
            "Dns": ["192.0.2.53"],
            "ExtraHosts": ["other:192.0.2.7"],
            "Memory": 67108864,
            "NanoCpus": 500000000,
            "NetworkMode": "proxy",
            "PortBindings": {"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}]},
            "ReadonlyRootfs": True,
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
            "ShmSize": 8388608,
            "Sysctls": {"net.core.somaxconn": "256"},
            "Tmpfs": {"/tmp": "size=1m"},
            "Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 128}],
        },
        "NetworkingConfig": {"EndpointsConfig": {"proxy": {"IPAMConfig": {"IPv4Address": "172.30.0.21"}}}},
    },
    "networks": {"proxy": {"IPAMConfig": {"IPv4Address": "172.30.0.21"}}},
    "mounts": [_mount("volume", "/srv/shared", "corp_shared", volume_source("corp_shared"), False)],
    "depends_on": [],
    "dockerfile": None,
}
