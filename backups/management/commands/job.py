"""Backup jobs from the shell: `manage.py job list|show|create|enable|disable|delete`.

Exit codes: see phpborg/commands.py.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from backups.management.commands._sources import add_arguments, login_of, source_of
from backups.models import BackupJob, Repository, Schedule
from backups.services import jobs, runs, schedules
from backups.services.jobs import JobDefinition
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.tasks.states import State
from servers.models import Server


class Command(commands.Command):
    """List and change jobs."""

    help = "List, show, create, enable, disable or delete backup jobs."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        super().add_arguments(actions.add_parser("list", help="all jobs with their last outcome and next run"))
        for name in ("show", "enable", "disable"):
            one = actions.add_parser(name)
            super().add_arguments(one)
            one.add_argument("job", help="name or id of the job")
        delete = actions.add_parser("delete", help="remove the definition; the archives stay")
        super().add_arguments(delete)
        delete.add_argument("job", help="name or id of the job")
        delete.add_argument("--yes", action="store_true", help="do not ask")
        self._add_create(
            actions.add_parser("create", help="a new job: files, the whole system, Docker or a database server")
        )

    def _add_create(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument("--server", required=True, help="name or id")
        parser.add_argument("--repository", required=True, help="name or id")
        add_arguments(parser)
        parser.add_argument("--compression", default="")
        parser.add_argument("--rate-limit", type=int, default=None, metavar="KIB", help="KiB/s")
        parser.add_argument("--nice", type=int, default=10)
        parser.add_argument("--hook-before", default="")
        parser.add_argument("--hook-after", default="")
        parser.add_argument("--hook-seconds", type=int, default=300)
        parser.add_argument("--time-limit", type=int, default=0, metavar="SECONDS")
        parser.add_argument("--notify", default="", help="mail addresses for failures")
        parser.add_argument("--cron", default="", help="five fields; without it the job runs by hand only")
        parser.add_argument("--zone", default="", help="time zone of the schedule")
        parser.add_argument("--disabled", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = BackupJob.objects.select_related("server", "repository")
        action: str = options["action"]
        if action == "list":
            self._list(rows)
        elif action == "create":
            job = self._create(options)
            self.emit(self._json(job), str(job.pk))
        else:
            job = self.find(rows, options["job"])
            if action == "delete":
                self._delete(job, options["yes"])
            else:
                if action != "show":
                    jobs.set_enabled(job=job, enabled=action == "enable")
                data = self._json(job)
                self.emit(data, "\n".join(f"{key}: {value}" for key, value in data.items()))

    def _list(self, rows: QuerySet[BackupJob]) -> None:
        found = list(rows.select_related("schedule").order_by("name"))
        status = runs.status_of(found)
        data, lines = [], []
        for job in found:
            state = status[job.pk]
            schedule = getattr(job, "schedule", None)
            last = state.last.state if state.last else None
            good = state.last_good.started_at if state.last_good else None
            data.append({**self._row(job, schedule), "last_state": last, "last_good_at": good})
            lines.append(
                [
                    job.name,
                    job.server.name,
                    job.repository.name,
                    State(last).label if last else None,
                    f"{good:%Y-%m-%d %H:%M}" if good else None,
                    f"{schedule.next_run_at:%Y-%m-%d %H:%M}" if schedule and schedule.next_run_at else None,
                ]
            )
        headers = [_("Job"), _("Server"), _("Repository"), _("Last outcome"), _("Last good (UTC)"), _("Next run (UTC)")]
        self.emit(data, self.table(headers, lines))

    def _row(self, job: BackupJob, schedule: Schedule | None) -> dict[str, Any]:
        return {
            "id": str(job.pk),
            "name": job.name,
            "server": job.server.name,
            "repository": job.repository.name,
            "enabled": job.enabled,
            "schedule": schedules.as_json(schedule),
        }

    def _json(self, job: BackupJob) -> dict[str, Any]:
        state = runs.status_of([job])[job.pk]
        return {
            **self._row(job, Schedule.objects.filter(job=job).first()),
            "source_kind": job.source_kind,
            "source": job.source,
            "compression": job.compression or job.repository.compression,
            "upload_rate_kib": job.upload_rate_kib,
            "nice": job.nice,
            "hook_before": job.hook_before,
            "hook_after": job.hook_after,
            "hook_seconds": job.hook_seconds,
            "time_limit_seconds": job.time_limit_seconds,
            "notify": job.notify,
            "last_state": state.last.state if state.last else None,
            "running": str(state.active.pk) if state.active else None,
            "last_good_archive": state.last_good.name if state.last_good else None,
        }

    def _create(self, options: dict[str, Any]) -> BackupJob:
        definition = JobDefinition(
            name=options["name"],
            server=self.find(Server.objects.all(), options["server"]),
            repository=self.find(Repository.objects.all(), options["repository"]),
            source_kind=options["kind"],
            source=source_of(options),
            credentials=login_of(options),
            compression=options["compression"],
            upload_rate_kib=options["rate_limit"],
            nice=options["nice"],
            hook_before=options["hook_before"],
            hook_after=options["hook_after"],
            hook_seconds=options["hook_seconds"],
            time_limit_seconds=options["time_limit"],
            notify=options["notify"],
            cron=options["cron"],
            zone=options["zone"],
            enabled=not options["disabled"],
        )
        return jobs.create_job(definition=definition)

    def _delete(self, job: BackupJob, sure: bool) -> None:
        removal = jobs.removal_of(job)
        if not sure:
            question = _("Remove the job “{job}”? Its {count} archives stay in “{repository}”. Repeat with --yes.")
            raise CommandError(
                question.format(job=job.name, count=removal.archives, repository=removal.repository),
                returncode=ExitCode.USAGE,
            )
        data = {"id": str(job.pk), "name": job.name, "archives_kept": removal.archives}
        jobs.delete_job(job=job)
        self.emit(data, _("The job “{job}” was removed.").format(job=data["name"]))
