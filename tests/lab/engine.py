"""A Docker engine of the laboratory's own: its data in the cache, its socket and process ids beside it.

Only unix sockets, no bridge, no firewall rules; what else it leaves on the machine goes with it. The engine of
the machine, if there is one, is not touched. Several test runs share one engine: the last one ends it, unless
`script/lab up` keeps it. Needs root and Debian's docker.io.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from phpborg import mounts
from tests.lab import cache

DOCKER, DOCKERD = "/usr/bin/docker", "/usr/sbin/dockerd"
START_SECONDS, STOP_SECONDS = 60, 30
_PROGRAMS = ("dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2")
# Docker makes these whatever it is told; those that were not there before it go with it.
_OUTSIDE = ("/etc/docker/key.json", "/run/docker/plugins", "/run/docker", "/run/containerd/s", "/run/containerd")


class LabFailed(RuntimeError):
    """A part of the laboratory did not come up; the text says what happened."""


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """The exclusive lock of this file for a block. Without `wait` False says that another holds it."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


class Engine:
    """The one engine of this cache; see `running_engine`."""

    def __init__(self, name: str = "") -> None:
        self.place = cache.place() / name
        self.place.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.data = self.place / "docker"
        self.run_place = self.place / "run"
        self.socket = self.run_place / "docker.sock"
        self.log = self.run_place / "dockerd.log"
        self._pid_file = self.run_place / "dockerd.pid"
        self._use = self.place / ".engine.use"
        self._turn = self.place / ".engine.turn"
        self._kept = self.place / ".kept"
        self.cgroup = "phpborg-lab-" + hashlib.sha256(bytes(self.place.resolve())).hexdigest()[:8]
        self._child: subprocess.Popen[bytes] | None = None

    def docker(
        self, *argv: str, check: bool = True, stdin: int | IO[bytes] | None = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[str]:
        """One command of the docker client; LabFailed with its words when it fails and `check`."""
        done = subprocess.run(self.client(*argv), text=True, capture_output=True, stdin=stdin)
        if check and done.returncode:
            raise LabFailed(f"docker {' '.join(argv[:3])}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
        return done

    def client(self, *argv: str) -> list[str]:
        """The command line of our client, which reads no settings of the machine."""
        return [DOCKER, "--config", str(self.run_place / "client"), "--host", f"unix://{self.socket}", *argv]

    @property
    def kept(self) -> bool:
        """Does `script/lab up` keep it?"""
        return self._kept.exists()

    @kept.setter
    def kept(self, keep: bool) -> None:
        if keep:
            self._kept.touch()
        else:
            self._kept.unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        """Its process, when that is alive and ours: a number in a file may mean anything by now."""
        with suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            if str(self._pid_file).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    def answers(self) -> bool:
        """Does it carry out a command?"""
        return self.docker("version", check=False).returncode == 0

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if self.pid is None:
            self._clear()
            self.run_place.mkdir(mode=0o711, exist_ok=True)
            (self.run_place / "made").write_text("\n".join(path for path in _OUTSIDE if not Path(path).exists()))
            (self.run_place / "daemon.json").write_text("{}")
            with self.log.open("ab") as log:
                child = self._child = subprocess.Popen(
                    self._daemon(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
                )
            self._wait(lambda: self.answers() or child.poll() is not None, START_SECONDS)
        if not self.answers():
            raise LabFailed(f"The Docker engine does not answer:\n{self.log.read_text()[-3000:]}")

    def _daemon(self) -> list[str]:
        return [
            DOCKERD,
            *("--config-file", str(self.run_place / "daemon.json"), "--data-root", str(self.data)),
            *("--exec-root", str(self.run_place / "exec"), "--pidfile", str(self._pid_file)),
            *("--host", f"unix://{self.socket}", "--group", "root", "--cgroup-parent", self.cgroup),
            *("--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
            *("--log-level", "warn"),
        ]

    def stop(self) -> None:
        """End it with its containers and networks; nothing of it runs or is mounted then."""
        if self.pid is not None and self.answers():
            if containers := self.docker("ps", "--all", "--quiet").stdout.split():
                self.docker("rm", "--force", "--volumes", *containers, check=False)
            self.docker("network", "prune", "--force", check=False)
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGTERM)
            self._wait(lambda: self.pid is None, STOP_SECONDS)
        self._clear()

    def _clear(self) -> None:
        """What an engine leaves behind that was ended the hard way: processes, mounts, control groups, files."""
        self._wait(lambda: not self._end_all(), STOP_SECONDS)
        if self._child is not None:
            self._child.wait(STOP_SECONDS)
            self._child = None
        for path in reversed(self.mounts()):
            subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)
        for group in self._cgroups():
            for directory in sorted(group.glob("**/"), reverse=True):
                with suppress(OSError):
                    directory.rmdir()
        for address in self.run_place.glob("exec/containerd/daemon/io.containerd.runtime.v2.task/*/*/address"):
            Path(address.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)
        made = self.run_place / "made"
        for name in made.read_text().split() if made.exists() else ():
            with suppress(OSError):
                Path(name).rmdir() if Path(name).is_dir() else Path(name).unlink()
        shutil.rmtree(self.run_place, ignore_errors=True)

    def processes(self) -> list[int]:
        """All that it runs: the daemon, its helpers, and what is in containers."""
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                if Path(words[0]).name in _PROGRAMS and any(str(self.run_place / "exec") in word for word in words):
                    found.add(int(entry.name))
        for group in self._cgroups():
            for file in group.glob("**/cgroup.procs"):
                with suppress(OSError):
                    found.update(int(word) for word in file.read_text().split())
        return sorted(found)

    def mounts(self) -> tuple[Path, ...]:
        """What is mounted for it."""
        return tuple(path for top in (self.data, self.run_place) for path in mounts.mounts_below(top))

    def _end_all(self) -> bool:
        """Kill what is left; True while there was something."""
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(left)

    def _cgroups(self) -> list[Path]:
        """One a controller; each lies below the group that the engine was started in, so limits of that one hold."""
        return list(Path("/sys/fs/cgroup").glob(f"**/{self.cgroup}"))

    @staticmethod
    def _wait(condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.1)

    def stop_unless_used(self, before: Callable[[], object] = bool) -> bool:
        """False when a test run uses it or `script/lab up` keeps it; it goes on then. `before` is done first."""
        with locked(self._turn):
            return self._stop_unless_used(before)

    def _stop_unless_used(self, before: Callable[[], object] = bool) -> bool:
        with locked(self._use, wait=False) as alone:
            if not alone or self.kept:
                return False
            before()
            self.stop()
            return True

    @contextmanager
    def used(self) -> Iterator[Engine]:
        """Running for a block, and longer when others use or keep it."""
        with self._use.open("w") as use:
            with locked(self._turn):
                fcntl.flock(use, fcntl.LOCK_SH)
                self.start()
            try:
                yield self
            finally:
                with locked(self._turn):
                    fcntl.flock(use, fcntl.LOCK_UN)
                    self._stop_unless_used()


@contextmanager
def running_engine() -> Iterator[Engine]:
    """The engine for the length of a block: started, or the one that runs already."""
    with Engine().used() as engine:
        yield engine
