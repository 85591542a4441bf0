"""Is everything still as the plan saw it? For any Python from 3.6 on: the script of a restore carries this file.

Standard input: the plan in one line, then what `docker inspect` says of all containers. Each thing that is otherwise is
a line. It is the look that the worker takes before the first step, and again before anything is touched.
"""

import json
import os
import sys
from typing import Any, Callable, Dict, List

Table = Dict[str, Any]


def look(argv: List[str], restored: Callable[[Any], Any]) -> None:
    """`look first` or `look again`: by then what is new is there, and is ours."""
    line, _, rest = sys.stdin.buffer.read().partition(b"\n")
    plan = restored(json.loads(line.decode("ascii")))
    said = json.loads(rest.decode("utf-8", "surrogateescape") or "[]")
    for text in changes(plan, said, argv[1] == "first"):
        shown = "".join(letter if letter.isprintable() else "?" for letter in text)
        sys.stdout.buffer.write(shown.encode("utf-8", "replace") + b"\n")


def changes(plan: Table, said: List[Table], first: bool) -> List[str]:
    """What is not as the plan saw it, in sentences. `said`: inspected containers; `first`: nothing was made yet."""
    there = {one["Name"].lstrip("/"): one for one in said}
    stopped = [one["container"] for one in _params(plan, "stop_container")]
    found = _of_containers(plan, there, stopped)
    users = {name: one for name, one in there.items() if _is_active(one) and name not in stopped}
    if not first:
        users = {name: one for name, one in users.items() if not _is_holder(name, one, plan)}
    for step in plan["steps"]:
        target = step["params"].get("target")
        if step["op"] == "exchange":
            found += ["{} uses {}.".format(name, target) for name, one in users.items() if _uses(one, step)]
            found += ["{} is there now.".format(target)] if first and _is_new(step, plan) else []
    return found


def _params(plan: Table, op: str) -> List[Table]:
    return [step["params"] for step in plan["steps"] if step["op"] == op]


def _of_containers(plan: Table, there: Dict[str, Table], stopped: List[str]) -> List[str]:
    """Those that are stopped or set aside are there, as they were; none has the name of a new one."""
    aside = {one["container"]: one.get("id") for one in _params(plan, "rename_container")}
    made = [one["name"] for one in _params(plan, "create_container")]
    paused = [one["container"] for one in _params(plan, "start") if one["state"] == "paused"]
    found = ["{} is there now.".format(name) for name in made if name in there and name not in aside]
    for name in sorted({*stopped, *aside}):
        if name not in there:
            found.append("{} is gone.".format(name))
            continue
        status = there[name]["State"]["Status"]
        if _is_active(there[name]) != (name in stopped):
            found.append("{} is {} now.".format(name, status))
        elif name not in made and (status == "paused") != (name in paused):
            found.append("{} is {} now.".format(name, status))
        if aside.get(name) not in ("", None, there[name]["Id"]):
            found.append("{} was made anew.".format(name))
    return found


def _is_holder(name: str, one: Table, plan: Table) -> bool:
    """Did this script start it, to hold a volume? By the name and label that `hold_volume` gives it (common.sh)."""
    mark = plan["token"][:8]
    names = ["phpborg-{}-{}".format(mark, step["volume"]) for step in _params(plan, "hold_volume")]
    return name in names and ((one.get("Config") or {}).get("Labels") or {}).get("phpborg.docker") == mark


def _is_active(one: Table) -> bool:
    """Does it run, rest, or come back by itself?"""
    return one["State"]["Status"] in ("running", "paused", "restarting")


def _uses(one: Table, step: Table) -> bool:
    """Does it see the volume, the path, something below it or, unless nothing is there, above it?"""
    volume = step["why"] != "path" and step["facts"].get("name")
    target = _bytes(step["params"]["target"])
    for mount in one.get("Mounts") or []:
        place = _bytes(mount.get("Source") or "")
        if volume and mount.get("Type") == "volume" and mount.get("Name") == volume:
            return True
        for path in {place, os.path.realpath(place)} if place.strip(b"/") else ():
            if _inside(path, target) or (_inside(target, path) and not _is_empty(target)):
                return True
    return False


def _is_new(step: Table, plan: Table) -> bool:
    """Does something lie now where, by the plan, nothing is replaced?"""
    known = [row["name"] for row in plan["protected"] if row["what"] == "path"]
    target = step["params"]["target"]
    return step["params"].get("items") is None and target not in known and not _is_empty(_bytes(target))


def _is_empty(path: bytes) -> bool:
    if os.path.isdir(path) and not os.path.islink(path):
        return not os.listdir(path)
    return not os.path.lexists(path)


def _inside(path: bytes, above: bytes) -> bool:
    return (path + b"/").startswith(above.rstrip(b"/") + b"/")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
