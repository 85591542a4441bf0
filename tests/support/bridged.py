"""Docker engines with networks and published ports, each in a network namespace of its own.

Two of them are two machines as far as Docker is concerned: own images, volumes, bridges, ports and firewall rules. What
is reached at a port is reached from inside that namespace (`Bridged.inside`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.lab.engine import DOCKERD, Engine

COMPOSE = "/usr/bin/docker-compose"
# The loopback is down in a new namespace, and Docker's proxy of ports listens on it.
_ALONE = ("unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$0" "$@"')


class Bridged(Engine):
    """An engine of this name; its own firewall rules, since nobody else's are in its namespace."""

    def _daemon(self) -> list[str]:
        return [
            *_ALONE,
            DOCKERD,
            *("--config-file", str(self.run_place / "daemon.json"), "--data-root", str(self.data)),
            *("--exec-root", str(self.run_place / "exec"), "--pidfile", str(self._pid_file)),
            *("--host", f"unix://{self.socket}", "--group", "root", "--cgroup-parent", self.cgroup),
            *("--ip6tables=false", "--log-level", "warn"),
        ]

    def compose(self, *argv: str, cwd: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command of Compose against this engine, in a project's directory."""
        env = {"PATH": "/usr/bin:/bin", "DOCKER_HOST": f"unix://{self.socket}", "HOME": str(self.run_place)}
        done = subprocess.run([COMPOSE, *argv], cwd=cwd, env=env, text=True, capture_output=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def inside(self, argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        """A program of this machine in the engine's network."""
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *argv], capture_output=True, check=False
        )


@contextmanager
def engines(*names: str) -> Iterator[tuple[Bridged, ...]]:
    """Engines of these names for the length of a block."""
    if not names:
        yield ()
        return
    with Bridged(names[0]).used() as first, engines(*names[1:]) as rest:
        yield (first, *rest)
