"""What somebody uses at the very moment changes its place under nobody: with an engine that is fake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import containers, unused
from servers.remote.dockers.steps import Context

ROOT = "/var/lib/docker/volumes"


class FakeEngine:
    """Answers `rows` as its list of containers, and one inspected container."""

    path = "/nowhere"

    def __init__(self, *rows: dict[str, Any], state: str = "exited") -> None:
        self.rows, self.state = list(rows), state
        self.posts: list[str] = []

    def get(self, path: str, **query: Any) -> Any:
        return self.rows

    def find(self, path: str, **query: Any) -> Any:
        name = path.rpartition("/")[2]
        device = {"bound": {"device": "/srv/data", "o": "bind"}}.get(name)
        return {"Name": name, "Mountpoint": f"{ROOT}/{name}/_data", "Options": device}

    def container(self, name: str) -> dict[str, Any] | None:
        return {"Id": "1", "Name": "/" + name, "State": {"Status": self.state}} if name == "shop_db_1" else None

    def post(self, path: str, *_: Any, **__: Any) -> None:
        self.posts.append(path)


def row(state: str, kind: str, source: str, name: str | None = None) -> dict[str, Any]:
    return {"Names": ["/late"], "State": state, "Mounts": [{"Type": kind, "Name": name, "Source": source}]}


@pytest.mark.parametrize(
    ("listed", "target"),
    [
        (row("running", "volume", f"{ROOT}/shop/_data", "shop"), f"{ROOT}/shop/_data"),
        (row("paused", "volume", "", "shop"), f"{ROOT}/shop/_data"),
        (row("restarting", "volume", "", "bound"), "/srv/data"),
        (row("running", "bind", "/srv/data/below"), "/srv/data"),
    ],
)
def test_fake_what_a_container_uses_now_is_not_exchanged(listed: dict[str, Any], target: str) -> None:
    with pytest.raises(wire.Refused, match="late"):
        unused.check(FakeEngine(listed), target.encode())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "listed",
    [
        row("exited", "volume", f"{ROOT}/shop/_data", "shop"),
        row("running", "volume", f"{ROOT}/shop2/_data", "shop2"),
        row("running", "bind", "/"),
        row("running", "tmpfs", ""),
    ],
)
def test_fake_who_does_not_run_or_uses_something_else_is_in_nobodys_way(listed: dict[str, Any]) -> None:
    unused.check(FakeEngine(listed), f"{ROOT}/shop/_data".encode())  # type: ignore[arg-type]


def test_fake_who_sees_what_is_above_uses_it_unless_nothing_is_there(tmp_path: Path) -> None:
    target = tmp_path / "volumes" / "data"
    target.mkdir(parents=True)
    engine: Any = FakeEngine(row("running", "bind", str(tmp_path)))
    unused.check(engine, str(target).encode())
    (target / "file").touch()
    with pytest.raises(wire.Refused):
        unused.check(engine, str(target).encode())


def test_fake_a_way_through_a_link_is_seen(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(wire.Refused):
        unused.check(FakeEngine(row("running", "bind", str(tmp_path / "link"))), str(real).encode())  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["running", "paused", "restarting"])
def test_fake_one_that_runs_is_not_set_aside(state: str) -> None:
    engine = FakeEngine(state=state)
    context = Context(engine, "t" * 16, wire.Control(60), None, [], 1)  # type: ignore[arg-type]
    with pytest.raises(wire.Refused, match="started since"):
        containers.RenameContainer(context, {"container": "shop_db_1", "to": "kept"}).prepare()
    assert engine.posts == []
