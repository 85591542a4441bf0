"""The plan of a drill: that of a restore beside the originals (planning.py), of a manifest that was made harmless.

Pure. What the engine is asked for in the end is looked at once more (`unsafe`): a body that is not what a drill may
ask for is never sent, whoever wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dockerops import manifest as manifests
from dockerops.choice import Choice
from dockerops.drill_manifest import Isolated
from dockerops.inventory import Inventory
from dockerops.manifest import Container, Contents
from dockerops.options import Options
from dockerops.plan import DockerPlan, Step
from dockerops.planning import About, plan_docker
from servers.remote.dockers import harmless

BASE = "/var/lib/phpborg/docker-drill"
# Of the token, in the names of everything that a drill makes.
LETTERS = 8


def name_of(token: str) -> str:
    """The project's name in the drill."""
    return f"phpborg-drill-{token[:LETTERS].lower()}"


def base_of(token: str) -> str:
    """Where everything lies that is in no volume."""
    return f"{BASE}/{token}"


def contents_of(isolated: Isolated) -> Contents:
    """Typed. Raises ManifestUnreadable."""
    return manifests.parse(json.dumps(isolated.manifest))


def options_of(token: str) -> Options:
    """How a drill is placed."""
    return Options(
        placement="drill",
        path=base_of(token),
        project_name=name_of(token),
        ports="none",
        protect="none",
        images="archive",
        create_missing=True,
    )


def plan_drill(contents: Contents, isolated: Isolated, there: Inventory, about: About) -> DockerPlan:
    """Raises NotPlanned (no room, another machine), NothingChosen, NotInArchive."""
    plan = plan_docker(contents, there, Choice("all"), options_of(about.token), about)
    first = Step(0, "make_private", {"path": base_of(about.token)}, facts={"path": base_of(about.token)})
    return replace(plan, steps=(first, *(_borrowed(step, isolated) for step in plan.steps)))


def _borrowed(step: Step, isolated: Isolated) -> Step:
    """An image is given back: production's names mean what they meant."""
    if step.op != "load_image":
        return step
    identity = str(step.params["id"])
    params = {"id": identity, "names": isolated.saved.get(identity, []), "stream": step.params["stream"]}
    return replace(step, op="borrow_image", params=params)


def wrong_images(contents: Contents, there: Inventory, isolated: Isolated) -> list[tuple[Container, str]]:
    """(container, id of what its image's name means here by now or "") of images that are neither here nor archived."""
    streams = {one.id for one in contents.images if one.stream}
    found = []
    for one in contents.containers:
        if there.has_image(one.image_id) or one.image_id in streams:
            continue
        names = isolated.saved.get(one.image_id, [])
        other = next((row.id for row in there.images if set(row.tags) & set(names)), "")
        found.append((one, other))
    return found


def with_old_name(filled: dict[str, Any], old: str) -> dict[str, Any]:
    """A container is also found under the name that it has in production: settings may have it."""
    body = dict(filled["body"])
    endpoints = dict((body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {})
    networks = dict(filled.get("networks") or {})
    for table in (endpoints, networks):
        for name, one in table.items():
            table[name] = {**one, "Aliases": sorted({*(one.get("Aliases") or []), old})}
    body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return {**filled, "body": body, "networks": networks}


def unsafe(filled: Mapping[str, Any], plan: DockerPlan) -> list[str]:
    """Names of what a body of a container asks for though no drill may; empty when it is harmless."""
    made = {
        "networks": _made(plan, "create_network"),
        "volumes": _made(plan, "create_volume"),
        "containers": _made(plan, "create_container"),
    }
    return harmless.problems(filled["body"], filled["networks"], _base(plan), made)


def _made(plan: DockerPlan, op: str) -> set[str]:
    return {str(step.params["name"]) for step in plan.steps if step.op == op}


def _base(plan: DockerPlan) -> str:
    return next((str(step.params["path"]) for step in plan.steps if step.op == "make_private"), "\0")


def service_of(contents: Contents, name: str) -> Container | None:
    """The container that a person means by a service's or a container's name; the first of several."""
    rows = sorted(contents.containers, key=lambda one: (one.number or 0, one.name))
    by_name = next((one for one in rows if one.name == name), None)
    return by_name or next((one for one in rows if one.service == name or f"{one.project}/{one.service}" == name), None)
