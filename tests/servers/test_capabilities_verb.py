"""The verbs `capabilities` and `statistics`: every probe answers, and none can spoil another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.remote import apart, capabilities, space, wire
from servers.remote.probes import NAMES, base
from servers.transport import host_for
from servers.transport.base import Host
from tests.support.sshd import Lab, Sshd, local_target, processes_with, wait_until

HANGING = Path(__file__).with_name("hanging_mount.py")
STORAGE = ["system", "mounts", "lvm", "btrfs", "zfs", "docker"]


@pytest.fixture(params=["local", "root", "sudo"])
def host(request: pytest.FixtureRequest, lab: Lab, sshd: Sshd) -> Host:
    """The three ways to a server."""
    targets = {"local": local_target(lab), "root": sshd.target(), "sudo": sshd.sudo_target()}
    return host_for(targets[request.param])


# --- one spoils no other ---------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """`run(name=probe, …)`: carry out functions as probes, side by side; answers what the report has of each."""

    def carry_out(seconds: float = 20.0, **probes: Callable[[base.Look], Any]) -> dict[str, Any]:
        for name, probe in probes.items():
            module = types.ModuleType(name)
            module.probe = probe  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, f"servers.remote.probes.{name}", module)
        look = base.Look({})
        with apart.nothing_left():
            running = [capabilities._start(name, look) for name in probes]
            return capabilities._collect(running, wire.Control(60), time.monotonic() + seconds)

    return carry_out


def good(look: base.Look) -> dict[str, Any]:
    return {"fine": True}


def test_a_probe_that_hangs_is_late_and_the_others_are_there(run):
    begun = time.monotonic()
    found = run(seconds=3, hangs=lambda look: time.sleep(60), good=good)
    assert time.monotonic() - begun < 30
    assert (found["hangs"]["state"], found["hangs"]["facts"]) == ("late", None)
    assert re.fullmatch(r"it did not answer within 3\.\d s", found["hangs"]["problem"])
    assert (found["good"]["state"], found["good"]["facts"]) == ("ok", {"fine": True})
    assert found["good"]["seconds"] < 3


def test_a_probe_that_breaks_says_what_broke(run):
    def breaks(look: base.Look) -> None:
        raise KeyError("port")

    def leaves(look: base.Look) -> None:
        sys.exit("goodbye")

    found = run(breaks=breaks, leaves=leaves, dies=lambda look: os._exit(3), odd=lambda look: {"x": b"x"}, good=good)
    assert found["breaks"]["state"] == "failed"
    assert found["breaks"]["problem"].startswith("KeyError: 'port' (test_capabilities_verb.py:")
    assert found["leaves"]["problem"].startswith("SystemExit: goodbye")
    assert (found["dies"]["state"], found["dies"]["problem"]) == ("failed", "it ended without an answer")
    assert "bytes is not JSON serializable" in found["odd"]["problem"]
    assert found["good"]["state"] == "ok"


def test_what_a_probe_prints_goes_nowhere(run, capfd: pytest.CaptureFixture[str]):
    def prints(look: base.Look) -> dict[str, Any]:
        os.write(1, b'garbage\n{"state": "forged"}\n')
        os.write(2, b"noise\n")
        subprocess.run(["echo", "more"])
        return {"input": os.read(0, 10).decode()}

    found = run(prints=prints, good=good)
    assert found["prints"]["facts"] == {"input": ""}
    assert found["good"]["state"] == "ok"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ends", [True, False])
def test_no_process_of_a_probe_is_left(run, ends: bool):
    token = f"phpborg-left-{os.getpid()}-{ends}"
    # One that stays in the group, one that left it, and one that a tool left and that ignores a request to end.
    stubborn = (
        "import os, signal, sys, time; signal.signal(15, signal.SIG_IGN); os.fork() or os.setsid(); time.sleep(60)"
    )

    def leaves(look: base.Look) -> dict[str, Any]:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", token])
        subprocess.Popen([sys.executable, "-c", stubborn, token], start_new_session=True)
        if os.fork() == 0:
            time.sleep(60)  # it holds the pipe of the answer
        wait_until(lambda: len(processes_with(token)) >= 3)
        ran = look.run([sys.executable, "-c", stubborn, token], timeout=0.5 if ends else 60)
        return {"problem": ran.err}

    found = run(seconds=50 if ends else 5, leaves=leaves)
    assert found["leaves"]["state"] == ("ok" if ends else "late")
    assert processes_with(token) == []
    if ends:
        assert found["leaves"]["facts"] == {"problem": "no answer within 0.5 s"}


def test_a_large_answer_arrives_whole(run):
    found = run(large=lambda look: {"names": ["x" * 1000] * 3000}, good=good)
    assert len(found["large"]["facts"]["names"]) == 3000


# --- what a probe is given -------------------------------------------------------------------------


def test_a_tool_that_does_not_read_and_one_that_reads_late():
    look = base.Look({})
    much = b"x" * (1 << 20)
    ran = look.run([sys.executable, "-c", "print('done')"], stdin=much)
    assert (ran.ok, ran.out) == (True, "done\n")
    counts = "import sys; sys.stdout.write('y' * 300000); sys.stdout.flush(); print(len(sys.stdin.buffer.read()))"
    ran = look.run([sys.executable, "-c", counts], stdin=much)
    assert (ran.ok, ran.out[300000:]) == (True, "1048576\n")


@pytest.mark.real
def test_root_runs_nothing_that_others_can_write(tmp_path: Path):
    tool = tmp_path / "psql"
    tool.write_text("#!/bin/sh\necho ran\n")
    tool.chmod(0o777)
    ran = base.Look({}).run([str(tool)])
    assert (ran.code, ran.err) == (None, f"{tool} is not run as root: another account can change it")


@pytest.mark.real
def test_a_hardened_service_is_no_container():
    """systemd gives such a service a view of its own of the same files."""
    tool = subprocess.Popen(["unshare", "--mount", "sleep", "60"])
    try:
        wait_until(lambda: os.readlink(f"/proc/{tool.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"))
        assert [one.contained for one in base.Look({}).processes() if one.pid == tool.pid] == [False]
    finally:
        tool.kill()
        tool.wait()


def test_the_space_of_a_place_that_is_not_there():
    found = space.measure([("/", "ext4"), ("/no/such", "nfs")])
    assert found["/"]["size_bytes"] > found["/"]["used_bytes"] > 0
    assert (found["/no/such"]["size_bytes"], found["/no/such"]["problem"]) == (None, "No such file or directory")


# --- the helper itself -----------------------------------------------------------------------------


@pytest.mark.real
def test_every_probe_answers(host: Host, capfd: pytest.CaptureFixture[str]):
    report = host.call("capabilities", timeout=60)
    assert report["schema"] == 1
    assert abs(report["taken_at"] - time.time()) < 60
    assert list(report["probes"]) == list(NAMES)
    problems = {name: one["problem"] for name, one in report["probes"].items() if one["state"] != "ok"}
    assert problems == {}
    assert report["probes"]["system"]["facts"]["uid"] == 0
    with capfd.disabled():
        times = ", ".join(f"{name} {one['seconds']:.2f}" for name, one in report["probes"].items())
        sys.stdout.write(f"\ndetection by {host.target.name}: {report['seconds']:.2f} s ({times})\n")


@pytest.mark.real
def test_what_the_storage_probes_say_here(host: Host):
    report = host.call("capabilities", {"only": STORAGE}, timeout=60)
    facts = {name: one["facts"] for name, one in report["probes"].items()}
    assert list(facts) == STORAGE
    assert facts["system"]["borg"]["version"]
    assert facts["system"]["memory_bytes"] > 1 << 20
    root = next(mount for mount in facts["mounts"]["mounts"] if mount["target"] == "/")
    assert root["size_bytes"] > 0
    assert root["device"].count(":") == 1
    assert isinstance(facts["lvm"]["installed"], bool)


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """A btrfs whose subvolume `@ one` is mounted here, and not the whole."""
    image, whole, part = tmp_path / "image", tmp_path / "whole", tmp_path / "one part"
    image.touch()
    os.truncate(image, 150 << 20)
    for directory in (whole, part):
        directory.mkdir()
    try:
        for argv in (
            ["mkfs.btrfs", "-q", "-L", "it's ours", str(image)],
            ["mount", "-o", "loop", str(image), str(whole)],
            ["btrfs", "subvolume", "create", f"{whole}/@ one"],
            ["btrfs", "subvolume", "create", f"{whole}/@ one/below"],
            ["mount", "--bind", f"{whole}/@ one", str(part)],
            ["umount", str(whole)],
        ):
            subprocess.run(argv, check=True, capture_output=True)
        yield part
    finally:
        subprocess.run(["umount", str(part), str(whole)], capture_output=True)


@pytest.mark.real
def test_a_btrfs_of_which_only_a_subvolume_is_mounted(lab: Lab, btrfs: Path):
    report = host_for(local_target(lab)).call("capabilities", {"only": ["btrfs", "mounts"]}, timeout=60)
    found = report["probes"]["btrfs"]["facts"]["filesystems"]
    ours = next(one for one in found if str(btrfs) in one["mountpoints"])
    assert ours["label"] == "it's ours"
    assert [(one["path"], one["mountpoint"]) for one in ours["subvolumes"]] == [
        ("@ one", str(btrfs)),
        ("@ one/below", None),
    ]
    mount = next(one for one in report["probes"]["mounts"]["facts"]["mounts"] if one["target"] == str(btrfs))
    assert (mount["root"], mount["fstype"], mount["source"]) == ("/@ one", "btrfs", ours["devices"][0])


@pytest.mark.real
def test_a_sample(host: Host):
    first, second = host.call("statistics"), host.call("statistics")
    assert (first["schema"], first["cpus"]) == (1, os.cpu_count())
    assert second["cpu"]["total"] > first["cpu"]["total"] > first["cpu"]["idle"] > 0
    assert 0 <= first["cpu_share"] <= 1
    assert 0 < first["memory"]["available_bytes"] <= first["memory"]["total_bytes"]
    targets = [one["target"] for one in first["filesystems"]]
    assert "/" in targets
    assert len({one["device"] for one in first["filesystems"]}) == len(targets)
    assert "lo" not in [one["name"] for one in first["network"]]
    assert second["uptime_seconds"] > first["uptime_seconds"]


def ask(verb: str, args: dict[str, Any], target: Path, helper: Path) -> tuple[dict[str, Any], float]:
    """The helper's answer, and how long it took, where `target` is a filesystem that never answers."""
    argv = [sys.executable, str(HANGING), str(target), str(helper)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    begun = time.monotonic()
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"v": 1, "nonce": "0" * 8, "verb": verb, "args": args}).encode() + b"\n")
        child.stdin.flush()
        # To the end of the output: nothing that hangs may hold it open.
        answer = json.loads(child.stdout.read().split(b" ready\n")[1])
    finally:
        child.stdin.close()
        child.wait(30)
    return answer, time.monotonic() - begun


@pytest.mark.real
def test_a_file_server_that_is_gone_holds_nobody_up(lab: Lab, tmp_path: Path):
    answer, seconds = ask("statistics", {}, tmp_path, lab.helper)
    found = {one["target"]: one for one in answer["filesystems"]}
    assert (found[str(tmp_path)]["size_bytes"], found[str(tmp_path)]["inodes"]) == (None, None)
    assert found[str(tmp_path)]["problem"] == "it did not answer within 2 s"
    assert found["/"]["size_bytes"] > 0
    assert seconds < 20
    answer, seconds = ask("capabilities", {"only": STORAGE}, tmp_path, lab.helper)
    assert {one["state"] for one in answer["probes"].values()} == {"ok"}
    mount = next(one for one in answer["probes"]["mounts"]["facts"]["mounts"] if one["target"] == str(tmp_path))
    assert (mount["source"], mount["size_bytes"]) == ("gone.example.org:/export", None)
    assert seconds < 20
