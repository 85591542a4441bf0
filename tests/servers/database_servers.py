"""Database servers of a test's own: real programs in a private directory, ended by their process ids."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CANARY = "pa'ss"
PASSWORD = CANARY + ' "w\\ord# é'
POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
MARIADB_ACCOUNT = "mysql"


@contextmanager
def place() -> Iterator[Path]:
    """A short directory that other accounts may pass through."""
    path = Path(tempfile.mkdtemp(prefix="pb-db-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def directory(path: Path, account: str) -> Path:
    path.mkdir(mode=0o700, parents=True)
    shutil.chown(path, account, pwd.getpwnam(account).pw_gid)
    return path


def open_to_all(env: dict[str, str] | None = None) -> dict[str, str]:
    """The environment for another account: the temporary directory of a test run may be closed to it."""
    return {**(env or os.environ), "TMPDIR": "/tmp"}


def as_account(account: str, argv: Sequence[str | Path], env: dict[str, str] | None = None) -> None:
    group = pwd.getpwnam(account).pw_gid
    env = open_to_all(env)
    subprocess.run(argv, user=account, group=group, extra_groups=[], check=True, capture_output=True, cwd="/", env=env)


@contextmanager
def running(argv: Sequence[str | Path], account: str | None, ready: Callable[[], bool], log: Path) -> Iterator[int]:
    """The server's process id, once `ready` says so; ended and waited for at the end."""
    who = {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []} if account else {}
    env = open_to_all()
    with log.open("wb") as written:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=written, stderr=written, cwd="/", env=env, **who
        )  # type: ignore[call-overload]
    try:
        until = time.monotonic() + 60
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{argv[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT if "postgres" in str(argv[0]) else signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(path: Path | None = None, port: int | None = None) -> Callable[[], bool]:
    """Does somebody accept connections there?"""

    def ready() -> bool:
        try:
            with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as found:
                found.connect(os.fspath(path) if path else ("127.0.0.1", port))
            return True
        except OSError:
            return False

    return ready


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
