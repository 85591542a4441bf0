"""Carries a recipe out on a plain copy with installed programs and no container: what the container would see as
`/phpborg` is a folder of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recovery.engines.base import DATA, LOGIN_FILE, Recipe, Step

INSIDE = "/phpborg"


class Kitchen:
    """`place` stands for /phpborg; `copy` is the data directory's copy, which becomes its `data`."""

    def __init__(self, place: Path, copy: Path, account: str, recipe: Recipe, login: bytes) -> None:
        self.place, self.account, self.recipe, self.login = place, account, recipe, login
        self.log = place / "log"
        for name in ("etc", "run"):
            (place / name).mkdir(parents=True)
        shutil.copytree(copy, place / "data", symlinks=True)
        for name in recipe.hide:
            (place / "data" / os.fsdecode(name)).unlink()
        self._own(place)

    def _own(self, path: Path) -> None:
        subprocess.run(["chown", "-R", f"{self.account}:{self.account}", str(path)], check=True)
        (self.place / "data").chmod(0o700)
        self.place.chmod(0o755)

    def here(self, text: str) -> str:
        """What the recipe says, on this machine."""
        return text.replace(INSIDE, str(self.place))

    def argv(self, step: Step) -> list[str]:
        """The command line of a step: the first program that is installed."""
        program = next(path for path in step.programs if os.path.exists(path))
        group = pwd.getpwnam(self.account).pw_name
        head = ["setpriv", "--reuid", self.account, "--regid", group, "--init-groups", program]
        return [*head, *map(self.here, step.argv)]

    def prepare(self, step: Step) -> None:
        """Its files, and its login when that is one."""
        files = [(file.path, file.content, file.mode) for file in step.files]
        if step.login == "file":
            files.append((LOGIN_FILE, self.login, 0o400))
        for name, content, mode in files:
            path = Path(self.here(name))
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
                self._own(path.parent)
            path.unlink(missing_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
            self._own(path)

    def run(self, step: Step) -> subprocess.CompletedProcess[bytes]:
        """A step that ends by itself."""
        self.prepare(step)
        stdin = self.login if step.login == "stdin" else b""
        return subprocess.run(self.argv(step), input=stdin, capture_output=True, cwd="/", timeout=60, check=False)

    @contextmanager
    def running(self, step: Step, answers: Callable[[], bool]) -> Iterator[None]:
        """A step that serves, for a block; then SIGTERM and a clean end."""
        self.prepare(step)
        with self.log.open("ab") as log:
            process = subprocess.Popen(self.argv(step), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        try:
            deadline = time.monotonic() + 30
            while not answers():
                assert process.poll() is None, self.log.read_text(errors="replace")
                assert time.monotonic() < deadline, self.log.read_text(errors="replace")
                time.sleep(0.1)
            yield
        finally:
            process.send_signal(signal.SIGINT if DATA in step.argv else signal.SIGTERM)
            process.wait(30)
        assert process.returncode == 0, self.log.read_text(errors="replace")
