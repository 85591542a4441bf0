"""The verb `load`: a dump of an archive goes into a running server and is never on a disk.

{"argv": extract --stdout … pp:NAME, "link", "env", "nice", "token", "into": {"loader", access, "database", "as",
"replace", …}}; secrets: `passphrase` of the repository, `database` of the login. It answers {"loaded", "problem",
"untouched", "facts", "notes", "left"}: an exit status alone proves nothing here; `left` names what was made on the way
and could not be removed. With "action": "clean" it removes what a load has left behind, by token; then only token and
`into` are read.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from importlib import import_module
from typing import Any, Callable, Dict, Optional, Tuple

from . import borg, children, places, policy, streams, validate, wire
from .loaders.base import Failed, Loader, obey

LOADERS: Dict[str, str] = {
    "pg_database": "postgresql",
    "pg_globals": "postgresql_globals",
    "mysql_database": "mysql",
    "mysql_users": "mysql_users",
    "mongodb": "mongodb",
}
Reader = Callable[[], children.Tool]
_CHUNK = 1 << 18
_TELL_SECONDS = 1.0
_LOG_BYTES = 1 << 16


def load(request: wire.Request, control: wire.Control) -> Tuple[Optional[int], Optional[int]]:
    """Load one dump and say what became of it."""
    args = request.args
    token = validate.token(args.get("token"))
    policy.check_loads()
    obey(control.check)
    loader = _loader(args.get("into"), request.secrets, token)
    if args.get("action") == "clean":
        shutil.rmtree(places.restore_directory(token), ignore_errors=True)
        try:
            wire.answer({"removed": loader.clean()})
        except Failed as failure:
            raise wire.Refused("io", str(failure)) from None
        return 0, None
    try:
        with tempfile.TemporaryFile() as log:
            result = _carry_out(borg.reader(request, token, log.fileno()), loader, control)
            log.seek(0)
            wire.write_all(2, log.read(_LOG_BYTES))
    finally:
        shutil.rmtree(places.restore_directory(token), ignore_errors=True)
    wire.answer(result)
    return (0 if result["loaded"] else 1), None


def _loader(into: Any, secrets: Dict[str, Any], token: str) -> Loader:
    if not isinstance(into, dict):
        raise wire.Refused("invalid", "the request does not say where the dump is to go")
    kind = validate.choice(into.get("loader"), "loader", sorted(LOADERS))
    module = import_module(".loaders." + LOADERS[kind], __package__)
    made: Loader = getattr(module, kind)(into, secrets, token)
    return made


def _carry_out(read: Reader, loader: Loader, control: wire.Control) -> Dict[str, Any]:
    """Read it once without touching anything where a failure could not be undone; then load it."""
    control.check()
    try:
        loader.prepare()
        if loader.rehearses:
            _pump(read, loader, control, None)
            loader.census.start_again()
        if loader.collects:
            _pump(read, loader, control, None)
            loader.carry_out()
        else:
            _pump(read, loader, control, loader.start)
        facts = loader.finish()
    except Failed as failure:
        problem = str(failure)
    except BaseException:
        obey(None)
        loader.undo()
        raise
    else:
        return _answer(loader, facts=facts, loaded=True, untouched=False)
    obey(None)
    left = loader.undo()
    loader.notes += [left] if left else []
    return _answer(loader, problem=problem, untouched=loader.untouched)


def _answer(loader: Loader, **told: Any) -> Dict[str, Any]:
    base: Dict[str, Any] = {"loaded": False, "problem": None, "facts": {}, "notes": loader.notes, "left": loader.left}
    return {**base, **told}


class _Pump:
    """Moves what borg prints to the tool, through the loader's census. The tool's end comes only after a whole dump."""

    def __init__(self, tool: children.Tool, loader: Loader, control: wire.Control, phase: str) -> None:
        assert tool.process.stdout is not None
        self._source = tool.process.stdout.fileno()
        self._loader = loader
        self._control = control
        self._phase = phase
        self._told_at = 0.0
        self._count = 0

    def run(self, sink: Optional[int]) -> bool:
        """False when the tool stopped reading. Raises Stopped."""
        while True:
            self._control.check()
            if not select.select([self._source], [], [], 0.5)[0]:
                continue
            chunk = os.read(self._source, _CHUNK)
            if not chunk:
                self._tell(last=True)
                return sink is None or self._write(sink, self._loader.passed(b"", last=True))
            self._count += len(chunk)
            self._loader.census.add(chunk)
            if sink is not None and not self._write(sink, self._loader.passed(chunk)):
                return False
            self._tell()

    def _write(self, sink: int, chunk: bytes) -> bool:
        view = memoryview(chunk)
        while view:
            self._control.check()
            if not select.select([], [sink], [], 0.5)[1]:
                continue  # it is busy with what it has, perhaps for an hour
            try:
                view = view[os.write(sink, view) :]
            except BlockingIOError:
                time.sleep(0.01)
            except BrokenPipeError:
                return False
        return True

    def _tell(self, last: bool = False) -> None:
        if last or time.monotonic() - self._told_at > _TELL_SECONDS:
            self._told_at = time.monotonic()
            row = {"type": "phpborg_loading", "phase": self._phase, "bytes": self._count}
            wire.write_all(2, json.dumps(row).encode() + b"\n")


def _pump(read: Reader, loader: Loader, control: wire.Control, start: Optional[Callable[[int], Any]]) -> None:
    """Borg to its end, and the tool beside it. Raises Failed when either is not whole, and Stopped."""
    tool = read()
    pump = _Pump(tool, loader, control, "reading" if start is None else "loading")
    try:
        if start is None:
            pump.run(None)
            _judge_borg(tool, control)
            loader.census.judge()
        else:
            _feed(tool, pump, loader, start, control)
    finally:
        assert tool.process.stdout is not None
        tool.process.stdout.close()
        tool.end()


def _feed(tool: children.Tool, pump: _Pump, loader: Loader, start: Callable[[int], Any], control: wire.Control) -> None:
    with streams.Said() as said:
        child = start(said.descriptor)
        heard = threading.Thread(target=_hear, args=(child, loader), daemon=True)
        heard.start()
        code: Optional[int] = None
        whole = False
        try:
            os.set_blocking(child.stdin.fileno(), False)
            if pump.run(child.stdin.fileno()):
                _judge_borg(tool, control)
                loader.census.judge()
                whole = True
            child.stdin.close()
            code = _wait(child, control)
        finally:
            if code is None:
                # Not given its end: what is half read must not be taken for all.
                children.signal_group(child.pid, signal.SIGTERM)
            code = _collect(child, heard) if code is None else code
            children.signal_group(child.pid, signal.SIGKILL)
            children.forget(child.pid)
        heard.join(10)
        if code != 0 or not whole:
            raise Failed(_words(loader.what, code, said.text()))
        loader.reported(said.lines())
        loader.told(said.text())


def _wait(child: "subprocess.Popen[bytes]", control: wire.Control) -> int:
    while True:
        try:
            return child.wait(0.2)
        except subprocess.TimeoutExpired:
            control.check()


def _collect(child: "subprocess.Popen[bytes]", heard: threading.Thread) -> int:
    try:
        code = child.wait(children.TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        children.signal_group(child.pid, signal.SIGKILL)
        code = child.wait()
    heard.join(10)
    if child.stdin is not None and not child.stdin.closed:
        child.stdin.close()
    return code


def _hear(child: "subprocess.Popen[bytes]", loader: Loader) -> None:
    """The tool's own output; it must not wait for a reader."""
    assert child.stdout is not None
    with child.stdout as stdout:
        for line in stdout:
            loader.hear(line)


def _judge_borg(tool: children.Tool, control: wire.Control) -> None:
    """Also a warning means that something is missing. Raises Failed."""
    code, number = tool.wait(control)
    control.check()
    if code != 0:
        status = "signal {}".format(number) if code is None else "exit {}".format(code)
        raise Failed("the archive could not be read to its end (borg ended with {})".format(status))


def _words(what: str, code: int, words: str) -> str:
    status = "exit {}".format(code) if code >= 0 else "signal {}".format(-code)
    return "{} ended with {}: {}".format(what, status, words or "it said nothing")
