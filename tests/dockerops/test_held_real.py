"""A volume on a disk of its own, mounted only while it is used: restored and rolled back, by page and by script."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dockerops.choice import Choice
from dockerops.models import DockerRestore
from dockerops.script import script
from dockerops.services import planning, protection
from phpborg.tasks.models import Lease
from tests.dockerops.product import Products, Run
from tests.dockers.backing import WAIT, clear, run, status
from tests.dockers.conftest import image_in
from tests.dockers.steps_at_hand import tree_of
from tests.support.archives import PASSPHRASE, Storage, storage
from tests.support.bridged import Bridged, engines
from tests.support.disk import ext4

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
CHOICE = Choice(mode="volumes", volumes=("disk",))


@dataclass
class Disk:
    """The volume `disk`, which the container `app` uses, and its content as whoever mounts it himself sees it."""

    engine: Bridged
    device: str
    aside: Path

    def create(self) -> None:
        self.engine.docker("volume", "create", "--opt", "type=ext4", "--opt", f"device={self.device}", "disk")

    def start(self, *words: str) -> None:
        run(self.engine, "app", "--volume", "disk:/disk", argv=words or WAIT)

    def put(self, name: str, text: str, owner: int = 999) -> None:
        path = self.engine.data / "volumes/disk/_data" / name
        path.write_text(text)
        os.chown(path, owner, owner)

    def content(self) -> dict[str, Any]:
        subprocess.run(["mount", self.device, str(self.aside)], check=True)
        try:
            found = tree_of(self.aside, times=False)
        finally:
            subprocess.run(["umount", str(self.aside)], check=True)
        rows = {str(Path(name).relative_to(self.aside)): one for name, one in found.items()}
        return {name: one for name, one in rows.items() if not name.startswith(".phpborg-")}

    def is_let_go(self) -> None:
        assert "phpborg-" not in self.engine.docker("ps", "--all", "--format", "{{.Names}}").stdout
        assert "phpborg-holder" not in self.engine.docker("images", "--format", "{{.Repository}}").stdout


@pytest.fixture
def engine() -> Iterator[Bridged]:
    with engines("docker-r1") as (one,):
        clear(one)
        image_in(one)
        yield one
        clear(one)


@pytest.fixture
def disk(engine: Bridged, tmp_path: Path) -> Iterator[Disk]:
    aside = tmp_path / "aside"
    aside.mkdir()
    with ext4(tmp_path / "image") as device:
        made = Disk(engine, device, aside)
        made.create()
        yield made
        clear(engine)


@pytest.fixture
def products(storage: Storage, run_pending: Run) -> Products:
    return Products(storage, run_pending)


def test_its_content_comes_back_and_what_was_there_by_one_click(products: Products, disk: Disk) -> None:
    disk.start()
    disk.put("rows", "of the archive")
    products.look_at(products.storage.server, disk.engine)
    archive = products.back_up(products.job(images="digests"))
    then = disk.content()
    disk.put("rows", "newer")
    disk.put("more", "since then")
    newer = disk.content()
    restore = carried_out(products, products.draft(archive, products.storage.server, CHOICE))
    assert disk.content() == then
    assert status(disk.engine, "app") == "running"
    disk.is_let_go()
    assert restore.report["kept_bytes"] > 0
    disk.engine.docker("stop", "app")  # nobody has it mounted any more
    task = products.roll_back(restore)
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail[-3000:])
    assert disk.content() == newer
    disk.is_let_go()
    assert not Lease.objects.held().exists()


@pytest.mark.long
def test_a_new_volume_is_filled_and_its_place_keeps_nothing_after_the_protection(
    products: Products, disk: Disk
) -> None:
    disk.start()
    disk.put("rows", "of the archive")
    products.look_at(products.storage.server, disk.engine)
    archive = products.back_up(products.job(images="digests"))
    then = disk.content()
    disk.put("rows", "newer")
    disk.engine.docker("rm", "--force", "app")
    disk.engine.docker("volume", "rm", "disk")
    restore = carried_out(products, products.draft(archive, products.storage.server, CHOICE))
    assert disk.content() == then
    products.ended(protection.start_forget(restore=restore))
    disk.is_let_go()
    subprocess.run(["mount", disk.device, str(disk.aside)], check=True)
    left = sorted(os.listdir(disk.aside))
    subprocess.run(["umount", str(disk.aside)], check=True)
    assert left == ["lost+found", "rows"]
    assert not Lease.objects.held().exists()


def carried_out(products: Products, restore: DockerRestore) -> DockerRestore:
    products.agree(restore)
    task = products.restore(restore)
    assert task.state == "success", (task.error_code, task.error_detail, task.log_tail[-3000:])
    restore.refresh_from_db()
    return restore


@pytest.mark.parametrize(
    "form", [pytest.param("advanced", id="advanced"), pytest.param("simple", id="simple", marks=pytest.mark.long)]
)
def test_a_script_fills_it_and_lets_it_go(products: Products, disk: Disk, tmp_path: Path, form: str) -> None:
    disk.start("/bin/sh", "-c", f"find /disk -mindepth 1 ! -user 999 -exec chown -h 999 {{}} +; {WAIT[-1]}")
    own = disk.engine.data / "volumes/disk/_data/lost+found"
    own.rmdir()  # the archive knows nothing of it
    disk.put("rows", "of the archive")
    products.look_at(products.storage.server, disk.engine)
    archive = products.back_up(products.job(images="digests"))
    own.mkdir()
    (own / "#12").write_text("found")
    for path in (own, own / "#12"):
        os.chown(path, 999, 0)
    then = disk.content()
    disk.put("rows", "newer")
    newer = disk.content()
    restore = products.draft(archive, products.storage.server, CHOICE)
    products.agree(restore)
    text = script(planning.plan_of(restore), form)
    if form == "advanced":  # it fails once, after everything is in place
        done = by_hand(products, tmp_path, text.replace('say "The volume $1 is let go', 'return 1; say "'))
        assert "Everything is as it was." in done.stdout, done.stdout + done.stderr
        assert disk.content() == newer
        disk.is_let_go()
    done = by_hand(products, tmp_path, text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", inside the volume disk\n" in done.stdout
    assert disk.content() == then
    assert status(disk.engine, "app") == "running"
    disk.is_let_go()


@pytest.mark.long
def test_a_script_says_that_it_leaves_one_of_another_account(products: Products, disk: Disk, tmp_path: Path) -> None:
    disk.start()
    disk.put("rows", "of the archive")
    os.chown(disk.engine.data / "volumes/disk/_data", 999, 999)
    products.look_at(products.storage.server, disk.engine)
    archive = products.back_up(products.job(images="digests"))
    restore = products.draft(archive, products.storage.server, CHOICE)
    products.agree(restore)
    before = disk.content()
    done = by_hand(products, tmp_path, script(planning.plan_of(restore), "advanced"))
    assert done.returncode != 0
    assert "belongs to another account" in done.stderr
    assert disk.content() == before
    assert status(disk.engine, "app") == "running"
    disk.is_let_go()


def by_hand(products: Products, place: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = place / "script.sh"
    file.write_text(text)
    env = {"PATH": os.environ["PATH"], "BORG_BASE_DIR": str(place / "borg"), "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}
    env["BORG_REPO"] = str(products.storage.repository.path)
    typed = f"{PASSPHRASE}\nyes\n"
    return subprocess.run(["bash", str(file)], env=env, input=typed, capture_output=True, text=True, check=False)
