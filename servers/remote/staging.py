"""The verbs `stage` and `unstage`: a private directory beside the target, into which borg extracts."""

import os
import shutil
import stat
from typing import Any, Dict, Tuple

from . import places, policy, tree, validate, wire

_PREFIX = b".phpborg-restore-"


def staging_name(token: str) -> bytes:
    """The name of a restore's staging directory."""
    return _PREFIX + token.encode("ascii")


def _target(args: Dict[str, Any]) -> Tuple[bytes, str]:
    target = validate.absolute(args.get("target"), "target")
    policy.check_restore(target)
    return target, validate.token(args.get("token"))


def stage(request: wire.Request, control: wire.Control) -> None:
    """Make the staging directory (and missing parents, 0755); answers its path and the free bytes."""
    target, token = _target(request.args)
    parent, made = tree.walk_to(target, create=True)
    try:
        name = staging_name(token)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            raise wire.Refused("exists", "the staging directory exists already") from None
        space = os.fstatvfs(parent)
    finally:
        os.close(parent)
    path = target.rstrip(b"/") + b"/" + name
    free = space.f_bavail * space.f_frsize
    room = {"free_bytes": free, "total_bytes": space.f_blocks * space.f_frsize, "free_inodes": space.f_favail}
    wire.answer(dict(room, path=wire.shown(path), created=made))


def open_staging(args: Any) -> int:
    """Open the staging directory that `args` (target, token) names; Refused unless we made it."""
    if not isinstance(args, dict):
        raise wire.Refused("invalid", "the request names no staging directory")
    target, token = _target(args)
    parent, _ = tree.walk_to(target)
    try:
        return checked_staging(parent, token)
    finally:
        os.close(parent)


def path_of(args: Dict[str, Any]) -> bytes:
    """The path of the staging directory that `args` (target, token) names."""
    target, token = _target(args)
    return target.rstrip(b"/") + b"/" + staging_name(token)


def checked_staging(parent: int, token: str) -> int:
    """Open our staging directory below an open target."""
    name = staging_name(token)
    if tree.look(name, parent) is None:
        raise wire.Refused("missing", "there is no staging directory for this restore")
    opened = tree.open_directory(name, parent)
    status = os.fstat(opened)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(opened)
        raise wire.Refused("unsafe", "the staging directory is not ours alone")
    return opened


def unstage(request: wire.Request, control: wire.Control) -> None:
    """Remove the staging directory; gone is fine, a mount below it is refused."""
    target, token = _target(request.args)
    shutil.rmtree(places.restore_directory(token), ignore_errors=True)
    try:
        parent, _ = tree.walk_to(target)
    except wire.Refused as refusal:
        if refusal.code != "missing":
            raise
        wire.answer({"removed": False})
        return
    try:
        name = staging_name(token)
        mounts = tree.mount_points(target.rstrip(b"/") + b"/" + name)
        if mounts:
            raise wire.Refused("unsafe", "a filesystem is mounted at {}".format(wire.shown(mounts[0][0])))
        if tree.look(name, parent) is None:
            wire.answer({"removed": False})
            return
        os.close(checked_staging(parent, token))
        tree.remove(name, parent, control)
    finally:
        os.close(parent)
    wire.answer({"removed": True})
