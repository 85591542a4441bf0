"""What this app does when something happens elsewhere: a task ended, a job changed."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from backups.models import BackupJob, Repository
from phpborg.errors import PhpBorgError
from phpborg.tasks.models import Task
from phpborg.tasks.registry import task_finished
from phpborg.tasks.states import GOOD, State
from servers.errors import HostKeyChanged
from servers.models import Server
from servers.services import direct, identity

log = logging.getLogger(__name__)
# Ended so, a task has spoken with its server.
_MET = {*GOOD, State.INCOMPLETE}


@receiver(task_finished)
def note_contact(task: Task, **_kwargs: Any) -> None:
    """Last seen; and when the identity was refused on any way, the server's page says so with both fingerprints."""
    if task.server_ref is None or task.is_system:
        return
    server = Server.objects.filter(pk=task.server_ref).first()
    if server is None:
        return
    if task.error_code == HostKeyChanged.code:
        Server.objects.filter(pk=server.pk).update(last_error_code=HostKeyChanged.code)
        server.last_error_code = HostKeyChanged.code
        identity.look_again(server)
    elif task.state in _MET:
        Server.objects.filter(pk=server.pk).update(last_seen_at=timezone.now())


def _converge() -> None:
    try:
        direct.converge()
    except (PhpBorgError, OSError) as error:
        log.error("authorized_keys could not be brought up to date: %s", error)


@receiver(post_save, sender=BackupJob)
@receiver(post_delete, sender=BackupJob)
def keep_grants_right(instance: BackupJob, **_kwargs: Any) -> None:
    """A direct server may append to the repositories of its jobs, and to no other."""
    if Server.objects.filter(pk=instance.server_id, mode=Server.Mode.DIRECT).exclude(direct_public_key="").exists():
        transaction.on_commit(_converge)


@receiver(post_save, sender=Repository)
def keep_paths_right(instance: Repository, **_kwargs: Any) -> None:
    """A repository that was moved or trashed is granted at its new place, or not at all."""
    servers = Server.objects.filter(mode=Server.Mode.DIRECT, jobs__repository=instance).exclude(direct_public_key="")
    if servers.exists():
        transaction.on_commit(partial(_converge))
