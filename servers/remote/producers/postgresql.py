"""What PostgreSQL's own tools print (dumps of databases, roles and tablespaces, base backups), and whole clusters."""

import os
import pwd
import re
import socket
import struct
import subprocess
from functools import partial
from typing import Any, Dict, List, NamedTuple, Sequence

from .. import children, memory, validate, wire
from ..loaders import postgresql_sql
from ..probes import databases
from ..streams import Producer
from . import pg_backup as copying

_MAJOR = re.compile(r"[0-9]{1,2}(?:\.[0-9])?")
_VERSION = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_PLACES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")
_VERSION_SECONDS = 20
_NEWEST_MAJOR = 40
# A superuser asks in databases of others: their owners can set a search_path for everybody there, and what is found on
# it first (a function, an operator) would run with the superuser's rights. What a dump says of it comes after this.
_ENVIRONMENT = {"PGCONNECT_TIMEOUT": "20", "PGAPPNAME": "phpborg", "PGOPTIONS": "-c search_path=pg_catalog"}


class Access(NamedTuple):
    """How a tool reaches the server: as its owner by its socket; a given login's password is in a descriptor."""

    major: str
    owner: str
    words: List[str]
    env: Dict[str, str]
    fds: Sequence[int]

    def argv(self, program: str, any_version: bool = False) -> List[str]:
        """The program and how it gets in; `any_version`: an older one does, too."""
        return [_program(program, self, any_version), "--no-password", *self.words]

    def producer(self, argv: List[str], what: str, trailer: bytes = b"") -> Producer:
        """A tool that gets in this way."""
        return Producer(argv, self.owner, self.env, trailer, what, self.fds)


def access(row: Dict[str, Any], secrets: Dict[str, Any]) -> Access:
    """From a row of a request. Raises Refused when the server does not answer or is not its owner's."""
    major = validate.text(row.get("major"), "major", _MAJOR)
    place = wire.shown(validate.absolute(row.get("socket"), "socket"))
    port = validate.number(row.get("port"), "port", 1, 65535)
    given = row.get("user") is not None
    owner = _owner(row, given)
    words = ["--host=" + place, "--port={}".format(port)]
    if given:
        words.append("--username=" + validate.text(row["user"], "user", limit=63))
    # Without a given login an empty one: the account's own ~/.pgpass is none of ours.
    descriptor = memory.secret(_password_file(secrets) if given else b"", owner)
    return Access(major, owner, words, dict(_ENVIRONMENT, PGPASSFILE=memory.path_of(descriptor)), (descriptor,))


def _password_file(secrets: Dict[str, Any]) -> bytes:
    """For whichever server asks, for it is asked by its socket."""
    password = validate.text(secrets.get("database"), "the database's password", limit=1 << 12)
    if "\n" in password or "\r" in password:
        raise wire.Refused("invalid", "PostgreSQL's tools cannot read a password with a line end in it")
    return memory.password_file(password)


def _program(name: str, way: Access, any_version: bool = False) -> str:
    """The program of the server's own major version, else a newer one, which knows older servers. Raises Refused."""
    for place in _PLACES:
        path = os.path.join(place.format(way.major), name)
        if os.access(path, os.X_OK):
            return path
    found = children.find(name)
    if found is None:
        raise wire.Refused("missing", "{} is not installed (PostgreSQL {})".format(name, way.major))
    version = _version_of(found, way.owner)
    if not any_version and _ordered(version) < _ordered(way.major):
        text = "{} is of version {}, the server of version {}: install the client programs of version {}"
        raise wire.Refused("missing", text.format(name, version, way.major, way.major))
    return found


def _version_of(path: str, owner: str) -> str:
    """As in `pg_dump (PostgreSQL) 15.8`; "0" when it does not say."""
    child = children.start([path, "--version"], owner, {}, subprocess.DEVNULL)
    try:
        out, _ = child.communicate(timeout=_VERSION_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        out, _ = child.communicate()
    finally:
        children.forget(child.pid)
    match = _VERSION.search(out.decode("utf-8", "replace"))
    return match.group(0) if match else "0"


def _ordered(version: str) -> List[int]:
    """Majors in their order: 9.6 and 10 and 15 (whose second number is none of a major)."""
    first, second = (int(number or 0) for number in _VERSION.findall(version)[0])
    return [first, second if first < 10 else 0]


def _owner(row: Dict[str, Any], given: bool) -> str:
    """The account of the server, which must be who answers at its socket: anybody may name a socket.

    `given`: it is to see a password, so it must be an account that PostgreSQL has where packages install it.
    """
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
    if given and not databases.trusted("postgresql", uid):
        text = "the server at {} is the account {}, which no package of PostgreSQL has: it is shown no login"
        raise wire.Refused("unsafe", text.format(path, owner))
    return owner


def pg_dump(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """One database as SQL. A name is given as a connection string: one with `=` in it would be taken for one."""
    database = validate.text(row.get("database"), "database", limit=63)
    # Without --create: what names its database cannot be loaded under another name, nor beside the one that is there.
    words = ["--encoding=UTF8", "--dbname=" + postgresql_sql.connection(database)]
    way = access(row, secrets)
    return way.producer([*way.argv("pg_dump"), *words], database, b"-- PostgreSQL database dump complete")


def pg_properties(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """What a database is apart from what is in it (owner, encoding, rights, settings), as one line of JSON."""
    database = validate.text(row.get("database"), "database", limit=63)
    question = postgresql_sql.PROPERTIES + "pg_catalog.current_database();"
    words = ["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", "--no-align", "--tuples-only", "--command=" + question]
    way = access(row, secrets)
    argv = [*way.argv("psql", any_version=True), *words, "--dbname=" + postgresql_sql.connection(database)]
    return way.producer(argv, database + " (properties)", b"}\n")


def client(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """The psql that a restore feeds, as yet without a database: see loaders/postgresql.py."""
    way = access(row, secrets)
    return way.producer([_newest_psql(way), *way.argv("psql", any_version=True)[1:]], "psql")


def _newest_psql(way: Access) -> str:
    """It knows older servers, and what a dump must not do (loaders/postgresql_restricted.py). Raises Refused."""
    found = [place.format(major) + "/psql" for major in range(_NEWEST_MAJOR, 9, -1) for place in _PLACES]
    return next((path for path in found if os.access(path, os.X_OK)), None) or way.argv("psql", any_version=True)[0]


def pg_globals(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """Roles with their passwords, tablespaces, and settings of both."""
    way = access(row, secrets)
    argv = [*way.argv("pg_dumpall"), "--globals-only", "--database=postgres"]
    return way.producer(argv, "globals", b"-- PostgreSQL database cluster dump complete")


def pg_basebackup(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """A whole cluster with the WAL that it needs, as one tar: possible as long as it has one tablespace."""
    label = "--label=phpborg-" + validate.token(row.get("token"))
    options = ["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", label]
    way = access(row, secrets)
    return way.producer([*way.argv("pg_basebackup"), *options], "base backup")


def pg_backup(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """A whole cluster with its tablespaces, members at their own absolute places: see pg_backup.py."""
    top = validate.absolute(row.get("folder"), "folder")
    label = "phpborg-" + validate.token(row.get("token"))
    way = access(row, secrets)
    psql = [*way.argv("psql", any_version=True), "--dbname=postgres"]
    asked = copying.Asked(psql, way.owner, way.env, way.fds, top, way.major, label)
    return Producer(["pg_backup"], way.owner, {}, what="base backup", fds=way.fds, work=partial(copying.backup, asked))
