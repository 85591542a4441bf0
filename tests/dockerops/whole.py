"""Show 1, whole: the project with a real PostgreSQL and a web server that answers, both healthy by their own checks.

Beside it stand containers with every option (options.py), among them some that do not run. Load is in load.py.
"""

from __future__ import annotations

import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.dockerops import load, options
from tests.dockerops.drill_show import php_image, postgres_image
from tests.dockerops.load import DB, WEB
from tests.dockerops.show import LOOP, PLAIN, PROJECT, SECRET, Stage
from tests.dockers.conftest import PROGRAMS
from tests.support import own_image, postgresql
from tests.support.bridged import Bridged
from tests.support.workers import wait_until

PG_IMAGE, WEB_IMAGE = "phpborg-test/kiosk-postgres:15", "phpborg-test/kiosk-web:1"
# What the images say by themselves.
_PG_SPEAKS = ("ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin", "EXPOSE 5432", "STOPSIGNAL SIGINT")
_WEB_SPEAKS = ("VOLUME /var/lib/data", "EXPOSE 8000/tcp", "LABEL of.image=true", 'ENTRYPOINT ["php"]')
_CHECK = 'exit(file_get_contents("http://127.0.0.1:8000/index.html") === "hello" ? 0 : 1);'
# At its second start an engine gives a tmpfs the mode of the directory below it, 0755: so its owner is told.
_COMPOSE = """
version: "2.4"
services:
  db:
    image: {pg}
    user: "{uid}:{gid}"
    environment:
      DB_PASSWORD: ${{DB_PASSWORD}}
      ODD: "a b 'c' \\"d\\" $$(id)"
    command: [postgres, -D, /data/pg, -c, "listen_addresses=", -c, shared_buffers=16MB]
    volumes: ["data:/data", "files:/files"]
    tmpfs: ["/var/run/postgresql:uid={uid},gid={gid}"]
    healthcheck: {{test: [CMD, pg_isready, -q], interval: 1s, retries: 60}}
    stop_grace_period: 40s
    labels:
      "odd label": "x; rm -rf / $$(id)"
    restart: unless-stopped
  web:
    image: {web}
    depends_on: {{db: {{condition: service_healthy}}}}
    command: [-S, "0.0.0.0:8000", -t, /www]
    volumes: ["./www:/www:ro", "{beside}:/beside", "data:/shared:ro", "files:/files"]
    networks: {{default: {{aliases: [front]}}, corp: {{ipv4_address: 10.77.0.77}}}}
    healthcheck: {{test: [CMD, php, -r, '{check}'], interval: 1s, retries: 60}}
    stop_signal: SIGINT
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
    ports: ["127.0.0.1:18085:8000"]
    environment: [EXTRA=yes]
    mem_limit: 128m
"""
_WRITE = """<?php $n = (int) $_GET["n"];
file_put_contents("/files/lines", "$n " . hash("sha256", $n) . "\\n", FILE_APPEND); echo "written $n";
"""


class Whole(Stage):
    """The stage with a database and a web server that work, and containers of every kind beside them."""

    @property
    def busy(self) -> Path:
        """Written by a program that no container keeps still."""
        return self.beside / "busy"

    def compose_files(self, facts: dict[str, Any]) -> None:
        account = pwd.getpwnam("postgres")
        more = {"pg": PG_IMAGE, "web": WEB_IMAGE, "uid": account.pw_uid, "gid": account.pw_gid, "check": _CHECK}
        (self.directory / "compose.yml").write_text(_COMPOSE.format(**facts, **more))
        (self.directory / "extra.yml").write_text(_EXTRA)
        (self.directory / "www/write.php").write_text(_WRITE)

    def start(self, engine: Bridged) -> None:
        images(engine)
        self.lay_out()
        self.network(engine)
        self.compose(engine, "up", "--no-start")
        self._cluster(self.volume(engine, "data") / "pg")
        self.compose(engine, "up", "--detach")
        for verb, words, command in options.rows(self.beside, SECRET, LOOP):
            detached = ("--detach",) if verb == "run" else ()
            engine.docker(verb, *detached, *words, PLAIN, *command)
        self.fill(engine, (DB, "/data"), (DB, "/files"), (WEB, "/var/lib/data"))
        self.fill(engine, ("probe-1", "/alone"), ("probe-1", "/unnamed"), ("probe-2", "/typed"))
        # On a busy machine a kernel does not manage it at once: “unable to freeze”.
        wait_until(lambda: engine.docker("pause", "probe-1", check=False).returncode == 0, 30, "it is not paused")
        engine.docker("stop", "probe-stopped")
        self.is_well(engine)

    def _cluster(self, target: Path) -> None:
        """A database with two tables that must agree."""
        made = self.place / "cluster"
        with postgresql.running(made, self.place / "s", make=("--data-checksums", "--wal-segsize=1")) as cluster:
            cluster.sql(load.TABLES)
        (made / "pg_hba.conf").write_text("local all all trust\n")
        subprocess.run(["cp", "-a", str(made), str(target)], check=True)
        shutil.rmtree(made)

    def volume(self, engine: Bridged, name: str) -> Path:
        return engine.data / "volumes" / f"{PROJECT}_{name}" / "_data"

    def still(self, engine: Bridged) -> dict[str, Path]:
        """What the two containers write to, as the archive has it."""
        return {"data": self.volume(engine, "data"), "files": self.volume(engine, "files")}

    # --- what there is -------------------------------------------------------------------------------

    def data(self, engine: Bridged) -> dict[str, Any]:
        """Without what is written to while it is backed up."""
        changing = (f"{PROJECT}_data/_data/pg", str(self.busy), "/device/lines", f"{PROJECT}_files/_data/lines")
        found = super().data(engine)
        return {path: one for path, one in found.items() if not any(word in path for word in changing)}

    def is_well(self, engine: Bridged) -> None:
        """All that run and have a check are healthy, and the web server answers where it is published."""
        form = ("inspect", "--format", "{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}")

        def is_so() -> bool:
            names = engine.docker("ps", "--quiet").stdout.split()
            said = set(engine.docker(*form, *names).stdout.splitlines())
            return {one for one in said if one.startswith("running")} == {"running healthy"}

        wait_until(is_so, 90, "not all are healthy")
        assert load.page(engine, "index.html") == "hello"

    def rows(self, engine: Bridged) -> set[int]:
        """The database is whole to the last page, both tables agree; the numbers of its rows."""
        odd = "SELECT count(*) FROM led FULL JOIN twin USING (n) WHERE led.sum IS DISTINCT FROM twin.sum"
        assert self._asked(engine, odd) == "0"
        assert self._asked(engine, "SELECT count(*) FROM led WHERE sum <> md5('row ' || n)") == "0"
        inside = ("exec", DB)
        assert "COPY public.twin" in engine.docker(*inside, "pg_dumpall", "--username", "postgres").stdout
        check = ("pg_amcheck", "--all", "--install-missing", "--heapallindexed", "--username", "postgres")
        assert engine.docker(*inside, *check).stdout == ""
        return set(map(int, self._asked(engine, "SELECT n FROM led").split()))

    def _asked(self, engine: Bridged, question: str) -> str:
        return engine.docker("exec", DB, "psql", "-U", "postgres", "-XAtc", question).stdout.strip()


def images(engine: Bridged) -> None:
    """Those of the project, and the plain one."""
    engine.docker("tag", own_image.build(engine, PLAIN, *PROGRAMS), PLAIN)
    for name, made, speaks in (
        (PG_IMAGE, postgres_image(engine), _PG_SPEAKS),
        (WEB_IMAGE, php_image(engine), _WEB_SPEAKS),
    ):
        text = "\n".join((f"FROM {made}", *speaks))
        words = engine.client("build", "--tag", name, "-")
        done = subprocess.run(words, input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def brought_back(seen: dict[str, Any]) -> dict[str, Any]:
    """What a restore makes of it: who had ended is there and has not run, all others are as they were."""
    states = {name: "created" if state == "exited" else state for name, state in seen["states"].items()}
    return {**seen, "states": states}
