"""What a Docker job does, in sentences; and what somebody should look at, as findings."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from backups.sources.databases import Row, listed
from backups.sources.docker_choice import MISSING, NO_DIRECTORY, NOT_CHOSEN, Chosen
from backups.sources.docker_config import DUMP, PAUSE, SAVED, STOP, DockerConfig
from phpborg.tasks.registry import Finding
from phpborg.ui.format import byte_size
from servers.capabilities.docker import Docker
from servers.capabilities.report import Report

WIDE = gettext_noop("it holds much more than the project: only the project's own files are read")
NO_FOLDER = gettext_noop("the project's directory is not there")
ODD_NAME = gettext_noop("its name cannot be kept in an archive")
UNCLEAR = gettext_noop("its name holds a variable whose value is not known")
KINDS: dict[str, Promise] = {
    "project": gettext_lazy("Project"),
    "project_directory": gettext_lazy("Project's directory"),
    "container": gettext_lazy("Container"),
    "volume": gettext_lazy("Volume"),
    "bind": gettext_lazy("Place outside"),
    "network": gettext_lazy("Network"),
    "image": gettext_lazy("Image"),
    "dump": gettext_lazy("Dump"),
    "file": gettext_lazy("File"),
    "config": gettext_lazy("Configuration file"),
}
# What is left out although nobody meant it; the rest is so by choice, or by its nature.
_UNMEANT = {MISSING, NO_DIRECTORY, ODD_NAME, WIDE, NO_FOLDER}
_TOLD = 10


def reason_words(reason: str) -> str:
    """A reason as the reader says it; one of the server's own words stays as it is."""
    return _(reason) if reason else ""


def outlook() -> str:
    """What will be done, before anybody has looked."""
    return _(
        "When it runs, Docker's engine is asked for its projects, containers, volumes and networks. The rest of the "
        "plan follows from the answer."
    )


def sentences(config: DockerConfig, docker: Docker, chosen: Chosen, left_out: Sequence[Row]) -> tuple[str, ...]:
    """What is read, in order of weight."""
    return tuple(
        filter(
            None,
            [
                *_parts(chosen),
                _outside(chosen),
                _held(chosen),
                _("Writes down how each container, volume and network is made, so that it can be made again."),
                _images(config, docker, chosen),
                *_still(chosen),
                *_left_out(left_out),
            ],
        )
    )


def _parts(chosen: Chosen) -> list[str]:
    projects = [one.name or "" for one in chosen.projects]
    alone = [one.name or "" for one in chosen.containers if one.project is None]
    found = []
    if projects:
        words = ngettext(
            "Reads {count} Compose project with its directory and files: {names}.",
            "Reads {count} Compose projects with their directories and files: {names}.",
            len(projects),
        )
        found.append(words.format(count=len(projects), names=listed(projects, _TOLD)))
    if alone:
        words = ngettext(
            "Takes {count} container that belongs to no project: {names}.",
            "Takes {count} containers that belong to no project: {names}.",
            len(alone),
        )
        found.append(words.format(count=len(alone), names=listed(alone, _TOLD)))
    if chosen.volumes:
        words = ngettext("Reads {count} volume ({size}).", "Reads {count} volumes ({size}).", len(chosen.volumes))
        found.append(words.format(count=len(chosen.volumes), size=_size([one.size_bytes for one in chosen.volumes])))
    return found or [_("There is no project, no container and no volume: only the engine itself is written down.")]


def _size(sizes: Sequence[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    if not known:
        return _("size not known")
    if len(known) < len(sizes):
        return _("at least {size}").format(size=byte_size(sum(known)))
    return byte_size(sum(known))


def _outside(chosen: Chosen) -> str:
    outside = [one.source or "" for one in chosen.binds if not one.inside]
    if not outside:
        return ""
    return _("Reads what containers see outside of their projects' directories: {paths}.").format(
        paths=listed(outside, _TOLD)
    )


def _held(chosen: Chosen) -> str:
    held = [one.name or "" for one in chosen.volumes if one.mountpoint and not one.readable]
    if not held:
        return ""
    return _(
        "Some volumes are mounted only while a container uses them ({names}): a small container of ours holds them "
        "mounted meanwhile."
    ).format(names=listed(held, _TOLD))


def _images(config: DockerConfig, docker: Docker, chosen: Chosen) -> str:
    used = {one.image_id for one in chosen.containers}
    images = [one for one in docker.images if one.id in used]
    if not images:
        return ""
    if config.images == SAVED:
        words = ngettext("Saves {count} image whole ({size}).", "Saves {count} images whole ({size}).", len(images))
        return words.format(count=len(images), size=_size([one.size_bytes for one in images]))
    return _("Of images only names and digests are kept: a restore fetches them again.")


def _still(chosen: Chosen) -> list[str]:
    found = []
    for way, words in (
        (STOP, _("Stopped while Borg reads: {names}.")),
        (PAUSE, _("Paused while Borg reads: {names}.")),
        (DUMP, _("Dumped by the database's own tool before Borg reads: {names}.")),
    ):
        names = _names(chosen, way)
        if names:
            found.append(words.format(names=listed(names, _TOLD)))
    if any(one.ours for one in chosen.containers):
        found.append(_("phpBorg's own container goes on working: it makes the backup."))
    if chosen.shared:
        words = listed([f"{volume} ({listed(users, _TOLD)})" for volume, users in chosen.shared], _TOLD)
        found.append(
            _("Containers outside of this job write to volumes of it and are never kept still: {names}.").format(
                names=words
            )
        )
    running = {one.container.name for one in chosen.still if one.way in (STOP, PAUSE)}
    writing = [one for one in chosen.containers if one.state == "running" and one.name not in running]
    if writing and chosen.volumes:
        found.append(
            _("Containers that go on working write while their volumes are read: these are not of one moment.")
        )
    return found


def _names(chosen: Chosen, *ways: str) -> list[str]:
    return [one.container.name or "" for one in chosen.still if one.way in ways]


def _left_out(left_out: Sequence[Row]) -> list[str]:
    told = [row for row in left_out if row["reason"] != NOT_CHOSEN]
    found = []
    if told:
        words = listed([f"{row['name']} ({reason_words(row['reason'])})" for row in told], _TOLD)
        found.append(_("Not read: {names}.").format(names=words))
    others = len(left_out) - len(told)
    if others:
        words = ngettext("{count} more was not chosen.", "{count} more were not chosen.", others)
        found.append(words.format(count=others))
    return found


def findings(config: DockerConfig, report: Report, chosen: Chosen, left_out: Sequence[Row]) -> tuple[Finding, ...]:
    """What a run notes: what is missing without anybody's wish, and what could not be kept still."""
    found = [
        Finding(_finding_kind(row), str(row["reason"]), str(row["name"]))
        for row in left_out
        if row["reason"] in _UNMEANT
    ]
    found += [
        Finding("docker_volume_empty", ", ".join(one.used_by[:_TOLD]), one.name or "")
        for one in chosen.volumes
        # One without a name is often declared by an image and never written to.
        if one.empty and one.readable and one.used_by and not one.anonymous
    ]
    found += [Finding("docker_swarm", one.stack or "", one.name or "") for one in chosen.swarm]
    if config.way in (STOP, PAUSE) or _names(chosen, STOP, PAUSE):
        # Otherwise nobody expects that the volume is of one moment.
        found += [Finding("docker_shared", listed(users, _TOLD), volume) for volume, users in chosen.shared]
    found += [Finding("docker_not_running", "", one.name or "") for one in chosen.asleep]
    found += [Finding("docker_unclear", one.problem, one.name or "") for one in chosen.projects if one.problem]
    if report.cut:
        found.append(Finding("report_cut", "Docker"))
    return tuple(found)


def _finding_kind(row: Row) -> str:
    if row["kind"] == "volume":
        return "docker_volume_unread"
    return "docker_project_directory" if row["kind"] == "project_directory" else "docker_left_out"


def freezes(config: DockerConfig, docker: Docker, chosen: Chosen) -> str:
    """What is made before Borg reads, and which containers wait for how long."""
    found = [_("Writes down what Docker's engine holds.")]
    if config.images == SAVED and chosen.containers:
        found.append(_("Saves images."))
    dumped = _names(chosen, DUMP)
    if dumped:
        found.append(_("Dumps the databases in {names}.").format(names=listed(dumped, _TOLD)))
    for way, words in ((STOP, _("Then stops {names}.")), (PAUSE, _("Then pauses {names}."))):
        names = _names(chosen, way)
        if names:
            found.append(words.format(names=listed(names, _TOLD)))
    if _names(chosen, STOP, PAUSE):
        found.append(_("They come back as soon as Borg has read everything."))
    return " ".join(found)


def undo(chosen: Chosen) -> str:
    """How it goes again."""
    if _names(chosen, STOP, PAUSE):
        return _(
            "Containers come back into the state that they were in, and what was written for the archive is removed, "
            "whatever happens: also after a cancellation, a crash or a restart of the server."
        )
    return _("What was written for the archive is removed, whatever happens: also after a cancellation or a crash.")
