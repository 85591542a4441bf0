"""The verb `snapshot` on real volumes: LVM in the virtual machine, btrfs on a loop device. Made, read, removed."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from servers import errors
from servers.transport import host_for
from servers.transport.base import Host
from tests.lab.test_guest import writes_in
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
