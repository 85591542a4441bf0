"""The verbs `hooks` and `hook`: scripts that this server's administrator put into /etc/phpborg/hooks."""

import os
import re
import stat
from typing import Any, Dict, List, Optional, Tuple

from . import children, places, policy, validate, wire

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_VARIABLE = re.compile(r"PHPBORG_[A-Z0-9_]{1,60}")


def _problem(path: str) -> Optional[str]:
    """Why a file in the directory is not run, or None."""
    for place in (places.CONFIG, places.HOOKS):
        status = os.lstat(place)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
            return "{} must be a directory of root that nobody else can write".format(place)
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        return "it is not a plain file"
    if status.st_uid != 0:
        return "it does not belong to root"
    if status.st_mode & 0o022:
        return "others than root can write to it"
    if not status.st_mode & 0o100:
        return "it is not executable"
    return None


def list_hooks(request: wire.Request, control: wire.Control) -> None:
    """The hooks that may be run, and why others may not."""
    policy.check_hooks()
    found: List[str] = []
    refused: List[Dict[str, Any]] = []
    try:
        names = sorted(os.listdir(places.HOOKS))
    except FileNotFoundError:
        names = []
    for name in names[:500]:
        problem = _problem(os.path.join(places.HOOKS, name)) if _NAME.fullmatch(name) else "its name is not plain"
        if problem is None:
            found.append(name)
        else:
            refused.append({"name": wire.shown(os.fsencode(name)), "problem": problem})
    wire.answer({"directory": places.HOOKS, "hooks": found, "refused": refused})


def run_hook(request: wire.Request, control: wire.Control) -> Tuple[Optional[int], Optional[int]]:
    """Run one hook by name; its output is ours, its end is the answer."""
    policy.check_hooks()
    name = validate.text(request.args.get("name"), "hook", _NAME)
    limit = validate.number(request.args.get("limit_seconds", 600), "limit_seconds", 1, 7 * 86400)
    env = {}
    variables = request.args.get("env") or {}
    if len(variables) > 100:
        raise wire.Refused("invalid", "too many variables")
    for variable, value in variables.items():
        env[validate.text(variable, "variable", _VARIABLE)] = validate.text(value, "value", limit=8192)
    path = os.path.join(places.HOOKS, name)
    try:
        problem = _problem(path)
    except FileNotFoundError:
        raise wire.Refused("missing", "there is no hook {}".format(path)) from None
    if problem is not None:
        raise wire.Refused("unsafe", "the hook {} is not run: {}".format(path, problem))
    return children.Tool([path], children.environment(env)).wait(control, limit)
