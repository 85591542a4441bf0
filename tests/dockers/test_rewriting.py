"""Edits of extracted files: exactly these, whole files at once, and once more after a kill; by helper and by script."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dockerops.plan import DockerPlan, Step
from dockerops.script import quoted, script
from servers.remote import wire
from servers.remote.dockers import edits, restoring
from tests.dockers.steps_at_hand import HOSTILE, NO_TEXT, NoEngine, do, fill, journals_fixture, killed_at, tree_of

__all__ = ["journals_fixture"]
TOKEN = "abcdef12-3456"
SOURCE = f"/opt/{NO_TEXT}/{HOSTILE}"
TEXT, NOW = "a: 1 # é\nname: kiosk\nb: 2\n", "a: 1 # é\nname: copy\nb: 2\n"
LINE = "COMPOSE_PROJECT_NAME=copy\n"
OLD = 1_600_000_000_123_456_789


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, journals: Path) -> None:
    monkeypatch.setattr(restoring, "Engine", lambda socket: NoEngine())


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """As an extraction leaves it: a project's directory, another account's, with odd names in its path."""
    found = tmp_path / f"st {HOSTILE}"
    (found / f".phpborg-restore-{TOKEN}").mkdir(mode=0o700, parents=True)
    place = in_staging(found)
    place.parent.mkdir(parents=True)
    fill(place, {"compose.yml": TEXT}, (4242, 4343))
    file = place / "compose.yml"
    os.chown(file, 4242, 4344)
    os.setxattr(file, "user.note", b"x")
    os.utime(place, ns=(1, OLD))
    return found


def in_staging(stage: Path) -> Path:
    return stage / f".phpborg-restore-{TOKEN}{SOURCE}"


def files(stage: Path) -> list[dict[str, Any]]:
    start = len("a: 1 # é\nname: ".encode())
    edit = {"start": start, "line": 2, "key": "name", "old": "kiosk", "new": "copy"}
    made = {"start": 0, "line": 1, "key": "COMPOSE_PROJECT_NAME", "old": "", "new": LINE}
    total = hashlib.sha256(TEXT.encode()).hexdigest()
    return [
        {"stage": str(stage), "source": f"{SOURCE}/.env", "sha256": "", "edits": [made]},
        {"stage": str(stage), "source": f"{SOURCE}/compose.yml", "sha256": total, "edits": [edit]},
    ]


def rewrite(stage: Path) -> dict[str, Any]:
    return do(NoEngine(), TOKEN, 1, "rewrite_files", {"files": files(stage)})


def is_rewritten(stage: Path) -> bool:
    place = in_staging(stage)
    file, made = place / "compose.yml", place / ".env"
    assert sorted(one.name for one in place.iterdir()) == [".env", "compose.yml"]
    status, new = file.stat(), made.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (4242, 4344, 0o640)
    assert (new.st_uid, new.st_gid, new.st_mode & 0o7777) == (4242, 4343, 0o644)
    assert os.getxattr(file, "user.note") == b"x"
    return (file.read_text(), made.read_text()) == (NOW, LINE)


def test_exactly_the_edits_are_made(stage: Path) -> None:
    restoring.begin(TOKEN)
    assert rewrite(stage) == {"files": 2}
    assert is_rewritten(stage)
    assert in_staging(stage).stat().st_mtime_ns == OLD, "the directory's time is the archive's"
    assert rewrite(stage) == {"files": 2}  # asked once more, it is as it was done
    assert restoring.rollback("/nowhere", TOKEN)["problems"] == []


def test_killed_at_any_moment_it_is_made_the_next_time(stage: Path, tmp_path: Path) -> None:
    moment, ended = 1, None
    while ended is None:
        subprocess.run(["cp", "-a", stage, tmp_path / "kept"], check=True)
        restoring.begin(TOKEN)
        ended = killed_at(moment, lambda: rewrite(stage))
        rewrite(stage)
        assert is_rewritten(stage)
        assert restoring.rollback("/nowhere", TOKEN)["problems"] == []
        subprocess.run(["rm", "-r", stage], check=True)
        (tmp_path / "kept").rename(stage)
        moment += 1
    assert moment > 8


def test_a_file_that_is_another_is_refused_before_any_is_touched(stage: Path) -> None:
    file = in_staging(stage) / "compose.yml"
    file.write_text(TEXT + "c: 3\n")
    before = tree_of(stage)
    restoring.begin(TOKEN)
    with pytest.raises(wire.Refused, match="not as it is in the archive"):
        rewrite(stage)
    assert tree_of(stage) == before
    file.write_text(TEXT)
    (in_staging(stage) / ".env").write_text("A=b\n")
    with pytest.raises(wire.Refused, match="not as it is in the archive"):
        rewrite(stage)
    assert (in_staging(stage) / ".env").read_text() == "A=b\n"


@pytest.mark.parametrize("above", [False, True])
def test_a_link_leads_nowhere(stage: Path, tmp_path: Path, above: bool) -> None:
    place = in_staging(stage)
    elsewhere = tmp_path / "elsewhere"
    place.rename(elsewhere)
    if above:
        place.symlink_to(elsewhere)
    else:
        place.mkdir()
        (place / "compose.yml").symlink_to(elsewhere / "compose.yml")
    restoring.begin(TOKEN)
    with pytest.raises(wire.Refused):
        rewrite(stage)
    assert (elsewhere / "compose.yml").read_text() == TEXT
    assert not (elsewhere / ".env").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"source": "/srv/../etc/passwd"},
        {"stage": "srv"},
        {"sha256": "x"},
        {"edits": []},
        {"edits": [{"start": -1, "old": "", "new": ""}]},
        {"edits": [{"start": 0, "old": None, "new": ""}]},
    ],
)
def test_nothing_else_is_taken(stage: Path, change: dict[str, Any]) -> None:
    restoring.begin(TOKEN)
    with pytest.raises(wire.Refused):
        do(NoEngine(), TOKEN, 1, "rewrite_files", {"files": [{**files(stage)[0], **change}]})


def test_edits_that_lie_in_each_other_do_not_fit() -> None:
    rows = [{"start": 0, "old": "ab", "new": "x"}, {"start": 1, "old": "b", "new": "y"}]
    with pytest.raises(edits.Differs):
        edits.applied(b"ab", rows)


@pytest.mark.parametrize("form", ["simple", "advanced"])
def test_the_script_makes_the_same_edits(stage: Path, form: str) -> None:
    step = Step(7, "rewrite_files", {"files": files(stage)}, facts={"count": 2})
    text = script(DockerPlan("a", "b" * 64, "/r", "s", "/x.sock", (step,), token=TOKEN), form)
    (stage / f".phpborg-kept-{TOKEN[:8]}").mkdir(mode=0o700)
    # Neither a repository nor an engine is needed for this step, and its place is settled by the one before.
    done_before = "".join(f"{name}() {{ :; }}\n" for name in ("check_tools", "look", "ask_passphrase", "finish"))
    settled = f"PLACES[{quoted(str(stage))}]={quoted(str(stage))}\n"
    text = text.replace('main "$@"\n', f'{done_before}{settled}main "$@"\n')
    words = ["--", "--yes"] if form == "advanced" else []
    done = subprocess.run(["bash", "-s", *words], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_rewritten(stage)


@pytest.mark.parametrize("source", [b"", b"/", b"/srv/../x", b"../x", b"/srv/..", b"/./x"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "below" / "srv").mkdir(parents=True)
    (tmp_path / "x").write_bytes(b"a")
    (tmp_path / "below" / "x").write_bytes(b"a")
    row = {"source": source, "sha256": hashlib.sha256(b"a").hexdigest(), "edits": []}
    root = os.open(tmp_path / "below", os.O_RDONLY)
    try:
        for made in (edits.check, edits.rewrite):
            with pytest.raises(edits.Differs):
                made(row, root)
    finally:
        os.close(root)
