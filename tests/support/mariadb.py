"""MariaDB servers of a test's own: in its directory, on a free port, reached by a socket, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.sshd import free_port

ACCOUNT = "mysql"


@dataclass
class Server:
    """A running server: where it is and how it is reached (as root, by the socket, without a password)."""

    data: Path
    socket: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def where(self) -> dict[str, object]:
        """As a request to the helper names it."""
        return {"socket": str(self.socket), "flavour": "mariadb", "login": {"method": "socket", "user": "root"}}

    def client(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the client with these words."""
        head = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root"]
        argv = [*head, "--default-character-set=utf8mb4", *words]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, cwd="/", check=False)

    def sql(self, text: str, database: str = "") -> str:
        """The answer to some SQL: rows as lines, columns by tabs."""
        ended = self.client(
            "--batch", "--skip-column-names", *([f"--database={database}"] if database else []), stdin=text
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()


def give(path: Path) -> Path:
    """The directory is the server's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = pwd.getpwnam(ACCOUNT)
    os.chown(path, account.pw_uid, account.pw_gid)
    return path


@contextmanager
def running(data: Path, place: Path, *options: str) -> Iterator[Server]:
    """A server on `data`, made there when it is empty; `place` holds its socket and log. For the length of a block."""
    give(data)
    give(place)
    env = {**os.environ, "TMPDIR": "/tmp"}
    if not any(data.iterdir()):
        made = place / "made"  # its maker takes no blanks
        words = ["mariadb-install-db", "--no-defaults", f"--user={ACCOUNT}", f"--datadir={made}", "--skip-test-db"]
        subprocess.run([*words, "--auth-root-authentication-method=socket"], check=True, capture_output=True, env=env)
        shutil.copytree(made, data, dirs_exist_ok=True)
        subprocess.run(["chown", "-R", "--reference", str(made), "--", str(data)], check=True)
        shutil.rmtree(made)
    socket, port = place / "s", free_port("127.0.0.1")
    argv = ["/usr/sbin/mariadbd", "--no-defaults", f"--user={ACCOUNT}", f"--datadir={data}", f"--socket={socket}"]
    argv += [f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={place}/pid", *options]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=env)
    server = Server(data, socket, port, process)
    try:
        deadline = time.monotonic() + 60
        while server.client("--execute=SELECT 1").returncode:
            assert time.monotonic() < deadline, (place / "log").read_text()
            assert process.poll() is None, (place / "log").read_text()
            time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
