"""The closed set of tools whose output may become a file of an archive, each from checked values."""

import os
import pwd
import re
import socket
import struct
from typing import Any, Callable, Dict, List

from . import children, policy, validate, wire
from .streams import MOST_STREAMS, Producer, Stream

_MAJOR = re.compile(r"[0-9]{1,2}(?:\.[0-9])?")
_NAME_BYTES = 200


def streams(value: Any) -> List[Stream]:
    """The streams that a request asks for: [{"name", "producer", …}], names unique. Raises Refused."""
    policy.check_databases()
    if not isinstance(value, list) or not 0 < len(value) <= MOST_STREAMS:
        raise wire.Refused("invalid", "streams must be a list of 1 to {}".format(MOST_STREAMS))
    found = []
    for row in value:
        if not isinstance(row, dict):
            raise wire.Refused("invalid", "a stream must be a table")
        kind = validate.choice(row.get("producer"), "producer", sorted(_PRODUCERS))
        name = validate.relative(row.get("name"), "stream name")
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            # Borg 1.x writes its command line into the archive and cannot write this one.
            raise wire.Refused("invalid", "a stream's name must be UTF-8") from None
        if any(len(part) > _NAME_BYTES for part in name.split(b"/")):
            raise wire.Refused("invalid", "a part of this stream's name is too long: {!r}".format(row.get("name")))
        found.append(Stream(name, _PRODUCERS[kind](row)))
    if len({stream.name for stream in found}) != len(found):
        raise wire.Refused("invalid", "two streams have one name")
    return found


def _postgresql(row: Dict[str, Any], program: str) -> List[str]:
    """The program of the server's own major version, and how it reaches the cluster: by its socket, as its owner."""
    major = validate.text(row.get("major"), "major", _MAJOR)
    path = os.path.join("/usr/lib/postgresql", major, "bin", program)
    if not os.access(path, os.X_OK):
        path = children.find(program) or ""
    if not path:
        raise wire.Refused("missing", "{} is not installed (PostgreSQL {})".format(program, major))
    socket = wire.shown(validate.absolute(row.get("socket"), "socket"))
    port = validate.number(row.get("port"), "port", 1, 65535)
    return [path, "--no-password", "--host=" + socket, "--port={}".format(port)]


def _owner(row: Dict[str, Any]) -> str:
    """The account of the server, which must be who answers at its socket: anybody may name a socket."""
    owner = validate.text(row.get("owner"), "owner", validate.ACCOUNT)
    path = "{}/.s.PGSQL.{}".format(row.get("socket"), row.get("port"))
    try:
        account = pwd.getpwnam(owner)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(wire.raw(path))
            _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except KeyError:
        raise wire.Refused("missing", "there is no account {}".format(owner)) from None
    except OSError as error:
        raise wire.Refused("stream", "{} does not answer: {}".format(path, error.strerror or error)) from None
    if account.pw_uid == 0 or uid != account.pw_uid:
        raise wire.Refused("unsafe", "the server at {} is not the account {}".format(path, owner))
    return owner


def _pg_dump(row: Dict[str, Any]) -> Producer:
    """One database as SQL. A name is given as a connection string: one with `=` in it would be taken for one."""
    database = validate.text(row.get("database"), "database", limit=63)
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    words = ["--create", "--clean", "--if-exists", "--encoding=UTF8", "--dbname=dbname='{}'".format(quoted)]
    argv = [*_postgresql(row, "pg_dump"), *words]
    return Producer(argv, _owner(row), _POSTGRESQL, b"-- PostgreSQL database dump complete", database)


def _pg_globals(row: Dict[str, Any]) -> Producer:
    """Roles with their passwords, tablespaces, and settings of both."""
    argv = [*_postgresql(row, "pg_dumpall"), "--globals-only", "--database=postgres"]
    return Producer(argv, _owner(row), _POSTGRESQL, b"-- PostgreSQL database cluster dump complete", "globals")


def base_backup(row: Dict[str, Any]) -> Producer:
    """A whole cluster with the WAL that it needs, as one tar: possible as long as it has one tablespace."""
    policy.check_databases()
    label = "--label=phpborg-" + validate.token(row.get("token"))
    options = ["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", label]
    argv = [*_postgresql(row, "pg_basebackup"), *options]
    return Producer(argv, _owner(row), _POSTGRESQL, what="base backup")


_POSTGRESQL = {"PGCONNECT_TIMEOUT": "20", "PGAPPNAME": "phpborg", "PGPASSFILE": os.devnull}

_PRODUCERS: Dict[str, Callable[[Dict[str, Any]], Producer]] = {"pg_dump": _pg_dump, "pg_globals": _pg_globals}
