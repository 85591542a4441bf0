"""What an engine alters by itself is no difference, what it leaves away is told, and anything else stays a difference.

Pure: how other versions and other kernels say a setting, as their sources and notes of release have it.
"""

from __future__ import annotations

from typing import Any

import pytest

from servers.remote.dockers import altered, comparing

DEVICE: dict[str, Any] = {"PathOnHost": "/dev/x"}
FILES: dict[str, Any] = {"Name": "nofile", "Hard": 9, "Soft": 9}
ROTATED = {"max-size": "1m"}


def published(address: str, port: str = "80") -> dict[str, Any]:
    return {"80/tcp": [{"HostIp": address, "HostPort": port}]}


SAME: list[tuple[str, Any, Any]] = [
    # The same in other words.
    ("CapAdd", ["SYS_ADMIN", "net_raw"], ["CAP_NET_RAW", "CAP_SYS_ADMIN"]),
    ("CapDrop", ["ALL"], ["ALL"]),
    ("SecurityOpt", ["no-new-privileges", "label:disable"], ["label=disable", "no-new-privileges:true"]),
    ("SecurityOpt", ["seccomp=a:b=c"], ["seccomp:a:b=c"]),
    ("RestartPolicy", {"Name": "", "MaximumRetryCount": 0}, {"Name": "no"}),
    ("NetworkMode", "default", "bridge"),
    ("StopSignal", "SIGTERM", None),
    ("Devices", [{**DEVICE, "CgroupPermissions": ""}], [{**DEVICE, "CgroupPermissions": "rwm"}]),
    ("PortBindings", {**published(""), "81/tcp": None}, published("0.0.0.0")),
    ("Volumes", {}, None),
    ("Tty", False, None),
    ("Healthcheck", {"Test": ["NONE"]}, {"Test": ["NONE"], "StartInterval": 0}),
    ("Mounts", [{"Target": "/a", "ReadOnly": False, "BindOptions": {}}], [{"Target": "/a"}]),
    ("MemorySwappiness", -1, None),
    ("PidsLimit", None, -1),
    # What nobody asked for.
    ("ShmSize", 0, 67108864),
    ("IpcMode", "", "private"),
    ("CgroupnsMode", "", "host"),
    ("LogConfig", {"Type": "", "Config": {}}, {"Type": "journald", "Config": {}}),
    ("MemorySwap", 0, 128 << 20),
    # More than was asked for, of the image or of the engine's own configuration.
    ("Env", ["A=1"], ["A=1", "PATH=/bin"]),
    ("Labels", {"a": ""}, {"a": "", "maintainer": "x"}),
    ("ExposedPorts", {"80/tcp": {}}, {"80/tcp": {}, "443/tcp": {}}),
    ("Ulimits", [FILES], [{"Name": "core", "Hard": 0, "Soft": 0}, FILES]),
    ("LogConfig", {"Type": "local", "Config": ROTATED}, {"Type": "local", "Config": {**ROTATED, "max-file": "3"}}),
]
OTHER: list[tuple[str, Any, Any]] = [
    ("Env", ["A=1"], ["A=2"]),
    ("Labels", {"a": "1"}, {}),
    ("ExposedPorts", {"80/tcp": {}}, {"81/tcp": {}}),
    ("CapAdd", None, ["CAP_SYS_ADMIN"]),
    ("CapDrop", ["ALL"], None),
    ("SecurityOpt", ["no-new-privileges"], ["no-new-privileges=false"]),
    ("Privileged", False, True),
    ("Memory", 64, 32),
    ("MemorySwap", -1, 64),
    ("NetworkMode", "host", "bridge"),
    ("RestartPolicy", {"Name": "always"}, {"Name": "no"}),
    ("PortBindings", published("127.0.0.1"), published("")),
    ("PortBindings", published("", "80"), published("", "81")),
    ("PortBindings", None, published("")),
    ("LogConfig", {"Type": "json-file", "Config": {}}, {"Type": "none", "Config": {}}),
    ("LogConfig", {"Type": "syslog", "Config": {"tag": "x"}}, {"Type": "syslog", "Config": None}),
    ("ReadonlyRootfs", True, False),
    ("Cmd", ["a", "b"], ["b", "a"]),
    ("User", "1000", ""),
    ("Mounts", [{"Target": "/a", "ReadOnly": True}], [{"Target": "/a"}]),
    ("Healthcheck", {"Test": ["CMD", "x"]}, {"Test": ["NONE"]}),
    ("StopSignal", "SIGINT", None),
]


@pytest.mark.parametrize(("key", "wanted", "made"), SAME)
def test_the_same_in_other_words_or_more_than_was_asked_is_no_difference(key: str, wanted: Any, made: Any) -> None:
    assert altered.is_same(key, wanted, made)
    assert not altered.is_left_away(key, wanted, made)


@pytest.mark.parametrize(("key", "wanted", "made"), OTHER)
def test_what_was_asked_and_is_not_so_is_a_difference(key: str, wanted: Any, made: Any) -> None:
    assert not altered.is_same(key, wanted, made)
    assert not altered.is_left_away(key, wanted, made)


def test_a_limit_that_the_kernel_does_not_have_is_told_and_no_difference() -> None:
    host = {"Memory": 64 << 20, "MemorySwap": 128 << 20, "KernelMemory": 9, "OomKillDisable": True, "PidsLimit": 50}
    made = {"Memory": 64 << 20, "MemorySwap": -1, "OomKillDisable": None, "PidsLimit": 0}
    wanted = {"body": {"HostConfig": {**host, "CapDrop": ["ALL"]}}, "networks": {}}
    row = {"create": {"HostConfig": {**made, "CapDrop": ["ALL"]}}, "networks": {}}
    assert comparing.differences(wanted, row) == []
    assert comparing.left_away(wanted, row) == [
        "HostConfig." + name for name in ("KernelMemory", "MemorySwap", "OomKillDisable", "PidsLimit")
    ]
    # No right and no other setting is ever only “left away”.
    assert comparing.differences(wanted, {"create": {"HostConfig": made}, "networks": {}}) == ["HostConfig.CapDrop"]


def test_a_cards_address_that_the_engine_does_not_tell_is_no_other_one() -> None:
    wanted = {"body": {"MacAddress": "02:42:AC:AA:BB:CC", "HostConfig": {}}, "networks": {}}
    for told, fields in ((None, []), ("02:42:ac:aa:bb:cc", []), ("02:42:ac:aa:bb:cd", ["MacAddress"])):
        assert comparing.differences(wanted, {"create": {"MacAddress": told}, "networks": {}}) == fields


def test_further_names_in_a_network_are_no_difference() -> None:
    endpoint = {"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.0.0.9", "IPv6Address": ""}}
    wanted = {"body": {"HostConfig": {}}, "networks": {"net": endpoint}}
    for made, fields in (
        ({"Aliases": ["db", "shop-db-1"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}}, []),
        ({"Aliases": ["other"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}}, ["Networks.net"]),
        ({"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.0.0.8"}}, ["Networks.net"]),
        (None, ["Networks.net"]),
    ):
        row: dict[str, Any] = {"create": {}, "networks": {} if made is None else {"net": made}}
        assert comparing.differences(wanted, row) == fields
