"""Kinds of task of pools and repositories, and what is done after any writer has ended."""

from __future__ import annotations

import time
from typing import Any

from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from backups import errors as e
from backups.borg.argv import CheckMode
from backups.borg.events import Event
from backups.borg.progress import Progress
from backups.job_errors import RepositoryTrashed
from backups.models import Repository, StoragePool
from backups.services import maintenance, pools, repositories, sync, trash
from backups.services.telling import SHOW_SECONDS, words
from backups.storage_errors import with_findings
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Finding, Outcome, kind, task_finished
from phpborg.tasks.states import State

# What findings say; pages translate it.
GONE = gettext_noop("This archive is no longer in the repository.")
HELD = gettext_noop("The archive is open: the freed space comes back when it is closed.")
# After these kinds the repository has another size.
_CHANGES_SIZE = ("backup", "archive_delete", "sync")


@kind("pool_analysis", label=_("Pool analysis"), queue="system", is_system=True)
def run_pool_analysis(context: TaskContext) -> Outcome:
    """Filesystem, capacity and usage of one pool."""
    context.phase("measuring")
    pool = StoragePool.objects.filter(pk=context.params["pool"]).first()
    if pool is None:
        return Outcome()
    pools.analyse(pool=pool)
    result = {"capacity_bytes": pool.capacity_bytes, "available_bytes": pool.available_bytes}
    if pool.problem:
        return Outcome(State.NOTES, (Finding("unavailable", pool.problem, pool.path),), result=result)
    return Outcome(result=result)


@kind("sync", label=_("Comparison with Borg"), queue="system")
def run_sync(context: TaskContext) -> Outcome:
    """Record archives that only Borg knows; mark those that are gone."""
    repository = _repository(context)
    context.phase("syncing")
    with context.step("sync", _("Compare with the repository")):
        report = sync.synchronise(repository=repository)
    return _outcome_of(context, report)


def _outcome_of(context: TaskContext, report: sync.SyncReport) -> Outcome:
    """What a comparison found is worth a note when archives are gone: somebody removed them elsewhere."""
    for word, names in report.as_json().items():
        for name in names:
            context.log(f"{word}: {name}")
    findings = tuple(Finding("gone", GONE, name) for name in report.missing)
    return Outcome(State.NOTES if findings else State.SUCCESS, findings, result=report.as_json())


@kind("check", label=_("Repository check"), queue="system")
def run_check(context: TaskContext) -> Outcome:
    """Verify without repairing; damage fails the task, its words are the findings."""
    repository = _repository(context)
    mode: CheckMode = context.params.get("mode", "repository")
    context.phase("checking")
    with context.step("check", _("Check")) as row:
        checked = maintenance.check(repository=repository, mode=mode, on_event=Shower(context).hear, stop=context.stop)
        row["detail"] = "\n".join(checked.problems[:20])
    findings = tuple(Finding("damage", problem) for problem in checked.problems)
    if not checked.ok:
        raise with_findings(e.RepositoryDamaged("\n".join(checked.problems[:20])), findings)
    context.progress(percent=100, share=1.0)
    return Outcome(result={"mode": mode, "good": True})


@kind("compact", label=_("Compaction"), queue="system")
def run_compact(context: TaskContext) -> Outcome:
    """Give the space of removed archives back to the disk."""
    repository = _repository(context)
    context.phase("compacting")
    with context.step("compact", _("Compact")) as row:
        done = maintenance.compact(repository=repository, on_event=Shower(context).hear, stop=context.stop)
        row["detail"] = f"{done.before.bytes_used} → {done.after.bytes_used}"
    context.progress(percent=100, share=1.0)
    result = {
        "before_bytes": done.before.bytes_used,
        "after_bytes": done.after.bytes_used,
        "freed_bytes": done.freed_bytes,
    }
    held = repositories.views_of(repository)
    if held and done.freed_bytes:
        names = dict.fromkeys(str(lease.data.get("archive", "?")) for lease in held)
        return Outcome(State.NOTES, tuple(Finding("space_held", HELD, name) for name in names), result=result)
    return Outcome(result=result)


@kind("measure", label=_("Measurement"), queue="system")
def run_measure(context: TaskContext) -> Outcome:
    """Size on the disk and original size of all archives."""
    repository = _repository(context)
    context.phase("measuring")
    with context.step("measure", _("Measure")):
        used = maintenance.measure(repository=repository)
    return Outcome(result={"size_bytes": used.bytes_used, "freeable_bytes": used.freeable_bytes})


@kind("measure_disk", label=_("Disk use of a repository"), queue="system", is_system=True)
def run_measure_disk(context: TaskContext) -> Outcome:
    """Size on the disk only: no Borg, no lock."""
    context.phase("measuring")
    used = maintenance.measure_disk(repository=_repository(context))
    return Outcome(result={"size_bytes": used.bytes_used, "freeable_bytes": used.freeable_bytes})


@kind("accept_older", label=_("Acceptance of an older state"), queue="system", retryable=False)
def run_accept_older(context: TaskContext) -> Outcome:
    """An administrator accepted a repository that was put back from a copy; then the archives are compared."""
    repository = _repository(context)
    with context.step("accept", _("Accept the older state")):
        maintenance.accept_older(repository=repository)
    context.phase("syncing")
    with context.step("sync", _("Compare with the repository")):
        report = sync.synchronise(repository=repository)
    return _outcome_of(context, report)


@kind(trash.PURGE, label=_("Removal of a repository"), queue="system", retryable=False)
def run_purge(context: TaskContext) -> Outcome:
    """Remove a trashed repository from the disk, then its rows. Not stopped half-way."""
    context.phase("deleting")
    repository = Repository.objects.select_related("pool").filter(pk=str(context.task.repository_ref)).first()
    if repository is None:
        return Outcome()
    with context.step("purge", _("Remove from the disk")) as row:
        row["detail"] = repository.trash_path
        count = trash.purge(repository=repository)
    return Outcome(result={"archives": count})


def _repository(context: TaskContext) -> Repository:
    repository = Repository.objects.select_related("pool").get(pk=str(context.task.repository_ref))
    if repository.trashed_at is not None:
        raise RepositoryTrashed(repository=repository.name)
    return repository


class Shower:
    """Borg's events as percent and log lines of the task."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._progress = Progress()
        self._shown_at = 0.0

    def hear(self, event: Event) -> None:
        """One event of borg."""
        text = words(event)
        if text:
            self._context.log(text)
        if self._progress.add(event) and time.monotonic() - self._shown_at >= SHOW_SECONDS:
            self._shown_at = time.monotonic()
            share = self._progress.share
            self._context.progress(share=share, percent=None if share is None else round(share * 100, 1))


@receiver(task_finished, dispatch_uid="backups.tasks_storage.after_writing")
def after_writing(task: Task, **_more: Any) -> None:
    """A writer that ended badly leaves no dead lock behind; one that ended well leaves another size."""
    if not (task.repository_ref and task.exclusive and task.started_at):
        return
    repository = Repository.objects.live().filter(pk=task.repository_ref).first()
    if repository is None:
        return
    if State(task.state).is_good:
        if task.kind in _CHANGES_SIZE:
            maintenance.measure_disk(repository=repository)
    else:
        repositories.release_dead_locks(repository)
