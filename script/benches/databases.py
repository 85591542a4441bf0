"""Databases as streams: the product against what people script by hand, over the same kind of transport.

`pg_basebackup | borg import-tar` and `mariadb-dump | borg create -` run on the server over its own ssh to the
backup host; the product's server uses the direct way. In each round the ways follow each other, each with a
fresh repository and cold borg caches; the ratio is the median of the rounds' own ratios. After each run of the
product the places where a dump could lie on the server's disks are compared with what was there before.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django

django.setup()

from tests.support import mariadb, postgresql  # noqa: E402
from tests.support.estate import Estate, running_estate  # noqa: E402

MEGABYTES = 3000
# Rows of 1 KiB, half of each random: they compress about as real ones do.
_FILL_POSTGRESQL = (
    "CREATE TABLE t AS SELECT n, md5(n::text) || md5((n * 7)::text) || repeat(md5((n % 1000)::text), 28) AS h "
    "FROM generate_series(1, {rows}) n; ALTER TABLE t ADD PRIMARY KEY (n); CHECKPOINT"
)
_FILL_MARIADB = (
    "CREATE DATABASE bench; USE bench; CREATE TABLE t (n INT PRIMARY KEY, h VARCHAR(1000)); "
    "INSERT INTO t SELECT seq, CONCAT(MD5(seq), MD5(seq * 7), REPEAT(MD5(seq % 1000), 28)) FROM seq_1_to_{rows}"
)
# Where a dump could have been written on the server.
_PLACES = ("/tmp", "/var/tmp", "/var/lib/phpborg/tmp", "/root")


def settle() -> None:
    """What the round before wrote and removed is on disk: no run pays for another's."""
    os.sync()
    time.sleep(1)


def disk_files() -> set[str]:
    """What lies, at the top, where a dump could have been written: what is below others' directories is theirs."""
    return {str(path) for place in _PLACES for path in Path(place).glob("*")}


class Ways:
    """The ways to make the same archive of one database server."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.number = 0

    def plain(self, tool: list[str], borg: list[str], account: str) -> float:
        """`tool | borg` on the server: what people script by hand."""
        self.number += 1
        root = self.estate.product.root
        repository, base = root / f"plain-{self.number}", root / f"plain-{self.number}-base"
        host = self.estate.backup_host
        known = root / "known_hosts"
        known.write_text(f"[{host.address}]:{host.port} {host.host_key}\n")
        rsh = (
            f"ssh -F none -i {self.estate.lab.key_path} -p {host.port} -o StrictHostKeyChecking=yes -o BatchMode=yes "
            f"-o UserKnownHostsFile={known} -o IdentitiesOnly=yes"
        )
        host.authorize("root", *host.authorized_keys("root").read_text().splitlines(), self.estate.lab.key.public)
        env = {**os.environ, "BORG_PASSPHRASE": "x", "BORG_BASE_DIR": str(base), "BORG_RSH": rsh}
        location = f"ssh://root@{host.address}{repository}"
        subprocess.run(["borg", "init", "-e", "repokey-blake2", location], env=env, check=True, capture_output=True)
        settle()
        words = ["nice", "-n", "10", "borg", borg[0], "--stats", "--compression", "zstd,3", f"{location}::a", borg[1]]
        started = time.monotonic()
        as_account = ["setpriv", "--reuid", account, "--regid", account, "--init-groups"] if account else []
        dump = subprocess.Popen([*as_account, *tool], stdout=subprocess.PIPE, cwd="/")
        subprocess.run(words, env=env, check=True, capture_output=True, stdin=dump.stdout)
        assert dump.wait() == 0
        spent = time.monotonic() - started
        shutil.rmtree(repository)
        shutil.rmtree(base)
        return spent

    def product(self, kind: str, socket: Path, method: str) -> float:
        """The product's run, from the moment that a worker takes it until its record is written."""
        self.number += 1
        name = f"bench-{self.number}"
        self.estate.product.python(_MAKE_JOB.format(name=name, kind=kind, socket=str(socket), method=method))
        shutil.rmtree("/var/lib/phpborg/borg/.cache", ignore_errors=True)
        settle()
        before = disk_files()
        task = self.estate.product.manage_json("backup", name, "--wait")
        assert task["state"] in ("success", "notes"), task
        new = {name for name in disk_files() - before if Path(name).stat().st_size > 1 << 20}
        assert not new, f"written to the server's disk: {new}"
        self.estate.product.python(
            "from backups.models import *\nimport shutil\n"
            f"BackupJob.objects.filter(name={name!r}).delete()\n"
            f"row = Repository.objects.get(name={name!r})\nshutil.rmtree(row.path)\nrow.delete()"
        )
        return float(task["duration_seconds"])


_MAKE_JOB = """
from backups.models import StoragePool
from backups.services import jobs, repositories
from backups.services.jobs import JobDefinition
from servers.models import Server
from servers.services.capabilities import latest_report
server = Server.objects.get(name="bench")
report = latest_report(server)
found = [*report.postgresql.clusters, *report.mysql.instances]
places = [getattr(row, "socket", None) or getattr(row, "socket_directory", None) for row in found]
instance = found[places.index({socket!r})]
repository = repositories.create_repository(pool=StoragePool.objects.get(), name={name!r}, passphrase="x")
source = {{"instance": instance.id, "method": {method!r}, "databases": [], "config_files": False, "login": "auto"}}
jobs.create_job(definition=JobDefinition(
    name={name!r}, server=server, repository=repository, source=source, source_kind={kind!r}, compression="zstd,3"))
"""


@contextmanager
def databases(megabytes: int) -> Iterator[tuple[postgresql.Cluster, mariadb.Server]]:
    """One of each, filled."""
    place = Path(tempfile.mkdtemp(prefix="pb-bench-"))
    place.chmod(0o755)
    try:
        with (
            postgresql.running(place / "pg", place / "pg-run") as cluster,
            mariadb.running(place / "my", place / "my-run", "--innodb-flush-log-at-trx-commit=0") as server,
        ):
            rows = megabytes * 1000
            cluster.sql(_FILL_POSTGRESQL.format(rows=rows))
            server.sql(_FILL_MARIADB.format(rows=rows))
            yield cluster, server
    finally:
        shutil.rmtree(place)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--engine", choices=["postgresql", "mysql"], action="append", help="only this one")
    options = parser.parse_args()
    with databases(options.megabytes) as (cluster, server), running_estate() as estate:
        estate.add_server("bench", estate.one, "root", direct=True)
        estate.product.manage("server", "capabilities", "bench", "--reload", "--wait", timeout=200)
        ways = Ways(estate)
        basebackup = [
            *(str(postgresql.PROGRAMS / "pg_basebackup"), "--pgdata=-", "--format=tar", "--wal-method=fetch"),
            *("--checkpoint=fast", f"--host={cluster.sockets}", f"--port={cluster.port}"),
        ]
        dump = [
            *("mariadb-dump", "--no-defaults", f"--socket={server.socket}", "--user=root", "--single-transaction"),
            *("--quick", "--routines", "--events", "--triggers", "--hex-blob", "--databases", "bench"),
        ]
        pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
            "postgresql": (
                lambda: ways.plain(basebackup, ["import-tar", "-"], postgresql.OWNER),
                lambda: ways.product("postgresql", cluster.sockets, "stream"),
            ),
            "mysql": (
                lambda: ways.plain(dump, ["create", "-"], ""),
                lambda: ways.product("mysql", server.socket, "logical"),
            ),
        }
        chosen = {name: pair for name, pair in pairs.items() if name in (options.engine or pairs)}
        report(measure(chosen, options.rounds), options.megabytes)


def measure(
    pairs: dict[str, tuple[Callable[[], float], Callable[[], float]]], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """(plain, product) of each round; who is first changes."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
    for name, (plain, _product) in pairs.items():
        plain()  # the data is in memory from here on, for everybody
        for number in range(rounds):
            first, second = pairs[name] if number % 2 == 0 else reversed(pairs[name])
            one, two = first(), second()
            spent[name].append((one, two) if number % 2 == 0 else (two, one))
    return spent


def report(spent: dict[str, list[tuple[float, float]]], megabytes: int) -> None:
    """The table and the line for machines."""
    print(f"{megabytes} MB in each; seconds of each round (plain → product), median of the ratios")
    result = {}
    for name, rounds in spent.items():
        ratio = statistics.median(product / plain for plain, product in rounds)
        print(f"{name:<12}" + "  ".join(f"{one:6.1f} → {two:6.1f}" for one, two in rounds) + f"   {ratio:.3f}")
        result[f"{name}_ratio"] = round(ratio, 3)
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
