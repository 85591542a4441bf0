"""Containers that are in the way: stopped, set aside under another name, and brought back.

One that its engine starts by itself must not come back in the middle of a restore, nor beside the one that took its
place: while it is stopped by us its restart policy is “no”. After its own next start an engine also starts those of
“on-failure” that ended with another status than 0, as many do when they are stopped.
"""

import time
from typing import Any, Dict, List, Optional

from .. import validate, wire
from . import bodies, reading
from .engine import Engine, part
from .journal import Record
from .patience import STOP_SECONDS as STOP_SECONDS
from .steps import Context, Kind, Note, Problem, Table

COMPOSE = bodies.COMPOSE
# With these an engine leaves alone what was stopped by hand.
_LEFT_ALONE = ("", "no", "unless-stopped")
_MOST_SECONDS = 3600
_FREEZES, _FREEZE_PAUSE = 10, 0.5
KILLED = 137
# Beyond the container's own patience: the engine needs time to clean up.
_MORE_SECONDS = 120.0


def there(engine: Engine, name: str) -> Table:
    """An inspected container by its name or id. Raises Refused."""
    said = engine.container(name)
    if said is None:
        raise wire.Refused("missing", "there is no container {}".format(name))
    return said


def named(value: Any, what: str) -> str:
    """A container's name in a request."""
    return validate.text(value, what, limit=255)


def identity_of(said: Table) -> Table:
    """By what a container is found again, also when it was made anew meanwhile."""
    labels = reading.labels_of(said)
    keys = ("project", "service", "container-number")
    compose = {key: labels[COMPOSE + key] for key in keys if labels.get(COMPOSE + key)}
    whole = len(compose) == len(keys) and labels.get(COMPOSE + "oneoff", "").lower() != "true"
    return {"id": said["Id"], "name": reading.name_of(said), "compose": compose if whole else None}


def find_again(engine: Engine, identity: Table) -> Optional[Table]:
    """By its id; one that was made anew by Compose's labels, else by its name. None when nothing like it is there."""
    said = engine.container(identity["id"])
    if said is not None:
        return said
    compose = identity.get("compose")
    if compose:
        wanted = ["{}{}={}".format(COMPOSE, key, value) for key, value in sorted(compose.items())]
        rows = engine.get("/containers/json", all=True, filters={"label": wanted})
        found = [engine.container(row["Id"]) for row in rows]
        kept = [one for one in found if one is not None and ".phpborg-" not in reading.name_of(one)]
        if kept:
            return kept[0]
    return engine.container(identity["name"])


def state_of(said: Table) -> str:
    """running, paused, exited, created, restarting, dead or removing."""
    return str((said.get("State") or {}).get("Status") or "")


def is_active(said: Table) -> bool:
    """Does it run, rest, or come back by itself?"""
    return state_of(said) in ("running", "paused", "restarting")


def policy_of(said: Table) -> Table:
    """Its restart policy."""
    return (said.get("HostConfig") or {}).get("RestartPolicy") or {}


def patience_of(said: Table) -> int:
    """The seconds that it has to end: those that it asks for itself, or enough for a database."""
    own = (said.get("Config") or {}).get("StopTimeout")
    return own if isinstance(own, int) and own > 0 else STOP_SECONDS


def stop(engine: Engine, said: Table, seconds: Optional[int] = None) -> Optional[str]:
    """Stop it; `seconds` None means its own patience. Answers in words that it had to be killed, else None."""
    path = "/containers/{}/".format(said["Id"])
    if state_of(said) == "paused":
        engine.post(path + "unpause")
    patience = seconds if seconds is not None else patience_of(said)
    engine.post(path + "stop", None, patience + _MORE_SECONDS, t=patience)
    after = (engine.container(said["Id"]) or {}).get("State") or {}
    if after.get("ExitCode") != KILLED:
        return None
    return killed_words(patience)


def killed_words(seconds: int) -> str:
    """Of one that had so long to end, and did not."""
    return "it did not end within {} s and was killed: its files may be as after a power cut".format(seconds)


def bring_back(engine: Engine, said: Table, state: str) -> None:
    """Into the state that it had."""
    path = "/containers/{}/".format(said["Id"])
    now = state_of(said)
    if state not in ("running", "paused", "restarting") or now == state:
        return
    if now == "paused":
        engine.post(path + "unpause")
    elif not is_active(said):
        engine.post(path + "start")
    if state == "paused":
        pause(engine, said["Id"])


def pause(engine: Engine, identity: str) -> None:
    """Freeze it. The kernel of a busy machine refuses that now and then, and does it a moment later."""
    for left in reversed(range(_FREEZES)):
        try:
            engine.post("/containers/{}/pause".format(part(identity)))
            return
        except wire.Refused as refusal:
            if not left or "unable to freeze" not in refusal.message:
                raise
        time.sleep(_FREEZE_PAUSE)


def calm(engine: Engine, said: Table) -> None:
    """From now on its engine does not start it by itself."""
    if (policy_of(said).get("Name") or "") not in _LEFT_ALONE:
        engine.post("/containers/{}/update".format(said["Id"]), {"RestartPolicy": {"Name": "no"}})


def give_back_policy(engine: Engine, said: Table, policy: Optional[Table]) -> None:
    """As it was before `calm`."""
    name = (policy or {}).get("Name") or ""
    if name not in _LEFT_ALONE and policy_of(said).get("Name") != name:
        engine.post("/containers/{}/update".format(said["Id"]), {"RestartPolicy": policy})


def policies(records: List[Record]) -> Dict[str, Table]:
    """{id: restart policy} of those that steps before have calmed."""
    found: Dict[str, Table] = {}
    for record in records:
        if record.op in ("stop_container", "rename_container") and not record.undone:
            found.setdefault(record.undo["container"]["id"], record.undo["policy"])
    return found


class StopContainer(Kind):
    """{"container": name or id, "seconds": its patience or null}"""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = named(params.get("container"), "container")
        seconds = params.get("seconds")
        self._seconds = None if seconds is None else validate.number(seconds, "seconds", 0, _MOST_SECONDS)
        self._said: Table = {}

    def prepare(self) -> Table:
        self._said = said = there(self.engine, self._name)
        labels = reading.labels_of(said)
        if reading.SWARM + "service.id" in labels:
            service = labels.get(reading.SWARM + "service.name") or labels[reading.SWARM + "service.id"]
            text = "{} is a task of the service {}: the swarm would start another one in its place"
            raise wire.Refused("engine", text.format(self._name, service))
        if is_active(said) and (said.get("HostConfig") or {}).get("AutoRemove"):
            text = "{} removes itself when it is stopped (--rm): it could not be brought back"
            raise wire.Refused("engine", text.format(self._name))
        former = {"container": identity_of(said), "state": state_of(said), "policy": policy_of(said)}
        return dict(former, seconds=self._seconds, started_at=said["State"].get("StartedAt"))

    def apply(self, note: Note) -> Table:
        calm(self.engine, self._said)
        killed = stop(self.engine, self._said, self._seconds) if is_active(self._said) else None
        return {"id": self._said["Id"], "from": state_of(self._said), "killed": killed}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        former = record.undo["container"]
        said = find_again(engine, former)
        if said is None:
            raise Problem("{} is gone and cannot be brought back".format(former["name"]))
        if not record.done and is_active(said) and said["State"].get("StartedAt") == record.undo["started_at"]:
            # Whoever gave the order was killed, and its engine may be about to carry it out: it is waited for.
            stop(engine, said, record.undo["seconds"])
            said = there(engine, said["Id"])
        give_back_policy(engine, said, record.undo["policy"])
        bring_back(engine, said, record.undo["state"])
        if said["Id"] != former["id"]:
            return "{} was made anew meanwhile; the new one was brought back".format(reading.name_of(said))
        return None


class RenameContainer(Kind):
    """{"container": name or id, "to": the name under which it is kept until `forget` removes it}"""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = named(params.get("container"), "container")
        self._to = named(params.get("to"), "to")
        self._said: Table = {}

    def prepare(self) -> Table:
        self._said = there(self.engine, self._name)
        if is_active(self._said):
            text = "{} is {}: it was started since the plan was made, and is not set aside while it runs"
            raise wire.Refused("engine", text.format(self._name, state_of(self._said)), container=self._name)
        if self.engine.container(self._to) is not None:
            raise wire.Refused("exists", "there is a container {} already".format(self._to))
        return {"container": identity_of(self._said), "to": self._to, "policy": policy_of(self._said)}

    def apply(self, note: Note) -> Table:
        calm(self.engine, self._said)
        self.engine.post("/containers/{}/rename".format(self._said["Id"]), name=self._to)
        return {"id": self._said["Id"], "name": self._to}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        former = record.undo["container"]
        said = engine.container(former["id"])
        if said is None:
            raise Problem("{}, which was kept as {}, is gone".format(former["name"], record.undo["to"]))
        if reading.name_of(said) == record.undo["to"]:
            engine.post("/containers/{}/rename".format(part(former["id"])), name=former["name"])
        give_back_policy(engine, said, record.undo["policy"])
        return None


def forget(engine: Engine, record: Record) -> Optional[str]:
    """Remove one that was set aside, and never its volumes; why not, or None. Raises Refused."""
    said = engine.container(record.undo["container"]["id"])
    if said is None or record.undone or reading.name_of(said) != record.undo["to"]:
        return None
    if is_active(said):
        return "{} runs: somebody uses it, and it stays".format(record.undo["to"])
    engine.delete("/containers/" + said["Id"], v=False)
    return None
