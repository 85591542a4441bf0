"""The virtual machine with its databases on ZFS: a pool on the empty drive, the data moved there from LVM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import zfs_image
from tests.lab.guest import Guest, running_guest

# One dataset that ZFS mounts and one that is mounted by hand, as both are found. A page of InnoDB is a record.
_SETUP = """set -e
modprobe zfs
zpool create -O atime=off -O compression=lz4 tank /dev/vdd
zfs create -o canmount=noauto -o recordsize=8k -o mountpoint=/srv/data tank/data
zfs create -o recordsize=16k -o mountpoint=legacy tank/mysql
move() { # DIRECTORY MOUNT…: its content goes to what is mounted there from now on
    directory=$1
    shift
    mkdir /run/moved
    mount --move "$directory" /run/moved 2>/dev/null || { umount "$directory"; exit 1; }
    "$@"
    cp -a /run/moved/. "$directory/"
    umount /run/moved
    rmdir /run/moved
}
move /srv/data zfs mount tank/data
move /var/lib/mysql mount -t zfs tank/mysql /var/lib/mysql
zfs create tank/files
zfs create "tank/two words"
"""


@contextmanager
def running_zfs_guest() -> Iterator[Guest]:
    """A fresh machine for a block. Raises LabFailed; AssertionError with the tools' words when ZFS does not work."""
    with running_guest(zfs_image.image) as guest:
        guest.execute(("sh", "-c", _SETUP))
        yield guest


def snapshots(guest: Guest) -> list[str]:
    """All of ZFS's, as dataset@name; none where there is no ZFS."""
    listed = "if [ -d /sys/module/zfs ]; then zfs list -H -t snapshot -o name; fi"
    return guest.execute(("sh", "-c", listed)).stdout.decode().splitlines()
