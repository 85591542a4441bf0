"""Real clusters of PostgreSQL 15: what their files say, and a start of the recipe by the installed programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from recovery.engines.base import Consistency, Found, Hints, Taken
from recovery.engines.place import Place
from recovery.engines.postgresql import Postgresql
from tests.support import postgresql
from tests.support.recipes import Kitchen

pytestmark = pytest.mark.real

ENGINE = Postgresql()
NAME, PASSWORD = "phpborg_reader", "pass-word-of-the-test"


@pytest.fixture(scope="module")
def room():
    """A folder that the owner of clusters may enter."""
    path = Path(tempfile.mkdtemp(prefix="phpborg-engines-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def look(data: Path, taken: Taken = Taken.UNKNOWN) -> Found:
    found = ENGINE.look(Place(data), Hints(taken=taken))
    assert found is not None
    return found


def twin(data: Path, copy: Path) -> Path:
    """With owners and modes, as an archive has them."""
    subprocess.run(["cp", "-a", str(data), str(copy)], check=True)
    return copy


def copy_of_a_standby(room: Path, primary: postgresql.Cluster) -> Path:
    """Frozen while it follows its primary; a write of the primary is on it."""
    data = twin(room / "base", room / "follower")
    address = f"primary_conninfo = 'host={primary.sockets} port={primary.port} user=postgres'\n"
    (data / "postgresql.auto.conf").open("a").write(address)
    (data / "standby.signal").write_text("")
    with postgresql.running(data, room / "f") as standby:
        primary.sql("CREATE TABLE later AS SELECT 5 AS n")
        there = "SELECT count(*) FROM pg_class WHERE relname = 'later'"
        deadline = time.monotonic() + 20
        while standby.sql(there) != "1":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return twin(data, room / "standby")


@pytest.fixture(scope="module")
def copies(room):
    """One cluster as an archive would have it: running, killed, by pg_basebackup, stopped."""
    data, made = room / "data", {}
    with postgresql.running(data, room / "s", options=("-c", "max_connections=37")) as cluster:
        cluster.sql("CREATE TABLE words (id int PRIMARY KEY, word text); INSERT INTO words VALUES (1, 'été')")
        cluster.sql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        cluster.sql("CREATE DATABASE odd")
        cluster.sql(
            "ALTER DATABASE odd SET session_preload_libraries = 'gone'; ALTER DATABASE odd SET work_mem = '5MB'"
        )
        made["running"] = twin(data, room / "running")
        base = str(room / "base")
        words = ["pg_basebackup", "-h", str(cluster.sockets), "-p", str(cluster.port), "-c", "fast", "-X", "fetch"]
        ended = postgresql.as_owner([*words, "-D", str(postgresql.give(Path(base)))])
        assert ended.returncode == 0, ended.stderr
        made["base"] = room / "base"
        made["standby"] = copy_of_a_standby(room, cluster)
        made["stopped"] = data
    with postgresql.running(twin(data, room / "kill"), room / "k") as cluster:
        made["killed"] = room / "kill"
        cluster.sql("INSERT INTO words VALUES (2, 'deux')")
        cluster.process.send_signal(signal.SIGKILL)
        cluster.process.wait()
    return made


def test_a_stopped_cluster_is_clean_and_says_what_it_is(copies):
    found = look(copies["stopped"])
    status = copies["stopped"].stat()
    said = subprocess.run(
        [str(postgresql.PROGRAMS / "pg_controldata"), str(copies["stopped"])],
        capture_output=True,
        text=True,
        env={"LC_ALL": "C"},
    ).stdout
    assert (found.version, found.clean, found.consistency) == ("15", True, Consistency.CLEAN)
    assert found.owner is not None
    assert (found.owner.uid, found.owner.gid, found.owner.mode) == (status.st_uid, status.st_gid, 0o700)
    assert f"Database system identifier:           {found.facts.control.system_identifier}\n" in said
    assert found.facts.control.minima["max_connections"] == 37
    assert found.facts.libraries == ("pg_stat_statements",)
    assert found.size is not None
    assert found.size.files > 900


def test_case_95_the_lock_of_a_running_server_is_named_and_left_alone(copies):
    found = look(copies["running"], Taken.FROZEN)
    assert (found.clean, found.consistency) == (False, Consistency.CRASH)
    assert {b"postmaster.pid", b"postmaster.opts"} <= set(found.stale)
    assert (copies["running"] / "postmaster.pid").exists()


def test_case_110_a_copy_of_a_running_cluster_without_snapshot_is_doubtful(copies):
    for taken in (Taken.LIVE, Taken.UNKNOWN):
        found = look(copies["running"], taken)
        assert found.consistency == Consistency.DOUBTFUL
        assert "doubtful" in {note.code for note in found.notes}


def test_a_killed_server_was_not_shut_down(copies):
    found = look(copies["killed"], Taken.FROZEN)
    assert (found.clean, found.consistency) == (False, Consistency.CRASH)


def test_a_base_backup_brings_what_makes_it_whole(copies):
    found = look(copies["base"])
    assert (found.clean, found.consistency) == (None, Consistency.RECOVERABLE)
    assert found.facts.backup_label


def test_a_copy_of_a_standby_is_told_and_does_not_follow_its_primary(copies):
    found = look(copies["standby"], Taken.FROZEN)
    assert (found.facts.control.state, found.clean, found.consistency) == (
        "in archive recovery",
        False,
        Consistency.CRASH,
    )
    assert {b"standby.signal", b"postmaster.pid"} <= set(found.stale)
    assert "primary_conninfo=" in ENGINE.start(found, read_only=True).steps[1].argv


def ask(kitchen: Kitchen, sql: str, user: str = NAME, database: str = "postgres") -> subprocess.CompletedProcess[str]:
    words = ["psql", "-XAtw", "-v", "ON_ERROR_STOP=1", "-h", str(kitchen.place / "run"), "-U", user, "-d", database]
    env = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
    return subprocess.run([*words, "-f", "-"], input=sql, capture_output=True, text=True, env=env, check=False)


def cook(room: Path, data: Path, name: str, *, read_only: bool = True) -> Kitchen:
    found = look(data, Taken.FROZEN)
    recipe = ENGINE.start(found, read_only=read_only)
    login = ENGINE.login(found, name=NAME, password=PASSWORD, read_only=read_only)
    assert PASSWORD.encode() not in login
    return Kitchen(room / name, data, postgresql.OWNER, recipe, login)


def strongest(kitchen: Kitchen) -> None:
    """Our login as a superuser: the server must refuse it all the same."""
    kitchen.login += f"ALTER ROLE {NAME} SUPERUSER;\n".encode()


@pytest.mark.parametrize("which", ["stopped", "running", "base", "standby"])
def test_the_recipe_serves_and_refuses_every_write_of_a_superuser(room, copies, which):
    kitchen = cook(room, copies[which], f"kitchen-{which}")
    strongest(kitchen)
    single, serve = kitchen.recipe.steps
    ended = kitchen.run(single)
    assert ended.returncode == 0, ended.stderr
    assert b"ERROR" not in ended.stderr
    ready = serve.ready
    with kitchen.running(serve, lambda: ask(kitchen, ready.query).stdout.strip() == ready.answer):
        assert ask(kitchen, "SELECT word FROM words WHERE id = 1").stdout == "été\n"
        for sql, words in {
            "INSERT INTO words VALUES (9, 'x')": "cannot execute INSERT in a read-only transaction",
            "CREATE TABLE more (id int)": "cannot execute CREATE TABLE in a read-only transaction",
            "COPY words FROM stdin;\n9\tx\n\\.\n": "cannot execute COPY during recovery",
            "SET transaction_read_only = off": "cannot set transaction read-write mode during recovery",
        }.items():
            refused = ask(kitchen, sql)
            assert refused.returncode
            assert words in refused.stderr, (sql, refused)
        assert ask(kitchen, "SHOW shared_preload_libraries").stdout == "\n"
        assert ask(kitchen, "SHOW archive_mode").stdout == "off\n"
        other = ask(kitchen, "SELECT 1", user=postgresql.OWNER)
        assert other.returncode
        assert "pg_hba.conf rejects connection" in other.stderr


def test_the_login_reads_all_rows_of_others_and_is_no_superuser(room, copies):
    kitchen = cook(room, copies["base"], "kitchen-reader")
    single, serve = kitchen.recipe.steps
    assert kitchen.run(single).returncode == 0
    with kitchen.running(serve, lambda: ask(kitchen, serve.ready.query).stdout.strip() == "t"):
        assert ask(kitchen, "SELECT count(*) FROM words").stdout == "1\n"
        # Its other settings stay; the library that is nowhere is not asked for.
        assert ask(kitchen, "SHOW work_mem", database="odd").stdout == "5MB\n"
        assert "must be superuser" in ask(kitchen, "COPY words TO PROGRAM 'cat'").stderr


def test_a_sandbox_may_be_written(room, copies):
    kitchen = cook(room, copies["killed"], "kitchen-sandbox", read_only=False)
    single, serve = kitchen.recipe.steps
    assert kitchen.recipe.read_only_by == ""
    assert kitchen.run(single).returncode == 0
    with kitchen.running(serve, lambda: ask(kitchen, serve.ready.query).stdout.strip() == "f"):
        assert ask(kitchen, "DELETE FROM words RETURNING id").stdout.startswith("1\n2\n")
