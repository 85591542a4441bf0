"""What a Docker archive says of itself, and what a run notes: only what is named, whatever a server answers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from backups.models import Archive, BackupJob, Repository
from backups.services import credentials, docker_record, freezing
from backups.services.freezing import Frozen
from backups.services.plan import plan_backup
from backups.sources.base import Freeze, SourceFacts, SourcePlan
from phpborg.accounts.models import User
from phpborg.tasks.registry import Finding
from servers.models import Server
from tests.backups.wizard_parts import ClientOf
from tests.support.docker_reports import docker_report

CANARY = "canary-environment-3d0"
FACTS: dict[str, Any] = {
    "engine": {"version": "24.0", "swarm": False, "compose": {"command": "docker compose", "version": "2.24"},
               "Env": CANARY},
    "actual": {
        "projects": [{"name": "shop", "working_dir": "/srv/shop", "containers": ["shop-db-1"], "environment": CANARY}],
        "containers": [{"name": "shop-db-1", "project": "shop", "state": "running", "image": "db:1",
                        "create": {"Env": [CANARY]}}],
        "volumes": [
            {"name": "shop_data", "driver": "local", "anonymous": False, "project": "shop", "size_bytes": 7,
             "path": "/v/shop_data/_data", "options": {"o": f"password={CANARY}"}},
            {"name": "a" * 64, "driver": "local", "anonymous": True, "path": "/v/a/_data"},
            "no row",
        ],
        "networks": ["shop_default", 3],
        "images": [{"tags": ["db:1"], "size_bytes": 5, "saved": True, "Config": CANARY}],
        "dumps": [{"container": "shop-db-1", "engine": "postgresql", "path": "dumps/x.sql", "bytes": 9,
                   "version": "15"}],
        "binds": [{"source": "/srv/\udcff", "size_bytes": 3}],
        "configs": ["/etc/docker/daemon.json"],
        "environments": CANARY,
    },
    "not_included": [
        {"kind": "volume", "name": "nfs", "reason": "it cannot be mounted"},
        {"kind": "bind", "name": "/run/docker.sock", "reason": "it was not chosen"},
    ],
    "findings": [
        {"kind": "docker", "code": "killed", "name": "shop-db-1", "message": "it did not end within 60 s …"},
        {"kind": "docker_volume_empty", "code": "volume_empty", "name": "a" * 64, "message": "it is used and empty"},
        {"kind": "docker_volume_empty", "code": "volume_empty", "name": "orphan", "message": "it is empty"},
        {"kind": "docker_volume_unread", "code": "volume_unread", "name": "nfs", "message": "it cannot be mounted"},
    ],
    "quiesced": [{"container": "shop-db-1", "how": "stop", "from": "running", "id": "x"}],
    "quiet_seconds": 12.345,
    "name": "phpborg-x",
}  # fmt: skip
PLAN = SourcePlan(left_out=({"kind": "bind", "name": "/run/docker.sock", "reason": "it is a socket"},))


def test_only_what_is_named_is_kept() -> None:
    kept = docker_record.describe(PLAN, FACTS)
    assert CANARY not in json.dumps(kept)
    assert kept["engine"]["compose"] == {"command": "docker compose", "version": "2.24"}
    items = kept["actual_backed_up_items"]
    assert items["projects"] == [{"name": "shop", "working_dir": "/srv/shop", "containers": ["shop-db-1"]}]
    assert [row["name"] for row in items["volumes"]] == ["shop_data", "a" * 64]
    assert (items["networks"], items["images"]) == (
        ["shop_default"],
        [{"tags": ["db:1"], "size_bytes": 5, "saved": True}],
    )
    # Every database takes it.
    assert items["binds"] == [{"source": "/srv/\\xff", "size_bytes": 3}]
    # The plan's own reason says more than the server's.
    assert [(row["name"], row["reason"]) for row in kept["not_included"]] == [
        ("/run/docker.sock", "it is a socket"),
        ("nfs", "it cannot be mounted"),
    ]
    assert kept["quiet_seconds"] == 12.3
    assert docker_record.kept(FACTS) == {"quiet_seconds": 12.345, "name": "phpborg-x"}


@pytest.mark.parametrize(
    ("said", "at_least"), [(40.5, 40.5), (None, 0), ("99", 0), (-5, 0), (True, 0), (float("inf"), 0), (float("nan"), 0)]
)
def test_stops_and_dumps_count_as_kept_still_by_a_fake_server(
    monkeypatch: pytest.MonkeyPatch, said: Any, at_least: float
) -> None:
    class FakeHost:
        def call(self, _verb: str, args: dict[str, Any], **_more: Any) -> Any:
            return {**FACTS, "quiet_seconds": None, "still_seconds": said} if args["action"] == "make" else {}

    monkeypatch.setattr(credentials, "named", lambda _job, arguments: dict(arguments))
    monkeypatch.setattr(credentials, "for_tools", lambda _job: {})
    monkeypatch.setattr(freezing, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    context = MagicMock()
    frozen = Frozen(context, MagicMock(), FakeHost(), Freeze("docker", {}, (), "", ""))  # type: ignore[arg-type]
    frozen.make()
    frozen.remove()
    assert frozen.facts["quiet_seconds"] == at_least
    assert "still_seconds" not in docker_record.kept(frozen.facts)


@pytest.mark.parametrize("said", [{}, {"actual": 1, "engine": [], "not_included": "x", "quiesced": None}])
def test_an_answer_that_says_nothing_is_an_empty_record(said: dict[str, Any]) -> None:
    kept = docker_record.describe(SourcePlan(), said)
    assert kept["actual_backed_up_items"]["volumes"] == []
    assert kept["not_included"] == []
    assert "quiet_seconds" not in kept


def test_what_the_server_tells_becomes_notes_in_our_words() -> None:
    told = docker_record.findings(FACTS["findings"], FACTS["actual"])
    assert told == [
        Finding("docker", "it did not end in time and was killed: its files may be as after a power cut", "shop-db-1"),
        Finding("docker_volume_unread", "it cannot be mounted", "nfs"),
    ]
    assert docker_record.still(FACTS) == {"stop": ["shop-db-1"]}


def test_the_archives_page_shows_the_list_whatever_becomes_of_the_job(
    client_of: ClientOf, diane: User, repository: Repository
) -> None:
    archive = Archive.objects.create(
        repository=repository,
        name="x",
        borg_id="c" * 64,
        started_at=timezone.now(),
        backup_config={"source_kind": "docker", "paths": ["/x"], "docker": docker_record.describe(PLAN, FACTS)},
    )
    page = client_of(diane).get(archive.get_absolute_url()).content.decode()
    for words in (
        "shop_data",
        "its content is not in it",
        "PostgreSQL 15",
        "saved whole",
        "it is a socket",
        "stopped",
        "nfs",
    ):
        assert (words in page) == (words != "its content is not in it"), words


def test_the_jobs_page_says_for_how_long_containers_kept_still(
    client_of: ClientOf, diane: User, repository: Repository, local_server: Server
) -> None:
    create()
    job = BackupJob.objects.get()
    page = client_of(diane)
    assert "The last time they kept still" not in page.get(job.get_absolute_url()).content.decode()
    config = {"docker": docker_record.describe(PLAN, FACTS)}
    made = {"repository": repository, "job": job, "name": "x", "borg_id": "c" * 64, "started_at": timezone.now()}
    Archive.objects.create(**made, backup_config=config)
    assert "The last time they kept still for 12" in page.get(job.get_absolute_url()).content.decode()


# --- the command -----------------------------------------------------------------------------------


def create(*options: str) -> dict[str, Any]:
    words = ("create", "j", "--server", "localhost", "--repository", "repo", "--source", "docker", *options)
    call_command("job", *words)
    return dict(BackupJob.objects.get(name="j").source)


def test_a_job_is_made_by_the_command(repository: Repository, local_server: Server) -> None:
    made = create(
        *("--project", "shop", "--container", "none", "--volume", "data", "--without-bind", "/srv/x", "--save-images"),
        *(
            "--still",
            "pause",
            "--still-container",
            "shop/db=dump",
            "--still-container",
            "a=b=stop",
            "--no-config-files",
        ),
    )
    assert made == {
        "projects": ["shop"],
        "containers": [],
        "volumes": ["data"],
        "binds": None,
        "exclude": {"projects": [], "volumes": [], "binds": ["/srv/x"]},
        "images": "saved",
        "config_files": False,
        "quiesce": {"default": "pause", "containers": {"shop/db": "dump", "a=b": "stop"}},
    }


def test_its_plan_brings_containers_back_before_the_proof(repository: Repository, local_server: Server) -> None:
    create("--still", "stop")
    plan = plan_backup(job=BackupJob.objects.get(), facts=SourceFacts(report=docker_report()))
    codes = [step.code for step in plan.steps]
    assert codes[codes.index("freeze") :] == ["freeze", "link", "create", "thaw", "prove", "sync"]


def test_without_options_it_is_everything(repository: Repository, local_server: Server) -> None:
    made = create()
    assert made["projects"] is made["volumes"] is made["containers"] is made["binds"] is None
    assert made["config_files"] is True


def test_an_option_of_another_kind_is_refused(repository: Repository, local_server: Server) -> None:
    with pytest.raises(CommandError, match="--path"):
        create("--path", "/etc")
    with pytest.raises(SystemExit):
        create("--still-container", "shop/db=kill")
    assert not BackupJob.objects.exists()
