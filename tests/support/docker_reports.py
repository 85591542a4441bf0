"""A report of a server whose Docker engine holds two projects, containers that stand alone, and odd things."""

from __future__ import annotations

import copy
from typing import Any

from servers.capabilities.report import Report, parse
from servers.remote.probes import docker as docker_probe
from servers.remote.probes.base import Look
from tests.support.bridged import Bridged
from tests.support.reports import DOCKER, SYSTEM, mount, report

ANONYMOUS = "a" * 64
ROOT = "/var/lib/docker"


def volume(name: str, *used_by: str, logical: str = "", project: str = "", **more: Any) -> dict[str, Any]:
    """One volume as the probe tells it."""
    labels = {"com.docker.compose.project": project, "com.docker.compose.volume": logical} if project else {}
    return {
        "name": name,
        "driver": "local",
        "mountpoint": f"{ROOT}/volumes/{name}/_data",
        "options": {},
        "labels": labels,
        "anonymous": len(name) == 64,
        "project": project or None,
        "logical": logical or None,
        "used_by": list(used_by),
        "readable": True,
        "empty": False,
        "size_bytes": 1000,
        **more,
    }


def project(name: str, directory: str, kind: str = "directory", **more: Any) -> dict[str, Any]:
    """One Compose project as the probe tells it."""
    return {
        "name": name,
        "working_dir": directory,
        "directory": kind,
        "target": None,
        "size_bytes": 500,
        "config_files": [f"{directory}/docker-compose.yml"],
        "environment_files": [f"{directory}/.env"],
        "files": [],
        "missing_files": [],
        "unclear": [],
        "profiles": [],
        "builds": [],
        "services": ["db", "web"],
        "running": 2,
        "total": 2,
        "problem": None,
        **more,
    }


def container(name: str, of: str = "", service: str = "", *mounts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One container as the probe tells it."""
    return {
        "id": (name * 64)[:64],
        "name": name,
        "image": f"{service or name}:1",
        "image_id": f"sha256:{service or name}",
        "state": "running",
        "project": of or None,
        "service": service or None,
        "number": 1 if of else None,
        "oneoff": False,
        "stack": None,
        "engine": None,
        "dockerfile": None,
        "mounts": list(mounts),
        "networks": [f"{of}_default" if of else "bridge"],
        "restart": "always",
        **more,
    }


def bind(source: str, *containers: str, **more: Any) -> dict[str, Any]:
    """One place that containers see, as the probe tells it."""
    row: dict[str, Any] = {"source": source, "kind": "directory", "target": None, "containers": list(containers)}
    return {**row, "project": None, "inside": False, "writable": True, "size_bytes": 10, **more}


def image(name: str, *used_by: str) -> dict[str, Any]:
    """One image as the probe tells it."""
    row: dict[str, Any] = {"id": f"sha256:{name}", "tags": [f"{name}:1"], "digests": [], "size_bytes": 100}
    return {**row, "used_by": list(used_by)}


def facts() -> dict[str, Any]:
    """The facts of the probe; a new copy each time."""
    shop = project(
        "shop",
        "/srv/shop",
        config_files=["/srv/shop/docker-compose.yml", "/srv/override/prod.yml"],
        environment_files=["/srv/shop/.env", "/srv/secrets/app.env"],
        profiles=["debug"],
        builds=[
            {"service": "web", "context": "/srv/shop/img", "dockerfile": "/srv/shop/img/Dockerfile", "exists": True},
            {"service": "db", "context": "/srv/images/db", "dockerfile": "/srv/images/db/Dockerfile", "exists": True},
        ],
    )
    found = {
        **DOCKER,
        "projects": [shop, project("wiki", "/srv/wiki")],
        "containers": [
            container("shop_db_1", "shop", "db", engine="postgresql"),
            container("shop_web_1", "shop", "web"),
            container("wiki_web_1", "wiki", "web", state="exited"),
            container("proxy", dockerfile="/srv/proxy/Dockerfile"),
            container("task.1", stack="stack_web"),
        ],
        "volumes": [
            volume("shop_data", "shop_db_1", project="shop", logical="data"),
            volume(ANONYMOUS, "shop_web_1"),
            volume("wiki_data", "wiki_web_1", project="wiki", logical="data"),
            volume("orphan"),
        ],
        "networks": [{"name": "shop_default", "driver": "bridge", "internal": False, "subnets": ["172.18.0.0/16"]}],
        "binds": [
            bind("/srv/shop/data", "shop_web_1", project="shop", inside=True),
            bind("/srv/shared", "shop_web_1", project="shop"),
            bind("/etc/app.conf", "shop_web_1", project="shop", kind="file"),
            bind("/etc/localtime", "proxy", kind="file"),
            bind("/run/docker.sock", "proxy", kind="socket"),
            bind("/", "proxy"),
            bind(f"{ROOT}/containers", "proxy"),
            bind("/srv/gone", "proxy", kind="missing"),
        ],
        "images": [image("db", "shop_db_1"), image("web", "shop_web_1", "wiki_web_1"), image("proxy", "proxy")],
        "config_files": ["/etc/docker/daemon.json"],
    }
    return copy.deepcopy(found)


def is_the_one(engine: Bridged) -> None:
    """A server is asked for one engine: in a test that no other one runs beside."""
    asked = docker_probe.probe(Look({}, size_seconds=0))["socket"]
    assert asked == str(engine.socket), f"another engine runs here, at {asked}: this test needs its own alone"


def docker_report(**more: Any) -> Report:
    """A report with these facts; `more` replaces some of them."""
    return parse(docker_json(**more))


def docker_json(**more: Any) -> dict[str, Any]:
    """The same as a server answers it."""
    return report(
        system=SYSTEM,
        mounts={"mounts": [mount("/", "/dev/vda1")]},
        postgresql={"programs": {}, "clusters": []},
        mysql={"programs": {}, "instances": []},
        mongodb={"programs": {}, "instances": []},
        elasticsearch={"nodes": []},
        docker={**facts(), **more},
    )
