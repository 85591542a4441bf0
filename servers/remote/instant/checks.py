"""Commands in the container of a database that runs out of an archive: what they print, line by line, and their end.

For each line {"state": "checking", "check", "line"}, and at the end {"state": "checked", "check", "code": exit status
(None: not in time), "lines": how many there were, also of those that were not told because it became too much,
"detail": the first words of its standard error}. A failing command is an answer like any other: what it means is the
caller's to judge.
"""

import os
import select
import socket
import subprocess
import tempfile
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from .. import children, wire
from . import cage, gateway, mongo, shards
from .asked import Check, Command

_MOST_LINES = 500000
_MOST_BYTES = 64 << 20  # of all lines of one answer
_LINE_BYTES = 4000
_DETAIL_BYTES = 16000
_SCRIPT_BYTES = 64 << 20


class _Lines:
    """Cuts a stream into lines, none of them endless."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._take(line)
        # What is longer than it may be is cut when it is told; more of it need not be kept.
        self._rest = self._rest[: _LINE_BYTES + 1]

    def end(self) -> None:
        if self._rest:
            self._take(self._rest)
        self._rest = b""


class Asking:
    """The container of one session, asked one thing after the other."""

    def __init__(self, docker: cage.Docker, token: str, stage: int, place: str, target: gateway.Target) -> None:
        self._docker = docker
        self._token = token
        self._stage = stage
        self._place = place
        self._target = target

    def carry_out(
        self,
        check: Check,
        known: Dict[Tuple[str, ...], str],
        control: wire.Control,
        tell: Callable[..., None],
        rest: Callable[[], None],
    ) -> Optional[int]:
        """Ask, and tell; its exit status, None when it was not answered in time.

        `known` says which of some programs the image has; `rest` is called while it goes on.
        """
        deadline = time.monotonic() + check.seconds
        lines, size = 0, 0

        def take(line: bytes) -> None:
            nonlocal lines, size
            lines, size = lines + 1, size + min(len(line), _LINE_BYTES)
            if lines <= _MOST_LINES and size <= _MOST_BYTES:
                tell("checking", check=check.name, line=line[:_LINE_BYTES].decode("utf-8", "replace"))

        stdin, command = check.command.stdin, check.command
        code: Optional[int] = 0
        detail = b""
        if check.script is not None:
            printed = bytearray()

            def keep(chunk: bytes) -> None:
                if len(printed) <= _SCRIPT_BYTES:
                    printed.extend(chunk)

            code, detail = self._run(check.script, check.script.stdin, known, control, deadline, keep, rest)
            stdin = bytes(printed)
            if len(stdin) > _SCRIPT_BYTES:
                code, detail = 1, b"the list of what is to be checked is too long"
        if check.over is not None:
            code, detail = self._look(check.over, control, deadline, take, rest)
        elif code == 0:
            split = _Lines(take)
            code, detail = self._run(command, stdin, known, control, deadline, split.add, rest)
            split.end()
        tell("checked", check=check.name, code=code, lines=lines, detail=detail.decode("utf-8", "replace").strip())
        return code

    def _look(
        self,
        look: Union[mongo.Look, shards.Look],
        control: wire.Control,
        deadline: float,
        take: Callable[[bytes], Any],
        rest: Callable[[], None],
    ) -> Tuple[Optional[int], bytes]:
        """In the server's own protocol."""
        try:
            if isinstance(look, shards.Look):
                return look.carry_out(shards.Talk(self._target.connected, control, deadline, rest), take)
            return look.carry_out(mongo.Patient(self._target.connected(), control, deadline, rest), take)
        except (TimeoutError, socket.timeout) as error:  # two kinds before Python 3.10
            return None, str(error).encode()
        except OSError as error:
            return 1, str(error).encode("utf-8", "replace")

    def _run(
        self,
        command: Command,
        stdin: bytes,
        known: Dict[Tuple[str, ...], str],
        control: wire.Control,
        deadline: float,
        take: Callable[[bytes], Any],
        rest: Callable[[], None],
    ) -> Tuple[Optional[int], bytes]:
        program = known.get(tuple(command.programs), command.programs[0])
        argv = cage.feed(self._docker, self._token, self._stage, [program, *command.argv])
        with tempfile.TemporaryFile(dir=self._place) as source:
            source.write(stdin)
            source.seek(0)
            tool = children.Tool(
                argv, children.environment(), stdin=source.fileno(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            try:
                detail = _read(tool, control, deadline, take, rest)
                if detail is None:
                    return None, b"it was not answered in time"
                return tool.process.wait(), detail
            finally:
                tool.end()


def _read(
    tool: children.Tool,
    control: wire.Control,
    deadline: float,
    take: Callable[[bytes], Any],
    rest: Callable[[], None],
) -> Optional[bytes]:
    """All of both streams; the beginning of the second one, or None when the time is over. Raises Stopped."""
    assert tool.process.stdout is not None
    assert tool.process.stderr is not None
    out, err = tool.process.stdout.fileno(), tool.process.stderr.fileno()
    streams: List[int] = [out, err]
    detail = bytearray()
    while streams:
        control.check()
        if time.monotonic() > deadline:
            return None
        rest()
        for stream in _ready(streams):
            chunk = os.read(stream, 1 << 16)
            if not chunk:
                streams.remove(stream)
            elif stream == out:
                take(chunk)
            else:
                detail += chunk[: max(0, _DETAIL_BYTES - len(detail))]
    return bytes(detail)


def _ready(streams: Sequence[int]) -> List[int]:
    return select.select(list(streams), [], [], 0.2)[0]
