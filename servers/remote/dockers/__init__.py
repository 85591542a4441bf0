"""The verb `docker`: what an engine has, and a restore into it, step by step, each of which can be undone.

Arguments: `action` and, but for `state`, `socket`.
  inventory {"paths": [path]}   containers, volumes, networks, images, ports and paths (looking.py); no environment
  begin {"token"}               a journal for a restore; refuses when there is one
  do {"token", "number", "step": {"op", "params"}}   one step of the closed set in steps.py; {"done": facts}. Bodies of
                                containers are secret: secrets["params"] is JSON of further parameters
  rollback {"token"}            everything undone, the last first: {"undone", "problems", "notes"}; may be repeated
  forget {"token"}              what was kept aside is removed: {"removed", "problems"}; may be repeated
  state {"token"}               {"exists", "steps", "kept_bytes"}
  compare {}                    {"differs": {container: [field]}, "left"} of secrets["params"] (comparing.py)
  staged {"target", "token", "sources"}   {"entries"} that were extracted into that private directory
  drill {"token", "what"}       a question to the containers that this journal has made (drilling.py)
"""

import os

from .. import policy, validate, wire

_ACTIONS = ["inventory", "begin", "do", "rollback", "forget", "state", "compare", "staged", "drill"]


def docker(request: wire.Request, control: wire.Control) -> None:
    """Carry out one action; see above. Raises Refused."""
    if os.geteuid():
        raise wire.Refused("invalid", "Docker is asked by root alone")
    action = validate.choice(request.args.get("action"), "action", _ACTIONS)
    from . import comparing, looking, restoring
    from .engine import Engine

    if action in ("inventory", "compare"):
        policy.check_docker("that its containers are looked at for a restore")
    if action == "inventory":
        with Engine(_socket(request), control.check) as engine:
            wire.answer(looking.inventory(engine, request.args, control))
        return
    if action == "compare":
        with Engine(_socket(request), control.check) as engine:
            wire.answer(comparing.compare(engine, restoring.secret_params(request)))
        return
    token = validate.token(request.args.get("token"))
    if action == "staged":
        wire.answer(comparing.staged(request.args, control))
    elif action == "state":
        wire.answer(restoring.state(token))
    # Both only end what was begun: they are allowed whatever the policy says by now.
    elif action == "rollback":
        wire.answer(restoring.rollback(_socket(request), token))
    elif action == "forget":
        wire.answer(restoring.forget(_socket(request), token, control))
    else:
        policy.check_docker()
        with Engine(_socket(request), control.check) as engine:
            if action == "drill":
                from . import drilling

                wire.answer(drilling.drill(engine, token, request))
                return
            if action == "begin":
                wire.answer(restoring.begin(token, engine.path))
            else:
                wire.answer(restoring.do(engine, token, request, control))


def _socket(request: wire.Request) -> str:
    return wire.shown(validate.absolute(request.args.get("socket"), "socket"))
