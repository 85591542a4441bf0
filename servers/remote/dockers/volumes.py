"""Volumes: made with their driver, options and labels. What is in one is another step's."""

from typing import Optional

from .. import validate, wire
from .engine import Engine, part
from .journal import Record
from .steps import Context, Kind, Note, Table

_MOST = 1000


class CreateVolume(Kind):
    """{"name", "driver", "options": {}, "labels": {}}; one that is there and equal is used as it is."""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = validate.text(params.get("name"), "name", limit=255)
        self._driver = validate.text(params.get("driver") or "local", "driver", limit=255)
        self._options = texts(params.get("options"), "options")
        self._labels = texts(params.get("labels"), "labels")
        self._there: Optional[Table] = None

    def prepare(self) -> Table:
        self._there = there = self.engine.find("/volumes/" + part(self._name))
        if there is not None:
            if there.get("Driver") != self._driver:
                text = "there is a volume {} with the driver {}"
                raise wire.Refused("exists", text.format(self._name, there.get("Driver")))
            if (there.get("Options") or {}) != self._options:
                raise wire.Refused("exists", "there is a volume {} with other options".format(self._name))
        return {"name": self._name, "existed": there is not None}

    def apply(self, note: Note) -> Table:
        said = self._there
        if said is None:
            body = {"Name": self._name, "Driver": self._driver, "DriverOpts": self._options, "Labels": self._labels}
            said = self.engine.post("/volumes/create", body)
        same = (said.get("Labels") or {}) == self._labels
        return {"existed": self._there is not None, "mountpoint": said.get("Mountpoint"), "labels_equal": same}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        if not record.undo["existed"]:
            engine.delete("/volumes/" + part(record.undo["name"]))
        return None


def texts(value: object, what: str) -> Table:
    """A table of text to text. Raises Refused."""
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _MOST:
        raise wire.Refused("invalid", "{} must be a table of text".format(what))
    return {validate.text(key, what): validate.text(said, what, limit=1 << 16) for key, said in value.items()}
