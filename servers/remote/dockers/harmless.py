"""What a container of a drill may ask its engine for: a closed list, for which nothing of an archive is believed.

Pure, and for any Python from 3.6 on. The worker looks before anything is made, and the helper once more, on its own,
with what its journal says that the drill has made.
"""

import re
from typing import Any, Dict, Iterable, List, Mapping

from . import bodies

_SETTINGS = tuple(key for key in bodies.CONFIG if key != "MacAddress")
# Settings that are kept as they were; Links and VolumesFrom only of the drill's own containers.
KEPT = (
    *("Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuShares", "CpuPeriod", "CpuQuota", "PidsLimit"),
    *("Ulimits", "ShmSize", "Init", "ReadonlyRootfs", "Tmpfs", "GroupAdd", "CapDrop", "Links", "VolumesFrom"),
)
_HOST = (
    *("CapAdd", "SecurityOpt", "Sysctls", "ExtraHosts", "NetworkMode", "PidMode", "IpcMode", "Binds", "Mounts"),
    *("RestartPolicy", "LogConfig", "Dns"),
)
# Those of a container's own network and memory, with dots: an engine takes slashes, and anything of /proc/sys, too.
_SYSCTL = re.compile(
    r"net\.(ipv4|core)(\.[a-z0-9_]+)+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)"
    r"|fs\.mqueue\.[a-z_]+"
)
_MOUNT = ("Type", "Source", "Target", "ReadOnly", "TmpfsOptions")
# None of these is more than what every container has anyway, or has an effect beyond it.
CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
# Production runs beside it, on the same machine.
LIMITS = {"Memory": 4 << 30, "PidsLimit": 4096}
_MODES = ("", "none", "private", "shareable")
Table = Dict[str, Any]


def problems(body: Table, further: Table, base: str, made: Mapping[str, Iterable[str]]) -> List[str]:
    """Names of what a body asks for though no drill may; empty when it is harmless.

    `further`: networks that it is put into beside. `base`: the directory of the drill. `made`: names of its own
    "networks", "volumes" and "containers".
    """
    own = {key: set(made[key]) for key in ("networks", "volumes", "containers")}
    host = body.get("HostConfig") or {}
    found = bodies.unknown(body, further)
    found += [key for key in body if key not in (*_SETTINGS, "HostConfig", "NetworkingConfig")]
    # What says nothing asks for nothing.
    found += [key for key, value in host.items() if value and key not in (*KEPT, *_HOST)]
    found += [] if (host.get("RestartPolicy") or {}).get("Name") == "no" else ["RestartPolicy"]
    found += [key for key in LIMITS if not is_limit(host.get(key))]
    found += ["CapAdd {}".format(name) for name in host.get("CapAdd") or [] if name not in CAPABILITIES]
    found += ["sysctl {}".format(name) for name in host.get("Sysctls") or {} if not is_own_sysctl(name)]
    found += _modes(host, own)
    endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    linked = [{"Links": (one or {}).get("Links")} for one in (*endpoints.values(), *further.values())]
    found += ["container " + name for one in (host, *linked) for name in others(one) if name not in own["containers"]]
    found += ["network {}".format(name) for name in (*endpoints, *further) if name not in own["networks"]]
    for bind in host.get("Binds") or []:
        source, _, rest = str(bind).partition(":")
        way = rest.split(":")[1:]
        named = source in own["volumes"] or (source.startswith(base + "/") and is_plain(source))
        if not named or not rest or way not in ([], ["ro"]):
            found.append("bind {}".format(source))
    for mount in host.get("Mounts") or []:
        named = mount.get("Type") == "volume" and (not mount.get("Source") or mount["Source"] in own["volumes"])
        odd = [key for key, value in mount.items() if value and key not in _MOUNT]
        if odd or (not named and mount.get("Type") != "tmpfs"):
            found.append("mount {}".format(mount.get("Target")))
    return found


def is_limit(value: Any) -> bool:
    """Does it limit anything? 0 and less mean that nothing does."""
    return isinstance(value, int) and value > 0


def is_own_sysctl(name: str) -> bool:
    """Is it a setting of the container's own network or memory, and none of its machine's?"""
    return bool(_SYSCTL.fullmatch(name))


def is_plain(path: str) -> bool:
    """Does it mean the same to everybody? An engine shortens `a/../b` without looking whether `a` is a link."""
    return ":" not in path and not {"", ".", ".."} & set(path.split("/")[1:])


def _modes(host: Table, own: Dict[str, Any]) -> List[str]:
    found = []
    for key in ("NetworkMode", "PidMode", "IpcMode"):
        mode = str(host.get(key) or "")
        known = mode in _MODES or (key == "NetworkMode" and mode in own["networks"])
        if not known and not mode.startswith("container:"):
            found.append(key)
    return found


def others(host: Table) -> List[str]:
    """Names of the containers whose network, processes, memory or volumes a container shares, or whom it names."""
    modes = [str(host.get(key) or "") for key in ("NetworkMode", "PidMode", "IpcMode")]
    found = [mode.partition(":")[2] for mode in modes if mode.startswith("container:")]
    return found + [str(one).partition(":")[0] for key in ("VolumesFrom", "Links") for one in host.get(key) or []]
