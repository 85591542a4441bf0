"""Servers of MySQL itself on directories of this machine, each in a container: how one is filled and killed."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab import images
from tests.lab.engine import Engine

ROWS = 20_000
CLIENTS = 12
_SOCKET = "/srv/run/s"
_SHOP = f"""
CREATE DATABASE shop; USE shop;
CREATE TABLE kettle (id INT PRIMARY KEY, tea VARCHAR(100));
SET SESSION cte_max_recursion_depth = {ROWS};
INSERT INTO kettle WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < {ROWS})
  SELECT n, 'committed' FROM seq;
CREATE TABLE busy (id INT AUTO_INCREMENT PRIMARY KEY, word CHAR(100));
CREATE TABLE isam (id INT) ENGINE=MyISAM; INSERT INTO isam VALUES (1);
CREATE TABLE doubt (id INT PRIMARY KEY); INSERT INTO doubt VALUES (1);
CREATE EVENT ev ON SCHEDULE EVERY 1 SECOND DO INSERT INTO busy (word) VALUES ('event');
CREATE USER strong@localhost IDENTIFIED BY 'x'; GRANT ALL PRIVILEGES ON *.* TO strong@localhost WITH GRANT OPTION;
"""
# As a client of a distributed transaction leaves them; one of the names is what no text can hold.
_XA = """
XA START 'one'; INSERT INTO shop.doubt VALUES (2); XA END 'one'; XA PREPARE 'one';
XA START X'00ff0a095c', 'é', 7; DELETE FROM shop.doubt WHERE id = 1; INSERT INTO shop.doubt VALUES (3);
XA END X'00ff0a095c', 'é', 7; XA PREPARE X'00ff0a095c', 'é', 7;
"""


@dataclass
class Mysqld:
    """A server on a directory of this machine, in a container of its own."""

    engine: Engine
    name: str

    def client(self, *words: str) -> list[str]:
        head = ["exec", "-i", self.name, "mysql", "--no-defaults", f"--socket={_SOCKET}", "--user=root", "-NB", *words]
        return self.engine.client(*head)

    def sql(self, text: str) -> str:
        done = subprocess.run(self.client(), input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def leave_open(self) -> subprocess.Popen[str]:
        """A large change that is not committed, and in the files as far as the log is."""
        pipe = subprocess.PIPE
        client = subprocess.Popen(self.client("-n"), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("BEGIN; UPDATE shop.kettle SET tea = 'not committed'; SELECT 'changed';\n")
        client.stdin.flush()
        assert client.stdout.readline().strip() == "changed"
        return client

    def write(self, told: list[int]) -> None:
        """Until it is killed; `told` are the rows of which it said that they are committed."""
        pipe = subprocess.PIPE
        client = subprocess.Popen(self.client("-n"), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        assert client.stdin is not None
        assert client.stdout is not None
        with suppress(OSError):
            while True:
                client.stdin.write("INSERT INTO shop.busy (word) VALUES ('x'); SELECT LAST_INSERT_ID();\n")
                client.stdin.flush()
                line = client.stdout.readline()
                if not line.strip().isdigit():  # the end of the server, or words of its container's
                    break
                told.append(int(line))
        client.kill()
        client.wait()


@contextmanager
def running(engine: Engine, place: Path) -> Iterator[Mysqld]:
    """With a binary log, every commit durable. Killed at the end."""
    server = Mysqld(engine, f"mysqld-{uuid.uuid4().hex[:8]}")
    image, volume = images.MYSQL.tag, f"--volume={place}:/srv"
    words = ["run", "--rm", "--network=none", "--user=mysql", volume]
    program = ["mysqld", "--no-defaults", "--datadir=/srv/data"]
    if not any((place / "data").iterdir()):
        engine.docker(*words, image, *program, "--initialize-insecure")
    serve = [*program, f"--socket={_SOCKET}", "--log-bin=binlog", "--sync-binlog=1", "--mysqlx=OFF"]
    engine.docker(*words, "--detach", "--name", server.name, image, *serve)
    try:
        deadline = time.monotonic() + 120
        while subprocess.run(server.client("-e", "SELECT 1"), capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, engine.docker("logs", server.name, check=False)
            time.sleep(0.2)
        yield server
    finally:
        engine.docker("kill", server.name, check=False)


def fill(server: Mysqld) -> list[int]:
    """Killed while many commit by the binary log, one has not, and two are prepared. Answers what was told."""
    server.sql(_SHOP)
    server.sql(_XA)
    told: list[int] = []
    writers = [threading.Thread(target=server.write, args=(told,)) for _ in range(CLIENTS)]
    for writer in writers:
        writer.start()
    client = server.leave_open()
    deadline = time.monotonic() + 60
    while len(told) < 500:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.engine.docker("kill", server.name)
    for writer in writers:
        writer.join(30)
    client.kill()
    client.wait()
    return told


def new_place(engine: Engine) -> Path:
    """A directory for one, with what belongs to the account of the image; whoever asked for it removes it."""
    images.ensure(engine, images.MYSQL)
    place = Path(tempfile.mkdtemp(prefix="phpborg-mysql-"))
    place.chmod(0o755)
    who = ("run", "--rm", "--network=none", images.MYSQL.tag, "sh", "-c", "id -u mysql; id -g mysql")
    ids = engine.docker(*who).stdout
    for path in (place / "data", place / "run"):
        path.mkdir(mode=0o700)
        os.chown(path, *map(int, ids.split()))
    return place
