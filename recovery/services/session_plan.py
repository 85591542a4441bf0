"""The plan of an Instant Recovery session, read from the very request that will be sent."""

from __future__ import annotations

import hashlib
import json
import posixpath
from typing import Any

from django.utils.translation import gettext as _

from recovery.models import Session
from recovery.services import adminer
from recovery.services.plan import PlanStep
from servers.remote import wire
from servers.remote.instant import asked, cage
from servers.remote.places import INSTANT, RUN

_NAME = "THE-SESSION"  # stands for the token, which each start makes anew
_HIDDEN = "…"
_SECRETS = ("login", "client", "password", *adminer.SECRETS)


def steps(session: Session) -> tuple[PlanStep, ...]:
    """Everything that a session will do, in order, with the command lines. The helper itself picks the port."""
    request = asked.session({**session.asked, "token": _NAME}, dict.fromkeys(_SECRETS, _HIDDEN))
    return (
        PlanStep(
            "view",
            _("Make a view of the repository that holds no lock: backups and prune go on."),
            undo=_("The view is removed with the session."),
        ),
        *_image(request),
        PlanStep(
            "mount",
            _("Mount the archive {archive}, read-only."),
            ("borg", "mount", "--foreground", f"REPOSITORY::{session.archive_name}", f"{INSTANT}/{_NAME}/archive"),
            undo=_("It is unmounted."),
            facts={"archive": session.archive_name},
        ),
        *(_layer(one) for one in request.layers),
        *(_stage(request, number) for number in range(len(request.stages))),
        PlanStep(
            "port",
            _("Listen on the first free port from {first} to {last} of {address} and carry connections to its socket."),
            undo=_("The port is free again."),
            facts={"first": str(request.ports[0]), "last": str(request.ports[1]), "address": request.address},
        ),
        *([] if request.adminer is None else [_adminer(request, request.adminer)]),
    )


def steps_kept(session: Session) -> tuple[PlanStep, ...]:
    """Of a session that was begun; none of one that another version of ours asked for in another form."""
    try:
        return steps(session)
    except wire.Refused:
        return ()


def _adminer(request: asked.Session, beside: asked.Beside) -> PlanStep:
    words = cage.run_beside(request, cage.shown(request.engine), beside.programs[0], _merged)
    return PlanStep(
        "adminer",
        _("Start Adminer in a container of {image} beside it, without network, if the image is there."),
        tuple(words),
        undo=_("The container is removed."),
        facts={"image": beside.image},
    )


def digest(session: Session) -> str:
    """The same for the same plan of the same archive and server: whoever starts it says which one was seen."""
    told = {**session.asked, "archive": str(session.archive_id), "server": str(session.server_id)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _image(request: asked.Session) -> tuple[PlanStep, ...]:
    return (fetch_step(request.engine, request.image),) if request.pull else ()


def fetch_step(engine: str, image: str) -> PlanStep:
    """Nothing is fetched that is there."""
    text = _("Fetch the image {image}, unless the server has it already.")
    words = cage.shown(engine).words("pull", "--quiet", image)
    return PlanStep("image", text, tuple(words), undo=_("It stays for the next time."), facts={"image": image})


def _layer(one: asked.Layer) -> PlanStep:
    source = one.source.decode("utf-8", "replace")
    return PlanStep(
        "layer",
        _("Lay a writable layer over “{source}”: it holds only the blocks that are written."),
        touches=(f"{INSTANT}/{_NAME}/layers/{one.name}",),
        undo=_("The layer is thrown away."),
        facts={"source": source or "/"},
    )


def _stage(request: asked.Session, number: int) -> PlanStep:
    stage = request.stages[number]
    words = cage.run(request, cage.shown(request.engine), number, stage.programs[-1], _merged)
    last = number == len(request.stages) - 1
    text = (
        _("Start the database server in a container of {image}, without network and without rights.")
        if last
        else _("Prepare it in a container of {image}: our login is made, what a crash left is recovered.")
    )
    undo = _("The container is removed.")
    return PlanStep("serve" if last else "prepare", text, tuple(words), undo=undo, facts={"image": request.image})


def _merged(layer: str) -> str:
    if layer in asked.INSIDE:
        return posixpath.join(RUN, f"instant-{_NAME}", layer)
    return posixpath.join(INSTANT, _NAME, "layers", layer, "merged")


def as_json(session: Session) -> list[dict[str, Any]]:
    """For `--dry-run --json`."""
    return [{"code": step.code, "sentence": step.sentence, "command": step.command} for step in steps(session)]
