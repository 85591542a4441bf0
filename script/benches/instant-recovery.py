"""Instant Recovery against extract-then-start, and its scan against reading the same files through plain `borg mount`.

For each size: a database is filled, killed and archived. Then, from the same repository: the files of its table are
read through `borg mount`; a session is started and asked its first query by a client; a point query and a full scan
follow, with the bytes of the upper layer after each; last, the archive is extracted and a server started on it. The
kernel's caches are dropped before each part that reads. Docker's own time is measured beside it: the same containers
with a program that ends at once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django

django.setup()

from backups.borg import view  # noqa: E402
from recovery.engines import find  # noqa: E402
from recovery.engines.base import Found, Hints, Taken  # noqa: E402
from recovery.services import serving  # noqa: E402
from servers.transport import host_for  # noqa: E402
from servers.transport.base import Host  # noqa: E402
from tests.instant.conftest import PASSPHRASE, Session  # noqa: E402
from tests.lab.engine import Engine, running_engine  # noqa: E402
from tests.support import mariadb, own_image, postgresql  # noqa: E402
from tests.support.sshd import Lab, local_target  # noqa: E402

ROW_BYTES = 1000
STARTS = 3
_FILL_POSTGRESQL = (
    "CREATE TABLE t AS SELECT n, md5(n::text) || md5((n * 7)::text) || repeat(md5((n % 1000)::text), 28) AS h "
    "FROM generate_series(1, {rows}) n; ALTER TABLE t ADD PRIMARY KEY (n); CHECKPOINT"
)
_FILL_MARIADB = (
    "CREATE DATABASE bench; USE bench; CREATE TABLE t (n INT PRIMARY KEY, h VARCHAR(1000)); "
    "INSERT INTO t SELECT seq, CONCAT(MD5(seq), MD5(seq * 7), REPEAT(MD5(seq % 1000), 28)) FROM seq_1_to_{rows}"
)


@dataclass
class Case:
    """One database in the repository. `files` are its table's, relative to the data directory."""

    product: str
    gigabytes: float
    archive: str
    data: Path
    files: list[str]
    rows: int


@dataclass
class Measured:
    """Seconds, and bytes of the upper layer."""

    case: Case
    data_bytes: int
    mount_read: float = 0
    started: float = 0
    docker: float = 0
    scan: float = 0
    upper_started: int = 0
    upper_point: int = 0
    upper_scan: int = 0
    extracted: float = 0

    @property
    def start(self) -> float:
        """From the click to the first answer, without Docker's own time."""
        return self.started - self.docker


def forget() -> None:
    """Nothing that was read before is in memory."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


class Bench:
    """A repository, an engine and this machine as the server."""

    def __init__(self, place: Path, engine: Engine, host: Host) -> None:
        self.place, self.engine, self.host = place, engine, host
        self.repository = place / "repository"
        self.env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
        self.borg("init", "-e", "repokey-blake2", str(self.repository))

    def borg(self, *words: str, cwd: Path | None = None) -> None:
        subprocess.run(["borg", *words], check=True, env=self.env, cwd=cwd, capture_output=True)

    # --- the databases -----------------------------------------------------------------------------

    def fill(self, product: str, gigabytes: float) -> Case:
        """Make it, kill it, archive it; only the archive and the case are left."""
        name, rows = f"{product}-{gigabytes:g}", int(gigabytes * (1 << 30) / ROW_BYTES)
        data, aside = self.place / name, self.place / f"{name}-run"
        case = Case(product, gigabytes, name, data, [], rows)
        if product == "postgresql":
            with postgresql.running(data, aside, options=("-c", "max_wal_size=512MB", "-c", "fsync=off")) as cluster:
                cluster.sql(_FILL_POSTGRESQL.format(rows=rows))
                path = cluster.sql("SELECT pg_relation_filepath('t')")
                cluster.process.kill()
                cluster.process.wait()
            case.files = sorted(str(one.relative_to(data)) for one in data.glob(path + "*") if "_" not in one.name)
        else:
            with mariadb.running(data, aside, "--innodb-flush-log-at-trx-commit=0") as server:
                server.sql(_FILL_MARIADB.format(rows=rows))
                _checkpoint(server)
                server.process.kill()
                server.process.wait()
            case.files = ["bench/t.ibd"]
        self.borg("create", "--compression", "lz4", f"{self.repository}::{name}", ".", cwd=data)
        shutil.rmtree(data)
        return case

    # --- the parts -----------------------------------------------------------------------------------

    @contextmanager
    def mounted(self, archive: str) -> Iterator[Path]:
        """By plain borg."""
        base, point = self.place / "mount-base", self.place / "mount"
        base.mkdir(exist_ok=True)
        options = {"encryption": "repokey-blake2", "passphrase": PASSPHRASE, "base_dir": base}
        view.mount_view(self.repository, archive, point, **options)
        try:
            yield point
        finally:
            view.unmount(point)

    def look(self, case: Case) -> tuple[Found, int, float]:
        """What it is, how large its data directory is, and the seconds that its table's files take to be read."""
        with self.mounted(case.archive) as point:
            (found,) = find.find(point, Hints(taken=Taken.FROZEN)).found
            total = sum(one.stat().st_size for one in point.rglob("*") if one.is_file())
            forget()
            began = time.monotonic()
            for name in case.files:
                subprocess.run(["dd", f"if={point / name}", "of=/dev/null", "bs=1M"], check=True, capture_output=True)
            return found, total, time.monotonic() - began

    def docker(self, image: str, times: int) -> float:
        """Seconds of so many containers that end at once; the median of three."""
        words = ["run", "--rm", "--pull", "never", "--network", "none", "--user", "65534", "--cap-drop", "ALL"]
        program = ["--read-only", "--tmpfs", "/tmp", "--entrypoint", "/bin/true", image]
        spent = []
        for _ in range(3):
            began = time.monotonic()
            for _ in range(times):
                self.engine.docker(*words, *program, check=False)
            spent.append(time.monotonic() - began)
        return statistics.median(spent)

    @contextmanager
    def serving(self, case: Case, found: Found, image: str) -> Iterator[tuple[Session, int, serving.Login, float]]:
        """A session from the click on: with its port, its login and the seconds to its first answer."""
        asked, login = serving.request(found, image, read_only=True)
        session = Session(self.host, uuid.uuid4().hex)
        args = {**asked.args, "engine": str(self.engine.socket)}
        forget()
        began = time.monotonic()
        session.begin(self.repository, case.archive, args, {**asked.secrets, "passphrase": PASSPHRASE})
        try:
            port = session.until("ready", 900)["port"]
            assert ask(case, port, login, "SELECT 1") == "1"
            yield session, port, login, time.monotonic() - began
        finally:
            session.finish(120)

    def starts(self, case: Case, found: Found, image: str, measured: Measured) -> None:
        """Of STARTS, each beside Docker's own time at that moment, the one in the middle."""
        pairs = []
        for _ in range(STARTS):
            docker = self.docker(image, 2)
            with self.serving(case, found, image) as (session, _port, _login, spent):
                pairs.append((spent - docker, spent, docker))
                phases = [(row["state"], row["seconds"]) for row in session.rows if "seconds" in row]
            print(f"# {case.archive}: {spent:.2f} s, Docker {docker:.2f} s, {phases[:4]}", flush=True)
        _own, measured.started, measured.docker = sorted(pairs)[len(pairs) // 2]

    def session(self, case: Case, found: Found, image: str, measured: Measured) -> None:
        """First query, point query, full scan."""
        with self.serving(case, found, image) as (session, port, login, _spent):
            measured.upper_started = settled(session)
            assert ask(case, port, login, f"SELECT n FROM {table(case)} WHERE n = 4711") == "4711"
            measured.upper_point = settled(session)
            forget()
            began = time.monotonic()
            answer = ask(case, port, login, f"SELECT count(*), max(length(h)) FROM {table(case)}")
            measured.scan = time.monotonic() - began
            assert answer.replace("\t", "|").startswith(f"{case.rows}|"), answer
            measured.upper_scan = settled(session)

    def extract(self, case: Case) -> float:
        """The way without Instant Recovery."""
        target, aside = self.place / "extracted", self.place / "extracted-run"
        target.mkdir()
        forget()
        began = time.monotonic()
        self.borg("extract", f"{self.repository}::{case.archive}", cwd=target)
        if case.product == "postgresql":
            (target / "postmaster.pid").unlink(missing_ok=True)
            with postgresql.running(target, aside) as cluster:
                cluster.sql("SELECT 1")
                spent = time.monotonic() - began
        else:
            with mariadb.running(target, aside) as server:
                server.sql("SELECT 1")
                spent = time.monotonic() - began
        shutil.rmtree(target)
        return spent

    def measure(self, case: Case, image: str) -> Measured:
        found, total, mount_read = self.look(case)
        measured = Measured(case, total, mount_read)
        self.starts(case, found, image, measured)
        self.session(case, found, image, measured)
        measured.extracted = self.extract(case)
        return measured


def _checkpoint(server: mariadb.Server) -> None:
    """As PostgreSQL's CHECKPOINT: else the archive holds work that any start must do, as much as its log is long."""
    server.sql("SET GLOBAL innodb_max_dirty_pages_pct = 0; SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0")
    deadline = time.monotonic() + 900
    while any(figure(server, name) > most for name, most in (("buffer_pool_pages_dirty", 0), ("checkpoint_age", 1000))):
        assert time.monotonic() < deadline, "the server did not write its pages"
        time.sleep(0.5)


def figure(server: mariadb.Server, name: str) -> int:
    return int(server.sql(f"SHOW GLOBAL STATUS LIKE 'Innodb_{name}'").split()[-1])


def table(case: Case) -> str:
    return "t" if case.product == "postgresql" else "bench.t"


def ask(case: Case, port: int, login: serving.Login, text: str) -> str:
    """What a client on this machine is answered."""
    if case.product == "postgresql":
        words = [str(postgresql.PROGRAMS / "psql"), "-XAt", "-h", "127.0.0.1", "-p", str(port), "-U", login.name]
        words += ["-d", "postgres", "-c", text]
        env = {**os.environ, "PGPASSWORD": login.password}
    else:
        words = [
            "mariadb",
            "--no-defaults",
            "-N",
            "-B",
            "-h",
            "127.0.0.1",
            "-P",
            str(port),
            "-u",
            login.name,
            "-e",
            text,
        ]
        env = {**os.environ, "MYSQL_PWD": login.password}
    return subprocess.run(words, capture_output=True, text=True, env=env, check=True).stdout.strip()


def settled(session: Session) -> int:
    """The upper layer's bytes once they stay the same."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 4:
        now = session.rows[-1].get("upper_bytes") or 0
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.2)
    return last


def report(rows: list[Measured]) -> None:
    """The table and the line for machines."""
    print(
        "database           data     click → query (Docker)   extract → query    scan (borg mount)  ratio"
        "    upper: start     point      scan"
    )
    for row in rows:
        megabytes = [size / 1e6 for size in (row.upper_started, row.upper_point, row.upper_scan)]
        print(
            f"{row.case.product:<11}{row.case.gigabytes:>5g} GB {row.data_bytes / 1e6:7.0f} MB "
            f"{row.started:8.2f} s ({row.docker:5.2f} s) {row.extracted:14.1f} s "
            f"{row.scan:12.1f} s ({row.mount_read:7.1f} s) {row.scan / row.mount_read:6.2f}"
            + "".join(f"{one:9.1f}M" for one in megabytes)
        )
    print("RESULT " + json.dumps(result(rows)))


def result(rows: list[Measured]) -> dict[str, float]:
    """Starts are PostgreSQL's, without Docker's own time; the other figures are the worst of all."""
    starts = sorted((row.case.gigabytes, row.start) for row in rows if row.case.product == "postgresql")
    found = {
        "upper_share_after_scan": round(max(row.upper_scan / row.data_bytes for row in rows), 5),
        "scan_over_mount_read": round(max(row.scan / row.mount_read for row in rows), 3),
    }
    if starts:
        found["start_seconds"] = round(starts[0][1], 2)
    if len(starts) > 1:
        found[f"start_{starts[-1][0]:g}gb_over_{starts[0][0]:g}gb"] = round(starts[-1][1] / starts[0][1], 3)
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", type=float, nargs="*", default=[1, 4, 16], metavar="GB")
    parser.add_argument("--mariadb", type=float, nargs="*", default=[1, 4], metavar="GB")
    parser.add_argument("--place", help="where there is room for twice the largest database and all archives")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="pb-bench-", dir=options.place))
    place.chmod(0o755)
    lab = Lab.create()
    try:
        with running_engine() as engine:
            bench = Bench(place, engine, host_for(local_target(lab)))
            images: dict[str, Callable[[Engine], str]] = {
                "postgresql": own_image.postgresql,
                "mariadb": own_image.mariadb,
            }
            rows = []
            for product, image in images.items():
                for gigabytes in getattr(options, product):
                    case = bench.fill(product, gigabytes)
                    rows.append(bench.measure(case, image(engine)))
                    bench.borg("delete", f"{bench.repository}::{case.archive}")
                    bench.borg("compact", str(bench.repository))
            report(rows)
    finally:
        lab.remove()
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
