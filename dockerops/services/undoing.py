"""What a Docker restore owes while it is not done: the rollback. After any end.

It is written down before anything is touched, the private directories of the extraction after it: these go first, what
was replaced lies elsewhere (servers/remote/dockers/keeping.py).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from dockerops.models import DockerRestore
from dockerops.plan import DockerPlan
from dockerops.run_errors import LeftHalfDone, PutBackAsItWas, RollbackFailed
from dockerops.services import protection
from dockerops.services.engine_at import EngineAt, Said
from phpborg.errors import PhpBorgError
from phpborg.tasks import leases
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Lease
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import StepState
from servers.models import Server
from servers.services.reach import host_for

if TYPE_CHECKING:
    from dockerops.services.restore_run import DockerRestoreRun

log = logging.getLogger(__name__)
STAGING, RESTORE = "restore_staging", "docker_restore"
LISTED = 50


def hold(context: TaskContext, restore: DockerRestore, plan: DockerPlan) -> None:
    """Write down that everything is to be undone unless it gets to its end."""
    context.hold(RESTORE, server=str(restore.server_id), socket=plan.socket, token=plan.token, restore=str(restore.pk))


def held(context: TaskContext, kind: str) -> list[Lease]:
    """What this task still owes of a kind."""
    return list(context.task.leases.held().filter(kind=kind))  # type: ignore[attr-defined]


def cross_out(context: TaskContext) -> None:
    """It is done: nothing is to be undone any more."""
    for lease in held(context, RESTORE):
        context.cross_out(lease)


# --- for the leases ------------------------------------------------------------------------------


def remove_restore(data: Mapping[str, Any]) -> None:
    """Undo a restore whose task has ended without doing so itself. Raises RollbackFailed with what is left."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is None:
        return
    said = undo(EngineAt(server, data["socket"], data["token"], host=host_for(server)))
    record(data["restore"], said)
    if said["problems"]:
        raise RollbackFailed(words(said), server=server.name)


def undo(engine: EngineAt) -> Said:
    """{"undone": [kind of step], "problems": [text], "notes": [text]}; nothing for a journal that is not there."""
    said = engine.rollback()
    found = {name: [str(one)[:500] for one in said.get(name) or []] for name in ("problems", "notes")}
    return {**found, "undone": [str(row.get("op")) for row in said.get("undone") or [] if isinstance(row, dict)]}


def words(said: Mapping[str, Any]) -> str:
    """What is left, for people."""
    return "\n".join(said["problems"][:LISTED])


def shown(said: Mapping[str, Any]) -> str:
    """For the step's line: how many were undone, and what somebody should read."""
    return "\n".join([str(len(said["undone"])), *said["problems"], *said["notes"]])[:2000]


def record(restore: str, said: Mapping[str, Any], **more: Any) -> None:
    """What became of the restore: as before, or half done."""
    row = DockerRestore.objects.filter(pk=restore).first()
    if row is None:
        return
    clean = not said["problems"]
    rollback = {
        "complete": clean,
        "undone": said["undone"][:LISTED],
        "problems": said["problems"][:LISTED],
        "notes": said["notes"][:LISTED],
        "at": timezone.now().isoformat(),
    }
    row.report = {**row.report, **more, "rollback": rollback}
    row.state = DockerRestore.State.ROLLED_BACK if clean else DockerRestore.State.FAILED
    row.finished_at = row.finished_at or timezone.now()
    # What could not be undone is still kept aside, for as long as it takes.
    row.protected_until = None
    if clean:
        for lease in protection.kept(row):
            leases.cross_out(lease)
    row.save(update_fields=["report", "state", "finished_at", "protected_until"])


# --- for a run that failed -----------------------------------------------------------------------


def after_failure(context: TaskContext, restore: DockerRestore, run: DockerRestoreRun, error: BaseException) -> None:
    """Undo at once, visibly, and say so; raises the error that carries both. What resists is left to the leases."""
    cause = {"error": error.code, "facts": error.facts} if isinstance(error, PhpBorgError) else {}
    report = {**run.so_far(), **cause, "step": run.at, "touched": run.touched, "stopped": context.stop.reason}
    if not run.touched:
        DockerRestore.objects.filter(pk=restore.pk, state=DockerRestore.State.STARTED).update(
            state=DockerRestore.State.FAILED, finished_at=timezone.now(), report=report
        )
        return
    DockerRestore.objects.filter(pk=restore.pk).update(report=report)
    said = _undo_now(context, restore, run)
    if isinstance(error, PhpBorgError) and said is not None:
        kind = LeftHalfDone if said["problems"] else PutBackAsItWas
        told = kind(_both(error, said), step=run.at, cause=error.code)
        told.__cause__ = error
        findings = [Finding("left", text).as_json() for text in said["problems"][:LISTED]]
        vars(told)["task_fields"] = {"findings": findings, "findings_count": len(said["problems"])}
        raise told


def _both(error: PhpBorgError, said: Said) -> str:
    return "\n".join(filter(None, [str(error), words(said)]))


def _undo_now(context: TaskContext, restore: DockerRestore, run: DockerRestoreRun) -> Said | None:
    """None when the server could not even be asked: the leases try again."""
    context.phase("cleaning")
    for lease in held(context, STAGING):
        context.release(lease)
    with context.step("rollback", gettext_noop("Undo everything, the last step first")) as row:
        try:
            said = undo(run.engine)
        except Exception as trouble:
            log.warning("the rollback of %s is left to the clean-up: %s", restore.pk, trouble)
            context.log(f"the rollback is tried again: {trouble}")
            row.update(state=StepState.FAILED, detail=str(trouble)[:2000])
            said = {"undone": [], "problems": [str(trouble)[:500]], "notes": []}
            record(str(restore.pk), said)
            return said
        row["detail"] = shown(said)
        if said["problems"]:
            row["state"] = StepState.FAILED
    record(str(restore.pk), said)
    if not said["problems"]:
        cross_out(context)
    return said
