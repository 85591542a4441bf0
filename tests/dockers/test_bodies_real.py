"""A container made again from what `inspect` said of it is the same, on the same engine and on another one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from servers.remote.dockers import bodies
from servers.remote.dockers.engine import Engine as Client
from servers.remote.dockers.engine import part
from tests.dockers.world import declared, inspected
from tests.support.bridged import Bridged

pytestmark = pytest.mark.real

FULL = [
    *("--env", "SECRET=a b;$(id) 'q\"", "--env", "MULTI=one\ntwo", "--user", "4242:4343", "--workdir", "/srv"),
    *("--hostname", "kettle", "--domainname", "example.test", "--label", 'say=it\'s; $(x) "y"\nz'),
    *("--health-cmd", "test -e /", "--health-interval", "7s", "--health-retries", "4", "--health-start-period", "3s"),
    *("--stop-signal", "SIGINT", "--stop-timeout", "3", "--restart", "on-failure:5"),
    *("--cap-drop", "ALL", "--cap-add", "CHOWN", "--device", "/dev/null:/dev/nothing:r", "--ulimit", "nofile=100:200"),
    *("--sysctl", "net.ipv4.ip_unprivileged_port_start=70", "--shm-size", "17m", "--memory", "64m"),
    *("--memory-reservation", "32m", "--cpus", "0.5", "--cpu-shares", "77", "--pids-limit", "99"),
    *("--log-driver", "json-file", "--log-opt", "max-size=1m", "--log-opt", "max-file=2"),
    *("--dns", "127.0.0.9", "--dns-search", "in.test", "--dns-option", "ndots:2", "--add-host", "other:10.9.8.7"),
    *("--tmpfs", "/run/x:size=1m,mode=1770", "--publish", "127.0.0.1:18080:80", "--publish", "18100-18102:81/udp"),
    *("--publish", "7001", "--expose", "9000-9002/tcp", "--read-only", "--security-opt", "no-new-privileges"),
    *("--init", "--oom-score-adj", "55", "--group-add", "33", "--cgroupns", "private", "--ipc", "shareable"),
    *("--volume", "named:/named:ro", "--volume", "/etc:/outer:ro", "--volume", "/anonymous"),
    *("--mount", "type=bind,source=/usr/share,target=/shared,readonly,bind-propagation=private"),
    *("--mount", "type=volume,source=second,target=/second,volume-nocopy=true"),
    *("--mount", "type=volume,target=/nameless"),
]
PLAIN = "phpborg-test/plain:1"
SPEAKS = "phpborg-test/speaks:1"
WAIT = ("/bin/sleep", "3600")
CASES: dict[str, list[str]] = {
    "full": [*FULL, "--entrypoint", "/bin/sh", PLAIN, "-c", "exec sleep 3600"],
    "of the image alone": [SPEAKS],
    "another program than the image's": ["--entrypoint", "/bin/sleep", SPEAKS, "3600"],
    "no entrypoint": ["--entrypoint", "", SPEAKS, "sleep", "3600"],
    "no health check": ["--no-healthcheck", "--env", "FROM_IMAGE=no", SPEAKS],
    "in the machine's network": ["--network", "host", PLAIN, *WAIT],
    "without a network": ["--network", "none", PLAIN, *WAIT],
    "in the machine's names": ["--uts", "host", "--pid", "host", PLAIN, *WAIT],
    "with all rights": ["--privileged", PLAIN, *WAIT],
    "nothing masked": ["--security-opt", "systempaths=unconfined", PLAIN, *WAIT],
    "a chosen address of the card": ["--mac-address", "02:42:ac:aa:bb:cc", PLAIN, *WAIT],
    "with a terminal": ["--tty", "--interactive", PLAIN, *WAIT],
    "all published": ["--publish-all", SPEAKS],
}


@pytest.fixture
def name() -> str:
    return f"box-{uuid.uuid4().hex[:8]}"


def row(client: Client, name: str) -> dict[str, Any]:
    said = client.container(name)
    assert said is not None
    names = {one["Id"]: one["Names"][0].lstrip("/") for one in client.get("/containers/json", all=True)}
    names.update({one["Id"]: one["Name"] for one in client.get("/networks")})
    made = bodies.from_inspect(said, names, hostname=client.get("/info")["Name"])
    # Through JSON, as the manifest carries it.
    return dict(json.loads(json.dumps(made)), name=name)


def make(client: Client, row: dict[str, Any], renames: dict[str, Any]) -> None:
    """What the step does, in a few lines: the body, further networks, one that it had left."""
    made = bodies.rewrite(row, renames)
    client.post("/containers/create", made["body"], name=made["name"])
    for network, endpoint in made["networks"].items():
        client.post(f"/networks/{part(network)}/connect", {"Container": made["name"], "EndpointConfig": endpoint})
    for network in made["disconnect"]:
        client.post(f"/networks/{part(network)}/disconnect", {"Container": made["name"], "Force": True})


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_same_again(pair: tuple[Bridged, Bridged], name: str, case: str) -> None:
    first, second = pair
    first.docker("create", "--name", name, *CASES[case])
    before = inspected(first, name)
    try:
        with Client(str(first.socket)) as client:
            kept = row(client, name)
            client.post(f"/containers/{name}/rename", name=f"{name}.old")
            make(client, kept, {})
        again = inspected(first, name)
        assert again["Id"] != before["Id"]
        assert declared(again) == declared(before)
        if "--privileged" not in CASES[case]:  # more rights than this machine may give
            first.docker("start", name)
            assert declared(inspected(first, name)) == declared(before)
        with Client(str(second.socket)) as client:
            make(client, kept, {})
        assert declared(inspected(second, name)) == declared(before)
    finally:
        first.docker("rm", "--force", "--volumes", name, f"{name}.old", check=False)
        second.docker("rm", "--force", "--volumes", name, check=False)


@pytest.fixture
def nets(pair: tuple[Bridged, Bridged], name: str) -> Iterator[tuple[str, str]]:
    """Two networks of the same names and subnets on both engines."""
    names = (f"{name}-front", f"{name}-back")
    for engine in pair:
        for number, network in enumerate(names):
            engine.docker("network", "create", "--subnet", f"10.77.{number}.0/24", network)
    yield names
    for engine in pair:
        engine.docker("network", "rm", *names, check=False)


@pytest.mark.parametrize("state", ["created", "running"])
def test_networks_with_aliases_addresses_and_links_are_the_same_again(
    pair: tuple[Bridged, Bridged], name: str, nets: tuple[str, str], state: str
) -> None:
    front, back = nets
    other, plain = f"{name}-db", f"{name}-old"
    for engine in pair:
        engine.docker("run", "--detach", "--name", other, "--network", front, PLAIN, *WAIT)
    first, second = pair
    words = ["--network", front, "--ip", "10.77.0.9", "--network-alias", "web", "--link", f"{other}:store"]
    words += ["--mac-address", "02:42:0a:4d:00:99"]
    try:
        first.docker("create", "--name", name, *words, PLAIN, *WAIT)
        first.docker("network", "connect", "--ip", "10.77.1.9", "--alias", "a.b", "--alias", "web", back, name)
        if state == "running":
            first.docker("start", name)
        before = inspected(first, name)
        assert before["NetworkSettings"]["Networks"][front]["Links"]
        with Client(str(first.socket)) as client:
            kept = row(client, name)
            first.docker("rm", "--force", name)
            make(client, kept, {})
        with Client(str(second.socket)) as client:
            make(client, kept, {})
        for engine in pair:
            assert declared(inspected(engine, name)) == declared(before)
            engine.docker("start", name)
            said = inspected(engine, name)
            assert declared(said) == declared(before)
            assert said["NetworkSettings"]["Networks"][back]["IPAddress"] == "10.77.1.9"
            assert said["NetworkSettings"]["Networks"][front]["MacAddress"] == "02:42:0a:4d:00:99"
    finally:
        for engine in pair:
            engine.docker("rm", "--force", name, other, plain, check=False)


def test_a_network_that_was_left_and_one_named_by_its_id(
    pair: tuple[Bridged, Bridged], name: str, nets: tuple[str, str]
) -> None:
    front, back = nets
    first, second = pair
    identity = first.docker("network", "inspect", "--format", "{{.Id}}", front).stdout.strip()
    try:
        first.docker("create", "--name", name, "--network", identity, PLAIN, *WAIT)
        first.docker("network", "connect", back, name)
        first.docker("network", "disconnect", front, name)
        before = declared(inspected(first, name))
        assert list(before["networks"]) == [back]
        with Client(str(first.socket)) as client:
            kept = row(client, name)
        with Client(str(second.socket)) as client:
            make(client, kept, {})
        again = declared(inspected(second, name))
        assert again["host"].pop("NetworkMode") == front
        assert before["host"].pop("NetworkMode") == identity
        assert again == before
    finally:
        for engine in pair:
            engine.docker("rm", "--force", name, check=False)


def test_other_containers_are_named_and_not_numbered(pair: tuple[Bridged, Bridged], name: str) -> None:
    """Their ids end with them; what shares a network, a memory and volumes with another says so by its name."""
    first, second = pair
    base, user, linked = f"{name}-base", f"{name}-user", f"{name}-linked"
    try:
        identity = first.docker("run", "-d", "--name", base, "--ipc", "shareable", SPEAKS).stdout.strip()
        words = [
            "--network",
            f"container:{identity}",
            "--ipc",
            f"container:{identity[:12]}",
            "--pid",
            f"container:{base}",
        ]
        first.docker("create", "--name", user, *words, "--volumes-from", f"{identity}:ro", PLAIN, *WAIT)
        first.docker("create", "--name", linked, "--link", f"{base}:store", PLAIN, *WAIT)
        with Client(str(first.socket)) as client:
            rows = {one: row(client, one) for one in (base, user, linked)}
            host = rows[user]["create"]["HostConfig"]
            assert (host["NetworkMode"], host["IpcMode"], host["PidMode"]) == (f"container:{base}",) * 3
            assert host["VolumesFrom"] == [f"{base}:ro"]
            assert not host.get("Mounts")
            before = {one: declared(inspected(first, one)) for one in rows}
        renames = {"containers": {base: f"{base}-2", user: f"{user}-2", linked: f"{linked}-2"}}
        with Client(str(first.socket)) as client:
            for one in (base, user, linked):
                make(client, rows[one], dict(renames, volumes=_fresh(rows[one])))
            again = row(client, f"{user}-2")["create"]["HostConfig"]
            assert (again["NetworkMode"], again["VolumesFrom"]) == (f"container:{base}-2", [f"{base}-2:ro"])
            assert row(client, f"{linked}-2")["create"]["HostConfig"]["Links"] == [f"{base}-2:store"]
        with Client(str(second.socket)) as client:
            for one in (base, user, linked):
                make(client, rows[one], {})
        after = declared(inspected(second, linked))
        assert after == before[linked]
        second.docker("start", base, user)
    finally:
        for engine in pair:
            names = [*(user, linked), *(f"{user}-2", f"{linked}-2"), base, f"{base}-2"]
            engine.docker("rm", "--force", "--volumes", *names, check=False)


def _fresh(row: dict[str, Any]) -> dict[str, str]:
    """Every volume without a name becomes a new one."""
    return {mount["name"]: "" for mount in row["mounts"] if len(mount["name"] or "") == 64}
