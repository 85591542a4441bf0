"""The verb `instant`: a database server that runs out of an archive, for as long as this program lives.

"action": "serve" mounts the archive (`argv`: mount LOCATION, `link`), puts a writable layer above each directory that
is asked for, starts the database server in a container without a network (cage.py) and carries connections to it from
a port of this machine. It prints lines of JSON {"type": "phpborg_instant", "state": fetching | mounting | preparing |
starting | ready | stopping, …} and ends, with all that was made, when it is told to, when its caller is gone, or when a
part of it ends: then it is Refused with the reason. "check" makes the same without a port, asks the server what the
request asks (checks.py), tells the answers, and ends by itself. "remove" does what is left to do for a session whose
program was killed, by its token.
"""

import os
from typing import Optional, Tuple

from .. import policy, validate, wire
from . import asked, serving
from .log import Log
from .stack import Stack


def instant(request: wire.Request, control: wire.Control) -> Tuple[Optional[int], Optional[int]]:
    """Serve a session until its end, or remove what is left of one: {"removed": [what was there]}."""
    if os.geteuid():
        raise wire.Refused("invalid", "a session can only be made by root")
    action = validate.choice(request.args.get("action"), "action", ["serve", "check", "remove"])
    if action == "remove":
        stack = Stack(validate.token(request.args.get("token")))
        wire.answer({"removed": stack.remove()})
        return 0, None
    policy.check_sessions()
    session = asked.session(request.args, request.secrets)
    questions = asked.checks(request.args.get("checks"), request.secrets) if action == "check" else []
    with Log() as log:
        serving.Serving(request, control, session, log, questions).carry_out()
    return 0, None
