"""The wizard of a job: answers step by step in a draft that can be left and taken up again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from backups.models import BackupJob, JobDraft, Repository
from backups.services import credentials, jobs
from backups.services.credentials import Login
from backups.services.jobs import JobDefinition
from backups.sources import get as source_of
from phpborg.crypto import EncryptedText
from phpborg.errors import InvalidInput, PhpBorgError
from servers.models import Server

STEPS = ("server", "kind", "what", "where", "options", "schedule", "review")
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
    return JobDraft.objects.create(owner=owner, answers={"server": {"server": str(server.pk)}}, step="kind")


def edit(*, owner: Any, job: BackupJob) -> JobDraft:
    """A draft that holds the job as it is; one that this person has already begun is taken up again."""
    begun = JobDraft.objects.filter(owner=owner, job=job).first()
    if begun:
        return begun
    definition = jobs.definition_of(job)
    answers: dict[str, Any] = {
        "server": {"server": str(job.server_id)},
        "kind": {"instance": job.source.get("instance", "")},
        "what": {"source_kind": job.source_kind, "source": job.source},
        "where": {"repository": str(job.repository_id)},
        "options": {},
        "schedule": {},
        "review": {"name": job.name},
    }
    for step, names in _SPREAD.items():
        answers[step] |= {name: getattr(definition, name) for name in names}
    return JobDraft.objects.create(owner=owner, job=job, answers=answers, credentials=job.credentials, step="what")


def save_step(*, draft: JobDraft, step: str, answers: dict[str, Any], following: str = "") -> None:
    """Keep the answers of one step. With `following` the wizard goes on there."""
    draft.answers = {**draft.answers, step: answers}
    if following:
        draft.step = following
    draft.save(update_fields=["answers", "step", "updated_at"])


def choose_server(*, draft: JobDraft, server: Server) -> None:
    """Another server: what was chosen of a database server or of Docker, and the password, belong to the one before."""
    answers = dict(draft.answers)
    is_its_own = source_of_draft(draft).get("instance") or source_kind_of(draft) == "docker"
    if answers.get("server", {}).get("server") != str(server.pk) and is_its_own:
        answers.pop("kind", None)
        answers.pop("what", None)
        draft.credentials = EncryptedText()
    draft.answers = {**answers, "server": {"server": str(server.pk)}}
    draft.step = "kind"
    draft.save(update_fields=["answers", "credentials", "step", "updated_at"])


def choose_kind(*, draft: JobDraft, kind: str, instance: str = "") -> None:
    """What is backed up. Another choice than before begins anew, without the login of the one before."""
    what = draft.answers.get("what", {})
    if (source_kind_of(draft), source_of_draft(draft).get("instance", "")) != (kind, instance) or not what:
        what = {"source_kind": kind, "source": {"instance": instance} if instance else {}}
        draft.credentials = EncryptedText()
    draft.answers = {**draft.answers, "kind": {"instance": instance}, "what": what}
    draft.step = "what"
    draft.save(update_fields=["answers", "credentials", "step", "updated_at"])


def keep_login(*, draft: JobDraft, user: str, password: str) -> None:
    """Keep a login as it was typed; it is checked when it is used.

    No password for the user who is kept already leaves that one's as it is: it is never shown, so it cannot
    come back from a form.
    """
    known = login_of(draft)
    if not password and known is not None and known.user == user:
        return
    draft.credentials = Login(user, password).sealed() if user or password else EncryptedText()
    draft.save(update_fields=["credentials", "updated_at"])


def login_of(draft: JobDraft) -> Login | None:
    """The login that was given; None without one, or when it cannot be read any more and must be given anew."""
    try:
        return credentials.unseal(draft.credentials)
    except PhpBorgError:
        return None


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


def source_kind_of(draft: JobDraft) -> str:
    """What kind of source was chosen; files until something else is."""
    kind: str = draft.answers.get("what", {}).get("source_kind", "files")
    return kind


def source_summary(draft: JobDraft) -> str:
    """A few words for what is backed up; empty while that cannot be said."""
    try:
        source = source_of(source_kind_of(draft))
        return source.summary(source.parse(source_of_draft(draft)))
    except PhpBorgError:
        return ""


def suggested_name(draft: JobDraft) -> str:
    """A name that says what and where from, and is free."""
    server, summary = server_of(draft), source_summary(draft)
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
        source = source_of(source_kind_of(draft)).parse(source_of_draft(draft)).as_json()
        jobs.clean_credentials(source, draft.credentials)
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
        source_kind=source_kind_of(draft),
        credentials=draft.credentials,
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
