"""The action `inventory`: what the engine has, which ports are taken, and what is at the paths that are asked for."""

import os
import re
import socket
import struct
from typing import Any, Dict, List, Optional

from .. import children, policy, space, tree, validate, wire
from ..facts import _kind
from ..probes import docker as probe
from ..probes.databases import address_of
from . import reading
from .engine import Engine
from .exchanging import cannot_be_renamed

_MOST_PATHS = 5000
_TABLES = (("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07"))
_PEER = struct.Struct("3i")


def inventory(engine: Engine, args: Dict[str, Any], control: wire.Control) -> Dict[str, Any]:
    """See contract of the verb: no value of an environment, none of a driver's option. Raises Refused."""
    paths = [validate.absolute(text, "path") for text in validate.texts(args.get("paths", []), "paths", _MOST_PATHS)]
    seen = reading.read(engine)
    root = seen.info.get("DockerRootDir")
    answer = {
        "engine": reading.engine_row(seen, compose(control)),
        "machine": os.uname().machine,
        "hostname": seen.hostname,
        "listening": listening(engine.path),
        "paths": places(paths, control),
        "data_root_free_bytes": places([wire.raw(root)], control)[root]["free_bytes"] if root else None,
    }
    return dict(answer, **reading.inventory_of(seen, reading.is_file))


def compose(control: wire.Control) -> Optional[Dict[str, Any]]:
    """The Compose of this machine, and how it is called; the plugin before the older program."""
    for command in ("docker compose", "docker-compose"):
        words = command.split()
        program = children.find(words[0])
        if program is None:
            continue
        code, said = children.capture([program, *words[1:], "version", "--short"], control)
        version = probe.compose_version(said.decode("utf-8", "replace")) if code == 0 else None
        if version:
            return {"command": command, "version": version}
    return None


def listening(path: str) -> List[Dict[str, Any]]:
    """Ports that processes have in the engine's network, which is where it would publish others."""
    pid = _engine_process(path)
    found = set()
    for name, protocol, state in _TABLES:
        for line in _table(name, pid).splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == state:
                address, port = words[1].split(":")
                found.add((address_of(address), int(port, 16), protocol))
    return [{"ip": ip, "port": port, "protocol": protocol} for ip, port, protocol in sorted(found)]


def _table(name: str, pid: int) -> str:
    for process in (str(pid), "self"):
        try:
            with open("/proc/{}/net/{}".format(process, name)) as file:
                return file.read()
        except OSError:
            continue
    return ""


def _engine_process(path: str) -> int:
    """Who made the socket listen, as the kernel tells it; 0 for one that this system does not see."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(8)
        try:
            door.connect(path)
            pid, _, _ = _PEER.unpack(door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        except OSError:
            return 0
    return int(pid)


def places(paths: List[bytes], control: wire.Control) -> Dict[str, Dict[str, Any]]:
    """For each path: what is there, on which filesystem, and how much room that has; also for one that is not there.

    `renamable`: false for a mount point or subvolume, whose staging directory must lie inside it; `links`: a link is on
    the way, so nothing is restored by this path; `allowed`: by the policy.
    """
    mounts = [one for one in tree.mounted() if not re.match(r"autofs", one.kind)]
    holders = {path: _holder(path, mounts) for path in paths}
    asked = sorted({(wire.shown(one.path), one.kind) for one in holders.values() if one is not None})
    rooms = space.measure(asked) if asked else {}
    found = {}
    for path in paths:
        control.check()
        found[wire.shown(path)] = _place(path, holders[path], rooms)
    return found


def _holder(path: bytes, mounts: List[tree.Mounted]) -> Optional[tree.Mounted]:
    """The mount that a path lies on; of several at one place the last."""
    best: Optional[tree.Mounted] = None
    for one in mounts:
        inside = one.path == b"/" or path == one.path or path.startswith(one.path + b"/")
        if inside and (best is None or len(one.path) >= len(best.path)):
            best = one
    return best


def _place(path: bytes, holder: Optional[tree.Mounted], rooms: Dict[str, Dict[str, Any]]) -> Dict[str, Any]:
    row: Dict[str, Any] = {"exists": False, "kind": "", "mountpoint": "", "device": "", "empty": None, "allowed": True}
    row.update(free_bytes=None, total_bytes=None, links=_has_links(path), renamable=True)
    try:
        policy.check_restore(path)
    except wire.Refused:
        row["allowed"] = False
    if not policy.sight()(path):
        return row
    if holder is not None:
        room = rooms.get(wire.shown(holder.path)) or {}
        row.update(mountpoint=wire.shown(holder.path), device=holder.device)
        row.update(free_bytes=room.get("available_bytes"), total_bytes=room.get("size_bytes"))
    try:
        status = os.lstat(path)
        row.update(exists=True, kind=_kind(status.st_mode))
        row["renamable"] = row["links"] or not cannot_be_renamed(path)
        if row["kind"] == "directory":
            with os.scandir(path) as entries:
                row["empty"] = next(iter(entries), None) is None
    except OSError:
        pass
    return row


def _has_links(path: bytes) -> bool:
    """Is a link on the way to it? Then nothing is restored there by this path."""
    walked = b""
    for name in path.split(b"/")[1:-1]:
        walked += b"/" + name
        if os.path.islink(walked):
            return True
    return False
