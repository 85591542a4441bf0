"""The conversation: one JSON request line in, markers and the verb's output out.

Standard output carries `phpborg-remote NONCE ready` and then only what the verb prints, so login
scripts cannot be mistaken for data. Standard error carries the same marker, then the tool's own
lines, and ends with `phpborg-remote NONCE exit CODE SIGNAL`. A request that says `keep` is followed by
another one in the same way, sent after that last line.
"""

import json
import os
import re
import select
import threading
import time
from typing import Any, Dict, Optional

from . import PROTOCOL

REQUEST_LIMIT = 8 << 20
_NONCE = re.compile(r"[0-9a-f]{8,64}")
_SILENT_INTERVALS = 4


class Refused(Exception):
    """The request is not carried out; `code` is for programs, the text for people."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = facts


class Stopped(Exception):
    """The other side asked us to end, or is gone."""


class Request:
    """One checked request."""

    def __init__(self, line: bytes) -> None:
        try:
            data = json.loads(line.decode("utf-8"))
        except ValueError:
            raise Refused("invalid", "the request is not JSON") from None
        if not isinstance(data, dict) or not _NONCE.fullmatch(str(data.get("nonce", ""))):
            raise Refused("invalid", "the request has no nonce")
        self.nonce = str(data["nonce"])
        self.protocol = data.get("v")
        self.verb = str(data.get("verb", ""))
        self.args = self._table(data.get("args"))
        self.secrets = self._table(data.get("secrets"))
        keepalive = data.get("keepalive", 15)
        self.keepalive = float(keepalive) if isinstance(keepalive, (int, float)) and 0.2 <= keepalive <= 3600 else 15.0
        self.keep = data.get("keep") is True

    @property
    def silence(self) -> float:
        """So many seconds without a word mean that the other side is gone."""
        return self.keepalive * _SILENT_INTERVALS

    @staticmethod
    def _table(value: Any) -> Dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Refused("invalid", "arguments and secrets are tables")
        return value

    def check_protocol(self) -> None:
        """A newer caller must not be half understood."""
        if not isinstance(self.protocol, int) or self.protocol > PROTOCOL:
            raise Refused("outdated", f"this program speaks protocol {PROTOCOL}")


def read_request(patience: Optional[float] = None) -> Optional[Request]:
    """Read one line of standard input, and not one byte more; None when nothing (more) is asked.

    `patience` seconds without a first byte mean the same.
    """
    line = bytearray()
    while not line.endswith(b"\n"):
        if not line and not select.select([0], [], [], patience)[0]:
            return None
        chunk = os.read(0, 1)
        if not chunk:
            if line:
                raise Refused("invalid", "the request has no end")
            return None
        line += chunk
        if len(line) == 1 and chunk == b".":
            line.clear()
        if len(line) > REQUEST_LIMIT:
            raise Refused("invalid", "the request is too long")
    return Request(bytes(line))


class Control:
    """What comes after the request: keep-alives, `stop`, or the end of the other side."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._stop = threading.Event()
        self._wake, self._waker = os.pipe()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        """Listen beside the verb."""
        self._listener.start()

    def finish(self) -> None:
        """Leave what comes from now on for the next request."""
        os.write(self._waker, b".")
        self._listener.join()

    def _listen(self) -> None:
        pending = b""
        heard = time.monotonic()
        while not self._stop.is_set():
            ready, _, _ = select.select([0, self._wake], [], [], 0.5)
            if self._wake in ready:
                return
            if ready:
                try:
                    chunk = os.read(0, 4096)
                except OSError:
                    chunk = b""
                if not chunk:
                    break
                heard = time.monotonic()
                pending = (pending + chunk.replace(b".", b""))[-64:]
                if b"stop\n" in pending:
                    break
            elif time.monotonic() - heard > self._silence:
                break
        self._stop.set()

    def stop(self, *_: Any) -> None:
        """End as if asked to (also a signal handler)."""
        self._stop.set()

    def is_set(self) -> bool:
        """Has the end been asked for?"""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise Stopped when the end has been asked for; called in every loop that lasts."""
        if self._stop.is_set():
            raise Stopped


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, or give up quietly when the other side is gone or does not read for 10 s."""
    deadline = time.monotonic() + 10
    try:
        os.set_blocking(descriptor, False)
        while data:
            if not select.select([], [descriptor], [], max(0.0, deadline - time.monotonic()))[1]:
                return
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                time.sleep(0.01)
            if time.monotonic() > deadline and len(data) <= 4096:
                return
    except OSError:
        return
    finally:
        try:
            os.set_blocking(descriptor, True)
        except OSError:
            pass


def ready(nonce: str) -> None:
    """Everything before this line, on both streams, is not ours."""
    marker = f"\nphpborg-remote {nonce} ready\n".encode()
    write_all(1, marker)
    write_all(2, marker)


def refuse(nonce: str, refusal: Refused) -> None:
    """Say why nothing was done."""
    facts = {"code": refusal.code, "message": refusal.message, "facts": refusal.facts}
    write_all(2, f"\nphpborg-remote {nonce} refused {json.dumps(facts)}\n".encode())


def finish(nonce: str, code: Optional[int], signal: Optional[int]) -> None:
    """The tool's own end; the launcher's exit status is another matter."""
    parts = ["-" if value is None else str(value) for value in (code, signal)]
    write_all(2, "\nphpborg-remote {} exit {} {}\n".format(nonce, *parts).encode())


def answer(value: Any) -> None:
    """The result of a verb that returns facts: one JSON line."""
    data = json.dumps(value).encode() + b"\n"
    while data:
        data = data[os.write(1, data[: 1 << 16]) :]


def raw(text: str) -> bytes:
    """A path from the request as the bytes that it stands for."""
    return text.encode("utf-8", "surrogateescape")


def shown(data: bytes) -> str:
    """The bytes of a path as text that JSON carries and that turns back into the same bytes."""
    return data.decode("utf-8", "surrogateescape")
