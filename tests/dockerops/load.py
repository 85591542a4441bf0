"""Load on the project of the show while it is backed up: rows in transactions, requests to its web server, a file.

`Load` writes until its block ends. `Frozen` looks at what containers hold in the moment when they keep still.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.dockerops.show import PROJECT, tree
from tests.support.bridged import Bridged
from tests.support.workers import wait_until

DB, WEB = f"{PROJECT}_db_1", f"{PROJECT}_web_1"
PAGES = "http://127.0.0.1:18085"
TABLES = "CREATE TABLE led (n int PRIMARY KEY, sum text); CREATE TABLE twin (n int REFERENCES led, sum text)"
# One transaction: a number, and its checksum in both tables.
_PAIR = "BEGIN; INSERT INTO led VALUES ({n}, md5('row {n}')); INSERT INTO twin VALUES ({n}, md5('row {n}')); COMMIT"
_BETWEEN = 0.1


class Load:
    """Three writers; what was begun and what was acknowledged is counted."""

    def __init__(self, engine: Bridged, busy: Path) -> None:
        self.engine, self.busy = engine, busy
        self.begun = self.asked = 0
        self.committed: list[int] = []
        self.served: list[int] = []
        self.lines = 0
        self._process = ""
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._on, args=(one,)) for one in (self._row, self._page, self._line)]

    def __enter__(self) -> Self:
        self.busy.mkdir()
        for thread in self._threads:
            thread.start()
        try:
            wait_until(lambda: min(len(self.committed), len(self.served)) > 5, 90, "nothing is written")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _on(self, one: Callable[[], None]) -> None:
        while not self._over.wait(_BETWEEN):
            one()

    def _row(self) -> None:
        """A number is used once: of one that failed nobody knows whether it was committed."""
        self.begun += 1
        number = self.begun
        where = ("-h", f"/proc/{self._process}/root/var/run/postgresql", "-U", "postgres", "-Xq")
        words = ("psql", *where, "-v", "ON_ERROR_STOP=1", "-c", _PAIR.format(n=number))
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            self.committed.append(number)
        else:
            form = ("inspect", "--format", "{{.State.Pid}}", DB)
            self._process = self.engine.docker(*form, check=False).stdout.strip()

    def _page(self) -> None:
        self.asked += 1
        number = self.asked
        if page(self.engine, f"write.php?n={number}") == f"written {number}":
            self.served.append(number)

    def _line(self) -> None:
        self.lines += 1
        with (self.busy / "lines").open("a") as file:
            file.write(f"line {self.lines}\n")


def page(engine: Bridged, path: str) -> str:
    """What the web server answers at its published port; empty when it does not."""
    words = ("curl", "--silent", "--fail", "--max-time", "120", f"{PAGES}/{path}")
    return engine.inside(words).stdout.decode()


class Frozen:
    """Files of both containers' volumes, and what was written by then, in the moment when neither of them runs."""

    def __init__(self, load: Load, state: str, places: dict[str, Path]) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.committed: set[int] = set()
        self.begun = 0
        self._load, self._state, self._places = load, state, places
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _still(self) -> bool:
        form = ("inspect", "--format", "{{.State.Status}}", DB, WEB)
        return self._load.engine.docker(*form, check=False).stdout.split() == [self._state] * 2

    def _look(self) -> None:
        while not self._over.is_set():
            if self._still():
                committed, begun = set(self._load.committed), self._load.begun
                files = {name: plain(place) for name, place in self._places.items()}
                if self._still():
                    self.files, self.committed, self.begun = files, committed, begun
                    return
            time.sleep(0.05)


def plain(place: Path) -> dict[str, Any]:
    """Every entry below a directory, by its path from there."""
    return {str(Path(path).relative_to(place)): found for path, found in tree(place).items()}
