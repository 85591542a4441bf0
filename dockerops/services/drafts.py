"""The draft of a Docker restore, as the wizard fills it. What changes the question makes the answers stale."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from backups.models import Archive
from dockerops import typed
from dockerops.models import DockerRestore
from phpborg.errors import InvalidInput
from phpborg.tasks.leases import new_token
from servers.models import Server

_STALE: dict[str, Any] = {"conflicts": [], "conflicts_at": None, "inventory": {}, "plan": {}, "plan_hash": ""}


def open_draft(*, archive: Archive, by: Any = None) -> DockerRestore:
    """The person's draft of this archive, made when there is none; to the archive's own server at first."""
    owner = by if getattr(by, "pk", None) else None
    if owner is not None:
        known = DockerRestore.objects.filter(archive=archive, requested_by=owner, state=DockerRestore.State.DRAFT)
        if (found := known.first()) is not None:
            return found
    return DockerRestore.objects.create(
        archive=archive,
        archive_name=archive.name,
        server=archive.server,
        server_name=archive.server_name,
        requested_by=owner,
        token=new_token(),
        step=DockerRestore.Step.CONTENTS,
    )


def set_server(*, restore: DockerRestore, server: Server) -> None:
    """Where it goes. Conflicts and plan of another server are nothing here. Raises InvalidInput unless a draft."""
    if restore.server_id != server.pk:
        _change(restore, server=server, server_name=server.name, consents=[], **_STALE)


def set_choice(*, restore: DockerRestore, choice: dict[str, Any]) -> None:
    """What of the contents is put back (choice.Choice as JSON). Raises InvalidInput unless a draft."""
    if restore.choice != choice:
        _change(restore, choice=choice, **_STALE)


def set_options(*, restore: DockerRestore, options: dict[str, Any]) -> None:
    """Where to, what happens with ports, protection and start (options.Options as JSON). Raises as `set_choice`."""
    if restore.options != options:
        _change(restore, options=options, **_STALE)


def consent(*, restore: DockerRestore, keys: list[str]) -> None:
    """The conflicts that somebody agrees to, all of them: what is not named (any more) is not agreed to."""
    agreed = sorted(set(typed.stored(keys)))
    if restore.consents != agreed:
        _change(restore, consents=agreed, plan={}, plan_hash="")


def go_to(*, restore: DockerRestore, step: int) -> None:
    """The step of the wizard that is shown next time."""
    if step not in DockerRestore.Step.values:
        raise InvalidInput(field=_("Step"), problem=str(step))
    if restore.step != step:
        _change(restore, step=step)


def discard(*, restore: DockerRestore) -> None:
    """A draft goes without a trace; anything else stays."""
    DockerRestore.objects.filter(pk=restore.pk, state=DockerRestore.State.DRAFT).delete()


def _change(restore: DockerRestore, **values: Any) -> None:
    if not DockerRestore.objects.filter(pk=restore.pk, state=DockerRestore.State.DRAFT).update(**values):
        raise InvalidInput(field=_("Restore"), problem=_("It has been started and cannot be changed any more."))
    restore.refresh_from_db()
