"""Database servers as containers: a machine of its own to everything that runs in it, on an address of loopback.

They share the network of this machine, so that a server reaches the backup host as well as the other way round;
processes, files and accounts are their own. `phpborg` is the account without rights. A server of this name runs
once on the machine: test runs wait for each other, and each gets a fresh one.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from servers.remote.build import build_helper
from servers.transport.base import Target
from servers.transport.keys import make_key_pair
from tests.lab import images
from tests.lab.engine import Engine, LabFailed, locked
from tests.support.sshd import free_port, make_host_key

ACCOUNT = "phpborg"
HELPER = "/usr/local/lib/phpborg/phpborg-remote"
START_SECONDS = 60
_SUDOERS = Path(__file__).parents[2] / "sudoers/phpborg-server"
# As a machine has them: a restore as root makes a private view of the file system, borg mounts.
_RIGHTS = ("--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined")


@dataclass(frozen=True)
class Kind:
    """What a server is made of; `ports` are those of its databases."""

    name: str
    image: images.Image
    address: str
    ports: tuple[int, ...]

    @property
    def service(self) -> str:
        """The init script of its databases."""
        return self.name


POSTGRESQL = Kind("postgresql", images.SERVER_POSTGRESQL, "127.0.0.21", (5432, 5433))
MARIADB = Kind("mariadb", images.SERVER_MARIADB, "127.0.0.22", (3306,))
MYSQL = Kind("mysql", images.SERVER_MYSQL, "127.0.0.25", (3306,))
KINDS = (POSTGRESQL, MARIADB, MYSQL)


@dataclass(frozen=True)
class LabServer:
    """One running server. Our key signs in as root and as `phpborg`."""

    engine: Engine
    kind: Kind
    port: int
    host_key: str

    @property
    def name(self) -> str:
        """Its container, and its host name."""
        return f"lab-{self.kind.name}"

    @property
    def address(self) -> str:
        """Where sshd and the databases listen."""
        return self.kind.address

    @property
    def directory(self) -> Path:
        """What we lend it: identity and keys."""
        return _directory(self.engine, self.kind)

    def execute(
        self, argv: tuple[str, ...], *, user: str = "root", stdin: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside, as `user`. AssertionError with its words when it fails and `check`."""
        command = self.engine.client("exec", "--interactive", "--user", user, self.name, *argv)
        done = subprocess.run(command, input=stdin, capture_output=True)
        assert not check or done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
        return done

    def sql(self, text: str, *, database: str = "", port: int = 0) -> str:
        """The answer of the database's own client, as its superuser by the socket: tab-separated, without headings."""
        client = "mysql" if self.kind is MYSQL else "mariadb"
        user, argv = "root", [client, "--batch", "--skip-column-names", "--database", database or "mysql"]
        if self.kind is POSTGRESQL:
            user, argv = "postgres", ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-qAt", "-F", "\t"]
            argv += ["-p", str(port or 5432), "-d", database or "postgres"]
        return self.execute(tuple(argv), user=user, stdin=text.encode()).stdout.decode().strip()

    def authorized_keys(self, account: str) -> Path:
        """Keys that sign in, beside those in the account's own home; a file of this machine."""
        return self.directory / f"authorized_keys.{account}"

    def authorize(self, account: str, *lines: str) -> None:
        """Let these keys in, and no others but those in the account's home."""
        self.authorized_keys(account).write_text("".join(f"{line}\n" for line in lines))

    def install_helper(self) -> None:
        """phpborg-remote as it is now, owned by root."""
        self.execute(("install", "-d", "-m", "0755", str(Path(HELPER).parent)))
        self.execute(("install", "-m", "0755", "/dev/stdin", HELPER), stdin=build_helper())

    def install_sudoers(self, text: str | None = None) -> None:
        """Our sudoers file for `phpborg`, or another text, as the administrator would install it."""
        content = (_SUDOERS.read_text() if text is None else text).encode()
        self.execute(("install", "-m", "0440", "/dev/stdin", "/etc/sudoers.d/phpborg-server"), stdin=content)
        self.execute(("visudo", "-c", "-q"))

    def target(self, user: str = "root", *, sudo: bool = False, name: str = "") -> Target:
        """This server as the product sees it."""
        return Target(
            kind="ssh",
            name=name or f"{user}-{self.address}-{self.port}",
            address=self.address,
            port=self.port,
            user=user,
            sudo=sudo,
            host_key=self.host_key,
            private_key_path=self.directory.parent / f"{self.kind.name}.key",
            helper_path=HELPER,
        )

    def sudo_target(self) -> Target:
        """As the unprivileged account with our sudoers file."""
        return self.target(ACCOUNT, sudo=True)

    def log(self) -> str:
        """What its databases and sshd have said."""
        done = self.engine.docker("logs", self.name, check=False)
        return done.stdout + done.stderr


@contextmanager
def running_server(engine: Engine, kind: Kind) -> Iterator[LabServer]:
    """A fresh server for a block. It stays when `script/lab up` keeps the laboratory, as the block left it."""
    images.ensure(engine, kind.image)
    with locked(_lock(engine, kind)):
        remove(engine, kind)
        try:
            yield start(engine, kind)
        finally:
            if not engine.kept:
                remove(engine, kind)


def ensure_running(engine: Engine, kind: Kind) -> None:
    """Start it unless it runs. One that a test run uses is left to it."""
    images.ensure(engine, kind.image)
    with locked(_lock(engine, kind), wait=False) as free:
        if free and running(engine, kind) is None:
            remove(engine, kind)
            start(engine, kind)


def running(engine: Engine, kind: Kind) -> LabServer | None:
    """The server that answers now, or None."""
    with suppress(OSError, ValueError):
        facts = json.loads((_directory(engine, kind) / "server.json").read_text())
        server = LabServer(engine, kind, facts["port"], facts["host_key"])
        with socket.create_connection((server.address, server.port), timeout=2):
            return server
    return None


def remove(engine: Engine, kind: Kind) -> None:
    """End it with its data."""
    engine.docker("rm", "--force", "--volumes", f"lab-{kind.name}", check=False)
    shutil.rmtree(_directory(engine, kind), ignore_errors=True)


def start(engine: Engine, kind: Kind) -> LabServer:
    """A new container; it answers and its databases run. Raises LabFailed with its log."""
    _refuse_taken_ports(kind)
    directory = _directory(engine, kind)
    directory.mkdir(mode=0o755, parents=True)
    server = LabServer(engine, kind, free_port(kind.address), make_host_key(directory / "host_key"))
    _make_keys(server)
    name = ("--name", server.name, "--hostname", server.name)
    # sudo looks its own machine up.
    volume, host = f"--volume={directory}:/etc/lab:ro", f"--add-host={server.name}:{server.address}"
    options = ("--detach", "--init", "--network=host", "--shm-size=256m", volume, host, *name, *_RIGHTS)
    command = ("lab-init", kind.service, server.address, str(server.port))
    engine.docker("run", *options, kind.image.tag, *command)
    (directory / "server.json").write_text(json.dumps({"port": server.port, "host_key": server.host_key}))
    deadline = time.monotonic() + START_SECONDS
    while running(engine, kind) is None:
        state = engine.docker("inspect", "--format", "{{.State.Running}}", server.name).stdout.strip()
        if state != "true" or time.monotonic() > deadline:
            raise LabFailed(f"{server.name} does not answer:\n{server.log()[-3000:]}")
        time.sleep(0.1)
    return server


def _make_keys(server: LabServer) -> None:
    """A key of this start for both accounts; the private half is not lent to the container."""
    pair = make_key_pair("phpborg-lab")
    private = server.target().private_key_path
    assert private
    private.touch(mode=0o600)
    private.write_text(pair.private)
    for account in ("root", ACCOUNT):
        server.authorize(account, pair.public)


def _refuse_taken_ports(kind: Kind) -> None:
    for port in kind.ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((kind.address, port))
            except OSError as error:
                raise LabFailed(f"{kind.address}:{port} is taken by another program on this machine.") from error


def _directory(engine: Engine, kind: Kind) -> Path:
    return engine.run_place / "servers" / kind.name


def _lock(engine: Engine, kind: Kind) -> Path:
    return engine.place / f".server-{kind.name}"
