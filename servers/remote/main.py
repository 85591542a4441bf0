"""The entry: read a request, find its verb, carry it out, say how it ended."""

import os
import resource
import signal
import sys
from functools import partial
from importlib import import_module
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from . import PROTOCOL, VERSION, children, wire

Outcome = Tuple[Optional[int], Optional[int]]
Verb = Callable[[wire.Request, wire.Control], Optional[Outcome]]

# Verb -> the module and the function of it: only what a request needs is compiled and loaded.
VERBS: Dict[str, Tuple[str, str]] = {
    "hello": ("facts", "hello"),
    "paths": ("facts", "paths"),
    "list_dir": ("facts", "list_dir"),
    "exclude_preview": ("preview", "exclude_preview"),
    "hooks": ("hooks", "list_hooks"),
    "hook": ("hooks", "run_hook"),
    "borg": ("borg", "run_borg"),
    "link_dir": ("links", "link_dir"),
    "direct_key": ("keys", "direct_key"),
    "stage": ("staging", "stage"),
    "place": ("placing", "place"),
    "unstage": ("staging", "unstage"),
    "capabilities": ("capabilities", "capabilities"),
    "statistics": ("statistics", "statistics"),
    "snapshot": ("snapshots", "snapshot"),
    "stream_dir": ("streams", "stream_dir"),
    "load": ("loading", "load"),
    "instant": ("instant", "instant"),
    "docker": ("dockers", "docker"),
}


def _verb(name: str) -> Verb:
    if name not in VERBS:
        raise wire.Refused("outdated", "unknown verb", verb=name, version=VERSION)
    module, function = VERBS[name]
    found: Verb = getattr(import_module("." + module, __package__), function)
    return found


class _End(NamedTuple):
    code: Optional[int]
    signal: Optional[int]
    status: int


def _carry_out(request: wire.Request) -> _End:
    guard = children.start_guard()
    children.use_guard(guard)
    control = wire.Control(request.silence)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, control.stop)
    # The terminal or sshd may hang up on us; the end is read from standard input, in good order.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    control.start()
    try:
        request.check_protocol()
        outcome = _verb(request.verb)(request, control) or (0, None)
        if request.keep:
            control.finish()
    except wire.Refused as refusal:
        wire.refuse(request.nonce, refusal)
        return _End(None, None, 3)
    except wire.Stopped:
        wire.refuse(request.nonce, wire.Refused("stopped", "stopped before the end"))
        return _End(None, None, 4)
    except OSError as error:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, (str, bytes))]
        message = ": ".join([*names, error.strerror or str(error)])
        wire.refuse(request.nonce, wire.Refused("io", message, errno=error.errno))
        return _End(None, None, 3)
    # After a tool that failed nothing follows on the same connection.
    return _End(outcome[0], outcome[1], 1 if request.keep and outcome != (0, None) else 0)


def _make_room() -> None:
    """A tree as deep as a path can be is walked with a call and a descriptor for each level."""
    sys.setrecursionlimit(20000)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if most == resource.RLIM_INFINITY else min(8192, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _speak_utf8(argv: List[str]) -> None:
    """Before Python 3.7 the C locale, which ssh and sudo leave us in, means that names are ASCII: start once more."""
    if sys.getfilesystemencoding().lower() != "utf-8" and os.environ.get("LC_ALL") != "C.UTF-8":
        os.execve(sys.executable, [sys.executable, "-I", *argv], dict(os.environ, LC_ALL="C.UTF-8"))


def main(argv: List[str]) -> int:
    """Serve what standard input asks. Two other ways are for our own children: see `_as_child`."""
    os.umask(0o077)
    _speak_utf8(argv)
    if len(argv) >= 3 and argv[1] in _CHILDREN:
        return _as_child(argv)
    if len(argv) != 1:
        sys.stderr.write(f"phpborg-remote takes no arguments: it reads a request (version {VERSION})\n")
        return 64
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        return _serve_all()
    except wire.Refused as refusal:
        sys.stderr.write(f"phpborg-remote {VERSION}: {refusal.message} (protocol {PROTOCOL})\n")
        return 65


_CHILDREN = ("--relay", "--cow")


def _as_child(argv: List[str]) -> int:
    """`--relay SOCKET` is what borg starts for its connection, `--cow …` the filesystem over a mounted archive."""
    if argv[1] == "--relay":
        from .relay import relay

        return relay(argv[2])
    sys.argv = [argv[0], *argv[2:]]
    serve: Callable[[], int] = import_module(".cow.__main__", __package__).main
    return serve()


def _serve_all() -> int:
    """One request after the other, as long as they say that another one follows and end well.

    Each of those is carried out in a process of its own: what it did to itself (a view of the
    filesystems, a signal's meaning) is nothing to the next. The last one is this process.
    """
    request = wire.read_request()
    if request is None:
        raise wire.Refused("invalid", "no request was sent")
    _make_room()
    while request.keep:
        status = children.in_own_process(partial(_serve, request))
        if status != 0:
            return status
        request = wire.read_request(patience=request.silence)
        if request is None:
            return 0
    return _serve(request)


def _serve(request: wire.Request) -> int:
    wire.ready(request.nonce)
    end = _carry_out(request)
    wire.finish(request.nonce, end.code, end.signal)
    return end.status
