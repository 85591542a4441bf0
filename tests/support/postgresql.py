"""PostgreSQL clusters of a test's own: in its directory, on a free port, reached by a socket, gone at the end."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.sshd import free_port

MAJOR = "15"
PROGRAMS = Path("/usr/lib/postgresql") / MAJOR / "bin"
OWNER = "postgres"


@dataclass
class Cluster:
    """A running server: who owns it, where it is and how it is reached (by its owner, without a password)."""

    data: Path
    sockets: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def where(self) -> dict[str, object]:
        """As a request to the helper names it."""
        return {"major": MAJOR, "socket": str(self.sockets), "port": self.port, "owner": OWNER}

    def sql(self, text: str, database: str = "postgres") -> str:
        """The answer to some SQL, unaligned."""
        words = ["psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.sockets), "-p", str(self.port), "-d", database]
        ended = as_owner([*words, "-f", "-"], stdin=text)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()


def as_owner(argv: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL as the account that owns clusters."""
    path = PROGRAMS / argv[0]
    words = ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--init-groups", str(path), *argv[1:]]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, cwd="/", check=False)


def give(path: Path) -> Path:
    """The directory is the owner's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = pwd.getpwnam(OWNER)
    os.chown(path, account.pw_uid, account.pw_gid)
    return path


@contextmanager
def running(data: Path, sockets: Path) -> Iterator[Cluster]:
    """A cluster in `data`, made there when it is empty; for the length of a block."""
    give(data)
    give(sockets)
    if not (data / "PG_VERSION").exists():
        made = as_owner(["initdb", "--auth-local=peer", "--encoding=UTF8", "--locale=C.UTF-8", "-D", str(data)])
        assert made.returncode == 0, made.stderr
    port = free_port("127.0.0.1")
    options = ["-D", str(data), "-k", str(sockets), "-p", str(port), "-c", "listen_addresses="]
    words = ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--init-groups", str(PROGRAMS / "postgres"), *options]
    with (sockets / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd="/")
    cluster = Cluster(data, sockets, port, process)
    try:
        deadline = time.monotonic() + 30
        while as_owner(["pg_isready", "-q", "-h", str(sockets), "-p", str(port)]).returncode:
            assert time.monotonic() < deadline, (sockets / "log").read_text()
            assert process.poll() is None, (sockets / "log").read_text()
            time.sleep(0.1)
        yield cluster
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown
        process.wait(30)
