"""Snapshots seen by borg at the places of the live system.

Borg runs in a view of the filesystems of its own in which directories of a snapshot lie, read-only, on those that
they were made of. So the names in an archive, the policy's roots and borg's memory of files that did not change
are the same with and without a snapshot. The mounts are gone with the last process of that run.
"""

import os
from typing import Any, List, NamedTuple, Optional

from . import confine, places, policy, tree, validate, wire
from .snapshots.tools import Place

_MOST = 1000


class View(NamedTuple):
    """The directory `inside` the snapshot of `place` ("/" is its top), to be seen at `at`."""

    place: Place
    inside: bytes
    at: bytes


def check(value: Any, reached: List[bytes]) -> List[View]:
    """The views that a request asks for: [{"token", "inside", "at"}]. Raises Refused.

    `at` must be where `inside` is in the live system: another's files at the place of a program or a library
    would be carried out as root. None may hide one of `reached`, paths that borg needs.
    """
    if os.geteuid():
        raise wire.Refused("invalid", "only root can let borg see a snapshot")
    if not isinstance(value, list) or not 0 < len(value) <= _MOST:
        raise wire.Refused("invalid", "views must be a list of 1 to {}".format(_MOST))
    found = []
    for row in value:
        if not isinstance(row, dict):
            raise wire.Refused("invalid", "a view must be a table")
        inside, at = validate.absolute(row.get("inside"), "inside"), validate.absolute(row.get("at"), "at")
        place = Place(validate.token(row.get("token")))
        policy.check_read(at, real=True)
        if at not in place.live(inside):
            text = "{} is not where {} of {} is in this system"
            raise wire.Refused("unsafe", text.format(wire.shown(at), wire.shown(inside), place.name))
        hidden = [path for path in reached if at == b"/" or path == at or path.startswith(at + b"/")]
        if hidden:
            text = "a view at {} would hide {}, which the backup itself needs"
            raise wire.Refused("invalid", text.format(wire.shown(at), wire.shown(hidden[0])))
        found.append(View(place, inside, at))
    if len({view.at for view in found}) != len(found):
        raise wire.Refused("invalid", "two views have one place")
    return found


def enter(views: List[View]) -> None:
    """From now on this process and all that it starts see them. Raises Refused."""
    try:
        confine.separate(follow=True)
    except OSError as error:
        text = "borg cannot have a view of its own here ({}): no snapshot can be read".format(error.strerror)
        raise wire.Refused("unsafe", text) from None
    # All are found before one is shown: what a view shows belongs to somebody who may put links into it.
    sources = [_open(view) for view in views]
    try:
        # Shorter first: a place may lie in another view.
        for view, source in sorted(zip(views, sources), key=lambda pair: len(pair[0].at)):
            confine.bind(source, view.at)
    finally:
        for source in sources:
            os.close(source)


def _open(view: View) -> int:
    """The directory in the snapshot, on a way without links. Raises Refused."""
    if not tree.is_mounted(wire.raw(view.place.mountpoint)):
        raise wire.Refused("missing", "nothing is frozen at {}".format(view.place.mountpoint))
    opened, _ = tree.walk_to(wire.raw(view.place.mountpoint) + view.inside.rstrip(b"/"))
    return opened


def needed(memory: str, link: Optional[str], repository: Optional[bytes]) -> List[bytes]:
    """What borg reaches by its path whatever it reads: our directories, its memory, this program, the repository."""
    ours = [places.RUN, places.CONFIG, memory, places.this_program(), *([link] if link else [])]
    return [*map(wire.raw, ours), *([repository] if repository else [])]
