"""A Docker engine for the databases of proofs, and archives of data directories, good and damaged."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups.models import BackupJob
from phpborg.mounts import mounts_below
from phpborg.tasks.models import Lease
from tests.lab.engine import Engine, running_engine
from tests.support import mariadb, postgresql
from tests.support.archives import Storage, storage

__all__ = ["storage"]
ROWS = 5_000


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    with running_engine() as one:
        yield one


# So much of a table's file is left, in whole pages of its server: less than its rows fill.
LEFT = {"pg": 50 * 8192, "my": 30 * 16384}


@pytest.fixture(scope="package")
def data() -> Iterator[Path]:
    """`pg` and `my`: clusters that were shut down; `pg-cut` and `my-cut`: the same, one table's file cut off."""
    place = Path(tempfile.mkdtemp(prefix="phpborg-proofs-"))
    place.chmod(0o755)
    with postgresql.running(place / "pg", place / "s") as cluster:
        cluster.sql(
            f"CREATE TABLE kettle AS SELECT i AS id, repeat('tea', 50) AS text FROM generate_series(1, {ROWS}) i;"
            "ALTER TABLE kettle ADD PRIMARY KEY (id)"
        )
        table = cluster.sql("SELECT pg_relation_filepath('kettle')")
    with mariadb.running(place / "my", place / "m") as server:
        server.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE kettle (id INT PRIMARY KEY, text VARCHAR(200));"
            f"INSERT INTO kettle SELECT seq, REPEAT('tea', 50) FROM seq_1_to_{ROWS}"
        )
        # Clean, so that no log makes up for what is missing.
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)
    for name, file in (("pg", table), ("my", "shop/kettle.ibd")):
        shutil.copytree(place / name, place / f"{name}-cut", symlinks=True)
        owner = (place / name).stat()
        for path in [place / f"{name}-cut", *(place / f"{name}-cut").rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
        assert (place / name / file).stat().st_size > LEFT[name]
        os.truncate(place / f"{name}-cut" / file, LEFT[name])
    yield place
    shutil.rmtree(place)


def nothing_is_left(storage: Storage) -> bool:
    """No lease, no view, and nothing of the sessions that were begun: others may run on this machine."""
    tokens = [lease.data["token"] for lease in Lease.objects.filter(kind="instant_session")]
    places = [Path("/var/lib/phpborg/instant") / token for token in tokens]
    views = list((Path(storage.pool.path) / ".views").iterdir())
    left = [place for place in places if place.exists() or mounts_below(place)]
    return not (Lease.objects.held().exists() or views or left)


@pytest.fixture
def job(storage: Storage) -> BackupJob:
    """What the archives of a test belong to."""
    return BackupJob.objects.create(
        name="nightly", slug="nightly", server=storage.server, repository=storage.repository
    )
