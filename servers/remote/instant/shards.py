"""Elasticsearch and OpenSearch in their container: every file of every shard read, or one query of a person.

A node reads a shard's files whole, and compares each with its checksum, when the shard is started with
`index.shard.check_on_startup: checksum`. That may only be set while an index is closed: so each index is closed, set,
and opened again, one after the other, all of it in the layer that is thrown away. What the node says of a shard that
does not start is its own reason (`_cluster/allocation/explain`).
"""

import http.client
import json
import re
import select
import socket
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import quote

from .. import validate, wire
from . import web

_ANSWER_BYTES = 64 << 20
_MOST_LETTERS = 1500
_MOST_BODY = 1 << 16
_LOOK_SECONDS = 0.2
_PATH = re.compile(r"/(?!/)[!-~]{0,4000}")
_INDICES = (
    "/_cluster/state/metadata?filter_path=metadata.indices.*.state,metadata.indices.*.settings.index.number_of_shards,"
    "metadata.indices.*.settings.index.store.type"
)
_HEALTH = "/_cluster/health{}?level=shards&filter_path=number_of_in_flight_fetch,indices.*.shards"
_CHECKED = {"index.shard.check_on_startup": "checksum", "index.allocation.max_retries": 1}
_BLOCK = "cluster.blocks.read_only"
_SETTINGS = "/_cluster/settings"


class Refused(Exception):
    """The node answered that it will not; its words."""


class Talk:
    """Questions of one check, each over a connection of its own. An answer may take hours."""

    def __init__(
        self,
        connect: Callable[[], socket.socket],
        control: wire.Control,
        deadline: float,
        rest: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._control = control
        self._deadline = deadline
        self._rest = rest

    def ask(self, method: str, path: str, body: Optional[bytes] = None) -> bytes:
        """The answer. Raises Refused, Stopped, OSError, and TimeoutError when the time is over."""
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self._connect()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            while not select.select([connection.sock], [], [], _LOOK_SECONDS)[0]:
                self.pause(0)
            connection.sock.settimeout(60)
            response = connection.getresponse()
            said = response.read(_ANSWER_BYTES + 1)
        except http.client.HTTPException as error:
            raise OSError("no answer of HTTP: {!r}".format(error)) from None
        finally:
            connection.close()
        if response.status >= 300:
            raise Refused(_reason(said) or "status {}".format(response.status))
        if len(said) > _ANSWER_BYTES:
            raise Refused("the answer is too long")
        return said

    def table(self, method: str, path: str, body: Any = None) -> Dict[str, Any]:
        """The answer, which is a table of JSON."""
        said = self.ask(method, path, None if body is None else json.dumps(body).encode())
        try:
            return _table(json.loads(said.decode("utf-8", "replace")))
        except (ValueError, RecursionError):
            raise Refused("its answer is no JSON") from None

    def pause(self, seconds: float = _LOOK_SECONDS) -> None:
        """Before the next look. Raises Stopped and TimeoutError."""
        self._control.check()
        self._rest()
        if time.monotonic() > self._deadline:
            raise TimeoutError("it was not answered in time")
        time.sleep(seconds)


class Look(NamedTuple):
    """What is asked, and handed over line by line. None: every shard is read."""

    query: Optional[web.Query]

    def carry_out(self, talk: Talk, take: Callable[[bytes], None]) -> Tuple[Optional[int], bytes]:
        """0, or 1 and why it was not answered. Raises Stopped and OSError."""
        try:
            if self.query is None:
                for row in _read(talk):
                    take(json.dumps(row, sort_keys=True).encode())
            else:
                for line in _answer(talk.ask(self.query.method, self.query.path, self.query.body or None)):
                    take(line)
        except Refused as refusal:
            return 1, str(refusal).encode("utf-8", "replace")
        return 0, b""


def look(table: Dict[str, Any]) -> Look:
    """{"read": true}, or {"method", "path", "body"} of a request that only reads."""
    if table.get("read") is True:
        return Look(None)
    method = validate.choice(table.get("method"), "method", ["GET", "POST"])
    path = validate.text(table.get("path"), "path", _PATH)
    if not web.reads(method, path):
        raise wire.Refused("invalid", "this request does not only read", field="path")
    body = validate.text(table.get("body", ""), "body", limit=_MOST_BODY)
    return Look(web.Query(method, path, wire.raw(body), None))


# --- the answer to a query ----------------------------------------------------------------------------


def _answer(said: bytes) -> Iterator[bytes]:
    """Of a search its documents, then its aggregations; of other JSON one line; of a table of text its rows."""
    try:
        answer = json.loads(said.decode("utf-8"))
    except RecursionError:
        raise Refused("its answer is nested too deep") from None
    except ValueError:
        for line in said.splitlines():
            yield b"\t".join(line.split())
        return
    if not isinstance(answer, dict) or "hits" not in answer:
        yield _line(answer)
        return
    if _table(answer.get("_shards")).get("failed") or answer.get("timed_out"):
        raise Refused(json.dumps(answer.get("_shards"))[:_MOST_LETTERS])
    for hit in _list(_table(answer["hits"]).get("hits")):
        yield _line(_table(hit).get("_source", _table(hit).get("fields")))
    for name, value in sorted(_table(answer.get("aggregations")).items()):
        yield name.encode("utf-8", "replace") + b"\t" + _line(value)


def _line(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


# --- every shard --------------------------------------------------------------------------------------


def _read(talk: Talk) -> Iterator[Dict[str, Any]]:
    """First what did not start at all, then each index anew. A node that holds none says so, too."""
    indices = _table(_table(talk.table("GET", _INDICES).get("metadata")).get("indices"))
    yield {"indices": len(indices)}
    for name in _dangling(talk):
        yield {"dangling": name}
    red = _settled(talk, [name for name in indices if indices[name].get("state") == "open"])
    block = _lift(talk)
    try:
        for name in sorted(indices):
            settings = _table(_table(indices[name].get("settings")).get("index"))
            if _table(settings.get("store")).get("type") == "snapshot":
                yield {"index": name, "elsewhere": True}
            elif name in red:
                for row in _unstarted(talk, name, red[name]):
                    yield row
            else:
                for row in _one(talk, name, indices[name].get("state") == "open"):
                    yield row
    finally:
        if block:
            talk.table("PUT", _SETTINGS, {"persistent": {_BLOCK: True}})


def _dangling(talk: Talk) -> List[str]:
    """Indices whose files are here, and which the cluster's state does not know: a node that lost it begins anew."""
    try:
        said = talk.table("GET", "/_dangling")
    except Refused:
        return []  # before 7.9 of Elasticsearch: there it takes them in by itself
    return [str(_table(row).get("index_name")) for row in _list(said.get("dangling_indices"))]


def _lift(talk: Talk) -> bool:
    """The server's own block against writes refuses settings, too. What is asked after this has it again."""
    persistent = _table(talk.table("GET", _SETTINGS + "?flat_settings=true").get("persistent"))
    if str(persistent.get(_BLOCK)).lower() != "true":
        return False
    talk.table("PUT", _SETTINGS, {"persistent": {_BLOCK: None}})
    return True


def _one(talk: Talk, name: str, is_open: bool) -> Iterator[Dict[str, Any]]:
    """Closed, set, opened, read; and how many documents can be found in it."""
    path = "/" + quote(name, safe="")
    try:
        if is_open:
            talk.table("POST", path + "/_close")
        talk.table("PUT", path + "/_settings", _CHECKED)
        talk.table("POST", path + "/_open?wait_for_active_shards=0")
    except Refused as refusal:
        yield {"index": name, "refused": str(refusal)}
        return
    red = _settled(talk, [name], path).get(name, [])
    if red:
        for row in _unstarted(talk, name, red):
            yield row
        return
    try:
        count = talk.table("GET", path + "/_count")
    except Refused as refusal:
        yield {"index": name, "problem": str(refusal)}
        return
    if _table(count.get("_shards")).get("failed"):
        yield {"index": name, "problem": json.dumps(count.get("_shards"))[:_MOST_LETTERS]}
        return
    yield {"index": name, "docs": _number(count.get("count")), "shards": _table(count.get("_shards")).get("total")}


def _settled(talk: Talk, names: List[str], path: str = "") -> Dict[str, List[int]]:
    """Once nothing begins any more: of these indices the shards whose primary has not started. `path`: of one alone."""
    quiet = 0
    while True:
        health = talk.table("GET", _HEALTH.format(path))
        found = _table(health.get("indices"))
        waits = health.get("number_of_in_flight_fetch") != 0
        red = {}  # type: Dict[str, List[int]]
        for name in names:
            shards = _table(_table(found.get(name)).get("shards"))
            waits = waits or not shards
            for number, shard in shards.items():
                waits = waits or bool(_table(shard).get("initializing_shards"))
                if not _table(shard).get("primary_active"):
                    red.setdefault(name, []).append(_number(number))
        if not waits and not red:
            return red
        # A shard that failed waits for its next attempt, and between two looks it may be at neither.
        quiet = 0 if waits else quiet + 1
        if quiet > 5:
            return red
        talk.pause()


def _unstarted(talk: Talk, name: str, shards: List[int]) -> Iterator[Dict[str, Any]]:
    for shard in sorted(shards):
        asked = {"index": name, "shard": shard, "primary": True}
        try:
            said = talk.table("POST", "/_cluster/allocation/explain", asked)
        except Refused as refusal:
            yield {"index": name, "shard": shard, "problem": str(refusal)}
            continue
        yield {"index": name, "shard": shard, "problem": _why(said)}


def _why(said: Dict[str, Any]) -> str:
    """The failure; where there was none, that no copy is here, or what is wrong with the one that is."""
    told = [_innermost(str(_table(said.get("unassigned_info")).get("details") or ""))]
    for decision in _list(said.get("node_allocation_decisions")):
        broken = _table(_table(_table(decision).get("store")).get("store_exception"))
        told.append(_deepest(broken))
    told = [one for one in told if one] or [str(said.get("allocate_explanation") or "")]
    return "\n".join(told)[:_MOST_LETTERS]


def _innermost(details: str) -> str:
    """Of a chain of failures the one that began it: in one line, or since Elasticsearch 8 with its whole stack."""
    if "Caused by: " in details:
        return details.rpartition("Caused by: ")[2].partition("\n")[0]
    return details.rpartition("nested: ")[2].rstrip("; ")


def _deepest(error: Dict[str, Any]) -> str:
    while isinstance(error.get("caused_by"), dict):
        error = error["caused_by"]
    return str(error.get("reason") or error.get("type") or "")


def _reason(said: bytes) -> str:
    """A refusal in the node's words."""
    try:
        error = _table(json.loads(said.decode("utf-8", "replace"))).get("error")
    except (ValueError, RecursionError):
        return said.decode("utf-8", "replace")[:_MOST_LETTERS]
    found = _table(error)
    if not found:
        return str(error or "")[:_MOST_LETTERS]
    return "{}: {}".format(found.get("type"), _deepest(found))[:_MOST_LETTERS]


def _number(value: Any) -> int:
    """A stranger's word."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 1 << 63:
        raise Refused("{!r:.100} is no number".format(value))
    return number


def _table(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []
