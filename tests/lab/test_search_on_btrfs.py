"""A node's volume frozen while documents are written: another node starts from what the archive holds.

The node is OpenSearch's; its job runs as a worker carries it out, its two directories lie on a btrfs.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backups.models import BackupJob, Repository
from backups.services import jobs, repositories
from backups.services.jobs import JobDefinition
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Lease
from servers.capabilities.report import parse
from servers.models import Server
from servers.services.reach import host_for
from tests.backups.conftest import RunJob, archive_of, local_server, pool, real_repository, run_job
from tests.lab.loops import Place
from tests.lab.opensearch import Node, running_node
from tests.lab.test_elasticsearch import checksum, fill, writes

__all__ = ["local_server", "pool", "real_repository", "run_job"]
pytestmark = pytest.mark.lab


@pytest.fixture
def node(btrfs_place: Place) -> Iterator[Node]:
    """A node with two directories on one subvolume."""
    with running_node("frozen", (btrfs_place.subvolume / "one", btrfs_place.subvolume / "two")) as running:
        yield running


@pytest.fixture
def out() -> Iterator[Path]:
    """A directory that the node's account may pass through."""
    path = Path(tempfile.mkdtemp(prefix="pb-search-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def job_of(server: Server, repository: Repository, node: Node, method: str) -> BackupJob:
    """A job of this node, as the product itself has found it."""
    report = parse(host_for(server).call("capabilities", {"only": ["elasticsearch"], "size_seconds": 0}, timeout=60))
    assert report.elasticsearch
    (found,) = [one for one in report.elasticsearch.nodes if one.url == node.url]
    assert sorted(str(place.path) for place in found.data) == sorted(map(str, node.data))
    source: dict[str, Any] = {"instance": found.id, "method": method, "config_files": True, "login": "auto"}
    definition = JobDefinition(
        name="search", server=server, repository=repository, source=source, source_kind="elasticsearch"
    )
    return jobs.create_job(definition=definition)


def subvolumes(place: Place) -> list[str]:
    return sorted(path.name for path in place.path.iterdir())


def test_another_node_starts_from_the_frozen_volume(
    btrfs_place: Place, node: Node, local_server: Server, real_repository: Repository, run_job: RunJob, out: Path
) -> None:
    items = fill(node, "items", 2000, shards=3)
    node.ask("POST", "/_aliases", {"actions": [{"add": {"index": "items", "alias": "goods"}}]})
    job, there = job_of(local_server, real_repository, node, "snapshot"), subvolumes(btrfs_place)
    with writes(node, "orders") as done:
        before = len(done)
        task = run_job(job)
        after = len(done)
    assert task.state in ("success", "notes"), (task.error_code, task.error_detail, log_path(task).read_text()[-4000:])
    assert not Lease.objects.held().exists()
    assert subvolumes(btrfs_place) == there
    archive = archive_of(task)
    said = archive.backup_config["database"]
    assert (said["consistency"], said["method"]) == ("crash-consistent", "snapshot")
    assert said["facts"]["flavour"] == "opensearch"
    # It writes on as before.
    node.ask("PUT", "/items/_doc/later", {"n": -1})

    repositories.borg_of(archive.repository).extract(archive.name, None, out)
    data = tuple(out / str(path).lstrip("/") for path in node.data)
    assert not [path for place in data for path in place.rglob("node.lock")], "the lock of a living node"
    for folder in {parent for path in data for parent in path.parents if parent.is_relative_to(out)}:
        folder.chmod(0o755)
    with running_node("frozen", data) as again:
        assert checksum(again.documents("items")) == checksum(items)
        assert list(again.ask("GET", "/_alias/goods")) == ["items"]
        orders = again.documents("orders")
    # All that was acknowledged before the run is there, and none is missing in between: one moment.
    assert before <= len(orders) <= after + 1
    assert set(orders) == {str(n) for n in range(len(orders))}
