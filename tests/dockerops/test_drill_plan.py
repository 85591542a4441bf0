"""The plan of a drill: whatever an archive's containers had, what is started can reach nothing but itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dockerops import drill_plan
from dockerops.drill_manifest import LABEL, isolate
from dockerops.inventory import ImageThere, Inventory
from dockerops.plan import DockerPlan
from dockerops.planning import About
from dockerops.scripts.filling import fill
from servers.remote.dockers.bodies import rewrite
from tests.dockerops import sample

TOKEN = "0123456789abcdef0123456789abcdef"
ABOUT = About("one", "ab" * 32, "/pool/main", "shop", "/run/docker.sock", TOKEN)
SECOND = "kiosk_web_1"


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(sample.manifest())
    return found


def there(found: dict[str, Any]) -> Inventory:
    """Production itself, with everything that the archive has."""
    images = tuple(ImageThere(row["id"], tuple(row["tags"])) for row in found["images"])
    live = sample.inventory()
    return Inventory.from_json({**live.as_json(), "images": [{"id": one.id, "tags": list(one.tags)} for one in images]})


def planned(found: dict[str, Any]) -> tuple[DockerPlan, list[dict[str, Any]]]:
    """(plan, bodies of its containers)"""
    isolated = isolate(found, TOKEN)
    plan = drill_plan.plan_drill(drill_plan.contents_of(isolated), isolated, there(found), ABOUT)
    made = [step for step in plan.steps if step.op == "create_container"]
    return plan, [
        drill_plan.with_old_name(
            fill(step.op, step.params, isolated.manifest, plan.renames, rewrite), step.params["manifest_name"]
        )
        for step in made
    ]


def test_beside_production_nothing_of_it_is_touched() -> None:
    """Every name is new, nothing is stopped or replaced, and no consent is asked for."""
    found = manifest()
    before = copy.deepcopy(found)
    plan, bodies = planned(found)
    assert found == before
    assert not {"stop_container", "rename_container", "disconnect"} & {step.op for step in plan.steps}
    assert plan.steps[0].op == "make_private"
    base = drill_plan.base_of(TOKEN)
    for step in plan.steps:
        if step.op in ("create_volume", "create_network"):
            assert "phpborg-drill-01234567" in step.params["name"] or len(step.params["name"]) == 64
        if step.op == "exchange":
            target = step.params["target"]
            assert target.startswith(f"{base}/") or "/volumes/" in target
    assert len(bodies) == len(found["containers"])
    for body in bodies:
        assert drill_plan.unsafe(body, plan) == []
        assert body["body"]["Labels"][LABEL] == TOKEN
        assert body["body"]["HostConfig"]["RestartPolicy"] == {"Name": "no"}
        assert not body["body"]["HostConfig"].get("PortBindings")
        assert not [key for key in body["body"]["Labels"] if not key.startswith(("com.docker.compose.", LABEL))]


def test_networks_lead_nowhere_and_volumes_are_plain() -> None:
    isolated = isolate(manifest(), TOKEN)
    for row in isolated.manifest["networks"]:
        assert row["create"]["Internal"] is True
        assert row["create"]["Driver"] == "bridge"
        assert row["create"]["Options"] == {"com.docker.network.bridge.inhibit_ipv4": "true"}
        assert "Config" not in row["create"]["IPAM"]
        assert row["external"] is False
    assert {row["name"] for row in isolated.manifest["networks"]} >= {"kiosk_default", "proxy"}
    for row in isolated.manifest["volumes"]:
        assert (row["driver"], row["options"]) == ("local", {})


def host_of(found: dict[str, Any], name: str = SECOND) -> dict[str, Any]:
    row = next(row for row in found["containers"] if row["name"] == name)
    host: dict[str, Any] = row["create"]["HostConfig"]
    return host


@pytest.mark.parametrize(
    "host",
    [
        {"Privileged": True},
        {"NetworkMode": "host"},
        {"PidMode": "host"},
        {"IpcMode": "host"},
        {"Devices": [{"PathOnHost": "/dev/sda"}]},
        {"DeviceRequests": [{"Driver": "nvidia"}]},
        {"DeviceCgroupRules": ["a *:* rwm"]},
        {"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]},
        {"Mounts": [{"Type": "bind", "Source": "/run/containerd/containerd.sock", "Target": "/x"}]},
    ],
    ids=str,
)
def test_what_needs_its_machine_is_left_out(host: dict[str, Any]) -> None:
    found = manifest()
    host_of(found).update(host)
    isolated = isolate(found, TOKEN)
    assert [one.subject for one in isolated.left] == [SECOND]
    assert isolated.left[0].sentence
    # A note of a proof has these names for itself.
    assert not {"kind", "words", "path"} & {key for one in (*isolated.left, *isolated.remarks) for key in one.facts}
    assert SECOND not in [row["name"] for row in isolated.manifest["containers"]]


def test_what_lives_in_one_that_is_left_out_is_left_out_too() -> None:
    found = manifest()
    host_of(found)["Privileged"] = True
    host_of(found, "probe-1")["NetworkMode"] = f"container:{SECOND}"
    assert {one.subject for one in isolate(found, TOKEN).left} == {SECOND, "probe-1"}


SHARES: list[dict[str, Any]] = [
    {"VolumesFrom": ["{}"]},
    {"VolumesFrom": ["{}:ro"]},
    {"Links": ["{}:db"]},
    {"NetworkMode": "container:{}"},
    {"PidMode": "container:{}"},
    {"IpcMode": "container:{}"},
]


@pytest.mark.parametrize("host", SHARES, ids=str)
@pytest.mark.parametrize("other", ["live_db_1", "once"])
def test_what_lives_in_one_that_is_not_in_the_drill_is_left_out(host: dict[str, Any], other: str) -> None:
    """It would live in production's: one that is not in the archive, or that `run` started once."""
    found = manifest()
    found["containers"].append({**copy.deepcopy(found["containers"][0]), "name": "once", "oneoff": True})
    shared = {
        key: [one.format(other) for one in value] if isinstance(value, list) else value.format(other)
        for key, value in host.items()
    }
    host_of(found).update(shared)
    isolated = isolate(found, TOKEN)
    assert [(one.subject, one.facts["other"]) for one in isolated.left] == [(SECOND, other)]
    plan, bodies = planned(manifest())
    bodies[0]["body"]["HostConfig"].update(shared)
    assert drill_plan.unsafe(bodies[0], plan)


def test_a_link_in_a_network_leads_to_others_of_the_drill_alone() -> None:
    found = manifest()
    row = next(row for row in found["containers"] if row["name"] == SECOND)
    row["networks"]["proxy"]["Links"] = ["live_db_1:x", "kiosk_db_1:store"]
    plan, bodies = planned(found)
    web = next(one for one in bodies if one["name"].endswith("_web_1"))
    new = drill_plan.name_of(TOKEN)
    assert [one["Links"] for one in web["networks"].values() if one.get("Links")] == [[f"{new}_db_1:store"]]
    assert drill_plan.unsafe(web, plan) == []


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": ["/:/host", "/etc:/etc2", "/mnt/production:/data", "/var/lib/docker/volumes:/v"]},
        {"Mounts": [{"Type": "bind", "Source": "/srv/elsewhere", "Target": "/x"}]},
        {"Binds": ["not_in_the_archive:/data"]},
        {"NetworkMode": "default"},
        {"NetworkMode": "macvlan-to-production"},
        {"CapAdd": ["ALL", "CAP_SYS_ADMIN", "NET_ADMIN", "SYS_NICE", "IPC_LOCK", "SYS_RESOURCE", "CHOWN"]},
        {"SecurityOpt": ["apparmor=unconfined", "seccomp=unconfined", "no-new-privileges"]},
        {"Memory": -1, "MemorySwap": -1, "MemoryReservation": 1 << 40, "PidsLimit": -1},
        {"Sysctls": {"net.ipv6.conf.all.disable_ipv6": "0", "net.core.somaxconn": "9"}},
        {"Sysctls": {"net/ipv6/conf/all/disable_ipv6": "0", "kernel/core_pattern": "|/x", "net.ipv4/../x": "1"}},
        {
            "Sysctls": {
                "kernel.core_pattern": "|/x",
                "kernel.shmmax": "9",
                "fs.mqueue.msg_max": "9",
                "vm.swappiness": "1",
            }
        },
        {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://production:514"}}},
        {"UTSMode": "host", "UsernsMode": "host", "CgroupnsMode": "host", "CgroupParent": "/production"},
        {"Dns": ["10.0.0.53"], "ExtraHosts": ["production:host-gateway"]},
        {"Runtime": "kata", "VolumeDriver": "nfs", "PublishAllPorts": True, "AutoRemove": True, "Unheard": "of"},
        {"RestartPolicy": {"Name": "always"}, "PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
    ],
    ids=str,
)
def test_whatever_a_container_had_its_body_is_harmless(host: dict[str, Any]) -> None:
    found = manifest()
    host_of(found).update(host)
    assert not {"kind", "words", "path"} & {key for one in isolate(found, TOKEN).remarks for key in one.facts}
    plan, bodies = planned(found)
    new = drill_plan.name_of(TOKEN)
    filled = next(one for one in bodies if one["name"] == f"{new}_web_1")
    assert drill_plan.unsafe(filled, plan) == []
    made = filled["body"]["HostConfig"]
    assert set(made.get("CapAdd") or []) <= {"CHOWN"}
    assert made["Memory"] > 0
    assert made["PidsLimit"] > 0
    assert made["LogConfig"]["Type"] == "json-file"
    assert made["Dns"] == ["192.0.2.1"]
    assert set(made.get("SecurityOpt") or []) <= {"no-new-privileges"}
    assert set(made.get("Sysctls") or {}) <= {"net.core.somaxconn", "kernel.shmmax", "fs.mqueue.msg_max"}
    assert "Unheard" not in made
    sources = [bind.partition(":")[0] for bind in made.get("Binds") or []]
    assert not [source for source in sources if source.startswith("/") and not source.startswith(drill_plan.BASE)]


@pytest.mark.parametrize(
    "change",
    [
        {"Privileged": True},
        {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}},
        {"Binds": ["/etc:/etc"]},
        {"Binds": ["kiosk_data:/data"]},
        {"Mounts": [{"Type": "volume", "Source": "kiosk_data", "Target": "/x"}]},
        {"Mounts": [{"Type": "bind", "Source": "/var/lib/phpborg/docker-drill", "Target": "/x"}]},
        {"NetworkMode": "host"},
        {"NetworkMode": "bridge"},
        {"NetworkMode": "kiosk_default"},
        {"NetworkMode": "container:kiosk_db_1"},
        {"PidMode": "host"},
        {"IpcMode": "host"},
        {"RestartPolicy": {"Name": "always"}},
        {"Devices": [{"PathOnHost": "/dev/sda"}]},
        {"privileged": True},
        {"CapAdd": ["SYS_RESOURCE"]},
        {"Memory": 0},
        {"PidsLimit": -1},
        {"Annotations": {"a": "b"}},
        {"Mounts": [{"Type": "volume", "Target": "/x", "VolumeOptions": {"DriverConfig": {"Name": "local"}}}]},
    ],
    ids=str,
)
def test_the_last_look_lets_nothing_through(change: dict[str, Any]) -> None:
    """`unsafe` does not believe that the manifest was made harmless."""
    plan, bodies = planned(manifest())
    filled = copy.deepcopy(bodies[0])
    filled["body"]["HostConfig"].update(change)
    assert drill_plan.unsafe(filled, plan)


def test_its_name_in_production_is_an_alias_in_its_networks() -> None:
    _plan, bodies = planned(manifest())
    web = next(one for one in bodies if one["name"].endswith("_web_1"))
    endpoints = {**web["body"]["NetworkingConfig"]["EndpointsConfig"], **web["networks"]}
    assert len(endpoints) == 2
    assert all(SECOND in one["Aliases"] for one in endpoints.values())


def test_an_image_is_borrowed_by_its_id_and_takes_no_name() -> None:
    found = manifest()
    for number, row in enumerate(found["images"]):
        row["stream"] = f"images/{number}.tar"
    isolated = isolate(found, TOKEN)
    plan = drill_plan.plan_drill(drill_plan.contents_of(isolated), isolated, Inventory(), ABOUT)
    borrowed = [step for step in plan.steps if step.op == "borrow_image"]
    assert {step.params["id"] for step in borrowed} == {row["id"] for row in found["images"]}
    assert not [step for step in plan.steps if step.op in ("load_image", "pull_image")]
    for step in borrowed:
        assert step.params["names"] == next(row["tags"] for row in found["images"] if row["id"] == step.params["id"])


def test_several_projects_are_started_beside_each_other() -> None:
    found = manifest()
    probe = next(row for row in found["containers"] if row["name"] == "probe-1")
    probe.update(project="other", service="probe")
    probe["create"]["Labels"] = {"com.docker.compose.project": "other"}
    found["projects"].append({**found["projects"][0], "name": "other", "containers": ["probe-1"], "volumes": []})
    plan, bodies = planned(found)
    projects = {one["body"]["Labels"]["com.docker.compose.project"] for one in bodies}
    new = drill_plan.name_of(TOKEN)
    assert projects == {new, f"{new}-1"}
    assert all(drill_plan.unsafe(one, plan) == [] for one in bodies)


@pytest.mark.parametrize(
    "source", ["/opt/shared/deep/../../../../etc", "/opt/shared/./x", "/opt/shared//x", "/opt/a:/b"]
)
def test_a_path_that_is_read_in_two_ways_is_not_shown(source: str) -> None:
    found = manifest()
    found["projects"][0]["paths"].append("/opt/a:/b")
    host_of(found)["Binds"] = []
    host_of(found)["Mounts"] = [{"Type": "bind", "Source": source, "Target": "/x"}]
    isolated = isolate(found, TOKEN)
    assert [one.facts["place"] for one in isolated.remarks if one.subject == SECOND and "place" in one.facts] == [
        source
    ]
    plan, bodies = planned(found)
    assert not next(one for one in bodies if one["name"].endswith("_web_1"))["body"]["HostConfig"].get("Binds")
    changed = copy.deepcopy(bodies[0])
    changed["body"]["HostConfig"]["Binds"] = [f"{drill_plan.base_of(TOKEN)}{source}:/x"]
    assert drill_plan.unsafe(changed, plan)


@pytest.mark.parametrize("key", ["hostconfig", "HOSTCONFIG", "hostConfig"])
def test_a_body_is_made_of_known_settings_alone(key: str) -> None:
    """An engine takes keys in whatever case: two spellings of one would be one."""
    found = manifest()
    row = next(row for row in found["containers"] if row["name"] == SECOND)
    row["create"][key] = {"Privileged": True, "Binds": ["/:/host"]}
    row["create"]["networkingconfig"] = {"EndpointsConfig": {"bridge": {}}}
    _plan, bodies = planned(found)
    for one in bodies:
        assert not [name for name in one["body"] if name.lower() != "hostconfig" and "privileged" in str(name).lower()]
        assert [name for name in one["body"] if name.lower() in ("hostconfig", "networkingconfig")] == [
            "HostConfig",
            "NetworkingConfig",
        ]


@pytest.mark.parametrize(
    "body",
    [
        {"hostconfig": {"Privileged": True, "Binds": ["/:/host"]}},
        {"MacAddress": "02:42:00:00:00:01"},
        {"Unheard": "of"},
    ],
    ids=str,
)
def test_the_last_look_knows_every_setting(body: dict[str, Any]) -> None:
    plan, bodies = planned(manifest())
    filled = copy.deepcopy(bodies[0])
    filled["body"].update(body)
    assert drill_plan.unsafe(filled, plan)


OUTER, INNER = "/opt/shared", "/opt/shared/data"


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ({"Binds": [f"{OUTER}:/x"]}, {"Binds": [f"{INNER}:/y:ro"]}, {SECOND}),
        ({"Binds": [f"{OUTER}:/x:rw"]}, {"Mounts": [{"Type": "bind", "Source": INNER, "Target": "/y"}]}, {SECOND}),
        ({"Binds": [f"{OUTER}/:/x"]}, {"Binds": [f"{INNER}:/y"], "VolumesFrom": ["kiosk_db_1"]}, {SECOND}),
        # Nobody has been started yet who could put anything in its place.
        ({"Binds": [f"{INNER}:/x"]}, {"Binds": [f"{OUTER}:/y"]}, set()),
        ({"Binds": [f"{OUTER}:/x", f"{INNER}:/y"]}, {"Binds": []}, set()),
        ({"Binds": [f"{OUTER}:/x:ro"]}, {"Binds": [f"{INNER}:/y"]}, set()),
        ({"Binds": [f"{INNER}:/x"]}, {"Binds": [f"{INNER}:/y"]}, set()),
        ({"Binds": [f"{INNER}:/x"]}, {"Binds": [f"{INNER}base:/y"]}, set()),
    ],
    ids=str,
)
def test_a_directory_in_one_that_a_running_container_writes_to_is_not_shown(
    first: dict[str, Any], second: dict[str, Any], left: set[str]
) -> None:
    """The database is started first: it could put a link in the place of the inner one."""
    found = manifest()
    host_of(found, "kiosk_db_1").update(first)
    host_of(found).update(second)
    isolated = isolate(found, TOKEN)
    assert {one.subject for one in isolated.left} == left
    assert {one.facts["other"] for one in isolated.left} == ({"kiosk_db_1"} if left else set())


def test_through_the_volumes_of_another_it_may_be_written_to_as_well() -> None:
    """`aaa` is never started, and the database that has its volumes is."""
    found = manifest()
    other = {
        **copy.deepcopy(found["containers"][0]),
        "name": "aaa",
        "state": "exited",
        "service": None,
        "project": None,
    }
    other["create"]["HostConfig"]["Binds"] = [f"{OUTER}:/x"]
    found["containers"].append(other)
    host_of(found, "kiosk_db_1")["VolumesFrom"] = ["aaa"]
    host_of(found)["Binds"] = [f"{INNER}:/y"]
    assert {one.subject for one in isolate(found, TOKEN).left} == {SECOND}
    host_of(found, "kiosk_db_1")["VolumesFrom"] = ["aaa:ro"]
    assert not isolate(found, TOKEN).left


def test_limits_are_kept_and_what_had_none_gets_one() -> None:
    found = manifest()
    host_of(found).update({"Memory": 64 << 20, "MemorySwap": 128 << 20, "PidsLimit": 50})
    _plan, bodies = planned(found)
    keys = ("Memory", "MemorySwap", "PidsLimit")
    hosts = {one["name"].rsplit("_", 2)[-2]: one["body"]["HostConfig"] for one in bodies if "_" in one["name"]}
    assert [hosts["web"].get(key) for key in keys] == [64 << 20, 128 << 20, 50]
    assert [hosts["db"].get(key) for key in keys] == [4 << 30, None, 4096]
