"""Volumes on a disk of their own, mounted only while a container uses them: filled, undone, forgotten, killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import restoring
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.backing import run
from tests.dockers.fixtures_backup import backup_engine, engine
from tests.dockers.steps_at_hand import do, fill, journals_fixture, killed_at, stage, tree_of
from tests.support.bridged import Bridged
from tests.support.disk import ext4
from tests.support.plugin import plugin

__all__ = ["backup_engine", "engine", "journals_fixture"]
pytestmark = [pytest.mark.real, pytest.mark.usefixtures("journals")]
TOKEN = "abcdef12-3456"
ARCHIVED = {"both.txt": "archived", "deep/new": "1"}
PRESENT = {"both.txt": "present", "old/x": "2"}
OWNER = (999, 999)


@dataclass
class Disk:
    """A volume `data` on a device, the steps that fill it, and what lies on it for whoever mounts it himself."""

    engine: Bridged
    device: str
    aside: Path

    @property
    def path(self) -> Path:
        return self.engine.data / "volumes/data/_data"

    def step(self, number: int, op: str, **params: Any) -> dict[str, Any]:
        with Client(str(self.engine.socket)) as client:
            return do(client, TOKEN, number, op, params)

    def hold(self) -> dict[str, Any]:
        return self.step(0, "hold_volume", volume="data", path=str(self.path))

    def fill(self, **more: Any) -> None:
        """As a plan does it, from the beginning to the end."""
        self.hold()
        stage(self.path, TOKEN, str(self.path), ARCHIVED, OWNER)
        where = {"target": str(self.path), "stage": str(self.path), "source": str(self.path), "whole": False}
        self.step(1, "exchange", **where, **more)
        self.step(2, "release_volume", volume="data")

    def content(self) -> dict[str, Any]:
        """By a mount of its own, without the filesystem's own directory."""
        subprocess.run(["mount", self.device, str(self.aside)], check=True)
        try:
            found = tree_of(self.aside, times=False)
        finally:
            subprocess.run(["umount", str(self.aside)], check=True)
        return {name: one for name, one in found.items() if not name.endswith("lost+found")}

    def put(self, files: dict[str, str]) -> None:
        subprocess.run(["mount", self.device, str(self.aside)], check=True)
        fill(self.aside, files, OWNER)
        subprocess.run(["umount", str(self.aside)], check=True)

    def names(self) -> set[str]:
        return {str(Path(name).relative_to(self.aside)) for name in self.content()} - {"."}

    def is_let_go(self) -> None:
        """Nothing is mounted, and no container or image of ours is there."""
        assert str(self.path) not in Path("/proc/self/mountinfo").read_text()
        assert TOKEN not in self.engine.docker("ps", "--all", "--format", "{{.Names}}").stdout
        assert TOKEN not in self.engine.docker("images", "--format", "{{.Tag}}").stdout

    def rollback(self) -> dict[str, Any]:
        return restoring.rollback(str(self.engine.socket), TOKEN)

    def forget(self) -> dict[str, Any]:
        return restoring.forget(str(self.engine.socket), TOKEN, wire.Control(60))


@pytest.fixture
def disk(engine: Bridged, tmp_path: Path) -> Iterator[Disk]:
    aside = tmp_path / "aside"
    aside.mkdir()
    with ext4(tmp_path / "image") as device:
        engine.docker("volume", "create", "--opt", "type=ext4", "--opt", f"device={device}", "data")
        made = Disk(engine, device, aside)
        made.put(PRESENT)
        restoring.begin(TOKEN, str(engine.socket))
        yield made
        for name in engine.docker("ps", "--all", "--quiet").stdout.split():
            engine.docker("rm", "--force", name)
        engine.docker("volume", "rm", "--force", "data")


def test_it_is_filled_and_undone_while_nobody_has_it_mounted(disk: Disk):
    former = disk.content()
    disk.fill()
    disk.is_let_go()
    kept = f".phpborg-{TOKEN}"
    assert {name for name in disk.names() if not name.startswith(f"{kept}/")} == {"both.txt", "deep", "deep/new", kept}
    assert restoring.state(TOKEN)["kept_bytes"] > 0
    told = disk.rollback()
    assert (told["problems"], told["notes"]) == ([], [])
    assert disk.content() == former
    disk.is_let_go()


def test_its_user_sees_the_archived_content_and_what_was_kept_goes(disk: Disk):
    disk.fill()
    run(disk.engine, "app", "--volume", "data:/data")
    assert (disk.path / "both.txt").read_text() == "archived"
    assert (disk.path.stat().st_uid, (disk.path / "both.txt").stat().st_uid) == OWNER
    assert disk.forget()["problems"] == []
    disk.engine.docker("rm", "--force", "app")
    assert disk.names() == {"both.txt", "deep", "deep/new"}
    disk.is_let_go()


def test_chosen_files_leave_all_others(disk: Disk):
    former = disk.content()
    disk.fill(items=["both.txt"])
    assert {"both.txt", "old", "old/x"} <= disk.names()
    assert disk.rollback()["problems"] == []
    assert disk.content() == former


def test_what_its_container_gave_to_its_own_user_comes_back_as_it_was(disk: Disk):
    """As the entrypoints of databases do it with all that lies in their directory of data."""
    run(disk.engine, "app", "--volume", "data:/data")
    os.chown(disk.path / "both.txt", 0, 0)
    os.chown(disk.path, 0, 0)
    disk.engine.docker("rm", "--force", "app")
    former = disk.content()
    disk.fill()
    run(disk.engine, "app", "--volume", "data:/data")
    subprocess.run(["find", disk.path, "!", "-user", "999", "-exec", "chown", "999", "{}", "+"], check=True)
    disk.engine.docker("rm", "--force", "app")
    told = disk.rollback()
    assert (told["problems"], told["notes"]) == ([], [])
    assert disk.content() == former
    disk.is_let_go()


def test_directories_that_were_made_on_the_way_in_it_go_again(disk: Disk):
    former = disk.content()
    disk.fill(items=["deep/new"])
    assert {"deep", "deep/new"} <= disk.names()
    assert disk.rollback()["problems"] == []
    assert disk.content() == former


@pytest.mark.parametrize(
    "every", [pytest.param(9, id="some moments"), pytest.param(1, id="every moment", marks=pytest.mark.long)]
)
def test_killed_in_the_middle_nothing_stays_mounted_and_everything_is_back(disk: Disk, every: int):
    former = disk.content()
    moment = 1
    while killed_at(moment, disk.fill) is None:
        told = disk.rollback()
        assert told["problems"] == [], moment
        disk.is_let_go()
        found = {name: one for name, one in disk.content().items() if ".phpborg-restore-" not in name}
        assert found == former, moment
        restoring.begin(TOKEN, str(disk.engine.socket))
        moment += every
    assert moment > 20
    assert disk.rollback()["problems"] == []
    assert disk.content() == former


def test_undone_after_its_holder_and_the_machine_are_gone(disk: Disk):
    """As after a power cut: the container that held it does not run any more."""
    former = disk.content()
    disk.hold()
    stage(disk.path, TOKEN, str(disk.path), ARCHIVED, OWNER)
    where = {"target": str(disk.path), "stage": str(disk.path), "source": str(disk.path), "whole": False}
    disk.step(1, "exchange", **where)
    disk.engine.docker("kill", f"phpborg-{TOKEN}-0")
    assert disk.rollback()["problems"] == []
    assert disk.content() == former
    disk.is_let_go()


def test_what_is_not_mounted_any_more_gets_nothing(disk: Disk):
    disk.hold()
    stage(disk.path, TOKEN, str(disk.path), ARCHIVED, OWNER)
    disk.engine.docker("rm", "--force", f"phpborg-{TOKEN}-0")
    where = {"target": str(disk.path), "stage": str(disk.path), "source": str(disk.path), "whole": False}
    with pytest.raises(wire.Refused, match="mounted"):
        disk.step(1, "exchange", **where)
    disk.rollback()
    assert disk.names() == {"both.txt", "old", "old/x"}
    disk.is_let_go()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("type=ext4", "device=@", "o=ro"), "nothing of it is replaced"),
        (("type=ext4", "device=/dev/phpborg-no-such-disk"), "cannot be mounted: .*no such"),
        (("type=none", "o=bind", "device=/phpborg/no/such/directory"), "cannot be mounted: .*no such"),
    ],
)
def test_what_cannot_be_mounted_or_written_is_refused_with_its_reason(disk: Disk, options: tuple[str, ...], why: str):
    former = disk.content()
    disk.engine.docker("volume", "rm", "data")
    words = [word for option in options for word in ("--opt", option.replace("@", disk.device))]
    disk.engine.docker("volume", "create", *words, "data")
    with pytest.raises(wire.Refused, match=f"(?s){why}") as refused:
        disk.hold()
    assert refused.value.code == "engine"
    assert disk.rollback()["problems"] == []
    disk.is_let_go()
    assert disk.content() == former


def test_without_room_nothing_is_replaced(disk: Disk):
    """What is extracted lies in the volume: that it has no room is seen before anything changes its place."""
    former = disk.content()
    disk.hold()
    with pytest.raises(OSError, match="No space"):
        stage(disk.path, TOKEN, str(disk.path), {"big": "x" * (20 << 20)}, OWNER)
    assert disk.rollback()["problems"] == []
    assert disk.content() == former
    disk.is_let_go()


def test_it_is_held_while_it_is_undone_only_if_it_can_be(disk: Disk):
    """Its disk is away: what is kept in it stays owed, and is put back when it is there again."""
    former = disk.content()
    disk.fill()
    disk.engine.docker("volume", "rm", "data")
    gone = disk.rollback()
    assert any("is gone, with what was kept in it" in one for one in gone["problems"])
    disk.engine.docker("volume", "create", "--opt", "type=ext4", "--opt", f"device={disk.device}", "data")
    assert disk.rollback()["problems"] == []
    assert disk.content() == former


def test_a_plugin_s_volume_is_held_by_its_plugin(engine: Bridged, tmp_path: Path):
    base = tmp_path / "shares"
    base.mkdir()
    with plugin("phpborg-test", base) as mounted:
        engine.docker("volume", "create", "--driver", "phpborg-test", "share")
        try:
            disk = Disk(engine, "", base)
            fill(base / "share", PRESENT, OWNER)
            former = tree_of(base / "share", times=False)
            restoring.begin(TOKEN, str(engine.socket))
            path = str(base / "share")
            disk.step(0, "hold_volume", volume="share", path=path)
            assert len(mounted["share"]) == 1
            stage(Path(path), TOKEN, path, ARCHIVED, OWNER)
            disk.step(1, "exchange", target=path, stage=path, source=path, whole=False)
            disk.step(2, "release_volume", volume="share")
            assert mounted["share"] == set()
            assert (base / "share/both.txt").read_text() == "archived"
            assert disk.rollback()["problems"] == []
            assert tree_of(base / "share", times=False) == former
            assert mounted["share"] == set()
        finally:
            engine.docker("volume", "rm", "--force", "share")
