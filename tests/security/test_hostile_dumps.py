"""A dump may be written by an attacker: what it says besides its tables and roles is not carried out."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote.loaders.base import Failed
from servers.remote.loaders.postgresql import Server
from servers.remote.loaders.postgresql_globals import pg_globals
from servers.remote.loaders.postgresql_restricted import Restricted
from servers.remote.producers import postgresql as tools
from tests.support import postgresql

pytestmark = pytest.mark.real
END = b"\n-- PostgreSQL database cluster dump complete\n"
# Each would make `mallory`, who is there, a superuser (or run a program), past a filter that reads less than psql.
ROLE_TRICKS = [
    rb"COMMENT ON ROLE newcomer IS E'\'; ALTER ROLE mallory SUPERUSER; --';",
    rb"COMMENT ON ROLE newcomer IS '\'; ALTER ROLE mallory SUPERUSER; --';",
    b"CREATE ROLE newcomer; /* ' */ ALTER ROLE mallory SUPERUSER; -- ';",
    b"COMMENT ON ROLE newcomer /* ' */ IS 'x'; ALTER ROLE mallory SUPERUSER; -- ';\n",
    b"COMMENT ON ROLE newcomer IS $$'$$; ALTER ROLE mallory SUPERUSER; --';",
    b"CREATE ROLE newcomer -- '\n; ALTER ROLE mallory SUPERUSER; --';",
    b"GRANT pg_execute_server_program TO newcomer, mallory;",
    b"CREATE ROLE newcomer SUPERUSER ROLE mallory;",
    b"CREATE ROLE newcomer ADMIN mallory;",
    b"ALTER ROLE newcomer RENAME TO mallory;",
    b"SET ROLE mallory;",
    b"SET standard_conforming_strings = off;",
    b"SELECT pg_catalog.set_config('x.y', 'z', false), pg_reload_conf();",
    b"SECURITY LABEL FOR x ON TABLE t IS ' ON ROLE newcomer '; ALTER ROLE mallory SUPERUSER;",
    b"GRANT SET ON PARAMETER work_mem TO newcomer, mallory;",
    rb"CREATE ROLE newcomer; \! touch {mark}",
    b"\\! touch {mark}\n",
    b"CREATE ROLE newcomer \\g | touch {mark}\n;",
    rb"COMMENT ON ROLE newcomer IS U&'\0027; ALTER ROLE mallory SUPERUSER';",
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgresql.Cluster]:
    with tempfile.TemporaryDirectory(prefix="pb-hostile-") as name:
        place = Path(name)
        place.chmod(0o755)
        with postgresql.running(place / "data", place / "run") as made:
            made.sql("CREATE ROLE mallory")
            yield made


@pytest.fixture
def mark() -> Iterator[Path]:
    """A file that a command of the dump would make, in a directory that everybody may write."""
    with tempfile.TemporaryDirectory(prefix="pb-mark-") as name:
        Path(name).chmod(0o777)
        yield Path(name) / "mark"


def state(cluster: postgresql.Cluster) -> str:
    return cluster.sql(
        "SELECT rolname, rolsuper FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1; "
        "SELECT roleid::regrole, member::regrole FROM pg_auth_members ORDER BY 1, 2; SELECT * FROM pg_parameter_acl"
    )


@pytest.mark.parametrize("trick", ROLE_TRICKS)
def test_a_dump_of_roles_changes_no_role_that_is_there(cluster, mark, trick):
    before = state(cluster)
    loader = pg_globals(cluster.where, {}, "t" * 16)
    content = b"CREATE ROLE newcomer;\n" if b"CREATE ROLE newcomer" not in trick else b""
    loader.census.add(content + trick.replace(b"{mark}", str(mark).encode()) + END)
    with pytest.raises(Failed) as failed:
        loader.carry_out()
    assert "dump of roles" in str(failed.value) or "not about roles" in str(failed.value)
    assert state(cluster) == before
    assert not mark.exists()


def test_what_pg_dumpall_writes_is_understood(cluster):
    """All shapes of one: settings, members, passwords, comments with quotes and backslashes, odd names."""
    with tempfile.TemporaryDirectory(prefix="pb-fresh-") as name:
        place = Path(name)
        place.chmod(0o755)
        with postgresql.running(place / "data", place / "run") as source:
            source.sql("CREATE ROLE \"o'd;d\"\"\\\" LOGIN PASSWORD 'x' CONNECTION LIMIT 3 VALID UNTIL '2030-01-01'")
            source.sql("CREATE ROLE a; CREATE ROLE b CREATEDB REPLICATION BYPASSRLS; GRANT a TO b WITH ADMIN OPTION")
            source.sql("COMMENT ON ROLE a IS E'it''s \\\\ ; -- /* $$\\nend'")
            source.sql("ALTER ROLE a SET search_path TO \"$user\", 'odd one'; ALTER ROLE a SET work_mem = '5MB'")
            source.sql("ALTER ROLE a IN DATABASE postgres SET my.setting TO 'c:\\x'")
            source.sql("GRANT SET ON PARAMETER work_mem TO a; GRANT ALTER SYSTEM ON PARAMETER my.thing TO b")
            way = tools.pg_globals(source.where, {})
            dump = postgresql.as_owner(["pg_dumpall", *way.argv[2:]]).stdout.encode()
            wanted = postgresql.as_owner(["pg_dumpall", "--roles-only", *way.argv[2:-2]]).stdout
        with postgresql.running(place / "other", place / "other-run") as fresh:
            loader = pg_globals(fresh.where, {}, "t" * 16)
            loader.census.add(dump)
            loader.carry_out()
            assert loader.finish()["roles"] == 3
            got = tools.pg_globals(fresh.where, {})
            found = postgresql.as_owner(["pg_dumpall", "--roles-only", *got.argv[2:-2]]).stdout
            assert "CONNECTION LIMIT 3" in found
            told = [[line for line in text.splitlines() if "restrict" not in line] for text in (wanted, found)]
            assert told[0] == told[1]


def test_the_tool_is_the_one_that_would_obey(cluster, mark):
    """Without our care psql does run what a dump names: the tests above are of a real danger."""
    words = ["psql", "-X", "-h", str(cluster.sockets), "-p", str(cluster.port), "-d", "postgres"]
    ended: subprocess.CompletedProcess[str] = postgresql.as_owner(words, stdin=f"\\! touch {mark}\n")
    assert ended.returncode == 0
    assert mark.exists()


@pytest.mark.parametrize(
    "trick",
    [
        b"\\! touch {mark}\n",
        b"SELECT 1 \\! touch {mark}\n;\n",
        b"\\copy (SELECT 1) TO PROGRAM 'touch {mark}'\n",
        b"\\o |touch {mark}\nSELECT 1;\n",
        b"\\unrestrict guessed\n\\! touch {mark}\n",
        b"--\n\n\\restrict guessed\n\n\\unrestrict guessed\n\\! touch {mark}\n",
        b"-- Data for Name: t; Type: TABLE DATA; Schema: public\n--x FROM stdin;\n\\! touch {mark}\n",
    ],
)
def test_a_plain_dump_runs_no_program(cluster, mark, trick):
    server = Server(cluster.where, {})
    restricted = Restricted(server.ask)
    text = trick.replace(b"{mark}", str(mark).encode())
    with pytest.raises(Failed) as failed:
        server.ask((restricted.passed(text, False) + restricted.passed(b"", True)).decode())
    assert "restrict" in str(failed.value)
    assert not mark.exists()


@pytest.mark.parametrize("size", [1, 7, 5000, 100000])
def test_the_two_lines_of_a_new_pg_dump_are_comments(cluster, size):
    server = Server(cluster.where, {})
    words = ["pg_dump", "-h", str(cluster.sockets), "-p", str(cluster.port), "template1"]
    dump = postgresql.as_owner(words).stdout.encode()
    assert b"\n\\restrict " in dump
    restricted = Restricted(server.ask)
    read = b"".join(restricted.passed(dump[at : at + size], False) for at in range(0, len(dump), size))
    read += restricted.passed(b"", True)
    assert (read.count(b"\\restrict"), read.count(b"\\unrestrict")) == (1, 0)
    assert len(read) == len(dump) + read.index(b"\n") + 1
    server.ask(read.decode(), "template1")


def test_a_psql_that_cannot_be_kept_from_it_loads_nothing():
    def old(text: str) -> str:
        raise Failed("psql: error: invalid command \\restrict")

    with pytest.raises(Failed, match="too old"):
        Restricted(old)
