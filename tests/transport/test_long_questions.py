"""A question to a database lasts as long as the server needs, and ends at once when the run is stopped."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote import children, wire
from servers.remote.loaders import base
from servers.remote.snapshots import mariabackup

SLOW = "sleep 1.5; wc -c"
QUESTION = b"x" * 300_000


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is a short time without anybody to ask: less than the answers take here."""
    monkeypatch.setattr(base, "_ALONE_SECONDS", 0.5)
    yield
    base.obey(None)


def asked() -> subprocess.Popen[bytes]:
    child: subprocess.Popen[bytes] = children.start(["/bin/sh", "-c", SLOW], None, {}, 2, stdin=base.PIPE)
    return child


def test_it_is_waited_for_as_long_as_somebody_can_end_it() -> None:
    base.obey(lambda: None)
    assert int(base.answer_of(asked(), QUESTION)) == len(QUESTION)


def test_it_ends_with_the_run() -> None:
    began = time.monotonic()

    def stop() -> None:
        if time.monotonic() > began + 0.4:
            raise wire.Stopped

    base.obey(stop)
    child = asked()
    with pytest.raises(wire.Stopped):
        base.answer_of(child, QUESTION)
    assert time.monotonic() - began < 1.4
    assert child.returncode == -signal.SIGKILL


def test_without_anybody_it_ends_by_itself() -> None:
    child = asked()
    with pytest.raises(base.Failed, match="did not answer in time"):
        base.answer_of(child, QUESTION)
    assert child.returncode == -signal.SIGKILL


class FakeControl:
    """What the other side has said; `ends` is the call at which it says stop."""

    def __init__(self, ends: int = -1) -> None:
        self._left = ends

    def check(self) -> None:
        """As Control.check."""
        self._left -= 1
        if self._left == 0:
            raise wire.Stopped


def test_a_data_directory_is_counted_to_its_end_on_a_slow_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"1")
    volume = mariabackup.Volume(str(tmp_path), "mariadb", None)
    # Each file takes ten minutes.
    monkeypatch.setattr(time, "monotonic", itertools.count(0.0, 600.0).__next__)
    assert mariabackup._check_room(volume, FakeControl()) >= 20 * 4096  # type: ignore[arg-type]
    with pytest.raises(wire.Stopped):
        mariabackup._check_room(volume, FakeControl(ends=10))  # type: ignore[arg-type]
