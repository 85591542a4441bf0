"""What a test may ask for of the virtual machine and the loop devices; imported by conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.guest import Guest, running_guest
from tests.lab.loops import Place, mounted
from tests.lab.zfs_guest import running_zfs_guest


@pytest.fixture(scope="session")
def guest() -> Iterator[Guest]:
    """A virtual machine with LVM: vg-a/lv-data (xfs), vg-a/lv-mysql (ext4), vg-thin/thin-data (ext4), all mounted."""
    with running_guest() as running:
        yield running


@pytest.fixture(scope="session")
def zfs_guest() -> Iterator[Guest]:
    """The same with a pool “tank”: data at /srv/data, mysql at /var/lib/mysql, files and “two words” below /tank."""
    with running_zfs_guest() as running:
        yield running


@pytest.fixture
def btrfs_place() -> Iterator[Place]:
    """An empty btrfs of 512 MiB on a loop device, mounted, with one subvolume."""
    with mounted("btrfs") as place:
        yield place


@pytest.fixture
def ext4_place() -> Iterator[Place]:
    """An empty ext4 of 512 MiB on a loop device, mounted."""
    with mounted("ext4") as place:
        yield place


@pytest.fixture
def xfs_place() -> Iterator[Place]:
    """An empty xfs of 512 MiB on a loop device, mounted."""
    with mounted("xfs") as place:
        yield place
