"""The wizard of a job: answers step by step in a draft that can be left and taken up again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from backups.models import BackupJob, JobDraft, Repository
from backups.services import jobs
from backups.services.jobs import JobDefinition
from backups.sources import files
from backups.sources import get as source_of
from phpborg.errors import InvalidInput, PhpBorgError
from servers.models import Server

STEPS = ("server", "what", "where", "options", "schedule", "review")
_SPREAD = {
    "where": ("compression",),
    "options": (
        "upload_rate_kib",
        "nice",
        "hook_before",
        "hook_after",
        "hook_seconds",
        "time_limit_seconds",
        "notify",
    ),
    "schedule": ("cron", "zone"),
}


def drafts_of(owner: Any) -> QuerySet[JobDraft]:
    """The drafts that this person left, newest first."""
    return JobDraft.objects.filter(owner=owner).select_related("job")


def begin(*, owner: Any, server: Server) -> JobDraft:
    """A new draft for a job of this server."""
    return JobDraft.objects.create(owner=owner, answers={"server": {"server": str(server.pk)}}, step="what")


def edit(*, owner: Any, job: BackupJob) -> JobDraft:
    """A draft that holds the job as it is; one that this person has already begun is taken up again."""
    begun = JobDraft.objects.filter(owner=owner, job=job).first()
    if begun:
        return begun
    definition = jobs.definition_of(job)
    answers: dict[str, Any] = {
        "server": {"server": str(job.server_id)},
        "what": {"source_kind": job.source_kind, "source": job.source},
        "where": {"repository": str(job.repository_id)},
        "options": {},
        "schedule": {},
        "review": {"name": job.name},
    }
    for step, names in _SPREAD.items():
        answers[step] |= {name: getattr(definition, name) for name in names}
    return JobDraft.objects.create(owner=owner, job=job, answers=answers, step="what")


def save_step(*, draft: JobDraft, step: str, answers: dict[str, Any], following: str = "") -> None:
    """Keep the answers of one step. With `following` the wizard goes on there."""
    draft.answers = {**draft.answers, step: answers}
    if following:
        draft.step = following
    draft.save(update_fields=["answers", "step", "updated_at"])


def server_of(draft: JobDraft) -> Server | None:
    """The chosen server, None when it was not chosen or was removed."""
    found: Server | None = _row(Server.objects.all(), draft.answers.get("server", {}).get("server"))
    return found


def repository_of(draft: JobDraft) -> Repository | None:
    """The chosen repository, None when it was not chosen, was removed or is in the trash."""
    rows = Repository.objects.live().select_related("pool")
    found: Repository | None = _row(rows, draft.answers.get("where", {}).get("repository"))
    return found


def _row(rows: QuerySet[Any], pk: Any) -> Any:
    try:
        return rows.filter(pk=pk).first() if pk else None
    except (ValidationError, ValueError, TypeError):
        return None


def source_of_draft(draft: JobDraft) -> dict[str, Any]:
    """The source as answered so far; may be incomplete."""
    source: dict[str, Any] = draft.answers.get("what", {}).get("source", {})
    return source


def suggested_name(draft: JobDraft) -> str:
    """A name that says what and where from, and is free."""
    server = server_of(draft)
    try:
        summary = files.FilesSource().summary(files.FilesSource().parse(source_of_draft(draft)))
    except PhpBorgError:
        summary = ""
    base = " ".join(filter(None, (server.name if server else "", summary)))[:180] or _("Backup")
    name, number = base, 1
    while BackupJob.objects.filter(name=name).exists():
        number += 1
        name = f"{base} ({number})"
    return name


def problems(draft: JobDraft) -> dict[str, PhpBorgError]:
    """What keeps each step from being complete; empty when the job can be made."""
    found: dict[str, PhpBorgError] = {}
    server = server_of(draft)
    if server is None:
        found["server"] = InvalidInput(field=_("Server"), problem=_("choose a server"))
    try:
        what = draft.answers.get("what", {})
        source_of(what.get("source_kind", "files")).parse(what.get("source", {}))
    except PhpBorgError as error:
        found["what"] = error
    if repository_of(draft) is None:
        found["where"] = InvalidInput(field=_("Repository"), problem=_("choose a repository"))
    return found


def definition_of(draft: JobDraft) -> JobDefinition:
    """The job that the draft describes. Raises the first problem."""
    for problem in problems(draft).values():
        raise problem
    server, repository = server_of(draft), repository_of(draft)
    if server is None or repository is None:
        raise InvalidInput(field=_("Server"), problem=_("choose a server"))
    answers = draft.answers
    values = {
        name: answers[step][name] for step, names in _SPREAD.items() for name in names if name in answers.get(step, {})
    }
    return JobDefinition(
        name=answers.get("review", {}).get("name") or suggested_name(draft),
        server=server,
        repository=repository,
        source=source_of_draft(draft),
        source_kind=answers.get("what", {}).get("source_kind", "files"),
        enabled=draft.job.enabled if draft.job else True,
        **values,
    )


def unsaved_job(draft: JobDraft) -> BackupJob:
    """The job as it would be, for the plan; nothing is written."""
    wanted = definition_of(draft)
    values = {item.name: getattr(wanted, item.name) for item in fields(wanted) if item.name not in ("cron", "zone")}
    job = BackupJob(**values, slug=jobs.slug_of(wanted.name))
    if draft.job is not None:
        job.pk = draft.job.pk
    return job


def finish(*, draft: JobDraft, by: Any) -> BackupJob:
    """Make the job, or change the one that is edited; the draft goes. Raises what the services raise."""
    definition = definition_of(draft)
    if draft.job is not None:
        job = jobs.update_job(job=draft.job, definition=definition)
    else:
        job = jobs.create_job(definition=definition, by=by)
    draft.delete()
    return job
