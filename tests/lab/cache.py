"""What takes long to make (roots, images, binaries) is made once a machine and recipe, outside the checkout."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

DEFAULT_PLACE = "/var/cache/phpborg-lab"


def place() -> Path:
    """The cache's directory; PHPBORG_LAB_CACHE names another one."""
    path = Path(os.environ.get("PHPBORG_LAB_CACHE", DEFAULT_PLACE))
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    return path


def cached(name: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """The path of `name` made by `build`, which is called with an empty directory when this recipe is new.

    `recipe` is everything that decides on the result (package names, versions, scripts): another recipe is
    another result, and older ones of the same name are removed. Two builders wait for each other; a build
    that fails or is killed leaves nothing that counts.
    """
    done = _path(name, recipe)
    with (place() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            new = place() / f".{name}.new"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            build(new)
            new.rename(done)
            for other in place().glob(f"{name}-{'[0-9a-f]' * 12}"):
                if other != done:
                    shutil.rmtree(other, ignore_errors=True)
    return done


def is_there(name: str, recipe: str) -> bool:
    """Was it built already, by this very recipe?"""
    return _path(name, recipe).is_dir()


def _path(name: str, recipe: str) -> Path:
    return place() / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
