"""An image out of the archive for a drill: nobody else's name means anything else for it, and it goes with the drill.

`docker load` gives images the names that they were saved with, also where another image has them by now. What has
changed is given back at once, and whatever kills us, by the undo.
"""

from typing import List, Optional

from .. import validate, wire
from . import tags
from .engine import Engine
from .images import LoadImage
from .journal import Record
from .steps import Context, Note, Table

_MOST = 1000


class BorrowImage(LoadImage):
    """{"id", "names": [those that it was saved with], "stream"}: as `load_image`, unless it is there already"""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, dict(params, images=[]))
        self._saved: List[str] = validate.texts(params.get("names") or [], "names", _MOST)

    @property
    def _own(self) -> str:
        return "phpborg-drill:{}-{}".format(self.context.token[:12].lower(), self.context.number)

    def prepare(self) -> Table:
        return dict(super().prepare(), own=self._own, id=self._id, saved=self._saved)

    def apply(self, note: Note) -> Table:
        if tags.find(self.engine, self._id) is not None:
            return {"id": self._id, "loaded": False, "bytes": 0}
        hearing = tags.Hearing(self.engine, note)
        said = None
        try:
            size = self._load(hearing)
            said = tags.find(self.engine, self._id)
            if said is not None:
                tags.give(self.engine, self._id, self._own)
        finally:
            tags.give_back(self.engine, dict(self._before, given=hearing.given))
        if said is None:
            text = "the archive holds another image ({}) than the container was made of ({})"
            others = ", ".join(sorted(hearing.given)[:10]) or "?"
            raise wire.Refused("engine", text.format(others, self._id), image=self._id)
        return {"id": said["Id"], "loaded": True, "bytes": size}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        undo = tags.guessed(engine, record)
        tags.give_back(engine, undo)
        own = tags.find(engine, undo["own"])
        if own is not None:
            tags.untag(engine, undo["own"])
        for identity in sorted({undo["id"], *undo["given"].values()}):
            said = tags.find(engine, identity)
            # One that was there before is somebody's.
            if said is not None and said["Id"] not in undo["ids"] and not said.get("RepoTags"):
                tags.untag(engine, said["Id"])
        return None
