"""A Docker engine, an image of PostgreSQL, an archive of a cluster, and sessions of the helper over it."""

from __future__ import annotations

import json
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backups.borg import view
from recovery.services.serving import Asked
from servers.transport import host_for
from servers.transport.base import Host
from servers.transport.tunnel import link
from tests.lab.engine import Engine, running_engine
from tests.support import own_image, postgresql
from tests.support.sshd import Lab, local_target

PASSPHRASE = "a passphrase with a blank"
PASSWORD = "Wb7-kettle"
ROWS = 200_000
DATA = "/var/lib/postgresql/data"
_CONFIG = "hot_standby=on\nlisten_addresses=''\nunix_socket_directories='/phpborg/run'\nhba_file='/phpborg/etc/hba'\n"
QUESTION = ["-XAt", "-h", "/phpborg/run", "-U", "phpborg", "-d", "postgres", "-c", "SELECT pg_is_in_recovery()"]
_HBA = "local all phpborg scram-sha-256\n"


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    with running_engine() as one:
        yield one


@pytest.fixture(scope="package")
def image(engine: Engine) -> str:
    return own_image.postgresql(engine)


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    made = Lab.create()
    yield made
    made.remove()


@pytest.fixture(scope="package")
def host(lab: Lab) -> Host:
    return host_for(local_target(lab))


@pytest.fixture(scope="package")
def cluster() -> Iterator[Path]:
    """An encrypted repository with the archive "one": a cluster as pg_basebackup copies it, while it runs."""
    place = Path(tempfile.mkdtemp(prefix="phpborg-instant-"))
    place.chmod(0o755)
    path = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    with postgresql.running(place / "data", place / "sockets") as server:
        server.sql(
            f"CREATE TABLE kettle AS SELECT i AS id, repeat('tea', 20) AS text FROM generate_series(1, {ROWS}) i"
        )
        words = ["pg_basebackup", "-h", str(server.sockets), "-p", str(server.port), "-D", "-", "-Ft", "-X", "fetch"]
        copy = subprocess.Popen(postgresql.owner_words([*words, "--checkpoint=fast"]), stdout=subprocess.PIPE, cwd="/")
        subprocess.run(["borg", "import-tar", f"{path}::one", "-"], stdin=copy.stdout, check=True, env=env)
        assert copy.wait() == 0
    yield path
    shutil.rmtree(place)


@dataclass
class Session:
    """One run of the verb in a thread, and what it said."""

    host: Host
    token: str
    stop: threading.Event = field(default_factory=threading.Event)
    rows: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None
    thread: threading.Thread | None = None

    def hear(self, line: bytes) -> None:
        self.rows.append(json.loads(line))

    def until(self, state: str, seconds: float = 60) -> dict[str, Any]:
        """The first row that says this. An error of the session is raised."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := [row for row in self.rows if row["state"] == state]:
                return found[0]
            if self.thread is not None and not self.thread.is_alive():
                raise self.error or AssertionError(self.rows)
            time.sleep(0.01)
        raise AssertionError(self.rows)

    def begin(self, repository: Path, archive: str, args: dict[str, Any], secrets: dict[str, str]) -> None:
        """In a thread: the verb lives as long as the session."""

        def carry() -> None:
            try:
                with link(self.host, str(repository), mode="tunnel", token=self.token) as way:
                    asked = {"argv": ["mount", way.location(archive)], "token": self.token, **args}
                    self.host.run("instant", asked, secrets=secrets, on_stdout=self.hear, stop=self.stop, link=way)
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=carry)
        self.thread.start()

    def finish(self, seconds: float = 60) -> None:
        """Ask it to end, and wait for that."""
        self.stop.set()
        assert self.thread is not None
        self.thread.join(seconds)
        assert not self.thread.is_alive()


def recipe(engine: Engine, image: str, **changes: Any) -> dict[str, Any]:
    """What a plan would ask for a cluster of PostgreSQL 15 that is a throw-away primary."""
    account = pwd.getpwnam(postgresql.OWNER)
    program, psql = (str(postgresql.PROGRAMS / name) for name in ("postgres", "psql"))
    settings = ["-c", "fsync=off", "-c", "archive_mode=off", "-c", "config_file=" + DATA + "/postgresql.conf"]
    config = {"layer": "data", "path": "postgresql.conf", "text": _CONFIG}
    return {
        "action": "serve",
        "engine": str(engine.socket),
        "image": image,
        "user": [account.pw_uid, account.pw_gid],
        "memory": 512 << 20,
        "environment": {"PGPASSFILE": "/phpborg/run/.pgpass"},
        "layers": [{"name": "data", "source": ""}],
        "mounts": [{"layer": "data", "at": DATA}],
        "stages": [
            {
                "programs": ["/usr/local/bin/postgres", program],
                "argv": ["--single", "-D", DATA, *settings, "postgres"],
                "files": [config, {"layer": "data", "path": "postmaster.pid", "remove": True}],
                "stdin": "role",
                "seconds": 60,
                "ends": True,
            },
            {
                "programs": ["/usr/local/bin/postgres", program],
                "argv": ["-D", DATA, *settings],
                "files": [
                    {"layer": "data", "path": "standby.signal", "text": ""},
                    {"layer": "etc", "path": "hba", "text": _HBA},
                    {"layer": "run", "path": ".pgpass", "secret": "pgpass"},
                ],
                "seconds": 60,
                "ready": [{"programs": ["/usr/local/bin/psql", psql], "argv": QUESTION, "answer": "t"}],
            },
        ],
        "socket": ".s.PGSQL.5432",
        "ports": [15432, 15532],
        **changes,
    }


SECRETS = {
    "role": f"CREATE ROLE phpborg SUPERUSER LOGIN PASSWORD '{PASSWORD}'\n",
    "pgpass": f"*:*:*:phpborg:{PASSWORD}\n",
}


@pytest.fixture
def start(host: Host, engine: Engine, request: pytest.FixtureRequest) -> Iterator[Callable[..., Session]]:
    """Start a session of the cluster, with `changes` to its recipe, or what the product asks of an archive.

    All are ended and removed at the end of the test.
    """
    begun: list[Session] = []

    def begin(
        *,
        repository: Path | None = None,
        archive: str = "one",
        asked: Asked | None = None,
        host: Host = host,
        **changes: Any,
    ) -> Session:
        session = Session(host, uuid.uuid4().hex)
        where = repository or request.getfixturevalue("cluster")
        if asked is None:
            image = request.getfixturevalue("image")
            args, secrets = recipe(engine, **{"image": image, **changes}), SECRETS
        else:
            args, secrets = {**asked.args, "engine": str(engine.socket), **changes}, dict(asked.secrets)
        # As in the product each has a view of its own: a session that is killed leaves no lock to the next one.
        place = where.with_name(f"view-{session.token}")
        view.make_view(where, place)
        session.begin(place, archive, args, {**secrets, "passphrase": PASSPHRASE})
        begun.append(session)
        return session

    yield begin
    for session in begun:
        session.finish()
        host.call("instant", {"action": "remove", "token": session.token}, timeout=150)
