"""All that an engine holds, as the SDK tells it, so that before and after can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.dockers.conftest import referee
from tests.support.bridged import Bridged


def declared(said: dict[str, Any]) -> dict[str, Any]:
    """All that somebody chose of a container, and nothing that the engine made up."""
    identity = said["Id"]
    config, host = dict(said["Config"]), dict(said["HostConfig"])
    if config["Hostname"] == identity[:12]:
        config["Hostname"] = "generated"
    config["Entrypoint"] = config["Entrypoint"] or None
    # Volumes without a name are now asked for by the name that they were given.
    anonymous = {mount["Name"] for mount in said["Mounts"] if len(mount.get("Name") or "") == 64}
    asked = [dict(mount) for mount in host.pop("Mounts", None) or []]
    host["Mounts"] = [mount for mount in asked if mount.get("Source") and mount["Source"] not in anonymous]
    mounts = [
        {key: mount.get(key) for key in ("Type", "Name", "Destination", "RW", "Propagation", "Driver")}
        for mount in said["Mounts"]
    ]
    networks = {
        network: {
            "Aliases": sorted(alias for alias in one["Aliases"] or [] if alias != identity[:12]),
            **{key: one[key] or None for key in ("IPAMConfig", "Links", "DriverOpts")},
        }
        for network, one in said["NetworkSettings"]["Networks"].items()
    }
    mounts.sort(key=lambda mount: str(mount["Destination"]))
    return {"config": config, "host": host, "mounts": mounts, "networks": networks}


def inspected(engine: Bridged, name: str) -> dict[str, Any]:
    """One container, as the SDK reads it."""
    with_sdk = referee(engine)
    try:
        found: dict[str, Any] = with_sdk.api.inspect_container(name)
    finally:
        with_sdk.close()
    return found


def world(engine: Bridged) -> dict[str, Any]:
    """Containers with their ids, names, states and settings; networks, volumes, and names of images."""
    with_sdk = referee(engine)
    try:
        api = with_sdk.api
        containers = [api.inspect_container(one["Id"]) for one in api.containers(all=True)]
        # The engine's own are made anew at each of its starts.
        own = ("bridge", "host", "none")
        networks = [api.inspect_network(one["Id"]) for one in api.networks() if one["Name"] not in own]
        return {
            "containers": {said["Name"]: (said["Id"], said["State"]["Status"], declared(said)) for said in containers},
            "networks": {
                one["Name"]: (one["Id"], one["Driver"], _subnets(one), one["Labels"], one["Options"])
                for one in networks
                for one in networks
            },
            "volumes": {
                one["Name"]: (one["Driver"], one["Options"], one["Labels"]) for one in api.volumes()["Volumes"] or []
            },
            "images": {tag: one["Id"] for one in api.images() for tag in one["RepoTags"] or []},
        }
    finally:
        with_sdk.close()


def _subnets(network: dict[str, Any]) -> list[str]:
    """Without gateways: after its next start an engine tells also those that nobody chose."""
    return sorted(block["Subnet"] for block in network["IPAM"]["Config"] or [])


def data_of(engine: Bridged, volume: str) -> Path:
    """Where a volume's files are."""
    return Path(engine.docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume).stdout.strip())


def clean(engine: Bridged) -> None:
    """Nothing but images."""
    if names := engine.docker("ps", "--all", "--quiet").stdout.split():
        engine.docker("rm", "--force", "--volumes", *names)
    if volumes := engine.docker("volume", "ls", "--quiet").stdout.split():
        engine.docker("volume", "rm", "--force", *volumes)
    engine.docker("network", "prune", "--force")
