"""The plan of a Docker restore, as the row stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from backups.models import Archive
from dockerops import conflicts
from dockerops.choice import Choice
from dockerops.errors import NotPlanned
from dockerops.inventory import Inventory
from dockerops.manifest import sum_of
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.planning import About, plan_docker
from dockerops.run_errors import ArchiveChanged, ChangedMeanwhile, ConflictsOpen, ConflictsUnknown, PlanChanged
from dockerops.services import looking
from dockerops.services.engine_at import socket_of
from recovery.errors import ArchiveGone

SHOWN = 20


def plan_of(restore: DockerRestore, there: Inventory | None = None) -> DockerPlan:
    """The plan for the contents, the choice, the options and the target, `there` or as it was seen with the conflicts.

    Raises NotLookedYet, ConflictsUnknown, EngineUnknown, ArchiveGone, and NotPlanned with what is in the way.
    """
    contents = looking.contents_of(restore)
    if there is None:
        if restore.conflicts_at is None:
            raise ConflictsUnknown()
        there = Inventory.from_json(restore.inventory)
    return plan_docker(
        contents,
        there,
        Choice.from_json(restore.choice),
        Options.from_json(restore.options),
        about(restore),
        restore.agreed,
    )


def about(restore: DockerRestore) -> About:
    """Which archive, which engine, which token. Raises ArchiveGone, EngineUnknown."""
    archive, server = restore.archive, restore.server
    if archive is None or archive.missing_at or archive.trashed_at:
        raise ArchiveGone(name=restore.archive_name)
    assert server is not None
    return About(
        archive_name=archive.name,
        archive_id=archive.borg_id,
        repository=_repository(archive),
        server_name=server.name,
        socket=socket_of(server),
        token=restore.token,
        own=is_own(restore),
    )


def is_own(restore: DockerRestore) -> bool:
    """Does the archive go back to the server that it was made of?"""
    return restore.archive is not None and restore.archive.server_id == restore.server_id is not None


def _repository(archive: Archive) -> str:
    """For people and for the script: where the repository lies on the backup host."""
    return str(archive.repository.path)


def stored_plan(restore: DockerRestore) -> DockerPlan:
    """The plan that was started."""
    return DockerPlan.from_json(restore.plan)


def check_unchanged(restore: DockerRestore, shown: DockerPlan, there: Inventory) -> None:
    """Do the facts of now still give the plan that was shown? Raises ConflictsOpen, PlanChanged."""
    try:
        now = plan_of(restore, there)
    except NotPlanned as error:
        raise ConflictsOpen(_told(error.conflicts), subjects=_subjects(error.conflicts)) from None
    if now.hash != shown.hash:
        raise PlanChanged(_difference(shown, now))


def check_containers(restore: DockerRestore, shown: DockerPlan, before: Inventory, now: Inventory) -> None:
    """Are the containers still those of the plan, now that images and files are there? Raises ChangedMeanwhile.

    All but the containers is taken from `before`: what the restore has made by now is no conflict.
    """
    try:
        check_unchanged(restore, shown, replace(before, containers=now.containers))
    except (ConflictsOpen, PlanChanged) as error:
        raise ChangedMeanwhile(error.detail) from error


def check_archive(plan: DockerPlan, identity: str, manifest: bytes | None) -> None:
    """Is it the archive, and the manifest, that the plan was made for? Raises ArchiveChanged."""
    if identity != plan.archive_id:
        raise ArchiveChanged(f"{plan.archive_id[:12]} → {identity[:12]}", archive=plan.archive_name)
    seen = "" if manifest is None else sum_of(manifest)
    if seen != plan.manifest_sha256:
        raise ArchiveChanged(f"manifest.json: {plan.manifest_sha256[:12]} → {seen[:12]}", archive=plan.archive_name)


def check_consents(restore: DockerRestore) -> None:
    """Raises ConflictsUnknown and ConflictsOpen."""
    if restore.conflicts_at is None:
        raise ConflictsUnknown()
    known = [conflicts.Conflict.from_json(row) for row in restore.conflicts]
    if found := conflicts.open_ones(known, restore.agreed):
        raise ConflictsOpen(_told(found), subjects=_subjects(found))


def _subjects(found: Iterable[conflicts.Conflict]) -> str:
    return ", ".join(dict.fromkeys(one.subject for one in found))[:300]


def _told(found: Iterable[conflicts.Conflict]) -> str:
    return "\n".join(f"{one.sentence} {one.remedy}".strip() for one in list(found)[:SHOWN])


def _difference(shown: DockerPlan, now: DockerPlan) -> str:
    """The first steps of either that the other has not."""
    before = {(step.op, step.sentence) for step in shown.steps}
    after = {(step.op, step.sentence) for step in now.steps}
    gone = [f"- {step.sentence}" for step in shown.steps if (step.op, step.sentence) not in after]
    new = [f"+ {step.sentence}" for step in now.steps if (step.op, step.sentence) not in before]
    # A container that was made anew has the same name.
    known = [step.params for step in shown.steps]
    other = [
        f"± {step.sentence}" for step in now.steps if (step.op, step.sentence) in before and step.params not in known
    ]
    lines = [*gone[:SHOWN], *new[:SHOWN], *other[:SHOWN]]
    return "\n".join(lines) or f"{shown.hash[:12]} → {now.hash[:12]}"
