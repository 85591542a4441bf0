"""PostgreSQL: every cluster of this machine, down or running, and what its server says of itself."""

import glob
import os
import re
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .. import memory, wire
from . import databases, postgresql_find, postgresql_sql
from .base import Look, Ran
from .postgresql_find import Cluster

_PROGRAMS = ("psql", "pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "pg_amcheck", "pg_verifybackup")
_PROGRAM_DIRECTORIES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/lib/postgresql*/bin",
    "/opt/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/usr/local/bin",
    "/usr/bin",
)
_CONFIG_FILES = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
_DEBIAN_FILES = ("start.conf", "pg_ctl.conf", "environment", "conf.d")
_SETTINGS_FILES = ("config_file", "hba_file", "ident_file")
# Questions after the connection stands may take so much longer than the connection itself.
_ANSWER_SECONDS = 6.0
_EXTENSION_SECONDS = 2.0
Programs = Dict[str, List[Dict[str, Optional[str]]]]


class Said(NamedTuple):
    """How a server was asked: the login that worked (or did not), and its answer."""

    login: Dict[str, Any]
    out: str
    env: Dict[str, str]
    fds: Sequence[int] = ()


def probe(look: Look) -> Dict[str, Any]:
    """All clusters and the programs that can deal with them."""
    programs = _programs(look)
    patience = databases.Patience()
    described = [_describe(look, cluster, programs, patience) for cluster in postgresql_find.find(look)]
    # Last, because it may take all the time that there is.
    for cluster in described:
        databases.measure(look, cluster["data"])
        for tablespace in cluster["tablespaces"]:
            if tablespace["size_bytes"] is None:
                tablespace["size_bytes"] = look.size(tablespace["location"])[0]
    return {"programs": programs, "clusters": described}


def _programs(look: Look) -> Programs:
    found: Programs = {}
    seen = set()
    for place in (place for pattern in _PROGRAM_DIRECTORIES for place in sorted(glob.glob(pattern), reverse=True)):
        for name in _PROGRAMS:
            path = os.path.join(place, name)
            real = os.path.realpath(path)
            # Debian's pg_wrapper picks a version by itself: never the one that is meant here.
            if real in seen or real.endswith("/pg_wrapper") or not os.access(real, os.X_OK) or not os.path.isfile(real):
                continue
            seen.add(real)
            found.setdefault(name, []).append({"path": path, "version": databases.program_version(look, path)})
    return found


def _describe(look: Look, cluster: Cluster, programs: Programs, patience: databases.Patience) -> Dict[str, Any]:
    said = _ask(look, cluster, programs, patience)
    answer = postgresql_sql.facts(said.out)
    settings = answer["settings"]
    if settings.get("data_directory"):
        cluster.candidates.insert(0, (settings["data_directory"], "sql", "high"))
    data = None if cluster.contained else databases.directory(cluster.candidates)
    version = re.match(r"\S+", settings.get("server_version", ""))
    top = data["path"] if data else None
    return {
        "id": cluster.id,
        "version": version.group() if version else (postgresql_find.file_version(top) if top else None),
        "running": cluster.running,
        "contained": cluster.contained,
        "port": cluster.port,
        "socket_directory": cluster.socket_directory,
        "owner": cluster.owner,
        "pid": cluster.pid,
        "data": data,
        "config_files": _config_files(look, cluster, top, [settings.get(name, "") for name in _SETTINGS_FILES]),
        "login": said.login,
        "in_recovery": answer["in_recovery"],
        "wal_directory": _wal_directory(top) if top else None,
        "tablespaces": answer["tablespaces"] or (_tablespaces(top) if top else []),
        "databases": answer["databases"],
        "extensions": _extensions(look, cluster, programs, said, answer["databases"]),
        "max_wal_senders": postgresql_sql.whole(settings.get("max_wal_senders")),
        "wal_level": settings.get("wal_level"),
        "found_by": cluster.found_by,
    }


def _ask(look: Look, cluster: Cluster, programs: Programs, patience: databases.Patience) -> Said:
    """Try the logins in their order; a server that does not answer is not asked twice."""
    tries, problem = _tries(look, cluster)
    if _psql(cluster, programs) is None and tries:
        tries, problem = [], "psql is not installed: install the PostgreSQL client"
    seconds = patience.seconds()
    for method, user, password in tries:
        for database in ("postgres", "template1"):
            env = postgresql_sql.environment(_host(cluster), cluster.port or 0, user, database, seconds)
            said = Said(databases.login(True, method, user), "", *_secret(cluster, env, password))
            began = time.monotonic()
            ran = _run(look, cluster, programs, said, postgresql_sql.SCRIPT, seconds + _ANSWER_SECONDS)
            if postgresql_sql.rows(ran.out):
                return said._replace(out=ran.out)
            problem = databases.last_words(ran) if method == "given" else problem or databases.last_words(ran)
            if "timeout expired" in ran.err or time.monotonic() - began >= seconds:
                problem = databases.why(socket.timeout(), seconds)
                return Said(databases.login(False, problem=problem), "", {})
    return Said(databases.login(False, problem=problem), "", {})


def _tries(look: Look, cluster: Cluster) -> Tuple[List[Tuple[str, str, str]], Optional[str]]:
    """(method, user, password) in the order to try, or why there is nothing to try."""
    if cluster.contained:
        return [], "it runs in a container: it is not asked from outside"
    if not cluster.running:
        return [], "it is down: start it to have its databases listed"
    if cluster.port is None:
        return [], "it is not known where it listens"
    owner = cluster.owner or ("postgres" if cluster.uid is None else None)
    if owner is None:
        return [], "its account has no name on this machine"
    tries = [("peer", name, "") for name in dict.fromkeys([owner, "postgres"])] if cluster.socket_directory else []
    path = "{}/.s.PGSQL.{}".format(cluster.socket_directory, cluster.port)
    known = databases.given(look, "postgresql", cluster.port, [path], _is_its_own(cluster))
    if databases.alone(look, "postgresql"):
        tries = []
    if known:
        tries = [*tries, ("given", known["user"] or owner, known["password"])]
    elif databases.alone(look, "postgresql"):
        return [], "it is shown no login: who answers there is no account of PostgreSQL"
    return tries, None if tries else "it listens on no unix socket: give a login for it"


def _is_its_own(cluster: Cluster) -> bool:
    """May it see a password? The tool that hears it runs as the account that the cluster says it has.

    Anybody may start what calls itself PostgreSQL and name the socket of the real server: that account must be who
    answers there, and one that PostgreSQL has.
    """
    path = "{}/.s.PGSQL.{}".format(cluster.socket_directory, cluster.port)
    door = databases.Door(path) if cluster.socket_directory else databases.Door(None, _host(cluster), cluster.port)
    return databases.trusted("postgresql", cluster.uid) and databases.maker(door) == cluster.uid


def _secret(cluster: Cluster, env: Dict[str, str], password: str) -> Tuple[Dict[str, str], Sequence[int]]:
    """(environment, descriptors) with the password in a file without a name: an environment is shown to others."""
    if not password:
        return env, ()
    descriptor = memory.secret(memory.password_file(password), cluster.owner)
    return dict(env, PGPASSFILE=memory.path_of(descriptor)), (descriptor,)


def _host(cluster: Cluster) -> str:
    """The socket's directory; only a server without one is reached through the network."""
    return cluster.socket_directory or "127.0.0.1"


def _run(look: Look, cluster: Cluster, programs: Programs, way: Said, script: str, seconds: float) -> Ran:
    """psql as the cluster's own account: peer authentication knows it, and it may do no more than the server."""
    argv = [_psql(cluster, programs) or "psql", *postgresql_sql.ARGUMENTS]
    account = cluster.owner or "postgres"
    return look.run(argv, user=account, env=way.env, stdin=script.encode(), timeout=seconds, fds=way.fds)


def _psql(cluster: Cluster, programs: Programs) -> Optional[str]:
    """That beside the server's own program, else the newest."""
    known = [str(program["path"]) for program in programs.get("psql", [])]
    beside = [path for path in known if cluster.exe and os.path.dirname(path) == os.path.dirname(cluster.exe)]
    return (beside + known + [""])[0] or None


def _extensions(look: Look, cluster: Cluster, programs: Programs, said: Said, known: List[Dict[str, Any]]) -> List[str]:
    """Those of all databases, as far as the time reaches: each must be asked on its own."""
    found = set()
    until = time.monotonic() + _EXTENSION_SECONDS
    for database in known:
        if database["allows_connections"] and database["name"] != "template0" and time.monotonic() < until:
            there = said._replace(env=dict(said.env, PGDATABASE=database["name"]))
            ran = _run(look, cluster, programs, there, postgresql_sql.EXTENSIONS, _EXTENSION_SECONDS)
            found.update(postgresql_sql.extensions(ran.out))
    return sorted(found)


def _config_files(look: Look, cluster: Cluster, top: Optional[str], told: List[str]) -> List[str]:
    places = [place for place in (cluster.config_directory, top) if place]
    listed = [path for path in told if path.startswith("/")]
    listed += [os.path.join(place, name) for place in places for name in _CONFIG_FILES]
    if cluster.config_directory:
        listed += [os.path.join(cluster.config_directory, name) for name in _DEBIAN_FILES]
    return look.existing(*dict.fromkeys(listed))


def _wal_directory(top: str) -> Optional[str]:
    """Where the log of changes lies when it is not in the data directory (pg_xlog before version 10)."""
    names = [os.path.join(top, name) for name in ("pg_wal", "pg_xlog")]
    found = databases.outside([name for name in names if os.path.islink(wire.raw(name))], top)
    return found[0] if found else None


def _tablespaces(top: str) -> List[Dict[str, Any]]:
    """Of a server that cannot be asked: where its links lead; their names are only in its catalogue."""
    place = os.path.join(top, "pg_tblspc")
    try:
        links = [os.path.join(place, wire.shown(name)) for name in sorted(os.listdir(wire.raw(place)))]
    except OSError:
        return []
    locations = [wire.shown(os.readlink(wire.raw(link))) for link in links if os.path.islink(wire.raw(link))]
    return [{"name": None, "location": location, "size_bytes": None} for location in locations]
