"""A manifest is read once and into memory: never more of it than any engine's could be, whatever an archive says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backups.borg import runner
from backups.borg.explain import Where
from dockerops.errors import ManifestUnreadable
from dockerops.services import archive_reading
from dockerops.services.archive_reading import Reader


def reader_with(program: str, view: Path, settings: Any) -> Reader:
    """Of an archive “a”."""
    settings.BORG_BINARY = program
    found = Reader.__new__(Reader)
    found.archive = SimpleNamespace(name="a")  # type: ignore[assignment]
    found.view, found._stop, found._where = view, None, Where()
    found._access = runner.Access(program, "none", "", view / "base")  # type: ignore[arg-type]
    return found


def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, printed: int) -> Reader:
    """In the place of borg is a program that only prints, and counts how often it is started."""
    program = tmp_path / "borg"
    program.write_text(f"#!/bin/sh\necho started >> {tmp_path}/ran\nexec head -c {printed} /dev/zero\n")
    program.chmod(0o755)
    monkeypatch.setattr(archive_reading, "MOST_BYTES", 1000)
    return reader_with(str(program), tmp_path, settings)


def test_one_that_is_too_large_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    with pytest.raises(ManifestUnreadable):
        reader(tmp_path, monkeypatch, settings, printed=10_000_000).manifest_bytes()


def test_one_of_an_engine_is_read_by_one_start_of_borg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    assert reader(tmp_path, monkeypatch, settings, printed=1000).manifest_bytes() == b"\0" * 1000
    assert (tmp_path / "ran").read_text() == "started\n"


@pytest.mark.real
@pytest.mark.parametrize("content", [None, b"", b'{"format": 1}'])
def test_an_archive_without_one_is_told_from_an_empty_one(tmp_path: Path, settings: Any, content: bytes | None) -> None:
    environment = {"PATH": os.environ["PATH"], "BORG_BASE_DIR": str(tmp_path / "base")}
    environment["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] = "yes"
    tree = tmp_path / "tree"
    place = tree / os.fsdecode(archive_reading.MANIFEST)
    place.parent.mkdir(parents=True)
    (tree / "other").write_text("x")
    if content is not None:
        place.write_bytes(content)
    repository = tmp_path / "repository"
    for words in (("init", "--encryption=none", str(repository)), ("create", f"{repository}::a", "other", "var")):
        subprocess.run(["borg", *words], env=environment, cwd=tree, check=True, capture_output=True)
    found = reader_with("borg", repository, settings)
    found._access = runner.Access("borg", "none", "", tmp_path / "base")  # type: ignore[arg-type]
    assert found.manifest_bytes() == content
