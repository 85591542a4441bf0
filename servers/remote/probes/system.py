"""Which system this is: its release, kernel, memory, init, and borg."""

import os
import platform
import shlex
import socket
from typing import Any, Dict, Optional

from . import base

_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
_CONTAINER_GROUPS = ("/docker/", "/docker-", "/lxc/", "/kubepods", "/libpod", "/machine.slice/libpod")


def probe(look: base.Look) -> Dict[str, Any]:
    """The facts that the other rooms show beside a server's name."""
    memory = meminfo(look.read("/proc/meminfo") or "")
    release = look.read("/etc/os-release") or look.read("/usr/lib/os-release") or ""
    return {
        "hostname": socket.gethostname(),
        "os": os_release(release),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": cpus(),
        "memory_bytes": memory.get("MemTotal"),
        "swap_bytes": memory.get("SwapTotal"),
        "uptime_seconds": uptime(look.read("/proc/uptime")),
        "init": _init(look),
        "container": _container(look),
        "user": base.user_name(os.geteuid()),
        "uid": os.geteuid(),
        "borg": _borg(look),
    }


def os_release(text: str) -> Dict[str, Optional[str]]:
    """id, version_id, pretty_name and id_like of an os-release file; its values are quoted as a shell would."""
    found: Dict[str, Optional[str]] = dict.fromkeys(("id", "version_id", "pretty_name", "id_like"))
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.lower() in found:
            try:
                found[name.lower()] = "".join(shlex.split(value)) or None
            except ValueError:
                found[name.lower()] = value.strip("\"'") or None
    return found


def meminfo(text: str) -> Dict[str, int]:
    """Bytes by name, of /proc/meminfo."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[0].isdigit() and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def uptime(text: Optional[str]) -> Optional[float]:
    """Seconds since the start, of /proc/uptime."""
    try:
        return float((text or "").split()[0])
    except (IndexError, ValueError):
        return None


def cpus() -> Optional[int]:
    """How many processors are at work."""
    return os.cpu_count()


def _init(look: base.Look) -> Optional[str]:
    if os.path.isdir("/run/systemd/system"):
        return "systemd"
    if os.path.isdir("/run/openrc"):
        return "openrc"
    return None if look.read("/proc/1/comm") is None else "other"


def _container(look: base.Look) -> bool:
    if look.existing(*_CONTAINER_MARKS) or "container=" in (look.read("/proc/1/environ") or ""):
        return True
    return in_container(look.read("/proc/1/cgroup") or "")


def in_container(groups: str) -> bool:
    """Does the first process's /proc/1/cgroup name a container?"""
    return any(mark in groups for mark in _CONTAINER_GROUPS)


# Python reads all of borg before it answers: many seconds on a small or busy machine, where that says nothing of borg.
_BORG_SECONDS = 20.0


def _borg(look: base.Look) -> Dict[str, Optional[str]]:
    path = look.find("borg")
    if path is None:
        return {"path": None, "version": None, "problem": "borg is not installed"}
    ran = look.run([path, "--version"], timeout=_BORG_SECONDS)
    version = borg_version(ran.out) if ran.ok else None
    problem = None if version else (ran.err or ran.out).strip()[-500:] or "borg does not say its version"
    return {"path": path, "version": version, "problem": problem}


def borg_version(text: str) -> Optional[str]:
    """`borg 1.2.4`, possibly below a warning of Python's."""
    lines = text.strip().splitlines()
    words = lines[-1].split() if lines else []
    return words[1] if len(words) == 2 and words[0].startswith("borg") else None
