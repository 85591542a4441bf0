"""A mail server for tests: a few lines of SMTP on 127.0.0.1 that keep what they are given."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest


class MailSink:
    """Takes letters; `answers` maps a command (as MAIL, RCPT, DATA) to a refusal; `is_silent` never says a word."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        self.is_silent = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb", buffering=0) as stream:
            if self.is_silent:
                connection.recv(1)
                return
            stream.write(b"220 sink\r\n")
            while line := stream.readline():
                word = line.split(None, 1)[0].decode().upper() if line.strip() else ""
                refusal = self.answers.get(word)
                if refusal:
                    stream.write(refusal.encode() + b"\r\n")
                elif word == "DATA":
                    stream.write(b"354 go on\r\n")
                    self.letters.append(self._letter(stream))
                    stream.write(b"250 kept\r\n")
                elif word == "QUIT":
                    stream.write(b"221 bye\r\n")
                    return
                else:
                    stream.write(b"250 ok\r\n")

    @staticmethod
    def _letter(stream: object) -> EmailMessage:
        lines = []
        while (line := stream.readline()) != b".\r\n":  # type: ignore[attr-defined]
            lines.append(line[1:] if line.startswith(b"..") else line)
        return message_from_bytes(b"".join(lines), policy=policy.default)  # type: ignore[return-value]


@pytest.fixture
def mail_sink() -> Iterator[MailSink]:
    """A mail server that keeps what it is given."""
    sink = MailSink()
    yield sink
    sink.close()
