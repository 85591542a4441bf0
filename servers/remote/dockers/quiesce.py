"""Containers that keep still while they are read, and their way back into the state that they had.

Who depends on others is paused or stopped before them, and comes back after them. A row of the state file:

  container, id, project, service, number   how it is found again, also when it was made anew meanwhile
  how       pause | stop
  begun     something is done to it from now on; before that it is none of ours
  needed    others of these need it
  seconds   how long our stop takes at most
  at        when we began, in seconds since 1970; started: since when it was running then
  done      the engine said that it was done
  ended     when it ended by our stop: another end means that somebody has had it running since
  back      we have seen it running again
"""

import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from .. import wire
from ..probes.docker_said import is_aside
from .containers import KILLED, killed_words, patience_of, pause
from .engine import Engine, part
from .planned import Quiet
from .reading import COMPOSE, SWARM, Seen, depends_on, labels_of, name_of

_STOP_MARGIN = 60
_START_SECONDS = 60.0
# So long must it run on, so that one that ends at once is not taken for one that runs.
_STEADY_SECONDS = 2.0
_LOOK_SECONDS = 0.2
_LATE_SECONDS = 2.0
Row = Dict[str, Any]
Inspected = Dict[str, Any]
Finding = Dict[str, Any]
Save = Callable[[], None]


def finding(kind: str, code: str, name: str, message: str) -> Finding:
    """Something that the outcome tells: `kind` as findings of a task have it, `code` what it is exactly."""
    return {"kind": kind, "code": code, "name": name, "message": message}


def state(said: Inspected) -> Dict[str, Any]:
    """What the engine says that it is doing."""
    found: Dict[str, Any] = said.get("State") or {}
    return found


# --- before: who, and in which order ------------------------------------------------------------------


def rows(asked: List[Quiet], seen: Seen) -> Tuple[List[Row], List[Finding]]:
    """The rows in their order, none of them begun, and what cannot be as it was asked.

    Raises Refused for a task of Swarm.
    """
    inspected = {name_of(said): said for said in seen.containers}
    chosen: Dict[str, Row] = {}
    told: List[Finding] = []
    for one in asked:
        name = _present(one, inspected)
        if name is None:
            message = "there is no such container that could keep still"
            told.append(finding("docker_left_out", "container_missing", one.container, message))
            continue
        said = inspected[name]
        refuse_swarm(name, said, one.how)
        _refuse_twin(name, said, inspected)
        if state(said).get("Status") == "restarting":
            told.append(_restarts(name))
        if state(said).get("Status") != "running":
            continue  # it keeps still already, or the engine is just starting it anew; it is left as it is
        how = one.how
        if how == "stop" and (said.get("HostConfig") or {}).get("AutoRemove"):
            how = "pause"
            message = "it was started with --rm: stopping would remove it, so it is paused"
            told.append(finding("docker", "paused_not_stopped", name, message))
        chosen[name] = _row(name, said, how)
    return _ordered(chosen, inspected, seen), told


def _restarts(name: str) -> Finding:
    message = "it ends and is started again and again: it was left alone, and may have written while it was read"
    return finding("docker_not_still", "restarting", name, message)


def _present(asked: Quiet, inspected: Dict[str, Inspected]) -> Optional[str]:
    """By what Compose calls it: its name changes more easily."""
    if asked.project is not None and asked.service is not None:
        for name, said in sorted(inspected.items()):
            if not is_aside(name) and _is(said, asked.project, asked.service, asked.number):
                return name
    return asked.container if asked.container in inspected else None


def _is(said: Inspected, project: Any, service: Any, number: Any) -> bool:
    """Is it this container of this service, and not one that `run` started once?"""
    found = labels_of(said)
    same = found.get(COMPOSE + "project") == project and found.get(COMPOSE + "service") == service
    once = found.get(COMPOSE + "oneoff", "").lower() == "true"
    return same and not once and (number is None or found.get(COMPOSE + "container-number") == str(number))


def _refuse_twin(name: str, said: Inspected, inspected: Dict[str, Inspected]) -> None:
    """Raises Refused for one that says the same of itself as another: it could not be told which one is meant."""
    found = labels_of(said)
    who = (found.get(COMPOSE + "project"), found.get(COMPOSE + "service"), found.get(COMPOSE + "container-number"))
    if None in who or not _is(said, *who):
        return
    others = [other for other, one in sorted(inspected.items()) if other != name and _is(one, *who)]
    twin = next((other for other in others if not is_aside(other)), None)
    if twin is not None:
        text = "{} and {} are both container {} of the service {} of {}: it cannot be told which one is to keep still"
        raise wire.Refused("snapshot", text.format(name, twin, who[2], who[1], who[0]), container=name)


def refuse_swarm(name: str, said: Inspected, how: str) -> None:
    """Raises Refused for a task of Swarm."""
    service = labels_of(said).get(SWARM + "service.name") or labels_of(said).get(SWARM + "service.id")
    if any(key.startswith((SWARM + "service.", SWARM + "task")) for key in labels_of(said)):
        text = (
            "{} is a task of the Swarm service {}: Swarm would start another one in its place at once, so it cannot be "
        )
        text += "{}; choose none for it, or scale the service to 0 for the time of the backup"
        words = {"pause": "paused", "stop": "stopped"}.get(how, how)
        raise wire.Refused("snapshot", text.format(name, service or "?", words), container=name)


def _row(name: str, said: Inspected, how: str) -> Row:
    found = labels_of(said)
    number = found.get(COMPOSE + "container-number", "")
    return {
        "container": name,
        "id": str(said["Id"]),
        "project": found.get(COMPOSE + "project"),
        "service": found.get(COMPOSE + "service"),
        "number": int(number) if number.isdigit() else None,
        "how": how,
        "from": "running",
        "needed": False,
        "seconds": _patience(said),
        "started": state(said).get("StartedAt"),
        "begun": False,
        "at": None,
        "done": False,
        "ended": None,
        "back": False,
    }


def _ordered(chosen: Dict[str, Row], inspected: Dict[str, Inspected], seen: Seen) -> List[Row]:
    """Who depends on others first. Where nothing says so, who was started later: Compose starts in the right order."""
    needs = {name: depends_on(said, seen) for name, said in inspected.items()}
    ranks: Dict[str, int] = {}

    def rank(name: str, above: Set[str]) -> int:
        if name not in ranks:
            below = [rank(one, above | {name}) for one in needs[name] if one not in above]
            ranks[name] = 1 + max(below) if below else 0
        return ranks[name]

    by_name = sorted(chosen)
    by_start = sorted(by_name, key=lambda name: str(state(inspected[name]).get("StartedAt")), reverse=True)
    for name in chosen:
        for one in needs[name]:
            if one in chosen:
                chosen[one]["needed"] = True
    return [chosen[name] for name in sorted(by_start, key=lambda name: -rank(name, {name}))]


# --- keeping still ------------------------------------------------------------------------------------


def keep_still(engine: Engine, kept: List[Row], save: Save, control: wire.Control) -> List[Finding]:
    """One after the other; each is written down before. Raises Refused with the engine's words, and Stopped.

    Who does not run any more by then stays as it is, and none of ours: its row is not `begun`.
    """
    told: List[Finding] = []
    for row in kept:
        control.check()
        now = state(engine.container(row["id"]) or {})
        if now.get("Status") != "running":
            told += _left(engine, row)
            continue
        row["started"] = now.get("StartedAt")  # it may have been started anew since it was looked at
        row["begun"], row["at"] = True, time.time()
        save()
        ours, more = _quieten(engine, row)
        row["begun"] = row["done"] = ours
        save()
        told += more if ours else _left(engine, row)
    return told


def still_seconds(kept: List[Row]) -> Optional[float]:
    """For how long the first of them keeps still by now; None when none does."""
    since = [row["at"] for row in kept if row["begun"]]
    return max(0.0, time.time() - min(since)) if since else None


def _left(engine: Engine, row: Row) -> List[Finding]:
    """Not kept still: it does so already, unless it comes up again."""
    said = find(engine, row)
    if said is None:
        message = "there is no such container that could keep still"
        return [finding("docker_left_out", "container_missing", row["container"], message)]
    if said["Id"] != row["id"] and state(said).get("Status") in ("running", "restarting"):
        message = "somebody made it anew just before it was to keep still: it goes on running"
        return [finding("docker_changed", "not_still", row["container"], message)]
    return [_restarts(row["container"])] if state(said).get("Status") == "restarting" else []


def _quieten(engine: Engine, row: Row) -> Tuple[bool, List[Finding]]:
    """(False when it ended, or somebody paused it, a moment before; what is to be told)."""
    try:
        if row["how"] == "stop":
            return _stop(engine, row)
        pause(engine, row["id"])
    except wire.Refused as refusal:
        gone = refusal.facts.get("status") in (404, 409)
        if not gone or state(engine.container(row["id"]) or {}).get("Status") == "running":
            raise
        return False, []
    return True, []


def _patience(said: Inspected) -> int:
    """The seconds that it has to end: those that it asks for itself, or enough for a database."""
    return patience_of(said)


def _stop(engine: Engine, row: Row) -> Tuple[bool, List[Finding]]:
    """To its end. (False when it had ended a moment before, what is to be told)."""
    seconds = row["seconds"]
    ours = engine.order("/containers/{}/stop".format(part(row["id"])), seconds + _STOP_MARGIN, t=seconds)
    after = state(engine.container(row["id"]) or {})
    row["ended"] = after.get("FinishedAt")
    if after.get("ExitCode") != KILLED:
        return ours, []
    return ours, [finding("docker", "killed", row["container"], killed_words(seconds))]


def find(engine: Engine, row: Row) -> Optional[Inspected]:
    """The container of a row: by its id, else who has its place in its project, else its name."""
    said = engine.container(row["id"])
    if said is not None and said["Id"] == row["id"]:
        return said
    if row["project"] is not None and row["service"] is not None:
        wanted = ["{}project={}".format(COMPOSE, row["project"]), "{}service={}".format(COMPOSE, row["service"])]
        for listed in engine.get("/containers/json", all=True, filters={"label": wanted}):
            other = engine.container(str(listed["Id"]))
            if other is not None and _is(other, row["project"], row["service"], row["number"]):
                if not is_aside(name_of(other)):
                    return other
        return None
    other = engine.container(row["container"])
    return other if other is not None and name_of(other) == row["container"] else None


# --- back ---------------------------------------------------------------------------------------------


def bring_back(engine: Engine, kept: List[Row], save: Save) -> List[str]:
    """All that was begun, in reverse; a problem with one does not keep the others. Answers the problems.

    Safe to repeat: who was seen running again is left alone from then on. Raises Refused when the engine is away.
    """
    problems: List[str] = []
    started: List[Row] = []
    for row in reversed(kept):
        if not row["begun"] or row["back"]:
            continue
        problem = _caught(_one_back, engine, row, started)
        if problem is not None:
            problems.append("{}: {}".format(row["container"], problem))
        row["back"] = problem is None and row not in started
        save()
    if started:
        time.sleep(_STEADY_SECONDS)
    for row in started:
        problem = _caught(_runs_on, engine, row)
        if problem is not None:
            problems.append("{}: {}".format(row["container"], problem))
        row["back"] = problem is None
        save()
    return problems


def _caught(act: Callable[..., Optional[str]], engine: Engine, *args: Any) -> Optional[str]:
    try:
        return act(engine, *args)
    except wire.Refused as refusal:
        if refusal.code == "docker-away":
            raise
        return refusal.message


def _one_back(engine: Engine, row: Row, started: List[Row]) -> Optional[str]:
    """None once it runs, or when it is not ours to start; otherwise why it does not. `started`: who must run on."""
    said = find(engine, row)
    if said is None:
        return None  # somebody removed it: `changed` has told it
    if said["Id"] == row["id"] and not row["done"]:
        said = _settled(engine, row, said)
    now = state(said)
    status, path = now.get("Status"), "/containers/{}".format(part(said["Id"]))
    if status == "paused":
        if row["how"] == "pause" and said["Id"] == row["id"]:
            engine.post(path + "/unpause")
        return None  # otherwise somebody started it since, and paused it
    if status not in ("exited", "created", "dead"):
        return None
    if said["Id"] == row["id"] and row["how"] == "stop" and row["ended"] not in (None, now.get("FinishedAt")):
        return None  # somebody has had it running since, and it ended again
    engine.post(path + "/start")
    # Its next end is one of ours, too.
    row["now"], row["ended"] = said["Id"], None
    problem = _await_running(engine, said["Id"], row["needed"])
    if problem is None:
        started.append(row)
    return problem


def _settled(engine: Engine, row: Row, said: Inspected) -> Inspected:
    """We were ended before we had the engine's answer: it may still be doing what it was told, and comes to its end.

    It would else be stopped a moment after it was found running.
    """
    until = time.monotonic() + _LATE_SECONDS
    while row["how"] == "pause" and state(said).get("Status") == "running" and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        said = engine.container(row["id"]) or said
    since = time.time() - (row["at"] or 0)
    same = state(said).get("Status") == "running" and state(said).get("StartedAt") == row["started"]
    if row["how"] == "stop" and same and 0 <= since < row["seconds"] + _STOP_MARGIN:
        _stop(engine, row)
        said = engine.container(row["id"]) or said
    return said


def _await_running(engine: Engine, identity: str, healthy: bool) -> Optional[str]:
    """None when it runs. `healthy`: who is started next needs it, so its health check is waited for.

    One that is not well is the application's matter, not ours.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        now = state(engine.container(identity) or {})
        if now.get("Status") != "restarting" and now.get("Status") != "created":
            health = (now.get("Health") or {}).get("Status")
            if not healthy or health != "starting" or now.get("Status") != "running":
                return _ended(now)
        time.sleep(_LOOK_SECONDS)
    return None if healthy else "it was started again and does not come up within {:g} s".format(_START_SECONDS)


def _runs_on(engine: Engine, row: Row) -> Optional[str]:
    """A moment later: None when it still runs."""
    said = engine.container(row["now"])
    if said is None:
        return None  # with --rm it is gone at its end
    if state(said).get("Status") == "restarting":
        return "it was started again and ends again and again: exit {}".format(state(said).get("ExitCode"))
    return _ended(state(said))


def _ended(now: Dict[str, Any]) -> Optional[str]:
    """None unless it ended as a failure: a task that had little left to do ends well."""
    if now.get("Status") not in ("exited", "dead") or (now.get("ExitCode") == 0 and not now.get("Error")):
        return None
    return "it was started again and ended at once: {}".format(
        now.get("Error") or "exit {}".format(now.get("ExitCode"))
    )
