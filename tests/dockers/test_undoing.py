"""A rollback that meets what nobody has foreseen goes on with what was done before it, and says what is left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servers.remote import dockers, tree, wire
from servers.remote.dockers import exchanging, restoring
from servers.remote.dockers.drilling import MakePrivate
from servers.remote.dockers.images import NeedImage
from servers.remote.dockers.journal import Journal
from tests.dockers.steps_at_hand import NoEngine, do, journals_fixture, request

__all__ = ["journals_fixture"]
TOKEN = "abcdef12-3456"
DEEP = 3000


def dig(top: Path, deep: int) -> None:
    """Directories in each other, further down than a path can name, with a file in each."""
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(deep):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


@pytest.fixture
def begun(journals: Path) -> Journal:
    journal = Journal(TOKEN)
    journal.make()
    return journal


def rolled_back() -> dict[str, Any]:
    found: dict[str, Any] = restoring.rollback("/nowhere/docker.sock", TOKEN)
    return found


def test_however_deep_a_container_has_dug_its_directory_is_removed(tmp_path: Path, begun: Journal) -> None:
    private = tmp_path / "drill"
    private.mkdir(mode=0o700)
    dig(private, DEEP)
    (tmp_path / "outside").write_text("x")
    (private / "link").symlink_to("../outside")
    begun.begin(0, "make_private", {"path": str(private)})
    (record,) = begun.records()
    assert MakePrivate.undo(None, record) is None  # type: ignore[arg-type]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["journals", "outside"]


def test_directories_beside_each_other_and_what_is_no_file(tmp_path: Path) -> None:
    top = tmp_path / "top"
    for name in ("a/b", "a/c", "d/e/f", "g"):
        (top / name).mkdir(parents=True)
        (top / name / "file").write_text("x")
    os.mkfifo(top / "a/fifo")
    (top / "d/link").symlink_to("/etc")
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        tree.remove(b"top", directory, wire.Control(0))
        assert os.listdir(tmp_path) == []
        tree.remove(b"top", directory, wire.Control(0))
        os.fstat(directory)
    finally:
        os.close(directory)
    assert os.path.isdir("/etc")


def test_a_directory_that_is_moved_away_meanwhile_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "top/in/deeper").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/deeper").mkdir()
    former = tree._up
    moved: list[int] = []

    def up(directory: int, mark: tuple[int, int]) -> int:
        if not moved:
            moved.append(1)
            os.rename(tmp_path / "top/in/deeper", tmp_path / "other/moved")
        return former(directory, mark)

    monkeypatch.setattr(tree, "_up", up)
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(wire.Refused, match="moves directories"):
            tree.remove(b"top", directory, wire.Control(0))
    finally:
        os.close(directory)
    assert (tmp_path / "other/deeper").is_dir()


@pytest.mark.parametrize("error", [RecursionError("deep"), KeyError("given"), TypeError("x")], ids=repr)
def test_one_bad_record_does_not_stop_the_earlier_ones(
    begun: Journal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    begun.begin(1, "need_image", {"good": True})
    begun.begin(2, "need_image", {"good": False})

    def undo(engine: Any, record: Any) -> None:
        if not record.undo["good"]:
            raise error

    monkeypatch.setattr(NeedImage, "undo", staticmethod(undo))
    answer = rolled_back()
    assert [row["number"] for row in answer["undone"]] == [1]
    assert any(type(error).__name__ in problem for problem in answer["problems"])
    assert begun.exists


@pytest.mark.parametrize("error", [OSError("not empty"), RecursionError("deep")], ids=repr)
def test_what_cannot_be_cleaned_away_is_told_and_tried_again(
    tmp_path: Path, begun: Journal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """All is undone by then: that it is must still be said."""
    begun.begin(1, "exchange", {"above": str(tmp_path), "token": TOKEN, "moves": [], "made": []})
    begun.begin(2, "need_image", {})
    monkeypatch.setattr(exchanging.Exchange, "undo", staticmethod(lambda engine, record: None))
    monkeypatch.setattr(restoring, "_engine", lambda socket: (None, None))

    def finish(record: Any, control: Any) -> None:
        raise error

    monkeypatch.setattr(exchanging, "finish_undo", finish)
    answer = rolled_back()
    assert [row["number"] for row in answer["undone"]] == [2, 1]
    assert len(answer["problems"]) == 1
    assert begun.exists
    monkeypatch.setattr(exchanging, "finish_undo", lambda record, control: None)
    assert rolled_back()["problems"] == []
    assert not begun.exists


@pytest.mark.parametrize("action", [restoring.rollback, lambda at, token: restoring.forget(at, token, wire.Control(0))])
def test_the_engine_is_the_one_of_the_beginning(
    journals: Path, monkeypatch: pytest.MonkeyPatch, action: Callable[[str, str], object]
) -> None:
    """At another one nothing of it would be found: it would all seem undone, and the journal would go."""
    asked: list[str] = []

    def engine(at: str) -> tuple[None, str]:
        asked.append(at)
        return None, "away"

    monkeypatch.setattr(restoring, "_engine", engine)
    restoring.begin(TOKEN, "/run/mine.sock")
    Journal(TOKEN).begin(1, "rename_container", {"container": {"id": "1", "name": "x"}, "to": "y", "policy": {}})
    action("/run/other.sock", TOKEN)
    assert asked == ["/run/mine.sock"]
    assert [record.number for record in Journal(TOKEN).records()] == [1]


def test_a_restore_that_was_begun_by_an_older_helper_has_the_socket_of_who_asks(
    begun: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(restoring, "_engine", lambda at: (asked.append(at), "away"))
    rolled_back()
    assert asked == ["/nowhere/docker.sock"]


def test_no_step_is_done_at_another_engine(journals: Path) -> None:
    restoring.begin(TOKEN, "/run/mine.sock")
    with pytest.raises(wire.Refused, match="into the engine at"):
        do(NoEngine(), TOKEN, 0, "need_image", {"reference": "x"})
    assert Journal(TOKEN).records() == []


@pytest.mark.parametrize("action", ["inventory", "compare", "begin", "do", "drill"])
@pytest.mark.parametrize("rules", ['{"docker": false}', '{"restore_roots": ["/x"]}'])
def test_where_the_policy_forbids_it_nothing_is_asked(
    action: str, rules: str, journals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inventory tells ports, paths and labels: it is for restores alone. What ends one is always allowed."""
    (tmp_path / "policy.json").write_text(rules)
    asked = request(0, "need_image", {"reference": "x"})
    asked.args.update(action=action, socket=str(tmp_path / "none.sock"), token=TOKEN)
    with pytest.raises(wire.Refused, match="“docker” in the policy"):
        dockers.docker(asked, wire.Control(60))
    (tmp_path / "policy.json").write_text("{}")
    with pytest.raises(wire.Refused) as refused:
        dockers.docker(asked, wire.Control(60))
    assert refused.value.code == "docker-away"
