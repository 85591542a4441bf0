"""ZFS in the virtual machine: found, frozen through the helper, read in place, removed whatever is killed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from phpborg.errors import PhpBorgError
from servers import errors
from servers.capabilities.advice import Advice, advise
from servers.capabilities.report import Report, parse
from servers.transport import host_for
from servers.transport.base import Host
from tests.lab.guest import Guest
from tests.lab.test_guest import lines_in, writes_in
from tests.lab.test_snapshots import ask
from tests.lab.zfs_guest import snapshots

pytestmark = pytest.mark.lab
FILES = {"kind": "zfs", "dataset": "tank/files"}
BLANK = {"kind": "zfs", "dataset": "tank/two words"}
LEGACY = {"kind": "zfs", "dataset": "tank/mysql"}


@pytest.fixture
def token() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def machine(zfs_guest: Guest) -> Host:
    """By sudo over ssh."""
    zfs_guest.install_helper()
    return host_for(zfs_guest.sudo_target())


def run(guest: Guest, text: str, *, check: bool = True) -> str:
    return guest.execute(("sh", "-c", text), check=check).stdout.decode()


def nothing_is_left(guest: Guest) -> None:
    assert not [name for name in snapshots(guest) if "@phpborg-" in name]
    assert run(guest, "ls -d /run/phpborg/snapshot-* 2>/dev/null; grep phpborg- /proc/mounts", check=False) == ""


@contextmanager
def also_there(guest: Guest, make: str, undo: str) -> Iterator[None]:
    """Something more in the machine for a block."""
    run(guest, f"set -e; {make}")
    try:
        yield
    finally:
        run(guest, f"set -e; {undo}")


# Found


def report_of(host: Host) -> Report:
    return parse(host.call("capabilities", {"only": ["mounts", "lvm", "btrfs", "zfs"], "size_seconds": 0}, timeout=120))


def advice(host: Host, path: str) -> Advice:
    return advise(report_of(host), [path], None)


def test_pool_and_datasets_are_found(machine: Host) -> None:
    found = report_of(machine).zfs
    assert found is not None
    assert (found.installed, found.problem) == (True, None)
    assert (found.version or "").startswith("2.")
    assert {one.name: (one.mountpoint, one.mounted) for one in found.datasets} == {
        "tank": ("/tank", True),
        "tank/data": ("/srv/data", True),
        "tank/mysql": ("/var/lib/mysql", True),
        "tank/files": ("/tank/files", True),
        "tank/two words": ("/tank/two words", True),
    }
    assert all(one.used_bytes and one.available_bytes for one in found.datasets)


@pytest.mark.parametrize(
    ("path", "dataset", "inside"),
    [
        ("/srv/data/postgresql/15/main", "tank/data", "/postgresql/15/main"),
        ("/var/lib/mysql", "tank/mysql", "/"),
        ("/tank/two words/a b", "tank/two words", "/a b"),
    ],
)
def test_a_directory_on_a_dataset_can_be_frozen(machine: Host, path: str, dataset: str, inside: str) -> None:
    found = advice(machine, path)
    assert (found.possible, found.code, found.size_bytes, found.inside) == (True, "zfs", None, {path: inside})
    assert found.volume is not None
    assert found.volume.arguments() == {"kind": "zfs", "dataset": dataset}


def test_a_dataset_inside_is_told_and_refused(machine: Host) -> None:
    found = advice(machine, "/tank")
    assert (found.possible, found.code) == (False, "below")
    assert found.facts["below"] in ("/tank/files", "/tank/two words")


def test_a_snapshot_that_somebody_looks_into_is_no_filesystem_inside(zfs_guest: Guest, machine: Host) -> None:
    """The kernel mounts it below `.zfs` for some minutes when it is entered."""
    with also_there(
        zfs_guest,
        "zfs snapshot tank/files@daily",
        "umount /tank/files/.zfs/snapshot/daily; zfs destroy tank/files@daily",
    ):
        run(zfs_guest, "ls /tank/files/.zfs/snapshot/daily/ && grep @daily /proc/mounts")
        found = advice(machine, "/tank/files")
        assert (found.possible, found.code) == (True, "zfs"), found.text
        assert found.volume is not None
        assert found.volume.name == "tank/files"


# Frozen


@pytest.mark.parametrize("volume", [FILES, BLANK, LEGACY])
def test_a_dataset_under_writes(zfs_guest: Guest, machine: Host, token: str, volume: dict[str, str]) -> None:
    place = "/var/lib/mysql" if volume is LEGACY else f"/{volume['dataset']}"
    with writes_in(zfs_guest, f"{place}/w"):
        time.sleep(1)
        made = ask(machine, "make", token, **volume)
        try:
            assert made["name"] == f"phpborg-{token}"
            assert (made["origins"], made["type"]) == ([place], "zfs")
            assert snapshots(zfs_guest) == [f"{volume['dataset']}@{made['name']}"]
            seen = lines_in(zfs_guest, f"{made['mountpoint']}/w/lines")
            time.sleep(1)
            assert lines_in(zfs_guest, f"{made['mountpoint']}/w/lines") == seen
            now = lines_in(zfs_guest, f"{place}/w/lines")
            assert 0 < len(seen) < len(now), "the dataset is written to meanwhile"
            assert now[: len(seen)] == seen
            written = zfs_guest.execute(("touch", f"{made['mountpoint']}/x"), check=False)
            assert b"Read-only" in written.stderr
            assert ask(machine, "state", token, **volume) == {"exists": True, "valid": True, "used_percent": None}
            with pytest.raises(errors.RemoteFailed, match="exists already"):
                ask(machine, "make", token, **volume)
        finally:
            removed = ask(machine, "remove", token, **volume)["removed"]
    assert removed == [made["mountpoint"], made["name"]]
    assert ask(machine, "remove", token, **volume)["removed"] == []
    assert ask(machine, "state", token, **volume)["exists"] is False
    nothing_is_left(zfs_guest)
    run(zfs_guest, f"rm -r '{place}/w'")


def test_a_dataset_below_is_not_held_and_not_touched(zfs_guest: Guest, machine: Host, token: str) -> None:
    """Of this one alone: the view has an empty directory there."""
    with also_there(
        zfs_guest,
        "zfs create tank/files/inner; touch /tank/files/inner/f /tank/files/outer",
        "zfs destroy tank/files/inner; rm /tank/files/outer",
    ):
        made = ask(machine, "make", token, **FILES)
        try:
            assert snapshots(zfs_guest) == [f"tank/files@{made['name']}"]
            assert run(zfs_guest, f"cd {made['mountpoint']} && find . -mindepth 1 | sort") == "./inner\n./outer\n"
        finally:
            ask(machine, "remove", token, **FILES)
        assert run(zfs_guest, "ls /tank/files/inner") == "f\n"
    nothing_is_left(zfs_guest)


def test_a_part_that_is_seen_elsewhere_is_known_as_that_part(zfs_guest: Guest, machine: Host, token: str) -> None:
    """A bind mount of a directory in it: borg would read the top's names at the directory's place."""
    make = "mkdir -p /tank/files/part /srv/part; mount --bind /tank/files/part /srv/part"
    with also_there(zfs_guest, make, "umount /srv/part; rmdir /srv/part /tank/files/part"):
        made = ask(machine, "make", token, **FILES)
        known = json.loads(run(zfs_guest, f"cat /run/phpborg/snapshot-{token}/origins.json"))
        ask(machine, "remove", token, **FILES)
        assert made["origins"] == ["/tank/files"]
        assert known == [["/", "/tank/files"], ["/part", "/srv/part"]]


def test_snapshots_of_two_tasks_and_of_others_live_apart(zfs_guest: Guest, machine: Host) -> None:
    tokens = [uuid.uuid4().hex, uuid.uuid4().hex]
    with also_there(zfs_guest, "zfs snapshot tank/files@daily", "zfs destroy tank/files@daily"):
        names = [ask(machine, "make", one, **FILES)["name"] for one in tokens]
        assert ask(machine, "remove", tokens[0], **FILES)["removed"][-1] == names[0]
        assert set(snapshots(zfs_guest)) == {"tank/files@daily", f"tank/files@{names[1]}"}
        ask(machine, "remove", tokens[1], **FILES)
        assert snapshots(zfs_guest) == ["tank/files@daily"]


@pytest.mark.parametrize(
    "dataset", ["tank/nothing", "gone/files", "-r", "tank/files@daily", "tank/../files", "tank//x"]
)
def test_what_is_not_there_or_not_a_name_is_refused(zfs_guest: Guest, machine: Host, token: str, dataset: str) -> None:
    with pytest.raises((errors.RemotePathMissing, errors.RequestRefused)):
        ask(machine, "make", token, kind="zfs", dataset=dataset)
    nothing_is_left(zfs_guest)


def test_of_a_dataset_or_pool_that_is_gone_nothing_is_left_to_remove(machine: Host, token: str) -> None:
    for dataset in ("tank/nothing", "gone/files", "gone"):
        assert ask(machine, "remove", token, kind="zfs", dataset=dataset)["removed"] == []


def test_a_failed_mount_leaves_no_snapshot(zfs_guest: Guest, machine: Host, token: str) -> None:
    with (
        also_there(zfs_guest, "mkdir -p /run/phpborg && mount -t tmpfs -o ro none /run/phpborg", "umount /run/phpborg"),
        pytest.raises(errors.RemoteFailed, match="Read-only"),
    ):
        ask(machine, "make", token, **FILES)
    nothing_is_left(zfs_guest)


# Removed

# A tool of ZFS that tells that it was called, and dawdles before or after its work.
_DAWDLES = """#!/bin/sh
case "$*" in *phpborg-*) ;; *) exec {tool}.real "$@" ;; esac
case "$1" in {word}) ;; *) exec {tool}.real "$@" ;; esac
{before}
{tool}.real "$@"
code=$?
{after}
exit $code
"""
_DAWDLE = "touch /run/reached; sleep 3"


@contextmanager
def dawdling(guest: Guest, tool: str, word: str, moment: str, step: str = _DAWDLE) -> Iterator[None]:
    """The tool (its real one is called by it) does this `before` or `after` its own work."""
    steps: dict[str, Any] = {"before": "", "after": "", moment: step}
    guest.execute(("mv", tool, f"{tool}.real"))
    script = _DAWDLES.format(tool=tool, word=word, **steps)
    guest.execute(("install", "-m", "0755", "/dev/stdin", tool), stdin=script.encode())
    try:
        yield
    finally:
        guest.execute(("mv", "-f", f"{tool}.real", tool))
        guest.execute(("rm", "-f", "/run/reached", "/run/asked"))


def test_a_removal_waits_for_who_still_reads(zfs_guest: Guest, machine: Host, token: str) -> None:
    """As borg does, whose mounts are its own: the view is unmounted here, and the snapshot is still in use there."""
    made = ask(machine, "make", token, **FILES)
    reader = "until [ -e /run/asked ]; do sleep 0.1; done; sleep 3"
    run(zfs_guest, f'cd / && unshare -m sh -c "mount --make-rprivate /; {reader}" </dev/null >/dev/null 2>&1 &')
    time.sleep(2)
    with dawdling(zfs_guest, "/usr/sbin/zfs", "destroy", "before", "touch /run/asked"):
        assert made["name"] in ask(machine, "remove", token, **FILES)["removed"]
    nothing_is_left(zfs_guest)


def test_what_somebody_else_holds_is_told_in_their_words(zfs_guest: Guest, machine: Host, token: str) -> None:
    """`zfs hold`: ours to say, not ours to undo; the next removal finds it free."""
    made = ask(machine, "make", token, **FILES)
    name = f"tank/files@{made['name']}"
    with (
        also_there(zfs_guest, f"zfs hold keep {name}", f"zfs release keep {name}"),
        pytest.raises(errors.SnapshotFailed, match=r"(?i)hold|busy|dependent"),
    ):
        ask(machine, "remove", token, **FILES)
    assert made["name"] in ask(machine, "remove", token, **FILES)["removed"]
    nothing_is_left(zfs_guest)


@pytest.mark.parametrize(
    ("tool", "word", "moment"),
    [
        ("/usr/sbin/zfs", "snapshot", "before"),
        ("/usr/sbin/zfs", "snapshot", "after"),
        ("/usr/sbin/mount.zfs", "*", "before"),
        ("/usr/sbin/mount.zfs", "*", "after"),
    ],
)
def test_a_helper_that_is_killed_at_any_step_leaves_what_a_removal_takes_away(
    zfs_guest: Guest, machine: Host, token: str, tool: str, word: str, moment: str
) -> None:
    kill = "until [ -e /run/reached ]; do sleep 0.1; done; pkill -9 -f /usr/local/lib/phpborg/phpborg-remote"
    with dawdling(zfs_guest, tool, word, moment):
        run(zfs_guest, f"({kill}) </dev/null >/dev/null 2>&1 &")
        with pytest.raises(PhpBorgError):
            ask(machine, "make", token, **FILES)
        removed = ask(machine, "remove", token, **FILES)["removed"]
    # The tool goes on without its helper, and is waited for.
    assert f"phpborg-{token}" in removed
    nothing_is_left(zfs_guest)
    assert ask(machine, "remove", token, **FILES)["removed"] == []
