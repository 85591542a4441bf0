"""The verb `statistics`: one quick look at how busy and how full this server is."""

import os
import re
import time
from typing import Any, Dict, List, Optional

from . import space, wire
from .probes import mounts, system

SCHEMA = 1
SHARE_SECONDS = 0.5
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
# Names of the machine itself, of containers' ends and of Docker's bridges: their bytes pass a real one too.
_INNER = re.compile(r"lo|veth.*|docker\d*|docker_gwbridge|br-[0-9a-f]{12}")


def statistics(request: wire.Request, control: wire.Control) -> None:
    """A sample: counters as the kernel has them, and the processors' share over half a second."""
    begun = time.monotonic()
    taken_at = time.time()
    first = cpu_counters(_read("/proc/stat"))
    filesystems = _filesystems()
    while time.monotonic() - begun < SHARE_SECONDS:
        control.check()
        time.sleep(0.05)
    second = cpu_counters(_read("/proc/stat"))
    wire.answer(
        {
            "schema": SCHEMA,
            "taken_at": taken_at,
            "uptime_seconds": system.uptime(_read("/proc/uptime")),
            "load": list(os.getloadavg()),
            "cpus": system.cpus(),
            "cpu": second,
            "cpu_share": cpu_share(first, second),
            "memory": memory(_read("/proc/meminfo")),
            "filesystems": filesystems,
            "network": network(_read("/proc/net/dev")),
        }
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def cpu_counters(text: str) -> Optional[Dict[str, int]]:
    """Ticks since the start of all processors together, of /proc/stat; `total` counts each tick once."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["cpu"] and len(words) > 4:
            # Older kernels have fewer columns. Those after `steal` are guests, which `user` holds already.
            ticks = {name: int((words[1:] + ["0"] * len(_FIELDS))[place]) for place, name in enumerate(_FIELDS)}
            return {
                "user": ticks["user"] + ticks["nice"],
                "system": ticks["system"] + ticks["irq"] + ticks["softirq"],
                "idle": ticks["idle"],
                "iowait": ticks["iowait"],
                "steal": ticks["steal"],
                "total": sum(ticks.values()),
            }
    return None


def cpu_share(first: Optional[Dict[str, int]], second: Optional[Dict[str, int]]) -> Optional[float]:
    """Between two counters the share of time, 0 to 1, that the processors did not wait."""
    if first is None or second is None or second["total"] <= first["total"]:
        return None
    waited = sum(second[key] - first[key] for key in ("idle", "iowait"))
    return round(min(1.0, max(0.0, 1 - waited / (second["total"] - first["total"]))), 4)


def memory(text: str) -> Dict[str, Optional[int]]:
    """Bytes of /proc/meminfo; what a kernel does not tell is None."""
    found = system.meminfo(text)
    return {
        "total_bytes": found.get("MemTotal"),
        "available_bytes": found.get("MemAvailable"),
        "swap_total_bytes": found.get("SwapTotal"),
        "swap_free_bytes": found.get("SwapFree"),
    }


def _filesystems() -> List[Dict[str, Any]]:
    found = mounts.filesystems(mounts.kernel_table())
    sizes = space.measure([(mount["target"], mount["fstype"]) for mount in found])
    kept = ("target", "fstype", "device")
    return [dict({key: mount[key] for key in kept}, **sizes[mount["target"]]) for mount in found]


def network(text: str) -> List[Dict[str, Any]]:
    """Bytes by interface, of /proc/net/dev."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        counters = rest.split()
        if len(counters) >= 9 and not _INNER.fullmatch(name.strip()):
            found.append(
                {"name": name.strip(), "received_bytes": int(counters[0]), "sent_bytes": int(counters[8])},
            )
    return found
