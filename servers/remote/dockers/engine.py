"""Docker's HTTP interface over its socket, for what changes things: questions, orders, streams, programs in containers.

Every call waits so long that a slow engine is no failure, and can be ended at any moment (`check`, as in
`wire.Control.check`). What the engine itself says of an error is the text of the refusal; `facts["status"]` is its
number. The client for a mere look, with short patience, is probes/docker_api.py.
"""

import http.client
import json
import os
import select
import signal
import socket
import stat
import struct
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote, urlencode

from .. import wire
from ..probes import docker_said

# The newest that this program was written for; older engines are asked in their own version.
NEWEST = (1, 51)
_OLDEST = (1, 24)
_CONNECT_SECONDS = 8.0
_ANSWER_SECONDS = 120.0
_SILENT_SECONDS = 3600.0
_ANSWER_LIMIT = 256 << 20
_CHUNK = 1 << 17
_ERROR_LIMIT = 1 << 16
Check = Callable[[], None]


def check_socket(path: str) -> str:
    """An engine that root or nobody's account runs: another account's would be asked to be root for us."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise wire.Refused("docker-away", "{}: {}".format(path, error.strerror)) from None
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != 0:
        raise wire.Refused("unsafe", "{} is not the socket of an engine that root runs".format(path))
    return path


def part(name: str) -> str:
    """A name as one part of an address: nothing in it ends the part."""
    return quote(name, safe="", errors="surrogateescape")


class _Socket(socket.socket):
    """A unix socket that can be told to stop waiting, and that gives up after so many seconds of silence."""

    check: Optional[Check] = None
    patience = _ANSWER_SECONDS

    def _until(self, write: bool) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            if self.check is not None:
                self.check()
            if any(select.select([] if write else [self], [self] if write else [], [], 0.5)):
                return
            if time.monotonic() > deadline:
                raise socket.timeout("no word for {:g} s".format(self.patience))

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._until(write=False)
        return super().recv_into(*args, **kwargs)

    def sendall(self, data: Any, *args: Any) -> None:
        view = memoryview(data)
        while view:
            self._until(write=True)
            # There is room for something, but maybe not for all of it: the rest is not waited for in the kernel.
            with suppress(BlockingIOError):
                view = view[self.send(view[:_CHUNK], socket.MSG_DONTWAIT) :]


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket of this machine."""

    def __init__(self, path: str, check: Optional[Check]) -> None:
        super().__init__("localhost")
        self._path = path
        self._check = check
        self._made: Optional[_Socket] = None

    def connect(self) -> None:
        self.sock = self._made = made = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(_CONNECT_SECONDS)
        made.connect(self._path)
        # From now on it is waited for in `_Socket`.
        made.settimeout(None)
        made.check = self._check

    def wait(self, seconds: float) -> None:
        """So long may the other side be silent."""
        if self.sock is None:
            self.connect()
        assert self._made is not None
        self._made.patience = seconds

    def feed(self, data: bytes) -> None:
        """What the program at the other side reads, and its end."""
        assert self._made is not None
        # The answer has the socket by now; it lives as long as that is read.
        self._made.sendall(data)
        self._made.shutdown(socket.SHUT_WR)


class Engine:
    """An engine that answers at a socket of root's. Raises Refused "docker-away" when none does, "unsafe" when another
    account could answer there.

    `check` is called while it is waited for, and may raise to end the waiting.
    """

    def __init__(self, path: str, check: Optional[Check] = None) -> None:
        self.path = check_socket(path)
        self.check = check
        self._connection = _Connection(path, check)
        self._prefix = ""
        said = self.get("/version")
        self.version = str(said.get("Version") or "")
        self.api = _spoken(said)
        self._prefix = "/v{}.{}".format(*self.api)

    def get(self, path: str, seconds: float = _ANSWER_SECONDS, **query: Any) -> Any:
        """The answer to a question, as JSON says it. Raises Refused with the engine's words."""
        return self._ask("GET", path, None, seconds, query)

    def find(self, path: str, **query: Any) -> Any:
        """As `get`, but None when the engine says that there is no such thing."""
        try:
            return self.get(path, **query)
        except wire.Refused as refusal:
            if refusal.facts.get("status") == 404:
                return None
            raise

    def post(self, path: str, body: Any = None, seconds: float = _ANSWER_SECONDS, **query: Any) -> Any:
        """An order; answers what JSON the engine says, None for none (also when it was so already, 304)."""
        return self._ask("POST", path, body, seconds, query)

    def order(self, path: str, seconds: float = _ANSWER_SECONDS, **query: Any) -> bool:
        """An order without a body; False when it was so already."""
        self._ask("POST", path, None, seconds, query)
        return self._status != http.client.NOT_MODIFIED

    def delete(self, path: str, seconds: float = _ANSWER_SECONDS, **query: Any) -> bool:
        """Remove something; False when it is not there."""
        try:
            self._ask("DELETE", path, None, seconds, query)
        except wire.Refused as refusal:
            if refusal.facts.get("status") == 404:
                return False
            raise
        return True

    def container(self, name: str) -> Optional[Dict[str, Any]]:
        """What `inspect` says of a container by its name or id, without labels of its image; None for none."""
        found: Optional[Dict[str, Any]] = self.find("/containers/{}/json".format(part(name)))
        if found is None or not docker_said.asks_its_image(found):
            return found
        return docker_said.own_labels(found, self.find("/images/{}/json".format(part(str(found.get("Image"))))))

    def read(self, path: str, seconds: float = _SILENT_SECONDS, **query: Any) -> Iterator[bytes]:
        """The bytes of an answer as they come, such as an image being saved."""
        connection, response = self._open("GET", path, None, seconds, query)
        try:
            yield from _chunks(response)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from None
        finally:
            connection.close()

    def send(
        self, path: str, chunks: Iterable[bytes], kind: str = "application/x-tar", hear: Any = None, **query: Any
    ) -> List[Dict[str, Any]]:
        """Give the engine a stream, such as an image; answers its messages. Raises Refused with its error.

        `hear` is called with each message when it comes.
        """
        headers = {"Content-Type": kind, "Transfer-Encoding": "chunked"}
        connection, response = self._open("POST", path, chunks, _SILENT_SECONDS, query, headers)
        try:
            return [said for said in self._messages(response) if hear is None or hear(said) or True]
        finally:
            connection.close()

    def messages(self, path: str, body: Any = None, headers: Any = None, **query: Any) -> Iterator[Dict[str, Any]]:
        """The lines of JSON of an order that takes long, as they come. Raises Refused with the error that one tells."""
        data = None if body is None else json.dumps(body).encode()
        more = dict(headers or {}, **({} if data is None else {"Content-Type": "application/json"}))
        connection, response = self._open("POST", path, data, _SILENT_SECONDS, query, more)
        try:
            yield from self._messages(response)
        finally:
            connection.close()

    def execute(
        self,
        container: str,
        argv: Sequence[str],
        out: Callable[[bytes], Any],
        err: Callable[[bytes], Any],
        env: Optional[Mapping[str, Optional[str]]] = None,
        user: str = "",
        stdin: bytes = b"",
    ) -> int:
        """Run a program in a running container to its end; its exit status.

        Secrets go into `env` or `stdin`, never `argv`; what is None there is taken away from the container's own. When
        it is not waited for to its end, it is told to end.
        """
        asked = {"AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": list(argv), "User": user}
        asked["AttachStdin"] = bool(stdin)
        asked["Env"] = ["=".join(word for word in pair if word is not None) for pair in sorted((env or {}).items())]
        made = self.post("/containers/{}/exec".format(part(container)), asked)["Id"]
        headers = {"Content-Type": "application/json"}
        start = json.dumps({"Detach": False, "Tty": False}).encode()
        path = "/exec/{}/start".format(part(made))
        connection, response = self._open("POST", path, start, _SILENT_SECONDS, {}, headers)
        try:
            if stdin:
                connection.feed(stdin)
            for stream, data in _frames(response):
                (err if stream == 2 else out)(data)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from None
        except BaseException:
            self._end_program(container, made)
            raise
        finally:
            connection.close()
        return self._exit_status(made)

    def _end_program(self, container: str, made: str) -> None:
        """The engine lets it run on when nobody listens any more."""
        with suppress(wire.Refused, OSError):
            with Engine(self.path) as quiet:
                said = quiet.get("/exec/{}/json".format(part(made)))
            pid = said.get("Pid")
            if said.get("Running") and pid:
                with open("/proc/{}/cgroup".format(int(pid))) as file:
                    ours = str(said.get("ContainerID") or container) in file.read()
                if ours:
                    os.kill(int(pid), signal.SIGTERM)

    def _exit_status(self, made: str) -> int:
        """The engine notes the end of a program a moment after its streams have ended."""
        deadline = time.monotonic() + _CONNECT_SECONDS
        while True:
            said = self.get("/exec/{}/json".format(part(made)))
            if not said.get("Running") and said.get("ExitCode") is not None:
                return int(said["ExitCode"])
            if time.monotonic() > deadline:
                raise wire.Refused("engine", "the end of a program in a container was not told")
            time.sleep(0.05)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _ask(self, method: str, path: str, body: Any, seconds: float, query: Dict[str, Any]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", **({} if data is None else {"Content-Type": "application/json"})}
        try:
            self._connection.wait(seconds)
            self._connection.request(method, self._address(path, query), data, headers)
            response = self._connection.getresponse()
            self._status = response.status
            answer = response.read(_ANSWER_LIMIT)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise self._broken(error) from None
        except BaseException:
            self._connection.close()
            raise
        # 304: it was so already. A way elsewhere is none of ours.
        if response.status >= 300 and response.status != 304:
            raise _refusal(answer, response, path)
        try:
            return json.loads(answer.decode("utf-8", "surrogateescape")) if answer.strip() else None
        except ValueError:
            return None

    def _open(
        self, method: str, path: str, body: Any, seconds: float, query: Dict[str, Any], headers: Any = None
    ) -> Tuple[_Connection, http.client.HTTPResponse]:
        """A connection of its own for a stream, and the good answer on it."""
        connection = _Connection(self.path, self.check)
        try:
            connection.wait(seconds)
            try:
                connection.request(method, self._address(path, query), body, headers or {}, encode_chunked=True)
            except BrokenPipeError:
                pass  # the engine answers before it has read all: its words say why
            response = connection.getresponse()
            if response.status >= 300:
                raise _refusal(response.read(_ERROR_LIMIT), response, path)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._broken(error) from None
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _messages(self, response: http.client.HTTPResponse) -> Iterator[Dict[str, Any]]:
        try:
            for line in response:
                said = json.loads(line.decode("utf-8", "replace")) if line.strip() else {}
                if isinstance(said, dict) and said.get("error"):
                    raise wire.Refused("engine", str(said["error"]))
                if said:
                    yield said
        except ValueError:
            raise wire.Refused("engine", "the engine answered with something else than JSON") from None
        except (OSError, http.client.HTTPException) as error:
            raise self._broken(error) from None

    def _address(self, path: str, query: Dict[str, Any]) -> str:
        """With its query: tables are filters, written as JSON; what is None is not asked."""
        said = {key: _plain(value) for key, value in query.items() if value is not None}
        return self._prefix + path + ("?" + urlencode(said, errors="surrogateescape") if said else "")

    def _broken(self, error: BaseException) -> wire.Refused:
        return wire.Refused("docker-away", "{}: {}".format(self.path, error or type(error).__name__))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _refusal(answer: bytes, response: http.client.HTTPResponse, path: str) -> wire.Refused:
    try:
        said = json.loads(answer.decode("utf-8", "replace"))
        words = said.get("message") if isinstance(said, dict) else None
    except ValueError:
        words = None
    return wire.Refused("engine", str(words or response.reason or path), status=response.status)


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        chunk = response.read(_CHUNK)
        if not chunk:
            return
        yield chunk


def _frames(response: http.client.HTTPResponse) -> Iterator[Tuple[int, bytes]]:
    """(stream, bytes) of what a program without a terminal says; 1 is its output, 2 its errors."""
    while True:
        head = _exactly(response, 8)
        if not head:
            return
        stream, size = struct.unpack(">BxxxL", head)
        while size:
            data = _exactly(response, min(size, _CHUNK))
            size -= len(data)
            yield stream, data


def _exactly(response: http.client.HTTPResponse, size: int) -> bytes:
    """So many bytes; nothing at the end between frames. Raises HTTPException at an end within one."""
    data = b""
    while len(data) < size:
        more = response.read(size - len(data))
        if not more:
            if data or size != 8:
                raise http.client.IncompleteRead(data, size - len(data))
            return b""
        data += more
    return data


def _spoken(said: Dict[str, Any]) -> Tuple[int, int]:
    """The version to speak: the engine's own, unless it is newer than this program."""
    newest, oldest = _numbers(said.get("ApiVersion")) or NEWEST, _numbers(said.get("MinAPIVersion")) or _OLDEST
    if newest < _OLDEST:
        raise wire.Refused("engine", "this engine is too old: it speaks version {}.{}".format(*newest))
    return min(max(NEWEST, oldest), newest)


def _numbers(text: Any) -> Optional[Tuple[int, int]]:
    parts = str(text).split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 and all(word.isdigit() for word in parts) else None
