"""A container made again from its body, in all of its networks."""

from calendar import timegm
from time import sleep, strptime, time
from typing import Any, List, Optional

from .. import validate, wire
from . import apart, bodies, containers, networks, reading
from .engine import Engine
from .journal import Record
from .steps import Context, Kind, Note, Problem, Table

_SEVERAL_NETWORKS = (1, 44)
_MOST = 100
_LONGEST = 1000
_LATE_SECONDS = 1.0


class CreateContainer(Kind):
    """{"name", "body", "networks": {name: endpoint}, "disconnect": [name]}, as `bodies.rewrite` answers; "inside":
    the directory that all of its paths have to lie in, or null
    """

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = containers.named(params.get("name"), "name")
        body, further = params.get("body"), params.get("networks") or {}
        if not isinstance(body, dict) or not isinstance(body.get("HostConfig"), dict) or not body.get("Image"):
            raise wire.Refused("invalid", "the body of a container is not of the form that is known")
        if not isinstance(further, dict) or not all(isinstance(one, dict) for one in further.values()):
            raise wire.Refused("invalid", "networks must be a table of tables")
        odd = bodies.unknown(body, further)
        if odd:
            text = "the body of {} has settings that nobody knows: {}"
            raise wire.Refused("invalid", text.format(self._name, ", ".join(odd)[:1000]))
        self._body = body
        self._networks = further
        self._left: List[str] = validate.texts(params.get("disconnect") or [], "disconnect", _MOST)
        inside = params.get("inside")
        self._inside = None if inside is None else validate.absolute(inside, "inside")

    def prepare(self) -> Table:
        if self._inside is not None:
            self._body = apart.check(self._name, self._body, self._networks, self._inside, self.context.records)
        if self.engine.container(self._name) is not None:
            raise wire.Refused("exists", "there is a container {} already".format(self._name))
        return {"name": self._name, "id": None, "since": time()}

    def apply(self, note: Note) -> Table:
        said = self.engine.post("/containers/create", self._for_engine(), name=self._name)
        note({"id": said["Id"], "shares": bool(self._body["HostConfig"].get("VolumesFrom"))})
        for network, endpoint in sorted(self._networks.items()):
            body = {"Container": said["Id"], "EndpointConfig": endpoint}
            networks.order(self.engine, network, "connect", body)
        for network in self._left:
            networks.order(self.engine, network, "disconnect", {"Container": said["Id"], "Force": True})
        warnings = [str(one)[:_LONGEST] for one in said.get("Warnings") or []]
        return {"id": said["Id"], "warnings": warnings[:_MOST]}

    def _for_engine(self) -> Table:
        """Newer engines take the address of the card at the network that it is for."""
        body = dict(self._body)
        endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        first = bodies._first(body["HostConfig"])
        if self.engine.api < _SEVERAL_NETWORKS or not body.get("MacAddress") or not first:
            return body
        mac = body.pop("MacAddress")
        endpoint = dict(endpoints.get(first) or {}, MacAddress=mac)
        body["NetworkingConfig"] = {"EndpointsConfig": dict(endpoints, **{first: endpoint})}
        return body

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        said = engine.container(record.undo["id"] or record.undo["name"])
        if said is None and not record.done and not record.undo["id"]:
            # Whoever gave the order was killed, and its engine may be about to carry it out.
            sleep(_LATE_SECONDS)
            said = engine.container(record.undo["name"])
        if said is None:
            return None
        if not record.undo["id"] and not _is_fresh(said, record.undo["since"]):
            return "{} is there, and is not ours: it stays".format(record.undo["name"])
        try:
            if containers.is_active(said):
                containers.stop(engine, said)
            # With what it made for itself without a name; a volume that was named stays, also one named by its number.
            engine.delete("/containers/" + said["Id"], force=True, v=not record.undo.get("shares", True))
        except wire.Refused as refusal:
            raise Problem("{} could not be removed: {}".format(reading.name_of(said), refusal.message)) from None
        return None


def _is_fresh(said: Table, since: float) -> bool:
    """Made after we were about to make one of this name, and never started: nobody else's."""
    return containers.state_of(said) == "created" and _seconds(said.get("Created")) >= since - 1


def _seconds(text: Any) -> float:
    """A moment as the engine writes it, always in UTC."""
    try:
        return float(timegm(strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0
