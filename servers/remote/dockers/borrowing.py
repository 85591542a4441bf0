"""An image out of the archive for a drill: nobody else's name means anything else for it, and it goes with the drill.

`docker load` gives images the names that they were saved with, also where another image has them by now. What has
changed is given back at once, and whatever kills us, by the undo.
"""

from typing import Any, Dict, List, Optional

from .. import validate, wire
from .engine import Engine, part
from .images import LoadImage, _give_name, find
from .journal import Record
from .steps import Context, Note, Table

_LOADED = ("Loaded image ID: ", "Loaded image: ")
_MOST = 1000


class BorrowImage(LoadImage):
    """{"id", "names": [those that it was saved with], "stream"}: as `load_image`, unless it is there already"""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, dict(params, images=[]))
        self._saved: List[str] = validate.texts(params.get("names") or [], "names", _MOST)
        self._before: Table = {}

    @property
    def _own(self) -> str:
        return "phpborg-drill:{}-{}".format(self.context.token[:12].lower(), self.context.number)

    def prepare(self) -> Table:
        images = self.engine.get("/images/json") or []
        names = {tag: one["Id"] for one in images for tag in _names_of(one)}
        self._before = {"names": names, "ids": sorted(one["Id"] for one in images)}
        return {"own": self._own, "id": self._id, "saved": self._saved, "loaded": [], **self._before}

    def apply(self, note: Note) -> Table:
        if find(self.engine, self._id) is not None:
            return {"id": self._id, "loaded": False, "bytes": 0}
        size = self._load()
        loaded = list(self._told)
        note({"loaded": loaded})
        said = find(self.engine, self._id)
        if said is not None:
            _give_name(self.engine, self._id, self._own)
        for name in {*loaded, *self._saved}:
            _give_back(self.engine, name, self._before["names"].get(name))
        if said is None:
            text = "the archive holds another image ({}) than the container was made of ({})"
            others = ", ".join(loaded) or "?"
            raise wire.Refused("engine", text.format(others, self._id), image=self._id)
        return {"id": said["Id"], "loaded": True, "bytes": size}

    def _hear(self, messages: List[Dict[str, Any]]) -> None:
        super()._hear(messages)
        words = [line for one in messages for line in str(one.get("stream") or "").splitlines()]
        self._told = [line[len(mark) :].strip() for line in words for mark in _LOADED if line.startswith(mark)]

    _told: List[str] = []

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        undo = record.undo
        for name in {*undo["loaded"], *undo["saved"]}:
            if not name.startswith("sha256:"):
                _give_back(engine, name, undo["names"].get(name))
        _untag(engine, undo["own"])
        for identity in [undo["id"], *(name for name in undo["loaded"] if name.startswith("sha256:"))]:
            said = find(engine, identity)
            # One that was there before is somebody's.
            if said is not None and said["Id"] not in undo["ids"] and not said.get("RepoTags"):
                _untag(engine, said["Id"])
        return None


def _names_of(one: Table) -> List[str]:
    return [tag for tag in one.get("RepoTags") or [] if "<none>" not in tag]


def _give_back(engine: Engine, name: str, former: Optional[str]) -> None:
    """A name means again what it meant; one that meant nothing goes."""
    if name.startswith("sha256:") or "@" in name:
        return
    now = find(engine, name)
    if former is None and now is not None:
        _untag(engine, name)
    elif former is not None and (now is None or now["Id"] != former) and find(engine, former) is not None:
        _give_name(engine, former, name)


def _untag(engine: Engine, name: str) -> None:
    """With the last name goes the image, unless somebody's container is made of it."""
    try:
        engine.delete("/images/" + part(name))
    except wire.Refused as refusal:
        if refusal.facts.get("status") != 409:
            raise
