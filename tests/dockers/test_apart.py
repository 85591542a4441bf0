"""The helper looks by itself at what a drill asks for: an attacker writes an archive, or sends instead of a worker."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import bodies, harmless
from servers.remote.dockers.creating import CreateContainer
from servers.remote.dockers.journal import Record
from servers.remote.dockers.starting import Start
from servers.remote.dockers.steps import Context


def done(number: int, op: str, **undo: Any) -> Record:
    record = Record({"number": number, "op": op, "undo": undo, "at": 0})
    record.facts = {}
    return record


RECORDS = [
    done(1, "create_network", name="net", id="1" * 64, existed=False),
    done(2, "create_network", name="production", id="2" * 64, existed=True),
    done(3, "create_volume", name="data", existed=False),
    done(4, "create_volume", name="live", existed=True),
    done(5, "create_container", name="other", id="3" * 64, since=0),
]
HARMLESS: dict[str, Any] = {
    "Image": "sha256:1",
    "Env": ["A=b"],
    "HostConfig": {
        "NetworkMode": "net",
        "Memory": 1 << 30,
        "PidsLimit": 100,
        "CapAdd": ["CHOWN"],
        "Binds": ["data:/data"],
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": {}},
        "Links": ["other:db"],
        "VolumesFrom": ["other:ro"],
        "PidMode": "container:other",
    },
    "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["web"]}}},
}


class FakeEngine:
    """It has these containers."""

    api = (1, 41)

    def __init__(self, **there: dict[str, Any]) -> None:
        self.there = there

    def container(self, name: str) -> dict[str, Any] | None:
        return self.there.get(name)


def prepare(body: dict[str, Any], base: Path, networks: dict[str, Any] | None = None, drill: bool = True) -> None:
    context: Any = Context(FakeEngine(), "t" * 8, None, None, RECORDS, 9)  # type: ignore[arg-type]
    inside = {"inside": str(base)} if drill else {}
    CreateContainer(context, {"name": "web", "body": body, "networks": networks or {}, **inside}).prepare()


def changed(**host: Any) -> dict[str, Any]:
    body = copy.deepcopy(HARMLESS)
    body["HostConfig"].update(host)
    return body


def test_what_asks_for_nothing_is_made(tmp_path: Path) -> None:
    prepare(HARMLESS, tmp_path)


ODD: list[dict[str, Any]] = [
    {**HARMLESS, "hostconfig": {"Privileged": True, "Binds": ["/:/host"]}},
    {**HARMLESS, "hostConfig": {}},
    {**HARMLESS, "HOSTCONFIG": {"Privileged": True}},
    {**HARMLESS, "networkingConfig": {"EndpointsConfig": {"production": {}}}},
    {**HARMLESS, "NetworkingConfig": {"endpointsconfig": {"production": {}}}},
    {**HARMLESS, "NetworkingConfig": {"EndpointsConfig": {"net": {"NetworkID": "2" * 64}}}},
    {**HARMLESS, "NetworkingConfig": {"EndpointsConfig": {"net": {"IPAMConfig": {"ipv4address": "10.0.0.1"}}}}},
    changed(privileged=True),
    changed(binds=["/:/host"]),
    changed(Unheard="of"),
    changed(RestartPolicy={"Name": "no", "name": "always"}),
    changed(LogConfig={"Type": "json-file", "type": "syslog"}),
    changed(Mounts=[{"Type": "volume", "Source": "data", "Target": "/x", "type": "bind", "source": "/"}]),
    changed(Mounts=[{"Type": "volume", "Target": "/x", "VolumeOptions": {"driverconfig": {}}}]),
]


@pytest.mark.parametrize("drill", [True, False], ids=["drill", "restore"])
@pytest.mark.parametrize("body", ODD, ids=str)
def test_a_setting_that_is_spelt_otherwise_is_refused(body: dict[str, Any], drill: bool, tmp_path: Path) -> None:
    """An engine takes keys in whatever case."""
    with pytest.raises(wire.Refused) as refused:
        prepare(body, tmp_path, drill=drill)
    assert refused.value.code == "invalid"
    assert bodies.unknown(body, {})


@pytest.mark.parametrize("body", ODD, ids=str)
def test_the_worker_and_the_script_refuse_it_too(body: dict[str, Any]) -> None:
    row = {"name": "web", "create": body, "networks": {}}
    made = {"networks": ["net"], "volumes": ["data"], "containers": ["other"]}
    assert harmless.problems(body, {}, "/base", made)
    with pytest.raises(bodies.Unknown):
        bodies.rewrite(row, {})


DRIVER = {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}}


@pytest.mark.parametrize(
    "body",
    [
        changed(Privileged=True),
        changed(Binds=["/:/host"]),
        changed(Binds=["live:/data"]),
        changed(Devices=[{"PathOnHost": "/dev/sda"}]),
        changed(Annotations={"a": "b"}),
        changed(OomScoreAdj=-1000),
        changed(CgroupParent="/"),
        changed(Mounts=[{"Type": "volume", "Target": "/x", "VolumeOptions": DRIVER}]),
        changed(Mounts=[{"Type": "volume", "Source": "live", "Target": "/x"}]),
        changed(NetworkMode="production"),
        changed(Memory=0),
        changed(Memory=None),
        changed(PidsLimit=-1),
        changed(CapAdd=["SYS_ADMIN"]),
        changed(CapAdd=["SYS_RESOURCE"]),
        changed(CapAdd=["ALL"]),
        changed(Sysctls={"net/ipv6/conf/all/disable_ipv6": "0"}),
        changed(Sysctls={"kernel/core_pattern": "|/x"}),
        changed(Sysctls={"kernel.core_pattern": "|/x"}),
        changed(VolumesFrom=["live_db_1"]),
        changed(VolumesFrom=["live_db_1:ro"]),
        changed(Links=["live_db_1:db"]),
        changed(NetworkMode="container:live_db_1"),
        changed(NetworkMode="xcontainer:other"),
        changed(PidMode="container:live_db_1"),
        changed(IpcMode="container:live_db_1"),
        changed(IpcMode="container:"),
        {**HARMLESS, "NetworkingConfig": {"EndpointsConfig": {"net": {"Links": ["live_db_1:db"]}}}},
        changed(NetworkMode="host"),
        changed(RestartPolicy={"Name": "always"}),
        {**HARMLESS, "NetworkingConfig": {"EndpointsConfig": {"production": {}}}},
        {**HARMLESS, "MacAddress": "02:42:00:00:00:01"},
    ],
    ids=str,
)
def test_what_a_drill_may_not_have_is_refused_whoever_asks(body: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(wire.Refused) as refused:
        prepare(body, tmp_path)
    assert refused.value.code == "unsafe"


def test_it_is_put_into_no_network_of_others(tmp_path: Path) -> None:
    with pytest.raises(wire.Refused) as refused:
        prepare(HARMLESS, tmp_path, {"production": {}})
    assert refused.value.code == "unsafe"


def shows(name: str, *mounts: tuple[Path, bool]) -> dict[str, Any]:
    rows = [{"Type": "bind", "Source": str(path), "RW": writable} for path, writable in mounts]
    return {"Id": name, "Name": f"/{name}", "Config": {}, "State": {"Status": "exited"}, "Mounts": rows}


def start(second: dict[str, Any], first: dict[str, Any], *, drill: bool = True) -> None:
    private = [done(0, "make_private", path="/base")] if drill else []
    records = [*private, done(7, "start", container={"id": "first"}, state="created")]
    engine: Any = FakeEngine(first=first, second=second)
    context: Any = Context(engine, "t" * 8, None, None, records, 9)  # type: ignore[arg-type]
    Start(context, {"container": "second", "state": "running"}).prepare()


def test_what_lies_in_what_another_one_has_written_to_is_not_shown(tmp_path: Path) -> None:
    """Also when that one has ended since: its link would still be there."""
    app, data = tmp_path / "app", tmp_path / "app/data"
    data.mkdir(parents=True)
    inner = shows("second", (data, True))
    start(inner, shows("first", (app, False)))
    start(inner, shows("first", (data, True), (tmp_path / "app/da", True)))
    start(inner, shows("first", (app, True)), drill=False)
    with pytest.raises(wire.Refused) as refused:
        start(inner, shows("first", (app, True)))
    assert refused.value.code == "unsafe"


def test_a_link_that_is_there_by_now_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to("/etc")
    with pytest.raises(wire.Refused) as refused:
        start(shows("second", (tmp_path / "data", True)), shows("first"))
    assert refused.value.code == "unsafe"


def test_what_inspect_says_is_of_the_known_form() -> None:
    """Also of an engine that says more than we know: that is left out, and not refused years later."""
    said = {
        "Id": "f" * 64,
        "Config": {"Image": "i", "OnBuild": None, "Unheard": "of"},
        "HostConfig": {"NetworkMode": "net", "Unheard": "of", "Privileged": True, "ContainerIDFile": "/x"},
        "NetworkSettings": {"Networks": {"net": {"NetworkID": "1", "Aliases": ["a"], "IPAMConfig": {}}}},
    }
    made = bodies.from_inspect(said)
    assert bodies.unknown(made["create"], made["networks"]) == []
    assert made["create"]["HostConfig"]["Privileged"] is True
    bodies.rewrite(dict(made, name="x"), {})
