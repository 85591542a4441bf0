"""Instant Recovery sessions: drafted from what was found, started, extended, stopped, and what their rows say."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from backups.models import Archive
from backups.services import repositories
from phpborg.crypto import EncryptedField, EncryptedText
from phpborg.tasks import queue
from phpborg.tasks.errors import TaskLost, TaskNotCancellable
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State as TaskState
from phpborg.tasks.states import Trigger
from recovery.engines import find, images
from recovery.engines.base import Found
from recovery.errors import ArchiveGone, SessionOver
from recovery.models import Session
from recovery.paths import shown
from recovery.services import serving
from servers.models import Server
from servers.services.capabilities import latest_report

log = logging.getLogger(__name__)
State = Session.State
USUAL_DOCKER = "/run/docker.sock"


def draft(
    *,
    archive: Archive,
    found: Found,
    server: Server,
    docker: str = "",
    read_only: bool = True,
    image: str = "",
    openly: bool = False,
    fetch: bool = True,
    by: Any = None,
) -> Session:
    """A session that has not begun: everything is decided, nothing is made, and whoever wants it saves it.

    `docker` is the engine's socket on the server; the one that was seen there unless it is given. `fetch`: that
    engine fetches an image that it has not. Raises ArchiveGone, CannotStart and ImageRefused.
    """
    if archive.missing_at or archive.trashed_at or archive.repository.trashed_at:
        raise ArchiveGone(name=archive.name)
    chosen = images.choose(find.engine_of(found), found, wanted=image, openly=openly)
    asked, login = serving.request(found, chosen.name, read_only=read_only)
    return Session(
        archive=archive,
        archive_name=archive.name,
        server=server,
        server_name=server.name,
        product=found.product,
        version=found.version or "",
        directory=shown(found.path) or "/",
        image=chosen.name,
        is_read_only=read_only,
        asked={**asked.args, "engine": docker or docker_of(server), "pull": fetch},
        secrets=EncryptedField.seal(json.dumps(dict(asked.secrets))),
        login=login.name,
        password=EncryptedField.seal(login.password),
        requested_by=by,
    )


def docker_of(server: Server) -> str:
    """The socket of the engine that was seen there, else the usual one."""
    report = latest_report(server)
    socket = report.docker.socket if report is not None and report.docker is not None else None
    return socket or USUAL_DOCKER


def start(*, session: Session, hours: int | None = None, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue its task, which lives as long as the database. Raises SessionOver for one that has begun already."""
    lives = timedelta(hours=settings.INSTANT_RECOVERY_HOURS if hours is None else hours)
    with transaction.atomic():
        begun = Session.objects.filter(pk=session.pk, state=State.DRAFT).update(
            state=State.STARTING, expires_at=timezone.now() + lives
        )
        if not begun:
            raise SessionOver()
        assert session.archive is not None
        task = queue.enqueue(
            "instant_recovery",
            params={"session": str(session.pk)},
            subject=str(session),
            server=session.server,
            repository=session.archive.repository,
            archive=session.archive,
            by=by,
            trigger=trigger,
        )
        Session.objects.filter(pk=session.pk).update(task_ref=task.pk)
    session.refresh_from_db()
    return task


def extend(*, session: Session, hours: int) -> None:
    """It lives so many hours from now on. Raises SessionOver when it has ended."""
    until = timezone.now() + timedelta(hours=hours)
    if not Session.objects.active().filter(pk=session.pk).update(expires_at=until):
        raise SessionOver()
    session.expires_at = until


def reveal_password(*, session: Session, by: Any) -> str:
    """For somebody who asked for it; leaves a line in the log. Empty once the session has ended."""
    log.warning("the password of session %s was shown to %s", session.pk, by)
    clear: str = session.password.reveal()
    return clear


def stop(*, session: Session, by: Any = None) -> None:
    """Ask for its end. Over already, or asked twice, is fine."""
    task = Task.objects.filter(pk=session.task_ref).first() if session.task_ref else None
    if follow(session, task) or task is None:
        return
    with suppress(TaskNotCancellable):  # asked already, or ended in this moment
        queue.cancel(task, by=by)


def view_bytes(session: Session) -> int | None:
    """What stays on the repository's disk for it alone; None for one that holds no view, or one too large to count."""
    if not session.is_active or session.task_ref is None:
        return None
    views = list(Lease.objects.held().filter(kind="repository_view", task=session.task_ref))
    return repositories.held_by(views) if views else None


# --- what its run writes ---------------------------------------------------------------------------


def serves(session: Session, figures: dict[str, int | None], *, adminer_problem: str = "") -> None:
    """It is ready, or still is. One that is being stopped stays so."""
    now = timezone.now()
    session.ready_at = session.ready_at or now
    session.port, session.prepared = figures["port"], figures.get("prepared")
    Session.objects.filter(pk=session.pk, state__in=[State.STARTING, State.READY]).update(
        state=State.READY, ready_at=session.ready_at, adminer_problem=adminer_problem, **figures
    )


def stopping(session: Session) -> None:
    """The helper takes it down."""
    Session.objects.active().filter(pk=session.pk).update(state=State.STOPPING)


def follow(session: Session, task: Task | None) -> bool:
    """Write the end of a session, once, from that of its task; None is one that is gone. False while it lives.

    Secrets go, and what happened is kept: the history of tasks is forgotten one day.
    """
    if task is not None and task.is_active:
        return False
    fields: dict[str, Any] = {"state": State.STOPPED}
    if task is None:
        fields = {"state": State.FAILED, "error_code": TaskLost.code}
    elif not (task.state_enum.is_good or task.state == TaskState.CANCELLED):
        told = {"error_code": task.error_code, "error_facts": task.error_facts, "error_detail": task.error_detail}
        fields = {"state": State.FAILED, **told}
    Session.objects.active().filter(pk=session.pk).update(
        **fields,
        ended_at=timezone.now(),
        connections=None,
        adminer_port=None,
        secrets=EncryptedText(""),
        password=EncryptedText(""),
    )
    return True


def notice_ends() -> int:
    """For the clock: ends of which nobody told us; answers how many there were."""
    sessions = list(Session.objects.active())
    tasks = Task.objects.in_bulk([session.task_ref for session in sessions if session.task_ref])
    return sum(follow(session, tasks.get(session.task_ref)) for session in sessions)
