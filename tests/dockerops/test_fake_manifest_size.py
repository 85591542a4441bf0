"""A manifest is read into memory: never more of it than any engine's could be, whatever an archive says of its size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backups.borg import runner
from backups.borg.explain import Where
from dockerops.errors import ManifestUnreadable
from dockerops.services import archive_reading
from dockerops.services.archive_reading import Count, Reader


def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, told: int, printed: int) -> Reader:
    """Of an archive that tells another size than its file has; in the place of borg is a program that only prints."""
    program = tmp_path / "borg"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexec head -c {printed} /dev/zero\n")
    program.chmod(0o755)
    settings.BORG_BINARY = str(program)
    found = Reader.__new__(Reader)
    found.archive = SimpleNamespace(name="a")  # type: ignore[assignment]
    found.view, found._stop, found._where = tmp_path, None, Where()  # type: ignore[assignment]
    found._access = runner.Access(str(program), "none", "", tmp_path)  # type: ignore[arg-type]
    monkeypatch.setattr(Reader, "count", lambda *_: Count(1, told))
    monkeypatch.setattr(archive_reading, "MOST_BYTES", 1000)
    return found


def test_one_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    with pytest.raises(ManifestUnreadable):
        reader(tmp_path, monkeypatch, settings, told=1001, printed=5).manifest_bytes()
    assert not (tmp_path / "ran").exists()


def test_one_larger_than_told_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    with pytest.raises(ManifestUnreadable):
        reader(tmp_path, monkeypatch, settings, told=10, printed=10_000_000).manifest_bytes()


def test_one_of_an_engine_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    assert reader(tmp_path, monkeypatch, settings, told=1000, printed=1000).manifest_bytes() == b"\0" * 1000
