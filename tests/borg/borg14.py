"""Builds borg 1.4 once into the cache of the tests, because Debian 12 has 1.2 only.

`python -m tests.borg.borg14` builds it ahead of the tests. Build needs: libacl1-dev libssl-dev
liblz4-dev libzstd-dev libxxhash-dev libfuse3-dev pkg-config and a C compiler.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-borg14.txt"
# Borg runs without it, and says only at the first mount that it cannot.
FUSE = "import pyfuse3"


def cache_dir() -> Path:
    """Outside the checkout, so that a clean clone does not build again."""
    return Path(os.environ.get("PHPBORG_TEST_CACHE") or Path.home() / ".cache/phpborg-tests")


def borg14() -> Path:
    """The path of a borg 1.4 that runs and mounts; built when missing or of other requirements (about two minutes).

    Raises RuntimeError with what it said when the one that was built does not run.
    """
    home = cache_dir() / "borg-1.4"
    program, stamp = home / "bin/borg", home / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "borg-1.4.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted or _trouble(program):
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            words = ["install", "--quiet", "--require-hashes", "--requirement", str(REQUIREMENTS)]
            subprocess.run([str(home / "bin/pip"), *words], check=True)
            if trouble := _trouble(program):
                raise RuntimeError(f"{program} was built and does not run: {trouble}")
            stamp.write_text(wanted)
    return program


def _trouble(program: Path) -> str:
    """What keeps it from running, or nothing."""
    for words in ([str(program), "--version"], [str(program.parent / "python"), "-c", FUSE]):
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as error:
            return str(error)
        if done.returncode != 0:
            return done.stderr[-2000:]
    return ""


if __name__ == "__main__":
    sys.stdout.write(f"{borg14()}\n")
