"""A shop on a real engine: PostgreSQL, a web server that reads a bind, an outside network, and things a drill may not
have. Its archives are good, or made anew with one thing wrong in them.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backups.models import Archive
from backups.services import repositories
from tests.dockerops.show import entry, tree
from tests.dockers.conftest import PROGRAMS
from tests.support import own_image, postgresql
from tests.support.archives import PASSPHRASE, Storage, in_repository
from tests.support.bridged import Bridged
from tests.support.workers import wait_until

PROJECT = "shop"
ROWS = 20_000
PG, WEB, OTHER = "phpborg-test/shop-postgres:15", "phpborg-test/shop-web:1", "phpborg-test/other:2"
PLACE = "var/lib/phpborg/docker"
_COMPOSE = """
version: "2.4"
services:
  db:
    image: {pg}
    user: "{uid}:{gid}"
    environment:
      PATH: /usr/lib/postgresql/15/bin:/usr/bin:/bin
      POSTGRES_PASSWORD: ${{DB_PASSWORD}}
    command: [postgres, -D, /data/pg, -c, "listen_addresses=*", -c, port=5432]
    volumes: ["data:/data"]
    tmpfs: ["/tmp:mode=1777", "/var/run/postgresql:mode=1777"]
    healthcheck: {{test: [CMD, pg_isready, -q], interval: 1s, retries: 60}}
    restart: always
    labels: {{traefik.enable: "true"}}
    mem_limit: 256m
  web:
    image: {web}
    depends_on: {{db: {{condition: service_healthy}}}}
    command: [php, -S, "0.0.0.0:8000", -t, /www]
    volumes: ["./www:/www:ro", "files:/files"]
    ports: ["127.0.0.1:18095:8000"]
    networks: {{default: {{}}, corp: {{ipv4_address: 10.78.0.78}}}}
    restart: always
volumes:
  data: {{}}
  files: {{}}
networks:
  corp: {{external: true, name: corp-net}}
"""


def journals() -> set[str]:
    """Of restores and drills."""
    places = (Path("/var/lib/phpborg/docker-drill"), Path("/var/lib/phpborg/docker-restore"))
    return {str(path) for place in places for path in place.glob("*")}


@dataclass
class Shop:
    """The application below `place`."""

    place: Path
    journals: set[str] = field(default_factory=journals)  # of others, before

    @property
    def directory(self) -> Path:
        return self.place / "the shop's; $(id)"

    def start(self, engine: Bridged) -> None:
        """Running, with rows and files."""
        images(engine)
        account = pwd.getpwnam("postgres")
        (self.directory / "www").mkdir(parents=True)
        (self.directory / "www/index.html").write_text("open for business")
        facts = {"pg": PG, "web": WEB, "uid": account.pw_uid, "gid": account.pw_gid}
        (self.directory / "docker-compose.yml").write_text(_COMPOSE.format(**facts))
        (self.directory / ".env").write_text("DB_PASSWORD=canary-of-the-shop\n")
        engine.docker("network", "create", "--subnet", "10.78.0.0/24", "corp-net")
        self.compose(engine, "up", "--no-start")
        self._fill(self.volume(engine, "data"))
        for number in range(5):
            (self.volume(engine, "files") / f"file {number}").write_bytes(os.urandom(3000))
        self.compose(engine, "up", "--detach")
        # Docker's own socket: a drill does without.
        engine.docker(
            *("run", "--detach", "--name", "watcher", "--volume", f"{engine.socket}:/var/run/docker.sock", WEB),
            *("php", "-S", "127.0.0.1:9", "-t", "/"),
        )

    def _fill(self, volume: Path) -> None:
        with postgresql.running(self.place / "pg", self.place / "s") as cluster:
            cluster.sql(
                f"CREATE TABLE kettle AS SELECT i AS id, repeat('tea', 40) AS text, now() AS at"
                f" FROM generate_series(1, {ROWS}) i; ALTER TABLE kettle ADD PRIMARY KEY (id); VACUUM ANALYZE kettle"
            )
            self.table = cluster.sql("SELECT pg_relation_filepath('kettle')")
        (self.place / "pg/pg_hba.conf").write_text("local all all trust\n")
        subprocess.run(["cp", "-a", str(self.place / "pg"), str(volume / "pg")], check=True)

    def compose(self, engine: Bridged, *words: str) -> None:
        engine.compose("-p", PROJECT, *words, cwd=str(self.directory))

    def volume(self, engine: Bridged, name: str) -> Path:
        form = ("volume", "inspect", "--format", "{{.Mountpoint}}", f"{PROJECT}_{name}")
        return Path(engine.docker(*form).stdout.strip())

    # --- what there is -------------------------------------------------------------------------------

    def everything(self, engine: Bridged) -> dict[str, Any]:
        """All that an engine has, and every file of production that stands still."""
        known = {
            "containers": ("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"),
            "volumes": ("volume", "ls", "--format", "{{.Name}}"),
            "networks": ("network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}"),
            "images": ("images", "--all", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"),
        }
        found: dict[str, Any] = {key: sorted(engine.docker(*words).stdout.splitlines()) for key, words in known.items()}
        found["files"] = tree(self.directory, engine)
        found["volume"] = {path.name: entry(path) for path in self.volume(engine, "files").iterdir()}
        started = ("inspect", "--format", "{{.State.StartedAt}}", "shop_db_1", "shop_web_1", "watcher")
        found["started"] = engine.docker(*started, check=False).stdout
        asked = ("psql", "-U", "postgres", "-XAt", "-c", "SELECT count(*), sum(id) FROM kettle")
        found["rows"] = engine.docker("exec", "shop_db_1", *asked, check=False).stdout
        return found

    def traces(self, engine: Bridged) -> list[str]:
        """Of drills, on the disk; what restores of other tests keep there was there before."""
        found = [str(path) for path in engine.data.glob("**/.phpborg-*") if "overlay2" not in path.parts]
        return found + sorted(journals() - self.journals)


def images(engine: Bridged) -> None:
    """A database and a web server of this machine's own programs, and another one."""
    engine.docker("tag", postgres_image(engine), PG)
    engine.docker("tag", php_image(engine), WEB)
    engine.docker("tag", own_image.build(engine, "phpborg-test/plain:1", *PROGRAMS), OTHER)


def postgres_image(engine: Bridged) -> str:
    """PostgreSQL with a shell."""
    return own_image.build(
        engine,
        "phpborg-test/pgdump:15",
        *("/usr/lib/postgresql/15", "/usr/share/postgresql/15", "/usr/share/zoneinfo", *PROGRAMS),
        leave_out=("*/bitcode", "*llvmjit*", "*/pgxs", "/usr/share/postgresql/15/man"),
    )


def php_image(engine: Bridged) -> str:
    """PHP, which has a web server, with a shell."""
    return own_image.build(engine, "phpborg-test/php:1", "/usr/bin/php", *PROGRAMS)


# --- archives with one thing wrong -------------------------------------------------------------------


@contextmanager
def _extracted(storage: Storage, archive: Archive, place: Path) -> Iterator[dict[str, str]]:
    environment = {
        **os.environ,
        "BORG_PASSPHRASE": PASSPHRASE,
        "BORG_BASE_DIR": str(repositories.base_dir_of(storage.repository)),
        "TZ": "UTC",
    }
    place.mkdir()
    words = ["borg", "extract", "--numeric-ids", f"{storage.repository.path}::{archive.name}"]
    subprocess.run(words, cwd=place, env=environment, check=True, capture_output=True)
    yield environment
    shutil.rmtree(place)


def with_fault(
    storage: Storage, archive: Archive, place: Path, name: str, fault: Callable[[Path, dict[str, Any]], None]
) -> Archive:
    """The archive once more under another name, after `fault` was given its files and its manifest."""
    with _extracted(storage, archive, place) as environment:
        file = place / PLACE / "manifest.json"
        manifest = json.loads(file.read_text())
        fault(place, manifest)
        file.write_text(json.dumps(manifest))
        words = ["borg", "create", "--numeric-ids", f"{storage.repository.path}::{name}", "--"]
        tops = sorted(os.listdir(place))
        subprocess.run([*words, *tops], cwd=place, env=environment, check=True, capture_output=True)
    fact = in_repository(repositories.borg_of(storage.repository), name)
    assert fact is not None
    return Archive.objects.create(
        repository=storage.repository,
        server=storage.server,
        server_name=storage.server.name,
        job=archive.job,
        job_name=archive.job_name,
        name=name,
        borg_id=fact.id,
        started_at=archive.started_at,
        grade="success",
        backup_config=archive.backup_config,
    )


def files_of(place: Path, manifest: dict[str, Any], name: str) -> Path:
    """A volume's content in an extracted archive."""
    row = next(row for row in manifest["volumes"] if row["name"] == f"{PROJECT}_{name}")
    return place / str(row["path"]).lstrip("/")


__all__ = ["OTHER", "PG", "PROJECT", "ROWS", "Shop", "wait_until"]
