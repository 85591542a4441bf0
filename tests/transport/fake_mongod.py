"""A fake of MongoDB's server for `fsyncLock` (no real one can be had here): what it is asked, and who holds it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socketserver
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from servers.remote.probes import mongodb

ROUNDS = 15000


@dataclass
class Told:
    """The conversation of one sign-in."""

    mechanism: str = ""
    messages: list[str] = field(default_factory=list)


class FakeMongod(socketserver.ThreadingTCPServer):
    """It answers in MongoDB's wire protocol. `locks` is how often it is locked."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        user: str = "",
        password: bytes = b"",
        mechanisms: tuple[str, ...] = (),
        address: Any = ("127.0.0.1", 0),
    ) -> None:
        super().__init__(address, _Connection)
        self.user, self.password, self.mechanisms = user, password, mechanisms
        self.commands: list[str] = []
        self.locks = 0
        self.lock_seconds = 0.0
        self.hello: dict[str, Any] = {}
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def where(self) -> dict[str, object]:
        """As a request names it."""
        return {"engine": "mongodb", "address": "127.0.0.1", "port": self.server_address[1]}

    def carry_out(self, name: str, document: dict[str, Any], told: Told, signed_in: bool) -> dict[str, Any]:
        """The answer to one command."""
        self.commands.append(name)
        if name in ("isMaster", "hello"):
            return dict(self.hello, **({"saslSupportedMechs": list(self.mechanisms)} if self.mechanisms else {}))
        if name in ("saslStart", "saslContinue"):
            return self._sign_in(name, document, told)
        if self.user and not signed_in:
            return {"ok": 0.0, "errmsg": f"command {name} requires authentication", "code": 13}
        if name == "currentOp":
            return {"inprog": [], **({"fsyncLock": True} if self.locks else {})}
        if name == "fsync":
            time.sleep(self.lock_seconds)
            self.locks += 1
            return {"lockCount": self.locks}
        if name == "fsyncUnlock":
            if not self.locks:
                return {"ok": 0.0, "errmsg": "fsyncUnlock called when not locked", "code": 125}
            self.locks -= 1
            return {"lockCount": self.locks}
        return {"ok": 0.0, "errmsg": f"no such command: {name}", "code": 59}

    def _sign_in(self, name: str, document: dict[str, Any], told: Told) -> dict[str, Any]:
        """The server's side of RFC 5802, with what the client proves looked at."""
        text = document["payload"].decode()
        if name == "saslStart":
            told.mechanism = document["mechanism"]
            nonce = text.rpartition("r=")[2] + base64.b64encode(os.urandom(9)).decode()
            first = f"r={nonce},s={base64.b64encode(b'salt' * 4).decode()},i={ROUNDS}"
            told.messages = [text.removeprefix("n,,"), first]
            return {"conversationId": 1, "done": False, "payload": first.encode()}
        if not text:
            return {"conversationId": 1, "done": True, "payload": b""}
        kind = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}[told.mechanism]
        bare, _, proof = text.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(kind, self.password, b"salt" * 4, ROUNDS)
        whole = ",".join([*told.messages, bare]).encode()
        key = hmac.digest(salted, b"Client Key", kind)
        signature = hmac.digest(hashlib.new(kind, key).digest(), whole, kind)
        expected = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        if base64.b64decode(proof) != expected or f"n={self.user}," not in told.messages[0]:
            return {"ok": 0.0, "errmsg": "Authentication failed.", "code": 18}
        mark = hmac.digest(hmac.digest(salted, b"Server Key", kind), whole, kind)
        told.mechanism = ""
        return {"conversationId": 1, "done": False, "payload": b"v=" + base64.b64encode(mark)}


class _Connection(socketserver.BaseRequestHandler):
    server: FakeMongod

    def handle(self) -> None:
        told, signed_in = Told(), False
        while header := self._bytes(16):
            size, number, _, _ = struct.unpack("<iiii", header)
            document = mongodb.body(self._bytes(size - 16))
            name = next(iter(document))
            answer = {"ok": 1.0, **self.server.carry_out(name, document, told, signed_in)}
            signed_in = signed_in or (name == "saslContinue" and answer["ok"] == 1.0)
            try:
                self.request.sendall(mongodb.message(number, answer))
            except OSError:
                return

    def _bytes(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                chunk = self.request.recv(size - len(data))
            except OSError:
                return b""
            if not chunk:
                return b""
            data += chunk
        return data
