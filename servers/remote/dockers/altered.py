"""What an engine alters by itself when it makes a container: the same in other words, more than was asked, or less.

Pure. Another version writes settings in another way, fills in its own defaults, and adds what the image or its own
configuration says (`is_same`). What its kernel cannot limit it leaves away with a warning and makes the container all
the same (`is_left_away`). Everything else that is not as it was asked for is a difference.
"""

from typing import Any, Callable, Dict, List

# With nothing asked for, an engine says what it takes instead.
_FILLED_IN = (
    *("ShmSize", "IpcMode", "CgroupnsMode", "LogConfig", "Runtime", "Isolation", "MemorySwap", "MemorySwappiness"),
    *("ConsoleSize", "PidsLimit", "OomKillDisable", "StopSignal"),
)
# An image's own, and the engine's own limits, are added to what was asked for.
_ADDED_TO = ("Env", "Labels", "ExposedPorts", "Volumes", "Ulimits")
# Limits that a kernel, or its way of counting, may not have.
_OF_THE_KERNEL = (
    *("Memory", "MemorySwap", "MemoryReservation", "MemorySwappiness", "KernelMemory", "KernelMemoryTCP"),
    *("OomKillDisable", "PidsLimit", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime"),
    *("CpusetCpus", "CpusetMems", "BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps"),
    *("BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"),
)
_NO_LIMIT = (None, 0, -1, "", False)
_EVERYWHERE = ("", "0.0.0.0", "::")
Table = Dict[str, Any]


def is_same(key: str, wanted: Any, made: Any) -> bool:
    """Does the engine's word for a setting of a body, or of its HostConfig, mean what was asked for?"""
    if (wanted or None) == (made or None):
        return True
    if key in _OF_THE_KERNEL and _is_none(wanted) and _is_none(made):
        return True
    if not wanted and wanted is not False and key in _FILLED_IN:
        return True
    if key in _ADDED_TO:
        return not wanted or _has_all(wanted, made)
    if key == "LogConfig":
        return not wanted.get("Type") or _is_same_log(wanted, made or {})
    read = _READ.get(key, _plain)
    return bool(read(wanted) == read(made))


def is_left_away(key: str, wanted: Any, made: Any) -> bool:
    """Was there a limit asked for that the engine made nothing of?"""
    return key in _OF_THE_KERNEL and not _is_none(wanted) and _is_none(made)


def has_all(wanted: Table, made: Table) -> bool:
    """Is a container in a network as it was asked for? Names that the engine gives it there are no difference."""
    asked = {key: _plain(value) for key, value in wanted.items() if key != "MacAddress"}
    return all(_has_all(value, made.get(key)) for key, value in asked.items() if value)


def _is_same_log(wanted: Table, made: Table) -> bool:
    """Its engine adds options of its own where the driver is the one that it has by itself."""
    return wanted["Type"] == made.get("Type") and _has_all(wanted.get("Config") or {}, made.get("Config"))


def _is_none(value: Any) -> bool:
    return value == [] or value in _NO_LIMIT


def _has_all(wanted: Any, made: Any) -> bool:
    if isinstance(wanted, dict):
        there = made or {}
        return all(key in there and (value or None) == (there[key] or None) for key, value in wanted.items())
    if isinstance(wanted, list):
        return all(one in (made or []) for one in wanted)
    return bool((wanted or None) == (made or None))


def _plain(value: Any) -> Any:
    """Without what says nothing: one version writes it, another leaves it away."""
    if isinstance(value, dict):
        found = {key: _plain(one) for key, one in value.items()}
        return {key: one for key, one in found.items() if one}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value or None


def _capabilities(value: Any) -> List[str]:
    names = [str(one).upper() for one in value or []]
    return sorted(name[4:] if name.startswith("CAP_") else name for name in names)


def _options(value: Any) -> List[str]:
    """`name:value` and `name=value`; what is alone is switched on."""
    found = []
    for one in value or []:
        at = min([place for place in (str(one).find("="), str(one).find(":")) if place >= 0] or [-1])
        found.append((str(one), "true") if at < 0 else (one[:at], one[at + 1 :]))
    return sorted("=".join(pair) for pair in found)


def _policy(value: Any) -> Any:
    said = value or {}
    return said.get("Name") or "no", said.get("MaximumRetryCount") or 0


def _network(value: Any) -> str:
    return "bridge" if value in (None, "", "default") else str(value)


def _devices(value: Any) -> Any:
    return [dict(one, CgroupPermissions=one.get("CgroupPermissions") or "rwm") for one in value or []]


def _ports(value: Any) -> Table:
    """Those that are published; nothing said of an address is every one."""
    found = {}
    for port, rows in (value or {}).items():
        where = {(_address(row.get("HostIp")), str(row.get("HostPort") or "")) for row in rows or []}
        if where:
            found[port] = sorted(where)
    return found


def _address(text: Any) -> str:
    return "" if text in (None, *_EVERYWHERE) else str(text)


def _unordered(value: Any) -> List[str]:
    return sorted(map(str, value or []))


_READ: Dict[str, Callable[[Any], Any]] = {
    "CapAdd": _capabilities,
    "CapDrop": _capabilities,
    "SecurityOpt": _options,
    "RestartPolicy": _policy,
    "NetworkMode": _network,
    "Devices": _devices,
    "PortBindings": _ports,
    "GroupAdd": _unordered,
    "MaskedPaths": _unordered,
    "ReadonlyPaths": _unordered,
    "StopSignal": lambda value: value or "SIGTERM",
}
