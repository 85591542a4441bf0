"""The tools that change volumes: never ended half-way, also not by our own end; and what is gone is no failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.remote import places, tree, wire
from servers.remote.snapshots import lvm, tools, zfs
from tests.support.sshd import wait_until

pytestmark = pytest.mark.real

_HELPER = """
import sys
from servers.remote import children
from servers.remote.snapshots import tools
children.use_guard(children.start_guard())
place = tools.Place(sys.argv[1])
with tools.Lock(place):
    print("ready", flush=True)
    tools.act(["sh", "-c", 'trap "" TERM; echo said; sleep 2; echo more; touch "$0"', sys.argv[2]], place)
"""


@pytest.fixture
def snapshot() -> Iterator[tools.Place]:
    """The private directory of a snapshot that is being made."""
    place = tools.Place(uuid.uuid4().hex)
    Path(places.RUN).mkdir(mode=0o711, exist_ok=True)
    Path(place.directory).mkdir(mode=0o700)
    yield place
    place.forget()


def test_a_tool_outlives_its_helper_and_a_removal_waits_for_it(snapshot, tmp_path):
    done = tmp_path / "done"
    argv = [sys.executable, "-c", _HELPER, snapshot.token, str(done)]
    helper = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert helper.stdout
    assert helper.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    os.kill(helper.pid, signal.SIGKILL)
    helper.wait()
    helper.stdout.close()
    assert not done.exists()
    tools.wait_for_maker(snapshot)
    assert done.exists()


def test_who_waits_for_a_tool_gives_up_and_the_tool_does_not(snapshot, tmp_path, monkeypatch):
    done = tmp_path / "done"
    with pytest.raises(tools.StillRunning, match=r"sh still runs after 0\.2 s"):
        tools.act(["sh", "-c", 'sleep 1; touch "$0"', str(done)], snapshot, 0.2)
    monkeypatch.setattr(tools, "_MAKER_SECONDS", 0.2)
    with pytest.raises(wire.Refused, match="something still works on phpborg-"):
        tools.wait_for_maker(snapshot)
    wait_until(done.exists, 5)
    tools.wait_for_maker(snapshot)


def test_a_tool_that_fails_or_is_missing_says_so(snapshot):
    with pytest.raises(wire.Refused, match=r"^sh: out\nerr$"):
        tools.act(["sh", "-c", "echo out; sleep 0.1; echo err >&2; exit 5"], snapshot)
    with pytest.raises(wire.Refused, match=r"^false: exit 1$"):
        tools.act(["false"], snapshot)
    with pytest.raises(wire.Refused, match="is not installed"):
        tools.act(["no-such-tool"], snapshot)


def test_what_was_never_made_or_is_removed_is_not_waited_for(snapshot):
    tools.wait_for_maker(tools.Place(uuid.uuid4().hex))
    tools.act(["true"], tools.Place(uuid.uuid4().hex))


def test_a_fake_zfs_whose_dataset_is_gone_has_nothing_to_remove(snapshot, monkeypatch):
    def run(argv: list[str]) -> str:
        raise wire.Refused("snapshot", f"zfs: cannot open '{argv[-1]}': dataset does not exist")

    monkeypatch.setattr(zfs, "run", run)
    assert zfs.remove(snapshot, "tank/data") is False
    assert zfs.state(snapshot, "tank/data") == {"exists": False, "valid": False, "used_percent": None}
    monkeypatch.setattr(zfs, "run", lambda argv: (_ for _ in ()).throw(wire.Refused("snapshot", "zfs: I/O error")))
    with pytest.raises(wire.Refused, match="I/O error"):
        zfs.remove(snapshot, "tank/data")


def test_a_fake_zfs_that_has_a_snapshot_in_use_is_asked_again(snapshot, monkeypatch):
    asked: list[str] = []

    def run(argv: list[str]) -> str:
        if len(asked) == 3:
            raise wire.Refused("snapshot", f"zfs: cannot open '{argv[-1]}': dataset does not exist")
        return argv[-1]

    def act(argv: list[str], place: tools.Place) -> None:
        asked.append(argv[1])
        if len(asked) < 3:
            raise wire.Refused("snapshot", f"zfs: cannot destroy snapshot {argv[-1]}: dataset is busy")

    monkeypatch.setattr(zfs, "run", run)
    monkeypatch.setattr(tools, "act", act)
    assert zfs.remove(snapshot, "tank/data") is True
    assert asked == ["destroy"] * 3
    asked.clear()
    monkeypatch.setattr(tools, "_IN_USE_SECONDS", 0)
    with pytest.raises(wire.Refused, match="busy"):
        zfs.remove(snapshot, "tank/data")


def test_a_fake_pool_is_written_out_before_a_server_is_held(snapshot, monkeypatch):
    did: list[str] = []

    @contextmanager
    def hold() -> Iterator[None]:
        did.append("held")
        yield
        did.append("let go")

    mounted = tree.Mounted(b"/tank/data", b"/", "0:46", "zfs", b"tank/data", ["rw"])
    monkeypatch.setattr(zfs, "_mounts", lambda volume: [mounted])
    monkeypatch.setattr(zfs, "check", lambda origins: None)
    monkeypatch.setattr(zfs, "run", lambda argv, timeout: did.append(" ".join(argv)))
    monkeypatch.setattr(zfs, "act", lambda argv, place: did.append(argv[1]))
    monkeypatch.setattr(zfs, "mount", lambda *words: did.append("mount"))
    zfs.make(snapshot, "tank/data", {}, hold(), wire.Control(60))
    assert did == ["zpool sync tank", "held", "snapshot", "let go", "mount"]


def test_a_fake_lvm_that_has_a_volume_in_use_is_asked_again(snapshot, monkeypatch):
    asked: list[str] = []

    def run(argv: list[str]) -> str:
        rows = [] if asked.count("lvremove") == 3 else [{"lv_name": snapshot.name, "vg_name": "vg"}]
        return json.dumps({"report": [{"lv": rows}]})

    def act(argv: list[str], place: tools.Place) -> None:
        asked.append(argv[0])
        if asked.count("lvremove") < 3:
            raise wire.Refused("snapshot", "lvremove: Logical volume vg/x contains a filesystem in use.")

    monkeypatch.setattr(lvm, "run", run)
    monkeypatch.setattr(tools, "act", act)
    assert lvm.remove(snapshot, ("vg", "lv")) is True
    assert asked == ["lvremove"] * 3
    asked.clear()
    monkeypatch.setattr(tools, "_IN_USE_SECONDS", 0)
    with pytest.raises(wire.Refused, match="in use"):
        lvm.remove(snapshot, ("vg", "lv"))
