"""An archive made by an attacker, or an attacker beside a restore, must not make root write elsewhere."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from django.utils import timezone

from backups.models import Archive
from backups.services import repositories
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from recovery.models import Restore
from recovery.services import restores
from servers.remote import copying, placing, wire
from servers.transport.tunnel import link
from tests.support.archives import PASSPHRASE, Storage, in_repository, storage
from tests.transport.conftest import PASSPHRASE as OTHER_PASSPHRASE

__all__ = ["storage"]
ROOT = Path(__file__).parents[2]


def hostile_tar(path: Path, victim: Path) -> Path:
    """What no walk over a filesystem yields: a link, and entries "below" it."""
    with tarfile.open(path, "w") as tar:
        for name in ("home/link", "home/folder"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, str(victim)
            tar.addfile(entry)
        for name in ("home/link/planted", "home/honest", "home/a/../../../../victim/dots"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid = 5, 4242
            tar.addfile(entry, io.BytesIO(b"owned"))
        entry = tarfile.TarInfo("home/folder/inside")
        entry.type, entry.mode, entry.uid = tarfile.DIRTYPE, 0o4777, 4242
        tar.addfile(entry)
    return path


def import_tar(tar: Path, location: str, passphrase: str, base: Path | str) -> None:
    env = {**os.environ, "BORG_PASSPHRASE": passphrase, "BORG_BASE_DIR": str(base), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    subprocess.run(["borg", "import-tar", location, str(tar)], env=env, check=True, capture_output=True)


@pytest.mark.real
@pytest.mark.django_db
def test_a_link_in_an_archive_does_not_lead_the_restore_out(
    storage: Storage, run_pending: Callable[..., list[Task]], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    base = repositories.base_dir_of(storage.repository)
    tar = hostile_tar(tmp_path / "hostile.tar", victim)
    import_tar(tar, f"{storage.repository.path}::hostile", PASSPHRASE, base)
    fact = in_repository(repositories.borg_of(storage.repository), "hostile")
    assert fact is not None
    archive = Archive.objects.create(
        repository=storage.repository,
        server=storage.server,
        server_name=storage.server.name,
        name="hostile",
        borg_id=fact.id,
        started_at=fact.started_at or timezone.now(),
        grade="success",
    )
    _row, task = restores.create_and_start(
        archive=archive,
        server=storage.server,
        selection=[""],
        destination=Restore.Destination.OTHER_PATH,
        target_path=str(tmp_path / "out"),
    )
    run_pending()
    task.refresh_from_db()
    assert list(victim.iterdir()) == []
    assert (tmp_path / "out/home/honest").read_bytes() == b"owned"
    assert task.state == State.INCOMPLETE, (task.error_code, task.error_detail, task.log_tail)
    assert not list((tmp_path / "out").glob(".phpborg-*"))


@pytest.mark.real
def test_no_way_to_a_server_follows_such_a_link(host, place, token, repository):
    victim = place / "victim"
    victim.mkdir()
    import_tar(hostile_tar(place / "h.tar", victim), f"{repository}::h", OTHER_PASSPHRASE, place / "borg-base")
    staging = {"target": str(place / "out"), "token": token}
    host.call("stage", staging)
    with link(host, str(repository), mode="tunnel", token=token) as way:
        argv = ["extract", "--log-json", way.location("h")]
        ended = host.run("borg", {"argv": argv, "staging": staging}, secrets={"passphrase": OTHER_PASSPHRASE}, link=way)
    assert ended.exit.code == 1, ended.exit.stderr_tail
    assert list(victim.iterdir()) == []
    placed = host.call("place", {**staging, "conflict": "keep"})
    host.call("unstage", staging)
    assert placed["failed"] == 0
    assert sorted(path.name for path in (place / "out").iterdir()) == ["home"]
    assert (place / "out/home/honest").stat().st_uid == 4242


@pytest.mark.real
def test_the_owner_of_the_target_cannot_exchange_the_staging_directory(place):
    """Borg writes by path; whoever owns the directory above may rename what is in it."""
    (place / "victim").mkdir()
    staged = place / "staged"
    staged.mkdir()
    code = (
        "import os, sys; from servers.remote import confine\n"
        "opened = os.open(sys.argv[1], os.O_RDONLY)\n"
        "os.fchdir(confine.extraction(opened, os.fsencode(sys.argv[1]), []))\n"
        "print(os.getcwd(), flush=True); sys.stdin.readline()\n"
        "open(os.path.join(os.getcwd(), 'file'), 'w').write('x')\n"
        "for path in sys.argv[1:]:\n"
        "    try: open(path + '/escaped', 'w')\n"
        "    except OSError as error: print(error.errno, flush=True)\n"
    )
    argv = [sys.executable, "-c", code, str(staged), str(place / "victim")]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().strip() != str(staged)
        staged.rename(place / "moved")
        staged.symlink_to(place / "victim")
        said, _ = process.communicate("go\n", timeout=10)
    assert said.split() == ["30", "30"]  # a read-only filesystem
    assert list((place / "victim").iterdir()) == []
    assert (place / "moved/file").read_text() == "x"


def test_a_directory_on_the_way_is_not_opened_up_through_a_link(tmp_path, monkeypatch):
    """The owner of the target puts a link where a directory was just made."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    (tmp_path / "target").mkdir()

    def exchanged(name, mode=0o777, *, dir_fd=None):
        os.symlink(secret, name, dir_fd=dir_fd)

    monkeypatch.setattr(placing.os, "mkdir", exchanged)
    root = os.open(tmp_path / "target", os.O_RDONLY)
    with suppress(wire.Refused, OSError):
        placing._parent(b"a/b", root, create=True)
    os.close(root)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_the_mode_of_a_pipe_is_not_given_to_what_a_link_leads_to(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text("p")
    program.chmod(0o755)
    os.mkfifo(tmp_path / "source")
    (tmp_path / "source").chmod(0o4777)

    def exchanged(name, mode=0o600, device=0, *, dir_fd=None):
        os.symlink(program, name, dir_fd=dir_fd)

    monkeypatch.setattr(copying.os, "mknod", exchanged)
    directory = os.open(tmp_path, os.O_RDONLY)
    with suppress(wire.Refused, OSError):
        copying.copy_entry(b"source", directory, b"name", directory, None)
    os.close(directory)
    assert stat.S_IMODE(program.stat().st_mode) == 0o755


def test_a_pipe_keeps_its_mode(tmp_path):
    os.mkfifo(tmp_path / "source")
    (tmp_path / "source").chmod(0o622)
    directory = os.open(tmp_path, os.O_RDONLY)
    copying.copy_entry(b"source", directory, b"name", directory, None)
    os.close(directory)
    assert stat.S_IMODE((tmp_path / "name").stat().st_mode) == 0o622


@pytest.mark.real
def test_a_tree_as_deep_as_a_path_can_be_is_removed(host, place, token):
    staging = {"target": str(place / "t"), "token": token}
    made = host.call("stage", staging)["path"]
    current = os.open(made, os.O_RDONLY)
    for _ in range(1900):
        os.mkdir("d", dir_fd=current)
        below = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)
    assert json.dumps(host.call("unstage", staging)) == '{"removed": true}'
    assert not os.path.lexists(made)
