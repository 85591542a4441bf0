"""Names of images: `docker load` gives whatever names its stream says, also those that mean another image here.

What is in a step's undo: "names" {name: id} and "ids" as they were before; "given" {name or id: id} that the engine has
told while it loaded; "heard": it was listened to until it ended. A name is given back only while it means what was
loaded: a newer image that somebody has built or pulled meanwhile keeps it.
"""

import time
from calendar import timegm
from typing import Any, Dict, List, Optional

from .. import wire
from .engine import Engine, part
from .journal import Record
from .steps import Note, Table

_LOADED = ("Loaded image ID: ", "Loaded image: ")
_MOST = 10000
_NOTE_SECONDS = 1.0


def find(engine: Engine, name: str) -> Optional[Table]:
    """An image by its id, tag or digest."""
    found: Optional[Table] = engine.find("/images/{}/json".format(part(name)))
    return found


def split(reference: str) -> Dict[str, str]:
    """{"repo", "tag"} of a name; the tag is "latest" where none is said, and a digest counts as one."""
    name, at, digest = reference.partition("@")
    if at:
        return {"repo": name, "tag": digest}
    head, colon, tag = reference.rpartition(":")
    return {"repo": head, "tag": tag} if colon and "/" not in tag else {"repo": reference, "tag": "latest"}


def give(engine: Engine, identity: str, name: str) -> None:
    """A name means this image from now on."""
    words = split(name)
    engine.post("/images/{}/tag".format(part(identity)), repo=words["repo"], tag=words["tag"])


def untag(engine: Engine, name: str) -> None:
    """With the last name goes the image, unless somebody's container is made of it."""
    try:
        engine.delete("/images/" + part(name))
    except wire.Refused as refusal:
        if refusal.facts.get("status") != 409:
            raise


def before(engine: Engine) -> Table:
    """What names mean until now, and which images there are."""
    images = engine.get("/images/json") or []
    return {"names": _meanings(images), "ids": sorted(one["Id"] for one in images), "given": {}}


def _meanings(images: List[Table]) -> Dict[str, str]:
    return {tag: one["Id"] for one in images for tag in one.get("RepoTags") or [] if "<none>" not in tag}


class Hearing:
    """What the engine says while it loads: each name, and what it means at that moment."""

    def __init__(self, engine: Engine, note: Note) -> None:
        self._engine, self._note = engine, note
        self.given: Dict[str, str] = {}
        self._told = time.monotonic()

    def hear(self, message: Table) -> None:
        """One of its messages."""
        for line in str(message.get("stream") or "").splitlines():
            name = next((line[len(mark) :].strip() for mark in _LOADED if line.startswith(mark)), "")
            if not name or len(self.given) >= _MOST:
                continue
            try:
                said = find(self._engine, name)
            except wire.Refused as refusal:
                if refusal.code == "docker-away":
                    raise
                continue  # a name that it does not take back is none that it could have given
            if said is not None:
                self.given[name] = str(said["Id"])
            if time.monotonic() - self._told > _NOTE_SECONDS:
                self.write()

    def write(self, **more: Any) -> None:
        """Into the journal."""
        self._told = time.monotonic()
        self._note(dict(more, given=dict(self.given)))


def give_back(engine: Engine, undo: Table, keep: str = "", but: Any = ()) -> None:
    """All names that loading has changed, but those `but` that a step gives itself, mean again what they meant.

    `keep`: an image that does not go with a name that meant nothing.
    """
    for name, ours in sorted(undo["given"].items()):
        if not _is_name(name) or name in but:
            continue
        former, now = undo["names"].get(name), find(engine, name)
        if now is None or now["Id"] != ours or ours == former:
            continue
        if former is None and ours != keep:
            untag(engine, name)
        elif former is not None and find(engine, former) is not None:
            give(engine, former, name)


def guessed(engine: Engine, record: Record) -> Table:
    """The undo, where nobody has listened to the end: names that mean an image that is new here and was not made here.

    One that was built since has its moment, one that was pulled has its digest.
    """
    undo = dict(record.undo, given=dict(record.undo.get("given") or {}))
    if undo.get("heard") or record.done:
        return undo
    for name, identity in _meanings(engine.get("/images/json") or []).items():
        if identity in undo["ids"] or undo["names"].get(name) == identity:
            continue
        said = find(engine, identity) or {}
        built = record.at - 1 <= _seconds(said.get("Created")) <= time.time()
        if not built and not said.get("RepoDigests"):
            undo["given"].setdefault(name, identity)
    return undo


def _is_name(name: str) -> bool:
    return not name.startswith("sha256:") and "@" not in name


def _seconds(text: Any) -> float:
    try:
        return float(timegm(time.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0
