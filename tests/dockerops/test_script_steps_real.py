"""Single steps of scripts on a real engine: Compose taken back, restart policies, stopping, and who is well."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerops.script import quoted
from servers.remote.dockers import containers
from tests.dockerops import rig
from tests.dockerops.test_script_files import run
from tests.dockers.conftest import image_in
from tests.support.bridged import Bridged, engines

pytestmark = pytest.mark.real

IMAGE = "phpborg-test/plain:1"
LOOP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
SERVICE = f'{{image: "{IMAGE}", command: ["sh", "-c", "{LOOP}"], volumes: ["/own"]}}'
FIRST = f'version: "3.7"\nservices:\n  old: {SERVICE}\n  resting: {SERVICE}\n'
MORE = f"{FIRST}  new: {SERVICE[:-1]}, networks: [default, more]}}\nnetworks: {{more: {{}}}}\n"
TRAPS = "trap ended EXIT; trap interrupted INT TERM HUP"


@pytest.fixture(scope="module")
def engine() -> Iterator[Bridged]:
    with engines("plan-c") as (one,):
        image_in(one)
        yield one


@pytest.fixture
def place(engine: Bridged, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    rig.clean(engine)


def steps(engine: Bridged, place: Path, *lines: str) -> subprocess.CompletedProcess[bytes]:
    return run(place, f"SOCKET={quoted(str(engine.socket))}", TRAPS, *lines)


def start(engine: Bridged, name: str, *options: str, words: str = LOOP) -> str:
    said = engine.docker("run", "--detach", "--name", name, *options, IMAGE, "sh", "-c", words)
    return said.stdout.strip()


def said(engine: Bridged, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("container", "inspect", name).stdout)[0]
    return found


def policy(engine: Bridged, name: str) -> tuple[str, int]:
    row = said(engine, name)["HostConfig"]["RestartPolicy"]
    return row["Name"], row["MaximumRetryCount"]


def everything(engine: Bridged) -> dict[str, list[str]]:
    """Ids of all, with the states of containers; what stays the same when nothing was taken away or added."""
    ids = engine.docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}").stdout
    networks = engine.docker("network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}").stdout
    volumes = engine.docker("volume", "ls", "--format", "{{.Name}}").stdout
    return {
        "containers": sorted(ids.splitlines()),
        "networks": sorted(networks.splitlines()),
        "volumes": sorted(volumes.splitlines()),
    }


def test_what_compose_made_is_taken_back_and_what_was_there_stays(engine: Bridged, place: Path) -> None:
    file = place / "docker-compose.yml"
    file.write_text(FIRST)
    engine.compose("-p", "shop", "up", "-d", cwd=str(place))
    engine.compose("-p", "shop", "stop", "-t", "1", "resting", cwd=str(place))
    before = everything(engine)
    file.write_text(MORE)
    up = f"compose_up shop 30 {quoted(str(place))} {quoted(str(file))} --"
    done = steps(engine, place, up, "d ps --format '{{.Names}}'", "false")
    assert done.returncode != 0
    # It was up, with everything, and then the next step failed.
    assert {b"shop_new_1", b"shop_old_1", b"shop_resting_1"} <= set(done.stdout.split()), done.stderr
    assert b"Everything is as it was." in done.stdout, done.stdout + done.stderr
    assert everything(engine) == before


@pytest.mark.long
def test_compose_is_not_believed_when_a_service_is_not_well(engine: Bridged, place: Path) -> None:
    file = place / "docker-compose.yml"
    file.write_text(f'version: "3.7"\nservices: {{ill: {{image: "{IMAGE}", command: ["sh", "-c", "exit 3"]}}}}\n')
    before = everything(engine)
    done = steps(engine, place, f"compose_up shop 30 {quoted(str(place))} {quoted(str(file))} --", "FINISHED=yes")
    assert done.returncode != 0
    assert b"shop_ill_1 has ended with exit 3" in done.stderr, done.stdout + done.stderr
    assert everything(engine) == before


def test_a_stopped_container_is_not_started_by_its_engine_and_gets_its_policy_back(
    engine: Bridged, place: Path
) -> None:
    policies = {"always": "always", "failure": "on-failure:3", "unless": "unless-stopped"}
    for name, word in policies.items():
        start(engine, name, "--restart", word)
    before = {name: policy(engine, name) for name in policies}
    names = " ".join(policies)
    shown = f"for one in {names}; do echo \"$one $(said $one '{{{{.HostConfig.RestartPolicy.Name}}}}')\"; done"
    stops = [f"stop_container {name} ''" for name in policies]
    done = steps(engine, place, *stops, shown, "false")
    calmed = {name: word for name, _, word in (line.partition(" ") for line in done.stdout.decode().splitlines())}
    for name, word in policies.items():
        # As the worker does.
        is_left = word.partition(":")[0] in containers._LEFT_ALONE
        assert calmed[name] == (word if is_left else "no"), done.stdout + done.stderr
    assert {name: policy(engine, name) for name in policies} == before
    assert all(said(engine, name)["State"]["Status"] == "running" for name in policies)
    # And on the good way, too: what was only stopped meanwhile is as it was.
    done = steps(engine, place, stops[1], "start_container failure running", "FINISHED=yes")
    assert done.returncode == 0, done.stderr
    assert {name: policy(engine, name) for name in policies} == before


@pytest.mark.long
def test_the_new_container_does_not_get_the_policy_of_the_one_that_is_kept(engine: Bridged, place: Path) -> None:
    former = start(engine, "web", "--restart", "on-failure:2")
    start(engine, "idle", "--restart", "always")
    engine.docker("stop", "-t", "1", "idle")
    anew = f"d run --detach --name web {IMAGE} sh -c {quoted(LOOP)} >/dev/null"
    lines = ("stop_container web ''", "rename_container web web.kept", "rename_container idle idle.kept", anew)
    done = steps(engine, place, *lines, "start_container web running", "FINISHED=yes", "finish")
    assert done.returncode == 0, done.stderr
    assert policy(engine, "web") == ("no", 0)
    assert (policy(engine, "web.kept"), policy(engine, "idle.kept")) == (("no", 0), ("no", 0))
    assert said(engine, "web.kept")["Id"] == former
    assert b"container web.kept, whose restart policy was on-failure:2" in done.stdout
    assert b"container idle.kept, whose restart policy was always" in done.stdout


@pytest.mark.parametrize(("options", "seconds"), [(("--stop-timeout", "1"), 1), ((), 2)])
def test_a_container_has_its_own_time_to_end_or_enough_for_a_database(
    engine: Bridged, place: Path, options: tuple[str, ...], seconds: int
) -> None:
    start(engine, "deaf", *options, words="trap '' TERM; while :; do sleep 0.1; done")
    begun = time.monotonic()
    done = steps(engine, place, "STOP_SECONDS=2", "stop_container deaf ''", "FINISHED=yes")
    assert done.returncode == 0, done.stderr
    assert seconds <= time.monotonic() - begun < 9  # the engine's own are ten
    assert f"deaf did not end within {seconds} s and was killed".encode() in done.stdout


COUNTS = "[ -e /b ] && exec sleep 60; [ ! -e /a ] || >/b; >/a; exit 1"
WELL = {
    "runs": ((), "sleep 60", True, b""),
    "falls twice and then runs": (("--restart", "always"), COUNTS, True, b""),
    "has done its work": ((), "exit 0", True, b""),
    "ends where it was to run": ((), "exit 3", False, b"has ended with exit 3"),
    "falls for ever": (("--restart", "always"), "exit 1", False, b"is not well after 6 s"),
    "becomes healthy": (("--health-cmd", "[ -e /ok ]", "--health-interval", "1s"), "sleep 2; >/ok; sleep 9", True, b""),
    "stays ill": (("--health-cmd", "false", "--health-interval", "1s"), "sleep 60", False, b"health check says"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("what", WELL)
def test_who_is_well(engine: Bridged, place: Path, what: str) -> None:
    options, words, good, text = WELL[what]
    start(engine, "one", *options, words=words)
    done = steps(engine, place, "healthy one 6", "FINISHED=yes")
    assert (done.returncode == 0) is good, done.stderr
    assert text in done.stderr


@pytest.mark.long
def test_one_of_others_that_is_not_well_is_told_and_nothing_is_taken_away(engine: Bridged, place: Path) -> None:
    start(engine, "other", words="exit 3")
    done = steps(engine, place, "or_tell healthy other 4", "echo and on", "FINISHED=yes")
    assert done.returncode == 0, done.stderr
    assert b"look after it" in done.stdout
    assert b"and on" in done.stdout


@pytest.mark.parametrize("end", ["false", "finish\nFINISHED=yes"])
def test_the_image_that_holds_volumes_is_made_once_and_goes(engine: Bridged, place: Path, end: str) -> None:
    def images() -> list[str]:
        return sorted(engine.docker("images", "--all", "--quiet", "--no-trunc").stdout.split())

    for name in ("one", "two"):
        engine.docker("volume", "create", name)
    before, states = images(), everything(engine)
    holds = [f"hold_volume {name} {quoted(str(engine.data / 'volumes' / name / '_data'))}" for name in ("one", "two")]
    done = steps(engine, place, *holds, "d ps --format '{{.Names}}'", end)
    assert {b"phpborg-0-one", b"phpborg-0-two"} <= set(done.stdout.split()), done.stdout + done.stderr
    assert (done.returncode == 0) is (end != "false"), done.stderr
    assert images() == before
    assert everything(engine) == states
