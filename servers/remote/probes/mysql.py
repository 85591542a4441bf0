"""MySQL and MariaDB: every server of this machine, and what it says of itself."""

import glob
import os
import re
from typing import Any, Dict, List, Optional, Set

from .. import wire
from . import databases, mysql_login, mysql_sql
from .base import Look, Process, user_name

_SERVERS = ("mysqld", "mariadbd", "mysqld-debug")
_PROGRAMS = ("mariadb-dump", "mysqldump", "mariabackup", "mariadb-backup", "xtrabackup", "mysql", "mariadb")
_SOCKETS = ("/run/mysqld/*.sock", "/var/run/mysqld/*.sock", "/var/lib/mysql/*.sock", "/tmp/mysql*.sock")
_COMMON = ("/var/lib/mysql", "/var/lib/mysql/data", "/usr/local/mysql/data", "/var/db/mysql")
_CONFIG_FILES = (
    "/etc/my.cnf",
    "/etc/my.cnf.d",
    "/etc/mysql",
    "/usr/etc/my.cnf",
    "/usr/local/etc/my.cnf",
    "/etc/sysconfig/mysqld",
)
_GROUPS = ["mysqld", "server", "mariadb", "mariadbd"]
# How many databases are looked into for links to files elsewhere.
_FOLDERS = 2000


class Instance:
    """One server, as far as it is known without a question to it."""

    def __init__(self, found_by: str, pid: Optional[int] = None) -> None:
        self.found_by = [found_by]
        self.pid = pid
        self.uid: Optional[int] = None
        self.running = True
        self.contained = False
        self.listening = databases.Listening([], [])
        self.candidates: List[databases.Candidate] = []
        self.config_files: List[str] = []

    @property
    def port(self) -> Optional[int]:
        """Its first port: the others are MySQL's X protocol and its administration."""
        return self.listening.ports[0][1] if self.listening.ports else None

    @property
    def socket(self) -> Optional[str]:
        """Its socket; the X protocol has one of its own."""
        plain = [path for path in self.listening.sockets if "mysqlx" not in os.path.basename(path)]
        return plain[0] if plain else None

    @property
    def id(self) -> str:
        """What tells it from the others here."""
        if self.port:
            return "port {}".format(self.port)
        if self.socket:
            return "socket " + self.socket
        return "pid {}".format(self.pid) if self.pid else "stopped"


def probe(look: Look) -> Dict[str, Any]:
    """All instances and the programs that can deal with them."""
    patience = databases.Patience()
    instances = _running(look)
    instances += _stopped(look, instances)
    taken = _taken(instances)
    usual = [place for place in common() if os.path.realpath(place[0]) not in taken]
    described = _once([_describe(look, instance, usual, patience) for instance in instances])
    for instance in described:
        databases.measure(look, instance["data"])
    return {"programs": databases.programs(look, _PROGRAMS), "instances": described}


def _once(described: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Without a stopped server whose data directory, as it turned out when asked, is that of one which runs."""
    held = {os.path.realpath(row["data"]["path"]) for row in described if row["running"] and row["data"]}
    return [
        row
        for row in described
        if row["running"] or row["data"] is None or os.path.realpath(row["data"]["path"]) not in held
    ]


def _running(look: Look) -> List[Instance]:
    servers = databases.leaders(process for process in look.processes() if process.name in _SERVERS)
    instances = [_process(process) for process in servers if not {"--help", "--version", "-V"} & set(process.argv)]
    known = {os.path.realpath(path) for instance in instances for path in instance.listening.sockets}
    paths = [path for pattern in _SOCKETS for path in sorted(glob.glob(pattern))]
    for path in dict.fromkeys(os.path.realpath(path) for path in paths if "mysqlx" not in os.path.basename(path)):
        pid = databases.peer(path) if path not in known else None
        if pid is None:
            continue
        owners = [instance for instance in instances if instance.pid == pid]
        instance = owners[0] if owners else Instance("socket", pid or None)
        instance.listening.sockets.append(path)
        if not owners:
            # Nobody here has this number: it listens from a container, through a directory that both see.
            instance.contained = pid == 0
            instances.append(instance)
    return instances


def _process(process: Process) -> Instance:
    instance = Instance("process", process.pid)
    instance.uid, instance.contained = process.uid, process.contained
    instance.listening = databases.listening(process.pid)
    if process.contained:
        # Its sockets are files of the container.
        instance.listening = databases.Listening(instance.listening.ports, [])
        return instance
    argv = process.argv[1:]
    if instance.listening == databases.Listening([], []):
        path, port = databases.option(argv, "--socket"), databases.option(argv, "--port")
        ports = [("127.0.0.1", int(port))] if port and port.isdecimal() else []
        instance.listening = databases.Listening(ports, [path] if path else [])
    # A server stands in its data directory, whatever it was started with.
    places = [databases.working_directory(process.pid), databases.option(argv, "--datadir")]
    instance.candidates = [
        (path, "process", "medium") for path in places if path and path.startswith("/") and is_data(path)
    ]
    files = [databases.option(argv, "--defaults-file"), databases.option(argv, "--defaults-extra-file")]
    instance.config_files = [path for path in files if path]
    return instance


def _stopped(look: Look, running: List[Instance]) -> List[Instance]:
    """The server that would be started from the configuration, when none runs in its data directory."""
    if not any(look.find(name, "/usr/libexec") for name in _SERVERS):
        return []
    options = mysql_sql.defaults(look.run(["my_print_defaults", *_GROUPS]).out)
    named = databases.option(options, "--datadir")
    # Where the configuration is silent, it is the server's own default, which the distribution chose.
    data = (named, "config", "medium") if named else next((found for found in common()), None)
    if data is None or not is_data(data[0]) or os.path.realpath(data[0]) in _taken(running):
        return []
    instance = Instance("config")
    instance.running, instance.uid = False, os.stat(wire.raw(data[0])).st_uid
    # The server's own default, with a database in it, is more than a place to consider.
    instance.candidates = [(data[0], "config", "medium" if named else "low")]
    return [instance]


def _taken(instances: List[Instance]) -> Set[str]:
    """The data directories that are known to belong to one of them."""
    return {os.path.realpath(found[0]) for instance in instances for found in instance.candidates}


def is_data(path: str) -> bool:
    """Is this a data directory? Every version keeps its own tables in `mysql`, and InnoDB's in `ibdata1`."""
    return any(os.path.exists(wire.raw(path + name)) for name in ("/ibdata1", "/mysql.ibd", "/mysql/user.frm")) or (
        os.path.isdir(wire.raw(path + "/mysql"))
    )


def file_version(path: str) -> Optional[str]:
    """The version that a data directory was last upgraded for; None before the first upgrade of an old one."""
    texts = [databases.read(path + name) for name in ("/mariadb_upgrade_info", "/mysql_upgrade_info")]
    found = [text.strip("\0\n ") for text in texts if text]
    return found[0] if found and re.fullmatch(r"\d+\.[\w.-]+", found[0]) else None


def common() -> List[databases.Candidate]:
    """Usual places in which there is a database."""
    return [(path, "common", "low") for path in _COMMON if is_data(path)]


def _describe(
    look: Look, instance: Instance, usual: List[databases.Candidate], patience: databases.Patience
) -> Dict[str, Any]:
    login, facts, greeted = _ask(look, instance, patience)
    variables = facts["variables"]
    version = variables.get("version") or greeted
    data = None
    if not instance.contained:
        if variables.get("datadir"):
            instance.candidates.insert(0, (variables["datadir"], "sql", "high"))
        data = databases.directory(instance.candidates + usual)
        version = version or (file_version(data["path"]) if data else None)
    visible = instance.uid is not None and not instance.contained
    return {
        "id": instance.id,
        "flavour": mysql_sql.flavour(version, variables.get("version_comment")),
        "version": mysql_sql.plain_version(version) if version else None,
        "running": instance.running,
        "contained": instance.contained,
        "port": instance.port or _told_port(variables),
        "socket": instance.socket,
        "owner": user_name(int(instance.uid or 0)) if visible else None,
        "pid": instance.pid,
        "data": data,
        "config_files": [] if instance.contained else look.files(*instance.config_files, *_CONFIG_FILES),
        "login": login,
        "databases": facts["databases"],
        "engines": facts["engines"],
        "log_bin": mysql_sql.truth(variables.get("log_bin")),
        "read_only": mysql_sql.truth(variables.get("read_only")),
        "outside_files": outside_files(data["path"], variables, facts["files"]) if data else [],
        "found_by": instance.found_by,
    }


def _told_port(variables: Dict[str, Optional[str]]) -> Optional[int]:
    """What the server says, where we may not look at its descriptors (a container without that right)."""
    port = variables.get("port") or ""
    listens = mysql_sql.truth(variables.get("skip_networking")) is False
    return int(port) if listens and port.isdecimal() and port != "0" else None


def _ask(look: Look, instance: Instance, patience: databases.Patience) -> Any:
    problem = None
    if instance.contained:
        problem = "it runs in a container: it is not asked from outside"
    elif not instance.running:
        problem = "it is down: start it to have its databases listed"
    if problem:
        return databases.login(False, problem=problem), mysql_sql.facts(""), None
    sockets = [instance.socket] if instance.socket else []
    # The first port alone: another one speaks another protocol.
    doors = databases.doors(databases.Listening(instance.listening.ports[:1], sockets))
    # Its socket may be a name that another one has taken since: who answers there is asked of the kernel.
    safe = databases.safe("mysql", instance.uid, doors[:1]) and all(
        databases.peer(path) == instance.pid for path in sockets
    )
    server = mysql_login.Server(doors, user_name(instance.uid) if instance.uid is not None else None, safe)
    given = databases.given(look, "mysql", instance.port, sockets, safe)
    return mysql_login.ask(look, server, given, patience.seconds())


def outside_files(data: str, variables: Dict[str, Optional[str]], files: List[str]) -> List[str]:
    """What belongs to the data directory and lies elsewhere: named by settings, by InnoDB, or by a link."""
    names = ("innodb_data_home_dir", "innodb_undo_directory", "innodb_log_group_home_dir")
    told = [variables.get(name) or "" for name in names] + [path for path in files if path.endswith(".ibd")]
    home = variables.get("innodb_data_home_dir") or ""
    for part in (variables.get("innodb_data_file_path") or "").split(";"):
        # "ibdata1:12M:autoextend": absolute only when the home directory is said to be empty.
        told.append(part.split(":")[0] if variables.get("innodb_data_home_dir") == "" else home)
    links: List[str] = []
    folders = sorted(entry for entry in _entries(data) if os.path.isdir(wire.raw(entry)))
    for folder in [data, *folders[:_FOLDERS]]:
        for path in _entries(folder):
            if path.endswith(".isl"):
                told.append((databases.read(path) or "").strip())
            elif os.path.islink(wire.raw(path)):
                links.append(path)
    absolute = [os.path.join(data, path) for path in told if path]
    return [path for path in databases.outside(absolute + links, data) if os.path.exists(wire.raw(path))]


def _entries(folder: str) -> List[str]:
    try:
        return [wire.shown(entry.path) for entry in os.scandir(wire.raw(folder))]
    except OSError:
        return []
