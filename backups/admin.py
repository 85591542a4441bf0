"""The expert view of jobs, schedules, archives and drafts. Actions call the services; history is read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from backups import admin_storage  # noqa: F401  (registers pools and repositories)
from backups.models import Archive, BackupJob, JobDraft, Schedule
from backups.services import archives, jobs, runs
from phpborg.errors import PhpBorgError
from phpborg.tasks.states import State
from phpborg.ui import format as words
from phpborg.ui import html


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shown, never changed here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def tell(request: HttpRequest, failed: list[str], done: int, sentence: str) -> None:
    """What an action did, and why the rest was not done."""
    for text in failed[:10]:
        messages.warning(request, text)
    if done:
        messages.success(request, sentence.format(count=done))


@admin.register(BackupJob)
class BackupJobAdmin(ReadOnly):
    """Jobs are made and changed in the wizard, which checks them; here they are found, run and switched."""

    list_display = ("name", "server", "repository", "source_kind", "enabled", "next_run", "created_at")
    list_select_related = ("server", "repository", "schedule")
    list_filter = ("enabled", "source_kind", "repository")
    search_fields = ("name", "server__name", "repository__name")
    date_hierarchy = "created_at"
    exclude = ("credentials",)
    actions = ("run_now", "enable", "disable")

    @admin.display(description=_("next run"), ordering="schedule__next_run_at")
    def next_run(self, job: BackupJob) -> SafeString:
        schedule = getattr(job, "schedule", None)
        return html.when(schedule.next_run_at if schedule else None)

    @admin.action(description=_("Run now"), permissions=["view"])
    def run_now(self, request: HttpRequest, rows: QuerySet[BackupJob]) -> None:
        failed, done = [], 0
        for job in rows.select_related("server", "repository"):
            try:
                runs.start_backup(job=job, by=request.user)
                done += 1
            except PhpBorgError as error:
                failed.append(f"{job.name}: {error}")
        tell(request, failed, done, ngettext("{count} backup was queued.", "{count} backups were queued.", done))

    @admin.action(description=_("Enable"), permissions=["view"])
    def enable(self, request: HttpRequest, rows: QuerySet[BackupJob]) -> None:
        self._switch(request, rows, enabled=True)

    @admin.action(description=_("Disable"), permissions=["view"])
    def disable(self, request: HttpRequest, rows: QuerySet[BackupJob]) -> None:
        self._switch(request, rows, enabled=False)

    def _switch(self, request: HttpRequest, rows: QuerySet[BackupJob], *, enabled: bool) -> None:
        done = 0
        for job in rows:
            jobs.set_enabled(job=job, enabled=enabled)
            done += 1
        tell(request, [], done, ngettext("{count} job was changed.", "{count} jobs were changed.", done))


@admin.register(Schedule)
class ScheduleAdmin(ReadOnly):
    """When jobs run; changed in the wizard."""

    list_display = ("job", "cron", "zone", "enabled", "next_run_at", "last_due_at")
    list_select_related = ("job",)
    list_filter = ("enabled", "zone")
    search_fields = ("job__name", "cron")


class GradeFilter(admin.SimpleListFilter):
    """The outcome in words."""

    title = _("outcome")
    parameter_name = "grade"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(state.value, state.label) for state in (State.SUCCESS, State.NOTES, State.INCOMPLETE)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Archive]) -> QuerySet[Archive]:
        return queryset.filter(grade=self.value()) if self.value() else queryset


@admin.register(Archive)
class ArchiveAdmin(ReadOnly):
    """Restore points, as they were proven."""

    list_display = ("name", "of_server", "of_job", "repository", "started_at", "outcome", "original", "pinned")
    list_select_related = ("repository",)
    list_filter = (
        GradeFilter,
        "pinned",
        "repository",
        ("missing_at", admin.EmptyFieldListFilter),
        ("trashed_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("name", "job_name", "server_name", "borg_id")
    show_full_result_count = False
    actions = ("pin", "unpin", "into_trash", "take_back")

    @admin.display(description=_("Server"), ordering="server_name")
    def of_server(self, archive: Archive) -> str:
        return archive.server_name

    @admin.display(description=_("Job"), ordering="job_name")
    def of_job(self, archive: Archive) -> str:
        return archive.job_name

    @admin.display(description=_("outcome"), ordering="grade")
    def outcome(self, archive: Archive) -> SafeString:
        return html.state(archive.grade) if archive.grade else html.unknown()

    @admin.display(description=_("original size"), ordering="original_bytes")
    def original(self, archive: Archive) -> str:
        return html.unknown() if archive.original_bytes is None else words.byte_size(archive.original_bytes)

    @admin.action(description=_("Pin"), permissions=["view"])
    def pin(self, request: HttpRequest, rows: QuerySet[Archive]) -> None:
        self._pin(request, rows, pinned=True)

    @admin.action(description=_("Unpin"), permissions=["view"])
    def unpin(self, request: HttpRequest, rows: QuerySet[Archive]) -> None:
        self._pin(request, rows, pinned=False)

    def _pin(self, request: HttpRequest, rows: QuerySet[Archive], *, pinned: bool) -> None:
        done = 0
        for archive in rows:
            archives.set_pinned(archive=archive, pinned=pinned)
            done += 1
        tell(request, [], done, ngettext("{count} archive was changed.", "{count} archives were changed.", done))

    @admin.action(description=_("Put into the trash"), permissions=["view"])
    def into_trash(self, request: HttpRequest, rows: QuerySet[Archive]) -> None:
        try:
            done, failed = archives.move_to_trash(archives=rows), []
        except PhpBorgError as error:
            done, failed = 0, [str(error)]
        tell(request, failed, done, ngettext("{count} archive was moved.", "{count} archives were moved.", done))

    @admin.action(description=_("Take out of the trash"), permissions=["view"])
    def take_back(self, request: HttpRequest, rows: QuerySet[Archive]) -> None:
        done = archives.take_from_trash(archives=rows)
        tell(request, [], done, ngettext("{count} archive was moved.", "{count} archives were moved.", done))


@admin.register(JobDraft)
class JobDraftAdmin(ReadOnly):
    """Wizards that were begun."""

    list_display = ("id", "owner", "job", "step", "updated_at")
    list_select_related = ("owner", "job")
    list_filter = ("step",)
    exclude = ("credentials",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)  # type: ignore[union-attr]
