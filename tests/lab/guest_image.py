"""What the guest boots from: a Debian root as an image, and drives with volume groups; made once, kept in the cache.

`guest_root/` is laid over the root: the first process, what fills the drives, sshd's configuration.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.install.bare_root import debian_source
from tests.lab.cache import cached, is_there
from tests.support.sshd import make_host_key

PACKAGES = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "lz4",
    "udev",
    "kmod",
    "lvm2",
    "thin-provisioning-tools",
    "xfsprogs",
    "btrfs-progs",
    "e2fsprogs",
    "iproute2",
    "procps",
    "psmisc",
    "openssh-server",
    "sudo",
    "socat",
    "python3",
    "borgbackup",
    "python3-pyfuse3",
    "fuse3",
    "postgresql-15",
    "mariadb-server",
    "mariadb-backup",
)
IMAGE_SIZE = "3G"
DRIVE_BYTES = 2 << 30
PREPARE_SECONDS = 180
# Read by nobody in the guest.
_LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")
_OVERLAY = Path(__file__).parent / "guest_root"
# In mounts and processes of their own: what they leave mounted or running is gone with them.
APART = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--")
# What fills the drives later lies apart, so that a server on an unmounted drive does not start by mistake.
_FINISH = """set -eu
pg_dropcluster 15 main
pg_createcluster --locale=C.UTF-8 --port 5432 -d /srv/data/postgresql/15/main 15 main >/dev/null
mkdir -p /usr/share/lab/thin /srv/thin
mv /srv/data /usr/share/lab/data
mv /var/lib/mysql /usr/share/lab/mysql
mkdir /srv/data /var/lib/mysql
chown mysql:mysql /var/lib/mysql
echo "in a thin volume" >/usr/share/lab/thin/file
useradd --create-home --shell /bin/bash --password '*' phpborg
update-initramfs -u
"""


def emulator(*drives: str, megabytes: int = 1024) -> list[str]:
    """QEMU's command line for a machine with these `drive()`s (vda, vdb …), without the kernel and its words.

    Software emulation: KVM is missing or broken where tests run. A plain processor is emulated faster than “max”.
    """
    argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "Westmere", "-smp", "2"]
    argv += ["-m", str(megabytes), "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
    # It ends with the process that started it, however that one ends.
    argv[:0] = ["setpriv", "--pdeathsig", "KILL", "--"]
    for words in drives:
        argv += ["-drive", words]
    return argv


def drive(path: Path, *, keep: bool) -> str:
    """A raw image as a drive. Without `keep` writes go to a file of QEMU's without a name, and are gone at the end."""
    name = str(path).replace(",", ",,")
    words = f"file={name},format=raw,if=virtio,cache=unsafe,discard=unmap,detect-zeroes=unmap"
    return words if keep else f"{words},snapshot=on"


def kernel_words(image: Path, *words: str) -> list[str]:
    """QEMU's options that start this image's kernel; `words` are for guest_root's lab-init."""
    line = [
        "root=/dev/vda",
        "rw",
        "init=/usr/local/sbin/lab-init",
        "console=ttyS0",
        "quiet",
        "panic=-1",
        "mitigations=off",
    ]
    return ["-kernel", str(image / "kernel"), "-initrd", str(image / "initrd"), "-append", " ".join([*line, *words])]


def image() -> Path:
    """A directory with `root.img`, `kernel`, `initrd` and `host_key` ("type base64")."""
    return cached("guest-image", recipe(), _build_image)


def drives() -> Path:
    """A directory with `vg-a.img`, `vg-thin.img` and an `empty.img` (see guest_root's lab-prepare)."""
    return cached("guest-drives", _drives_recipe(), _build_drives)


def is_built() -> bool:
    """Are the image and the drives there?"""
    return is_there("guest-image", recipe()) and is_there("guest-drives", _drives_recipe())


def _drives_recipe() -> str:
    return f"{recipe()} {DRIVE_BYTES}"


def recipe() -> str:
    """All that decides on the image."""
    files = sorted(path for path in _OVERLAY.rglob("*") if path.is_file())
    contents = [f"{path.relative_to(_OVERLAY)}\n{path.read_text()}" for path in files]
    return "\n".join([debian_source()[1], *PACKAGES, IMAGE_SIZE, _FINISH, *_LEFT_OUT, *contents])


def _build_image(place: Path) -> None:
    site, release = debian_source()
    root = place / "root"
    include = f"--include={','.join(PACKAGES)}"
    debootstrap = ("debootstrap", "--variant=minbase", include, release, str(root), site)
    run(*APART, *debootstrap, log=place / "log")
    shutil.copytree(_OVERLAY, root, dirs_exist_ok=True)
    run(*APART, "chroot", str(root), "/bin/sh", "-c", _FINISH, log=place / "log")
    for path in (root / "etc/ssh").glob("ssh_host_*"):
        path.unlink()
    (place / "host_key").write_text(make_host_key(root / "etc/ssh/ssh_host_ed25519_key"))
    for kind, name in (("vmlinuz", "kernel"), ("initrd.img", "initrd")):
        next((root / "boot").glob(f"{kind}-*")).rename(place / name)
    pack(root, place, IMAGE_SIZE)


def pack(root: Path, place: Path, size: str) -> None:
    """Make `root.img` of this tree, without what nobody reads; the tree is gone then."""
    for name in _LEFT_OUT:
        shutil.rmtree(root / name)
        (root / name).mkdir()
    run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(place / "root.img"), size, log=place / "log")
    shutil.rmtree(root)


def _build_drives(place: Path) -> None:
    made_from = image()
    for name in ("vg-a.img", "vg-thin.img", "empty.img"):
        with (place / name).open("wb") as file:
            file.truncate(DRIVE_BYTES)
    groups = [drive(place / name, keep=True) for name in ("vg-a.img", "vg-thin.img")]
    argv = emulator(drive(made_from / "root.img", keep=False), *groups) + kernel_words(made_from, "lab.prepare")
    run(*argv, log=place / "log", seconds=PREPARE_SECONDS)
    said = (place / "log").read_text(errors="replace")
    assert "lab-guest: prepared" in said, f"the guest did not prepare its drives:\n{said[-3000:]}"


def run(*argv: str, log: Path, seconds: float | None = None) -> None:
    """Run it with its output in `log`; AssertionError with the end of that when it fails or is late."""
    with log.open("ab") as file:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
            process.wait()
    assert code == 0, f"{argv[0]} ended with {code}:\n{log.read_text(errors='replace')[-3000:]}"
