"""The verb `capabilities`: all probes side by side, each in a process of its own that cannot spoil another."""

import json
import os
import select
import signal
import time
import traceback
from functools import partial
from importlib import import_module
from typing import Any, Dict, List, NamedTuple

from . import apart, children, validate, wire
from .probes import NAMES
from .probes.base import Look

SCHEMA = 1
_ANSWER_LIMIT = 16 << 20
_PROBLEM_CHARACTERS = 2000


class _Running(NamedTuple):
    """A probe at work."""

    name: str
    pid: int
    pipe: int
    started: float
    answer: bytearray


def capabilities(request: wire.Request, control: wire.Control) -> None:
    """What this server is, has and runs.

    Arguments: `only`, names of probes (all without it); `seconds`, the time that each is given;
    `size_seconds`, how long directories are counted. Logins to try are in the secrets, by probe, as JSON.
    """
    only = validate.texts(request.args.get("only", list(NAMES)), "only", len(NAMES))
    for name in only:
        validate.choice(name, "probe", list(NAMES))
    seconds = validate.number(request.args.get("seconds", 25), "seconds", 1, 600)
    size_seconds = validate.number(request.args.get("size_seconds", 20), "size_seconds", 0, 600)
    started = time.time()
    look = Look(_logins(request.secrets), size_seconds)
    with apart.nothing_left():
        running = [_start(name, look) for name in dict.fromkeys(only)]
        probes = _collect(running, control, time.monotonic() + seconds)
    answer = {"schema": SCHEMA, "taken_at": started, "seconds": round(time.time() - started, 3), "probes": probes}
    wire.answer(answer)


def _logins(secrets: Dict[str, Any]) -> Dict[str, Any]:
    try:
        return {name: json.loads(validate.text(text, "login")) for name, text in secrets.items()}
    except ValueError:
        raise wire.Refused("invalid", "a login must be JSON") from None


def _start(name: str, look: Look) -> _Running:
    pid, pipe = apart.start(partial(_answer, name, look))
    return _Running(name, pid, pipe, time.monotonic(), bytearray())


def _answer(name: str, look: Look, pipe: int) -> None:
    """In the probe's own process: what it found, or what broke in it."""
    try:
        facts = import_module(".probes." + name, __package__).probe(look)
        said: Dict[str, Any] = {"state": "ok", "problem": None, "facts": facts}
        data = json.dumps(said).encode()
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        problem = "{}: {} ({}:{})".format(type(error).__name__, error, os.path.basename(where.filename), where.lineno)
        data = json.dumps({"state": "failed", "problem": problem[:_PROBLEM_CHARACTERS], "facts": None}).encode()
    # The end of the line is the end of the answer: a process that the probe left may hold the pipe open.
    apart.write_all(pipe, data + b"\n")


def _collect(running: List[_Running], control: wire.Control, deadline: float) -> Dict[str, Any]:
    """Each one's answer as it comes; who has none at the deadline is ended, with all that it started."""
    found: Dict[str, Any] = {}
    waiting = {probe.pipe: probe for probe in running}
    try:
        while waiting and time.monotonic() < deadline:
            control.check()
            for pipe in select.select(list(waiting), [], [], 0.2)[0]:
                chunk = os.read(pipe, 1 << 16)
                waiting[pipe].answer.extend(chunk)
                if not chunk or chunk.endswith(b"\n") or len(waiting[pipe].answer) > _ANSWER_LIMIT:
                    probe = waiting.pop(pipe)
                    found[probe.name] = _read(probe)
    finally:
        for probe in running:
            children.signal_group(probe.pid, signal.SIGKILL)
            os.kill(probe.pid, signal.SIGKILL)  # it may not have a group of its own yet
            os.close(probe.pipe)
    for probe in waiting.values():
        spent = round(time.monotonic() - probe.started, 3)
        problem = "it did not answer within {:.1f} s".format(spent)
        found[probe.name] = {"state": "late", "problem": problem, "facts": None, "seconds": spent}
    return {probe.name: found[probe.name] for probe in running}


def _read(probe: _Running) -> Dict[str, Any]:
    try:
        said: Dict[str, Any] = json.loads(bytes(probe.answer).decode("utf-8"))
    except ValueError:
        said = {"state": "failed", "problem": "it ended without an answer", "facts": None}
    return dict(said, seconds=round(time.monotonic() - probe.started, 3))
