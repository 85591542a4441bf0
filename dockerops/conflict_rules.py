"""The rules: each says of a situation what is in the way of things of one kind."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from dockerops import ordering
from dockerops.conflict import Conflict
from dockerops.conflict_facts import (
    Situation,
    Target,
    network_names,
    network_there,
    overlap,
    uses,
    volume_there,
    why_unfilled,
)
from dockerops.inventory import Listening, NetworkThere, Published, Running, VolumeThere
from dockerops.manifest import MANIFEST, Container, Network, Volume
from dockerops.naming import BESIDE, files_only, problems
from dockerops.shape import Port

Words = dict[str, str | int]


def options(facts: Situation) -> Iterator[Conflict]:
    """Options that cannot be."""
    for problem in problems(facts.options, facts.selected):
        yield Conflict("options", "block", problem, {"problem": problem}, remedy_code=f"options_{problem}")


def containers_in_use(facts: Situation) -> Iterator[Conflict]:
    """Active containers that use what is replaced, and are not replaced themselves."""
    for container, target in facts.users:
        name = facts.shown_volume(target) if target.volume else target.path
        kind = "container_on_volume" if target.volume else "container_on_path"
        yield Conflict(kind, "stop", container.name, {"name": container.name, "used": name}, f"stop:{container.name}")
        if container.stack is not None:
            yield Conflict("swarm_task", "block", container.name, {"name": container.name})


def removes_itself(facts: Situation) -> Iterator[Conflict]:
    """Containers that would have to be stopped, and would be gone then: nothing could bring them back."""
    for one in [*(user for user, _ in facts.users), *facts.replaced]:
        if one.is_active and one.auto_remove:
            yield Conflict("removes_itself", "block", one.name, {"name": one.name})


def ourselves(facts: Situation) -> Iterator[Conflict]:
    """phpBorg itself, and what it cannot do without: who carries the restore out would not see its end."""
    ours = [one for one in facts.there.containers if one.ours and one.is_active]
    projects = {one.project for one in ours if one.project}
    needed = {name for one in ours for name in one.depends_on}
    for one in [*(user for user, _ in facts.users), *facts.replaced]:
        if one.is_active and (one in ours or one.project in projects or one.name in needed):
            yield Conflict("ourselves", "block", one.name, {"name": one.name})


def names_taken(facts: Situation) -> Iterator[Conflict]:
    """Projects and containers that are there under the names that are wanted. One consent for a whole project."""
    projects: dict[str, list[Running]] = {}
    wanted = {facts.names.container(one.name): facts.names.project_of(one.project) for one in facts.created}
    for there in facts.replaced:
        if there.project and there.project == wanted[there.name]:
            projects.setdefault(there.project, []).append(there)
        else:
            words: Words = {"name": there.name, "state": there.state}
            yield Conflict("container_taken", "stop", there.name, words, f"replace:{there.name}")
    for project, found in projects.items():
        active = sum(one.is_active for one in found)
        kind = "project_running" if active else "project_there"
        counted: Words = {"name": project, "count": len(found), "active": active}
        yield Conflict(kind, "stop", project, counted, f"project:{project}")


def aside_running(facts: Situation) -> Iterator[Conflict]:
    """What an earlier restore has set aside, and Compose, or somebody, has started: two write to the same volumes."""
    for one in facts.there.containers:
        if one.is_aside and one.is_active:
            yield Conflict("aside_running", "warn", one.name, {"name": one.name})


def project_taken(facts: Situation) -> Iterator[Conflict]:
    """Another application that has the new name already: Compose would take both for one."""
    replaced = {one.name for one in facts.replaced}
    for new in sorted(set(facts.names.project.values())):
        others = sorted(one.name for one in facts.there.containers if one.project == new and one.name not in replaced)
        if others:
            yield Conflict("project_taken", "warn", new, {"name": new, "container": others[0], "count": len(others)})


def ports_taken(facts: Situation) -> Iterator[Conflict]:
    """Ports that another container or a process has, and that are wanted."""
    replaced = {one.name for one in facts.replaced}
    others = [one for one in facts.there.containers if one.name not in replaced]
    published = [(one, port) for one in facts.there.containers for port in one.ports if one.is_active]
    for container in facts.created:
        for port in container.shape.ports:
            host = facts.names.port(port.key, port.host)
            if not host.isdigit():
                continue
            yield from _port(facts, container, port, int(host), others, published)


def _port(
    facts: Situation,
    container: Container,
    wanted: Port,
    host: int,
    others: list[Running],
    published: list[tuple[Running, Published]],
) -> Iterator[Conflict]:
    protocol = wanted.container_port.partition("/")[2] or "tcp"
    name = facts.names.container(container.name)
    words: Words = {"name": name, "port": host, "protocol": protocol}

    def meets(ip: str, port: int, spoken: str) -> bool:
        return port == host and spoken == protocol and _same_address(ip, wanted.ip)

    for other in others:
        if any(meets(one.ip, one.port, one.protocol) for one in other.ports):
            severity = "block" if other.is_active else "warn"
            yield Conflict("port_container", severity, f"{host}/{protocol}", {**words, "other": other.name})
            return
    known = [one for _, one in published]
    for process in facts.there.listening:
        if meets(process.ip, process.port, process.protocol) and not _is_published(process, known):
            yield Conflict("port_process", "block", f"{host}/{protocol}", words)
            return


def _is_published(process: Listening, known: Iterable[Published]) -> bool:
    """Is it Docker's own, for a container that is counted already?"""
    return any(one.port == process.port and one.protocol == process.protocol for one in known)


def _same_address(one: str, other: str) -> bool:
    every = ("", "0.0.0.0", "::", "*")  # noqa: S104 - names of addresses
    return one in every or other in every or one == other


def networks(facts: Situation) -> Iterator[Conflict]:
    """Networks that are there with something else, that are missing, or whose addresses others have."""
    used = {name for container in facts.created for name in network_names(container)}
    used |= {one.name for one in facts.selected.networks}
    for one in facts.contents.networks:
        there = network_there(facts, one) if one.name in used else None
        if there is not None and one.origin == MANIFEST and _differs(one, there):
            bound = any(not _fits(address, there) for _, address in _fixed(facts, one))
            wanted, have = _listed(one.subnets), _listed(there.subnets)
            words: Words = {"name": there.name, "wanted": wanted, "there": have}
            severity = "block" if bound or one.driver not in ("", there.driver) else "warn"
            yield Conflict("network_differs", severity, there.name, words)
    for name, container in facts.missing_networks:
        yield Conflict("network_missing", "block", name, {"name": name, "container": container})
    for one in facts.new_networks:
        name = facts.names.network(one.name)
        if one.external:
            yield Conflict("network_created", "info", name, {"name": name})
        if facts.options.placement not in BESIDE or one.external:
            yield from _overlaps(facts, one)


def addresses(facts: Situation) -> Iterator[Conflict]:
    """Static addresses that are given up: the engine chooses the network's, or the original has them."""
    for one in facts.contents.networks:
        fixed = [(name, address) for name, address in _fixed(facts, one) if address in facts.names.addresses]
        if fixed:
            names = _listed(facts.names.container(name) for name, _ in fixed)
            words: Words = {"name": facts.names.network(one.name), "containers": names}
            yield Conflict("addresses_dropped", "warn", facts.names.network(one.name), words)


def aliases(facts: Situation) -> Iterator[Conflict]:
    """Names in a network that others are in: what asks for the original would reach the copy, too."""
    replaced = {one.name for one in facts.replaced}
    for one in facts.created if facts.options.placement != "in_place" else ():
        for link in one.shape.links:
            there = facts.there.network(facts.names.network(link.network))
            others = [name for name in there.containers if name not in replaced] if there else []
            if there and others and link.aliases:
                words: Words = {"name": facts.names.container(one.name), "network": there.name}
                words |= {"aliases": _listed(link.aliases)}
                yield Conflict("alias_shared", "stop", there.name, words, f"alias:{there.name}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "–"


def _fixed(facts: Situation, network: Network) -> list[tuple[str, str]]:
    """(container, static address) in this network."""
    return [
        (one.name, address)
        for one in facts.created
        for link in one.shape.links
        if link.network == network.name
        for address in link.addresses
    ]


def _differs(one: Network, there: NetworkThere) -> bool:
    driver = bool(one.driver) and one.driver != there.driver
    return driver or (bool(one.subnets) and set(one.subnets) != set(there.subnets)) or one.internal != there.internal


def _fits(address: str, there: NetworkThere) -> bool:
    return any(_contains(block, address) for block in there.subnets)


def _contains(block: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def _overlaps(facts: Situation, one: Network) -> Iterator[Conflict]:
    name = facts.names.network(one.name)
    found = overlap(one, [there for there in facts.there.networks if there.name != name])
    if found is not None:
        words: Words = {"name": name, "subnet": found[0], "other": found[1].name}
        if one.assigned:
            yield Conflict("subnet_chosen", "info", name, words)
        else:
            yield Conflict("subnet_overlap", "stop", name, words, f"free:{one.name}")


def volumes(facts: Situation) -> Iterator[Conflict]:
    """Volumes that are there, differ, are missing, or whose content is not in the archive."""
    for target in facts.targets:
        there = volume_there(facts, target)
        if there is not None:
            kind = "volume_files" if target.items is not None else "volume_there"
            words: Words = {"name": there.name, "count": len(target.items or ())}
            yield Conflict(kind, "stop", there.name, words, f"volume:{there.name}")
            yield from _shared(facts, target, there.name, there.project)
        if target.held:
            yield _held(facts, target)
    for name, container in facts.missing_volumes:
        yield Conflict("volume_missing", "block", name, {"name": name, "container": container})
    for one in facts.contents.volumes:
        if one.name in facts.selected.volume_names:
            yield from _volume(facts, one)


def _volume(facts: Situation, one: Volume) -> Iterator[Conflict]:
    name = facts.names.volume(one.name)
    # Where only files are written, whatever volume is here has no part in it.
    there = None if files_only(facts.selected, facts.options) else facts.there.volume(name)
    names = there.option_names or tuple(sorted(there.options)) if there else ()
    if there is not None and one.origin == MANIFEST and (one.driver, one.option_names) != (there.driver, names):
        words: Words = {"name": name, "wanted": one.driver, "there": there.driver}
        yield Conflict("volume_differs", "block", name, words)
    elif there is not None and one.device is not None and _lies_elsewhere(facts, one, there):
        place = facts.names.path(one.device)
        found: Words = {"name": name, "wanted": place, "there": there.device or "…"}
        yield Conflict("volume_device", "block", name, found)
    if one.path is None:
        yield Conflict("volume_empty", "warn", name, {"name": name, "reason": one.problem or "…"})
    elif one.is_elsewhere and not files_only(facts.selected, facts.options):
        kind = _UNFILLED.get(why_unfilled(one, facts.there, facts.names))
        if kind is not None:
            yield Conflict(kind, "stop", name, {"name": name, "driver": one.driver}, f"unfilled:{name}")


# Content that is not put back, by the reason.
_UNFILLED = {
    "memory": "volume_memory",
    "read_only": "volume_read_only",
    "shared": "volume_same_place",
    "plugin": "volume_elsewhere",
}


def _held(facts: Situation, target: Target) -> Conflict:
    """Filled while a container of ours holds it mounted. What lies there is replaced, also of a volume that is new."""
    known = facts.contents.volume(target.volume) or Volume("")
    name = facts.shown_volume(target)
    words: Words = {"name": name, "kind": known.filesystem or known.driver}
    if target.made:
        return Conflict("volume_behind", "stop", name, words, f"volume:{name}")
    return Conflict("volume_held", "warn", name, words)


def _lies_elsewhere(facts: Situation, one: Volume, there: VolumeThere) -> bool:
    """Is the directory of a bound volume another one here? What is put where it was would not be in the volume."""
    bound = "bind" in there.options.get("o", "").split(",")
    return not bound or there.device != facts.names.path(one.device or "").rstrip("/")


def _shared(facts: Situation, target: Target, name: str, project: str | None) -> Iterator[Conflict]:
    """Containers of another project that use the volume, running or not."""
    replaced = {one.name for one in facts.replaced}
    owner = facts.names.project_of((facts.contents.volume(target.volume) or Volume("")).project) or project
    for one in facts.there.containers:
        if one.name not in replaced and one.project != owner and uses(one, target, facts.names):
            words: Words = {"name": name, "other": one.project or one.name, "container": one.name}
            yield Conflict("volume_shared", "stop", name, words, f"shared:{name}")
            return


def with_originals(facts: Situation) -> Iterator[Conflict]:
    """Beside the originals: what the copies would share with them."""
    if facts.options.placement == "in_place":
        return
    chosen = facts.selected.volume_names | {volume.name for volume in facts.new_volumes}
    for one in facts.created:
        for mount in one.mounts:
            shared = mount.name if mount.type == "volume" else mount.source
            apart = shared in chosen if mount.type == "volume" else facts.names.path(shared or "/") != shared
            if shared and mount.writable and not apart and (mount.type == "bind" or facts.there.volume(shared)):
                words: Words = {"name": facts.names.container(one.name), "used": shared}
                yield Conflict("shared_with_original", "warn", shared, words)


def references(facts: Situation) -> Iterator[Conflict]:
    """Containers whose network, processes or volumes are another's, which has to be there."""
    made = {one.name for one in facts.created}
    for one in facts.created:
        for name in ordering.references(one):
            if name not in made and facts.there.container(name) is None:
                words: Words = {"name": facts.names.container(one.name), "other": name}
                yield Conflict("container_missing", "block", name, words)
        if one.stack is not None:
            yield Conflict("swarm_task", "block", one.name, {"name": one.name})
    for one in facts.selected.containers:
        if one.origin != MANIFEST and one.project is None:
            yield Conflict("no_body", "warn", one.name, {"name": one.name})


def dependants(facts: Situation) -> Iterator[Conflict]:
    """Containers that stay, and live in the network of one that is replaced: they lose it."""
    replaced = {one.name for one in facts.replaced}
    for one in facts.there.containers:
        if one.is_active and one.name not in replaced and (on := sorted(set(one.depends_on) & replaced)):
            yield Conflict("dependant", "warn", one.name, {"name": one.name, "other": on[0]})
