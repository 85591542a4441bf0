"""A stream into a program in a container: who cancels is heard whatever the program is doing meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers.engine import Engine
from servers.remote.dockers.pouring import pour

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"


class FakeEngine(Engine):
    """An engine whose one program takes so many bytes of what it is given, and is then busy for good."""

    def __init__(self, directory: Path, control: wire.Control, takes: int) -> None:
        self.path, self.check, self._prefix = str(directory / "engine.sock"), control.check, ""
        self.ended: list[str] = []
        self._takes, self._over = takes, threading.Event()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen(1)
        threading.Thread(target=self._program, daemon=True).start()

    def _program(self) -> None:
        with self._listening.accept()[0] as made:
            made.recv(65536)
            made.sendall(ANSWER)
            taken = 0
            while taken < self._takes and (data := made.recv(65536)):
                taken += len(data)
            self._over.wait(60)

    def post(self, path: str, body: Any = None, seconds: float = 0, **query: Any) -> Any:
        return {"Id": "program"}

    def _end_program(self, container: str, made: str) -> None:
        self.ended.append(made)

    def close(self) -> None:
        self._over.set()
        self._listening.close()


def much() -> Iterator[bytes]:
    """More than any socket holds."""
    for _ in range(100):
        yield b"-" * (1 << 18)


@pytest.mark.parametrize(("chunks", "takes"), [(much, 1 << 18), (lambda: [b"SELECT pg_sleep(1e9);\n"], 1 << 30)])
@pytest.mark.parametrize("buffer", [None, 4096])
def test_a_cancel_is_heard_while_the_program_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: Any, takes: int, buffer: int | None
) -> None:
    control, raised = wire.Control(60), []
    connect = socket.socket.connect

    # Its buffer holds less than the kernel takes at once; how much it holds is the machine's choice.
    def narrow(made: socket.socket, address: Any) -> None:
        connect(made, address)
        if buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)

    monkeypatch.setattr("servers.remote.dockers.engine._Socket.connect", narrow, raising=False)
    engine = FakeEngine(tmp_path, control, takes)

    def work() -> None:
        try:
            pour(engine, "db", ["psql"], chunks(), len, len, {})
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    time.sleep(1)
    assert thread.is_alive()
    control.stop()
    thread.join(3)
    with suppress(OSError):
        engine.close()
    assert [type(one) for one in raised] == [wire.Stopped]
    assert engine.ended == ["program"]
