"""Backup jobs: defined, changed, switched on and off, removed. Running them is in runs.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from backups import sources
from backups.borg import names, specs
from backups.job_errors import JobRunning, RepositoryTrashed
from backups.models import BackupJob, Repository, Schedule
from backups.services import credentials, schedules
from phpborg.crypto import EncryptedText
from phpborg.errors import InvalidInput
from phpborg.tasks.models import Task
from servers.models import Server

_HOOK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SLUG_LENGTH = 40
LONGEST_NAME = 200


@dataclass(frozen=True)
class JobDefinition:
    """All that a person decides about a job. `cron` empty: by hand only; `zone` empty: the installation's."""

    name: str
    server: Server
    repository: Repository
    source: dict[str, Any]
    source_kind: str = "files"
    credentials: EncryptedText = field(default_factory=EncryptedText)  # sealed; see credentials.py
    compression: str = ""
    upload_rate_kib: int | None = None
    nice: int = 10
    hook_before: str = ""
    hook_after: str = ""
    hook_seconds: int = 300
    time_limit_seconds: int = 0
    notify: str = ""
    cron: str = ""
    zone: str = ""
    enabled: bool = field(default=True)


_OF_SCHEDULE = {"cron", "zone"}
_COLUMNS = tuple(item.name for item in fields(JobDefinition) if item.name not in _OF_SCHEDULE)


def definition_of(job: BackupJob) -> JobDefinition:
    """The job as it is defined now."""
    schedule = Schedule.objects.filter(job=job).first()
    values = {name: getattr(job, name) for name in _COLUMNS}
    return JobDefinition(**values, cron=schedule.cron if schedule else "", zone=schedule.zone if schedule else "")


def clean(definition: JobDefinition, *, job: BackupJob | None = None) -> JobDefinition:
    """The definition, checked and tidied. Raises InvalidInput that names the field, CronInvalid, RepositoryTrashed."""
    source = sources.get(definition.source_kind).parse(definition.source).as_json()
    if definition.repository.trashed_at is not None:
        raise RepositoryTrashed(repository=definition.repository.name)
    if definition.compression:
        specs.compression(definition.compression)
    if definition.cron.strip():
        schedules.preview(cron=definition.cron, zone=definition.zone or "UTC", count=1)
    return replace(
        definition,
        name=clean_name(definition.name, job=job),
        source=source,
        credentials=clean_credentials(source, definition.credentials),
        upload_rate_kib=_number(definition.upload_rate_kib, _("Rate limit"), 1, 2**31 - 1, optional=True),
        nice=_number(definition.nice, _("Niceness"), 0, 19),
        hook_before=clean_hook(definition.hook_before, _("Hook before")),
        hook_after=clean_hook(definition.hook_after, _("Hook after")),
        hook_seconds=_number(definition.hook_seconds, _("Time limit of a hook"), 1, 7 * 86400),
        time_limit_seconds=_number(definition.time_limit_seconds, _("Time limit"), 0, 30 * 86400),
        notify=clean_recipients(definition.notify),
    )


def clean_credentials(source: Mapping[str, Any], sealed: EncryptedText) -> EncryptedText:
    """The login that belongs to this source: none unless it says that one is given.

    Raises InvalidInput, SecretUnreadable.
    """
    if source.get("login") != "given":
        return EncryptedText()
    known = credentials.unseal(sealed)
    if known is None:
        raise InvalidInput(field=_("Login"), problem=_("give a user, or choose the server's own ways in"))
    credentials.login(known.user, known.password)
    return sealed


def clean_name(name: str, *, job: BackupJob | None = None) -> str:
    """A name that a list can show and that is not taken. Archives get a plain form of it.

    Raises InvalidInput.
    """
    name = name.strip()
    problem = ""
    if not name:
        problem = _("it is empty")
    elif len(name) > LONGEST_NAME:
        problem = _("it is longer than {limit} characters").format(limit=LONGEST_NAME)
    elif not name.isprintable():
        problem = _("it holds a line break or another control character")
    elif BackupJob.objects.filter(name=name).exclude(pk__in=[job.pk] if job else []).exists():
        problem = _("another job has this name")
    if problem:
        raise InvalidInput(field=_("Name"), problem=problem)
    return name


def slug_of(name: str) -> str:
    """The part of an archive's name that tells the job."""
    return names.slug(name)[:_SLUG_LENGTH].strip("-")


def clean_recipients(text: str) -> str:
    """Mail addresses, separated by commas, spaces or lines. Raises InvalidInput."""
    addresses = list(dict.fromkeys(re.split(r"[\s,;]+", text.strip()))) if text.strip() else []
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            raise InvalidInput(
                field=_("Send failures to"),
                problem=_("“{address}” is not a mail address").format(address=address[:100]),
            ) from None
    joined = ", ".join(addresses)
    if len(joined) > 1000:
        raise InvalidInput(field=_("Send failures to"), problem=_("these are too many addresses"))
    return joined


def clean_hook(name: str, field_name: str) -> str:
    """The bare name of a script, or empty. Raises InvalidInput."""
    name = name.strip()
    if name and not _HOOK.fullmatch(name):
        raise InvalidInput(
            field=field_name, problem=_("write the name of a file in /etc/phpborg/hooks on the server, without a path")
        )
    return name


def _number(value: Any, field_name: str, least: int, most: int, *, optional: bool = False) -> Any:
    if optional and value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(
            field=field_name,
            problem=_("a whole number from {least} to {most} is needed").format(least=least, most=most),
        )
    return value


def create_job(*, definition: JobDefinition, by: Any = None) -> BackupJob:
    """A new job with its schedule. Raises what `clean` raises."""
    wanted = clean(definition)
    job = BackupJob(**_values(wanted), slug=slug_of(wanted.name), created_by=by if getattr(by, "pk", None) else None)
    with transaction.atomic():
        _save(job, force_insert=True)
        schedules.set_schedule(job=job, cron=wanted.cron, zone=wanted.zone)
    return job


def update_job(*, job: BackupJob, definition: JobDefinition) -> BackupJob:
    """The job with these values from its next run on; a run that goes on keeps what it began with."""
    wanted = clean(definition, job=job)
    for name, value in _values(wanted).items():
        setattr(job, name, value)
    job.slug = slug_of(wanted.name)
    with transaction.atomic():
        _save(job)
        schedules.set_schedule(job=job, cron=wanted.cron, zone=wanted.zone)
    return job


def _values(definition: JobDefinition) -> dict[str, Any]:
    return {name: getattr(definition, name) for name in _COLUMNS}


def _save(job: BackupJob, *, force_insert: bool = False) -> None:
    try:
        with transaction.atomic():
            job.save(force_insert=force_insert)
    except IntegrityError as error:
        if BackupJob.objects.filter(name=job.name).exclude(pk=job.pk).exists():
            raise InvalidInput(field=_("Name"), problem=_("another job has this name")) from error
        raise


def set_enabled(*, job: BackupJob, enabled: bool) -> None:
    """Switch a job on or off. Switched on again, it waits for its next time; nothing is caught up."""
    job.enabled = enabled
    with transaction.atomic():
        BackupJob.objects.filter(pk=job.pk).update(enabled=enabled)
        schedule = Schedule.objects.filter(job=job).first()
        if schedule:
            schedule.job = job
            schedules.plan_next(schedule)


@dataclass(frozen=True)
class Removal:
    """What removing a job means, for the confirmation."""

    archives: int
    repository: str


def removal_of(job: BackupJob) -> Removal:
    """What hangs on the job: its archives stay and keep its name."""
    return Removal(archives=job.archives.present().count(), repository=job.repository.name)


def delete_job(*, job: BackupJob) -> None:
    """Remove the definition and its schedule; archives and history stay. Raises JobRunning."""
    with transaction.atomic():
        if Task.objects.active().filter(job_ref=job.pk, kind="backup").exists():
            raise JobRunning(job=job.name)
        job.archives.filter(job_name="").update(job_name=job.name)
        job.delete()
