"""A node of Elasticsearch or OpenSearch, asked over HTTP; what it refuses is told in its own words.

Only a node of this machine is asked. On loopback its certificate is not looked at (nobody stands between, and the
one that version 8 makes for itself is known to nobody); on another address the system's authorities must know it.
"""

import json
import re
import socket
import ssl
from http import client
from typing import Any, Dict, List, Optional
from urllib.parse import urlsplit

from .. import nearby, validate, wire
from ..probes.elasticsearch import Answer, Node

ANSWER_SECONDS = 60.0
# To end a snapshot that is being made, and to delete one, takes the node as long as its disk needs.
REMOVE_SECONDS = 600.0
_URL = re.compile(r"https?://(?:[0-9.]{7,15}|localhost|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}/?")
_ANSWER_LIMIT = 64 << 20


class _Node(Node):
    """With every kind of question."""

    def ask(self, method: str, path: str, body: Any) -> Answer:
        """Raises OSError and client.HTTPException. A text that is no JSON is a value of its own."""
        connection = self._connection()
        try:
            headers = dict({"Accept": "application/json"}, **self._authorization())
            data = None
            if body is not None:
                data = json.dumps(body).encode("utf-8")
                headers["Content-Type"] = "application/json"
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read(_ANSWER_LIMIT).decode("utf-8", "replace")
            try:
                return Answer(response.status, json.loads(text))
            except ValueError:
                return Answer(response.status, text)
        finally:
            connection.close()


class Unreachable(wire.Refused):
    """The node does not answer, or who answers there is not shown the login."""


class Api:
    """One node. A question that finds nothing (404) is answered with None."""

    def __init__(self, args: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        parts = urlsplit(validate.text(args.get("url"), "url", _URL, 100))
        self.address = nearby.own_address(parts.hostname, "url")
        self.port = validate.number(parts.port, "port of the url", 1, 65535)
        self._encrypted = parts.scheme == "https"
        self._login = _login(args.get("login"), secrets)

    @property
    def url(self) -> str:
        """Without a login."""
        return self._node(0).url

    def get(self, path: str) -> Any:
        """Raises Unreachable and Refused."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: Any = None, seconds: float = ANSWER_SECONDS) -> Any:
        """The JSON value of an answer of status 200; None for 404. Raises Unreachable, and Refused with its words."""
        self._check_listener()
        try:
            answer = self._node(seconds).ask(method, path, body)
        except socket.timeout:
            text = "the node at {} does not answer within {:g} s ({} {})".format(self.url, seconds, method, path)
            raise Unreachable("snapshot", text) from None
        except ssl.SSLError as error:
            text = (
                "the certificate of the node at {} is not one that this machine knows ({}): add its authority to the "
            )
            text += "system's, or let the node listen on 127.0.0.1 too"
            raise Unreachable("snapshot", text.format(self.url, error.reason or error)) from None
        except (OSError, client.HTTPException) as error:
            text = "the node at {} does not answer: {}".format(self.url, error)
            raise Unreachable("snapshot", text) from None
        if answer.status == 404:
            return None
        if not 200 <= answer.status < 300:
            raise wire.Refused("snapshot", "{} {}: {}".format(method, path, words(answer)))
        return answer.value

    def _check_listener(self) -> None:
        if self._login is not None:
            try:
                nearby.check_listener("elasticsearch", self.address, self.port)
            except wire.Refused as refusal:
                raise Unreachable(refusal.code, refusal.message) from None

    def _node(self, seconds: float) -> _Node:
        node = _Node(self.address, self.port, self._encrypted, seconds)
        node.login = self._login
        return node


def _login(value: Any, secrets: Dict[str, Any]) -> Optional[Dict[str, str]]:
    login = value if isinstance(value, dict) else {}
    if validate.choice(login.get("method"), "login method", ["none", "given"]) == "none":
        return None
    user = validate.text(login.get("user"), "user", limit=1024)
    return {"user": user, "password": validate.text(secrets.get("database"), "password", limit=1 << 14)}


def words(answer: Answer) -> str:
    """Why the node refused, in its own words: the innermost causes say most."""
    error = answer.value.get("error") if isinstance(answer.value, dict) else None
    said: List[str] = []
    while isinstance(error, dict):
        said.append(": ".join(str(error[name]) for name in ("type", "reason") if error.get(name)))
        error = error.get("caused_by")
    if isinstance(error, str):
        said.append(error)
    return "status {}: {}".format(answer.status, "; ".join(said)[:1500] or "it said nothing")
