"""The product's services on a real engine, in the test's own process: a job, its archive, a restore to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from django.utils import timezone

from backups.models import Archive, BackupJob
from backups.services import jobs, runs
from dockerops.choice import Choice
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.services import detecting, drafts, looking, planning, rollback, starting
from phpborg.process import Never
from phpborg.tasks.models import Task
from servers.models import Server
from servers.services import capabilities, capabilities_run
from servers.services.reach import host_for
from tests.support.archives import Storage
from tests.support.bridged import Bridged

Run = Callable[..., list[Task]]


@dataclass
class Products:
    """Servers, each with its own engine, and the services that a person would use."""

    storage: Storage
    run_pending: Run

    def look_at(self, server: Server, engine: Bridged) -> None:
        """The server's report names this engine, whichever others run on the machine."""
        report = capabilities_run.ask(host_for(server), stop=Never(), only=("docker",), size_seconds=0)
        assert report.docker
        docker = replace(report.docker, socket=str(engine.socket), running=True, data_root=str(engine.data))
        capabilities.record(server=server, report=replace(report, docker=docker), taken_at=timezone.now())

    def job(self, **source: Any) -> BackupJob:
        """All of the engine of the storage's server, images saved."""
        whole = {"images": "saved", "config_files": False, **source}
        definition = jobs.JobDefinition(
            name="docker",
            server=self.storage.server,
            repository=self.storage.repository,
            source=whole,
            source_kind="docker",
        )
        return jobs.create_job(definition=definition)

    def back_up(self, job: BackupJob) -> Archive:
        task = runs.start_backup(job=job)
        self.run_pending()
        task.refresh_from_db()
        assert task.state in ("success", "notes"), (task.error_code, task.error_detail, task.log_tail)
        return Archive.objects.filter(job=job).latest("started_at")

    # --- a restore -------------------------------------------------------------------------------

    def draft(
        self, archive: Archive, server: Server, choice: Choice | None = None, options: Options | None = None
    ) -> DockerRestore:
        """Looked at, chosen, conflicts asked."""
        restore = drafts.open_draft(archive=archive)
        drafts.set_server(restore=restore, server=server)
        self.done(looking.start(restore=restore))
        restore.refresh_from_db()
        drafts.set_choice(restore=restore, choice=(choice or Choice()).as_json())
        drafts.set_options(restore=restore, options=(options or Options()).as_json())
        return self.ask(restore)

    def ask(self, restore: DockerRestore) -> DockerRestore:
        self.done(detecting.start(restore=restore))
        restore.refresh_from_db()
        return restore

    def agree(self, restore: DockerRestore) -> list[str]:
        """To everything that can be agreed to."""
        keys = [one.consent for one in detecting.conflicts_of(restore) if one.consent]
        drafts.consent(restore=restore, keys=keys)
        return keys

    def start(self, restore: DockerRestore) -> Task:
        plan = planning.plan_of(restore)
        return starting.start(restore=restore, plan_hash=plan.hash)

    def restore(self, restore: DockerRestore) -> Task:
        return self.ended(self.start(restore))

    def roll_back(self, restore: DockerRestore) -> Task:
        return self.ended(rollback.start(restore=restore))

    def ended(self, task: Task) -> Task:
        self.run_pending()
        task.refresh_from_db()
        return task

    def done(self, task: Task) -> Task:
        self.ended(task)
        assert task.state == "success", (task.error_code, task.error_detail, task.log_tail)
        return task
