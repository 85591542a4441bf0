"""Borg itself leaves out what restores keep beside and inside what they replace, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from backups.borg import argv as commands
from backups.borg.argv import CreateOptions
from backups.sources import own_names

TOKEN = "0123456789abcdef"
OTHER = "fedcba9876543210"
OURS = (f".phpborg-{TOKEN}", f".phpborg-restore-{TOKEN}", f".phpborg-kept-{TOKEN[:8]}")
OTHERS = (f".phpborg-{OTHER}", f".phpborg-restore-{OTHER}", f".phpborg-kept-{OTHER[:8]}")
PLAIN = ("text", ".phpborg-notes", ".phpborg-restore", f"a.phpborg-{TOKEN}", f"deep/x.phpborg-kept-{TOKEN[:8]}")


def _archived(tmp_path: Path, excludes: tuple[str, ...]) -> set[str]:
    """What Borg reads of a tree that has all of them, at its top and below."""
    top, home = tmp_path / "da.ta (1)", tmp_path / "home"
    home.mkdir()
    for name in (*PLAIN, *(f"{one}/0-0.old" for one in (*OURS, *OTHERS)), *(f"sub/{one}/x" for one in OURS)):
        place = top / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    repository = str(tmp_path / "repository")
    environment = {**os.environ, "BORG_BASE_DIR": str(home), "BORG_PASSPHRASE": "not secret"}

    def borg(*words: str) -> str:
        return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout

    borg(*commands.init("borg", repository, encryption="repokey"))
    options = CreateOptions(sources=(os.fsencode(top),), excludes=excludes)
    borg(*map(os.fsdecode, commands.create("borg", repository, "one", options)))
    listed = borg("borg", "list", "--format", "{path}{NL}", f"{repository}::one")
    start = str(top).lstrip("/") + "/"
    return {line.removeprefix(start) for line in listed.splitlines() if line.startswith(start)}


def test_a_job_leaves_out_those_of_all_restores(tmp_path: Path) -> None:
    assert _archived(tmp_path, own_names.of_restores()) == {*PLAIN, "deep", "sub"}


def test_a_safety_archive_leaves_out_those_of_its_own_restore(tmp_path: Path) -> None:
    theirs = {name for one in OTHERS for name in (one, f"{one}/0-0.old")}
    assert _archived(tmp_path, own_names.of_restore(TOKEN)) == {*PLAIN, "deep", "sub", *theirs}
