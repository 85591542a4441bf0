"""A copy of MySQL's or MariaDB's files by its own tool, made ready to start: mariadb-backup, or xtrabackup.

The copy lies in a private directory beside the data directory, so it needs as much room as the data. It is seen
like a snapshot and goes like one; its place follows from the token. The server goes on meanwhile.

The directory above may be the server's account's, which could put a link there under the copy's name. So the copy is
opened once, and made, given away and shown where only root comes by: at `place.top`.
"""

import math
import os
import stat
from typing import Any, Dict, List, NamedTuple, Optional

from .. import children, mysql_access, policy, streams, tree, validate, wire
from ..probes.base import Look
from .tools import Lock, Place, check, is_own, make_own, show, unmount

_PROGRAMS = {"mariadb": ("mariadb-backup", "mariabackup"), "mysql": ("xtrabackup",)}
_PACKAGES = {"mariadb": "mariadb-backup", "mysql": "percona-xtrabackup"}
# What the tool writes beside the data (its log of changes), as a share of the data.
_ROOM = 1.05
_DONE = "completed OK!"
# Written after the copy was prepared and proven: what is there without it is half of a copy.
_READY = "phpborg-ready"


class Volume(NamedTuple):
    """The data directory, and how the tool gets in: None for a removal, which asks nobody."""

    datadir: str
    flavour: str
    access: Optional[mysql_access.Access]


def volume(args: Dict[str, Any], secrets: Dict[str, Any]) -> Volume:
    """`datadir` and the access row."""
    datadir = wire.shown(validate.absolute(args.get("datadir"), "datadir"))
    flavour = validate.choice(args.get("flavour"), "flavour", sorted(_PROGRAMS))
    access = mysql_access.access(args, secrets) if args.get("action") == "make" else None
    if access is not None and access.user is not None:
        # The tool reads as root what that server names.
        text = "the server of the account {} is not copied by root: only one of an account of databases is"
        raise wire.Refused("unsafe", text.format(access.user))
    return Volume(datadir, flavour, access)


def make(place: Place, volume: Volume, args: Dict[str, Any], hold: Any, control: wire.Control) -> Dict[str, Any]:
    """Copy, make ready, show. The tool takes the locks that it needs itself."""
    check([volume.datadir])
    program = _program(volume.flavour)
    copy = _directory(place, volume)
    needed = _check_room(volume, control)
    above, _ = tree.walk_to(wire.raw(os.path.dirname(copy)))
    try:
        make_own(wire.raw(os.path.basename(copy)), above, place)
    finally:
        os.close(above)
    data = os.path.join(place.top, "data")
    words = ["--backup", "--target-dir=" + data, "--datadir=" + volume.datadir]
    _run([program, *_options(volume), *words], volume.access, place, control)
    _run([program, "--prepare", "--target-dir=" + data], None, place, control)
    _give(data, volume.datadir)
    with open(os.path.join(place.top, _READY), "w"):
        pass
    show(wire.raw(data), place)
    unmount(place.top)
    return {"origins": [volume.datadir], "device": copy, "type": "copy", "needed_bytes": needed, "program": program}


def state(place: Place, volume: Volume) -> Dict[str, Any]:
    """A copy changes no more: it is whole as soon as it is ready."""
    ready = os.path.exists(os.path.join(_directory(place, volume), _READY)) and tree.is_mounted(
        wire.raw(place.mountpoint)
    )
    return {"exists": os.path.isdir(_directory(place, volume)), "valid": ready, "used_percent": None}


def remove(place: Place, volume: Volume) -> bool:
    """True when there was something. Nothing else is ever removed there: the name is ours, the directory root's."""
    unmount(place.top)
    copy = wire.raw(_directory(place, volume))
    name = os.path.basename(copy)
    try:
        above, _ = tree.walk_to(os.path.dirname(copy))
    except wire.Refused:
        if os.path.lexists(copy):
            raise
        return False
    try:
        status = tree.look(name, above)
        if status is None:
            return False
        if not is_own(status):
            raise wire.Refused("unsafe", "{} is not a directory of ours".format(wire.shown(copy)))
        if any(one.path.startswith(copy + b"/") for one in tree.mounted()):
            raise wire.Refused("unsafe", "something is mounted below {}".format(wire.shown(copy)))
        tree.remove(name, above, wire.Control(0))
    finally:
        os.close(above)
    return True


def _directory(place: Place, volume: Volume) -> str:
    """Beside the data directory: on the same filesystem as a rule, and never inside of it."""
    return os.path.join(os.path.dirname(volume.datadir.rstrip("/")), ".{}".format(place.name))


def _program(flavour: str) -> str:
    for name in _PROGRAMS[flavour]:
        path = children.find(name)
        if path is not None:
            return path
    raise wire.Refused("missing", "{} is not installed: install {}".format(_PROGRAMS[flavour][0], _PACKAGES[flavour]))


def _options(volume: Volume) -> List[str]:
    """How the tool gets in; xtrabackup knows no --protocol, and what else is said leaves only one."""
    assert volume.access is not None
    return [word for word in volume.access.options if volume.flavour == "mariadb" or word[:11] != "--protocol="]


def _check_room(volume: Volume, control: wire.Control) -> int:
    """The bytes that the copy needs. Raises Refused when they are not there, or cannot be counted; Stopped."""
    policy.check_read(wire.raw(volume.datadir), real=True)
    # Millions of tables on a slow disk are counted as long as it takes: the run's own limit ends it before.
    size, problem = Look({}, math.inf, control.check).size(volume.datadir)
    if size is None:
        raise wire.Refused("snapshot", "the size of {} is not known: {}".format(volume.datadir, problem))
    needed = int(size * _ROOM)
    status = os.statvfs(wire.raw(os.path.dirname(volume.datadir.rstrip("/"))))
    free = status.f_bavail * status.f_frsize
    if needed > free:
        text = "a copy of {} needs {} bytes beside it and {} are free".format(volume.datadir, needed, free)
        raise wire.Refused("no-room", text, free_bytes=free, needed_bytes=needed)
    return needed


def _run(argv: List[str], access: Optional[mysql_access.Access], place: Place, control: wire.Control) -> None:
    """To its end, or to ours. Exit status and last words both have to say that it went well.

    It has the lock, so that a removal after our own end waits for it: it would go on writing meanwhile.
    """
    with streams.Said() as said, Lock(place) as lock:
        tool = children.Tool(
            argv,
            children.environment(),
            access.fds if access else (),
            stdin=lock.descriptor,
            stdout=said.descriptor,
            stderr=said.descriptor,
        )
        code, number = tool.wait(control)
        control.check()
        words = said.text()
    if code != 0 or not words.endswith(_DONE):
        end = "exit {}".format(code) if number is None else "signal {}".format(number)
        text = "{} {} ended with {}: {}"
        name = os.path.basename(argv[0])
        action = "--prepare" if "--prepare" in argv else "--backup"
        raise wire.Refused("snapshot", text.format(name, action, end, words[-1500:] or "it said nothing"))


def _give(data: str, datadir: str) -> None:
    """The files belong to the server's account, so that it starts on them as they are."""
    owner = os.stat(wire.raw(datadir))
    for folder, names, files in os.walk(wire.raw(data)):
        for name in [*names, *files]:
            os.chown(os.path.join(folder, name), owner.st_uid, owner.st_gid, follow_symlinks=False)
    os.chown(wire.raw(data), owner.st_uid, owner.st_gid)
    os.chmod(wire.raw(data), stat.S_IMODE(owner.st_mode))
