"""Real sshd servers on loopback, with keys and configuration of their own.

`Lab` is one per test run: our key, the helper installed root-owned below /usr/local/lib, and an
unprivileged account that has our sudoers file. `Sshd` is one server on 127.0.0.11, .12 …. Everything
is removed at the end. Needs root, sshd and sudo.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from servers.remote.build import build_helper
from servers.transport.base import Target
from servers.transport.keys import KeyPair, make_key_pair

_SUDOERS = Path(__file__).parents[2] / "sudoers/phpborg-server"


def free_port(address: str) -> int:
    """A port from 22000 on which nobody listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        port = random.randint(22000, 29999)
        with socket.socket(family) as probe, suppress(OSError):
            probe.bind((address, port))
            return port


def make_host_key(path: Path) -> str:
    """A new host key at `path`; returns "type base64"."""
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


@dataclass
class Lab:
    """What all servers of one test run share."""

    root: Path
    key: KeyPair
    key_path: Path
    helper: Path
    account: str
    sudoers: Path

    @classmethod
    def create(cls) -> Lab:
        # By chance alone: a run that has its process numbers for itself shares the accounts with others.
        token = secrets.token_hex(5)
        root = Path(tempfile.mkdtemp(prefix="phpborg-sshd-"))
        root.chmod(0o755)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        key = make_key_pair("phpborg-test")
        key_path = root / "client-key"
        key_path.write_text(key.private)
        key_path.chmod(0o600)
        helper = Path(f"/usr/local/lib/phpborg-test-{token}/phpborg-remote")
        lab = cls(root, key, key_path, helper, f"pbt{token}", Path(f"/etc/sudoers.d/phpborg-test-{token}"))
        lab.install_helper()
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", "-p", "*", lab.account], check=True)
        lab.write_sudoers()
        return lab

    def install_helper(self) -> None:
        """The helper as it is now, owned by root."""
        self.helper.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.helper.parent.chmod(0o755)
        new = self.helper.with_name(".new")
        new.write_bytes(build_helper())
        new.chmod(0o755)
        new.replace(self.helper)

    def write_sudoers(self, extra: str = "") -> None:
        """Our sudoers file, for this run's account and this run's helper."""
        text = _SUDOERS.read_text().replace("/usr/local/lib/phpborg/phpborg-remote", str(self.helper))
        text = text.replace("\nphpborg ALL", f"\n{self.account} ALL")
        text = text.replace("PHPBORG_REMOTE", f"PHPBORG_{self.account.upper()}")
        self.install_sudoers(text + extra)

    def install_sudoers(self, text: str) -> None:
        """Any sudoers text in place of ours, after visudo has seen it."""
        new = self.root / "sudoers.new"
        new.write_text(text)
        new.chmod(0o440)
        subprocess.run(["visudo", "-c", "-q", "-f", str(new)], check=True)
        shutil.move(str(new), self.sudoers)

    def remove(self) -> None:
        self.sudoers.unlink(missing_ok=True)
        subprocess.run(["userdel", "-r", "-f", self.account], check=False, capture_output=True)
        shutil.rmtree(self.helper.parent, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass
class Sshd:
    """One sshd of ours. Change `banner`, `force_command` or `options` and `restart()`."""

    lab: Lab
    address: str = "127.0.0.11"
    banner: str = ""
    force_command: str = ""
    options: list[str] = field(default_factory=list)
    port: int = 0
    host_key: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sshd-", dir=self.lab.root))
        self.directory.chmod(0o755)
        self.port = self.port or free_port(self.address)
        self.authorize("root", self.lab.key.public)
        self.authorize(self.lab.account, self.lab.key.public)
        self.swap_host_key()

    def authorized_keys(self, account: str) -> Path:
        """The account's authorized_keys on this server."""
        return self.directory / f"authorized_keys.{account}"

    def authorize(self, account: str, *lines: str) -> None:
        """Let these keys in."""
        path = self.authorized_keys(account)
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o644)

    def swap_host_key(self) -> str:
        """Give the server another identity (from the next start)."""
        self.host_key = make_host_key(self.directory / "host_key")
        return self.host_key

    def _config(self) -> Path:
        lines = [
            f"ListenAddress {f'[{self.address}]' if ':' in self.address else self.address}:{self.port}",
            f"HostKey {self.directory / 'host_key'}",
            f"AuthorizedKeysFile {self.directory}/authorized_keys.%u",
            f"PidFile {self.directory / 'pid'}",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            "LogLevel VERBOSE",
            *self.options,
        ]
        if self.banner:
            (self.directory / "banner").write_text(self.banner)
            lines.append(f"Banner {self.directory / 'banner'}")
        if self.force_command:
            script = self.directory / "forced"
            script.write_text(self.force_command)
            script.chmod(0o755)
            lines.append(f"ForceCommand {script}")
        path = self.directory / "sshd_config"
        path.write_text("\n".join(lines) + "\n")
        return path

    @property
    def log(self) -> Path:
        """What sshd wrote."""
        return self.directory / "log"

    def start(self) -> Sshd:
        log = self.log.open("ab")
        argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(self._config())]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection((self.address, self.port), timeout=1):
                return self
            time.sleep(0.05)
        raise AssertionError(f"sshd did not start: {self.log.read_text()}")

    def stop(self) -> None:
        """End the listener and every connection of it."""
        if self.process and self.process.poll() is None:
            for pid in [*descendants(self.process.pid), self.process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                    os.kill(pid, signal.SIGTERM)
            self.process.wait(10)

    def restart(self) -> Sshd:
        self.stop()
        return self.start()

    def children(self) -> list[int]:
        """The processes of this server, below its listener."""
        return descendants(self.process.pid) if self.process else []

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
            private_key_path=self.lab.key_path,
            helper_path=str(self.lab.helper),
        )

    def sudo_target(self) -> Target:
        """As the unprivileged account with our sudoers file."""
        return self.target(self.lab.account, sudo=True)


def local_target(lab: Lab) -> Target:
    """This machine, with this run's helper."""
    return Target(kind="local", name="localhost", helper_path=str(lab.helper))


def descendants(pid: int) -> list[int]:
    """All living processes below one, deepest last."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        below = parents.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def processes_with(text: str) -> list[int]:
    """Living processes whose command line or environment names `text` (this one left out)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if text.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def processes(matches: Callable[[list[str]], bool]) -> list[int]:
    """Living processes whose words are such (this one left out)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) != os.getpid():
            with suppress(OSError):
                if matches((entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")):
                    found.append(int(entry.name))
    return found


def wait_until(condition, seconds: float = 10, what: str = "") -> None:
    """Wait for something that becomes true; AssertionError when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what or "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def running(lab: Lab, address: str = "127.0.0.11", **options: object) -> Iterator[Sshd]:
    """A server for the length of a block."""
    server = Sshd(lab, address, **options)  # type: ignore[arg-type]
    try:
        yield server.start()
    finally:
        server.stop()


__all__ = [
    "Lab",
    "Sshd",
    "descendants",
    "free_port",
    "local_target",
    "make_host_key",
    "processes_with",
    "replace",
    "running",
    "wait_until",
]
