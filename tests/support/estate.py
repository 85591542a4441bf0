"""A small estate around a running product: two servers by sshd on 127.0.0.11 and .12, a backup host on .10.

`one` is reached as root, `two` as an unprivileged account with our sudoers file. The product's own
management commands build everything; what set-up installs on this machine (the helper, keys for
direct backups) is removed at the end.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backups.models import Repository
from phpborg import mounts
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import ACTIVE
from servers.services import installing
from servers.services.reach import HELPER_PATH
from tests.support.product import Product, eventually
from tests.support.sshd import Lab, Sshd, processes_with

PASSPHRASE = "ca$ry ' \" \\ canary-7f3a space"


@dataclass
class Estate:
    """Everything that a lane needs; see `running_estate`."""

    product: Product
    lab: Lab
    one: Sshd
    two: Sshd
    backup_host: Sshd
    pool: Path
    repository: str = "main"
    passphrase: str = PASSPHRASE
    sources: list[Path] = field(default_factory=list)

    def add_server(self, name: str, sshd: Sshd, user: str, *, direct: bool = False) -> None:
        """Add, approve, let our key in, set up — as an administrator would from the shell."""
        manage = self.product.manage_json
        added = manage("server", "add", name, sshd.address, "--port", str(sshd.port), "--user", user)
        sshd.authorized_keys(user).open("a").write(added["public_key"].strip() + "\n")
        manage("server", "approve", name, added["fingerprint"])
        manage("server", "setup", name, "--wait", "--timeout", "120")
        if direct:
            manage("server", "mode", name, "direct", "--wait", "--timeout", "120")

    def add_storage(self) -> None:
        """A pool and an encrypted repository whose passphrase has every awkward character."""
        self.product.python(
            "from backups.services import pools, repositories\n"
            f"pool = pools.create_pool(name='pool', path={str(self.pool)!r})\n"
            f"repositories.create_repository(pool=pool, name={self.repository!r}, passphrase={self.passphrase!r})"
        )

    def add_job(self, name: str, server: str, *paths: Path, options: tuple[str, ...] = ()) -> None:
        """A files job without a schedule."""
        chosen = [word for path in paths for word in ("--path", str(path))]
        self.product.manage(
            "job", "create", name, "--server", server, "--repository", self.repository, *chosen, *options
        )

    def start(self, job: str) -> str:
        """Queue a backup; the task's id."""
        return str(self.product.manage_json("backup", job)["task"])

    def task(self, task: str) -> dict[str, Any]:
        """A task as the command line shows it."""
        return dict(self.product.manage_json("task", "show", task, check=False))

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """A look into the product's database from here: a management command costs a second of a processor."""
        address = f"file:{self.product.var / 'phpborg.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()

    def has_ended(self, task: str) -> bool:
        """Has it reached a final state?"""
        (state,) = self.rows(f"SELECT state FROM {Task._meta.db_table} WHERE id = ?", uuid.UUID(task).hex)[0]
        return state not in ACTIVE

    def wait(self, task: str, seconds: float = 120) -> dict[str, Any]:
        """The task once it has ended."""
        eventually(lambda: self.has_ended(task), seconds, f"{task} goes on")
        return self.task(task)

    def run(self, job: str, seconds: float = 180) -> dict[str, Any]:
        """Run a backup to its end."""
        return self.wait(self.start(job), seconds)

    def leftovers(self) -> list[str]:
        """What is left of runs on either side: processes, locks, mounts, sockets, staging, temporary files."""
        found = [f"process {pid}: {_command(pid)}" for pid in self.processes()]
        found += [f"mount {mount.path}" for mount in mounts.mounted() if str(self.product.root) in str(mount.path)]
        for place, pattern in (
            (self.pool, "*/lock.*"),
            (self.pool, ".views/*"),
            (self.product.var / "tmp", "*"),
            (self.product.var / "mounts", "*"),
        ):
            found += [str(path) for path in place.glob(pattern)]
        tasks, ids = self._ids()
        caches = [place for key in ids for place in Path("/var/lib/phpborg/borg").glob(f".cache/borg/{key}/lock.*")]
        found += [str(path) for path in caches]
        sockets = [*Path("/run/phpborg").glob("*"), *Path("/tmp").glob("phpborg-*")]
        found += [str(path) for path in sockets if any(task in path.name for task in tasks)]
        held = self.rows(f"SELECT kind, error FROM {Lease._meta.db_table} WHERE released_at IS NULL")
        return found + [f"lease {kind}:{error}" for kind, error in held]

    def _ids(self) -> tuple[list[str], list[str]]:
        """Ids of all tasks, and Borg's ids of all repositories: others may use this machine meanwhile."""
        tasks = self.rows(f"SELECT id FROM {Task._meta.db_table}")
        ids = self.rows(f"SELECT borg_id FROM {Repository._meta.db_table}")
        return [row[0] for row in tasks], [row[0] for row in ids]

    def processes(self) -> list[int]:
        """Processes of runs: borg, its serve, helpers, ssh of ours. The product's own are left out."""
        own = {process.pid for process in self.product.processes.values()}
        marks = (str(self.pool), HELPER_PATH, str(self.product.var / "ssh"))
        found = {pid for mark in marks for pid in processes_with(mark)}
        return [pid for pid in found - own if any(word in _command(pid) for word in ("borg", "ssh", "phpborg-remote"))]

    def is_clean(self, seconds: float = 120) -> None:
        """Nothing of any run is left, at the latest after so many seconds."""
        found: list[str] = []

        def clean() -> bool:
            found[:] = self.leftovers()
            return not found

        try:
            eventually(clean, seconds)
        except AssertionError:
            raise AssertionError("left behind: " + "; ".join(found)) from None


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:200]
    except OSError:
        return ""


@contextmanager
def running_estate(**env: str) -> Iterator[Estate]:
    """The product, running, with storage and three sshd; servers and jobs are the test's to add."""
    lab = Lab.create()
    servers = [Sshd(lab, address) for address in ("127.0.0.11", "127.0.0.12", "127.0.0.10")]
    product: Product | None = None
    before = _installed()
    try:
        for sshd in servers:
            sshd.start()
        one, two, backup_host = servers
        product = Product(
            PHPBORG_BACKUP_HOST=backup_host.address,
            PHPBORG_BACKUP_HOST_PORT=str(backup_host.port),
            PHPBORG_BACKUP_HOST_USER="root",
            PHPBORG_AUTHORIZED_KEYS=str(backup_host.authorized_keys("root")),
            PHPBORG_SSH_KEEPALIVE="3",
            PHPBORG_CLOCK="3",
            **env,
        )
        _let_account_in(lab)
        product.prepare().start()
        product.create_user("alice")
        estate = Estate(product, lab, one, two, backup_host, product.root / "pool")
        estate.add_storage()
        yield estate
    finally:
        if product:
            product.stop()
            for mount in reversed(mounts.mounted()):
                if str(product.root) in str(mount.path):
                    subprocess.run(["umount", "-l", str(mount.path)], check=False)
            shutil.rmtree(product.root, ignore_errors=True)
        for sshd in servers:
            sshd.stop()
        lab.remove()
        _remove_installed(before)


def _let_account_in(lab: Lab) -> None:
    """The helper and our sudoers file for the unprivileged account, as its administrator would install them."""
    helper = Path(HELPER_PATH)
    helper.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    shutil.copy(lab.helper, helper)
    helper.chmod(0o755)
    lab.install_sudoers(installing.sudoers_text(lab.account))


PLACES = ("/usr/local/lib/phpborg", "/etc/phpborg", "/var/lib/phpborg", "/run/phpborg")


def _installed() -> set[str]:
    return {place for place in PLACES if Path(place).exists()}


def _remove_installed(before: set[str]) -> None:
    """What set-up installed on this machine, unless it was there before us."""
    for place in PLACES:
        if place not in before:
            shutil.rmtree(place, ignore_errors=True)
