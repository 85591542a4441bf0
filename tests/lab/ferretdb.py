"""FerretDB 1.24 with SQLite: what can be had here that speaks MongoDB's protocol, logins included.

Its source is a Go module and is built as its authors do, with the version written into it, and with one change:
MongoDB ignores the name of a collection (`ns`) in an index, which its own `mongorestore` always writes; FerretDB would
refuse it. MongoDB's own `mongodump` and `mongorestore` (also a Go module) and its client for Python are beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import cache
from tests.lab.engine import LabFailed
from tests.support.sshd import free_port

ADDRESS = "127.0.0.24"
MODULE, VERSION = "github.com/FerretDB/FerretDB", "v1.24.2"
CLIENT = ("pymongo==4.20.1", "dnspython==2.9.2")
USER, PASSWORD = "backup", "pa ss'\\ \"wörd: #1"
TOOLS_MODULE, TOOLS_VERSION = "github.com/mongodb/mongo-tools", "v0.0.0-20240723193119-837c2bc263f4"
START_SECONDS = 30
_CHANGED = "internal/handler/msg_createindexes.go"
_BEFORE, _AFTER = 'case "background":', 'case "background", "ns":'
_RECIPE = repr((MODULE, VERSION, _BEFORE, _AFTER, CLIENT, sys.version_info[:2], 3))
_TOOLS_RECIPE = repr((TOOLS_MODULE, TOOLS_VERSION, 1))


@dataclass(frozen=True)
class Server:
    """One running server. `secured`: only `USER` with `PASSWORD` is let in."""

    place: Path
    port: int
    secured: bool
    process: subprocess.Popen[bytes]

    @property
    def access(self) -> dict[str, Any]:
        """How the helper is told of it."""
        login = {"method": "given", "user": USER, "authdb": "admin"} if self.secured else {"method": "none"}
        return {"address": ADDRESS, "port": self.port, "login": login}

    @property
    def socket(self) -> Path:
        """Where it listens beside its port."""
        return self.place / "mongodb.sock"

    def client(self) -> Any:
        """MongoDB's own client, connected: `client()["shop"]["orders"].insert_one({…})`."""
        path = str(built() / "python")
        if path not in sys.path:
            sys.path.append(path)
        import pymongo

        login = {"username": USER, "password": PASSWORD, "authSource": "admin"} if self.secured else {}
        return pymongo.MongoClient(ADDRESS, self.port, serverSelectionTimeoutMS=5000, **login)

    @property
    def tools(self) -> Path:
        """A directory for PATH with MongoDB's own `mongodump` and `mongorestore`, for this server's tests alone."""
        return self.place / "bin"

    def log(self) -> str:
        """What it has said."""
        return (self.place / "log").read_text(errors="replace")


def built() -> Path:
    """The directory with `ferretdb` and `python` (MongoDB's client), made when it is missing."""
    return cache.cached("ferretdb", _RECIPE, _build)


def tools() -> Path:
    """The directory with MongoDB's own `mongodump` and `mongorestore`, made when it is missing."""
    return cache.cached("mongo-tools", _TOOLS_RECIPE, _build_tools)


def is_built() -> bool:
    """Are it and the tools there?"""
    return cache.is_there("ferretdb", _RECIPE) and cache.is_there("mongo-tools", _TOOLS_RECIPE)


@contextmanager
def running_ferretdb(*, secured: bool = False, replica_set: str = "") -> Iterator[Server]:
    """A fresh, empty server for a block; it ends with this process, whatever happens.

    One of a replica set only says so: it has no log of what is written.
    """
    program = built() / "ferretdb"
    place = Path(tempfile.mkdtemp(prefix="phpborg-ferretdb-"))
    process = None
    try:
        (place / "data").mkdir()
        _link_tools(place / "bin")
        port = free_port(ADDRESS)
        options = ("--handler=sqlite", f"--sqlite-url=file:{place}/data/", f"--state-dir={place}", "--debug-addr=-")
        options += (f"--listen-unix={place}/mongodb.sock", f"--repl-set-name={replica_set}")
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "DO_NOT_TRACK": "1", "FERRETDB_LOG_LEVEL": "WARN"}
        if secured:
            options += ("--test-enable-new-auth", "--setup-database=admin", f"--setup-username={USER}")
            env["FERRETDB_SETUP_PASSWORD"] = PASSWORD
        argv = ("setpriv", "--pdeathsig=SIGKILL", str(program), f"--listen-addr={ADDRESS}:{port}", *options)
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(argv, cwd=place, env=env, stdout=log, stderr=subprocess.STDOUT)
        server = Server(place, port, secured, process)
        _wait(server)
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(place)


def _build(path: Path) -> None:
    source = _source(MODULE, VERSION, path)
    # Its authors write this file when they build; the module lacks it.
    (source / "build/version/version.txt").write_text(f"{VERSION}\n")
    code = (source / _CHANGED).read_text()
    assert code.count(_BEFORE) == 1
    (source / _CHANGED).write_text(code.replace(_BEFORE, _AFTER))
    _run("go", "build", "-o", str(path / "ferretdb"), "./cmd/ferretdb", cwd=source)
    shutil.rmtree(source)
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(path / "python"), *CLIENT)


def _build_tools(path: Path) -> None:
    source = _source(TOOLS_MODULE, TOOLS_VERSION, path)
    for name in ("mongodump", "mongorestore"):
        _run("go", "build", "-o", str(path / name), f"./{name}/main", cwd=source)
    shutil.rmtree(source)


def _source(module: str, version: str, path: Path) -> Path:
    """A copy of a Go module that may be changed."""
    if shutil.which("go") is None:
        raise LabFailed("FerretDB and MongoDB's tools are built with Go 1.24 or newer, and there is no `go` in PATH.")
    told = json.loads(_run("go", "mod", "download", "-json", f"{module}@{version}"))
    source = path / "source"
    shutil.copytree(told["Dir"], source, copy_function=shutil.copyfile)
    return source


def _link_tools(folder: Path) -> None:
    folder.mkdir()
    for name in ("mongodump", "mongorestore"):
        (folder / name).symlink_to(tools() / name)


def _run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, env={**os.environ, "GOFLAGS": "-mod=mod"})
    if done.returncode:
        raise LabFailed(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((ADDRESS, server.port), timeout=1).close()
            return
        except OSError as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise LabFailed(f"FerretDB does not answer:\n{server.log()[-3000:]}") from error
            time.sleep(0.05)
