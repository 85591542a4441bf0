"""Fixtures of the servers' tests: rows for the unit lane, real sshd servers for the service lane."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from phpborg.tasks.models import Task
from servers.models import Server
from servers.services import enrol, identity, installing, reach, removal_steps, setup
from servers.transport import fabric_host, keys
from servers.transport.fabric_host import HostKey
from tests.support.sshd import Lab, Sshd, running


def host_key(path: Path) -> str:
    """A new host key as "type base64"."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


@dataclass
class FakeNetwork:
    """Servers that answer a key exchange, by address and port; all others are unreachable."""

    directory: Path

    def __post_init__(self) -> None:
        self.shows: dict[tuple[str, int], str] = {}

    def server(self, address: str, port: int = 22, line: str = "") -> str:
        """There is a server, with this host key or a new one."""
        line = line or host_key(self.directory / f"key-{len(self.shows)}-{len(list(self.directory.iterdir()))}")
        self.shows[(address, port)] = line
        return line

    def fetch(self, address: str, port: int) -> HostKey:
        from servers.errors import HostUnreachable

        line = self.shows.get((address, port))
        if line is None:
            raise HostUnreachable("Connection refused", address=address, port=port)
        return HostKey(line, keys.fingerprint(line))


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    """A network of the test's own."""
    fake = FakeNetwork(tmp_path)
    monkeypatch.setattr(fabric_host, "fetch_host_key", fake.fetch)
    return fake


@pytest.fixture
def web(db: None, network: FakeNetwork) -> Server:
    """A server that was added and approved, not set up."""
    network.server("web.example.org")
    server = enrol.add_server(name="web", address="web.example.org")
    approve(server)
    return server


def approve(server: Server) -> None:
    """Confirm what the server shows."""
    known = identity.offered(server)
    assert known
    identity.approve_host_key(server=server, fingerprint=known.fingerprint)


# --- the service lane ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One account and one key for all servers of this run."""
    made = Lab.create()
    yield made
    made.remove()


@pytest.fixture
def places(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Set-up installs into places of the test's own instead of /usr/local/lib/phpborg and /etc/sudoers.d."""
    helper = Path(f"/usr/local/lib/{lab.account}-setup/phpborg-remote")
    sudoers = Path(f"/etc/sudoers.d/{lab.account}-setup")
    monkeypatch.setattr(reach, "HELPER_PATH", str(helper))
    monkeypatch.setattr(installing, "SUDOERS_PATH", str(sudoers))
    for name, value in (("TREES", (f"{helper.parent}/borg",)), ("DIRECT_KEYS", str(helper.parent / "direct"))):
        monkeypatch.setattr(removal_steps, name, value)
    monkeypatch.setattr(removal_steps, "DIRECTORIES", ())
    before = lab.sudoers.read_text()
    lab.sudoers.unlink()
    yield helper
    shutil.rmtree(helper.parent, ignore_errors=True)
    sudoers.unlink(missing_ok=True)
    lab.install_sudoers(before)


@pytest.fixture
def sshd(lab: Lab) -> Iterator[Sshd]:
    """A server on 127.0.0.11."""
    with running(lab) as server:
        yield server


@pytest.fixture
def enrolled(db: None, lab: Lab, sshd: Sshd, places: Path) -> Callable[..., Server]:
    """`enrolled(user=…)`: the sshd as an approved server that lets our key in."""

    def make(user: str = "root", name: str = "lab") -> Server:
        server = enrol.add_server(name=name, address=sshd.address, port=sshd.port, user=user)
        sshd.authorize(user, server.public_key)
        approve(server)
        return server

    return make


@pytest.fixture
def set_up(run_pending: Callable[..., list[Task]]) -> Callable[..., Task]:
    """`set_up(server)`: queue the set-up and run it here; answers the ended task."""

    def run(server: Server, *, install: bool = True) -> Task:
        setup.enqueue_setup(server=server, install=install)
        task = run_pending("setup")[-1]
        server.refresh_from_db()
        return task

    return run
