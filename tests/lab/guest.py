"""A virtual machine with real LVM, and databases on its volumes: for all that needs the kernel's device-mapper.

Every start is the same machine: what is written is gone with it. It runs in software, so everything computes
several times as long as here; the databases start when a test asks for them. It reaches nothing outside: a way
into this machine is carried by `ssh -R`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.remote.build import build_helper
from servers.transport.base import Target
from servers.transport.keys import make_key_pair
from tests.lab import guest_image
from tests.lab.engine import LabFailed
from tests.lab.servers import ACCOUNT, HELPER
from tests.support.sshd import free_port

NAME = "lab-guest"
ADDRESS = "127.0.0.1"
START_SECONDS = 90
END_SECONDS = 5
_SUDOERS = Path(__file__).parents[2] / "sudoers/phpborg-server"


@dataclass(frozen=True)
class Guest:
    """The running machine. Our key signs in as root and as `phpborg`. A disk without content is its /dev/vdd.

    `directory` is ours: key, known host key, what the console says.
    """

    directory: Path
    process: subprocess.Popen[bytes]
    port: int
    host_key: str
    address: str = ADDRESS

    @property
    def key_path(self) -> Path:
        """The private key that signs in."""
        return self.directory / "key"

    @property
    def console(self) -> str:
        """What kernel, first process and sshd have said."""
        return (self.directory / "console").read_text(errors="replace")

    def ssh(self, user: str = "root") -> tuple[str, ...]:
        """The words before a command for the account's shell."""
        settings = (
            f"UserKnownHostsFile={self.directory / 'known_hosts'}",
            f"ControlPath={self.directory}/control-%r",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
        )
        options = [word for setting in settings for word in ("-o", setting)]
        way = ("-i", str(self.key_path), "-p", str(self.port), f"{user}@{self.address}", "--")
        return ("ssh", "-F", "none", "-T", *options, *way)

    def execute(
        self, argv: tuple[str, ...], *, user: str = "root", stdin: bytes = b"", check: bool = True, seconds: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside, as `user`. AssertionError with its words when it fails and `check`."""
        words = argv if user == "root" else ("runuser", "-u", user, "--", *argv)
        done = subprocess.run([*self.ssh(), shlex.join(words)], input=stdin, capture_output=True, timeout=seconds)
        assert not check or done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
        return done

    def start_postgresql(self) -> None:
        """Cluster 15/main in /srv/data/postgresql/15/main, on vg-a/lv-data (xfs); it answers on the socket and 5432."""
        self.execute(("pg_ctlcluster", "15", "main", "start"))

    def start_mariadb(self) -> None:
        """The server with its data in /var/lib/mysql, on vg-a/lv-mysql (ext4); root signs in by the socket."""
        self.execute(("service", "mariadb", "start"))

    def postgresql(self, text: str, database: str = "postgres") -> str:
        """The answer of psql as the superuser: tab-separated, without headings."""
        argv = ("psql", "-X", "-v", "ON_ERROR_STOP=1", "-qAt", "-F", "\t", database)
        return self.execute(argv, user="postgres", stdin=text.encode()).stdout.decode().strip()

    def mariadb(self, text: str, database: str = "mysql") -> str:
        """The answer of the client as root: tab-separated, without headings."""
        argv = ("mariadb", "--batch", "--skip-column-names", database)
        return self.execute(argv, stdin=text.encode()).stdout.decode().strip()

    def install_helper(self) -> None:
        """phpborg-remote as it is now, owned by root, and our sudoers file for `phpborg`."""
        self.execute(("install", "-D", "-m", "0755", "/dev/stdin", HELPER), stdin=build_helper())
        sudoers = ("install", "-m", "0440", "/dev/stdin", "/etc/sudoers.d/phpborg-server")
        self.execute(sudoers, stdin=_SUDOERS.read_bytes())

    def target(self, user: str = "root", *, sudo: bool = False, name: str = "") -> Target:
        """This machine as the product sees it."""
        return Target(
            kind="ssh",
            name=name or f"{user}-{self.address}-{self.port}",
            address=self.address,
            port=self.port,
            user=user,
            sudo=sudo,
            host_key=self.host_key,
            private_key_path=self.key_path,
            helper_path=HELPER,
        )

    def sudo_target(self) -> Target:
        """As the unprivileged account with our sudoers file."""
        return self.target(ACCOUNT, sudo=True)


@contextmanager
def running_guest(image: Callable[[], Path] = guest_image.image) -> Iterator[Guest]:
    """A fresh machine for a block, with our helper. Raises LabFailed with its console when it does not answer."""
    directory = Path(tempfile.mkdtemp(prefix="phpborg-guest-"))
    try:
        guest = _start(directory, image())
        try:
            _wait_for_ssh(guest)
            with _one_sign_in(guest):
                guest.install_helper()
                yield guest
        finally:
            _end(guest.process)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(directory: Path, image: Path) -> Guest:
    drives = guest_image.drives()
    host_key = (image / "host_key").read_text()
    key = _make_key(directory)
    port = free_port(ADDRESS)
    (directory / "known_hosts").write_text(f"[{ADDRESS}]:{port} {host_key}\n")
    names = (image / "root.img", drives / "vg-a.img", drives / "vg-thin.img", drives / "empty.img")
    argv = guest_image.emulator(*(guest_image.drive(path, keep=False) for path in names))
    argv += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:{ADDRESS}:{port}-:22"]
    argv += ["-device", "virtio-net-pci,netdev=net,romfile="]
    argv += guest_image.kernel_words(image, f"lab.key={key}")
    # QEMU makes its nameless files where TMPDIR says.
    environment = {**os.environ, "TMPDIR": str(directory)}
    with (directory / "console").open("wb") as console:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, cwd="/", env=environment
        )
    return Guest(directory, process, port, host_key)


def _make_key(directory: Path) -> str:
    """A key of this start in `directory`; the base64 of its public half."""
    pair = make_key_pair(NAME)
    (directory / "key").touch(mode=0o600)
    (directory / "key").write_text(pair.private)
    return pair.public.split()[1]


def _wait_for_ssh(guest: Guest) -> None:
    """The console says it: QEMU takes connections before the guest does, and each one tried costs the guest time."""
    deadline = time.monotonic() + START_SECONDS
    while "Server listening on 0.0.0.0" not in guest.console:
        if guest.process.poll() is not None or time.monotonic() > deadline:
            raise LabFailed(f"The guest does not answer:\n{guest.console[-3000:]}")
        time.sleep(0.1)


@contextmanager
def _one_sign_in(guest: Guest) -> Iterator[None]:
    """Commands go over one connection: a sign-in costs the guest a second."""
    control = guest.directory / "control-root"
    master = subprocess.Popen(["ssh", "-M", "-N", *guest.ssh()[1:-1]], stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not control.exists():
            if master.poll() is not None or time.monotonic() > deadline:
                raise LabFailed(f"The guest lets nobody in:\n{guest.console[-3000:]}")
            time.sleep(0.05)
        yield
    finally:
        _end(master)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL when that does not help in time."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
