"""HTTP to a server in its container: one question of ours, and what passes its port on to people.

A search engine in a network of its own asks nobody who he is. So each request of a person must carry the session's
login here, and in a session that is read-only only what reads is let through: the server's own block refuses every
write too, but whoever may change settings could lift it.
"""

import base64
import hmac
import http.client
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple, Optional, Tuple
from urllib.parse import unquote

_CHUNK = 1 << 16
_ANSWER_BYTES = 1 << 20
_MOST_BODY = 100 << 20  # the servers' own limit
_PASSED = ("Content-Type", "Accept", "Accept-Encoding")
_RETURNED = ("Content-Type", "Content-Encoding", "X-elastic-product", "Warning")
# What may be posted, with or without the names of indices before it. Nothing else that begins so is let through: a
# name of one segment more is a document's or a repository's.
_QUERIES = {
    ("_search",),
    ("_msearch",),
    ("_count",),
    ("_mget",),
    ("_field_caps",),
    ("_validate", "query"),
    ("_search", "template"),
    ("_msearch", "template"),
}
_WITHOUT_INDEX = {("_search", "scroll"), ("_sql",), ("_sql", "translate"), ("_plugins", "_sql"), ("_analyze",)}
# Reached by GET as well, and no reading.
_NOT_READING = ("_refresh", "_flush", "_forcemerge", "_upgrade", "_open", "_close")


class Query(NamedTuple):
    """A request of ours, and what its answer must hold (None: any answer of success)."""

    method: str
    path: str
    body: bytes
    holds: Optional[bytes]


def ask(end: socket.socket, query: Query, seconds: float) -> Tuple[bool, str]:
    """Was it answered as it must be, and the beginning of the answer. The connection is used up. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1")
    end.settimeout(seconds)
    connection.sock = end
    try:
        headers = {"Content-Type": "application/json"} if query.body else {}
        connection.request(query.method, query.path, query.body or None, headers)
        response = connection.getresponse()
        said = response.read(_ANSWER_BYTES)
    except http.client.HTTPException as error:
        raise OSError("no answer of HTTP: {!r}".format(error)) from None
    finally:
        connection.close()
    good = response.status < 300 and (query.holds is None or query.holds in said)
    return good, "{} {}".format(response.status, said.decode("utf-8", "replace"))


def reads(method: str, target: str) -> bool:
    """Is this a request that changes nothing, by its method and path alone?"""
    path = unquote(target.partition("?")[0])
    parts = tuple(path.split("/")[1:])
    if method in ("GET", "HEAD"):
        return not any(part in _NOT_READING for part in parts)
    if "" in parts or "." in parts or ".." in parts:
        return False
    if method == "DELETE":
        return parts == ("_search", "scroll")
    if method != "POST":
        return False
    if parts in _QUERIES or parts in _WITHOUT_INDEX:
        return True
    # A name that begins with a low line is never an index.
    return parts[1:] in _QUERIES and not parts[0].startswith("_")


class Door:
    """Who may pass, and what."""

    def __init__(self, name: str, password: bytes, read_only: bool) -> None:
        pair = name.encode("utf-8") + b":" + password
        self._expected = b"Basic " + base64.b64encode(pair)
        self.read_only = read_only

    def knows(self, header: Optional[str]) -> bool:
        """Is this the session's login?"""
        return hmac.compare_digest((header or "").encode("utf-8", "surrogateescape"), self._expected)

    def carry(self, client: socket.socket, server: socket.socket) -> None:
        """All requests of one connection, to its end."""
        try:
            _Passing(client, self, server)
        except (OSError, http.client.HTTPException):
            pass  # either side went away: so does the connection


class _Passing(BaseHTTPRequestHandler):
    """Requests are read here and written anew, so nothing that is read in two ways passes."""

    protocol_version = "HTTP/1.1"

    def __init__(self, client: socket.socket, door: Door, server: socket.socket) -> None:
        self._door = door
        self._upstream = http.client.HTTPConnection("127.0.0.1")
        self._upstream.sock = server
        self._upstream.auto_open = 0
        super().__init__(client, ("", 0), door)  # type: ignore[arg-type]

    def version_string(self) -> str:
        """Of the header Server."""
        return "phpborg"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses and queries are nobody's business."""

    def _pass(self) -> None:
        length = self._length()
        if length is None:
            self._refuse(411, "Content-Length is needed, at most {} bytes.".format(_MOST_BODY))
        elif not self._door.knows(self.headers.get("Authorization")):
            self._refuse(401, "The name and the password of the session are needed.")
        elif not self.path.startswith("/") or self.path.startswith("//"):
            self._refuse(400, "The path is not one.")
        elif self._door.read_only and not reads(self.command, self.path):
            self._refuse(403, "This session is read-only: requests that write are not let through.")
        else:
            self._forward(length)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _pass

    def _length(self) -> Optional[int]:
        """Of the body; None when it is not told in exactly one way."""
        told = self.headers.get_all("Content-Length", [])
        if not told and "Transfer-Encoding" not in self.headers:
            return 0
        good = len(told) == 1 and told[0].isdecimal() and "Transfer-Encoding" not in self.headers
        return int(told[0]) if good and len(told[0]) < 12 and int(told[0]) <= _MOST_BODY else None

    def _refuse(self, status: int, text: str) -> None:
        """Its body may be unread, so the connection ends."""
        data = '{{"error":{{"type":"phpborg","reason":"{}"}},"status":{}}}\n'.format(text, status).encode()
        self.close_connection = True
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="phpborg"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data)

    def _forward(self, length: int) -> None:
        self._upstream.putrequest(self.command, self.path, skip_accept_encoding=True)
        for name in _PASSED:
            if name in self.headers:
                self._upstream.putheader(name, self.headers[name])
        if length or self.command in ("POST", "PUT", "PATCH"):
            self._upstream.putheader("Content-Length", str(length))
        self._upstream.endheaders()
        while length:
            data = self.rfile.read(min(_CHUNK, length))
            if not data:
                raise OSError("the request ended early")
            self._upstream.send(data)
            length -= len(data)
        self._answer(self._upstream.getresponse())

    def _answer(self, response: http.client.HTTPResponse) -> None:
        self.send_response(response.status, response.reason)
        for name in _RETURNED:
            for value in response.headers.get_all(name, []):
                self.send_header(name, value)
        told = response.headers.get("Content-Length")
        whole = self.command == "HEAD" or response.status in (204, 304)
        chunked = told is None and not whole and self.request_version != "HTTP/1.0"
        if told is not None:
            self.send_header("Content-Length", told)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if response.will_close or self.request_version == "HTTP/1.0":
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        while True:
            data = b"" if whole else response.read(_CHUNK)
            if chunked:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            elif data:
                self.wfile.write(data)
            if not data:
                break
        response.close()
