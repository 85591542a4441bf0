"""What was extracted takes the place of what is there; whatever ends it, what was there comes back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.remote import copying, wire
from servers.remote.dockers import keeping, restoring
from tests.dockers.steps_at_hand import (
    HOSTILE,
    NO_TEXT,
    NoEngine,
    Step,
    do,
    do_all,
    fill,
    journals_fixture,
    killed_at,
    stage,
    tree_of,
)

__all__ = ["journals_fixture"]
TOKEN = "abcdef12-3456"
ARCHIVED = {"new.txt": "new", "both.txt": "archived", f"deep/{HOSTILE}": "a", f"deep/{NO_TEXT}": "b"}
PRESENT = {"old.txt": "old", "both.txt": "present", "deep/x": "1", f"keep/{HOSTILE}": "mine"}
NUMBERS = (4242, 4343)


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, journals: Path) -> None:
    monkeypatch.setattr(restoring, "Engine", lambda socket: NoEngine())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory as an application has it; its name is hostile too."""
    place = tmp_path / "srv" / HOSTILE
    place.parent.mkdir()
    fill(place, PRESENT, NUMBERS)
    place.chmod(0o2750)
    return place


def exchange(target: Path, stage: Path | None = None, **more: Any) -> Step:
    return "exchange", {"target": str(target), "stage": str(stage or target.parent), "source": str(target), **more}


def roll_back() -> dict[str, Any]:
    return restoring.rollback("/nowhere", TOKEN)


def names_in(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


def texts(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_a_directory_is_exchanged_whole_and_comes_back(target: Path) -> None:
    before = tree_of(target.parent)
    archived = {"x": "1"}
    stage(target.parent, TOKEN, str(target), ARCHIVED, NUMBERS)
    restoring.begin(TOKEN)
    facts = do(NoEngine(), TOKEN, 0, *exchange(target))
    assert facts == {"target": str(target), "put": 1, "kept": 1}
    assert texts(target) == ARCHIVED, archived
    assert (target.stat().st_uid, target.stat().st_gid) == NUMBERS
    kept = restoring.state(TOKEN)
    assert kept["exists"]
    assert kept["kept_bytes"] >= 4 * 4096
    keep = target.parent / f".phpborg-{TOKEN}"
    assert keep.stat().st_mode & 0o777 == 0o700
    assert roll_back() == {"undone": [{"number": 0, "op": "exchange"}], "problems": [], "notes": []}
    left = target.parent / f".phpborg-restore-{TOKEN}"
    assert texts(left / str(target).lstrip("/")) == ARCHIVED
    subprocess.run(["rm", "-r", left], check=True)
    assert _without_top_times(tree_of(target.parent), target.parent) == _without_top_times(before, target.parent)
    assert roll_back() == {"undone": [], "problems": [], "notes": []}
    assert restoring.state(TOKEN) == {"exists": False, "steps": [], "kept_bytes": 0}


def _without_top_times(tree: dict[str, tuple[Any, ...]], top: Path) -> dict[str, tuple[Any, ...]]:
    return {path: row[:3] if path == str(top) else row for path, row in tree.items()}


def test_forgotten_what_was_kept_is_gone_and_the_rest_stays(target: Path) -> None:
    stage(target.parent, TOKEN, str(target), ARCHIVED)
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(target))
    answer = restoring.forget("/nowhere", TOKEN, wire.Control(60))
    keep = target.parent / f".phpborg-{TOKEN}"
    assert answer == {"removed": [str(keep)], "problems": []}
    assert names_in(target.parent) == {target.name, f".phpborg-restore-{TOKEN}"}
    assert texts(target) == ARCHIVED
    assert restoring.forget("/nowhere", TOKEN, wire.Control(60)) == {"removed": [], "problems": []}
    assert roll_back() == {"undone": [], "problems": [], "notes": []}


def test_what_was_not_there_is_made_with_ways_that_others_may_pass(tmp_path: Path) -> None:
    place = tmp_path / "opt" / "a b" / "c"
    stage(tmp_path, TOKEN, str(place), ARCHIVED, NUMBERS)
    before = tree_of(tmp_path, times=False)
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(place, tmp_path))
    for made in (tmp_path / "opt", tmp_path / "opt" / "a b"):
        assert made.stat().st_mode & 0o7777 == 0o755
    assert texts(place) == ARCHIVED
    assert (place / "new.txt").stat().st_uid == NUMBERS[0]
    assert roll_back()["problems"] == []
    assert not (tmp_path / "opt").exists()
    journals = str(tmp_path / "journals")
    assert {path: row for path, row in tree_of(tmp_path, times=False).items() if path != journals} == before


def test_ways_that_the_staging_made_go_with_it(tmp_path: Path) -> None:
    place = tmp_path / "opt" / "app"
    stage(place.parent, TOKEN, str(place), ARCHIVED)
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(place, place.parent, made=[str(place.parent)]))
    subprocess.run(["rm", "-r", place.parent / f".phpborg-restore-{TOKEN}"], check=True)
    assert roll_back()["problems"] == []
    assert not place.parent.exists()


def test_a_single_file_and_chosen_items(target: Path) -> None:
    before = tree_of(target.parent, times=False)
    single = target / "old.txt"
    stage(target.parent, TOKEN, str(target), {**ARCHIVED, "fresh/way/in.txt": "in"})
    stage(target.parent, TOKEN, str(single), {"": "one"}, NUMBERS)
    restoring.begin(TOKEN)
    items = ["both.txt", f"deep/{HOSTILE}", "fresh/way/in.txt", f"deep/{NO_TEXT}"]
    steps = [exchange(target, whole=False, items=items), exchange(single, target.parent, mode=0o600)]
    facts = do_all(NoEngine(), TOKEN, steps)
    assert facts[0] == {"target": str(target), "put": 4, "kept": 1}
    now = {name: text for name, text in texts(target).items() if not name.startswith(".phpborg-")}
    assert now == {
        **PRESENT,
        **{name: {**ARCHIVED, "fresh/way/in.txt": "in"}[name] for name in items},
        "old.txt": "one",
    }
    assert single.stat().st_mode & 0o777 == 0o600
    assert (target / "fresh/way").stat().st_mode & 0o777 == 0o755
    assert roll_back()["problems"] == []
    subprocess.run(["rm", "-r", target.parent / f".phpborg-restore-{TOKEN}"], check=True)
    assert tree_of(target.parent, times=False) == before


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own."""
    place = tmp_path / "m o"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("whole", [True, False])
def test_the_entries_of_a_mount_point_change_and_it_stays(mounted: Path, whole: bool) -> None:
    fill(mounted, PRESENT, NUMBERS)
    (mounted / "lost+found").mkdir()
    os.utime(mounted, ns=(1, 1_500_000_000_000_000_000))
    before = tree_of(mounted)
    stage(mounted, TOKEN, str(mounted), ARCHIVED, (5, 6))
    os.chmod(mounted / f".phpborg-restore-{TOKEN}" / str(mounted).lstrip("/"), 0o700)
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(mounted, mounted, whole=whole))
    assert names_in(mounted) == {
        *("new.txt", "both.txt", "deep", "lost+found"),
        *(f".phpborg-{TOKEN}", f".phpborg-restore-{TOKEN}"),
    }
    assert (mounted / "both.txt").read_text() == "archived"
    assert (mounted.stat().st_uid, mounted.stat().st_mode & 0o777) == (5, 0o700)
    subprocess.run(["rm", "-r", mounted / f".phpborg-restore-{TOKEN}"], check=True)
    assert roll_back()["problems"] == []
    assert {path: row[:3] if path == str(mounted) else row for path, row in tree_of(mounted).items()} == {
        path: row[:3] if path == str(mounted) else row for path, row in before.items()
    }


def test_what_other_restores_keep_in_a_mount_point_stays_where_it_is(mounted: Path) -> None:
    others = {".phpborg-" + "5" * 16, ".phpborg-restore-" + "6" * 16, ".phpborg-kept-77777777"}
    for name in (*others, ".phpborg-notes"):
        (mounted / name).mkdir(mode=0o700)
    stage(mounted, TOKEN, str(mounted), ARCHIVED, (5, 6))
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(mounted, mounted))
    assert {name for name in names_in(mounted) if TOKEN not in name} == {*others, *("new.txt", "both.txt", "deep")}
    assert roll_back()["problems"] == []
    assert {*others, ".phpborg-notes"} < names_in(mounted)


@pytest.mark.parametrize("items", [None, ["both.txt", "new.txt"]])
@pytest.mark.parametrize("old_kernel", [False, True])
def test_killed_at_any_moment_it_comes_back(
    target: Path, items: list[str] | None, old_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where two entries cannot change places in one step."""
    if old_kernel:
        monkeypatch.setattr(copying, "exchange", _no_exchange)
    stage(target.parent, TOKEN, str(target), ARCHIVED, NUMBERS)
    before = tree_of(target, times=False)
    staged = texts(target.parent / f".phpborg-restore-{TOKEN}")
    step = exchange(target, whole=items is None, items=items)
    moments = _killed_everywhere(target, step, before, staged)
    assert moments > 12


def _no_exchange(*_: Any) -> None:
    raise OSError(22, "Invalid argument")


def _killed_everywhere(target: Path, step: Step, before: dict[str, Any], staged: dict[str, str]) -> int:
    moment = 0
    while True:
        moment += 1
        restoring.begin(TOKEN)
        ended = killed_at(moment, lambda: do(NoEngine(), TOKEN, 0, *step))
        undone = roll_back()
        assert undone["problems"] == [], moment
        assert tree_of(target, times=False) == before, moment
        assert names_in(target.parent) == {target.name, f".phpborg-restore-{TOKEN}"}, moment
        assert texts(target.parent / f".phpborg-restore-{TOKEN}") == staged, moment
        if ended is not None:
            return moment


def test_killed_at_any_moment_the_entries_of_a_mount_point_come_back(mounted: Path) -> None:
    fill(mounted, PRESENT, NUMBERS)
    stage(mounted, TOKEN, str(mounted), ARCHIVED, (5, 6))
    before = tree_of(mounted, times=False)
    step = exchange(mounted, mounted)
    moment = 0
    while True:
        moment += 1
        restoring.begin(TOKEN)
        ended = killed_at(moment, lambda: do(NoEngine(), TOKEN, 0, *step))
        assert roll_back()["problems"] == [], moment
        assert tree_of(mounted, times=False) == before, moment
        if ended is not None:
            break
    assert moment > 20


def test_a_rollback_that_is_killed_is_finished_by_the_next(target: Path) -> None:
    stage(target.parent, TOKEN, str(target), ARCHIVED, NUMBERS)
    before = tree_of(target, times=False)
    step = exchange(target, whole=False, items=["both.txt", "new.txt", f"deep/{NO_TEXT}"])
    moment = 0
    while True:
        moment += 1
        restoring.begin(TOKEN)
        do(NoEngine(), TOKEN, 0, *step)
        ended = killed_at(moment, roll_back)
        assert roll_back()["problems"] == [], moment
        assert tree_of(target, times=False) == before, moment
        if ended is not None:
            break
    assert moment > 10


def test_a_step_that_was_killed_is_done_again_under_its_number(target: Path) -> None:
    stage(target.parent, TOKEN, str(target), ARCHIVED, NUMBERS)
    before = tree_of(target, times=False)
    restoring.begin(TOKEN)
    for moment in (3, 4, 6, 7, 8, 9):
        assert killed_at(moment, lambda: do(NoEngine(), TOKEN, 0, *exchange(target))) is None
    first = do(NoEngine(), TOKEN, 0, *exchange(target))
    assert texts(target) == ARCHIVED
    assert do(NoEngine(), TOKEN, 0, *exchange(target)) == first
    with pytest.raises(wire.Refused, match="another one"):
        do(NoEngine(), TOKEN, 0, "need_image", {"reference": "x"})
    assert roll_back()["problems"] == []
    assert tree_of(target, times=False) == before


def test_on_a_full_disk_nothing_is_begun_and_all_is_undone(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journals' own filesystem is full: no step without its undo, and no undo that waits for room."""
    subprocess.run(["mount", "-o", "remount,size=256k", mounted], check=True)
    monkeypatch.setattr("servers.remote.places.DOCKER_RESTORE", str(mounted / "journals"))
    target = mounted.parent / "srv"
    fill(target, PRESENT, NUMBERS)
    stage(mounted.parent, TOKEN, str(target), {**ARCHIVED, "second/x": "y"})
    before = tree_of(target, times=False)
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 200, *exchange(target, whole=False, items=list(ARCHIVED)))
    with pytest.raises(OSError), (mounted / "full").open("wb") as file:
        file.write(b"x" * (1 << 20))
    now = tree_of(target, times=False)
    nothing = [exchange(target, whole=False, items=[])] * 100
    with pytest.raises(OSError):  # what is left of the last block takes a few lines
        do_all(NoEngine(), TOKEN, nothing)
    with pytest.raises(OSError):
        do(NoEngine(), TOKEN, 100, *exchange(target, whole=False, items=["second/x"]))
    assert tree_of(target, times=False) == now
    assert roll_back()["problems"] == []
    assert tree_of(target, times=False) == before


def test_fake_nothing_is_exchanged_under_a_container_that_runs(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"Names": ["/late"], "State": "running", "Mounts": [{"Type": "bind", "Source": str(target)}]}
    monkeypatch.setattr(NoEngine, "get", lambda *_, **__: [listed])
    stage(target.parent, TOKEN, str(target), ARCHIVED, NUMBERS)
    restoring.begin(TOKEN)
    with pytest.raises(wire.Refused, match="late"):
        do(NoEngine(), TOKEN, 0, *exchange(target))
    assert texts(target) == PRESENT


def test_what_others_put_there_meanwhile_is_kept_and_told(target: Path) -> None:
    stage(target.parent, TOKEN, str(target), ARCHIVED)
    before = tree_of(target, times=False)
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(target))
    target.rename(target.parent / "theirs")
    fill(target, {"theirs": "new work"})
    answer = roll_back()
    assert answer["problems"] == []
    assert "changed by others" in answer["notes"][0]
    assert tree_of(target, times=False) == before
    keep = target.parent / f".phpborg-{TOKEN}"
    assert [path.read_text() for path in keep.rglob("theirs") if path.is_file()] == ["new work"]


def test_no_link_is_followed_and_none_takes_a_place(target: Path, tmp_path: Path) -> None:
    stage(target.parent, TOKEN, str(target), ARCHIVED)
    restoring.begin(TOKEN)
    link = tmp_path / "way"
    link.symlink_to(target.parent)
    with pytest.raises(wire.Refused, match="symbolic link"):
        do(NoEngine(), TOKEN, 0, *exchange(link / target.name, target.parent, source=str(target)))
    elsewhere = tmp_path / "elsewhere"
    target.rename(elsewhere)
    target.symlink_to(elsewhere)
    with pytest.raises(wire.Refused, match="symbolic link"):
        do(NoEngine(), TOKEN, 1, *exchange(target))
    assert texts(elsewhere) == PRESENT
    assert roll_back()["problems"] == []


def test_nothing_is_moved_with_a_mount_in_it_nor_removed_through_one(target: Path) -> None:
    stage(target.parent, TOKEN, str(target), ARCHIVED)
    restoring.begin(TOKEN)
    subprocess.run(["mount", "-t", "tmpfs", "none", target / "deep"], check=True)
    try:
        with pytest.raises(wire.Refused, match="a filesystem is mounted"):
            do(NoEngine(), TOKEN, 0, *exchange(target))
    finally:
        subprocess.run(["umount", target / "deep"], check=True)
    do(NoEngine(), TOKEN, 1, *exchange(target))
    keep = target.parent / f".phpborg-{TOKEN}"
    (inside,) = [path for path in keep.rglob("keep") if path.is_dir()]
    precious = target.parent / "precious"
    fill(precious, {"p": "q"})
    subprocess.run(["mount", "--bind", precious, inside], check=True)
    try:
        answer = restoring.forget("/nowhere", TOKEN, wire.Control(60))
        assert "a filesystem is mounted" in answer["problems"][0]
        assert texts(precious) == {"p": "q"}
    finally:
        subprocess.run(["umount", inside], check=True)
    assert restoring.forget("/nowhere", TOKEN, wire.Control(60))["problems"] == []
    assert not keep.exists()


def test_the_policy_says_where(target: Path, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"restore_roots": ["/elsewhere"]}')
    stage(target.parent, TOKEN, str(target), ARCHIVED)
    restoring.begin(TOKEN)
    with pytest.raises(wire.Refused) as refused:
        do(NoEngine(), TOKEN, 0, *exchange(target))
    assert refused.value.code == "policy"
    assert texts(target) == PRESENT


def test_a_keeping_directory_that_is_not_ours_alone_is_not_used(target: Path) -> None:
    stage(target.parent, TOKEN, str(target), ARCHIVED)
    restoring.begin(TOKEN)
    keep = target.parent / f".phpborg-{TOKEN}"
    keep.mkdir(mode=0o755)
    with pytest.raises(wire.Refused, match="not a directory of root's alone"):
        do(NoEngine(), TOKEN, 0, *exchange(target))
    assert texts(target) == PRESENT
    assert keeping.name_of(TOKEN) == keep.name.encode()


@pytest.mark.parametrize("wrong", [{"target": "/"}, {"target": "/a/../b"}, {"source": "../x"}, {"items": ["a/../b"]}])
def test_what_leads_elsewhere_is_refused(target: Path, wrong: dict[str, Any]) -> None:
    restoring.begin(TOKEN)
    op, params = exchange(target)
    with pytest.raises(wire.Refused):
        do(NoEngine(), TOKEN, 0, op, {**params, **wrong})
