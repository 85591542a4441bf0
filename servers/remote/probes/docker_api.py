"""Docker's HTTP interface over its socket: a few questions on one connection."""

import http.client
import json
import socket
from typing import Any, Dict, Optional, Tuple
from urllib.parse import quote

# What this program was written for; an engine that is too old or too new for it gets its own.
WANTED = (1, 41)
_ANSWER_LIMIT = 32 << 20
_SECONDS = 8.0


class Failed(Exception):
    """The engine did not answer, or answered with an error; the text is for people."""

    def __init__(self, message: str, status: Optional[int] = None) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket of this machine."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


class Engine:
    """An engine that answers at a socket. Raises Failed when none does."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection = _Connection(path)
        self._prefix = ""
        said = self.get("/version")
        self.version = said.get("Version")
        self.api_version = api_version(said)
        self._prefix = "/v" + self.api_version

    def get(self, path: str) -> Any:
        """The answer to a question, as JSON says it."""
        try:
            self._connection.request("GET", self._prefix + path, headers={"Accept": "application/json"})
            response = self._connection.getresponse()
            data = response.read(_ANSWER_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Failed("{}: {}".format(self.path, error or type(error).__name__)) from None
        try:
            said = json.loads(data.decode("utf-8", "replace"))
        except ValueError:
            self._connection.close()
            raise Failed("{} answers {} with something else than JSON".format(self.path, path)) from None
        if response.status != 200:
            words = said.get("message") if isinstance(said, dict) else None
            raise Failed("{} ({} {})".format(words or response.reason, path, response.status), response.status)
        return said

    def inspect(self, container: str) -> Any:
        """One container with all that it is made of."""
        return self.get("/containers/{}/json".format(quote(container, safe="")))

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def api_version(said: Dict[str, Any]) -> str:
    """The version to speak: ours, unless the engine is older than it or no longer knows it."""
    newest = _numbers(said.get("ApiVersion")) or WANTED
    oldest = _numbers(said.get("MinAPIVersion")) or (1, 12)
    chosen = min(max(WANTED, oldest), newest)
    return "{}.{}".format(*chosen)


def _numbers(text: Any) -> Optional[Tuple[int, int]]:
    parts = str(text).split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(part.isdigit() for part in parts) else None
