"""A first backup of 100 000 files, 1.4 GB: the product against plain borg create over the same kind of transport.

In each round the three ways follow each other, in another order than the round before; each uses a fresh
repository and cold borg caches. A disk that other machines share is slower in one minute than in another:
so the ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import django

django.setup()

from tests.support.estate import Estate, running_estate  # noqa: E402

TREE_BYTES, TREE_FILES = 1_400_000_000, 100_000


def make_tree(place: Path, files: int, size: int) -> tuple[int, int]:
    """Files of all sizes, half of them compressible; the same tree for every way."""
    chance = random.Random(7)
    weights = [chance.paretovariate(1.1) for _ in range(files)]
    scale = size / sum(weights)
    written = 0
    for number, weight in enumerate(weights):
        folder = place / f"{number % 500:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        length = max(int(weight * scale), 1)
        block = chance.randbytes(min(length, 65536))
        content = (block * (length // len(block) + 1))[:length] if number % 2 else chance.randbytes(length)
        (folder / f"{number}").write_bytes(content)
        written += length
    return files, written


def settle() -> None:
    """What the round before wrote and removed is on disk: no run pays for another's."""
    os.sync()
    time.sleep(1)


class Ways:
    """The three ways to make the same archive."""

    def __init__(self, estate: Estate, tree: Path) -> None:
        self.estate = estate
        self.tree = tree
        self.number = 0

    def plain(self) -> float:
        """`borg create` on the server over its own ssh to the backup host: what people script by hand."""
        self.number += 1
        root = self.estate.product.root
        repository, base = root / f"plain-{self.number}", root / f"plain-{self.number}-base"
        host = self.estate.backup_host
        rsh = (
            f"ssh -F none -i {self.estate.lab.key_path} -p {host.port} -o StrictHostKeyChecking=yes -o BatchMode=yes "
            f"-o UserKnownHostsFile={self._known_hosts()} -o IdentitiesOnly=yes"
        )
        host.authorize("root", *self._keys(), self.estate.lab.key.public)
        env = {**os.environ, "BORG_PASSPHRASE": "x", "BORG_BASE_DIR": str(base), "BORG_RSH": rsh}
        location = f"ssh://root@{host.address}{repository}"
        subprocess.run(["borg", "init", "-e", "repokey-blake2", location], env=env, check=True, capture_output=True)
        settle()
        started = time.monotonic()
        argv = [
            "nice",
            "-n",
            "10",
            "borg",
            "create",
            "--stats",
            "--compression",
            "zstd,3",
            f"{location}::a",
            str(self.tree),
        ]
        subprocess.run(argv, env=env, check=True, capture_output=True)
        spent = time.monotonic() - started
        shutil.rmtree(repository)
        shutil.rmtree(base)
        return spent

    def _known_hosts(self) -> Path:
        path = self.estate.product.root / "known_hosts"
        host = self.estate.backup_host
        path.write_text(f"[{host.address}]:{host.port} {host.host_key}\n")
        return path

    def _keys(self) -> list[str]:
        return self.estate.backup_host.authorized_keys("root").read_text().splitlines()

    def product(self, server: str) -> float:
        """The product's run, from the moment that a worker takes it until its record is written."""
        self.number += 1
        name = f"bench-{self.number}"
        self.estate.product.python(
            "from backups.models import StoragePool\nfrom backups.services import repositories\n"
            f"repositories.create_repository(pool=StoragePool.objects.get(), name={name!r}, passphrase='x')"
        )
        self.estate.product.manage(
            *("job", "create", name, "--server", server, "--repository", name),
            *("--path", str(self.tree), "--compression", "zstd,3"),
        )
        shutil.rmtree("/var/lib/phpborg/borg/.cache", ignore_errors=True)
        settle()
        task = self.estate.product.manage_json("backup", name, "--wait")
        assert task["state"] in ("success", "notes"), task
        self.estate.product.python(
            "from backups.models import *\nimport shutil\n"
            f"BackupJob.objects.filter(name={name!r}).delete()\n"
            f"row = Repository.objects.get(name={name!r})\nshutil.rmtree(row.path)\nrow.delete()"
        )
        return float(task["duration_seconds"])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=TREE_FILES)
    parser.add_argument("--bytes", type=int, default=TREE_BYTES)
    options = parser.parse_args()
    with running_estate() as estate:
        tree = estate.product.root / "tree"
        files, size = make_tree(tree, options.files, options.bytes)
        estate.add_server("tunnel", estate.one, "root")
        estate.add_server("direct", estate.two, "root", direct=True)
        ways = Ways(estate, tree)
        spent: dict[str, list[float]] = {"plain": [], "direct": [], "tunnel": []}
        ways.plain()  # the tree is in memory from here on, for everybody
        order = list(spent)
        for _ in range(options.rounds):
            for way in order:
                spent[way].append(ways.plain() if way == "plain" else ways.product(way))
            order = [*order[1:], order[0]]
    report(spent, files, size)


def report(spent: dict[str, list[float]], files: int, size: int) -> None:
    """The table and the line for machines."""
    ratios = dict.fromkeys(spent, 1.0)
    print(f"{files} files, {size / 1e6:.0f} MB, first backup; seconds of each round, median, median of the ratios")
    for way, base in (("plain", "plain"), ("direct", "plain"), ("tunnel", "direct")):
        rounds = "  ".join(f"{value:6.1f}" for value in spent[way])
        ratios[way] = statistics.median(mine / other for mine, other in zip(spent[way], spent[base], strict=True))
        print(f"{way:<8}{rounds}   {statistics.median(spent[way]):6.1f}   {ratios[way]:.3f} of {base}")
    result = {"direct_ratio": round(ratios["direct"], 3), "tunnel_over_direct": round(ratios["tunnel"], 3)}
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
