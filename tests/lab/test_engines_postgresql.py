"""The recipe of PostgreSQL on clusters of other majors than Debian's: each has its own options and its own standby."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from recovery.engines.base import Hints, Step, Taken
from recovery.engines.place import Place
from recovery.engines.postgresql import Postgresql
from tests.lab.postgresql_releases import VERSIONS, release
from tests.support import postgresql
from tests.support.recipes import Kitchen

pytestmark = pytest.mark.lab

ENGINE = Postgresql()
NAME, PASSWORD = "phpborg_reader", "pass-word-of-the-test"


@pytest.fixture
def room():
    path = Path(tempfile.mkdtemp(prefix="phpborg-engines-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def with_programs(step: Step, place: Path) -> Step:
    return replace(step, programs=(str(place / "postgres"),))


def ask(kitchen: Kitchen, sql: str) -> subprocess.CompletedProcess[str]:
    words = ["psql", "-XAtw", "-v", "ON_ERROR_STOP=1", "-h", str(kitchen.place / "run"), "-U", NAME, "-d", "postgres"]
    env = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
    return subprocess.run([*words, "-f", "-"], input=sql, capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize("major", VERSIONS)
def test_a_cluster_of_this_major_is_served_and_refuses_writes(room, major):
    made, data = release(major), room / "data"
    locale = ("--locale=C",)
    with postgresql.running(data, room / "s", release=made, make=locale) as cluster:
        cluster.sql("CREATE TABLE words (id int PRIMARY KEY); INSERT INTO words VALUES (1)")
        subprocess.run(["cp", "-a", str(data), str(room / "copy")], check=True)
    found = ENGINE.look(Place(room / "copy"), Hints(taken=Taken.FROZEN))
    assert found is not None
    assert (found.version, found.clean, found.facts.control.checked) == (major, False, True)
    recipe = ENGINE.start(found, read_only=True)
    login = ENGINE.login(found, name=NAME, password=PASSWORD, read_only=True)
    kitchen = Kitchen(room / "kitchen", room / "copy", postgresql.OWNER, recipe, login)
    single, serve = (with_programs(step, made.programs) for step in recipe.steps)
    ended = kitchen.run(single)
    assert ended.returncode == 0, ended.stderr
    assert b"ERROR" not in ended.stderr, ended.stderr
    with kitchen.running(serve, lambda: ask(kitchen, serve.ready.query).stdout.strip() == serve.ready.answer):
        assert ask(kitchen, "SELECT id FROM words").stdout == "1\n"
        refused = ask(kitchen, "INSERT INTO words VALUES (2)")
        assert refused.returncode
        # Where a role may read everything it may not write either, so the right is asked for first.
        assert "read-only transaction" in refused.stderr or "permission denied" in refused.stderr
        assert "during recovery" in ask(kitchen, "SET transaction_read_only = off").stderr
