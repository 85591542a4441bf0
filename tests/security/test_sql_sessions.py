"""Who owns a database must not run anything with the rights of the superuser who backs it up or asks in it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote import children
from servers.remote.loaders.postgresql import Server
from servers.remote.loaders.postgresql_sql import TABLES
from servers.remote.producers import postgresql as tools
from servers.remote.producers.pg_session import Session
from servers.remote.streams import Producer
from tests.support import postgresql
from tests.support.postgresql import Cluster

pytestmark = pytest.mark.real
# Found before those of pg_catalog, on a search_path that the owner sets for everybody who comes into the database.
_TRAP = """
CREATE SCHEMA trap;
CREATE TABLE public.t AS SELECT 1 AS n;
CREATE FUNCTION trap.now(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN ALTER ROLE mallory SUPERUSER; RETURN NULL; EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$;
CREATE OPERATOR trap.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = trap.now);
CREATE FUNCTION trap.now(name, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN ALTER ROLE mallory SUPERUSER; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN true; END $$;
CREATE OPERATOR trap.!~~ (LEFTARG = name, RIGHTARG = text, FUNCTION = trap.now);
CREATE FUNCTION trap.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN ALTER ROLE mallory SUPERUSER; RETURN '150000'; EXCEPTION WHEN OTHERS THEN RETURN '150000'; END $$;
GRANT USAGE ON SCHEMA trap TO PUBLIC;
ALTER DATABASE mine SET search_path = trap, pg_catalog;
"""
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A database whose owner waits for the superuser."""
    with tempfile.TemporaryDirectory(prefix="pb-trap-") as name:
        place = Path(name)
        place.chmod(0o755)
        with postgresql.running(place / "data", place / "run") as made:
            made.sql("CREATE ROLE mallory")
            made.sql("CREATE DATABASE mine OWNER mallory")
            made.sql("SET ROLE mallory;" + _TRAP, "mine")
            yield made


def said(producer: Producer) -> str:
    """All that it prints."""
    child = children.start(producer.argv, producer.user, producer.env, 2, pass_fds=producer.fds)
    out, _ = child.communicate(timeout=60)
    children.forget(child.pid)
    assert child.returncode == 0
    return out.decode()


def test_the_trap_is_one(cluster: Cluster) -> None:
    """A session without a search_path of its own falls into it."""
    cluster.sql("SELECT current_setting('server_version_num')", "mine")
    assert cluster.sql(_IS_SUPERUSER) == "t"


def test_no_session_of_ours_runs_what_an_owner_has_put_there(cluster: Cluster) -> None:
    row = {**cluster.where, "database": "mine"}
    assert json.loads(said(tools.pg_properties(row, {})))["owner"] == "mallory"
    assert cluster.sql(_IS_SUPERUSER) == "f"
    assert "CREATE TABLE public.t" in said(tools.pg_dump(row, {}))
    assert "ROLE mallory" in said(tools.pg_globals(cluster.where, {}))
    server = Server(cluster.where, {})
    assert server.ask(TABLES, "mine") == "1"
    way = tools.access(cluster.where, {})
    with Session([*way.argv("psql"), "--dbname=mine"], way.owner, way.env, way.fds) as session:
        assert session.facts().version >= 90600
    assert cluster.sql(_IS_SUPERUSER) == "f"


def test_an_old_dump_still_chooses_where_it_goes(cluster: Cluster) -> None:
    """Until 10.2 a dump named the schema by a search_path and nothing else."""
    cluster.sql("CREATE DATABASE other")
    server = Server(cluster.where, {})
    child = server.psql("other", "--quiet", stderr=subprocess.DEVNULL)
    child.communicate(b"SET search_path = public, pg_catalog;\nCREATE TABLE old (n integer);\n", timeout=60)
    children.forget(child.pid)
    assert child.returncode == 0
    assert cluster.sql("SELECT count(*) FROM public.old", "other") == "0"
