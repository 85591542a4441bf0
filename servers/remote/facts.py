"""The verbs that only look (`hello` notes borg's version for itself): `hello`, `paths`, `list_dir`."""

import json
import os
import platform
import pwd
import socket
import stat
import sys
import time
from typing import Any, Dict, List, Optional

from . import PROTOCOL, VERSION, borg, children, places, policy, tree, validate, wire

_PAGE = 1000


def _os_release() -> Dict[str, str]:
    found: Dict[str, str] = {}
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, equals, value = line.strip().partition("=")
                if equals and name in ("ID", "VERSION_ID", "PRETTY_NAME", "ID_LIKE"):
                    found[name.lower()] = value.strip("\"'")
    except OSError:
        pass
    return found


def _borg(control: wire.Control, quick: bool) -> Dict[str, Optional[str]]:
    """Where borg is and its version; `quick`: what it said before is enough while it is the same file."""
    try:
        path = borg.find_borg()
    except wire.Refused as refusal:
        return {"path": None, "version": None, "problem": refusal.message}
    identity = _identity(path)
    known = _remembered(identity) if quick else None
    if known:
        return {"path": path, "version": known, "problem": None}
    code, output = children.capture([path, "--version"], control)
    text = output.decode("utf-8", "replace").strip()
    last = text.splitlines()[-1] if text else ""
    if code or not last.startswith("borg"):
        return {"path": path, "version": None, "problem": text[-500:]}
    _remember(identity, last.split()[-1])
    return {"path": path, "version": last.split()[-1], "problem": None}


def _identity(path: str) -> List[Any]:
    """Another one after every upgrade: a package manager or pip writes the file anew."""
    status = os.stat(path)
    return [os.path.realpath(path), status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns]


def _remembered(identity: List[Any]) -> Optional[str]:
    """Borg's version as it said it when this very file was asked: each run asks, and borg starts slowly."""
    try:
        with open(places.version_note(), encoding="utf-8") as file:
            note = json.load(file)
        return str(note["version"]) if note["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(identity: List[Any], version: str) -> None:
    """For the next time; a place that cannot be written only means that borg is asked again."""
    new = "{}.{}".format(places.version_note(), os.getpid())
    try:
        places.make_private(places.state_directory())
        with open(new, "w", encoding="utf-8") as file:
            json.dump({"identity": identity, "version": version}, file)
        os.replace(new, places.version_note())
    except OSError:
        try:
            os.unlink(new)
        except OSError:
            pass


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _free(path: str) -> Optional[int]:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


def hello(request: wire.Request, control: wire.Control) -> None:
    """What this server is and has. With `paths`, as a run asks, also what that verb answers: it saves a connection."""
    asked = {"paths": _facts(request, control)} if "paths" in request.args else {}
    wire.answer(
        {
            **asked,
            "protocol": PROTOCOL,
            "version": VERSION,
            "python": platform.python_version(),
            "python_path": sys.executable,
            "uid": os.geteuid(),
            "user": _account(),
            "sudo_user": os.environ.get("SUDO_USER"),
            "hostname": socket.gethostname(),
            "os": _os_release(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "borg": _borg(control, quick="paths" in request.args),
            "fuse": os.path.exists("/dev/fuse") and bool(children.find("fusermount") or children.find("fusermount3")),
            "base_directory": places.state_directory(),
            "base_free_bytes": _free(places.state_directory()),
            "time": time.time(),
        }
    )


_KINDS = [
    (stat.S_ISDIR, "directory"),
    (stat.S_ISREG, "file"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISBLK, "block device"),
    (stat.S_ISCHR, "character device"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
]


def _kind(mode: int) -> str:
    return next((word for test, word in _KINDS if test(mode)), "other")


def _look(path: bytes) -> Dict[str, Any]:
    fact: Dict[str, Any] = {
        "path": wire.shown(path),
        "exists": False,
        "kind": None,
        "dangling": False,
        "readable": False,
    }
    try:
        status = os.lstat(path)
    except OSError as error:
        fact["problem"] = error.strerror
        return fact
    fact.update(exists=True, kind=_kind(status.st_mode), size=status.st_size, dev=status.st_dev)
    if stat.S_ISLNK(status.st_mode):
        fact.update(link=wire.shown(os.readlink(path)), dangling=not os.path.exists(path), readable=True)
    else:
        wanted = os.R_OK | (os.X_OK if stat.S_ISDIR(status.st_mode) else 0)
        fact["readable"] = os.access(path, wanted, effective_ids=True)
    return fact


def paths(request: wire.Request, control: wire.Control) -> None:
    """For each path: is it there, what is it, can it be read, what is mounted at or below it."""
    wire.answer({"paths": _facts(request, control)})


def _facts(request: wire.Request, control: wire.Control) -> List[Dict[str, Any]]:
    answers = []
    allows = policy.sight()
    for text in validate.texts(request.args.get("paths"), "paths", 1000):
        control.check()
        path = validate.absolute(text, "path")
        policy.check_look(path)
        fact = _look(path)
        mounts = [mount for mount in tree.mount_points(path) if allows(mount[0])]
        fact["mounts"] = [{"path": wire.shown(point), "type": kind} for point, kind in mounts[:200]]
        fact["mount_count"] = len(mounts)
        fact["free_bytes"] = _free_bytes(path)
        answers.append(fact)
    return answers


def _free_bytes(path: bytes) -> Optional[int]:
    """What can be written at this path, or where it would be made; None when it cannot be told."""
    while path != b"/" and not os.path.lexists(path):
        path = os.path.dirname(path)
    try:
        space = os.statvfs(path)
    except OSError:
        return None
    return space.f_bavail * space.f_frsize


def list_dir(request: wire.Request, control: wire.Control) -> None:
    """One page of a directory, sorted by name: for choosing paths."""
    path = validate.absolute(request.args.get("path"), "path")
    policy.check_look(path, into=True)
    after = wire.raw(validate.text(request.args.get("after", ""), "after"))
    limit = validate.number(request.args.get("limit", 200), "limit", 1, _PAGE)
    only = request.args.get("directories_only") is True
    allows = policy.sight()
    names = sorted(name for name in os.listdir(path) if name > after and allows(os.path.join(path, name)))
    entries: List[Dict[str, Any]] = []
    more = False
    for name in names:
        control.check()
        if len(entries) == limit:
            more = True
            break
        entry = _entry(path, name)
        if entry is not None and not (only and entry["kind"] != "directory"):
            entries.append(entry)
    wire.answer({"path": wire.shown(path), "entries": entries, "more": more})


def _entry(path: bytes, name: bytes) -> Optional[Dict[str, Any]]:
    try:
        status = os.lstat(os.path.join(path, name))
    except OSError:
        return None
    return {
        "name": wire.shown(name),
        "kind": _kind(status.st_mode),
        "size": status.st_size,
        "modified": int(status.st_mtime),
    }
