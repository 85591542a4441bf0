"""Elasticsearch and OpenSearch: a node's path.data, told apart by the number in its own state file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recovery.engines import base, state_files
from recovery.engines.base import (
    DATA,
    RUN,
    Consistency,
    File,
    Found,
    Hints,
    Mount,
    Part,
    Product,
    Ready,
    Recipe,
    Step,
    Taken,
)
from recovery.engines.notes import Note
from recovery.engines.parts import measure, owner
from recovery.engines.place import Place
from recovery.errors import CannotStart

PORT = 9200
_NODE_FILE = re.compile(rb"node-(\d+)\.st")
_HOMES = {
    Product.ELASTICSEARCH: "/usr/share/elasticsearch/bin/elasticsearch",
    Product.OPENSEARCH: "/usr/share/opensearch/bin/opensearch",
}
_PREFIX = {Product.ELASTICSEARCH: "elasticsearch", Product.OPENSEARCH: "opensearch"}
_CONF = {Product.ELASTICSEARCH: "ES_PATH_CONF", Product.OPENSEARCH: "OPENSEARCH_PATH_CONF"}
# The image's settings are not used: it cannot be written, and a node keeps a store of secrets beside them.
_LOGGING = """appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %-5p %c{1.} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
_JVM = "-Xms512m\n-Xmx512m\n-Djava.io.tmpdir=/tmp\n18-:-Djava.security.manager=allow\n"
# A shard that is broken, or was never here, must not keep the others from being asked: what does not start any more
# is waited for, not that all are there. The list of indices has no answer before the node knows them.
_READY = Ready("GET /_cluster/health?wait_for_events=languid&timeout=1s", '"number_of_in_flight_fetch":0')
_AFTER = (
    "GET /_cat/indices?h=index",
    "GET /_cluster/health?wait_for_events=languid&wait_for_no_initializing_shards=true&timeout=1s",
    'POST /_msearch {}\n{"size":0}\n',
)
_BLOCK = 'PUT /_cluster/settings {"persistent": {"cluster.blocks.read_only": true}}'


@dataclass(frozen=True)
class SearchFacts:
    """`state` is the folder of the node's own state below the directory; `node_id` None when it is unreadable."""

    state: bytes
    node_id: str | None


class Search:
    """See `base.Engine`."""

    name = "search"

    def looks_like(self, names: frozenset[bytes]) -> bool:
        """Before version 8 of Elasticsearch, and in OpenSearch, a folder `nodes` is between."""
        return b"nodes" in names or {b"_state", b"node.lock"} <= names or {b"_state", b"indices"} <= names

    def look(self, place: Place, hints: Hints) -> Found | None:
        """None when there is no file of a node's state."""
        for inside in (b"_state", b"nodes/0/_state"):
            state = place.below(inside)
            files = sorted((int(found.group(1)), name) for name in state.names if (found := _NODE_FILE.fullmatch(name)))
            if files:
                return self._found(place, hints, inside, state.read(files[-1][1]) or b"")
        return None

    def _found(self, place: Place, hints: Hints, inside: bytes, raw: bytes) -> Found:
        said = state_files.content(raw)
        number = (said or {}).get("node_version")
        version, ours = state_files.version(number) if isinstance(number, int) else (None, False)
        identity = (said or {}).get("node_id")
        consistency = {
            Taken.FROZEN: Consistency.CRASH,
            Taken.STOPPED: Consistency.CLEAN,
        }.get(hints.taken, Consistency.DOUBTFUL)
        notes = [Note("doubtful")] if consistency == Consistency.DOUBTFUL else []
        notes += [Note("nodes"), Note("relay")]
        if said is None:
            notes.append(Note("damaged", {"file": "node-*.st"}))
        lock = inside.removesuffix(b"_state") + b"node.lock"
        return Found(
            engine=self.name,
            product=Product.OPENSEARCH if ours else Product.ELASTICSEARCH,
            path=place.path,
            version=version,
            version_from="node-*.st" if version else "",
            clean=None,  # its lock stays after a clean end too
            consistency=consistency,
            owner=owner(place),
            facts=SearchFacts(inside, identity if isinstance(identity, str) else None),
            stale=(lock,) if place.has(lock) else (),
            notes=tuple(notes),
            size=measure(place),
        )

    def together(self, found: tuple[Found, ...]) -> tuple[Found, ...]:
        """Directories of one node (its path.data may be a list) are one: the further ones are its parts."""
        nodes: dict[object, Found] = {}
        for number, one in enumerate(found):
            key = one.facts.node_id or number
            first = nodes.get(key)
            if first is None:
                nodes[key] = one
                continue
            part = Part("data", f"{DATA}-{len(first.parts) + 1}".encode(), one.path)
            nodes[key] = replace(first, parts=(*first.parts, part))
        return tuple(nodes.values())

    def refuse(self, found: Found, version: str) -> str | Promise:
        """The same major, and not an older release."""
        if found.version is None:
            return _("The version of its files is not known.")
        ours, theirs = _numbers(found.version), _numbers(version)
        if ours[0] != theirs[0] or theirs < ours[: len(theirs)]:
            name = found.product.label
            return str(_("It needs {name} {series}.")).format(name=name, series=f"{found.version}+")
        return ""

    def start(self, found: Found, *, read_only: bool) -> Recipe:
        """One node on the loopback of its own network. Raises CannotStart."""
        if found.owner is None:
            raise CannotStart("owner", path=base.named(found))
        step = Step(
            (_HOMES[found.product],),
            tuple(f"-E{name}={value}" for name, value in _settings(found)),
            files=tuple(File(f"{RUN}/{name}", text.encode()) for name, text in _files(found)),
            ready=_READY,
            after=(*_quiet(found), *((_BLOCK,) if read_only else ()), *_AFTER),
        )
        return Recipe(
            product=found.product,
            version=found.version,
            # Files of the image are open to group 0, by its makers' word.
            user=f"{found.owner.uid}:0",
            mounts=(Mount(found.path, DATA), *_mounts(found.parts)),
            hide=found.stale,
            steps=(step,),
            listen=f"tcp:127.0.0.1:{PORT}",
            read_only_by="relay" if read_only else "",
            environment={"TZ": "UTC", "HOME": RUN, _CONF[found.product]: RUN},
            memory_bytes=2 << 30,
            notes=found.notes,
        )

    def login(self, found: Found, *, name: str, password: str, read_only: bool) -> bytes:
        """None: security is off in a network of its own, and what passes the port on asks for the login."""
        return b""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number.isdigit())


def _settings(found: Found) -> list[tuple[str, str]]:
    places = [DATA, *(part.wanted.decode() for part in found.parts)]
    security = "plugins.security.disabled" if found.product == Product.OPENSEARCH else "xpack.security.enabled"
    settings = [
        ("discovery.type", "single-node"),
        ("network.host", "127.0.0.1"),
        ("http.port", str(PORT)),
        ("path.data", ",".join(places)),
        ("path.logs", RUN),
        ("cluster.routing.allocation.disk.threshold_enabled", "false"),
        ("action.auto_create_index", "false"),
        (security, "true" if found.product == Product.OPENSEARCH else "false"),
    ]
    if found.product == Product.OPENSEARCH:
        settings.append(("plugins.index_state_management.enabled", "false"))
    else:
        settings += [("xpack.watcher.enabled", "false"), ("ingest.geoip.downloader.enabled", "false")]
    return settings


def _files(found: Found) -> list[tuple[str, str]]:
    return [(f"{_PREFIX[found.product]}.yml", ""), ("log4j2.properties", _LOGGING), ("jvm.options", _JVM)]


def _quiet(found: Found) -> tuple[str, ...]:
    """What would change indices by itself."""
    if found.product == Product.ELASTICSEARCH:
        return ("POST /_ilm/stop", "POST /_slm/stop")
    return ()


def _mounts(parts: Iterable[Part]) -> tuple[Mount, ...]:
    return tuple(Mount(part.path, part.wanted.decode()) for part in parts if part.path is not None)
