"""A safety archive: exactly what will be overwritten, in the same repository, before anything of it is."""

from __future__ import annotations

import os
from datetime import timedelta

from django.utils import timezone

from backups.borg import argv as commands
from backups.borg.argv import CreateOptions
from backups.borg.explain import Where
from backups.borg.outcome import State as Judged
from backups.borg.outcome import StoppedFor, Verdict, judge_create
from backups.borg.report import Report
from backups.models import Archive
from backups.services import repositories
from backups.sources import own_names
from dockerops.models import DockerRestore
from dockerops.plan import Step
from dockerops.run_errors import SafetyArchiveMissing
from dockerops.services import safety_end
from dockerops.services.engine_at import EngineAt, Said
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from servers.services.ways import open_way


def safety_of(restore: DockerRestore) -> Archive | None:
    """The archive of what this restore has replaced, while it is there."""
    found = Archive.objects.filter(backup_config__before_docker_restore=str(restore.pk), trashed_at=None)
    return found.filter(missing_at=None).order_by("-finished_at").first()


class Safety:
    """Makes the archive that a plan asks for. Its turn at the repository has come (restore_run.py)."""

    def __init__(self, context: TaskContext, restore: DockerRestore, engine: EngineAt, hours: int) -> None:
        assert restore.archive is not None
        self.context, self.restore, self.engine, self.hours = context, restore, engine, hours
        self.repository = restore.archive.repository

    def make(self, step: Step) -> Said:
        """{"archive": name, "files", "bytes"}. Raises SafetyArchiveMissing unless the archive is proven and whole."""
        name = str(step.params["archive"])
        safety_end.hold(self.context, self.restore, name, timezone.now() + timedelta(hours=self.hours))
        report = Report()
        verdict = self._run(name, [os.fsencode(path) for path in step.params["paths"]], report)
        self.context.stop.check()
        if verdict.error is not None or verdict.archive is None or verdict.state not in (Judged.SUCCESS, Judged.NOTES):
            words = str(verdict.error) if isinstance(verdict.error, PhpBorgError) else report.words()
            found = [f"{one.path}: {one.message}" for one in verdict.findings[:20]]
            raise SafetyArchiveMissing("\n".join(filter(None, [words, *found])))
        made = self._record(name, verdict)
        return {"archive": made.name, "files": made.files or 0, "bytes": made.original_bytes or 0}

    def _run(self, name: str, paths: list[bytes], report: Report) -> Verdict:
        server, host, path = self.engine.server, self.engine.host, str(self.repository.path)
        with open_way(self.context, server, host, path, mode="tunnel", token=new_token()) as way:
            # In what is a filesystem of its own, or held, lies what was extracted for it: that is not former content.
            options = CreateOptions(sources=tuple(paths), excludes=own_names.of_restore(self.restore.token))
            words = commands.create("borg", way.repository, name, options)[1:]
            result = host.run(
                "borg",
                {
                    "argv": [os.fsdecode(word) for word in words],
                    "env": {**repositories.told_there(self.repository), "BORG_FILES_CACHE_SUFFIX": name},
                    "nice": 5,
                },
                secrets=repositories.secrets_there(self.repository),
                on_stdout=report.stdout,
                on_stderr=lambda line: self._hear(report, line),
                stop=self.context.stop,
                link=way,
            )
        facts = repositories.borg_of(self.repository).proof()
        stopped = StoppedFor.CANCEL if self.context.stop.is_set() else StoppedFor.NOTHING
        return judge_create(
            result.exit,
            report,
            proof=next((fact for fact in facts if fact.name == name), None),
            where=Where(repository=path, archive=name, host=host.target.label),
            stopped_for=stopped,
        )

    def _hear(self, report: Report, line: bytes) -> None:
        report.stderr(line)
        if report.progress.path:
            self.context.progress(path=report.progress.path)

    def _record(self, name: str, verdict: Verdict) -> Archive:
        """Of no job: no retention of one ever removes it. It goes with its window (safety_end.py)."""
        assert verdict.archive is not None
        result, now = verdict.result, timezone.now()
        made, _created = Archive.objects.update_or_create(
            repository=self.repository,
            borg_id=verdict.archive.id,
            defaults={
                "name": name,
                "server": self.engine.server,
                "server_name": self.engine.server.name,
                "task_ref": self.context.task.pk,
                "started_at": verdict.archive.started_at or now,
                "finished_at": now,
                "original_bytes": result.original_size if result else None,
                "compressed_bytes": result.compressed_size if result else None,
                "deduplicated_bytes": result.deduplicated_size if result else None,
                "files": result.nfiles if result else None,
                "grade": str(verdict.state),
                "backup_config": {"source_kind": "files", "before_docker_restore": str(self.restore.pk)},
            },
        )
        return made
