"""Borg sees a snapshot at the place of the live system. Here a directory stands in for it; tests/lab has real ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote import children, confine, places, policy, tree, views, wire
from servers.remote.snapshots import tools
from servers.transport.tunnel import link
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real

by_sudo = pytest.mark.parametrize("host", ["sudo"], indirect=True)


@pytest.fixture
def live(place: Path) -> Path:
    """A directory of the live system, with what was written after the snapshot."""
    path = place / "live da ta"
    (path / "below").mkdir(parents=True)
    (path / "below/file").write_text("now")
    (path / "later").write_text("later")
    return path


@pytest.fixture
def frozen(place: Path) -> Path:
    """What a snapshot of it holds."""
    path = place / "frozen"
    (path / "below").mkdir(parents=True)
    for name in ("below/file", "newest"):
        (path / name).write_text("then " + name)
        time.sleep(0.02)  # borg remembers no file as young as the newest
    return path


@pytest.fixture
def snapshot(live: Path, frozen: Path) -> Iterator[Callable[[], str]]:
    """Each call is a snapshot; its token."""
    made: list[tools.Place] = []

    def make() -> str:
        found = tools.Place(uuid.uuid4().hex)
        made.append(found)
        Path(places.RUN).mkdir(mode=0o711, exist_ok=True)
        Path(found.directory).mkdir(mode=0o700)
        Path(found.mountpoint).mkdir(mode=0o700)
        tools.show(os.fsencode(frozen), found)
        found.remember([str(live)], [["/below", str(live / "bound")]])
        return found.token

    yield make
    for found in made:
        tools.unmount(found.mountpoint)
        found.forget()
        assert not Path(found.directory).exists()


@pytest.fixture
def create(host, repository: Path, token: str):
    """Make an archive with the helper: the status that borg gave each file."""

    def run(archive: str, path: Path, **args: Any) -> dict[str, str]:
        with link(host, str(repository), mode="tunnel", token=token) as way:
            argv = ["create", "--log-json", "--list", way.location(archive), str(path)]
            ended = host.run("borg", {"argv": argv, **args}, secrets={"passphrase": PASSPHRASE}, link=way)
        assert ended.exit.code == 0, ended.exit.stderr_tail
        rows = [json.loads(line) for line in ended.exit.stderr_tail.splitlines() if line.startswith("{")]
        return {row["path"]: row["status"] for row in rows if row["type"] == "file_status"}

    return run


def test_the_archive_has_what_was_frozen_under_the_names_of_the_live_system(create, snapshot, live, borg, repository):
    view = {"token": snapshot(), "inside": "/", "at": str(live)}
    create("one", live, views=[view])
    name = str(live / "below/file")[1:]
    assert borg("extract", "--stdout", f"{repository}::one", f"pp:{name}") == b"then below/file"
    listed = borg("list", "--short", f"{repository}::one").decode().splitlines()
    assert str(live / "newest")[1:] in listed
    assert str(live / "later")[1:] not in listed
    assert not tree.is_mounted(os.fsencode(live))
    assert (live / "below/file").read_text() == "now"


@by_sudo
def test_files_that_did_not_change_are_recognised_in_the_next_snapshot(create, snapshot, live, frozen):
    def view() -> list[dict[str, str]]:
        return [{"token": snapshot(), "inside": "/below", "at": str(live / "below")}]

    (frozen / "below/second").write_text("")
    name = str(live / "below/file")[1:]
    assert create("one", live / "below", views=view())[f"/{name}"] == "A"
    again = create("two", live / "below", views=view())
    assert again[f"/{name}"] == "U"
    (frozen / "below/file").write_text("changed after the first")
    assert create("three", live / "below", views=view())[f"/{name}"] == "M"


@by_sudo
@pytest.mark.parametrize(
    ("inside", "at", "error", "words"),
    [
        ("/", "/usr/lib", errors.UnsafePath, "is not where / of"),
        ("/below", "{live}", errors.UnsafePath, "is not where /below of"),
        ("/below/../below", "{live}/below", errors.UnsafePath, "must not contain"),
        ("/missing", "{live}/missing", errors.RemotePathMissing, "there is no"),
        ("/link", "{live}/link", errors.UnsafePath, "a symbolic link"),
        ("/newest", "{live}/newest", errors.UnsafePath, "a symbolic link or a file"),
        ("below", "{live}/below", errors.RequestRefused, "absolute"),
    ],
)
def test_a_view_is_the_picture_of_its_place_and_nothing_else(create, snapshot, live, frozen, inside, at, error, words):
    (frozen / "link").symlink_to("/etc")
    with pytest.raises(error, match=words):
        create("one", live, views=[{"token": snapshot(), "inside": inside, "at": at.format(live=live)}])


def test_a_bind_mount_of_a_part_is_a_place_of_that_part_alone(snapshot, live):
    place = tools.Place(snapshot())
    bound = os.fsencode(live / "bound")
    assert place.live(b"/below/file") == [os.fsencode(live / "below/file"), bound + b"/file"]
    assert place.live(b"/below") == [os.fsencode(live / "below"), bound]
    assert place.live(b"/belowed") == [os.fsencode(live / "belowed")]
    assert place.live(b"/") == [os.fsencode(live)]


def test_parts_of_a_volume_are_what_bind_mounts_show_of_it():
    def seen(root: str, path: str) -> tree.Mounted:
        return tree.Mounted(path.encode(), root.encode(), "0:1", "btrfs", b"/dev/x", [])

    mounted = [seen("/", "/mnt"), seen("/@data", "/srv"), seen("/@data/pg", "/var/lib/pg"), seen("/@database", "/x")]
    assert tools.parts(mounted, "/@data") == [["/pg", "/var/lib/pg"]]
    assert tools.parts(mounted) == [["/@data", "/srv"], ["/@data/pg", "/var/lib/pg"], ["/@database", "/x"]]


@by_sudo
def test_a_place_that_is_a_link_or_missing_in_the_live_system_is_refused(create, snapshot, live):
    views_ = [{"token": snapshot(), "inside": "/below", "at": str(live / "below")}]
    shutil.rmtree(live / "below")
    with pytest.raises(errors.RemotePathMissing):
        create("one", live, views=views_)
    (live / "below").symlink_to("/etc")
    with pytest.raises(errors.UnsafePath, match="a symbolic link"):
        create("one", live, views=views_)


@by_sudo
def test_what_is_no_snapshot_or_no_create_is_refused(create, snapshot, live, host, repository, token):
    with pytest.raises(errors.RemotePathMissing, match="there is no snapshot"):
        create("one", live, views=[{"token": "x" * 16, "inside": "/", "at": str(live)}])
    gone = snapshot()
    subprocess.run(["umount", tools.Place(gone).mountpoint], check=True)
    with pytest.raises(errors.RemotePathMissing, match="nothing is frozen"):
        create("one", live, views=[{"token": gone, "inside": "/", "at": str(live)}])
    for bad in ([], "x", [1], [{"token": gone, "inside": "/", "at": str(live)}] * 2):
        with pytest.raises(errors.RequestRefused):
            create("one", live, views=bad)
    with (
        link(host, str(repository), mode="tunnel", token=token) as way,
        pytest.raises(errors.RequestRefused, match="for create"),
    ):
        host.run("borg", {"argv": ["list", way.repository], "views": [1]}, link=way)


def test_neither_the_policy_nor_what_borg_needs_is_got_round(snapshot, live, monkeypatch):
    row = {"token": snapshot(), "inside": "/", "at": str(live)}
    asked = [str(live / "below"), str(live)]
    for path in asked:
        with pytest.raises(wire.Refused, match="would hide"):
            views.check([row], views.needed("/var/lib/x", path, None))
    assert len(views.check([row], views.needed("/var/lib/x", str(live.parent), None))) == 1
    monkeypatch.setattr(policy, "load", lambda: {"read_roots": ["/srv"]})
    with pytest.raises(wire.Refused, match="does not allow a backup of"):
        views.check([row], [])


def test_a_view_is_read_only_and_follows_what_the_system_unmounts(snapshot, live, place):
    """In a process of its own, as borg has it."""
    # As systemd mounts everything: who has mounts of his own may follow.
    shared, other = place / "shared", place / "shared/other"
    for path, more in ((shared, ["--make-shared"]), (other, [])):
        path.mkdir()
        subprocess.run(["mount", *more, "-t", "tmpfs", "none", str(path)], check=True)
    ready, go = place / "ready", place / "go"
    found = views.check([{"token": snapshot(), "inside": "/", "at": str(live)}], [])

    def inside() -> int:
        views.enter(found)
        status = os.statvfs(live)
        limits = os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV
        fine = status.f_flag & limits == limits and (live / "below/file").read_text().startswith("then")
        ready.touch()
        deadline = time.monotonic() + 10
        while not go.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return 0 if fine and not os.path.ismount(other) and tree.is_mounted(os.fsencode(live)) else 1

    pid = os.fork()
    if pid == 0:
        os._exit(children.in_own_process(inside))
    try:
        deadline = time.monotonic() + 10
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not tree.is_mounted(os.fsencode(live))
    finally:
        subprocess.run(["umount", str(other)], check=True)
        go.touch()
        subprocess.run(["umount", str(shared)], check=True)
        _, status = os.waitpid(pid, 0)
    assert os.WEXITSTATUS(status) == 0


def test_what_another_account_could_exchange_is_no_snapshot(snapshot, live):
    token = snapshot()
    Path(tools.Place(token).directory).chmod(0o711)
    with pytest.raises(wire.Refused, match="root's alone"):
        views.check([{"token": token, "inside": "/", "at": str(live)}], [])


def test_a_system_without_private_mounts_is_told(snapshot, live, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(confine, "separate", refuse)
    with pytest.raises(wire.Refused, match="no snapshot can be read"):
        views.enter(views.check([{"token": snapshot(), "inside": "/", "at": str(live)}], []))
