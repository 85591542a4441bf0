"""The proof of a Docker restore: what is there now is what the plan and the archive say, or it was no success."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dockerops.inventory import Inventory
from dockerops.plan import DockerPlan
from dockerops.run_errors import NotAsInArchive
from dockerops.services.carrying import Carrier
from dockerops.services.engine_at import EngineAt
from dockerops.services.extracting import Portion
from phpborg.process import Stop

_NAMED = 30


def prove(
    plan: DockerPlan, engine: EngineAt, carrier: Carrier, portions: Mapping[int, Portion], stop: Stop | None
) -> dict[str, Any]:
    """Counts of what was compared; "left": limits that the engine does not have, by container.

    Raises NotAsInArchive for the first thing that is not as it has to be.
    """
    there = engine.inventory([], stop)
    states = _states(plan, there, carrier.done)
    _made_things(plan, there)
    compared, left = _bodies(plan, engine, carrier, stop)
    return {
        "containers": compared,
        "left": left,
        "states": states,
        "volumes": sum(step.op == "create_volume" for step in plan.steps),
        "networks": sum(step.op == "create_network" for step in plan.steps),
        "places": sum(step.op == "exchange" for step in plan.steps),
        "entries": sum(portion.expected.entries for portion in portions.values()),
    }


def _states(plan: DockerPlan, there: Inventory, done: Mapping[int, Mapping[str, Any]]) -> int:
    """Every container that was started is in the state that was asked for, every other new one is not running.

    `done`: the facts of the steps. What was not well before, or is others', need not be well; what had its work to do
    may have done it.
    """
    wanted = {str(step.params["name"]): "" for step in plan.steps if step.op == "create_container"}
    started = [step for step in plan.steps if step.op == "start"]
    watched = {str(step.params["container"]): step for step in plan.steps if step.op == "healthy"}
    wanted |= {str(step.params["container"]): str(step.params["state"]) for step in started if not step.is_of_others}
    for step in started:
        name = str(step.params["container"])
        if step.params["state"] == "running" and name not in watched:
            wanted.pop(name, None)
    ended = {name for name, step in watched.items() if done.get(step.number, {}).get("state") == "exited"}
    for name, asked in wanted.items():
        state = "exited" if name in ended else asked
        found = there.container(name)
        if found is None:
            raise NotAsInArchive("it is not there", subject=name)
        good = found.state == state if state else not found.is_active
        if not good:
            raise NotAsInArchive(f"{found.state} ≠ {state or 'created'}", subject=name)
    by_compose = [done.get(step.number, {}).get("states") or {} for step in plan.steps if step.op == "compose_up"]
    return len(wanted) + sum(len(states) for states in by_compose)


def _made_things(plan: DockerPlan, there: Inventory) -> None:
    """Volumes and networks that were made are there."""
    for step in plan.steps:
        name = str(step.params.get("name"))
        missing = (step.op == "create_volume" and there.volume(name) is None) or (
            step.op == "create_network" and there.network(name) is None
        )
        if missing:
            raise NotAsInArchive("it is not there", subject=name)


def _bodies(
    plan: DockerPlan, engine: EngineAt, carrier: Carrier, stop: Stop | None
) -> tuple[int, dict[str, list[str]]]:
    """What the engine says of each new container is what the archive says, in every field; values stay there."""
    bodies: list[Mapping[str, Any]] = [carrier.filled(step) for step in plan.steps if step.op == "create_container"]
    if not bodies:
        return 0, {}
    said = engine.compare(bodies, stop)
    for name, fields in sorted((said.get("differs") or {}).items()):
        if fields:
            raise NotAsInArchive(", ".join(map(str, fields[:_NAMED])), subject=name)
    left = {str(name): [str(one) for one in fields[:_NAMED]] for name, fields in (said.get("left") or {}).items()}
    return len(bodies), left
