"""What the administrator of this server allows, whoever asks: /etc/phpborg/policy.json.

{"restore_roots": ["/recovery"], "read_roots": ["/etc", "/home"], "hooks": false}; a missing file or
key permits, but "databases" follows "read_roots": where these are listed, databases are read only when it
says true. A file that root does not own, or that is damaged, permits nothing. "confine": false lets a
restore run unconfined (see confine.py) where the system has no private mounts, as in some containers.
"""

import json
import os
import pwd
import stat
from typing import Any, Callable, Dict, List

from . import places, wire

_KEYS = {"restore_roots", "read_roots", "hooks", "confine", "databases", "sessions", "docker"}


def load() -> Dict[str, Any]:
    """The policy; {} when there is none."""
    try:
        descriptor = os.open(places.POLICY, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise wire.Refused("policy", "{} cannot be read: {}".format(places.POLICY, error.strerror)) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_uid != 0 or status.st_mode & 0o022 or not stat.S_ISREG(status.st_mode):
            raise wire.Refused("policy", "{} must be a file of root that nobody else can write".format(places.POLICY))
        try:
            data = json.loads(file.read(1 << 20).decode("utf-8"))
        except ValueError:
            raise wire.Refused("policy", "{} is not JSON".format(places.POLICY)) from None
    if not isinstance(data, dict) or set(data) - _KEYS:
        raise wire.Refused("policy", "{} has unknown keys".format(places.POLICY))
    return data


def _inside(path: bytes, roots: List[bytes]) -> bool:
    return any(root == b"/" or path == root or path.startswith(root + b"/") for root in roots)


def _plain(roots: Any, key: str) -> List[bytes]:
    if not isinstance(roots, list) or not all(isinstance(root, str) and root.startswith("/") for root in roots):
        raise wire.Refused("policy", "{} in {} must list absolute paths".format(key, places.POLICY))
    return [wire.raw(root.rstrip("/") or "/") for root in roots]


def _check(path: bytes, key: str, what: str) -> None:
    roots = load().get(key)
    if roots is None:
        return
    if not _inside(path, _plain(roots, key)):
        name = wire.shown(path)
        raise wire.Refused("policy", "this server does not allow {} {}".format(what, name), path=name)


def _groups(account: int) -> List[int]:
    try:
        known = pwd.getpwuid(account)
    except KeyError:
        return []
    return os.getgrouplist(known.pw_name, known.pw_gid)


def check_restore(path: bytes) -> None:
    """May files be restored below this path?"""
    _check(path, "restore_roots", "a restore to")


def check_read(path: bytes, real: bool = False) -> None:
    """May this path be backed up? `real`: nobody but root may lead it elsewhere by a link on the way."""
    _check(path, "read_roots", "a backup of")
    if real and load().get("read_roots") is not None:
        _check_way(path)


def sight() -> Callable[[bytes], bool]:
    """Which paths may be looked at: what may be read or restored to, and the folders on the way there."""
    lists = [(load().get(key), key) for key in ("read_roots", "restore_roots")]
    if any(roots is None for roots, _ in lists):
        return lambda path: True
    known = [root for roots, key in lists for root in _plain(roots, key)]
    return lambda path: _inside(path, known) or any(_inside(root, [path]) for root in known)


def check_look(path: bytes, into: bool = False) -> None:
    """Refuse what `sight` does not allow, also when links lead there; `into`: what the path itself leads to."""
    if not sight()(path):
        name = wire.shown(path)
        raise wire.Refused("policy", "this server does not allow a look at {}".format(name), path=name)
    if all(load().get(key) is not None for key in ("read_roots", "restore_roots")):
        try:
            _check_way(path + b"/." if into else path)
        except FileNotFoundError:
            pass  # nothing is there to be seen


def _check_way(path: bytes) -> None:
    account = int(os.environ.get("SUDO_UID", "0"))
    groups = _groups(account) if account else []
    walked = b""
    for name in path.split(b"/")[1:]:
        above = os.lstat(walked or b"/")
        link = stat.S_ISLNK(above.st_mode)
        shared = above.st_mode & 0o002 or (above.st_mode & 0o020 and above.st_gid in groups)
        # In a directory such as /tmp only the owner of an entry can exchange it, and he is looked at next.
        shared = shared and not above.st_mode & stat.S_ISVTX
        if link or shared or (account and above.st_uid == account):
            text = "{} is a link or may be changed by others: the policy cannot hold below it"
            raise wire.Refused("policy", text.format(wire.shown(walked)), path=wire.shown(path))
        walked += b"/" + name


def check_databases() -> None:
    """May databases be read by their own tools? Where roots are listed, only when it is said: they are no paths."""
    known = load()
    if not known.get("databases", known.get("read_roots") is None):
        raise wire.Refused("policy", "this server does not allow backups of databases (“databases” in the policy)")


def check_loads() -> None:
    """May databases be written? Where roots are listed, only when it is said."""
    _check_said("databases", "that databases are loaded")


def _check_said(key: str, what: str) -> None:
    known = load()
    listed = any(known.get(roots) is not None for roots in ("read_roots", "restore_roots"))
    if not known.get(key, not listed):
        raise wire.Refused("policy", "this server does not allow {} (“{}” in the policy)".format(what, key))


def check_sessions() -> None:
    """May databases run out of archives here? Where roots are listed, only when it is said."""
    _check_said("sessions", "Instant Recovery")


def check_docker(what: str = "that containers are restored") -> None:
    """May containers, volumes and networks be restored? Where roots are listed, only when it is said: a container may
    be given any path of the machine.
    """
    _check_said("docker", what)


def check_hooks() -> None:
    """May hooks be run?"""
    if load().get("hooks", True) is not True:
        raise wire.Refused("policy", "this server does not allow hooks")


def confines() -> bool:
    """Must an extraction be unable to write elsewhere? Yes, unless root says otherwise."""
    return load().get("confine", True) is not False
