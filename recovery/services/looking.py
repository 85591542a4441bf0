"""Which databases an archive holds: mounted for a moment, read, and kept as the task's result."""

from __future__ import annotations

from typing import Any

from backups.models import Archive
from phpborg.tasks import queue
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import State, Trigger
from recovery.engines import find
from recovery.engines.base import Found
from recovery.errors import NoDatabase, OnlyDumps
from recovery.paths import shown
from recovery.services import found_json, opening
from recovery.services.found import hints_of

KIND = "instant_look"


def ask(*, archive: Archive, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue a look into an archive."""
    return queue.enqueue(
        KIND,
        params={"archive": str(archive.pk)},
        subject=archive.name,
        server=archive.server,
        repository=archive.repository,
        archive=archive,
        by=by,
        trigger=trigger,
    )


def newest(archive: Archive) -> Task | None:
    """The last look; an archive never changes, so one that ended well is as good as new."""
    return Task.objects.filter(kind=KIND, archive_ref=archive.pk).order_by("-created_at").first()


def found_by(task: Task) -> tuple[Found, ...]:
    """What a look that has ended found. Raises ValueError for a row of another version."""
    return tuple(found_json.load(row) for row in task.result.get("found", []))


def answer_of(archive: Archive) -> tuple[Found, ...] | None:
    """What is known of an archive; None when nobody has looked, or nobody with eyes like ours."""
    task = newest(archive)
    if task is None or task.state != State.SUCCESS:
        return None
    try:
        return found_by(task)
    except ValueError:
        return None


def carry_out(context: TaskContext) -> Outcome:
    """View, mount, read, and away with both. Raises NoDatabase and OnlyDumps."""
    archive = Archive.objects.select_related("repository__pool").get(pk=context.params["archive"])
    name = f"look-{new_token()}"
    context.phase("mounting")
    point = opening.mount(context, archive, opening.make_view(context, archive, name), name)
    context.phase("planning")
    answer = find.find(point, hints_of(archive))
    if not answer.found:
        raise OnlyDumps() if answer.holds_dumps else NoDatabase()
    return Outcome(
        result={
            "found": [found_json.dump(one) for one in answer.found],
            "whole": answer.whole,
            "holds_dumps": answer.holds_dumps,
        }
    )


def shown_path(found: Found) -> str:
    """Its directory for people."""
    return shown(found.path) or "/"
