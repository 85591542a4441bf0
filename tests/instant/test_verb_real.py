"""The verb `instant` with a real archive, engine and PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from phpborg.errors import PhpBorgError
from phpborg.mounts import mounts_below
from servers.errors import MemoryExhausted
from tests.instant.conftest import PASSWORD, QUESTION, ROWS, recipe
from tests.support import postgresql, registry
from tests.support.sshd import descendants, processes

pytestmark = pytest.mark.real


def sql(port: int, text: str) -> subprocess.CompletedProcess[str]:
    """A question of a client on this machine, by the port and the generated password."""
    words = [str(postgresql.PROGRAMS / "psql"), "-XAt", "-h", "127.0.0.1", "-p", str(port), "-U", "phpborg", "postgres"]
    env = {**os.environ, "PGPASSWORD": PASSWORD}
    return subprocess.run([*words, "-c", text], capture_output=True, text=True, env=env, check=False)


def left(token: str, engine) -> list[str]:
    """What of a session is on this machine."""
    places = [
        f"/var/lib/phpborg/instant/{token}",
        f"/run/phpborg/instant-{token}",
        f"/var/lib/phpborg/borg/restore-{token}",
    ]
    found = [path for path in places if Path(path).exists()]
    found += map(str, mounts_below(Path(places[0])))
    return found + engine.docker("ps", "--all", "--quiet", "--filter", f"label=phpborg.session={token}").stdout.split()


@pytest.mark.parametrize("kind", ["blocks", "overlay"])
def test_a_cluster_answers_out_of_its_archive_and_leaves_nothing(start, engine, kind):
    session = start(layers=[{"name": "data", "source": "", "kind": kind}])
    port = session.until("ready")["port"]
    assert sql(port, "SELECT count(*), max(id) FROM kettle").stdout.strip() == f"{ROWS}|{ROWS}"
    for text in (
        "INSERT INTO kettle VALUES (0)",
        "CREATE TABLE x ()",
        "SET transaction_read_only TO off; DELETE FROM kettle",
    ):
        refused = sql(port, text)
        assert refused.returncode != 0
        assert "read-only" in refused.stderr or "recovery" in refused.stderr
    session.finish()
    assert session.error is None
    assert left(session.token, engine) == []
    assert sql(port, "SELECT 1").returncode != 0


def test_two_sessions_have_ports_of_their_own_and_the_first_of_the_range_may_be_taken(start):
    """Case 108."""
    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it: that is what is wanted
            taken.bind(("127.0.0.1", 15432))
            taken.listen()
        one, other = start(), start()
        ports = [session.until("ready")["port"] for session in (one, other)]
    assert len({15432, *ports}) == 3
    assert all(sql(port, "SELECT 1").stdout.strip() == "1" for port in ports)
    listening = Path("/proc/net/tcp").read_text()
    assert all(f"0100007F:{port:04X} 00000000:0000 0A" in listening for port in ports)


def test_a_kill_9_of_the_helper_is_cleaned_up_by_its_token(start, host, engine):
    session = start()
    port = session.until("ready")["port"]
    state = json.loads(Path(f"/var/lib/phpborg/instant/{session.token}/state.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    session.thread.join(60)
    assert session.error is not None
    host.call("instant", {"action": "remove", "token": session.token}, timeout=150)
    assert left(session.token, engine) == []
    assert sql(port, "SELECT 1").returncode != 0
    assert host.call("instant", {"action": "remove", "token": session.token}, timeout=150) == {"removed": []}


def test_the_mount_of_the_archive_is_killed(start, engine):
    """Case 104."""
    session = start()
    session.until("ready")
    archive = f"/var/lib/phpborg/instant/{session.token}/archive"
    (pid,) = processes(lambda words: "mount" in words and archive in words)
    os.kill(pid, signal.SIGKILL)
    session.thread.join(60)
    assert "the mount of the archive has ended" in str(session.error)
    assert left(session.token, engine) == []
    assert start().until("ready")


def test_the_container_is_removed_and_the_mount_is_detached_by_hand(start, engine):
    """Case 105."""
    session = start()
    session.until("ready")
    engine.docker("rm", "--force", f"phpborg-{session.token}-1")
    subprocess.run(["umount", "--lazy", f"/var/lib/phpborg/instant/{session.token}/layers/data/merged"], check=False)
    session.thread.join(60)
    assert "has ended" in str(session.error)
    assert left(session.token, engine) == []


@pytest.mark.parametrize("state", ["mounting", "preparing", "starting"])
def test_a_stop_while_it_starts(start, engine, state):
    session = start()
    session.until(state)
    session.finish()
    assert left(session.token, engine) == []


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(start, engine, image):
    """Case 110: the server's own line is shown."""
    stages = recipe(engine, image)["stages"]
    stages[-1]["argv"] += ["-c", "shared_buffers=nonsense"]
    session = start(stages=stages)
    with pytest.raises(PhpBorgError) as raised:
        session.until("ready")
    assert 'invalid value for parameter "shared_buffers"' in raised.value.detail
    session.finish()
    assert left(session.token, engine) == []


def test_an_image_that_is_not_there_is_refused_before_anything_is_mounted(start, engine):
    session = start(image="phpborg-test/postgres:13")
    with pytest.raises(PhpBorgError, match="phpborg-test/postgres:13 is not there"):
        session.until("ready")
    assert {row["state"] for row in session.rows} == set()
    assert left(session.token, engine) == []


def test_an_image_that_is_not_there_is_fetched_when_that_was_asked(start, engine, image):
    with registry.serving(engine, image) as name:
        session = start(image=name, pull=True)
        assert sql(session.until("ready")["port"], "SELECT 1").stdout.strip() == "1"
        states = [row["state"] for row in session.rows]
        assert states.index("fetching") < states.index("mounting")
        session.finish()


def test_an_image_that_cannot_be_fetched_is_told_in_the_engines_words(start, engine):
    session = start(image="127.0.0.1:1/none:15", pull=True)
    session.thread.join(60)
    assert "127.0.0.1:1/none:15 is not there and cannot be fetched" in str(session.error)
    assert "refused" in str(session.error)
    assert left(session.token, engine) == []


HUNGRY = "SELECT length(string_agg(repeat('x', 1 << 20), '')) FROM generate_series(1, 400)"


def ask_for_much() -> dict[str, object]:
    """A check that needs more memory than the session has."""
    psql = ["/usr/local/bin/psql", str(postgresql.PROGRAMS / "psql")]
    return {"name": "read", "programs": psql, "argv": [*QUESTION[:-1], HUNGRY], "stdin": "", "seconds": 60}


def test_a_limit_of_memory_that_a_check_reaches_is_said_and_is_not_the_archives(start, engine):
    session = start(action="check", memory=96 << 20, checks=[ask_for_much()])
    session.thread.join(90)
    assert isinstance(session.error, MemoryExhausted), (session.error, session.rows)
    assert "96 MiB" in session.error.detail
    assert left(session.token, engine) == []


def test_a_socket_that_is_a_link_to_one_of_this_machine_is_not_served(start, engine):
    """The container's account writes what it likes into its run directory; we connect there as root."""
    session = start()
    port = session.until("ready")["port"]
    name = Path(f"/run/phpborg/instant-{session.token}/run/.s.PGSQL.5432")
    name.rename(name.with_name("aside"))
    name.symlink_to(engine.socket)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        try:
            answer = client.recv(100)
        except ConnectionResetError:  # it was not even read
            answer = b""
    assert answer == b""


def test_the_filesystem_of_a_layer_is_killed(start, engine):
    session = start()
    session.until("ready")
    upper = f"/var/lib/phpborg/instant/{session.token}/layers/data/upper"
    (pid,) = processes(lambda words: "--cow" in words and upper in words)
    os.kill(pid, signal.SIGKILL)
    session.thread.join(60)
    assert "has ended" in str(session.error)
    assert left(session.token, engine) == []


def test_all_of_it_is_killed_at_once(start, host, engine):
    """As a power cut does: nobody of it is there to clean up."""
    session = start()
    session.until("ready")
    state = json.loads(Path(f"/var/lib/phpborg/instant/{session.token}/state.json").read_text())
    family = [state["pid"], *descendants(state["pid"])]
    guards = processes(lambda words: str(host.target.helper_path) in words)
    for pid in {*family, *guards}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    engine.docker("kill", f"phpborg-{session.token}-1", check=False)
    session.thread.join(60)
    assert left(session.token, engine) != []
    host.call("instant", {"action": "remove", "token": session.token}, timeout=150)
    assert left(session.token, engine) == []
    assert start().until("ready")
