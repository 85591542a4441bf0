"""script/server on a machine that has git and nothing else: one command, one backup, one file back — twice."""

from __future__ import annotations

import hashlib
import http.cookiejar
import json
import os
import queue
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.install.bare_root import BareRoot, children, run

pytestmark = pytest.mark.install
HOME = Path(__file__).resolve().parents[2]
CHECKOUT = "/opt/phpborg"
PROGRAMS = ("borg", "redis-server", "ssh", "python3", "fusermount3", "msgfmt", "sudo")
_OF_THE_CLOCK = ("tasks_", "django_session", "sqlite_", "servers_sampl")
FIRST_START_SECONDS, NEXT_START_SECONDS, PROMISE_SECONDS = 900, 60, 300


def tell(line: str) -> None:
    """For the person who watches the lane."""
    sys.stdout.write(f"    {line}\n")
    sys.stdout.flush()


class Server:
    """A running script/server in the root, with its lines as they come."""

    def __init__(self, root: BareRoot, port: int) -> None:
        self.root = root
        self.began = time.monotonic()
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            root.argv("script/server", "--port", str(port), cwd=CHECKOUT),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            tell(f"{time.monotonic() - self.began:5.1f} s  {line.rstrip()}")
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """The first line with `pattern`; fails when the server ends or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._queue.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, "script/server ended: " + "\n".join(self.lines[-20:])
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def ctrl_c(self, seconds: float = 90) -> int:
        """What a terminal does: SIGINT for script/server. Its exit status."""
        (inner,) = children(self.process.pid)
        os.kill(inner, signal.SIGINT)
        return self.process.wait(seconds)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def password_in(text: str) -> str | None:
    found = re.search(r"(?:[Pp]assword|[Mm]ot de passe)[^:\n]*:\s*(\S+)", text)
    return found[1] if found else None


def sign_in(address: str, name: str, password: str) -> str:
    """As a browser does; the page that follows."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    with opener.open(address, timeout=20) as page:
        login, form = page.url, page.read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token, form[:2000]
    data = {"csrfmiddlewaretoken": token[1], "username": name, "password": password}
    request = urllib.request.Request(login, urllib.parse.urlencode(data).encode(), {"Referer": login})
    with opener.open(request, timeout=20) as page:
        assert page.status == 200
        assert "/login" not in page.url, page.read().decode()[:3000]
        return page.read().decode()


def rows(database: Path) -> dict[str, int]:
    """Rows of each table that people fill; tasks, sessions and samples come and go by themselves."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counted = [name for name in tables if not name.startswith(_OF_THE_CLOCK)]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in counted}


def installed_state(checkout: Path) -> dict[str, object]:
    """What a second start must not touch."""
    var = checkout / "var"
    files = [var / "secret-key", var / "encryption-key", *(checkout / ".venv").glob(".installed-*")]
    files += [*(checkout / "phpborg/locale").rglob("*.mo"), *(var / "static").rglob("*")]
    return {
        "files": {str(file): (file.stat().st_mtime_ns, file.stat().st_ino) for file in files},
        "keys": [hashlib.sha256((var / name).read_bytes()).hexdigest() for name in ("secret-key", "encryption-key")],
        "rows": rows(var / "phpborg.sqlite3"),
        "packages": hashlib.sha256((checkout.parents[1] / "var/lib/dpkg/status").read_bytes()).hexdigest(),
    }


def manage(root: BareRoot, *words: str):
    done = root.run(".venv/bin/python", "manage.py", *words, "--json", cwd=CHECKOUT)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with BareRoot(tmp_path_factory.mktemp("bare") / "root") as made:
        yield made


def test_from_clone_to_a_restored_file_twice(root):
    present = [name for name in PROGRAMS if root.run("sh", "-c", f"command -v {name}", check=False).returncode == 0]
    assert present == [], "the root is not bare"
    run("git", "clone", "--quiet", "--bare", HOME, root.path / "srv/phpborg.git")

    began = time.monotonic()
    root.run("git", "clone", "--quiet", "/srv/phpborg.git", CHECKOUT)
    server = Server(root, free_port())
    address = server.wait_for(r"answers at (http://127\.0\.0\.1:\d+/)", FIRST_START_SECONDS)[1]
    password = password_in(server.text)
    assert password, server.text
    first_start = time.monotonic() - began

    assert "/tasks/" in sign_in(address, "admin", password)
    manage(root, "backup", "etc", "--wait")
    (archive,) = manage(root, "archives", "--job", "etc")
    manage(root, "restore", archive["name"], "/etc/passwd", "--to", "/srv/restored", "--wait")
    promise = time.monotonic() - began
    restored = [path for path in (root.path / "srv/restored").rglob("passwd") if path.is_file()]
    assert [path.read_bytes() for path in restored] == [(root.path / "etc/passwd").read_bytes()]

    # What is under way when the server is stopped is carried on by the next start, which is right and no change of it.
    nothing_is_under_way(root)
    nothing_is_left_after_ctrl_c(root, server)
    checkout = root.path / CHECKOUT[1:]
    before = installed_state(checkout)

    again = Server(root, free_port())
    address = again.wait_for(r"answers at (http://127\.0\.0\.1:\d+/)", NEXT_START_SECONDS)[1]
    second_start = time.monotonic() - again.began
    assert password_in(again.text) is None
    assert sign_in(address, "admin", password)
    nothing_is_left_after_ctrl_c(root, again)
    assert installed_state(checkout) == before
    assert root.run("git", "status", "--porcelain", cwd=CHECKOUT).stdout == ""

    tell(f"from clone to the first page {first_start:.0f} s, to a restored file {promise:.0f} s")
    tell(f"second start {second_start:.0f} s")
    assert promise < PROMISE_SECONDS


def nothing_is_under_way(root: BareRoot, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while active := manage(root, "tasks", "--state", "active", "--system"):
        assert time.monotonic() < deadline, active
        time.sleep(0.5)


def nothing_is_left_after_ctrl_c(root: BareRoot, server: Server) -> None:
    known = {f"{root.path}/proc", f"{root.path}/dev/shm"}
    assert server.ctrl_c() == 0
    assert root.processes() == []
    assert set(root.mounts()) == known
