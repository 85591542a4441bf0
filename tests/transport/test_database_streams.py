"""PostgreSQL's own tools through the helper into an archive, and back into a fresh server."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import errors
from tests.support import postgresql
from tests.support.postgresql import Cluster

pytestmark = pytest.mark.real

ODD = ["weird-db name", "a$b;c", "-x", "../up", 'it\'s \\ "=x" é']


by_sudo = pytest.mark.parametrize("host", ["sudo"], indirect=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server with databases of awkward names, a role and rows."""
    with tempfile.TemporaryDirectory(prefix="phpborg-pg-") as name:
        place = Path(name)
        place.chmod(0o755)
        with postgresql.running(place / "data dir", place / "run") as made:
            made.sql("CREATE ROLE shop LOGIN PASSWORD 'se''cret'; CREATE DATABASE shop OWNER shop;")
            made.sql("CREATE TABLE t AS SELECT i, md5(i::text) AS h FROM generate_series(1, 20000) i;", "shop")
            for odd in ODD:
                made.sql('CREATE DATABASE "{}"'.format(odd.replace('"', '""')))
            yield made


def names(borg, repository) -> list[str]:
    return borg("list", "--short", str(repository)).decode().splitlines()


def test_dumps_of_every_name_come_back(cluster, make, borg, repository, place):
    streams = [{"name": "dump/globals.sql", "producer": "pg_globals", **cluster.where}]
    for number, database in enumerate(["shop", *ODD]):
        streams.append({"name": f"dump/{number}.sql", "producer": "pg_dump", "database": database, **cluster.where})
    ended = make("create", streams=streams)
    assert ended.exit.code == 0, ended.exit.stderr_tail
    with postgresql.running(place / "fresh", place / "fresh-run") as fresh:
        text = borg("extract", "--stdout", f"{repository}::one", "pp:dump/globals.sql").decode()
        fresh.sql(text.replace("CREATE ROLE postgres;", ""))
        for number, database in enumerate(["shop", *ODD]):
            fresh.sql('CREATE DATABASE "{}" TEMPLATE template0'.format(database.replace('"', '""')))
            where = "dbname='{}'".format(database.replace("\\", "\\\\").replace("'", "\\'"))
            fresh.sql(borg("extract", "--stdout", f"{repository}::one", f"pp:dump/{number}.sql").decode(), where)
        listed = "SELECT string_agg(datname, E'\\n' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"
        assert fresh.sql(listed) == cluster.sql(listed)
        rows = "SELECT count(*), sum(hashtext(h)) FROM t"
        assert fresh.sql(rows, "shop") == cluster.sql(rows, "shop")
        roles = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = 'shop'"
        assert fresh.sql(roles) == cluster.sql(roles)


@by_sudo
def test_a_database_that_is_not_there_fails_and_leaves_nothing(cluster, make, borg, repository, token):
    streams = [
        {"name": "a.sql", "producer": "pg_dump", "database": "shop", **cluster.where},
        {"name": "b.sql", "producer": "pg_dump", "database": "no such", **cluster.where},
    ]
    with pytest.raises(errors.StreamFailed, match=r'database "no such" does not exist'):
        make("create", streams=streams)
    assert names(borg, repository) == []
    assert not Path(f"/run/phpborg/streams-{token}").exists()


def test_a_base_backup_starts_again(cluster, make, borg, repository, token, place):
    feed = {"producer": "pg_basebackup", **cluster.where, "token": token, "folder": str(cluster.data)}
    rows = "SELECT count(*), sum(hashtext(h)) FROM t"
    expected = cluster.sql(rows, "shop")
    ended = make("import-tar", "-", feed=feed)
    assert ended.exit.code == 0, ended.exit.stderr_tail
    out = place / "out"
    out.mkdir()
    out.chmod(0o755)
    borg("extract", "--numeric-ids", f"{repository}::one", cwd=out)
    data = out / str(cluster.data)[1:]
    for folder in data.parents:
        if folder.is_relative_to(out):
            folder.chmod(0o755)
    assert data.stat().st_mode & 0o777 == 0o700
    # Every file against the manifest that the server made; the WAL was checked by the start below.
    checked = subprocess.run(
        [postgresql.PROGRAMS / "pg_verifybackup", "--no-parse-wal", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout.strip()) == (0, "backup successfully verified"), checked.stderr
    with postgresql.running(data, place / "again") as again:
        assert again.sql(rows, "shop") == expected


@by_sudo
def test_a_base_backup_that_fails_leaves_nothing(cluster, make, borg, repository, token):
    feed = {"producer": "pg_basebackup", **cluster.where, "port": 1, "token": token, "folder": str(cluster.data)}
    with pytest.raises(errors.StreamFailed, match="No such file"):
        make("import-tar", "-", feed=feed)
    assert names(borg, repository) == []


@by_sudo
def test_a_server_of_another_account_is_not_asked(cluster, make):
    """Who asks may name any socket: the account must be that of the server, and never root."""
    for owner in ("root", "nobody"):
        with pytest.raises(errors.UnsafePath, match="is not the account"):
            make(
                "import-tar",
                "-",
                feed={
                    "producer": "pg_basebackup",
                    **cluster.where,
                    "owner": owner,
                    "token": "x" * 12,
                    "folder": "/srv/x",
                },
            )


@by_sudo
def test_a_second_tablespace_is_refused_by_the_tool_itself(cluster, make, borg, repository, token, place):
    elsewhere = postgresql.give(place / "table space")
    cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{elsewhere}'")
    try:
        with pytest.raises(errors.StreamFailed, match="tablespace"):
            make(
                "import-tar",
                "-",
                feed={"producer": "pg_basebackup", **cluster.where, "token": token, "folder": str(cluster.data)},
            )
        assert names(borg, repository) == []
    finally:
        cluster.sql("DROP TABLESPACE elsewhere")
