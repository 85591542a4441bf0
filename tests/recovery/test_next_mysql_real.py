"""MariaDB's files after a kill amid commits, beside the server that runs, started as the page shows it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from recovery.services.dumps import Record
from recovery.services.next_commands import Command, next_commands
from tests.support import mariadb

pytestmark = pytest.mark.real
CLIENTS = 12


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="phpborg-next-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def write(server: mariadb.Server, told: list[int]) -> None:
    """Until the server is killed; `told` are the rows of which it said that they are committed."""
    words = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "-nNB"]
    pipe = subprocess.PIPE
    client = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
    assert client.stdin is not None
    assert client.stdout is not None
    with suppress(OSError):
        while True:
            client.stdin.write("INSERT INTO shop.busy () VALUES (); SELECT LAST_INSERT_ID();\n")
            client.stdin.flush()
            if not (line := client.stdout.readline()).endswith("\n"):
                break
            told.append(int(line))
    client.kill()
    client.wait()


def killed(data: Path, place: Path) -> tuple[frozenset[int], str]:
    """A server whose log is named by its whole path, killed; what it told, and the file of its log."""
    told: list[int] = []
    durable = ("--innodb-flush-log-at-trx-commit=1", f"--log-bin={data}/mysql-bin", "--sync-binlog=1")
    with mariadb.running(data, place, *durable) as server:
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.busy (id INT AUTO_INCREMENT PRIMARY KEY)")
        file = server.sql("SHOW MASTER STATUS").split()[0]
        writers = [threading.Thread(target=write, args=(server, told)) for _ in range(CLIENTS)]
        for writer in writers:
            writer.start()
        while len(told) < 300:
            time.sleep(0.05)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        for writer in writers:
            writer.join(30)
    return frozenset(told), file


def digest(top: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in top.iterdir() if path.is_file()}


def rows_of(commands: list[Command]) -> frozenset[int]:
    """Of the restored server, which is ended again."""
    *before, start, show = [command.argv for command in commands if command.argv]
    for argv in before:
        subprocess.run(argv, check=True, capture_output=True, cwd="/root")
    with tempfile.TemporaryFile() as log:
        env = {**os.environ, "TMPDIR": "/tmp"}
        process = subprocess.Popen(start, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=env)
        try:
            deadline = time.monotonic() + 60
            while subprocess.run(show, capture_output=True, check=False).returncode:
                log.seek(0)
                assert process.poll() is None, log.read().decode(errors="replace")
                assert time.monotonic() < deadline
                time.sleep(0.1)
            asked = (*show[:-1], "-NB", "--execute=SELECT id FROM shop.busy")
            said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        finally:
            process.terminate()
            process.wait(60)
    return frozenset(map(int, said.split()))


def test_it_decides_by_its_own_log_and_leaves_that_of_the_other_one_alone(place: Path) -> None:
    data, copy = place / "data", place / "put back"
    told, file = killed(data, place / "run")
    shutil.copytree(data, copy)
    before = digest(data)
    facts = {"flavour": "mariadb", "owner": "mysql", "log_bin": True}
    included = ({"kind": "data", "path": "data"},)
    record = Record("mysql", "10.11.6", "snapshot", "crash-consistent", str(data), included, facts, binary_log=file)
    rows = rows_of(next_commands(record, {"data": str(copy)}))
    assert told <= rows
    assert digest(data) == before
    assert str(data) not in (copy / "mysql-bin.index").read_text()
