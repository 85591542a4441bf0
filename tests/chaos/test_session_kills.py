"""Parts of Instant Recovery sessions are killed, at each of their states: each time the session says what happened, and
within a minute nothing of it is left on either side."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from phpborg import mounts
from phpborg.tasks.models import Lease, Task
from recovery.models import Session
from tests.instant.test_mysql_upper_real import kill, leave_open
from tests.lab.engine import Engine, running_engine
from tests.support import mariadb, own_image, postgresql
from tests.support.estate import Estate
from tests.support.product import eventually
from tests.support.sshd import descendants, processes

pytestmark = pytest.mark.chaos
_ROWS = 1000
_DRAFT = """
from backups.models import Archive
from phpborg.tasks import runner
from recovery.services import looking, sessions
from servers.models import Server
archive = Archive.objects.filter(job__name={job!r}).latest("started_at")
if looking.answer_of(archive) is None:
    runner.run(str(looking.ask(archive=archive).pk))
(found,) = looking.answer_of(archive)
made = dict(archive=archive, found=found, server=Server.objects.get(name="one"), docker={docker!r}, image={image!r})
"""
_START = "session = sessions.draft(**made); session.save(); sessions.start(session=session); print(session.pk.hex)\n"


@dataclass
class Part:
    """A session, its task, and the name that its parts have on the server."""

    session: str
    task: str
    token: str


class Sessions:
    """Sessions of one archive on the server `one`, seen through the product's database as it changes."""

    def __init__(self, estate: Estate, engine: Engine, job: str, image: str) -> None:
        self.estate, self.engine = estate, engine
        self._code = _DRAFT.format(docker=str(engine.socket), job=job, image=image)

    def start(self, count: int = 1) -> list[str]:
        """Their ids; the archive is looked at before the first."""
        return self.estate.product.python(self._code + _START * count).split()

    def ask(self, query: str, *values: str) -> tuple | None:
        rows = self.estate.rows(query, *values)
        return rows[0] if rows else None

    def phase(self, session: str) -> str:
        row = self.ask(
            f"SELECT phase FROM {Task._meta.db_table} WHERE id = (SELECT task_ref FROM {Session._meta.db_table}"
            " WHERE id = ?)",
            session,
        )
        return row[0] if row else ""

    def state(self, session: str) -> tuple[str, str, str]:
        """State, error code, the words of what broke."""
        row = self.ask(f"SELECT state, error_code, error_detail FROM {Session._meta.db_table} WHERE id = ?", session)
        assert row
        return row

    def port(self, session: str) -> int:
        row = self.ask(f"SELECT port FROM {Session._meta.db_table} WHERE id = ?", session)
        assert row
        return int(row[0])

    def part(self, session: str) -> Part | None:
        """None while its lease is not written."""
        row = self.ask(
            f"SELECT task_ref, data FROM {Lease._meta.db_table} JOIN {Session._meta.db_table} s ON task_id = task_ref"
            " WHERE kind = 'instant_session' AND s.id = ?",
            session,
        )
        return Part(session, row[0], json.loads(row[1])["token"]) if row else None

    def until(self, phase: str, session: str, seconds: float = 90) -> None:
        eventually(lambda: self.phase(session) == phase, seconds, f"it never is {phase}: {self.state(session)}")

    # --- what can be killed ----------------------------------------------------------------------

    def pids(self, victim: str, part: Part) -> list[int]:
        """The living processes that are this part of the session."""
        if victim == "mount":
            return processes(lambda words: "mount" in words and part.token in " ".join(words))
        if victim == "layer":
            return processes(lambda words: "--cow" in words and part.token in " ".join(words))
        if victim == "container":
            return self._containers(part)
        if victim == "helper":
            with suppress(OSError, ValueError):
                return [json.loads(Path(f"/var/lib/phpborg/instant/{part.token}/state.json").read_text())["pid"]]
            return []
        row = self.ask(f"SELECT worker FROM {Task._meta.db_table} WHERE id = ?", part.task)
        return [int(row[0].split(":")[1])] if row and row[0] else []

    def _containers(self, part: Part) -> list[int]:
        names = self.engine.docker("ps", "-q", "--filter", f"name=phpborg-{part.token}").stdout.split()
        said = [self.engine.docker("inspect", "-f", "{{.State.Pid}}", name, check=False).stdout for name in names]
        return [int(pid) for pid in said if pid.strip() not in ("", "0")]

    def kill(self, phase: str, *victims: str) -> Part:
        """Start a session and kill these parts of it in this state. What passes too fast is tried again."""
        for _ in range(5):
            (session,) = self.start()
            until = time.monotonic() + 60
            while time.monotonic() < until and self.state(session)[0] in ("starting", "ready"):
                part = self.part(session)
                found = [self.pids(one, part) for one in victims] if part and self.phase(session) == phase else [[]]
                if part and all(found) and self.phase(session) == phase:
                    for pid in (pid for pids in found for pid in pids):
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    return part
                if self.phase(session) == "serving" and phase != "serving":
                    break
            self.estate.product.manage("instant", "stop", session)
        raise AssertionError(f"nothing to kill: {victims} while {phase}")

    # --- what is left ----------------------------------------------------------------------------

    def left(self, part: Part) -> list[str]:
        """Of one session, on its server."""
        places = [Path(f"/var/lib/phpborg/instant/{part.token}"), Path(f"/run/phpborg/instant-{part.token}")]
        found = [str(place) for place in places if place.exists()]
        found += [str(path) for place in places for path in mounts.mounts_below(place)]
        found += self.engine.docker("ps", "-aq", "--filter", f"name=phpborg-{part.token}").stdout.split()
        return found + [str(pid) for pid in processes(lambda words: part.token in " ".join(words))]

    def all_gone(self, parts: list[Part], seconds: float = 60) -> None:
        """Ended, with a reason, and nothing of them there."""
        for part in parts:
            eventually(lambda part=part: self.state(part.session)[0] == "failed", seconds, str(part))
            eventually(lambda part=part: not self.left(part), seconds, f"left: {self.left(part)}")
        self.estate.is_clean(seconds)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running_engine() as running:
        yield running


@contextmanager
def archived(estate: Estate, job: str, make: Callable[[Path], None]) -> Iterator[None]:
    """An archive of what `make` leaves in a directory."""
    place = Path(tempfile.mkdtemp(prefix="pb-session-kill-"))
    place.chmod(0o755)
    try:
        make(place)
        estate.add_job(job, "one", place / "data")
        ended = estate.run(job)
        assert ended["state"] == "success", ended
        yield
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def sessions(estate: Estate, engine: Engine) -> Iterator[Sessions]:
    """Of a PostgreSQL that was shut down."""

    def make(place: Path) -> None:
        with postgresql.running(place / "data", place / "s") as cluster:
            cluster.sql(f"CREATE TABLE kettle AS SELECT i AS id FROM generate_series(1, {_ROWS}) i")

    with archived(estate, "kettle", make):
        yield Sessions(estate, engine, "kettle", own_image.postgresql(engine))


@pytest.fixture(scope="module")
def of_mariadb(estate: Estate, engine: Engine) -> Iterator[Sessions]:
    """Of a MariaDB that was killed amid a large change: a first run rolls it back, a second one serves."""

    def make(place: Path) -> None:
        with mariadb.running(place / "data", place / "s") as server:
            server.sql(
                "CREATE DATABASE shop; USE shop; CREATE TABLE pending (id INT PRIMARY KEY, word CHAR(100));"
                f"INSERT INTO pending SELECT seq, 'committed' FROM seq_1_to_{_ROWS * 50}"
            )
            client = leave_open(server)
            kill(server)
            client.kill()
            client.wait()

    with archived(estate, "till", make):
        yield Sessions(estate, engine, "till", own_image.mariadb(engine))


_EACH = {
    "mounting": ("mount", "helper", "horse"),
    "preparing": ("container", "layer", "horse"),
    "starting": ("container", "mount", "helper"),
    "serving": ("container", "layer", "mount", "helper", "horse"),
}


@pytest.mark.parametrize("phase", list(_EACH))
def test_a_part_is_killed(sessions: Sessions, phase: str) -> None:
    killed = {victim: sessions.kill(phase, victim) for victim in _EACH[phase]}
    sessions.all_gone(list(killed.values()))
    for victim, part in killed.items():
        _state, code, detail = sessions.state(part.session)
        assert code, victim
        assert victim in ("horse", "helper") or detail, victim
        assert (code == "TSK-01") == (victim == "horse"), (victim, code, detail)


@pytest.mark.parametrize("phase", ["preparing", "serving"])
def test_all_parts_of_a_mariadb_are_killed_at_once(of_mariadb: Sessions, phase: str) -> None:
    """On its server, and then with the process that watches over it, too."""
    there = ("container", "layer", "mount", "helper")
    one, two = of_mariadb.kill(phase, *there), of_mariadb.kill(phase, *there, "horse")
    of_mariadb.all_gone([one, two])
    codes = [of_mariadb.state(part.session)[1] for part in (one, two)]
    assert codes[0] not in ("", "TSK-01"), codes
    assert codes[1] == "TSK-01", codes


def test_the_whole_worker_is_killed_and_the_next_one_keeps_new_sessions(sessions: Sessions) -> None:
    one, two = sessions.start(2)
    for session in (one, two):
        sessions.until("serving", session)
    parts = [part for session in (one, two) if (part := sessions.part(session))]
    ports = [sessions.port(session) for session in (one, two)]
    assert all(_is_held(port) for port in ports)
    product = sessions.estate.product
    horses = descendants(product.processes["worker-sessions"].pid)
    product.end("worker-sessions", signal.SIGKILL)
    for pid in horses:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    product.start_worker("sessions", ("sessions",))
    sessions.all_gone(parts)
    assert [sessions.state(session)[1] for session in (one, two)] == ["TSK-01", "TSK-01"]
    assert not any(_is_held(port) for port in ports)
    (again,) = sessions.start()
    sessions.until("serving", again)
    product.manage("instant", "stop", again)


def test_the_machine_starts_again(sessions: Sessions) -> None:
    """As after a power cut: no process is there, only files, mounts that nobody serves, and stopped containers."""
    one, two = sessions.start(2)
    for session in (one, two):
        sessions.until("serving", session)
    parts = [part for session in (one, two) if (part := sessions.part(session))]
    product = sessions.estate.product
    family = descendants(product.processes["worker-sessions"].pid)
    product.end("worker-sessions", signal.SIGKILL)
    for part in parts:
        family += [pid for victim in ("container", "helper") for pid in sessions.pids(victim, part)]
        family += processes(lambda words, part=part: part.token in " ".join(words))
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    product.start_worker("sessions", ("sessions",))
    sessions.all_gone(parts)
    (again,) = sessions.start()
    sessions.until("serving", again)
    product.manage("instant", "stop", again)
    sessions.estate.is_clean(60)


def _is_held(port: int) -> bool:
    """Does a process that we see listen there? Another lane's session may have the number by now."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A"}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) in sockets:
                return True
    return False
