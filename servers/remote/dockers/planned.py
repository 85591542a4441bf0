"""What a backup of an engine is asked to do: the `plan` of the snapshot kind `docker`, checked word by word."""

import re
from typing import Any, Dict, List, NamedTuple, Optional

from .. import validate, wire

# As Docker itself names containers, volumes and networks. An older one may hold more: it is text all the same.
IMAGE = re.compile(r"(sha256:)?[0-9a-f]{12,64}")
ENGINES = ["postgresql", "mysql", "mongodb"]
HOWS = ["none", "dump", "pause", "stop"]
_MOST = 10000
_NAME_LENGTH = 1024
_KEYS = {"containers", "volumes", "paths", "binds", "networks", "images", "quiesce", "dumps", "config_files"}


class Quiet(NamedTuple):
    """A container that is to keep still, and what finds it again when its id is another one."""

    container: str
    project: Optional[str]
    service: Optional[str]
    number: Optional[int]
    how: str


class Dump(NamedTuple):
    """A database that is dumped by its own tool inside its container."""

    container: str
    engine: str


class Plan(NamedTuple):
    """Names as the plan has them; paths as text that turns back into their bytes. `networks` None: all."""

    containers: List[str]
    volumes: List[str]
    paths: List[str]
    binds: List[str]
    networks: Optional[List[str]]
    images: List[str]
    quiesce: List[Quiet]
    dumps: List[Dump]
    config_files: List[str]


def plan(value: Any) -> Plan:
    """Raises Refused for everything that is not known."""
    if not isinstance(value, dict):
        raise wire.Refused("invalid", "the plan must be a table")
    unknown = sorted(set(map(str, value)) - _KEYS)
    if unknown:
        raise wire.Refused("invalid", "the plan has unknown words: {}".format(", ".join(unknown)))
    networks = value.get("networks")
    found = Plan(
        containers=_names(value, "containers"),
        volumes=_names(value, "volumes"),
        paths=_paths(value, "paths"),
        binds=_paths(value, "binds"),
        networks=None if networks is None else _names(value, "networks"),
        images=[validate.text(one, "image", IMAGE) for one in _list(value, "images")],
        quiesce=[one for one in map(_quiet, _list(value, "quiesce")) if one.how in ("pause", "stop")],
        dumps=[_dump(row) for row in _list(value, "dumps")],
        config_files=_paths(value, "config_files"),
    )
    both = {one.container for one in found.quiesce} & {one.container for one in found.dumps}
    if both:
        raise wire.Refused("invalid", "{} cannot be dumped while it keeps still".format(", ".join(sorted(both))))
    return found


def _list(table: Dict[str, Any], key: str) -> List[Any]:
    found = table.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or len(found) > _MOST:
        raise wire.Refused("invalid", "{} must be a list of at most {}".format(key, _MOST), field=key)
    return found


def name(value: Any, what: str) -> str:
    """The name of something of the engine's."""
    found = validate.text(value, what, limit=_NAME_LENGTH)
    if not found:
        raise wire.Refused("invalid", "{} has no name".format(what), field=what)
    return found


def _names(table: Dict[str, Any], key: str) -> List[str]:
    return list(dict.fromkeys(name(one, key) for one in _list(table, key)))


def _paths(table: Dict[str, Any], key: str) -> List[str]:
    return list(dict.fromkeys(wire.shown(validate.absolute(one, key)) for one in _list(table, key)))


def _row(value: Any, what: str, keys: List[str]) -> Dict[str, Any]:
    if not isinstance(value, dict) or set(value) - set(keys):
        raise wire.Refused("invalid", "a row of {} has {}".format(what, ", ".join(keys)), field=what)
    return value


def _quiet(value: Any) -> Quiet:
    row = _row(value, "quiesce", ["container", "project", "service", "number", "how"])
    project, service, number = row.get("project"), row.get("service"), row.get("number")
    return Quiet(
        name(row.get("container"), "container"),
        None if project is None else name(project, "project"),
        None if service is None else name(service, "service"),
        None if number is None else validate.number(number, "number", 0, 1 << 20),
        validate.choice(row.get("how"), "how", HOWS),
    )


def _dump(value: Any) -> Dump:
    row = _row(value, "dumps", ["container", "engine"])
    return Dump(name(row.get("container"), "container"), validate.choice(row.get("engine"), "engine", ENGINES))
