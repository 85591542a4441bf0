"""A pool, an encrypted repository, this machine as a server, and jobs, all real and below a private directory."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive, BackupJob, Repository, StoragePool
from backups.services import jobs, repositories, runs
from backups.services.jobs import JobDefinition
from backups.sources import paths as spelling
from phpborg.crypto import EncryptedField
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.models import Server
from servers.services import reach
from servers.transport import keys
from tests.support.sshd import Lab, Sshd, running

PASSPHRASE = "canary $HOME '\" \\ phrase"


@pytest.fixture
def pool(db: None, tmp_path: Path) -> StoragePool:
    """A pool in the test's own directory."""
    path = tmp_path / "pool"
    path.mkdir()
    return StoragePool.objects.create(name="pool", path=str(path), is_default=True)


@pytest.fixture
def local_server(db: None) -> Server:
    """This machine."""
    return Server.objects.create(name="localhost", kind=Server.Kind.LOCAL, state=Server.State.READY)


@pytest.fixture
def repository(pool: StoragePool) -> Repository:
    """A repository as a row only: for tests that do not run borg."""
    return Repository.objects.create(
        pool=pool,
        name="repo",
        path=f"{pool.path}/repo",
        encryption="repokey-blake2",
        passphrase=EncryptedField.seal(PASSPHRASE),
        borg_id="ab" * 32,
    )


@pytest.fixture
def real_repository(pool: StoragePool) -> Repository:
    """A repository that borg made, with an awkward passphrase."""
    return repositories.create_repository(pool=pool, name="real", passphrase=PASSPHRASE, compression="lz4")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Something to back up."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_text("alpha\n")
    (source / "sub" / "b.bin").write_bytes(os.urandom(50_000))
    (source / "link").symlink_to("a.txt")
    return source


MakeJob = Callable[..., BackupJob]


@pytest.fixture
def make_job(local_server: Server) -> MakeJob:
    """`make_job(repository, path, …)`: a files job."""

    def make(repository: Repository, *paths: Path | bytes, server: Server | None = None, **more: Any) -> BackupJob:
        raw = [path if isinstance(path, bytes) else os.fsencode(path) for path in paths]
        source = {"paths": [spelling.to_json(path) for path in raw], **more.pop("source", {})}
        number = BackupJob.objects.count() + 1
        values = {"name": f"job {number}", "server": server or local_server, "repository": repository, "source": source}
        return jobs.create_job(definition=JobDefinition(**{**values, **more}))

    return make


RunJob = Callable[..., Task]


@pytest.fixture
def run_job(run_pending: Callable[..., list[Task]]) -> RunJob:
    """Run a job inline; answers its ended task."""

    def run(job: BackupJob) -> Task:
        task = runs.start_backup(job=job, trigger=Trigger.COMMAND)
        run_pending(kind="backup")
        task.refresh_from_db()
        return task

    return run


def archive_of(task: Task) -> Archive:
    """The archive that a task made."""
    return Archive.objects.get(pk=task.result["archive"])


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """An account with our sudoers file, our key, the installed helper."""
    made = Lab.create()
    yield made
    made.remove()


@pytest.fixture
def sshd(lab: Lab) -> Iterator[Sshd]:
    """A server on loopback that the test may change."""
    with running(lab) as server:
        yield server


@pytest.fixture
def ssh_server(lab: Lab, sshd: Sshd, db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Server]:
    """`ssh_server(user, mode)`: a row for that sshd, ready for backups."""
    monkeypatch.setattr(reach, "HELPER_PATH", str(lab.helper))

    def make(user: str = "root", mode: str = "tunnel") -> Server:
        return Server.objects.create(
            name=f"web-{user}",
            address=sshd.address,
            port=sshd.port,
            user=user,
            mode=mode,
            host_key=sshd.host_key,
            private_key=EncryptedField.seal(lab.key.private),
            state=Server.State.READY,
        )

    return make


@pytest.fixture
def backup_host(lab: Lab, settings: Any) -> Iterator[Sshd]:
    """This host's own sshd, as servers in direct mode find it."""
    with running(lab, "127.0.0.12") as server:
        settings.BACKUP_HOST, settings.BACKUP_HOST_PORT, settings.BACKUP_HOST_USER = server.address, server.port, "root"
        settings.AUTHORIZED_KEYS_FILE = server.authorized_keys("root")
        yield server


@pytest.fixture
def make_direct(backup_host: Sshd) -> Iterator[Callable[[Server], None]]:
    """Give a server its own key for direct backups, as its set-up does; removed at the end."""
    made = []

    def give(server: Server) -> None:
        host = reach.host_for(server)
        request = {
            "installation": keys.installation_id(),
            "action": "make",
            "address": backup_host.address,
            "port": backup_host.port,
            "user": "root",
            "host_keys": [backup_host.host_key],
        }
        server.direct_public_key = host.call("direct_key", request)["public_key"]
        server.save(update_fields=["direct_public_key"])
        made.append(host)

    yield give
    for host in made:
        host.call("direct_key", {"installation": keys.installation_id(), "action": "remove"})


WAYS = ["local", "tunnel-root", "tunnel-sudo", "direct-root", "direct-sudo"]


@pytest.fixture(params=WAYS)
def any_server(request: pytest.FixtureRequest, lab: Lab) -> Server:
    """Every way on which data can travel."""
    return server_for(request, request.param, lab)


def server_for(request: pytest.FixtureRequest, way: str, lab: Lab) -> Server:
    """The server row for one of WAYS."""
    if way == "local":
        local: Server = request.getfixturevalue("local_server")
        return local
    mode, user = way.split("-")
    make = request.getfixturevalue("ssh_server")
    server: Server = make("root" if user == "root" else lab.account, mode)
    if mode == "direct":
        request.getfixturevalue("make_direct")(server)
    return server


@pytest.fixture
def hook() -> Iterator[Callable[[str], str]]:
    """`hook(script)`: a script of root in /etc/phpborg/hooks; removed at the end."""
    directory = Path("/etc/phpborg/hooks")
    existed = [path for path in (directory.parent, directory) if path.exists()]
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    made: list[Path] = []

    def write(script: str) -> str:
        path = directory / f"test-{uuid.uuid4().hex[:12]}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        made.append(path)
        return path.name

    yield write
    for path in made:
        path.unlink()
    for folder in (directory, directory.parent):
        if folder not in existed:
            with suppress(OSError):
                folder.rmdir()
