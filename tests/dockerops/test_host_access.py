"""What an archive would get of the machine itself: told by name, and nothing of it happens before somebody agrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dockerops import conflicts, host_access
from dockerops.choice import Choice
from dockerops.errors import NotPlanned
from dockerops.options import Options
from dockerops.planning import plan_docker
from tests.dockerops import sample
from tests.dockerops.test_conflicts import ABOUT, CONFIGS, PROBE, PROJECT

Raw = dict[str, Any]
Change = Callable[[Raw], object]
NEW = Options(create_missing=True)


def asked(raw: Raw, choice: Choice = PROBE, options: Options = NEW, *, own: bool = False) -> dict[str, str]:
    """{consent: sentence} of what is asked about the machine."""
    kinds = ("host_access", "host_volume", "system_target")
    found = conflicts.find(sample.contents(raw), sample.inventory(sample.empty()), choice, options, own=own)
    return {one.consent: one.sentence for one in found if one.kind in kinds and one.severity == "stop"}


def probe(**host: Any) -> Raw:
    """The sample with these settings of the standalone container, which asks for nothing else."""
    raw = sample.manifest()
    settings = raw["containers"][2]["create"]["HostConfig"]
    settings["CapAdd"] = []
    settings |= host
    return raw


DRIVER = {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/root"}}
INLINE = [{"Type": "volume", "Source": "x", "Target": "/x", "VolumeOptions": {"DriverConfig": DRIVER}}]
ASKED: list[tuple[Raw, str]] = [
    ({"Privileged": True}, "privileged"),
    ({"PRIVILEGED": True}, "privileged"),
    ({"NetworkMode": "host"}, "NetworkMode=host"),
    ({"PidMode": "host"}, "PidMode=host"),
    ({"IpcMode": "host"}, "IpcMode=host"),
    ({"UsernsMode": "host"}, "UsernsMode=host"),
    ({"Devices": [{"PathOnHost": "/dev/mem", "PathInContainer": "/m"}]}, "/dev/mem"),
    ({"DeviceCgroupRules": ["a *:* rwm"]}, "DeviceCgroupRules"),
    ({"CapAdd": ["CHOWN", "CAP_SYS_ADMIN"]}, "+SYS_ADMIN"),
    ({"CapAdd": ["all"]}, "+ALL"),
    ({"SecurityOpt": ["no-new-privileges", "apparmor=unconfined"]}, "apparmor=unconfined"),
    ({"MaskedPaths": []}, "MaskedPaths=none"),
    ({"Binds": ["/var/run/docker.sock:/s:ro"]}, "/var/run/docker.sock"),
    ({"Binds": ["/:/host"]}, " /."),
    ({"binds": ["/etc/shadow:/x"]}, "/etc/shadow"),
    ({"Mounts": [{"Type": "bind", "Source": "/home", "Target": "/x"}]}, "/home"),
    ({"Mounts": INLINE}, "/root"),
]


@pytest.mark.parametrize(("host", "named"), ASKED, ids=lambda one: str(one)[:40])
def test_a_container_that_gets_something_of_the_machine_is_told_with_it(host: Raw, named: str):
    assert asked(probe()) == {}
    said = asked(probe(**host))
    assert list(said) == ["host:probe-1"]
    assert named in said["host:probe-1"]


def test_settings_beside_those_that_are_known_are_read_as_the_engine_reads_them():
    raw = probe()
    raw["containers"][2]["create"]["hostconfig"] = {"Privileged": True, "Binds": ["/:/host"]}
    assert "privileged" in asked(raw)["host:probe-1"]


def test_usual_rights_ask_nothing():
    usual = {"CapAdd": ["NET_RAW", "CAP_CHOWN"], "SecurityOpt": ["no-new-privileges:true"], "Runtime": "runc"}
    assert asked(probe(**usual, IpcMode="shareable", PidMode="", Devices=[], Privileged=False)) == {}


def test_what_is_restored_with_it_is_its_own_and_what_lies_beside_is_not():
    """The project's binds lie in what is put back; a path that only begins so does not, however it is spelt."""
    assert list(asked(sample.manifest(), PROJECT)) == ["system:/etc/app.conf"]
    for source in ("/opt/application", "/opt", "/opt/app/../../etc", "/opt/app/html/x.sock"):
        raw = sample.manifest()
        raw["containers"][1]["create"]["HostConfig"]["Binds"].append(f"{source}:/x")
        assert source in asked(raw, PROJECT)["host:kiosk_web_1"]


VOLUMES = {
    "bind": ({"type": "none", "o": "bind", "device": "/"}, "/"),
    "block": ({"type": "ext4", "device": "/dev/sda1"}, "/dev/sda1"),
    "layers": ({"type": "overlay", "o": "lowerdir=/etc,upperdir=/x,workdir=/y", "device": "overlay"}, "/etc"),
    "proc": ({"type": "proc"}, "proc"),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_a_volume_that_is_something_of_the_machine_is_told_with_who_mounts_it(kind: str):
    raw, (options, _place) = probe(), VOLUMES[kind]
    raw["volumes"][3].update(options=options, path=None)
    assert f"corp_shared → {host_access.device('local', options)}" in asked(raw)["host:probe-1"]
    # Alone it is made, too, and whoever mounts it later sees that.
    assert list(asked(raw, Choice("volumes", volumes=("corp_shared",)))) == ["device:corp_shared"]


@pytest.mark.parametrize(
    "options",
    [{}, {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, {"type": "nfs", "o": "addr=a", "device": ":/x"}],
)
def test_memory_and_other_machines_are_nothing_of_this_one(options: Raw):
    assert host_access.device("local", options) == ""
    assert host_access.device("local", {"type": "cifs", "device": "//server/share"}) == ""


def test_a_manifest_does_not_say_what_we_find_out():
    """A directory without options, the shape of a container, where something is known from: all of it is ours."""
    raw = probe(Privileged=True)
    raw["volumes"][0]["device"] = "/etc/cron.d"
    raw["containers"][2]["shape"] = {"rights": []}
    raw["containers"][2]["origin"] = raw["origin"] = "listing"
    raw["networks"][0]["driver"] = "host"
    contents = sample.contents(raw)
    assert contents.volumes[0].device is None
    assert contents.containers[2].shape.rights == ("privileged",)
    assert {contents.origin, contents.containers[2].origin} == {"manifest"}
    assert contents.networks[0].driver == "bridge"
    made = [row.path for row in conflicts.situation(contents, sample.inventory(), Choice(), NEW).targets]
    assert "/etc/cron.d" not in made


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/cron.d/x", "/root/x", "/usr/local/bin/x", "/boot/x", "/var/spool/cron/crontabs/root", "/lib/systemd/x"),
        *("/home/a/.ssh", "/home/a/.ssh/authorized_keys", "/home/a/.config/systemd/user/x.service"),
        *("/opt/../etc/cron.d/x", "/var/spool/cron"),
    ],
)
def test_what_the_machine_would_act_on_is_asked_by_name(path: str):
    raw = probe()
    raw["projects"][0]["paths"].append(path)
    assert f"system:{path}" in asked(raw, PROJECT, own=True)
    elsewhere = Options("other_path", "/look", name_suffix=".copy", create_missing=True)
    assert f"system:/look{path}" not in asked(raw, PROJECT, elsewhere)


def test_only_its_own_server_takes_the_engines_settings_unasked():
    assert asked(sample.manifest(), CONFIGS, own=True) == {}
    assert list(asked(sample.manifest(), CONFIGS)) == ["system:/etc/docker/daemon.json"]


def test_a_volume_of_another_application_is_not_lent_to_a_strangers_container():
    contents, there = sample.contents(probe()), sample.inventory()
    for own, expected in ((True, []), (False, ["host:probe-1"])):
        found = conflicts.find(contents, there, PROBE, Options(), own=own)
        assert [one.consent for one in found if one.kind == "host_access"] == expected


def test_nothing_is_planned_without_that_consent():
    contents, there = sample.contents(probe(Privileged=True)), sample.inventory(sample.empty())
    with pytest.raises(NotPlanned) as refused:
        plan_docker(contents, there, PROBE, NEW, ABOUT)
    assert [one.consent for one in refused.value.conflicts] == ["host:probe-1"]
    assert plan_docker(contents, there, PROBE, NEW, ABOUT, ["host:probe-1"]).steps
