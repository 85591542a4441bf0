"""A Docker job from its definition to the archive: real engine, real Compose, real borg, the task of a worker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive, BackupJob, Repository
from backups.services import jobs, repositories
from backups.services.jobs import JobDefinition
from backups.sources.docker import DOCKER_PLACE
from phpborg.tasks import leases
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Lease, Task
from servers.models import Server
from tests.backups.conftest import RunJob, archive_of, local_server, pool, real_repository, run_job
from tests.dockers.backing import PLAIN, inspected, run, status
from tests.dockers.fixtures_backup import backup_engine, engine, place
from tests.dockers.test_backup_dumps import PASSWORD, postgres
from tests.support.bridged import Bridged
from tests.support.docker_reports import is_the_one
from tests.support.sshd import wait_until

__all__ = ["backup_engine", "engine", "local_server", "place", "pool", "postgres", "real_repository", "run_job"]
pytestmark = pytest.mark.real
CANARY = "canary-environment-8c1"
ONE = f"""version: '2.4'
services:
  web:
    image: {PLAIN}
    command: sleep 3600
    init: true
    env_file: [../secrets/app.env]
    environment: [WHERE=$WHERE]
    volumes: [./data:/data, ../shared:/shared, named:/named, /anonymous, app.conf:/etc/app.conf:ro]
  db:
    image: {PLAIN}
    command: sleep 3600
    init: true
volumes:
  named: {{}}
networks:
  default:
    external: {{name: corp}}
"""
TWO = "version: '2.4'\nservices:\n  db:\n    volumes: [more:/more]\nvolumes:\n  more: {}\n"

MakeDocker = Callable[..., BackupJob]


@pytest.fixture
def docker_job(real_repository: Repository, local_server: Server, engine: Bridged) -> MakeDocker:
    """`docker_job(projects=[…], …)`."""
    is_the_one(engine)

    def make(**source: Any) -> BackupJob:
        name = f"docker {BackupJob.objects.count()}"
        values = {"name": name, "server": local_server, "repository": real_repository}
        return jobs.create_job(definition=JobDefinition(**values, source_kind="docker", source=source))

    return make


@pytest.fixture
def shop(engine: Bridged, place: Path) -> Path:
    """Case 121: two files, .env, env_file and binds beside the directory; started under another name."""
    app = place / "my app"
    for name in ("my app/data", "shared", "secrets"):
        (place / name).mkdir(parents=True)
    (app / "one.yml").write_text(ONE.replace("app.conf:/", f"{place}/app.conf:/"))
    (app / "two.yml").write_text(TWO)
    (app / ".env").write_text(f"WHERE={CANARY}\n")
    (place / "secrets/app.env").write_text(f"PASSWORD={CANARY}\n")
    (place / "app.conf").write_text("conf")
    (app / "data/file").write_bytes(os.urandom(3000))
    (place / "shared/file").write_bytes(os.urandom(3000))
    engine.docker("network", "create", "--subnet", "10.77.0.0/24", "corp")
    engine.compose("-p", "shop", "-f", "one.yml", "-f", "two.yml", "up", "--detach", cwd=str(app))
    volume = engine.data / "volumes/shop_named/_data"
    (volume / "table").write_bytes(os.urandom(100_000))
    os.chown(volume / "table", 4242, 4343)
    (engine.data / "volumes/shop_more/_data/x").write_text("x")
    return app


def extracted(repository: Repository, archive: Archive, target: Path) -> Path:
    repositories.borg_of(repository).extract(archive.name, None, target)
    return target


def same(one: Path, other: Path) -> None:
    subprocess.run(["diff", "-r", "--no-dereference", str(one), str(other)], check=True)


def test_everything_is_found_backed_up_and_written_down(
    engine: Bridged,
    shop: Path,
    place: Path,
    docker_job: MakeDocker,
    run_job: RunJob,
    real_repository: Any,
    tmp_path: Path,
) -> None:
    engine.docker("volume", "create", "orphan")
    (engine.data / "volumes/orphan/_data/x").write_text("x")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "sock"))
    run(engine, "alone", "--env", f"TOKEN={CANARY}", "--volume", f"{place}/sock:/sock")
    started = inspected(engine, "shop_db_1")["State"]["StartedAt"]
    task = run_job(
        docker_job(images="saved", quiesce={"default": "none", "containers": {"shop/web": "pause", "shop/db": "stop"}})
    )
    assert (task.state, task.error_detail) == ("success", ""), task.findings
    # Former states are back, and nothing of ours is left.
    assert {name: status(engine, name) for name in ("shop_web_1", "shop_db_1", "alone")} == dict.fromkeys(
        ("shop_web_1", "shop_db_1", "alone"), "running"
    )
    assert inspected(engine, "shop_db_1")["State"]["StartedAt"] != started
    assert not Lease.objects.held().exists()
    assert not list(Path(DOCKER_PLACE + "-backup").glob("*"))
    steps = {step["code"]: step for step in task.steps}
    assert "docker pause: shop_web_1" in steps["freeze"]["detail"]
    assert "docker stop: shop_db_1" in steps["thaw"]["detail"]
    # Nobody waits for the proof.
    assert list(steps).index("thaw") < list(steps).index("prove")
    archive = archive_of(task)
    kept = archive.backup_config
    assert CANARY not in json.dumps(kept)
    assert CANARY not in json.dumps([task.steps, task.result, task.findings])
    assert CANARY not in log_path(task).read_text()
    items = kept["docker"]["actual_backed_up_items"]
    assert [(row["name"], sorted(row["containers"])) for row in items["projects"]] == [
        ("shop", ["shop_db_1", "shop_web_1"])
    ]
    volumes = {row["name"]: row for row in items["volumes"]}
    assert {"shop_named", "shop_more", "orphan"} < set(volumes)
    assert volumes["shop_named"]["size_bytes"] >= 100_000
    assert [row for row in volumes.values() if row["anonymous"]]
    assert "corp" in items["networks"]
    assert [row["saved"] for row in items["images"]] == [True]
    assert kept["docker"]["quiet_seconds"] > 0
    assert kept["docker"]["not_included"] == [{"kind": "bind", "name": f"{place}/sock", "reason": "it is a socket"}]
    out = extracted(real_repository, archive, tmp_path / "out")
    for path in (
        shop,
        place / "shared",
        place / "secrets",
        place / "app.conf",
        engine.data / "volumes/shop_named/_data",
    ):
        same(path, out / str(path)[1:])
    manifest = json.loads((out / DOCKER_PLACE[1:] / "manifest.json").read_text())
    assert CANARY in json.dumps(manifest)
    (project,) = manifest["projects"]
    assert project["config_files"] == [f"{shop}/one.yml", f"{shop}/two.yml"]
    assert {f"{shop}/.env", f"{place}/secrets/app.env"} <= set(project["environment_files"])
    assert {row["source"]: row["path"] for row in manifest["binds"]}[f"{place}/shared"] == f"{place}/shared"
    saved = [row["stream"] for row in manifest["images"]]
    assert all((out / DOCKER_PLACE[1:] / stream).stat().st_size > 10_000 for stream in saved)


def test_an_archive_keeps_its_own_list_whatever_becomes_of_the_job(
    engine: Bridged, docker_job: MakeDocker, run_job: RunJob
) -> None:
    """Case 124, and 116: a volume named without its project's prefix; no volume is made by a backup."""
    for name in ("shop_a", "shop_b"):
        labels = ("com.docker.compose.project=shop", f"com.docker.compose.volume={name[-1]}")
        engine.docker("volume", "create", *(word for one in labels for word in ("--label", one)), name)
        (engine.data / "volumes" / name / "_data/file").write_text(name)
    job = docker_job(projects=[], containers=[], volumes=["a", "shop_b"])
    first = run_job(job)
    everything = run_job(docker_job())
    source = {**job.source, "volumes": ["a"]}
    jobs.update_job(job=job, definition=_with(job, source))
    second = run_job(job)

    def volumes(task: Task) -> list[str]:
        items = archive_of(task).backup_config["docker"]["actual_backed_up_items"]
        return [row["name"] for row in items["volumes"]]

    assert volumes(first) == volumes(everything) == ["shop_a", "shop_b"]
    assert volumes(second) == ["shop_a"]
    assert engine.docker("volume", "ls", "--quiet").stdout.split() == ["shop_a", "shop_b"]
    job.delete()
    assert volumes(first) == ["shop_a", "shop_b"]


def _with(job: BackupJob, source: dict[str, Any]) -> JobDefinition:
    from dataclasses import replace

    return replace(jobs.definition_of(job), source=source)


def test_what_was_chosen_and_is_gone_makes_no_archive(engine: Bridged, docker_job: MakeDocker, run_job: RunJob) -> None:
    task = run_job(docker_job(volumes=["nowhere"]))
    assert (task.state, task.error_code) == ("failed", "BKP-01")
    assert not Archive.objects.exists()
    assert engine.docker("volume", "ls", "--quiet").stdout == ""


def test_containers_run_again_when_the_repository_cannot_be_reached(
    engine: Bridged, docker_job: MakeDocker, run_job: RunJob, real_repository: Repository
) -> None:
    """Case 111: the first half."""
    run(engine, "busy")
    job = docker_job(containers=["busy"], projects=[], quiesce={"default": "stop", "containers": {}})
    Path(real_repository.path).rename(f"{real_repository.path}-away")
    task = run_job(job)
    assert task.state == "failed"
    assert status(engine, "busy") == "running"
    assert not Lease.objects.held().exists()


def test_a_container_that_does_not_run_again_is_told_and_started_once_it_can(
    engine: Bridged, docker_job: MakeDocker, run_job: RunJob, place: Path
) -> None:
    source = place / "source"
    source.mkdir()
    run(engine, "whole")
    run(engine, "broken", "--mount", f"type=bind,source={source},target=/x")
    # Nobody reads the directory: it is taken away as soon as the container is stopped.
    job = docker_job(projects=[], binds=[], quiesce={"default": "stop", "containers": {}})
    thief = threading.Thread(target=_take_away, args=(engine, source))
    thief.start()
    task = run_job(job)
    thief.join()
    assert task.state == "notes"
    (note,) = [row["message"] for row in task.findings if row["kind"] == "late"]
    assert "not everything runs again: broken: " in note
    assert status(engine, "whole") == "running"
    (lease,) = Lease.objects.held()
    source.with_name("taken").rename(source)
    assert leases.release(lease)
    assert status(engine, "broken") == "running"


def _take_away(engine: Bridged, source: Path) -> None:
    wait_until(lambda: status(engine, "broken") == "exited", 60)
    source.rename(source.with_name("taken"))


def test_a_task_of_a_swarm_is_never_stopped(engine: Bridged, docker_job: MakeDocker, run_job: RunJob) -> None:
    """Case 114."""
    labels = ("--label", "com.docker.swarm.service.id=x1", "--label", "com.docker.swarm.service.name=stack_web")
    run(engine, "task.1", *labels)
    started = inspected(engine, "task.1")["State"]["StartedAt"]
    refused = run_job(docker_job(quiesce={"default": "none", "containers": {"task.1": "stop"}}))
    assert (refused.state, refused.error_code) == ("failed", "DKB-03")
    noted = run_job(docker_job(quiesce={"default": "stop", "containers": {}}))
    assert noted.state == "notes"
    assert ("docker_swarm", "task.1") in [(row["kind"], row["path"]) for row in noted.findings]
    assert inspected(engine, "task.1")["State"]["StartedAt"] == started


def test_names_of_a_server_do_no_harm(
    engine: Bridged, place: Path, docker_job: MakeDocker, run_job: RunJob, real_repository: Repository, tmp_path: Path
) -> None:
    odd = place / "a b'\"; $(touch pwned) \n`id`"
    odd.mkdir()
    (odd / "docker-compose.yml").write_text("services: {}\n")
    project = "p'\"; $(touch pwned) \n"
    labels = {"project": project, "service": "s $(x)", "project.working_dir": str(odd), "container-number": "1",
              "project.config_files": f"{odd}/docker-compose.yml"}  # fmt: skip
    words = [word for name, value in labels.items() for word in ("--label", f"com.docker.compose.{name}={value}")]
    run(engine, "odd", *words)
    task = run_job(docker_job(quiesce={"default": "none", "containers": {f"{project}/s $(x)": "pause"}}))
    assert (task.state, task.error_detail) == ("success", ""), task.findings
    archive = archive_of(task)
    assert archive.backup_config["docker"]["actual_backed_up_items"]["projects"][0]["name"] == project
    out = extracted(real_repository, archive, tmp_path / "out")
    assert (out / str(odd)[1:] / "docker-compose.yml").exists()
    assert status(engine, "odd") == "running"
    assert not Path("pwned").exists()


def test_a_database_is_dumped_by_its_own_tool_while_it_works(
    engine: Bridged, postgres: str, docker_job: MakeDocker, run_job: RunJob, real_repository: Repository, tmp_path: Path
) -> None:
    started = inspected(engine, postgres)["State"]["StartedAt"]
    task = run_job(docker_job(quiesce={"default": "pause", "containers": {postgres: "dump"}}))
    assert (task.state, task.error_detail) == ("success", ""), task.findings
    assert inspected(engine, postgres)["State"]["StartedAt"] == started
    archive = archive_of(task)
    (dump,) = archive.backup_config["docker"]["actual_backed_up_items"]["dumps"]
    assert (dump["container"], dump["engine"], dump["version"][:3]) == (postgres, "postgresql", "15.")
    out = extracted(real_repository, archive, tmp_path / "out")
    text = (out / DOCKER_PLACE[1:] / dump["path"]).read_text()
    assert len(text.encode()) == dump["bytes"]
    assert 'CREATE DATABASE "Shop é"' in text
    assert PASSWORD not in json.dumps([archive.backup_config, task.steps, task.result])


def test_a_database_that_cannot_be_dumped_makes_the_run_incomplete_and_the_rest_is_backed_up(
    engine: Bridged, postgres: str, docker_job: MakeDocker, run_job: RunJob, real_repository: Repository, tmp_path: Path
) -> None:
    run(engine, "app", "--volume", "data:/data")
    (engine.data / "volumes/data/_data/file").write_text("x")
    # Its tool cannot be started there any more.
    tool = "/usr/lib/postgresql/15/bin/pg_dumpall"
    engine.docker("cp", "/dev/null", f"{postgres}:{tool}")
    task = run_job(docker_job(quiesce={"default": "none", "containers": {postgres: "dump"}}))
    assert (task.state, task.error_detail) == ("incomplete", ""), task.findings
    archive = archive_of(task)
    assert archive.grade == "incomplete"
    docker = archive.backup_config["docker"]
    assert docker["actual_backed_up_items"]["dumps"] == []
    assert ("dump", postgres) in [(row["kind"], row["name"]) for row in docker["not_included"]]
    assert ("docker_dump_failed", postgres) in [(one["kind"], one["path"]) for one in task.findings]
    out = extracted(real_repository, archive, tmp_path / "out")
    assert [path.read_text() for path in out.rglob("volumes/data/_data/file")] == ["x"]
    assert not list(out.rglob("dumps/*"))
