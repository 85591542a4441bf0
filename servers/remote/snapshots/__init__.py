"""The verb `snapshot`: a frozen view of one volume, mounted read-only in a private directory, and its end.

Everything about it follows from the token and the volume's name, so whoever has these can remove it, also
when the process that made it was killed at any point. Nothing here decides whether a snapshot is wise or
how large it must be: that is the plan's (backups/snapshots).

One file a kind, which has
  volume(args, secrets)            what is frozen and how it is reached, checked
  make(place, volume, args, hold, control)
                                   freezes it, with `hold:` around the one command that does; afterwards what was
                                   frozen is seen at `place.mountpoint`: by `mount` a filesystem, by `show` a directory.
                                   What lasts calls `control.check` now and then. Answers "origins" (the paths of the
                                   live system that the top of the view stands for: borg sees it there, see views.py),
                                   "device", "type" and what else there is
  state(place, volume)             {"exists", "valid", "used_percent"} and what else there is to say
  remove(place, volume)            True when it was there; `place.mountpoint` is free already
"""

import os
from importlib import import_module
from typing import Any, Dict, List

from .. import holds, places, validate, wire
from . import tools
from .tools import Place, act, check, mount, mounts_of, run, show, unmount

__all__ = ["Place", "act", "check", "mount", "mounts_of", "run", "show", "snapshot", "unmount"]

KINDS = ["lvm", "btrfs", "zfs", "elasticsearch", "mariabackup", "docker"]


def snapshot(request: wire.Request, control: wire.Control) -> None:
    """Make, look at or remove a snapshot. Arguments: `action`, `token`, `kind` and what names the volume.

    `make` answers {"name", "mountpoint", "origins": [where the volume is mounted], "device", "type"}, and the
    facts of `hold` when it was given the server that is to keep still meanwhile (holds/__init__.py);
    `state` {"exists", "valid", "used_percent"}; `remove` {"removed": [what was there]} and is always safe.
    """
    if os.geteuid():
        raise wire.Refused("invalid", "a snapshot can only be made by root")
    place = Place(validate.token(request.args.get("token")))
    action = validate.choice(request.args.get("action"), "action", ["make", "state", "remove"])
    kind = import_module("." + validate.choice(request.args.get("kind"), "kind", KINDS), __package__)
    volume = kind.volume(request.args, request.secrets)
    if action == "make":
        wire.answer(_make(kind, place, volume, request, control))
    elif action == "state":
        wire.answer(kind.state(place, volume))
    else:
        tools.wait_for_maker(place)
        wire.answer({"removed": _remove(kind, place, volume)})


def _make(kind: Any, place: Place, volume: Any, request: wire.Request, control: wire.Control) -> Dict[str, Any]:
    os.makedirs(places.RUN, mode=0o711, exist_ok=True)
    try:
        os.mkdir(place.directory, 0o700)
    except FileExistsError:
        raise wire.Refused("exists", "{} exists already".format(place.directory)) from None
    with tools.Lock(place):
        try:
            os.mkdir(place.mountpoint, 0o700)
            return _freeze(kind, place, volume, request, control)
        except tools.StillRunning:
            raise  # what it makes cannot be removed before it is there
        except BaseException as error:
            try:
                _remove(kind, place, volume)
            except (wire.Refused, OSError) as second:
                if isinstance(error, wire.Refused):
                    text = "{}; and what was half made could not be removed: {}".format(error.message, second)
                    raise wire.Refused(error.code, text) from None
            raise


def _freeze(kind: Any, place: Place, volume: Any, request: wire.Request, control: wire.Control) -> Dict[str, Any]:
    """With the server that is to keep still: we are signed in there before anything is made."""
    with holds.opened(request.args.get("hold"), request.secrets) as hold:
        control.check()
        made: Dict[str, Any] = kind.make(place, volume, request.args, hold, control)
    control.check()
    place.remember(made["origins"], made.pop("parts", ()))
    facts = {} if hold.facts is None else {"hold": hold.facts}
    return dict(made, name=place.name, mountpoint=place.mountpoint, **facts)


def _remove(kind: Any, place: Place, volume: Any) -> List[str]:
    """In reverse: the view, the snapshot, the directory. Raises what keeps one of them from going."""
    removed = []
    for path in (place.mountpoint, place.top):
        if unmount(path):
            removed.append(path)
        if path == place.mountpoint and kind.remove(place, volume):
            removed.append(place.name)
    place.forget()
    return removed
