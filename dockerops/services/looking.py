"""A look into an archive: what of Docker it holds. Names, sizes and origins reach the row, nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_noop

from backups.models import Archive
from dockerops import analysis, compose_reading
from dockerops.compose_files import may_be_asked
from dockerops.listing import Listing
from dockerops.manifest import MANIFEST, Contents
from dockerops.models import DockerRestore
from dockerops.run_errors import NothingOfDocker, NotLookedYet
from dockerops.services.archive_reading import Reader, reading
from phpborg.tasks import queue
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import Trigger

KIND = "docker_look"
# A larger Compose file is not looked into.
MOST_OF_A_FILE = 1 << 18


def start(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """The look that fills `restore.contents`; the one that is going on when there is one."""
    known = task_of(restore)
    if known is not None and known.is_active:
        return known
    task = queue.enqueue(
        KIND,
        params={"docker_restore": str(restore.pk)},
        subject=restore.archive_name,
        server=restore.server,
        repository=restore.archive.repository if restore.archive else None,
        archive=restore.archive,
        by=by,
        trigger=trigger,
    )
    DockerRestore.objects.filter(pk=restore.pk).update(look_task=task.pk)
    restore.look_task = task.pk
    return task


def task_of(restore: DockerRestore) -> Task | None:
    """The last look."""
    return Task.objects.filter(pk=restore.look_task).first() if restore.look_task else None


def contents_of(restore: DockerRestore) -> Contents:
    """What the archive holds, without any secret. Raises NotLookedYet."""
    if not is_known(restore):
        raise NotLookedYet()
    return Contents.from_json(restore.contents)


def is_known(restore: DockerRestore) -> bool:
    """Did a look end? An older phpBorg did not note which manifest it had seen: that has to be looked at again."""
    contents = restore.contents
    return bool(contents) and (contents.get("origin") != MANIFEST or bool(contents.get("manifest_sha256")))


def carry_out(context: TaskContext) -> Outcome:
    """View, manifest or listing, analysis, row. Raises NothingOfDocker, ManifestUnreadable."""
    restore = DockerRestore.objects.select_related("archive__repository__pool", "archive__job").get(
        pk=context.params["docker_restore"]
    )
    assert restore.archive is not None
    with reading(context, restore.archive) as reader:
        context.phase("planning")
        with context.step("look", gettext_noop("Read what the archive says of itself, or list it")) as row:
            contents = read(reader, restore.archive)
            row["detail"] = f"{len(contents.projects)} · {len(contents.containers)} · {len(contents.volumes)}"
    public = contents.public()
    DockerRestore.objects.filter(pk=restore.pk, state=DockerRestore.State.DRAFT).update(contents=public.as_json())
    return Outcome(result={"docker_restore": str(restore.pk), "origin": contents.origin, "notes": list(contents.notes)})


def read(reader: Reader, archive: Archive) -> Contents:
    """By the surest source that the archive has: its manifest, its record, its listing. Raises NothingOfDocker.

    Beside a manifest only what a plan wants to know the size of is listed.
    """
    written = reader.manifest_bytes()
    wanted = list(filter(may_be_asked, analysis.wanted_sizes(written)))
    listing = Listing(wanted)
    if written is None or wanted:
        paths = tuple(os.fsencode(path) for path in wanted)
        reader.entries(lambda entry: listing.add(os.fsdecode(entry.path), entry.kind, entry.size), paths)
    contents = analysis.analyse(written, archive.backup_config, listing)
    if not any((contents.projects, contents.containers, contents.volumes, contents.binds, contents.config_files)):
        raise NothingOfDocker(archive=archive.name)
    texts = reader.texts(compose_reading.wanted(contents), MOST_OF_A_FILE, compose_reading.MOST_BYTES)
    return replace(contents, compose_files=compose_reading.found_in(contents, texts, reader.check))
