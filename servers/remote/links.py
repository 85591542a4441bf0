"""The verb `link_dir`: the private directory in which sshd puts the tunnel's socket.

It is asked for as the account that ssh signs in with, because sshd makes the socket as that account.
"""

import os
import stat
from typing import List

from . import places, validate, wire


def _candidates(token: str) -> List[str]:
    return [os.path.join(places.RUN, token), "/tmp/phpborg-" + token]


def _make(token: str) -> str:
    if os.geteuid() == 0:
        os.makedirs(places.RUN, mode=0o711, exist_ok=True)
        os.chmod(places.RUN, 0o711)
    path = _candidates(token)[0 if os.geteuid() == 0 else 1]
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        raise wire.Refused("exists", "{} exists already".format(path)) from None
    return path


def _remove(token: str) -> List[str]:
    removed = []
    for path in _candidates(token):
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            continue
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
        removed.append(path)
    return removed


def link_dir(request: wire.Request, control: wire.Control) -> None:
    """Make or remove the directory of one tunnel."""
    token = validate.token(request.args.get("token"))
    action = validate.choice(request.args.get("action"), "action", ["make", "remove"])
    if action == "make":
        wire.answer({"path": _make(token)})
    else:
        wire.answer({"removed": _remove(token)})
