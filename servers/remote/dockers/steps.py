"""What every kind of step is, and the closed set of them.

A kind checks its parameters when it is made, looks at what there is and says how it will be undone (`prepare`), and
then does it (`apply`). Its undo knows nothing but what was written down, asks what is really there, and may be done
again; so it undoes a step that was carried out in part, or not at all, just as well.
"""

import json
from importlib import import_module
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Type

from .. import wire
from .engine import Engine
from .journal import Record

Table = Dict[str, Any]
Note = Callable[[Table], None]


class Context(NamedTuple):
    """What a step works with. `request` carries what a stream out of borg needs."""

    engine: Engine
    token: str
    control: wire.Control
    request: wire.Request
    records: List[Record]
    number: int

    def tell(self, **row: Any) -> None:
        """A line for whoever waits."""
        wire.write_all(2, json.dumps(dict(row, type="phpborg_docker")).encode() + b"\n")


class Problem(Exception):
    """An undo was not possible, or not in full; the text says why."""


class Kind:
    """A kind of step."""

    def __init__(self, context: Context, params: Table) -> None:
        self.context = context
        self.engine = context.engine

    def prepare(self) -> Table:
        """What its undo needs; nothing is changed yet. Raises Refused."""
        return {}

    def apply(self, note: Note) -> Table:
        """Do it; the facts. `note` adds to what the undo knows. Raises Refused."""
        return {}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        """Undo it; a remark that somebody should read, or None. Raises Problem, Refused and OSError."""
        return None


STEPS = {
    "stop_container": ("containers", "StopContainer"),
    "rename_container": ("containers", "RenameContainer"),
    "disconnect": ("networks", "Disconnect"),
    "create_network": ("networks", "CreateNetwork"),
    "create_volume": ("volumes", "CreateVolume"),
    "need_image": ("images", "NeedImage"),
    "load_image": ("images", "LoadImage"),
    "pull_image": ("images", "PullImage"),
    "hold_volume": ("mounting", "HoldVolume"),
    "release_volume": ("mounting", "ReleaseVolume"),
    "exchange": ("exchanging", "Exchange"),
    "rewrite_files": ("rewriting", "RewriteFiles"),
    "create_container": ("creating", "CreateContainer"),
    "start": ("starting", "Start"),
    "healthy": ("starting", "Healthy"),
    "compose_up": ("composing", "ComposeUp"),
    "make_private": ("drilling", "MakePrivate"),
    "borrow_image": ("borrowing", "BorrowImage"),
    "load_dump": ("loading", "LoadDump"),
}


def kind_of(op: str) -> Type[Kind]:
    """The kind of this name. Raises Refused for one that is not of the closed set."""
    if op not in STEPS:
        raise wire.Refused("invalid", "there is no such step: {!r}".format(op))
    module, name = STEPS[op]
    found: Type[Kind] = getattr(import_module("." + module, __package__), name)
    return found
