"""Networks: made, and left by those that are kept aside, so that their addresses and names are free."""

from typing import Any, List, Optional

from .. import validate, wire
from . import bodies, containers
from .engine import Engine, part
from .journal import Record
from .steps import Context, Kind, Note, Table

_COMPARED = ("Driver", "Internal", "Attachable", "EnableIPv6", "Options")
_BODY = {*_COMPARED, "IPAM", "Labels", "Scope", "ConfigOnly", "ConfigFrom", "CheckDuplicate", "Ingress", "Name"}


def order(engine: Engine, network: str, what: str, body: Table) -> None:
    """Connect a container to the network of this name, or disconnect it. By its id: a name may hold anything."""
    found = [one["Id"] for one in engine.get("/networks") if one["Name"] == network]
    if not found:
        raise wire.Refused("missing", "there is no network {}".format(network))
    engine.post("/networks/{}/{}".format(found[0], what), body)


class Disconnect(Kind):
    """{"network", "container"}"""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._network = validate.text(params.get("network"), "network", limit=255)
        self._name = containers.named(params.get("container"), "container")

    def prepare(self) -> Table:
        said = containers.there(self.engine, self._name)
        made = bodies.from_inspect(said)
        endpoint = made["networks"].get(self._network)
        return {
            "container": containers.identity_of(said),
            "network": self._network,
            "endpoint": endpoint,
        }

    def apply(self, note: Note) -> Table:
        said = containers.there(self.engine, self._name)
        if self._network not in _networks_of(said):
            return {"was": False}
        order(self.engine, self._network, "disconnect", {"Container": said["Id"], "Force": True})
        return {"was": True}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        if record.undo["endpoint"] is None:
            return None
        said = engine.container(record.undo["container"]["id"])
        if said is None or record.undo["network"] in _networks_of(said):
            return None
        body = {"Container": said["Id"], "EndpointConfig": record.undo["endpoint"]}
        order(engine, record.undo["network"], "connect", body)
        return None


def _networks_of(said: Table) -> Table:
    return (said.get("NetworkSettings") or {}).get("Networks") or {}


class CreateNetwork(Kind):
    """{"name", "body": as a manifest's row has it}; one that is there and equal is used as it is."""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = validate.text(params.get("name"), "name", limit=255)
        body = params.get("body")
        if not isinstance(body, dict) or set(body) - _BODY:
            raise wire.Refused("invalid", "the body of a network is not of the form that is known")
        self._body = body
        self._there: Optional[Table] = None

    def prepare(self) -> Table:
        named = self.engine.get("/networks", filters={"name": [self._name]})
        self._there = next((one for one in named if one["Name"] == self._name), None)
        if self._there is not None:
            other = _differences(self._there, self._body)
            if other:
                text = "there is a network {} with another {}"
                raise wire.Refused("exists", text.format(self._name, ", ".join(other)))
        return {"name": self._name, "id": None, "existed": self._there is not None}

    def apply(self, note: Note) -> Table:
        if self._there is not None:
            return {"id": self._there["Id"], "existed": True}
        body = {key: value for key, value in self._body.items() if key not in ("Scope", "Ingress")}
        body.update(Name=self._name, CheckDuplicate=True)
        made = self.engine.post("/networks/create", body)["Id"]
        note({"id": made})
        return {"id": made, "existed": False}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        if record.undo["existed"]:
            return None
        if record.undo["id"]:
            engine.delete("/networks/" + part(record.undo["id"]))
            return None
        for one in engine.get("/networks", filters={"name": [record.undo["name"]]}):
            # Between the order and the note of its id: there was none of this name, and nobody is in it yet.
            if one["Name"] == record.undo["name"] and not one.get("Containers"):
                engine.delete("/networks/" + one["Id"])
        return None


def _differences(there: Table, body: Table) -> List[str]:
    """In words; the engine may add to options and to the plan of addresses what nobody asked for."""
    found = [key for key in _COMPARED if key != "Options" and (body.get(key) or False) != (there.get(key) or False)]
    if "Driver" in found and not body.get("Driver"):
        found.remove("Driver")
    options = body.get("Options") or {}
    if any((there.get("Options") or {}).get(key) != value for key, value in options.items()):
        found.append("Options")
    asked = (body.get("IPAM") or {}).get("Config") or []
    if asked and _subnets(asked) != _subnets((there.get("IPAM") or {}).get("Config") or []):
        found.append("subnet")
    return found


def _subnets(blocks: Any) -> List[str]:
    return sorted(str(block.get("Subnet")) for block in blocks)
