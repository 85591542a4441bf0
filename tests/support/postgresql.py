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
    major: str = MAJOR

    @property
    def where(self) -> dict[str, object]:
        """As a request to the helper names it."""
        return {"major": self.major, "socket": str(self.sockets), "port": self.port, "owner": OWNER}

    def sql(self, text: str, database: str = "postgres") -> str:
        """The answer to some SQL, unaligned."""
        words = ["psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.sockets), "-p", str(self.port), "-d", database]
        ended = as_owner([*words, "-f", "-"], stdin=text)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()


def owner_words(argv: list[str], programs: Path = PROGRAMS) -> list[str]:
    """A command line of a program of PostgreSQL as the account that owns clusters."""
    return ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--init-groups", str(programs / argv[0]), *argv[1:]]


def as_owner(argv: list[str], stdin: str = "", programs: Path = PROGRAMS) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    words = owner_words(argv, programs)
    return subprocess.run(words, input=stdin, capture_output=True, text=True, cwd="/", check=False)


def give(path: Path) -> Path:
    """The directory is the owner's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = pwd.getpwnam(OWNER)
    os.chown(path, account.pw_uid, account.pw_gid)
    return path


@dataclass(frozen=True)
class Release:
    """A version of PostgreSQL's server; it is asked by the clients of `PROGRAMS`, which know all older ones."""

    major: str = MAJOR
    programs: Path = PROGRAMS


DEBIAN = Release()


@contextmanager
def running(
    data: Path,
    sockets: Path,
    *,
    release: Release = DEBIAN,
    make: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
) -> Iterator[Cluster]:
    """A cluster in `data`, made there when it is empty (`make`: words for initdb); for the length of a block."""
    give(data)
    give(sockets)
    if not (data / "PG_VERSION").exists():
        words = ["initdb", "--auth-local=peer", "--encoding=UTF8", "--locale=C.UTF-8", "-D", str(data), *make]
        made = as_owner(words, programs=release.programs)
        assert made.returncode == 0, made.stderr
    port = free_port("127.0.0.1")
    words = ["postgres", "-D", str(data), "-k", str(sockets), "-p", str(port), "-c", "listen_addresses=", *options]
    with (sockets / "log").open("wb") as log:
        process = subprocess.Popen(owner_words(words, release.programs), stdout=log, stderr=log, cwd="/")
    cluster = Cluster(data, sockets, port, process, release.major)
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
