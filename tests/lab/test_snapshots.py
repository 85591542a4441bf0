"""The verb `snapshot` on real volumes: LVM in the virtual machine, btrfs on a loop device. Made, read, removed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.transport import host_for
from servers.transport.base import Host
from servers.transport.tunnel import link
from tests.lab.test_guest import writes_in
from tests.support import mariadb
from tests.support.sshd import Lab, local_target

pytestmark = pytest.mark.lab


@pytest.fixture
def token() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def virtual(guest) -> Host:
    """The virtual machine, by sudo over ssh."""
    return host_for(guest.sudo_target())


@pytest.fixture(scope="module")
def here():
    """This machine, as root."""
    lab = Lab.create()
    yield host_for(local_target(lab))
    lab.remove()


def ask(host: Host, action: str, token: str, **volume: object) -> dict:
    return host.call("snapshot", {"action": action, "token": token, **volume}, timeout=120)


def lvs(guest) -> set[str]:
    said = json.loads(guest.execute(("lvs", "--reportformat", "json")).stdout)
    return {row["lv_name"] for report in said["report"] for row in report["lv"]}


DATA = {"kind": "lvm", "vg": "vg-a", "lv": "lv-data", "size_bytes": 123_456_789}
THIN = {"kind": "lvm", "vg": "vg-thin", "lv": "thin-data"}


@pytest.mark.parametrize(("volume", "place", "kind"), [(DATA, "/srv/data", "xfs"), (THIN, "/srv/thin", "ext4")])
def test_lvm_under_writes(guest, virtual, token, volume, place, kind):
    with writes_in(guest, f"{place}/w"):
        made = ask(virtual, "make", token, **volume)
        assert (made["origins"], made["type"]) == ([place], kind)
        seen = guest.execute(("cat", f"{made['mountpoint']}/w/lines")).stdout
        assert ask(virtual, "state", token, **volume)["valid"] is True
        later = guest.execute(("cat", f"{made['mountpoint']}/w/lines")).stdout
        assert seen == later  # frozen, while the original grows
        written = guest.execute(("touch", f"{made['mountpoint']}/x"), check=False)
        assert written.returncode != 0
    removed = ask(virtual, "remove", token, **volume)["removed"]
    assert removed == [made["mountpoint"], made["name"]]
    assert ask(virtual, "remove", token, **volume)["removed"] == []
    assert not [name for name in lvs(guest) if name.startswith("phpborg-")]
    assert guest.execute(("sh", "-c", "ls -d /run/phpborg/snapshot-* 2>/dev/null"), check=False).stdout == b""


def test_an_overflow_is_seen(guest, virtual, token):
    made = ask(virtual, "make", token, **{**DATA, "size_bytes": 4 << 20})
    try:
        guest.execute(("dd", "if=/dev/urandom", "of=/srv/data/flood", "bs=1M", "count=24", "conv=fsync"))
        state = ask(virtual, "state", token, **DATA)
        assert (state["exists"], state["valid"]) == (True, False)
    finally:
        guest.execute(("rm", "-f", "/srv/data/flood"))
        assert made["name"] in ask(virtual, "remove", token, **DATA)["removed"]


def test_no_room_is_told_with_both_numbers(virtual, token):
    with pytest.raises(errors.SnapshotNoRoom, match="bytes free, the snapshot needs 1099511627776"):
        ask(virtual, "make", token, **{**DATA, "size_bytes": 1 << 40})
    assert ask(virtual, "remove", token, **DATA)["removed"] == []


@pytest.mark.parametrize("volume", [{"lv": "nothing"}, {"lv": "-rf"}, {"vg": 'a" || vg_name!="'}, {"size_bytes": -1}])
def test_what_is_not_there_or_not_a_name_is_refused(guest, virtual, token, volume):
    before = lvs(guest)
    with pytest.raises((errors.RemotePathMissing, errors.RequestRefused)):
        ask(virtual, "make", token, **{**DATA, **volume})
    assert lvs(guest) == before


def test_a_failed_mount_leaves_no_snapshot(guest, virtual, token):
    """The place to mount at is taken by a file system that cannot be used: here, by a mount over /run/phpborg."""
    guest.execute(("sh", "-c", "mkdir -p /run/phpborg && mount -t tmpfs -o ro none /run/phpborg"))
    try:
        with pytest.raises(errors.RemoteFailed, match="Read-only"):
            ask(virtual, "make", token, **DATA)
    finally:
        guest.execute(("umount", "/run/phpborg"))
    assert not [name for name in lvs(guest) if name.startswith("phpborg-")]


def test_btrfs_and_what_lies_in_subvolumes_below(btrfs_place, here, token):
    volume = {"kind": "btrfs", "device": btrfs_place.device, "subvolume": f"/{btrfs_place.subvolume.name}"}
    (btrfs_place.subvolume / "file").write_text("before")
    made = ask(here, "make", token, **volume)
    try:
        (btrfs_place.subvolume / "file").write_text("after")
        view = Path(made["mountpoint"])
        assert (view / "file").read_text() == "before"
        assert made["origins"] == [str(btrfs_place.subvolume)]
        assert made["left_out"] == []
        with pytest.raises(OSError, match="Read-only"):
            (view / "new").touch()
        with pytest.raises(errors.RemoteFailed, match="exists already"):
            ask(here, "make", token, **volume)
        assert ask(here, "state", token, **volume) == {"exists": True, "valid": True, "used_percent": None}
    finally:
        removed = ask(here, "remove", token, **volume)["removed"]
    assert made["name"] in removed
    assert ask(here, "remove", token, **volume)["removed"] == []
    assert sorted(path.name for path in btrfs_place.path.iterdir()) == [btrfs_place.subvolume.name]
    assert not view.parent.exists()


def test_btrfs_that_is_not_a_subvolume_leaves_nothing(btrfs_place, here, token):
    (btrfs_place.path / "folder").mkdir()
    volume = {"kind": "btrfs", "device": btrfs_place.device, "subvolume": "/folder"}
    with pytest.raises(errors.SnapshotFailed, match=r"(?i)not a.*subvolume"):
        ask(here, "make", token, **volume)
    assert not list(Path("/run/phpborg").glob(f"snapshot-{token}*"))


# Borg reads a snapshot at the place of what it was made of


PASSPHRASE = "pa$s 'w\"ord"


@pytest.fixture
def repository(tmp_path) -> Path:
    path = tmp_path / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(tmp_path / "base")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    return path


def create(host: Host, repository: Path, archive: str, path: str, **args: Any) -> dict[str, str]:
    """Make an archive through the helper: the status that borg gave each file."""
    with link(host, str(repository), mode="tunnel", token=uuid.uuid4().hex) as way:
        argv = ["create", "--log-json", "--list", way.location(archive), path]
        ended = host.run("borg", {"argv": argv, **args}, secrets={"passphrase": PASSPHRASE}, link=way)
    assert ended.exit.code == 0, ended.exit.stderr_tail
    rows = [json.loads(line) for line in ended.exit.stderr_tail.splitlines() if line.startswith("{")]
    return {row["path"]: row["status"] for row in rows if row["type"] == "file_status"}


def test_borg_finds_files_of_a_second_snapshot_unchanged(btrfs_place, here, repository):
    volume = {"kind": "btrfs", "device": btrfs_place.device, "subvolume": f"/{btrfs_place.subvolume.name}"}
    data = btrfs_place.subvolume / "da ta"
    data.mkdir()
    seen = []
    for name in ("one", "two"):
        # Older than the newest file: only those are remembered.
        (data / name).write_text(name)
        time.sleep(0.05)
        (data / "newest").write_text(name)
        token = uuid.uuid4().hex
        made = ask(here, "make", token, **volume)
        try:
            (data / f"after {name}").write_text("not frozen")
            views = [{"token": token, "inside": "/da ta", "at": str(data)}]
            seen.append(create(here, repository, name, str(data), views=views))
        finally:
            assert made["name"] in ask(here, "remove", token, **volume)["removed"]
    assert seen[0][str(data / "one")] == "A"
    assert (seen[1][str(data / "one")], seen[1][str(data / "two")]) == ("U", "A")
    assert str(data / "after two") not in seen[1]


def test_what_is_seen_through_a_bind_mount_is_archived_under_its_name_there(btrfs_place, here, repository):
    volume = {"kind": "btrfs", "device": btrfs_place.device, "subvolume": f"/{btrfs_place.subvolume.name}"}
    inner, bound, token = btrfs_place.subvolume / "in ner", btrfs_place.path.parent / "bo und", uuid.uuid4().hex
    inner.mkdir()
    bound.mkdir()
    (inner / "file").write_text("frozen")
    subprocess.run(["mount", "--bind", str(inner), str(bound)], check=True)
    try:
        ask(here, "make", token, **volume)
        (inner / "later").touch()
        seen = create(
            here, repository, "one", str(bound), views=[{"token": token, "inside": "/in ner", "at": str(bound)}]
        )
    finally:
        ask(here, "remove", token, **volume)
        subprocess.run(["umount", str(bound)], check=True)
    assert set(seen) == {str(bound), str(bound / "file")}


# A database server that is kept still


@pytest.fixture
def database(btrfs_place) -> Iterator[mariadb.Server]:
    """MariaDB with its data on the subvolume and a table that must be locked."""
    with mariadb.running(btrfs_place.subvolume / "mysql", btrfs_place.path / "run") as server:
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.m (a INT) ENGINE=MyISAM;")
        yield server


_MAKER = """
import json, sys, time
from servers.remote import children, snapshots, wire
from servers.remote.snapshots import btrfs
children.use_guard(children.start_guard())
request, step = json.loads(sys.stdin.readline())
def pause(name):
    if name == step:
        print(name, flush=True)
        time.sleep(120)
real = {name: getattr(btrfs, name) for name in ("act", "show", "_check_way")}
def act(argv, place):
    if "snapshot" not in argv:
        return real["act"](argv, place)
    pause("held")
    if step == "in the tool":
        print(step, flush=True)
        argv = ["sh", "-c", 'sleep 2; exec "$@"', "sh", *argv]
    real["act"](argv, place)
    pause("frozen")
def show(*args):
    pause("released")
    real["show"](*args)
    pause("mounted")
def check_way(*args):
    pause("top")
    return real["_check_way"](*args)
btrfs.act, btrfs.show, btrfs._check_way = act, show, check_way
snapshots.snapshot(wire.Request(json.dumps(request).encode()), wire.Control(60))
pause("answered")
"""


@contextmanager
def killed_at(args: dict[str, Any], step: str) -> Iterator[None]:
    """A helper that makes a snapshot, up to a step; killed there at the end of the block."""
    argv = [sys.executable, "-c", _MAKER]
    helper = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert helper.stdin
    assert helper.stdout
    try:
        request = {"nonce": "0" * 16, "v": 1, "verb": "snapshot", "args": args}
        helper.stdin.write(json.dumps([request, step]).encode() + b"\n")
        helper.stdin.flush()
        said = [helper.stdout.readline().decode().strip()]
        if step == "answered":
            said = [helper.stdout.readline().decode().strip()]
        assert said == [step]
        yield
    finally:
        helper.kill()
        helper.wait()
        helper.stdin.close()
        helper.stdout.close()


def writes_at_once(database: mariadb.Server) -> None:
    began = time.monotonic()
    database.sql("SET lock_wait_timeout = 5; INSERT INTO shop.m VALUES (1);")
    assert time.monotonic() - began < 2


def is_locked(database: mariadb.Server) -> bool:
    return database.client("--execute=SET lock_wait_timeout = 1; INSERT INTO shop.m VALUES (2);").returncode != 0


def test_a_helper_that_is_killed_at_any_step_leaves_no_lock_and_the_rest_is_removed(btrfs_place, here, database):
    volume = {"kind": "btrfs", "device": btrfs_place.device, "subvolume": f"/{btrfs_place.subvolume.name}"}
    hold = {"engine": "mysql", **database.where}
    for step in ("top", "held", "in the tool", "frozen", "released", "mounted", "answered"):
        token = uuid.uuid4().hex
        with killed_at({"action": "make", "token": token, "hold": hold, **volume}, step):
            assert is_locked(database) == (step in ("held", "in the tool", "frozen")), step
        writes_at_once(database)
        removed = ask(here, "remove", token, **volume)["removed"]
        made = step not in ("top", "held")
        assert (f"phpborg-{token}" in removed) == made, step
        assert {path.name for path in btrfs_place.path.iterdir()} == {"data", "run"}, step
        assert not Path(f"/run/phpborg/snapshot-{token}").exists(), step
        assert ask(here, "remove", token, **volume)["removed"] == []


def test_a_frozen_mariadb_starts_again_with_all_that_was_committed(btrfs_place, here, database, token, tmp_path):
    database.sql("CREATE TABLE shop.i (a INT) ENGINE=InnoDB;")
    for number in range(20):
        database.sql(f"INSERT INTO shop.i VALUES ({number}); INSERT INTO shop.m VALUES ({number});")
    volume = {"kind": "btrfs", "device": btrfs_place.device, "subvolume": f"/{btrfs_place.subvolume.name}"}
    made = ask(here, "make", token, **volume, hold={"engine": "mysql", **database.where})
    try:
        assert made["hold"]["locked"] is True
        assert 0 < made["hold"]["locked_seconds"] < 10
        assert made["hold"]["other_engines"] == {"MyISAM": 1}
        writes_at_once(database)
        copy = btrfs_place.path / "run/copy"
        subprocess.run(["cp", "-a", f"{made['mountpoint']}/mysql", str(copy)], check=True)
    finally:
        ask(here, "remove", token, **volume)
    with mariadb.running(copy, btrfs_place.path / "run/again") as again:
        assert (
            again.sql("SELECT COUNT(*), SUM(a) FROM shop.i; SELECT COUNT(*), SUM(a) FROM shop.m") == "20\t190\n20\t190"
        )
        assert again.sql("CHECK TABLE shop.m, shop.i").count("OK") == 2


def test_a_snapshot_that_fails_leaves_the_database_unlocked(btrfs_place, here, database, token):
    (btrfs_place.path / "folder").mkdir()
    volume = {"kind": "btrfs", "device": btrfs_place.device, "subvolume": "/folder"}
    with pytest.raises(errors.SnapshotFailed):
        ask(here, "make", token, **volume, hold={"engine": "mysql", **database.where})
    writes_at_once(database)
    assert not Path(f"/run/phpborg/snapshot-{token}").exists()


# LVM


def test_a_second_snapshot_of_a_classic_volume_is_refused_with_the_name_of_the_first(guest, virtual, token):
    made = ask(virtual, "make", token, **{**DATA, "size_bytes": 32 << 20})
    try:
        with pytest.raises(errors.SnapshotFailed, match=made["name"]):
            ask(virtual, "make", uuid.uuid4().hex, **{**DATA, "size_bytes": 32 << 20})
    finally:
        ask(virtual, "remove", token, **DATA)
    others = [uuid.uuid4().hex, uuid.uuid4().hex]
    try:
        for one in others:
            ask(virtual, "make", one, **THIN)
    finally:
        for one in others:
            ask(virtual, "remove", one, **THIN)


def test_what_is_gone_has_nothing_to_remove(virtual, token):
    for volume in ({"lv": "gone"}, {"vg": "vg-gone"}):
        assert ask(virtual, "remove", token, **{**DATA, **volume})["removed"] == []


def test_a_removal_waits_for_who_still_reads(guest, virtual, token):
    """As borg does, whose mounts are its own: the view is unmounted here, and the volume is still in use there."""
    made = ask(virtual, "make", token, **{**DATA, "size_bytes": 32 << 20})
    reader = 'cd / && unshare -m sh -c "mount --make-rprivate /; sleep 8" </dev/null >/dev/null 2>&1 &'
    guest.execute(("sh", "-c", reader))
    time.sleep(2)
    assert made["name"] in ask(virtual, "remove", token, **DATA)["removed"]
    assert made["name"] not in lvs(guest)


def test_borg_reads_a_volume_of_lvm_at_its_place_while_mariadb_was_held(guest, virtual, repository, token):
    guest.start_mariadb()
    guest.mariadb("CREATE DATABASE IF NOT EXISTS held; CREATE TABLE held.m (a INT) ENGINE=MyISAM;")
    guest.mariadb("INSERT INTO held.m VALUES (1), (2);")
    volume = {"kind": "lvm", "vg": "vg-a", "lv": "lv-mysql", "size_bytes": 32 << 20}
    where = {"socket": "/run/mysqld/mysqld.sock", "login": {"method": "socket", "user": "root"}}
    try:
        made = ask(virtual, "make", token, **volume, hold={"engine": "mysql", **where})
        assert (made["hold"]["locked"], made["origins"]) == (True, ["/var/lib/mysql"])
        guest.mariadb("SET lock_wait_timeout = 5; INSERT INTO held.m VALUES (3);")
        views = [{"token": token, "inside": "/held", "at": "/var/lib/mysql/held"}]
        seen = create(virtual, repository, "one", "/var/lib/mysql/held", views=views)
        assert seen["/var/lib/mysql/held/m.MYD"] == "A"
        again = create(virtual, repository, "two", "/var/lib/mysql/held", views=views)
        assert "U" in again.values()
        ask(virtual, "remove", token, **volume)
        assert made["name"] not in lvs(guest)
    finally:
        ask(virtual, "remove", token, **volume)
        guest.mariadb("DROP DATABASE held;")
        guest.execute(("service", "mariadb", "stop"))
