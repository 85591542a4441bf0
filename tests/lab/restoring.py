"""Copies of a database server's files: put into a directory by the product, then the plan's next commands, as shown.

A ledger of pgbench adds up at each moment: a restored cluster is of one moment when its four sums are equal.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive
from phpborg.tasks.models import Lease, Task
from recovery import paths
from recovery.services import physical, restores
from recovery.services.next_commands import Command
from servers.models import Server

Run = Callable[..., list[Task]]
Execute = Callable[[tuple[str, ...]], str]
PROGRAMS = "/usr/lib/postgresql/15/bin"
LEDGER = (
    "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),"
    " (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)"
)
HISTORY = "SELECT count(*) FROM pgbench_history"


@pytest.fixture
def out() -> Iterator[Path]:
    """A directory that the servers' accounts may pass through."""
    with tempfile.TemporaryDirectory(prefix="pb-physical-") as path:
        yield opened(Path(path))


def here(argv: tuple[str, ...]) -> str:
    """Run it on this machine as root, to its end, from a directory that everybody may enter. Its output."""
    with tempfile.TemporaryFile() as out:
        # A file: a server that a command starts goes on and would keep a pipe open.
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", timeout=120)
        out.seek(0)
        said = out.read().decode(errors="replace")
    assert ended.returncode == 0, (argv, said)
    return said


def inside(machine: Any) -> Execute:
    """The same in a laboratory server."""

    def execute(argv: tuple[str, ...]) -> str:
        script = '"$@" </dev/null >/tmp/said 2>&1; code=$?; cat /tmp/said; exit $code'
        return str(machine.execute(("sh", "-c", script, "sh", *argv)).stdout.decode(errors="replace"))

    return execute


def restored(
    archive: Archive, server: Server, target: str, run_pending: Run, selection: list[str] | None = None
) -> list[Command]:
    """Put what belongs to the database server (or `selection`) below `target`; what follows, as its page shows it."""
    row, task = restores.create_and_start(
        archive=archive,
        server=server,
        selection=physical.tokens(archive) if selection is None else selection,
        destination="other_path",
        target_path=target,
    )
    run_pending()
    task.refresh_from_db()
    row.refresh_from_db()
    assert task.state == "success", (task.error_code, task.error_detail, task.findings, task.log_tail)
    assert not Lease.objects.held().exists()
    commands = physical.commands_after(row, restores.plan_of(row))
    assert commands
    return commands


WHOLE = [paths.token(b"")]


def carried_out(commands: list[Command], execute: Execute) -> str:
    """Each one that ends, in order, exactly as it is shown; the last one's output. None is left to a person."""
    assert [command.sentence for command in commands if not command.argv] == []
    said = ""
    for command in commands:
        said = execute(command.argv)
    return said


@contextmanager
def postgresql_of(commands: list[Command], execute: Execute) -> Iterator[Callable[..., str]]:
    """The restored cluster, started by its commands; `sql(text, database)`. Stopped at the end."""
    (start,) = [command.argv for command in commands if command.argv[-1:] == ("start",)]
    data = start[start.index("-D") + 1]
    stop = ("runuser", "-u", "postgres", "--", f"{PROGRAMS}/pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
    shown = carried_out(commands[:-1], execute)
    try:
        shown = execute(commands[-1].argv)
        assert "template1" in shown
        socket, port = execute(("sed", "-n", "4,5p", f"{data}/postmaster.pid")).split("\n")[:2][::-1]
        where = ("-h", socket, "-p", port)

        def sql(text: str, database: str = "postgres") -> str:
            argv = ("runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *where)
            return execute((*argv, "-d", database, "-c", text)).strip()

        checked = (f"{PROGRAMS}/pg_amcheck", "--all", "--install-missing", "--heapallindexed", *where)
        assert execute(("runuser", "-u", "postgres", "--", *checked)) == ""
        yield sql
    finally:
        execute(stop)


def adds_up(sql: Callable[..., str], database: str, least: int, most: int) -> int:
    """One moment between two: all sums equal, so many transactions. Answers their number."""
    sums = sql(LEDGER, database).split("|")
    assert len(set(sums)) == 1, sums
    count = int(sql(HISTORY, database))
    assert least <= count <= most, (least, count, most)
    assert count > 0
    return count


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Until it is so. AssertionError with `what` otherwise."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def opened(folder: Path) -> Path:
    """A directory of ours that other accounts may pass through."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    os.chmod(folder, 0o755)
    return folder
