"""What an engine and an archive may be like: each function changes the sample's manifest and engine."""

from __future__ import annotations

from typing import Any

from tests.dockerops import sample

Raw = dict[str, Any]


def nothing_there(manifest: Raw, there: Raw) -> None:
    there.update(sample.empty())


def running_database_alone(manifest: Raw, there: Raw) -> None:
    there["containers"] = there["containers"][:1]


def stopped_project(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["containers"] = [{**row, "state": "exited", "ports": []} for row in sample.there()["containers"][:2]]


def foreign_container_of_that_name(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["networks"] = sample.there()["networks"][1:]
    there["containers"] = [{"name": "probe-1", "state": "running", "image": "other", "networks": [], "mounts": []}]


def other_container_has_the_port(manifest: Raw, there: Raw) -> None:
    foreign_container_of_that_name(manifest, there)
    port = {"ip": "0.0.0.0", "port": 5353, "protocol": "udp", "container_port": 53}
    there["containers"] = [{"name": "dns", "state": "running", "ports": [port]}]
    there["listening"] = [{"ip": "0.0.0.0", "port": 5353, "protocol": "udp"}]


def process_has_the_port(manifest: Raw, there: Raw) -> None:
    foreign_container_of_that_name(manifest, there)
    there["containers"] = []
    there["listening"] = [{"ip": "127.0.0.1", "port": 5353, "protocol": "udp"}]


def process_has_the_port_elsewhere(manifest: Raw, there: Raw) -> None:
    process_has_the_port(manifest, there)
    there["listening"] = [{"ip": "192.0.2.9", "port": 5353, "protocol": "udp"}, {"ip": "::", "port": 5353}]


def network_with_other_addresses(manifest: Raw, there: Raw) -> None:
    process_has_the_port_elsewhere(manifest, there)
    there["networks"][0]["subnets"] = ["10.9.0.0/16"]


def subnet_of_somebody_else(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["networks"] = [
        {"name": "vpn", "driver": "bridge", "subnets": ["172.20.64.0/20"]},
        sample.there()["networks"][1],
    ]


def volume_with_another_driver(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["volumes"] = [{"name": "kiosk_data", "driver": "rclone", "mountpoint": "/mnt/x/y"}]
    there["paths"] = {"/mnt/x/y": {"exists": True, "free_bytes": 10**12, "device": "9:1"}}


def volume_of_two_projects(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["volumes"] = sample.there()["volumes"][:1]
    mount = {"type": "volume", "name": "kiosk_data", "source": "/x", "destination": "/d"}
    there["containers"] = [{"name": "report_1", "state": "exited", "project": "report", "mounts": [mount]}]


def bind_of_another(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    mount = {"type": "bind", "name": None, "source": "/etc/docker", "destination": "/d"}
    there["containers"] = [{"name": "watcher", "state": "paused", "mounts": [mount]}]


def target_is_full(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["paths"] = {"/etc/docker/daemon.json": {"exists": True, "kind": "file", "free_bytes": 9, "device": "8:1"}}


def external_network_missing(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    manifest["containers"][1]["create"]["HostConfig"]["PortBindings"] = {}


def image_missing(manifest: Raw, there: Raw) -> None:
    process_has_the_port_elsewhere(manifest, there)
    there["images"] = []


def name_of_another_image(manifest: Raw, there: Raw) -> None:
    process_has_the_port_elsewhere(manifest, there)
    there["images"][2]["id"] = "sha256:" + "4" * 64
    manifest["images"][2]["stream"] = "images/2.tar"


def the_system_was_bound(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    kinds = {"kind": "directory", "containers": ["probe-1"], "project": None, "inside": False, "reason": ""}
    manifest["binds"] = [
        {**kinds, "source": path, "path": path} for path in ("/etc", "/proc/1", "/var/lib", "/etc/own")
    ]


def disk_full(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["data_root_free_bytes"] = 79_999_999


def disk_just_big_enough(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["data_root_free_bytes"] = 80_000_000


def older_engine(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["engine"] = {**there["engine"], "version": "20.9.1"}


def other_machine(manifest: Raw, there: Raw) -> None:
    process_has_the_port_elsewhere(manifest, there)
    there["machine"] = "aarch64"


def swarm_task(manifest: Raw, there: Raw) -> None:
    process_has_the_port_elsewhere(manifest, there)
    manifest["containers"][2]["stack"] = {"service": "probe"}


def forbidden(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    there["paths"] = {"/etc/docker/daemon.json": {"exists": False, "allowed": False, "free_bytes": 9, "device": "8:1"}}


def lives_in_another(manifest: Raw, there: Raw) -> None:
    process_has_the_port_elsewhere(manifest, there)
    manifest["containers"][2]["create"]["HostConfig"]["NetworkMode"] = "container:vpn"
    manifest["containers"][2]["networks"] = {}


def external_volume_missing(manifest: Raw, there: Raw) -> None:
    process_has_the_port_elsewhere(manifest, there)
    there["volumes"] = []


def content_not_archived(manifest: Raw, there: Raw) -> None:
    nothing_there(manifest, there)
    manifest["volumes"][0].update(path=None, read="not", problem="no access")


def as_it_was(manifest: Raw, there: Raw) -> None:
    """The archive's own engine."""
