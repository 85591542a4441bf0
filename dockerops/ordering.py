"""In which order containers are started: what others depend on first. Stopping is the reverse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dockerops.inventory import Running
from dockerops.manifest import Container


def needs(containers: Iterable[Container]) -> dict[str, frozenset[str]]:
    """{name: names among these that have to be there first}."""
    rows = list(containers)
    services: dict[tuple[str | None, str | None], set[str]] = {}
    for one in rows:
        if one.service:
            services.setdefault((one.project, one.service), set()).add(one.name)
    names = {one.name for one in rows}
    return {one.name: frozenset(_needed(one, services) & names - {one.name}) for one in rows}


def _needed(one: Container, services: Mapping[tuple[str | None, str | None], set[str]]) -> set[str]:
    found = set(one.depends_on)
    for row in one.shape.depends:  # "service:condition:restart"
        found |= services.get((one.project, row.split(":")[0]), set())
    found |= {row.split(":")[0].lstrip("/") for row in (*one.shape.linked, *one.shape.volumes_from)}
    return found | set(references(one))


def references(one: Container) -> tuple[str, ...]:
    """Containers without which this one cannot even be created: whose network, processes or memory it shares."""
    modes = (one.shape.network_mode, one.shape.pid_mode, one.shape.ipc_mode)
    found = [mode.partition(":")[2] for mode in modes if mode.startswith("container:")]
    return tuple(dict.fromkeys([*found, *(row.split(":")[0] for row in one.shape.volumes_from)]))


def needs_there(containers: Iterable[Running]) -> dict[str, frozenset[str]]:
    """The same for containers of an engine, by what it tells."""
    rows = list(containers)
    names = {one.name for one in rows}
    return {one.name: frozenset(set(one.depends_on) & names - {one.name}) for one in rows}


def in_order(needed: Mapping[str, frozenset[str]]) -> list[str]:
    """Every name after those that it needs; by name where nothing decides. A circle is cut at its first name."""
    done: dict[str, None] = {}
    for name in sorted(needed):
        _visit(name, needed, done)
    return list(done)


def _visit(start: str, needed: Mapping[str, frozenset[str]], done: dict[str, None]) -> None:
    """Depth first without recursion: a server chooses how long the chain is."""
    way = [start]
    on_way = {start}
    while way:
        name = way[-1]
        following = next((one for one in sorted(needed[name]) if one not in done and one not in on_way), None)
        if name in done or following is None:
            done.setdefault(name)
            on_way.discard(way.pop())
        else:
            way.append(following)
            on_way.add(following)
