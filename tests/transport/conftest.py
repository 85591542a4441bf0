"""Servers for the transport's tests: one lab a run, a fresh sshd where a test changes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.transport import host_for
from servers.transport.base import Host
from servers.transport.tunnel import link
from tests.support.sshd import Lab, Sshd, local_target, running


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    made = Lab.create()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def sshd(lab: Lab) -> Iterator[Sshd]:
    """A plain server that no test changes."""
    with running(lab) as server:
        yield server


@pytest.fixture(params=["local", "root", "sudo"])
def host(request, lab: Lab, sshd: Sshd) -> Host:
    """The three ways to a server; every test with it runs three times."""
    targets = {"local": local_target(lab), "root": sshd.target(), "sudo": sshd.sudo_target()}
    return host_for(targets[request.param])


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every account can walk through (pytest's own is private)."""
    path = Path(tempfile.mkdtemp(prefix="phpborg-place-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def token() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def repository(place: Path) -> Path:
    """An encrypted repository on this host; its passphrase is `PASSPHRASE`."""
    path = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg-base")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    return path


@pytest.fixture
def make(host, repository, token):
    """Make an archive "one" with the helper."""

    def run(subcommand: str, *paths: str, secrets: dict[str, str] | None = None, **args: object):
        with link(host, str(repository), mode="tunnel", token=token) as way:
            argv = [subcommand, "--json", "--log-json", way.location("one"), *paths]
            asked = {"argv": argv, "token": token, **args}
            return host.run("borg", asked, secrets={"passphrase": PASSPHRASE, **(secrets or {})}, link=way)

    return run


@pytest.fixture
def borg(repository: Path, place: Path):
    """Borg on this host, with the repository's passphrase."""

    def run(*words: str, cwd: Path = place) -> bytes:
        env = {
            **os.environ,
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_BASE_DIR": str(place / "borg-base"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        }
        return subprocess.run(["borg", *words], env=env, check=True, capture_output=True, cwd=cwd).stdout

    return run


PASSPHRASE = "pa$s 'w\"ord\\ é"
