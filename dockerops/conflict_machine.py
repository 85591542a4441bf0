"""The rules about the machine: paths, room, images, versions, what its administrator allows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dockerops.conflict import Conflict
from dockerops.conflict_facts import Situation, Target
from dockerops.manifest import MANIFEST, Container, Image
from dockerops.selecting import inside

# An image may be meant by its id, which is no name.
_HEX = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
# Where a container may look, and which nobody replaces as a whole.
_TOP = (
    *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt"),
    *("proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"),
)
_BELOW = ("usr/bin", "usr/lib", "usr/local", "usr/sbin", "usr/share", "var/cache", "var/lib", "var/log", "var/spool")
_OF_THE_SYSTEM = frozenset(f"/{name}" for name in ("", *_TOP, *_BELOW))
_OF_THE_KERNEL = ("/dev", "/proc", "/run", "/sys")
_GIB = 1 << 30
Words = dict[str, str | int]


def paths(facts: Situation) -> Iterator[Conflict]:
    """Files and directories that are there already, and where nothing may be written."""
    for target in facts.targets:
        place = facts.place(target.path)
        if not (place.allowed and facts.place(target.stage).allowed):
            yield Conflict("policy", "block", target.path, {"path": target.path})
        if place.links:
            yield Conflict("path_links", "block", target.path, {"path": target.path})
        if is_of_the_system(facts, target):
            yield Conflict("system_path", "block", target.path, {"path": target.path})
        known = facts.contents.volume(target.volume) if target.volume else None
        if known is not None and known.device is None:
            continue  # the engine's own directory: the volume itself is told
        if place.exists and not (place.kind == "directory" and place.empty is True):
            yield Conflict("path_there", "stop", target.path, {"path": target.path}, f"overwrite:{target.path}")


def is_of_the_system(facts: Situation, target: Target) -> bool:
    """Would more be replaced than an application's own files, or the engine under our feet?"""
    kernel = any(inside(target.path, one) for one in _OF_THE_KERNEL)
    return target.path in _OF_THE_SYSTEM or kernel or inside(facts.data_root, target.path)


def binds(facts: Situation) -> Iterator[Conflict]:
    """Paths that new containers want to see, which are not restored and are known to be missing."""
    restored = [target.path for target in facts.targets]
    for one in facts.created:
        for mount in one.mounts:
            if mount.type != "bind" or not mount.source:
                continue
            path = facts.names.path(mount.source)
            place = facts.there.paths.get(path)
            if place is not None and not place.exists and not any(inside(path, above) for above in restored):
                yield Conflict("bind_missing", "warn", path, {"path": path, "name": facts.names.container(one.name)})


def images(facts: Situation) -> Iterator[Conflict]:
    """Images that have to be there, or come from somewhere."""
    seen: set[str] = set()
    for one in facts.created:
        if one.image_id in seen:
            continue
        seen.add(one.image_id)
        yield from _image(facts, one)


def image_of(facts: Situation, one: Container) -> Image | None:
    """What the archive says of a container's image."""
    return next((image for image in facts.contents.images if image.id == one.image_id), None)


def _image(facts: Situation, one: Container) -> Iterator[Conflict]:
    words: Words = {"name": facts.names.container(one.name), "image": one.image}
    known = image_of(facts, one)
    there = facts.there.has_image(one.image_id)
    if not there and not _comes(facts, known):
        yield Conflict("image_missing", "block", one.image, words)
    elif not there and facts.options.images == "pull" and known is not None and not known.digests:
        yield Conflict("image_by_tag", "warn", one.image, words)
    for tag in sorted(names_to_give(facts, one)):
        if any(tag in image.tags and image.id != one.image_id for image in facts.there.images):
            yield Conflict("image_tag", "stop", tag, {**words, "image": tag}, f"tag:{tag}")


def names_to_give(facts: Situation, one: Container) -> set[str]:
    """Names that this container's image has to have and has not: its own, and those that come with a saved image."""
    there = next((image for image in facts.there.images if image.id == one.image_id), None)
    known = image_of(facts, one)
    saved = set(known.tags) if there is None and known is not None and facts.options.images == "archive" else set()
    plain = {one.image} if one.image and "@" not in one.image and not _HEX.fullmatch(one.image) else set()
    return (plain | saved) - set(there.tags if there else ())


def _comes(facts: Situation, known: Image | None) -> bool:
    """Can it be had, by what was chosen?"""
    if known is None:
        return False
    if facts.options.images == "archive":
        return known.stream is not None
    return facts.options.images == "pull" and bool(known.digests or known.tags)


def space(facts: Situation) -> Iterator[Conflict]:
    """Room for what is extracted: what is replaced is renamed, so it takes none, but it frees none either."""
    totals = {place.device or place.mountpoint: place.total_bytes for place in facts.there.paths.values()}
    needed: dict[str, int] = {}
    free: dict[str, int | None] = {}
    more: set[str] = set()  # filesystems that also get what nobody knows the size of
    for target in facts.targets:
        device, there = room(facts, target)
        needed[device] = needed.get(device, 0) + (target.bytes or 0)
        free[device] = there
        if target.bytes is None:
            more.add(device)
            yield Conflict("size_unknown", "info", target.path, {"path": target.path})
    device, there = root_room(facts)
    loaded = _loaded(facts)
    if loaded:
        needed[device] = needed.get(device, 0) + loaded
        free[device] = there
    for name, wanted in needed.items():
        available = free[name]
        if available is None:
            if wanted:
                yield Conflict("space_unknown", "warn", name, {"needed_bytes": wanted})
            continue
        reserve = reserve_of(wanted, totals.get(name))
        words: Words = {"needed_bytes": wanted, "free_bytes": available, "reserve_bytes": reserve}
        if wanted + reserve > available:
            yield Conflict("space_short" if name in more else "space", "block", name, words)
        elif name in more:
            yield Conflict("space_at_least", "warn", name, words)


def reserve_of(needed: int, total: int | None) -> int:
    """Bytes that stay free beside what is needed: 5 % or 1 GiB, and for little no more than as much again.

    A machine whose disk is full to the last byte stands still, whatever was brought back. `total`: of the filesystem.
    """
    return min(needed, max((total or 0) // 20, _GIB))


def room(facts: Situation, target: Target) -> tuple[str, int | None]:
    """(the filesystem, its free bytes) where this one is extracted."""
    if target.held:
        now = facts.place(target.path)
        # Unless somebody has it mounted now, what is there is another filesystem.
        return (now.device, now.free_bytes) if now.mountpoint == target.path else (target.path, None)
    for path in (target.path, target.stage):
        place = facts.there.paths.get(path)
        if place is not None and place.free_bytes is not None:
            return place.device or place.mountpoint, place.free_bytes
    return root_room(facts) if inside(target.path, facts.data_root) else (target.stage, None)


def root_room(facts: Situation) -> tuple[str, int | None]:
    """The engine's own filesystem."""
    place = facts.there.paths.get(facts.data_root)
    device = place.device if place is not None and place.device else facts.data_root
    return device, facts.there.data_root_free_bytes


def _loaded(facts: Situation) -> int:
    """Bytes of images that are not there yet."""
    wanted = {one.image_id for one in facts.created if not facts.there.has_image(one.image_id)}
    return sum(one.size_bytes or 0 for one in facts.contents.images if one.id in wanted)


def versions(facts: Situation) -> Iterator[Conflict]:
    """Another machine, an older engine or Compose, Swarm."""
    then, now = facts.contents.engine, facts.there.engine
    if _older(now.version, then.version):
        yield Conflict("engine_older", "warn", now.version, {"there": now.version, "then": then.version})
    made, have = then.compose.version if then.compose else "", now.compose.version if now.compose else ""
    if facts.selected.projects and made and _older(have, made):
        yield Conflict("compose_older", "warn", have, {"there": have, "then": made})
    if facts.selected.projects and facts.contents.origin != MANIFEST and not have:
        yield Conflict("compose_missing", "block", facts.selected.projects[0].name)
    machine, here = facts.contents.machine, facts.there.machine
    if machine and here and machine != here:
        severity = "block" if facts.created else "warn"
        yield Conflict("machine", severity, here, {"there": here, "then": machine})
    if now.swarm and facts.created:
        yield Conflict("swarm", "info", now.version)
    other = facts.contents.hostname and facts.there.hostname and facts.contents.hostname != facts.there.hostname
    if other:
        words: Words = {"there": facts.there.hostname, "then": facts.contents.hostname}
        yield Conflict("other_host", "info", facts.there.hostname, words)


def _older(there: str, then: str) -> bool:
    return bool(there and then) and _numbers(there) < _numbers(then)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,9}", version)[:3])
