"""Conflicts: what stands on the target in the way of what is chosen. Asked from the server, kept with their time."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from dockerops import conflicts
from dockerops.choice import Choice
from dockerops.conflict import Conflict
from dockerops.inventory import Inventory
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.services import looking, planning
from dockerops.services.engine_at import EngineAt, socket_of
from phpborg.process import Stop
from phpborg.tasks import queue
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import Trigger

KIND = "docker_conflicts"


def start(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Ask the target anew; the question that is going on when there is one. Raises NotLookedYet, EngineUnknown."""
    looking.contents_of(restore)
    assert restore.server is not None
    socket_of(restore.server)
    known = task_of(restore)
    if (
        known is not None
        and known.is_active
        and restore.conflicts_at is None
        and known.params.get("of") == asked(restore)
    ):
        return known
    task = queue.enqueue(
        KIND,
        params={"docker_restore": str(restore.pk), "of": asked(restore)},
        subject=f"{restore.archive_name} → {restore.server_name}",
        server=restore.server,
        archive=restore.archive,
        by=by,
        trigger=trigger,
    )
    DockerRestore.objects.filter(pk=restore.pk).update(conflicts_task=task.pk, conflicts_at=None)
    restore.conflicts_task, restore.conflicts_at = task.pk, None
    return task


def task_of(restore: DockerRestore) -> Task | None:
    """The last time that it was asked."""
    return Task.objects.filter(pk=restore.conflicts_task).first() if restore.conflicts_task else None


def conflicts_of(restore: DockerRestore) -> tuple[Conflict, ...]:
    """As they are in the row, the gravest first; () also when nobody has asked (see `is_current`)."""
    return tuple(Conflict.from_json(row) for row in restore.conflicts)


def is_current(restore: DockerRestore) -> bool:
    """Were they asked for just what is chosen now?"""
    return restore.conflicts_at is not None


def standing(restore: DockerRestore) -> tuple[Conflict, ...]:
    """Those that still forbid a start: they block, or nobody has agreed to them."""
    return tuple(conflicts.open_ones(conflicts_of(restore), restore.agreed))


def asked(restore: DockerRestore) -> str:
    """What a question is about: an answer to another one is none."""
    about = {"choice": restore.choice, "options": restore.options, "server": str(restore.server_id)}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def ask(restore: DockerRestore, stop: Stop | None) -> Inventory:
    """The target as it is now, at all paths that the restore would touch. Raises what the way to it does."""
    assert restore.server is not None
    contents = looking.contents_of(restore)
    choice, options = Choice.from_json(restore.choice), Options.from_json(restore.options)
    engine = EngineAt(restore.server, socket_of(restore.server))
    # Where the engine keeps volumes decides which paths are asked for.
    with engine.host.one_connection():
        first = engine.inventory([], stop)
        return engine.inventory(conflicts.paths_to_ask(contents, choice, options, first), stop)


def carry_out(context: TaskContext) -> Outcome:
    """Inventory of the target, conflicts, row. An answer to what is no longer asked is thrown away."""
    restore = DockerRestore.objects.select_related("archive", "server").get(pk=context.params["docker_restore"])
    of = asked(restore)
    context.phase("connecting")
    with context.step("inventory", gettext_noop("Ask the server what its engine has and who uses what")) as row:
        there = ask(restore, context.stop)
        row["detail"] = f"{len(there.containers)} · {len(there.volumes)} · {len(there.networks)}"
    context.phase("planning")
    with context.step("conflicts", gettext_noop("Compare it with what is chosen")) as row:
        found = conflicts.find(
            looking.contents_of(restore),
            there,
            Choice.from_json(restore.choice),
            Options.from_json(restore.options),
            restore.agreed,
            own=planning.is_own(restore),
        )
        row["detail"] = str(len(found))
    restore.refresh_from_db()
    if asked(restore) == of:
        DockerRestore.objects.filter(pk=restore.pk, state=DockerRestore.State.DRAFT).update(
            conflicts=[one.as_json() for one in found],
            conflicts_at=timezone.now(),
            inventory=there.as_json(),
            plan={},
            plan_hash="",
        )
    graver = sum(one.severity in ("block", "stop") for one in found)
    return Outcome(result={"docker_restore": str(restore.pk), "conflicts": len(found), "in_the_way": graver})
