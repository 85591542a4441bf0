"""The virtual machine: reached as the product does, with snapshots that can be made under writes."""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.remote.build import helper_version
from servers.transport import host_for
from tests.lab import guest_image
from tests.lab.guest import running_guest
from tests.lab.recording import RECORDED, record
from tests.support.sshd import processes_with

pytestmark = pytest.mark.lab

# Appends numbered lines until a file is gone; every line is whole.
WRITER = 'i=0; while [ -e "$1/go" ]; do i=$((i+1)); echo "line $i" >>"$1/lines"; done'


@contextmanager
def writes_in(guest, directory: str):
    """Something in the guest writes below `directory` for the length of a block."""
    guest.execute(("mkdir", "-p", directory))
    guest.execute(("touch", f"{directory}/go"))
    start = 'setsid sh -c "$0" writer "$1" </dev/null >/dev/null 2>&1 &'
    guest.execute(("sh", "-c", start, WRITER, directory))
    try:
        yield
    finally:
        guest.execute(("rm", "-f", f"{directory}/go"))


def lines_in(guest, path: str) -> list[str]:
    return guest.execute(("cat", path)).stdout.decode().splitlines()


def volumes(guest) -> dict[str, dict[str, str]]:
    """Every logical volume as `lvs` reports it, by "vg/lv"."""
    said = guest.execute(("lvs", "--reportformat", "json", "--units", "b", "--nosuffix")).stdout
    rows = [row for report in json.loads(said)["report"] for row in report["lv"]]
    return {f"{row['vg_name']}/{row['lv_name']}": row for row in rows}


def test_our_helper_answers_as_root_and_by_sudo(guest):
    for target in (guest.target(), guest.sudo_target()):
        facts = host_for(target).call("hello")
        assert (facts["user"], facts["version"]) == ("root", helper_version())
        assert facts["borg"]["version"].startswith("1.2")
    assert guest.execute(("hostname",)).stdout == b"lab-guest\n"


def test_its_volumes(guest):
    found = volumes(guest)
    assert set(found) == {"vg-a/lv-data", "vg-a/lv-mysql", "vg-thin/pool", "vg-thin/thin-data"}
    assert found["vg-a/lv-data"]["lv_size"] == str(512 << 20)
    assert found["vg-thin/thin-data"]["pool_lv"] == "pool"
    mounts = json.loads(guest.execute(("findmnt", "--json", "--list", "--output", "TARGET,SOURCE,FSTYPE")).stdout)
    by_target = {entry["target"]: (entry["source"], entry["fstype"]) for entry in mounts["filesystems"]}
    assert by_target["/srv/data"] == ("/dev/mapper/vg--a-lv--data", "xfs")
    assert by_target["/var/lib/mysql"] == ("/dev/mapper/vg--a-lv--mysql", "ext4")
    assert by_target["/srv/thin"] == ("/dev/mapper/vg--thin-thin--data", "ext4")


@pytest.mark.parametrize(
    ("origin", "directory", "size", "options"),
    [
        ("vg-a/lv-data", "/srv/data/writes", ("--size", "128m"), "ro,nouuid"),
        ("vg-thin/thin-data", "/srv/thin/writes", ("--setactivationskip", "n"), "ro"),
    ],
)
def test_a_snapshot_under_writes(guest, origin, directory, size, options):
    vg = origin.partition("/")[0]
    with writes_in(guest, directory):
        time.sleep(1)
        guest.execute(("lvcreate", "--yes", "--snapshot", "--name", "snap-1", *size, origin))
        guest.execute(("mkdir", "-p", "/mnt/snap"))
        guest.execute(("mount", "-o", options, f"/dev/{vg}/snap-1", "/mnt/snap"))
        try:
            path = f"/mnt/snap/{Path(directory).name}/lines"
            first = lines_in(guest, path)
            time.sleep(1)
            assert lines_in(guest, path) == first
            now = lines_in(guest, f"{directory}/lines")
            assert 0 < len(first) < len(now), "the original is written to meanwhile"
            assert first == now[: len(first)]
            assert volumes(guest)[f"{vg}/snap-1"]["origin"] == origin.partition("/")[2]
        finally:
            guest.execute(("umount", "/mnt/snap"))
            guest.execute(("lvremove", "--yes", f"{vg}/snap-1"))
    assert f"{vg}/snap-1" not in volumes(guest)


def test_databases_answer_from_their_volumes(guest):
    guest.start_postgresql()
    assert guest.postgresql("SHOW data_directory") == "/srv/data/postgresql/15/main"
    assert guest.postgresql("SHOW server_version_num").startswith("15")
    guest.start_mariadb()
    assert guest.mariadb("SELECT @@datadir") == "/var/lib/mysql/"
    assert guest.mariadb("SELECT VERSION()").startswith("10.11")
    guest.mariadb("CREATE DATABASE `weird-db name`")
    assert "weird-db name" in guest.mariadb("SHOW DATABASES").splitlines()


def test_the_recorded_answers_of_lvm_are_of_this_shape(guest):
    """tests/support/recorded/lvm-2.03.json is what this guest says (`python -m tests.lab.recording` writes it)."""
    recorded, now = json.loads(RECORDED.read_text()), record(guest)
    for command in ("lvs", "vgs", "pvs"):
        assert shape(recorded[command]) == shape(now[command])


def shape(answer):
    """Names of volumes and of fields, without the figures."""
    rows = [row for report in answer["report"] for kind in report.values() for row in kind]
    return [(row.get("vg_name"), row.get("lv_name"), sorted(row)) for row in rows]


def test_nothing_is_left_of_a_guest():
    images = [*guest_image.image().glob("*.img"), *guest_image.drives().glob("*.img")]
    before = [(path.stat().st_mtime_ns, path.stat().st_blocks) for path in images]
    with running_guest() as guest:
        directory = guest.directory
        guest.execute(("dd", "if=/dev/urandom", "of=/dev/vdd", "bs=1M", "count=8", "conv=fsync"))
        open_ones = [link.readlink() for link in Path(f"/proc/{guest.process.pid}/fd").iterdir()]
        own = [str(path) for path in open_ones if "phpborg-guest-" in str(path) and "console" not in path.name]
        assert len(own) == len(images), "what is written to each drive"
        assert all(re.search(r"\(deleted\)$", name) for name in own), own
        assert processes_with(str(directory))
    assert not directory.exists()
    assert not processes_with(str(directory))
    assert guest.process.returncode is not None
    assert [(path.stat().st_mtime_ns, path.stat().st_blocks) for path in images] == before
