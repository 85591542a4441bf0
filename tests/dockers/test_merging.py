"""A chosen folder is put over what is there: what only the server has in it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import restoring
from tests.dockers.steps_at_hand import HOSTILE, NoEngine, do, fill, journals_fixture, stage, tree_of
from tests.dockers.test_exchange import ARCHIVED, NUMBERS, PRESENT, TOKEN, _no_engine, exchange, roll_back, texts

__all__ = ["_no_engine", "journals_fixture"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory as an application has it; its name is hostile too."""
    place = tmp_path / "srv" / HOSTILE
    place.parent.mkdir()
    fill(place, PRESENT, NUMBERS)
    return place


def test_a_chosen_folder_keeps_what_only_the_server_has(target: Path) -> None:
    fill(target, {"deep/newer.txt": "since", "deep/er/mine": "since", "deep/er/both": "present"}, NUMBERS)
    archived = {**ARCHIVED, "deep/er/both": "archived", "deep/new way/in.txt": "in"}
    before = tree_of(target)
    stage(target.parent, TOKEN, str(target), archived, NUMBERS)
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(target, whole=False, items=["deep", "new.txt"]))
    now = texts(target)
    assert {name: now[name] for name in ("deep/newer.txt", "deep/er/mine", "deep/x", "old.txt", "both.txt")} == {
        "deep/newer.txt": "since",
        "deep/er/mine": "since",
        "deep/x": "1",
        "old.txt": "old",
        "both.txt": "present",
    }
    assert now["deep/er/both"] == "archived"
    assert now["deep/new way/in.txt"] == "in"
    assert now[f"deep/{HOSTILE}"] == "a"
    assert roll_back()["problems"] == []
    assert _without_folder_times(tree_of(target)) == _without_folder_times(before)


def _without_folder_times(tree: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {path: (*row[:3], row[4]) if row[4] is None else row for path, row in tree.items()}


def test_a_chosen_folder_that_is_a_file_here_takes_its_place_and_a_link_is_refused(target: Path) -> None:
    fill(target, {"folder": "a file"})
    stage(target.parent, TOKEN, str(target), {"folder/in": "1", "deep/in": "2"})
    (target / "deep/x").unlink()
    (target / "deep").rmdir()
    (target / "deep").symlink_to("keep")
    restoring.begin(TOKEN)
    do(NoEngine(), TOKEN, 0, *exchange(target, whole=False, items=["folder"]))
    assert (target / "folder/in").read_text() == "1"
    with pytest.raises(wire.Refused, match="link"):
        do(NoEngine(), TOKEN, 1, *exchange(target, whole=False, items=["deep"]))
    assert roll_back()["problems"] == []
    assert (target / "folder").read_text() == "a file"
