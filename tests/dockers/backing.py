"""What tests of a backup of an engine share: the engine, the helper of this machine, a Compose project, questions."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from servers.transport.base import Host
from servers.transport.tunnel import link
from tests.dockers.conftest import referee
from tests.support.bridged import Bridged

PLAIN = "phpborg-test/plain:1"
KEPT = Path("/var/lib/phpborg/docker-backup")
PLACE = "/var/lib/phpborg/docker"
PASSPHRASE = "pa$s 'w\"ord\\ é"
WAIT = ("/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")


@dataclass
class Backup:
    """One frozen state of one engine, asked by the helper's verb."""

    host: Host
    engine: Bridged
    token: str

    @property
    def socket(self) -> str:
        return str(self.engine.socket)

    def ask(self, action: str, **more: Any) -> dict[str, Any]:
        args = {"kind": "docker", "socket": self.socket, "action": action, "token": self.token, **more}
        return self.host.call("snapshot", args, timeout=300)

    def make(self, **plan: Any) -> dict[str, Any]:
        return self.ask("make", plan=plan)

    def state(self) -> dict[str, Any]:
        return self.ask("state")

    def remove(self) -> list[str]:
        return self.ask("remove")["removed"]

    @property
    def kept(self) -> Path:
        return KEPT / self.token

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.kept / "made/manifest.json").read_bytes())

    def is_gone(self) -> None:
        """Nothing is left of it: no file, no mount, no container, no image."""
        assert not self.kept.exists()
        assert not Path(f"/run/phpborg/snapshot-{self.token}").exists()
        assert self.token not in Path("/proc/self/mountinfo").read_text()
        for words in (("ps", "--all", "--format", "{{.Names}}"), ("images", "--format", "{{.Tag}}")):
            assert self.token not in self.engine.docker(*words).stdout


def quiet(container: str, how: str, project: str | None = None, service: str | None = None) -> dict[str, Any]:
    """A row of the plan's `quiesce`."""
    return {
        "container": container,
        "project": project,
        "service": service,
        "number": 1 if service else None,
        "how": how,
    }


@contextmanager
def sdk(engine: Bridged) -> Iterator[docker.DockerClient]:
    client = referee(engine)
    try:
        yield client
    finally:
        client.close()


def inspected(engine: Bridged, name: str) -> dict[str, Any]:
    """As the SDK reads it."""
    with sdk(engine) as client:
        found: dict[str, Any] = client.api.inspect_container(name)
    return found


def status(engine: Bridged, name: str) -> str:
    found: str = inspected(engine, name)["State"]["Status"]
    return found


def volumes(engine: Bridged) -> set[str]:
    return set(engine.docker("volume", "ls", "--quiet").stdout.split())


def run(engine: Bridged, name: str, *options: str, argv: tuple[str, ...] = WAIT) -> str:
    """A container that ends when it is told to; its id."""
    words = ("run", "--detach", "--name", name, "--network", "none", *options, PLAIN, *argv)
    return engine.docker(*words).stdout.strip()


def clear(engine: Bridged) -> None:
    """Nothing but the images is left in it."""
    found = engine.docker("ps", "--all", "--quiet").stdout.split()
    if found:
        engine.docker("rm", "--force", "--volumes", *found)
    engine.docker("volume", "prune", "--force", "--filter", "all=1", check=False)
    for name in volumes(engine):
        engine.docker("volume", "rm", "--force", name, check=False)
    engine.docker("network", "prune", "--force")


def archive(backup: Backup, repository: Path, *paths: str, name: str = "one") -> list[dict[str, Any]]:
    """Make an archive of the frozen state with the helper's verb `borg`; borg's lines of files."""
    views = [{"token": backup.token, "inside": "/", "at": PLACE}]
    with link(backup.host, str(repository), mode="tunnel", token=uuid.uuid4().hex) as way:
        argv = ["create", "--log-json", "--list", way.location(name), *paths]
        ended = backup.host.run("borg", {"argv": argv, "views": views}, secrets={"passphrase": PASSPHRASE}, link=way)
    assert ended.exit.code == 0, ended.exit.stderr_tail
    return [json.loads(line) for line in ended.exit.stderr_tail.splitlines() if line.startswith("{")]


def borg(repository: Path, base: Path, *words: str, cwd: Path) -> bytes:
    """Borg on this machine, with the repository's passphrase."""
    env = {
        "PATH": "/usr/bin:/bin",
        "BORG_PASSPHRASE": PASSPHRASE,
        "BORG_BASE_DIR": str(base),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    }
    return subprocess.run(["borg", *words], env=env, check=True, capture_output=True, cwd=cwd).stdout
