"""What the body of a container, or the options of a volume, would give of the machine itself; pure.

Keys are read as the engine reads them, without regard to case. Words are the engine's own, in no language; paths are
as the body says them. Nothing here is a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# What the engine gives to everybody.
_USUAL = frozenset(
    (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
# Not that of cgroups: without its second version, an engine gives everybody the machine's.
_NAMESPACES = ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode")
# Kinds of a local volume that lead to memory or to another machine.
_ELSEWHERE = ("tmpfs", "nfs", "nfs4", "cifs", "smb3")
Table = dict[str, Any]


def rights(create: Table) -> tuple[str, ...]:
    """Of the machine's rights, namespaces, devices."""
    return tuple(dict.fromkeys(word for host in _tables(create, "HostConfig") for word in _rights(host)))


def paths(create: Table) -> tuple[str, ...]:
    """Of the machine's paths, those that are mounted into the container."""
    found = []
    for host in _tables(create, "HostConfig"):
        found += [text.partition(":")[0] for text in _texts(host, "Binds") if text.startswith("/")]
        for mount in _rows(host, "Mounts"):
            if "bind" in _texts(mount, "Type"):
                found += _texts(mount, "Source")
            for options in _tables(mount, "VolumeOptions"):
                for driver in _tables(options, "DriverConfig"):
                    name = next(iter(_texts(driver, "Name")), "local")
                    found += [place for table in _tables(driver, "Options") if (place := device(name, table))]
    return tuple(dict.fromkeys(found))


def volumes(create: Table) -> tuple[str, ...]:
    """Names of the volumes that it mounts."""
    found = []
    for host in _tables(create, "HostConfig"):
        found += [text.partition(":")[0] for text in _texts(host, "Binds") if ":" in text and text[0] not in "/:"]
        for mount in _rows(host, "Mounts"):
            found += _texts(mount, "Source") if "bind" not in _texts(mount, "Type") else []
    return tuple(dict.fromkeys(found))


def device(driver: str, options: Table) -> str:
    """What of the machine a volume with these options is; "" for nothing of it."""
    if driver not in ("", "local"):
        return next((text for one in options.values() if _is_path(text := str(one))), "")
    kind = str(next(iter(_values(options, "type")), "") or "")
    place = str(next(iter(_values(options, "device")), "") or "")
    told = [word for text in _texts(options, "o") for word in text.split(",")]
    if kind in _ELSEWHERE and not {"bind", "rbind"} & set(told):
        return ""
    layers = [word.partition("=")[2] for word in told if word.startswith(("lowerdir=", "upperdir="))]
    return place if _is_path(place) else next(filter(None, layers), place or kind)


def _is_path(text: str) -> bool:
    return text.startswith("/") and not text.startswith("//")


def _rights(host: Table) -> Iterator[str]:
    if any(_values(host, "Privileged")):
        yield "privileged"
    for key in _NAMESPACES:
        if "host" in _texts(host, key):
            yield f"{key}=host"
    for one in _rows(host, "Devices"):
        yield next(iter(_texts(one, "PathOnHost")), "Devices")
    for key in ("DeviceRequests", "DeviceCgroupRules"):
        if any(_values(host, key)):
            yield key
    for name in _texts(host, "CapAdd"):
        plain = name.upper().removeprefix("CAP_")
        if plain not in _USUAL:
            yield f"+{plain}"
    yield from (one for one in _texts(host, "SecurityOpt") if not one.startswith("no-new-privileges"))
    for key in ("MaskedPaths", "ReadonlyPaths"):
        if [] in _values(host, key):
            yield f"{key}=none"
    yield from (f"Runtime={name}" for name in _texts(host, "Runtime") if name not in ("", "runc"))


def _values(table: Any, key: str) -> list[Any]:
    """Of every spelling of this key."""
    wanted = key.casefold()
    return [value for name, value in table.items() if str(name).casefold() == wanted] if isinstance(table, dict) else []


def _tables(table: Any, key: str) -> list[Table]:
    return [one for one in _values(table, key) if isinstance(one, dict)]


def _rows(table: Any, key: str) -> list[Table]:
    return [row for one in _values(table, key) if isinstance(one, list) for row in one if isinstance(row, dict)]


def _texts(table: Any, key: str) -> list[str]:
    """Texts, and those in lists."""
    found = []
    for one in _values(table, key):
        found += [text for text in (one if isinstance(one, list) else [one]) if isinstance(text, str) and text]
    return found
