"""Images: looked for, loaded out of the archive, or pulled. One more harms nobody; a name that moved is given back."""

import time
from typing import List, Optional

from .. import validate, wire
from . import streaming, tags
from .engine import Engine
from .journal import Record
from .steps import Context, Kind, Note, Table

_TELL_SECONDS = 1.0
_MOST = 1000


class _Named(Kind):
    """`reference`: a name or null; `id`: the image's own or null; one of them must be there."""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._reference = validate.text(params.get("reference") or "", "reference", limit=1024)
        self._id = validate.text(params.get("id") or "", "id", limit=128)
        if not self._reference and not self._id:
            raise wire.Refused("invalid", "no image is named")
        self._tags: List[str] = []

    @property
    def _shown(self) -> str:
        return self._reference or self._id

    def prepare(self) -> Table:
        there = {tag: tags.find(self.engine, tag) for tag in self._tags}
        return {"tags": {tag: said["Id"] for tag, said in there.items() if said is not None}}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        ours = record.undo.get("ours") or (record.facts or {}).get("id")
        for tag, former in sorted(record.undo.get("tags", {}).items()):
            now = tags.find(engine, tag)
            if now is None or now["Id"] == former or (ours and now["Id"] != ours):
                continue  # or somebody has given it to a newer one
            if tags.find(engine, former) is not None and "@" not in tag:
                tags.give(engine, former, tag)
        return None

    def _tag(self, identity: str, tag: str) -> None:
        now = tags.find(self.engine, tag)
        if tag and "@" not in tag and not tag.startswith("sha256:") and (now is None or now["Id"] != identity):
            tags.give(self.engine, identity, tag)


class NeedImage(_Named):
    """{"reference", "id"}: it is there already"""

    def apply(self, note: Note) -> Table:
        said = tags.find(self.engine, self._id or self._reference)
        if said is None:
            raise wire.Refused("missing", "there is no image {}".format(self._shown), image=self._shown)
        return {"id": said["Id"], "tags": said.get("RepoTags") or []}


class PullImage(_Named):
    """{"reference", "id", "tag": the name that containers use}: pulled unless the image is there"""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        tag = validate.text(params.get("tag") or "", "tag", limit=1024)
        self._tags = [name for name in dict.fromkeys([tag, self._reference]) if name and "@" not in name]
        self._wanted = tag

    def apply(self, note: Note) -> Table:
        said = tags.find(self.engine, self._id) if self._id else None
        pulled = said is None
        if said is None:
            self._pull()
            said = tags.find(self.engine, self._reference)
        if said is None:
            raise wire.Refused("missing", "{} was pulled and is not there".format(self._shown))
        note({"ours": said["Id"]})
        if self._wanted:
            self._tag(said["Id"], self._wanted)
        return {"id": said["Id"], "pulled": pulled, "same": not self._id or said["Id"] == self._id}

    def _pull(self) -> None:
        if not self._reference or self._reference.startswith("sha256:"):
            raise wire.Refused("missing", "the image {} has no name by which it could be pulled".format(self._shown))
        name = tags.split(self._reference)
        told = 0.0
        for said in self.engine.messages("/images/create", fromImage=name["repo"], tag=name["tag"]):
            self.context.control.check()
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                self.context.tell(step="pull_image", image=self._reference, state=str(said.get("status", ""))[:200])


class LoadImage(_Named):
    """{"reference", "id", "images": [tags], "stream"}: out of the archive, unless it is there

    Beside the step the request has what `extract --stdout` of the stream needs: argv, link, env, and the passphrase.
    """

    def __init__(self, context: Context, params: Table) -> None:
        named = validate.texts(params.get("images") or [], "images", _MOST)
        if not params.get("reference") and not params.get("id") and named:
            params = dict(params, reference=named[0])
        super().__init__(context, params)
        self._tags = [tag for tag in named if "@" not in tag and not tag.startswith("sha256:")]
        self._before: Table = {}

    def prepare(self) -> Table:
        self._before = tags.before(self.engine)
        return dict(super().prepare(), **self._before)

    def apply(self, note: Note) -> Table:
        said = tags.find(self.engine, self._id) if self._id else None
        if said is not None:
            self._name(said, note)
            return {"id": said["Id"], "loaded": False, "bytes": 0}
        hearing = tags.Hearing(self.engine, note)
        try:
            loaded = self._load(hearing)
            said = tags.find(self.engine, self._id or self._reference)
            if said is None:
                text = "{} was loaded and is not there: the archive holds another image"
                raise wire.Refused("missing", text.format(self._shown), image=self._shown)
            self._name(said, note)
        finally:
            undo = dict(self._before, given=hearing.given)
            tags.give_back(self.engine, undo, keep=str((said or {}).get("Id") or ""), but=self._tags)
        return {"id": said["Id"], "loaded": bool(loaded), "bytes": loaded}

    def _name(self, said: Table, note: Note) -> None:
        note({"ours": said["Id"]})
        for tag in self._tags:
            self._tag(said["Id"], tag)

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        if not record.done:
            undo = tags.guessed(engine, record)
            tags.give_back(engine, undo, keep=str(undo.get("ours") or ""))
        return _Named.undo(engine, record)

    def _load(self, hearing: tags.Hearing) -> int:
        """So many bytes."""
        with streaming.out_of_the_archive(self.context, self._tell) as stream:
            try:
                self.engine.send("/images/load", stream.chunks(), hear=hearing.hear, quiet=True)
                hearing.write(heard=True)
            except wire.Refused as refusal:
                # What the engine has told, it has told to its end; one that is away may have gone on.
                hearing.write(heard=refusal.code == "engine")
                raise
        return stream.bytes

    def _tell(self, size: int) -> None:
        self.context.tell(step="load_image", image=self._shown, bytes=size)
