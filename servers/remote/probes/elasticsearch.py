"""Elasticsearch and OpenSearch: every node of this machine, asked over HTTP."""

import base64
import json
import os
import socket
import ssl
from http import client
from typing import Any, Dict, List, NamedTuple, Optional

from . import databases, settings_file
from .base import Look, Process

_FLAVOURS = {
    "elasticsearch": "org.elasticsearch.bootstrap.Elasticsearch",
    "opensearch": "org.opensearch.bootstrap.OpenSearch",
}
_PREFIX = {"elasticsearch": "es", "opensearch": "opensearch"}
_COMMON = {"elasticsearch": "/var/lib/elasticsearch", "opensearch": "/var/lib/opensearch"}
_CONFIG_NAMES = ("jvm.options", "jvm.options.d", "log4j2.properties", "elasticsearch.keystore", "opensearch.keystore")
_TLS = ("xpack.security.http.ssl.enabled", "plugins.security.ssl.http.enabled")
_LIMIT = 8 << 20
_FORBIDDEN = (401, 403)


class Answer(NamedTuple):
    """A status and what came with it: a JSON value, None when it was none."""

    status: int
    value: Any


class Node:
    """A node's address, and the login to show it."""

    def __init__(self, address: str, port: int, encrypted: bool, seconds: float) -> None:
        self.address, self.port, self.encrypted, self._seconds = address, port, encrypted, seconds
        self.login: Optional[Dict[str, str]] = None

    @property
    def url(self) -> str:
        """Without a login, whatever is used."""
        host = "[{}]".format(self.address) if ":" in self.address else self.address
        return "{}://{}:{}".format("https" if self.encrypted else "http", host, self.port)

    def get(self, path: str) -> Answer:
        """One question. Raises OSError and client.HTTPException."""
        connection = self._connection()
        try:
            connection.request("GET", path, headers=dict({"Accept": "application/json"}, **self._authorization()))
            response = connection.getresponse()
            data = response.read(_LIMIT)
            return Answer(response.status, _json(data))
        finally:
            connection.close()

    def _connection(self) -> client.HTTPConnection:
        if not self.encrypted:
            return client.HTTPConnection(self.address, self.port, timeout=self._seconds)
        context = ssl.create_default_context()
        if databases.loopback(self.address):
            # Nobody stands between us and ourselves; a node's own certificate is seldom one that anybody knows.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return client.HTTPSConnection(self.address, self.port, timeout=self._seconds, context=context)

    def _authorization(self) -> Dict[str, str]:
        if self.login is None:
            return {}
        pair = "{}:{}".format(self.login["user"], self.login["password"]).encode("utf-8")
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def probe(look: Look) -> Dict[str, Any]:
    """All nodes that run here."""
    patience = databases.Patience()
    nodes = []
    for flavour, name in _FLAVOURS.items():
        found = [process for process in look.processes() if any(_is(word, name) for word in process.argv)]
        nodes += [_node(look, process, flavour, patience) for process in databases.leaders(found)]
    for node in nodes:
        for place in node["data"]:
            databases.measure(look, place)
    return {"nodes": nodes}


def _is(word: str, name: str) -> bool:
    """The main class, or in a module ("org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch")."""
    return word == name or word.endswith("/" + name)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except ValueError:
        return None


def _node(look: Look, process: Process, flavour: str, patience: databases.Patience) -> Dict[str, Any]:
    listening = databases.listening(process.pid)
    unknown = dict.fromkeys(("version", "cluster_name", "url", "owner", "secured", "indices", "size_bytes"))
    found: Dict[str, Any] = dict(unknown, flavour=flavour, running=True, contained=process.contained, pid=process.pid)
    found.update(data=[], path_repo=[], config_files=[], found_by=["process"])
    ports = ordered([port for _, port in listening.ports])
    found.update(port=ports[0] if ports else None)
    found["id"] = "port {}".format(ports[0]) if ports else "pid {}".format(process.pid)
    if process.contained:
        return dict(found, login=databases.login(False, problem="it runs in a container: it is not asked from outside"))
    home, config = directories(process, flavour)
    file = os.path.join(config, flavour + ".yml") if config else None
    settings = settings_file.yaml(databases.read(file) or "") if file else {}
    told = _ask(look, process, listening, settings, patience.seconds())
    found.update({name: told[name] for name in told if name not in ("paths", "port")})
    if told.get("port"):
        found.update(port=told["port"], id="port {}".format(told["port"]))
    return dict(
        found,
        owner=process.user,
        data=_data(told.get("paths", {}), settings, process, flavour, home),
        path_repo=_texts(told.get("paths", {}).get("repo")) or settings_file.texts_of(settings, "path.repo"),
        config_files=look.files(*_config_files(config, file)),
    )


def ordered(ports: List[int], first: Optional[str] = None) -> List[int]:
    """Where HTTP may be, likeliest first: what the configuration says, 9200 and above, then the rest."""
    return sorted(set(ports), key=lambda port: (str(port) != first, not 9200 <= port < 9300, port))


def directories(process: Process, flavour: str) -> Any:
    """(home, configuration directory) as the process was told them."""
    prefix = _PREFIX[flavour]
    home = databases.option(process.argv, "-D{}.path.home".format(prefix))
    config = databases.option(process.argv, "-D{}.path.conf".format(prefix))
    if config is None:
        config = databases.environment_of(process.pid).get("{}_PATH_CONF".format(prefix.upper()))
    if config is None:
        usual = [os.path.join(home, "config")] if home else []
        config = next((path for path in [*usual, "/etc/" + flavour] if os.path.isdir(path)), None)
    return home, config


def _config_files(config: Optional[str], file: Optional[str]) -> List[str]:
    if not config or not file:
        return []
    return [file] + [os.path.join(config, name) for name in _CONFIG_NAMES]


def _data(
    paths: Dict[str, Any], settings: Dict[str, settings_file.Value], process: Process, flavour: str, home: Optional[str]
) -> List[Dict[str, Any]]:
    """Each data directory: as the node says, else by its command line, its file, or its own default."""
    named = databases.option(process.argv, "-Epath.data") or ""
    ways = [
        (_texts(paths.get("data")), "sql", "high"),
        ([part for part in named.split(",") if part], "process", "medium"),
        (settings_file.texts_of(settings, "path.data"), "config", "medium"),
        ([os.path.join(home, "data")] if home else [], "config", "low"),
    ]
    for known, method, sure in ways:
        usable = [os.path.join(home or "/", path) for path in known]
        if usable:
            common = [(_COMMON[flavour], "common", "low")] if os.path.isdir(_COMMON[flavour]) else []
            found = [databases.directory([(path, method, sure), *common]) for path in usable]
            return [place for place in found if place is not None]
    return []


def _texts(value: Any) -> List[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text]


def _ask(
    look: Look,
    process: Process,
    listening: databases.Listening,
    settings: Dict[str, settings_file.Value],
    seconds: float,
) -> Dict[str, Any]:
    """What the node tells, on the first port where it speaks HTTP."""
    problem = "it is not known where it listens"
    addresses = {port: databases.near(address) for address, port in listening.ports}
    encrypted = any(settings_file.text_of(settings, name) == "true" for name in _TLS)
    for port in ordered(list(addresses), settings_file.text_of(settings, "http.port")):
        for tls in (encrypted, not encrypted):
            node = Node(addresses[port], port, tls, seconds)
            safe = databases.safe("elasticsearch", process.uid, [databases.Door(None, addresses[port], port)])
            login = databases.given(look, "elasticsearch", port, [], safe)
            try:
                return dict(converse(node, login), port=port)
            except socket.timeout as error:
                return {"login": databases.login(False, problem=databases.why(error, seconds))}
            except OSError as error:
                problem = databases.why(error, seconds)
            except (client.HTTPException, ValueError):
                problem = "it does not speak HTTP on port {}".format(port)
    return {"login": databases.login(False, problem=problem)}


def converse(node: Node, login: Optional[Dict[str, str]]) -> Dict[str, Any]:
    """Without a login first: whether one is wanted is an answer. Raises ValueError when this is no such node."""
    method, user = "none", None
    root = node.get("/")
    secured = root.status in _FORBIDDEN
    if secured and login:
        method, user, node.login = "given", login["user"], login
        root = node.get("/")
    facts: Dict[str, Any] = {"url": node.url, "secured": secured}
    if root.status in _FORBIDDEN:
        problem = "it refuses the login that was given" if login else "it wants a login: give one for it"
        return dict(facts, login=databases.login(False, problem=problem))
    version = _at(root.value, "version", "number")
    if root.status != 200 or not isinstance(version, str):
        raise ValueError("this is not a node")
    facts["version"] = version
    facts["cluster_name"] = _one(_texts(_at(root.value, "cluster_name")))
    facts["paths"] = _paths(node.get("/_nodes/_local/settings"))
    facts.update(_indices(node.get("/_cat/indices?format=json&bytes=b&expand_wildcards=all&h=index,store.size")))
    return dict(facts, login=databases.login(True, method, user))


def _paths(answer: Answer) -> Dict[str, Any]:
    nodes = _at(answer.value, "nodes")
    if answer.status != 200 or not isinstance(nodes, dict) or len(nodes) != 1:
        return {}
    settings = _at(next(iter(nodes.values())), "settings")
    found = {name: _at(settings, "path", name) or _at(settings, "path." + name) for name in ("data", "repo")}
    return {name: value for name, value in found.items() if value}


def _indices(answer: Answer) -> Dict[str, Optional[int]]:
    if answer.status != 200 or not isinstance(answer.value, list):
        return {"indices": None, "size_bytes": None}
    sizes = [row.get("store.size") for row in answer.value if isinstance(row, dict)]
    known = [int(size) for size in sizes if isinstance(size, str) and size.isdecimal()]
    # The size of a closed index is not told: then the sum is not known.
    return {"indices": len(sizes), "size_bytes": sum(known) if len(known) == len(sizes) else None}


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _one(texts: List[str]) -> Optional[str]:
    return texts[0] if texts else None
