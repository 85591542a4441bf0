"""The rules about the machine itself: what an archive would get of it that somebody has to agree to by name.

An archive of another server is a stranger's: what its containers may do here, and where its files go, is told before.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from dockerops import ordering
from dockerops.conflict import Conflict
from dockerops.conflict_facts import Situation
from dockerops.conflict_machine import is_of_the_system
from dockerops.manifest import Container, Volume
from dockerops.naming import base_of
from dockerops.selecting import inside

# What lies here is carried out by the machine, or opens it.
_SYSTEM = (
    *("/etc", "/root", "/usr", "/boot", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/var/spool/cron", "/var/spool/at", "/var/lib/systemd", "/var/lib/phpborg"),
)
_HIDDEN = (".ssh", ".config/systemd")


def containers(facts: Situation) -> Iterator[Conflict]:
    """Containers that get rights over the machine, or see of it what is not restored with them."""
    if facts.options.placement == "drill":
        return  # made harmless before (drill_manifest.py), and looked at once more (drill_plan.unsafe)
    for one in facts.created:
        found = [*one.shape.rights, *_paths(facts, one), *_others(facts, one)]
        if found:
            name = facts.names.container(one.name)
            access = ", ".join(dict.fromkeys(found))
            yield Conflict("host_access", "stop", name, {"name": name, "access": access}, f"host:{name}")


def _paths(facts: Situation, one: Container) -> Iterator[str]:
    for source in one.shape.host_paths:
        path = facts.names.path(source)
        if path.endswith(".sock") or not _is_restored(facts, path):
            place = facts.there.paths.get(path)
            if place is None or place.exists or posixpath.normpath(path) != path.rstrip("/"):
                yield path
    for name in one.shape.volume_names:
        volume = facts.contents.volume(name)
        new = facts.names.volume(name)
        if volume is not None and volume.host_device and not _is_filled(facts, volume):
            yield f"{new} → {facts.names.path(volume.host_device)}"
        elif not facts.own and name not in facts.selected.volume_names and facts.there.volume(new):
            yield new  # somebody else's, of the same name


def _others(facts: Situation, one: Container) -> Iterator[str]:
    """Containers of the machine in whose network, processes or volumes it lives."""
    made = {made.name for made in facts.created}
    yield from (name for name in ordering.references(one) if name not in made and facts.there.container(name))


def _is_restored(facts: Situation, path: str) -> bool:
    """Is it the archive's own, as it is put back?"""
    if posixpath.normpath(path) != path.rstrip("/"):
        return False
    return any(inside(path, target.path) for target in facts.targets if target.items is None)


def _is_filled(facts: Situation, volume: Volume) -> bool:
    return any(target.volume == volume.name and target.items is None and not target.held for target in facts.targets)


def volumes(facts: Situation) -> Iterator[Conflict]:
    """Volumes that would be something of the machine, and that no new container mounts yet."""
    if facts.options.placement == "drill":
        return
    mounted = {name for one in facts.created for name in one.shape.volume_names}
    for one in facts.new_volumes:
        if one.host_device and one.name not in mounted and not _is_filled(facts, one):
            name = facts.names.volume(one.name)
            words: dict[str, str | int] = {"name": name, "path": facts.names.path(one.host_device)}
            yield Conflict("host_volume", "stop", name, words, f"device:{name}")


def targets(facts: Situation) -> Iterator[Conflict]:
    """Files that the machine itself would act on."""
    base = base_of(facts.options).rstrip("/")
    for target in facts.targets:
        path = posixpath.normpath(target.path)
        if base and inside(path, base):
            continue  # a directory that somebody chose for it
        if facts.own and target.source in facts.contents.config_files and not target.volume:
            continue
        if _is_trusted(path) and not is_of_the_system(facts, target):  # which is refused at all
            yield Conflict("system_target", "stop", target.path, {"path": target.path}, f"system:{target.path}")


def _is_trusted(path: str) -> bool:
    hidden = any(f"/{name}/" in f"{path}/" for name in _HIDDEN)
    return hidden or any(inside(path, one) or inside(one, path) for one in _SYSTEM)
