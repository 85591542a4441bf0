"""Mounts as the kernel lists them, and removal that never crosses one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from phpborg import mounts

TABLE = rb"""21 1 8:1 / / rw - ext4 /dev/sda1 rw
50 21 0:44 / /mnt/a\040b\011c\134 ro,nosuid shared:1 - fuse.borgfs borgfs ro
broken
"""


def test_mountinfo_is_read_with_its_escapes() -> None:
    root, fuse = mounts.mounted(TABLE)
    assert (str(root.path), root.kind) == ("/", "ext4")
    assert (str(fuse.path), fuse.kind, fuse.source) == ("/mnt/a b\tc\\", "fuse.borgfs", "borgfs")


def test_what_is_mounted_is_seen() -> None:
    assert mounts.is_mounted(Path("/proc"))
    assert mounts.is_mounted(Path("/proc/../proc"))
    assert not mounts.is_mounted(Path("/no/such"))


def test_links_on_the_way_are_followed_and_a_name_alone_is_no_parent(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self")
    assert mounts.is_mounted(tmp_path / "link/../../proc")
    assert mounts.mounts_below(tmp_path / "link" / "..")  # the directory /proc, not tmp_path
    assert not mounts.mounts_below(Path("/pro"))


NESTED = rb"""27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /srv/my\040share rw - ext3 /dev/below rw
41 27 0:50 / /srv/my\040share rw - nfs4 nas:/x rw
42 41 0:51 / /srv/my\040share/local rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/db", "ext4"),
        ("/srv/my share/var/db", "nfs4"),
        ("/srv/my share/local/db", "xfs"),
        ("/srv/my shared", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount_and_the_last_of_equals(
    path: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = mounts.mounted(NESTED)
    monkeypatch.setattr(mounts, "mounted", lambda: table)
    assert mounts.filesystem_of(Path(path)) == kind


def test_the_file_system_of_this_machine_is_found(tmp_path: Path) -> None:
    assert mounts.filesystem_of(Path("/proc")) == "proc"
    assert mounts.filesystem_of(tmp_path)


def test_removal_never_crosses_a_mount() -> None:
    with pytest.raises(OSError) as caught:
        mounts.remove_tree(Path("/proc"))
    assert caught.value.errno == errno.EBUSY


def test_removal_may_be_repeated_and_follows_no_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(kept)
    mounts.remove_tree(tree)
    mounts.remove_tree(tree)
    link = tmp_path / "link"
    link.symlink_to(kept)
    mounts.remove_tree(link)
    assert (kept / "file").exists()
    assert not link.is_symlink()
