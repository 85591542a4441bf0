"""Builds borg 1.4 once into the cache of the tests, because Debian 12 has 1.2 only.

`python -m tests.borg.borg14` builds it ahead of the tests. Build needs: libacl1-dev libssl-dev
liblz4-dev libzstd-dev libxxhash-dev libfuse3-dev pkg-config and a C compiler.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

REQUIREMENT = "borgbackup[pyfuse3]==1.4.*"


def cache_dir() -> Path:
    """Outside the checkout, so that a clean clone does not build again."""
    return Path(os.environ.get("PHPBORG_TEST_CACHE") or Path.home() / ".cache/phpborg-tests")


def borg14() -> Path:
    """The path of a borg 1.4 that runs; built when missing (about a minute)."""
    home = cache_dir() / "borg-1.4"
    program = home / "bin/borg"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "borg-1.4.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _works(program):
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            subprocess.run([str(home / "bin/pip"), "install", "--quiet", REQUIREMENT], check=True)
            if not _works(program):
                raise RuntimeError(f"{program} was built and does not run")
    return program


def _works(program: Path) -> bool:
    try:
        done = subprocess.run([str(program), "--version"], capture_output=True, text=True)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.startswith("borg 1.4.")


if __name__ == "__main__":
    sys.stdout.write(f"{borg14()}\n")
