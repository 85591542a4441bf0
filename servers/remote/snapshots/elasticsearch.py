"""A snapshot that a node of Elasticsearch or OpenSearch makes itself, of all indices and the cluster's state.

It lies in a repository of its own below a directory that the node may write such things to (path.repo), both named
after the token. The files of a live node (path.data) are never copied. All nodes of the cluster must see that
directory, which the node checks when the repository is registered.
"""

import json
import os
import shutil
import stat
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .. import policy, tree, validate, wire
from .elasticsearch_api import REMOVE_SECONDS, Api, Unreachable
from .tools import Place, check, show

_LONGEST_LOOK = 2.0
_DONE = ("SUCCESS", "PARTIAL", "FAILED", "INCOMPATIBLE")
_FAILURES_TOLD = 20
_LATE_SECONDS = 10.0
# OpenSearch would leave closed and hidden indices out; a shard that is missing must fail all of it.
_EVERYTHING = {"indices": "*", "expand_wildcards": "all", "include_global_state": True, "partial": False}


class Volume(NamedTuple):
    """The node, and one of its directories for repositories."""

    api: Api
    path_repo: bytes

    def directory(self, place: Place) -> bytes:
        """The repository's own."""
        return self.path_repo + b"/" + wire.raw(place.name)


def volume(args: Dict[str, Any], secrets: Dict[str, Any]) -> Volume:
    """{"url", "login", "path_repo"}; a password is in `secrets["database"]`."""
    policy.check_databases()
    path_repo = validate.absolute(args.get("path_repo"), "path_repo")
    check([wire.shown(path_repo)])
    return Volume(Api(args, secrets), path_repo)


def make(place: Place, volume: Volume, args: Dict[str, Any], hold: Any, control: wire.Control) -> Dict[str, Any]:
    """Answers {"origins", "device", "type", "indices": how many, "left_out": names of those that are not in it}."""
    _check_repository(place, volume)
    wanted = _sizes(volume)
    _check_room(volume, sum(size or 0 for size in wanted.values()))
    _write(_marker(place))
    body = {"type": "fs", "settings": {"location": wire.shown(volume.directory(place))}}
    if volume.api.ask("PUT", "/_snapshot/" + place.name, body, REMOVE_SECONDS) is None:
        raise wire.Refused("snapshot", "the node at {} knows no repositories of snapshots".format(volume.api.url))
    _make_private(place, volume)
    path = "/_snapshot/{0}/{0}".format(place.name)
    volume.api.ask("PUT", path + "?wait_for_completion=false", _EVERYTHING)
    made = _wait(place, volume, control)
    problem = _problem(made)
    if problem is not None:
        raise wire.Refused("snapshot", problem)
    show(volume.directory(place), place)
    held = {str(name) for name in made.get("indices") or []}
    facts = {"origins": [wire.shown(volume.path_repo)], "device": volume.api.url, "type": "elasticsearch"}
    return dict(facts, indices=len(held), left_out=sorted(set(wanted) - held))


def state(place: Place, volume: Volume) -> Dict[str, Any]:
    """Valid is what has every shard. `problem` says what is missing.

    When the node cannot be asked, what it has proven before counts: nobody else writes there.
    """
    there = tree.is_mounted(wire.raw(place.mountpoint))
    try:
        found = _find(place, volume)
        exists, problem = found is not None, None if found is None else _problem(found)
        valid = exists and problem is None and there
    except Unreachable as refusal:
        exists, valid, problem = there, there, refusal.message
    return {"exists": exists, "valid": valid, "used_percent": None, "problem": problem}


def remove(place: Place, volume: Volume) -> bool:
    """The snapshot, also one that is still being made, its repository, its directory. True when one was there."""
    was = False
    # Whoever told the node of it may have been killed a moment ago, and the node not have done yet what it was asked.
    until = time.monotonic() + (_LATE_SECONDS if os.path.exists(_marker(place)) else 0)
    while True:
        known, whole = _forget(place, volume)
        was = _remove_directory(place, volume) or known or was
        if whole or time.monotonic() >= until:
            break
        time.sleep(0.5)
    if os.path.exists(_marker(place)):
        os.unlink(_marker(place))
    return was


def _forget(place: Place, volume: Volume) -> Tuple[bool, bool]:
    """(had the node a repository, and a snapshot in it). After the snapshot nothing comes late."""
    try:
        name = "/_snapshot/" + place.name
        if volume.api.get(name) is None:
            return False, False
        had = volume.api.ask("DELETE", "{}/{}".format(name, place.name), seconds=REMOVE_SECONDS) is not None
        volume.api.ask("DELETE", name)
        return True, had
    except Unreachable:
        # Of a node that was never told of it there is nothing to be removed.
        if _was_told(place, volume):
            raise
        return False, True


def _check_repository(place: Place, volume: Volume) -> None:
    """Is it a place that the node may write to, and one where others cannot exchange what it writes?"""
    shown = wire.shown(volume.path_repo)
    known = _path_repo(volume)
    if shown not in known:
        text = "{} is not in the node's path.repo ({}): add it to its configuration and restart it"
        raise wire.Refused("missing", text.format(shown, ", ".join(known) or "it has none"), path=shown)
    opened, _ = tree.walk_to(volume.path_repo)
    try:
        if os.fstat(opened).st_mode & stat.S_IWOTH:
            text = "everybody may write to {}: what lies there proves nothing (chmod o-w {})"
            raise wire.Refused("unsafe", text.format(shown, shown), path=shown)
        if tree.look(wire.raw(place.name), opened) is not None:
            raise wire.Refused("exists", "{}/{} exists already".format(shown, place.name))
    finally:
        os.close(opened)


def _path_repo(volume: Volume) -> List[str]:
    """As this node says it."""
    answer = volume.api.get("/_nodes/_local/settings")
    nodes = _at(answer, "nodes")
    if not isinstance(nodes, dict) or len(nodes) != 1:
        raise wire.Refused("snapshot", "{} is not a node that can be asked for its settings".format(volume.api.url))
    settings = _at(next(iter(nodes.values())), "settings")
    found = _at(settings, "path", "repo") or _at(settings, "path.repo") or []
    values = found if isinstance(found, list) else [found]
    return [os.path.normpath(value) for value in values if isinstance(value, str)]


def _check_room(volume: Volume, needed: int) -> None:
    """A repository of its own holds everything once more."""
    free = shutil.disk_usage(volume.path_repo).free
    if needed > free:
        text = "{} has {} bytes free, the snapshot needs {}".format(wire.shown(volume.path_repo), free, needed)
        raise wire.Refused("no-room", text, free_bytes=free, needed_bytes=needed)


def _sizes(volume: Volume) -> Dict[str, Optional[int]]:
    """Every index, also closed and hidden ones, with its bytes; None for a closed one, of which the node tells none."""
    question = "/_cat/indices?format=json&bytes=b&h=index,pri.store.size"
    try:
        rows = volume.api.get(question + "&expand_wildcards=all")
    except Unreachable:
        raise
    except wire.Refused:
        rows = volume.api.get(question)  # before 7.7 it knows no such word, and no hidden indices
    if not isinstance(rows, list):
        raise wire.Refused("snapshot", "{} does not tell its indices".format(volume.api.url))
    sizes = {str(_at(row, "index")): _at(row, "pri.store.size") for row in rows}
    return {name: int(size) if isinstance(size, str) and size.isdecimal() else None for name, size in sizes.items()}


def _make_private(place: Place, volume: Volume) -> None:
    """The node has made the directory, which everybody could read; the snapshot itself comes afterwards."""
    try:
        opened, _ = tree.walk_to(volume.directory(place))
    except wire.Refused as refusal:
        text = "{}: the node has made its repository elsewhere, perhaps because it runs in a container"
        raise wire.Refused(refusal.code, text.format(refusal.message)) from None
    try:
        os.fchmod(opened, 0o700)
    finally:
        os.close(opened)


def _wait(place: Place, volume: Volume, control: wire.Control) -> Dict[str, Any]:
    """The snapshot once it has ended, however; how far it is goes to standard error. Raises Stopped."""
    pause = 0.1
    while True:
        control.check()
        found = _find(place, volume)
        if found is None:
            raise wire.Refused("snapshot", "somebody has deleted the snapshot {} while it was made".format(place.name))
        if found.get("state") in _DONE:
            return found
        _tell(place, volume)
        until = time.monotonic() + pause
        while time.monotonic() < until:
            control.check()
            time.sleep(0.1)
        pause = min(_LONGEST_LOOK, pause * 2)


def _tell(place: Place, volume: Volume) -> None:
    """One line of JSON: {"type": "phpborg_snapshot", "shards", "shards_done", "bytes", "bytes_done"}."""
    status = volume.api.get("/_snapshot/{0}/{0}/_status".format(place.name))
    rows = _at(status, "snapshots")
    row = rows[0] if isinstance(rows, list) and rows else {}
    told = {
        "shards": _at(row, "shards_stats", "total"),
        "shards_done": _at(row, "shards_stats", "done"),
        "bytes": _at(row, "stats", "incremental", "size_in_bytes"),
        "bytes_done": _at(row, "stats", "processed", "size_in_bytes"),
    }
    wire.write_all(2, json.dumps(dict(told, type="phpborg_snapshot")).encode() + b"\n")


def _find(place: Place, volume: Volume) -> Optional[Dict[str, Any]]:
    """What the node knows of it, None when it knows nothing."""
    rows = _at(volume.api.get("/_snapshot/{0}/{0}".format(place.name)), "snapshots")
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None


def _problem(found: Dict[str, Any]) -> Optional[str]:
    """Why it is not whole, with the shards that are missing; None when nothing is."""
    failures = found.get("failures") or []
    if found.get("state") == "SUCCESS" and not failures and _at(found, "shards", "failed") == 0:
        return None
    told = ["{}[{}]: {}".format(one.get("index"), one.get("shard_id"), one.get("reason")) for one in failures]
    more = ["and {} more".format(len(told) - _FAILURES_TOLD)] if len(told) > _FAILURES_TOLD else []
    reasons = [*told[:_FAILURES_TOLD], *more] or [str(found.get("reason") or "it names no shard")]
    return "the snapshot is {}, not whole: {}".format(found.get("state"), "; ".join(reasons))


def _marker(place: Place) -> str:
    """There from the moment at which the node is told of it."""
    return os.path.join(place.directory, "told")


def _write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _was_told(place: Place, volume: Volume) -> bool:
    """Without our own directory (a restart) it is not known, and may be."""
    unknown = not os.path.isdir(place.directory)
    return unknown or os.path.exists(_marker(place)) or os.path.lexists(volume.directory(place))


def _remove_directory(place: Place, volume: Volume) -> bool:
    """No link is followed, no other filesystem entered."""
    try:
        opened, _ = tree.walk_to(volume.path_repo)
    except wire.Refused as refusal:
        if refusal.code == "missing":
            return False
        raise
    try:
        was = tree.look(wire.raw(place.name), opened) is not None
        tree.remove(wire.raw(place.name), opened, wire.Control(0))
        return was
    finally:
        os.close(opened)


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
