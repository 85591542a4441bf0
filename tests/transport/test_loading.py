"""Dumps of an archive into running servers, through the helper: all of it or nothing, and what is there is compared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote.loaders.postgresql import SqlCensus
from servers.remote.loaders.postgresql_globals import statements
from servers.transport.tunnel import link
from tests.support import postgresql
from tests.support.postgresql import Cluster
from tests.support.sshd import descendants, processes_with, wait_until
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real

ODD = ["weird-db name", "a$b;c", "-x", "../up", 'it\'s \\ "=x" é']
ROWS = "SELECT count(*), sum(hashtext(h)) FROM t"
by_sudo = pytest.mark.parametrize("host", ["sudo"], indirect=True)

_SHOP = r"""
CREATE EXTENSION pg_trgm;
CREATE SCHEMA "odd schema";
CREATE TABLE t AS SELECT i, md5(i::text) AS h FROM generate_series(1, 20000) i;
CREATE TABLE "odd schema"."ta""ble" (a text, b bytea);
INSERT INTO "odd schema"."ta""ble" VALUES
  (E'\\.\nCOPY x FROM stdin;\n-- Name: x; Type: TABLE; Schema: y', '\x00ff'), ('naïve 😀', NULL);
CREATE TABLE part (d date) PARTITION BY RANGE (d);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO part VALUES ('2026-02-03');
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS $$
  -- COPY x FROM stdin;
  SELECT i * 2 $$;
CREATE VIEW seen AS SELECT h FROM t;
GRANT SELECT ON seen TO reader;
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server with a database that has all kinds of things, and some of awkward names."""
    with tempfile.TemporaryDirectory(prefix="phpborg-pg-") as name:
        place = Path(name)
        place.chmod(0o755)
        with postgresql.running(place / "data dir", place / "run") as made:
            made.sql(
                "CREATE ROLE shop LOGIN PASSWORD 'se''cret'; CREATE ROLE reader;"
                'CREATE ROLE "Odd; role" IN ROLE reader;'
            )
            made.sql("COMMENT ON ROLE reader IS E'a; b\\n\\\\connect ''x'''; CREATE DATABASE shop OWNER shop;")
            made.sql(_SHOP, "shop")
            made.sql(
                "ALTER DATABASE shop SET search_path TO \"odd schema\", public; COMMENT ON DATABASE shop IS 'it''s';"
            )
            made.sql("ALTER ROLE reader IN DATABASE shop SET work_mem TO '5MB';")
            made.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO reader;")
            for odd in ODD:
                made.sql('CREATE DATABASE "{}"'.format(odd.replace('"', '""')))
            yield made


@pytest.fixture
def archive(host, repository, token, cluster) -> None:
    """An archive "one" of all of it."""
    streams = [{"name": "pg/globals.sql", "producer": "pg_globals", **cluster.where}]
    for number, database in enumerate(["shop", *ODD]):
        row = {"database": database, **cluster.where}
        streams.append({"name": f"pg/{number}.sql", "producer": "pg_dump", **row})
        streams.append({"name": f"pg/{number}.json", "producer": "pg_properties", **row})
    with link(host, str(repository), mode="tunnel", token=token) as way:
        asked = {"argv": ["create", "--json", "--log-json", way.location("one")], "token": token, "streams": streams}
        ended = host.run("borg", asked, secrets={"passphrase": PASSPHRASE}, link=way)
    assert ended.exit.code == 0, ended.exit.stderr_tail


@pytest.fixture
def borg(repository, place):
    """Borg on this host, with the repository's passphrase."""

    def run(*words: str, data: bytes | None = None) -> bytes:
        env = {
            **os.environ,
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_BASE_DIR": str(place / "borg-base"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        return subprocess.run(["borg", *words], env=env, check=True, capture_output=True, input=data).stdout

    return run


@pytest.fixture
def load(host, repository, token):
    """Load a file of an archive; the helper's answer."""

    def run(name: str, archive: str = "one", **into: object) -> dict[str, Any]:
        short = token[:16]
        with link(host, str(repository), mode="tunnel", token=token) as way:
            argv = ["extract", "--stdout", way.location(archive), f"pp:{name}"]
            args = {"argv": argv, "token": short, "into": into}
            ended = host.run("load", args, secrets={"passphrase": PASSPHRASE}, link=way)
        answer = json.loads(ended.exit.stdout)
        assert (ended.exit.code == 0) == answer["loaded"], ended.exit.stderr_tail
        return answer

    return run


def names(cluster: Cluster) -> str:
    return cluster.sql("SELECT string_agg(datname, E'\\n' ORDER BY datname) FROM pg_database WHERE NOT datistemplate")


def test_everything_comes_back_into_a_fresh_server(cluster, archive, load, borg, repository, place):
    with postgresql.running(place / "fresh", place / "fresh-run") as fresh:
        into = {**fresh.where, "loader": "pg_globals"}
        said = load("pg/globals.sql", **into)
        assert said["loaded"], said
        assert said["facts"]["roles"] == 3
        assert said["notes"] == ["the role “postgres” was there and stays as it is"]
        for number, database in enumerate(["shop", *ODD]):
            known = json.loads(borg("extract", "--stdout", f"{repository}::one", f"pp:pg/{number}.json"))
            into = {**fresh.where, "loader": "pg_database", "as": database, "properties": known}
            said = load(f"pg/{number}.sql", **into)
            assert (said["loaded"], said["notes"]) == (True, []), said
            if number == 0:
                assert (said["facts"]["tables"], said["facts"]["rows"]) == (4, 20003)
        assert names(fresh) == names(cluster)
        for question in (
            ROWS.replace("FROM t", "FROM public.t"),
            'SELECT * FROM "odd schema"."ta""ble"',
            "SELECT * FROM public.part",
            "SELECT public.twice(21), current_setting('search_path')",
            "SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension",
            "SELECT relacl::text FROM pg_class WHERE relname = 'seen'",
            "SELECT pg_get_userbyid(datdba), datacl::text, datcollate, shobj_description(oid, 'pg_database') "
            "FROM pg_database WHERE datname = 'shop'",
            "SELECT rolname, rolpassword, shobj_description(oid, 'pg_authid') FROM pg_authid ORDER BY 1",
            "SELECT roleid::regrole, member::regrole FROM pg_auth_members WHERE roleid = 'reader'::regrole",
            "SELECT setrole::regrole, setconfig FROM pg_db_role_setting ORDER BY 2",
        ):
            assert fresh.sql(question, "shop") == cluster.sql(question, "shop"), question


@by_sudo
def test_a_database_is_replaced_only_when_that_is_said_and_under_the_feet_of_who_is_in_it(archive, load, place):
    with postgresql.running(place / "fresh", place / "fresh-run") as fresh:
        fresh.sql("CREATE ROLE shop; CREATE ROLE reader; CREATE DATABASE shop")
        fresh.sql("CREATE TABLE old AS SELECT 1 AS one", "shop")
        into = {**fresh.where, "loader": "pg_database", "as": "shop"}
        with pytest.raises(errors.RemoteFailed, match="there is a database “shop” already"):
            load("pg/0.sql", **into)
        words = [
            "psql",
            "-XAt",
            "-h",
            str(fresh.sockets),
            "-p",
            str(fresh.port),
            "-d",
            "shop",
            "-c",
            "SELECT pg_sleep(60)",
        ]
        guest = subprocess.Popen(
            ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *words],
            stderr=subprocess.PIPE,
            cwd="/",
        )
        said = load("pg/0.sql", **into, replace=True)
        assert said["loaded"], said
        assert b"terminating connection" in guest.communicate(timeout=20)[1]
        assert fresh.sql(ROWS, "shop").startswith("20000|")
        assert fresh.sql("SELECT to_regclass('old') IS NULL", "shop") == "t"
        assert names(fresh) == "postgres\nshop"
        said = load("pg/0.sql", **{**into, "as": "shop of yesterday"})
        assert said["loaded"], said
        assert names(fresh) == "postgres\nshop\nshop of yesterday"


@by_sudo
@pytest.mark.parametrize("damage", ["cut", "row", "sql"])
def test_a_dump_that_is_not_whole_leaves_the_old_database_as_it_was(archive, load, borg, repository, place, damage):
    text = borg("extract", "--stdout", f"{repository}::one", "pp:pg/0.sql")
    middle = len(text) // 2
    broken = {
        "cut": text[:middle],
        "row": text.replace(b"\n17\t", b"\n17\t\\.\n", 1),
        "sql": text.replace(b"CREATE VIEW public.seen", b"CREATE VIEW nowhere.seen"),
    }[damage]
    assert broken != text
    borg("create", "--stdin-name", "pg/0.sql", f"{repository}::two", "-", data=broken)
    with postgresql.running(place / "fresh", place / "fresh-run") as fresh:
        fresh.sql("CREATE ROLE shop; CREATE ROLE reader; CREATE DATABASE shop")
        fresh.sql("CREATE TABLE old AS SELECT 1 AS one", "shop")
        said = load("pg/0.sql", "two", **fresh.where, loader="pg_database", replace=True, **{"as": "shop"})
        assert (said["loaded"], said["untouched"]) == (False, True)
        expected = {"cut": "it is not whole", "row": "rows and 20 arrived", "sql": 'schema "nowhere" does not exist'}
        assert expected[damage] in said["problem"]
        assert fresh.sql("SELECT one FROM old", "shop") == "1"
        assert names(fresh) == "postgres\nshop"


@by_sudo
def test_a_repository_that_is_damaged_leaves_the_old_database_as_it_was(archive, load, repository, place):
    segments = sorted((repository / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    content = bytearray(segments[-1].read_bytes())
    for at in range(2000, len(content), 5000):
        content[at] ^= 0xFF
    segments[-1].write_bytes(content)
    with postgresql.running(place / "fresh", place / "fresh-run") as fresh:
        fresh.sql("CREATE ROLE shop; CREATE ROLE reader; CREATE DATABASE shop")
        fresh.sql("CREATE TABLE old AS SELECT 1 AS one", "shop")
        said = load("pg/0.sql", **fresh.where, loader="pg_database", replace=True, **{"as": "shop"})
        assert (said["loaded"], said["untouched"]) == (False, True)
        assert "could not be read to its end" in said["problem"]
        assert fresh.sql("SELECT one FROM old", "shop") == "1"
        assert names(fresh) == "postgres\nshop"


@by_sudo
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_load_that_is_ended_in_the_middle_leaves_nothing(
    lab, sshd, host, archive, borg, repository, place, token, end
):
    text = borg("extract", "--stdout", f"{repository}::one", "pp:pg/0.sql")
    slow = text.replace(b"CREATE VIEW public.seen", b"SELECT pg_sleep(300);\nCREATE VIEW public.seen")
    borg("create", "--stdin-name", "pg/0.sql", f"{repository}::two", "-", data=slow)
    with postgresql.running(place / "fresh", place / "fresh-run") as fresh:
        fresh.sql("CREATE ROLE shop; CREATE ROLE reader; CREATE DATABASE shop")
        into = {**fresh.where, "loader": "pg_database", "as": "shop", "replace": True}
        ended: list[Any] = []
        stop = threading.Event()

        def work() -> None:
            with link(host, str(repository), mode="tunnel", token=token) as way:
                argv = ["extract", "--stdout", way.location("two"), "pp:pg/0.sql"]
                args = {"argv": argv, "token": token, "into": into}
                try:
                    ended.append(host.run("load", args, secrets={"passphrase": PASSPHRASE}, link=way, stop=stop))
                except Exception as error:
                    ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'phpborg-%' AND wait_event = 'PgSleep'"
        wait_until(lambda: fresh.sql(sleeping) == "1", 60, "it is not loading")
        psql = [pid for pid in sshd.children() if b"psql\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(psql) == 1
        if end == "stop":
            stop.set()
        else:
            helpers = [pid for pid in sshd.children() if b"phpborg-remote" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            (helper,) = [pid for pid in helpers if psql[0] in descendants(pid) and not _is_sudo(pid)]
            os.kill(helper, signal.SIGKILL)
        thread.join(60)
        wait_until(lambda: not Path(f"/proc/{psql[0]}").exists(), 30, "psql is left")
        wait_until(lambda: not processes_with(str(repository)), 30, "processes are left")
        assert not (repository / "lock.exclusive").exists()
        if end == "kill":
            assert isinstance(ended[0], errors.ConnectionLost)
            assert "phpborg-" in names(fresh)
            said = host.call("load", {"action": "clean", "token": token, "into": into})
            assert len(said["removed"]) == 1
        assert names(fresh) == "postgres\nshop"
        assert host.call("load", {"action": "clean", "token": token, "into": into}) == {"removed": []}
    assert not list(Path("/var/lib/phpborg/borg").glob(f"restore-{token}*"))


def _is_sudo(pid: int) -> bool:
    return b"sudo" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]


def test_tables_and_rows_are_counted_however_the_dump_is_cut_into_pieces():
    text = (
        b"--\n-- Name: t; Type: TABLE; Schema: public; Owner: x\n--\n\nCREATE TABLE public.t (a text);\n\n"
        b"--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: x\n--\n\nCOPY public.t (a) FROM stdin;\n"
        b"one\n-- Name: t; Type: TABLE; Schema: public\n\\\\.\n\\.\n\n"
        b"--\n-- Data for Name: u; Type: TABLE DATA; Schema: public; Owner: x\n--\n\n"
        b"COPY public.u (a) FROM stdin;\n\\.\n"
        b"COPY is a word FROM stdin;\n-- Name: u; Type: TABLE; Schema: public; Owner: x\n"
        b"--\n-- PostgreSQL database dump complete\n--\n"
    )
    for size in (1, 2, 3, 7, 50, len(text)):
        census = SqlCensus()
        for at in range(0, len(text), size):
            census.add(text[at : at + size])
        census.judge()
        assert (census.tables, census.rows, census.bytes) == (2, 3, len(text)), size


def test_statements_of_roles_are_told_apart():
    text = b"""-- a; comment
\\restrict abc
SET x = on;
CREATE ROLE "a;""b";
COMMENT ON ROLE c IS E'it''s; \\\\n
--not a comment';
GRANT a TO b GRANTED BY c;
"""
    assert list(statements(text)) == [
        b"SET x = on;",
        b'CREATE ROLE "a;""b";',
        b"COMMENT ON ROLE c IS E'it''s; \\\\n\n--not a comment';",
        b"GRANT a TO b GRANTED BY c;",
    ]
