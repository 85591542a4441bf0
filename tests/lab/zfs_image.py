"""The virtual machine's root once more, with ZFS: Debian builds the kernel's module from source, outside the guest.

Same drives, same accounts, same first process; the pool is made on the empty drive by who wants one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.install.bare_root import debian_source
from tests.lab import guest_image
from tests.lab.cache import cached, is_there

NAME = "guest-zfs"
IMAGE_SIZE = "4G"
# The kernel, its headers and the module are of one moment: of an older image's kernel the headers may be gone.
_INSTALL = """set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
mount -t proc proc /proc
echo "deb $0 $1 main contrib" >/etc/apt/sources.list
apt-get -q update
apt-get -q -y --no-install-recommends install linux-image-cloud-amd64 linux-headers-cloud-amd64 zfsutils-linux
nice apt-get -q -y --no-install-recommends install zfs-dkms
kernel=$(ls -v /lib/modules | tail -n 1)
depmod "$kernel"
modinfo --set-version "$kernel" zfs
# A guest with little memory; what is in the pool is small.
echo "options zfs zfs_arc_max=67108864" >/etc/modprobe.d/lab-zfs.conf
"""


def image() -> Path:
    """A directory as guest_image.image() gives it; made in some ten minutes."""
    return cached(NAME, _recipe(), _build)


def is_built() -> bool:
    """Is it there?"""
    return is_there(NAME, _recipe())


def _recipe() -> str:
    return "\n".join([guest_image.recipe(), IMAGE_SIZE, _INSTALL])


def _build(place: Path) -> None:
    base, root, log = guest_image.image(), place / "root", place / "log"
    root.mkdir()
    copy = 'mount -o ro,loop,noload "$0" /mnt && cp -a /mnt/. "$1"'
    guest_image.run(*guest_image.APART, "sh", "-c", copy, str(base / "root.img"), str(root), log=log)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    words = ("chroot", str(root), "/bin/sh", "-c", _INSTALL, *debian_source())
    guest_image.run(*guest_image.APART, *words, log=log)
    shutil.copy2(base / "host_key", place)
    for kind, name in (("vmlinuz", "kernel"), ("initrd.img", "initrd")):
        # None: the base's kernel is still the newest.
        newer = sorted((root / "boot").glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)
        shutil.copy2(newer[-1] if newer else base / name, place / name)
    guest_image.pack(root, place, IMAGE_SIZE)
