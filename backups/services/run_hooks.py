"""The two hooks around one run: the one before may forbid it, the one after runs exactly once."""

from __future__ import annotations

from typing import Any

from backups.job_errors import HookFailed
from backups.models import BackupJob
from backups.services import hooks
from backups.services.plan import BackupPlan
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Lease
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import StepState
from servers.transport.base import Host


class RunHooks:
    """Of one run of a job. What the hooks are told does not change while it runs."""

    def __init__(self, context: TaskContext, job: BackupJob, host: Host, plan: BackupPlan) -> None:
        self._context = context
        self._host = host
        self._server = str(job.server_id)
        self._names = (plan.hook_before, plan.hook_after)
        self._seconds = plan.hook_seconds
        self._lease: Lease | None = None
        self._facts = {
            "PHPBORG_JOB": job.name,
            "PHPBORG_JOB_ID": str(job.pk),
            "PHPBORG_TASK_ID": str(context.task.pk),
            "PHPBORG_SERVER": job.server.name,
            "PHPBORG_REPOSITORY": job.repository.name,
            "PHPBORG_ARCHIVE": plan.archive,
        }

    def _hook(self, name: str) -> hooks.Hook:
        return hooks.Hook(name, self._seconds, self._facts)

    def owe(self) -> None:
        """From here on the hook after is owed: should the worker be killed, the reaper runs it."""
        if self._names[1]:
            self._lease = self._context.hold("hook_after", server=self._server, **self._hook(self._names[1]).as_json())

    @property
    def is_owed(self) -> bool:
        """There is a hook after, and it did not run yet."""
        return self._lease is not None

    def before(self, row: dict[str, Any]) -> None:
        """Raises HookFailed, and what the way to the server does."""
        self._context.phase("hooks_before")
        hook = self._hook(self._names[0])
        ended = hooks.run(self._host, hook, say=self._context.log, stop=self._context.stop)
        self._context.stop.check()
        row["detail"] = ended.output
        if ended.problem:
            raise HookFailed(ended.output, hook=hook.name, status=ended.problem)

    def after(self, row: dict[str, Any], outcome: str, error: str) -> Finding | None:
        """Exactly once; its failure is a note on the run, never its end."""
        if self._lease is None:
            return None
        lease, self._lease = self._lease, None
        hook = self._hook(self._names[1])
        self._context.phase("hooks_after")
        self._context.update_lease(lease, started=True)
        try:
            ended = hooks.run(self._host, hook, outcome=outcome, error=error, say=self._context.log)
            problem, row["detail"] = ended.problem, ended.output
        except PhpBorgError as failure:
            problem = f"{failure.code} {failure}"
            row["detail"] = str(failure)
        self._context.release(lease)
        if not problem:
            return None
        row["state"] = StepState.WARNING
        self._context.log(f"hook {hook.name}: {problem}")
        return Finding("hook_after", problem, hook.name)
