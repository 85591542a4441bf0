"""The project of the show on a real engine: two containers, two Compose files, every kind of volume, a bind beside.

`Stage` builds it in a directory with an awkward name, says what the engine and the disk hold of it, and destroys it.
What the engine holds is told by the SDK, an independent referee.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.dockers.backing import sdk
from tests.dockers.conftest import image_in
from tests.support.bridged import Bridged

PROJECT = "kiosk"
_UNNAMED = re.compile("([0-9a-f]{64})?")
JOURNALS = Path("/var/lib/phpborg/docker-restore")
SECRET = "canary-env-7d1f ' $(id) ;"
IMAGE, PLAIN = "phpborg-test/speaks:1", "phpborg-test/plain:1"
LOOP = "trap 'exit 0' TERM; while :; do sleep 0.2; done"
_COMPOSE = """
version: "2.4"
services:
  db:
    image: {image}
    environment:
      DB_PASSWORD: ${{DB_PASSWORD}}
      ODD: "a b 'c' \\"d\\" $$(id)"
    volumes:
      - data:/data
      - files:/files
    labels:
      "odd label": "x; rm -rf / $$(id)"
    restart: unless-stopped
  web:
    image: {image}
    depends_on:
      db:
        condition: service_healthy
    volumes:
      - ./www:/www:ro
      - "{beside}:/beside"
      - data:/shared:ro
    networks:
      default:
        aliases: [front]
      corp:
        ipv4_address: 10.77.0.77
    command: ["cat /www/index.html > /dev/null || exit 7; {loop}"]
volumes:
  data: {{}}
  files:
    driver: local
    driver_opts: {{type: none, o: bind, device: "{device}"}}
networks:
  corp:
    external: true
    name: corp-net
"""
_EXTRA = """
version: "2.4"
services:
  web:
    ports: ["127.0.0.1:18085:7000"]
    environment: [EXTRA=yes]
    mem_limit: 64m
"""
# A container with many of the options that `inspect` tells.
_ALONE = (
    *("--hostname", "probe-host", "--env", f"TOKEN={SECRET}", "--label", "odd=`id` $(id)", "--user", "0:0"),
    *("--memory", "64m", "--cpu-shares", "512", "--pids-limit", "100", "--ulimit", "nofile=512:1024"),
    *("--cap-drop", "NET_RAW", "--cap-add", "SYS_NICE", "--security-opt", "no-new-privileges", "--read-only"),
    *("--tmpfs", "/run:size=4m", "--add-host", "other:10.9.9.9", "--dns", "10.1.1.1", "--restart", "on-failure:3"),
    *("--log-opt", "max-size=1m", "--sysctl", "net.ipv4.ip_forward=0", "--workdir", "/tmp", "--init"),
    *("--publish", "127.0.0.1:18086:7000/udp", "--stop-timeout", "3", "--volume", "alone_data:/alone"),
)


@dataclass
class Stage:
    """The project below `place`, on whichever engine is given."""

    place: Path
    journals: list[Path] = field(default_factory=lambda: list(JOURNALS.glob("*")))  # of others, before

    @property
    def directory(self) -> Path:
        return self.place / "the app's"

    @property
    def beside(self) -> Path:
        return self.place / "beside it"

    @property
    def device(self) -> Path:
        return self.place / "device"

    def lay_out(self) -> None:
        """Directories, files, `.env`; the data of binds."""
        for path in (self.directory / "www", self.beside, self.device):
            path.mkdir(parents=True)
        facts = {"image": IMAGE, "beside": self.beside, "device": self.device, "loop": LOOP}
        self.compose_files(facts)
        (self.directory / ".env").write_text(f"DB_PASSWORD={SECRET}\n")
        (self.directory / "www/index.html").write_text("hello")
        (self.beside / "one").write_bytes(os.urandom(5000))
        os.chown(self.beside / "one", 1234, 4321)
        (self.beside / "one").chmod(0o640)
        os.symlink("one", self.beside / "link")
        # No text, an end of a line, and what a shell would carry out.
        Path(os.fsdecode(os.fsencode(self.beside) + b"/odd \xff\n'; $(id) `id`")).write_text("odd")

    def compose_files(self, facts: dict[str, Any]) -> None:
        (self.directory / "compose.yml").write_text(_COMPOSE.format(**facts))
        (self.directory / "extra.yml").write_text(_EXTRA)

    def start(self, engine: Bridged) -> None:
        """All of it runs, and has data."""
        image_in(engine)
        self.lay_out()
        self.network(engine)
        self.compose(engine, "up", "--detach")
        engine.docker("run", "--detach", "--name", "probe-1", *_ALONE, PLAIN, "/bin/sh", "-c", LOOP)
        self.fill(engine, (f"{PROJECT}_db_1", "/data"), (f"{PROJECT}_db_1", "/files"), ("probe-1", "/alone"))
        engine.docker("pause", "probe-1")

    def network(self, engine: Bridged) -> None:
        """That of somebody else, which the project joins."""
        engine.docker("network", "create", "--subnet", "10.77.0.0/24", "--label", "made=by hand", "corp-net")

    def fill(self, engine: Bridged, *places: tuple[str, str]) -> None:
        """Data at paths of containers."""
        for name, path in places:
            script = (
                f"cat /bin/sh > {path}/big; echo old > {path}/text; mkdir -p {path}/deep/er; echo > {path}/deep/er/x"
            )
            engine.docker("exec", "--user", "0", name, "/bin/sh", "-c", script)

    def compose(self, engine: Bridged, *words: str) -> None:
        files = ("-f", "compose.yml", "-f", "extra.yml")
        engine.compose("-p", PROJECT, *files, *words, cwd=str(self.directory))

    # --- what there is ---------------------------------------------------------------------------

    def seen(self, engine: Bridged) -> dict[str, Any]:
        """Containers, volumes and networks as they are declared, and the state of each container."""
        with sdk(engine) as client:
            said = [client.api.inspect_container(one["Id"]) for one in client.api.containers(all=True)]
            volumes = client.api.volumes()["Volumes"] or []
            networks = [client.api.inspect_network(one["Id"]) for one in client.api.networks()]
        names = {one["Id"]: one["Name"].lstrip("/") for one in said}
        return {
            "containers": {one["Name"].lstrip("/"): declared(one, names) for one in said},
            "states": {one["Name"].lstrip("/"): one["State"]["Status"] for one in said},
            "volumes": {
                one["Name"]: {key: one[key] or {} for key in ("Driver", "Labels", "Options", "Scope")}
                for one in volumes
            },
            "networks": {
                one["Name"]: {
                    key: one[key] for key in ("Driver", "IPAM", "Labels", "Internal", "Options", "Attachable")
                }
                for one in networks
                if one["Name"] not in ("bridge", "host", "none")
            },
        }

    def data(self, engine: Bridged) -> dict[str, Any]:
        """Every entry of binds, of the project's directory and of volumes: owner, mode, time, content."""
        found = {}
        for root in (self.directory, self.beside, self.device, engine.data / "volumes"):
            found.update(tree(root, engine))
        return found

    def change(self, engine: Bridged) -> None:
        """Something else than what was archived, everywhere."""
        for name, path in ((f"{PROJECT}_db_1", "/data"), (f"{PROJECT}_db_1", "/files")):
            engine.docker("exec", name, "/bin/sh", "-c", f"echo new > {path}/text; echo > {path}/since; mkdir {path}/d")
        (self.beside / "one").write_text("changed")
        (self.beside / "since").mkdir()
        (self.directory / "www/since").write_text("new")

    def traces(self, engine: Bridged) -> list[str]:
        """What a restore left behind: containers, directories, journals."""
        names = engine.docker("ps", "--all", "--format", "{{.Names}}").stdout.split()
        found = [name for name in names if "phpborg" in name]
        for root in (self.place, engine.data, engine.data / "volumes"):
            found += [str(path) for path in root.glob("**/.phpborg-*") if "overlay2" not in path.parts]
        return found + [str(path) for path in JOURNALS.glob("*") if path not in self.journals]

    # --- the end of it ---------------------------------------------------------------------------

    def destroy(self, engine: Bridged, *, images: bool = True) -> None:
        """As if the machine had been made anew."""
        from tests.dockers.backing import clear

        clear(engine)
        if images:
            engine.docker("rmi", "--force", *set(engine.docker("images", "--quiet").stdout.split()), check=False)
        for path in (self.directory, self.beside, self.device):
            shutil.rmtree(path, ignore_errors=True)


def declared(said: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """What a container was asked to be, without what an engine gives it by itself; `names`: {id: name} of all."""
    config, host = dict(said["Config"]), dict(said["HostConfig"])
    for key in ("NetworkMode", "PidMode", "IpcMode"):
        kind, colon, other = str(host[key]).partition(":")
        host[key] = kind + colon + names.get(other, other)
    host["VolumesFrom"] = [names.get(one, one) for one in host["VolumesFrom"] or []]
    if config.get("Hostname") == said["Id"][:12] or host["NetworkMode"].startswith("container:"):
        del config["Hostname"]
    networks = {
        name: {
            "Aliases": sorted(alias for alias in one.get("Aliases") or [] if alias != said["Id"][:12]),
            "IPAMConfig": one.get("IPAMConfig") or None,
            "Links": one.get("Links"),
            "DriverOpts": one.get("DriverOpts"),
        }
        for name, one in said["NetworkSettings"]["Networks"].items()
    }
    # An anonymous volume is attached by its name: at the same place with the same content.
    host["Mounts"] = sorted(filter(_is_named, host.get("Mounts") or []), key=lambda one: str(one["Target"]))
    mounts = [
        {key: mount.get(key) for key in ("Type", "Name", "Destination", "RW", "Driver", "Propagation")}
        | ({key: mount[key] for key in ("Source", "Mode")} if mount["Type"] == "bind" else {})
        for mount in said["Mounts"]
    ]
    return {
        "config": config,
        "host": host,
        "networks": networks,
        "mounts": sorted(mounts, key=lambda one: one["Destination"]),
    }


def _is_named(mount: dict[str, Any]) -> bool:
    return mount["Type"] != "volume" or not _UNNAMED.fullmatch(mount.get("Source") or "")


def different(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two answers of `seen` or `data` are not the same, in words: what is left of a long comparison."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [row for key in keys for row in different(one.get(key), other.get(key), f"{where}/{key}")]
    return [] if one == other else [f"{where}: {one!r} | {other!r}"]


def tree(root: Path, engine: Bridged | None = None) -> dict[str, Any]:
    """Entries below a directory; of the engine's own only what volumes hold."""
    volumes = engine.data / "volumes" if engine else None
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            inside = path.relative_to(root) if root == volumes else None
            if inside is not None and (len(inside.parts) < 2 or inside.parts[1] != "_data"):
                continue
            found[str(path if inside is None else inside)] = entry(path)
    return found


def entry(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(path))
    plain = stat.S_ISREG(status.st_mode)
    content = hashlib.sha256(path.read_bytes()).hexdigest() if plain else ""
    return (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns if plain else 0, content)
