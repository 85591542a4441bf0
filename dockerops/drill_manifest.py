"""An archive's manifest made harmless: what a drill starts can reach nothing but itself.

Pure, on the manifest as JSON, before anything is planned: so the plan of a drill is a restore's, of something else.
A container keeps what is named here, and loses everything that this file does not know. What cannot be had without
this machine (its network, its devices, a socket) is left out with the reason: `Left`; what is only taken away is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_noop

from dockerops import drill_nested
from dockerops.selecting import inside
from servers.remote.dockers import bodies, harmless

LABEL = "phpborg.drill"
_COMPOSE = "com.docker.compose."
# Containers in the engine's own bridge get a network of their own.
ALONE = "standalone"
# Nowhere: names that are not of the drill are asked of nobody (RFC 5737), and not of this machine's resolver.
_NO_RESOLVER = ["192.0.2.1"]
# These are the machine itself, whatever an archive says of them.
_MACHINE = ("/", "/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/etc", "/var", "/var/lib", "/var/lib/docker")
_ISOLATED = {"com.docker.network.bridge.inhibit_ipv4": "true"}
Table = dict[str, Any]

PRIVILEGED = gettext_noop("It has all rights over its machine (privileged).")
HOST = gettext_noop("It lives in its machine's own network, processes or memory.")
DEVICE = gettext_noop("It needs a device of its machine.")
SOCKET = gettext_noop("It needs the socket {place} of its machine.")
SWARM = gettext_noop("It is a task of a Swarm service.")
NEEDS = gettext_noop("It lives in “{other}”, which is left out.")
NESTED = gettext_noop("{place} lies in a directory that “{other}” may write to and is started before it.")
NOT_ARCHIVED = gettext_noop("{place} is not in the archive: the container does without it.")
TAKEN = gettext_noop("It does without: {names}.")
EMPTY_VOLUME = gettext_noop("The content of this volume is not in the archive: it begins empty.")


@dataclass(frozen=True)
class Said:
    """Something about a container, a volume or a network; `words` are translated when they are shown."""

    subject: str
    words: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """As it is logged."""
        return self.words.format_map(self.facts)


@dataclass(frozen=True)
class Isolated:
    """`manifest` holds secrets. `left`: containers that are not started; `remarks`: what others do without."""

    manifest: Table
    left: tuple[Said, ...] = ()
    remarks: tuple[Said, ...] = ()
    saved: dict[str, list[str]] = field(default_factory=dict)  # image id: names that it was saved with


def isolate(manifest: Table, token: str) -> Isolated:
    """The manifest of what a drill may start. Nothing of `manifest` is changed. Raises ManifestUnreadable."""
    nested: dict[str, Said] = {}
    while True:
        isolated = _isolated(manifest, token, nested)
        found = drill_nested.endangered(isolated.manifest)
        if not found:
            return isolated
        nested |= {name: Said(name, NESTED, {"place": place, "other": who}) for name, (place, who) in found.items()}


def _isolated(manifest: Table, token: str, nested: dict[str, Said]) -> Isolated:
    """The same but for directories in each other; `nested`: who is left out because of them."""
    sockets = {row["source"] for row in manifest.get("binds") or [] if row.get("kind") in ("socket", "other")}
    archived = [str(row["path"]) for row in manifest.get("binds") or [] if row.get("path")]
    archived += [str(path) for row in manifest.get("projects") or [] for path in row.get("paths") or []]
    rows = [row for row in manifest.get("containers") or [] if not row.get("oneoff")]
    left = _left_out(rows, sockets, nested)
    kept = [row for row in rows if row["name"] not in left]
    making = _Making(token, archived, {row["name"] for row in kept})
    containers = [making.container(row) for row in kept]
    volumes, further = _volumes(manifest, containers, token)
    return Isolated(
        manifest={
            **manifest,
            "containers": containers,
            "volumes": volumes,
            "networks": _networks(manifest, containers, token),
            "projects": [_project(row, left) for row in manifest.get("projects") or []],
            "images": [{**row, "tags": [], "digests": []} for row in manifest.get("images") or []],
            "config_files": [],
            "dumps": [one for one in manifest.get("dumps") or [] if one.get("container") not in left],
        },
        left=tuple(left.values()),
        remarks=(*making.remarks, *further),
        saved={row["id"]: list(row.get("tags") or []) for row in manifest.get("images") or []},
    )


def _project(row: Table, left: dict[str, Said]) -> Table:
    return {**row, "containers": [name for name in row.get("containers") or [] if name not in left]}


# --- what cannot be started --------------------------------------------------------------------------


def _left_out(rows: list[Table], sockets: set[str], nested: dict[str, Said]) -> dict[str, Said]:
    found = {row["name"]: reason for row in rows if (reason := _reason(row, sockets)) is not None}
    found |= nested
    while True:  # whoever lives in one that is left out, or that is not in the archive: it would be production's
        kept = {row["name"] for row in rows} - set(found)
        more = {row["name"]: reason for row in rows if row["name"] in kept and (reason := _lives_in(row, kept))}
        if not more:
            return found
        found |= more


def _reason(row: Table, sockets: set[str]) -> Said | None:
    host, name = _host(row), str(row["name"])
    if row.get("stack"):
        return Said(name, SWARM)
    if host.get("Privileged"):
        return Said(name, PRIVILEGED)
    if "host" in (host.get("NetworkMode"), host.get("PidMode"), host.get("IpcMode")):
        return Said(name, HOST)
    if host.get("Devices") or host.get("DeviceRequests") or host.get("DeviceCgroupRules"):
        return Said(name, DEVICE)
    for source, _target, _writable in _paths(host):
        if source in sockets or source.endswith(".sock"):
            return Said(name, SOCKET, {"place": source})
    return None


def _lives_in(row: Table, kept: set[str]) -> Said | None:
    other = next((one for one in harmless.others(_host(row)) if one not in kept), None)
    return None if other is None else Said(str(row["name"]), NEEDS, {"other": other})


def _host(row: Table) -> Table:
    return dict((row.get("create") or {}).get("HostConfig") or {})


def _paths(host: Table) -> Iterator[tuple[str, str, bool]]:
    """(path of the machine, where the container sees it, writable)."""
    for bind in host.get("Binds") or []:
        source, _, rest = str(bind).partition(":")
        if source.startswith("/"):
            target, _, options = rest.partition(":")
            yield source, target, "ro" not in options.split(",")
    for mount in host.get("Mounts") or []:
        if mount.get("Type") == "bind":
            yield str(mount.get("Source") or ""), str(mount.get("Target") or ""), not mount.get("ReadOnly")


# --- how the others are made -------------------------------------------------------------------------


class _Making:
    def __init__(self, token: str, archived: list[str], names: set[str]) -> None:
        self._token, self._archived, self._names = token, archived, names
        self.remarks: list[Said] = []

    def container(self, row: Table) -> Table:
        """The row, with a body that knows nothing of its machine; its image by its id."""
        asked, name = row["create"], str(row["name"])
        body: Table = {key: asked[key] for key in bodies.CONFIG if key in asked and key != "MacAddress"}
        old = _host(row)
        body["Labels"] = {**_compose_labels(body.get("Labels")), LABEL: self._token}
        body["Image"] = row["image_id"]
        body["HostConfig"] = self._host(name, old)
        networks = {_network(one): self._endpoint(made) for one, made in (row.get("networks") or {}).items()}
        mode = body["HostConfig"]["NetworkMode"]
        if mode == ALONE:
            networks = {ALONE: {}, **networks}
        # Its NetworkingConfig is made by `rewrite`, of `networks`.
        return {**row, "image": row["image_id"], "create": body, "networks": networks}

    def _host(self, name: str, old: Table) -> Table:
        host: Table = {key: old[key] for key in harmless.KEPT if old.get(key)}
        _limit(host)
        asked = {str(one).upper().removeprefix("CAP_") for one in old.get("CapAdd") or []}
        host["CapAdd"] = sorted(asked & set(harmless.CAPABILITIES)) or None
        host["SecurityOpt"] = [one for one in old.get("SecurityOpt") or [] if one.startswith("no-new-priv")] or None
        host["Sysctls"] = {k: v for k, v in (old.get("Sysctls") or {}).items() if harmless.is_own_sysctl(k)} or None
        host["ExtraHosts"] = [one for one in old.get("ExtraHosts") or [] if "host-gateway" not in one] or None
        host["NetworkMode"] = _mode(str(old.get("NetworkMode") or "default"))
        for key in ("PidMode", "IpcMode"):
            if str(old.get(key) or "").startswith("container:") or (key == "IpcMode" and old.get(key) == "shareable"):
                host[key] = old[key]
        host["Binds"] = self._binds(name, old)
        host["Mounts"] = [made for one in old.get("Mounts") or [] if (made := _mount(one)) is not None] or None
        host["RestartPolicy"] = {"Name": "no"}
        host["LogConfig"] = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "1"}}
        host["Dns"] = _NO_RESOLVER
        self._tell_taken(name, sorted(asked - set(harmless.CAPABILITIES)))
        return {key: value for key, value in host.items() if value is not None}

    def _endpoint(self, made: Table | None) -> Table:
        """Its names there, and links to others of the drill."""
        links = [one for one in (made or {}).get("Links") or [] if str(one).partition(":")[0] in self._names]
        return {key: value for key, value in (("Aliases", (made or {}).get("Aliases")), ("Links", links)) if value}

    def _tell_taken(self, name: str, capabilities: list[str]) -> None:
        if capabilities:
            self.remarks.append(Said(name, TAKEN, {"names": ", ".join(capabilities)}))

    def _binds(self, name: str, old: Table) -> list[str] | None:
        """Volumes as they are, and of paths only those that are in the archive."""
        found = []
        for bind in old.get("Binds") or []:
            source, colon, rest = str(bind).partition(":")
            if colon and not source.startswith("/"):
                target, _, options = rest.partition(":")
                found.append(f"{source}:{target}" + (":ro" if "ro" in options.split(",") else ""))
        for source, target, writable in _paths(old):
            path = source.rstrip("/") or "/"
            archived = harmless.is_plain(path) and any(inside(path, above) for above in self._archived)
            if path in _MACHINE or not archived:
                self.remarks.append(Said(name, NOT_ARCHIVED, {"place": source}))
                continue
            found.append(f"{path}:{target}" + ("" if writable else ":ro"))
        return found or None


def _limit(host: Table) -> None:
    """What had no limit gets one, large enough to come up; what only counts beside a limit goes."""
    for key, most in harmless.LIMITS.items():
        if not harmless.is_limit(host.get(key)):
            host[key] = most
            for beside in ("MemorySwap", "MemoryReservation") if key == "Memory" else ():
                host.pop(beside, None)


def _mount(one: Table) -> Table | None:
    """A volume or memory; paths are among the binds."""
    if one.get("Type") == "tmpfs":
        return {key: one[key] for key in ("Type", "Target", "TmpfsOptions", "ReadOnly") if one.get(key)}
    if one.get("Type") != "volume":
        return None
    return {key: one[key] for key in ("Type", "Source", "Target", "ReadOnly") if one.get(key)}


def _mode(mode: str) -> str:
    if mode in ("default", "bridge", "nat"):
        return ALONE
    return mode


def _network(name: str) -> str:
    return ALONE if name in ("bridge", "default", "nat") else name


def _compose_labels(labels: Table | None) -> Table:
    """Other programs of the machine act on labels (proxies, updaters, schedulers): they are to see none."""
    return {key: value for key, value in (labels or {}).items() if key.startswith(_COMPOSE)}


# --- volumes and networks ----------------------------------------------------------------------------


def _volumes(manifest: Table, containers: list[Table], token: str) -> tuple[list[Table], list[Said]]:
    """Plain local ones, whatever they were: a driver would lead to where the data of production is."""
    known = {str(row["name"]): row for row in manifest.get("volumes") or []}
    for row in containers:
        for name in _volume_names(row):
            known.setdefault(name, {"name": name, "used_by": [row["name"]], "path": None, "labels": {}})
    rows, remarks = [], []
    for name, row in sorted(known.items()):
        rows.append(
            {
                **row,
                "driver": "local",
                "options": {},
                "labels": {**_compose_labels(row.get("labels")), LABEL: token},
            }
        )
        if not row.get("path") and row.get("used_by"):
            remarks.append(Said(name, EMPTY_VOLUME))
    return rows, remarks


def _volume_names(row: Table) -> list[str]:
    host = row["create"]["HostConfig"]
    names = [str(bind).partition(":")[0] for bind in host.get("Binds") or []]
    names += [str(one["Source"]) for one in host.get("Mounts") or [] if one.get("Source")]
    return [name for name in names if not name.startswith("/")]


def _networks(manifest: Table, containers: list[Table], token: str) -> list[Table]:
    """All of them are made for the drill and lead nowhere; also this machine has no address in them."""
    known = {str(row["name"]): row for row in manifest.get("networks") or []}
    used = {name for row in containers for name in row["networks"]}
    used |= {row["create"]["HostConfig"]["NetworkMode"] for row in containers}
    names = {name for name in used if name != "none" and not name.startswith("container:")}
    found = []
    for name in sorted(names):
        row = known.get(name) or {"name": name, "project": None, "logical": None}
        labels = {**_compose_labels((row.get("create") or {}).get("Labels")), LABEL: token}
        create = {"Driver": "bridge", "Internal": True, "IPAM": {"Driver": "default"}}
        found.append({**row, "external": False, "create": {**create, "Options": dict(_ISOLATED), "Labels": labels}})
    return found
