"""PostgreSQL 9.6 to 17, before and after each change of its API: copies under load, and dumps."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote import streams, wire
from servers.remote.producers import postgresql as producers
from tests.lab import postgresql_releases
from tests.support import postgresql
from tests.support.postgresql import DEBIAN, Cluster, Release
from tests.support.postgresql_copy import (
    Copy,
    backup_ended,
    check_ledger,
    extract,
    feed,
    fill,
    newest,
    restored,
    writing,
)

pytestmark = pytest.mark.lab

ALL = sorted([*postgresql_releases.VERSIONS, DEBIAN.major], key=float)


@pytest.fixture(scope="module", params=ALL)
def release(request) -> Release:
    return DEBIAN if request.param == DEBIAN.major else postgresql_releases.release(request.param)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every account can walk through."""
    path = Path(tempfile.mkdtemp(prefix="phpborg-place-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def cluster(release, place) -> Iterator[Cluster]:
    options = () if release.major != "9.6" else ("-c", "wal_level=replica", "-c", "max_wal_senders=2")
    with postgresql.running(place / "data dir", place / "run", release=release, options=options) as made:
        fill(made)
        yield made


def test_a_copy_under_load_starts_again(cluster, release, place):
    with writing(cluster, place):
        least = newest(cluster)
        copy = Copy(feed(cluster, uuid.uuid4().hex), place / "tar")
        most = newest(cluster)
    assert (copy.code, copy.said) == (0, "")
    assert backup_ended(cluster)
    extract(place / "tar", place / "out")
    with restored(cluster, place / "out", place, release) as again:
        check_ledger(again, least, most)
        assert again.sql("SELECT pg_is_in_recovery()") == "f"


def test_a_dump_comes_back_or_the_client_is_named(cluster, release, place):
    """Debian's client knows every older server; with a newer one both versions are named before anything starts."""
    row = {**cluster.where, "database": "shop"}
    if float(release.major) > float(DEBIAN.major):
        said = f"pg_dump is of version {DEBIAN.major}\\.[0-9]+, the server of version {release.major}: install"
        with pytest.raises(wire.Refused, match=said):
            producers.pg_dump(row, {})
        return
    cluster.sql("INSERT INTO ledger SELECT n, n::bigint * (n + 1) / 2 FROM generate_series(1, 1000) n", "shop")
    producer = producers.pg_dump(row, {})
    with streams.Said() as said:
        child = streams.begin(producer, said.descriptor)
        text = child.stdout.read().decode()
        child.stdout.close()
        assert (child.wait(), said.text()) == (0, "")
    assert producer.trailer.decode() in text
    cluster.sql("CREATE DATABASE fresh")
    cluster.sql(text, "fresh")
    rows = "SELECT count(*), sum(total) FROM ledger"
    assert cluster.sql(rows, "fresh") == cluster.sql(rows, "shop")
