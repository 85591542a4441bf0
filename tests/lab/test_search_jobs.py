"""Elasticsearch by its own snapshots through the product: a job under writes, put back, restored as the page says.

The node is OpenSearch's. Every command that the page of the restore shows is carried out as it is written there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive, Repository
from phpborg.tasks.models import Task
from recovery.models import Restore
from recovery.services import physical, restores
from recovery.services.next_commands import Command
from servers.models import Server
from tests.backups.conftest import RunJob, local_server, pool, real_repository, run_job
from tests.lab.opensearch import ACCOUNT, running_node
from tests.lab.test_database_jobs import proven
from tests.lab.test_elasticsearch import checksum, fill, writes
from tests.lab.test_search_on_btrfs import job_of

__all__ = ["local_server", "pool", "real_repository", "run_job"]
pytestmark = pytest.mark.lab
Run = Callable[..., list[Task]]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the archive is put; the node's account may pass through it."""
    path = Path(tempfile.mkdtemp(prefix="pb search é-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def put_back(archive: Archive, row: Server, target: Path, run_pending: Run) -> list[Command]:
    """The directories of the archive restored by the product; what the page shows next."""
    made, task = restores.create_and_start(
        archive=archive,
        server=row,
        selection=physical.tokens(archive),
        destination="other_path",
        target_path=str(target),
        conflict="keep",
    )
    run_pending()
    task.refresh_from_db()
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail)
    return physical.commands_after(made, restores.plan_of(Restore.objects.get(pk=made.pk)))


def carried_out(commands: list[Command], change: Callable[[str], str]) -> list[Any]:
    """Each command of the page as it is shown, with this change of its line; the JSON values that curl answered."""
    answers = []
    for command in commands:
        if not command.argv:
            continue
        ended = subprocess.run(["sh", "-c", change(command.line)], capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, (command.line, ended.stderr)
        if command.argv[0] == "curl":
            answers.append(json.loads(ended.stdout))
            assert "error" not in answers[-1], (command.line, answers[-1])
    return answers


def test_a_fresh_node_answers_after_the_commands_that_the_page_shows(
    local_server: Server, real_repository: Repository, run_job: RunJob, run_pending: Run, place: Path
) -> None:
    with running_node("jobs") as node:
        items = fill(node, "items", 2000, shards=3)
        node.ask("POST", "/_aliases", {"actions": [{"add": {"index": "items", "alias": "goods"}}]})
        with writes(node, "orders") as done:
            before = len(done)
            archive = proven(run_job(job_of(local_server, real_repository, node, "api")))
            after = len(done) + 1
        said = archive.backup_config["database"]
        assert (said["engine"], said["method"], said["consistency"]) == ("elasticsearch", "api", "physical-consistent")
        assert (said["facts"]["flavour"], said["facts"]["url"]) == ("opensearch", node.url)
        assert archive.backup_config["frozen"]["indices"] == 2
        # Nothing of ours stays on the node.
        assert (node.ask("GET", "/_snapshot"), list(node.repositories.iterdir())) == ({}, [])
        old = node.url
        commands = put_back(archive, local_server, place / "put back", run_pending)
    chosen, told = [command.sentence for command in commands if not command.argv]
    assert ACCOUNT in chosen
    (repository,) = [Path(command.argv[-1]) for command in commands if command.argv[-3:-1] == ("chmod", "0750")]
    assert str(repository) in told
    assert repository.is_relative_to(place)
    for folder in repository.parents:
        if folder.is_relative_to(place):
            folder.chmod(0o755)
    # What the page says without a command: path.repo, and a start.
    with running_node("fresh", repositories=(repository,)) as fresh:

        def told_to(line: str) -> str:
            """Its address, and the account that was to be chosen."""
            return line.replace(old, fresh.url).replace("ACCOUNT", ACCOUNT)

        registered, listed, restored = carried_out(commands, told_to)
        assert registered == {"acknowledged": True}
        assert [row["state"] for row in listed["snapshots"]] == ["SUCCESS"]
        assert restored["snapshot"]["shards"]["failed"] == 0
        assert checksum(fresh.documents("items")) == checksum(items)
        assert list(fresh.ask("GET", "/_alias/goods")) == ["items"]
        orders = fresh.documents("orders")
        assert orders == {str(n): {"n": n} for n in range(len(orders))}
        assert before <= len(orders) <= after
        # The same once more, after somebody has deleted an index.
        fresh.ask("DELETE", "/items,orders")
        carried_out(commands[-1:], told_to)
        assert checksum(fresh.documents("items")) == checksum(items)
