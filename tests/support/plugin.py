"""A volume plugin of Docker as its manual has it: a program at a socket that answers in JSON, here with directories."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

PLACE = Path("/run/docker/plugins")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    base: Path
    mounted: dict[str, set[str]]


class _Plugin(BaseHTTPRequestHandler):
    server: _Server

    def address_string(self) -> str:
        return "engine"

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        said = json.dumps(self._answer(self.path.rpartition(".")[2], asked)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _answer(self, order: str, asked: dict[str, Any]) -> dict[str, Any]:
        base, name = self.server.base, asked.get("Name", "")
        if order == "Activate":
            return {"Implements": ["VolumeDriver"]}
        if order == "Capabilities":
            return {"Capabilities": {"Scope": "local"}}
        if order == "Create":
            (base / name).mkdir(exist_ok=True)
        users = self.server.mounted.setdefault(name, set())
        if order == "Mount":
            users.add(asked["ID"])
        if order == "Unmount":
            users.discard(asked["ID"])
        if order == "List":
            return {"Volumes": [self._row(one) for one in sorted(base.iterdir())], "Err": ""}
        if order == "Get":
            there = (base / name).is_dir()
            return {"Volume": self._row(base / name), "Err": ""} if there else {"Err": "no such volume"}
        return {"Mountpoint": str(base / name), "Err": ""}

    def _row(self, path: Path) -> dict[str, Any]:
        return {"Name": path.name, "Mountpoint": str(path)}


@contextmanager
def plugin(name: str, base: Path) -> Iterator[dict[str, set[str]]]:
    """It answers for the length of a block; who has which volume mounted."""
    PLACE.mkdir(parents=True, exist_ok=True)
    socket = PLACE / f"{name}.sock"
    socket.unlink(missing_ok=True)
    with _Server(str(socket), _Plugin) as server:
        server.base, server.mounted = base, {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.mounted
        finally:
            server.shutdown()
            socket.unlink(missing_ok=True)
