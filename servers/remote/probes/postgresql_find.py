"""Finds PostgreSQL clusters: those that Debian's tools know, running servers, and sockets that somebody listens on."""

import glob
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional

from .. import wire
from . import databases
from .base import Look, Process, user_name

_SERVERS = ("postgres", "postmaster", "edb-postgres")
# Runs of the program that serve nobody: initdb's own, and questions to it.
_NO_SERVER = {"--single", "--boot", "--check", "--describe-config", "--version", "-V", "-C"}
_SOCKET_DIRECTORIES = ("/run/postgresql", "/var/run/postgresql", "/tmp")
_SOCKET = re.compile(r"(/.*)/\.s\.PGSQL\.(\d+)")
_VERSION = re.compile(r"\d+(?:\.\d+)?")
# Debian and Ubuntu; Red Hat's own packages; those of postgresql.org on Red Hat; Alpine; Arch.
_COMMON = (
    "/var/lib/postgresql/*/*",
    "/var/lib/pgsql/data",
    "/var/lib/pgsql/*/data",
    "/var/lib/postgresql/data",
    "/var/lib/postgres/data",
)


class Cluster:
    """One cluster, as far as it is known without a question to its server."""

    def __init__(self, found_by: str, label: Optional[str] = None) -> None:
        self.label = label  # "15/main"
        self.found_by = [found_by]
        self.pid: Optional[int] = None
        self.uid: Optional[int] = None
        self.exe: Optional[str] = None
        self.contained = False
        self.running = False
        self.port: Optional[int] = None
        self.socket_directory: Optional[str] = None
        self.config_directory: Optional[str] = None
        self.candidates: List[databases.Candidate] = []

    @property
    def id(self) -> str:
        """What tells it from the others here."""
        if self.label or self.port:
            return self.label or "port {}".format(self.port)
        return "pid {}".format(self.pid) if self.pid else "directory {}".format(self.data)

    @property
    def owner(self) -> Optional[str]:
        """Its account; a container's number may be another account's here."""
        return user_name(self.uid) if self.uid is not None and not self.contained else None

    @property
    def data(self) -> Optional[str]:
        """Where its files are."""
        found = databases.directory(self.candidates)
        return found["path"] if found else None


class Listed(NamedTuple):
    """A row of pg_lsclusters. `data`: each path that the row may mean, likeliest first."""

    version: str
    name: str
    port: Optional[int]
    running: bool
    data: List[str]


def find(look: Look) -> List[Cluster]:
    """All of them, each once, Debian's own names first."""
    clusters = _debian(look)
    for process in postmasters(look.processes()):
        _add(clusters, _process(process))
    for pattern in _SOCKET_DIRECTORIES:
        for path in sorted(glob.glob(pattern + "/.s.PGSQL.*")):
            _add_socket(clusters, path)
    for pattern in _COMMON:
        for path in sorted(glob.glob(pattern)):
            _add_stopped(clusters, path)
    return clusters


def postmasters(processes: List[Process]) -> List[Process]:
    """The servers themselves: not what they fork, which is titled "postgres: …", nor single-user runs."""
    named = [process for process in processes if process.name in _SERVERS and ": " not in process.argv[0]]
    return databases.leaders(process for process in named if not _NO_SERVER & set(process.argv))


def _debian(look: Look) -> List[Cluster]:
    if look.find("pg_lsclusters") is None:
        return []
    rows = from_json(look.run(["pg_lsclusters", "--json"]).out)
    if rows is None:  # older than 2019, or Perl has no JSON there
        rows = from_table(look.run(["pg_lsclusters", "-h"]).out)
    return [_listed(row) for row in rows]


def from_json(text: str) -> Optional[List[Listed]]:
    """What `pg_lsclusters --json` says; None when it knows no JSON."""
    try:
        rows: List[Dict[str, Any]] = json.loads(text)
        return [
            Listed(
                str(row["version"]),
                str(row["cluster"]),
                int(row["port"]) if str(row.get("port", "")).isdecimal() else None,
                bool(row.get("running")),
                [str(row["pgdata"])] if row.get("pgdata") else [],
            )
            for row in rows
        ]
    except (ValueError, KeyError, TypeError):
        return None


def from_table(text: str) -> List[Listed]:
    """What `pg_lsclusters -h` prints. Blanks in the data directory are not told from those before the log file."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 5)
        if len(words) < 6 or not _VERSION.fullmatch(words[0]):
            continue
        version, name, port, status, _, paths = words
        cuts = [match.start() for match in re.finditer(r" +(?=[/<])", paths)]
        data = [paths[:cut].rstrip() for cut in reversed(cuts)] or [paths]
        number = int(port) if port.isdecimal() else None
        usable = [path for path in data if path.startswith("/")]
        found.append(Listed(version, name, number, status.startswith("online"), usable))
    return found


def _listed(row: Listed) -> Cluster:
    cluster = Cluster("pg_lsclusters", "{}/{}".format(row.version, row.name))
    cluster.port, cluster.running = row.port, row.running
    cluster.config_directory = "/etc/postgresql/{}/{}".format(row.version, row.name)
    data = ([path for path in row.data if is_data(path)] or row.data)[:1]
    cluster.candidates = [(path, "config", "medium") for path in data]
    try:
        cluster.uid = os.stat(wire.raw(data[0])).st_uid if data else None
    except OSError:
        pass  # the data directory is not there: there is no owner to be
    return cluster


def _process(process: Process) -> Cluster:
    cluster = Cluster("process")
    cluster.pid, cluster.uid, cluster.exe = process.pid, process.uid, process.exe
    cluster.contained, cluster.running = process.contained, True
    listening = databases.listening(process.pid)
    ports = [port for _, port in listening.ports]
    sockets = [match for match in map(_SOCKET.fullmatch, listening.sockets) if match]
    cluster.port = int(sockets[0].group(2)) if sockets else (ports[0] if ports else None)
    if process.contained:
        return cluster
    there = [match for match in sockets if os.path.exists(wire.raw(match.group()))]
    cluster.socket_directory = there[0].group(1) if there else None
    # A server stands in its data directory, whatever it was started with.
    cluster.candidates = [
        (path, "process", "medium")
        for path in (databases.working_directory(process.pid), data_argument(process))
        if path and path.startswith("/") and is_data(path)
    ]
    if cluster.port is None and cluster.data:
        _from_pid_file(cluster)
    return cluster


def data_argument(process: Process) -> Optional[str]:
    """The data directory that the command line or the environment names."""
    for index, word in enumerate(process.argv[1:-1], 1):
        if word == "-D":
            return process.argv[index + 1]
    glued = [word[2:] for word in process.argv if word.startswith("-D") and len(word) > 2]
    named = databases.option(process.argv, "--data-directory")
    return named or (glued[-1] if glued else databases.environment_of(process.pid).get("PGDATA"))


def _from_pid_file(cluster: Cluster) -> None:
    """What the server wrote down at its start, for those whose open files we may not see."""
    lines = (databases.read("{}/postmaster.pid".format(cluster.data)) or "").split("\n")
    if len(lines) > 4 and lines[0].strip() == str(cluster.pid) and lines[3].strip().isdecimal():
        cluster.port = int(lines[3])
        cluster.socket_directory = lines[4].strip() or None


def _add(clusters: List[Cluster], found: Cluster) -> None:
    """Add a running server, or complete the cluster of that data directory."""
    for cluster in clusters:
        if found.data and cluster.data and _same(found.data, cluster.data):
            found.label, found.config_directory = cluster.label, cluster.config_directory
            found.found_by = cluster.found_by + found.found_by
            found.candidates = found.candidates + cluster.candidates
            found.port = found.port or cluster.port
            clusters[clusters.index(cluster)] = found
            return
    clusters.append(found)


def _add_socket(clusters: List[Cluster], path: str) -> None:
    """A socket that somebody listens on whom we have not met, or have not seen listening."""
    match = _SOCKET.fullmatch(path)
    if match is None:
        return
    place, port = os.path.realpath(match.group(1)), int(match.group(2))
    for cluster in clusters:
        if cluster.port == port and cluster.socket_directory and os.path.realpath(cluster.socket_directory) == place:
            return cluster.found_by.append("socket") if "socket" not in cluster.found_by else None
    pid = databases.peer(path)
    if pid is None:
        return
    for cluster in clusters:
        if cluster.pid == pid or (cluster.pid is None and cluster.running and cluster.port == port):
            cluster.port, cluster.socket_directory = port, cluster.socket_directory or match.group(1)
            cluster.found_by += ["socket"] if "socket" not in cluster.found_by else []
            return
    cluster = Cluster("socket")
    cluster.pid, cluster.port, cluster.socket_directory = pid or None, port, match.group(1)
    # Nobody here has this number: it listens from a container, through a directory that both see.
    cluster.running, cluster.contained = True, pid == 0
    clusters.append(cluster)


def is_data(path: str) -> bool:
    """Is this a PostgreSQL data directory?"""
    return file_version(path) is not None


def file_version(path: str) -> Optional[str]:
    """The major version that wrote a data directory."""
    text = (databases.read(path + "/PG_VERSION") or "").strip()
    return text if _VERSION.fullmatch(text) else None


def _add_stopped(clusters: List[Cluster], path: str) -> None:
    """A data directory in a usual place that no server uses, where no tool of the distribution lists it."""
    if not is_data(path) or any(cluster.data and _same(path, cluster.data) for cluster in clusters):
        return
    cluster = Cluster("directory")
    cluster.uid = os.stat(path).st_uid
    cluster.candidates = [(path, "config", "low")]
    clusters.append(cluster)


def _same(one: str, other: str) -> bool:
    return os.path.realpath(wire.raw(one)) == os.path.realpath(wire.raw(other))
