"""A real project on a real engine, archived with a real borg, for scripts that put it back.

The project `kiosk` is started with `-p` from a directory with a hostile name, by two Compose files, with binds in and
beside it, `.env`, an external network, a bound, a named and an anonymous volume; `probe-1` stands alone, paused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockerops.choice import Choice
from dockerops.conflict_facts import paths_to_ask
from dockerops.inventory import Inventory
from dockerops.listing import Listing
from dockerops.manifest import Contents, parse
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.planning import About, plan_docker
from dockerops.script import script
from servers.remote import wire
from servers.remote.dockers import looking, reading
from servers.remote.dockers.engine import Engine
from tests.dockers.conftest import referee
from tests.support.bridged import Bridged

PASSPHRASE = "correct horse; $(staple)"
CANARIES = ("canary-of-the-environment", "canary-of-the-file")
TOKEN = "0123456789abcdef0123456789abcdef"
BASE = """
version: "3.7"
services:
  db:
    image: phpborg-test/plain:1
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    environment: {PASSWORD: canary-of-the-environment}
    healthcheck: {test: ["CMD", "/bin/true"], interval: 1s}
    volumes: ["data:/data"]
  web:
    image: phpborg-test/plain:1
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
    depends_on: [db]
    env_file: [.env]
    ports: ["18080:80"]
    volumes: ["./html:/html:ro", "../shared:/shared", "files:/files", "/cache"]
    networks: {default: {}, proxy: {aliases: [kiosk.example], ipv4_address: 172.30.0.20}}
volumes:
  data: {}
  files: {driver: local, driver_opts: {type: none, o: bind, device: "@DEVICE@"}}
networks: {proxy: {external: true}}
"""
OVERRIDE = 'version: "3.7"\nservices: {web: {restart: always, labels: {of.override: "yes; $$(id)"}}}\n'
PROBE = (
    *("--hostname", "probe", "--user", "4242:4343", "--workdir", "/tmp", "--env", "A=b c", "--cap-add", "NET_ADMIN"),
    *(
        "--label",
        "owner=it's; $(reboot) `id`",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--dns",
        "192.0.2.53",
        "--read-only",
    ),
    *("--restart", "on-failure:3", "--add-host", "other:192.0.2.7", "--tmpfs", "/tmp:size=1m", "--stop-timeout", "1"),
    *("--network", "proxy", "--ip", "172.30.0.21", "--publish", "127.0.0.1:5353:53/udp", "--volume", "corp:/srv:ro"),
    *("phpborg-test/plain:1", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"),
)


@dataclass
class Rig:
    """One project with its archive. `directory` holds everything that is not the engine's."""

    engine: Bridged
    directory: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    archive: str = "shop; $(id) 1"

    @property
    def app(self) -> Path:
        return self.directory / "it's app; $(id)"

    @property
    def shared(self) -> Path:
        return self.directory / "shared"

    @property
    def device(self) -> Path:
        return self.directory / "device"

    @property
    def repository(self) -> Path:
        return self.directory / "repository"

    @property
    def env(self) -> dict[str, str]:
        """Borg's own, with the passphrase."""
        place = {"BORG_BASE_DIR": str(self.directory / "borg"), "PATH": os.environ["PATH"]}
        return {**place, "BORG_PASSPHRASE": PASSPHRASE, "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}

    def make(self) -> None:
        """The project and the container, running with data in everything."""
        for path in (self.app / "html", self.shared, self.device):
            path.mkdir(parents=True)
        (self.app / "html/index.html").write_text("hello\n")
        (self.app / ".env").write_text("TOKEN=canary-of-the-file\n")
        (self.app / "base.yml").write_text(BASE.replace("@DEVICE@", str(self.device)))
        (self.app / "more.yml").write_text(OVERRIDE)
        (self.shared / os.fsdecode(b"caf\xe9 `x`\n$(y)")).write_text("odd\n")
        (self.device / "file").write_text("in a bound volume\n")
        network = (
            "--subnet",
            "172.30.0.0/24",
            "--label",
            "of.network=1",
            "--opt",
            "com.docker.network.bridge.name=br-px",
        )
        self.engine.docker("network", "create", *network, "proxy")
        self.engine.docker("volume", "create", "--label", "department=corp", "corp")
        up = ("-p", "kiosk", "-f", "base.yml", "-f", "more.yml", "up", "-d")
        self.engine.compose(*up, cwd=str(self.app))
        self.engine.docker("run", "--detach", "--name", "probe-1", *PROBE)
        self.engine.docker("pause", "probe-1")
        for volume in self.volumes():
            place = self.mountpoint(volume)
            (place / "rows").write_text(f"rows of {volume}\n")
            os.chown(place / "rows", 4242, 4343)
            (place / "deep").mkdir(mode=0o700)
            (place / "deep/link").symlink_to("../rows")
        self.healthy()

    def healthy(self) -> None:
        """Wait for the database's own check."""
        deadline = time.monotonic() + 60
        form = ("inspect", "--format", "{{.State.Health.Status}}", "kiosk_db_1")
        while self.engine.docker(*form).stdout.strip() != "healthy":
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def volumes(self, engine: Bridged | None = None) -> list[str]:
        return sorted((engine or self.engine).docker("volume", "ls", "--quiet").stdout.split())

    def mountpoint(self, volume: str, engine: Bridged | None = None) -> Path:
        said = (engine or self.engine).docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume)
        return self.device if volume.endswith("_files") else Path(said.stdout.strip())

    def back_up(self) -> None:
        """An archive of the real paths and of a manifest, as a backup makes it."""
        self.manifest = manifest_of(self.engine, [str(self.app), str(self.shared)])
        place = Path("/var/lib/phpborg/docker")
        place.mkdir(parents=True, exist_ok=True)
        (place / "images").mkdir(exist_ok=True)
        self.engine.docker("save", "--output", str(place / "images/0.tar"), "phpborg-test/plain:1")
        for image in self.manifest["images"]:
            if "phpborg-test/plain:1" in image["tags"]:
                image.update(stream="images/0.tar", tags=["phpborg-test/plain:1"])
        (place / "manifest.json").write_text(json.dumps(self.manifest))
        self.borg("init", "--encryption", "repokey", "::")
        paths = [row["path"] for row in self.manifest["volumes"]]
        self.borg("create", f"::{self.archive}", str(place), str(self.app), str(self.shared), *paths)
        shutil.rmtree(place)

    def borg(self, *argv: str) -> None:
        env = {**self.env, "BORG_REPO": str(self.repository)}
        done = subprocess.run(["borg", *argv], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def listing(self) -> Listing:
        """The archive's own paths."""
        env = {**self.env, "BORG_REPO": str(self.repository)}
        words = ["borg", "list", "--json-lines", f"::{self.archive}"]
        found = Listing()
        for line in subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.splitlines():
            row = json.loads(line)
            found.add(row["path"], row["type"], row["size"])
        return found

    def identity(self) -> str:
        """Borg's id of the archive."""
        env = {**self.env, "BORG_REPO": str(self.repository)}
        said = subprocess.run(["borg", "list", "--json"], env=env, capture_output=True, text=True, check=True).stdout
        return next(str(row["id"]) for row in json.loads(said)["archives"] if row["name"] == self.archive)

    def destroy(self) -> None:
        """Everything but images and the repository."""
        clean(self.engine)
        for path in (self.app, self.shared, self.device):
            shutil.rmtree(path)

    def contents(self) -> Contents:
        return parse(json.dumps(self.manifest))

    def plan(
        self,
        engine: Bridged,
        choice: Choice,
        options: Options,
        consents: tuple[str, ...] = (),
        contents: Contents | None = None,
    ) -> DockerPlan:
        """For an engine as it is now."""
        about = About(self.archive, self.identity(), str(self.repository), "shop; $(id)", str(engine.socket), TOKEN)
        known = contents or self.contents()
        return plan_docker(known, self.there(engine, choice, options, known), choice, options, about, consents)

    def there(self, engine: Bridged, choice: Choice, options: Options, contents: Contents | None = None) -> Inventory:
        """The engine as it is now, and the paths that a plan asks for."""
        asked = paths_to_ask(contents or self.contents(), choice, options, inventory(engine))
        return inventory(engine, *asked)

    def run(self, plan: DockerPlan, form: str, *argv: str, path: str = "", secret: str = PASSPHRASE) -> Any:
        """Run a plan's script as a person would: the passphrase is typed."""
        file = self.directory / f"{form}.sh"
        file.write_text(script(plan, form))
        env = {key: value for key, value in self.env.items() if key != "BORG_PASSPHRASE"}
        env["PATH"] = f"{path}:{env['PATH']}" if path else env["PATH"]
        typed = f"{secret}\nyes\n"
        words = ["bash", str(file), *argv]
        return subprocess.run(
            words, env=env, input=typed, capture_output=True, text=True, check=False, errors="replace"
        )


def clean(engine: Bridged) -> None:
    """Nothing but images."""
    if names := engine.docker("ps", "--all", "--quiet").stdout.split():
        engine.docker("rm", "--force", "--volumes", *names)
    if volumes := engine.docker("volume", "ls", "--quiet").stdout.split():
        engine.docker("volume", "rm", "--force", *volumes)
    engine.docker("network", "prune", "--force")
    for left in engine.data.glob(".phpborg-*"):
        shutil.rmtree(left)


def manifest_of(engine: Bridged, paths: list[str]) -> dict[str, Any]:
    """What a backup writes down, of the rows that the helper reads."""
    seen = reading.read(Engine(str(engine.socket)))
    projects = [{**row, "paths": paths} for row in reading.project_rows(seen, os.path.isfile)]
    volumes = [{**row, "path": row["mountpoint"], "read": "path"} for row in reading.volume_rows(seen)]
    return {
        "format": 1,
        "made_at": "2026-11-27T16:00:00Z",
        "hostname": seen.hostname,
        "machine": os.uname().machine,
        "engine": reading.engine_row(seen, {"command": "docker-compose", "version": "1.29.2"}),
        "projects": projects,
        "containers": [reading.container_row(said, seen, os.path.isfile) for said in seen.containers],
        "volumes": volumes,
        "networks": reading.network_rows(seen),
        "images": reading.image_rows(seen),
        "binds": [],
        "config_files": [],
    }


def inventory(engine: Bridged, *paths: str) -> Inventory:
    """As the helper answers."""
    said = looking.inventory(Engine(str(engine.socket)), {"paths": list(paths)}, wire.Control(60))
    return Inventory.from_json(json.loads(json.dumps(said)))


def state(engine: Bridged) -> dict[str, Any]:
    """Everything declared of containers, networks and volumes, and in which state containers are."""
    with_sdk = referee(engine)
    try:
        api = with_sdk.api
        containers = [api.inspect_container(one["Id"]) for one in api.containers(all=True)]
        networks = [api.inspect_network(one["Id"]) for one in api.networks()]
        volumes = api.volumes()["Volumes"] or []
    finally:
        with_sdk.close()
    network_keys = ("Driver", "IPAM", "Labels", "Options", "Internal", "Attachable", "EnableIPv6")
    return {
        "containers": {said["Name"][1:]: (said["State"]["Status"], declared(said)) for said in containers},
        "networks": {one["Name"]: {key: one[key] for key in network_keys} for one in networks},
        "volumes": {one["Name"]: (one["Driver"], one["Options"] or {}, one["Labels"] or {}) for one in volumes},
    }


def declared(said: dict[str, Any]) -> dict[str, Any]:
    """All that somebody chose of a container, and nothing that the engine made up."""
    short = said["Id"][:12]
    config, host = dict(said["Config"]), dict(said["HostConfig"])
    if config["Hostname"] == short:
        config["Hostname"] = "generated"
    config["Entrypoint"] = [word for word in config["Entrypoint"] or [] if word]
    unnamed = {mount["Name"] for mount in said["Mounts"] if len(mount.get("Name") or "") == 64}
    # A volume without a name is now asked for by the name that it was given.
    host["Mounts"] = [one for one in host.pop("Mounts", None) or [] if one.get("Source") not in unnamed]
    host["Binds"] = [one for one in host.get("Binds") or [] if one.split(":")[0] not in unnamed]
    config["Volumes"] = config.get("Volumes") or {}
    keys = ("Type", "Name", "Destination", "RW", "Propagation", "Driver")
    mounts = [{key: mount.get(key) for key in keys} for mount in said["Mounts"]]
    networks = {
        name: {
            "aliases": sorted(alias for alias in one["Aliases"] or [] if alias != short),
            **{key: one[key] or None for key in ("IPAMConfig", "Links", "DriverOpts")},
        }
        for name, one in said["NetworkSettings"]["Networks"].items()
    }
    return {
        "config": config,
        "host": host,
        "mounts": sorted(mounts, key=lambda one: one["Destination"]),
        "in": networks,
    }


def tree(top: Path) -> dict[bytes, Any]:
    """Every entry below with its content, owner, mode and time."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in [b"", *folders, *files] if folder == os.fsencode(top) else [*folders, *files]:
            path = os.path.join(folder, name) if name else folder
            status = os.lstat(path)
            content = b""
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest()
            key = os.path.relpath(path, os.fsencode(top))
            found[key] = (content, status.st_uid, status.st_gid, status.st_mode, status.st_mtime_ns)
    return found
