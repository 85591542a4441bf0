"""Containers that are started, and watched until they are well."""

import time
from typing import Optional

from .. import validate, wire
from . import apart, containers, reading
from .engine import Engine
from .journal import Record
from .patience import MOST_SECONDS, STEADY_SECONDS
from .steps import Context, Kind, Note, Problem, Table

_TELL_SECONDS = 2.0
_WORDS = 300


class Start(Kind):
    """{"container", "state": "running" or "paused"}"""

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = containers.named(params.get("container"), "container")
        self._state = validate.choice(params.get("state", "running"), "state", ["running", "paused"])
        self._said: Table = {}

    def prepare(self) -> Table:
        self._said = containers.there(self.engine, self._name)
        apart.check_start(self.engine, self._said, self.context.records)
        return {"container": containers.identity_of(self._said), "state": containers.state_of(self._said)}

    def apply(self, note: Note) -> Table:
        calmed = containers.policies(self.context.records)
        containers.give_back_policy(self.engine, self._said, calmed.get(self._said["Id"]))
        containers.bring_back(self.engine, self._said, self._state)
        said = containers.there(self.engine, self._said["Id"])
        return {"id": said["Id"], "state": containers.state_of(said), "started_at": said["State"].get("StartedAt")}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        said = engine.container(record.undo["container"]["id"])
        former = record.undo["state"]
        if said is None or containers.state_of(said) == former:
            return None
        try:
            if former in ("running", "paused", "restarting"):
                containers.bring_back(engine, said, former)
            elif containers.is_active(said):
                containers.stop(engine, said)
        except wire.Refused as refusal:
            raise Problem("{} could not be stopped: {}".format(reading.name_of(said), refusal.message)) from None
        return None


class Healthy(Kind):
    """{"container", "seconds"}: running and, where it has a health check, healthy; else running for three seconds

    One that is made to end, by its restart policy, and has ended with 0 is well, too.
    """

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = containers.named(params.get("container"), "container")
        self._seconds = validate.number(params.get("seconds", 60), "seconds", 1, MOST_SECONDS)

    def apply(self, note: Note) -> Table:
        return wait_until_well(self.context, self._name, self._seconds)


def wait_until_well(context: Context, name: str, seconds: int) -> Table:
    """{"state", "health"} of a container that is well (see `Healthy`). Raises Refused for one that is not in time."""
    deadline = time.monotonic() + seconds + STEADY_SECONDS
    steady: Optional[str] = None
    since = time.monotonic()
    told = 0.0
    while True:
        context.control.check()
        said = containers.there(context.engine, name)
        state = said["State"]
        status, health = containers.state_of(said), (state.get("Health") or {}).get("Status")
        if status == "paused":
            return {"state": "paused", "health": health}
        start = "{} {}".format(state.get("StartedAt"), said.get("RestartCount"))
        if start != steady:
            steady, since = start, time.monotonic()
        if status == "running":
            lasts = time.monotonic() - since >= STEADY_SECONDS
            if health == "healthy" or (health in (None, "none") and lasts):
                return {"state": "running", "health": health}
        elif has_done_its_work(said):
            return {"state": "exited", "health": None}
        elif not containers.is_active(said):
            raise wire.Refused("engine", "{} has ended with {}".format(name, _end(state)))
        if time.monotonic() > deadline:
            raise wire.Refused("engine", _reason(name, said, seconds))
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            context.tell(step="healthy", container=name, state=status, health=health)
        time.sleep(0.3)


def has_done_its_work(said: Table) -> bool:
    """Was it made to end, and has it ended well?"""
    state = said["State"]
    meant = (containers.policy_of(said).get("Name") or "no") in ("no", "on-failure")
    return meant and containers.state_of(said) == "exited" and state.get("ExitCode") == 0 and not state.get("Error")


def _end(state: Table) -> str:
    words = str(state.get("Error") or "")[:_WORDS]
    return "exit {}{}".format(state.get("ExitCode"), ": " + words if words else "")


def _reason(name: str, said: Table, seconds: int) -> str:
    health = said["State"].get("Health") or {}
    log = health.get("Log") or [{}]
    if health.get("Status"):
        # What a check says may be anything, also a secret: its exit status is enough.
        text = "{} is not healthy after {} s ({}; its check ended with {})"
        return text.format(name, seconds, health["Status"], log[-1].get("ExitCode"))
    return "{} does not keep running: it is {} after {} s".format(name, containers.state_of(said), seconds)
