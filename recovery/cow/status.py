"""How a serving process is: one JSON line from the socket `status.sock` in its upper directory."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

_NAME = "status.sock"


@contextlib.contextmanager
def _short(upper: bytes) -> Any:
    """A path of the socket that is never too long for an address."""
    folder = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{_NAME}"
    finally:
        os.close(folder)


def status(upper: bytes, timeout: float = 5.0) -> dict[str, int]:
    """Figures of the process that serves `upper`; OSError when none does."""
    with socket.socket(socket.AF_UNIX) as client, _short(upper) as path:
        client.settimeout(timeout)
        client.connect(path)
        with client.makefile("rb") as answer:
            found: dict[str, int] = json.loads(answer.readline() or b"{}")
            return found


class Answering:
    """For the length of a block: answers every connection with the figures, in a thread of its own."""

    def __init__(self, upper: bytes, figures: Callable[[], dict[str, int]]) -> None:
        self._upper, self._figures = upper, figures
        self._socket = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Answering:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._upper, _NAME.encode()))
        with _short(self._upper) as path:
            self._socket.bind(path)
        os.chmod(os.path.join(self._upper, _NAME.encode()), 0o600)
        self._socket.listen(8)
        threading.Thread(target=self._answer, name="status", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._upper, _NAME.encode()))

    def _answer(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.settimeout(5)
                client.sendall(json.dumps(self._figures()).encode() + b"\n")
