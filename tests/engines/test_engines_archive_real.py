"""Data directories in a real archive, read through a real mount: owners, links, odd names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backups.models import Archive
from phpborg.tasks.models import Task
from recovery.engines.base import Consistency, Hints, Owner, Product, Taken
from recovery.engines.find import find
from recovery.models import BrowseSession
from recovery.services import browse
from recovery.services.found import hints_of
from tests.engines import engine_parts as parts
from tests.support.archives import Storage, storage

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]


@pytest.fixture
def archive(storage: Storage, tmp_path: Path) -> Archive:
    source = tmp_path / "source"
    cluster = parts.cluster(source / "var/lib/postgresql/15/main")
    (cluster / "postmaster.pid").write_text("4711\n")
    (cluster / "pg_tblspc/16400").symlink_to("/srv/fast")
    (source / "srv/fast/PG_15_202209061/5").mkdir(parents=True)
    os.chown(cluster, 4242, 4343)
    cluster.chmod(0o700)
    parts.cluster(Path(os.fsdecode(os.fsencode(source) + b"/srv/caf\xe9")), "13", "13")
    parts.made_mysql(source / "srv/mysql")
    return storage.archive(source, cwd=source, paths=(b".",))


@pytest.fixture
def mount(archive: Archive, run_pending: Callable[..., list[Task]]) -> Iterator[Path]:
    session = browse.open_archive(archive=archive)
    run_pending()
    session.refresh_from_db()
    assert session.state == BrowseSession.State.OPEN
    yield browse.mountpoint_of(session)
    browse.close(session=session)


def test_every_directory_is_found_with_its_owner_and_its_tablespaces(mount: Path, archive: Archive) -> None:
    odd, server, cluster = find(mount, hints_of(archive)).found
    assert (odd.path, odd.version) == (b"srv/caf\xe9", "13")
    assert (server.product, server.version) == (Product.MYSQL, "8.0.36")
    assert cluster.owner == Owner(4242, 4343, 0o700)
    assert cluster.stale == (b"postmaster.pid",)
    assert [(part.wanted, part.path) for part in cluster.parts] == [(b"/srv/fast", b"srv/fast")]
    assert cluster.consistency == Consistency.DOUBTFUL


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"source_kind": "files"}, Hints()),
        ({"source_kind": "files", "frozen": {"kind": "btrfs"}}, Hints(taken=Taken.FROZEN)),
        (
            {
                "database": {
                    "engine": "postgresql",
                    "method": "base_backup",
                    "consistency": "physical-consistent",
                    "included": [{"kind": "data", "name": "x", "path": "var/lib/postgresql/15/main"}],
                }
            },
            Hints((b"var/lib/postgresql/15/main",), Taken.COPIED),
        ),
        ({"database": {"engine": "mysql", "method": "logical", "data_directory": "/var/lib/mysql"}}, Hints()),
        (
            {
                "database": {
                    "engine": "mongodb",
                    "method": "snapshot",
                    "consistency": "crash-consistent",
                    "data_directory": "/d",
                }
            },
            Hints((b"d",), Taken.FROZEN),
        ),
        ({"database": {"engine": "mysql", "method": "live", "consistency": "not-consistent"}}, Hints(taken=Taken.LIVE)),
    ],
)
def test_a_record_is_a_hint(config: dict[str, object], expected: Hints) -> None:
    assert hints_of(Archive(backup_config=config)) == expected
