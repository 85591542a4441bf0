"""How a person reaches a database that runs out of an archive: lines to copy, never with its password."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from recovery.engines.base import Product
from recovery.models import Session
from servers.models import Server


@dataclass(frozen=True)
class Connection:
    """A client's command line, the same as an address, and the way there when it is on another server."""

    command: str
    address: str
    tunnel: str = ""


def connection_of(session: Session) -> Connection | None:
    """None while it has no port."""
    if session.port is None:
        return None
    host, port, login = session.address, str(session.port), session.login
    if session.product == Product.POSTGRESQL:
        words = ["psql", "-h", host, "-p", port, "-U", login, "postgres"]
        address = f"postgresql://{login}@{host}:{port}/postgres"
    elif session.product in (Product.MYSQL, Product.MARIADB):
        words = ["mysql", "-h", host, "-P", port, "-u", login, "-p"]
        address = f"mysql://{login}@{host}:{port}/"
    elif session.product == Product.MONGODB:
        words = ["mongosh", "--host", host, "--port", port, "--username", login]
        words += ["--authenticationDatabase", "admin"]
        address = f"mongodb://{login}@{host}:{port}/?authSource=admin"
    else:
        address = f"http://{host}:{port}/"
        words = ["curl", "--user", login, address]
    return Connection(shlex.join(words), address, _tunnel(session))


def _tunnel(session: Session) -> str:
    """The port listens on the loopback of the server where it runs: from elsewhere ssh carries it."""
    server = session.server
    if server is None or server.kind == Server.Kind.LOCAL:
        return ""
    forward = f"{session.port}:{session.address}:{session.port}"
    there = ["-p", str(server.port), f"{server.user}@{server.address}"]
    return shlex.join(["ssh", "-N", "-L", forward, *there])
