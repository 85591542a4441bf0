"""What meets what: an archive's things, chosen and renamed, beside an engine's. Rules judge it, plans use it."""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dockerops import from_dumps
from dockerops.choice import Choice
from dockerops.from_dumps import Torn
from dockerops.inventory import Inventory, NetworkThere, Place, Running, VolumeThere
from dockerops.manifest import MANIFEST, Container, Contents, Network, Volume
from dockerops.naming import Names, base_of, files_only, names_for
from dockerops.options import Options
from dockerops.selecting import Selected, inside, select

# Networks that every engine has.
ALWAYS = frozenset(("bridge", "host", "none", "default", "nat", ""))
DATA_ROOT = "/var/lib/docker"


@dataclass(frozen=True)
class Target:
    """One thing that is put in place: `source` of the archive at `path`, by way of a private directory in `stage`.

    `volume` is the volume's name in the archive, empty for files outside of volumes. `whole`, `items`: see
    docs/docker-plan.md. `made`: the volume is created first. `held`: it has to be held mounted meanwhile. `without`:
    directories of the archive, itself or inside of it, that are put back empty. `bytes` counts what is in them: a
    database will need about as much.
    """

    source: str
    path: str
    stage: str
    volume: str = ""
    whole: bool = True
    items: tuple[str, ...] | None = None
    made: bool = False
    bytes: int | None = None
    held: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Situation:
    """All that rules and plans ask about."""

    contents: Contents
    there: Inventory
    choice: Choice
    options: Options
    selected: Selected
    names: Names
    consents: frozenset[str]
    targets: tuple[Target, ...] = ()
    new_volumes: tuple[Volume, ...] = ()
    new_networks: tuple[Network, ...] = ()
    missing_volumes: tuple[tuple[str, str], ...] = ()  # (name in the archive, container that needs it)
    missing_networks: tuple[tuple[str, str], ...] = ()
    created: tuple[Container, ...] = ()  # containers that are made anew
    replaced: tuple[Running, ...] = ()  # those that are set aside for them
    users: tuple[tuple[Running, Target], ...] = field(default=())  # active ones that use what is replaced
    torn: tuple[Torn, ...] = ()  # databases that were dumped while their data were read
    own: bool = False  # by our records, not by the manifest's: the archive is of the server that it goes to

    @property
    def data_root(self) -> str:
        """The target engine's."""
        return data_root(self.there)

    def place(self, path: str) -> Place:
        """What is known of a path of the server."""
        return self.there.paths.get(path, Place())

    def shown_volume(self, target: Target) -> str:
        """The volume's name on the target."""
        return self.names.volume(target.volume)


def data_root(there: Inventory) -> str:
    """Where the engine keeps volumes."""
    return there.engine.data_root.rstrip("/") or DATA_ROOT


def situation(
    contents: Contents,
    there: Inventory,
    choice: Choice,
    options: Options,
    consents: Iterable[str] = (),
    *,
    own: bool = False,
) -> Situation:
    """Raises NothingChosen and NotInArchive."""
    agreed = frozenset((*consents, *(f"stop:{name}" for name in options.stop)))
    selected = select(contents, choice)
    names = names_for(contents, selected, options, _freed(contents, there, agreed))
    made = () if files_only(selected, options) else tuple(one for one in selected.containers if one.origin == MANIFEST)
    volumes, missing_volumes = _volumes(contents, there, selected, names, options, made)
    networks, missing_networks = _networks(contents, there, selected, names, options, made)
    targets = (
        *_volume_targets(contents, there, selected, names, options, volumes),
        *_paths(contents, there, selected, names),
    )
    torn = _torn(contents, options, made, targets, volumes)
    targets = tuple(_without(target, torn) for target in targets)
    new_names = {names.container(one.name) for one in made}
    replaced = tuple(one for one in there.containers if one.name in new_names)
    return Situation(
        contents=contents,
        there=there,
        choice=choice,
        options=options,
        selected=selected,
        names=names,
        consents=agreed,
        targets=targets,
        new_volumes=volumes,
        new_networks=networks,
        missing_volumes=missing_volumes,
        missing_networks=missing_networks,
        created=made,
        replaced=replaced,
        users=tuple(_users(there, names, targets, new_names)),
        torn=torn,
        own=own,
    )


def _torn(
    contents: Contents,
    options: Options,
    made: tuple[Container, ...],
    targets: tuple[Target, ...],
    new: tuple[Volume, ...],
) -> tuple[Torn, ...]:
    """What becomes of databases that were dumped while they ran."""
    whole = [target for target in targets if target.items is None]
    volumes = {target.volume for target in whole if target.volume}
    volumes |= {one.name for one in new if not one.path and not one.is_elsewhere}
    paths = [target.source for target in whole if not target.volume]
    # As plain files below another path.
    volumes |= {one.name for one in contents.volumes if one.path and any(inside(one.path, path) for path in paths)}
    around = frozenset(target.volume or target.source for target in whole if not target.whole)
    starts, lay = options.start == "former", options.as_it_lay
    return from_dumps.decide(contents, made, frozenset(volumes), paths, starts=starts, as_it_lay=lay, around=around)


def _without(target: Target, torn: tuple[Torn, ...]) -> Target:
    """The same, but for the data of databases that come back from their dumps."""
    loaded = [one for one in torn if one.is_loaded]
    if target.volume:
        below = {one.below.get(target.volume, "") for one in loaded if target.volume in one.volumes}
        part = () if "" in below else tuple(sorted(posixpath.join(target.source, one) for one in below))
        return replace(target, without=part or (target.source,)) if below else target
    places = sorted({path for one in loaded for path in one.paths if inside(path, target.source)})
    outermost = [path for path in places if not any(path != other and inside(path, other) for other in places)]
    return replace(target, without=tuple(outermost)) if outermost else target


def _freed(contents: Contents, there: Inventory, agreed: frozenset[str]) -> list[str]:
    """Networks that get other addresses: with consent, or because an engine had chosen those that others have now."""
    return [
        one.name
        for one in contents.networks
        if f"free:{one.name}" in agreed
        or (one.assigned and there.network(one.name) is None and overlap(one, there.networks) is not None)
    ]


def overlap(one: Network, others: Iterable[NetworkThere]) -> tuple[str, NetworkThere] | None:
    """(a block of this network, another network that has addresses of it)."""
    for other in others:
        for mine in one.subnets:
            if any(_meet(mine, theirs) for theirs in other.subnets):
                return mine, other
    return None


def _meet(one: str, other: str) -> bool:
    try:
        first, second = ipaddress.ip_network(one, strict=False), ipaddress.ip_network(other, strict=False)
    except ValueError:
        return False
    return first.version == second.version and first.overlaps(second)


Missing = tuple[tuple[str, str], ...]


def _volumes(
    contents: Contents,
    there: Inventory,
    selected: Selected,
    names: Names,
    options: Options,
    made: tuple[Container, ...],
) -> tuple[tuple[Volume, ...], Missing]:
    """(those to create, those that are missing with who needs them)."""
    if files_only(selected, options):
        return (), ()
    new = [one for one in contents.volumes if one.name in selected.volume_names]
    found = {one.name: one for one in new if there.volume(names.volume(one.name)) is None}
    missing: dict[str, str] = {}
    for container in made:
        for mount in container.mounts:
            name = mount.name or ""
            if mount.type != "volume" or name in selected.volume_names or there.volume(names.volume(name)):
                continue
            known = contents.volume(name)
            if known is not None and options.create_missing:
                found[name] = known
            else:
                missing.setdefault(name, container.name)
    return tuple(found.values()), tuple(sorted(missing.items()))


def _networks(
    contents: Contents,
    there: Inventory,
    selected: Selected,
    names: Names,
    options: Options,
    made: tuple[Container, ...],
) -> tuple[tuple[Network, ...], Missing]:
    if files_only(selected, options):
        return (), ()
    found = {}
    for one in selected.networks:
        asked = not one.external or one.name in selected.named or options.create_missing
        if asked and one.origin == MANIFEST and there.network(names.network(one.name)) is None:
            found[one.name] = one
    missing: dict[str, str] = {}
    for container in made:
        for name in network_names(container):
            if name in found or there.network(names.network(name)):
                continue
            known = contents.network(name)
            if known is not None and (options.create_missing or not known.external):
                found[name] = known
            else:
                missing.setdefault(name, container.name)
    return tuple(found.values()), tuple(sorted(missing.items()))


def network_names(container: Container) -> list[str]:
    """Networks that somebody made, to which a container is connected."""
    mode = container.shape.network_mode
    first = [] if mode.startswith("container:") else [mode]
    return [
        name
        for name in dict.fromkeys([*first, *(link.network for link in container.shape.links)])
        if name not in ALWAYS
    ]


def _volume_targets(
    contents: Contents,
    there: Inventory,
    selected: Selected,
    names: Names,
    options: Options,
    new: tuple[Volume, ...],
) -> list[Target]:
    made = {one.name for one in new}
    wanted = selected.volume_names | made
    rows = [one for one in contents.volumes if one.name in wanted and one.path]
    if files_only(selected, options):
        return [_as_files(one, selected, options) for one in rows]
    return [
        _held_target(one, there, selected, names, one.name in made)
        if one.is_elsewhere
        else _volume_target(one, there, selected, names, one.name in made)
        for one in rows
        if not one.is_elsewhere or not why_unfilled(one, there, names)
    ]


def why_unfilled(one: Volume, there: Inventory, names: Names) -> str:
    """Why the content of a volume that is elsewhere is not put back; "" for one that is held mounted and filled.

    "memory": it is lost anyway. "read_only". "shared": under another name it leads to the same place as the original.
    "plugin": its driver tells only while it is mounted where it is, and a plan names that before.
    """
    if one.is_in_memory:
        return "memory"
    if one.read_only:
        return "read_only"
    if names.volume(one.name) != one.name:
        return "shared"
    return "" if _held_path(one, there, names) else "plugin"


def _held_path(one: Volume, there: Inventory, names: Names) -> str:
    known = there.volume(names.volume(one.name))
    if one.driver == "local":
        return (known.mountpoint if known else "") or f"{data_root(there)}/volumes/{names.volume(one.name)}/_data"
    return known.mountpoint if known and known.mountpoint.startswith("/") else ""


def _held_target(one: Volume, there: Inventory, selected: Selected, names: Names, made: bool) -> Target:
    """What is extracted, and what was there, lies in the volume itself: it is a filesystem of its own."""
    path = _held_path(one, there, names)
    items = selected.files.get(one.name)
    return Target(one.path or "", path, path, one.name, False, items, made, one.size_bytes, held=True)


def _as_files(one: Volume, selected: Selected, options: Options) -> Target:
    """A volume's content as a plain directory."""
    source = one.path or ""
    path = base_of(options).rstrip("/") + source
    items = selected.files.get(one.name)
    return Target(source, path, posixpath.dirname(path), "", items is None, items, False, one.size_bytes)


def _volume_target(one: Volume, there: Inventory, selected: Selected, names: Names, made: bool) -> Target:
    root, new = data_root(there), names.volume(one.name)
    known = there.volume(new)
    path = (known.mountpoint if known else "") or f"{root}/volumes/{new}/_data"
    stage = root if inside(path, f"{root}/volumes") else posixpath.dirname(path)
    if one.device is not None:
        path = names.path(one.device)
        stage = posixpath.dirname(path)
    whole, stage = _way(there, path, stage)
    items = selected.files.get(one.name)
    return Target(one.path or "", path, stage, one.name, whole and items is None, items, made, one.size_bytes)


def _way(there: Inventory, path: str, stage: str) -> tuple[bool, str]:
    """(can it be renamed as a whole?, a directory on the same filesystem)."""
    place = there.paths.get(path)
    if place is not None and place.mountpoint == path:
        return False, path
    other = there.paths.get(stage)
    apart = place is not None and other is not None and place.device != other.device
    if apart or (other is not None and not other.allowed):
        return True, posixpath.dirname(path)
    return True, stage


def _paths(contents: Contents, there: Inventory, selected: Selected, names: Names) -> list[Target]:
    found = []
    for source in selected.paths:
        path = names.path(source)
        whole, stage = _way(there, path, posixpath.dirname(path))
        found.append(Target(source, path, stage, whole=whole, bytes=size_of(contents, source)))
    return found


def size_of(contents: Contents, path: str) -> int | None:
    """Bytes below a path of the archive, as far as anything says it."""
    if path in contents.sizes:
        return contents.sizes[path]
    return next((one.size_bytes for one in contents.binds if one.path == path), None)


def _users(
    there: Inventory, names: Names, targets: tuple[Target, ...], replaced: set[str]
) -> Iterable[tuple[Running, Target]]:
    for container in there.containers:
        if not container.is_active or container.name in replaced:
            continue
        used = next((target for target in targets if uses(container, target, names)), None)
        if used is not None:
            yield container, used


def uses(container: Running, target: Target, names: Names) -> bool:
    """Does this container see what is put in place?"""
    for mount in container.mounts:
        if mount.type == "volume" and target.volume and mount.name == names.volume(target.volume):
            return True
        source = mount.source or ""
        if mount.type == "bind" and source != "/" and (inside(source, target.path) or inside(target.path, source)):
            return True
    return False


def volume_there(facts: Situation, target: Target) -> VolumeThere | None:
    """The volume that is there already."""
    return facts.there.volume(facts.shown_volume(target)) if target.volume else None


def network_there(facts: Situation, one: Network) -> NetworkThere | None:
    """The network that is there already under the name that this one gets."""
    return facts.there.network(facts.names.network(one.name))


def paths_to_ask(contents: Contents, choice: Choice, options: Options, there: Inventory | None = None) -> list[str]:
    """What the inventory has to be asked for, so that rules and plans know enough. Raises as `situation` does."""
    facts = situation(contents, there or Inventory(), choice, options)
    asked = {facts.data_root}
    for target in facts.targets:
        asked |= {target.path, target.stage}
    return sorted(asked)
