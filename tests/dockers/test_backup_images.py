"""Images saved beside a backup of an engine, and the room for what is saved."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest

from servers import errors
from tests.dockers import backing
from tests.dockers.backing import PLAIN, Backup, inspected, quiet, run, sdk, status
from tests.dockers.fixtures_backup import backup, backup_engine, engine, here

__all__ = ["backup", "backup_engine", "engine", "here"]
pytestmark = pytest.mark.real


def test_images_are_saved_with_their_names_and_load_again(backup: Backup, engine):
    run(engine, "app")
    identity = inspected(engine, "app")["Image"]
    made = backup.make(containers=["app"], images=[identity])
    (row,) = backup.manifest()["images"]
    assert (row["id"], row["stream"], row["used_by"]) == (identity, "images/0.tar", ["app"])
    assert PLAIN in row["tags"]
    assert made["actual"]["images"] == [{"tags": row["tags"], "size_bytes": row["size_bytes"], "saved": True}]
    stream = backup.kept / "made" / row["stream"]
    assert stream.stat().st_size == row["bytes"]
    engine.docker("rm", "--force", "app")
    for tag in row["tags"]:
        engine.docker("rmi", tag)
    with stream.open("rb") as file:
        engine.docker("load", stdin=file)
    with sdk(engine) as client:
        found = client.images.get(PLAIN)
    assert (found.id, sorted(found.tags)) == (identity, sorted(row["tags"]))


def test_without_saved_images_their_names_and_digests_are_in_the_manifest(backup: Backup, engine):
    run(engine, "app")
    backup.make(containers=["app"])
    (row,) = backup.manifest()["images"]
    assert (row["stream"], PLAIN in row["tags"], row["id"]) == (None, True, inspected(engine, "app")["Image"])


def test_without_room_nothing_is_begun(backup: Backup, engine):
    run(engine, "app")
    identity = inspected(engine, "app")["Image"]
    backing.KEPT.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", str(backing.KEPT)], check=True)
    try:
        with pytest.raises(errors.SnapshotNoRoom, match=r"needs about \d+ bytes below .* and \d+ are free"):
            backup.make(containers=["app"], images=[identity], quiesce=[quiet("app", "stop")])
        backup.is_gone()
    finally:
        subprocess.run(["umount", str(backing.KEPT)], check=True)
    assert inspected(engine, "app")["State"]["FinishedAt"].startswith("0001")  # it was never stopped


def test_a_full_disk_keeps_no_container_from_coming_back(backup: Backup, engine):
    run(engine, "app")
    backing.KEPT.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m,mode=700", "tmpfs", str(backing.KEPT)], check=True)
    try:
        backup.make(quiesce=[quiet("app", "stop")])
        with suppress(OSError), (backing.KEPT / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        backup.remove()
        (backing.KEPT / "ballast").unlink()
        backup.is_gone()
    finally:
        subprocess.run(["umount", str(backing.KEPT)], check=True)
    assert status(engine, "app") == "running"
