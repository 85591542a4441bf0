"""What makes a container again, taken from what `inspect` says of it; pure, and for any Python from 3.6 on.

This file is also carried inside the bash script of a restore, so it imports nothing of ours.

`from_inspect` leaves out only what the engine made by itself: ids, the host name that is the short id, addresses that
were given, lists that the engine fills in. A MAC address is kept where the container's own settings name it; those of
further networks cannot be told from generated ones. `rewrite` gives names, paths, ports and images other values.

renames: {"project": {old: new}, "containers": {}, "volumes": {} (new "" = a fresh one without a name), "networks": {},
"paths": {old prefix: new prefix}, "ports": {"8080/tcp@0.0.0.0:8080": "18080"} (container port, protocol, address and
port of the machine as declared, no address = 0.0.0.0; "" or null = not published), "images": {name or id: name or id},
"addresses": {static address: other, "" or null = none}}; all may be missing.
"""

import re
from typing import Any, Dict, List, Optional

COMPOSE = "com.docker.compose."
# Networks that every engine has: nobody chooses addresses or other names in them.
ALWAYS = ("default", "bridge", "host", "none", "nat")
CONFIG = (
    *("Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty"),
    *("OpenStdin", "StdinOnce", "Env", "Cmd", "Healthcheck", "ArgsEscaped", "Image", "Volumes", "WorkingDir"),
    *("Entrypoint", "NetworkDisabled", "MacAddress", "Labels", "StopSignal", "StopTimeout", "Shell"),
)
_HOST = (
    *("CpuShares", "Memory", "NanoCpus", "CgroupParent", "BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps"),
    *("BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "CpuPeriod", "CpuQuota"),
    *("CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems", "Devices", "DeviceCgroupRules"),
    *("DeviceRequests", "KernelMemory", "KernelMemoryTCP", "MemoryReservation", "MemorySwap", "MemorySwappiness"),
    *("OomKillDisable", "PidsLimit", "Ulimits", "CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"),
    *("Binds", "LogConfig", "NetworkMode", "PortBindings", "RestartPolicy", "AutoRemove", "VolumeDriver"),
    *("VolumesFrom", "ConsoleSize", "Annotations", "CapAdd", "CapDrop", "Capabilities", "CgroupnsMode", "Dns"),
    *("DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "IpcMode", "Cgroup", "Links", "OomScoreAdj", "PidMode"),
    *("Privileged", "PublishAllPorts", "ReadonlyRootfs", "SecurityOpt", "StorageOpt", "Tmpfs", "UTSMode"),
    *("UsernsMode", "ShmSize", "Sysctls", "Runtime", "Isolation", "Mounts", "MaskedPaths", "ReadonlyPaths", "Init"),
)
_ENDPOINT = ("Aliases", "IPAMConfig", "Links", "DriverOpts", "GwPriority")
# What lies deeper, by where it lies: a table or a list of tables.
_DEEPER: Dict[str, Any] = {
    "RestartPolicy": ("Name", "MaximumRetryCount"),
    "LogConfig": ("Type", "Config"),
    "Devices": ("PathOnHost", "PathInContainer", "CgroupPermissions"),
    "DeviceRequests": ("Driver", "Count", "DeviceIDs", "Capabilities", "Options"),
    "Ulimits": ("Name", "Soft", "Hard"),
    "Mounts": (
        *("Type", "Source", "Target", "ReadOnly", "Consistency", "BindOptions", "VolumeOptions", "TmpfsOptions"),
        *("ImageOptions", "ClusterOptions"),
    ),
}
_OF_MOUNTS: Dict[str, Any] = {
    "BindOptions": (
        *("Propagation", "NonRecursive", "CreateMountpoint", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"),
    ),
    "VolumeOptions": ("NoCopy", "Labels", "DriverConfig", "Subpath"),
    "TmpfsOptions": ("SizeBytes", "Mode", "Options"),
    "ImageOptions": ("Subpath",),
    "ClusterOptions": (),
}
_ADDRESSES = ("IPv4Address", "IPv6Address", "LinkLocalIPs")
# Every engine's own lists have these; only an engine's own list is that long.
_MASKED = {"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"}
_READONLY = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
_PATH_LABELS = ("project.working_dir", "project.config_files", "project.environment_file")
_Names = Dict[str, str]


def from_inspect(said: Dict[str, Any], names: Optional[_Names] = None, hostname: str = "") -> Dict[str, Any]:
    """{"create": body of POST /containers/create, "networks": {name: endpoint}, "mounts": [as resolved]}.

    `names`: {id: name} of all containers and networks, since references must outlive their ids. `hostname`: the
    machine's own, which a container in its network has without saying so.
    """
    config = said.get("Config") or {}
    host = {key: value for key, value in (said.get("HostConfig") or {}).items() if key in _HOST}
    networks = (said.get("NetworkSettings") or {}).get("Networks") or {}
    mounts = [_mount(mount) for mount in said.get("Mounts") or []]
    _name_references(host, names or {}, networks)
    _leave_defaults(host)
    host["Links"] = [_plain_link(link) for link in host.get("Links") or []] or None
    body = {key: config[key] for key in CONFIG if config.get(key) is not None}
    # Nothing said would be the image's own; the engine turns this one into nothing.
    body["Entrypoint"] = config.get("Entrypoint") or [""]
    _leave_host_name(body, host, str(said.get("Id") or ""), hostname)
    _attach_anonymous(body, host, said.get("Mounts") or [])
    body["HostConfig"] = host
    endpoints = {name: _endpoint(one or {}, str(said.get("Id") or "")) for name, one in sorted(networks.items())}
    first = _first(host)
    if config.get("MacAddress") and first in endpoints:
        endpoints[first]["MacAddress"] = config["MacAddress"]
    body["NetworkingConfig"] = _networking(first, endpoints)
    return {"create": body, "networks": endpoints, "mounts": mounts}


def _mount(mount: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "type": mount.get("Type"),
        "name": mount.get("Name") or None,
        "source": mount.get("Source") or None,
        "destination": mount.get("Destination"),
        "writable": bool(mount.get("RW")),
    }


def _name_references(host: Dict[str, Any], names: _Names, networks: Dict[str, Any]) -> None:
    """Other containers and networks by their names."""
    for key in ("NetworkMode", "IpcMode", "PidMode"):
        kind, colon, name = str(host.get(key) or "").partition(":")
        if kind == "container" and colon:
            host[key] = "container:" + _named(name, names)
    if host.get("VolumesFrom"):
        rows = [str(row).partition(":") for row in host["VolumesFrom"]]
        host["VolumesFrom"] = [_named(name, names) + colon + mode for name, colon, mode in rows]
    known = dict(names, **{one["NetworkID"]: name for name, one in networks.items() if one and one.get("NetworkID")})
    if host.get("NetworkMode"):
        host["NetworkMode"] = _named(str(host["NetworkMode"]), known)


def _named(reference: str, names: _Names) -> str:
    if reference in names:
        return names[reference]
    found = [name for one, name in names.items() if len(reference) >= 12 and one.startswith(reference)]
    return found[0] if len(found) == 1 else reference


def _leave_defaults(host: Dict[str, Any]) -> None:
    """Another engine fills in its own; an empty list was chosen, and stays."""
    if _MASKED <= set(host.get("MaskedPaths") or []):
        host.pop("MaskedPaths")
    if set(host.get("ReadonlyPaths") or []) == _READONLY:
        host.pop("ReadonlyPaths")
    if host.get("Runtime") == "runc":
        host.pop("Runtime")


def _plain_link(link: str) -> str:
    """`/db:/web/alias` is how an engine tells `db:alias`."""
    target, _, alias = str(link).partition(":")
    return "{}:{}".format(target.lstrip("/"), alias.rsplit("/", 1)[-1] or target.lstrip("/"))


def _leave_host_name(body: Dict[str, Any], host: Dict[str, Any], identity: str, machine: str) -> None:
    """A name that nobody chose, and what may not be said beside another's network."""
    mode, name = str(host.get("NetworkMode") or ""), body.get("Hostname")
    another = mode.startswith("container:")
    shared = mode == "host" or host.get("UTSMode") == "host"
    if not name or another or host.get("UTSMode") == "host" or (shared and name == machine) or _is_id(name, identity):
        body.pop("Hostname", None)
    if another:
        # The image's own come back by themselves.
        for key in ("Domainname", "ExposedPorts", "MacAddress"):
            body.pop(key, None)


def _is_id(name: str, identity: str) -> bool:
    return name == identity[:12]


def _attach_anonymous(body: Dict[str, Any], host: Dict[str, Any], mounts: List[Dict[str, Any]]) -> None:
    """Volumes that nobody named, by the names that the engine gave them, at the same places."""
    told = [dict(mount) for mount in host.get("Mounts") or []]
    places = {_destination(bind) for bind in host.get("Binds") or []}
    places |= {str(mount.get("Target")) for mount in told if mount.get("Source") or mount.get("Type") != "volume"}
    places |= set(host.get("Tmpfs") or {})
    for mount in mounts:
        target = mount.get("Destination")
        if mount.get("Type") != "volume" or not mount.get("Name") or target in places:
            continue
        if host.get("VolumesFrom") and target not in (body.get("Volumes") or {}) and not _told(told, target):
            continue  # another container's
        there = _told(told, target)
        if there is None:
            told.append({"Type": "volume", "Source": mount["Name"], "Target": target})
            if not mount.get("RW", True):
                told[-1]["ReadOnly"] = True
        else:
            there["Source"] = mount["Name"]
    if told:
        host["Mounts"] = told


def _told(told: List[Dict[str, Any]], target: Any) -> Optional[Dict[str, Any]]:
    return next((mount for mount in told if mount.get("Target") == target), None)


def _destination(bind: str) -> str:
    """Of `source:destination:options`, or of `destination` alone."""
    words = str(bind).split(":")
    return words[1] if len(words) > 1 else words[0]


def _endpoint(one: Dict[str, Any], identity: str) -> Dict[str, Any]:
    """How a container was asked to be in a network, without what it was given there."""
    found = {key: one[key] for key in _ENDPOINT if one.get(key)}
    aliases = [alias for alias in found.pop("Aliases", []) if not _is_id(alias, identity)]
    if aliases:
        found["Aliases"] = aliases
    return found


def _first(host: Dict[str, Any]) -> str:
    """The name in `Networks` of the network that a container is made in; "" for none of its own."""
    mode = str(host.get("NetworkMode") or "default")
    if mode.startswith("container:"):
        return ""
    return "bridge" if mode == "default" else mode


def _networking(first: str, endpoints: Dict[str, Any]) -> Dict[str, Any]:
    """The first network's part alone: older engines make a container in one only."""
    endpoint = dict(endpoints.get(first) or {})
    endpoint.pop("MacAddress", None)  # older engines know it in the container's own settings only
    if not first or (first in ALWAYS and not endpoint):
        return {"EndpointsConfig": {}}
    return {"EndpointsConfig": {first: endpoint}}


class Unknown(LookupError):
    """A body has a setting that nobody knows."""


def unknown(body: Dict[str, Any], networks: Dict[str, Any]) -> List[str]:
    """Names of settings that are none, exactly as they are spelt; empty for a body that is of the known form.

    An engine takes keys in whatever case: one that is spelt otherwise would mean more than anybody has looked at.
    """
    host = body.get("HostConfig") or {}
    found = _odd(body, (*CONFIG, "HostConfig", "NetworkingConfig")) + _odd(host, _HOST)
    for key, known in _DEEPER.items():
        found += [one for row in _tables(host.get(key)) for one in _odd(row, known)]
    for mount in _tables(host.get("Mounts")):
        for key, known in _OF_MOUNTS.items():
            found += _odd(mount.get(key) or {}, known)
        found += _odd((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}, ("Name", "Options"))
    ports = host.get("PortBindings") or {}
    found += [one for rows in ports.values() for row in _tables(rows) for one in _odd(row, ("HostIp", "HostPort"))]
    networking = body.get("NetworkingConfig") or {}
    found += _odd(networking, ("EndpointsConfig",))
    for endpoint in (*(networking.get("EndpointsConfig") or {}).values(), *networks.values()):
        found += _odd(endpoint or {}, (*_ENDPOINT, "MacAddress"))
        found += _odd((endpoint or {}).get("IPAMConfig") or {}, _ADDRESSES)
    return sorted(set(found))


def _odd(table: Any, known: Any) -> List[str]:
    return [str(key) for key in table if key not in known]


def _tables(value: Any) -> List[Dict[str, Any]]:
    return [value] if isinstance(value, dict) else list(value or [])


def rewrite(row: Dict[str, Any], renames: Dict[str, Any]) -> Dict[str, Any]:
    """{"name", "body", "networks": further ones to connect in this order, "disconnect": [name]} for a manifest's row.

    `row` has "name", "create" and "networks" and is not changed. "disconnect" names the network that a container is
    made in though it had left it. Raises Unknown for a setting that is not of the known form.
    """
    odd = unknown(row["create"], row["networks"] or {})
    if odd:
        raise Unknown("{!r} has settings that nobody knows: {}".format(row["name"], ", ".join(odd)))
    return _Rewriting(renames).container(row)


class _Rewriting:
    def __init__(self, renames: Dict[str, Any]) -> None:
        self._tables: Dict[str, Dict[str, Any]] = {key: renames.get(key) or {} for key in _TABLES}
        paths = self._tables["paths"]
        self._prefixes = sorted(((old.rstrip("/"), paths[old]) for old in paths), key=lambda pair: -len(pair[0]))

    def container(self, row: Dict[str, Any]) -> Dict[str, Any]:
        body = dict(row["create"])
        host = body["HostConfig"] = dict(body.get("HostConfig") or {})
        self._image(body, row)
        body["Labels"] = self._labels(body.get("Labels"))
        self._references(host)
        self._mounts(host)
        if host.get("PortBindings"):
            host["PortBindings"] = self._ports(host["PortBindings"])
        endpoints = {self._of("networks", name): self._endpoint(one) for name, one in (row["networks"] or {}).items()}
        first = _first(host)
        body["NetworkingConfig"] = _networking(first, endpoints)
        further = {name: endpoints[name] for name in sorted(endpoints) if name != first}
        left = [first] if first and first not in endpoints and endpoints else []
        name = self._of("containers", row["name"])
        return {"name": name, "body": body, "networks": further, "disconnect": left}

    def _of(self, table: str, name: str) -> str:
        return str(self._tables[table].get(name, name))

    def _image(self, body: Dict[str, Any], row: Dict[str, Any]) -> None:
        images = self._tables["images"]
        for known in (body.get("Image"), row.get("image"), row.get("image_id")):
            if known and known in images:
                body["Image"] = images[known]
                return

    def path(self, path: str) -> str:
        for old, new in self._prefixes:
            if path == old or path.startswith(old + "/"):
                return (new.rstrip("/") + path[len(old) :]) or "/"
        return path

    def _labels(self, labels: Optional[Dict[str, str]]) -> Dict[str, str]:
        found = dict(labels or {})
        if COMPOSE + "project" in found:
            found[COMPOSE + "project"] = self._of("project", found[COMPOSE + "project"])
        for key in _PATH_LABELS:
            if found.get(COMPOSE + key):
                found[COMPOSE + key] = ",".join(map(self.path, re.split(r",(?=/)", found[COMPOSE + key])))
        return found

    def _references(self, host: Dict[str, Any]) -> None:
        for key in ("NetworkMode", "IpcMode", "PidMode"):
            kind, colon, name = str(host.get(key) or "").partition(":")
            if kind == "container" and colon:
                host[key] = "container:" + self._of("containers", name)
            elif key == "NetworkMode" and host.get(key):
                host[key] = self._of("networks", host[key])
        for key in ("VolumesFrom", "Links"):
            if host.get(key):
                host[key] = [self._before_colon("containers", one) for one in host[key]]

    def _before_colon(self, table: str, text: str) -> str:
        name, colon, rest = str(text).partition(":")
        return self._of(table, name) + colon + rest

    def _mounts(self, host: Dict[str, Any]) -> None:
        if host.get("Binds"):
            host["Binds"] = [self._bind(bind) for bind in host["Binds"]]
        if host.get("Mounts"):
            host["Mounts"] = [self._mount(dict(mount)) for mount in host["Mounts"]]

    def _bind(self, bind: str) -> str:
        source, colon, rest = str(bind).partition(":")
        if not colon:
            return bind
        if source.startswith("/"):
            return self.path(source) + colon + rest
        return self._of("volumes", source) + colon + rest if self._of("volumes", source) else rest.split(":")[0]

    def _mount(self, mount: Dict[str, Any]) -> Dict[str, Any]:
        if mount.get("Type") == "bind":
            mount["Source"] = self.path(str(mount.get("Source") or ""))
        elif mount.get("Type") == "volume" and mount.get("Source"):
            mount["Source"] = self._of("volumes", mount["Source"])
            if not mount["Source"]:
                del mount["Source"]
        options = mount.get("VolumeOptions")
        if options and options.get("Labels"):
            mount["VolumeOptions"] = dict(options, Labels=self._labels(options["Labels"]))
        return mount

    def _ports(self, bindings: Dict[str, Any]) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for port, rows in bindings.items():
            kept = [row for row in (self._port(port, dict(row)) for row in rows or []) if row is not None]
            if kept or not rows:
                found[port] = kept if rows else rows
        return found

    def _port(self, port: str, row: Dict[str, str]) -> Optional[Dict[str, str]]:
        ports = self._tables["ports"]
        address = row.get("HostIp") or ""
        for shown in (address, address or "0.0.0.0"):
            key = "{}@{}:{}".format(port, shown, row.get("HostPort") or "")
            if key in ports:
                if not ports[key]:
                    return None
                row["HostPort"] = str(ports[key])
                return row
        return row

    def _endpoint(self, one: Optional[Dict[str, Any]]) -> Dict[str, Any]:
        found = dict(one or {})
        if found.get("Aliases"):
            found["Aliases"] = [self._of("containers", alias) for alias in found["Aliases"]]
        if found.get("Links"):
            found["Links"] = [self._before_colon("containers", link) for link in found["Links"]]
        addresses = self._tables["addresses"]
        asked = found.get("IPAMConfig")
        if asked and addresses:
            changed = {key: self._address(value) for key, value in asked.items()}
            found["IPAMConfig"] = {key: value for key, value in changed.items() if value}
        return found

    def _address(self, value: Any) -> Any:
        return self._tables["addresses"].get(value, value) if isinstance(value, str) else value


_TABLES = ("project", "containers", "volumes", "networks", "paths", "ports", "images", "addresses")
