"""What a process says and how it ended: the two streams taken apart into lines, held within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

OnLine = Callable[[bytes], None]

_LINE_LIMIT = 1 << 20


class TooMuchOutput(Exception):
    """A process printed more than its caller is willing to hold."""


@dataclass(frozen=True)
class Exit:
    """How a process ended.

    `code` is the exit status, or None when a signal ended it; `signal` is that signal's number.
    `stopped` says that we ended it ourselves. `stderr_tail` holds its last lines, decoded with
    replacement, for a message to a person.
    """

    code: int | None
    signal: int | None = None
    stopped: bool = False
    stderr_tail: str = ""
    stdout: bytes = b""

    @property
    def ok(self) -> bool:
        """Exit status 0 and nobody stopped it."""
        return self.code == 0 and not self.stopped


@dataclass
class _Lines:
    """Splits a byte stream into lines; a line over 1 MiB is cut, never collected without bound."""

    emit: OnLine
    rest: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> None:
        self.rest += chunk
        *lines, last = self.rest.split(b"\n")
        self.rest = bytearray(last[:_LINE_LIMIT])
        for line in lines:
            self.emit(bytes(line[:_LINE_LIMIT]))

    def close(self) -> None:
        if self.rest:
            self.emit(bytes(self.rest))


class Output:
    """Both streams of a child: its lines handed over, and what of them its Exit keeps."""

    def __init__(self, on_stdout: OnLine | None, on_stderr: OnLine | None, most_bytes: int | None = None) -> None:
        self._on_stderr = on_stderr
        self._collected: list[bytes] = []
        self._room = most_bytes
        self._tail: deque[bytes] = deque(maxlen=60)
        self._out = _Lines(on_stdout) if on_stdout else None
        self._errors = _Lines(self._keep)

    def _keep(self, line: bytes) -> None:
        self._tail.append(line[:4000])
        if self._on_stderr:
            self._on_stderr(line)

    def _collect(self, chunk: bytes) -> None:
        if self._room is not None:
            self._room -= len(chunk)
            if self._room < 0:
                raise TooMuchOutput
        self._collected.append(chunk)

    def readers(self, stdout: IO[bytes] | None, stderr: IO[bytes]) -> dict[int, Callable[[bytes], None]]:
        """What takes the bytes of each descriptor."""
        readers: dict[int, Callable[[bytes], None]] = {stderr.fileno(): self._errors.feed}
        if stdout:
            readers[stdout.fileno()] = self._out.feed if self._out else self._collect
        return readers

    def collected(self) -> bytes:
        """What is held of the standard output so far."""
        self._collected = [b"".join(self._collected)]
        return self._collected[0]

    def close(self) -> None:
        """Hand over last lines that no newline ended."""
        if self._out:
            self._out.close()
        self._errors.close()

    def exit(self, code: int, stopped: bool) -> Exit:
        """How it ended; subprocess tells a signal by a negative code."""
        return Exit(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stopped=stopped,
            stderr_tail=b"\n".join(self._tail).decode("utf-8", "replace"),
            stdout=self.collected(),
        )
